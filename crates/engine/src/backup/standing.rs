//! Verifiers with a standing approval for the dataset: this run's session is opened to each, and only frames that each of
//! them can open are reused.
//!
//! Invariants: an opening is at the depot before the first pack of its session; a frame is taken from a session that was
//! opened to every verifier, or from the base that the owner granted, and anything else is stored anew, so that what a
//! verifier reads is whole and is this dataset's alone. A depot that takes no opening gets its backup all the same.

use std::collections::{HashMap, HashSet};

use lumbung_model::{ConsentId, ManifestId, PackId, SessionId};
use lumbung_pack::{
    Bitmap, Kind, PackHeader, PackUse, RosterChain, SessionOpening, StandingApproval, object_id,
    open_signed, sign,
};
use lumbung_seal::{SessionKey, seal_opening};

use super::retry::Retry;
use super::{BackupError, BackupRequest};
use crate::snapshot::{SnapshotError, read_manifest, read_usage};
use crate::state::{Approvals, Journal, Record, StateDir, load_base, store_base};
use crate::{Depot, DepotError, StateError};

/// Somebody to whom runs of this dataset are opened, and what they can open already.
struct Verifier {
    approval: StandingApproval,
    /// Sessions that were opened to them.
    opened: HashSet<SessionId>,
    /// The frames that the base's grants open.
    base: HashMap<PackId, Bitmap>,
}

/// Who is to be able to open this run.
pub(super) struct Verifiers {
    verifiers: Vec<Verifier>,
    /// What did not go as it should, for the run's warnings.
    pub(super) warnings: Vec<String>,
}

impl Verifiers {
    /// Those whose approval holds now. Revocations are asked for at every depot: one that withholds them is not enough.
    pub(super) fn find(
        retry: &Retry<'_>,
        state: &StateDir,
        request: &BackupRequest<'_>,
        (depot, chain): (&dyn Depot, &RosterChain),
        journal: &Journal,
    ) -> Result<Self, BackupError> {
        let now = request.clock.now();
        let mut approvals = Approvals::load(state.path(), chain)?;
        sync(retry, &mut approvals, state, (depot, chain))?;
        if !approvals.in_force(&request.dataset, now).is_empty() {
            for other in request.depots.iter().filter(|other| other.describe() != depot.describe())
            {
                if let Err(error) = approvals.sync(state.path(), chain, other.as_ref()) {
                    tracing::debug!(depot = other.describe(), %error, "revocations were not asked for there");
                }
            }
        }
        let in_force = approvals.in_force(&request.dataset, now);
        let mut found = Self { verifiers: Vec::new(), warnings: Vec::new() };
        if in_force.is_empty() {
            return Ok(found);
        }
        let mut opened = sessions_opened(journal)?;
        for approval in in_force {
            let base = base(retry, state, request, (depot, chain), &approval)?;
            let opened = opened.remove(&approval.consent).unwrap_or_default();
            found.verifiers.push(Verifier { approval, opened, base });
        }
        Ok(found)
    }

    /// Opens this run's session to them. One whose opening the depot does not take is left out, and said so: what this
    /// run stores they cannot read, and a later run stores it anew.
    pub(super) fn open(
        &mut self,
        retry: &Retry<'_>,
        request: &BackupRequest<'_>,
        depot: &dyn Depot,
        (session, key): (&SessionId, &SessionKey),
        journal: &mut Journal,
    ) -> Result<(), BackupError> {
        let Self { verifiers, warnings } = self;
        let mut kept = Vec::new();
        for mut verifier in std::mem::take(verifiers) {
            let object = opening(request, &verifier.approval, (session, key))?;
            match retry.call(|| depot.put(Kind::Opening, &object_id(&object), &object)) {
                Ok(()) => {
                    journal.append(&[Record::Opening(object)])?;
                    verifier.opened.insert(*session);
                    kept.push(verifier);
                }
                // Refused, or a site of an older version that has no place for it.
                Err(BackupError::Depot(
                    error @ (DepotError::Refused { .. } | DepotError::NotFound { .. }),
                )) => {
                    let consent = verifier.approval.consent;
                    warnings.push(format!(
                        "this snapshot is not opened to {} (standing approval {consent}): {error}",
                        verifier.approval.name
                    ));
                }
                Err(error) => return Err(error),
            }
        }
        *verifiers = kept;
        Ok(())
    }

    /// The frames of a pack that are not to be reused; nothing where all of them may be.
    pub(super) fn closed(&self, id: &PackId, header: &PackHeader, frames: u32) -> Option<Bitmap> {
        let mut closed = Bitmap::new(frames);
        for verifier in &self.verifiers {
            if verifier.opened.contains(&header.session) {
                continue;
            }
            let all = Bitmap::full(frames);
            let open = verifier.base.get(id).filter(|open| open.bits() == frames);
            closed = closed.or(&open.map_or_else(|| all.clone(), |open| all.minus(open)));
        }
        (!closed.is_empty()).then_some(closed)
    }
}

fn sync(
    retry: &Retry<'_>,
    approvals: &mut Approvals,
    state: &StateDir,
    (depot, chain): (&dyn Depot, &RosterChain),
) -> Result<(), BackupError> {
    let mut other = None;
    retry.call(|| match approvals.sync(state.path(), chain, depot) {
        Err(StateError::Depot(error)) => Err(error),
        Err(error) => {
            other = Some(error);
            Ok(())
        }
        Ok(()) => Ok(()),
    })?;
    other.map_or(Ok(()), |error| Err(error.into()))
}

fn opening(
    request: &BackupRequest<'_>,
    approval: &StandingApproval,
    (session, key): (&SessionId, &SessionKey),
) -> Result<Vec<u8>, BackupError> {
    let unsealed = SessionOpening {
        repository: request.identity.repository,
        session: *session,
        consent: approval.consent,
        recipient: approval.grantee.recipient,
        encapsulated: [0; 32],
        ciphertext: [0; 48],
    };
    Ok(sign(&seal_opening(unsealed, key)?, &request.identity.key))
}

/// The sessions that the journal says were opened, by consent.
fn sessions_opened(
    journal: &Journal,
) -> Result<HashMap<ConsentId, HashSet<SessionId>>, BackupError> {
    let mut opened: HashMap<ConsentId, HashSet<SessionId>> = HashMap::new();
    journal.replay(&mut |record| {
        if let Record::Opening(object) = record
            && let Ok(opening) = open_signed::<SessionOpening>(&object)
        {
            opened.entry(opening.body.consent).or_default().insert(opening.body.session);
        }
        Ok(())
    })?;
    Ok(opened)
}

/// Openings of a session that the journal knows, as signed.
pub(super) fn openings_of(
    journal: &Journal,
    session: &SessionId,
) -> Result<Vec<Vec<u8>>, BackupError> {
    let mut found = Vec::new();
    journal.replay(&mut |record| {
        if let Record::Opening(object) = record
            && open_signed::<SessionOpening>(&object)
                .is_ok_and(|opening| opening.body.session == *session)
        {
            found.push(object);
        }
        Ok(())
    })?;
    Ok(found)
}

/// The frames that an approval's base uses: from this agent's state, or from the depot. What is not there any more opens
/// nothing, and is asked for again next time.
fn base(
    retry: &Retry<'_>,
    state: &StateDir,
    request: &BackupRequest<'_>,
    depot: (&dyn Depot, &RosterChain),
    approval: &StandingApproval,
) -> Result<HashMap<PackId, Bitmap>, BackupError> {
    let consent = &approval.consent;
    let packs = match load_base(state.path(), consent)? {
        Some(packs) => packs,
        None => {
            let (packs, whole) = read_base(retry, request, depot, &approval.base)?;
            if whole {
                store_base(state.path(), consent, &packs)?;
            }
            packs
        }
    };
    let mut base: HashMap<PackId, Bitmap> = HashMap::new();
    for PackUse { pack, used } in packs {
        let united = match base.get(&pack) {
            Some(known) if known.bits() == used.bits() => known.or(&used),
            _ => used,
        };
        base.insert(pack, united);
    }
    Ok(base)
}

fn read_base(
    retry: &Retry<'_>,
    request: &BackupRequest<'_>,
    (depot, chain): (&dyn Depot, &RosterChain),
    snapshots: &[ManifestId],
) -> Result<(Vec<PackUse>, bool), BackupError> {
    let (mut packs, mut whole) = (Vec::new(), true);
    for id in snapshots {
        let mut read = None;
        retry.call(|| match read_packs(request, (depot, chain), id) {
            Err(SnapshotError::Depot(error)) if error.is_transient() => Err(error),
            Ok(found) => {
                read = Some(found);
                Ok(())
            }
            Err(error) => {
                tracing::warn!(snapshot = %id, %error, "the base of a standing approval cannot be read: what it shares is stored anew");
                Ok(())
            }
        })?;
        whole &= read.is_some();
        packs.extend(read.into_iter().flatten());
    }
    Ok((packs, whole))
}

/// The packs of a snapshot, if a key of this agent's own domain vouches for it; of another's nothing can be reused.
fn read_packs(
    request: &BackupRequest<'_>,
    (depot, chain): (&dyn Depot, &RosterChain),
    id: &ManifestId,
) -> Result<Vec<PackUse>, SnapshotError> {
    let manifest = read_manifest(depot, chain, id)?;
    let own = manifest.body.domain == request.identity.domain && chain.authorizes(&manifest);
    if own { read_usage(depot, &manifest.body) } else { Ok(Vec::new()) }
}

/// Openings that a key of this domain published, for an agent that lost its journal.
pub(super) fn published(
    retry: &Retry<'_>,
    depot: &dyn Depot,
    is_own: impl Fn(&lumbung_model::PublicKey) -> bool,
) -> Result<Vec<Record>, BackupError> {
    let ids = match retry.call(|| depot.list(Kind::Opening)) {
        Err(BackupError::Depot(DepotError::Refused { .. } | DepotError::NotFound { .. })) => {
            Vec::new()
        }
        listed => listed?,
    };
    let mut records = Vec::new();
    for id in ids {
        let bytes = match retry.call(|| depot.get(Kind::Opening, &id)) {
            Ok(bytes) => bytes,
            Err(BackupError::Depot(error)) if !error.is_transient() => continue,
            Err(error) => return Err(error),
        };
        let own = object_id(&bytes) == id
            && open_signed::<SessionOpening>(&bytes).is_ok_and(|opening| is_own(&opening.signer));
        if own {
            records.push(Record::Opening(bytes));
        }
    }
    Ok(records)
}
