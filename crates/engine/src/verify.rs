//! Verification of a whole depot, without any key unless one is given.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::{DomainId, ManifestId, PackId, RepositoryId, SessionId, with_causes};
use lumbung_pack::{Bitmap, Kind, Manifest, PackTable, PackUse, Session, Signed, open_signed};
use lumbung_seal::RecoveryKey;

use crate::depot::hex;
use crate::snapshot::{
    Include, SnapshotError, SnapshotReader, read_chain, read_head, read_manifest, read_usage,
};
use crate::{Cancel, Depot, Progress, Total};

const THREADS: usize = 2;
const REASONS: usize = 100;
/// Frames that lie together are read together, up to about so many bytes.
const READ_BYTES: u64 = 4 << 20;

/// A snapshot that cannot be restored whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// The snapshot.
    pub snapshot: ManifestId,
    /// What is wrong with it; at most 100 are kept.
    pub reasons: Vec<String>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct VerifyReport {
    /// Snapshots looked at, partial ones included.
    pub snapshots: u64,
    /// Packs read.
    pub packs: u64,
    /// Frames whose hash was compared.
    pub frames: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Frames opened with the key.
    pub opened_frames: u64,
    /// Snapshots that are damaged.
    pub damaged: Vec<DamagedSnapshot>,
    /// Other findings: objects that do not decode, packs that nobody uses and are damaged.
    pub findings: Vec<String>,
    /// Snapshots that no roster authorises.
    pub unauthorized: Vec<ManifestId>,
}

impl VerifyReport {
    /// Whether everything is whole.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.damaged.is_empty() && self.findings.is_empty()
    }
}

/// Verifies everything in a depot: rosters, manifests, sessions, usage lists, segments, packs and the hash
/// of every frame; with a key, also that every snapshot opens, catalogue and content.
///
/// # Errors
/// If the depot cannot be listed or has no valid rosters.
pub fn verify(
    depot: &Arc<dyn Depot>,
    repository: Option<RepositoryId>,
    key: Option<&RecoveryKey>,
    progress: &dyn Progress,
    cancel: &Cancel,
) -> Result<VerifyReport, SnapshotError> {
    let chain = read_chain(depot.as_ref(), repository)?;
    let mut report = VerifyReport::default();
    let mut damage = Damage::default();
    let mut plan = Plan::default();
    let mut manifests = Vec::new();
    for id in depot.manifests(None)? {
        report.snapshots += 1;
        match read_manifest(depot.as_ref(), &chain, &id) {
            Ok(manifest) => {
                if !chain.authorizes(&manifest) {
                    report.unauthorized.push(id);
                }
                plan.add(depot.as_ref(), &manifest, &mut damage)?;
                manifests.push(manifest);
            }
            Err(error) => damage.note(id, lasting(error)?),
        }
    }
    plan.add_unused(depot.as_ref())?;
    progress.total(Total { files: plan.packs.len() as u64, bytes: 0 });
    let packs = PackReader { depot: depot.as_ref(), progress, cancel, counts: Counts::default() };
    for (pack, what) in packs.read_all(&plan.packs)? {
        let users = plan.users.get(&pack).map_or(&[][..], Vec::as_slice);
        for (user, used) in users {
            match &what {
                Fault::Whole(reason) => damage.note(*user, reason.clone()),
                Fault::Frame(frame, reason) if used.get(*frame) => {
                    damage.note(*user, reason.clone())
                }
                Fault::Frame(..) => {}
            }
        }
        if users.is_empty() {
            report.findings.push(what.reason().to_owned());
        }
    }
    check_objects(depot.as_ref(), &mut report)?;
    if let Some(key) = key {
        open_all(depot, &manifests, key, &mut damage, &mut report, cancel)?;
    }
    report.packs = packs.counts.packs.into_inner();
    report.frames = packs.counts.frames.into_inner();
    report.bytes = packs.counts.bytes.into_inner();
    report.damaged = damage.into_snapshots();
    Ok(report)
}

/// An error as a reason; one that may pass ends the verification instead, since it says nothing of the data.
fn lasting(error: SnapshotError) -> Result<String, SnapshotError> {
    match error {
        SnapshotError::Depot(error) if error.is_transient() => Err(error.into()),
        SnapshotError::Cancelled => Err(SnapshotError::Cancelled),
        other => Ok(with_causes(&other)),
    }
}

#[derive(Default)]
struct Damage(BTreeMap<ManifestId, Vec<String>>);

impl Damage {
    fn note(&mut self, snapshot: ManifestId, reason: String) {
        let reasons = self.0.entry(snapshot).or_default();
        if reasons.len() < REASONS && !reasons.contains(&reason) {
            reasons.push(reason);
        }
    }

    fn into_snapshots(self) -> Vec<DamagedSnapshot> {
        self.0
            .into_iter()
            .map(|(snapshot, reasons)| DamagedSnapshot { snapshot, reasons })
            .collect()
    }
}

/// Which packs are to be read, and who uses what of them.
#[derive(Default)]
struct Plan {
    packs: Vec<(PackId, Option<u32>)>,
    users: HashMap<PackId, Vec<(ManifestId, Bitmap)>>,
    /// The dedup domain of each session, or what is wrong with it.
    sessions: HashMap<SessionId, Result<DomainId, String>>,
}

impl Plan {
    fn add(
        &mut self,
        depot: &dyn Depot,
        manifest: &Signed<Manifest>,
        damage: &mut Damage,
    ) -> Result<(), SnapshotError> {
        for session in &manifest.body.sessions {
            if let Some(reason) = self.session(depot, session, manifest)? {
                damage.note(manifest.id, reason);
            }
        }
        let packs = match read_usage(depot, &manifest.body) {
            Ok(packs) => packs,
            Err(error) => {
                damage.note(manifest.id, lasting(error)?);
                return Ok(());
            }
        };
        for PackUse { pack, used } in packs {
            let users = self.users.entry(pack).or_default();
            if users.is_empty() {
                self.packs.push((pack, Some(used.bits())));
            }
            users.push((manifest.id, used));
        }
        Ok(())
    }

    /// What is wrong with a session, if anything.
    fn session(
        &mut self,
        depot: &dyn Depot,
        id: &SessionId,
        manifest: &Signed<Manifest>,
    ) -> Result<Option<String>, SnapshotError> {
        let known = match self.sessions.get(id) {
            Some(known) => known,
            None => {
                let found = read_session(depot, id)?;
                self.sessions.entry(*id).or_insert(found)
            }
        };
        Ok(match known {
            Ok(domain) if *domain == manifest.body.domain => None,
            Ok(_) => Some(format!("session {id} is of another dedup domain")),
            Err(reason) => Some(reason.clone()),
        })
    }

    /// Packs that no snapshot uses (yet) are read as well.
    fn add_unused(&mut self, depot: &dyn Depot) -> Result<(), SnapshotError> {
        for id in depot.list(Kind::Pack)? {
            let pack = PackId::from_bytes(id);
            if !self.users.contains_key(&pack) {
                self.packs.push((pack, None));
            }
        }
        Ok(())
    }
}

/// The domain of a session, or what is wrong with it.
fn read_session(
    depot: &dyn Depot,
    id: &SessionId,
) -> Result<Result<DomainId, String>, SnapshotError> {
    Ok(match depot.get(Kind::Session, id.as_bytes()) {
        Err(error) => Err(lasting(error.into())?),
        Ok(bytes) if lumbung_pack::object_id(&bytes) != *id.as_bytes() => {
            Err(format!("session {id} is damaged"))
        }
        Ok(bytes) => open_signed::<Session>(&bytes)
            .map(|session| session.body.domain)
            .map_err(|error| format!("session {id}: {}", with_causes(&error))),
    })
}

enum Fault {
    Whole(String),
    Frame(u32, String),
}

impl Fault {
    fn reason(&self) -> &str {
        match self {
            Self::Whole(reason) | Self::Frame(_, reason) => reason,
        }
    }
}

#[derive(Default)]
struct Counts {
    packs: AtomicU64,
    frames: AtomicU64,
    bytes: AtomicU64,
}

struct PackReader<'a> {
    depot: &'a dyn Depot,
    progress: &'a dyn Progress,
    cancel: &'a Cancel,
    counts: Counts,
}

impl PackReader<'_> {
    fn read_all(
        &self,
        packs: &[(PackId, Option<u32>)],
    ) -> Result<Vec<(PackId, Fault)>, SnapshotError> {
        let next = AtomicU64::new(0);
        let found = Mutex::new(Vec::new());
        let work = || -> Result<(), SnapshotError> {
            while let Ok(i) = usize::try_from(next.fetch_add(1, Ordering::Relaxed)) {
                let Some((pack, frames)) = packs.get(i) else { return Ok(()) };
                if self.cancel.is_cancelled() {
                    return Err(SnapshotError::Cancelled);
                }
                let faults = self.read(pack, *frames)?;
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.extend(faults.into_iter().map(|fault| (*pack, fault)));
            }
            Ok(())
        };
        let results = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or(Err(SnapshotError::Thread)))
                .collect::<Vec<_>>()
        });
        results.into_iter().collect::<Result<(), _>>()?;
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn head(&self, pack: &PackId, frames: Option<u32>) -> Result<PackTable, SnapshotError> {
        let frames = match frames {
            Some(frames) => frames,
            None => {
                let fixed =
                    self.depot.read_pack(pack, 0..lumbung_pack::limits::PACK_FIXED_BYTES as u64)?;
                let count = fixed.last_chunk::<4>().map_or(0, |count| u32::from_le_bytes(*count));
                count.min(u32::try_from(lumbung_pack::limits::PACK_MAX_FRAMES).unwrap_or(u32::MAX))
            }
        };
        read_head(self.depot, &PackUse { pack: *pack, used: Bitmap::new(frames) })
    }

    fn read(&self, pack: &PackId, frames: Option<u32>) -> Result<Vec<Fault>, SnapshotError> {
        let table = match self.head(pack, frames) {
            Ok(table) => table,
            Err(error) => return Ok(vec![Fault::Whole(lasting(error)?)]),
        };
        self.counts.packs.fetch_add(1, Ordering::Relaxed);
        let mut faults = Vec::new();
        let mut start = 0;
        while start < table.frames.len() {
            let from = table.frame_range(start).start;
            let mut end = start + 1;
            while end < table.frames.len() && table.frame_range(end).end - from <= READ_BYTES {
                end += 1;
            }
            self.frames(pack, &table, start..end, &mut faults)?;
            start = end;
        }
        self.progress.files(1);
        Ok(faults)
    }

    /// Reads and hashes frames that lie together; one by one where that fails.
    fn frames(
        &self,
        pack: &PackId,
        table: &PackTable,
        frames: std::ops::Range<usize>,
        faults: &mut Vec<Fault>,
    ) -> Result<(), SnapshotError> {
        let from = table.frame_range(frames.start).start;
        let to = table.frame_range(frames.end - 1).end;
        let together = self.depot.read_pack(pack, from..to).ok();
        for frame in frames {
            let range = table.frame_range(frame);
            let place = |n: u64| usize::try_from(n - from).unwrap_or(usize::MAX);
            let alone;
            let stored = match together
                .as_ref()
                .and_then(|bytes| bytes.get(place(range.start)..place(range.end)))
            {
                Some(stored) => Ok(stored),
                None => match self.depot.read_pack(pack, range.clone()) {
                    Ok(bytes) => {
                        alone = bytes;
                        Ok(&alone[..])
                    }
                    Err(error) => Err(lasting(error.into())?),
                },
            };
            let number = u32::try_from(frame).unwrap_or(u32::MAX);
            let fault = match stored {
                Ok(stored) => {
                    table.verify_frame(frame, stored).err().map(|error| with_causes(&error))
                }
                Err(reason) => Some(reason),
            };
            match fault {
                None => {
                    self.counts.frames.fetch_add(1, Ordering::Relaxed);
                    self.counts.bytes.fetch_add(range.end - range.start, Ordering::Relaxed);
                    self.progress.bytes(range.end - range.start);
                }
                Some(reason) => faults
                    .push(Fault::Frame(number, format!("frame {frame} of pack {pack}: {reason}"))),
            }
        }
        Ok(())
    }
}

/// Objects that no snapshot needs are at least what their names say.
fn check_objects(depot: &dyn Depot, report: &mut VerifyReport) -> Result<(), SnapshotError> {
    for kind in [
        Kind::Session,
        Kind::Segment,
        Kind::Usage,
        Kind::Receipt,
        Kind::Inventory,
        Kind::Scrub,
        Kind::Proof,
    ] {
        for id in depot.list(kind)? {
            let whole = match depot.get(kind, &id) {
                Ok(bytes) => lumbung_pack::object_id(&bytes) == id,
                Err(error) => {
                    lasting(error.into())?;
                    false
                }
            };
            if !whole {
                report.findings.push(format!("{} {} is damaged", kind.name(), hex(&id)));
            }
        }
    }
    Ok(())
}

/// Opens every snapshot: its whole catalogue and every chunk.
fn open_all(
    depot: &Arc<dyn Depot>,
    manifests: &[Signed<Manifest>],
    key: &RecoveryKey,
    damage: &mut Damage,
    report: &mut VerifyReport,
    cancel: &Cancel,
) -> Result<(), SnapshotError> {
    let mut opened = std::collections::HashSet::new();
    for manifest in manifests.iter().filter(|manifest| !manifest.body.partial) {
        let repository = Some(manifest.body.repository);
        let reader = match SnapshotReader::open(depot.clone(), repository, &manifest.id, key) {
            Ok(reader) => reader,
            Err(error) => {
                damage.note(manifest.id, lasting(error)?);
                continue;
            }
        };
        let mut entries = reader.entries(&Include::all());
        loop {
            match entries.next() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => damage.note(manifest.id, lasting(error)?),
            }
        }
        for chunk in reader.frames().chunks() {
            if cancel.is_cancelled() {
                return Err(SnapshotError::Cancelled);
            }
            if opened.contains(chunk) {
                continue;
            }
            match reader.frames().chunk(chunk, None) {
                Ok(_) => {
                    opened.insert(*chunk);
                    report.opened_frames += 1;
                }
                Err(error) => damage.note(manifest.id, lasting(error)?),
            }
        }
    }
    Ok(())
}
