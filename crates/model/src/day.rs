//! A day of the calendar, `2026-08-31`: what people write deadlines as.
//!
//! Invariants: one spelling, within the years 1970 to 9999; which seconds a day has depends on a time zone and is asked
//! for with one, so that a deadline ends at the city's midnight and not at Greenwich's.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, TimeZone as _};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(NaiveDate);

/// Why a text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day: write year, month and day, as in 2026-08-31")]
pub struct DayError(String);

impl Day {
    /// The first day of a month, counted from January of the year 0; the nearest one there is, if that is no year of
    /// ours.
    #[must_use]
    pub fn first_of_month(months: i64) -> Self {
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12));
        let year = i32::try_from(year.clamp(1970, 9999)).unwrap_or(9999);
        let month = u32::try_from(month).map_or(1, |month| month + 1);
        Self(NaiveDate::from_ymd_opt(year, month, 1).unwrap_or_default())
    }

    /// The day on which a time falls in a zone.
    #[must_use]
    pub fn of(at: Timestamp, zone: Tz) -> Self {
        Self(at.to_utc().with_timezone(&zone).date_naive())
    }

    /// Its month, counted from January of the year 0.
    #[must_use]
    pub fn month(self) -> i64 {
        i64::from(self.0.year()) * 12 + i64::from(self.0.month0())
    }

    /// Its year.
    #[must_use]
    pub fn year(self) -> i32 {
        self.0.year()
    }

    /// That many months later: the same day of the month, or the last one that the month has.
    #[must_use]
    pub fn plus_months(self, months: u32) -> Self {
        Self(self.0.checked_add_months(Months::new(months)).unwrap_or(self.0))
    }

    /// That many days later.
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        Self(self.0.checked_add_days(Days::new(days.into())).unwrap_or(self.0))
    }

    /// That many days earlier.
    #[must_use]
    pub fn minus_days(self, days: u32) -> Self {
        Self(self.0.checked_sub_days(Days::new(days.into())).unwrap_or(self.0))
    }

    /// The day before.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.pred_opt().unwrap_or(self.0))
    }

    /// How many days from `earlier` to this one; negative if `earlier` is later.
    #[must_use]
    pub fn days_since(self, earlier: Self) -> i64 {
        self.0.signed_duration_since(earlier.0).num_days()
    }

    /// Its first second in a zone: midnight, or what follows it where the clocks skip midnight.
    #[must_use]
    pub fn first_second(self, zone: Tz) -> Timestamp {
        let quarters = (0..24).flat_map(|hour| [0, 15, 30, 45].map(|minute| (hour, minute, 0)));
        let times = quarters.filter_map(|(h, m, s)| self.0.and_hms_opt(h, m, s));
        let mut found = times.filter_map(|time| zone.from_local_datetime(&time).earliest());
        found.next().map_or_else(Timestamp::default, |at: DateTime<Tz>| Timestamp(at.timestamp()))
    }

    /// Its last second in a zone.
    #[must_use]
    pub fn last_second(self, zone: Tz) -> Timestamp {
        self.plus_days(1).first_second(zone).plus_seconds(-1)
    }
}

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let error = || DayError(text.chars().take(32).collect());
        let shape = |(index, byte): (usize, u8)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        if text.len() != 10 || !text.bytes().enumerate().all(shape) {
            return Err(error());
        }
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| error())?;
        if (1970..=9999).contains(&day.year()) { Ok(Self(day)) } else { Err(error()) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m-%d"))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Day {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        crate::openapi::day("A day of the calendar, in the city's time zone.").into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Day {
    fn name() -> std::borrow::Cow<'static, str> {
        "Day".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Asia::{Jakarta, Jayapura};

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn a_day_has_one_spelling() {
        assert_eq!(day("2026-08-31").to_string(), "2026-08-31");
        for bad in
            ["2026-8-31", "2026-02-29", "31-08-2026", "2026-08-31 ", "1969-12-31", "+026-01-01", ""]
        {
            assert!(bad.parse::<Day>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_day_begins_and_ends_at_the_zones_midnight() {
        let new_year = day("2027-01-01");
        // 2026-12-31T17:00:00Z is midnight in Jakarta.
        let midnight = Timestamp(1_798_736_400);
        assert_eq!(midnight.to_string(), "2026-12-31T17:00:00Z");
        assert_eq!(new_year.first_second(Jakarta), midnight);
        assert_eq!(day("2026-12-31").last_second(Jakarta), midnight.plus_seconds(-1));
        assert_eq!(Day::of(midnight, Jakarta), new_year);
        assert_eq!(Day::of(midnight.plus_seconds(-1), Jakarta), day("2026-12-31"));
        // Two hours east it is the new year already.
        assert_eq!(Day::of(midnight.plus_seconds(-1), Jayapura), new_year);
    }

    #[test]
    fn midnight_may_be_skipped() {
        // In Beirut the clocks go from 0 h to 1 h; in the zone's first second it is 1 h.
        let zone = chrono_tz::Asia::Beirut;
        let skipped = day("2026-03-29").first_second(zone);
        assert_eq!(Day::of(skipped, zone), day("2026-03-29"));
        assert_eq!(Day::of(skipped.plus_seconds(-1), zone), day("2026-03-28"));
    }

    #[test]
    fn months_end_where_they_end() {
        assert_eq!(day("2027-12-31").plus_months(2), day("2028-02-29"));
        assert_eq!(day("2026-12-31").plus_months(2), day("2027-02-28"));
        assert_eq!(Day::first_of_month(day("2026-07-19").month()), day("2026-07-01"));
        assert_eq!(day("2028-03-01").previous(), day("2028-02-29"));
        assert_eq!(day("2028-03-01").minus_days(30), day("2028-01-31"));
        assert_eq!(day("2028-03-01").days_since(day("2028-02-01")), 29);
    }
}
