//! What people enter: maintenance windows, incidents that no probe could see, causes and notes.
//!
//! Invariants: a maintenance window is entered before it begins, so that no outage is planned afterwards; one that was
//! called off holds no more from then on. An entered incident only ever adds downtime.

use lumbung_model::schedule::Expression;
use lumbung_model::{IncidentId, MaintenanceId, PdId, RackId, RoomId, ServerId, ServiceId, SiteId};
use lumbung_wire::messages::uptime::{
    IncidentInput, IncidentNoteInput, Maintenance, MaintenanceInput, MaintenanceScope, UpKind,
};
use rusqlite::Connection;
use serde_json::json;

use super::keeper::DETAIL_DAYS;
use super::reckon::Subject;
use super::vantage::SLACK_S;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::incidents::{self as rows, IncidentRow};
use crate::db::{DbError, colocation, places, register, services, uptime};
use crate::people::access::Scope;
use crate::profile::Profile;
use crate::register::text::sentence;

/// A maintenance window that comes again holds at most so long, seconds: three years.
const HOLDS_MAX_S: i64 = 3 * 366 * 86_400;
/// One maintenance window lasts at most so long, seconds: 31 days.
const LASTS_MAX_S: i64 = 31 * 86_400;

/// An incident is entered at most so many days later: while everything about its days is known.
const ENTERED_DAYS: i64 = DETAIL_DAYS - 10;

/// Why it is not entered.
#[derive(Debug, thiserror::Error)]
pub enum UptimeError {
    /// What it is about is not there.
    #[error("subject: there is no {0} of this id: look at the list of them")]
    Subject(&'static str),
    /// A text that may not stand there.
    #[error("{0}: write a sentence, up to 1000 characters")]
    Text(&'static str),
    /// It begins in the past.
    #[error(
        "from: a maintenance window begins in the future; what nobody announced was not planned (enter what happened as a note of the incident)"
    )]
    Past,
    /// It ends before it begins, or too late.
    #[error("until: after from, and at most {0} days after it")]
    Until(i64),
    /// A schedule that is none.
    #[error("schedule: {0}")]
    Schedule(String),
    /// A window without its length, or a length without a window.
    #[error("duration_s: 60 to 604800 seconds where there is a schedule, else leave it out")]
    Duration,
    /// It lasts into the future, or is too long ago.
    #[error(
        "until: an incident is entered when it is over; from: at most {ENTERED_DAYS} days ago, since older days are not reckoned again"
    )]
    Incident,
    /// There is no such thing.
    #[error("there is no such {0}: look at the list of them")]
    Unknown(&'static str),
    /// It is over.
    #[error("this maintenance window is over, or was called off")]
    Over,
    /// The database failed.
    #[error("it could not be read or written")]
    Db(#[from] DbError),
}

impl UptimeError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Subject(_) => Some("subject"),
            Self::Text(field) => Some(field),
            Self::Past => Some("from"),
            Self::Until(_) | Self::Incident => Some("until"),
            Self::Schedule(_) => Some("schedule"),
            Self::Duration => Some("duration_s"),
            Self::Unknown(_) | Self::Over | Self::Db(_) => None,
        }
    }
}

fn said(field: &'static str, text: &str) -> Result<String, UptimeError> {
    sentence(text).map(str::to_owned).ok_or(UptimeError::Text(field))
}

/// Enters a maintenance window.
///
/// # Errors
/// If what it is for is not there, or its times make no sense.
pub fn enter_maintenance(
    db: &Connection,
    act: &Act,
    input: &MaintenanceInput,
) -> Result<Maintenance, UptimeError> {
    let (subject, pd) = scope(db, input.scope, &input.subject)?;
    let reason = said("reason", &input.reason)?;
    if input.from < act.now {
        return Err(UptimeError::Past);
    }
    let holds_max_s = if input.schedule.is_empty() { LASTS_MAX_S } else { HOLDS_MAX_S };
    let holds_s = input.until.seconds_since(input.from);
    if !(1..=holds_max_s).contains(&holds_s) {
        return Err(UptimeError::Until(holds_max_s / 86_400));
    }
    if !input.schedule.is_empty() {
        let parsed = input.schedule.parse::<Expression>();
        parsed.map_err(|error| UptimeError::Schedule(error.to_string()))?;
    }
    let lengths = if input.schedule.is_empty() { 0..=0 } else { 60..=604_800 };
    if !lengths.contains(&input.duration_s) {
        return Err(UptimeError::Duration);
    }
    let row = Maintenance {
        id: MaintenanceId::random(),
        scope: input.scope,
        subject: input.subject.clone(),
        pd,
        reason,
        from: input.from,
        until: input.until,
        schedule: input.schedule.clone(),
        duration_s: input.duration_s,
        by: act.actor.name.clone(),
        entered: act.now,
        cancelled: None,
    };
    rows::put_maintenance(db, act, &row, subject)?;
    Ok(row)
}

/// What a maintenance window is for, and whose that is.
fn scope(
    db: &Connection,
    scope: MaintenanceScope,
    text: &str,
) -> Result<(Option<[u8; 16]>, Option<PdId>), UptimeError> {
    macro_rules! found {
        ($id:ty, $what:literal, $find:path, $pd:expr) => {{
            let missing = || UptimeError::Subject($what);
            let id: $id = text.parse().map_err(|_| missing())?;
            let row = $find(db, &id)?.ok_or_else(missing)?;
            (Some(*id.as_bytes()), $pd(row))
        }};
    }
    Ok(match scope {
        MaintenanceScope::City if text.is_empty() => (None, None),
        MaintenanceScope::City => return Err(UptimeError::Subject("city")),
        MaintenanceScope::Pd => {
            found!(PdId, "PD", register::pd, |row: lumbung_wire::messages::register::Pd| Some(
                row.id
            ))
        }
        MaintenanceScope::Site => found!(SiteId, "site", register::site, |_| None),
        MaintenanceScope::Rack => found!(RackId, "rack", colocation::rack, |_| None),
        MaintenanceScope::Room => found!(RoomId, "room", places::room, |_| None),
        MaintenanceScope::Server => {
            found!(
                ServerId,
                "server",
                register::server,
                |row: lumbung_wire::messages::register::Server| Some(row.pd)
            )
        }
        MaintenanceScope::Service => {
            found!(
                ServiceId,
                "service",
                services::service,
                |row: lumbung_wire::messages::register::Service| Some(row.pd)
            )
        }
    })
}

/// Calls a maintenance window off.
///
/// # Errors
/// If it is not there, or is over.
pub fn call_off(
    db: &Connection,
    act: &Act,
    id: &MaintenanceId,
) -> Result<Maintenance, UptimeError> {
    let row = rows::maintenance(db, id)?.ok_or(UptimeError::Unknown("maintenance window"))?;
    if row.cancelled.is_some() || row.until <= act.now {
        return Err(UptimeError::Over);
    }
    let after = Maintenance { cancelled: Some(act.now), ..row.clone() };
    rows::call_off(db, act, &row, &after)?;
    Ok(after)
}

/// Enters that something was down, which no probe could see.
///
/// # Errors
/// If what was down is not there, or its times make no sense.
pub fn enter_incident(
    db: &Connection,
    act: &Act,
    profile: &Profile,
    input: &IncidentInput,
) -> Result<IncidentRow, UptimeError> {
    let subject = subject(db, input.kind, &input.subject)?;
    let note = said("note", &input.note)?;
    let oldest = act.now.plus_seconds(-ENTERED_DAYS * 86_400);
    if input.from >= input.until || input.until > act.now || input.from < oldest {
        return Err(UptimeError::Incident);
    }
    let row = IncidentRow {
        id: IncidentId::random(),
        kind: subject.kind,
        subject: subject.id,
        pd: subject.pd,
        from: input.from,
        until: Some(input.until),
        down_s: input.until.seconds_since(input.from).unsigned_abs(),
        flaps: 0,
        entered: true,
        withdrawn: false,
        cause: input.cause,
    };
    rows::put(db, &row)?;
    rows::note(db, act, &row.id, &note)?;
    let yesterday = profile.day(act.now.plus_seconds(SLACK_S)) - 1;
    let last = profile.day(input.until.plus_seconds(-1)).min(yesterday);
    uptime::mark_days(db, (profile.day(input.from), last))?;
    let deed = Deed { action: "incident.put", kind: "incident", id: &row.id, pd: Some(row.pd) };
    let after = json!({
        "kind": row.kind, "subject": input.subject, "from": row.from, "until": input.until, "cause": row.cause, "note": note,
    });
    audit::append(db, act, deed, None, Some(after))?;
    Ok(row)
}

/// What was down.
fn subject(db: &Connection, kind: UpKind, text: &str) -> Result<Subject, UptimeError> {
    let missing = || UptimeError::Subject(kind.as_str());
    let (id, pd) = match kind {
        UpKind::Service => {
            let id: ServiceId = text.parse().map_err(|_| missing())?;
            (*id.as_bytes(), services::service(db, &id)?.ok_or_else(missing)?.pd)
        }
        UpKind::Server => {
            let id: ServerId = text.parse().map_err(|_| missing())?;
            (*id.as_bytes(), register::server(db, &id)?.ok_or_else(missing)?.pd)
        }
    };
    Ok(Subject { kind, id, pd })
}

/// Writes down what is known of an incident.
///
/// # Errors
/// If it is not there, or is another PD's than the caller's.
pub fn note_incident(
    db: &Connection,
    act: &Act,
    scope: Scope,
    id: &IncidentId,
    input: &IncidentNoteInput,
) -> Result<IncidentRow, UptimeError> {
    let unknown = UptimeError::Unknown("incident");
    let row = rows::incident(db, id)?.filter(|row| scope.sees(row.pd)).ok_or(unknown)?;
    let text = said("note", &input.note)?;
    let after = IncidentRow { cause: input.cause.unwrap_or(row.cause), ..row.clone() };
    if after != row {
        rows::put(db, &after)?;
    }
    rows::note(db, act, id, &text)?;
    let deed = Deed { action: "incident.note", kind: "incident", id, pd: Some(row.pd) };
    let (before, now) =
        (json!({ "cause": row.cause }), json!({ "cause": after.cause, "note": text }));
    audit::append(db, act, deed, Some(before), Some(now))?;
    Ok(after)
}
