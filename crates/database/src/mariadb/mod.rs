//! MariaDB and MySQL: one dump of all databases in one transaction by `mariadb-dump` (or `mysqldump`), with routines, events and triggers; or all files
//! of a MariaDB server on this host by `mariadb-backup`.
//!
//! One dump and not one for each database, so that what refers across databases matches, and one position of the binary log stands
//! for all of it.

mod accounts;
mod base;
mod inserts;
mod server;
mod settings;

pub use server::MariadbServer;
pub(crate) use server::unhex;
pub use settings::MariadbSettings;

use std::path::Path;

use accounts::AccountsDump;
use lumbung_engine::Halt;
use lumbung_model::Timestamp;

use crate::child::Running;
use crate::description::{Description, Kind};
use crate::settings::Places;
use crate::source::{Inspect, Origin, Part, Prepared, Tail};
use crate::{Method, SourceError, mariadb::inserts::Rows};

/// Where the dumps stand in the snapshot.
const FOLDER: &str = "/mariadb";
/// The line before it ends, whichever of the two wrote it.
const MARKER: &str = "-- Dump completed";
/// Where a dump with `--master-data=2` says the position of the binary log.
const POSITIONS: [&str; 2] = ["-- CHANGE MASTER TO ", "-- CHANGE REPLICATION SOURCE TO "];

pub(crate) fn prepare(
    settings: &MariadbSettings,
    places: &Places,
    now: Timestamp,
    halt: &Halt,
) -> Result<Prepared, SourceError> {
    let server = MariadbServer::reach(settings, places)?;
    let found = server.look(halt)?;
    let tool_version = server.check_tools(&found, halt)?;
    let kind = match settings.method {
        Method::Logical => Kind::MariadbDump,
        Method::Physical => Kind::MariadbBase,
    };
    let mut description = Description::new(kind, now);
    description.server_version.clone_from(&found.version);
    description.tool_version = tool_version;
    if settings.method == Method::Physical {
        description.databases = found.databases;
        let base: Box<dyn Part> = Box::new(base::BaseBackup::new(server, places)?);
        let parts = vec![("base.mbstream".to_owned(), base)];
        return Ok(Prepared::new(Path::new(FOLDER), parts, description));
    }
    let databases = settings.choose(&found.databases)?;
    let names = databases.iter().map(|database| database.name.clone()).collect();
    description.databases = databases;
    let dump = DatabasesDump {
        server: server.clone(),
        databases: names,
        tool: DumpTool::of(&description.tool_version),
        with_log: found.has_log,
    };
    let mut parts: Vec<(String, Box<dyn Part>)> =
        vec![("databases.sql".to_owned(), Box::new(dump))];
    if settings.grants {
        let accounts = if found.is_mariadb {
            AccountsDump::Mariadb(server)
        } else {
            AccountsDump::Mysql(server, found.version)
        };
        parts.push(("grants.sql".to_owned(), Box::new(accounts)));
    }
    Ok(Prepared::new(Path::new(FOLDER), parts, description))
}

struct DatabasesDump {
    server: MariadbServer,
    databases: Vec<String>,
    tool: DumpTool,
    with_log: bool,
}

/// Which dump program it is: MySQL's have words of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DumpTool {
    Mariadb,
    Mysql { says_source: bool },
}

impl DumpTool {
    fn of(said: &str) -> Self {
        if said.contains("MariaDB") || said.starts_with("mariadb") {
            return Self::Mariadb;
        }
        // `--master-data` is deprecated since 8.0.26, and gone in 8.4.
        let number = server::tool_number(said).unwrap_or_default();
        Self::Mysql { says_source: number.as_slice() >= [8, 0, 26].as_slice() }
    }

    const fn log_position(self) -> &'static str {
        match self {
            Self::Mysql { says_source: true } => "--source-data=2",
            _ => "--master-data=2",
        }
    }
}

impl Part for DatabasesDump {
    fn begin(&self, halt: Halt) -> Result<(Origin, Box<dyn Inspect>), SourceError> {
        let mut command = self.server.client(&self.server.dump);
        command.args(["--single-transaction", "--quick", "--routines", "--events", "--triggers"]);
        command.args(["--hex-blob", "--default-character-set=utf8mb4", "--skip-dump-date"]);
        // A row that is inserted moves the ends of all statements behind it: few of them, so that most chunks stay what they were.
        command.arg("--net-buffer-length=8M");
        if self.with_log {
            command.arg(self.tool.log_position());
        }
        if self.tool != DumpTool::Mariadb {
            // What transactions the server has seen belongs to it, and keeps the dump out of another one.
            command.arg("--set-gtid-purged=OFF");
        }
        command.arg("--databases").arg("--").args(&self.databases);
        let running = Running::start(command, halt)?;
        Ok((Origin::Program(running), Box::new(Dumped::default())))
    }
}

#[derive(Default)]
struct Dumped {
    rows: Rows,
    tail: Tail,
    head: Vec<u8>,
}

/// The position stands before the first database.
const HEAD_BYTES: usize = 16 << 10;

impl Inspect for Dumped {
    fn see(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.rows.see(bytes);
        self.tail.see(bytes);
    }

    fn end(self: Box<Self>, _: &str, description: &mut Description) -> Result<(), SourceError> {
        self.tail.check("mariadb-dump", MARKER)?;
        description.log_position = log_position(&String::from_utf8_lossy(&self.head));
        for (database, tables) in self.rows.databases() {
            if let Some(known) = description.database(&database) {
                known.tables = tables;
            }
        }
        Ok(())
    }
}

/// The position as the dump says it: `MASTER_LOG_FILE='binlog.000003', MASTER_LOG_POS=342`.
fn log_position(head: &str) -> Option<String> {
    head.lines().find_map(|line| {
        let rest = POSITIONS.iter().find_map(|begin| line.strip_prefix(begin))?;
        Some(rest.trim_end_matches(';').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dump_program_has_its_words() {
        let of = |said| DumpTool::of(said).log_position();
        let mariadb =
            "mariadb-dump  Ver 10.19 Distrib 10.11.14-MariaDB, for debian-linux-gnu (x86_64)";
        assert_eq!(DumpTool::of(mariadb), DumpTool::Mariadb);
        assert_eq!(
            DumpTool::of("mariadb-dump from 11.4.2-MariaDB, client 10.19"),
            DumpTool::Mariadb
        );
        assert_eq!(of("mysqldump  Ver 8.0.25 for Linux on x86_64"), "--master-data=2");
        assert_eq!(of("mysqldump  Ver 8.4.3 for Linux on x86_64"), "--source-data=2");
    }

    #[test]
    fn the_position_of_the_log_is_found() {
        let head = "-- x\n\n-- CHANGE MASTER TO MASTER_LOG_FILE='binlog.000003', MASTER_LOG_POS=342;\n\nUSE `a`;";
        let found = log_position(head).unwrap();
        assert_eq!(found, "MASTER_LOG_FILE='binlog.000003', MASTER_LOG_POS=342");
        assert_eq!(log_position("-- nothing"), None);
    }
}
