//! What goes to the terminal: language, time zone, JSON or text.
//!
//! Invariants: with `--json` stdout carries exactly one JSON document (or nothing, after an error);
//! notes and progress go to stderr; text that came from a depot is printed without control characters,
//! so that a file's name cannot drive the terminal.

use std::io::{self, IsTerminal as _, Write};

use chrono::{Offset as _, TimeZone as _};
use lumbung_model::Timestamp;
use serde::Serialize;

use crate::failure::{Code, Failure, Outcome};

/// The language of headings and states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Lang {
    /// Bahasa Indonesia.
    Id,
    /// English.
    En,
}

impl Lang {
    /// The word in this language.
    #[must_use]
    pub(crate) const fn pick<T: Copy>(self, indonesian: T, english: T) -> T {
        match self {
            Self::Id => indonesian,
            Self::En => english,
        }
    }
}

/// How this run talks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// JSON instead of text.
    pub(crate) json: bool,
    /// Nothing on stderr but errors.
    pub(crate) quiet: bool,
    /// Of headings and states.
    pub(crate) lang: Lang,
    /// In which times are shown; the machine's own if none.
    pub(crate) zone: Option<chrono_tz::Tz>,
}

impl Terminal {
    /// The word in the language of this run.
    #[must_use]
    pub(crate) const fn pick<T: Copy>(&self, indonesian: T, english: T) -> T {
        self.lang.pick(indonesian, english)
    }

    /// Prints a result: the value as JSON, or the text.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub(crate) fn result(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Outcome<()> {
        if self.json {
            let mut json = serde_json::to_string_pretty(value).map_err(|e| {
                Failure::new(Code::Io, "the result could not be written as JSON", "report this")
                    .because(e)
            })?;
            json.push('\n');
            write_out(json.as_bytes())
        } else {
            write_out(text().as_bytes())
        }
    }

    /// Says something on stderr that is no result.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// Warns on stderr.
    pub(crate) fn warn(&self, text: &str) {
        eprintln!("{} {text}", self.pick("peringatan:", "warning:"));
    }

    /// A time with its zone, for people.
    #[must_use]
    pub(crate) fn time(&self, at: Timestamp) -> String {
        match self.zone {
            Some(zone) => show(&zone.from_utc_datetime(&at.to_utc().naive_utc())),
            None => show(&chrono::Local.from_utc_datetime(&at.to_utc().naive_utc())),
        }
    }

    /// A moment as the name of a file, to the second, with its zone.
    #[must_use]
    pub(crate) fn stamp(&self, at: Timestamp) -> String {
        match self.zone {
            Some(zone) => stamp(&zone.from_utc_datetime(&at.to_utc().naive_utc())),
            None => stamp(&chrono::Local.from_utc_datetime(&at.to_utc().naive_utc())),
        }
    }

    /// Whether progress is drawn.
    #[must_use]
    pub(crate) fn draws(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }
}

/// Date, time and zone; the Indonesian zones by name.
fn show<Z: chrono::TimeZone>(at: &chrono::DateTime<Z>) -> String
where
    Z::Offset: std::fmt::Display,
{
    format!("{} {}", at.format("%Y-%m-%d %H:%M"), zone_of(at))
}

fn stamp<Z: chrono::TimeZone>(at: &chrono::DateTime<Z>) -> String
where
    Z::Offset: std::fmt::Display,
{
    format!("{}_{}", at.format("%Y-%m-%d_%H-%M-%S"), zone_of(at).replace(':', ""))
}

/// The zone of a moment; the Indonesian ones by name.
fn zone_of<Z: chrono::TimeZone>(at: &chrono::DateTime<Z>) -> String
where
    Z::Offset: std::fmt::Display,
{
    match at.offset().fix().local_minus_utc() {
        0 => "UTC".to_owned(),
        25_200 => "WIB".to_owned(),
        28_800 => "WITA".to_owned(),
        32_400 => "WIT".to_owned(),
        _ => at.format("%:z").to_string(),
    }
}

/// Writes to stdout; a reader that has gone ends the program quietly.
///
/// # Errors
/// If stdout cannot be written.
pub(crate) fn write_out(bytes: &[u8]) -> Outcome<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| stdout_failure(&e))
}

/// What a failed write to stdout means.
#[must_use]
pub(crate) fn stdout_failure(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::new(Code::ClosedPipe, "", "");
    }
    let next = "look at where the output goes (a full disk?), then run the command again";
    Failure::new(Code::Io, format!("the output could not be written: {error}"), next)
}

/// Bytes of a depot as text: valid UTF-8 as it is, everything else and control characters as `\xNN`.
#[must_use]
pub(crate) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            // Besides control characters, those that turn the direction of writing around.
            let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}');
            if c == '\\' {
                text.push_str("\\\\");
            } else if c.is_control() || turns {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer)
                    .bytes()
                    .for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
            } else {
                text.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

/// Text that somebody else wrote, fit for a terminal: as [`printable`].
#[must_use]
pub(crate) fn plain(text: &str) -> String {
    printable(text.as_bytes())
}

/// Bytes as lower-case hex.
#[must_use]
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(printable(b"laporan \xc3\xa9.txt"), "laporan é.txt");
        assert_eq!(printable(b"\x1b[2J\xff\n\\"), "\\x1b[2J\\xff\\x0a\\\\");
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\\xe2\\x80\\xaeb");
    }

    #[test]
    fn times_carry_their_zone() {
        let shown = |zone| {
            Terminal { json: false, quiet: false, lang: Lang::Id, zone: Some(zone) }
                .time(Timestamp(1_700_000_000))
        };
        assert_eq!(shown(chrono_tz::Asia::Jakarta), "2023-11-15 05:13 WIB");
        assert_eq!(shown(chrono_tz::Asia::Makassar), "2023-11-15 06:13 WITA");
        assert_eq!(shown(chrono_tz::Asia::Jayapura), "2023-11-15 07:13 WIT");
        assert_eq!(shown(chrono_tz::UTC), "2023-11-14 22:13 UTC");
        assert_eq!(shown(chrono_tz::Asia::Kolkata), "2023-11-15 03:43 +05:30");
    }
}
