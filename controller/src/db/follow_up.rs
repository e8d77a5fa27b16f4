//! Rows of waivers, of reminders, and of what followed.
//!
//! Invariants: numbers of reminders grow by one within a year, and none is given twice; nothing is deleted; every change is
//! in the audit log.

use lumbung_model::{PdId, ReminderId, Timestamp, WaiverId};
use lumbung_wire::messages::compliance::{FollowUp, Reminder, ReminderState, SubjectKind, Waiver};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Deed};
use super::{DbError, id, json, maybe_id, to_json, word};
use crate::act::Act;
use crate::rules::SubjectId;

const WAIVER: &str = "SELECT id, rule, subject_kind, subject, pd, reason, letter, from_s, expires_s, made_by, revoked_s
    FROM waivers";

/// A subject's id as the API writes it; none: the city's sites.
#[must_use]
pub fn subject_text(subject: &SubjectId) -> Option<String> {
    (!subject.is_empty()).then(|| data_encoding::HEXLOWER.encode(subject))
}

fn waiver_row(row: &Row<'_>) -> rusqlite::Result<Waiver> {
    let subject: SubjectId = row.get(3)?;
    let kind: SubjectKind = word(row, 2)?;
    Ok(Waiver {
        id: WaiverId::from_bytes(id(row, 0)?),
        rule: row.get(1)?,
        subject_kind: kind,
        subject: subject_text(&subject),
        pd: maybe_id(row, 4)?.map(PdId::from_bytes),
        reason: row.get(5)?,
        letter: row.get(6)?,
        from: Timestamp(row.get(7)?),
        expires: Timestamp(row.get(8)?),
        by: row.get(9)?,
        revoked: row.get::<_, Option<i64>>(10)?.map(Timestamp),
    })
}

/// The waivers, of all PD or of one, newest first.
pub fn waivers(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Waiver>, DbError> {
    let sql = format!("{WAIVER} WHERE ?1 IS NULL OR pd = ?1 ORDER BY from_s DESC, id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], waiver_row)?.collect::<Result<_, _>>()?)
}

/// The waiver of that id.
pub fn waiver(db: &Connection, waiver: &WaiverId) -> Result<Option<Waiver>, DbError> {
    let mut statement = db.prepare_cached(&format!("{WAIVER} WHERE id = ?"))?;
    Ok(statement.query_row([waiver.as_bytes()], waiver_row).optional()?)
}

/// Writes a new waiver.
pub fn put_waiver(
    db: &Connection,
    act: &Act,
    waiver: &Waiver,
    subject: &SubjectId,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO waivers (id, rule, subject_kind, subject, pd, reason, letter, from_s, expires_s, made_by)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        waiver.id.as_bytes(),
        waiver.rule,
        waiver.subject_kind.as_str(),
        subject,
        waiver.pd.map(|pd| *pd.as_bytes()),
        waiver.reason,
        waiver.letter,
        waiver.from.0,
        waiver.expires.0,
        waiver.by,
    ])?;
    let deed = Deed { action: "waiver.put", kind: "waiver", id: &waiver.id, pd: waiver.pd };
    audit::append(db, act, deed, None, Some(audit::shown(waiver)?))
}

/// Takes a waiver back.
pub fn revoke_waiver(db: &Connection, act: &Act, waiver: &Waiver) -> Result<(), DbError> {
    db.prepare_cached("UPDATE waivers SET revoked_s = ? WHERE id = ? AND revoked_s IS NULL")?
        .execute(params![act.now.0, waiver.id.as_bytes()])?;
    let deed = Deed { action: "waiver.revoke", kind: "waiver", id: &waiver.id, pd: waiver.pd };
    audit::append(db, act, deed, Some(audit::shown(waiver)?), None)
}

const REMINDER: &str = "SELECT r.id, r.number, r.year, r.pd, p.code, r.made_s, r.made_by, r.state, r.letter, r.body, r.items
    FROM reminders AS r JOIN pds AS p ON p.id = r.pd";

fn reminder_row(row: &Row<'_>) -> rusqlite::Result<Reminder> {
    Ok(Reminder {
        id: ReminderId::from_bytes(id(row, 0)?),
        number: row.get(1)?,
        year: row.get(2)?,
        pd: PdId::from_bytes(id(row, 3)?),
        pd_code: row.get(4)?,
        made: Timestamp(row.get(5)?),
        by: row.get(6)?,
        state: word(row, 7)?,
        letter: row.get(8)?,
        body: row.get(9)?,
        items: json(row, 10)?,
        follow_ups: Vec::new(),
    })
}

/// The reminders, of all PD or of one, newest first, each with what followed.
pub fn reminders(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Reminder>, DbError> {
    let sql =
        format!("{REMINDER} WHERE ?1 IS NULL OR r.pd = ?1 ORDER BY r.year DESC, r.number DESC");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([pd.map(PdId::as_bytes)], reminder_row)?;
    let mut reminders: Vec<Reminder> = rows.collect::<Result<_, _>>()?;
    for reminder in &mut reminders {
        reminder.follow_ups = follow_ups(db, &reminder.id)?;
    }
    Ok(reminders)
}

/// The reminder of that id, with what followed.
pub fn reminder(db: &Connection, reminder: &ReminderId) -> Result<Option<Reminder>, DbError> {
    let mut statement = db.prepare_cached(&format!("{REMINDER} WHERE r.id = ?"))?;
    let found = statement.query_row([reminder.as_bytes()], reminder_row).optional()?;
    let Some(mut found) = found else { return Ok(None) };
    found.follow_ups = follow_ups(db, reminder)?;
    Ok(Some(found))
}

fn follow_ups(db: &Connection, reminder: &ReminderId) -> Result<Vec<FollowUp>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT at_s, made_by, text, state FROM follow_ups WHERE reminder = ? ORDER BY sequence",
    )?;
    let rows = statement.query_map([reminder.as_bytes()], |row| {
        Ok(FollowUp {
            at: Timestamp(row.get(0)?),
            by: row.get(1)?,
            note: row.get(2)?,
            state: word(row, 3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The next number of a year.
pub fn next_number(db: &Connection, year: i32) -> Result<u32, DbError> {
    let sql = "SELECT coalesce(max(number), 0) + 1 FROM reminders WHERE year = ?";
    Ok(db.query_row(sql, [year], |row| row.get(0))?)
}

/// Writes a new reminder.
pub fn put_reminder(db: &Connection, act: &Act, reminder: &Reminder) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO reminders (id, year, number, pd, made_s, made_by, state, letter, body, items)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        reminder.id.as_bytes(),
        reminder.year,
        reminder.number,
        reminder.pd.as_bytes(),
        reminder.made.0,
        reminder.by,
        reminder.state.as_str(),
        reminder.letter,
        reminder.body,
        to_json(&reminder.items)?,
    ])?;
    let deed = Deed {
        action: "reminder.draft",
        kind: "reminder",
        id: &reminder.id,
        pd: Some(reminder.pd),
    };
    audit::append(db, act, deed, None, Some(audit::shown(reminder)?))
}

/// Writes down what followed, and how far the reminder has come by that.
pub fn follow(
    db: &Connection,
    act: &Act,
    reminder: &Reminder,
    (text, state, letter): (&str, ReminderState, &str),
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO follow_ups (reminder, at_s, made_by, text, state) VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![
        reminder.id.as_bytes(),
        act.now.0,
        act.actor.name,
        text,
        state.as_str()
    ])?;
    db.prepare_cached("UPDATE reminders SET state = ?, letter = ? WHERE id = ?")?
        .execute(params![state.as_str(), letter, reminder.id.as_bytes()])?;
    let deed = Deed {
        action: "reminder.follow",
        kind: "reminder",
        id: &reminder.id,
        pd: Some(reminder.pd),
    };
    let after = serde_json::json!({ "note": text, "state": state, "letter": letter });
    let before = serde_json::json!({ "state": reminder.state, "letter": reminder.letter });
    audit::append(db, act, deed, Some(before), Some(after))
}
