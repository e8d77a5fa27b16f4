//! The reconciler of uptime: incidents, alarms and the figures of days, from what was seen.
//!
//! Invariants: idempotent, periodic and signalled, taking no argument but the state. An incident goes on while its subject
//! flaps; what late news take back is withdrawn and not deleted. A day's figures are written when it is over, and again
//! when something about it is told late.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::uptime::{Figures, Judged, Outage, outages};
use lumbung_model::{Clock, Day, IncidentId, Timestamp};
use lumbung_wire::messages::uptime::IncidentCause;
use rusqlite::{Connection, Transaction};
use tokio::sync::{Notify, watch};

use super::prober::OwnPlace;
use super::reckon::{Reckoned, Rules, reckon};
use super::vantage::SLACK_S;
use crate::db::incidents::{self, IncidentRow};
use crate::db::sights::Newest;
use crate::db::{Db, DbError, checks, sights, uptime};
use crate::profile::Profile;

mod findings;

use findings::Names;

/// The longest pause between two rounds.
const PAUSE: Duration = Duration::from_secs(15);
/// After news a round waits so long for more of them.
const TOGETHER: Duration = Duration::from_secs(1);
/// What was well for so long is over, seconds: what begins again sooner is the same incident.
pub(super) const SETTLE_S: i64 = 300;
/// A round looks back at least so far, seconds.
const LOOK_BACK_S: i64 = 3600;
/// Incidents that began so lately are reckoned from their beginning in every round, seconds: 26 hours.
const RECENT_S: i64 = 26 * 3600;
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
    /// Where the controller itself looks from.
    pub own: OwnPlace,
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
            let news = tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(PAUSE) => false,
                () = self.signal.notified() => true,
            };
            if news {
                // What comes together is reckoned together.
                tokio::time::sleep(TOGETHER).await;
            }
        }
    }

    /// One round.
    ///
    /// # Errors
    /// If the database fails; what was written of the round is whole.
    pub async fn round(self: &Arc<Self>) -> Result<(), DbError> {
        let now = self.clock.now();
        let own = self.clone();
        self.db.write_async(move |tx| own.prepare(tx, now)).await?;
        let own = self.clone();
        let look = self.db.read_async(move |tx| own.look(tx, now)).await?;
        let stale = look.stale.clone();
        let write = move |tx: &Transaction<'_>| {
            keep_incidents(tx, &look, now)?;
            findings::raise(tx, &look, now)
        };
        self.db.write_async(write).await?;
        self.days(now, stale).await
    }

    /// That the controller listens, who looks at what, and which days something was told of late.
    fn prepare(&self, db: &Connection, now: Timestamp) -> Result<(), DbError> {
        uptime::watch(db, now, OWN_PATIENCE_S)?;
        checks::end_told(db, now)?;
        let own = self.own.site(db)?;
        let vantages = sights::vantages(db)?;
        for site in checks::looking(db)? {
            let heard = vantages.iter().find(|one| one.site == site).map(|one| one.heard);
            let silent = heard.is_none_or(|heard| now.seconds_since(heard) > DISMISS_AFTER_S);
            if silent && own != Some(site) {
                checks::dismiss(db, &site, now)?;
            }
        }
        let today = self.profile.day(now);
        for (from, until) in uptime::take_late_silences(db)? {
            let last = self.profile.day(until).min(self.profile.day(now.plus_seconds(SLACK_S))) - 1;
            uptime::mark_days(db, (self.profile.day(from).max(today - DETAIL_DAYS), last))?;
        }
        uptime::unmark_before(db, today - DETAIL_DAYS + 1)?;
        if uptime::last_day(db)?.is_some_and(|last| last >= today) {
            uptime::forget_from(db, today)?;
        }
        Ok(())
    }

    /// Reckons the present: as far back as something may have changed.
    fn look(&self, db: &Connection, now: Timestamp) -> Result<Look, DbError> {
        let stale = uptime::stale_days(db)?;
        let recent = now.plus_seconds(-LOOK_BACK_S);
        let first_stale = stale.first().map_or(recent, |(day, _)| self.start(*day));
        let mut from = self.before_those_at(db, recent.min(first_stale), now, |row| {
            now.seconds_since(row.from) < RECENT_S
        })?;
        let until = now.plus_seconds(1);
        let mut reckoned = reckon(db, self.rules, (from, until))?;
        // What began long ago is reckoned from its beginning once it ends, or once something is told late.
        let goes_on = |row: &IncidentRow| {
            row.until.is_none()
                && reckoned.subjects.iter().any(|one| {
                    one.subject.id == row.subject && one.seen.at(now) == Some(Judged::Down)
                })
        };
        let known = incidents::touching(db, false, (from, until))?;
        let cut: Vec<_> = known.iter().filter(|row| row.from < from && !goes_on(row)).collect();
        let ended = cut.iter().any(|row| row.until.is_none());
        if ended || !(stale.is_empty() || cut.is_empty()) {
            from = self.before_those_at(db, from, now, |row| !goes_on(row))?;
            reckoned = reckon(db, self.rules, (from, until))?;
        }
        let (names, newest) = (Names::read(db)?, sights::newest(db)?);
        Ok(Look { window: (from, until), reckoned, stale, names, newest })
    }

    /// A time before `from` and before the incidents that touch it and are `meant`, with a stretch in front of them: an
    /// outage is seen from its beginning.
    fn before_those_at(
        &self,
        db: &Connection,
        from: Timestamp,
        now: Timestamp,
        meant: impl Fn(&IncidentRow) -> bool,
    ) -> Result<Timestamp, DbError> {
        let oldest = self.start(self.profile.day(now) - DETAIL_DAYS + 1);
        let mut from = from.plus_seconds(-LOOK_BACK_S);
        loop {
            let touching = incidents::touching(db, false, (from, now))?;
            let earliest = touching.iter().filter(|row| meant(row)).map(|row| row.from).min();
            let Some(earlier) = earliest.filter(|earliest| *earliest < from) else {
                return Ok(from);
            };
            if earlier <= oldest {
                return Ok(oldest);
            }
            from = earlier.plus_seconds(-LOOK_BACK_S);
        }
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
    async fn days(self: &Arc<Self>, now: Timestamp, stale: Vec<(i64, i64)>) -> Result<(), DbError> {
        let today = self.profile.day(now);
        let own = self.clone();
        let due = self.db.read_async(move |tx| own.due_days(tx, today, &stale)).await?;
        for (day, marks) in due {
            let own = self.clone();
            let read = move |tx: &Transaction<'_>| own.day(tx, day);
            let rows = self.db.read_async(read).await?;
            let now = self.clock.now();
            let write = move |tx: &Transaction<'_>| {
                // A long catching up is no silence of the controller's.
                uptime::watch(tx, now, OWN_PATIENCE_S)?;
                uptime::put_day(tx, (day, marks), &rows)?;
                uptime::put_last_day(tx, day)
            };
            self.db.write_async::<_, DbError>(write).await?;
        }
        let before = self.start(today - DETAIL_DAYS);
        self.db.write_async(move |tx| sights::forget(tx, before)).await?;
        Ok(())
    }

    /// Days before today without figures, and those that are stale, each with how often it was marked when the round looked:
    /// what was told since marks it again.
    fn due_days(
        &self,
        db: &Connection,
        today: i64,
        stale: &[(i64, i64)],
    ) -> Result<Vec<(i64, i64)>, DbError> {
        let Some(first) = uptime::first_known(db)? else { return Ok(Vec::new()) };
        let first = self.profile.day(first).max(today - DETAIL_DAYS + 1);
        let next = uptime::last_day(db)?.map_or(first, |last| last + 1);
        let marks =
            |day| stale.iter().find(|(known, _)| *known == day).map_or(0, |(_, marks)| *marks);
        let mut due: Vec<(i64, i64)> = (next..today).map(|day| (day, marks(day))).collect();
        due.extend(stale.iter().filter(|(day, _)| *day < next.min(today)));
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

/// What a round rests on.
struct Look {
    /// The stretch that was reckoned.
    window: (Timestamp, Timestamp),
    reckoned: Reckoned,
    /// Days that are stale, and how often each was marked then.
    stale: Vec<(i64, i64)>,
    /// What alarms call things.
    names: Names,
    /// What each place saw last.
    newest: Vec<Newest>,
}

/// Makes the incidents that were seen in a stretch of time be those that follow from it.
fn keep_incidents(db: &Connection, look: &Look, now: Timestamp) -> Result<(), DbError> {
    let mut known = incidents::touching(db, false, look.window)?;
    for one in &look.reckoned.subjects {
        for outage in outages(&one.seen, SETTLE_S, now) {
            let same =
                |row: &IncidentRow| row.subject == one.subject.id && overlap(row, &outage, now);
            let row = match known.iter().position(same) {
                Some(index) => {
                    let row = known.swap_remove(index);
                    // Its beginning was not looked at: it stays as it is.
                    if row.from < look.window.0 {
                        continue;
                    }
                    row
                }
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
    for row in known.into_iter().filter(|row| row.from >= look.window.0) {
        let until = row.until.or(Some(row.from));
        incidents::put(db, &IncidentRow { withdrawn: true, until, ..row })?;
    }
    Ok(())
}

/// Whether an incident and an outage share a second, or touch.
fn overlap(row: &IncidentRow, outage: &Outage, now: Timestamp) -> bool {
    row.from <= outage.until.unwrap_or(now) && outage.from <= row.until.unwrap_or(now)
}
