//! The cache of unchanged files: what the last run knew of each file, in path order.
//!
//! A header with the time at which that scan began, then blocks: `u32` compressed length ‖ `u32` plain
//! length ‖ first 16 bytes of the BLAKE3 of the compressed bytes ‖ zstd. A run appends as it goes, so what
//! an interrupted run left is a valid beginning; reading stops at the first block that is not whole.
//! Merged with the walk as both go along: memory does not depend on the number of files.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};

use lumbung_model::{ChunkId, DomainId, RepositoryId};
use lumbung_pack::FormatError;
use lumbung_pack::codec::{Reader, Writer};
use lumbung_seal::catalogue::{ContentRef, Extent, path_cmp};
use lumbung_store::durable::GrownFile;
use zstd::bulk::{Compressor, Decompressor};

use super::{FILE_MODE, StateError};
use crate::source::{FileKind, Stat};

const MAGIC: &[u8; 8] = b"LMBGCAC1";
/// Two timestamps within this many seconds may hide a change between them.
pub(super) const GRANULARITY_S: i64 = 2;
const BLOCK_BYTES: usize = 64 << 10;
/// A single file's content list can be long.
const BLOCK_MAX_BYTES: usize = 320 << 20;
const HASH_BYTES: usize = 16;

/// A regular file as the last run saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CachedFile {
    pub(crate) stat: Stat,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) sparse: Option<Vec<Extent>>,
    pub(crate) content: Vec<ContentRef>,
}

/// What a cache belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CacheHeader {
    pub(crate) repository: RepositoryId,
    pub(crate) domain: DomainId,
}

/// Writes a cache.
pub(crate) struct CacheWriter {
    path: PathBuf,
    file: GrownFile,
    scan_start_s: i64,
    block: Vec<u8>,
    last_path: Vec<u8>,
    last_content: Option<(ChunkId, u32)>,
    compressor: Compressor<'static>,
}

impl CacheWriter {
    /// Begins a cache. The scan begins now, by the clock of the file system that keeps it.
    pub(crate) fn create(path: &Path, header: CacheHeader) -> Result<Self, StateError> {
        let failed = |e| StateError::unwritten(path, e);
        let mut file = GrownFile::create(path, FILE_MODE).map_err(failed)?;
        file.append(MAGIC).map_err(failed)?;
        let now = rustix::fs::fstat(file.file()).map_err(|e| StateError::io("read", path, e))?;
        let now = Stat::from(&now);
        let mut writer = Writer::new();
        writer.raw(header.repository.as_bytes()).raw(header.domain.as_bytes()).i64(now.mtime_s);
        file.append(writer.as_bytes()).map_err(failed)?;
        let compressor = Compressor::new(1).map_err(|e| StateError::io("written", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            scan_start_s: now.mtime_s,
            block: Vec::with_capacity(BLOCK_BYTES * 2),
            last_path: Vec::new(),
            last_content: None,
            compressor,
        })
    }

    /// When the scan began.
    pub(crate) const fn scan_start_s(&self) -> i64 {
        self.scan_start_s
    }

    /// Adds the next file.
    pub(crate) fn push(&mut self, path: &[u8], file: &CachedFile) -> Result<(), StateError> {
        let shared = self.last_path.iter().zip(path).take_while(|(a, b)| a == b).count();
        let mut body = Writer::new();
        encode_body(&mut body, file, &mut self.last_content);
        let mut head = Writer::new();
        head.varint(shared as u64).varint((path.len() - shared) as u64).raw(&path[shared..]);
        head.varint(body.as_bytes().len() as u64);
        self.block.extend_from_slice(head.as_bytes());
        self.block.extend_from_slice(body.as_bytes());
        self.last_path.clear();
        self.last_path.extend_from_slice(path);
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands what there is to the operating system: a run that is killed now leaves it behind.
    pub(crate) fn flush(&mut self) -> Result<(), StateError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let failed = |e: std::io::Error| StateError::io("written", &self.path, e);
        let packed = self.compressor.compress(&self.block).map_err(failed)?;
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
        let mut head = Vec::with_capacity(8 + HASH_BYTES);
        head.extend_from_slice(&length(packed.len()));
        head.extend_from_slice(&length(self.block.len()));
        head.extend_from_slice(&blake3::hash(&packed).as_bytes()[..HASH_BYTES]);
        let written = self.file.append(&head).and_then(|()| self.file.append(&packed));
        written.map_err(|e| StateError::unwritten(&self.path, e))?;
        self.block.clear();
        self.last_path.clear();
        self.last_content = None;
        Ok(())
    }

    /// Writes the last block.
    pub(crate) fn finish(mut self) -> Result<(), StateError> {
        self.flush()
    }
}

/// Reads a cache along with a walk.
pub(crate) struct CacheReader {
    input: BufReader<File>,
    scan_start_s: i64,
    block: Vec<u8>,
    position: usize,
    path: Vec<u8>,
    /// Where the body of the record whose path is `path` stands in the block.
    body: Option<std::ops::Range<usize>>,
    last_content: Option<(ChunkId, u32)>,
    decompressor: Decompressor<'static>,
    done: bool,
}

impl CacheReader {
    /// Opens a cache; none if there is none, or it belongs to something else.
    pub(crate) fn open(path: &Path, header: CacheHeader) -> Option<Self> {
        let mut input = BufReader::with_capacity(64 << 10, File::open(path).ok()?);
        let mut start = [0; 8 + 32 + 16 + 8];
        input.read_exact(&mut start).ok()?;
        let mut reader = Reader::new(start.strip_prefix(MAGIC)?);
        let found = CacheHeader {
            repository: RepositoryId::from_bytes(reader.array().ok()?),
            domain: DomainId::from_bytes(reader.array().ok()?),
        };
        let scan_start_s = reader.i64().ok()?;
        (found == header).then_some(())?;
        Some(Self {
            input,
            scan_start_s,
            block: Vec::new(),
            position: 0,
            path: Vec::new(),
            body: None,
            last_content: None,
            decompressor: Decompressor::new().ok()?,
            done: false,
        })
    }

    /// What is known of `path`. Paths must be asked for in path order.
    pub(crate) fn find(&mut self, path: &[u8]) -> Option<CachedFile> {
        self.find_past(path, |_, _| {})
    }

    /// As [`Self::find`]; tells of each file that stands before `path` and was not asked for.
    pub(crate) fn find_past(
        &mut self,
        path: &[u8],
        mut past: impl FnMut(&[u8], &CachedFile),
    ) -> Option<CachedFile> {
        loop {
            if self.body.is_none() && !self.advance() {
                return None;
            }
            match path_cmp(&self.path, path) {
                Ordering::Greater => return None,
                Ordering::Less => {
                    if let Some(file) = self.take_body() {
                        past(&self.path, &file);
                    }
                }
                Ordering::Equal => return self.take_body(),
            }
        }
    }

    /// Tells of each file that is left.
    pub(crate) fn rest(&mut self, mut past: impl FnMut(&[u8], &CachedFile)) {
        while self.body.is_some() || self.advance() {
            if let Some(file) = self.take_body() {
                past(&self.path, &file);
            }
        }
    }

    /// Whether a file that looks unchanged may have changed after it was read: its times are not
    /// safely older than the scan.
    pub(crate) fn is_racy(&self, stat: &Stat) -> bool {
        let limit = self.scan_start_s.saturating_sub(GRANULARITY_S);
        stat.mtime_s >= limit || stat.ctime_s >= limit
    }

    fn take_body(&mut self) -> Option<CachedFile> {
        let range = self.body.take()?;
        match decode_body(&self.block[range], &mut self.last_content) {
            Ok(file) => Some(file),
            Err(_) => {
                self.done = true;
                self.block.clear();
                self.position = 0;
                None
            }
        }
    }

    /// Moves to the next record; false at the end.
    fn advance(&mut self) -> bool {
        if self.position == self.block.len() && !self.next_block() {
            return false;
        }
        let ok = self.read_head().is_ok();
        if !ok {
            self.done = true;
            self.block.clear();
            self.position = 0;
        }
        ok
    }

    fn read_head(&mut self) -> Result<(), FormatError> {
        let rest = &self.block[self.position..];
        let mut reader = Reader::new(rest);
        let to_length = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let shared = to_length(reader.varint()?).min(self.path.len());
        let added = to_length(reader.varint()?);
        let added = reader.take(added)?;
        let length = to_length(reader.varint()?);
        let start = self.block.len() - reader.remaining();
        reader.take(length)?;
        self.path.truncate(shared);
        self.path.extend_from_slice(added);
        self.body = Some(start..start + length);
        self.position = start + length;
        Ok(())
    }

    fn next_block(&mut self) -> bool {
        if self.done {
            return false;
        }
        let whole = self.read_block().is_some();
        if !whole {
            self.done = true;
            self.block.clear();
        }
        self.position = 0;
        self.path.clear();
        self.last_content = None;
        whole
    }

    fn read_block(&mut self) -> Option<()> {
        let mut head = [0; 8 + HASH_BYTES];
        self.input.read_exact(&mut head).ok()?;
        let mut reader = Reader::new(&head);
        let (packed, plain) = (reader.u32().ok()? as usize, reader.u32().ok()? as usize);
        let hash: [u8; HASH_BYTES] = reader.array().ok()?;
        if packed > BLOCK_MAX_BYTES || plain > BLOCK_MAX_BYTES {
            return None;
        }
        let mut bytes = vec![0; packed];
        self.input.read_exact(&mut bytes).ok()?;
        if blake3::hash(&bytes).as_bytes()[..HASH_BYTES] != hash {
            return None;
        }
        self.block.clear();
        self.block.reserve(plain);
        let length = self.decompressor.decompress_to_buffer(&bytes, &mut self.block).ok()?;
        (length == plain && plain > 0).then_some(())
    }
}

fn encode_body(out: &mut Writer, file: &CachedFile, last: &mut Option<(ChunkId, u32)>) {
    let stat = &file.stat;
    out.varint(stat.dev).varint(stat.ino).varint(u64::from(stat.mode)).varint(stat.size);
    out.varint(u64::from(stat.uid)).varint(u64::from(stat.gid));
    out.svarint(stat.mtime_s).varint(u64::from(stat.mtime_ns));
    out.svarint(stat.ctime_s).varint(u64::from(stat.ctime_ns));
    out.varint(file.xattrs.len() as u64);
    for (name, value) in &file.xattrs {
        out.varint(name.len() as u64).raw(name).varint(value.len() as u64).raw(value);
    }
    out.varint(file.sparse.as_ref().map_or(0, |extents| extents.len() as u64 + 1));
    for extent in file.sparse.iter().flatten() {
        out.varint(extent.offset).varint(extent.length);
    }
    out.varint(file.content.len() as u64);
    for part in &file.content {
        match last {
            Some((chunk, end)) if *chunk == part.chunk && *end == part.offset => out.varint(0),
            Some((chunk, _)) if *chunk == part.chunk => {
                out.varint(1).varint(u64::from(part.offset))
            }
            _ => out.varint(2).raw(part.chunk.as_bytes()).varint(u64::from(part.offset)),
        };
        out.varint(u64::from(part.length));
        *last = Some((part.chunk, part.offset.wrapping_add(part.length)));
    }
}

fn decode_body(bytes: &[u8], last: &mut Option<(ChunkId, u32)>) -> Result<CachedFile, FormatError> {
    let wrong = || FormatError::Field { field: "a cache record", reason: "it is not valid" };
    let small = |n: u64| u32::try_from(n).map_err(|_| wrong());
    let mut reader = Reader::new(bytes);
    let (dev, ino) = (reader.varint()?, reader.varint()?);
    let (mode, size) = (small(reader.varint()?)?, reader.varint()?);
    let (uid, gid) = (small(reader.varint()?)?, small(reader.varint()?)?);
    let (mtime_s, mtime_ns) = (reader.svarint()?, small(reader.varint()?)?);
    let (ctime_s, ctime_ns) = (reader.svarint()?, small(reader.varint()?)?);
    let kind = FileKind::File;
    let stat = Stat {
        kind,
        dev,
        ino,
        mode,
        nlink: 1,
        uid,
        gid,
        rdev: 0,
        size,
        allocated: size,
        mtime_s,
        mtime_ns,
        ctime_s,
        ctime_ns,
    };
    let take = |reader: &mut Reader<'_>| -> Result<Vec<u8>, FormatError> {
        let length = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        Ok(reader.take(length)?.to_vec())
    };
    let mut xattrs = Vec::new();
    for _ in 0..reader.varint()? {
        xattrs.push((take(&mut reader)?, take(&mut reader)?));
    }
    let sparse = match reader.varint()? {
        0 => None,
        count => {
            let mut extents = Vec::new();
            for _ in 1..count {
                extents.push(Extent { offset: reader.varint()?, length: reader.varint()? });
            }
            Some(extents)
        }
    };
    let mut content = Vec::new();
    for _ in 0..reader.varint()? {
        let (chunk, offset) = match (reader.varint()?, *last) {
            (0, Some(at)) => at,
            (1, Some((chunk, _))) => (chunk, small(reader.varint()?)?),
            (2, _) => (ChunkId::from_bytes(reader.array()?), small(reader.varint()?)?),
            _ => return Err(wrong()),
        };
        let length = small(reader.varint()?)?;
        content.push(ContentRef { chunk, offset, length });
        *last = Some((chunk, offset.wrapping_add(length)));
    }
    reader.finish()?;
    Ok(CachedFile { stat, xattrs, sparse, content })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: CacheHeader = CacheHeader {
        repository: RepositoryId::from_bytes([1; 32]),
        domain: DomainId::from_bytes([2; 16]),
    };

    fn file(n: u64) -> CachedFile {
        let chunk = ChunkId::from_bytes([u8::try_from(n / 10).unwrap_or(0); 32]);
        let stat = Stat {
            kind: FileKind::File,
            dev: 1,
            ino: n,
            mode: 0o644,
            nlink: 1,
            uid: 0,
            gid: 5,
            rdev: 0,
            size: 7,
            allocated: 7,
            mtime_s: -3,
            mtime_ns: 9,
            ctime_s: 12,
            ctime_ns: 1,
        };
        let sparse = n.is_multiple_of(3).then(|| vec![Extent { offset: 4, length: 3 }]);
        let offset = u32::try_from(n % 10).unwrap_or(0) * 7;
        CachedFile {
            stat,
            xattrs: vec![(b"user.a".to_vec(), vec![0, 1])],
            sparse,
            content: vec![ContentRef { chunk, offset, length: 7 }],
        }
    }

    fn path(n: u64) -> Vec<u8> {
        format!("dir/{n:05}").into_bytes()
    }

    #[test]
    fn files_are_found_in_path_order_and_a_torn_end_loses_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("cache");
        let mut writer = CacheWriter::create(&name, HEADER).unwrap();
        for n in 0..3000 {
            writer.push(&path(n), &file(n)).unwrap();
            if n % 500 == 499 {
                writer.flush().unwrap();
            }
        }
        writer.finish().unwrap();
        let mut reader = CacheReader::open(&name, HEADER).unwrap();
        for n in (0..3000).step_by(7) {
            assert_eq!(reader.find(&path(n)), Some(file(n)));
            assert_eq!(reader.find(&[&path(n)[..], b"x"].concat()), None);
        }
        let length = std::fs::metadata(&name).unwrap().len();
        File::options().write(true).open(&name).unwrap().set_len(length - 1).unwrap();
        let mut reader = CacheReader::open(&name, HEADER).unwrap();
        assert_eq!(reader.find(&path(2000)), Some(file(2000)));
        assert_eq!(reader.find(&path(2999)), None);
        let other = CacheHeader { domain: DomainId::from_bytes([9; 16]), ..HEADER };
        assert!(CacheReader::open(&name, other).is_none());
    }

    #[test]
    fn times_close_to_the_scan_are_not_trusted() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("cache");
        CacheWriter::create(&name, HEADER).unwrap().finish().unwrap();
        let reader = CacheReader::open(&name, HEADER).unwrap();
        let now = reader.scan_start_s;
        let at = |mtime_s, ctime_s| Stat { mtime_s, ctime_s, ..file(0).stat };
        assert!(!reader.is_racy(&at(now - 3, now - 3)));
        assert!(reader.is_racy(&at(now - 3, now - 2)));
        assert!(reader.is_racy(&at(now - 2, now - 3)));
        assert!(reader.is_racy(&at(now + 100, now - 3)));
    }
}
