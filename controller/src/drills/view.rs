//! Plans, runs and what falls due, as they are shown.
//!
//! Invariants: how far a plan has come follows from its revision, the register as it is now, its runs and the time; whoever
//! belongs to one PD is shown its own alone.

use std::collections::HashMap;

use lumbung_model::drill::{
    Acta, ActaGiven, DatasetNames, DrillPlan, Next, PastRun, Run, ServiceNames, StepId, Verdict,
    faults, standing,
};
use lumbung_model::{Day, DrillPlanId, PdId, Timestamp};
use lumbung_wire::messages::drills::{
    ActaDocument, DrillDue, DrillPlanEntry, DrillRun, DrillRunDetail,
};
use rusqlite::Connection;
use serde::Serialize;

use super::journal::replayed;
use super::subjects::sha256;
use super::{DrillError, fingerprint};
use crate::db::drills::{self as rows, PlanRow, RunRow, Which};
use crate::db::{DbError, register, services};
use crate::profile::Profile;

/// What is entered of a plan: the tag of its row is made of it.
#[derive(Serialize)]
struct Entered<'a> {
    id: DrillPlanId,
    pd: Option<PdId>,
    revision: u64,
    retired: Option<Timestamp>,
    plan: &'a DrillPlan,
}

/// What of a plan people change, for the tag of its row.
#[must_use]
pub fn row_tag_of(row: &PlanRow) -> impl Serialize + '_ {
    let PlanRow { id, pd, revision, retired, plan, .. } = row;
    Entered { id: *id, pd: *pd, revision: *revision, retired: *retired, plan }
}

fn code(db: &Connection, pd: Option<PdId>) -> Result<String, DbError> {
    let found = pd.map(|pd| register::pd(db, &pd)).transpose()?.flatten();
    Ok(found.map(|pd| pd.code).unwrap_or_default())
}

/// The end of the day on which a run of a plan of that kind no longer speaks for it.
fn lasts(profile: &Profile, plan: &DrillPlan, ended: Timestamp) -> Timestamp {
    let zone = profile.zone();
    let day = Day::of(ended, zone).plus_months(profile.drills.months(plan.kind));
    day.last_second(zone)
}

/// The last day on which the next drill of a plan is in time, and when it was run last; none of what is never run.
fn due(row: &PlanRow, past: &[PastRun], profile: &Profile) -> Option<(Day, Option<Timestamp>)> {
    if row.plan.draft || row.retired.is_some() {
        return None;
    }
    let zone = profile.zone();
    // What did not come up has to be rehearsed again; what came up late or with something amiss was rehearsed.
    let held = past.iter().filter(|run| run.verifies_if_good(row.plan.kind));
    let last = held.clone().map(|run| run.ended).max();
    let carried = held.filter(|run| run.verdict != Verdict::Failed).map(|run| run.ended).max();
    let day = match carried {
        Some(ended) => Day::of(ended, zone).plus_months(profile.drills.months(row.plan.kind)),
        None => Day::of(row.created, zone).plus_days(profile.drills.first_days),
    };
    Some((day, last))
}

/// One plan.
///
/// # Errors
/// If the database fails.
pub fn entry(
    db: &Connection,
    row: PlanRow,
    now: Timestamp,
    profile: &Profile,
) -> Result<DrillPlanEntry, DbError> {
    let past = rows::past(db, &row.id)?;
    let is = fingerprint(db, &row.plan)?;
    let stands = standing(&row.plan, is, &past, now, |ended| lasts(profile, &row.plan, ended));
    let due = due(&row, &past, profile);
    let which = Which { plan: Some(row.id), open: true, ..Which::default() };
    Ok(DrillPlanEntry {
        id: row.id,
        pd: row.pd,
        pd_code: code(db, row.pd)?,
        revision: row.revision,
        sha256: row.sha256,
        state: stands.state,
        why: stands.why,
        verified_by: stands.run,
        verified_until: stands.until,
        active: rows::runs(db, &which)?.first().map(|run| run.id),
        due_on: due.map(|(day, _)| day),
        overdue: due.is_some_and(|(day, _)| profile.today(now) > day),
        faults: faults(&row.plan).iter().map(ToString::to_string).collect(),
        changed: row.changed,
        changed_by: row.changed_by,
        retired: row.retired,
        plan: row.plan,
    })
}

/// The plans of one PD, or all; those that are retired only if they are asked for.
///
/// # Errors
/// If the database fails.
pub fn entries(
    db: &Connection,
    (pd, retired): (Option<PdId>, bool),
    now: Timestamp,
    profile: &Profile,
) -> Result<Vec<DrillPlanEntry>, DbError> {
    let rows = rows::plans(db, pd.as_ref())?.into_iter();
    let rows = rows.filter(|row| retired || row.retired.is_none());
    rows.map(|row| entry(db, row, now, profile)).collect()
}

/// When the next drills are due, by day.
///
/// # Errors
/// If the database fails.
pub fn calendar(
    db: &Connection,
    pd: Option<PdId>,
    now: Timestamp,
    profile: &Profile,
) -> Result<Vec<DrillDue>, DbError> {
    let mut all = Vec::new();
    for row in rows::plans(db, pd.as_ref())? {
        let past = rows::past(db, &row.id)?;
        let Some((due_on, last)) = due(&row, &past, profile) else { continue };
        let shown = entry(db, row, now, profile)?;
        all.push(DrillDue {
            due_on,
            overdue: shown.overdue,
            plan: shown.id,
            title: shown.plan.title,
            kind: shown.plan.kind,
            state: shown.state,
            pd_code: shown.pd_code,
            last,
            instrument: profile.drills.instrument.clone(),
        });
    }
    all.sort_by(|a, b| (a.due_on, &a.title, a.plan).cmp(&(b.due_on, &b.title, b.plan)));
    Ok(all)
}

/// What a run waits for, for people.
fn waits(run: &Run<'_>) -> String {
    let named = |steps: &[StepId]| steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ");
    match run.next() {
        Next::Start => "the runner has not begun it".to_owned(),
        Next::Begin(steps) => format!("to begin: {}", named(&steps)),
        Next::Wait(steps) => format!("under way: {}", named(&steps)),
        Next::Failback(_) => "everything is put back next".to_owned(),
        Next::AskForFailback { failed } if failed.is_empty() => {
            "people decide when services go back (answer failback)".to_owned()
        }
        Next::AskForFailback { failed } => {
            format!("people decide: retry, or failback; failed: {}", named(&failed))
        }
        Next::Undo(step) | Next::WaitForUndo(step) => format!("putting back: {step}"),
        Next::AskForHands(steps) => {
            format!("somebody has to put back by hand (answer put_back): {}", named(&steps))
        }
        Next::Clean => "the clean-up to be written down".to_owned(),
        Next::Reconcile => "what both sites hold to be compared".to_owned(),
        Next::Finish => "the end to be written down".to_owned(),
        Next::Over => String::new(),
    }
}

/// One run.
///
/// # Errors
/// If the database fails.
pub fn run_entry(db: &Connection, row: RunRow) -> Result<DrillRun, DbError> {
    let events = rows::events(db, &row.id)?;
    let run = replayed(&row, &events)?;
    let pd = rows::plan(db, &row.plan)?.and_then(|plan| plan.pd);
    Ok(DrillRun {
        figures: run.figures(),
        waits: if row.finished.is_some() { String::new() } else { waits(&run) },
        events: events.len() as u64,
        id: row.id,
        plan: row.plan,
        title: row.body.title.clone(),
        kind: row.body.kind,
        revision: row.revision,
        pd,
        pd_code: code(db, pd)?,
        mode: row.mode,
        created: row.created,
        created_by: row.created_by.clone(),
        reason: row.reason.clone(),
        started: row.started,
        finished: row.finished,
        closed: row.closed.clone(),
        verdict: row.verdict,
        heard: row.heard,
        number: row.number.clone(),
    })
}

/// The runs, newest first.
///
/// # Errors
/// If the database fails.
pub fn run_entries(db: &Connection, which: &Which) -> Result<Vec<DrillRun>, DbError> {
    rows::runs(db, which)?.into_iter().map(|row| run_entry(db, row)).collect()
}

/// A run with its plan and its journal.
///
/// # Errors
/// If the database fails.
pub fn detail(db: &Connection, row: RunRow) -> Result<DrillRunDetail, DbError> {
    let (events, answers) = (rows::events(db, &row.id)?, rows::answers(db, &row.id)?);
    let (plan, outage) = (row.body.clone(), row.outage);
    let (corrections, signatories) = (row.corrections.clone(), row.signatories.clone());
    let run = run_entry(db, row)?;
    Ok(DrillRunDetail { run, plan, outage, events, answers, corrections, signatories })
}

/// The *berita acara* of a run.
///
/// # Errors
/// If the database fails.
pub fn acta(db: &Connection, row: &RunRow, profile: &Profile) -> Result<ActaDocument, DrillError> {
    let events = rows::events(db, &row.id)?;
    let run = replayed(row, &events)?;
    let given = given(db, row, profile)?;
    let of = (row.id, row.plan, row.revision, row.of.plan);
    let acta = Acta::of(&run, events.clone(), of, given);
    let sha256 = sha256(&acta)?;
    Ok(ActaDocument { acta, sha256 })
}

/// What the register calls things, also those that were retired since.
fn given(db: &Connection, row: &RunRow, profile: &Profile) -> Result<ActaGiven, DbError> {
    let codes: HashMap<PdId, String> =
        register::pds_ever(db)?.into_iter().map(|pd| (pd.id, pd.code)).collect();
    let servers: HashMap<_, _> =
        register::servers_ever(db, None)?.into_iter().map(|one| (one.id, one.name)).collect();
    let mut given = ActaGiven {
        number: row.number.clone(),
        city: profile.city.name.clone(),
        dinas: profile.vocabulary.dinas.clone(),
        time_zone: profile.zone().name().to_owned(),
        corrections: row.corrections.clone(),
        signatories: row.signatories.clone(),
        ..ActaGiven::default()
    };
    if let Some(site) = &row.body.isolates {
        given.isolates = register::site_ever(db, site)?.unwrap_or_else(|| site.short());
    }
    given.runner = row.runner.and_then(|id| servers.get(&id).cloned()).unwrap_or_default();
    let pd = |pd: PdId| codes.get(&pd).cloned().unwrap_or_default();
    for part in &row.body.datasets {
        if let Some(one) = register::dataset(db, &part.dataset)? {
            let (key, name, pd) = (part.key.clone(), one.name, pd(one.pd));
            given.datasets.push(DatasetNames { key, name, pd });
        }
    }
    let offered: HashMap<_, _> =
        services::services_ever(db, None)?.into_iter().map(|one| (one.id, one)).collect();
    for part in &row.body.services {
        if let Some(one) = offered.get(&part.service) {
            let standby = one.standby.and_then(|id| servers.get(&id).cloned()).unwrap_or_default();
            let (key, name, pd) = (part.key.clone(), one.name.clone(), pd(one.pd));
            given.services.push(ServiceNames { key, name, pd, standby });
        }
    }
    Ok(given)
}
