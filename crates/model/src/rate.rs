//! Rate caps by time of day, and the bucket that enforces one.
//!
//! Invariants: pure; times are arguments. Of the windows that contain a moment, the first counts.
//! The bucket never lets more through than its burst plus rate × time, whatever the calls are.

mod bucket;

pub use bucket::TokenBucket;

use std::fmt;
use std::str::FromStr;

use chrono::{Datelike, TimeZone, Timelike};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Timestamp;
use crate::schedule::Weekdays;

/// Bytes in a second; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

/// Why a text is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a rate: write a whole number above 0 and kbit/s, Mbit/s, Gbit/s, kB/s, MB/s, KiB/s or MiB/s, \
     as in \"20 Mbit/s\", or \"unlimited\""
)]
pub struct RateError(String);

/// Units, in bits a second.
const UNITS: [(&str, u64); 9] = [
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("kB/s", 8_000),
    ("MB/s", 8_000_000),
    ("GB/s", 8_000_000_000),
    ("KiB/s", 8 << 10),
    ("MiB/s", 8 << 20),
];

impl Rate {
    /// That many bytes a second, none for 0.
    #[must_use]
    pub const fn bytes_per_second(bytes: u64) -> Option<Self> {
        if bytes == 0 { None } else { Some(Self(bytes)) }
    }

    /// How many bytes a second.
    #[must_use]
    pub const fn as_bytes_per_second(self) -> u64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError(text.to_owned());
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| error())?;
        let unit = text[digits..].trim_start();
        let (_, bits) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        number
            .checked_mul(*bits)
            .and_then(|bits| Self::bytes_per_second(bits / 8))
            .ok_or_else(error)
    }
}

impl fmt::Display for Rate {
    /// In bits a second, as lines are sold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.0.saturating_mul(8);
        let units =
            [(1_000_000_000, "Gbit/s"), (1_000_000, "Mbit/s"), (1_000, "kbit/s"), (1, "bit/s")];
        let exact =
            units.iter().find(|(unit, _)| bits.is_multiple_of(*unit)).unwrap_or(&(1, "bit/s"));
        f.pad(&format!("{} {}", bits / exact.0, exact.1))
    }
}

/// A rate cap as files have it: a [`Rate`], or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cap(pub Option<Rate>);

impl<'de> Deserialize<'de> for Cap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "unlimited" {
            return Ok(Self(None));
        }
        text.parse().map(|rate| Self(Some(rate))).map_err(serde::de::Error::custom)
    }
}

impl Serialize for Cap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_str("unlimited"),
            Some(rate) => serializer.collect_str(&rate),
        }
    }
}

/// What a background job may do: nothing at all, or read up to a cap. In files `off`, or what a [`Cap`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speed {
    /// Nothing.
    Off,
    /// Up to this.
    On(Cap),
}

impl<'de> Deserialize<'de> for Speed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "off" => Ok(Self::Off),
            "unlimited" => Ok(Self::On(Cap(None))),
            text => text
                .parse()
                .map(|rate| Self::On(Cap(Some(rate))))
                .map_err(|error| serde::de::Error::custom(format!("{error}, or \"off\""))),
        }
    }
}

/// A time of day to the minute, `00:00` to `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Minutes since midnight.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

/// Why a text is not a time of day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time of day: write hours and minutes from \"00:00\" to \"24:00\", as in \"07:30\""
)]
pub struct TimeOfDayError(String);

impl FromStr for TimeOfDay {
    type Err = TimeOfDayError;

    fn from_str(text: &str) -> Result<Self, TimeOfDayError> {
        let error = || TimeOfDayError(text.to_owned());
        let (hours, minutes) = text.split_once(':').ok_or_else(error)?;
        let digits = |t: &str| t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit());
        if !digits(hours) || !digits(minutes) {
            return Err(error());
        }
        let number = |t: &str| t.parse::<u16>().map_err(|_| error());
        let (hours, minutes) = (number(hours)?, number(minutes)?);
        let all = hours * 60 + minutes;
        if minutes > 59 || all > 24 * 60 { Err(error()) } else { Ok(Self(all)) }
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl TimeOfDay {
    /// The minutes from this time to another one.
    pub(crate) const fn until(self, to: Self) -> Minutes {
        Minutes { from: self.0, to: to.0 }
    }
}

/// Minutes of a day, past midnight if the end is not later than the beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Minutes {
    from: u16,
    to: u16,
}

impl Minutes {
    pub(crate) fn contains(self, minute: u16) -> bool {
        let Self { from, to } = self;
        if from < to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One `[[window]]`: from a time of day to another, past midnight if that is earlier.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window<R = Cap> {
    /// Its first minute.
    pub from: TimeOfDay,
    /// The minute at which it has ended; the same as `from` for the whole day.
    pub to: TimeOfDay,
    /// Days on which it begins, such as `mon-fri`; every day if absent.
    pub days: Option<Weekdays>,
    /// What applies while it lasts.
    pub rate: R,
}

/// Why a text is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a window: {reason}; write times of day, days if not every day, and a rate, as in \
     \"07:30-16:00 mon-fri 5 Mbit/s\""
)]
pub struct WindowError {
    /// The text.
    text: String,
    /// What is wrong with it.
    reason: String,
}

impl FromStr for Window {
    type Err = WindowError;

    /// A window in one line: `07:30-16:00 mon-fri 5 Mbit/s`.
    fn from_str(text: &str) -> Result<Self, WindowError> {
        let error = |reason: String| WindowError { text: text.to_owned(), reason };
        let (times, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let (from, to) =
            times.split_once('-').ok_or_else(|| error(format!("{times:?} is not two times")))?;
        let time = |text: &str| text.parse::<TimeOfDay>().map_err(|e| error(e.to_string()));
        let rest = rest.trim();
        let begins_rate =
            |text: &str| text == "unlimited" || text.starts_with(|c: char| c.is_ascii_digit());
        // Days may be numbers as well, but no rate has its unit after a comma or a hyphen.
        let (days, rate) = match rest.split_once(' ') {
            Some((days, rate)) if begins_rate(rate.trim()) => (Some(days), rate.trim()),
            _ => (None, rest),
        };
        let days = days.map(str::parse).transpose();
        let days = days.map_err(|e: crate::schedule::ScheduleError| error(e.to_string()))?;
        let rate = if rate == "unlimited" {
            Cap(None)
        } else {
            Cap(Some(rate.parse().map_err(|e: RateError| error(e.to_string()))?))
        };
        Ok(Self { from: time(from)?, to: time(to)?, days, rate })
    }
}

impl<R> Window<R> {
    fn contains(&self, day: chrono::Weekday, minute: u16) -> bool {
        let begins = |day| self.days.unwrap_or(Weekdays::ALL).contains(day);
        let (from, to) = (self.from.0, self.to.0);
        if from < to {
            return begins(day) && (from..to).contains(&minute);
        }
        (begins(day) && minute >= from) || (begins(day.pred()) && minute < to)
    }
}

/// What applies when: windows by time of day, and the rest of the time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable<R> {
    zone: Tz,
    windows: Vec<Window<R>>,
    otherwise: R,
}

/// The rate caps of one daemon.
pub type RatePlan = Timetable<Cap>;

impl<R> Timetable<R> {
    /// The windows in `zone`, the first that contains a moment counts; `otherwise` outside them.
    #[must_use]
    pub const fn new(zone: Tz, windows: Vec<Window<R>>, otherwise: R) -> Self {
        Self { zone, windows, otherwise }
    }

    /// The same at all times.
    #[must_use]
    pub const fn always(what: R) -> Self {
        Self { zone: Tz::UTC, windows: Vec::new(), otherwise: what }
    }

    /// What applies at `now`.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> &R {
        let local = self.zone.from_utc_datetime(&now.to_utc().naive_utc());
        let minute = u16::try_from(local.hour() * 60 + local.minute()).unwrap_or(0);
        self.at_minute(local.weekday(), minute)
    }

    /// What applies in a minute of a weekday, by the wall clock of its zone.
    #[must_use]
    pub fn at_minute(&self, day: chrono::Weekday, minute: u16) -> &R {
        let window = self.windows.iter().find(|window| window.contains(day, minute));
        window.map_or(&self.otherwise, |window| &window.rate)
    }
}

impl RatePlan {
    /// No cap at any time.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self::always(Cap(None))
    }

    /// The cap at `now`; none is unlimited.
    #[must_use]
    pub fn rate_at(&self, now: Timestamp) -> Option<Rate> {
        self.at(now).0
    }

    /// The lowest cap that it has at any time; none if it has none.
    #[must_use]
    pub fn lowest(&self) -> Option<Rate> {
        let windows = self.windows.iter().map(|window| window.rate.0);
        windows.chain([self.otherwise.0]).flatten().min()
    }

    /// Whether no moment has a cap, so that nobody need ask.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.otherwise.0.is_none() && self.windows.iter().all(|window| window.rate.0.is_none())
    }
}

/// Several plans at once: of their caps the lowest applies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RateCaps(Vec<RatePlan>);

impl From<RatePlan> for RateCaps {
    fn from(plan: RatePlan) -> Self {
        Self(vec![plan])
    }
}

impl RateCaps {
    /// One plan more.
    #[must_use]
    pub fn and(mut self, plan: RatePlan) -> Self {
        self.0.push(plan);
        self
    }

    /// The lowest cap at `now`; none is unlimited.
    #[must_use]
    pub fn rate_at(&self, now: Timestamp) -> Option<Rate> {
        self.0.iter().filter_map(|plan| plan.rate_at(now)).min()
    }

    /// Whether no moment has a cap.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.0.iter().all(RatePlan::is_unlimited)
    }
}

#[cfg(test)]
mod tests;
