//! The compliance table as of a date: what was said then, of the register as it was then.
//!
//! Invariant: nothing that was learnt later changes it.

use std::collections::HashMap;

use lumbung_model::compliance::{DatasetCompliance, Totals, summarize};
use lumbung_model::{DatasetId, PdId, Timestamp};
use lumbung_wire::messages::register::{
    ComplianceRow, ComplianceTable, Dataset, HeartbeatState, Pd, Server, Step, StepState,
};
use rusqlite::Connection;

use super::{Language, Names, Terms, empty_row, finished, rows_without_dataset, state};
use crate::db::verdicts::Interval;
use crate::db::{DbError, history, verdicts};
use crate::profile::Look;
use crate::rules::{is_step, step_rule};

/// What can be said of a date.
#[derive(Debug)]
pub enum Past {
    /// The table as it was.
    Table(Box<ComplianceTable>),
    /// Verdicts are kept since then only; none: not yet.
    Before(Option<Timestamp>),
}

/// The compliance table as of `at`, of all PD or of one.
///
/// # Errors
/// If the database fails.
pub fn table_at(
    db: &Connection,
    terms: &Terms,
    pd: Option<PdId>,
    at: Timestamp,
) -> Result<Past, DbError> {
    let begins = verdicts::begins(db)?;
    if begins.is_none_or(|begins| at < begins) {
        return Ok(Past::Before(begins));
    }
    let names = names_at(db, pd, at)?;
    let mut said: HashMap<DatasetId, Vec<Interval>> = HashMap::new();
    for interval in verdicts::at(db, at, pd.as_ref())? {
        if let (true, Ok(id)) = (is_step(&interval.rule), <[u8; 16]>::try_from(&*interval.subject))
        {
            said.entry(DatasetId::from_bytes(id)).or_default().push(interval);
        }
    }
    let mut table = ComplianceTable { at, ..ComplianceTable::default() };
    let datasets: Vec<Dataset> = history::rows_at(db, "dataset", at)?;
    let mut results = Vec::new();
    for owner in &names.pds {
        let own: Vec<Dataset> = datasets.iter().filter(|one| one.pd == owner.id).cloned().collect();
        for dataset in &own {
            let said = said.remove(&dataset.id).unwrap_or_default();
            let bytes = history::bytes_at(db, &dataset.id, at)?;
            let row = dataset_row(terms.language, &names, owner, (dataset, bytes), &said);
            results.push(counted(dataset, &row));
            table.rows.push(row);
        }
        table.rows.extend(rows_without_dataset(&names, owner, &own, terms.language));
    }
    let ids: Vec<PdId> = names.pds.iter().map(|pd| pd.id).collect();
    let totals: Totals = summarize(&ids, results, at).totals;
    Ok(Past::Table(Box::new(finished(table, totals))))
}

fn names_at(db: &Connection, pd: Option<PdId>, at: Timestamp) -> Result<Names, DbError> {
    let mut pds: Vec<Pd> = history::rows_at(db, "pd", at)?;
    pds.retain(|one| pd.is_none_or(|pd| one.id == pd));
    pds.sort_by(|one, other| one.code.cmp(&other.code));
    let servers: Vec<Server> = history::rows_at(db, "server", at)?;
    // Who was heard of when is not kept for the past.
    let silent = |mut server: Server| {
        (server.heartbeat, server.last_seen) = (HeartbeatState::Never, None);
        (server.id, server)
    };
    Ok(Names { pds, servers: servers.into_iter().map(silent).collect(), sites: HashMap::new() })
}

fn dataset_row(
    language: Language,
    names: &Names,
    pd: &Pd,
    (dataset, bytes): (&Dataset, u64),
    said: &[Interval],
) -> ComplianceRow {
    let of =
        |look: Look| step(language, said.iter().find(|interval| interval.rule == step_rule(look)));
    let never = ["no-agent", "never", "only-partial"];
    let first = |look: Look| {
        let interval = said.iter().find(|interval| interval.rule == step_rule(look));
        interval.map_or("never", |interval| interval.codes.split(',').next().unwrap_or_default())
    };
    ComplianceRow {
        dataset: Some(dataset.id),
        dataset_name: dataset.name.clone(),
        urgency: Some(dataset.urgency),
        rpo_s: Some(dataset.rpo_s),
        belum_mencadangkan: never.contains(&first(Look::BackedUp))
            && never.contains(&first(Look::AtDrc)),
        backed_up: of(Look::BackedUp),
        at_drc: of(Look::AtDrc),
        verified: of(Look::Verified),
        proven: of(Look::Proven),
        stored_bytes: bytes,
        ..empty_row(pd, names, dataset.server, language)
    }
}

fn step(language: Language, said: Option<&Interval>) -> Step {
    let Some(said) = said else {
        let reason = match language {
            Language::Indonesian => "belum dinilai",
            Language::English => "not weighed yet",
        };
        return Step {
            state: StepState::Unknown,
            since: None,
            at: None,
            evidence: None,
            reason: reason.to_owned(),
        };
    };
    let first = said.codes.split(',').next().unwrap_or_default();
    Step {
        state: if said.met { StepState::Met } else { state(first) },
        since: Some(said.from),
        at: None,
        evidence: None,
        reason: match language {
            Language::Indonesian => said.reason_id.clone(),
            Language::English => said.reason_en.clone(),
        },
    }
}

/// A row as the totals count it.
fn counted(dataset: &Dataset, row: &ComplianceRow) -> DatasetCompliance {
    let step = |step: &Step| lumbung_model::compliance::Step {
        met: step.state == StepState::Met,
        snapshot: None,
        at: None,
        site: None,
        reasons: Vec::new(),
    };
    DatasetCompliance {
        dataset: dataset.id,
        pd: dataset.pd,
        bytes: row.stored_bytes,
        backed_up: step(&row.backed_up),
        at_drc: step(&row.at_drc),
        verified: step(&row.verified),
        proven: step(&row.proven),
    }
}
