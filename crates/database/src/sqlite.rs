//! SQLite databases, copied by SQLite's online backup (<https://www.sqlite.org/backup.html>) while programs go on writing.
//!
//! That interface copies into a database, which has to be a file: it lies in the agent's own folder, readable by nobody else, has no
//! name any more once it can be read, and is gone with its last descriptor, however the run ends.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lumbung_engine::Halt;
use lumbung_model::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use serde::Deserialize;

use crate::description::{Description, Kind, Table};
use crate::settings::Places;
use crate::source::{Inspect, Origin, Part, Prepared, Unread, file_name};
use crate::{Database, SourceError};

const FOLDER: &str = "/sqlite";
/// Pages copied between two looks at whether the run was stopped.
const PAGES: i32 = 4096;
/// How long a writer is waited for.
const BUSY: Duration = Duration::from_secs(60);
/// Copies that had to begin anew because somebody wrote meanwhile.
const LOCKED_STEPS: u32 = 600;

/// The `[job.sqlite]` table of an agent's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteSettings {
    /// The databases.
    pub files: Vec<PathBuf>,
}

pub(crate) fn prepare(
    settings: &SqliteSettings,
    places: &Places,
    now: Timestamp,
) -> Result<Prepared, SourceError> {
    if settings.files.is_empty() {
        return Err(SourceError::NothingThere);
    }
    let mut description = Description::new(Kind::Sqlite, now);
    description.tool_version = format!("SQLite {}", rusqlite::version());
    let mut parts: Vec<(String, Box<dyn Part>)> = Vec::new();
    let mut files = settings.files.clone();
    files.sort();
    files.dedup();
    for file in files {
        let name = file.display().to_string();
        description.databases.push(Database { name: name.clone(), ..Database::default() });
        let part = Copy { file, name: name.clone(), scratch: places.scratch.clone() };
        parts.push((format!("files/{}", file_name(name.trim_start_matches('/'))), Box::new(part)));
    }
    Ok(Prepared::new(Path::new(FOLDER), parts, description))
}

struct Copy {
    file: PathBuf,
    name: String,
    scratch: PathBuf,
}

impl Part for Copy {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let place = self.scratch.join(".sqlite-copy");
        let begun = self.copy_to(&place, &halt);
        // Without a name it cannot outlive the run. What a run that was killed left is written over here.
        let file = begun.and_then(|looked| {
            let file = std::fs::File::open(&place);
            file.map(|file| (file, looked)).map_err(|source| {
                SourceError::io(format!("{} cannot be read", place.display()), source)
            })
        });
        let _ = std::fs::remove_file(&place);
        let (file, looked) = file?;
        Ok((Origin::File(file), Box::new(Copied { name: self.name.clone(), looked })))
    }

    fn database(&self) -> Option<&str> {
        Some(&self.name)
    }
}

impl Copy {
    fn fail(&self, source: rusqlite::Error) -> SourceError {
        SourceError::Sqlite { path: self.file.clone(), source }
    }

    fn copy_to(&self, place: &Path, halt: &Halt) -> Result<Database, SourceError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let from = Connection::open_with_flags(&self.file, flags).map_err(|e| self.fail(e))?;
        from.busy_timeout(BUSY).map_err(|e| self.fail(e))?;
        let mut options = std::fs::File::options();
        options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(place)
            .map_err(|e| SourceError::io(format!("{} cannot be made", place.display()), e))?;
        let mut to = Connection::open(place).map_err(|e| self.fail(e))?;
        // It is read once and thrown away: nothing of it has to survive a crash.
        to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            .map_err(|e| self.fail(e))?;
        self.copy(&from, &mut to, halt)?;
        look(&to, &self.name).map_err(|e| self.fail(e))
    }

    fn copy(&self, from: &Connection, to: &mut Connection, halt: &Halt) -> Result<(), SourceError> {
        let backup = Backup::new(from, to).map_err(|e| self.fail(e))?;
        let (mut locked, mut steps) = (0, 0_u32);
        loop {
            if halt.is_called() {
                return Err(SourceError::Halted { program: "the copy of a database".to_owned() });
            }
            // Whoever writes meanwhile makes it begin anew. In the end it is done in one go, while writers wait.
            let pages = backup.progress().pagecount / PAGES;
            let patience = u32::try_from(pages).unwrap_or(0).saturating_mul(3).saturating_add(50);
            let pages = if steps > patience { -1 } else { PAGES };
            steps += 1;
            match backup.step(pages).map_err(|e| self.fail(e))? {
                StepResult::Done => return Ok(()),
                StepResult::More => {}
                _ => {
                    locked += 1;
                    if locked > LOCKED_STEPS {
                        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
                        return Err(self.fail(rusqlite::Error::SqliteFailure(busy, None)));
                    }
                    std::thread::yield_now();
                }
            }
        }
    }
}

/// What the copy has.
fn look(copy: &Connection, name: &str) -> rusqlite::Result<Database> {
    let encoding = copy.query_row("PRAGMA encoding", [], |row| row.get(0))?;
    let size_bytes: i64 = copy.query_row(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        [],
        |row| row.get(0),
    )?;
    let mut statement = copy.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut tables = Vec::new();
    for table in names {
        let table = table?;
        let count = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
        let rows: i64 = copy.query_row(&count, [], |row| row.get(0))?;
        tables.push(Table { name: table, rows: u64::try_from(rows).unwrap_or(0) });
    }
    let size_bytes = u64::try_from(size_bytes).unwrap_or(0);
    Ok(Database { name: name.to_owned(), encoding, size_bytes, tables, ..Database::default() })
}

struct Copied {
    name: String,
    looked: Database,
}

impl Inspect for Copied {
    fn see(&mut self, bytes: &[u8]) {
        Unread.see(bytes);
    }

    fn end(self: Box<Self>, _: &str, description: &mut Description) -> Result<(), SourceError> {
        if let Some(database) = description.database(&self.name) {
            *database = self.looked;
        }
        Ok(())
    }
}
