//! The format's numbers (`docs/format.md` §17; a test holds the page against them).

/// Default minimum of a chunk, bytes.
pub const CHUNK_MIN: usize = 256 << 10;
/// Default average of a chunk, bytes.
pub const CHUNK_AVG: usize = 1 << 20;
/// Default maximum of a chunk and the largest plain length of any frame, bytes.
pub const CHUNK_MAX: usize = 4 << 20;
/// A writer closes a pack at or before this many bytes of stored frames.
pub const PACK_TARGET: usize = 16 << 20;
/// Frames in a pack, at most.
pub const PACK_MAX_FRAMES: usize = 16_384;
/// A whole pack, bytes, at most.
pub const PACK_MAX_BYTES: usize = 32 << 20;
/// Any other object, bytes, at most.
pub const OBJECT_MAX_BYTES: usize = 16 << 20;
/// A medium's list, bytes, at most: names some eight million objects, 130 TB of full packs.
pub const MEDIUM_LIST_MAX_BYTES: usize = 256 << 20;
/// A path in the catalogue, bytes, at most.
pub const PATH_MAX_BYTES: usize = 64 << 10;
/// An encoded catalogue entry, bytes, at most.
pub const ENTRY_MAX_BYTES: usize = 256 << 20;
/// A `str`, bytes, at most.
pub const LABEL_MAX_BYTES: usize = 255;
/// The object header.
pub const HEADER_BYTES: usize = 48;
/// A pack's bytes before its table.
pub const PACK_FIXED_BYTES: usize = 168;
/// One entry of a pack's table.
pub const FRAME_ENTRY_BYTES: usize = 76;
/// The AES-GCM tag at the end of each stored frame.
pub const FRAME_TAG_BYTES: usize = 16;
/// Root keys in a roster, at most.
pub const MAX_ROOT_KEYS: usize = 8;
/// Recipients in a roster or session, at most.
pub const MAX_RECIPIENTS: usize = 64;
/// Agents in a roster, at most.
pub const MAX_AGENTS: usize = 4096;
/// Sites in a roster, at most.
pub const MAX_SITES: usize = 64;
/// Packs in a usage segment, at most.
pub const SEGMENT_MAX_PACKS: usize = 1024;
/// A writer ends a segment after a pack id whose last u16 is 0 modulo this.
pub const SEGMENT_CUT: u16 = 64;
/// Segments in a usage list, at most.
pub const MAX_SEGMENTS: usize = 65_536;
/// Earlier lists on which a medium's list rests, at most.
pub const MEDIUM_MAX_BASES: usize = 64;
/// Sealed root, bytes, at most.
pub const SEALED_ROOT_MAX_BYTES: usize = 1 << 20;
/// Sessions in a wrap, at most.
pub const WRAP_MAX_SESSIONS: usize = 100_000;
/// Snapshots that one consent opens, at most.
pub const GRANT_MAX_SNAPSHOTS: usize = 1024;
/// Grants that one consent is divided in, at most.
pub const GRANT_MAX_PARTS: usize = 64;
/// What a grant seals, with HPKE's tag, bytes, at most.
pub const GRANT_SEALED_MAX_BYTES: usize = 15 << 20;
/// A consent lasts from the day of its making to its end, days, at most.
pub const GRANT_MAX_DAYS: usize = 366;
