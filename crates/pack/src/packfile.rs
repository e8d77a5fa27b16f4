//! Packs: header, table in front, stored frames behind (`docs/format.md` §8).
//!
//! Invariants of a [`PackTable`]: between 1 and `PACK_MAX_FRAMES` frames, chunk ids distinct, every
//! length within its limit, the whole file within `PACK_MAX_BYTES`. The id covers header and table
//! only, so each frame is checked alone, by its hash in the table.

use std::ops::Range;

use lumbung_model::{ChunkId, DomainId, FrameHash, PackId, RepositoryId, SessionId};

use crate::codec::{Reader, Writer, distinct};
use crate::error::FormatError;
use crate::limits::{
    CHUNK_MAX, FRAME_ENTRY_BYTES, FRAME_TAG_BYTES, PACK_FIXED_BYTES, PACK_MAX_BYTES,
    PACK_MAX_FRAMES,
};
use crate::object::{Header, Kind, object_id};
use crate::usage::Bitmap;

/// What a pack's frames hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// File contents.
    Data,
    /// Catalogue and its index.
    Catalogue,
}

impl Content {
    /// The number in the header.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Catalogue => 2,
        }
    }
}

/// How a chunk stands inside its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Raw,
    /// One zstd frame with its content size.
    Zstd,
}

impl Encoding {
    /// The number in the table.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Zstd => 1,
        }
    }
}

/// A pack's fields before its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackHeader {
    /// The repository.
    pub repository: RepositoryId,
    /// Whose frames these are.
    pub domain: DomainId,
    /// The session whose key seals them.
    pub session: SessionId,
    /// Makes the pack key.
    pub salt: [u8; 32],
    /// Commits to the pack key.
    pub commitment: [u8; 32],
    /// What the frames hold.
    pub content: Content,
}

/// One frame in a pack's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameEntry {
    /// The chunk inside: keyed hash of its plaintext.
    pub chunk: ChunkId,
    /// Hash of the stored bytes.
    pub stored_hash: FrameHash,
    /// Bytes of plaintext, at least 1.
    pub plain_length: u32,
    /// Bytes stored, tag included.
    pub stored_length: u32,
    /// How the chunk is encoded.
    pub encoding: Encoding,
}

impl FrameEntry {
    fn check(&self) -> Result<(), FormatError> {
        let plain = self.plain_length as usize;
        let stored = self.stored_length as usize;
        if plain == 0 || plain > CHUNK_MAX {
            return Err(FormatError::limit("a frame's plain length", plain, CHUNK_MAX));
        }
        if stored <= FRAME_TAG_BYTES || stored > plain + FRAME_TAG_BYTES {
            return Err(FormatError::limit(
                "a frame's stored length",
                stored,
                plain + FRAME_TAG_BYTES,
            ));
        }
        if self.encoding == Encoding::Raw && stored != plain + FRAME_TAG_BYTES {
            return Err(FormatError::field(
                "a frame's stored length",
                "a raw frame is as long as its plaintext and tag",
            ));
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        writer.raw(self.chunk.as_bytes()).raw(self.stored_hash.as_bytes());
        writer.u32(self.plain_length).u32(self.stored_length);
        writer.u8(self.encoding.code()).raw(&[0; 3]);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let entry = Self {
            chunk: ChunkId::from_bytes(reader.array()?),
            stored_hash: FrameHash::from_bytes(reader.array()?),
            plain_length: reader.u32()?,
            stored_length: reader.u32()?,
            encoding: match reader.u8()? {
                0 => Encoding::Raw,
                1 => Encoding::Zstd,
                _ => return Err(FormatError::field("a frame's encoding", "it is neither 0 nor 1")),
            },
        };
        reader.reserved::<3>()?;
        entry.check()?;
        Ok(entry)
    }
}

/// A pack's header and table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackTable {
    /// The fields before the table.
    pub header: PackHeader,
    /// The frames, in the order in which they stand.
    pub frames: Vec<FrameEntry>,
    /// Where each frame begins, and where the last one ends.
    offsets: Vec<u64>,
}

impl PackTable {
    /// A table of these frames.
    ///
    /// # Errors
    /// Where a limit or an invariant is broken.
    pub fn new(header: PackHeader, frames: Vec<FrameEntry>) -> Result<Self, FormatError> {
        if frames.is_empty() {
            return Err(FormatError::field("a pack's frames", "there must be at least one"));
        }
        if frames.len() > PACK_MAX_FRAMES {
            return Err(FormatError::limit("a pack's frames", frames.len(), PACK_MAX_FRAMES));
        }
        frames.iter().try_for_each(FrameEntry::check)?;
        distinct("a pack's chunk ids", frames.iter().map(|frame| frame.chunk))?;
        let mut offset = (PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * frames.len()) as u64;
        let mut offsets = vec![offset];
        for frame in &frames {
            offset += u64::from(frame.stored_length);
            offsets.push(offset);
        }
        if offset > PACK_MAX_BYTES as u64 {
            return Err(FormatError::Limit {
                field: "a pack's bytes",
                found: offset,
                limit: PACK_MAX_BYTES as u64,
            });
        }
        Ok(Self { header, frames, offsets })
    }

    /// Header and table as they stand in front of the frames.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        Header { kind: Kind::Pack, repository: self.header.repository }.write(&mut writer);
        writer.raw(self.header.domain.as_bytes()).raw(self.header.session.as_bytes());
        writer.raw(&self.header.salt).raw(&self.header.commitment);
        writer.u8(self.header.content.code()).raw(&[0; 3]).count32(self.frames.len());
        self.frames.iter().for_each(|frame| frame.write(&mut writer));
        writer.into_bytes()
    }

    /// The pack's id.
    #[must_use]
    pub fn id(&self) -> PackId {
        Self::id_of_head(&self.encode())
    }

    /// The id of a pack whose header and table are these bytes.
    #[must_use]
    pub fn id_of_head(head: &[u8]) -> PackId {
        PackId::from_bytes(object_id(head))
    }

    /// Bytes of header and table, told from the first 168 bytes.
    ///
    /// # Errors
    /// Where they are not the beginning of a pack.
    pub fn head_length(fixed: &[u8]) -> Result<usize, FormatError> {
        let mut reader = Reader::new(fixed);
        let (_, count) = read_fixed(&mut reader)?;
        Ok(PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * count)
    }

    /// Reads header and table, and nothing behind them.
    ///
    /// # Errors
    /// Where the bytes are not a canonical head of a pack.
    pub fn decode(head: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new(head);
        let (header, count) = read_fixed(&mut reader)?;
        let expected = FRAME_ENTRY_BYTES * count;
        if reader.remaining() < expected {
            return Err(FormatError::Truncated { needed: expected - reader.remaining() });
        }
        let frames: Result<Vec<_>, _> = (0..count).map(|_| FrameEntry::read(&mut reader)).collect();
        reader.finish()?;
        Self::new(header, frames?)
    }

    /// Reads header and table and checks that they have this id.
    ///
    /// # Errors
    /// As [`Self::decode`], or [`FormatError::IdMismatch`].
    pub fn open(id: &PackId, head: &[u8]) -> Result<Self, FormatError> {
        if Self::id_of_head(head) != *id {
            return Err(FormatError::IdMismatch);
        }
        Self::decode(head)
    }

    /// Bytes of header and table.
    #[must_use]
    pub fn head_bytes(&self) -> u64 {
        self.offsets[0]
    }

    /// Where frame `i` stands in the file.
    ///
    /// # Panics
    /// If there is no frame `i`.
    #[must_use]
    pub fn frame_range(&self, i: usize) -> Range<u64> {
        self.offsets[i]..self.offsets[i + 1]
    }

    /// Bytes of the whole file.
    #[must_use]
    pub fn total_length(&self) -> u64 {
        self.offsets[self.frames.len()]
    }

    /// The number of frames.
    #[must_use]
    pub fn frame_count(&self) -> u32 {
        // `new` refuses more than PACK_MAX_FRAMES.
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    /// A set with a place for each frame, all in it.
    #[must_use]
    pub fn all_frames(&self) -> Bitmap {
        Bitmap::full(self.frame_count())
    }

    /// A set with a place for each frame, none in it.
    #[must_use]
    pub fn no_frames(&self) -> Bitmap {
        Bitmap::new(self.frame_count())
    }

    /// Checks the stored bytes of frame `i` against the table.
    ///
    /// # Errors
    /// [`FormatError::Frame`].
    pub fn verify_frame(&self, i: usize, stored: &[u8]) -> Result<(), FormatError> {
        let frame = self.frames.get(i).ok_or(FormatError::Frame(i))?;
        let matches = stored.len() == frame.stored_length as usize
            && blake3::hash(stored).as_bytes() == frame.stored_hash.as_bytes();
        if matches { Ok(()) } else { Err(FormatError::Frame(i)) }
    }
}

fn read_fixed(reader: &mut Reader<'_>) -> Result<(PackHeader, usize), FormatError> {
    let header = Header::expect(Kind::Pack, reader)?;
    let pack = PackHeader {
        repository: header.repository,
        domain: DomainId::from_bytes(reader.array()?),
        session: SessionId::from_bytes(reader.array()?),
        salt: reader.array()?,
        commitment: reader.array()?,
        content: match reader.u8()? {
            1 => Content::Data,
            2 => Content::Catalogue,
            _ => return Err(FormatError::field("a pack's content", "it is neither 1 nor 2")),
        },
    };
    reader.reserved::<3>()?;
    let count = reader.u32()? as usize;
    if count == 0 || count > PACK_MAX_FRAMES {
        return Err(FormatError::limit("a pack's frames", count, PACK_MAX_FRAMES));
    }
    Ok((pack, count))
}
