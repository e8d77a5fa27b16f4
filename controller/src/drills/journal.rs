//! The journal of a run, as its one writer tells it.
//!
//! Invariants: hostile input until each event was checked against those before it; what was told before is told the same, or
//! refused; an event is kept or none after it is; a journal has bounds. A run begins and is over between the time at which it
//! was asked for and now, whatever the runner's clock says: one that is ahead lets no run speak longer for its plan, and one
//! that is behind hides no failure.

use lumbung_model::drill::{DrillEvent, DrillMode, Happened, Refusal, Run};
use lumbung_model::{AgentId, ServerId, Timestamp};
use lumbung_wire::messages::drills::{DrillOrder, DrillReport};
use rusqlite::Connection;

use super::DrillError;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::drills::{self as rows, RunRow};
use crate::db::{DbError, agents, register};

/// Most bytes that the journal of a run has.
const RUN_BYTES_MAX: u64 = 16 << 20;

/// The run as its journal says.
pub(super) fn replayed<'p>(row: &'p RunRow, events: &[DrillEvent]) -> Result<Run<'p>, DbError> {
    Run::replay(&row.body, events).map_err(|_| DbError::Corrupt { what: "the journal of a drill" })
}

/// Whether an agent is the one that the register has for that server now: one that was enrolled again is not the old one.
fn speaks_for(db: &Connection, agent: &AgentId, server: &ServerId) -> Result<bool, DbError> {
    Ok(register::server(db, server)?.is_some_and(|row| row.agent == Some(*agent)))
}

/// What an agent has to carry out: the runs of which its server is the runner. That it was given them is noted.
///
/// # Errors
/// If the database fails.
pub fn orders(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
) -> Result<Vec<DrillOrder>, DbError> {
    let Some(known) = agents::agent(db, agent)? else { return Ok(Vec::new()) };
    if !speaks_for(db, agent, &known.server)? {
        return Ok(Vec::new());
    }
    let mut orders = Vec::new();
    for row in rows::runs_of(db, &known.server)? {
        if row.ordered.is_none() {
            rows::handed_out(db, now, &row.id)?;
        }
        let through = rows::events(db, &row.id)?.last().map_or(0, |last| last.number);
        orders.push(DrillOrder {
            run: row.id,
            mode: row.mode,
            outage: row.outage,
            revision: row.revision,
            sha256: row.of.plan,
            plan: row.body,
            through,
            answers: rows::answers(db, &row.id)?,
        });
    }
    Ok(orders)
}

/// Whether there is something for an agent to carry out.
///
/// # Errors
/// If the database fails.
pub fn has_orders(db: &Connection, agent: &AgentId) -> Result<bool, DbError> {
    let Some(known) = agents::agent(db, agent)? else { return Ok(false) };
    Ok(speaks_for(db, agent, &known.server)? && !rows::runs_of(db, &known.server)?.is_empty())
}

/// Takes what an agent tells of a run of which its server is the runner.
///
/// # Errors
/// If it is another's run, or an event does not follow.
pub fn take_from_agent(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
    report: &DrillReport,
) -> Result<u64, DrillError> {
    let row = rows::run(db, &report.run)?.ok_or(DrillError::UnknownRun)?;
    let is_runner = row.runner.as_ref().map(|server| speaks_for(db, agent, server)).transpose()?;
    if is_runner != Some(true) {
        return Err(DrillError::UnknownRun);
    }
    take(db, now, row, &report.events)
}

/// Takes what people tell of a tabletop.
///
/// # Errors
/// If a runner writes this journal, or an event does not follow.
pub fn take_from_people(
    db: &Connection,
    act: &Act,
    row: RunRow,
    events: &[DrillEvent],
) -> Result<u64, DrillError> {
    if row.mode != DrillMode::Tabletop {
        return Err(DrillError::NotATabletop);
    }
    let (id, plan) = (row.id, row.plan);
    let through = take(db, act.now, row, events)?;
    let pd = rows::plan(db, &plan)?.and_then(|plan| plan.pd);
    let deed = Deed { action: "drill_run.events", kind: "drill_run", id: &id, pd };
    audit::append(db, act, deed, None, Some(serde_json::json!({ "through": through })))?;
    Ok(through)
}

fn take(
    db: &Connection,
    now: Timestamp,
    mut row: RunRow,
    told: &[DrillEvent],
) -> Result<u64, DrillError> {
    let known = rows::events(db, &row.id)?;
    let mut through = known.last().map_or(0, |last| last.number);
    let mut fresh = Vec::new();
    for event in told {
        // They are numbered from 1, without gaps.
        let before = event.number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        match before.and_then(|index| known.get(index)) {
            Some(one) if one == event => {}
            Some(_) => return Err(DrillError::Fork(event.number)),
            None => fresh.push(event),
        }
    }
    if fresh.is_empty() {
        return Ok(through);
    }
    // What was closed is closed; what is over takes nothing more, and says so itself.
    if row.closed.is_some() {
        return Err(DrillError::Over);
    }
    let mut run = replayed(&row, &known)?;
    for event in fresh {
        if let Happened::Started { mode, outage } = &event.what
            && (*mode != row.mode || *outage != row.outage)
        {
            return Err(DrillError::OtherStart);
        }
        run.apply(event)?;
        rows::add_event(db, now, &row.id, event)?;
        through = event.number;
    }
    let (started, finished, verdict) = (run.started(), run.finished(), run.verdict().0);
    if rows::events_bytes(db, &row.id)? > RUN_BYTES_MAX {
        return Err(DrillError::Event(Refusal::TooMany));
    }
    row.started = started.map(|at| at.max(row.created).min(now));
    row.finished = finished.map(|at| at.max(row.created).min(now));
    row.verdict = finished.map(|_| verdict);
    row.heard = Some(now);
    rows::put_run(db, &row)?;
    Ok(through)
}
