//! The write-ahead log, kept short.
//!
//! SQLite begins the log anew only when a write finds no reader in it, and beside many readers it seldom does: ten thousand
//! agents that enrolled beside the reconciler grew it to 2.9 GB, which every read then had to look through. Beyond
//! [`LONG_BYTES`] writers wait for a moment until readers have left it (new ones no longer enter it then).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;

/// So long the log is left alone.
const LONG_BYTES: u64 = 64 << 20;
/// So long writers wait for readers, whose longest is an export.
const PATIENCE: Duration = Duration::from_millis(250);

/// A file that SQLite keeps beside a database, by how its name ends: its log is `-wal`.
pub(crate) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// The log of one database.
pub(super) struct Log {
    path: PathBuf,
    /// How long it may be before it is looked at again.
    until: AtomicU64,
}

impl Log {
    pub(super) fn of(database: &Path) -> Self {
        Self { path: beside(database, "-wal"), until: AtomicU64::new(LONG_BYTES) }
    }

    /// Shortens the log if it has grown long. Nothing depends on it: if readers stay, it is tried again once the log has
    /// grown as much again.
    pub(super) fn keep_short(&self, writer: &Connection) {
        let length = std::fs::metadata(&self.path).map_or(0, |found| found.len());
        if length <= self.until.load(Ordering::Relaxed) {
            return;
        }
        let until = match shorten(writer) {
            Ok(true) => LONG_BYTES,
            Ok(false) => length + LONG_BYTES,
            Err(error) => {
                tracing::warn!(%error, length, "the database's log could not be shortened");
                length + LONG_BYTES
            }
        };
        self.until.store(until, Ordering::Relaxed);
    }
}

/// Whether the log is empty now.
fn shorten(writer: &Connection) -> rusqlite::Result<bool> {
    writer.busy_timeout(PATIENCE)?;
    let busy = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
    writer.busy_timeout(super::BUSY)?;
    busy.map(|busy| !busy)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::super::{Db, DbError};
    use super::*;

    /// Stays in the log until told to stop: enters anew before it leaves, so that there is always a reader in it.
    fn read_on(path: &Path, stop: &AtomicBool) {
        let open = || Connection::open(path).unwrap();
        let (mut one, mut other) = (open(), open());
        let enter = |reader: &Connection| {
            reader.execute_batch("BEGIN; SELECT count(*) FROM settings;").unwrap();
        };
        enter(&one);
        while !stop.load(Ordering::Relaxed) {
            enter(&other);
            one.execute_batch("COMMIT").unwrap();
            std::mem::swap(&mut one, &mut other);
        }
    }

    #[test]
    fn the_log_stays_short_though_there_is_always_a_reader_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        let db = Db::create(&path).unwrap();
        let log = Log::of(&path);
        let stop = AtomicBool::new(false);
        let longest = std::thread::scope(|scope| {
            scope.spawn(|| read_on(&path, &stop));
            let grow = |_| {
                let fill =
                    "INSERT OR REPLACE INTO settings VALUES ('filling', hex(randomblob(4000000)))";
                db.write::<_, DbError>(|tx| Ok(tx.execute(fill, [])?)).unwrap();
                std::fs::metadata(&log.path).unwrap().len()
            };
            let longest = (0..60).map(grow).max().unwrap();
            stop.store(true, Ordering::Relaxed);
            longest
        });
        // 480 MB went through it.
        assert!(longest < 3 * LONG_BYTES, "{longest} bytes");
        let check = |tx: &rusqlite::Transaction<'_>| {
            Ok::<_, DbError>(tx.query_row("PRAGMA integrity_check", [], |row| row.get(0))?)
        };
        let integrity: String = db.read(check).unwrap();
        assert_eq!(integrity, "ok");
    }
}
