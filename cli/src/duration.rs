//! Times such as an RPO, as people write them: `90m`, `24h`, `7d`.

use std::fmt;
use std::str::FromStr;

/// A number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time: write a number and s, m, h or d, as in 24h")]
pub(crate) struct SecondsError(String);

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl FromStr for Seconds {
    type Err = SecondsError;

    fn from_str(text: &str) -> Result<Self, SecondsError> {
        let wrong = || SecondsError(text.to_owned());
        let (digits, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)))
            .ok_or_else(wrong)?;
        let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS
            .iter()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&("s", 1));
        f.pad(&format!("{} {unit}", self.0 / factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        assert_eq!("24h".parse(), Ok(Seconds(86_400)));
        assert_eq!("90m".parse(), Ok(Seconds(5_400)));
        assert_eq!("30 d".parse(), Ok(Seconds(30 * 86_400)), "as they are shown");
        assert_eq!(Seconds(86_400).to_string(), "1 d");
        assert_eq!(Seconds(5_400).to_string(), "90 m");
        assert_eq!(Seconds(0).to_string(), "0 s");
        for bad in ["", "24", "h", "-1h", "1.5h", "99999999999999999999d", "999999999999999999d"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}
