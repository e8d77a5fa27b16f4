//! Writes entries into chunks of some 64 to 128 KiB.

use lumbung_model::ChunkId;
use lumbung_pack::limits::{CHUNK_MAX, ENTRY_MAX_BYTES};

use super::path::shared_prefix;
use super::{CatalogueChecker, CatalogueError, ContentRef, Entry, EntryKind, Extent};
use crate::domain::GearTable;

/// No chunk ends before this.
const CHUNK_FROM: usize = 64 << 10;
/// How many bytes of entries stand, on average, between two places where a chunk may end.
const APART: u64 = 32 << 10;
/// A chunk ends here wherever it is.
const CHUNK_TO: usize = 256 << 10;

pub(super) const CHANGED: u8 = 1 << 0;
pub(super) const UNREADABLE: u8 = 1 << 1;
pub(super) const SPARSE: u8 = 1 << 2;
pub(super) const XATTRS: u8 = 1 << 3;
pub(super) const SAME_OWNER: u8 = 1 << 4;
pub(super) const SAME_TIME: u8 = 1 << 5;

/// A chunk of the catalogue, ready to be named and sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueChunk {
    /// Its plaintext, at most `CHUNK_MAX` bytes.
    pub bytes: Vec<u8>,
    /// The path of its first entry.
    pub first_path: Vec<u8>,
    /// Entries that begin in it; 0 if it continues the entry of the chunk before.
    pub entries: u64,
}

/// What an entry is written relative to: the one before it in the same chunk.
#[derive(Default)]
struct Previous {
    path: Vec<u8>,
    uid: u32,
    gid: u32,
    user: Vec<u8>,
    group: Vec<u8>,
    mtime_s: i64,
    mtime_ns: u32,
    /// Chunk of the last content reference, and where that ended.
    content: Option<(ChunkId, u32)>,
    /// Entries before in this chunk.
    entries: u64,
}

/// Writes the catalogue.
pub struct CatalogueWriter {
    gear: GearTable,
    checker: CatalogueChecker,
    previous: Previous,
    first_path: Vec<u8>,
    chunk: Vec<u8>,
    /// The entry at work, kept for its capacity.
    encoded: Vec<u8>,
}

impl CatalogueWriter {
    /// An empty catalogue. The domain's gear table decides where chunks end, so that their lengths
    /// tell a stranger nothing about paths.
    #[must_use]
    pub fn new(gear: &GearTable) -> Self {
        Self {
            gear: gear.duplicate(),
            checker: CatalogueChecker::new(),
            previous: Previous::default(),
            first_path: Vec::new(),
            chunk: Vec::new(),
            encoded: Vec::new(),
        }
    }

    /// Entries written so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.checker.entries()
    }

    /// Writes the next entry; returns the chunks that are complete (mostly none).
    ///
    /// # Errors
    /// If the entry is not valid, out of order, not in a directory that came before it, or too long.
    pub fn push(&mut self, entry: &Entry) -> Result<Vec<CatalogueChunk>, CatalogueError> {
        entry.check()?;
        self.checker.check(entry)?;
        let mut complete = Vec::new();
        self.encode(entry);
        if self.chunk_ends_before(&entry.path) {
            complete.extend(self.take_chunk());
            self.encode(entry);
        }
        if self.encoded.len() > ENTRY_MAX_BYTES {
            return Err(CatalogueError::entry(
                &entry.path,
                "it takes more than 256 MiB: exclude it",
            ));
        }
        let prefix = varint_bytes(self.encoded.len() as u64);
        if prefix + self.encoded.len() > CHUNK_MAX {
            self.split(entry, &mut complete);
            return Ok(complete);
        }
        if self.previous.entries == 0 {
            self.first_path.clone_from(&entry.path);
        }
        put_varint(&mut self.chunk, self.encoded.len() as u64);
        self.chunk.extend_from_slice(&self.encoded);
        self.previous.follow(entry);
        Ok(complete)
    }

    /// The last chunk.
    #[must_use]
    pub fn finish(mut self) -> Option<CatalogueChunk> {
        self.take_chunk()
    }

    /// Whether the chunk ends before the entry that was just encoded. Depends on the entry's path and
    /// roughly on its length, so chunks meet again after a change.
    fn chunk_ends_before(&self, path: &[u8]) -> bool {
        if self.previous.entries == 0 {
            return false;
        }
        let length = self.encoded.len();
        if self.chunk.len() + length > CHUNK_TO {
            return true;
        }
        if self.chunk.len() < CHUNK_FROM {
            return false;
        }
        let gear = self.gear.words();
        let hash = path
            .iter()
            .fold(0_u64, |hash, byte| (hash << 1).wrapping_add(gear[usize::from(*byte)]));
        hash < (u64::MAX / APART).saturating_mul(length as u64)
    }

    fn take_chunk(&mut self) -> Option<CatalogueChunk> {
        let entries = std::mem::take(&mut self.previous).entries;
        if entries == 0 {
            return None;
        }
        let next = Vec::with_capacity(CHUNK_FROM * 2);
        let bytes = std::mem::replace(&mut self.chunk, next);
        Some(CatalogueChunk { bytes, first_path: std::mem::take(&mut self.first_path), entries })
    }

    /// An entry that no chunk can hold goes over several, alone.
    fn split(&mut self, entry: &Entry, complete: &mut Vec<CatalogueChunk>) {
        let mut whole = Vec::with_capacity(self.encoded.len() + 10);
        put_varint(&mut whole, self.encoded.len() as u64);
        whole.extend_from_slice(&self.encoded);
        // Huge once, and hardly again.
        self.encoded = Vec::new();
        for (part, bytes) in whole.chunks(CHUNK_MAX).enumerate() {
            let entries = u64::from(part == 0);
            complete.push(CatalogueChunk {
                bytes: bytes.to_vec(),
                first_path: entry.path.clone(),
                entries,
            });
        }
    }

    /// Encodes an entry, without its length, after the entries that are in the chunk.
    fn encode(&mut self, entry: &Entry) {
        let out = &mut self.encoded;
        let previous = &self.previous;
        out.clear();
        let shared = shared_prefix(&previous.path, &entry.path);
        put_varint(out, shared as u64);
        put_bytes(out, &entry.path[shared..]);
        out.push(entry.kind.code());
        let flags = previous.flags_of(entry);
        out.push(flags);
        put_varint(out, u64::from(entry.mode));
        if flags & SAME_OWNER == 0 {
            put_varint(out, u64::from(entry.uid));
            put_varint(out, u64::from(entry.gid));
            put_bytes(out, &entry.user);
            put_bytes(out, &entry.group);
        }
        if flags & SAME_TIME == 0 {
            put_varint(out, ((entry.mtime_s << 1) ^ (entry.mtime_s >> 63)).cast_unsigned());
            put_varint(out, u64::from(entry.mtime_ns));
        }
        if let Some(errno) = entry.unreadable {
            put_varint(out, u64::from(errno));
        }
        if flags & XATTRS != 0 {
            put_varint(out, entry.xattrs.len() as u64);
            for (name, value) in &entry.xattrs {
                put_bytes(out, name);
                put_bytes(out, value);
            }
        }
        put_kind(out, &entry.kind, previous.content);
    }
}

impl Previous {
    fn flags_of(&self, entry: &Entry) -> u8 {
        let sparse = matches!(entry.kind, EntryKind::File { sparse: Some(_), .. });
        let same_owner = self.entries > 0
            && (self.uid, self.gid) == (entry.uid, entry.gid)
            && self.user == entry.user
            && self.group == entry.group;
        let same_time =
            self.entries > 0 && (self.mtime_s, self.mtime_ns) == (entry.mtime_s, entry.mtime_ns);
        [
            (entry.changed_while_read, CHANGED),
            (entry.unreadable.is_some(), UNREADABLE),
            (sparse, SPARSE),
            (!entry.xattrs.is_empty(), XATTRS),
            (same_owner, SAME_OWNER),
            (same_time, SAME_TIME),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(0, |flags, (_, flag)| flags | flag)
    }

    fn follow(&mut self, entry: &Entry) {
        self.path.clone_from(&entry.path);
        (self.uid, self.gid) = (entry.uid, entry.gid);
        self.user.clone_from(&entry.user);
        self.group.clone_from(&entry.group);
        (self.mtime_s, self.mtime_ns) = (entry.mtime_s, entry.mtime_ns);
        if let EntryKind::File { content, .. } = &entry.kind
            && let Some(last) = content.last()
        {
            self.content = Some((last.chunk, last.offset + last.length));
        }
        self.entries += 1;
    }
}

fn put_kind(out: &mut Vec<u8>, kind: &EntryKind, previous: Option<(ChunkId, u32)>) {
    match kind {
        EntryKind::File { size, sparse, content } => {
            put_varint(out, *size);
            if let Some(extents) = sparse {
                put_extents(out, extents);
            }
            put_content(out, content, previous);
        }
        EntryKind::Symlink { target } => put_bytes(out, target),
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            put_varint(out, u64::from(*major));
            put_varint(out, u64::from(*minor));
        }
        EntryKind::HardLink { first } => put_bytes(out, first),
        EntryKind::Directory | EntryKind::Fifo | EntryKind::Socket => {}
    }
}

fn put_extents(out: &mut Vec<u8>, extents: &[Extent]) {
    put_varint(out, extents.len() as u64);
    let mut end = 0;
    for extent in extents {
        put_varint(out, extent.offset - end);
        put_varint(out, extent.length);
        end = extent.offset + extent.length;
    }
}

fn put_content(out: &mut Vec<u8>, content: &[ContentRef], mut previous: Option<(ChunkId, u32)>) {
    put_varint(out, content.len() as u64);
    for reference in content {
        match previous {
            Some((chunk, end)) if chunk == reference.chunk && end == reference.offset => {
                out.push(0)
            }
            Some((chunk, _)) if chunk == reference.chunk => {
                out.push(1);
                put_varint(out, u64::from(reference.offset));
            }
            _ => {
                out.push(2);
                out.extend_from_slice(reference.chunk.as_bytes());
                put_varint(out, u64::from(reference.offset));
            }
        }
        put_varint(out, u64::from(reference.length));
        previous = Some((reference.chunk, reference.offset + reference.length));
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

// As `codec::Writer::varint`, into a buffer that is kept from entry to entry.
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

const fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros()).div_ceil(7) as usize
}
