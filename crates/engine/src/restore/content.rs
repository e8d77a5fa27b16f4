//! Writes the content of files, holes left out; a huge file by several threads at once.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, Extent};
use rustix::io::Errno;

use super::attributes::Setter;
use super::beneath::Target;
use super::outcome::{Findings, told};
use crate::Progress;
use crate::snapshot::{ChunkCache, piece};
use lumbung_model::with_causes;

/// A file of more bytes is written in pieces.
pub(super) const LARGE_BYTES: u64 = 32 << 20;
/// About how many bytes a piece has.
const PIECE_BYTES: u64 = 8 << 20;

/// A file that several threads write.
pub(super) struct LargeFile {
    file: OwnedFd,
    /// Without its content.
    entry: Entry,
    layout: Layout,
    left: AtomicUsize,
    failure: Mutex<Option<String>>,
}

/// Some content references, and where the first of them begins in the content.
pub(super) struct Piece {
    pub(super) file: std::sync::Arc<LargeFile>,
    start: u64,
    parts: Vec<ContentRef>,
}

/// Where content lies in the file.
pub(crate) struct Layout {
    /// Start in the content, start in the file, length; ascending.
    pub(crate) stretches: Vec<(u64, u64, u64)>,
    size: u64,
    sparse: bool,
}

impl Layout {
    pub(crate) fn new(size: u64, sparse: Option<&[Extent]>) -> Self {
        let Some(extents) = sparse else {
            return Self { stretches: vec![(0, 0, size)], size, sparse: false };
        };
        let mut start = 0;
        let mut stretches = Vec::with_capacity(extents.len());
        for extent in extents {
            stretches.push((start, extent.offset, extent.length));
            start += extent.length;
        }
        Self { stretches, size, sparse: true }
    }

    /// Where byte `position` of the content stands in the file, and how many follow it there.
    pub(crate) fn locate(&self, position: u64) -> Option<(u64, u64)> {
        let next = self.stretches.partition_point(|(start, _, _)| *start <= position);
        let (start, offset, length) = self.stretches.get(next.checked_sub(1)?)?;
        let within = position - start;
        (within < *length).then(|| (offset + within, length - within))
    }

    fn prepare(&self, file: impl AsFd) -> Result<(), Errno> {
        if self.sparse { rustix::fs::ftruncate(file, self.size) } else { Ok(()) }
    }
}

/// What a writer needs.
pub(super) struct Content<'a> {
    pub(super) target: &'a Target,
    pub(super) chunks: &'a ChunkCache<'a>,
    pub(super) setter: &'a Setter<'a>,
    pub(super) findings: &'a Findings,
    pub(super) progress: &'a dyn Progress,
}

impl Content<'_> {
    /// Writes a small file.
    pub(super) fn write(&self, parent: &OwnedFd, name: &[u8], entry: &Entry) {
        let EntryKind::File { size, sparse, content } = &entry.kind else { return };
        let file = match self.target.create(parent, name) {
            Ok(file) => file,
            Err(errno) => return self.findings.failed(&entry.path, told("cannot be made", errno)),
        };
        let layout = Layout::new(*size, sparse.as_deref());
        let written = layout
            .prepare(&file)
            .map_err(|errno| told("cannot be written", errno))
            .and_then(|()| self.write_parts(&file, &layout, 0, content));
        self.finish(&file, entry, *size, written.err());
    }

    fn finish(&self, file: &OwnedFd, entry: &Entry, size: u64, failure: Option<String>) {
        self.setter.set_open(file.as_fd(), entry);
        self.progress.files(1);
        match failure {
            None => self.findings.restored(size),
            Some(reason) => self.findings.failed(&entry.path, reason),
        }
    }

    fn write_parts(
        &self,
        file: &OwnedFd,
        layout: &Layout,
        start: u64,
        parts: &[ContentRef],
    ) -> Result<(), String> {
        let mut position = start;
        for part in parts {
            let chunk = self.chunks.get(&part.chunk).map_err(|e| with_causes(&e))?;
            let mut data = piece(&chunk, part).map_err(|e| with_causes(&e))?;
            while !data.is_empty() {
                let (offset, room) = layout
                    .locate(position)
                    .ok_or("its content does not fit its sparse map".to_owned())?;
                let length = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                write_all(file, &data[..length], offset)
                    .map_err(|errno| told("cannot be written", errno))?;
                self.progress.bytes(length as u64);
                position += length as u64;
                data = &data[length..];
            }
        }
        Ok(())
    }

    /// Makes a large file and divides the work on it.
    pub(super) fn divide(&self, parent: &OwnedFd, name: &[u8], mut entry: Entry) -> Vec<Piece> {
        let EntryKind::File { size, sparse, content } = &mut entry.kind else { return Vec::new() };
        let (size, content) = (*size, std::mem::take(content));
        let layout = Layout::new(size, sparse.as_deref());
        let made =
            self.target.create(parent, name).and_then(|file| layout.prepare(&file).map(|()| file));
        let file = match made {
            Ok(file) => file,
            Err(errno) => {
                self.findings.failed(&entry.path, told("cannot be made", errno));
                return Vec::new();
            }
        };
        let mut shares: Vec<(u64, Vec<ContentRef>)> = Vec::new();
        let (mut position, mut in_share) = (0, PIECE_BYTES);
        for part in content {
            if in_share >= PIECE_BYTES {
                shares.push((position, Vec::new()));
                in_share = 0;
            }
            if let Some((_, parts)) = shares.last_mut() {
                parts.push(part);
            }
            position += u64::from(part.length);
            in_share += u64::from(part.length);
        }
        let (left, failure) = (AtomicUsize::new(shares.len()), Mutex::default());
        let file = std::sync::Arc::new(LargeFile { file, entry, layout, left, failure });
        if shares.is_empty() {
            self.finish(&file.file, &file.entry, size, None);
        }
        shares
            .into_iter()
            .map(|(start, parts)| Piece { file: file.clone(), start, parts })
            .collect()
    }

    /// Writes a piece; whoever writes the last one sets the attributes.
    pub(super) fn write_piece(&self, work: &Piece) {
        let large = &work.file;
        if let Err(reason) = self.write_parts(&large.file, &large.layout, work.start, &work.parts) {
            large.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        }
        if large.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let failure = large.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
            self.finish(&large.file, &large.entry, large.layout.size, failure);
        }
    }
}

fn write_all(file: &OwnedFd, mut data: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::pwrite(file, data, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                data = &data[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
