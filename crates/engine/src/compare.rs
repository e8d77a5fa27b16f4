//! Compares a tree on disk with a snapshot: every attribute and every byte.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, path_cmp};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::restore::Layout;
use crate::snapshot::{
    ChunkCache, Entries, Include, SnapshotError, SnapshotReader, is_beneath, piece,
};
use crate::source::{
    FileKind, Sources, Stat, Visit, VisitKind, Walk, WalkOptions, attributes_of,
    attributes_of_link, extents_of, open_directory, read_link,
};
use crate::{Cancel, Excludes, Progress};
use lumbung_model::with_causes;

const KEPT: usize = 1000;
const READERS: usize = 2;
const CACHE_BYTES: usize = 24 << 20;
const HOLE_BUFFER_BYTES: usize = 64 << 10;

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The path, relative to `/`.
    pub path: Vec<u8>,
    /// What differs, with both values.
    pub what: String,
}

/// What was compared.
#[derive(Debug, Clone, Default)]
pub struct CompareReport {
    /// Entries compared.
    pub entries: u64,
    /// Bytes of content compared.
    pub bytes: u64,
    /// Entries not compared, as the snapshot flags them.
    pub flagged: u64,
    /// The first 1,000 differences.
    pub differences: Vec<Difference>,
    /// How many differences there are.
    pub differences_total: u64,
}

impl CompareReport {
    /// Whether everything is equal.
    #[must_use]
    pub const fn is_equal(&self) -> bool {
        self.differences_total == 0
    }
}

/// Compares what lies beneath `root` (a restore's target, or `/` for the live system) with a snapshot. Only
/// the snapshot's sources are looked at, and of the directories above them only themselves; not the root
/// directory, which the target stands for.
///
/// # Errors
/// If the snapshot or the root cannot be read.
pub fn compare(
    snapshot: &SnapshotReader,
    root: &Path,
    include: &Include,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<CompareReport, SnapshotError> {
    let findings = Findings::default();
    let chunks = ChunkCache::new(snapshot.frames(), None, CACHE_BYTES);
    let sources = Sources::of(&snapshot.root().sources);
    let excludes = Excludes::default();
    let walked = std::thread::scope(|scope| {
        let (work, files) = bounded(64);
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (files, reader) =
                    (files.clone(), Reader { chunks: &chunks, findings: &findings, progress });
                scope.spawn(move || reader.work(&files, cancel))
            })
            .collect();
        drop(files);
        let mut comparison = Comparison {
            entries: snapshot.entries(include),
            unreadable: HashSet::new(),
            next: None,
            include,
            findings: &findings,
            progress,
            cancel,
            work,
            live: root == Path::new("/"),
            sources: &sources.paths,
        };
        let walked = comparison.run(root, &sources, &excludes);
        drop(comparison);
        // Each of them: one that is not joined would take this thread with it.
        let lost = readers.into_iter().filter_map(|reader| reader.join().err()).count();
        let joined = lost == 0;
        walked.and(if joined { Ok(()) } else { Err(SnapshotError::Thread) })
    });
    walked.map(|()| findings.0.into_inner().unwrap_or_else(PoisonError::into_inner))
}

#[derive(Default)]
struct Findings(Mutex<CompareReport>);

impl Findings {
    fn update(&self, change: impl FnOnce(&mut CompareReport)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn differs(&self, path: &[u8], what: impl Into<String>) {
        self.update(|report| {
            report.differences_total += 1;
            if report.differences.len() < KEPT {
                report.differences.push(Difference { path: path.to_vec(), what: what.into() });
            }
        });
    }
}

struct Comparison<'a> {
    entries: Entries<'a>,
    /// Files that were unreadable when they were backed up; so are their further names.
    unreadable: HashSet<Vec<u8>>,
    /// The catalogue's entry that the walk has not come to yet.
    next: Option<Entry>,
    include: &'a Include,
    findings: &'a Findings,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    work: Sender<(Arc<OwnedFd>, Vec<u8>, Entry)>,
    /// On the live system, directories above the sources go on changing: they are not compared.
    live: bool,
    sources: &'a [Vec<u8>],
}

impl<'a> Comparison<'a> {
    fn run(
        &mut self,
        root: &Path,
        sources: &'a Sources,
        excludes: &'a Excludes,
    ) -> Result<(), SnapshotError> {
        self.next = self.entries.next()?;
        let opened = open_directory(root).map_err(|errno| SnapshotError::Root {
            path: root.display().to_string(),
            source: errno.into(),
        })?;
        let options = WalkOptions { excludes, one_file_system: false, skip: Vec::new() };
        Walk::new(options).run(opened, sources, &mut |visit| self.visit(&visit))?;
        while let Some(entry) = self.next.take() {
            self.missing(&entry);
            self.next = self.entries.next()?;
        }
        Ok(())
    }

    fn missing(&mut self, entry: &Entry) {
        if entry.path.is_empty() {
            return;
        }
        let link_to_unreadable = |first: &Vec<u8>| self.unreadable.contains(first);
        let also =
            matches!(&entry.kind, EntryKind::HardLink { first } if link_to_unreadable(first));
        if entry.unreadable.is_some() || also {
            self.unreadable.insert(entry.path.clone());
            self.findings.update(|report| report.flagged += 1);
        } else {
            self.findings.differs(&entry.path, "is in the snapshot and not here");
        }
    }

    fn visit(&mut self, visit: &Visit<'_>) -> Result<(), SnapshotError> {
        if self.cancel.is_cancelled() {
            return Err(SnapshotError::Cancelled);
        }
        let above =
            |source: &Vec<u8>| !is_beneath(visit.path, source.strip_prefix(b"/").unwrap_or(source));
        if self.live && self.sources.iter().all(above) {
            if self.next.as_ref().is_some_and(|next| next.path == visit.path) {
                self.next = self.entries.next()?;
            }
            return Ok(());
        }
        if !self.include.touches(visit.path)
            || matches!(visit.kind, VisitKind::Unknown(Errno::NOENT))
        {
            return Ok(());
        }
        loop {
            let order = self
                .next
                .as_ref()
                .map_or(Ordering::Greater, |next| path_cmp(&next.path, visit.path));
            match order {
                Ordering::Greater => {
                    self.findings.differs(visit.path, "is here and not in the snapshot");
                    return Ok(());
                }
                Ordering::Less => {
                    if let Some(entry) = self.next.take() {
                        self.missing(&entry);
                    }
                    self.next = self.entries.next()?;
                }
                Ordering::Equal => {
                    if let Some(entry) = self.next.take() {
                        self.both(visit, entry)?;
                    }
                    self.next = self.entries.next()?;
                    return Ok(());
                }
            }
        }
    }

    fn both(&mut self, visit: &Visit<'_>, entry: Entry) -> Result<(), SnapshotError> {
        if entry.path.is_empty() {
            return Ok(());
        }
        self.progress.current(&entry.path);
        self.findings.update(|report| report.entries += 1);
        let differs = |what: String| self.findings.differs(&entry.path, what);
        match &visit.kind {
            VisitKind::Unknown(errno) => {
                differs(format!("cannot be looked at: {}", std::io::Error::from(*errno)))
            }
            VisitKind::HardLink { first, .. } => {
                if entry.kind != (EntryKind::HardLink { first: first.clone() }) {
                    differs(format!("is a hard link to /{} here", String::from_utf8_lossy(first)));
                }
            }
            VisitKind::Directory { stat, attributes, unreadable } => {
                self.attributes(&entry, stat, attributes);
                if !matches!(entry.kind, EntryKind::Directory) {
                    differs("is a directory here".to_owned());
                }
                if entry.unreadable.is_some() {
                    self.findings.update(|report| report.flagged += 1);
                } else if let Some(errno) = unreadable {
                    differs(format!("cannot be read: {}", std::io::Error::from(*errno)));
                }
            }
            VisitKind::Leaf(stat) if stat.kind == FileKind::File => {
                return self.file(visit, stat, entry);
            }
            VisitKind::Leaf(stat) => self.special(visit, stat, &entry),
        }
        Ok(())
    }

    fn attributes(&self, entry: &Entry, stat: &Stat, xattrs: &[(Vec<u8>, Vec<u8>)]) {
        let differs = |what: String| self.findings.differs(&entry.path, what);
        if entry.mode != stat.mode {
            differs(format!("mode {:o} in the snapshot, {:o} here", entry.mode, stat.mode));
        }
        if (entry.uid, entry.gid) != (stat.uid, stat.gid) {
            differs(format!(
                "owner {}:{} in the snapshot, {}:{} here",
                entry.uid, entry.gid, stat.uid, stat.gid
            ));
        }
        if (entry.mtime_s, entry.mtime_ns) != (stat.mtime_s, stat.mtime_ns) {
            let (s, ns) = (entry.mtime_s, entry.mtime_ns);
            differs(format!(
                "modified {s}.{ns:09} in the snapshot, {}.{:09} here",
                stat.mtime_s, stat.mtime_ns
            ));
        }
        if entry.xattrs != xattrs {
            let names = |list: &[(Vec<u8>, Vec<u8>)]| {
                list.iter()
                    .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            differs(format!(
                "attributes [{}] in the snapshot, [{}] here",
                names(&entry.xattrs),
                names(xattrs)
            ));
        }
    }

    fn special(&self, visit: &Visit<'_>, stat: &Stat, entry: &Entry) {
        let xattrs = attributes_of_link(visit.parent, visit.name).unwrap_or_default();
        self.attributes_of_special(entry, stat, &xattrs);
        let device = (rustix::fs::major(stat.rdev), rustix::fs::minor(stat.rdev));
        let same = match (&entry.kind, stat.kind) {
            (EntryKind::Symlink { target }, FileKind::Symlink) => {
                read_link(visit.parent, visit.name).as_ref() == Ok(target)
            }
            (EntryKind::Fifo, FileKind::Fifo) | (EntryKind::Socket, FileKind::Socket) => true,
            (EntryKind::CharDevice { major, minor }, FileKind::CharDevice)
            | (EntryKind::BlockDevice { major, minor }, FileKind::BlockDevice) => {
                (*major, *minor) == device
            }
            _ => false,
        };
        if !same {
            self.findings.differs(&entry.path, "is of another type, or points elsewhere");
        }
    }

    /// A link's mode means nothing and cannot be set.
    fn attributes_of_special(&self, entry: &Entry, stat: &Stat, xattrs: &[(Vec<u8>, Vec<u8>)]) {
        let mode = if stat.kind == FileKind::Symlink { entry.mode } else { stat.mode };
        self.attributes(entry, &Stat { mode, ..*stat }, xattrs);
    }

    fn file(&self, visit: &Visit<'_>, stat: &Stat, entry: Entry) -> Result<(), SnapshotError> {
        let EntryKind::File { size, .. } = &entry.kind else {
            self.findings.differs(&entry.path, "is a regular file here");
            return Ok(());
        };
        if entry.unreadable.is_some() {
            self.findings.update(|report| report.flagged += 1);
            return Ok(());
        }
        self.attributes(&entry, stat, &entry.xattrs);
        if *size != stat.size {
            self.findings
                .differs(&entry.path, format!("{size} bytes in the snapshot, {} here", stat.size));
            return Ok(());
        }
        let job = (visit.parent.clone(), visit.name.to_vec(), entry);
        self.work.send(job).map_err(|_| SnapshotError::Thread)
    }
}

struct Reader<'a> {
    chunks: &'a ChunkCache,
    findings: &'a Findings,
    progress: &'a dyn Progress,
}

impl Reader<'_> {
    fn work(&self, files: &Receiver<(Arc<OwnedFd>, Vec<u8>, Entry)>, cancel: &Cancel) {
        for (parent, name, entry) in files {
            if cancel.is_cancelled() {
                return;
            }
            if let Err(what) = self.compare(&parent, &name, &entry) {
                self.findings.differs(&entry.path, what);
            }
            self.progress.files(1);
        }
    }

    fn compare(&self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Result<(), String> {
        let EntryKind::File { size, sparse, content } = &entry.kind else { return Ok(()) };
        let told = |errno: Errno| format!("cannot be read: {}", std::io::Error::from(errno));
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::empty()).map_err(told)?;
        if attributes_of(&file).map_err(told)? != entry.xattrs {
            self.findings.differs(&entry.path, "its extended attributes differ");
        }
        let layout = Layout::new(*size, sparse.as_deref());
        let read = |bytes: u64| {
            self.progress.bytes(bytes);
            self.findings.update(|report| report.bytes += bytes);
        };
        differs(&file, &layout, content, self.chunks, false, &read).map_err(|mismatch| {
            match mismatch {
                Mismatch::Different(what) | Mismatch::Unknown(what) => what,
            }
        })
    }
}

/// Why a file is not taken for the snapshot's.
pub(crate) enum Mismatch {
    /// It differs, or cannot be read.
    Different(String),
    /// The snapshot's content cannot be read.
    Unknown(String),
}

/// Compares a file with its content in a snapshot. `by_id`: where a chunk lies in the file as a whole, its id is
/// enough, and it is not read; else every byte is. `read` is told of every byte compared.
pub(crate) fn differs(
    file: &OwnedFd,
    layout: &Layout,
    content: &[ContentRef],
    chunks: &ChunkCache,
    by_id: bool,
    read: &dyn Fn(u64),
) -> Result<(), Mismatch> {
    let different = |errno: Errno| {
        Mismatch::Different(format!("cannot be read: {}", std::io::Error::from(errno)))
    };
    let unknown = |error: SnapshotError| Mismatch::Unknown(with_causes(&error));
    let misfit = || Mismatch::Different("its content does not fit its sparse map".to_owned());
    let mut position = 0;
    let mut buffer = Vec::new();
    for part in content {
        let (offset, room) = layout.locate(position).ok_or_else(misfit)?;
        if by_id && room >= u64::from(part.length) && chunks.is_whole(part).map_err(unknown)? {
            buffer.resize(part.length as usize, 0);
            read_all(file, &mut buffer, offset).map_err(different)?;
            if !chunks.is(&part.chunk, &buffer).map_err(unknown)? {
                return Err(Mismatch::Different(format!(
                    "its content differs after byte {offset}"
                )));
            }
            position += u64::from(part.length);
            read(u64::from(part.length));
            continue;
        }
        let chunk = chunks.get(&part.chunk).map_err(unknown)?;
        let mut data = piece(&chunk, part).map_err(unknown)?;
        while !data.is_empty() {
            let (offset, room) = layout.locate(position).ok_or_else(misfit)?;
            let length = data.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            buffer.resize(length, 0);
            read_all(file, &mut buffer, offset).map_err(different)?;
            if buffer != data[..length] {
                return Err(Mismatch::Different(format!(
                    "its content differs after byte {offset}"
                )));
            }
            position += length as u64;
            data = &data[length..];
            read(length as u64);
        }
    }
    if layout.sparse {
        check_holes(file, layout.size, layout).map_err(Mismatch::Different)?;
    }
    Ok(())
}

fn read_all(file: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<(), Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match rustix::io::pread(file, &mut buffer[filled..], offset + filled as u64) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// What lies in no extent of the snapshot must be zeros here.
fn check_holes(file: &OwnedFd, size: u64, layout: &Layout) -> Result<(), String> {
    let told = |errno: Errno| format!("cannot be read: {}", std::io::Error::from(errno));
    let here = extents_of(file, size).map_err(told)?.unwrap_or_else(|| vec![(0, size)]);
    let mut buffer = vec![0; HOLE_BUFFER_BYTES];
    for (offset, length) in here {
        let (mut position, end) = (offset, offset + length);
        while position < end {
            let next = layout.stretches.iter().find(|(_, start, length)| start + length > position);
            let (start, stop) =
                next.map_or((end, end), |(_, start, length)| (*start, start + length));
            if position >= start {
                position = stop;
                continue;
            }
            let room = start.min(end) - position;
            let part = buffer.len().min(usize::try_from(room).unwrap_or(usize::MAX));
            read_all(file, &mut buffer[..part], position).map_err(told)?;
            if buffer[..part].iter().any(|byte| *byte != 0) {
                return Err(format!(
                    "has data after byte {position}, where the snapshot has a hole"
                ));
            }
            position += part as u64;
        }
    }
    Ok(())
}
