//! What of drills needs somebody: a drill that is overdue, a run that nobody carries on or that could not be put back, a restore
//! test that failed or could not be started. And what needs nobody: restore tests that are due by their plan's schedule are started here.
//!
//! Invariants: a round that finds nothing new writes nothing; a plan has one run at a time, so that a test that takes longer than
//! its schedule has it is not started twice.

use lumbung_model::drill::{DrillMode, UndoProgress, Verdict};
use lumbung_model::schedule::Schedule;
use lumbung_model::{PdId, Timestamp};
use rusqlite::{Connection, Transaction};

use super::journal::replayed;
use super::runs::{self, SILENT_S};
use super::{DrillError, view};
use crate::act::Act;
use crate::db::alarms::{self, Finding};
use crate::db::drills::{self as rows, PlanRow, Which};
use crate::db::{Db, DbError};
use crate::profile::Profile;

/// The kinds of alarms that are raised here.
pub const ALARMS: [&str; 3] = ["drill-overdue", "drill-unfinished", "restore-test-failed"];

/// After how long one that is due should have been started, s.
const START_S: i64 = 3600;
/// The reason that a run by schedule has.
const BY_SCHEDULE: &str = "sesuai jadwal rencana";

fn finding(subject: String, pd: Option<PdId>, detail: String) -> Finding {
    Finding { subject, pd, site: None, service: None, detail }
}

/// The drills that are overdue.
fn overdue(db: &Connection, now: Timestamp, profile: &Profile) -> Result<Vec<Finding>, DbError> {
    let mut found = Vec::new();
    for one in view::calendar(db, None, now, profile)?.into_iter().filter(|one| one.overdue) {
        let pd = rows::plan(db, &one.plan)?.and_then(|plan| plan.pd);
        let last = one.last.map_or_else(
            || "it was never run".to_owned(),
            |at| format!("last run on {}", lumbung_model::Day::of(at, profile.zone())),
        );
        let detail = format!("drill {:?} was due on {} ({last}): run it", one.title, one.due_on);
        found.push(finding(one.plan.to_string(), pd, detail));
    }
    Ok(found)
}

/// The runs that are not over and that somebody has to see to.
fn unfinished(db: &Connection, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    let mut found = Vec::new();
    for row in rows::runs(db, &Which { open: true, ..Which::default() })? {
        let run = replayed(&row, &rows::events(db, &row.id)?)?;
        let left = run.steps().filter(|(_, one)| one.undo == UndoProgress::GivenUp);
        let left: Vec<_> = left.map(|(step, _)| step.id.as_str().to_owned()).collect();
        let silent_s = now.seconds_since(row.heard.unwrap_or(row.created));
        let title = &row.body.title;
        let detail = if !left.is_empty() {
            format!("run of {title:?}: could not be put back, do it by hand: {}", left.join(", "))
        } else if silent_s >= SILENT_S {
            let hours = silent_s / 3600;
            format!(
                "run of {title:?} is not over and told nothing for {hours} h: look at its runner"
            )
        } else {
            continue;
        };
        let pd = rows::plan(db, &row.plan)?.and_then(|plan| plan.pd);
        found.push(finding(row.id.to_string(), pd, detail));
    }
    Ok(found)
}

/// The plans that are run by themselves, and do not show that the data comes back: what was due could not be started, or the newest run
/// did not succeed.
fn failed(db: &Connection, now: Timestamp, profile: &Profile) -> Result<Vec<Finding>, DbError> {
    let mut found = Vec::new();
    for row in rows::plans(db, None)?.into_iter().filter(is_by_itself) {
        let why = match not_started(db, &row, now, profile)? {
            Some(why) => Some(why),
            None => not_succeeded(db, &row)?,
        };
        found.extend(why.map(|why| {
            let detail = format!("restore test {:?} {why}", row.plan.title);
            finding(row.id.to_string(), row.pd, detail)
        }));
    }
    Ok(found)
}

fn not_succeeded(db: &Connection, row: &PlanRow) -> Result<Option<String>, DbError> {
    let past = rows::past(db, &row.id)?;
    let newest = past.iter().max_by_key(|run| run.ended);
    let failed = newest.filter(|run| run.verdict != Verdict::Succeeded);
    Ok(failed.map(|run| format!("did not succeed: lumbung drill acta {}", run.run)))
}

/// Why one that is due was not started, although several rounds have tried.
fn not_started(
    db: &Connection,
    row: &PlanRow,
    now: Timestamp,
    profile: &Profile,
) -> Result<Option<String>, DbError> {
    let due = due_since(db, row, now, profile)?;
    let Some(due) = due.filter(|due| now.seconds_since(*due) >= START_S) else { return Ok(None) };
    let since = format!("was due on {}", lumbung_model::Day::of(due, profile.zone()));
    match runs::may_start(db, &row.id, row.revision, DrillMode::Drill) {
        Ok(_) => Ok(Some(format!("{since} and is not started: look at the controller's log"))),
        Err(DrillError::Db(error)) => Err(error),
        Err(error) => Ok(Some(format!("{since} and cannot be started: {error}"))),
    }
}

fn is_by_itself(row: &PlanRow) -> bool {
    row.plan.schedule.is_some() && !row.plan.draft && row.retired.is_none()
}

/// Since when a restore test is due: its schedule has come round since it was started last, or since it was entered.
fn due_since(
    db: &Connection,
    row: &PlanRow,
    now: Timestamp,
    profile: &Profile,
) -> Result<Option<Timestamp>, DbError> {
    let Some(expression) = row.plan.schedule.clone() else { return Ok(None) };
    let (newest, goes_on) = rows::newest_run(db, &row.id)?;
    let next = Schedule::new(expression, profile.zone()).next_after(newest.unwrap_or(row.created));
    Ok(next.filter(|next| !goes_on && *next <= now))
}

/// Starts the restore tests that are due; how many plans are run by themselves. What cannot be started now is tried again with the
/// next round.
///
/// # Errors
/// If the database fails.
pub async fn start_due(
    db: &Db,
    now: Timestamp,
    profile: &std::sync::Arc<Profile>,
) -> Result<usize, DbError> {
    let of = profile.clone();
    let look = move |tx: &Transaction<'_>| {
        let (mut all, mut due) = (0, Vec::new());
        for row in rows::plans(tx, None)?.into_iter().filter(is_by_itself) {
            all += 1;
            if due_since(tx, &row, now, &of)?.is_some() {
                due.push(row.id);
            }
        }
        Ok::<_, DbError>((all, due))
    };
    let (all, due) = db.read_async(look).await?;
    for id in due {
        let start = move |tx: &Transaction<'_>| {
            let row = rows::plan(tx, &id)?.ok_or(DrillError::UnknownPlan)?;
            let by = ("controller".to_owned(), BY_SCHEDULE);
            runs::start(tx, &Act::controller(now), &row, (DrillMode::Drill, None), by)
        };
        match db.write_async(start).await {
            Ok(run) => tracing::info!("restore test {} was started as run {}", id, run.id),
            Err(DrillError::Db(error)) => return Err(error),
            Err(error) => tracing::warn!("restore test {id} is due and cannot be started: {error}"),
        }
    }
    Ok(all)
}

/// Makes the open alarms be what is found now.
///
/// # Errors
/// If the database fails; nothing is changed then.
pub async fn keep(
    db: &Db,
    now: Timestamp,
    profile: &std::sync::Arc<Profile>,
) -> Result<(), DbError> {
    let profile = profile.clone();
    let find = move |tx: &Transaction<'_>| {
        Ok([overdue(tx, now, &profile)?, unfinished(tx, now)?, failed(tx, now, &profile)?])
    };
    alarms::keep(db, now, ALARMS, find).await
}
