//! Lengths of time as people write them: `90 s`, `15 min`, `6 h`, `7 d`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole number of seconds, up to a hundred years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Period(u32);

/// Why a text is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a length of time: write a number and s, min, h or d, as in \"15 min\"")]
pub struct PeriodError(String);

const UNITS: [(&str, u32); 5] = [("s", 1), ("m", 60), ("min", 60), ("h", 3600), ("d", 86_400)];

impl Period {
    /// That many seconds.
    #[must_use]
    pub const fn seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// How many seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u32 {
        self.0
    }

    /// For timers.
    #[must_use]
    pub const fn to_duration(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0 as u64)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let error = || PeriodError(text.to_owned());
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u32 = text[..digits].parse().map_err(|_| error())?;
        let unit = text[digits..].trim_start();
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
        number.checked_mul(*factor).filter(|s| *s <= 36_525 * 86_400).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Period {
    /// In the largest unit that keeps it exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: u32| self.0 > 0 && self.0.is_multiple_of(unit);
        let (unit, name) = match () {
            () if whole(86_400) => (86_400, "d"),
            () if whole(3600) => (3600, "h"),
            () if whole(60) => (60, "min"),
            () => (1, "s"),
        };
        f.pad(&format!("{} {name}", self.0 / unit))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Period {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some("A length of time, as in `90 s`, `15 min`, `24 h` or `2 d`."))
            .pattern(Some("^[0-9]{1,5} (s|min|h|d)$"))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Period {
    fn name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_shown() {
        for (text, seconds, shown) in [
            ("90 s", 90, "90 s"),
            ("15min", 900, "15 min"),
            ("2 m", 120, "2 min"),
            ("48 h", 172_800, "2 d"),
            ("0 s", 0, "0 s"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!(
                (period.as_seconds(), period.to_string().as_str()),
                (seconds, shown),
                "{text}"
            );
        }
        for bad in ["", "5", "min", "-1 s", "1.5 h", "3 weeks", "4294967296 s", "40000 d"] {
            assert!(bad.parse::<Period>().is_err(), "{bad}");
        }
    }
}
