//! Messages that need not be sent any more, since a newer one to the same address says all that they say.
//!
//! Invariants: part by part: a message is superseded once each of its alerts is described in a newer message to its address,
//! and never while it is under way; that an alert is over makes no message needless, and is made needless by none; whoever
//! waits goes on waiting since the first of them, so that the next address is tried in time and the alarm of the channel stays.

use lumbung_model::{DeliveryId, Timestamp};
use rusqlite::{Connection, params};

use crate::db::{DbError, id};

/// Notes what a new message says again, and what need not be sent any more therefore.
pub(super) fn by(db: &Connection, now: Timestamp, newer: &DeliveryId) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE delivery_parts SET told_by = ?1
         WHERE cause <> 'over' AND told_by IS NULL
            AND alert IN (SELECT p.alert FROM delivery_parts AS p WHERE p.delivery = ?1 AND p.described = 1 AND p.cause <> 'over')
            AND delivery IN (
                SELECT o.id FROM deliveries AS n JOIN deliveries AS o ON o.channel = n.channel AND o.address = n.address
                WHERE n.id = ?1 AND o.ended_s IS NULL AND o.sequence < n.sequence)",
    )?
    .execute([newer.as_bytes()])?;
    what_is_told(db, now)?;
    digests(db, now, newer)
}

/// A digest says what stands: the one before it says nothing more.
fn digests(db: &Connection, now: Timestamp, newer: &DeliveryId) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE deliveries SET state = 'superseded', ended_s = ?2, next_s = NULL
         WHERE cause = 'digest' AND ended_s IS NULL AND state <> 'trying' AND sequence < (
            SELECT n.sequence FROM deliveries AS n WHERE n.id = ?1 AND n.cause = 'digest'
                AND n.channel = deliveries.channel AND n.address = deliveries.address)",
    )?
    .execute(params![newer.as_bytes(), now.0])?;
    Ok(())
}

/// Ends what waits though newer messages say all of it; they wait since as long as it did, and for the same reason.
pub(super) fn what_is_told(db: &Connection, now: Timestamp) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(
        "SELECT d.id FROM deliveries AS d WHERE d.next_s IS NOT NULL AND d.state <> 'trying' AND d.cause = 'alert'
            AND EXISTS (SELECT 1 FROM delivery_parts AS p WHERE p.delivery = d.id)
            AND NOT EXISTS (SELECT 1 FROM delivery_parts AS p WHERE p.delivery = d.id AND p.told_by IS NULL)
         ORDER BY d.sequence",
    )?;
    let rows = statement.query_map([], |row| id::<16>(row, 0))?;
    for older in rows.collect::<Result<Vec<_>, _>>()? {
        db.prepare_cached(
            "UPDATE deliveries AS n SET waits_s = min(n.waits_s, o.waits_s), error = iif(n.error = '', o.error, n.error)
             FROM deliveries AS o
             WHERE o.id = ?1 AND n.ended_s IS NULL
                AND n.id IN (SELECT p.told_by FROM delivery_parts AS p WHERE p.delivery = ?1)",
        )?
        .execute([older])?;
        db.prepare_cached(
            "UPDATE deliveries SET state = 'superseded', ended_s = ?2, next_s = NULL WHERE id = ?1",
        )?
        .execute(params![older, now.0])?;
    }
    Ok(())
}
