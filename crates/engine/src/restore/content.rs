//! Writes the content of files, holes left out; a huge file by several threads at once.
//!
//! Invariant: a file gets its name once all of its content is written and its attributes are set. One whose
//! content cannot be read whole never gets it; what there is of a large one is kept beside its place.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, Extent};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::Setter;
use super::beneath::{Target, split};
use super::outcome::{Findings, told};
use super::rules::{Step, bytes_of};
use super::sweep::Remover;
use crate::Progress;
use crate::compare::{Mismatch, differs};
use crate::snapshot::{ChunkCache, piece};
use lumbung_model::with_causes;

/// A file of more bytes is written in pieces.
pub(super) const LARGE_BYTES: u64 = 32 << 20;
/// What stands behind the name of a large file whose content could not be read whole.
const PARTIAL_SUFFIX: &[u8] = b".lumbung-partial";
/// About how many bytes a piece has.
const PIECE_BYTES: u64 = 8 << 20;

/// A file that several threads write.
pub(super) struct LargeFile {
    file: OwnedFd,
    parent: std::sync::Arc<OwnedFd>,
    step: Step,
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
    pub(crate) size: u64,
    pub(crate) sparse: bool,
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
    pub(super) chunks: &'a ChunkCache,
    pub(super) setter: &'a Setter<'a>,
    pub(super) remover: &'a Remover<'a>,
    pub(super) findings: &'a Findings,
    pub(super) progress: &'a dyn Progress,
    /// Whether a folder that is in the way goes with all that lies in it.
    pub(super) delete: bool,
}

impl Content<'_> {
    /// Restores a file: whole, or after a look at what is there.
    pub(super) fn restore(&self, parent: &OwnedFd, entry: &Entry, step: Step) {
        if step != Step::Compare {
            return self.write(parent, entry, step);
        }
        match self.compare(parent, entry) {
            Ok(()) => {
                let step = self.setter.adjust(parent, split(&entry.path).1, entry);
                self.target.forget_unfinished(parent, split(&entry.path).1);
                self.progress.files(1);
                self.findings.done(step, 0);
            }
            Err(Mismatch::Different(_)) => self.write(parent, entry, Step::Replace),
            Err(Mismatch::Unknown(reason)) => self.findings.failed(&entry.path, reason),
        }
    }

    fn compare(&self, parent: &OwnedFd, entry: &Entry) -> Result<(), Mismatch> {
        let EntryKind::File { size, sparse, content } = &entry.kind else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let name = split(&entry.path).1;
        // What cannot be read is no file as in the snapshot.
        let file = rustix::fs::openat(parent, name, flags, Mode::empty())
            .map_err(|errno| Mismatch::Different(told("cannot be read", errno)))?;
        let layout = Layout::new(*size, sparse.as_deref());
        differs(&file, &layout, content, self.chunks, true, &|bytes| self.progress.bytes(bytes))
    }

    fn write(&self, parent: &OwnedFd, entry: &Entry, step: Step) {
        let EntryKind::File { size, sparse, content } = &entry.kind else { return };
        let unfinished = self.target.unfinished_name(split(&entry.path).1);
        let file = match self.target.create(parent, &unfinished) {
            Ok(file) => file,
            Err(errno) => return self.findings.failed(&entry.path, told("cannot be made", errno)),
        };
        let layout = Layout::new(*size, sparse.as_deref());
        let written = layout
            .prepare(&file)
            .map_err(|errno| told("cannot be written", errno))
            .and_then(|()| self.write_parts(&file, &layout, 0, content));
        self.finish(&file, parent, entry, step, written.err());
    }

    fn finish(
        &self,
        file: &OwnedFd,
        parent: &OwnedFd,
        entry: &Entry,
        step: Step,
        failure: Option<String>,
    ) {
        self.progress.files(1);
        let unfinished = self.target.unfinished_name(split(&entry.path).1);
        if let Some(reason) = failure {
            let kept = self.keep_partial(parent, entry, &unfinished);
            return self.findings.failed(&entry.path, format!("{reason}{kept}"));
        }
        self.setter.set_open(file.as_fd(), entry);
        match self.place(parent, &unfinished, &entry.path, step) {
            Ok(()) => self.findings.done(step, bytes_of(entry)),
            Err(reason) => self.findings.failed(&entry.path, reason),
        }
    }

    /// Gives something finished its name.
    pub(super) fn place(
        &self,
        parent: &OwnedFd,
        unfinished: &[u8],
        path: &[u8],
        step: Step,
    ) -> Result<(), String> {
        let (name, replace) = (split(path).1, step == Step::Replace);
        if replace && self.delete && is_directory(parent, name) {
            let removed = self.remover.remove_in(parent, name, path);
            self.findings.deleted(removed.entries);
            if removed.stays {
                return Err("what lies in the folder in its place stays".to_owned());
            }
        }
        match self.target.put_in_place(parent, unfinished, name, replace) {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) if !replace => {
                Err("something else took its place meanwhile: run the restore again".to_owned())
            }
            Err(errno) => Err(told("cannot take its place", errno)),
        }
    }

    /// Of a large file, what could be read is worth more than nothing; what is told of that.
    fn keep_partial(&self, parent: &OwnedFd, entry: &Entry, unfinished: &[u8]) -> &'static str {
        let partial = [split(&entry.path).1, PARTIAL_SUFFIX].concat();
        let is_large = bytes_of(entry) > LARGE_BYTES;
        if is_large && rustix::fs::renameat(parent, unfinished, parent, &partial[..]).is_ok() {
            return "; what could be read of it is beside it, in a file named .lumbung-partial";
        }
        let _ = rustix::fs::unlinkat(parent, unfinished, rustix::fs::AtFlags::empty());
        ""
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
    pub(super) fn divide(
        &self,
        parent: std::sync::Arc<OwnedFd>,
        mut entry: Entry,
        step: Step,
    ) -> Vec<Piece> {
        let unfinished = self.target.unfinished_name(split(&entry.path).1);
        let EntryKind::File { size, sparse, content } = &mut entry.kind else { return Vec::new() };
        let (size, content) = (*size, std::mem::take(content));
        let layout = Layout::new(size, sparse.as_deref());
        let made = self
            .target
            .create(&parent, &unfinished)
            .and_then(|file| layout.prepare(&file).map(|()| file));
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
        let file =
            std::sync::Arc::new(LargeFile { file, parent, step, entry, layout, left, failure });
        if shares.is_empty() {
            self.finish(&file.file, &file.parent, &file.entry, step, None);
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
            self.finish(&large.file, &large.parent, &large.entry, large.step, failure);
        }
    }
}

pub(super) fn is_directory(parent: &OwnedFd, name: &[u8]) -> bool {
    let found = rustix::fs::statat(parent, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    found.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
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
