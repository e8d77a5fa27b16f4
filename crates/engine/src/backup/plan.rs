//! The plan: for each entry of the walk, whether it is known, or must be read.
//!
//! A file is known if a cache has it with the same device, inode, size and times, if those times are safely
//! older than the scan that read it, and if every chunk of it may be referred to.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use lumbung_model::anomaly::RunFigures;
use lumbung_seal::catalogue::{Entry, EntryKind};
use rustix::io::Errno;

use super::changes::{Changes, Origin};
use super::known::Known;
use super::read::{Batch, LARGE_BYTES};
use super::stop::{Stop, Stopped, Warnings};
use crate::source::{
    FileKind, Names, Stat, Visit, VisitKind, attributes_of_link, errno_of, read_link,
};
use crate::state::{CacheReader, CachedFile};

/// Steps in a batch, at most.
const BATCH_STEPS: usize = 256;
/// Bytes to be read in a batch, at most (but for one large file).
const BATCH_BYTES: u64 = 256 << 10;

/// Directories that the files of a batch are read from, at most: each is an open descriptor, and some
/// dozen batches are in flight.
const BATCH_DIRECTORIES: usize = 32;

/// A file to be read.
pub(super) struct ReadJob {
    pub(super) directory: Arc<OwnedFd>,
    /// Without content.
    pub(super) entry: Entry,
    pub(super) stat: Stat,
    /// Where what is read comes from.
    pub(super) origin: Origin,
}

impl ReadJob {
    /// The file's name in its directory.
    pub(super) fn name(&self) -> &[u8] {
        let path = &self.entry.path;
        path.iter().rposition(|b| *b == b'/').map_or(&path[..], |slash| &path[slash + 1..])
    }

    /// Takes what a later `stat` says. How many names the walk saw stays: hard links may refer to this one.
    pub(super) fn look_again(&mut self, stat: &Stat, names: &Names) {
        refresh_entry(&mut self.entry, stat, names);
        self.stat = Stat { nlink: self.stat.nlink.max(stat.nlink), ..*stat };
    }
}

/// What to do for one entry.
#[expect(clippy::large_enum_variant, reason = "most steps of a later run are the large ones")]
pub(super) enum Step {
    /// The entry is complete.
    Ready(Entry, Option<Stat>),
    /// Its content is to be read.
    Read(Box<ReadJob>),
    /// Its content is made while it is read.
    Stream(Box<Entry>),
}

/// Steps for a reader, and where their result goes.
pub(super) type Order = (Vec<Step>, Sender<Batch>);

/// Makes the plan as the walk goes along.
pub(super) struct Planner<'a> {
    /// What runs that did not finish left, newest first.
    pub(super) caches: Vec<CacheReader>,
    /// What the last finished run left, and what changed since.
    pub(super) last: Option<(CacheReader, Changes)>,
    pub(super) known: &'a Known,
    pub(super) names: &'a Names,
    pub(super) warnings: &'a Warnings,
    pub(super) stop: &'a Stop,
    /// To the readers, who take batches as they can.
    pub(super) orders: Sender<Order>,
    /// To the assembler, in path order.
    pub(super) batches: Sender<Receiver<Batch>>,
    pub(super) steps: Vec<Step>,
    pub(super) bytes: u64,
    /// Directories that the batch holds open.
    pub(super) directories: usize,
}

/// What can be told of an error to people.
pub(super) fn reason(what: &str, errno: Errno) -> String {
    format!("{what}: {}", std::io::Error::from(errno))
}

impl Planner<'_> {
    /// Takes the next entry of the walk.
    pub(super) fn visit(&mut self, visit: Visit<'_>) -> Result<(), Stopped> {
        self.stop.check()?;
        match visit.kind {
            VisitKind::Unknown(errno) => {
                self.warnings.push(
                    visit.path,
                    reason("cannot be looked at and is not in the snapshot", errno),
                );
            }
            VisitKind::Directory { stat, attributes, unreadable } => {
                let mut entry = self.entry(visit.path, &stat, EntryKind::Directory);
                entry.xattrs = attributes;
                if let Some(errno) = unreadable {
                    entry.unreadable = Some(errno_of(errno));
                    self.warnings.push(visit.path, reason("the directory cannot be read", errno));
                }
                self.push(Step::Ready(entry, None))?;
            }
            VisitKind::HardLink { stat, first } => {
                let entry = self.entry(visit.path, &stat, EntryKind::HardLink { first });
                self.push(Step::Ready(entry, None))?;
            }
            VisitKind::Leaf(stat) if stat.kind == FileKind::File => self.file(&visit, stat)?,
            VisitKind::Leaf(stat) => self.special(&visit, &stat)?,
        }
        Ok(())
    }

    fn entry(&self, path: &[u8], stat: &Stat, kind: EntryKind) -> Entry {
        new_entry(path, stat, kind, self.names)
    }

    fn file(&mut self, visit: &Visit<'_>, stat: Stat) -> Result<(), Stopped> {
        let kind = EntryKind::File { size: stat.size, sparse: None, content: Vec::new() };
        let mut entry = self.entry(visit.path, &stat, kind);
        let (origin, before) = self.compare(visit.path, &stat);
        let unfinished = self.caches.iter_mut().filter_map(|cache| {
            let found = cache.find(visit.path)?;
            is_unchanged(cache, &found, &stat).then_some(found)
        });
        for found in unfinished.chain(before) {
            if self.known.has_all(found.content.iter().map(|part| &part.chunk)) {
                entry.xattrs = found.xattrs;
                entry.kind = EntryKind::File {
                    size: stat.size,
                    sparse: found.sparse,
                    content: found.content,
                };
                return self.push(Step::Ready(entry, Some(stat)));
            }
        }
        let job = ReadJob { directory: visit.parent.clone(), entry, stat, origin };
        self.bytes += stat.size.min(LARGE_BYTES);
        let before = self.steps.iter().rev().find_map(|step| match step {
            Step::Read(job) => Some(&job.directory),
            Step::Ready(..) | Step::Stream(_) => None,
        });
        if before.is_none_or(|before| !Arc::ptr_eq(before, &job.directory)) {
            self.directories += 1;
        }
        self.push(Step::Read(Box::new(job)))
    }

    /// Holds a file against the last finished run: where its content comes from, and what was known of it if it is unchanged.
    fn compare(&mut self, path: &[u8], stat: &Stat) -> (Origin, Option<CachedFile>) {
        let Some((cache, changes)) = &mut self.last else { return (Origin::Unchanged, None) };
        let found = cache.find_past(path, |path, file| {
            changes.before(file.stat.size);
            changes.gone(path, file.stat.size);
        });
        let Some(found) = found else { return (changes.appeared(path), None) };
        changes.before(found.stat.size);
        if !found.stat.same_content(stat) {
            changes.changed(path);
            return (Origin::Rewritten, None);
        }
        (Origin::Unchanged, Some(found).filter(|found| is_unchanged(cache, found, stat)))
    }

    /// What changed since the last finished run, once the walk is over; none if that left no cache.
    pub(super) fn changes(&mut self) -> Option<RunFigures> {
        let (mut cache, mut changes) = self.last.take()?;
        cache.rest(|path, file| {
            changes.before(file.stat.size);
            changes.gone(path, file.stat.size);
        });
        Some(changes.finish())
    }

    fn special(&mut self, visit: &Visit<'_>, stat: &Stat) -> Result<(), Stopped> {
        let device = |dev| (rustix::fs::major(dev), rustix::fs::minor(dev));
        let mut unreadable = None;
        let kind = match stat.kind {
            FileKind::Symlink => match read_link(visit.parent, visit.name) {
                Ok(target) => {
                    // Some file systems have links that say nothing; no such link can be made again.
                    unreadable = target.is_empty().then_some(Errno::INVAL);
                    EntryKind::Symlink { target }
                }
                // Removed since; one with further names stays, since they refer to it.
                Err(Errno::NOENT) if stat.nlink < 2 => return Ok(()),
                Err(errno) => {
                    unreadable = Some(errno);
                    EntryKind::Symlink { target: Vec::new() }
                }
            },
            FileKind::Fifo => EntryKind::Fifo,
            FileKind::Socket => EntryKind::Socket,
            FileKind::CharDevice => {
                let (major, minor) = device(stat.rdev);
                EntryKind::CharDevice { major, minor }
            }
            FileKind::BlockDevice => {
                let (major, minor) = device(stat.rdev);
                EntryKind::BlockDevice { major, minor }
            }
            FileKind::File | FileKind::Directory | FileKind::Unknown => {
                self.warnings.push(visit.path, "is of a type that Lumbung does not know");
                return Ok(());
            }
        };
        let mut entry = self.entry(visit.path, stat, kind);
        match attributes_of_link(visit.parent, visit.name) {
            Ok(attributes) => entry.xattrs = attributes,
            Err(errno) => self
                .warnings
                .push(visit.path, reason("its extended attributes cannot be read", errno)),
        }
        if let Some(errno) = unreadable {
            entry.unreadable = Some(errno_of(errno));
            self.warnings.push(visit.path, reason("cannot be read", errno));
        }
        self.push(Step::Ready(entry, None))
    }

    pub(super) fn push(&mut self, step: Step) -> Result<(), Stopped> {
        self.steps.push(step);
        let full = self.steps.len() >= BATCH_STEPS
            || self.bytes >= BATCH_BYTES
            || self.directories >= BATCH_DIRECTORIES;
        if full { self.flush() } else { Ok(()) }
    }

    /// Hands on what has come together.
    pub(super) fn flush(&mut self) -> Result<(), Stopped> {
        (self.bytes, self.directories) = (0, 0);
        let steps = std::mem::take(&mut self.steps);
        if steps.is_empty() {
            return Ok(());
        }
        let (sender, receiver) = bounded(1);
        self.batches.send(receiver).map_err(|_| Stopped)?;
        self.orders.send((steps, sender)).map_err(|_| Stopped)
    }
}

/// Whether a file is what the cache's run read.
fn is_unchanged(cache: &CacheReader, found: &CachedFile, stat: &Stat) -> bool {
    found.stat.same_content(stat) && !cache.is_racy(stat)
}

/// An entry with what `stat` says.
pub(super) fn new_entry(path: &[u8], stat: &Stat, kind: EntryKind, names: &Names) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: names.user(stat.uid).to_vec(),
        group: names.group(stat.gid).to_vec(),
        mtime_s: stat.mtime_s,
        mtime_ns: stat.mtime_ns,
        xattrs: Vec::new(),
        changed_while_read: false,
        unreadable: None,
    }
}

/// Writes what a later `stat` says into an entry.
fn refresh_entry(entry: &mut Entry, stat: &Stat, names: &Names) {
    entry.mode = stat.mode;
    (entry.uid, entry.gid) = (stat.uid, stat.gid);
    entry.user = names.user(stat.uid).to_vec();
    entry.group = names.group(stat.gid).to_vec();
    (entry.mtime_s, entry.mtime_ns) = (stat.mtime_s, stat.mtime_ns);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service has 1,024 descriptors by default, and readers may be slow.
    #[test]
    fn a_batch_holds_few_directories_open() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let open = || Arc::new(crate::source::open_directory(folder.path()).unwrap());
        let (orders_out, orders) = crossbeam_channel::unbounded();
        let (batches, _waiting) = crossbeam_channel::unbounded();
        let (known, names) = (Known::default(), Names::of_this_machine());
        let (warnings, stop) = (Warnings::default(), Stop::new(&crate::Cancel::default()));
        let mut planner = Planner {
            caches: Vec::new(),
            last: None,
            known: &known,
            names: &names,
            warnings: &warnings,
            stop: &stop,
            orders: orders_out,
            batches,
            steps: Vec::new(),
            bytes: 0,
            directories: 0,
        };
        for n in 0..200 {
            let (parent, path) = (open(), format!("{n:03}/file"));
            let stat = rustix::fs::statat(&parent, "file", rustix::fs::AtFlags::empty()).unwrap();
            let kind = || VisitKind::Leaf(Stat::from(&stat));
            let path = path.as_bytes();
            planner.visit(Visit { path, parent: &parent, name: b"file", kind: kind() }).unwrap();
            planner.visit(Visit { path, parent: &parent, name: b"file", kind: kind() }).unwrap();
        }
        planner.flush().unwrap();
        let sizes: Vec<usize> = orders.try_iter().map(|(steps, _)| steps.len()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 400);
        assert!(sizes.iter().all(|steps| *steps <= 2 * BATCH_DIRECTORIES), "{sizes:?}");
    }
}
