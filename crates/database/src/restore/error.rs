//! Why a database is not restored.

use std::path::PathBuf;

use super::ReadError;
use crate::SourceError;
use crate::description::Kind;

/// What went wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The server or its tools.
    #[error(transparent)]
    Server(#[from] SourceError),
    /// A snapshot of a later version of Lumbung.
    #[error(
        "the snapshot's description has format {0}, which this version does not know: use a newer lumbung"
    )]
    Format(u32),
    /// Another kind of server.
    #[error("the snapshot is of kind {0:?}, the target is not: name the right kind of server")]
    OtherKind(Kind),
    /// A server that is older.
    #[error(
        "the snapshot is of version {snapshot}, the server has {server}: restore into {snapshot} or a newer version"
    )]
    OlderServer {
        /// The snapshot's.
        snapshot: String,
        /// The server's.
        server: String,
    },
    /// A database that was not backed up.
    #[error("the snapshot has no database {name:?}; it has {}", there.join(", "))]
    NotInSnapshot {
        /// What was asked for.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// A table that was not backed up.
    #[error(
        "the database of the snapshot has no table {0:?} with rows: `lumbung database show` with --json lists those that have some (of a partitioned table, name its partitions)"
    )]
    NoTable(String),
    /// Several tables of that name.
    #[error("several schemas have a table {name:?}: name one of {}", there.join(", "))]
    SeveralTables {
        /// What was asked for.
        name: String,
        /// What there is.
        there: Vec<String>,
    },
    /// A table is brought into a database, which is not there.
    #[error(
        "the server has no database {0:?} that the table could be brought into: name one with --as, or restore the whole database"
    )]
    NoPlace(String),
    /// A file that was not made.
    #[error("the snapshot has no {0}: it was backed up without")]
    NoFile(&'static str),
    /// A database of that name is there.
    #[error("the server has a database {0:?}: give another name with --as, or say --replace")]
    Exists(String),
    /// The snapshot cannot be read.
    #[error("the snapshot cannot be read to its end; the server is as it was")]
    Read(#[source] ReadError),
    /// A client program that would run commands of the dump.
    #[error(
        "{0} is too old to be kept from running programs that a dump names: install a newer one, or, if the server that was backed up was \
         never in other hands, say --trust-dump"
    )]
    Unrestricted(&'static str),
    /// A table's name that is none.
    #[error(
        "the snapshot's description names a table {0:?}, which is no name: it was tampered with; restore the files, and look at them"
    )]
    TableName(String),
    /// A statement of the log reaches further than the database.
    #[error(
        "a statement of the log reaches beyond the database ({0}), so nothing more of it is replayed: end the replay before it with \
         --until-position, and let the server log rows (binlog_format = ROW)"
    )]
    Elsewhere(String),
    /// A dump of PostgreSQL has no place in a log.
    #[error(
        "a dump of PostgreSQL stands still at its moment: for a later point in time bring a base backup back with `lumbung database recover`"
    )]
    NoReplay,
    /// A copy of MariaDB's files has one state.
    #[error(
        "a copy of MariaDB's files has one state: start the server on it, then replay its binary log with mariadb-binlog, or restore a dump with --log"
    )]
    NoPoint,
    /// A data directory that is none.
    #[error("{} is not empty: name a new folder", .0.display())]
    NotEmpty(PathBuf),
    /// A path that cannot stand in a setting.
    #[error("{} cannot be named in the server's settings: use an absolute path of letters, digits, '.', '-' and '_'", .0.display())]
    Path(PathBuf),
    /// Settings that name a library.
    #[error(
        "the copy's settings name a library ({0}) that would be loaded: if the server uses it, prepare the files by hand on a machine that may be lost"
    )]
    Plugin(String),
    /// The log does not lead on.
    #[error(
        "segment {0} of the log is missing, so the server cannot be brought beyond it: name a later snapshot of the log, or one of \
         another site"
    )]
    Gap(String),
    /// Rows are missing, or too many.
    #[error(
        "table {table} has {found} rows after the restore, {expected} were backed up; the server is as it was"
    )]
    Rows {
        /// The table.
        table: String,
        /// Rows of the snapshot.
        expected: u64,
        /// What the server counted.
        found: String,
    },
    /// A check gives another answer.
    #[error(
        "check {name:?} gives {found}, it gave {expected} when it was backed up; the server is as it was"
    )]
    Check {
        /// The check.
        name: String,
        /// The answer of then.
        expected: String,
        /// The answer of now.
        found: String,
    },
    /// The second load failed, after the old database was dropped.
    #[error(
        "{name} could not be loaded in the place of the old one; a whole copy is there as {copy}"
    )]
    Halfway {
        /// The database.
        name: String,
        /// Where its copy is.
        copy: String,
        /// Why.
        #[source]
        source: Box<RestoreError>,
    },
}
