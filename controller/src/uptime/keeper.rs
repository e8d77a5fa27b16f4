//! The reconciler of uptime: incidents, alarms and the figures of days, from what was seen.
//!
//! Invariants: idempotent, periodic and signalled, taking no argument but the state. An incident goes on while its subject
//! flaps; what late news take back is withdrawn and not deleted. A day's figures are written when it is over, and again
//! when something about it is told late.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::uptime::{Figures, Outage, outages};
use lumbung_model::{Clock, Day, IncidentId, Timestamp};
use lumbung_wire::messages::uptime::IncidentCause;
use rusqlite::{Connection, Transaction};
use tokio::sync::{Notify, watch};

use super::reckon::{Reckoned, Rules, reckon};
use crate::db::incidents::{self, IncidentRow};
use crate::db::{Db, DbError, checks, sights, uptime};
use crate::profile::Profile;

mod findings;

/// The longest pause between two rounds.
const PAUSE: Duration = Duration::from_secs(15);
/// What was well for so long is over, seconds: what begins again sooner is the same incident.
pub(super) const SETTLE_S: i64 = 300;
/// A round looks back at least so far, seconds.
const LOOK_BACK_S: i64 = 3600;
/// The controller's own silence longer than this was one, seconds: four rounds.
const OWN_PATIENCE_S: i64 = 60;
/// A vault that was not heard for so long does not look any more, seconds: a week.
const DISMISS_AFTER_S: i64 = 7 * 86_400;
/// What was seen is kept for so many days: the figures of days stay.
pub(super) const DETAIL_DAYS: i64 = 400;

/// What the reconciler works on.
pub struct Keeper {
    /// Where everything is kept.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The city's zone.
    pub profile: Arc<Profile>,
    /// What figures depend on.
    pub rules: Rules,
    /// Asks for a round now: something was seen to change.
    pub signal: Arc<Notify>,
}

impl Keeper {
    /// Reconciles until told to stop.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.round().await {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "uptime could not be reckoned");
            }
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(PAUSE) => {}
                () = self.signal.notified() => {}
            }
        }
    }

    /// One round.
    ///
    /// # Errors
    /// If the database fails; what was written of the round is whole.
    pub async fn round(self: &Arc<Self>) -> Result<(), DbError> {
        let now = self.clock.now();
        self.db.write_async(move |tx| prepare(tx, now)).await?;
        let own = self.clone();
        let look = move |tx: &Transaction<'_>| {
            let window = (own.look_back(tx, now)?, now.plus_seconds(1));
            Ok::<_, DbError>((window, reckon(tx, own.rules, window)?))
        };
        let (window, reckoned) = self.db.read_async(look).await?;
        let own = self.clone();
        let write = move |tx: &Transaction<'_>| {
            keep_incidents(tx, &reckoned, window, now)?;
            own.raise(tx, &reckoned, now)
        };
        self.db.write_async(write).await?;
        self.days(now).await
    }

    /// From when on the present is reckoned: the incidents that may go on, and what was told late.
    fn look_back(&self, db: &Connection, now: Timestamp) -> Result<Timestamp, DbError> {
        let recent = now.plus_seconds(-LOOK_BACK_S);
        let wanted = incidents::Wanted { from: Some(recent), ..incidents::Wanted::default() };
        let going_on = incidents::list(db, &wanted)?;
        let stale = uptime::stale_days(db)?.first().map(|day| self.start(*day));
        let seen = going_on.iter().filter(|row| !row.entered && !row.withdrawn).map(|row| row.from);
        // What was there before is reckoned with it, so that an outage is seen from its beginning.
        let earliest = seen.chain(stale).chain([recent]).min().unwrap_or(recent);
        Ok(earliest.plus_seconds(-LOOK_BACK_S))
    }

    /// A day's first second.
    fn start(&self, day: i64) -> Timestamp {
        let days = u32::try_from(day.max(0)).unwrap_or(u32::MAX);
        Day::of(Timestamp(0), lumbung_model::schedule::Tz::UTC)
            .plus_days(days)
            .first_second(self.rules.zone)
    }

    /// Writes the figures of days that are over and have none, and of those of which something was told late; forgets what
    /// is older than the detail that is kept.
    async fn days(self: &Arc<Self>, now: Timestamp) -> Result<(), DbError> {
        let today = self.profile.day(now);
        let own = self.clone();
        let due = self.db.read_async(move |tx| own.due_days(tx, today)).await?;
        for day in due {
            let own = self.clone();
            let read = move |tx: &Transaction<'_>| own.day(tx, day);
            let rows = self.db.read_async(read).await?;
            let write = move |tx: &Transaction<'_>| {
                uptime::put_day(tx, day, &rows)?;
                uptime::put_last_day(tx, day)
            };
            self.db.write_async::<_, DbError>(write).await?;
        }
        let before = self.start(today - DETAIL_DAYS);
        self.db.write_async(move |tx| sights::forget(tx, before)).await?;
        Ok(())
    }

    /// Days before today without figures, and those that are stale.
    fn due_days(&self, db: &Connection, today: i64) -> Result<Vec<i64>, DbError> {
        let Some(first) = uptime::first_known(db)? else { return Ok(Vec::new()) };
        let first = self.profile.day(first).max(today - DETAIL_DAYS);
        let next = uptime::last_day(db)?.map_or(first, |last| last + 1);
        let mut due: Vec<i64> = (next..today).collect();
        due.extend(uptime::stale_days(db)?.into_iter().filter(|day| *day < next));
        Ok(due)
    }

    /// What a day comes to.
    fn day(&self, db: &Connection, day: i64) -> Result<Vec<uptime::Day>, DbError> {
        let reckoned = reckon(db, self.rules, (self.start(day), self.start(day + 1)))?;
        let lived = reckoned.subjects.into_iter().filter(|one| !one.line.spans().is_empty());
        Ok(lived
            .map(|one| uptime::Day {
                kind: one.subject.kind,
                subject: one.subject.id,
                pd: one.subject.pd,
                figures: Figures::of(&one.line),
            })
            .collect())
    }
}

/// That the controller listens, and who looks at what.
fn prepare(db: &Connection, now: Timestamp) -> Result<(), DbError> {
    uptime::watch(db, now, OWN_PATIENCE_S)?;
    checks::end_told(db, now)?;
    for vantage in sights::vantages(db)? {
        if now.seconds_since(vantage.heard) > DISMISS_AFTER_S {
            checks::dismiss(db, &vantage.site, now)?;
        }
    }
    Ok(())
}

/// Makes the incidents that were seen in a stretch of time be those that follow from it.
fn keep_incidents(
    db: &Connection,
    reckoned: &Reckoned,
    window: (Timestamp, Timestamp),
    now: Timestamp,
) -> Result<(), DbError> {
    let mut known = incidents::touching(db, false, window)?;
    for one in &reckoned.subjects {
        for outage in outages(&one.seen, SETTLE_S, now) {
            let same =
                |row: &IncidentRow| row.subject == one.subject.id && overlap(row, &outage, now);
            let row = match known.iter().position(same) {
                Some(index) => known.swap_remove(index),
                None => IncidentRow {
                    id: IncidentId::random(),
                    kind: one.subject.kind,
                    subject: one.subject.id,
                    pd: one.subject.pd,
                    from: outage.from,
                    until: None,
                    down_s: 0,
                    flaps: 0,
                    entered: false,
                    withdrawn: false,
                    cause: IncidentCause::Unknown,
                },
            };
            let now_so = IncidentRow {
                from: outage.from,
                until: outage.until,
                down_s: outage.down_s.max(0).unsigned_abs(),
                flaps: outage.flaps,
                ..row.clone()
            };
            // A new one is written whatever it says.
            if now_so != row || row.down_s == 0 {
                incidents::put(db, &now_so)?;
            }
        }
    }
    for row in known.into_iter().filter(|row| row.from >= window.0) {
        let until = row.until.or(Some(row.from));
        incidents::put(db, &IncidentRow { withdrawn: true, until, ..row })?;
    }
    Ok(())
}

/// Whether an incident and an outage share a second, or touch.
fn overlap(row: &IncidentRow, outage: &Outage, now: Timestamp) -> bool {
    row.from <= outage.until.unwrap_or(now) && outage.from <= row.until.unwrap_or(now)
}
