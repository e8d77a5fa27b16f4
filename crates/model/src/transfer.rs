//! Whether a line carries what has to move over it, and how long the first full copy takes.
//!
//! Invariants: pure; a week is integrated minute by minute, exactly, by the wall clock of the caps' own zone (a change of
//! the clocks moves one hour of two days a year, and is left out). Where the line's speed is not known, and some minute has
//! no cap, nothing is claimed.

use std::fmt;

use chrono::Weekday;

use crate::rate::{Rate, RatePlan, TimeOfDay};

const MINUTES_A_DAY: u16 = 24 * 60;
const MINUTES_A_WEEK: u64 = 7 * 24 * 60;
const WEEK: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];
/// No copy is followed longer than this: a hundred years of weeks.
const WEEKS_MAX: u64 = 5218;

/// A line: its speed, the caps on it, and the hours of the day in which it may be used.
#[derive(Debug, Clone)]
pub struct Line {
    link: Option<Rate>,
    caps: RatePlan,
    hours: Option<(TimeOfDay, TimeOfDay)>,
}

/// What a line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carries {
    /// Bytes on the weekday on which it carries least.
    pub day_bytes: u64,
    /// Bytes in a week.
    pub week_bytes: u64,
}

/// What has to move, held against what a line carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// What the line carries.
    pub carries: Carries,
    /// What has to move on each day, in thousandths of what the line carries on its worst day.
    pub use_permille: u64,
    /// Bytes that stay behind on the worst day.
    pub missing_bytes: u64,
    /// How long the first full copy takes, minutes; none if that is longer than a hundred years.
    pub first_copy_minutes: Option<u64>,
}

impl Fit {
    /// Whether each day's bytes move within the day.
    #[must_use]
    pub const fn fits(&self) -> bool {
        self.missing_bytes == 0
    }

    /// Days that the first full copy takes, a begun one counted as whole.
    #[must_use]
    pub fn first_copy_days(&self) -> Option<u64> {
        self.first_copy_minutes.map(|minutes| minutes.div_ceil(u64::from(MINUTES_A_DAY)))
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = self.use_permille.div_ceil(10);
        match self.first_copy_days() {
            Some(days) => write!(f, "{percent} % of the line, first copy in {days} d"),
            None => write!(f, "{percent} % of the line, no end of the first copy"),
        }
    }
}

impl Line {
    /// A line of that speed (none: unknown), under these caps, at all hours.
    #[must_use]
    pub const fn new(link: Option<Rate>, caps: RatePlan) -> Self {
        Self { link, caps, hours: None }
    }

    /// The same line, used only from one time of day to another, past midnight if that is earlier; the same for both is
    /// the whole day.
    #[must_use]
    pub const fn within(mut self, from: TimeOfDay, to: TimeOfDay) -> Self {
        self.hours = Some((from, to));
        self
    }

    /// Bytes in that minute; none where neither speed nor cap is known.
    fn minute_bytes(&self, day: Weekday, minute: u16) -> Option<u64> {
        if self.hours.is_some_and(|(from, to)| !from.until(to).contains(minute)) {
            return Some(0);
        }
        let cap = self.caps.at_minute(day, minute).0;
        let rate = [self.link, cap].into_iter().flatten().min()?;
        Some(rate.as_bytes_per_second().saturating_mul(60))
    }

    fn day_bytes(&self, day: Weekday) -> Option<u64> {
        (0..MINUTES_A_DAY)
            .map(|minute| self.minute_bytes(day, minute))
            .try_fold(0, |sum: u64, bytes| Some(sum.saturating_add(bytes?)))
    }

    /// What the line carries; none where its speed is not known.
    #[must_use]
    pub fn carries(&self) -> Option<Carries> {
        let days: Option<Vec<u64>> = WEEK.iter().map(|day| self.day_bytes(*day)).collect();
        let days = days?;
        let week_bytes = days.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
        Some(Carries { day_bytes: days.into_iter().min().unwrap_or(0), week_bytes })
    }

    /// Holds what has to move against the line: so many bytes a day, and so many at first. The first copy begins on
    /// Monday at 0 h and has the line for itself.
    #[must_use]
    pub fn fit(&self, daily_bytes: u64, first_copy_bytes: u64) -> Option<Fit> {
        let carries = self.carries()?;
        let of_daily = u128::from(daily_bytes) * 1000;
        let permille = of_daily.checked_div(u128::from(carries.day_bytes));
        let idle = if daily_bytes == 0 { 0 } else { u128::from(u64::MAX) };
        Some(Fit {
            carries,
            use_permille: u64::try_from(permille.unwrap_or(idle)).unwrap_or(u64::MAX),
            missing_bytes: daily_bytes.saturating_sub(carries.day_bytes),
            first_copy_minutes: self.minutes_for(first_copy_bytes, carries.week_bytes),
        })
    }

    fn minutes_for(&self, bytes: u64, week_bytes: u64) -> Option<u64> {
        if bytes == 0 {
            return Some(0);
        }
        // The last week is walked through, even if it is a whole one.
        let weeks = (bytes - 1).checked_div(week_bytes).filter(|weeks| *weeks < WEEKS_MAX)?;
        let (mut left, mut minutes) = (bytes - weeks * week_bytes, weeks * MINUTES_A_WEEK);
        for day in WEEK {
            for minute in 0..MINUTES_A_DAY {
                minutes += 1;
                left = left.saturating_sub(self.minute_bytes(day, minute)?);
                if left == 0 {
                    return Some(minutes);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use proptest::prelude::*;

    use super::*;
    use crate::rate::{Cap, Window};

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    fn caps(windows: &[&str], otherwise: Option<&str>) -> RatePlan {
        let windows = windows.iter().map(|text| text.parse::<Window>().unwrap()).collect();
        RatePlan::new(Tz::Asia__Jakarta, windows, Cap(otherwise.map(rate)))
    }

    #[test]
    fn twenty_megabits_for_eight_hours_are_72_gigabytes() {
        let line = Line::new(Some(rate("20 Mbit/s")), RatePlan::unlimited())
            .within("22:00".parse().unwrap(), "06:00".parse().unwrap());
        let carries = line.carries().unwrap();
        assert_eq!(carries, Carries { day_bytes: 72_000_000_000, week_bytes: 504_000_000_000 });
        let fit = line.fit(72_000_000_001, 720_000_000_000).unwrap();
        assert_eq!((fit.missing_bytes, fit.use_permille, fit.fits()), (1, 1000, false));
        assert_eq!(fit.first_copy_days(), Some(10));
        // Ten nights end at 22 h on the tenth day with two of its hours before midnight: the last byte goes at 24 h.
        assert_eq!(fit.first_copy_minutes, Some(10 * 1440));
        assert!(line.fit(72_000_000_000, 0).unwrap().fits());
    }

    #[test]
    fn the_lower_of_speed_and_cap_counts_and_the_worst_day_decides() {
        let windows = ["08:00-16:00 mon-fri 2 Mbit/s", "00:00-24:00 sun 100 Mbit/s"];
        let line = Line::new(Some(rate("10 Mbit/s")), caps(&windows, None));
        let (quick, slow) = (10_000_000 / 8 * 3600, 2_000_000 / 8 * 3600);
        let workday = 16 * quick + 8 * slow;
        let week_bytes = 5 * workday + 2 * 24 * quick;
        assert_eq!(line.carries(), Some(Carries { day_bytes: workday, week_bytes }));
        // A week and a byte: the first minute of the next Monday.
        let fit = line.fit(workday * 2, week_bytes + 1).unwrap();
        assert_eq!((fit.use_permille, fit.missing_bytes), (2000, workday));
        assert_eq!(fit.first_copy_minutes, Some(MINUTES_A_WEEK + 1));
        assert_eq!(fit.to_string(), "200 % of the line, first copy in 8 d");
    }

    #[test]
    fn nothing_is_claimed_of_a_line_that_nobody_measured() {
        let unknown = |windows: &[&str], cap| Line::new(None, caps(windows, cap)).carries();
        assert_eq!(unknown(&[], None), None);
        assert_eq!(unknown(&["08:00-16:00 1 Mbit/s"], None), None);
        assert_eq!(unknown(&["08:00-16:00 unlimited"], Some("1 Mbit/s")), None);
        assert!(unknown(&["08:00-16:00 1 Mbit/s"], Some("2 Mbit/s")).is_some());
    }

    #[test]
    fn a_line_that_is_never_used_never_ends() {
        let midnight: TimeOfDay = "00:00".parse().unwrap();
        let all_day = Line::new(Some(rate("1 MB/s")), RatePlan::unlimited());
        assert_eq!(
            all_day.clone().within(midnight, midnight).carries(),
            all_day.carries(),
            "the same for both is the whole day"
        );
        let slow = Line::new(Some(rate("8 bit/s")), RatePlan::unlimited());
        let fit = slow.fit(u64::MAX, u64::MAX).unwrap();
        assert_eq!((fit.first_copy_minutes, fit.first_copy_days()), (None, None));
        assert!(fit.use_permille > 1000 && !fit.fits());
    }

    proptest! {
        #[test]
        fn copies_end_when_the_bytes_are_through(bytes in 1..10_000_000_000_u64, kbit in 64..20_000_u32, from in 0..23_u32) {
            let window = format!("{from:02}:00-{:02}:30 mon-thu {kbit} kbit/s", from / 2);
            let line = Line::new(Some(rate("2 Mbit/s")), caps(&[&window], Some("1 Mbit/s")));
            let minutes = line.fit(0, bytes).unwrap().first_copy_minutes.unwrap();
            let walked = |minutes: u64| -> u64 {
                (0..minutes)
                    .map(|at| {
                        let day = WEEK[usize::try_from(at / 1440 % 7).unwrap()];
                        line.minute_bytes(day, u16::try_from(at % 1440).unwrap()).unwrap()
                    })
                    .sum()
            };
            prop_assert!(walked(minutes) >= bytes && walked(minutes - 1) < bytes);
        }
    }
}
