//! The compliance table: where datasets stand, put into rows, now or as of a date.
//!
//! Invariants: every PD of the register has a row, and every server without a dataset; what only an agent
//! says stands in `menurut_agen` and changes no step; the figures are of one consistent state. What is shown of now was
//! weighed after the last change, by the reconciler or here; what is shown of a date is what was said then.

mod cause;
mod part;
mod past;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use lumbung_model::compliance::{self as weigh, Reason, StepTotal, Totals};
use lumbung_model::{DatasetId, PdId, ServerId, SiteId, Timestamp};
use lumbung_wire::messages::register::{
    AgentFigures, ComplianceRow, ComplianceTable, Dataset, Evidence, HeartbeatState, Pd, Server,
    Step, StepState, StepTotals,
};
use rusqlite::Connection;

use crate::db::standings::Sums;
use crate::db::{DbError, agents, register as rows};
use crate::liveness::Patience;
use crate::profile::{Profile, Wording};
use crate::standing::Standing;

pub use part::{Part, table_part};
pub use past::{Past, table_at};

/// The language of reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
pub enum Language {
    /// Indonesian.
    #[default]
    #[serde(rename = "id")]
    Indonesian,
    /// English.
    #[serde(rename = "en")]
    English,
}

impl Language {
    /// The one of two texts that is in this language.
    pub(crate) fn choose<T>(self, indonesian: T, english: T) -> T {
        match self {
            Self::Indonesian => indonesian,
            Self::English => english,
        }
    }

    /// The text in this language.
    #[must_use]
    pub fn pick(self, wording: &Wording) -> &str {
        match self {
            Self::Indonesian => &wording.id,
            Self::English => &wording.en,
        }
    }
}

/// What a table is made with.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What the city asks for.
    pub profile: Arc<Profile>,
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

/// Where a row stands in the table: by PD, server and dataset. No two rows stand at one place.
pub type Place = (String, String, String, Option<DatasetId>);

/// Where this row stands.
#[must_use]
pub fn place_of_row(row: &ComplianceRow) -> Place {
    (row.pd_code.clone(), row.server_name.clone(), row.dataset_name.clone(), row.dataset)
}

/// The compliance table, of all PD or of one.
///
/// # Errors
/// If the database fails.
pub fn table(db: &Connection, terms: &Terms, pd: Option<PdId>) -> Result<ComplianceTable, DbError> {
    table_part(db, terms, pd, &Part::WHOLE)
}

/// A table in its order, with its totals.
fn finished(mut table: ComplianceTable, totals: Totals) -> ComplianceTable {
    table.rows.sort_by_cached_key(place_of_row);
    table.all = step_totals(totals.registered);
    table.backed_up = step_totals(totals.backed_up);
    table.at_drc = step_totals(totals.at_drc);
    table.verified = step_totals(totals.verified);
    table.proven = step_totals(totals.proven);
    table
}

/// A total as the API shows it.
#[must_use]
pub const fn step_totals(total: StepTotal) -> StepTotals {
    StepTotals { datasets: total.datasets, stored_bytes: total.bytes }
}

/// How many datasets and bytes of the city have come how far, and how many PD have never backed anything up.
///
/// # Errors
/// If the database fails.
pub fn totals(db: &Connection, terms: &Terms) -> Result<(Totals, u64), DbError> {
    let (sums, _) = part::weighed(db, terms, None)?;
    let totals = part::together(&sums);
    let pds = rows::pds(db)?;
    let silent = pds.iter().filter(|pd| sums.get(&pd.id).is_none_or(Sums::is_nothing));
    Ok((totals, silent.count() as u64))
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
    standing: &Standing,
) -> Result<ComplianceRow, DbError> {
    let row = empty_row(pd, names, dataset.server, terms.language);
    let result = &standing.compliance;
    let figures = agent_figures(db, dataset)?;
    let [backed_up, at_drc, verified, proven] = &standing.evidence;
    Ok(ComplianceRow {
        heartbeat: dataset.server.map_or_else(|| best_heartbeat(names, pd), |_| row.heartbeat),
        dataset: Some(dataset.id),
        dataset_name: dataset.name.clone(),
        urgency: Some(dataset.urgency),
        rpo_s: Some(dataset.rpo_s),
        snapshot: result.backed_up.snapshot.or(result.at_drc.snapshot),
        unauthorized_snapshots: standing.unauthorized,
        belum_mencadangkan: standing.never(),
        backed_up: step(terms, names, &result.backed_up, backed_up.clone()),
        at_drc: step(terms, names, &result.at_drc, at_drc.clone()),
        verified: step(terms, names, &result.verified, verified.clone()),
        proven: step(terms, names, &result.proven, proven.clone()),
        stored_bytes: result.bytes,
        cause: cause::of(db, terms, names, dataset, result, figures.as_ref())?,
        menurut_agen: figures,
        ..row
    })
}

fn agent_figures(db: &Connection, dataset: &Dataset) -> Result<Option<AgentFigures>, DbError> {
    let report = agents::last_backup_report(db, &dataset.id)?;
    Ok(report.map(|(report, last_ok)| AgentFigures {
        at: report.at,
        outcome: report.outcome,
        last_ok,
        statistics: report.statistics,
        cause: report.cause,
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
        state: step.reasons.first().map_or(StepState::Met, |reason| state(reason.code())),
        since: since.or(step.at.filter(|_| step.met)),
        at: step.at,
        evidence,
        reason,
    }
}

/// In which of the states of the table the code of a reason leaves a step.
fn state(code: &str) -> StepState {
    match code {
        "late" | "verification-expired" | "proof-expired" => StepState::Late,
        "inventory-missing" | "inventory-stale" | "inventory-ahead" | "inventory-broken"
        | "hidden" | "awaiting-inventory" | "damaged" | "clock-ahead" => StepState::Unknown,
        _ => StepState::Missing,
    }
}

/// A PD without any dataset has a row of its own, and so has each server without one.
fn rows_without_dataset(
    names: &Names,
    pd: &Pd,
    datasets: &[Dataset],
    language: Language,
) -> Vec<ComplianceRow> {
    let used: HashSet<ServerId> = datasets.iter().filter_map(|dataset| dataset.server).collect();
    let mut bare: Vec<ComplianceRow> = names
        .servers
        .values()
        .filter(|server| server.pd == pd.id && !used.contains(&server.id))
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
        cause: None,
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

#[cfg(test)]
mod tests;
