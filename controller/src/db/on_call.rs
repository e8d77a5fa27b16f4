//! Rows of the on-call roster. Nothing is deleted: a turn that is taken back says since when.

use lumbung_model::{OnCallId, Timestamp};
use lumbung_wire::messages::alerts::OnCall;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Deed};
use super::{DbError, id};
use crate::act::Act;

const ON_CALL: &str =
    "SELECT id, tier, name, from_s, until_s, phone, email, telegram, removed_s FROM on_call";

fn on_call_row(row: &Row<'_>) -> rusqlite::Result<OnCall> {
    Ok(OnCall {
        id: OnCallId::from_bytes(id(row, 0)?),
        tier: row.get(1)?,
        name: row.get(2)?,
        from: Timestamp(row.get(3)?),
        until: Timestamp(row.get(4)?),
        phone: row.get(5)?,
        email: row.get(6)?,
        telegram: row.get(7)?,
        removed: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    })
}

/// The turns that end after `from` and were not taken back, by their beginning; with `all` also those.
pub fn list(db: &Connection, from: Timestamp, all: bool) -> Result<Vec<OnCall>, DbError> {
    let sql = format!(
        "{ON_CALL} WHERE until_s > ?1 AND (?2 OR removed_s IS NULL) ORDER BY from_s, tier, id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map(params![from.0, all], on_call_row)?.collect::<Result<_, _>>()?)
}

/// The turn of that id.
pub fn get(db: &Connection, turn: &OnCallId) -> Result<Option<OnCall>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ON_CALL} WHERE id = ?"))?;
    Ok(statement.query_row([turn.as_bytes()], on_call_row).optional()?)
}

/// The turn of a tier that begins at that time for that person and was not taken back; of several, the newest.
pub fn find(
    db: &Connection,
    (tier, from): (u8, Timestamp),
    name: &str,
) -> Result<Option<OnCall>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{ON_CALL} WHERE tier = ? AND from_s = ? AND name = ? AND removed_s IS NULL ORDER BY rowid DESC LIMIT 1"
    ))?;
    Ok(statement.query_row(params![tier, from.0, name], on_call_row).optional()?)
}

/// Writes a new turn, or that one is taken back.
pub fn put(db: &Connection, act: &Act, turn: &OnCall) -> Result<(), DbError> {
    let before = get(db, &turn.id)?;
    db.prepare_cached(
        "INSERT INTO on_call (id, tier, name, from_s, until_s, phone, email, telegram, removed_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET removed_s = ?9",
    )?
    .execute(params![
        turn.id.as_bytes(),
        turn.tier,
        turn.name,
        turn.from.0,
        turn.until.0,
        turn.phone,
        turn.email,
        turn.telegram,
        turn.removed.map(|at| at.0),
    ])?;
    let action = if turn.removed.is_some() { "on_call.remove" } else { "on_call.put" };
    let deed = Deed { action, kind: "on_call", id: &turn.id, pd: None };
    let before = before.as_ref().map(audit::shown).transpose()?;
    audit::append(db, act, deed, before, Some(audit::shown(turn)?))
}
