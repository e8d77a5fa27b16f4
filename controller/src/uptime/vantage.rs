//! What vaults are told to look at, and what they tell of it.
//!
//! Invariants: a place has a say in a check from the moment that it was given it; what was told late makes the days that it
//! is about be reckoned again.

use lumbung_model::compliance::CLOCK_TOLERANCE_S;
use lumbung_model::uptime::reach_s;
use lumbung_model::{SiteId, Timestamp};
use lumbung_wire::messages::uptime::{CheckOrder, Observation, VantageOrders};
use rusqlite::Connection;

use crate::db::sights::{self, Prober, Seen, Vantage};
use crate::db::{DbError, checks, uptime};
use crate::profile::Profile;

/// Seconds after which a vault asks again what to look at.
const AGAIN_S: u32 = 60;

/// What a place is to look at from now on.
///
/// # Errors
/// If the database fails.
pub fn orders(
    db: &Connection,
    (site, prober): (&SiteId, Prober),
    now: Timestamp,
) -> Result<VantageOrders, DbError> {
    checks::tell(db, site, now)?;
    if prober == Prober::Vault {
        let through = sights::vantage(db, site)?.map_or(0, |vantage| vantage.through);
        sights::put_vantage(db, &Vantage { site: *site, through, heard: now, clock: None })?;
    }
    let order = |check: lumbung_wire::messages::register::Check| CheckOrder {
        check: check.id,
        probe: check.probe(),
        interval_s: check.interval_s,
        timeout_s: check.timeout_s,
    };
    let checks = checks::live(db)?.into_iter().map(order).collect();
    Ok(VantageOrders { checks, again_s: AGAIN_S })
}

/// What was seen so long ago is no news any more, seconds: 30 days. Vaults keep what they saw for eight.
const OLDEST_S: i64 = 30 * 86_400;
/// Between what a request says the time is and its being written there may lie so much, seconds.
pub(super) const SLACK_S: i64 = 600;

/// What came of what a place told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heard {
    /// Something is otherwise than before: it is to be reckoned now.
    pub news: bool,
}

/// Takes down what a place saw.
///
/// # Errors
/// If the database fails; nothing is kept then.
pub fn observe(
    db: &Connection,
    profile: &Profile,
    (site, prober): (&SiteId, Prober),
    observations: &[Observation],
    now: Timestamp,
) -> Result<Heard, DbError> {
    // What is written after midnight may have come before: a mark too many waits for its day to be over.
    let today = profile.day(now.plus_seconds(SLACK_S));
    let mut heard = Heard::default();
    for one in observations {
        // Nobody keeps what it saw for so long: a clock that was never set, or somebody who rewrites the past.
        if now.seconds_since(one.at) > OLDEST_S {
            continue;
        }
        // What a clock says that is far ahead is of now: else what is true now were not seen until then.
        let ahead_s = one.at.seconds_since(now);
        let at = if ahead_s > CLOCK_TOLERANCE_S { now } else { one.at };
        let told = Observation { at, ..one.clone() };
        let seen = sights::observe(db, (site, prober), &told)?;
        heard.news |= seen == Seen::New;
        let day = profile.day(at);
        if day < today && seen != Seen::Unknown {
            let until = profile.day(at.plus_seconds(reach_s(one.interval_s))).min(today - 1);
            uptime::mark_days(db, (day, until))?;
            heard.news = true;
        }
    }
    Ok(heard)
}
