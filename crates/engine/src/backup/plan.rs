//! The plan: for each entry of the walk, whether it is known, or must be read.
//!
//! A file is known if a cache has it with the same device, inode, size and times, if those times are safely
//! older than the scan that read it, and if every chunk of it may be referred to.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use lumbung_seal::catalogue::{Entry, EntryKind};
use rustix::io::Errno;

use super::known::Known;
use super::read::{Batch, LARGE_BYTES};
use super::stop::{Stop, Stopped, Warnings};
use crate::source::{
    FileKind, Names, Stat, Visit, VisitKind, attributes_of_link, errno_of, read_link,
};
use crate::state::CacheReader;

/// Steps in a batch, at most.
const BATCH_STEPS: usize = 256;
/// Bytes to be read in a batch, at most (but for one large file).
const BATCH_BYTES: u64 = 512 << 10;

/// A file to be read.
pub(super) struct ReadJob {
    pub(super) directory: Arc<OwnedFd>,
    /// Without content.
    pub(super) entry: Entry,
    pub(super) stat: Stat,
}

impl ReadJob {
    /// The file's name in its directory.
    pub(super) fn name(&self) -> &[u8] {
        let path = &self.entry.path;
        path.iter().rposition(|b| *b == b'/').map_or(&path[..], |slash| &path[slash + 1..])
    }
}

/// What to do for one entry.
#[expect(clippy::large_enum_variant, reason = "most steps of a later run are the large ones")]
pub(super) enum Step {
    /// The entry is complete.
    Ready(Entry, Option<Stat>),
    /// Its content is to be read.
    Read(Box<ReadJob>),
}

/// Steps for a reader, and where their result goes.
pub(super) type Order = (Vec<Step>, Sender<Batch>);

/// Makes the plan as the walk goes along.
pub(super) struct Planner<'a> {
    pub(super) caches: Vec<CacheReader>,
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
        for cache in &mut self.caches {
            let Some(found) = cache.find(visit.path) else { continue };
            let same = found.stat.same_content(&stat) && !cache.is_racy(&stat);
            if same && self.known.has_all(found.content.iter().map(|part| &part.chunk)) {
                entry.xattrs = found.xattrs;
                entry.kind = EntryKind::File {
                    size: stat.size,
                    sparse: found.sparse,
                    content: found.content,
                };
                return self.push(Step::Ready(entry, Some(stat)));
            }
        }
        let job = ReadJob { directory: visit.parent.clone(), entry, stat };
        self.bytes += stat.size.min(LARGE_BYTES);
        self.push(Step::Read(Box::new(job)))
    }

    fn special(&mut self, visit: &Visit<'_>, stat: &Stat) -> Result<(), Stopped> {
        let device = |dev| (rustix::fs::major(dev), rustix::fs::minor(dev));
        let mut unreadable = None;
        let kind = match stat.kind {
            FileKind::Symlink => {
                let target = read_link(visit.parent, visit.name).unwrap_or_else(|errno| {
                    unreadable = Some(errno);
                    Vec::new()
                });
                EntryKind::Symlink { target }
            }
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

    fn push(&mut self, step: Step) -> Result<(), Stopped> {
        self.steps.push(step);
        if self.steps.len() >= BATCH_STEPS || self.bytes >= BATCH_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Hands on what has come together.
    pub(super) fn flush(&mut self) -> Result<(), Stopped> {
        self.bytes = 0;
        let steps = std::mem::take(&mut self.steps);
        if steps.is_empty() {
            return Ok(());
        }
        let (sender, receiver) = bounded(1);
        self.batches.send(receiver).map_err(|_| Stopped)?;
        self.orders.send((steps, sender)).map_err(|_| Stopped)
    }
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
pub(super) fn refresh_entry(entry: &mut Entry, stat: &Stat, names: &Names) {
    entry.mode = stat.mode;
    (entry.uid, entry.gid) = (stat.uid, stat.gid);
    entry.user = names.user(stat.uid).to_vec();
    entry.group = names.group(stat.gid).to_vec();
    (entry.mtime_s, entry.mtime_ns) = (stat.mtime_s, stat.mtime_ns);
}
