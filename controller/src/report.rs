//! The compliance table and the overview: evidence weighed by `lumbung_model::compliance`, put into rows.
//!
//! Invariants: every PD of the register has a row, and every server without a dataset; what only an agent
//! says stands in `menurut_agen` and changes no step; the figures are of one consistent state.

use std::collections::HashMap;

use lumbung_model::compliance::{self as weigh, DatasetCompliance, Reason, Rules};
use lumbung_model::{PdId, ServerId, SiteId, Timestamp};
use lumbung_wire::messages::register::{
    AgentFigures, ComplianceRow, ComplianceTable, Dataset, Evidence, HeartbeatState, Pd, Server,
    Step, StepState, StepTotals,
};
use rusqlite::Connection;

use crate::db::{DbError, agents, facts, register as rows};
use crate::liveness::Patience;

/// The language of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Language {
    /// Indonesian.
    #[default]
    Indonesian,
    /// English.
    English,
}

/// What a table is made with.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long evidence lasts.
    pub rules: Rules,
    /// When silence means something.
    pub patience: Patience,
    /// The time.
    pub now: Timestamp,
    /// The language of reasons.
    pub language: Language,
}

/// The register and the names that rows show.
struct Names {
    pds: Vec<Pd>,
    servers: HashMap<ServerId, Server>,
    sites: HashMap<SiteId, String>,
}

/// The compliance table, of all PD or of one.
///
/// # Errors
/// If the database fails.
pub fn table(db: &Connection, terms: &Terms, pd: Option<PdId>) -> Result<ComplianceTable, DbError> {
    let names = names(db, terms, pd)?;
    let mut table = ComplianceTable { at: terms.now, ..ComplianceTable::default() };
    let mut results = Vec::new();
    for owner in &names.pds {
        let datasets = rows::datasets(db, Some(&owner.id))?;
        for dataset in &datasets {
            let result =
                weigh::evaluate(&facts::dataset_facts(db, dataset)?, &terms.rules, terms.now);
            table.rows.push(dataset_row(db, terms, &names, owner, dataset, &result)?);
            results.push(result);
        }
        table.rows.extend(rows_without_dataset(&names, owner, &datasets, terms.language));
    }
    let key = |row: &ComplianceRow| {
        (row.pd_code.clone(), row.server_name.clone(), row.dataset_name.clone(), row.dataset)
    };
    table.rows.sort_by_cached_key(key);
    let ids: Vec<PdId> = names.pds.iter().map(|pd| pd.id).collect();
    let totals = weigh::summarize(&ids, results, terms.now).totals;
    let step = |total: weigh::StepTotal| StepTotals {
        datasets: total.datasets,
        stored_bytes: total.bytes,
    };
    table.all = step(totals.registered);
    table.backed_up = step(totals.backed_up);
    table.at_drc = step(totals.at_drc);
    table.verified = step(totals.verified);
    table.proven = step(totals.proven);
    Ok(table)
}

fn names(db: &Connection, terms: &Terms, pd: Option<PdId>) -> Result<Names, DbError> {
    let mut pds = rows::pds(db)?;
    pds.retain(|one| pd.is_none_or(|pd| one.id == pd));
    let mut servers = HashMap::new();
    for mut server in rows::servers(db, pd.as_ref())? {
        server.heartbeat = terms.patience.state(server.last_seen, terms.now);
        servers.insert(server.id, server);
    }
    let sites = rows::sites(db)?.into_iter().map(|site| (site.id, site.name)).collect();
    Ok(Names { pds, servers, sites })
}

fn dataset_row(
    db: &Connection,
    terms: &Terms,
    names: &Names,
    pd: &Pd,
    dataset: &Dataset,
    result: &DatasetCompliance,
) -> Result<ComplianceRow, DbError> {
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
    let row = empty_row(pd, names, dataset.server, terms.language);
    Ok(ComplianceRow {
        heartbeat: dataset.server.map_or_else(|| best_heartbeat(names, pd), |_| row.heartbeat),
        dataset: Some(dataset.id),
        dataset_name: dataset.name.clone(),
        urgency: Some(dataset.urgency),
        rpo_s: Some(dataset.rpo_s),
        snapshot: result.backed_up.snapshot.or(result.at_drc.snapshot),
        unauthorized_snapshots: unauthorized,
        belum_mencadangkan: result.backed_up.at.is_none() && result.at_drc.at.is_none(),
        backed_up: step(terms, names, &result.backed_up, inventory(&result.backed_up)?),
        at_drc: step(terms, names, &result.at_drc, inventory(&result.at_drc)?),
        verified: step(terms, names, &result.verified, scrub(db, &result.verified)?),
        proven: step(terms, names, &result.proven, proof(db, &result.proven)?),
        stored_bytes: result.bytes,
        menurut_agen: agent_figures(db, dataset)?,
        ..row
    })
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

fn agent_figures(db: &Connection, dataset: &Dataset) -> Result<Option<AgentFigures>, DbError> {
    let report = agents::last_backup_report(db, &dataset.id)?;
    Ok(report.map(|(report, last_ok)| AgentFigures {
        at: report.at,
        outcome: report.outcome,
        last_ok,
        statistics: report.statistics,
        message: report.message,
    }))
}

fn step(terms: &Terms, names: &Names, step: &weigh::Step, evidence: Option<Evidence>) -> Step {
    let site = |id: &SiteId| names.sites.get(id).cloned().unwrap_or_else(|| id.short());
    let words = |reason: &Reason| match terms.language {
        Language::Indonesian => reason.indonesian(site),
        Language::English => reason.english(site),
    };
    let reason = step.reasons.iter().map(words).collect::<Vec<_>>().join("; ");
    let since = step.reasons.iter().find_map(|reason| match reason {
        Reason::LateSince(at) => Some(*at),
        _ => None,
    });
    Step {
        state: step.reasons.first().map_or(StepState::Met, state),
        since: since.or(step.at.filter(|_| step.met)),
        at: step.at,
        evidence,
        reason,
    }
}

/// In which of the states of the table a reason leaves a step.
const fn state(reason: &Reason) -> StepState {
    match reason {
        Reason::LateSince(_) | Reason::VerificationExpired(_) | Reason::ProofExpired(_) => {
            StepState::Late
        }
        Reason::NoAgent
        | Reason::Never
        | Reason::OnlyPartial
        | Reason::Unauthorized(_)
        | Reason::NoSite(_)
        | Reason::NoReceipt(_)
        | Reason::NotVerified
        | Reason::NotProven
        | Reason::ProofFailed(..) => StepState::Missing,
        Reason::InventoryMissing(_)
        | Reason::InventoryStale(..)
        | Reason::InventoryAhead(..)
        | Reason::InventoryBroken(..)
        | Reason::Hidden(..)
        | Reason::AwaitingInventory(_)
        | Reason::Damaged(..)
        | Reason::ClockAhead(..) => StepState::Unknown,
    }
}

/// A PD without any dataset has a row of its own, and so has each server without one.
fn rows_without_dataset(
    names: &Names,
    pd: &Pd,
    datasets: &[Dataset],
    language: Language,
) -> Vec<ComplianceRow> {
    let mut bare: Vec<ComplianceRow> = names
        .servers
        .values()
        .filter(|server| {
            server.pd == pd.id && !datasets.iter().any(|dataset| dataset.server == Some(server.id))
        })
        .map(|server| empty_row(pd, names, Some(server.id), language))
        .collect();
    if bare.is_empty() && datasets.is_empty() {
        bare.push(empty_row(pd, names, None, language));
    }
    bare
}

fn empty_row(
    pd: &Pd,
    names: &Names,
    server: Option<ServerId>,
    language: Language,
) -> ComplianceRow {
    let found = server.and_then(|id| names.servers.get(&id));
    let missing = Step {
        state: StepState::Missing,
        since: None,
        at: None,
        evidence: None,
        reason: match language {
            Language::Indonesian => "belum mencadangkan",
            Language::English => "not backing up",
        }
        .to_owned(),
    };
    ComplianceRow {
        pd: pd.id,
        pd_code: pd.code.clone(),
        pd_name: pd.name.clone(),
        server,
        server_name: found.map(|server| server.name.clone()).unwrap_or_default(),
        heartbeat: found.map_or(HeartbeatState::Never, |server| server.heartbeat),
        dataset: None,
        dataset_name: String::new(),
        urgency: None,
        rpo_s: None,
        snapshot: None,
        unauthorized_snapshots: 0,
        belum_mencadangkan: true,
        backed_up: missing.clone(),
        at_drc: missing.clone(),
        verified: missing.clone(),
        proven: missing,
        stored_bytes: 0,
        menurut_agen: None,
    }
}

/// The best state among the PD's servers: a dataset that names no server may lie on any of them.
fn best_heartbeat(names: &Names, pd: &Pd) -> HeartbeatState {
    let states =
        names.servers.values().filter(|server| server.pd == pd.id).map(|server| server.heartbeat);
    states.min().unwrap_or(HeartbeatState::Never)
}
