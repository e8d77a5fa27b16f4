//! Five fields as crontab(5) has them, translated for the `cron` crate, which does the calendar.
//!
//! Invariants: the text is parsed here and only explicit numbers reach the `cron` crate, whose own
//! syntax (seconds, years, Sunday = 1, no "or" of the two day fields) differs. If both day fields are
//! restricted (do not begin with `*`), a day counts when either matches; otherwise both must.

use std::fmt;
use std::str::FromStr;

use chrono::{NaiveDateTime, TimeZone, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not a schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields.
    #[error(
        "{text:?} has {found} fields, a schedule has five: minute, hour, day of month, month, day of week; \
         \"30 2 * * *\" is half past two every night"
    )]
    Fields {
        /// The expression.
        text: String,
        /// How many it has.
        found: usize,
    },
    /// One field is wrong.
    #[error(
        "{field} {text:?}: {reason}; allowed are {allowed}, lists (1,3), ranges (1-5) and steps (*/2, 1-5/2)"
    )]
    Field {
        /// Which of the five.
        field: &'static str,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        reason: String,
        /// What may stand there.
        allowed: &'static str,
    },
    /// A word with `@` that is not known.
    #[error("{0:?} is not known: write @hourly, @daily, @weekly, @monthly, @yearly or five fields")]
    Nickname(String),
    /// Such a day does not exist.
    #[error("{0:?} never happens: no such day exists in that month")]
    Never(String),
}

#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    low: u8,
    high: u8,
    /// Names of the values from `first_name` on.
    names: &'static [&'static str],
    first_name: u8,
    allowed: &'static str,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const fn plain(name: &'static str, low: u8, high: u8, allowed: &'static str) -> Field {
    Field { name, low, high, names: &[], first_name: 0, allowed }
}

const MINUTE: Field = plain("minute", 0, 59, "0-59, *");
const HOUR: Field = plain("hour", 0, 23, "0-23, *");
const DAY_OF_MONTH: Field = plain("day of month", 1, 31, "1-31, *");
const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: &MONTHS,
    first_name: 1,
    allowed: "1-12, jan to dec, *",
};
const DAY_OF_WEEK: Field = Field {
    name: "day of week",
    low: 0,
    high: 7,
    names: &DAYS,
    first_name: 0,
    allowed: "0-7 (0 and 7 are Sunday), sun to sat, *",
};

/// The values of one field: bit n is value n.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Values {
    bits: u64,
    /// The field begins with `*`.
    star: bool,
}

impl Field {
    fn parse(&self, text: &str) -> Result<Values, ScheduleError> {
        let wrong = |reason: String| ScheduleError::Field {
            field: self.name,
            text: text.to_owned(),
            reason,
            allowed: self.allowed,
        };
        let mut bits = 0;
        for item in text.split(',') {
            bits |= self.item(item).map_err(wrong)?;
        }
        if self.high == 7 && bits & (1 << 7) != 0 {
            bits = (bits & !(1 << 7)) | 1;
        }
        Ok(Values { bits, star: text.starts_with('*') })
    }

    fn item(&self, item: &str) -> Result<u64, String> {
        let (range, step) =
            match item.split_once('/') {
                None => (item, None),
                Some((range, step)) => (
                    range,
                    Some(number(step).filter(|n| *n > 0).ok_or_else(|| {
                        format!("the step {step:?} is not a number from 1 to 99")
                    })?),
                ),
            };
        let (from, to) = if range == "*" {
            (self.low, self.high)
        } else if let Some((from, to)) = range.split_once('-') {
            (self.value(from)?, self.value(to)?)
        } else {
            let value = self.value(range)?;
            if step.is_some() {
                return Err(format!(
                    "a step follows * or a range; write {range}-{}/…",
                    self.last()
                ));
            }
            (value, value)
        };
        if from > to {
            let hint =
                if self.high == 7 && to == 0 { " (as the end of a range Sunday is 7)" } else { "" };
            return Err(format!("the range {range} runs backwards{hint}"));
        }
        Ok((from..=to).step_by(usize::from(step.unwrap_or(1))).fold(0, |bits, n| bits | 1 << n))
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        if let Some(n) = number(text) {
            let fits = (self.low..=self.high).contains(&n);
            return if fits { Ok(n) } else { Err(format!("{n} is out of range")) };
        }
        let named =
            (self.first_name..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        match named {
            Some((n, _)) => Ok(n),
            None if text.is_empty() => Err("a number is missing".to_owned()),
            None => Err(format!("{text:?} is not known here")),
        }
    }

    fn last(&self) -> u8 {
        if self.high == 7 { 6 } else { self.high }
    }

    fn everything(&self) -> u64 {
        (self.low..=self.last()).fold(0, |bits, n| bits | 1 << n)
    }

    /// As the `cron` crate reads it, whose days of the week count from Sunday = 1.
    fn render(&self, bits: u64) -> String {
        if bits == self.everything() {
            return "*".to_owned();
        }
        let shift = u8::from(self.high == 7);
        let numbers = (0..64).filter(|n| bits >> n & 1 == 1).map(|n: u8| (n + shift).to_string());
        numbers.collect::<Vec<_>>().join(",")
    }
}

/// One or two digits.
fn number(text: &str) -> Option<u8> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A parsed crontab(5) expression, without a zone.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    /// Two of them where the day of month *or* the day of week counts.
    calendars: Vec<cron::Schedule>,
    follows_wall_clock: bool,
}

impl Expression {
    /// Whether it repeats through the day (its minute or hour begins with `*`), and so follows the
    /// wall clock through a change of daylight saving time.
    #[must_use]
    pub const fn follows_wall_clock(&self) -> bool {
        self.follows_wall_clock
    }

    /// The first matching wall time after `wall`.
    pub(super) fn next_wall_time(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        // The calendar is asked in UTC, where every wall time exists once: zones are ours.
        let wall = Utc.from_utc_datetime(&wall);
        self.calendars.iter().filter_map(|c| c.after(&wall).next()).min().map(|t| t.naive_utc())
    }

    fn from_fields(text: &str, fields: [&str; 5]) -> Result<Self, ScheduleError> {
        let minute = MINUTE.parse(fields[0])?;
        let hour = HOUR.parse(fields[1])?;
        let day = DAY_OF_MONTH.parse(fields[2])?;
        let month = MONTH.parse(fields[3])?;
        let weekday = DAY_OF_WEEK.parse(fields[4])?;
        let calendar = |day: u64, weekday: u64| {
            let rendered = format!(
                "0 {} {} {} {} {} *",
                MINUTE.render(minute.bits),
                HOUR.render(hour.bits),
                DAY_OF_MONTH.render(day),
                MONTH.render(month.bits),
                DAY_OF_WEEK.render(weekday),
            );
            cron::Schedule::from_str(&rendered)
                .expect("explicit numbers in range are a cron expression")
        };
        let calendars = if day.star || weekday.star {
            vec![calendar(day.bits, weekday.bits)]
        } else {
            let either =
                [(day.bits, DAY_OF_WEEK.everything()), (DAY_OF_MONTH.everything(), weekday.bits)];
            either.map(|(day, weekday)| calendar(day, weekday)).to_vec()
        };
        let follows_wall_clock = minute.star || hour.star;
        let expression = Self { text: text.to_owned(), calendars, follows_wall_clock };
        match expression.next_wall_time(chrono::DateTime::UNIX_EPOCH.naive_utc()) {
            Some(_) => Ok(expression),
            None => Err(ScheduleError::Never(text.to_owned())),
        }
    }
}

fn nickname(word: &str) -> Option<&'static str> {
    Some(match word {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return None,
    })
}

impl FromStr for Expression {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        let text = text.trim();
        let fields = if text.starts_with('@') {
            nickname(text).ok_or_else(|| ScheduleError::Nickname(text.to_owned()))?
        } else {
            text
        };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let found = fields.len();
        let fields = fields
            .try_into()
            .map_err(|_| ScheduleError::Fields { text: text.to_owned(), found })?;
        Self::from_fields(text, fields)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Serialize for Expression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Some days of the week, written like that field of a schedule: `mon-fri`, `0,6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(u64);

impl Weekdays {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether the day is one of them.
    #[must_use]
    pub fn contains(self, day: chrono::Weekday) -> bool {
        self.0 >> day.num_days_from_sunday() & 1 == 1
    }
}

impl FromStr for Weekdays {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        DAY_OF_WEEK.parse(text.trim()).map(|values| Self(values.bits))
    }
}

impl<'de> Deserialize<'de> for Weekdays {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
