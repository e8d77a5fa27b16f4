//! Which snapshots there are, and which one is meant.

use std::collections::BTreeMap;

use lumbung_model::{DatasetId, ManifestId, RepositoryId, SessionId};
use lumbung_pack::{Kind, Manifest, Roster, RosterChain, Signed, object_id, open_signed};

use super::{Snapshot, SnapshotError};
use crate::depot::hex;
use crate::{Depot, DepotError};

/// The rosters of a depot as a checked chain. Without an expected id, the one roster of number 1 decides.
pub(crate) fn read_chain(
    depot: &dyn Depot,
    repository: Option<RepositoryId>,
) -> Result<RosterChain, SnapshotError> {
    let wrong = |source| SnapshotError::Roster { depot: depot.describe(), source };
    let mut objects = Vec::new();
    for id in depot.list(Kind::Roster)? {
        objects.push(depot.get(Kind::Roster, &id)?);
    }
    let repository = match repository {
        Some(repository) => repository,
        None => {
            let firsts: Vec<_> = objects
                .iter()
                .filter(|object| {
                    open_signed::<Roster>(object).is_ok_and(|roster| roster.body.number == 1)
                })
                .collect();
            match firsts[..] {
                [first] => RepositoryId::from_bytes(object_id(first)),
                [] => return Err(SnapshotError::NoRepository { depot: depot.describe() }),
                _ => return Err(SnapshotError::SeveralRepositories { depot: depot.describe() }),
            }
        }
    };
    RosterChain::from_objects(repository, objects).map_err(wrong)
}

/// A manifest, its id and signature checked.
pub(crate) fn read_manifest(
    depot: &dyn Depot,
    chain: &RosterChain,
    id: &ManifestId,
) -> Result<Signed<Manifest>, SnapshotError> {
    let bytes = depot.get(Kind::Manifest, id.as_bytes())?;
    let damaged = |source| SnapshotError::Object {
        what: format!("snapshot {id}"),
        depot: depot.describe(),
        source,
    };
    if object_id(&bytes) != *id.as_bytes() {
        return Err(damaged(lumbung_pack::FormatError::IdMismatch));
    }
    let manifest = open_signed::<Manifest>(&bytes).map_err(damaged)?;
    if manifest.body.repository != chain.repository() {
        return Err(SnapshotError::OtherRepository {
            snapshot: *id,
            found: manifest.body.repository,
            expected: chain.repository(),
        });
    }
    Ok(manifest)
}

/// An object by id, checked against it.
pub(crate) fn read_object(
    depot: &dyn Depot,
    kind: Kind,
    id: &[u8; 32],
) -> Result<Vec<u8>, SnapshotError> {
    let bytes = depot.get(kind, id)?;
    if object_id(&bytes) == *id {
        return Ok(bytes);
    }
    Err(DepotError::Damaged { kind, id: *id, depot: depot.describe(), source: None }.into())
}

impl Snapshot {
    pub(crate) fn of(manifest: &Signed<Manifest>, chain: &RosterChain) -> Self {
        let body = &manifest.body;
        Self {
            id: manifest.id,
            agent: body.agent,
            agent_label: chain.agent(&body.agent).map(|agent| agent.label.clone()),
            dataset: body.dataset,
            partial: body.partial,
            authorized: chain.authorizes(manifest),
            epoch: body.epoch,
            sequence: body.sequence,
            previous: body.previous,
            started: body.started,
            finished: body.finished,
            statistics: body.statistics,
            signer: manifest.signer,
            session: body.sessions.first().copied().unwrap_or(SessionId::ZERO),
        }
    }
}

/// All snapshots of a repository, by dataset and then by age; what does not verify is told beside.
///
/// # Errors
/// If the depot or its rosters cannot be read.
pub fn list_snapshots(
    depot: &dyn Depot,
    repository: Option<RepositoryId>,
) -> Result<(Vec<Snapshot>, Vec<SnapshotError>), SnapshotError> {
    let chain = read_chain(depot, repository)?;
    let mut snapshots = Vec::new();
    let mut bad = Vec::new();
    for id in depot.manifests(None)? {
        match read_manifest(depot, &chain, &id) {
            Ok(manifest) => snapshots.push(Snapshot::of(&manifest, &chain)),
            Err(SnapshotError::Depot(error)) if error.is_transient() => return Err(error.into()),
            Err(error) => bad.push(error),
        }
    }
    snapshots.sort_by_key(|s| (s.dataset, s.epoch, s.sequence, s.finished, s.id));
    Ok((snapshots, bad))
}

/// The manifests that count, partial ones too: those that an agent of the newest roster signed. What does not verify is
/// told beside.
///
/// # Errors
/// If the depot does not answer.
pub fn authorized_manifests(
    depot: &dyn Depot,
    chain: &RosterChain,
) -> Result<(Vec<Manifest>, Vec<SnapshotError>), SnapshotError> {
    let (mut manifests, mut bad) = (Vec::new(), Vec::new());
    for id in depot.manifests(None)? {
        match read_manifest(depot, chain, &id) {
            Ok(manifest) if chain.authorizes(&manifest) => manifests.push(manifest.body),
            Ok(_) => {}
            Err(SnapshotError::Depot(error)) if error.is_transient() => return Err(error.into()),
            Err(error) => bad.push(error),
        }
    }
    Ok((manifests, bad))
}

/// Chooses a snapshot: `latest`, `latest:<dataset>`, or the beginning of an id.
///
/// # Errors
/// [`SnapshotError::NotFound`], [`SnapshotError::Ambiguous`].
pub fn select_snapshot(snapshots: &[Snapshot], wanted: &str) -> Result<Snapshot, SnapshotError> {
    let candidates = match wanted.strip_prefix("latest") {
        Some("") => latest(snapshots, None),
        Some(rest) => match rest.strip_prefix(':').map(str::parse::<DatasetId>) {
            Some(Ok(dataset)) => latest(snapshots, Some(dataset)),
            _ => Vec::new(),
        },
        None if wanted.len() >= 4 => {
            snapshots.iter().filter(|s| hex(s.id.as_bytes()).starts_with(wanted)).cloned().collect()
        }
        None => Vec::new(),
    };
    match candidates.len() {
        0 => Err(SnapshotError::NotFound(wanted.to_owned())),
        1 => Ok(candidates.into_iter().next().expect("there is one")),
        _ => Err(SnapshotError::Ambiguous { wanted: wanted.to_owned(), candidates }),
    }
}

/// The newest whole, authorised snapshot of each dataset (or of one dataset).
fn latest(snapshots: &[Snapshot], dataset: Option<DatasetId>) -> Vec<Snapshot> {
    let wanted = |s: &&Snapshot| {
        dataset.is_none_or(|dataset| dataset == s.dataset) && !s.partial && s.authorized
    };
    // One agent's chain tells its order, whatever its clock said.
    let mut of_agents: BTreeMap<_, &Snapshot> = BTreeMap::new();
    for snapshot in snapshots.iter().filter(wanted) {
        let order = |s: &Snapshot| (s.epoch, s.sequence, s.finished, s.id);
        let place = of_agents.entry((snapshot.dataset, snapshot.agent)).or_insert(snapshot);
        if order(snapshot) > order(place) {
            *place = snapshot;
        }
    }
    // Between agents (a server that was rebuilt) the time does.
    let mut newest: BTreeMap<_, &Snapshot> = BTreeMap::new();
    for snapshot in of_agents.into_values() {
        let place = newest.entry(snapshot.dataset).or_insert(snapshot);
        if (snapshot.finished, snapshot.id) > (place.finished, place.id) {
            *place = snapshot;
        }
    }
    newest.into_values().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::{AgentId, PublicKey, Timestamp};

    fn snapshot(n: u8, dataset: u8, sequence: u64) -> Snapshot {
        Snapshot {
            id: ManifestId::from_bytes([n; 32]),
            agent: AgentId::from_bytes([1; 16]),
            agent_label: None,
            dataset: DatasetId::from_bytes([dataset; 16]),
            partial: false,
            authorized: true,
            epoch: 1,
            sequence,
            previous: ManifestId::ZERO,
            started: Timestamp(0),
            finished: Timestamp(0),
            statistics: lumbung_pack::Statistics::default(),
            signer: PublicKey::ZERO,
            session: SessionId::ZERO,
        }
    }

    #[test]
    fn the_latest_is_by_dataset_and_never_partial_or_unauthorised() {
        let all = [
            snapshot(1, 1, 1),
            snapshot(2, 1, 2),
            Snapshot { partial: true, ..snapshot(3, 1, 3) },
            Snapshot { authorized: false, ..snapshot(4, 1, 4) },
        ];
        assert_eq!(select_snapshot(&all, "latest").unwrap().id, all[1].id);
        let two = [&all[..], &[snapshot(5, 2, 9)]].concat();
        assert!(
            matches!(select_snapshot(&two, "latest"), Err(SnapshotError::Ambiguous { candidates, .. }) if candidates.len() == 2)
        );
        let named = format!("latest:{}", two[4].dataset);
        assert_eq!(select_snapshot(&two, &named).unwrap().id, two[4].id);
        assert_eq!(select_snapshot(&two, "0404").unwrap().id, all[3].id);
        for unknown in ["latest:x", "04", "ffff", ""] {
            assert!(
                matches!(select_snapshot(&two, unknown), Err(SnapshotError::NotFound(_))),
                "{unknown}"
            );
        }
    }

    #[test]
    fn between_agents_only_the_end_of_each_chain_counts() {
        let at = |n, agent, sequence, finished| Snapshot {
            agent: AgentId::from_bytes([agent; 16]),
            finished: Timestamp(finished),
            ..snapshot(n, 1, sequence)
        };
        // The first agent's clock went back: its newest snapshot says that it is older than the second agent's.
        let all = [at(1, 1, 1, 100), at(2, 2, 1, 50), at(3, 1, 2, 10)];
        assert_eq!(select_snapshot(&all, "latest").unwrap().id, all[1].id);
    }

    #[test]
    fn a_later_epoch_is_newer_than_any_sequence_number() {
        let all = [Snapshot { epoch: 2, ..snapshot(1, 1, 1) }, snapshot(2, 1, 50)];
        assert_eq!(select_snapshot(&all, "latest").unwrap().id, all[0].id);
    }
}
