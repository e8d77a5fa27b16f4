//! Readers: several small files at once, each whole and unchanged or flagged.
//!
//! A file counts as unchanged if what `stat` said before it was opened is what `fstat` says after the last
//! byte. If not, it is read again, twice at most; then what was read last is kept, flagged.

use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};

use crossbeam_channel::Receiver;
use lumbung_seal::catalogue::{Entry, EntryKind, Extent};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::buffers::{Buffer, Buffers};
use super::changes::Origin;
use super::plan::{Order, ReadJob, Step, reason};
use super::stop::{Stop, Warnings};
use crate::source::{
    FileKind, Names, Stat, attributes_of, errno_of, extents_of, wait_for_next_tick,
};

/// A file of at least this many bytes is cut alone.
pub(super) const LARGE_BYTES: u64 = 1 << 20;
/// How often a file is read that changes meanwhile.
pub(super) const ATTEMPTS: u32 = 3;

/// An entry on its way to the catalogue.
pub(super) enum Item {
    /// Complete. With what `stat` says of a file that may stand in the cache.
    Ready(Entry, Option<Stat>),
    /// A small file, its data in the batch, and where that comes from.
    Small(Entry, Stat, Range<usize>, Origin),
    /// A large file, still to be read.
    Large(Box<ReadJob>),
    /// A stream, still to be read.
    Stream(Box<Entry>),
}

/// Entries in path order.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    pub(super) data: Buffer,
}

/// What a reader needs.
pub(super) struct Reading<'a> {
    pub(super) names: &'a Names,
    pub(super) warnings: &'a Warnings,
    pub(super) stop: &'a Stop,
    /// Where the batches' buffers come from and go back to.
    pub(super) batches: &'a Buffers,
    /// Root reads without leaving a trace in access times.
    pub(super) no_atime: bool,
}

/// Opens a file for reading, never waiting and never following.
pub(super) fn open_file(job: &ReadJob, no_atime: bool) -> Result<OwnedFd, Errno> {
    wait_for_next_tick(&job.stat);
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if no_atime {
        let opened =
            rustix::fs::openat(&job.directory, job.name(), flags | OFlags::NOATIME, Mode::empty());
        // Root without CAP_FOWNER (the hardened unit, a user namespace) may leave no trace of reading
        // its own files only.
        if !matches!(opened, Err(Errno::PERM)) {
            return opened;
        }
    }
    rustix::fs::openat(&job.directory, job.name(), flags, Mode::empty())
}

pub(super) fn stat_of(file: impl AsFd) -> Result<Stat, Errno> {
    rustix::fs::fstat(file).map(|stat| Stat::from(&stat))
}

/// The extents that hold data, if the file may have holes.
pub(super) fn extents(file: impl AsFd, stat: &Stat) -> Result<Option<Vec<Extent>>, Errno> {
    if !stat.maybe_sparse() {
        return Ok(None);
    }
    let found = extents_of(file, stat.size)?;
    Ok(found
        .map(|list| list.into_iter().map(|(offset, length)| Extent { offset, length }).collect()))
}

/// Bytes that hold data.
pub(super) fn data_bytes(size: u64, sparse: Option<&[Extent]>) -> u64 {
    sparse.map_or(size, |extents| extents.iter().map(|extent| extent.length).sum())
}

enum Attempt {
    Read { sparse: Option<Vec<Extent>>, after: Stat },
    TooLarge(Stat),
}

impl Reading<'_> {
    /// A reader: until there are no more orders.
    pub(super) fn work(&self, orders: &Receiver<Order>) {
        for (steps, result) in orders {
            let items = Vec::with_capacity(steps.len());
            let mut batch = Batch { items, data: self.batches.take() };
            for step in steps {
                if self.stop.check().is_err() {
                    return;
                }
                match step {
                    Step::Ready(entry, stat) => batch.items.push(Item::Ready(entry, stat)),
                    Step::Stream(entry) => batch.items.push(Item::Stream(entry)),
                    Step::Read(job) => batch.items.extend(self.read(job, &mut batch.data)),
                }
            }
            let _ = result.send(batch);
        }
    }

    fn read(&self, mut job: Box<ReadJob>, data: &mut Buffer) -> Option<Item> {
        if job.stat.size >= LARGE_BYTES {
            return Some(Item::Large(job));
        }
        let start = data.len();
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            match self.attempt(&mut job, data, start, last) {
                Err(errno) => {
                    data.truncate(start);
                    return self.failed(job, errno);
                }
                Ok(Attempt::TooLarge(stat)) => {
                    data.truncate(start);
                    job.stat = stat;
                    return Some(Item::Large(job));
                }
                Ok(Attempt::Read { sparse, after }) => {
                    let length = (data.len() - start) as u64;
                    let whole = length == data_bytes(after.size, sparse.as_deref());
                    let same = whole && after.same_content(&job.stat);
                    if !same {
                        job.look_again(&after, self.names);
                    }
                    if same || last {
                        return Some(self.finish(job, sparse, start..data.len(), !same));
                    }
                    data.truncate(start);
                }
            }
        }
        None
    }

    fn attempt(
        &self,
        job: &mut ReadJob,
        data: &mut Buffer,
        start: usize,
        last: bool,
    ) -> Result<Attempt, Errno> {
        let file = open_file(job, self.no_atime)?;
        // The last attempt takes the file as it comes: a map of holes would not match what is read.
        let sparse = if last { None } else { extents(&file, &job.stat)? };
        match &sparse {
            None => read_range(&file, 0, job.stat.size, data)?,
            Some(extents) => {
                for extent in extents {
                    read_range(&file, extent.offset, extent.length, data)?;
                }
            }
        }
        job.entry.xattrs = attributes_of(&file)?;
        let after = stat_of(&file)?;
        if after.kind != FileKind::File {
            return Err(Errno::STALE);
        }
        if after.size >= LARGE_BYTES && !last {
            return Ok(Attempt::TooLarge(after));
        }
        debug_assert!(data.len() >= start);
        Ok(Attempt::Read { sparse, after })
    }

    fn finish(
        &self,
        job: Box<ReadJob>,
        sparse: Option<Vec<Extent>>,
        data: Range<usize>,
        changed: bool,
    ) -> Item {
        let ReadJob { mut entry, stat, origin, .. } = *job;
        let size = if changed { data.len() as u64 } else { stat.size };
        entry.changed_while_read = changed;
        if changed {
            self.warnings.push(&entry.path, format!("changed while it was read, {ATTEMPTS} times: the snapshot has it as it was last read"));
        }
        entry.kind = EntryKind::File { size, sparse, content: Vec::new() };
        if data.is_empty() {
            return Item::Ready(entry, Some(stat));
        }
        Item::Small(entry, stat, data, origin)
    }

    /// A file that could not be read: flagged, or left out where it is gone.
    pub(super) fn failed(&self, job: Box<ReadJob>, errno: Errno) -> Option<Item> {
        unreadable(*job, errno, self.warnings).map(|entry| Item::Ready(entry, None))
    }
}

/// The entry of a file that could not be read; none if it is gone. A file with further names stays, since
/// they refer to it.
pub(super) fn unreadable(job: ReadJob, errno: Errno, warnings: &Warnings) -> Option<Entry> {
    if errno == Errno::NOENT && job.stat.nlink < 2 {
        return None;
    }
    let mut entry = job.entry;
    warnings.push(&entry.path, reason("cannot be read", errno));
    entry.kind = EntryKind::File { size: job.stat.size, sparse: None, content: Vec::new() };
    entry.xattrs = Vec::new();
    entry.unreadable = Some(errno_of(errno));
    Some(entry)
}

/// Appends `length` bytes from `offset`, or what there is of them.
fn read_range(file: &OwnedFd, offset: u64, length: u64, data: &mut Buffer) -> Result<(), Errno> {
    let wanted = usize::try_from(length).map_err(|_| Errno::FBIG)?;
    let mut filled = 0;
    while filled < wanted {
        let room = data.room(wanted - filled);
        match rustix::io::pread(file, room, offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => {
                data.fill(read);
                filled += read;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
