//! Rows of heartbeats: written for many agents at once, and read with the board laid over them.
//!
//! Invariants: `last_seen_s` of an agent and its newest span are written together; a span that is written again grows.
//! The functions `heard_…` that every connection is given answer from the board, else with what the row says.

use std::sync::Arc;

use lumbung_model::{AgentId, Timestamp};
use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, id};
use crate::heartbeats::{Board, Kept, Span, Stored};

const STORED: &str = "SELECT a.id, s.first_s, s.last_s, s.beats, t.version, t.jobs,
        s.booted_s, EXISTS (SELECT 1 FROM unregistered_datasets AS u WHERE u.agent = a.id)
    FROM agents AS a LEFT JOIN agent_told AS t ON t.agent = a.id
    LEFT JOIN heartbeat_spans AS s ON s.agent = a.id
        AND s.first_s = (SELECT max(first_s) FROM heartbeat_spans WHERE agent = a.id)";

fn stored(row: &Row<'_>) -> rusqlite::Result<(AgentId, Stored)> {
    let time = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(Timestamp));
    let span = match (time(1)?, time(2)?) {
        (Some(first), Some(last)) => {
            Some(Span { first, last, beats: row.get(3)?, booted: time(6)? })
        }
        _ => None,
    };
    let stored =
        Stored { span, version: row.get(4)?, jobs: row.get(5)?, unregistered: row.get(7)? };
    Ok((AgentId::from_bytes(id(row, 0)?), stored))
}

/// What the database knows of an agent; none if the register does not know it.
pub fn stored_of(db: &Connection, agent: &AgentId) -> Result<Option<Stored>, DbError> {
    let mut statement = db.prepare_cached(&format!("{STORED} WHERE a.id = ?"))?;
    let found = statement.query_row([agent.as_bytes()], stored).optional()?;
    Ok(found.map(|(_, stored)| stored))
}

/// What the database knows of every agent.
pub fn all_stored(db: &Connection) -> Result<Vec<(AgentId, Stored)>, DbError> {
    let mut statement = db.prepare(STORED)?;
    Ok(statement.query_map([], stored)?.collect::<Result<_, _>>()?)
}

/// Writes what is due of many agents.
pub fn keep(db: &Connection, changes: &[(AgentId, Kept)]) -> Result<(), DbError> {
    let mut seen =
        db.prepare_cached("UPDATE agents SET last_seen_s = ?, agent_clock_s = ? WHERE id = ?")?;
    let mut late =
        db.prepare_cached("INSERT INTO late_silences (from_s, until_s) VALUES (?, ?)")?;
    let mut span = db.prepare_cached(
        "INSERT INTO heartbeat_spans (agent, first_s, last_s, beats, booted_s) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (agent, first_s) DO UPDATE SET last_s = ?3, beats = ?4",
    )?;
    for (agent, kept) in changes {
        seen.execute(params![kept.last_seen.0, kept.clock.0, agent.as_bytes()])?;
        for pair in kept.spans.windows(2) {
            if pair[1].booted.is_some_and(|booted| booted > pair[0].last) {
                late.execute(params![pair[0].last.0, pair[1].first.0])?;
            }
        }
        for one in &kept.spans {
            span.execute(params![
                agent.as_bytes(),
                one.first.0,
                one.last.0,
                one.beats,
                one.booted.map(|at| at.0),
            ])?;
        }
        keep_told(db, agent, kept)?;
    }
    Ok(())
}

fn keep_told(db: &Connection, agent: &AgentId, kept: &Kept) -> Result<(), DbError> {
    let Some(told) = &kept.told else { return Ok(()) };
    match &told.jobs {
        Some(jobs) => db
            .prepare_cached(
                "INSERT INTO agent_told (agent, version, health, jobs) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (agent) DO UPDATE SET version = ?2, health = ?3, jobs = ?4",
            )?
            .execute(params![agent.as_bytes(), told.version, told.health, jobs])?,
        None => db
            .prepare_cached("UPDATE agent_told SET version = ?2, health = ?3 WHERE agent = ?1")?
            .execute(params![agent.as_bytes(), told.version, told.health])?,
    };
    Ok(())
}

/// Gives a connection the functions `heard_…(agent, stored)`.
pub(super) fn lay_over(connection: &Connection, board: &Arc<Board>) -> rusqlite::Result<()> {
    let time = |at: Timestamp| Value::Integer(at.0);
    over(connection, board, "heard_seen_s", move |board, agent| {
        board.seen(agent).map(|(seen, _)| time(seen))
    })?;
    over(connection, board, "heard_clock_s", move |board, agent| {
        board.seen(agent).map(|(_, clock)| time(clock))
    })?;
    over(connection, board, "heard_version", |board, agent| board.version(agent).map(Value::Text))?;
    over(connection, board, "heard_health", |board, agent| board.health(agent).map(Value::Text))?;
    over(connection, board, "heard_jobs", |board, agent| board.jobs(agent).map(Value::Text))
}

fn over(
    connection: &Connection,
    board: &Arc<Board>,
    name: &str,
    heard: impl Fn(&Board, &AgentId) -> Option<Value> + Send + Sync + 'static,
) -> rusqlite::Result<()> {
    let board = board.clone();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(name, 2, flags, move |context: &Context<'_>| {
        // A server without an agent has none.
        let agent: Option<[u8; 16]> = context.get(0)?;
        match agent.and_then(|agent| heard(&board, &AgentId::from_bytes(agent))) {
            Some(value) => Ok(value),
            None => context.get::<Value>(1),
        }
    })
}
