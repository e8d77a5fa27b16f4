//! Answers that are kept for a request that comes again. Rules are `crate::api::idempotency`'s.

use lumbung_model::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, count, id};

/// An answer as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the request.
    pub request: [u8; 32],
    /// When it was answered.
    pub at: Timestamp,
    /// The answer's HTTP status.
    pub status: u16,
    /// The answer's body.
    pub answer: Vec<u8>,
}

/// The answer that was given to this caller under this key.
pub fn find(db: &Connection, caller: &str, key: &str) -> Result<Option<Kept>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT request, at_s, status, answer FROM idempotency WHERE caller = ? AND key = ?",
    )?;
    let row = statement.query_row([caller, key], |row| {
        Ok(Kept {
            request: id(row, 0)?,
            at: Timestamp(row.get(1)?),
            status: row.get(2)?,
            answer: row.get(3)?,
        })
    });
    Ok(row.optional()?)
}

/// Keeps an answer, in place of one that is past its time.
pub fn keep(db: &Connection, caller: &str, key: &str, kept: &Kept) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (caller, key, request, at_s, status, answer, answer_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, length(?6))",
    )?
    .execute(params![caller, key, kept.request, kept.at.0, kept.status, kept.answer])?;
    Ok(())
}

/// Forgets what was answered before `before`.
pub fn prune(db: &Connection, before: Timestamp) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM idempotency WHERE at_s < ?")?.execute([before.0])?;
    Ok(())
}

/// How many answers are kept for a caller, and their bytes.
pub fn usage(db: &Connection, caller: &str) -> Result<(u64, u64), DbError> {
    let mut statement = db.prepare_cached(
        "SELECT count(*), coalesce(sum(answer_bytes), 0) FROM idempotency WHERE caller = ?",
    )?;
    Ok(statement.query_row([caller], |row| Ok((count(row, 0)?, count(row, 1)?)))?)
}
