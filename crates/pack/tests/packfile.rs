//! The head of a pack: limits to the byte, codes as `docs/format.md` §8 has them, offsets, and frames that are checked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lumbung_model::{ChunkId, DomainId, FrameHash, RepositoryId, SessionId};
use lumbung_pack::limits::{CHUNK_MAX, FRAME_ENTRY_BYTES, FRAME_TAG_BYTES, PACK_FIXED_BYTES};
use lumbung_pack::{Content, Encoding, FormatError, FrameEntry, PackHeader, PackTable, object_id};

fn header(content: Content) -> PackHeader {
    PackHeader {
        repository: RepositoryId::from_bytes([1; 32]),
        domain: DomainId::from_bytes([2; 16]),
        session: SessionId::from_bytes([3; 32]),
        salt: [4; 32],
        commitment: [5; 32],
        content,
    }
}

/// A frame whose stored bytes are so many of its number.
fn frame(number: u8, encoding: Encoding, plain: usize, stored: usize) -> FrameEntry {
    FrameEntry {
        chunk: ChunkId::from_bytes([number; 32]),
        stored_hash: FrameHash::from_bytes(object_id(&vec![number; stored])),
        plain_length: u32::try_from(plain).unwrap(),
        stored_length: u32::try_from(stored).unwrap(),
        encoding,
    }
}

fn table(content: Content) -> PackTable {
    let frames =
        vec![frame(1, Encoding::Raw, 84, 84 + FRAME_TAG_BYTES), frame(2, Encoding::Zstd, 500, 60)];
    PackTable::new(header(content), frames).unwrap()
}

#[test]
fn codes_are_the_formats_and_come_back() {
    assert_eq!([Content::Data, Content::Catalogue].map(Content::code), [1, 2]);
    assert_eq!([Encoding::Raw, Encoding::Zstd].map(Encoding::code), [0, 1]);
    for content in [Content::Data, Content::Catalogue] {
        let table = table(content);
        assert_eq!(PackTable::decode(&table.encode()).unwrap(), table);
    }
}

#[test]
fn offsets_follow_from_the_lengths() {
    let table = table(Content::Data);
    let head = (PACK_FIXED_BYTES + 2 * FRAME_ENTRY_BYTES) as u64;
    assert_eq!(table.head_bytes(), head);
    assert_eq!(table.head_bytes(), table.encode().len() as u64);
    assert_eq!(table.frame_range(0), head..head + 100);
    assert_eq!(table.frame_range(1), head + 100..head + 160);
    assert_eq!(table.total_length(), head + 160);
}

#[test]
fn a_frame_is_as_long_as_it_may_be_and_no_byte_longer() {
    let fits = |encoding, plain, stored| {
        PackTable::new(header(Content::Data), vec![frame(1, encoding, plain, stored)]).is_ok()
    };
    let largest = CHUNK_MAX + FRAME_TAG_BYTES;
    assert!(fits(Encoding::Raw, CHUNK_MAX, largest) && fits(Encoding::Zstd, CHUNK_MAX, largest));
    assert!(!fits(Encoding::Zstd, CHUNK_MAX + 1, largest));
    assert!(!fits(Encoding::Zstd, CHUNK_MAX, largest + 1));
    assert!(!fits(Encoding::Raw, CHUNK_MAX, largest - 1));
    assert!(fits(Encoding::Zstd, 1, FRAME_TAG_BYTES + 1));
    assert!(!fits(Encoding::Zstd, 1, FRAME_TAG_BYTES) && !fits(Encoding::Zstd, 0, 1));
}

#[test]
fn what_is_refused_says_how_far_off_it_is() {
    let longer = vec![frame(1, Encoding::Zstd, 10, 10 + FRAME_TAG_BYTES + 1)];
    let Err(FormatError::Limit { found, limit, .. }) =
        PackTable::new(header(Content::Data), longer)
    else {
        panic!("it was taken")
    };
    assert_eq!((found, limit), (27, 26));
    let head = table(Content::Data).encode();
    let Err(FormatError::Truncated { needed }) = PackTable::decode(&head[..head.len() - 7]) else {
        panic!("it was read")
    };
    assert_eq!(needed, 7);
}

#[test]
fn a_frame_is_right_only_whole_and_unchanged() {
    let table = table(Content::Data);
    let right = vec![2; 60];
    assert_eq!(table.verify_frame(1, &right), Ok(()));
    let mut changed = right.clone();
    changed[59] ^= 1;
    for wrong in [&changed[..], &right[..59], &[]] {
        assert_eq!(table.verify_frame(1, wrong), Err(FormatError::Frame(1)));
    }
    assert_eq!(table.verify_frame(2, &right), Err(FormatError::Frame(2)));
    // The hash of these bytes with another length than the table says.
    let mut frames = table.frames.clone();
    frames[1].stored_length = 61;
    let lies = PackTable::new(header(Content::Data), frames).unwrap();
    assert_eq!(lies.verify_frame(1, &right), Err(FormatError::Frame(1)));
}
