//! How fresh the standbys' copies are: kept, and told when one has fallen behind.
//!
//! Invariants: a standby says itself of when its copy is, over the key that the newest statement names; one that never said so counts
//! from that statement. Silence is no freshness: what it said last gets older.

use lumbung_model::{Timestamp, TlsPin};
use lumbung_wire::messages::succession::Seat;
use lumbung_wire::succession::Chain;
use rusqlite::Connection;

use crate::db::alarms::{self, Finding};
use crate::db::{Db, DbError, succession as rows};

/// The kind of alarms that is raised here.
const ALARMS: [&str; 1] = ["standby-behind"];
/// A copy that is older is worth an alarm, s: a standby fetches one every five minutes, unless its city says otherwise.
const BEHIND_S: i64 = 3600;

/// A standby, and of when its copy is.
pub struct Fresh {
    /// The standby.
    pub seat: Seat,
    /// Of when its copy is, if it ever said so.
    pub copied: Option<Timestamp>,
}

/// The standbys of the newest statement.
///
/// # Errors
/// If the database fails.
pub fn standbys(db: &Connection, chain: Option<&Chain>) -> Result<Vec<Fresh>, DbError> {
    let seats = chain.iter().flat_map(|chain| chain.newest().standbys.clone());
    seats.map(|seat| Ok(Fresh { copied: rows::copied(db, &seat.pin)?, seat })).collect()
}

/// Keeps what standbys say, and makes the open alarms be what is found now.
///
/// # Errors
/// If the database fails.
pub(super) async fn keep(
    db: &Db,
    now: Timestamp,
    chain: Option<Chain>,
    told: Vec<(TlsPin, Timestamp)>,
) -> Result<(), DbError> {
    // Nobody has a copy of what is yet to come.
    let told: Vec<_> = told.into_iter().map(|(pin, copied)| (pin, copied.min(now))).collect();
    let known = told.clone();
    let news = db.read_async(move |tx| {
        let mut news = Vec::new();
        for (pin, copied) in known {
            if rows::copied(tx, &pin)? != Some(copied) {
                news.push((pin, copied));
            }
        }
        Ok::<_, DbError>(news)
    });
    let news = news.await?;
    if !news.is_empty() {
        let note = move |tx: &rusqlite::Transaction<'_>| {
            news.iter().try_for_each(|(pin, copied)| rows::note_copied(tx, pin, *copied))
        };
        db.write_async(note).await?;
    }
    alarms::keep(db, now, ALARMS, move |tx| Ok([behind(tx, now, chain.as_ref())?])).await
}

fn behind(db: &Connection, now: Timestamp, chain: Option<&Chain>) -> Result<Vec<Finding>, DbError> {
    let Some(known) = chain else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for Fresh { seat, copied } in standbys(db, chain)? {
        if now.seconds_since(copied.unwrap_or(known.newest().made)) < BEHIND_S {
            continue;
        }
        let url = seat.url;
        let detail = copied.map_or_else(
            || format!("{url} is named as a standby and has never fetched a copy: start it"),
            |copied| format!("{url} has a copy of {copied} and none since: look at its log"),
        );
        let subject = seat.pin.to_string();
        found.push(Finding { subject, pd: None, site: None, service: None, detail });
    }
    Ok(found)
}
