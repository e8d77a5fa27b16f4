//! Rows of what agents see of their hosts. Rules are `crate::hosts`'s.
//!
//! Invariants: nothing here is evidence. Of each server there is one inventory, and at most `CHANGES_KEPT` changes, the
//! newest ones; a change has the number of the state that it led to.

use lumbung_model::{AgentId, ServerId, Timestamp};
use lumbung_wire::messages::host::{HostChange, HostDifference, HostInventory};
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, count, id, json, signed, to_json};

/// Changes of one server that are kept: more than a host has in its life, and few enough for an agent that tells another
/// thing each time.
const CHANGES_KEPT: i64 = 500;

/// What is known of a server's host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRow {
    /// The agent that said so.
    pub agent: AgentId,
    /// When, last.
    pub received: Timestamp,
    /// Counts what differs and lasts, from 1.
    pub revision: u64,
    /// What it sees.
    pub content: HostInventory,
    /// What was accepted.
    pub accepted: HostInventory,
    /// Which state that was.
    pub accepted_revision: u64,
    /// When.
    pub accepted_at: Timestamp,
    /// By whom.
    pub accepted_by: String,
}

/// What is known of a server's host; none if no agent told of it.
pub fn host(db: &Connection, server: &ServerId) -> Result<Option<HostRow>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT agent, received_s, revision, content, accepted, accepted_revision, accepted_s, accepted_by
         FROM host_inventories WHERE server = ?",
    )?;
    let found = statement.query_row([server.as_bytes()], |row| {
        Ok(HostRow {
            agent: AgentId::from_bytes(id(row, 0)?),
            received: Timestamp(row.get(1)?),
            revision: count(row, 2)?,
            content: json(row, 3)?,
            accepted: json(row, 4)?,
            accepted_revision: count(row, 5)?,
            accepted_at: Timestamp(row.get(6)?),
            accepted_by: row.get(7)?,
        })
    });
    Ok(found.optional()?)
}

/// Keeps what is known of a server's host.
pub fn put_host(db: &Connection, server: &ServerId, row: &HostRow) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO host_inventories
            (server, agent, received_s, revision, content, accepted, accepted_revision, accepted_s, accepted_by)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (server) DO UPDATE SET
            agent = ?2, received_s = ?3, revision = ?4, content = ?5, accepted = ?6, accepted_revision = ?7,
            accepted_s = ?8, accepted_by = ?9",
    )?
    .execute(params![
        server.as_bytes(),
        row.agent.as_bytes(),
        row.received.0,
        signed(row.revision),
        to_json(&row.content)?,
        to_json(&row.accepted)?,
        signed(row.accepted_revision),
        row.accepted_at.0,
        row.accepted_by,
    ])?;
    Ok(())
}

/// Keeps how a host changed, and forgets what is too old.
pub fn add_change(db: &Connection, server: &ServerId, change: &HostChange) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO host_changes (server, revision, at_s, differences) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![
        server.as_bytes(),
        signed(change.revision),
        change.at.0,
        to_json(&change.differences)?,
    ])?;
    db.prepare_cached(
        "DELETE FROM host_changes WHERE server = ?1 AND revision <= (SELECT revision FROM host_changes
            WHERE server = ?1 ORDER BY revision DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![server.as_bytes(), CHANGES_KEPT])?;
    Ok(())
}

/// How a host changed, newest first.
pub fn changes(db: &Connection, server: &ServerId, limit: u32) -> Result<Vec<HostChange>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT revision, at_s, differences FROM host_changes WHERE server = ? ORDER BY revision DESC LIMIT ?",
    )?;
    let rows = statement.query_map(params![server.as_bytes(), limit], |row| {
        let differences: Vec<HostDifference> = json(row, 2)?;
        Ok(HostChange { revision: count(row, 0)?, at: Timestamp(row.get(1)?), differences })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Servers whose host has to be held against the register again, at most so many.
pub fn marked(db: &Connection, limit: usize) -> Result<Vec<ServerId>, DbError> {
    let mut statement = db.prepare_cached("SELECT server FROM stale_hosts LIMIT ?")?;
    let rows =
        statement.query_map([signed(limit as u64)], |row| id(row, 0).map(ServerId::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What is said of the server's host is as it should be.
pub fn unmark(db: &Connection, server: &ServerId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM stale_hosts WHERE server = ?")?.execute([server.as_bytes()])?;
    Ok(())
}
