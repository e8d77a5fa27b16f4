//! Time zones by name: IANA's, and Indonesia's three by the letters that people use.

use std::str::FromStr;

use chrono_tz::Tz;

/// A zone that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a time zone: write WIB, WITA, WIT or a name from the IANA list, such as \"Asia/Jakarta\", \
     \"Asia/Makassar\", \"Asia/Jayapura\" or \"UTC\""
)]
pub struct ZoneError(String);

/// Reads `Asia/Jakarta`, `UTC`, `WIB` and the like.
///
/// # Errors
/// If no such zone exists.
pub fn parse_zone(name: &str) -> Result<Tz, ZoneError> {
    match name {
        "WIB" => Ok(chrono_tz::Asia::Jakarta),
        "WITA" => Ok(chrono_tz::Asia::Makassar),
        "WIT" => Ok(chrono_tz::Asia::Jayapura),
        _ => Tz::from_str(name).map_err(|_| ZoneError(name.to_owned())),
    }
}
