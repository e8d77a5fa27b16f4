//! The database: one SQLite file, and the only place that speaks SQL.
//!
//! Invariants: every write is kept whole or not at all, and durable when it returns (`IMMEDIATE` transactions, WAL with
//! `synchronous = FULL`); a read sees one consistent state, over which lies what agents have said of themselves and is
//! not written yet ([`heartbeats`]); the schema is the sum of the numbered migrations, and a file written by a newer
//! version is refused, not guessed at. Blocking: async callers go through [`Db::write_async`] and [`Db::read_async`].

pub mod agents;
pub mod alarms;
pub mod alerts;
pub mod anomalies;
pub mod approvals;
pub mod audit;
pub mod capacity;
pub mod caps;
pub mod care;
pub mod checks;
pub mod colocation;
mod commit;
pub mod consents;
pub mod deliveries;
pub mod deposits;
pub mod drills;
pub mod evidence;
pub mod facts;
pub mod figures;
pub mod findings;
pub mod follow_up;
pub mod heartbeats;
pub mod history;
pub mod hosts;
pub mod idempotency;
pub mod incidents;
mod log;
pub mod on_call;
pub mod people;
pub mod placement;
pub mod places;
pub mod policies;
pub mod polls;
pub mod pools;
pub mod register;
pub mod rehearsals;
pub mod removals;
pub mod retired;
pub mod rosters;
pub mod schema;
pub mod services;
pub mod sights;
pub mod standings;
pub mod stands;
pub mod succession;
pub mod tokens;
pub mod uptime;
pub mod verdicts;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior};
use tokio::sync::Notify;

use crate::heartbeats::Board;
pub(crate) use log::beside;

/// Why the database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The file cannot be opened.
    #[error(
        "cannot open the database {path}: check that it exists and belongs to this user (`lumbung-controller init` creates it)"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer version has written it.
    #[error(
        "the database {path} has schema {found}, this program knows up to {known}: install a newer lumbung-controller"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema's number.
        found: usize,
        /// The newest that this program knows.
        known: usize,
    },
    /// A migration failed.
    #[error("migration {name} of the database failed; nothing of it was kept")]
    Migration {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// What was changed could not be made durable.
    #[error("nothing was changed, since it could not be written: look at the disk")]
    Commit(#[source] Arc<rusqlite::Error>),
    /// A statement failed.
    #[error("the database failed: look at the disk and at the file's permissions")]
    Sql(#[from] rusqlite::Error),
    /// A stored value is not what was written.
    #[error("the database holds {what} that cannot be read: restore it from a backup")]
    Corrupt {
        /// What cannot be read.
        what: &'static str,
    },
    /// The worker that did it panicked.
    #[error("the database worker failed: see the log")]
    Worker,
}

/// How many readers are kept open between reads.
const IDLE_READERS: usize = 8;
/// How long whoever finds the database busy waits.
const BUSY: Duration = Duration::from_secs(30);

struct Inner {
    path: PathBuf,
    writer: Mutex<Connection>,
    queue: commit::Queue,
    readers: Mutex<Vec<Connection>>,
    written: Notify,
    /// Only asked whether somebody has written.
    watcher: Mutex<Connection>,
    board: Arc<Board>,
    log: log::Log,
}

/// The database. Cloning shares it.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

impl Db {
    /// Creates the file, or opens it, and brings its schema up to date.
    ///
    /// # Errors
    /// If it cannot be opened, is newer than this program, or a migration fails.
    pub fn create(path: &Path) -> Result<Self, DbError> {
        Self::with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens an existing file and brings its schema up to date.
    ///
    /// # Errors
    /// If it cannot be opened, is newer than this program, or a migration fails.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        Self::with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn with_flags(path: &Path, flags: OpenFlags) -> Result<Self, DbError> {
        let open_error = |source| DbError::Open { path: path.to_owned(), source };
        let mut writer = Connection::open_with_flags(path, flags).map_err(open_error)?;
        let board = Arc::new(Board::default());
        configure(&writer, &board).map_err(open_error)?;
        schema::migrate(&mut writer, path)?;
        let watcher = Connection::open_with_flags(path, flags).map_err(open_error)?;
        configure(&watcher, &board).map_err(open_error)?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            queue: commit::Queue::default(),
            readers: Mutex::new(Vec::new()),
            written: Notify::new(),
            watcher: Mutex::new(watcher),
            board,
            log: log::Log::of(path),
        })))
    }

    /// What agents have said and is not written yet. It lies over every read.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.0.board
    }

    /// A number that is another one after each write, of this program or of another. Cheap: it reads no page.
    ///
    /// # Errors
    /// If the database fails.
    pub fn version(&self) -> Result<i64, DbError> {
        let watcher = self.0.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = watcher.prepare_cached("PRAGMA data_version")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        // A panic in an earlier change rolled its transaction back: the connection is still good.
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` in one transaction: all of it is durable when this returns, or none of it happened.
    ///
    /// # Errors
    /// What `change` returns, or that the database failed.
    pub fn write<T, E: From<DbError>>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut writer = self.writer();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(DbError::from)?;
        let value = change(&transaction)?;
        transaction.commit().map_err(DbError::from)?;
        self.0.log.keep_short(&writer);
        self.0.written.notify_one();
        Ok(value)
    }

    /// Resolves once something was written since the last time that it did: for the one reconciler that waits for it.
    pub async fn written(&self) {
        self.0.written.notified().await;
    }

    /// Runs `query` against one consistent state.
    ///
    /// # Errors
    /// What `query` returns, or that the database failed.
    pub fn read<T, E: From<DbError>>(
        &self,
        query: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reader = self.take_reader()?;
        let value = {
            let transaction = reader.transaction().map_err(DbError::from)?;
            query(&transaction)?
        };
        let mut idle = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(reader);
        }
        Ok(value)
    }

    fn take_reader(&self) -> Result<Connection, DbError> {
        let idle = self.0.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(reader) = idle {
            return Ok(reader);
        }
        let open_error = |source| DbError::Open { path: self.0.path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let reader = Connection::open_with_flags(&self.0.path, flags).map_err(open_error)?;
        configure(&reader, &self.0.board).map_err(open_error)?;
        reader.pragma_update(None, "query_only", true).map_err(open_error)?;
        Ok(reader)
    }

    /// [`Self::read`] from async code.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub async fn read_async<T, E>(
        &self,
        query: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let db = self.clone();
        tokio::task::spawn_blocking(move || db.read(query))
            .await
            .unwrap_or_else(|_| Err(DbError::Worker.into()))
    }
}

/// Changed pages that one transaction keeps in memory before they go to the file ahead of its end: 64 MiB. Ids are random, so
/// a large import changes the same pages again and again, and with SQLite's own bound (2 MiB) each of them was written to the
/// log and read back for nearly every row. What is kept is given back when the transaction ends.
const SPILL_PAGES: i64 = 16_384;

fn configure(connection: &Connection, board: &Arc<Board>) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cache_spill", SPILL_PAGES)?;
    // Without it a statement whose LIMIT is bound is planned anew each time, which took longer than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(128);
    heartbeats::lay_over(connection, board)
}

/// The 16 or 32 bytes of an id or key in column `index`.
fn id<const N: usize>(row: &Row<'_>, index: usize) -> rusqlite::Result<[u8; N]> {
    row.get(index)
}

/// As [`id`], where the column may be null.
fn maybe_id<const N: usize>(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<[u8; N]>> {
    row.get(index)
}

/// A word of the register's vocabulary in column `index`.
fn word<T: std::str::FromStr>(row: &Row<'_>, index: usize) -> rusqlite::Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text: String = row.get(index)?;
    text.parse().map_err(|error: T::Err| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// What was written as JSON into column `index`.
fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text: String = row.get(index)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            index,
            rusqlite::types::Type::Text,
            Box::new(error),
        )
    })
}

/// As [`json`] reads it.
fn to_json(value: &impl serde::Serialize) -> Result<String, DbError> {
    serde_json::to_string(value).map_err(|_| DbError::Corrupt { what: "a value for JSON" })
}

/// A count in column `index`; they are written from unsigned numbers below 2^63.
fn count(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(index).map(|value| value.max(0).unsigned_abs())
}

/// An unsigned number as SQLite keeps it; what is beyond 2^63 is as good as infinite.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
