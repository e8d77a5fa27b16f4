//! PostgreSQL: one plain SQL dump for each database by `pg_dump`, roles and tablespaces by `pg_dumpall --globals-only`; or the whole server
//! by `pg_basebackup`, from which its log leads to any later point in time.
//!
//! Each dump is one transaction of its server. Plain text, so that an unchanged table is the same bytes on the next day, that rows are
//! counted on the way, and that the end has a marker.

mod base;
mod copy;
mod dump;
mod server;
pub(crate) mod session;
mod settings;
pub mod wal;

pub(crate) use copy::{is_name, last_identifier};
pub use server::Server;
pub use settings::{PostgresqlCheck, PostgresqlSettings};

use std::path::Path;

use lumbung_engine::Halt;
use lumbung_model::Timestamp;

use crate::description::{Description, Kind};
use crate::settings::Places;
use crate::source::{Part, Prepared, file_name};
use crate::{Database, Method, SourceError};

/// Where the dumps stand in the snapshot.
const FOLDER: &str = "/postgresql";

pub(crate) fn prepare(
    settings: &PostgresqlSettings,
    places: &Places,
    now: Timestamp,
    halt: &Halt,
) -> Result<Prepared, SourceError> {
    let server = Server::reach(settings, places)?;
    let found = server.look(halt)?;
    let tool_version = server.check_tools(&found, halt)?;
    let kind = match settings.method {
        Method::Logical => Kind::PostgresqlDump,
        Method::Physical => Kind::PostgresqlBase,
    };
    let mut description = Description::new(kind, now);
    description.server_version = found.version;
    description.tool_version = tool_version;
    if settings.method == Method::Physical {
        description.databases = found.databases;
        let base: Box<dyn Part> = Box::new(base::BaseBackup { server });
        let parts = vec![("base.tar".to_owned(), base)];
        return Ok(Prepared::new(Path::new(FOLDER), parts, description));
    }
    let chosen = settings.choose(&found.databases)?;
    let mut parts: Vec<(String, Box<dyn Part>)> = Vec::new();
    for database in chosen {
        let checks = settings.checks_of(&database.name);
        let part =
            dump::DatabaseDump { server: server.clone(), database: database.name.clone(), checks };
        parts.push((format!("dumps/{}.sql", file_name(&database.name)), Box::new(part)));
        description.databases.push(Database { tables: Vec::new(), ..database });
    }
    if settings.globals {
        parts.push((
            "globals.sql".to_owned(),
            Box::new(dump::GlobalsDump { server, passwords: settings.role_passwords }),
        ));
    }
    Ok(Prepared::new(Path::new(FOLDER), parts, description))
}
