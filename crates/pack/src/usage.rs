//! Which frames a snapshot uses: bitmaps by pack, in segments that snapshots share
//! (`docs/format.md` §9).

use std::collections::BTreeMap;

use lumbung_model::{DomainId, PackId, RepositoryId, SegmentId, UsageId};
use serde::{Deserialize, Serialize};

use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::limits::{MAX_SEGMENTS, PACK_MAX_FRAMES, SEGMENT_CUT, SEGMENT_MAX_PACKS};
use crate::object::{Kind, Object, encode, object_id};

/// A set of a pack's frames. Invariant: bits beyond the number of frames are 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bitmap {
    bits: u32,
    bytes: Vec<u8>,
}

impl Bitmap {
    /// An empty set among `bits` frames.
    #[must_use]
    pub fn new(bits: u32) -> Self {
        Self { bits, bytes: vec![0; bits.div_ceil(8) as usize] }
    }

    /// A set of all `bits` frames.
    #[must_use]
    pub fn full(bits: u32) -> Self {
        let mut bitmap = Self::new(bits);
        (0..bits).for_each(|i| bitmap.set(i));
        bitmap
    }

    /// Reads a set.
    ///
    /// # Errors
    /// Where the length is wrong or an unused bit is set.
    pub fn from_bytes(bits: u32, bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.len() != bits.div_ceil(8) as usize {
            return Err(FormatError::field(
                "a bitmap",
                "its length does not match the number of frames",
            ));
        }
        if let (Some(last), used @ 1..) = (bytes.last(), bits % 8)
            && last >> used != 0
        {
            return Err(FormatError::field("a bitmap", "an unused bit is set"));
        }
        Ok(Self { bits, bytes: bytes.to_vec() })
    }

    /// Adds frame `i`.
    ///
    /// # Panics
    /// If there is no frame `i`.
    pub fn set(&mut self, i: u32) {
        assert!(i < self.bits, "frame {i} of {}", self.bits);
        self.bytes[(i / 8) as usize] |= 1 << (i % 8);
    }

    /// Whether frame `i` is in the set.
    #[must_use]
    pub fn get(&self, i: u32) -> bool {
        i < self.bits && self.bytes[(i / 8) as usize] & (1 << (i % 8)) != 0
    }

    /// The frames of this set that are in `other` as well.
    ///
    /// # Panics
    /// If they are sets of packs with other numbers of frames.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.combine(other, |own, theirs| own & theirs)
    }

    /// The frames of this set and those of `other`.
    ///
    /// # Panics
    /// As [`Self::and`].
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.combine(other, |own, theirs| own | theirs)
    }

    /// The frames of this set that are not in `other`.
    ///
    /// # Panics
    /// As [`Self::and`].
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.combine(other, |own, theirs| own & !theirs)
    }

    fn combine(&self, other: &Self, operation: fn(u8, u8) -> u8) -> Self {
        assert_eq!(self.bits, other.bits, "a pack has one number of frames");
        let bytes = self.bytes.iter().zip(&other.bytes);
        Self {
            bits: self.bits,
            bytes: bytes.map(|(own, theirs)| operation(*own, *theirs)).collect(),
        }
    }

    /// Whether no frame is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    /// Whether every frame is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.count_ones() == self.bits
    }

    /// Frames in the pack.
    #[must_use]
    pub const fn bits(&self) -> u32 {
        self.bits
    }

    /// Frames in the set.
    #[must_use]
    pub fn count_ones(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }

    /// The frames in the set, ascending.
    pub fn iter_ones(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.bits).filter(|i| self.get(*i))
    }

    /// As it stands in a segment.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Frames of one pack; `used.bits()` is the number of frames in the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PackUseJson", into = "PackUseJson")]
pub struct PackUse {
    /// The pack.
    pub pack: PackId,
    /// Which of its frames.
    pub used: Bitmap,
}

/// [`PackUse`] in JSON: the bitmap in hex.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackUseJson {
    pack: PackId,
    frames: u32,
    used: String,
}

impl From<PackUse> for PackUseJson {
    fn from(pack: PackUse) -> Self {
        let used = data_encoding::HEXLOWER.encode(pack.used.as_bytes());
        Self { pack: pack.pack, frames: pack.used.bits(), used }
    }
}

impl TryFrom<PackUseJson> for PackUse {
    type Error = FormatError;

    fn try_from(json: PackUseJson) -> Result<Self, FormatError> {
        if json.frames as usize > PACK_MAX_FRAMES {
            return Err(FormatError::limit(
                "a pack's frames",
                json.frames as usize,
                PACK_MAX_FRAMES,
            ));
        }
        let bytes = data_encoding::HEXLOWER
            .decode(json.used.as_bytes())
            .map_err(|_| FormatError::field("a bitmap", "it is not lower-case hex"))?;
        Ok(Self { pack: json.pack, used: Bitmap::from_bytes(json.frames, &bytes)? })
    }
}

/// Which frames of some packs a snapshot uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The repository.
    pub repository: RepositoryId,
    /// Whose packs these are.
    pub domain: DomainId,
    /// Ascending by pack.
    pub packs: Vec<PackUse>,
}

impl Object for Segment {
    const KIND: Kind = Kind::Segment;
    type Id = SegmentId;

    fn id_from(bytes: [u8; 32]) -> SegmentId {
        SegmentId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.domain.as_bytes()).count16(self.packs.len());
        for pack in &self.packs {
            writer.raw(pack.pack.as_bytes()).u32(pack.used.bits()).raw(pack.used.as_bytes());
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let domain = DomainId::from_bytes(reader.array()?);
        let count = reader.count16("a segment's packs", 1, SEGMENT_MAX_PACKS)?;
        let mut packs = Vec::with_capacity(count);
        for _ in 0..count {
            let pack = PackId::from_bytes(reader.array()?);
            let frames = reader.u32()?;
            if frames == 0 || frames as usize > PACK_MAX_FRAMES {
                return Err(FormatError::limit(
                    "a pack's frames",
                    frames as usize,
                    PACK_MAX_FRAMES,
                ));
            }
            let used = Bitmap::from_bytes(frames, reader.take(frames.div_ceil(8) as usize)?)?;
            if used.count_ones() == 0 {
                return Err(FormatError::field("a bitmap", "no frame is used"));
            }
            packs.push(PackUse { pack, used });
        }
        ascending("a segment's packs", packs.iter().map(|pack| pack.pack))?;
        Ok(Self { repository, domain, packs })
    }
}

/// A segment as a usage list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentRef {
    /// The segment.
    pub segment: SegmentId,
    /// Its first pack.
    pub first: PackId,
    /// Its last pack.
    pub last: PackId,
    /// How many packs.
    pub packs: u32,
    /// How many frames are used.
    pub frames: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
}

/// All frames that a snapshot uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageList {
    /// The repository.
    pub repository: RepositoryId,
    /// Whose packs these are.
    pub domain: DomainId,
    /// Ascending, not overlapping.
    pub segments: Vec<SegmentRef>,
}

impl UsageList {
    fn check(&self) -> Result<(), FormatError> {
        if self.segments.iter().any(|segment| segment.first > segment.last) {
            return Err(FormatError::field(
                "a usage list's segment",
                "its last pack stands before its first",
            ));
        }
        let apart = self.segments.windows(2).all(|pair| pair[0].last < pair[1].first);
        if apart {
            Ok(())
        } else {
            Err(FormatError::field("a usage list's segments", "they overlap or do not ascend"))
        }
    }
}

const SEGMENT_REF_BYTES: usize = 32 * 3 + 4 + 8 + 8;

impl Object for UsageList {
    const KIND: Kind = Kind::Usage;
    type Id = UsageId;

    fn id_from(bytes: [u8; 32]) -> UsageId {
        UsageId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.domain.as_bytes()).count32(self.segments.len());
        for segment in &self.segments {
            writer.raw(segment.segment.as_bytes());
            writer.raw(segment.first.as_bytes()).raw(segment.last.as_bytes());
            writer.u32(segment.packs).u64(segment.frames).u64(segment.stored_bytes);
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let domain = DomainId::from_bytes(reader.array()?);
        let count = reader.count32("a usage list's segments", MAX_SEGMENTS, SEGMENT_REF_BYTES)?;
        let mut segments = Vec::with_capacity(count);
        for _ in 0..count {
            segments.push(SegmentRef {
                segment: SegmentId::from_bytes(reader.array()?),
                first: PackId::from_bytes(reader.array()?),
                last: PackId::from_bytes(reader.array()?),
                packs: reader.u32()?,
                frames: reader.u64()?,
                stored_bytes: reader.u64()?,
            });
        }
        let list = Self { repository, domain, segments };
        list.check()?;
        Ok(list)
    }
}

/// A usage list with its segments, as objects to be stored.
pub struct BuiltUsage {
    /// The usage list.
    pub usage: Vec<u8>,
    /// Its id.
    pub usage_id: UsageId,
    /// Its segments.
    pub segments: Vec<(SegmentId, Vec<u8>)>,
}

struct Collected {
    used: Bitmap,
    stored_bytes: u64,
}

/// Collects the frames that a snapshot uses.
pub struct UsageBuilder {
    repository: RepositoryId,
    domain: DomainId,
    packs: BTreeMap<PackId, Collected>,
}

impl UsageBuilder {
    /// Nothing is used yet.
    #[must_use]
    pub const fn new(repository: RepositoryId, domain: DomainId) -> Self {
        Self { repository, domain, packs: BTreeMap::new() }
    }

    /// Adds a frame; adding it again changes nothing.
    ///
    /// # Panics
    /// If the pack has no such frame, or was named with another number of frames before.
    pub fn add(&mut self, pack: PackId, frames: u32, frame: u32, stored_length: u32) {
        let collected = self
            .packs
            .entry(pack)
            .or_insert_with(|| Collected { used: Bitmap::new(frames), stored_bytes: 0 });
        assert_eq!(collected.used.bits(), frames, "a pack has one number of frames");
        if !collected.used.get(frame) {
            collected.used.set(frame);
            collected.stored_bytes += u64::from(stored_length);
        }
    }

    /// The packs used so far.
    pub fn packs(&self) -> impl Iterator<Item = PackUse> + '_ {
        self.packs
            .iter()
            .map(|(pack, collected)| PackUse { pack: *pack, used: collected.used.clone() })
    }

    /// Cuts the segments and builds the list.
    #[must_use]
    pub fn build(self) -> BuiltUsage {
        let mut list =
            UsageList { repository: self.repository, domain: self.domain, segments: Vec::new() };
        let mut segments = Vec::new();
        let mut open: Vec<PackUse> = Vec::new();
        let mut stored_bytes = 0;
        for (pack, collected) in self.packs {
            open.push(PackUse { pack, used: collected.used });
            stored_bytes += collected.stored_bytes;
            if ends_segment(&pack) || open.len() == SEGMENT_MAX_PACKS {
                close_segment(&mut list, &mut segments, std::mem::take(&mut open), stored_bytes);
                stored_bytes = 0;
            }
        }
        if !open.is_empty() {
            close_segment(&mut list, &mut segments, open, stored_bytes);
        }
        let usage = encode(&list);
        let usage_id = UsageId::from_bytes(object_id(&usage));
        BuiltUsage { usage, usage_id, segments }
    }
}

/// By the end of the id, since packs are ordered by its beginning: ends that follow the order would lie in a few
/// heaps, with nothing between them that stays where it is when a pack comes in.
fn ends_segment(pack: &PackId) -> bool {
    let [.., low, high] = pack.as_bytes();
    u16::from_le_bytes([*low, *high]) % SEGMENT_CUT == 0
}

fn close_segment(
    list: &mut UsageList,
    segments: &mut Vec<(SegmentId, Vec<u8>)>,
    packs: Vec<PackUse>,
    stored_bytes: u64,
) {
    let (Some(first), Some(last)) = (packs.first(), packs.last()) else { return };
    let (first, last) = (first.pack, last.pack);
    let frames = packs.iter().map(|pack| u64::from(pack.used.count_ones())).sum();
    let count = u32::try_from(packs.len()).expect("at most 1024 packs in a segment");
    let bytes = encode(&Segment { repository: list.repository, domain: list.domain, packs });
    let segment = SegmentId::from_bytes(object_id(&bytes));
    list.segments.push(SegmentRef { segment, first, last, packs: count, frames, stored_bytes });
    segments.push((segment, bytes));
}
