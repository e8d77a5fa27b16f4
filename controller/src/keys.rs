//! The controller's signing keys in the audit log: whoever keeps a public half (auditors that of `audit.key`, agents that of
//! `policy.key`) finds there when it changed.
//!
//! Invariant: the last entry of a key names the one in use.

use lumbung_model::PublicKey;
use lumbung_pack::SigningKey;
use rusqlite::Connection;
use serde_json::json;

use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::{Db, DbError};

/// Notes each key that is not the one that was noted last.
///
/// # Errors
/// If the database fails.
pub fn note(
    db: &Db,
    act: &Act,
    audit_key: &SigningKey,
    policy_key: &SigningKey,
) -> Result<(), DbError> {
    db.write(|tx| {
        note_one(tx, act, "audit.key", audit_key.public())?;
        note_one(tx, act, "policy.key", policy_key.public())
    })
}

fn note_one(db: &Connection, act: &Act, name: &str, key: PublicKey) -> Result<(), DbError> {
    let after = json!({ "public": key });
    let before = audit::last_of(db, "key", name)?.and_then(|entry| entry.after);
    if before.as_ref() == Some(&after) {
        return Ok(());
    }
    let deed = Deed { action: "key.use", kind: "key", id: &name, pd: None };
    audit::append(db, act, deed, before, Some(after))
}
