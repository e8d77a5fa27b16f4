//! How far a large file was read by a run that did not finish: its chunks so far, appended as they are
//! named. One file for each large file under way, named by the hash of its path, removed when it is done.
//!
//! A header binds the file's identity, size and times and the start of the scan; then records of chunk id,
//! length and four bytes of their hash. Reading stops at the first record that is not whole.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use lumbung_model::ChunkId;
use lumbung_pack::codec::{Reader, Writer};
use lumbung_store::durable::GrownFile;

use super::cache::GRANULARITY_S;
use super::{CacheHeader, FILE_MODE, StateError, remove};
use crate::source::Stat;

const PREFIX: &str = "partial.";
const RECORD_BYTES: usize = 32 + 4 + 4;
const HASH_BYTES: usize = 16;

/// The chunks of a large file under way.
pub(crate) struct PartialFile {
    path: PathBuf,
    file: GrownFile,
}

fn path_of(dataset: &Path, path: &[u8]) -> PathBuf {
    dataset.join(format!("{PREFIX}{}", &blake3::hash(path).to_hex()[..32]))
}

fn encode_header(header: CacheHeader, stat: &Stat, scan_start_s: i64) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(header.repository.as_bytes()).raw(header.domain.as_bytes());
    writer.u64(stat.dev).u64(stat.ino).u64(stat.size);
    writer.i64(stat.mtime_s).u32(stat.mtime_ns).i64(stat.ctime_s).u32(stat.ctime_ns);
    let identity = *blake3::hash(writer.as_bytes()).as_bytes();
    let mut writer = Writer::new();
    writer.raw(&identity[..HASH_BYTES]).i64(scan_start_s);
    writer.into_bytes()
}

fn record(chunk: &ChunkId, length: u32) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    bytes[..32].copy_from_slice(chunk.as_bytes());
    bytes[32..36].copy_from_slice(&length.to_le_bytes());
    let check = blake3::hash(&bytes[..36]);
    bytes[36..].copy_from_slice(&check.as_bytes()[..4]);
    bytes
}

impl PartialFile {
    /// Begins to note a file.
    pub(crate) fn create(
        dataset: &Path,
        path: &[u8],
        header: CacheHeader,
        stat: &Stat,
        scan_start_s: i64,
    ) -> Result<Self, StateError> {
        let path = path_of(dataset, path);
        let failed = |e| StateError::unwritten(&path, e);
        let mut file = GrownFile::create(&path, FILE_MODE).map_err(failed)?;
        file.append(&encode_header(header, stat, scan_start_s)).map_err(failed)?;
        Ok(Self { path, file })
    }

    /// Notes further chunks.
    pub(crate) fn append(&mut self, chunks: &[(ChunkId, u32)]) -> Result<(), StateError> {
        let bytes: Vec<u8> =
            chunks.iter().flat_map(|(chunk, length)| record(chunk, *length)).collect();
        self.file.append(&bytes).map_err(|e| StateError::unwritten(&self.path, e))
    }

    /// The file is done, or will be read from its beginning.
    pub(crate) fn remove(self) -> Result<(), StateError> {
        remove(&self.path)
    }

    /// What an earlier run had of this file, if it is surely unchanged since.
    pub(crate) fn load(
        dataset: &Path,
        path: &[u8],
        header: CacheHeader,
        stat: &Stat,
    ) -> Vec<(ChunkId, u32)> {
        let Ok(mut file) = File::open(path_of(dataset, path)) else { return Vec::new() };
        let mut start = [0; HASH_BYTES + 8];
        if file.read_exact(&mut start).is_err() {
            return Vec::new();
        }
        let scan_start_s = Reader::new(&start[HASH_BYTES..]).i64().unwrap_or(i64::MIN);
        let racy_from = scan_start_s.saturating_sub(GRANULARITY_S);
        let racy = stat.mtime_s >= racy_from || stat.ctime_s >= racy_from;
        if racy || start[..] != encode_header(header, stat, scan_start_s) {
            return Vec::new();
        }
        let mut bytes = Vec::new();
        let _ = file.read_to_end(&mut bytes);
        let mut chunks = Vec::new();
        for found in bytes.chunks_exact(RECORD_BYTES) {
            let mut reader = Reader::new(found);
            let (Ok(chunk), Ok(length)) = (reader.array(), reader.u32()) else { break };
            let chunk = ChunkId::from_bytes(chunk);
            if found != record(&chunk, length) || length == 0 {
                break;
            }
            chunks.push((chunk, length));
        }
        chunks
    }

    /// Removes all notes: the run finished.
    pub(crate) fn remove_all(dataset: &Path) -> Result<(), StateError> {
        let failed = |e: std::io::Error| StateError::io("read", dataset, e);
        for entry in std::fs::read_dir(dataset).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }
}
