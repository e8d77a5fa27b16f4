//! Where one dataset stands: the evidence found, weighed, and until when that holds.

use lumbung_model::compliance::{self as weigh, DatasetCompliance, DatasetFacts};
use lumbung_model::{RepositoryId, Timestamp};
use lumbung_wire::messages::register::{Dataset, Evidence};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::db::{DbError, facts};
use crate::profile::Profile;

/// Where a dataset stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The four steps.
    pub compliance: DatasetCompliance,
    /// The repository whose evidence counts.
    pub repository: Option<RepositoryId>,
    /// What each step rests on.
    pub evidence: [Option<Evidence>; 4],
    /// Snapshots that no roster vouches for.
    pub unauthorized: u64,
    /// When the same evidence may be weighed otherwise.
    pub recheck: Option<Timestamp>,
}

impl Standing {
    /// Whether nothing of it was ever backed up.
    #[must_use]
    pub const fn never(&self) -> bool {
        self.compliance.backed_up.at.is_none() && self.compliance.at_drc.at.is_none()
    }
}

/// Weighs a dataset anew; the evidence comes along.
///
/// # Errors
/// If the database fails.
pub fn weigh(
    db: &Connection,
    profile: &Profile,
    dataset: &Dataset,
    now: Timestamp,
) -> Result<(Standing, DatasetFacts), DbError> {
    let (rules, found) = (profile.evidence_rules(), facts::dataset_facts(db, dataset)?);
    let compliance = weigh::evaluate(&found, &rules, now);
    let repository = facts::repository_of(db, dataset)?;
    let unauthorized = match &repository {
        Some(repository) => facts::unauthorized(db, &dataset.id, repository)?,
        None => 0,
    };
    let inventory = |step: &weigh::Step| -> Result<Option<Evidence>, DbError> {
        let (Some(site), Some(repository)) = (step.site, &repository) else { return Ok(None) };
        let newest = facts::newest_inventory(db, &site, repository)?;
        Ok(newest.map(|(id, _)| Evidence {
            kind: "inventory".to_owned(),
            id: id.to_string(),
            site: Some(site),
        }))
    };
    let evidence = [
        inventory(&compliance.backed_up)?,
        inventory(&compliance.at_drc)?,
        scrub(db, &compliance.verified)?,
        proof(db, &compliance.proven)?,
    ];
    let recheck = weigh::next_change(&found, &rules, &profile.spans_s(), now);
    Ok((Standing { compliance, repository, evidence, unauthorized, recheck }, found))
}

fn scrub(db: &Connection, step: &weigh::Step) -> Result<Option<Evidence>, DbError> {
    let (Some(site), Some(snapshot)) = (step.site, step.snapshot) else { return Ok(None) };
    let scrub = facts::verifying_scrub(db, &site, &snapshot)?;
    Ok(scrub.map(|id| Evidence { kind: "scrub".to_owned(), id: id.to_string(), site: Some(site) }))
}

fn proof(db: &Connection, step: &weigh::Step) -> Result<Option<Evidence>, DbError> {
    let (Some(snapshot), Some(at)) = (step.snapshot, step.at) else { return Ok(None) };
    let proof = facts::proof_of(db, &snapshot, at)?;
    Ok(proof.map(|id| Evidence { kind: "proof".to_owned(), id: id.to_string(), site: None }))
}
