//! Which pack holds which chunk: the heads of a snapshot's packs, read as far as they are needed.
//!
//! A usage list names packs by hash, so it does not tell where a chunk is; only the packs' tables do. For one file
//! they are read until its chunks are found, many at once, and those first that hold many frames: a catalogue's
//! chunks compress well, and everything begins with the catalogue.
//!
//! Invariants: a head is believed only if its hash is the pack's id, wherever it comes from, this machine's own
//! cache too; a pack of another repository, domain or session is an error and never skipped; a head that no
//! depot gives loses what is in its pack, and nothing else.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lumbung_model::{ChunkId, PackId, with_causes};
use lumbung_pack::{FormatError, Manifest, PackTable, PackUse};
use lumbung_seal::FrameOpener;

use super::SnapshotError;
use super::frames::head_of;
use crate::Depot;

/// Heads read at once from a directory, where a disk answers.
const LOCAL_READERS: usize = 4;
/// And over a network, where distance sets the speed.
const REMOTE_READERS: usize = 32;
/// Heads read before the chunk is looked for again: at first, and at most.
const BATCH: (usize, usize) = (64, 1024);
/// Heads kept beneath one of the cache's 256 folders before the oldest go.
const KEPT_IN_FOLDER: usize = 512;

/// A pack whose head was read.
pub(super) struct OpenedPack {
    pub(super) table: PackTable,
    pub(super) id: PackId,
    pub(super) opener: Mutex<Option<Arc<FrameOpener>>>,
}

/// Where heads are read.
pub(super) struct Depots<'a> {
    pub(super) depot: &'a dyn Depot,
    pub(super) fallback: Option<&'a dyn Depot>,
    /// Whose packs they must be.
    pub(super) manifest: &'a Manifest,
}

#[derive(Default)]
struct State {
    index: HashMap<ChunkId, (Arc<OpenedPack>, u32)>,
    /// Packs whose heads were not read yet; the next ones at the end.
    unread: Vec<PackUse>,
    /// Whether the cache was asked.
    warmed: bool,
    batch: usize,
    /// Whether a thread is reading: others wait for it.
    reading: bool,
    lost: Vec<String>,
}

/// The heads of a snapshot's packs.
pub(super) struct Heads {
    state: Mutex<State>,
    read: Condvar,
    cache: Option<HeadCache>,
}

impl Heads {
    pub(super) fn new(mut used: Vec<PackUse>, cache: Option<HeadCache>) -> Self {
        // By the number of frames, the most at the end; ties by id, so that the order is always the same.
        used.sort_by_key(|pack| (pack.used.bits(), Reverse(pack.pack)));
        let state = State { unread: used, batch: BATCH.0, ..State::default() };
        Self { state: Mutex::new(state), read: Condvar::new(), cache }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pack that holds a chunk, and the frame in it.
    pub(super) fn find(
        &self,
        id: &ChunkId,
        depots: &Depots<'_>,
    ) -> Result<(Arc<OpenedPack>, u32), SnapshotError> {
        let mut state = self.lock();
        loop {
            if let Some((pack, frame)) = state.index.get(id) {
                return Ok((pack.clone(), *frame));
            }
            state = self.more(state, depots)?.ok_or_else(|| self.unknown(id))?;
        }
    }

    /// Every chunk of the packs whose heads can be read.
    pub(super) fn all(&self, depots: &Depots<'_>) -> Result<Vec<ChunkId>, SnapshotError> {
        let mut state = self.lock();
        loop {
            match self.more(state, depots)? {
                Some(more) => state = more,
                None => return Ok(self.lock().index.keys().copied().collect()),
            }
        }
    }

    /// Reads some more heads, or waits for whoever does; nothing once all are read.
    fn more<'s>(
        &'s self,
        mut state: MutexGuard<'s, State>,
        depots: &Depots<'_>,
    ) -> Result<Option<MutexGuard<'s, State>>, SnapshotError> {
        if state.reading {
            let waited = self.read.wait_while(state, |state| state.reading);
            return Ok(Some(waited.unwrap_or_else(PoisonError::into_inner)));
        }
        if state.unread.is_empty() {
            return Ok(None);
        }
        let from_cache = !state.warmed && self.cache.is_some();
        let from = if from_cache { 0 } else { state.unread.len().saturating_sub(state.batch) };
        let batch = state.unread.split_off(from);
        state.reading = true;
        drop(state);
        // Whoever panics here must not leave the others waiting.
        let turn = Turn(self);
        let heads = self.read(&batch, from_cache, depots);
        let mut state = self.lock();
        state.warmed = true;
        if !from_cache {
            state.batch = (state.batch * 2).min(BATCH.1);
        }
        let kept = heads.and_then(|heads| state.take(&batch, heads, depots));
        if kept.is_err() {
            // It is as if nobody had asked: the next one asks again.
            state.unread.extend(batch);
        }
        drop(state);
        drop(turn);
        kept.map(|()| Some(self.lock()))
    }

    fn read(
        &self,
        batch: &[PackUse],
        from_cache: bool,
        depots: &Depots<'_>,
    ) -> Result<Vec<Head>, SnapshotError> {
        if from_cache {
            let cached = |pack: &PackUse| {
                let head = self.cache.as_ref().and_then(|cache| cache.get(pack));
                Ok(head.map_or(Head::Unread, Head::Read))
            };
            return in_parallel(batch, LOCAL_READERS, cached);
        }
        let readers =
            if depots.depot.local_path().is_some() { LOCAL_READERS } else { REMOTE_READERS };
        let heads = in_parallel(batch, readers, |pack| read_one(pack, depots, self.cache.as_ref()));
        if let (Some(cache), Some(pack)) = (&self.cache, batch.first()) {
            cache.thin_out(&pack.pack);
        }
        heads
    }

    /// Why a chunk is in no pack that could be read.
    fn unknown(&self, id: &ChunkId) -> SnapshotError {
        let state = self.lock();
        match state.lost.first() {
            None => SnapshotError::UnknownChunk(*id),
            Some(first) => SnapshotError::LostPacks {
                chunk: *id,
                packs: state.lost.len(),
                first: first.clone(),
            },
        }
    }
}

/// One thread's turn to read.
struct Turn<'a>(&'a Heads);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().reading = false;
        self.0.read.notify_all();
    }
}

enum Head {
    Read(PackTable),
    /// The cache does not have it.
    Unread,
    /// No depot has it whole; why.
    Lost(String),
}

impl State {
    /// Takes heads into the index.
    fn take(
        &mut self,
        batch: &[PackUse],
        heads: Vec<Head>,
        depots: &Depots<'_>,
    ) -> Result<(), SnapshotError> {
        let manifest = depots.manifest;
        for (pack, head) in batch.iter().zip(&heads) {
            let Head::Read(table) = head else { continue };
            let header = &table.header;
            if !manifest.sessions.contains(&header.session) {
                return Err(SnapshotError::UnknownSession(header.session));
            }
            if header.repository != manifest.repository || header.domain != manifest.domain {
                let (what, depot) = (format!("pack {}", pack.pack), depots.depot.describe());
                return Err(SnapshotError::Object { what, depot, source: FormatError::IdMismatch });
            }
        }
        for (pack, head) in batch.iter().zip(heads) {
            match head {
                Head::Unread => self.unread.push(pack.clone()),
                Head::Lost(why) => self.lost.push(why),
                Head::Read(table) => {
                    let opener = Mutex::default();
                    let opened = Arc::new(OpenedPack { table, id: pack.pack, opener });
                    for frame in pack.used.iter_ones() {
                        if let Some(entry) = opened.table.frames.get(frame as usize) {
                            let place = self.index.entry(entry.chunk);
                            place.or_insert_with(|| (opened.clone(), frame));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The head of a pack, or why there is none. A depot that does not answer is an error.
fn read_one(
    pack: &PackUse,
    depots: &Depots<'_>,
    cache: Option<&HeadCache>,
) -> Result<Head, SnapshotError> {
    let head = match (head_of(depots.depot, pack), depots.fallback) {
        (Err(_), Some(other)) => head_of(other, pack),
        (result, _) => result,
    };
    match head {
        Ok((table, bytes)) => {
            if let Some(cache) = cache {
                cache.put(&pack.pack, &bytes);
            }
            Ok(Head::Read(table))
        }
        Err(SnapshotError::Depot(error)) if error.is_transient() => Err(error.into()),
        Err(error) => Ok(Head::Lost(with_causes(&error))),
    }
}

/// Does the same with each item, several at once; the results in the items' order, or the first error.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, SnapshotError> + Sync,
) -> Result<Vec<R>, SnapshotError> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(i) else { return Ok(done) };
            match work(item) {
                Ok(result) => done.push((i, result)),
                Err(error) => {
                    next.store(items.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
    };
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.min(items.len())).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let mut all = Vec::with_capacity(items.len());
    for part in parts {
        all.extend(part.unwrap_or(Err(SnapshotError::Thread))?);
    }
    all.sort_unstable_by_key(|(i, _)| *i);
    Ok(all.into_iter().map(|(_, result)| result).collect())
}

/// Heads of packs on this machine, so that the next look into a snapshot need not fetch them again. They hold what
/// the depot sees: ids and lengths, no names and no content.
#[derive(Debug, Clone)]
pub struct HeadCache {
    folder: PathBuf,
}

impl HeadCache {
    /// A cache in that folder; made when there is something to keep.
    #[must_use]
    pub const fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, pack: &PackId) -> PathBuf {
        let name = pack.to_string();
        self.folder.join(&name[..2]).join(name)
    }

    /// A head that is whole and of that many frames.
    fn get(&self, pack: &PackUse) -> Option<PackTable> {
        let bytes = std::fs::read(self.path(&pack.pack)).ok()?;
        let table = PackTable::open(&pack.pack, &bytes).ok()?;
        (table.frames.len() == pack.used.bits() as usize).then_some(table)
    }

    /// Keeps a head if it can: whoever reads it checks it.
    fn put(&self, pack: &PackId, bytes: &[u8]) {
        let path = self.path(pack);
        let unfinished = path.with_extension(std::process::id().to_string());
        let kept = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| std::fs::write(&unfinished, bytes))
            .and_then(|()| std::fs::rename(&unfinished, &path));
        if kept.is_err() {
            let _ = std::fs::remove_file(&unfinished);
        }
    }

    /// Removes the oldest heads of one folder once there are too many. Ids are hashes: by and by it is every
    /// folder's turn.
    fn thin_out(&self, pack: &PackId) {
        let path = self.path(pack);
        let Some(folder) = path.parent() else { return };
        let mut heads: Vec<_> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        if heads.len() > KEPT_IN_FOLDER {
            heads.sort();
            for (_, path) in heads.drain(..KEPT_IN_FOLDER / 2) {
                let _ = std::fs::remove_file(path);
            }
        }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
