//! What the commands print: results on standard output, as text or as JSON; and their exit codes.

use std::io::Write;

use chrono::TimeZone;
use lumbung_model::Timestamp;
use serde::Serialize;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All well.
    Fine,
    /// Finished, with warnings.
    Warnings,
    /// It failed.
    Failed,
}

impl Exit {
    /// 0 fine, 1 error, 3 finished with warnings (2, wrong usage, is the argument parser's).
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Warnings => 3,
        }
    }
}

/// Prints a result: as JSON, or as the text that `text` makes.
///
/// # Errors
/// If standard output is closed.
pub fn print<T: Serialize>(
    json: bool,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, value)?;
        return writeln!(out);
    }
    let text = text(value);
    out.write_all(text.as_bytes())?;
    if text.ends_with('\n') { Ok(()) } else { writeln!(out) }
}

/// A time as people read it, with its zone: `2026-11-22 01:30 WIB`.
#[must_use]
pub fn local(time: Timestamp, zone: chrono_tz::Tz) -> String {
    zone.from_utc_datetime(&time.to_utc().naive_utc()).format("%Y-%m-%d %H:%M %Z").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_zone() {
        let time = Timestamp(1_795_305_600);
        assert_eq!(local(time, chrono_tz::Asia::Jakarta), "2026-11-22 07:00 WIB");
        assert_eq!(local(time, chrono_tz::Tz::UTC), "2026-11-22 00:00 UTC");
    }
}
