//! Which rows of the register are retired, from when, by whom and why.
//!
//! Invariants: nothing is deleted but the note that a row is retired, when it is brought back; both write a version to
//! `register_history` and to the audit log. The version of a retired row carries `retired`, by which the register as of a
//! date leaves it out.

use lumbung_model::{PdId, Timestamp};
use lumbung_wire::messages::register::Retirement;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::audit::{self, Deed};
use super::register::record;
use super::{DbError, id, maybe_id, word};
use crate::act::Act;

const RETIRED: &str = "SELECT id, kind, pd, name, from_s, entered_s, made_by, reason FROM retired";

fn retired_row(row: &Row<'_>) -> rusqlite::Result<Retirement> {
    Ok(Retirement {
        id: data_encoding::HEXLOWER.encode(&id::<16>(row, 0)?),
        kind: word(row, 1)?,
        pd: maybe_id(row, 2)?.map(PdId::from_bytes),
        name: row.get(3)?,
        from: Timestamp(row.get(4)?),
        entered: Timestamp(row.get(5)?),
        by: row.get(6)?,
        reason: row.get(7)?,
    })
}

/// What is retired, of the city or of one PD: rooms and buildings are the city's.
pub fn all(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Retirement>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { "?1 IS NULL" };
    let sql = format!("{RETIRED} WHERE {of_pd} ORDER BY entered_s, id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], retired_row)?.collect::<Result<_, _>>()?)
}

/// How the row of that id is retired; `None`: it is not.
pub fn of(db: &Connection, row: &[u8; 16]) -> Result<Option<Retirement>, DbError> {
    let mut statement = db.prepare_cached(&format!("{RETIRED} WHERE id = ?"))?;
    Ok(statement.query_row([row], retired_row).optional()?)
}

/// Retires a row.
pub fn put(
    db: &Connection,
    act: &Act,
    retirement: &Retirement,
    (bytes, row): (&[u8; 16], Value),
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO retired (id, kind, pd, name, from_s, entered_s, made_by, reason)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        bytes,
        retirement.kind.as_str(),
        retirement.pd.map(|pd| *pd.as_bytes()),
        retirement.name,
        retirement.from.0,
        retirement.entered.0,
        retirement.by,
        retirement.reason,
    ])?;
    let action = format!("{}.retire", retirement.kind);
    record(db, act, deed(&action, retirement), bytes, &noted(row, "retired", retirement)?)
}

/// Brings a row back.
pub fn take_back(
    db: &Connection,
    act: &Act,
    retirement: &Retirement,
    (bytes, row, reason): (&[u8; 16], Value, &str),
) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM retired WHERE id = ?")?.execute([bytes])?;
    let action = format!("{}.restore", retirement.kind);
    let why = serde_json::json!({ "reason": reason });
    record(db, act, deed(&action, retirement), bytes, &noted(row, "restored", &why)?)
}

fn deed<'a>(action: &'a str, retirement: &'a Retirement) -> Deed<'a> {
    Deed { action, kind: retirement.kind.as_str(), id: &retirement.id, pd: retirement.pd }
}

/// A row's version, with what was done to it.
fn noted(mut row: Value, what: &str, note: &impl Serialize) -> Result<Value, DbError> {
    let note = audit::shown(note)?;
    if let Some(members) = row.as_object_mut() {
        members.insert(what.to_owned(), note);
    }
    Ok(row)
}
