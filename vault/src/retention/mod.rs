//! Retention at this site: what may go is planned by `lumbung_model::retention`, and removed here.
//!
//! Invariants: a snapshot is removed only by a plan made under the repository's gate, or by an order; its tombstone
//! is durable before anything goes; a crash in between is finished by the next start. No request over the network
//! leads here. Frames are not touched: what nobody names any more is the sweep's business (`gc`).

mod age;
mod holds;
mod orders;
mod remove;

use lumbung_model::ManifestId;
use lumbung_model::retention::{Candidate, Moment, Policy, Verdict, plan};

pub(crate) use age::Age;
pub use age::{SystemUptime, Uptime};
pub use holds::{HoldView, subject_text};
pub use orders::CarriedOut;

use crate::index::{Lease, ManifestRow, displace};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Snapshots removed under one hold of the gate: commits wait no longer than this takes.
const BATCH: usize = 50;

/// A snapshot and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What retention looked at.
    pub candidate: Candidate,
    /// What it says.
    pub verdict: Verdict,
}

/// What retention did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Retained {
    /// Snapshots that have a place.
    pub placed: usize,
    /// Snapshots that have none and stay for a while.
    pub waiting: usize,
    /// Snapshots that expired.
    pub expired: Vec<ManifestId>,
}

impl Retained {
    fn of(decided: &[Decided]) -> Self {
        let mut retained = Self::default();
        for one in decided {
            match (one.verdict.expires(), one.verdict.has_place()) {
                (true, _) => retained.expired.push(one.candidate.manifest),
                (false, true) => retained.placed += 1,
                (false, false) => retained.waiting += 1,
            }
        }
        retained
    }
}

impl Vault {
    /// The retention clock, in seconds.
    pub(crate) fn age_s(&self) -> u64 {
        self.age.seconds(self.now())
    }

    /// Says for each snapshot of a repository whether it stays, and why. Changes nothing.
    ///
    /// # Errors
    /// If the index does not answer, or a hold cannot be read.
    pub fn plan_retention(&self, repository: &Repository) -> Result<Vec<Decided>, VaultError> {
        let moment = Moment { now: self.now(), clock_s: self.age_s() };
        let candidates = self.candidates(repository, moment)?;
        let policy_of =
            |dataset: &_| -> Option<&Policy> { self.config.retention_of(&repository.id, dataset) };
        let lock_s = u64::from(self.config.lock.as_seconds());
        let verdicts = plan(&candidates, policy_of, self.config.zone(), lock_s, moment);
        let decided = candidates.into_iter().zip(verdicts);
        Ok(decided.map(|(candidate, verdict)| Decided { candidate, verdict }).collect())
    }

    fn candidates(
        &self,
        repository: &Repository,
        moment: Moment,
    ) -> Result<Vec<Candidate>, VaultError> {
        let (rows, leases) = self.index.read(|c| {
            Ok((
                ManifestRow::after(c, repository.row, 0, u32::MAX, None)?,
                Lease::running(c, repository.row, moment.clock_s)?,
            ))
        })?;
        let holds = self.holds(repository)?;
        let chain = repository.chain();
        let candidate = |row: ManifestRow| {
            let authorized = chain
                .agent(&row.agent)
                .is_some_and(|listed| listed.key == row.signer && listed.domain == row.domain);
            let held = holds.iter().find(|hold| {
                hold.is_effective() && hold.subject.covers(&row.manifest, &row.dataset)
            });
            Candidate {
                manifest: row.manifest,
                agent: row.agent,
                dataset: row.dataset,
                authorized,
                partial: row.partial,
                place: (row.epoch, row.sequence),
                arrival: row.arrival,
                dated: row.dated,
                received: row.received,
                locked_until: row.locked_until,
                came_s: row.came_s,
                displaced_s: row.displaced_s,
                held: held.map(HoldView::in_words),
                leased: leases.iter().any(|lease| lease.bases.contains(&row.manifest)),
            }
        };
        Ok(rows.into_iter().map(candidate).collect())
    }

    /// Removes what may go. With `dry_run` it only says so.
    ///
    /// # Errors
    /// If the storage or the index does not take it; what was removed until then stays removed.
    pub fn retain(&self, repository: &Repository, dry_run: bool) -> Result<Retained, VaultError> {
        let decided = self.plan_retention(repository)?;
        let planned = Retained::of(&decided);
        if dry_run {
            return Ok(planned);
        }
        self.note_places(repository, &decided)?;
        let mut expired = Vec::new();
        while expired.len() < planned.expired.len() {
            let gone = self.remove_expired(repository)?;
            if gone.is_empty() {
                break;
            }
            expired.extend(gone);
        }
        if !expired.is_empty() {
            tracing::info!(repository = %repository.id, expired = expired.len(), "snapshots expired");
            self.wake.inventory.notify_one();
        }
        Ok(Retained { expired, ..planned })
    }

    /// Writes down since when a snapshot has no place, and forgets it of those that have one again.
    fn note_places(&self, repository: &Repository, decided: &[Decided]) -> Result<(), VaultError> {
        let now_s = self.age_s();
        let changes: Vec<(ManifestId, Option<u64>)> = decided
            .iter()
            .filter_map(|one| {
                let placed = one.verdict.has_place();
                (placed == one.candidate.displaced_s.is_some())
                    .then_some((one.candidate.manifest, (!placed).then_some(now_s)))
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let note = |(manifest, since_s): &(ManifestId, Option<u64>),
                    tx: &rusqlite::Transaction<'_>| {
            displace(tx, repository.row, manifest, *since_s)
        };
        Ok(self.index.write(|tx| changes.iter().try_for_each(|change| note(change, tx)))?)
    }

    /// Removes up to [`BATCH`] snapshots that may go by a plan made now, with commits and holds standing still.
    fn remove_expired(&self, repository: &Repository) -> Result<Vec<ManifestId>, VaultError> {
        let mut gate = repository.gate();
        gate.catch_up(self, repository)?;
        let decided = self.plan_retention(repository)?;
        let expired: Vec<ManifestId> =
            Retained::of(&decided).expired.into_iter().take(BATCH).collect();
        for manifest in &expired {
            self.remove_snapshot(repository, &mut gate, manifest, lumbung_pack::Removal::Expired)?;
        }
        Ok(expired)
    }
}
