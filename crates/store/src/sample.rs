//! Packs for tests: whole and sound, with frames that nobody sealed.

use lumbung_model::{ChunkId, DomainId, FrameHash, RepositoryId, SessionId};
use lumbung_pack::{Content, Encoding, FrameEntry, PackHeader, PackTable, object_id};

/// Bytes that sealing adds to a chunk.
const SEALED: usize = 16;

/// A pack of chunks of these lengths: its table, and all of its bytes. Frame `n` repeats `word(n)`, which is its chunk's
/// id too; `salt` tells packs apart that are otherwise the same.
///
/// # Panics
/// If these are no lengths of chunks.
#[must_use]
pub fn pack(
    salt: [u8; 32],
    lengths: &[usize],
    word: impl Fn(usize) -> [u8; 32],
) -> (PackTable, Vec<u8>) {
    let mut body = Vec::new();
    let mut frames = Vec::new();
    for (n, length) in lengths.iter().enumerate() {
        let word = word(n);
        let stored: Vec<u8> = word.iter().copied().cycle().take(length + SEALED).collect();
        frames.push(FrameEntry {
            chunk: ChunkId::from_bytes(word),
            stored_hash: FrameHash::from_bytes(object_id(&stored)),
            plain_length: u32::try_from(*length).expect("a chunk's length"),
            stored_length: u32::try_from(stored.len()).expect("a frame's length"),
            encoding: Encoding::Raw,
        });
        body.extend(stored);
    }
    let header = PackHeader {
        repository: RepositoryId::from_bytes([1; 32]),
        domain: DomainId::from_bytes([2; 16]),
        session: SessionId::from_bytes([3; 32]),
        salt,
        commitment: [4; 32],
        content: Content::Data,
    };
    let table = PackTable::new(header, frames).expect("frames that a pack may have");
    let mut bytes = table.encode();
    bytes.extend(body);
    (table, bytes)
}
