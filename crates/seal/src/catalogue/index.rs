//! The catalogue's index: one line for each chunk, in order.

use std::cmp::Ordering;

use lumbung_model::ChunkId;
use lumbung_pack::codec::{Reader, Writer};
use lumbung_pack::limits::{CHUNK_MAX, ENTRY_MAX_BYTES, PATH_MAX_BYTES};

use super::path::{check_path, path_cmp};
use super::{CatalogueError, forbidden};

/// The shortest line: an empty path, a chunk id, a length, a number.
const LINE_MIN_BYTES: usize = 1 + 32 + 1 + 1;
/// The length before an entry.
const PREFIX_MAX_BYTES: usize = 10;

/// One chunk of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The path of its first entry.
    pub first_path: Vec<u8>,
    /// The chunk.
    pub chunk: ChunkId,
    /// Its plain length.
    pub length: u32,
    /// Entries that begin in it; 0 if it continues the entry of the chunk before.
    pub entries: u64,
}

/// The index's bytes. They are stored in chunks of at most `CHUNK_MAX`, which the root lists.
#[must_use]
pub fn encode_index(index: &[IndexEntry]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.varint(index.len() as u64);
    for line in index {
        writer
            .varint(line.first_path.len() as u64)
            .raw(&line.first_path)
            .raw(line.chunk.as_bytes());
        writer.varint(u64::from(line.length)).varint(line.entries);
    }
    writer.into_bytes()
}

/// Reads an index.
///
/// # Errors
/// Where the bytes are not canonical, a path is invalid or the lines do not ascend.
pub fn decode_index(bytes: &[u8]) -> Result<Vec<IndexEntry>, CatalogueError> {
    let mut reader = Reader::new(bytes);
    let count = reader.varint()?;
    if count > (reader.remaining() / LINE_MIN_BYTES) as u64 {
        return Err(forbidden(
            "the index's number of chunks",
            "it is more than the index has room for",
        ));
    }
    let mut index: Vec<IndexEntry> = Vec::new();
    for _ in 0..count {
        index.push(read_line(&mut reader)?);
    }
    reader.finish()?;
    check_lines(&index)?;
    Ok(index)
}

fn read_line(reader: &mut Reader<'_>) -> Result<IndexEntry, CatalogueError> {
    let path_length = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if path_length > PATH_MAX_BYTES {
        return Err(forbidden("a path in the index", "it is longer than 65,536 bytes"));
    }
    let first_path = reader.take(path_length)?.to_vec();
    check_path(&first_path)?;
    let chunk = ChunkId::from_bytes(reader.array()?);
    let length = u32::try_from(reader.varint()?).unwrap_or(0);
    if length == 0 || length as usize > CHUNK_MAX {
        return Err(CatalogueError::index(&first_path, "its chunk is empty or longer than 4 MiB"));
    }
    Ok(IndexEntry { first_path, chunk, length, entries: reader.varint()? })
}

fn check_lines(index: &[IndexEntry]) -> Result<(), CatalogueError> {
    if index.first().is_some_and(|line| line.entries == 0 || !line.first_path.is_empty()) {
        return Err(forbidden(
            "the index's first line",
            "it does not begin with the root directory",
        ));
    }
    for pair in index.windows(2) {
        let (before, line) = (&pair[0], &pair[1]);
        let order = path_cmp(&before.first_path, &line.first_path);
        let expected = if line.entries == 0 { Ordering::Equal } else { Ordering::Less };
        if order != expected {
            return Err(CatalogueError::index(
                &line.first_path,
                "it does not follow the line before it",
            ));
        }
    }
    for group in groups(index) {
        let bytes: u64 = group.iter().map(|line| u64::from(line.length)).sum();
        if group.len() > 1
            && (group[0].entries != 1 || bytes > (ENTRY_MAX_BYTES + PREFIX_MAX_BYTES) as u64)
        {
            let reason =
                "the entry that goes on in further chunks is not alone, or is longer than 256 MiB";
            return Err(CatalogueError::index(&group[0].first_path, reason));
        }
    }
    Ok(())
}

/// The groups of an index: each a chunk and those that continue its entry. The chunks of one group,
/// joined, are what [`super::CatalogueReader`] reads.
pub fn groups(index: &[IndexEntry]) -> impl Iterator<Item = &[IndexEntry]> {
    index.chunk_by(|_, next| next.entries == 0)
}
