//! The index: an SQLite file beside the repositories, for looking up what would need many files to be read.
//!
//! Invariants: holds nothing that cannot be rebuilt from the files; is written after the file, never
//! before it; every statement is scoped to one repository's row. An index of another version is thrown
//! away and rebuilt. What is answered in daily work costs what is asked, not what is kept: sums are carried
//! along by triggers, and nothing is counted.

mod figures;
mod grants;
mod kept;
mod manifests;
mod objects;
mod packs;
mod removal;
mod standing;
mod statements;
mod states;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lumbung_model::RepositoryId;
use lumbung_store::{StoreError, durable};
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params,
};

pub(crate) use figures::{alarm_figures, pulled_until, receipts};
pub(crate) use grants::{GrantRow, revoke, revoked};
pub(crate) use kept::Kept;
pub use manifests::AlarmRow;
pub(crate) use manifests::{
    Cursor, ManifestRow, add_orphan, orphan, receipt_given, receipts_given,
};
pub(crate) use objects::{
    ObjectRow, SessionRow, forget as forget_object, forget_session, forget_verified,
    forget_verified_segment, list as list_objects, list_sessions, object_domain, open_sessions,
    publish_sessions, set_verified, verified_segment,
};
pub(crate) use packs::{
    PackRow, add_bad_frames, bad_frames, forget as forget_pack, list as list_packs,
    list_between as list_packs_between, set_bad_frames,
};
pub(crate) use removal::{
    HoldRow, Lease, TombstoneRow, add_foreign_receipt, destroy, displace, end_leases,
    foreign_receipt, foreign_receipts, forget_manifest, greatest_age, is_destroyed, is_gone,
    is_released, receipts_of, release,
};
pub(crate) use standing::{OpeningRow, StandingRow, in_window};
pub(crate) use statements::{StatementRow, repositories, repository_status};
pub(crate) use states::{
    PackState, load_state, object_states, packs_with_holes, pending, save_object_state, save_state,
};

/// Raised with every change of the schema: an older file is rebuilt.
const VERSION: i64 = 6;
/// Connections kept for reading.
const READERS: usize = 4;

/// Why the index did not answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// No space left for it.
    #[error("no space left for the index at {}: free some; nothing was lost, reading goes on", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// SQLite refuses.
    #[error("the index at {} does not answer; if this persists, stop the vault and run `lumbung-vault reindex`", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

/// The open index.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

impl Index {
    /// Opens the index, making it if there is none.
    ///
    /// # Errors
    /// If SQLite cannot open or make it.
    pub(crate) fn open(path: &Path) -> Result<Self, IndexError> {
        let error = |source| sql_error(path, source);
        let mut writer = connect(path).map_err(error)?;
        let version: i64 =
            writer.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(error)?;
        if version != 0 && version != VERSION {
            drop(writer);
            remove(path)
                .map_err(|e| sql_error(path, rusqlite::Error::ToSqlConversionFailure(e.into())))?;
            writer = connect(path).map_err(error)?;
        }
        if version != VERSION {
            let tx =
                writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(error)?;
            tx.execute_batch(include_str!("schema.sql")).map_err(error)?;
            tx.pragma_update(None, "user_version", VERSION).map_err(error)?;
            tx.commit().map_err(error)?;
            durable::committed(path);
        }
        Ok(Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::default() })
    }

    /// Opens the index of a vault that may be running; nothing if there is none of this version.
    pub(crate) fn look(path: &Path) -> Result<Option<Self>, IndexError> {
        if !path.is_file() {
            return Ok(None);
        }
        let error = |source| sql_error(path, source);
        let writer = connect(path).map_err(error)?;
        let version: i64 =
            writer.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(error)?;
        let index =
            Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::default() };
        Ok((version == VERSION).then_some(index))
    }

    /// Runs a query: all its statements see one state.
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        self.snapshot()?.read(query)
    }

    /// The state of now, for as many queries as it is held. For short work: what is written meanwhile piles up
    /// behind it.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>, IndexError> {
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => connect(&self.path).map_err(|e| sql_error(&self.path, e))?,
        };
        connection.execute_batch("BEGIN").map_err(|e| sql_error(&self.path, e))?;
        Ok(Snapshot { index: self, connection: Some(connection) })
    }

    /// Runs a change as one durable transaction.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let run = |writer: &mut Connection| {
            let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = change(&tx)?;
            tx.commit()?;
            durable::committed(&self.path);
            Ok(value)
        };
        run(&mut writer).map_err(|e| sql_error(&self.path, e))
    }

    /// The row of a repository, made if it is new, and whether it is filled.
    pub(crate) fn repository(&self, repository: &RepositoryId) -> Result<(i64, bool), IndexError> {
        let find = |connection: &Connection| {
            connection
                .prepare_cached("SELECT id, filled FROM repositories WHERE repository = ?1")?
                .query_row([repository.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        };
        if let Some(row) = self.read(find)? {
            return Ok(row);
        }
        self.write(|tx| {
            tx.execute(
                "INSERT OR IGNORE INTO repositories (repository) VALUES (?1)",
                [repository.as_bytes()],
            )?;
            find(tx)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
    }

    /// Remembers that every file of a repository has its row.
    pub(crate) fn set_filled(&self, repo: i64) -> Result<(), IndexError> {
        self.write(|tx| {
            tx.execute(
                "UPDATE repositories SET filled = 1 WHERE id = ?1 AND filled = 0",
                params![repo],
            )
            .map(|_| ())
        })
    }
}

/// One state of the index, seen by one connection.
#[derive(Debug)]
pub(crate) struct Snapshot<'a> {
    index: &'a Index,
    /// Taken back when this is dropped.
    connection: Option<Connection>,
}

impl Snapshot<'_> {
    pub(crate) fn read<T>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let connection =
            self.connection.as_ref().expect("it has its connection until it is dropped");
        query(connection).map_err(|e| sql_error(&self.index.path, e))
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A connection that does not end its transaction is closed, which ends it.
        if connection.execute_batch("COMMIT").is_ok() {
            let mut readers = self.index.readers.lock().unwrap_or_else(PoisonError::into_inner);
            if readers.len() < READERS {
                readers.push(connection);
            }
        }
    }
}

/// Removes the index's files, for `reindex`.
///
/// # Errors
/// If one is there and cannot be removed.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    durable::remove_file(path)?;
    // Before its log goes: a file that comes back without the log that belongs to it would be believed.
    durable::sync_directory(path.parent().unwrap_or(Path::new("/")))?;
    for suffix in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        durable::remove_file(Path::new(&name))?;
    }
    Ok(())
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(20))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a committed row survives power loss, as the file that it describes does.
    connection.pragma_update(None, "synchronous", "FULL")?;
    // A row that is replaced goes before the new one comes: its trigger says so.
    connection.pragma_update(None, "recursive_triggers", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn sql_error(path: &Path, source: rusqlite::Error) -> IndexError {
    /// SQLITE_IOERR_SHMSIZE: the shared-memory file of the WAL could not grow.
    const SHM_SIZE: i32 = 10 | (19 << 8);
    let full = match &source {
        rusqlite::Error::SqliteFailure(error, _) => {
            error.code == ErrorCode::DiskFull || error.extended_code == SHM_SIZE
        }
        _ => false,
    };
    if full {
        IndexError::Full { path: path.to_owned() }
    } else {
        IndexError::Sql { path: path.to_owned(), source }
    }
}

/// SQLite's integers are signed; what we count fits.
pub(crate) fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A count that SQLite returned.
pub(crate) fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Joined ids of 32 bytes each.
pub(crate) fn join(ids: impl IntoIterator<Item = [u8; 32]>) -> Vec<u8> {
    ids.into_iter().flatten().collect()
}

/// The ids that [`join`] joined.
pub(crate) fn split(bytes: &[u8]) -> impl Iterator<Item = [u8; 32]> + '_ {
    bytes.chunks_exact(32).map(|chunk| {
        let mut id = [0; 32];
        id.copy_from_slice(chunk);
        id
    })
}
