//! Reads packs on all processors and compares every frame with its table.
//!
//! Invariants: each byte is read once. On a disk, the pack that comes next is fetched while this one is compared.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use lumbung_model::PackId;
use lumbung_pack::limits::{PACK_FIXED_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{Bitmap, PackTable, PackUse};
use lumbung_store::{FrameScanner, READ_BYTES, Scanned};

use super::lasting;
use crate::depot::OpenPack;
use crate::snapshot::{SnapshotError, read_head};
use crate::{Cancel, Depot, DepotError, Progress};

/// Packs that are read at once where each is an answer over a network.
const TRANSFERS: usize = 4;
/// Bytes that are asked for at once over a network.
const ANSWER_BYTES: usize = 4 << 20;

/// A pack to be read, and the frames that it must have, if a snapshot says so.
pub(super) type Wanted = (PackId, Option<u32>);

/// What is wrong with a pack.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Frames in its table, if that could be read.
    pub(super) frames: Option<u32>,
    /// Why nothing of it can be used.
    whole: Option<String>,
    /// Why a frame cannot be used.
    bad: BTreeMap<u32, String>,
    /// Frames that the depot's sweep dropped: no harm, unless a snapshot uses one.
    dropped: BTreeMap<u32, String>,
}

impl Faults {
    /// What is wrong with these frames.
    pub(super) fn of<'a>(&'a self, used: &'a Bitmap) -> impl Iterator<Item = &'a String> {
        let bad = self.bad.iter().chain(&self.dropped);
        let bad = bad.filter(|(frame, _)| used.get(**frame)).map(|(_, reason)| reason);
        self.whole.iter().chain(bad)
    }

    /// All that is wrong, whoever uses it.
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.whole.iter().chain(self.bad.values())
    }

    fn dropped(&mut self, pack: &PackId, frame: u32) {
        self.dropped.insert(frame, format!("frame {frame} of pack {pack} is not there any more"));
    }

    /// Whether nothing is wrong with a pack that must have so many frames.
    fn is_clean(&self, named: Option<u32>) -> bool {
        let agrees = named.is_none() || named == self.frames;
        self.whole.is_none() && self.bad.is_empty() && self.dropped.is_empty() && agrees
    }
}

/// Reads packs and counts what it reads.
pub(super) struct PackReader<'a> {
    pub(super) depot: &'a dyn Depot,
    pub(super) progress: &'a dyn Progress,
    pub(super) cancel: &'a Cancel,
    pub(super) packs: AtomicU64,
    pub(super) frames: AtomicU64,
    pub(super) bytes: AtomicU64,
}

/// A pack that is next in line.
struct Next<'a> {
    pack: PackId,
    frames: Option<u32>,
    open: Result<Option<Box<dyn OpenPack + 'a>>, DepotError>,
}

impl<'a> PackReader<'a> {
    pub(super) fn new(
        depot: &'a dyn Depot,
        progress: &'a dyn Progress,
        cancel: &'a Cancel,
    ) -> Self {
        let zero = AtomicU64::default;
        Self { depot, progress, cancel, packs: zero(), frames: zero(), bytes: zero() }
    }

    /// Reads them all; gives those that something is wrong with.
    pub(super) fn read_all(
        &self,
        wanted: &[Wanted],
    ) -> Result<HashMap<PackId, Faults>, SnapshotError> {
        let taken = AtomicUsize::new(0);
        let found = Mutex::new(HashMap::new());
        let work = || {
            let done = self.work(wanted, &taken, &found);
            if done.is_err() {
                // The others need not go on.
                taken.store(wanted.len(), Ordering::Relaxed);
            }
            done
        };
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads()).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or(Err(SnapshotError::Thread)))
                .collect::<Vec<_>>()
        });
        results.into_iter().collect::<Result<(), _>>()?;
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hashing keeps every processor busy; over a network, more than one answer must be under way.
    fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        if self.depot.local_path().is_some() { processors } else { processors.max(TRANSFERS) }
    }

    fn work(
        &self,
        wanted: &[Wanted],
        taken: &AtomicUsize,
        found: &Mutex<HashMap<PackId, Faults>>,
    ) -> Result<(), SnapshotError> {
        let take = || {
            let (pack, frames) = *wanted.get(taken.fetch_add(1, Ordering::Relaxed))?;
            Some(Next { pack, frames, open: self.depot.open_pack(&pack) })
        };
        let mut scanner = FrameScanner::new(match self.depot.local_path() {
            Some(_) => READ_BYTES,
            None => ANSWER_BYTES,
        });
        let mut next = take();
        while let Some(this) = next {
            next = take();
            let (pack, named) = (this.pack, this.frames);
            let faults = self.read(this, &mut scanner)?;
            if !faults.is_clean(named) {
                found.lock().unwrap_or_else(PoisonError::into_inner).insert(pack, faults);
            }
            self.progress.files(1);
        }
        Ok(())
    }

    fn go_on(&self) -> Result<(), SnapshotError> {
        if self.cancel.is_cancelled() { Err(SnapshotError::Cancelled) } else { Ok(()) }
    }

    fn read(&self, next: Next<'_>, scanner: &mut FrameScanner) -> Result<Faults, SnapshotError> {
        self.go_on()?;
        let mut faults = Faults::default();
        let opened = next.open.map_err(SnapshotError::from);
        let head = opened.and_then(|open| {
            let table = match &open {
                Some(open) => open.head()?,
                None => self.head_by_range(&next.pack, next.frames)?,
            };
            Ok((open, table))
        });
        let (open, table) = match head {
            Ok(head) => head,
            Err(error) => {
                faults.whole = Some(lasting(error)?);
                return Ok(faults);
            }
        };
        self.packs.fetch_add(1, Ordering::Relaxed);
        faults.frames = u32::try_from(table.frames.len()).ok();
        let read = |offset: u64, bytes: &mut [u8]| match &open {
            Some(open) => open.read_at(offset, bytes),
            None => self.read_by_range(&next.pack, offset, bytes),
        };
        let present = match &open {
            Some(open) => open.presence(&table)?,
            None => None,
        };
        let here = |frame: &u32| present.as_ref().is_none_or(|present| present.get(*frame));
        let (here, gone): (Vec<u32>, Vec<u32>) = (0..faults.frames.unwrap_or(0)).partition(here);
        gone.into_iter().for_each(|frame| faults.dropped(&next.pack, frame));
        let here = here.into_iter().map(|frame| frame as usize);
        scanner.scan(&table, here, read, |frame, scanned| {
            self.note(&next.pack, &table, frame, scanned, &mut faults)
        })?;
        if open.is_none() && !faults.bad.is_empty() {
            self.ask(&next.pack, &mut faults)?;
        }
        Ok(faults)
    }

    /// Frames that a depot over a network did not give may be such as it dropped: it is asked.
    fn ask(&self, pack: &PackId, faults: &mut Faults) -> Result<(), SnapshotError> {
        let mut used = Bitmap::new(faults.frames.unwrap_or(0));
        faults.bad.keys().for_each(|frame| used.set(*frame));
        for absent in self.depot.have(&[PackUse { pack: *pack, used }])? {
            for frame in absent.used.iter_ones().filter(|_| absent.pack == *pack) {
                faults.bad.remove(&frame);
                faults.dropped(pack, frame);
            }
        }
        Ok(())
    }

    fn note(
        &self,
        pack: &PackId,
        table: &PackTable,
        frame: usize,
        scanned: Scanned<DepotError>,
        faults: &mut Faults,
    ) -> Result<(), SnapshotError> {
        let reason = match scanned {
            Scanned::Whole => {
                let length = u64::from(table.frames[frame].stored_length);
                self.frames.fetch_add(1, Ordering::Relaxed);
                self.bytes.fetch_add(length, Ordering::Relaxed);
                self.progress.bytes(length);
                return self.go_on();
            }
            Scanned::Differs => "its bytes do not match the pack's table".to_owned(),
            Scanned::Unread(error) => lasting(error.into())?,
        };
        let number = u32::try_from(frame).unwrap_or(u32::MAX);
        faults.bad.insert(number, format!("frame {frame} of pack {pack}: {reason}"));
        self.go_on()
    }

    fn head_by_range(
        &self,
        pack: &PackId,
        frames: Option<u32>,
    ) -> Result<PackTable, SnapshotError> {
        let frames = match frames {
            Some(frames) => frames,
            None => {
                let fixed = self.depot.read_pack(pack, 0..PACK_FIXED_BYTES as u64)?;
                let count = fixed.last_chunk::<4>().map_or(0, |count| u32::from_le_bytes(*count));
                count.min(u32::try_from(PACK_MAX_FRAMES).unwrap_or(u32::MAX))
            }
        };
        read_head(self.depot, &PackUse { pack: *pack, used: Bitmap::new(frames) })
    }

    fn read_by_range(
        &self,
        pack: &PackId,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), DepotError> {
        let found = self.depot.read_pack(pack, offset..offset + bytes.len() as u64)?;
        if found.len() != bytes.len() {
            let (kind, id) = (lumbung_pack::Kind::Pack, *pack.as_bytes());
            let depot = self.depot.describe();
            return Err(DepotError::Damaged { kind, id, depot, source: None });
        }
        bytes.copy_from_slice(&found);
        Ok(())
    }
}
