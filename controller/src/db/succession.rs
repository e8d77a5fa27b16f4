//! Rows of the succession: the statements that were taken, the first one first.

use lumbung_model::Timestamp;
use lumbung_wire::messages::succession::{SignedStatement, Succession};
use rusqlite::{Connection, params};

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
