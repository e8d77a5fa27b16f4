//! Incidents, what people wrote about them, and maintenance windows.
//!
//! Invariants: an incident that probes saw is changed only by what is reckoned from what they saw, and is never deleted; a
//! maintenance window that was entered is only called off.

use lumbung_model::{IncidentId, MaintenanceId, PdId, Timestamp};
use lumbung_wire::messages::uptime::{IncidentCause, IncidentNote, Maintenance, UpKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Deed};
use super::{DbError, count, id, maybe_id, signed, word};
use crate::act::Act;

/// An incident as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRow {
    /// Its id.
    pub id: IncidentId,
    /// What kind of thing was down.
    pub kind: UpKind,
    /// The id of what was down.
    pub subject: [u8; 16],
    /// Whose it is.
    pub pd: PdId,
    /// Since when.
    pub from: Timestamp,
    /// Until when.
    pub until: Option<Timestamp>,
    /// How long of that it was down, seconds.
    pub down_s: u64,
    /// How often it came back and went down again.
    pub flaps: u32,
    /// Whether somebody entered it.
    pub entered: bool,
    /// Whether there was none after all.
    pub withdrawn: bool,
    /// What it came from.
    pub cause: IncidentCause,
}

const INCIDENT: &str = "SELECT id, kind, subject, pd, from_s, until_s, down_s, flaps, entered, withdrawn, cause FROM incidents";

fn incident_row(row: &Row<'_>) -> rusqlite::Result<IncidentRow> {
    Ok(IncidentRow {
        id: IncidentId::from_bytes(id(row, 0)?),
        kind: word(row, 1)?,
        subject: id(row, 2)?,
        pd: PdId::from_bytes(id(row, 3)?),
        from: Timestamp(row.get(4)?),
        until: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        down_s: count(row, 6)?,
        flaps: row.get(7)?,
        entered: row.get(8)?,
        withdrawn: row.get(9)?,
        cause: word(row, 10)?,
    })
}

/// Which incidents are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of this PD.
    pub pd: Option<PdId>,
    /// Only those that go on.
    pub open: bool,
    /// That lasted into this time or longer.
    pub from: Option<Timestamp>,
}

/// Incidents, newest first.
pub fn list(db: &Connection, wanted: &Wanted) -> Result<Vec<IncidentRow>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{INCIDENT} WHERE (?1 IS NULL OR pd = ?1) AND (?2 = 0 OR until_s IS NULL)
            AND (?3 IS NULL OR until_s IS NULL OR until_s > ?3) ORDER BY from_s DESC, id"
    ))?;
    let pd = wanted.pd.as_ref().map(PdId::as_bytes);
    let asked = params![pd, wanted.open, wanted.from.map(|from| from.0)];
    Ok(statement.query_map(asked, incident_row)?.collect::<Result<_, _>>()?)
}

/// Incidents of one kind of origin that touch a stretch of time.
pub fn touching(
    db: &Connection,
    entered: bool,
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<IncidentRow>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{INCIDENT} WHERE entered = ?1 AND withdrawn = 0 AND from_s < ?3 AND (until_s IS NULL OR until_s > ?2)
         ORDER BY subject, from_s"
    ))?;
    let asked = params![entered, from.0, until.0];
    Ok(statement.query_map(asked, incident_row)?.collect::<Result<_, _>>()?)
}

/// The incident of that id.
pub fn incident(db: &Connection, incident: &IncidentId) -> Result<Option<IncidentRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{INCIDENT} WHERE id = ?"))?;
    Ok(statement.query_row([incident.as_bytes()], incident_row).optional()?)
}

/// Writes an incident.
pub fn put(db: &Connection, row: &IncidentRow) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO incidents (id, kind, subject, pd, from_s, until_s, down_s, flaps, entered, withdrawn, cause)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
         ON CONFLICT (id) DO UPDATE SET from_s = ?5, until_s = ?6, down_s = ?7, flaps = ?8, withdrawn = ?10, cause = ?11",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.kind.as_str(),
        row.subject,
        row.pd.as_bytes(),
        row.from.0,
        row.until.map(|until| until.0),
        signed(row.down_s),
        row.flaps,
        row.entered,
        row.withdrawn,
        row.cause.as_str(),
    ])?;
    Ok(())
}

/// Writes a note about an incident down.
pub fn note(db: &Connection, act: &Act, incident: &IncidentId, text: &str) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO incident_notes (incident, at_s, made_by, text) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![incident.as_bytes(), act.now.0, act.actor.name, text])?;
    Ok(())
}

/// What people wrote about an incident.
pub fn notes(db: &Connection, incident: &IncidentId) -> Result<Vec<IncidentNote>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT at_s, made_by, text FROM incident_notes WHERE incident = ? ORDER BY sequence",
    )?;
    let rows = statement.query_map([incident.as_bytes()], |row| {
        Ok(IncidentNote { at: Timestamp(row.get(0)?), by: row.get(1)?, note: row.get(2)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

const MAINTENANCE: &str = "SELECT id, scope, subject, pd, reason, from_s, until_s, schedule, duration_s, made_by, entered_s,
    cancelled_s FROM maintenance";

fn maintenance_row(row: &Row<'_>) -> rusqlite::Result<Maintenance> {
    let subject: Option<[u8; 16]> = maybe_id(row, 2)?;
    Ok(Maintenance {
        id: MaintenanceId::from_bytes(id(row, 0)?),
        scope: word(row, 1)?,
        subject: subject
            .map(|id| lumbung_model::ServerId::from_bytes(id).to_string())
            .unwrap_or_default(),
        pd: maybe_id(row, 3)?.map(PdId::from_bytes),
        reason: row.get(4)?,
        from: Timestamp(row.get(5)?),
        until: Timestamp(row.get(6)?),
        schedule: row.get(7)?,
        duration_s: row.get(8)?,
        by: row.get(9)?,
        entered: Timestamp(row.get(10)?),
        cancelled: row.get::<_, Option<i64>>(11)?.map(Timestamp),
    })
}

/// Maintenance windows that hold in a stretch of time, or held.
pub fn maintenance_within(
    db: &Connection,
    (from, until): (Timestamp, Timestamp),
) -> Result<Vec<Maintenance>, DbError> {
    let sql = format!("{MAINTENANCE} WHERE until_s > ? AND from_s < ? ORDER BY from_s, id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([from.0, until.0], maintenance_row)?.collect::<Result<_, _>>()?)
}

/// The maintenance window of that id.
pub fn maintenance(db: &Connection, id: &MaintenanceId) -> Result<Option<Maintenance>, DbError> {
    let mut statement = db.prepare_cached(&format!("{MAINTENANCE} WHERE id = ?"))?;
    Ok(statement.query_row([id.as_bytes()], maintenance_row).optional()?)
}

/// Writes a new maintenance window.
pub fn put_maintenance(
    db: &Connection,
    act: &Act,
    row: &Maintenance,
    subject: Option<[u8; 16]>,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO maintenance (id, scope, subject, pd, reason, from_s, until_s, schedule, duration_s, made_by, entered_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.scope.as_str(),
        subject,
        row.pd.map(|pd| *pd.as_bytes()),
        row.reason,
        row.from.0,
        row.until.0,
        row.schedule,
        row.duration_s,
        row.by,
        row.entered.0,
    ])?;
    let deed = Deed { action: "maintenance.put", kind: "maintenance", id: &row.id, pd: row.pd };
    audit::append(db, act, deed, None, Some(audit::shown(row)?))
}

/// Writes that a maintenance window was called off.
pub fn call_off(
    db: &Connection,
    act: &Act,
    before: &Maintenance,
    after: &Maintenance,
) -> Result<(), DbError> {
    db.prepare_cached("UPDATE maintenance SET cancelled_s = ? WHERE id = ?")?
        .execute(params![after.cancelled.map(|at| at.0), after.id.as_bytes()])?;
    let deed =
        Deed { action: "maintenance.cancel", kind: "maintenance", id: &after.id, pd: after.pd };
    audit::append(db, act, deed, Some(audit::shown(before)?), Some(audit::shown(after)?))
}
