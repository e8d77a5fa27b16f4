//! Verification of a whole depot, without any key unless one is given.
//!
//! Invariants: nothing is said to be whole that was not read and hashed in this run; an error that may pass ends
//! the verification, since it says nothing of the data.

mod needs;
mod packs;

use std::collections::BTreeMap;
use std::sync::Arc;

use lumbung_model::{ManifestId, PackId, RepositoryId, with_causes};
use lumbung_pack::{Kind, Manifest, Signed};
use lumbung_seal::RecoveryKey;

use self::needs::Needs;
use self::packs::{PackReader, Wanted};
use crate::snapshot::{Include, SnapshotError, SnapshotReader, read_chain, read_manifest};
use crate::{Cancel, Depot, Progress};

const REASONS: usize = 100;

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
    let mut needs = Needs::new(depot.as_ref());
    let mut manifests = Vec::new();
    for id in depot.manifests(None)? {
        report.snapshots += 1;
        match read_manifest(depot.as_ref(), &chain, &id) {
            Ok(manifest) => {
                if !chain.authorizes(&manifest) {
                    report.unauthorized.push(id);
                }
                needs.add(&manifest, &mut damage)?;
                manifests.push(manifest);
            }
            Err(error) => damage.note(id, lasting(error)?),
        }
    }
    let wanted = wanted(depot.as_ref(), &needs)?;
    let packs = PackReader::new(depot.as_ref(), progress, cancel);
    let faults = packs.read_all(&wanted)?;
    needs.judge(&manifests, &faults, &mut damage);
    for (pack, faults) in faults.iter().filter(|(pack, _)| !needs.packs.contains_key(pack)) {
        let reasons = faults.all().map(|reason| format!("unused pack {pack}: {reason}"));
        report.findings.extend(reasons);
    }
    needs.check_objects(&mut report.findings)?;
    if let Some(key) = key {
        open_all(depot, &manifests, key, &mut damage, &mut report, cancel)?;
    }
    report.findings.sort_unstable();
    report.packs = packs.packs.into_inner();
    report.frames = packs.frames.into_inner();
    report.bytes = packs.bytes.into_inner();
    report.damaged = damage.into_snapshots();
    Ok(report)
}

/// The packs that a snapshot names or that are here, ascending.
fn wanted(depot: &dyn Depot, needs: &Needs<'_>) -> Result<Vec<Wanted>, SnapshotError> {
    let mut wanted: Vec<Wanted> =
        needs.packs.iter().map(|(pack, frames)| (*pack, Some(*frames))).collect();
    // Packs that no snapshot uses (yet) are read as well.
    let here = depot.list(Kind::Pack)?.into_iter().map(PackId::from_bytes);
    wanted.extend(here.filter(|pack| !needs.packs.contains_key(pack)).map(|pack| (pack, None)));
    wanted.sort_unstable_by_key(|(pack, _)| *pack);
    Ok(wanted)
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
        let chunks = match reader.frames().chunks() {
            Ok(chunks) => chunks,
            Err(error) => {
                damage.note(manifest.id, lasting(error)?);
                continue;
            }
        };
        for chunk in &chunks {
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
