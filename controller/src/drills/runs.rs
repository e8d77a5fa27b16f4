//! Runs as people start, answer, close and annotate them.
//!
//! Invariants: a plan has one run at a time, of the revision that it has then; in earnest it is started by an approval alone
//! (`crate::approvals`), and a drill that changes something outside a scratch place by somebody else than who made the
//! revision; a run is only closed unfinished if nothing is under way: its runner was never given it, or nobody has heard of
//! it for a day.

use lumbung_model::drill::{
    DrillKind, DrillMode, DrillStep, LINE_MAX_CHARS, TEXT_MAX_CHARS, Verdict, faults, is_text,
};
use lumbung_model::{DrillPlanId, DrillRunId, Timestamp};
use lumbung_wire::messages::drills::{DrillAnswer, DrillAnswerInput, DrillNotes, DrillReply};
use rusqlite::Connection;

use super::desk::{active, in_use, sees};
use super::{DrillError, fingerprint};
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::drills::{self as rows, PlanRow, RunRow};
use crate::db::{DbError, register};
use crate::people::access::Scope;
use crate::register::text::sentence;

/// A run of which nobody has heard for so long may be closed, seconds.
pub(super) const SILENT_S: i64 = 86_400;
/// Most corrections, and most people who sign.
const NOTES_MAX: usize = 100;

/// The run of that id, as far as the caller sees it.
///
/// # Errors
/// [`DrillError::UnknownRun`], or that the database fails.
pub fn find_run(db: &Connection, scope: Scope, text: &str) -> Result<RunRow, DrillError> {
    let id: DrillRunId = text.parse().map_err(|_| DrillError::UnknownRun)?;
    let row = rows::run(db, &id)?.ok_or(DrillError::UnknownRun)?;
    let plan = rows::plan(db, &row.plan)?.ok_or(DrillError::UnknownRun)?;
    if sees(scope, plan.pd) { Ok(row) } else { Err(DrillError::UnknownRun) }
}

/// The plan, if a run of that revision may be started in that mode now.
///
/// # Errors
/// Why it may not.
pub fn may_start(
    db: &Connection,
    plan: &DrillPlanId,
    revision: u64,
    mode: DrillMode,
) -> Result<PlanRow, DrillError> {
    let row = rows::plan(db, plan)?.ok_or(DrillError::UnknownPlan)?;
    in_use(&row)?;
    if row.revision != revision {
        return Err(DrillError::OtherRevision(row.revision));
    }
    if row.plan.draft {
        return Err(DrillError::Draft);
    }
    match (mode, row.plan.kind) {
        (DrillMode::Drill, DrillKind::Tabletop) => {
            return Err(DrillError::Mode("this plan is a tabletop: start it as `tabletop`"));
        }
        (DrillMode::Real, DrillKind::Restore | DrillKind::Tabletop) => {
            return Err(DrillError::Mode("only a failover plan is run in earnest"));
        }
        _ => {}
    }
    let found = faults(&row.plan);
    if !found.is_empty() {
        return Err(DrillError::Faults(found));
    }
    active(db, plan)?;
    if let Some(runner) = row.plan.runner.filter(|_| mode != DrillMode::Tabletop) {
        let agent = register::server(db, &runner)?.and_then(|server| server.agent);
        if agent.is_none() {
            return Err(DrillError::NoAgent);
        }
    }
    Ok(row)
}

/// Starts a run. Whoever carries it out begins its journal.
///
/// # Errors
/// Why it may not be.
pub fn start(
    db: &Connection,
    act: &Act,
    plan: &PlanRow,
    (mode, outage): (DrillMode, Option<Timestamp>),
    (by, reason): (String, &str),
) -> Result<RunRow, DrillError> {
    let plan = may_start(db, &plan.id, plan.revision, mode)?;
    let changes = plan.plan.steps.iter().any(DrillStep::changes_something);
    if mode == DrillMode::Drill
        && changes
        && rows::made_by(db, &plan.id, plan.revision)? == act.actor.name
    {
        return Err(DrillError::SamePerson);
    }
    let reason = sentence(reason).ok_or(DrillError::Reason)?;
    if outage.is_some_and(|outage| outage > act.now) {
        return Err(DrillError::Outage);
    }
    let row = RunRow {
        id: DrillRunId::random(),
        plan: plan.id,
        revision: plan.revision,
        of: fingerprint(db, &plan.plan)?,
        runner: plan.plan.runner.filter(|_| mode != DrillMode::Tabletop),
        body: plan.plan,
        mode,
        outage,
        reason: reason.to_owned(),
        created: act.now,
        created_by: by,
        started: None,
        finished: None,
        verdict: None,
        ordered: None,
        heard: None,
        closed: None,
        number: String::new(),
        corrections: Vec::new(),
        signatories: Vec::new(),
    };
    rows::put_run(db, &row)?;
    let said = serde_json::json!({
        "plan": row.plan, "revision": row.revision, "mode": mode, "outage": outage, "reason": row.reason,
    });
    tell(db, act, "drill_run.start", &row, said)?;
    Ok(row)
}

fn tell(
    db: &Connection,
    act: &Act,
    action: &str,
    row: &RunRow,
    said: serde_json::Value,
) -> Result<(), DbError> {
    let pd = rows::plan(db, &row.plan)?.and_then(|plan| plan.pd);
    audit::append(db, act, Deed { action, kind: "drill_run", id: &row.id, pd }, None, Some(said))
}

/// Closes a run that is not over and that nobody carries on.
///
/// # Errors
/// If it goes on, is over, or no reason is given.
pub fn close(
    db: &Connection,
    act: &Act,
    mut row: RunRow,
    reason: &str,
) -> Result<RunRow, DrillError> {
    if row.finished.is_some() {
        return Err(DrillError::Over);
    }
    let reason = sentence(reason).ok_or(DrillError::Reason)?;
    // Whoever was given it may have begun, and be cut off from here by the drill itself.
    let heard = row.heard.max(row.ordered);
    if heard.is_some_and(|heard| act.now.seconds_since(heard) < SILENT_S) {
        return Err(DrillError::GoesOn);
    }
    (row.finished, row.verdict) = (Some(act.now), Some(Verdict::Failed));
    row.closed = Some(format!("{}: {reason}", act.actor.name));
    rows::put_run(db, &row)?;
    tell(db, act, "drill_run.close", &row, serde_json::json!({ "reason": reason }))?;
    Ok(row)
}

/// Writes down what people add to the *berita acara*.
///
/// # Errors
/// If a text is none.
pub fn note(
    db: &Connection,
    act: &Act,
    mut row: RunRow,
    notes: &DrillNotes,
) -> Result<RunRow, DrillError> {
    let line = |field, text: &str, may_be_empty: bool| {
        let fine = is_text(text, LINE_MAX_CHARS) && !text.contains('\n');
        let said = may_be_empty || !text.trim().is_empty();
        if fine && said { Ok(()) } else { Err(DrillError::Text(field)) }
    };
    line("number", &notes.number, true)?;
    for (field, many) in
        [("corrections", notes.corrections.len()), ("signatories", notes.signatories.len())]
    {
        if many > NOTES_MAX {
            return Err(DrillError::Many(field));
        }
    }
    for one in &notes.corrections {
        line("corrections", &one.what, false)?;
        line("corrections", &one.by, false)?;
    }
    for one in &notes.signatories {
        line("signatories", &one.role, false)?;
        line("signatories", &one.name, false)?;
        line("signatories", &one.nip, true)?;
    }
    row.number.clone_from(&notes.number);
    row.corrections.clone_from(&notes.corrections);
    row.signatories.clone_from(&notes.signatories);
    rows::put_run(db, &row)?;
    tell(db, act, "drill_run.note", &row, audit::shown(notes)?)?;
    Ok(row)
}

/// Keeps what somebody answers the runner.
///
/// # Errors
/// If people write this journal themselves, it is over, or the step is not one of the plan.
pub fn answer(
    db: &Connection,
    act: &Act,
    row: &RunRow,
    input: &DrillAnswerInput,
) -> Result<DrillAnswer, DrillError> {
    if row.finished.is_some() {
        return Err(DrillError::Over);
    }
    if row.runner.is_none() {
        return Err(DrillError::Mode("people hold this tabletop themselves: tell its events"));
    }
    match (&input.step, input.reply) {
        (None, DrillReply::Failback) => {}
        (Some(_), DrillReply::Failback) => {
            return Err(DrillError::Step("everything is put back: name no step"));
        }
        (Some(step), _) if row.body.position(step).is_some() => {}
        _ => return Err(DrillError::Step("name a step of the plan")),
    }
    if !is_text(&input.note, TEXT_MAX_CHARS) {
        return Err(DrillError::Text("note"));
    }
    let needs_note =
        matches!(input.reply, DrillReply::Skip | DrillReply::PutBack | DrillReply::Refuse);
    if needs_note && input.note.trim().is_empty() {
        return Err(DrillError::Text("note"));
    }
    let known = rows::answers(db, &row.id)?;
    let answer = DrillAnswer {
        number: known.last().map_or(1, |last| last.number + 1),
        at: act.now,
        by: act.actor.name.clone(),
        reply: input.reply,
        step: input.step.clone(),
        note: input.note.clone(),
    };
    rows::add_answer(db, &row.id, &answer)?;
    tell(db, act, "drill_run.answer", row, audit::shown(&answer)?)?;
    Ok(answer)
}
