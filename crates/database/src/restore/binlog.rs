//! The binary log of a MariaDB server, replayed onto a restored database up to a point.
//!
//! `mariadb-binlog` seeks in the files that it reads, so each of them lies on disk while it runs: without a name, so that it is gone with
//! the last process that holds it, however that ends.
//!
//! A log holds statements that name what they change, and some of them name another database. So they are run by an account that is made
//! for the replay, may change the one database, and nothing else: a statement that reaches further ends the replay.

use std::io::{Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::Stdio;

use lumbung_engine::{Cancel, Halt};

use super::mariadb::identifier;
use super::{ReadError, RestoreError, feed};
use crate::SourceError;
use crate::child::Running;
use crate::mariadb::MariadbServer;
use crate::recover::Log;

/// Where a replay ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// With the last event that the log has.
    End,
    /// Before the first event of this second or later: `YYYY-MM-DD hh:mm:ss` in UTC.
    Time(String),
    /// Before the event at this place.
    Position(Place),
}

/// A place in a binary log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Bytes from its start.
    pub position: u64,
}

impl std::str::FromStr for Place {
    type Err = String;

    /// `binlog.000003:342`.
    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "{text:?} is no place in a binary log: write FILE:POSITION, such as binlog.000003:342"
            )
        };
        let (file, position) = text.rsplit_once(':').ok_or_else(error)?;
        number(file).ok_or_else(error)?;
        Ok(Self { file: file.to_owned(), position: position.parse().map_err(|_| error())? })
    }
}

/// The number that a log's name ends with.
fn number(name: &str) -> Option<u64> {
    let (_, digits) = name.rsplit_once('.')?;
    (digits.len() >= 6).then(|| digits.parse().ok())?
}

/// What a dump says of its place: `MASTER_LOG_FILE='binlog.000003', MASTER_LOG_POS=342`.
pub(super) fn place_of_dump(text: &str) -> Option<Place> {
    let (_, rest) = text.split_once("LOG_FILE='")?;
    let (file, rest) = rest.split_once('\'')?;
    let (_, position) = rest.split_once("LOG_POS=")?;
    Some(Place { file: file.to_owned(), position: position.trim().parse().ok()? })
}

/// The files to be replayed, first to last, without a gap.
fn files<'a>(log: &'a dyn Log, from: &Place, until: &Until) -> Result<Vec<&'a str>, RestoreError> {
    let stem = from.file.rsplit_once('.').map_or("", |(stem, _)| stem);
    let first = number(&from.file).ok_or(RestoreError::NoFile("place in the log"))?;
    let last = match until {
        Until::Position(place) => number(&place.file),
        Until::End | Until::Time(_) => None,
    };
    let mut found: Vec<(u64, &str)> = log
        .files()
        .iter()
        .filter(|(name, _)| name.rsplit_once('.').is_some_and(|(front, _)| front == stem))
        .filter_map(|(name, _)| Some((number(name)?, name.as_str())))
        .filter(|(number, _)| *number >= first && last.is_none_or(|last| *number <= last))
        .collect();
    found.sort_unstable();
    let gap = |number: u64| RestoreError::Gap(format!("{stem}.{number:06}"));
    for (expected, at) in (first..).zip(0..found.len()) {
        if found[at].0 != expected {
            return Err(gap(expected));
        }
    }
    let reached = first + found.len() as u64;
    if found.is_empty() || last.is_some_and(|last| reached <= last) {
        return Err(gap(reached));
    }
    Ok(found.into_iter().map(|(_, name)| name).collect())
}

/// The account of a replay.
struct Account {
    name: String,
    password: std::fs::File,
}

impl Account {
    fn make(server: &MariadbServer, database: &str, halt: &Halt) -> Result<Self, RestoreError> {
        let mut random = [0; 24];
        let failed = |what| move |e: std::io::Error| SourceError::io(what, e);
        getrandom::fill(&mut random).map_err(|e| {
            failed("a password cannot be made")(std::io::Error::other(e.to_string()))
        })?;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (name, secret) = (format!("lumbung_{}", hex(&random[..4])), hex(&random[4..]));
        let mut password = tempfile::tempfile().map_err(failed("a file for a password"))?;
        writeln!(password, "[client]\npassword=\"{secret}\"")
            .map_err(failed("a file for a password"))?;
        // By its standard input: on a command line everybody would see the password.
        let statements = format!(
            "CREATE USER {name} IDENTIFIED BY '{secret}'; GRANT ALL ON {}.* TO {name}; GRANT BINLOG REPLAY ON *.* TO {name};\n",
            identifier(&database.replace('\\', "\\\\").replace('_', "\\_").replace('%', "\\%"))
        );
        let made = Self { name, password };
        let fed = feed(server.session(), halt, |out| Ok(out.write_all(statements.as_bytes())?));
        if let Err(error) = fed {
            let _ = made.drop(server);
            return Err(error);
        }
        Ok(made)
    }

    fn option_file(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.password.as_raw_fd())
    }

    /// Also when the restore was stopped.
    fn drop(&self, server: &MariadbServer) -> Result<(), RestoreError> {
        let halt = &Halt::by(&Cancel::default());
        let statement = format!("DROP USER IF EXISTS {};\n", self.name);
        feed(server.session(), halt, |out| Ok(out.write_all(statement.as_bytes())?))
    }
}

/// What is replayed, and onto what.
pub(super) struct Replay<'a> {
    pub(super) log: &'a dyn Log,
    pub(super) from: Place,
    pub(super) until: &'a Until,
    /// The database as it was called there, and as it is called here.
    pub(super) names: (&'a str, &'a str),
}

impl Replay<'_> {
    /// Feeds the events to a client that may change the database and nothing else.
    pub(super) fn run(&self, server: &MariadbServer, halt: &Halt) -> Result<(), RestoreError> {
        let account = Account::make(server, self.names.1, halt)?;
        let replayed = self.replay(server, &account, halt);
        account.drop(server)?;
        replayed.map_err(|error| match error {
            RestoreError::Server(SourceError::Failed { said, .. }) if said.contains("denied") => {
                RestoreError::Elsewhere(said)
            }
            error => error,
        })
    }

    fn replay(
        &self,
        server: &MariadbServer,
        account: &Account,
        halt: &Halt,
    ) -> Result<(), RestoreError> {
        let names = files(self.log, &self.from, self.until)?;
        let mut held = Vec::with_capacity(names.len());
        for name in names {
            let made =
                tempfile::tempfile().map_err(|e| SourceError::io("a file for the log", e))?;
            held.push(made);
            if let Some(file) = held.last_mut() {
                self.log.write(name, file).map_err(RestoreError::Read)?;
                file.flush()
                    .and_then(|()| file.rewind())
                    .map_err(|e| SourceError::io("the log", e))?;
            }
        }
        let (there, here) = self.names;
        let mut events = server.binlog()?;
        events.arg(format!("--start-position={}", self.from.position));
        match self.until {
            Until::End => {}
            Until::Time(time) => _ = events.env("TZ", "UTC").arg(format!("--stop-datetime={time}")),
            Until::Position(place) => _ = events.arg(format!("--stop-position={}", place.position)),
        }
        events.arg(format!("--rewrite-db={there}->{here}")).arg(format!("--database={there}"));
        let own = std::process::id();
        events.args(held.iter().map(|file| format!("/proc/{own}/fd/{}", file.as_raw_fd())));
        let mut reading = Running::start(events, halt.clone())?;
        let mut client = server.session_of(&account.name, &account.option_file());
        client.arg("--binary-mode").stdin(Stdio::piped()).stdout(Stdio::null());
        let mut writing = Running::start(client, halt.clone())?;
        let copied = match (reading.stdout.take(), writing.stdin.take()) {
            (Some(mut from), Some(mut to)) => std::io::copy(&mut from, &mut to).map(|_| ()),
            _ => Ok(()),
        };
        // Whichever failed says why; a broken pipe only follows from it.
        writing.end()?;
        reading.end()?;
        copied.map_err(|error| RestoreError::Read(ReadError::from(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names(Vec<(String, u64)>);

    impl Log for Names {
        fn files(&self) -> &[(String, u64)] {
            &self.0
        }

        fn write(&self, _: &str, _: &mut dyn std::io::Write) -> Result<(), ReadError> {
            unreachable!("only names are asked for")
        }
    }

    fn chosen(numbers: &[u64], from: u64, until: &Until) -> Result<usize, String> {
        let names = numbers.iter().map(|n| (format!("binlog.{n:06}"), 1));
        let log = Names(
            names.chain([("binlog.index".to_owned(), 1), ("other.000004".to_owned(), 1)]).collect(),
        );
        let from = Place { file: format!("binlog.{from:06}"), position: 4 };
        files(&log, &from, until).map(|files| files.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn files_follow_without_a_gap() {
        let at = |file: &str| Until::Position(Place { file: file.to_owned(), position: 9 });
        assert_eq!(chosen(&[2, 3, 4], 3, &Until::End), Ok(2));
        assert_eq!(chosen(&[2, 3, 4], 2, &at("binlog.000003")), Ok(2));
        for (numbers, from, until, missing) in [
            (&[2, 4][..], 2, Until::End, "binlog.000003"),
            (&[3, 4], 2, Until::End, "binlog.000002"),
            (&[], 2, Until::End, "binlog.000002"),
            (&[2, 3], 2, at("binlog.000005"), "binlog.000004"),
        ] {
            let error = chosen(numbers, from, &until).unwrap_err();
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn places_are_read() {
        let place = Place { file: "binlog.000003".to_owned(), position: 342 };
        assert_eq!(
            place_of_dump("MASTER_LOG_FILE='binlog.000003', MASTER_LOG_POS=342"),
            Some(place.clone())
        );
        assert_eq!(
            place_of_dump("SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=342"),
            Some(place.clone())
        );
        assert_eq!("binlog.000003:342".parse(), Ok(place));
        assert!("binlog:342".parse::<Place>().is_err());
    }
}
