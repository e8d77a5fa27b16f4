//! Rows of the register: the log of servers' care.

use lumbung_model::{CareId, PdId, ServerId};
use lumbung_wire::messages::register::{Care, CareInput};
use rusqlite::{Connection, Row, params};

use super::audit::Deed;
use super::colocation::{all, maybe_day, one};
use super::register::{EVERY_PD, record};
use super::{DbError, id, word};
use crate::act::Act;

const CARE: &str = "SELECT id, pd, server, name, kind, done_on, by_whom, note, due_on FROM care";

fn care_row(row: &Row<'_>) -> rusqlite::Result<Care> {
    Ok(Care {
        id: CareId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        server: ServerId::from_bytes(id(row, 2)?),
        name: row.get(3)?,
        kind: word(row, 4)?,
        done_on: word(row, 5)?,
        by: row.get(6)?,
        note: row.get(7)?,
        due_on: maybe_day(row, 8)?,
    })
}

/// The care of all PD's servers or of one's, the oldest first, but for that of what is retired.
pub fn care(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Care>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!(
        "{CARE} AS c WHERE {of_pd} AND NOT EXISTS (SELECT 1 FROM retired AS r WHERE r.id IN (c.pd, c.server))
         ORDER BY done_on, name, id"
    );
    all(db, &sql, &[&pd.map(PdId::as_bytes)], care_row)
}

/// The entry of that id.
pub fn one_care(db: &Connection, care: &CareId) -> Result<Option<Care>, DbError> {
    one(db, &format!("{CARE} WHERE id = ?"), &[care.as_bytes()], care_row)
}

/// The entry that tells of the same.
pub fn same_care(db: &Connection, input: &CareInput) -> Result<Option<Care>, DbError> {
    let sql = format!("{CARE} WHERE server = ? AND kind = ? AND done_on = ? AND name = ?");
    let day = input.done_on.to_string();
    one(db, &sql, &[input.server.as_bytes(), &input.kind.as_str(), &day, &input.name], care_row)
}

/// Whether anything was ever done to the server.
pub fn has_care(db: &Connection, server: &ServerId) -> Result<bool, DbError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM care WHERE server = ? LIMIT 1")?;
    Ok(statement.exists([server.as_bytes()])?)
}

/// Writes an entry.
pub fn put_care(db: &Connection, act: &Act, row: &Care) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO care (id, pd, server, name, kind, done_on, by_whom, note, due_on)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET name = ?4, kind = ?5, done_on = ?6, by_whom = ?7, note = ?8, due_on = ?9",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.pd.as_bytes(),
        row.server.as_bytes(),
        row.name,
        row.kind.as_str(),
        row.done_on.to_string(),
        row.by,
        row.note,
        row.due_on.map(|day| day.to_string()),
    ])?;
    let deed = Deed { action: "care.put", kind: "care", id: &row.id, pd: Some(row.pd) };
    record(db, act, deed, row.id.as_bytes(), row)
}
