//! Rows of approvals. Rules are `crate::approvals`'s.

use lumbung_model::{ApprovalId, Timestamp, UserId};
use lumbung_wire::messages::approvals::{ApprovalState, Wanted};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, id, maybe_id, word};

/// A request as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalRow {
    /// Its id.
    pub id: ApprovalId,
    /// What is to be done.
    pub wanted: Wanted,
    /// Why.
    pub reason: String,
    /// The account of whoever asked.
    pub asked_user: Option<UserId>,
    /// Its name then.
    pub asked_by: String,
    /// When.
    pub asked: Timestamp,
    /// Until when somebody can decide.
    pub expires: Timestamp,
    /// How far it has come; expiry is not written down.
    pub state: ApprovalState,
    /// Who decided, and when.
    pub decided: Option<(String, Timestamp)>,
}

const APPROVAL: &str = "SELECT id, wanted, reason, asked_user, asked_by, asked_s, expires_s, state, decided_by, decided_s FROM approvals";

fn approval_row(row: &Row<'_>) -> rusqlite::Result<Result<ApprovalRow, DbError>> {
    let wanted: String = row.get(1)?;
    let Ok(wanted) = serde_json::from_str(&wanted) else {
        return Ok(Err(DbError::Corrupt { what: "an approval" }));
    };
    let (by, at): (Option<String>, Option<i64>) = (row.get(8)?, row.get(9)?);
    Ok(Ok(ApprovalRow {
        id: ApprovalId::from_bytes(id(row, 0)?),
        wanted,
        reason: row.get(2)?,
        asked_user: maybe_id(row, 3)?.map(UserId::from_bytes),
        asked_by: row.get(4)?,
        asked: Timestamp(row.get(5)?),
        expires: Timestamp(row.get(6)?),
        state: word(row, 7)?,
        decided: by.zip(at.map(Timestamp)),
    }))
}

/// The requests, newest first: all, or those behind `after`.
pub fn approvals(
    db: &Connection,
    after: Option<&ApprovalId>,
    limit: u32,
) -> Result<Vec<ApprovalRow>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{APPROVAL} WHERE ?1 IS NULL
            OR (asked_s, rowid) < (SELECT l.asked_s, l.rowid FROM approvals AS l WHERE l.id = ?1)
         ORDER BY asked_s DESC, rowid DESC LIMIT ?2"
    ))?;
    let after = after.map(|id| *id.as_bytes());
    let rows = statement.query_map(params![after, limit], approval_row)?;
    rows.map(|row| row.map_err(DbError::from).and_then(|row| row)).collect()
}

/// The request of that id.
pub fn approval(db: &Connection, approval: &ApprovalId) -> Result<Option<ApprovalRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{APPROVAL} WHERE id = ?"))?;
    statement.query_row([approval.as_bytes()], approval_row).optional()?.transpose()
}

/// Keeps a new request.
pub fn insert(db: &Connection, row: &ApprovalRow) -> Result<(), DbError> {
    let wanted =
        serde_json::to_string(&row.wanted).map_err(|_| DbError::Corrupt { what: "an approval" })?;
    db.prepare_cached(
        "INSERT INTO approvals (id, wanted, reason, asked_user, asked_by, asked_s, expires_s, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, 'open')",
    )?
    .execute(params![
        row.id.as_bytes(),
        wanted,
        row.reason,
        row.asked_user.map(|user| *user.as_bytes()),
        row.asked_by,
        row.asked.0,
        row.expires.0,
    ])?;
    Ok(())
}

/// Writes down what became of an open request.
pub fn decide(
    db: &Connection,
    approval: &ApprovalId,
    state: ApprovalState,
    (by, at): (&str, Timestamp),
) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE approvals SET state = ?, decided_by = ?, decided_s = ? WHERE id = ? AND state = 'open'",
    )?
    .execute(params![state.as_str(), by, at.0, approval.as_bytes()])?;
    Ok(())
}
