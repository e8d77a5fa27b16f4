//! Compliance: which of the four steps of proof a dataset has reached, and if not, why.
//!
//! *tercadang → di DRC → terverifikasi → terbukti pulih*. Pure: everything is a function of the
//! evidence, the rules and `now`. What stands here as evidence has been verified by whoever collected
//! it (signatures, signer's entitlement); this module only weighs it. Invariants:
//! - a copy counts only if its site receipted it **and** lists it in an inventory whose chain is whole
//!   and which is younger than the rule says; what the site signed and then left out never counts;
//! - the agent's word never counts: a snapshot is as old as the earlier of its start and its first receipt;
//! - what is missing has a [`Reason`]; a dataset or a PD without evidence stays in the report.

mod achieved;
mod deadline;
mod facts;
mod report;
mod words;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::{DatasetId, ManifestId, PdId, SiteId, Timestamp};

pub use achieved::{Achieved, Arrival, achieved};
pub use deadline::next_change;
pub use facts::{
    CopyFacts, DatasetFacts, InventoryFacts, ProofFacts, Rules, SiteFacts, SiteKind, SnapshotFacts,
};
pub use report::{PdCompliance, Report, StepTotal, Totals, summarize};

/// How far a signed time may lie in the future before it is taken for a wrong clock.
pub const CLOCK_TOLERANCE_S: i64 = 2 * 3600;

/// A snapshot receipted less than this before an inventory was made may not stand in it yet.
pub const LISTING_SLACK_S: i64 = 10;

/// Why a step is not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// No agent is enrolled: *belum mencadangkan*.
    NoAgent,
    /// An agent is enrolled, but no snapshot ever arrived.
    Never,
    /// Only partial snapshots arrived.
    OnlyPartial,
    /// The newest complete snapshot is signed by an agent that no roster lists: *belum disahkan*.
    Unauthorized(ManifestId),
    /// No site of this kind is registered.
    NoSite(SiteKind),
    /// No site of this kind gave a receipt.
    NoReceipt(SiteKind),
    /// The site never published an inventory of the repository.
    InventoryMissing(SiteId),
    /// The site's newest inventory is too old.
    InventoryStale(SiteId, Timestamp),
    /// The site's newest inventory is dated in the future.
    InventoryAhead(SiteId, Timestamp),
    /// The chain of the site's inventories has a gap or a fork at its newest end.
    InventoryBroken(SiteId, u64),
    /// The site receipted this snapshot and does not list it.
    Hidden(SiteId, ManifestId),
    /// The snapshot is receipted; the site's next inventory will show whether it is kept.
    AwaitingInventory(SiteId),
    /// A scrub of the site found the newest snapshot damaged.
    Damaged(SiteId, ManifestId, Timestamp),
    /// The newest snapshot is older than the RPO since then.
    LateSince(Timestamp),
    /// The snapshot is dated in the future.
    ClockAhead(ManifestId, Timestamp),
    /// No scrub has read a snapshot that counts.
    NotVerified,
    /// The newest verified snapshot is too old.
    VerificationExpired(Timestamp),
    /// No site other than the Pusat Data keeps a snapshot that counts.
    NotApart,
    /// The newest snapshot apart from the Pusat Data is too old.
    ApartExpired(Timestamp),
    /// No proof of restore was ever given.
    NotProven,
    /// The newest restore test had failures.
    ProofFailed(Timestamp, u64),
    /// The newest proof is too old.
    ProofExpired(Timestamp),
}

/// One step of proof of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whether it is reached.
    pub met: bool,
    /// The snapshot that shows it, or the newest that falls short.
    pub snapshot: Option<ManifestId>,
    /// When that is from: the snapshot, the scrub or the proof.
    pub at: Option<Timestamp>,
    /// The site that shows it.
    pub site: Option<SiteId>,
    /// Why it is not reached; the first is what to see to first.
    pub reasons: Vec<Reason>,
}

impl Step {
    fn met(snapshot: ManifestId, at: Timestamp, site: Option<SiteId>) -> Self {
        Self { met: true, snapshot: Some(snapshot), at: Some(at), site, reasons: Vec::new() }
    }

    fn unmet(reason: Reason) -> Self {
        Self { met: false, snapshot: None, at: None, site: None, reasons: vec![reason] }
    }
}

/// What a dataset has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetCompliance {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Whose it is.
    pub pd: PdId,
    /// Its size: of its newest snapshot that counts; 0 if there is none.
    pub bytes: u64,
    /// *tercadang*
    pub backed_up: Step,
    /// *di DRC*
    pub at_drc: Step,
    /// *terverifikasi*
    pub verified: Step,
    /// *terbukti pulih*
    pub proven: Step,
}

impl DatasetCompliance {
    /// The four steps in their order.
    #[must_use]
    pub const fn steps(&self) -> [&Step; 4] {
        [&self.backed_up, &self.at_drc, &self.verified, &self.proven]
    }
}

/// Weighs the evidence for one dataset.
#[must_use]
pub fn evaluate(facts: &DatasetFacts, rules: &Rules, now: Timestamp) -> DatasetCompliance {
    let weigh = Weigh::new(facts, rules, now);
    DatasetCompliance {
        dataset: facts.dataset,
        pd: facts.pd,
        bytes: weigh.bytes(),
        backed_up: weigh.kept_at(SiteKind::Primary),
        at_drc: weigh.kept_at(SiteKind::Drc),
        verified: weigh.verified(),
        proven: weigh.proven(),
    }
}

/// Whether a site other than the Pusat Data keeps a snapshot that is at most so old, seconds: what is kept *apart*.
#[must_use]
pub fn kept_apart(facts: &DatasetFacts, rules: &Rules, now: Timestamp, within_s: i64) -> Step {
    Weigh::new(facts, rules, now).kept_apart(within_s)
}

/// One evaluation: the evidence with its snapshots newest first.
struct Weigh<'a> {
    facts: &'a DatasetFacts,
    rules: &'a Rules,
    now: Timestamp,
    snapshots: Vec<&'a SnapshotFacts>,
}

impl<'a> Weigh<'a> {
    fn new(facts: &'a DatasetFacts, rules: &'a Rules, now: Timestamp) -> Self {
        let mut snapshots: Vec<&SnapshotFacts> = facts.snapshots.iter().collect();
        snapshots.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.as_of(), snapshot.manifest)));
        Self { facts, rules, now, snapshots }
    }

    fn counting(&self) -> impl Iterator<Item = &SnapshotFacts> {
        self.snapshots.iter().copied().filter(|snapshot| snapshot.counts())
    }

    fn bytes(&self) -> u64 {
        self.counting().next().map_or(0, |snapshot| snapshot.bytes)
    }

    /// Why there is no snapshot at all that could count; `None` if there is one.
    fn nothing_counts(&self) -> Option<Reason> {
        if self.counting().next().is_some() {
            return None;
        }
        let complete = self.snapshots.iter().find(|snapshot| !snapshot.partial);
        Some(match (complete, self.snapshots.first()) {
            (Some(snapshot), _) => Reason::Unauthorized(snapshot.manifest),
            (None, Some(_)) => Reason::OnlyPartial,
            (None, None) if self.facts.has_agent => Reason::Never,
            (None, None) => Reason::NoAgent,
        })
    }

    fn kept_at(&self, kind: SiteKind) -> Step {
        if let Some(reason) = self.nothing_counts() {
            return Step::unmet(reason);
        }
        let sites: Vec<_> = self.facts.sites.iter().filter(|site| site.kind == kind).collect();
        if sites.is_empty() {
            return Step::unmet(Reason::NoSite(kind));
        }
        let mut steps: Vec<Step> = sites.iter().map(|site| self.kept_at_site(site)).collect();
        // The best site speaks: one that meets the step, else the one with the newest snapshot.
        steps.sort_by_key(|step| std::cmp::Reverse((step.met, step.at)));
        let mut best = steps.swap_remove(0);
        if !best.met {
            best.reasons.extend(self.newer_unauthorized());
        }
        best
    }

    /// An unauthorized snapshot newer than all that count is worth a word: approving its agent mends the step.
    fn newer_unauthorized(&self) -> Option<Reason> {
        let newest = self.snapshots.iter().find(|snapshot| !snapshot.partial)?;
        (!newest.authorized).then_some(Reason::Unauthorized(newest.manifest))
    }

    fn kept_at_site(&self, site: &SiteFacts) -> Step {
        let received: Vec<_> =
            self.counting().filter_map(|s| s.copy_at(site.site).map(|copy| (s, copy))).collect();
        let Some((newest, _)) = received.first() else {
            return Step::unmet(Reason::NoReceipt(site.kind));
        };
        let fall_short = |reason| Step {
            met: false,
            snapshot: Some(newest.manifest),
            at: Some(newest.as_of()),
            site: Some(site.site),
            reasons: vec![reason],
        };
        let made = match self.usable_inventory(site) {
            Ok(inventory) => inventory.made,
            Err(reason) => return fall_short(reason),
        };
        for (snapshot, copy) in &received {
            if copy.listed {
                return self.kept_snapshot(site, snapshot, copy);
            }
            if copy.listed_before || made.seconds_since(copy.received) > LISTING_SLACK_S {
                return fall_short(Reason::Hidden(site.site, snapshot.manifest));
            }
        }
        fall_short(Reason::AwaitingInventory(site.site))
    }

    fn kept_snapshot(&self, site: &SiteFacts, snapshot: &SnapshotFacts, copy: &CopyFacts) -> Step {
        let as_of = snapshot.as_of();
        let mut step = Step::met(snapshot.manifest, as_of, Some(site.site));
        if let Some(damaged) = copy.damage() {
            step.reasons.push(Reason::Damaged(site.site, snapshot.manifest, damaged));
        }
        if as_of.seconds_since(self.now) > CLOCK_TOLERANCE_S {
            step.reasons.push(Reason::ClockAhead(snapshot.manifest, as_of));
        }
        if self.now.seconds_since(as_of) > self.facts.rpo_s {
            step.reasons.push(Reason::LateSince(as_of.plus_seconds(self.facts.rpo_s)));
        }
        step.met = step.reasons.is_empty();
        step
    }

    fn usable_inventory(&self, site: &SiteFacts) -> Result<InventoryFacts, Reason> {
        let inventory = site.inventory.ok_or(Reason::InventoryMissing(site.site))?;
        if !inventory.chain_valid {
            return Err(Reason::InventoryBroken(site.site, inventory.number));
        }
        if self.now.seconds_since(inventory.made) > self.rules.inventory_max_age_s {
            return Err(Reason::InventoryStale(site.site, inventory.made));
        }
        // Held against when it came, not only against now: a date in the future stays wrong when its day has come.
        let latest = inventory.seen.min(self.now);
        if inventory.made.seconds_since(latest) > CLOCK_TOLERANCE_S {
            return Err(Reason::InventoryAhead(site.site, inventory.made));
        }
        Ok(inventory)
    }

    /// Copies that a site still vouches for, newest snapshot first.
    fn vouched(&self) -> impl Iterator<Item = (&SnapshotFacts, &CopyFacts)> {
        self.counting().flat_map(move |snapshot| {
            let vouched = move |copy: &&CopyFacts| {
                let site = self.facts.sites.iter().find(|site| site.site == copy.site);
                copy.listed && site.is_some_and(|site| self.usable_inventory(site).is_ok())
            };
            snapshot.copies.iter().filter(vouched).map(move |copy| (snapshot, copy))
        })
    }

    fn kept_apart(&self, within_s: i64) -> Step {
        if let Some(reason) = self.nothing_counts() {
            return Step::unmet(reason);
        }
        let is_apart = |copy: &CopyFacts| {
            let site = self.facts.sites.iter().find(|site| site.site == copy.site);
            site.is_some_and(|site| site.kind != SiteKind::Primary) && copy.damage().is_none()
        };
        let Some((snapshot, copy)) = self.vouched().find(|(_, copy)| is_apart(copy)) else {
            return Step::unmet(Reason::NotApart);
        };
        let as_of = snapshot.as_of();
        let mut step = Step::met(snapshot.manifest, as_of, Some(copy.site));
        if as_of.seconds_since(self.now) > CLOCK_TOLERANCE_S {
            step.reasons.push(Reason::ClockAhead(snapshot.manifest, as_of));
        }
        if self.now.seconds_since(as_of) > within_s {
            step.reasons.push(Reason::ApartExpired(as_of));
        }
        step.met = step.reasons.is_empty();
        step
    }

    fn verified(&self) -> Step {
        if let Some(reason) = self.nothing_counts() {
            return Step::unmet(reason);
        }
        let whole = |copy: &CopyFacts| copy.verified.filter(|_| copy.damage().is_none());
        let Some((snapshot, copy, at)) =
            self.vouched().find_map(|(s, copy)| whole(copy).map(|at| (s, copy, at)))
        else {
            let damaged = self.vouched().find_map(|(s, copy)| {
                copy.damage().map(|at| Reason::Damaged(copy.site, s.manifest, at))
            });
            return Step::unmet(damaged.unwrap_or(Reason::NotVerified));
        };
        let mut step = Step::met(snapshot.manifest, at, Some(copy.site));
        let lasts_s = self.rules.verification_interval_s.max(self.facts.rpo_s);
        if at.seconds_since(self.now) > CLOCK_TOLERANCE_S {
            step.reasons.push(Reason::ClockAhead(snapshot.manifest, at));
        }
        if self.now.seconds_since(snapshot.as_of()) > lasts_s {
            step.reasons.push(Reason::VerificationExpired(snapshot.as_of()));
        }
        step.met = step.reasons.is_empty();
        step
    }

    fn proven(&self) -> Step {
        let newest = self
            .facts
            .proofs
            .iter()
            .filter(|proof| proof.finished.seconds_since(self.now) <= CLOCK_TOLERANCE_S)
            .max_by_key(|proof| (proof.failed == 0, proof.finished));
        let Some(proof) = newest else {
            return Step::unmet(self.nothing_counts().unwrap_or(Reason::NotProven));
        };
        let mut step = Step::met(proof.manifest, proof.finished, None);
        if proof.failed > 0 {
            step.reasons.push(Reason::ProofFailed(proof.finished, proof.failed));
        } else if self.now.seconds_since(proof.finished) > self.rules.proof_interval_s {
            step.reasons.push(Reason::ProofExpired(proof.finished));
        }
        step.met = step.reasons.is_empty();
        step
    }
}
