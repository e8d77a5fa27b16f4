//! The evidence that is weighed, and the rules by which.
//!
//! Whoever fills these in has verified signatures and entitlement; nothing here is checked again.

use serde::{Deserialize, Serialize};

use crate::{DatasetId, ManifestId, PdId, SiteId, Timestamp};

/// What a site is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SiteKind {
    /// The Pusat Data.
    Primary,
    /// A disaster recovery centre.
    Drc,
    /// Any other: what it keeps is verified and counts for that step only.
    Other,
}

/// How long evidence lasts. No article fixes these numbers: the city does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// An inventory older than this proves nothing.
    pub inventory_max_age_s: i64,
    /// A verified snapshot speaks for its dataset this long (or for the RPO, if that is longer).
    pub verification_interval_s: i64,
    /// A proof of restore lasts this long.
    pub proof_interval_s: i64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            inventory_max_age_s: 48 * 3600,
            verification_interval_s: 7 * 86_400,
            proof_interval_s: 180 * 86_400,
        }
    }
}

/// The newest inventory of one repository at one site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryFacts {
    /// Its number.
    pub number: u64,
    /// When it was made, by the site's clock.
    pub made: Timestamp,
    /// When it was first seen, by our clock.
    pub seen: Timestamp,
    /// Whether its predecessors are known back to number 1, without a second one of its number.
    pub chain_valid: bool,
}

/// A site that may hold the dataset's repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SiteFacts {
    /// Which site.
    pub site: SiteId,
    /// What it is for.
    pub kind: SiteKind,
    /// Its newest inventory of the dataset's repository.
    pub inventory: Option<InventoryFacts>,
}

/// A snapshot at a site that gave a receipt for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyFacts {
    /// Which site.
    pub site: SiteId,
    /// When the site received it, by its clock.
    pub received: Timestamp,
    /// Whether the site's newest inventory lists it.
    pub listed: bool,
    /// Whether an earlier inventory of the site listed it.
    pub listed_before: bool,
    /// End of the newest scrub of the site that read all of it and found it whole.
    pub verified: Option<Timestamp>,
    /// End of the newest scrub of the site that found it damaged.
    pub damaged: Option<Timestamp>,
}

impl CopyFacts {
    /// The scrub that found damage, unless a later one found it whole again.
    pub(super) fn damage(&self) -> Option<Timestamp> {
        self.damaged.filter(|damaged| self.verified.is_none_or(|verified| verified < *damaged))
    }
}

/// A snapshot of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFacts {
    /// Which snapshot.
    pub manifest: ManifestId,
    /// When the agent began it, by its clock.
    pub started: Timestamp,
    /// Whether it only protects what had been sent so far.
    pub partial: bool,
    /// Whether the newest roster lists the agent that signed it.
    pub authorized: bool,
    /// How much it is, bytes: stored ones, by its usage list.
    pub bytes: u64,
    /// Where it is.
    pub copies: Vec<CopyFacts>,
}

impl SnapshotFacts {
    /// What it is as old as: nothing after its start is sure to be in it, and it cannot be newer than its first receipt.
    pub(super) fn as_of(&self) -> Timestamp {
        self.copies.iter().map(|copy| copy.received).fold(self.started, Timestamp::min)
    }

    pub(super) fn counts(&self) -> bool {
        self.authorized && !self.partial
    }

    pub(super) fn copy_at(&self, site: SiteId) -> Option<&CopyFacts> {
        self.copies.iter().find(|copy| copy.site == site)
    }
}

/// Somebody restored a snapshot of the dataset, compared it, and signed that with a root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProofFacts {
    /// Which snapshot.
    pub manifest: ManifestId,
    /// When the restore was finished.
    pub finished: Timestamp,
    /// Entries that failed.
    pub failed: u64,
}

/// All that is known of a registered dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetFacts {
    /// Which dataset.
    pub dataset: DatasetId,
    /// Whose it is.
    pub pd: PdId,
    /// How much of its newest data may be lost.
    pub rpo_s: i64,
    /// Whether an agent is enrolled for its server or PD.
    pub has_agent: bool,
    /// The sites.
    pub sites: Vec<SiteFacts>,
    /// Its snapshots, in any order.
    pub snapshots: Vec<SnapshotFacts>,
    /// Its proofs of restore, in any order; only those of authorized, complete snapshots.
    pub proofs: Vec<ProofFacts>,
}
