//! Is everything on a medium that its lists name, and unharmed? Needs no key.
//!
//! Reads every byte: each object against its name, each frame against its pack's table, each snapshot by the commit
//! check of a vault, the list's signature and the chain of lists.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use lumbung_model::{
    AgentId, DatasetId, ManifestId, PackId, PublicKey, RepositoryId, SegmentId, SessionId, UsageId,
    with_causes,
};
use lumbung_pack::{
    Holdings, Kind, Manifest, Missing, PackFacts, Provenance, Refusal, RosterChain, Session,
    SessionFacts, Signed, check_manifest, open_signed,
};
use lumbung_store::medium::{KnownList, MediumLists};
use lumbung_store::{MediumDir, RepositoryDir, StoreError};

use super::MediaError;
use crate::snapshot::read_chain;
use crate::{Cancel, LocalDepot, Progress, Snapshot, Total};

const THREADS: usize = 2;

/// How a snapshot on a medium stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotState {
    /// Everything that it needs is here and was read.
    Whole,
    /// What is here is unharmed; packs of it are on other media.
    NeedsOtherMedia {
        /// How many packs.
        packs: u64,
    },
    /// It cannot be restored whole.
    Damaged {
        /// Why.
        reason: String,
    },
}

/// A snapshot that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedSnapshot {
    /// What its manifest says.
    pub snapshot: Snapshot,
    /// How it stands.
    pub state: SnapshotState,
    /// Stored bytes of its frames, by the list; none if the list does not name it.
    pub bytes: Option<u64>,
}

/// A repository of a medium that was checked.
#[derive(Clone)]
pub struct MediumCheck {
    /// Which.
    pub repository: RepositoryId,
    /// Its rosters on the medium.
    pub chain: RosterChain,
    /// Its newest list on the medium.
    pub list: Option<KnownList>,
    /// Its snapshots.
    pub snapshots: Vec<CheckedSnapshot>,
    /// What the list names and what is not here.
    pub missing: Vec<(Kind, [u8; 32])>,
    /// What is damaged, in words.
    pub damaged: Vec<String>,
    /// Objects that the list does not name: of an export that was broken off, or put here without one.
    pub unlisted: u64,
    /// Packs read.
    pub packs: u64,
    /// Frames that matched.
    pub frames: u64,
    /// Bytes read.
    pub bytes: u64,
}

impl MediumCheck {
    /// Whether everything that should be here is here and unharmed, and somebody entitled says what that is.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let damaged = |one: &CheckedSnapshot| matches!(one.state, SnapshotState::Damaged { .. });
        self.missing.is_empty() && self.damaged.is_empty() && !self.snapshots.iter().any(damaged)
    }

    /// Whether an entitled signer vouches for it.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.list.as_ref().is_some_and(|list| list.signer.is_some())
    }
}

/// What the reading of one repository has found.
#[derive(Default)]
struct Found {
    packs: Mutex<HashMap<PackId, PackFacts>>,
    damaged: Mutex<Vec<String>>,
    read_packs: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
}

/// Checks one repository of a medium. `others`: the same repository on other media, for packs that are not here.
///
/// # Errors
/// If the medium cannot be read at all, or its rosters are no chain.
pub fn verify_medium(
    medium: &MediumDir,
    repository: &RepositoryId,
    lists: &MediumLists,
    others: &[RepositoryDir],
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<MediumCheck, MediaError> {
    let directory = medium.repository(repository)?;
    let depot = LocalDepot::new(directory.clone());
    let chain = read_chain(&depot, Some(*repository))?;
    let list = lists.load(medium, &chain)?;
    let mut names: BTreeMap<Kind, Vec<[u8; 32]>> = BTreeMap::new();
    for kind in Kind::REPOSITORY {
        names.insert(kind, directory.list(kind)?);
    }
    let (missing, unlisted) = compare(list.as_ref(), &names);
    let found = Found::default();
    let packs = names.get(&Kind::Pack).map_or(&[][..], Vec::as_slice);
    progress.total(Total { files: packs.len() as u64, bytes: 0 });
    read_packs(&directory, packs, &found, progress, cancel)?;
    let small = names.iter().filter(|(kind, _)| **kind != Kind::Pack);
    for (kind, id) in small.flat_map(|(kind, ids)| ids.iter().map(|id| (*kind, *id))) {
        match directory.get(kind, &id) {
            Ok(bytes) => {
                found.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Err(error) => found.note(with_causes(&error)),
        }
    }
    let shelf = Shelf {
        directory: &directory,
        others,
        chain: &chain,
        packs: found.packs.into_inner().unwrap_or_else(PoisonError::into_inner),
        sessions: Mutex::default(),
        verified: Mutex::default(),
    };
    let named = list.as_ref().map(|list| &list.list.body);
    let mut snapshots = Vec::new();
    for id in names.get(&Kind::Manifest).into_iter().flatten() {
        let Ok(bytes) = directory.get(Kind::Manifest, id) else { continue };
        let manifest = match open_signed::<Manifest>(&bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                let name = ManifestId::from_bytes(*id);
                found
                    .damaged
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(format!("snapshot {name}: {}", with_causes(&error)));
                continue;
            }
        };
        let state = shelf.state(&manifest, named);
        let listed = named.and_then(|named| named.snapshot(&manifest.id));
        let bytes = listed.map(|listed| listed.bytes);
        snapshots.push(CheckedSnapshot { snapshot: Snapshot::of(&manifest, &chain), state, bytes });
    }
    snapshots.sort_by_key(|one| {
        let snapshot = &one.snapshot;
        (snapshot.dataset, snapshot.agent, snapshot.epoch, snapshot.sequence, snapshot.id)
    });
    Ok(MediumCheck {
        repository: *repository,
        chain: chain.clone(),
        list,
        snapshots,
        missing,
        damaged: found.damaged.into_inner().unwrap_or_else(PoisonError::into_inner),
        unlisted,
        packs: found.read_packs.into_inner(),
        frames: found.frames.into_inner(),
        bytes: found.bytes.into_inner(),
    })
}

/// What the list names and the folders lack, and how much is there that it does not name.
fn compare(
    list: Option<&KnownList>,
    names: &BTreeMap<Kind, Vec<[u8; 32]>>,
) -> (Vec<(Kind, [u8; 32])>, u64) {
    let there = |kind: Kind, id: &[u8; 32]| {
        names.get(&kind).is_some_and(|ids| ids.binary_search(id).is_ok())
    };
    let count = |named: u64| {
        let all: u64 = names.values().map(|ids| ids.len() as u64).sum();
        all.saturating_sub(named)
    };
    let Some(list) = list else { return (Vec::new(), count(0)) };
    let body = &list.list.body;
    let objects =
        body.objects.iter().flat_map(|objects| objects.ids.iter().map(|id| (objects.kind, *id)));
    let manifests = body.snapshots.iter().map(|one| (Kind::Manifest, *one.manifest.as_bytes()));
    let mut present = 0;
    let mut missing = Vec::new();
    for (kind, id) in objects.chain(manifests) {
        if there(kind, &id) {
            present += 1;
        } else {
            missing.push((kind, id));
        }
    }
    (missing, count(present))
}

impl Found {
    fn note(&self, what: String) {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Reads a pack whole.
    fn read(&self, directory: &RepositoryDir, id: &PackId) -> Result<(), MediaError> {
        let opened = directory.open_pack(id).and_then(|file| Ok((file.head()?, file)));
        let (table, file) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.note(with_causes(&error));
                return Ok(());
            }
        };
        let mut bad = Vec::new();
        let present = match directory.presence(id, &table) {
            Ok(present) => present,
            Err(error) => {
                self.note(with_causes(&error));
                None
            }
        };
        for frame in 0..table.frames.len() {
            let number = u32::try_from(frame).unwrap_or(u32::MAX);
            if present.as_ref().is_some_and(|present| !present.get(number)) {
                // Dropped before it came here; a snapshot that needs it is found incomplete.
                bad.push(number);
                continue;
            }
            match file.read_frame(&table, frame) {
                Ok(bytes) => {
                    self.frames.fetch_add(1, Ordering::Relaxed);
                    self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
                Err(error) => {
                    self.note(with_causes(&error));
                    bad.push(number);
                }
            }
        }
        if file.length() > table.total_length() {
            self.note(format!("pack {id} is longer than its table says"));
        }
        self.read_packs.fetch_add(1, Ordering::Relaxed);
        let facts = PackFacts {
            domain: table.header.domain,
            session: table.header.session,
            frames: table.frame_count(),
            bad,
        };
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, facts);
        Ok(())
    }
}

fn read_packs(
    directory: &RepositoryDir,
    packs: &[[u8; 32]],
    found: &Found,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<(), MediaError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<(), MediaError> {
        while let Some(id) = packs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if cancel.is_cancelled() {
                return Err(MediaError::Cancelled);
            }
            let before = found.bytes.load(Ordering::Relaxed);
            found.read(directory, &PackId::from_bytes(*id))?;
            progress.bytes(found.bytes.load(Ordering::Relaxed).saturating_sub(before));
            progress.files(1);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or(Err(MediaError::Thread)))
            .collect::<Vec<_>>()
    })
    .into_iter()
    .collect()
}

/// What a medium holds, as the commit check asks for it: packs as they were read.
struct Shelf<'a> {
    directory: &'a RepositoryDir,
    others: &'a [RepositoryDir],
    chain: &'a RosterChain,
    packs: HashMap<PackId, PackFacts>,
    sessions: Mutex<HashMap<SessionId, SessionFacts>>,
    verified: Mutex<HashMap<SegmentId, Vec<SessionId>>>,
}

struct Asked<'a> {
    shelf: &'a Shelf<'a>,
    signer: PublicKey,
}

impl Shelf<'_> {
    fn state(
        &self,
        manifest: &Signed<Manifest>,
        named: Option<&lumbung_pack::MediumList>,
    ) -> SnapshotState {
        let asked = Asked { shelf: self, signer: manifest.signer };
        match check_manifest(&asked, manifest, Provenance::Pulled) {
            Ok(admission) => {
                let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
                verified.extend(admission.newly_verified);
                SnapshotState::Whole
            }
            Err(Refusal::Incomplete(missing)) => self.incomplete(manifest, &missing, named),
            Err(error) => SnapshotState::Damaged { reason: with_causes(&error) },
        }
    }

    /// What is not here may be where the list says: on another medium.
    fn incomplete(
        &self,
        manifest: &Signed<Manifest>,
        missing: &Missing,
        named: Option<&lumbung_pack::MediumList>,
    ) -> SnapshotState {
        let elsewhere = named.is_some_and(|named| {
            let snapshot = named.snapshot(&manifest.id);
            let rests = snapshot.is_some_and(|snapshot| !snapshot.alone);
            let not_here = |pack: &lumbung_pack::PackUse| {
                !self.packs.contains_key(&pack.pack)
                    && !named.names(Kind::Pack, pack.pack.as_bytes())
            };
            rests && missing.packs.iter().all(not_here)
        });
        let packs: HashSet<PackId> = missing.packs.iter().map(|pack| pack.pack).collect();
        let small = missing.sessions.len() + missing.segments.len() + usize::from(missing.usage);
        if elsewhere && small == 0 {
            return SnapshotState::NeedsOtherMedia { packs: packs.len() as u64 };
        }
        let reason = format!(
            "{} packs are missing or damaged, and {small} sessions, usage lists and segments",
            packs.len()
        );
        SnapshotState::Damaged { reason }
    }

    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        for directory in std::iter::once(self.directory).chain(self.others) {
            if let Ok(bytes) = directory.get(kind, id) {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

impl Holdings for Asked<'_> {
    type Error = StoreError;

    fn chain(&self) -> &RosterChain {
        self.shelf.chain
    }

    fn session(&self, id: &SessionId) -> Result<Option<SessionFacts>, StoreError> {
        let mut sessions = self.shelf.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sessions.get(id) {
            return Ok(Some(known.clone()));
        }
        let bytes = self.shelf.object(Kind::Session, id.as_bytes())?;
        let facts = bytes
            .and_then(|bytes| open_signed::<Session>(&bytes).ok())
            .map(|session| SessionFacts::from(&session.body));
        if let Some(facts) = &facts {
            sessions.insert(*id, facts.clone());
        }
        Ok(facts)
    }

    fn usage(&self, id: &UsageId) -> Result<Option<Vec<u8>>, StoreError> {
        self.shelf.object(Kind::Usage, id.as_bytes())
    }

    fn segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, StoreError> {
        self.shelf.object(Kind::Segment, id.as_bytes())
    }

    fn verified_segment(&self, id: &SegmentId) -> Result<Option<Vec<SessionId>>, StoreError> {
        let verified = self.shelf.verified.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(verified.get(id).cloned())
    }

    fn pack(&self, id: &PackId) -> Result<Option<PackFacts>, StoreError> {
        if let Some(facts) = self.shelf.packs.get(id) {
            return Ok(Some(facts.clone()));
        }
        // On another medium: what its head and length say; that medium is verified by itself.
        let facts = self.shelf.others.iter().find_map(|other| {
            let file = other.open_pack(id).ok()?;
            let table = file.head().ok()?;
            (table.total_length() == file.length()).then(|| PackFacts {
                domain: table.header.domain,
                session: table.header.session,
                frames: table.frame_count(),
                bad: Vec::new(),
            })
        });
        Ok(facts)
    }

    fn agent_key(&self, _agent: &AgentId) -> Option<PublicKey> {
        Some(self.signer)
    }

    fn manifest_at(
        &self,
        _agent: &AgentId,
        _dataset: &DatasetId,
        _epoch: u32,
        _sequence: u64,
    ) -> Result<Option<ManifestId>, StoreError> {
        Ok(None)
    }

    fn has_manifest(&self, _id: &ManifestId) -> Result<bool, StoreError> {
        Ok(true)
    }
}
