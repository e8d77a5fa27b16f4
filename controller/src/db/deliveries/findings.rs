//! What the outbox says of channels and addresses that take nothing: the alarm `channel`.

use lumbung_model::{PdId, Timestamp};
use rusqlite::Connection;

use crate::db::alarms::Finding;
use crate::db::{DbError, count, maybe_id};

/// How long a refusal counts, unless the address takes something again: a day.
const REFUSAL_COUNTS_S: i64 = 86_400;
/// A channel is down when it has taken nothing for so long though something was tried, s.
const DOWN_S: i64 = 600;
/// A try without an answer means that something is wrong after so long, s.
const HANGS_S: i64 = 300;

/// What is wrong with channels and addresses.
pub fn all(db: &Connection, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    let mut all = refusals(db, now)?;
    all.extend(outages(db, now)?);
    all.extend(held_up(db, now)?);
    Ok(all)
}

/// Addresses whose last message was refused for good.
fn refusals(db: &Connection, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT d.channel, d.recipient, d.recipient_name, d.pd, d.error, max(d.sequence)
         FROM deliveries AS d INDEXED BY deliveries_failed
         WHERE d.state = 'failed' AND d.ended_s > ?1 AND NOT EXISTS (
            SELECT 1 FROM deliveries AS l
            WHERE l.channel = d.channel AND l.address = d.address AND l.state = 'sent' AND l.ended_s >= d.ended_s)
         GROUP BY d.channel, d.recipient",
    )?;
    let rows = statement.query_map([now.0 - REFUSAL_COUNTS_S], |row| {
        let (channel, recipient): (String, String) = (row.get(0)?, row.get(1)?);
        let (name, error): (String, String) = (row.get(2)?, row.get(4)?);
        Ok(Finding {
            subject: format!("{channel}/{recipient}"),
            pd: maybe_id(row, 3)?.map(PdId::from_bytes),
            site: None,
            service: None,
            detail: format!("{channel} of {name} takes no messages: {error}; correct the address"),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What was tried and waits for long: of channels that are down (`?2`: those that have taken nothing since), or of the others.
const WAITS: &str = "next_s IS NOT NULL AND waits_s <= ?1 AND (error <> '' OR tried_s <= ?2)";

/// Channels that have taken nothing for a while, though something waits.
fn outages(db: &Connection, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    let sql = format!(
        "SELECT channel, count(*), min(waits_s), max(error) FROM deliveries AS d
         WHERE {WAITS} AND NOT EXISTS (
            SELECT 1 FROM deliveries AS s WHERE s.channel = d.channel AND s.state = 'sent' AND s.ended_s > ?1)
         GROUP BY channel"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([now.0 - DOWN_S, now.0 - HANGS_S], |row| {
        let (channel, error): (String, String) = (row.get(0)?, row.get(3)?);
        let (waiting, since) = (count(row, 1)?, Timestamp(row.get(2)?));
        let error = if error.is_empty() { "no answer".to_owned() } else { error };
        let detail = format!("{channel}: {waiting} messages wait since {since}: {error}");
        Ok(Finding { subject: channel, pd: None, site: None, service: None, detail })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Messages of a channel that wait for long while others get through: to their addresses it takes nothing, for now.
fn held_up(db: &Connection, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    let sql = format!(
        "SELECT channel, count(DISTINCT address), min(waits_s), max(error) FROM deliveries AS d
         WHERE {WAITS} AND EXISTS (
            SELECT 1 FROM deliveries AS s WHERE s.channel = d.channel AND s.state = 'sent' AND s.ended_s > ?1)
         GROUP BY channel"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([now.0 - DOWN_S, now.0 - HANGS_S], |row| {
        let (channel, error): (String, String) = (row.get(0)?, row.get(3)?);
        let (addresses, since) = (count(row, 1)?, Timestamp(row.get(2)?));
        let detail = format!(
            "{channel} takes nothing for {addresses} addresses since {since}, though it takes messages for others: {error}"
        );
        let subject = format!("{channel}/some");
        Ok(Finding { subject, pd: None, site: None, service: None, detail })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
