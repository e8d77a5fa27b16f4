//! What a pass has read so far: in memory, and in a file beside the index so that a pass goes on after a stop.
//!
//! Invariants: a pack is in the file only after it was read, and repaired if it was; the file ends where the first
//! batch does not match its hash, so that a torn or rotten one makes packs be read again and nothing be claimed.
//! Losing the file costs time only.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lumbung_model::{PackId, RepositoryId, SiteId, Timestamp};
use lumbung_store::{StoreError, durable};
use serde::Serialize;

const MAGIC: [u8; 8] = *b"LMSCRUB1";
/// Magic, repository, site, started, arrival, report; then figures that are only shown.
const FIXED_BYTES: usize = 8 + 32 + 16 + 8 + 8 + 8;
const HEADER_BYTES: usize = FIXED_BYTES + 24;
/// Length and hash before each batch.
const BATCH_BYTES: usize = 4 + 32;
/// A batch is written when it holds so many packs, or is so old.
const BATCH_PACKS: usize = 256;
const BATCH_TIME: Duration = Duration::from_secs(20);

/// When a pass began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Beginning {
    pub(super) started: Timestamp,
    /// The highest number that this site had given to a receipt: what came later is not said to be damaged.
    pub(super) arrival: u64,
    /// Number of the newest report: once there is a newer one, nobody goes on with this pass.
    pub(super) report: u64,
}

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// When it began.
    pub started: Timestamp,
    /// Packs read.
    pub packs: u64,
    /// Packs to be read in all.
    pub of_packs: u64,
    /// Bytes read.
    pub bytes: u64,
}

/// What became of one pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) pack: PackId,
    /// Frames in its table; 0 if nobody knows.
    pub(super) frames: u32,
    /// Frames and bytes that were read.
    pub(super) read: u32,
    pub(super) bytes: u64,
    /// Frames that were fetched from another site.
    pub(super) repaired: u32,
    /// Frames that stay bad, ascending.
    pub(super) bad: Vec<u32>,
    /// Frames that the sweep had dropped, ascending.
    pub(super) absent: Vec<u32>,
}

impl Entry {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.pack.as_bytes());
        for number in [self.frames, self.read, self.repaired] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.bytes.to_le_bytes());
        for list in [&self.bad, &self.absent] {
            bytes.extend_from_slice(&count(list.len()).to_le_bytes());
            list.iter().for_each(|frame| bytes.extend_from_slice(&frame.to_le_bytes()));
        }
    }

    fn read(bytes: &mut &[u8]) -> Option<Self> {
        let pack = PackId::from_bytes(take(bytes)?);
        let number = |bytes: &mut &[u8]| Some(u32::from_le_bytes(take(bytes)?));
        let (frames, read, repaired) = (number(bytes)?, number(bytes)?, number(bytes)?);
        let length = u64::from_le_bytes(take(bytes)?);
        let list = |bytes: &mut &[u8]| {
            let n = number(bytes)?;
            (0..n).map(|_| number(bytes)).collect::<Option<Vec<u32>>>()
        };
        let (bad, absent) = (list(bytes)?, list(bytes)?);
        Some(Self { pack, frames, read, bytes: length, repaired, bad, absent })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// All that was read in a pass.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) repaired: u32,
    /// Packs that were read, with the number of their frames.
    read: Vec<(PackId, u32)>,
    /// How many of them stand in order.
    sorted: usize,
    bad: BTreeMap<PackId, Vec<u32>>,
    absent: HashMap<PackId, Vec<u32>>,
}

impl Tally {
    /// Takes a pack up. One that had bad frames may be looked at again: then the later word counts.
    pub(super) fn take(&mut self, entry: Entry) {
        self.repaired += entry.repaired;
        if self.bad.remove(&entry.pack).is_none() {
            self.frames += u64::from(entry.read);
            self.bytes += entry.bytes;
            self.read.push((entry.pack, entry.frames));
        }
        if !entry.bad.is_empty() {
            self.bad.insert(entry.pack, entry.bad);
        }
        if entry.absent.is_empty() {
            self.absent.remove(&entry.pack);
        } else {
            self.absent.insert(entry.pack, entry.absent);
        }
    }

    /// A pack was taken away: nothing of it is bad.
    pub(super) fn forget(&mut self, pack: &PackId) {
        self.bad.remove(pack);
    }

    /// Brings what was read in order, for [`Self::has`] and [`Self::is_whole`].
    pub(super) fn sort(&mut self) {
        self.read.sort_unstable();
        self.sorted = self.read.len();
    }

    fn find(&self, pack: &PackId) -> Option<u32> {
        let read = &self.read[..self.sorted];
        read.binary_search_by_key(pack, |(pack, _)| *pack).ok().map(|at| read[at].1)
    }

    /// Whether a pack was read.
    pub(super) fn has(&self, pack: &PackId) -> bool {
        self.find(pack).is_some()
    }

    /// Whether these frames of a pack were read and matched.
    pub(super) fn is_whole(&self, pack: &lumbung_pack::PackUse) -> bool {
        let without = |flaws: Option<&Vec<u32>>| {
            flaws.is_none_or(|flaws| !flaws.iter().any(|frame| pack.used.get(*frame)))
        };
        self.find(&pack.pack) == Some(pack.used.bits())
            && without(self.bad.get(&pack.pack))
            && without(self.absent.get(&pack.pack))
    }

    /// Those of a pack's frames that are used and were dropped, if the pack has as many frames as that says.
    pub(super) fn absent_among(&self, pack: &lumbung_pack::PackUse) -> lumbung_pack::Bitmap {
        let mut missed = lumbung_pack::Bitmap::new(pack.used.bits());
        if self.find(&pack.pack) == Some(pack.used.bits())
            && let Some(absent) = self.absent.get(&pack.pack)
        {
            absent
                .iter()
                .filter(|frame| pack.used.get(**frame))
                .for_each(|frame| missed.set(*frame));
        }
        missed
    }

    /// Packs that were read.
    pub(super) const fn packs(&self) -> usize {
        self.read.len()
    }

    /// Packs with frames that stay bad.
    pub(super) fn bad_packs(&self) -> Vec<PackId> {
        self.bad.keys().copied().collect()
    }

    /// Frames that stay bad.
    pub(super) fn bad(&self) -> u32 {
        self.bad.values().map(|frames| count(frames.len())).sum()
    }
}

/// The file of a pass under way.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    length: u64,
    batch: Vec<u8>,
    packs: usize,
    flushed: Instant,
    /// It could not be written once.
    broken: bool,
    /// Packs to be read in all.
    pub(super) of_packs: u64,
}

/// Where the journal of a repository's pass lies.
pub(super) fn path(data: &Path, repository: &RepositoryId) -> PathBuf {
    data.join("scrubs").join(repository.to_string())
}

fn header(repository: &RepositoryId, site: &SiteId, beginning: Beginning) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(repository.as_bytes());
    bytes.extend_from_slice(site.as_bytes());
    bytes.extend_from_slice(&beginning.started.0.to_le_bytes());
    bytes.extend_from_slice(&beginning.arrival.to_le_bytes());
    bytes.extend_from_slice(&beginning.report.to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    bytes
}

impl Journal {
    /// Begins a pass; what another left behind is dropped.
    pub(super) fn create(
        path: PathBuf,
        repository: &RepositoryId,
        site: &SiteId,
        beginning: Beginning,
    ) -> Result<Self, StoreError> {
        durable::make_directory(path.parent().unwrap_or(&path), 0o750)?;
        durable::replace_file(&path, &header(repository, site, beginning), 0o640)?;
        Self::open(path, HEADER_BYTES as u64)
    }

    fn open(path: PathBuf, length: u64) -> Result<Self, StoreError> {
        let opened = File::options().read(true).write(true).open(&path);
        let file = opened.and_then(|file| file.set_len(length).map(|()| file));
        let file = file.map_err(|e| io("opened", &path, e))?;
        let (batch, flushed) = (Vec::new(), Instant::now());
        Ok(Self { path, file, length, batch, packs: 0, flushed, broken: false, of_packs: 0 })
    }

    /// Goes on with the pass that the file tells of; nothing if there is none that can be used.
    pub(super) fn resume(
        path: PathBuf,
        repository: &RepositoryId,
        site: &SiteId,
    ) -> Result<Option<(Self, Beginning, Tally)>, StoreError> {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("read", &path, e)),
        };
        let Some((beginning, mut rest)) = begun(&bytes, repository, site) else { return Ok(None) };
        let mut tally = Tally::default();
        let mut length = HEADER_BYTES as u64;
        while let Some((entries, batch_bytes)) = next_batch(&mut rest) {
            entries.into_iter().for_each(|entry| tally.take(entry));
            length += batch_bytes;
        }
        tally.sort();
        Ok(Some((Self::open(path, length)?, beginning, tally)))
    }

    /// Notes a pack that was read.
    pub(super) fn note(&mut self, entry: &Entry, tally: &Tally) {
        entry.write(&mut self.batch);
        self.packs += 1;
        let urgent = entry.repaired > 0 || self.packs >= BATCH_PACKS;
        if urgent || self.flushed.elapsed() >= BATCH_TIME {
            self.flush(tally);
        }
    }

    /// Writes what was noted. Where that fails, the pass goes on without a journal.
    pub(super) fn flush(&mut self, tally: &Tally) {
        let mut batch = count(self.batch.len()).to_le_bytes().to_vec();
        batch.extend_from_slice(&lumbung_pack::object_id(&self.batch));
        batch.append(&mut self.batch);
        (self.packs, self.flushed) = (0, Instant::now());
        if self.broken {
            return;
        }
        let shown = [tally.packs() as u64, self.of_packs, tally.bytes];
        let shown: Vec<u8> = shown.into_iter().flat_map(u64::to_le_bytes).collect();
        let written = self
            .file
            .write_all_at(&batch, self.length)
            .and_then(|()| self.file.write_all_at(&shown, FIXED_BYTES as u64))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += batch.len() as u64,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "a scrub that is stopped now cannot go on from here");
                self.broken = true;
            }
        }
    }

    /// The pass has ended and its report is signed.
    pub(super) fn finish(self) -> Result<(), StoreError> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("removed", &self.path, e)),
            _ => Ok(()),
        }
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { action, path: path.to_owned(), source }
}

fn begun<'a>(
    bytes: &'a [u8],
    repository: &RepositoryId,
    site: &SiteId,
) -> Option<(Beginning, &'a [u8])> {
    let (mut header, rest) = bytes.split_at_checked(HEADER_BYTES)?;
    let header = &mut header;
    let ours = take::<8>(header)? == MAGIC
        && take::<32>(header)? == *repository.as_bytes()
        && take::<16>(header)? == *site.as_bytes();
    let started = Timestamp(i64::from_le_bytes(take(header)?));
    let arrival = u64::from_le_bytes(take(header)?);
    let report = u64::from_le_bytes(take(header)?);
    ours.then_some((Beginning { started, arrival, report }, rest))
}

/// The entries of the next batch, and its bytes.
fn next_batch(bytes: &mut &[u8]) -> Option<(Vec<Entry>, u64)> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let hash: [u8; 32] = take(bytes)?;
    let (mut batch, rest) = bytes.split_at_checked(length)?;
    if lumbung_pack::object_id(batch) != hash {
        return None;
    }
    *bytes = rest;
    let mut entries = Vec::new();
    while !batch.is_empty() {
        entries.push(Entry::read(&mut batch)?);
    }
    Some((entries, (BATCH_BYTES + length) as u64))
}

/// How far the pass of a repository is, if one is under way.
pub(crate) fn progress(data: &Path, repository: &RepositoryId) -> Option<Progress> {
    let file = File::open(path(data, repository)).ok()?;
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    let mut shown = header.get(8 + 32 + 16..)?;
    (header.get(..8)? == MAGIC).then_some(())?;
    let started = Timestamp(i64::from_le_bytes(take(&mut shown)?));
    let mut number = || Some(u64::from_le_bytes(take(&mut shown)?));
    let (_arrival, _report) = (number()?, number()?);
    Some(Progress { started, packs: number()?, of_packs: number()?, bytes: number()? })
}

#[cfg(test)]
mod tests {
    use lumbung_pack::{Bitmap, PackUse};

    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([7; 32]);
    const SITE: SiteId = SiteId::from_bytes([3; 16]);
    const BEGINNING: Beginning =
        Beginning { started: Timestamp(1_800_000_000), arrival: 12, report: 3 };

    fn entry(n: u8, bad: &[u32], absent: &[u32]) -> Entry {
        let (bad, absent) = (bad.to_vec(), absent.to_vec());
        let pack = PackId::from_bytes([n; 32]);
        Entry { pack, frames: 4, read: 4, bytes: 1000, repaired: 0, bad, absent }
    }

    fn uses(n: u8, frames: u32, used: &[u32]) -> PackUse {
        let mut bitmap = Bitmap::new(frames);
        used.iter().for_each(|frame| bitmap.set(*frame));
        PackUse { pack: PackId::from_bytes([n; 32]), used: bitmap }
    }

    #[test]
    fn a_pass_goes_on_where_the_file_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(folder.path(), &REPOSITORY);
        assert!(Journal::resume(path.clone(), &REPOSITORY, &SITE).unwrap().is_none());
        let mut journal = Journal::create(path.clone(), &REPOSITORY, &SITE, BEGINNING).unwrap();
        let mut tally = Tally::default();
        journal.of_packs = 9;
        let mut lengths = Vec::new();
        for (n, bad, absent) in
            [(5, &[][..], &[][..]), (2, &[1], &[]), (9, &[], &[0, 3]), (2, &[], &[])]
        {
            let entry = entry(n, bad, absent);
            tally.take(entry.clone());
            journal.note(&entry, &tally);
            journal.flush(&tally);
            lengths.push(std::fs::metadata(&path).unwrap().len());
        }
        tally.sort();
        let shown = progress(folder.path(), &REPOSITORY).unwrap();
        assert_eq!(
            (shown.started, shown.packs, shown.of_packs, shown.bytes),
            (BEGINNING.started, 3, 9, 3000)
        );
        let (_, beginning, read) =
            Journal::resume(path.clone(), &REPOSITORY, &SITE).unwrap().unwrap();
        assert_eq!((beginning, &read), (BEGINNING, &tally));
        assert_eq!((read.frames, read.bad(), read.bad_packs().len()), (12, 0, 0));
        // Whatever is cut off or changed, no more is believed than what stands before it.
        let good = std::fs::read(&path).unwrap();
        for at in HEADER_BYTES..good.len() {
            for flip in [false, true] {
                let mut bytes = good.clone();
                if flip {
                    bytes[at] ^= 1
                } else {
                    bytes.truncate(at)
                }
                std::fs::write(&path, bytes).unwrap();
                let (_, _, read) =
                    Journal::resume(path.clone(), &REPOSITORY, &SITE).unwrap().unwrap();
                let whole = lengths.iter().filter(|end| **end <= at as u64).count();
                let expected = [0, 4, 8, 12, 12][whole];
                assert_eq!(
                    (read.frames, read.bad()),
                    (expected, u32::from(whole == 2 || whole == 3)),
                    "{at} {flip}"
                );
                let kept = std::fs::metadata(&path).unwrap().len();
                assert_eq!(kept, if whole == 0 { HEADER_BYTES as u64 } else { lengths[whole - 1] });
            }
        }
        // Of another repository or site it is not ours.
        std::fs::write(&path, &good).unwrap();
        assert!(
            Journal::resume(path.clone(), &REPOSITORY, &SiteId::from_bytes([4; 16]))
                .unwrap()
                .is_none()
        );
        let (journal, ..) = Journal::resume(path, &REPOSITORY, &SITE).unwrap().unwrap();
        journal.finish().unwrap();
        assert_eq!(progress(folder.path(), &REPOSITORY), None);
    }

    #[test]
    fn only_what_was_read_and_matched_is_whole() {
        let mut tally = Tally::default();
        tally.take(entry(1, &[2], &[0]));
        tally.take(entry(3, &[], &[]));
        tally.sort();
        let whole = |n, frames, used: &[u32]| tally.is_whole(&uses(n, frames, used));
        assert!(whole(1, 4, &[1, 3]) && whole(3, 4, &[0, 1, 2, 3]));
        assert!(!whole(1, 4, &[2]) && !whole(1, 4, &[0, 1]), "bad, and dropped");
        assert!(!whole(2, 4, &[0]), "not read");
        assert!(!whole(3, 5, &[0]), "another number of frames");
    }
}
