//! Rows of the succession: the statements that were taken, the first one first, and of when standbys' copies are.

use lumbung_model::{Timestamp, TlsPin};
use lumbung_wire::messages::succession::{SignedStatement, Succession};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{DbError, json, signed, to_json};

/// All statements; none where no officers were ever named.
///
/// # Errors
/// If the database fails.
pub fn all(db: &Connection) -> Result<Succession, DbError> {
    let mut rows = db.prepare_cached("SELECT signed FROM succession ORDER BY epoch")?;
    let statements: Result<Vec<SignedStatement>, _> =
        rows.query_map([], |row| json(row, 0))?.collect();
    Ok(Succession { statements: statements? })
}

/// Keeps the statement of an epoch.
///
/// # Errors
/// If there is one, or the database fails.
pub fn insert(
    db: &Connection,
    now: Timestamp,
    epoch: u64,
    statement: &SignedStatement,
) -> Result<(), DbError> {
    db.prepare_cached("INSERT INTO succession (epoch, signed, taken_s) VALUES (?, ?, ?)")?
        .execute(params![signed(epoch), to_json(statement)?, now.0])?;
    Ok(())
}

/// Of when a standby's copy is, as it said last.
///
/// # Errors
/// If the database fails.
pub fn copied(db: &Connection, standby: &TlsPin) -> Result<Option<Timestamp>, DbError> {
    let mut rows = db.prepare_cached("SELECT copied_s FROM standby_copies WHERE pin = ?")?;
    let found = rows.query_row([standby.to_string()], |row| row.get(0)).optional()?;
    Ok(found.map(Timestamp))
}

/// Keeps of when it is.
///
/// # Errors
/// If the database fails.
pub fn note_copied(db: &Connection, standby: &TlsPin, copied: Timestamp) -> Result<(), DbError> {
    db.prepare_cached("INSERT OR REPLACE INTO standby_copies (pin, copied_s) VALUES (?, ?)")?
        .execute(params![standby.to_string(), copied.0])?;
    Ok(())
}
