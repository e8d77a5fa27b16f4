//! What of drills needs somebody: a drill that is overdue, a run that nobody carries on or that could not be put back.
//!
//! Invariant: a round that finds nothing new writes nothing.

use lumbung_model::drill::UndoProgress;
use lumbung_model::{PdId, Timestamp};
use rusqlite::{Connection, Transaction};

use super::journal::replayed;
use super::runs::SILENT_S;
use super::view;
use crate::db::alarms::{self, Finding};
use crate::db::drills::{self as rows, Which};
use crate::db::{Db, DbError};
use crate::profile::Profile;

/// The kinds of alarms that are raised here.
pub const ALARMS: [&str; 2] = ["drill-overdue", "drill-unfinished"];

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
    let find = move |tx: &Transaction<'_>| Ok([overdue(tx, now, &profile)?, unfinished(tx, now)?]);
    alarms::keep(db, now, ALARMS, find).await
}
