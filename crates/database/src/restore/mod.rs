//! Databases back from a snapshot.
//!
//! Invariants: a database is loaded under a name of its own and counted before anything takes its place; whatever fails leaves the
//! server as it was, but for that copy, which is dropped. What is replaced in PostgreSQL is kept under another name.

mod belongings;
mod binlog;
mod error;
mod lines;
mod mariadb;
mod postgresql;
mod restricted;
mod section;
mod table;

pub use binlog::{Place, Until};
pub use error::RestoreError;

use std::io::Write;
use std::process::{Command, Stdio};

use lumbung_engine::Halt;

use crate::child::Running;
use crate::description::{Database, Description, FORMAT, Kind, Made};
use crate::mariadb::MariadbSettings;
use crate::postgresql::PostgresqlSettings;
use crate::recover::Log;
use crate::{Places, SourceError};

/// What a reader of files says when it fails.
pub type ReadError = Box<dyn std::error::Error + Send + Sync>;

/// A snapshot of databases, as whoever restores it reads it.
pub trait Copy {
    /// What it says of itself.
    fn description(&self) -> &Description;

    /// Writes a file of it; `path` as the description has it.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    fn write(&self, path: &str, out: &mut dyn Write) -> Result<(), ReadError>;
}

/// The server to restore into.
#[derive(Debug, Clone)]
pub enum Target {
    /// A PostgreSQL server.
    Postgresql(Box<PostgresqlSettings>),
    /// A MariaDB or MySQL server.
    Mariadb(Box<MariadbSettings>),
}

/// What is wanted back.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The database, as the snapshot has it.
    pub database: String,
    /// The name that it gets. Of one table of PostgreSQL: the database that it is brought into, which stays as it is.
    pub name: String,
    /// Only this table of it, beside what is there: in PostgreSQL in a schema of its own, in MariaDB in a database of its own.
    pub table: Option<String>,
    /// Whether it may take the place of a database of that name.
    pub replaces: bool,
    /// Whether roles or accounts that are missing are made first.
    pub roles: bool,
    /// Whether the dump may run commands of the client program, where that one cannot be kept from it.
    pub trusts: bool,
    /// Whether it is put in place although rows or checks differ from the snapshot's.
    pub accepts: bool,
    /// Makes names of copies differ from each other.
    pub mark: u64,
}

/// A log that is replayed onto what was restored.
#[derive(Clone, Copy)]
pub struct Replayed<'a> {
    /// A snapshot of the folder that it is in.
    pub log: &'a dyn Log,
    /// Where it ends.
    pub until: &'a Until,
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    /// The database's name.
    pub name: String,
    /// Where in it the table is, if only one was wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Tables whose rows were counted and match the snapshot.
    pub tables: usize,
    /// Rows of them.
    pub rows: u64,
    /// Checks that were asked again and gave the same answer.
    pub checks: usize,
    /// Under which name the one that was replaced is kept.
    pub kept_as: Option<String>,
    /// What belonged to it on its server and could not be given here (rights, what was set for its sessions, accounts), what differs
    /// and was accepted, and what could not be tidied up.
    pub left_out: Vec<String>,
}

/// Restores one database.
///
/// # Errors
/// If it cannot be restored; then the server is as it was.
pub fn restore(
    copy: &dyn Copy,
    target: &Target,
    wanted: &Wanted,
    log: Option<Replayed<'_>>,
    places: &Places,
    halt: &Halt,
) -> Result<Restored, RestoreError> {
    let description = copy.description();
    if description.format > FORMAT {
        return Err(RestoreError::Format(description.format));
    }
    match (target, description.kind) {
        (Target::Postgresql(_), Kind::PostgresqlDump) if log.is_some() => {
            Err(RestoreError::NoReplay)
        }
        (Target::Postgresql(settings), Kind::PostgresqlDump) => {
            postgresql::restore(copy, settings, wanted, places, halt)
        }
        (Target::Mariadb(settings), Kind::MariadbDump) => {
            mariadb::restore(copy, settings, wanted, log, places, halt)
        }
        (_, kind) => Err(RestoreError::OtherKind(kind)),
    }
}

/// The database that is wanted.
fn chosen<'a>(description: &'a Description, name: &str) -> Result<&'a Database, RestoreError> {
    let found = description.databases.iter().find(|database| database.name == name);
    found.ok_or_else(|| RestoreError::NotInSnapshot {
        name: name.to_owned(),
        there: description.databases.iter().map(|database| database.name.clone()).collect(),
    })
}

/// The file of which `of` is true.
fn file<'a>(
    description: &'a Description,
    what: &'static str,
    of: impl Fn(&Made) -> bool,
) -> Result<&'a str, RestoreError> {
    let found = description.made.iter().find(|made| of(made));
    found.map(|made| made.path.as_str()).ok_or(RestoreError::NoFile(what))
}

/// Writes the lines of a small file of statements that are wanted.
fn write_wanted(
    copy: &dyn Copy,
    path: &str,
    out: &mut dyn Write,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<(), ReadError> {
    let mut text = Vec::new();
    copy.write(path, &mut text)?;
    for line in String::from_utf8_lossy(&text).lines().filter(|line| is_wanted(line)) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// Feeds a program with what `fill` writes.
pub(crate) fn feed(
    command: Command,
    halt: &Halt,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), ReadError>,
) -> Result<(), RestoreError> {
    feed_hearing(command, halt, fill).map(drop)
}

/// As [`feed`]; gives the last part of what the program said on its standard error, in one line.
fn feed_hearing(
    mut command: Command,
    halt: &Halt,
    fill: impl FnOnce(&mut dyn Write) -> Result<(), ReadError>,
) -> Result<String, RestoreError> {
    // What it answers to its statements would fill a pipe that nobody reads.
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut running = Running::start(command, halt.clone())?;
    let mut pipe = Pipe { stdin: running.stdin.take(), broken: false };
    if let Err(error) = fill(&mut pipe)
        && !pipe.broken
    {
        // An end of its input would be taken for the end of all that there is, and that much be committed.
        running.kill();
        return Err(RestoreError::Read(error));
    }
    // A program that ended says why; that its pipe broke is only what follows from it.
    let broken = pipe.broken;
    drop(pipe);
    let said = running.end_saying()?;
    if broken {
        return Err(RestoreError::Read("the program took no more and said nothing".into()));
    }
    Ok(said)
}

/// The input of a program: whether it was the program that did not take more.
struct Pipe {
    stdin: Option<std::process::ChildStdin>,
    broken: bool,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(stdin) = &mut self.stdin else { return Ok(bytes.len()) };
        stdin.write(bytes).inspect_err(|error| {
            self.broken |= error.kind() == std::io::ErrorKind::BrokenPipe;
        })
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The name of what is made beside something: a copy that waits for its place, or where a table is brought.
#[must_use]
pub fn beside(mark: u64) -> String {
    format!("lumbung_restore_{mark}")
}

/// What was counted.
#[derive(Debug, Default)]
struct Counted {
    tables: usize,
    rows: u64,
    /// What differs from the snapshot, where that was accepted.
    differs: Vec<String>,
}

/// Counts what was loaded and holds it against the snapshot; `count` asks the server.
fn compare(
    database: &Database,
    accepts: bool,
    mut count: impl FnMut(&str) -> Result<String, SourceError>,
) -> Result<Counted, RestoreError> {
    let mut counted = Counted::default();
    for table in &database.tables {
        let found = match count(&table.name) {
            Err(error) if accepts => {
                counted.differs.push(format!("{}: {error}", table.name));
                continue;
            }
            found => found?,
        };
        if found.trim().parse() == Ok(table.rows) {
            counted.tables += 1;
            counted.rows += table.rows;
            continue;
        }
        let (table, expected, found) = (table.name.clone(), table.rows, found.trim().to_owned());
        if !accepts {
            return Err(RestoreError::Rows { table, expected, found });
        }
        counted.differs.push(format!("{table}: {found} rows, {expected} were backed up"));
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lumbung_engine::Cancel;

    use super::*;
    use crate::bare;
    use crate::description::Table;

    fn fed(
        script: &str,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), ReadError>,
    ) -> Result<(), RestoreError> {
        let mut command = bare(Path::new("/bin/sh"));
        command.args(["-c", script]);
        feed(command, &Halt::by(&Cancel::default()), fill)
    }

    #[test]
    fn rows_that_differ_are_refused_or_named() {
        let table = |name: &str, rows| Table { name: name.to_owned(), rows };
        let tables = vec![table("pasien", 3), table("rawat", 2)];
        let database = Database { tables, ..Database::default() };
        let of = |rawat: &'static str| {
            move |table: &str| Ok(if table == "rawat" { rawat } else { " 3\n" }.to_owned())
        };
        let same = compare(&database, false, of("2")).unwrap();
        assert_eq!((same.tables, same.rows, same.differs.len()), (2, 5, 0));
        for found in ["1", "", "2 rows"] {
            let error = compare(&database, false, of(found)).unwrap_err();
            let RestoreError::Rows { table, expected: 2, found: said } = error else { panic!() };
            assert_eq!((table.as_str(), said.as_str()), ("rawat", found));
        }
        let accepted = compare(&database, true, of("1")).unwrap();
        assert_eq!((accepted.tables, accepted.rows), (1, 3));
        assert_eq!(accepted.differs, ["rawat: 1 rows, 2 were backed up"]);
    }

    #[test]
    fn what_breaks_off_is_not_taken_for_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let ended = dir.path().join("ended");
        let script = format!("cat; touch {}", ended.display());
        let error = fed(&script, |out| {
            out.write_all(b"half")?;
            Err("the depot is gone".into())
        });
        assert!(
            matches!(error.unwrap_err(), RestoreError::Read(error) if error.to_string().contains("depot is gone"))
        );
        assert!(!ended.exists(), "its input never ended");
        fed(&script, |out| Ok(out.write_all(b"all")?)).unwrap();
        assert!(ended.exists());
    }

    #[test]
    fn a_program_that_takes_no_more_says_why() {
        let all = |out: &mut dyn Write| loop {
            out.write_all(&[0; 4096])?;
        };
        let error = fed("echo no room >&2; exit 3", all).unwrap_err().to_string();
        assert!(error.contains("exit status: 3: no room"), "{error}");
        let error = fed("exit 0", all).unwrap_err();
        assert!(matches!(error, RestoreError::Read(_)), "{error}");
    }
}
