//! Messages that need not be sent any more, since a newer one to the same address says all that they say.
//!
//! Invariants: part by part: a message is superseded once each of its alerts is described in a newer message to its address that
//! may still arrive, and never while it is under way; a part that names what has gone since is not, since the newer one does not
//! name it; that an alert is over makes no message needless, and is made needless by none; whoever waits goes on waiting since
//! the first of them, with the addresses of all of them, so that the next one is tried in time and the alarm of the channel stays.

use lumbung_model::{DeliveryId, Timestamp};
use rusqlite::{Connection, params};

use crate::alerts::address::Address;
use crate::db::{DbError, id, json, to_json};

/// Notes what a new message says again, and what need not be sent any more therefore. What is newer was written later: the
/// copy of an old message for another address is not.
pub(super) fn by(db: &Connection, now: Timestamp, newer: &DeliveryId) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE delivery_parts SET told_by = ?1
         WHERE cause <> 'over' AND told_by IS NULL
            AND alert IN (SELECT p.alert FROM delivery_parts AS p WHERE p.delivery = ?1 AND p.described = 1 AND p.cause <> 'over')
            AND delivery IN (
                SELECT o.id FROM deliveries AS n JOIN deliveries AS o ON o.channel = n.channel AND o.address = n.address
                WHERE n.id = ?1 AND o.ended_s IS NULL AND o.sequence < n.sequence AND o.made_s <= n.made_s)
            AND NOT EXISTS (
                SELECT 1 FROM alert_topics AS t JOIN deliveries AS o ON o.id = delivery_parts.delivery
                WHERE t.alert = delivery_parts.alert AND t.joined_s <= o.made_s AND t.left_s > o.made_s)",
    )?
    .execute([newer.as_bytes()])?;
    what_is_told(db, now)?;
    digests(db, now, newer)
}

/// A digest says what stands: the one before it says nothing more.
fn digests(db: &Connection, now: Timestamp, newer: &DeliveryId) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE deliveries SET state = 'superseded', ended_s = ?2, next_s = NULL
         WHERE id IN (SELECT o.id FROM deliveries AS n JOIN deliveries AS o ON o.channel = n.channel AND o.address = n.address
            WHERE n.id = ?1 AND n.cause = 'digest' AND o.cause = 'digest' AND o.ended_s IS NULL AND o.state <> 'trying'
                AND o.sequence < n.sequence AND o.made_s <= n.made_s)",
    )?
    .execute(params![newer.as_bytes(), now.0])?;
    Ok(())
}

/// Ends what waits though newer messages say all of it; they wait since as long as it did, for the same reason, and go on with
/// its other addresses.
pub(super) fn what_is_told(db: &Connection, now: Timestamp) -> Result<(), DbError> {
    // By the few that wait: without being told, SQLite reads all that ever were.
    let mut statement = db.prepare_cached(
        "SELECT d.id, d.others FROM deliveries AS d INDEXED BY deliveries_due
         WHERE d.next_s IS NOT NULL AND d.state <> 'trying' AND d.cause = 'alert'
            AND EXISTS (SELECT 1 FROM delivery_parts AS p WHERE p.delivery = d.id)
            AND NOT EXISTS (SELECT 1 FROM delivery_parts AS p LEFT JOIN deliveries AS n ON n.id = p.told_by
                WHERE p.delivery = d.id AND coalesce(n.state, 'failed') = 'failed')
         ORDER BY d.sequence",
    )?;
    let rows = statement.query_map([], |row| Ok((id::<16>(row, 0)?, json(row, 1)?)))?;
    for (older, others) in rows.collect::<Result<Vec<([u8; 16], Vec<Address>)>, _>>()? {
        db.prepare_cached(
            "UPDATE deliveries AS n SET waits_s = min(n.waits_s, o.waits_s), error = iif(n.error = '', o.error, n.error)
             FROM deliveries AS o
             WHERE o.id = ?1 AND n.ended_s IS NULL
                AND n.id IN (SELECT p.told_by FROM delivery_parts AS p WHERE p.delivery = ?1)",
        )?
        .execute([older])?;
        if !others.is_empty() {
            hand_on(db, &older, &others)?;
        }
        db.prepare_cached(
            "UPDATE deliveries SET state = 'superseded', ended_s = ?2, next_s = NULL WHERE id = ?1",
        )?
        .execute(params![older, now.0])?;
    }
    Ok(())
}

/// Gives the addresses that a message had left to those that take its place.
fn hand_on(db: &Connection, older: &[u8; 16], others: &[Address]) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, others FROM deliveries WHERE ended_s IS NULL
            AND id IN (SELECT p.told_by FROM delivery_parts AS p WHERE p.delivery = ?)",
    )?;
    let rows = statement.query_map([older], |row| Ok((id::<16>(row, 0)?, json(row, 1)?)))?;
    for (newer, mut own) in rows.collect::<Result<Vec<([u8; 16], Vec<Address>)>, _>>()? {
        let before = own.len();
        for other in others {
            if !own.iter().any(|known: &Address| known.is_same(other)) {
                own.push(other.clone());
            }
        }
        if own.len() > before {
            db.prepare_cached("UPDATE deliveries SET others = ? WHERE id = ?")?
                .execute(params![to_json(&own)?, newer])?;
        }
    }
    Ok(())
}
