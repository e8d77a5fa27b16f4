//! Totals of the outbox by channel, for metrics.

use std::collections::BTreeMap;

use lumbung_model::Timestamp;
use lumbung_wire::messages::alerts::{ChannelKind, DeliveryState};
use rusqlite::Connection;

use crate::db::{DbError, count, word};

/// What waits in a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages that were not taken yet.
    pub messages: u64,
    /// Since when the first of them waits.
    pub since: Option<Timestamp>,
}

/// What waits in a channel, those under way included.
pub fn waiting(db: &Connection, channel: ChannelKind) -> Result<Waiting, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT count(*), min(waits_s) FROM deliveries WHERE channel = ? AND next_s IS NOT NULL",
    )?;
    Ok(statement.query_row([channel.as_str()], |row| {
        let since = row.get::<_, Option<i64>>(1)?.map(Timestamp);
        Ok(Waiting { messages: count(row, 0)?, since })
    })?)
}

/// What came of a channel's messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Messages by state.
    pub states: BTreeMap<DeliveryState, u64>,
    /// Of all of them, those to which an answer stayed away once.
    pub unknown: u64,
}

/// What came of a channel's messages so far. Costs a walk along an index of all that there ever were.
pub fn ended(db: &Connection, channel: ChannelKind) -> Result<Ended, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT state, count(*), sum(maybe_repeated) FROM deliveries WHERE channel = ? GROUP BY state",
    )?;
    let mut ended = Ended::default();
    let mut rows = statement.query([channel.as_str()])?;
    while let Some(row) = rows.next()? {
        ended.states.insert(word(row, 0)?, count(row, 1)?);
        ended.unknown += count(row, 2)?;
    }
    Ok(ended)
}
