//! Packs as they arrive, presence maps, and usage lists as they are built (`docs/format.md` §8–9, §20).

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use lumbung_model::{ChunkId, DomainId, FrameHash, PackId, RepositoryId, SessionId};
use lumbung_pack::limits::{FRAME_ENTRY_BYTES, PACK_FIXED_BYTES, PACK_MAX_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{
    Content, Encoding, FrameEntry, PackHeader, PackTable, Segment, UsageBuilder, UsageList, decode,
    object_id,
};
use lumbung_store::{PackChecker, decode_presence, encode_presence};

use crate::objects::as_written;
use crate::structured;

const MAX_FRAMES: usize = 12;
const MAX_HEAD: usize = PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * PACK_MAX_FRAMES;

pub(crate) fn pack_head(data: &[u8]) {
    let Ok(length) = PackTable::head_length(data) else {
        assert!(PackTable::decode(data).is_err());
        return;
    };
    assert!(length <= MAX_HEAD, "a head beyond the limits");
    let Some(head) = data.get(..length) else {
        assert!(PackTable::decode(data).is_err());
        return;
    };
    let Ok(table) = PackTable::decode(head) else { return };
    assert_eq!(table.encode(), as_written(head), "what was read is not canonical");
    assert_eq!(table.head_bytes(), length as u64);
    assert!(table.total_length() <= PACK_MAX_BYTES as u64);
    let mut end = table.head_bytes();
    for (i, frame) in table.frames.iter().enumerate() {
        let range = table.frame_range(i);
        assert_eq!((range.start, range.end - range.start), (end, u64::from(frame.stored_length)));
        end = range.end;
    }
    assert_eq!(end, table.total_length());
    let id = PackTable::id_of_head(head);
    assert_eq!(PackTable::open(&id, head).as_ref(), Ok(&table));
    assert!(PackTable::open(&PackId::ZERO, head).is_err());
}

/// A whole pack with frames of the fuzzer's choice.
pub(crate) fn whole_pack(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let (mut frames, mut bytes) = (Vec::new(), Vec::new());
    for i in 0..u.int_in_range(1..=MAX_FRAMES)? {
        let plain: u32 = u.int_in_range(1..=2000)?;
        let raw: bool = u.arbitrary()?;
        let stored = if raw { plain + 16 } else { u.int_in_range(17..=plain + 16)? };
        let stored_bytes = vec![u.arbitrary::<u8>()?; stored as usize];
        frames.push(FrameEntry {
            chunk: ChunkId::from_bytes([u8::try_from(i).expect("few frames"); 32]),
            stored_hash: FrameHash::from_bytes(object_id(&stored_bytes)),
            plain_length: plain,
            stored_length: stored,
            encoding: if raw { Encoding::Raw } else { Encoding::Zstd },
        });
        bytes.extend_from_slice(&stored_bytes);
    }
    let header = PackHeader {
        repository: RepositoryId::from_bytes([1; 32]),
        domain: DomainId::from_bytes([2; 16]),
        session: SessionId::from_bytes([3; 32]),
        salt: [4; 32],
        commitment: [5; 32],
        content: Content::Data,
    };
    let table = PackTable::new(header, frames).expect("a table within the limits");
    Ok([table.encode(), bytes].concat())
}

/// What §8 asks of the bytes of a pack of this id, said once more and all at once.
fn is_pack(id: &PackId, bytes: &[u8]) -> bool {
    let Ok(length) = PackTable::head_length(bytes) else { return false };
    let Some((head, frames)) = bytes.split_at_checked(length) else { return false };
    let Ok(table) = PackTable::decode(head) else { return false };
    let mut rest = frames;
    for frame in &table.frames {
        let Some((stored, after)) = rest.split_at_checked(frame.stored_length as usize) else {
            return false;
        };
        if object_id(stored) != *frame.stored_hash.as_bytes() {
            return false;
        }
        rest = after;
    }
    object_id(head) == *id.as_bytes() && rest.is_empty()
}

/// Pushes the bytes in pieces; says whether the checker took them for the pack.
fn checked(id: PackId, bytes: &[u8], mut piece: impl FnMut() -> usize) -> bool {
    let mut checker = PackChecker::new(id);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        if checker.push(now).is_err() {
            return false;
        }
        rest = later;
    }
    checker.finish().is_ok()
}

fn check_pack(u: &mut Unstructured<'_>) -> Result<()> {
    let sizes: [u16; 6] = u.arbitrary()?;
    let edits: [(u16, u8); 2] = u.arbitrary()?;
    let (cut, renamed): (u16, bool) = u.arbitrary()?;
    let structured: bool = u.arbitrary()?;
    let mut bytes = if structured { whole_pack(u)? } else { u.bytes(u.len())?.to_vec() };
    let name = |bytes: &[u8]| {
        let length = PackTable::head_length(bytes).unwrap_or(0).min(bytes.len());
        PackTable::id_of_head(&bytes[..length])
    };
    let mut id = name(&bytes);
    for (at, flip) in edits {
        let at = usize::from(at) % bytes.len().max(1);
        bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= flip);
    }
    // The last bytes, or some that follow.
    match cut {
        0..=0x7fff => bytes.truncate(bytes.len().saturating_sub(usize::from(cut & 0xf))),
        _ => bytes.extend(std::iter::repeat_n(0, usize::from(cut & 0xf))),
    }
    if renamed {
        id = name(&bytes);
    }
    let mut turn = sizes.iter().map(|size| usize::from(*size)).cycle();
    let expected = is_pack(&id, &bytes);
    let in_pieces = checked(id, &bytes, || turn.next().unwrap_or(1));
    assert_eq!(in_pieces, expected, "the checker's word is not that of the hashes");
    assert_eq!(checked(id, &bytes, || bytes.len()), expected, "pieces change the answer");
    Ok(())
}

pub(crate) fn pack_checker(data: &[u8]) {
    structured::check(data, check_pack);
}

/// A number of frames, then a map; its hash is made right, for the fuzzer cannot.
pub(crate) fn presence(data: &[u8]) {
    let pack = PackId::from_bytes([6; 32]);
    let Some((frames, map)) = data.split_first_chunk::<2>() else { return };
    let frames = u32::from(u16::from_le_bytes(*frames));
    assert!(
        decode_presence(&pack, frames, map)
            .is_none_or(|there| encode_presence(&pack, &there) == map)
    );
    let hashed = [map, &object_id(map)[..]].concat();
    if let Some(present) = decode_presence(&pack, frames, &hashed) {
        assert_eq!(present.bits(), frames);
        assert_eq!(encode_presence(&pack, &present), hashed, "what was read is not canonical");
        assert!(decode_presence(&PackId::ZERO, frames, &hashed).is_none(), "another pack's map");
    }
}

/// Frames in any order, each perhaps several times: the list and its segments name exactly these.
fn build_usage(u: &mut Unstructured<'_>) -> Result<()> {
    let (repository, domain) = (RepositoryId::from_bytes([1; 32]), DomainId::from_bytes([2; 16]));
    let mut builder = UsageBuilder::new(repository, domain);
    let mut model: BTreeMap<PackId, BTreeSet<u32>> = BTreeMap::new();
    while !u.is_empty() {
        let mut pack = [0; 32];
        // The first two bytes decide where segments end.
        (pack[0], pack[1]) = (u.arbitrary()?, u.arbitrary()?);
        let frames = 1 + u32::from(pack[0]) % 40;
        let frame = u.int_in_range(0..=frames - 1)?;
        let pack = PackId::from_bytes(pack);
        builder.add(pack, frames, frame, 1 + frame);
        model.entry(pack).or_default().insert(frame);
    }
    let built = builder.build();
    let (list, id) = decode::<UsageList>(&built.usage).expect("a list that was built is one");
    assert_eq!(id, built.usage_id);
    assert_eq!(list.segments.len(), built.segments.len());
    let mut found: BTreeMap<PackId, BTreeSet<u32>> = BTreeMap::new();
    for (named, (id, bytes)) in list.segments.iter().zip(&built.segments) {
        let (segment, found_id) =
            decode::<Segment>(bytes).expect("a segment that was built is one");
        assert_eq!((found_id, named.segment), (*id, *id));
        assert_eq!(named.packs as usize, segment.packs.len());
        let mut stored_bytes = 0;
        for pack in &segment.packs {
            let frames: BTreeSet<u32> = pack.used.iter_ones().collect();
            stored_bytes += frames.iter().map(|frame| u64::from(1 + frame)).sum::<u64>();
            assert!(found.insert(pack.pack, frames).is_none(), "a pack stands in two segments");
        }
        assert_eq!(named.stored_bytes, stored_bytes);
    }
    assert_eq!(found, model);
    Ok(())
}

pub(crate) fn usage_builder(data: &[u8]) {
    structured::check(data, build_usage);
}
