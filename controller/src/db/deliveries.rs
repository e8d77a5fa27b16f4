//! The outbox: rows of messages, from before they are tried until their channel has taken them or never will.
//!
//! Invariants: a message is written before it is tried, and its end is written after; whatever was under way when the
//! controller stopped is *unknown* and tried again under the same id. An id follows from what is told to whom by what
//! channel, so the same message is never made twice. One that a newer message to the same address makes needless is
//! *superseded* instead of sent ([`supersede`]). Nothing is deleted.

use std::collections::BTreeSet;

use lumbung_model::{AlertId, DeliveryId, PdId, Timestamp};
use lumbung_wire::messages::alerts::{
    ChannelKind, Delivery, DeliveryCause, DeliveryState, Severity,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use sha2::{Digest as _, Sha256};

use super::{DbError, id, json, to_json, word};
use crate::alerts::address::{Address, Recipient};
use crate::alerts::plan::Part;

pub mod findings;
pub mod supersede;
pub mod totals;

/// A message to be made.
#[derive(Debug)]
pub struct New<'a> {
    /// Why.
    pub cause: DeliveryCause,
    /// For whom: the first of its addresses is tried first.
    pub to: &'a Recipient,
    /// How much it matters.
    pub severity: Severity,
    /// Its subject line.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// The alerts that it tells of.
    pub parts: &'a [Part],
    /// Those of them that its text says something about: the others are only counted there.
    pub described: BTreeSet<AlertId>,
    /// What makes it this one, if it tells of no alert.
    pub occasion: String,
}

/// A message that is to be sent now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its id.
    pub id: DeliveryId,
    /// Why it was made.
    pub cause: DeliveryCause,
    /// How much it matters.
    pub severity: Severity,
    /// For whom.
    pub recipient: String,
    /// Where to.
    pub to: Address,
    /// Its subject line.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// When it was made.
    pub made: Timestamp,
    /// Since when its address waits for what it tells: since earlier if it took the place of others, since later if another
    /// address was tried first.
    pub waits: Timestamp,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// Whether it may have arrived already.
    pub maybe_repeated: bool,
    /// The alerts that it tells of.
    pub alerts: Vec<(AlertId, String)>,
}

fn delivery_id(address: &Address, recipient: &str, what: &str) -> DeliveryId {
    let text =
        format!("lumbung delivery / {recipient} / {} / {} / {what}", address.channel, address.to);
    let hash = Sha256::digest(text);
    DeliveryId::from_bytes(std::array::from_fn(|index| hash[index]))
}

/// Writes a message; none if its recipient has no address, or it stands there already.
pub fn make(db: &Connection, now: Timestamp, new: &New<'_>) -> Result<Option<DeliveryId>, DbError> {
    let Some((first, others)) = new.to.addresses.split_first() else { return Ok(None) };
    let recipient = new.to.key.to_string();
    let parts = new.parts.iter().map(|part| format!("{} {}", part.alert, part.number));
    let what = parts.chain([new.occasion.clone()]).collect::<Vec<_>>().join(", ");
    let delivery = delivery_id(first, &recipient, &what);
    let made = db
        .prepare_cached(
            "INSERT INTO deliveries (id, cause, recipient, recipient_name, pd, channel, address, others, severity, subject,
                body, state, made_s, waits_s, next_s)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'waiting', ?12, ?12, ?12) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            delivery.as_bytes(),
            new.cause.as_str(),
            recipient,
            new.to.name,
            new.to.pd.map(|pd| *pd.as_bytes()),
            first.channel.as_str(),
            first.to,
            to_json(&others)?,
            new.severity.as_str(),
            new.subject,
            new.body,
            now.0,
        ])?;
    if made == 0 {
        return Ok(None);
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO delivery_parts (alert, delivery, number, cause, described) VALUES (?, ?, ?, ?, ?)",
    )?;
    for part in new.parts {
        let (alert, cause) = (part.alert.as_bytes(), part.cause.as_str());
        let described = new.described.contains(&part.alert);
        insert.execute(params![alert, delivery.as_bytes(), part.number, cause, described])?;
    }
    supersede::by(db, now, &delivery)?;
    Ok(Some(delivery))
}

/// After a stop: what was under way may have arrived, and is tried again.
pub fn recover(db: &Connection, now: Timestamp) -> Result<usize, DbError> {
    let mut statement = db.prepare_cached(
        "UPDATE deliveries SET state = 'unknown', maybe_repeated = 1, next_s = ? WHERE state = 'trying'",
    )?;
    let recovered = statement.execute([now.0])?;
    supersede::what_is_told(db, now)?;
    Ok(recovered)
}

/// Tries after which a message lets those behind it pass.
const HELD_BACK: u32 = 3;

const OUTGOING: &str = "SELECT id, cause, severity, recipient, channel, address, subject, body, made_s, attempts, maybe_repeated, waits_s
    FROM deliveries";

fn outgoing_row(row: &Row<'_>) -> rusqlite::Result<Outgoing> {
    Ok(Outgoing {
        id: DeliveryId::from_bytes(id(row, 0)?),
        cause: word(row, 1)?,
        severity: word(row, 2)?,
        recipient: row.get(3)?,
        to: Address { channel: word(row, 4)?, to: row.get(5)? },
        subject: row.get(6)?,
        body: row.get(7)?,
        made: Timestamp(row.get(8)?),
        attempts: row.get(9)?,
        maybe_repeated: row.get(10)?,
        waits: Timestamp(row.get(11)?),
        alerts: Vec::new(),
    })
}

/// Whether a channel has something to do at `now`, and when it has next.
pub fn next_due(db: &Connection, channel: ChannelKind) -> Result<Option<Timestamp>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT min(next_s) FROM deliveries WHERE channel = ? AND next_s IS NOT NULL AND state <> 'trying'",
    )?;
    let found: Option<i64> = statement.query_row([channel.as_str()], |row| row.get(0))?;
    Ok(found.map(Timestamp))
}

/// Takes messages that are due, at most one to an address and none to those that are busy: they are under way from now on.
/// To an address they go in their order, so that nobody hears first that something is over: one that was not taken a few
/// times holds back those behind it, and after that lets them pass.
pub fn claim(
    db: &Connection,
    now: Timestamp,
    channel: ChannelKind,
    busy: &BTreeSet<String>,
    limit: usize,
) -> Result<Vec<Outgoing>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{OUTGOING} AS d WHERE channel = ?1 AND next_s <= ?2 AND state <> 'trying'
            AND NOT EXISTS (SELECT 1 FROM deliveries AS o WHERE o.channel = ?1 AND o.address = d.address
                AND o.sequence < d.sequence AND o.next_s > ?2 AND o.attempts BETWEEN 1 AND {HELD_BACK})
         ORDER BY next_s, sequence"
    ))?;
    let mut taken: Vec<Outgoing> = Vec::new();
    let mut rows = statement.query(params![channel.as_str(), now.0])?;
    while let Some(row) = rows.next()? {
        if taken.len() == limit {
            break;
        }
        let one = outgoing_row(row)?;
        if !busy.contains(&one.to.to) && taken.iter().all(|other| other.to.to != one.to.to) {
            taken.push(one);
        }
    }
    for one in &mut taken {
        one.attempts += 1;
        one.alerts = alerts_of(db, &one.id)?;
        db.prepare_cached(
            "UPDATE deliveries SET state = 'trying', attempts = ?, tried_s = ? WHERE id = ?",
        )?
        .execute(params![one.attempts, now.0, one.id.as_bytes()])?;
    }
    Ok(taken)
}

fn alerts_of(db: &Connection, delivery: &DeliveryId) -> Result<Vec<(AlertId, String)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT alert, cause FROM delivery_parts WHERE delivery = ? ORDER BY alert",
    )?;
    let rows = statement.query_map([delivery.as_bytes()], |row| {
        Ok((AlertId::from_bytes(id(row, 0)?), row.get(1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The channel has taken it.
pub fn sent(db: &Connection, now: Timestamp, delivery: &DeliveryId) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE deliveries SET state = 'sent', ended_s = ?, next_s = NULL, error = '' WHERE id = ?",
    )?
    .execute(params![now.0, delivery.as_bytes()])?;
    Ok(())
}

/// It is tried again at `next`, unless a newer one has taken its place meanwhile: whether it still waits. `unanswered`: it
/// may have arrived.
pub fn again(
    db: &Connection,
    now: Timestamp,
    delivery: &DeliveryId,
    (next, error, unanswered): (Timestamp, &str, bool),
) -> Result<bool, DbError> {
    db.prepare_cached(
        "UPDATE deliveries SET state = CASE WHEN ?4 THEN 'unknown' ELSE 'waiting' END, next_s = ?2, error = ?3,
            maybe_repeated = maybe_repeated OR ?4 WHERE id = ?1",
    )?
    .execute(params![delivery.as_bytes(), next.0, error, unanswered])?;
    supersede::what_is_told(db, now)?;
    let mut waits = db.prepare_cached("SELECT next_s IS NOT NULL FROM deliveries WHERE id = ?")?;
    Ok(waits.query_row([delivery.as_bytes()], |row| row.get(0))?)
}

/// The channel will never take it.
pub fn failed(
    db: &Connection,
    now: Timestamp,
    delivery: &DeliveryId,
    error: &str,
) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE deliveries SET state = 'failed', ended_s = ?, next_s = NULL, error = ? WHERE id = ?",
    )?
    .execute(params![now.0, error, delivery.as_bytes()])?;
    Ok(())
}

/// Messages of a channel that wait since `since` or longer and have another address to go to.
pub fn overdue(
    db: &Connection,
    channel: ChannelKind,
    since: Timestamp,
) -> Result<Vec<DeliveryId>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id FROM deliveries WHERE channel = ? AND next_s IS NOT NULL AND others <> '[]' AND waits_s <= ?
         ORDER BY sequence",
    )?;
    let rows = statement.query_map(params![channel.as_str(), since.0], |row| id(row, 0))?;
    Ok(rows.map(|row| row.map(DeliveryId::from_bytes)).collect::<Result<_, _>>()?)
}

/// Whether what was told of an alert since then has arrived at an address.
pub fn has_arrived(
    db: &Connection,
    at: &Address,
    alert: &AlertId,
    since: Timestamp,
) -> Result<bool, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM deliveries AS d JOIN delivery_parts AS p ON p.delivery = d.id
            WHERE d.channel = ? AND d.address = ? AND d.state = 'sent' AND p.alert = ? AND p.described = 1
                AND p.cause <> 'over' AND d.made_s >= ?)",
    )?;
    let asked = params![at.channel.as_str(), at.to, alert.as_bytes(), since.0];
    Ok(statement.query_row(asked, |row| row.get(0))?)
}

/// Makes the same message for the next address of its recipient, once; none if there is no other. An address that was told
/// the same meanwhile, by another name, is passed over.
pub fn fall_over(
    db: &Connection,
    now: Timestamp,
    delivery: &DeliveryId,
) -> Result<Option<DeliveryId>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT recipient, others FROM deliveries WHERE id = ?")?;
    let found: Option<(String, Vec<Address>)> = statement
        .query_row([delivery.as_bytes()], |row| Ok((row.get(0)?, json(row, 1)?)))
        .optional()?;
    let Some((recipient, others)) = found else { return Ok(None) };
    let mut rest = others.as_slice();
    while let Some((next, others)) = rest.split_first() {
        rest = others;
        if !is_told_at(db, delivery, next)? {
            let other = delivery_id(next, &recipient, &format!("instead of {delivery}"));
            copy(db, now, (delivery, &other), (next, rest))?;
            return Ok(Some(other));
        }
    }
    use_up(db, delivery)?;
    Ok(None)
}

fn use_up(db: &Connection, delivery: &DeliveryId) -> Result<(), DbError> {
    let mut statement = db.prepare_cached("UPDATE deliveries SET others = '[]' WHERE id = ?")?;
    statement.execute([delivery.as_bytes()])?;
    Ok(())
}

/// Whether other messages to an address tell all that this one does.
fn is_told_at(db: &Connection, delivery: &DeliveryId, at: &Address) -> Result<bool, DbError> {
    let mut statement = db.prepare_cached(
        "WITH told AS (
            SELECT q.alert, q.cause = 'over' AS over FROM deliveries AS o JOIN delivery_parts AS q ON q.delivery = o.id
            WHERE o.channel = ?2 AND o.address = ?3 AND o.state NOT IN ('failed', 'superseded')
                AND (q.described = 1 OR q.cause = 'over') AND o.made_s >= (SELECT d.made_s FROM deliveries AS d WHERE d.id = ?1)
         )
         SELECT EXISTS (SELECT 1 FROM delivery_parts AS p WHERE p.delivery = ?1) AND NOT EXISTS (
            SELECT 1 FROM delivery_parts AS p
            WHERE p.delivery = ?1 AND (p.alert, p.cause = 'over') NOT IN (SELECT alert, over FROM told))",
    )?;
    let asked = params![delivery.as_bytes(), at.channel.as_str(), at.to];
    Ok(statement.query_row(asked, |row| row.get(0))?)
}

/// Writes the same message for another address; that one goes on from there.
fn copy(
    db: &Connection,
    now: Timestamp,
    (delivery, other): (&DeliveryId, &DeliveryId),
    (next, rest): (&Address, &[Address]),
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO deliveries (id, cause, recipient, recipient_name, pd, channel, address, others, severity, subject, body,
            state, made_s, waits_s, next_s)
         SELECT ?2, cause, recipient, recipient_name, pd, ?3, ?4, ?5, severity, subject, body, 'waiting', made_s, ?6, ?6
         FROM deliveries WHERE id = ?1",
    )?
    .execute(params![
        delivery.as_bytes(),
        other.as_bytes(),
        next.channel.as_str(),
        next.to,
        to_json(&rest)?,
        now.0,
    ])?;
    db.prepare_cached(
        "INSERT INTO delivery_parts (alert, delivery, number, cause, described)
         SELECT alert, ?2, number, cause, described FROM delivery_parts WHERE delivery = ?1",
    )?
    .execute(params![delivery.as_bytes(), other.as_bytes()])?;
    use_up(db, delivery)?;
    supersede::by(db, now, other)
}

/// `?2` is the PD of whoever asks, if it is one's: the subject line of what tells of others' alerts as well is not for it.
const DELIVERY: &str = "SELECT d.id, d.cause, d.recipient_name, d.channel, d.state,
        CASE WHEN ?2 IS NOT NULL AND EXISTS (
            SELECT 1 FROM delivery_parts AS o JOIN alerts AS a ON a.id = o.alert WHERE o.delivery = d.id AND a.pd IS NOT ?2)
        THEN '' ELSE d.subject END,
        d.made_s, d.attempts, d.next_s, d.ended_s, d.error, d.maybe_repeated
    FROM deliveries AS d";

fn delivery_row(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    let at = |index| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(index)?.map(Timestamp));
    Ok(Delivery {
        id: DeliveryId::from_bytes(id(row, 0)?),
        cause: word(row, 1)?,
        recipient: row.get(2)?,
        channel: word(row, 3)?,
        state: word::<DeliveryState>(row, 4)?,
        subject: row.get(5)?,
        made: Timestamp(row.get(6)?),
        attempts: row.get(7)?,
        next: at(8)?,
        ended: at(9)?,
        error: row.get(10)?,
        maybe_repeated: row.get(11)?,
    })
}

/// The messages that tell of an alert, oldest first; of one PD's people only, if it is given.
pub fn of_alert(
    db: &Connection,
    alert: &AlertId,
    pd: Option<PdId>,
    limit: u32,
) -> Result<Vec<Delivery>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{DELIVERY} JOIN delivery_parts AS p ON p.delivery = d.id
         WHERE p.alert = ?1 AND (?2 IS NULL OR d.pd = ?2) ORDER BY d.sequence LIMIT ?3"
    ))?;
    let asked = params![alert.as_bytes(), pd.map(|pd| *pd.as_bytes()), limit];
    Ok(statement.query_map(asked, delivery_row)?.collect::<Result<_, _>>()?)
}

/// The message of that id.
pub fn get(db: &Connection, delivery: &DeliveryId) -> Result<Option<Delivery>, DbError> {
    let mut statement = db.prepare_cached(&format!("{DELIVERY} WHERE d.id = ?1"))?;
    let asked = params![delivery.as_bytes(), None::<[u8; 16]>];
    Ok(statement.query_row(asked, delivery_row).optional()?)
}
