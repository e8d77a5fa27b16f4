//! Moments and spans as people write and read them: a day is meant to its end, in the zone in which times are shown.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeZone as _, Timelike as _};
use lumbung_model::Timestamp;

use crate::terminal::Terminal;

/// A day, or a moment of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment(NaiveDateTime);

/// Why a text is no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no day and no moment: write 2026-06-30, or \"2026-06-30 08:00\"")]
pub(crate) struct MomentError(String);

impl FromStr for Moment {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let day = text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(23, 59, 59));
        let moment = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").ok();
        day.or_else(moment).map(Self).ok_or_else(|| MomentError(text.to_owned()))
    }
}

impl Moment {
    /// As [`Self::end_in`], but of a day its first second.
    #[must_use]
    pub(crate) fn start_in(self, terminal: &Terminal) -> Timestamp {
        // Only a day ends in a second of its own: moments are whole minutes.
        let is_day = self.0.time().second() == 59;
        let start = if is_day { self.0.date().and_time(NaiveTime::MIN) } else { self.0 };
        Self(start).end_in(terminal)
    }

    /// The moment in the zone of this run; of a day its last second. Where the clock was put back, the later one.
    #[must_use]
    pub(crate) fn end_in(self, terminal: &Terminal) -> Timestamp {
        let utc = match terminal.zone {
            Some(zone) => zone.from_local_datetime(&self.0).latest().map(|at| at.timestamp()),
            None => chrono::Local.from_local_datetime(&self.0).latest().map(|at| at.timestamp()),
        };
        // A moment that the clock left out is taken as it is written, in UTC.
        Timestamp(utc.unwrap_or_else(|| self.0.and_utc().timestamp()))
    }
}

/// A span of time in its two largest units, as in `1 d 13 h`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rough(pub(crate) u64);

impl fmt::Display for Rough {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];
        let largest = UNITS.iter().position(|(_, unit)| self.0 >= *unit).unwrap_or(3);
        let (name, unit) = UNITS[largest];
        let mut text = format!("{} {name}", self.0 / unit);
        if let Some((name, smaller)) = UNITS.get(largest + 1)
            && self.0 % unit >= *smaller
        {
            text += &format!(" {} {name}", self.0 % unit / smaller);
        }
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::Lang;

    #[test]
    fn a_day_is_meant_to_its_end_and_a_moment_as_it_is() {
        let terminal = Terminal {
            json: false,
            quiet: false,
            lang: Lang::Id,
            zone: Some(chrono_tz::Asia::Jakarta),
        };
        let end = |text: &str| text.parse::<Moment>().map(|moment| moment.end_in(&terminal).0);
        assert_eq!(end("2026-06-30"), Ok(1_782_838_799));
        assert_eq!(end("2026-06-30 08:00"), Ok(1_782_781_200));
        for bad in ["", "30-06-2026", "2026-02-30", "2026-06-30 25:00", "yesterday"] {
            assert!(end(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_span_is_shown_in_two_units() {
        for (seconds, shown) in [
            (0, "0 s"),
            (59, "59 s"),
            (3600, "1 h"),
            (133_201, "1 d 13 h"),
            (86_460, "1 d"),
            (5400, "1 h 30 m"),
        ] {
            assert_eq!(Rough(seconds).to_string(), shown);
        }
    }
}
