//! Hosts as their agents see them, held against the register and against what was accepted before.
//!
//! Invariants: what an agent sees is its word, and only raises alarms: it changes nothing of the register. The first that
//! is seen of a server is accepted by itself; after that a person accepts, one state that was seen. Only the agent that
//! enrolled last for a server is listened to. Nothing is said of a server that is retired.

use std::collections::BTreeMap;

use lumbung_model::{AgentId, ServerId, Timestamp};
use lumbung_wire::messages::host::{
    HostChange, HostExpectation, HostInventory, InventoryAcceptance, ServerInventory,
};
use lumbung_wire::messages::register::Server;
use rusqlite::Connection;

use crate::act::Act;
use crate::db::alarms::{self, Finding};
use crate::db::audit::{self, Deed};
use crate::db::hosts::{self as rows, HostRow};
use crate::db::{Db, DbError, agents, colocation, register, retired};
use crate::register::text::sentence;

mod differences;
mod smart;

pub use differences::{Registered, differences};

/// The kinds of alarms about hosts.
const ALARMS: [&str; 2] = ["smart", "hardware"];
/// Changes that are shown with an inventory.
const CHANGES_SHOWN: u32 = 50;
/// Differences that one alarm tells; the rest are counted.
const NAMED_MAX: usize = 5;
/// Disks of one server that raise alarms.
const BAD_DISKS_MAX: usize = 16;
/// An agent that tells of another host so soon is asked to come again: each change may raise alarms.
const APART_S: i64 = 20;
/// Hosts that are held against the register in one transaction.
const PART: usize = 200;
/// Who accepts what is seen first.
const NOBODY: &str = "controller";

/// Why nothing is accepted.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No such server.
    #[error("no server has this id: the list without an id shows all")]
    Unknown,
    /// Nothing was told of its host.
    #[error(
        "no agent has told of this server's host yet: look at `lumbung-agent status` there, and at its version"
    )]
    Untold,
    /// It is another one by now.
    #[error(
        "revision: the host is in state {found} by now, not in state {seen}: look at it again (`lumbung server show`)"
    )]
    Outdated {
        /// The state that was to be accepted.
        seen: u64,
        /// The newest.
        found: u64,
    },
    /// No reason.
    #[error("reason: write a sentence, up to 1000 characters")]
    Reason,
    /// The database failed.
    #[error("what is known of hosts could not be read or written")]
    Db(#[from] DbError),
}

impl HostError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Outdated { .. } => Some("revision"),
            Self::Reason => Some("reason"),
            Self::Unknown | Self::Untold | Self::Db(_) => None,
        }
    }
}

/// What became of what an agent told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is kept, or of no use.
    Taken,
    /// It tells of another host than a moment ago: it shall come again.
    TooSoon,
    /// The register does not know the agent.
    Unknown,
}

/// Keeps what an agent sees of its host.
///
/// # Errors
/// If the database fails.
pub fn note(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
    mut seen: HostInventory,
) -> Result<Noted, DbError> {
    let Some(row) = agents::agent(db, agent)? else { return Ok(Noted::Unknown) };
    let server = register::server(db, &row.server)?;
    let Some(server) = server.filter(|server| server.agent == Some(*agent)) else {
        return Ok(Noted::Taken);
    };
    let Some(before) = rows::host(db, &server.id)? else {
        let first = HostRow {
            agent: *agent,
            received: now,
            revision: 1,
            accepted: seen.lasting(),
            content: seen,
            accepted_revision: 1,
            accepted_at: now,
            accepted_by: NOBODY.to_owned(),
        };
        rows::put_host(db, &server.id, &first)?;
        return Ok(Noted::Taken);
    };
    seen.carry_over(&before.content);
    let (old, new) = (before.content.lasting(), seen.lasting());
    let since_s = now.seconds_since(before.received);
    if old != new && (0..APART_S).contains(&since_s) {
        return Ok(Noted::TooSoon);
    }
    let revision = before.revision + u64::from(old != new);
    if revision > before.revision {
        let differences = differences::between(&old, &new, HostExpectation::Before);
        if !differences.is_empty() {
            rows::add_change(db, &server.id, &HostChange { revision, at: now, differences })?;
        }
    }
    let newest = HostRow { agent: *agent, received: now, revision, content: seen, ..before };
    rows::put_host(db, &server.id, &newest)?;
    Ok(Noted::Taken)
}

/// What the register says of a server's hardware: with the device that it is, if it has one.
fn registered(db: &Connection, server: &Server) -> Result<Registered, DbError> {
    let device = colocation::device_of_server(db, &server.id)?;
    let said = |text: &String| (!text.is_empty()).then(|| text.clone());
    Ok(Registered {
        kind: Some(server.kind),
        model: device.as_ref().and_then(|device| said(&device.model)),
        serial: device.as_ref().and_then(|device| said(&device.serial)),
        address: None,
    })
}

/// What the server's agent sees, and what is to be said about it.
///
/// # Errors
/// If no agent told of it, or the database fails.
pub fn shown(db: &Connection, server: &Server) -> Result<ServerInventory, HostError> {
    let host = rows::host(db, &server.id)?.ok_or(HostError::Untold)?;
    let mut all = differences(&registered(db, server)?, &host.content);
    all.extend(differences::between(&host.accepted, &host.content, HostExpectation::Accepted));
    Ok(ServerInventory {
        server: server.id,
        agent: host.agent,
        received: host.received,
        revision: host.revision,
        accepted_revision: host.accepted_revision,
        accepted_at: host.accepted_at,
        accepted_by: host.accepted_by,
        differences: all,
        smart: host.content.disks.iter().filter_map(smart::finding).collect(),
        changes: rows::changes(db, &server.id, CHANGES_SHOWN)?,
        inventory: host.content,
    })
}

/// Accepts that a server's host is as its agent sees it.
///
/// # Errors
/// If nothing was told of it, it is another one by now, or there is no reason.
pub fn accept(
    db: &Connection,
    act: &Act,
    id: &ServerId,
    input: &InventoryAcceptance,
) -> Result<ServerInventory, HostError> {
    let reason = sentence(&input.reason).ok_or(HostError::Reason)?;
    let server = register::server(db, id)?.ok_or(HostError::Unknown)?;
    let host = rows::host(db, id)?.ok_or(HostError::Untold)?;
    if host.revision != input.revision {
        return Err(HostError::Outdated { seen: input.revision, found: host.revision });
    }
    let taken = differences::between(&host.accepted, &host.content, HostExpectation::Accepted);
    let deed = Deed { action: "host.accept", kind: "server", id, pd: Some(server.pd) };
    let before = serde_json::json!({ "revision": host.accepted_revision });
    let after =
        serde_json::json!({ "revision": host.revision, "reason": reason, "differences": taken });
    audit::append(db, act, deed, Some(before), Some(after))?;
    let accepted = HostRow {
        accepted: host.content.lasting(),
        accepted_revision: host.revision,
        accepted_at: act.now,
        accepted_by: act.actor.name.clone(),
        ..host
    };
    rows::put_host(db, id, &accepted)?;
    shown(db, &server)
}

/// Holds every host that is marked against the register.
///
/// # Errors
/// If the database fails; what was done until then stays.
pub fn work_off(db: &Db, now: Timestamp) -> Result<(), DbError> {
    while !db.read(|tx| rows::marked(tx, 1))?.is_empty() {
        db.write(|tx| {
            for server in rows::marked(tx, PART)? {
                settle(tx, now, &server)?;
            }
            Ok::<_, DbError>(())
        })?;
    }
    Ok(())
}

/// Makes the alarms about a server's host be those that there are now.
fn settle(db: &Connection, now: Timestamp, id: &ServerId) -> Result<(), DbError> {
    let scope = format!("{id}/");
    let mut found = [Vec::new(), Vec::new()];
    let server = register::server(db, id)?;
    let live = retired::of(db, id.as_bytes())?.is_none();
    if let (Some(server), Some(host), true) = (server, rows::host(db, id)?, live) {
        let registered = registered(db, &server)?;
        let differing = differing(&server, &registered, &scope, &host);
        found = [bad_disks(&server, &scope, &host), differing];
    }
    for (kind, findings) in ALARMS.into_iter().zip(&found) {
        alarms::reconcile(db, now, kind, &scope, findings)?;
    }
    rows::unmark(db, id)
}

fn finding(server: &Server, subject: String, detail: String) -> Finding {
    Finding { subject, pd: Some(server.pd), site: server.site, service: None, detail }
}

fn bad_disks(server: &Server, scope: &str, host: &HostRow) -> Vec<Finding> {
    let of = |disk| {
        let what = smart::finding(disk)?;
        let detail = format!(
            "{}: {what}: see that its data has a copy, and have the disk replaced",
            server.name
        );
        Some(finding(server, format!("{scope}{}", disk.identity()), detail))
    };
    host.content.disks.iter().filter_map(of).take(BAD_DISKS_MAX).collect()
}

/// One finding for each aspect, so that no host makes many.
fn differing(
    server: &Server,
    registered: &Registered,
    scope: &str,
    host: &HostRow,
) -> Vec<Finding> {
    let seen = &host.content;
    let from_register = differences(registered, seen);
    let from_accepted = differences::between(&host.accepted, seen, HostExpectation::Accepted);
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in from_register.iter().chain(&from_accepted) {
        let all = told.entry(format!("{scope}{}/{}", one.from, one.aspect)).or_default();
        all.push(differences::told(one));
    }
    let of = |(subject, all): (String, Vec<String>)| {
        let more = all.len().saturating_sub(NAMED_MAX);
        let named = all.into_iter().take(NAMED_MAX).collect::<Vec<_>>().join("; ");
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        let detail = format!(
            "{}: {named}{more}: look at the server; if it is meant to be so, correct the register or accept it (`lumbung server show {}`, `server accept`)",
            server.name, server.name
        );
        finding(server, subject, detail)
    };
    told.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests;
