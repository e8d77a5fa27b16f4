//! The audit log: appended to in the transaction of what it tells of, never changed.
//!
//! Invariant: the record with the highest sequence is the end of one unbroken chain from sequence 1.

use lumbung_model::{AuditHash, PdId, UserId};
use lumbung_wire::audit::{AuditEntry, AuditRecord, Subject};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde_json::Value;

use super::{DbError, count, id, signed};
use crate::act::Act;

/// What an entry tells of, beside who, when and where.
#[derive(Clone, Copy)]
pub struct Deed<'a> {
    /// What was done, as in `dataset.put`.
    pub action: &'a str,
    /// The kind of thing that it was done to.
    pub kind: &'a str,
    /// Its id.
    pub id: &'a dyn std::fmt::Display,
    /// Whose it is, if it is one PD's.
    pub pd: Option<PdId>,
}

/// Appends an entry.
///
/// # Errors
/// If the database fails.
pub fn append(
    db: &Connection,
    act: &Act,
    deed: Deed<'_>,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), DbError> {
    let (last, previous) = end(db)?;
    let sequence = last + 1;
    let entry = AuditEntry {
        sequence,
        at: act.now,
        actor: act.actor.clone(),
        from: act.from,
        action: deed.action.to_owned(),
        subject: Subject { kind: deed.kind.to_owned(), id: deed.id.to_string() },
        pd: deed.pd,
        before,
        after,
    };
    let text =
        serde_json::to_string(&entry).map_err(|_| DbError::Corrupt { what: "an audit entry" })?;
    let record = AuditRecord::after(previous, text);
    db.prepare_cached(
        "INSERT INTO audit (sequence, at_s, actor, action, subject_kind, subject, pd, entry, previous, hash)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        signed(sequence),
        entry.at.0,
        format!("{}:{}", entry.actor.kind.as_str(), entry.actor.name),
        entry.action,
        entry.subject.kind,
        entry.subject.id,
        entry.pd.map(|pd| *pd.as_bytes()),
        record.entry,
        record.previous.as_bytes(),
        record.hash.as_bytes(),
    ])?;
    Ok(())
}

/// A row as an entry shows it.
pub fn shown(row: &impl Serialize) -> Result<Value, DbError> {
    serde_json::to_value(row).map_err(|_| DbError::Corrupt { what: "a row for the audit log" })
}

/// Number and hash of the last record; 0 and zeros while there is none.
pub fn end(db: &Connection) -> Result<(u64, AuditHash), DbError> {
    let mut statement =
        db.prepare_cached("SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1")?;
    let found = statement
        .query_row([], |row| Ok((count(row, 0)?, AuditHash::from_bytes(id(row, 1)?))))
        .optional()?;
    Ok(found.unwrap_or((0, AuditHash::ZERO)))
}

/// The last entry of that thing.
pub fn last_of(db: &Connection, kind: &str, subject: &str) -> Result<Option<AuditEntry>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT entry FROM audit WHERE subject_kind = ? AND subject = ? ORDER BY sequence DESC LIMIT 1",
    )?;
    let text: Option<String> = statement.query_row([kind, subject], |row| row.get(0)).optional()?;
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|_| DbError::Corrupt { what: "an audit entry" })
    };
    text.map(read).transpose()
}

/// Whether one of these people has ever changed that account.
pub fn kept_account(db: &Connection, account: &UserId, by: &[UserId]) -> Result<bool, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT json_extract(entry, '$.actor.id') FROM audit WHERE subject_kind = 'user' AND subject = ?",
    )?;
    let rows = statement.query_map([account.to_string()], |row| row.get::<_, Option<String>>(0))?;
    for actor in rows {
        // The console and the controller have no id.
        let actor = actor?.unwrap_or_default();
        if by.iter().any(|user| user.to_string() == actor) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn record(row: &Row<'_>) -> rusqlite::Result<AuditRecord> {
    Ok(AuditRecord {
        previous: AuditHash::from_bytes(id(row, 0)?),
        hash: AuditHash::from_bytes(id(row, 1)?),
        entry: row.get(2)?,
    })
}

/// The records behind `after`, in their order.
pub fn records(db: &Connection, after: u64, limit: u32) -> Result<Vec<AuditRecord>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT previous, hash, entry FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?",
    )?;
    Ok(statement.query_map(params![signed(after), limit], record)?.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use lumbung_model::Timestamp;
    use lumbung_wire::audit::Verifier;

    fn deed(action: &str) -> Deed<'_> {
        Deed { action, kind: "test", id: &7, pd: None }
    }

    #[test]
    fn what_is_appended_is_one_chain_and_cannot_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::create(&dir.path().join("c.db")).unwrap();
        let act = Act::console(Timestamp(5));
        for action in ["a", "b", "c"] {
            let after = Some(serde_json::json!({ "done": action }));
            db.write(|tx| append(tx, &act, deed(action), None, after)).unwrap();
        }
        let records = db.read(|tx| records(tx, 0, 10)).unwrap();
        let mut verifier = Verifier::default();
        let actions: Vec<_> =
            records.iter().map(|record| verifier.take(record).unwrap().action).collect();
        assert_eq!(actions, ["a", "b", "c"]);
        assert_eq!(db.read(|tx| end(tx)).unwrap(), verifier.end());
        for sql in ["UPDATE audit SET action = 'x'", "DELETE FROM audit WHERE sequence = 3"] {
            let changed = db.write::<_, DbError>(|tx| Ok(tx.execute(sql, [])?));
            assert!(changed.is_err(), "{sql}");
        }
    }

    #[test]
    fn what_is_rolled_back_leaves_no_entry() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::create(&dir.path().join("c.db")).unwrap();
        let failed = db.write::<(), DbError>(|tx| {
            append(tx, &Act::controller(Timestamp(5)), deed("a"), None, None)?;
            Err(DbError::Worker)
        });
        assert!(failed.is_err());
        assert_eq!(db.read(|tx| end(tx)).unwrap(), (0, AuditHash::ZERO));
    }
}
