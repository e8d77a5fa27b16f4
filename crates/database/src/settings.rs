//! Which source a job has, and what it needs of the host.

use std::path::PathBuf;

use lumbung_engine::Halt;
use lumbung_model::Timestamp;
use serde::Deserialize;

use crate::SourceError;
use crate::child::Launcher;
use crate::command::{self, CommandSettings};
use crate::mariadb::{self, MariadbSettings};
use crate::postgresql::{self, PostgresqlSettings};
use crate::source::Prepared;
use crate::sqlite::{self, SqliteSettings};

/// How a server is backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// SQL dumps: read by any later version, one database at a time.
    #[default]
    Logical,
    /// All of its files, as the server's own program copies them while it runs: quicker to bring back.
    Physical,
}

/// A source that is streamed.
#[derive(Debug, Clone)]
pub enum Settings {
    /// Dumps of a PostgreSQL server.
    Postgresql(Box<PostgresqlSettings>),
    /// A dump of a MariaDB or MySQL server.
    Mariadb(Box<MariadbSettings>),
    /// SQLite databases.
    Sqlite(SqliteSettings),
    /// The output of a command.
    Command(CommandSettings),
}

/// Places on this host, and how programs are started there.
#[derive(Debug, Clone)]
pub struct Places {
    /// Where systemd put the unit's credentials (`CREDENTIALS_DIRECTORY`).
    pub credentials: Option<PathBuf>,
    /// A folder of ours, for what cannot be streamed.
    pub scratch: PathBuf,
    /// What starts the programs that data is fed to.
    pub launcher: Launcher,
}

impl Settings {
    /// Looks at the source: whether it answers, with which version, and what it has.
    ///
    /// # Errors
    /// If it cannot be backed up, with what to do about it.
    pub fn prepare(
        &self,
        places: &Places,
        now: Timestamp,
        halt: &Halt,
    ) -> Result<Prepared, SourceError> {
        match self {
            Self::Postgresql(settings) => postgresql::prepare(settings, places, now, halt),
            Self::Mariadb(settings) => mariadb::prepare(settings, places, now, halt),
            Self::Sqlite(settings) => sqlite::prepare(settings, places, now),
            Self::Command(settings) => command::prepare(settings, places, now),
        }
    }
}
