//! From a chunk's id to its plaintext: pack, range, hash, tag, chunk id; each checked.
//!
//! Which pack holds a chunk only the packs' heads tell. They are read when a chunk is looked for that none of
//! those read so far holds, and kept on this machine where that is allowed (`heads.rs`). A frame that is bad in one depot is read from the other, if there is one. Opened chunks are kept for a
//! while, and a chunk that two threads want is opened once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lumbung_model::{ChunkId, ManifestId, SegmentId, SessionId};
use lumbung_pack::limits::{FRAME_ENTRY_BYTES, PACK_FIXED_BYTES};
use lumbung_pack::{Kind, Manifest, PackTable, PackUse, RosterChain, Segment, UsageList, decode};
use lumbung_seal::catalogue::ContentRef;
use lumbung_seal::{
    FrameOpener, IdKey, Openings, RootPlain, Scratch, SealError, SessionKey, open_root,
};

use super::SnapshotError;
use super::heads::{Depots, HeadCache, Heads, OpenedPack, in_parallel};
use super::listing::read_object;
use super::opening::Opening;
use super::sessions::{Sealed, SessionOpener};
use crate::{Depot, DepotError};

/// Segments read at once.
const SEGMENT_READERS: usize = 8;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What opens the packs and the root.
enum Key {
    Sessions(Box<SessionOpener>),
    Granted(Arc<Openings>),
}

/// An opened session.
struct Keys {
    key: SessionKey,
    /// Of the domain. More than one only where wraps differ in it: an id that either makes is the chunk's.
    id_keys: Vec<IdKey>,
}

impl Keys {
    fn name(&self, plain: &[u8], id: &ChunkId) -> bool {
        self.id_keys.iter().any(|id_key| id_key.chunk_id(plain) == *id)
    }
}

/// The packs that a usage list names, in its order.
pub(crate) fn read_usage(
    depot: &dyn Depot,
    manifest: &Manifest,
) -> Result<Vec<PackUse>, SnapshotError> {
    let lines = read_usage_list(depot, manifest)?.segments;
    let mut packs = Vec::new();
    let segments = in_parallel(&lines, SEGMENT_READERS, |line| read_segment(depot, &line.segment))?;
    for (line, segment) in lines.iter().zip(segments) {
        if segment.repository != manifest.repository || segment.domain != manifest.domain {
            let error = lumbung_pack::FormatError::IdMismatch;
            return Err(damaged(depot, format!("segment {}", line.segment))(error));
        }
        packs.extend(segment.packs);
    }
    Ok(packs)
}

fn damaged(
    depot: &dyn Depot,
    what: String,
) -> impl FnOnce(lumbung_pack::FormatError) -> SnapshotError {
    let depot = depot.describe();
    move |source| SnapshotError::Object { what, depot, source }
}

/// A snapshot's usage list, of its repository and domain.
pub(crate) fn read_usage_list(
    depot: &dyn Depot,
    manifest: &Manifest,
) -> Result<UsageList, SnapshotError> {
    let bytes = read_object(depot, Kind::Usage, manifest.usage.as_bytes())?;
    let name = || format!("usage list {}", manifest.usage);
    let (list, _) = decode::<UsageList>(&bytes).map_err(damaged(depot, name()))?;
    if list.repository != manifest.repository || list.domain != manifest.domain {
        return Err(damaged(depot, name())(lumbung_pack::FormatError::IdMismatch));
    }
    Ok(list)
}

/// A segment, of whatever repository and domain it says.
pub(crate) fn read_segment(depot: &dyn Depot, id: &SegmentId) -> Result<Segment, SnapshotError> {
    let bytes = read_object(depot, Kind::Segment, id.as_bytes())?;
    let (segment, _) =
        decode::<Segment>(&bytes).map_err(damaged(depot, format!("segment {id}")))?;
    Ok(segment)
}

/// Header and table of a pack with that many frames, checked against its id.
pub(crate) fn read_head(depot: &dyn Depot, pack: &PackUse) -> Result<PackTable, SnapshotError> {
    head_of(depot, pack).map(|(table, _)| table)
}

/// As [`read_head`], with its bytes.
pub(super) fn head_of(
    depot: &dyn Depot,
    pack: &PackUse,
) -> Result<(PackTable, Vec<u8>), SnapshotError> {
    let length = PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * pack.used.bits() as usize;
    let head = depot.read_pack(&pack.pack, 0..length as u64)?;
    let damaged = |source: Option<lumbung_pack::FormatError>| DepotError::Damaged {
        kind: Kind::Pack,
        id: *pack.pack.as_bytes(),
        depot: depot.describe(),
        source: source.map(Into::into),
    };
    if head.len() != length {
        return Err(damaged(None).into());
    }
    let table = PackTable::open(&pack.pack, &head).map_err(|e| damaged(Some(e)))?;
    Ok((table, head))
}

type PackKeys = (Arc<FrameOpener>, Option<Arc<Keys>>);

/// The frames of a snapshot.
pub(crate) struct Frames {
    depot: Arc<dyn Depot>,
    fallback: Option<Arc<dyn Depot>>,
    manifest: Manifest,
    key: Key,
    heads: Heads,
    sessions: Mutex<HashMap<SessionId, Arc<Keys>>>,
    scratches: Mutex<Vec<Scratch>>,
}

impl Frames {
    /// Reads usage list and segments. `kept`: where the heads of packs are kept on this machine.
    pub(crate) fn open(
        depot: Arc<dyn Depot>,
        fallback: Option<Arc<dyn Depot>>,
        (chain, manifest): (&RosterChain, &Manifest),
        opening: Opening,
        kept: Option<HeadCache>,
    ) -> Result<Self, SnapshotError> {
        let key = match opening {
            Opening::Recovery(key) => {
                Key::Sessions(Box::new(SessionOpener::new(chain.clone(), key)))
            }
            Opening::Granted(openings) => Key::Granted(openings),
        };
        let used = match (read_usage(depot.as_ref(), manifest), fallback.as_deref()) {
            (Err(_), Some(other)) => read_usage(other, manifest)?,
            (result, _) => result?,
        };
        Ok(Self {
            depot,
            fallback,
            manifest: manifest.clone(),
            key,
            heads: Heads::new(used, kept),
            sessions: Mutex::default(),
            scratches: Mutex::default(),
        })
    }

    /// The root of this manifest, which has that id.
    pub(crate) fn root(&self, id: &ManifestId) -> Result<RootPlain, SnapshotError> {
        let closed = |source| {
            let what = format!("the root of snapshot {id}");
            SnapshotError::Open { what, source }
        };
        match &self.key {
            Key::Sessions(sessions) => {
                let first = self.manifest.sessions.first().copied().unwrap_or(SessionId::ZERO);
                let keys = self.keys(&first, sessions, Sealed::Root(&self.manifest))?;
                open_root(&keys.key, &self.manifest).map_err(closed)
            }
            Key::Granted(openings) => openings.open_root(id, &self.manifest).map_err(closed),
        }
    }

    /// A session's keys; opened once.
    fn keys(
        &self,
        id: &SessionId,
        opener: &SessionOpener,
        sealed: Sealed<'_>,
    ) -> Result<Arc<Keys>, SnapshotError> {
        if let Some(keys) = lock(&self.sessions).get(id) {
            return Ok(keys.clone());
        }
        let depots = (self.depot.as_ref(), self.fallback.as_deref());
        let opened = opener.open(depots, &self.manifest, id, sealed)?;
        let id_keys = opened.iter().map(|opened| opened.domain.id_key()).collect();
        let Some(first) = opened.into_iter().next() else {
            return Err(SnapshotError::UnknownSession(*id));
        };
        let keys = Arc::new(Keys { key: first.key, id_keys });
        lock(&self.sessions).insert(*id, keys.clone());
        Ok(keys)
    }

    /// What opens the frames of a pack, and the keys of its session where they are known.
    fn opener(&self, pack: &OpenedPack) -> Result<PackKeys, SnapshotError> {
        let keys = match &self.key {
            Key::Sessions(sessions) => {
                let header = &pack.table.header;
                Some(self.keys(&header.session, sessions, Sealed::Pack(header))?)
            }
            Key::Granted(_) => None,
        };
        let mut kept = lock(&pack.opener);
        if let Some(opener) = kept.as_ref() {
            return Ok((opener.clone(), keys));
        }
        let made = match (&self.key, &keys) {
            (Key::Granted(openings), _) => openings.opener(&pack.table),
            (Key::Sessions(_), Some(keys)) => FrameOpener::new(&pack.table.header, &keys.key),
            (Key::Sessions(_), None) => Err(SealError::Commitment),
        };
        let opener = made
            .map_err(|source| SnapshotError::Open { what: format!("pack {}", pack.id), source })?;
        let opener = Arc::new(opener);
        *kept = Some(opener.clone());
        Ok((opener, keys))
    }

    /// A chunk's plaintext, and whether a fallback was needed for it: the caller's, or else the snapshot's own.
    pub(crate) fn chunk(
        &self,
        id: &ChunkId,
        fallback: Option<&dyn Depot>,
    ) -> Result<(Vec<u8>, bool), SnapshotError> {
        let fallback = fallback.or(self.fallback.as_deref());
        let (pack, frame) = self.find(id)?;
        match (self.read_from(self.depot.as_ref(), &pack, frame), fallback) {
            (Ok(plain), _) => Ok((plain, false)),
            (Err(error), None) => Err(error),
            (Err(error), Some(other)) => match self.read_from(other, &pack, frame) {
                Ok(plain) => Ok((plain, true)),
                Err(_) => Err(error),
            },
        }
    }

    fn depots(&self) -> Depots<'_> {
        Depots {
            depot: self.depot.as_ref(),
            fallback: self.fallback.as_deref(),
            manifest: &self.manifest,
        }
    }

    fn find(&self, id: &ChunkId) -> Result<(Arc<OpenedPack>, u32), SnapshotError> {
        self.heads.find(id, &self.depots())
    }

    fn read_from(
        &self,
        depot: &dyn Depot,
        pack: &OpenedPack,
        frame: u32,
    ) -> Result<Vec<u8>, SnapshotError> {
        let number = frame as usize;
        let stored = depot.read_pack(&pack.id, pack.table.frame_range(number))?;
        let what = || format!("frame {frame} of pack {}", pack.id);
        pack.table.verify_frame(number, &stored).map_err(|source| SnapshotError::Object {
            what: what(),
            depot: depot.describe(),
            source,
        })?;
        let (opener, keys) = self.opener(pack)?;
        let mut scratch = match lock(&self.scratches).pop() {
            Some(scratch) => scratch,
            None => Scratch::new().map_err(|e| SnapshotError::Open {
                what: what(),
                source: lumbung_seal::SealError::Compress(e),
            })?,
        };
        let entry = &pack.table.frames[number];
        let opened = opener.open_named(frame, entry, &stored, &mut scratch);
        let opened = opened.and_then(|plain| match &keys {
            Some(keys) if !keys.name(&plain, &entry.chunk) => {
                Err(SealError::ChunkId { frame, chunk: entry.chunk })
            }
            _ => Ok(plain),
        });
        lock(&self.scratches).push(scratch);
        opened.map_err(|source| SnapshotError::Open { what: what(), source })
    }

    /// Bytes of a chunk's plaintext, by its pack's table.
    fn plain_length(&self, id: &ChunkId) -> Result<u32, SnapshotError> {
        let (pack, frame) = self.find(id)?;
        let entry = pack.table.frames.get(frame as usize);
        entry.map(|entry| entry.plain_length).ok_or(SnapshotError::UnknownChunk(*id))
    }

    /// Whether these bytes are the chunk, by its id.
    fn is(&self, id: &ChunkId, bytes: &[u8]) -> Result<bool, SnapshotError> {
        let (pack, _) = self.find(id)?;
        match &self.key {
            Key::Sessions(sessions) => {
                let header = &pack.table.header;
                let keys = self.keys(&header.session, sessions, Sealed::Pack(header))?;
                Ok(keys.name(bytes, id))
            }
            // A grant has no key that makes ids.
            Key::Granted(_) => Ok(self.chunk(id, None)?.0 == bytes),
        }
    }

    /// Every chunk that the snapshot uses, as far as heads can be read.
    pub(crate) fn chunks(&self) -> Result<Vec<ChunkId>, SnapshotError> {
        self.heads.all(&self.depots())
    }
}

struct Kept {
    chunk: Arc<Vec<u8>>,
    used: u64,
}

#[derive(Default)]
struct CacheState {
    kept: HashMap<ChunkId, Kept>,
    by_use: BTreeMap<u64, ChunkId>,
    bytes: usize,
    clock: u64,
    opening: HashSet<ChunkId>,
}

/// Opened chunks, the last used ones kept.
pub(crate) struct ChunkCache {
    frames: Arc<Frames>,
    fallback: Option<Arc<dyn Depot>>,
    capacity: usize,
    state: Mutex<CacheState>,
    opened: Condvar,
    /// Frames that came from the fallback.
    pub(crate) repaired: AtomicU64,
}

impl ChunkCache {
    pub(crate) fn new(
        frames: &Arc<Frames>,
        fallback: Option<Arc<dyn Depot>>,
        capacity: usize,
    ) -> Self {
        let (state, opened, repaired) = (Mutex::default(), Condvar::new(), AtomicU64::new(0));
        let frames = frames.clone();
        Self { frames, fallback, capacity, state, opened, repaired }
    }

    /// Whether a reference names all of its chunk.
    pub(crate) fn is_whole(&self, part: &ContentRef) -> Result<bool, SnapshotError> {
        Ok(part.offset == 0 && self.frames.plain_length(&part.chunk)? == part.length)
    }

    /// Whether these bytes are the chunk, by its id.
    pub(crate) fn is(&self, id: &ChunkId, bytes: &[u8]) -> Result<bool, SnapshotError> {
        self.frames.is(id, bytes)
    }

    /// A chunk's plaintext.
    pub(crate) fn get(&self, id: &ChunkId) -> Result<Arc<Vec<u8>>, SnapshotError> {
        let mut state = lock(&self.state);
        loop {
            if let Some(chunk) = state.take_note(id) {
                return Ok(chunk);
            }
            if state.opening.insert(*id) {
                break;
            }
            state = self.opened.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        let result = self.frames.chunk(id, self.fallback.as_deref());
        let mut state = lock(&self.state);
        state.opening.remove(id);
        self.opened.notify_all();
        let (plain, repaired) = result?;
        self.repaired.fetch_add(u64::from(repaired), Ordering::Relaxed);
        let chunk = Arc::new(plain);
        state.keep(*id, chunk.clone(), self.capacity);
        Ok(chunk)
    }
}

impl CacheState {
    /// A kept chunk, noted as just used.
    fn take_note(&mut self, id: &ChunkId) -> Option<Arc<Vec<u8>>> {
        self.clock += 1;
        let kept = self.kept.get_mut(id)?;
        self.by_use.remove(&kept.used);
        kept.used = self.clock;
        self.by_use.insert(self.clock, *id);
        Some(kept.chunk.clone())
    }

    fn keep(&mut self, id: ChunkId, chunk: Arc<Vec<u8>>, capacity: usize) {
        self.clock += 1;
        self.bytes += chunk.len();
        self.kept.insert(id, Kept { chunk, used: self.clock });
        self.by_use.insert(self.clock, id);
        while self.bytes > capacity && self.kept.len() > 1 {
            let Some((_, oldest)) = self.by_use.pop_first() else { return };
            if let Some(gone) = self.kept.remove(&oldest) {
                self.bytes -= gone.chunk.len();
            }
        }
    }
}
