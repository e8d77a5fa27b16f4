//! When a job is due: crontab(5) expressions in a time zone, jitter, catch-up and back-off.
//!
//! Invariants: everything is a function of its arguments, `now` among them; jitter and back-off are
//! deterministic, so that a daemon that restarts comes to the same times; a schedule that was
//! accepted is due at least once in the years that the calendar of the `cron` crate covers.
//!
//! Daylight saving time follows cron(8) as Debian documents it. A job for particular times (neither
//! its minute nor its hour begins with `*`) whose time is skipped runs at the first moment after the
//! gap, and a time that occurs twice counts once, the first time. Any other job follows the wall
//! clock: nothing in the gap, twice in the repeated hour.

mod expression;
mod period;
mod timing;
mod zone;

pub use chrono_tz::Tz;
pub use expression::{Expression, ScheduleError, Weekdays};
pub use period::{Period, PeriodError};
pub(crate) use timing::mix;
pub use timing::{Backoff, Due, Trigger, jitter, seed};
pub use zone::{ZoneError, parse_zone};

use std::fmt;

use chrono::{DateTime, Duration, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::GapInfo;

use crate::Timestamp;

/// More than any change of the clocks: Samoa skipped a whole day in 2011.
const LONGEST_SHIFT_HOURS: i64 = 26;

/// An expression in a zone: a set of points in time.
#[derive(Debug, Clone)]
pub struct Schedule {
    expression: Expression,
    zone: Tz,
}

impl Schedule {
    /// The expression, read in `zone`.
    #[must_use]
    pub const fn new(expression: Expression, zone: Tz) -> Self {
        Self { expression, zone }
    }

    /// The zone whose wall clock counts.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// The first time it is due after `now` (never `now` itself); none after the year 2099, nor for a time that has no
    /// date in chrono's calendar.
    #[must_use]
    pub fn next_after(&self, now: Timestamp) -> Option<Timestamp> {
        let now_utc = DateTime::from_timestamp(now.0, 0)?;
        let shift = Duration::hours(LONGEST_SHIFT_HOURS);
        let offset = self.offset(now_utc);
        let around = [now_utc.checked_sub_signed(shift)?, now_utc.checked_add_signed(shift)?];
        let quiet = around.iter().all(|t| self.offset(*t) == offset);
        let local = now_utc.naive_utc() + offset;
        // Near a change of the clocks an earlier wall time may still lie ahead.
        let mut wall = if quiet { local } else { local - shift };
        let mut best: Option<DateTime<Utc>> = None;
        while let Some(next) = self.expression.next_wall_time(wall) {
            wall = next;
            let (first, second) = self.instants(next);
            if let (Some(best), Some(first)) = (best, first)
                && first >= best
            {
                break;
            }
            let ahead = [first, second].into_iter().flatten().filter(|t| *t > now_utc).min();
            best = [best, ahead].into_iter().flatten().min();
            if quiet && best.is_some() {
                break;
            }
        }
        best.map(|t| Timestamp(t.timestamp()))
    }

    fn offset(&self, at: DateTime<Utc>) -> Duration {
        let offset = self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        Duration::seconds(i64::from(offset.local_minus_utc()))
    }

    /// The moments at which a wall time counts: none, one, or two in a repeated hour.
    fn instants(&self, wall: NaiveDateTime) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let by_wall_clock = self.expression.follows_wall_clock();
        match self.zone.from_local_datetime(&wall) {
            chrono::LocalResult::Single(t) => (Some(t.to_utc()), None),
            chrono::LocalResult::Ambiguous(first, second) => {
                (Some(first.to_utc()), by_wall_clock.then(|| second.to_utc()))
            }
            chrono::LocalResult::None if by_wall_clock => (None, None),
            chrono::LocalResult::None => {
                let gap = GapInfo::new(&wall, &self.zone);
                (gap.and_then(|gap| gap.end).map(|end| end.to_utc()), None)
            }
        }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.expression, self.zone.name())
    }
}

#[cfg(test)]
mod tests;
