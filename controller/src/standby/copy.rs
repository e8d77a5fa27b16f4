//! Copies of the database: made by the controller that acts, taken by the standby.
//!
//! Invariants: a copy is one consistent state; it takes the place of the one before only once it was read through and found whole,
//! and only if it knows every statement that the one before knows: a promotion is never copied over. Whoever changes the
//! place holds its lock.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lumbung_model::Timestamp;
use lumbung_wire::client::{ClientError, Download};
use lumbung_wire::succession::{Chain, Relation};
use rusqlite::{Connection, OpenFlags};

use crate::db::{Db, DbError, beside};
use crate::state_dir::{StateDir, StateError};
use crate::succession;

/// Where a copy is made, and where one arrives.
const OUT: &str = "copy.out";
const IN: &str = "copy.in";

/// Why there is no new copy. The one before stays.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The controller does not answer, or gives none.
    #[error("the controller gives no copy of its database")]
    Controller(#[from] ClientError),
    /// A file cannot be written or read.
    #[error("cannot {action} {path}: look at the disk, and at the directory's owner", path = path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What arrived is no whole database.
    #[error("the copy that arrived is damaged ({0}): it is not used, and fetched again")]
    Damaged(String),
    /// It knows less than this standby.
    #[error(
        "the copy does not know every statement that is known here: another one acts, or this standby was promoted"
    )]
    Older,
    /// Somebody has the database open.
    #[error(
        "somebody has the standby's database open: end what uses it, the next copy comes by itself"
    )]
    InUse,
    /// The data directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The database failed.
    #[error("the database cannot be copied")]
    Db(#[from] DbError),
}

fn sql(error: rusqlite::Error) -> CopyError {
    CopyError::Db(DbError::Sql(error))
}

/// A consistent copy of the database, in a file that has no name any more: it is gone when it is closed.
///
/// # Errors
/// If it cannot be made.
pub fn make(data_dir: &Path) -> Result<File, CopyError> {
    let state = StateDir::at(data_dir);
    // Each in a file of its own: two standbys may ask at the same time.
    let name = format!("{OUT}.{}", lumbung_model::InstanceId::random());
    let path = data_dir.join(name);
    let io = |action, source| CopyError::File { action, path: path.clone(), source };
    // Made empty and private first: SQLite fills it.
    private(&path).map_err(|source| io("create", source))?;
    let copied = (|| {
        let from = Connection::open_with_flags(
            state.database(),
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        from.busy_timeout(std::time::Duration::from_secs(30))?;
        from.execute("VACUUM INTO ?1", [path.to_string_lossy()])
    })();
    let file = copied.map_err(sql).and_then(|_| File::open(&path).map_err(|e| io("open", e)));
    std::fs::remove_file(&path).map_err(|source| io("remove", source))?;
    file
}

fn private(path: &Path) -> std::io::Result<File> {
    let _ = std::fs::remove_file(path);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// An empty file for what arrives. What SQLite left beside one that was refused would be taken for this one's.
fn incoming(path: &Path) -> std::io::Result<File> {
    for ending in ["-wal", "-shm", "-journal"] {
        match std::fs::remove_file(beside(path, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    private(path)
}

/// Removes the copies that were being made when the program was killed: each is as large as the database, and in nobody's
/// hands. For whoever starts; how many there were.
///
/// # Errors
/// If the directory cannot be read, or one cannot be removed.
pub fn sweep(data_dir: &Path) -> Result<usize, CopyError> {
    let io = |source| CopyError::File { action: "clear", path: data_dir.to_owned(), source };
    let mut swept = 0;
    for entry in std::fs::read_dir(data_dir).map_err(io)? {
        let entry = entry.map_err(io)?;
        // The copy itself, and what SQLite had beside it.
        let name = entry.file_name();
        if name.to_string_lossy().strip_prefix(OUT).is_some_and(|rest| rest.starts_with('.')) {
            std::fs::remove_file(entry.path()).map_err(io)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Writes what arrives beside the database; its end is on the disk when this returns.
///
/// # Errors
/// If it breaks off, or cannot be written.
pub async fn receive(data_dir: &Path, mut from: Download) -> Result<(), CopyError> {
    let path = data_dir.join(IN);
    let io = |source| CopyError::File { action: "write", path: path.clone(), source };
    let mut file = incoming(&path).map_err(io)?;
    while let Some(piece) = from.piece().await? {
        file = tokio::task::spawn_blocking(move || file.write_all(&piece).map(|()| file))
            .await
            .map_err(|_| DbError::Worker)?
            .map_err(io)?;
    }
    let synced = tokio::task::spawn_blocking(move || file.sync_all()).await;
    synced.map_err(|_| DbError::Worker)?.map_err(io)
}

/// Puts what has arrived in the place of the database, if it is whole and knows no less. Says what it knows of who acts.
///
/// # Errors
/// If it is not, or the database is in use.
pub fn settle(state: &StateDir, now: Timestamp) -> Result<Chain, CopyError> {
    let _held = state.lock_copy()?;
    let (place, arrived) = (state.database(), state.database().with_file_name(IN));
    let newer = look_through(&arrived)?;
    let known = peek(&place)?;
    if !known.is_none_or(|known| matches!(newer.relation(&known), Relation::Same | Relation::Newer))
    {
        return Err(CopyError::Older);
    }
    // The last who closed it has emptied its log into it, and a log beside another database would ruin that one.
    if beside(&place, "-wal").exists() {
        return Err(CopyError::InUse);
    }
    let io = |source| CopyError::File { action: "replace", path: place.clone(), source };
    std::fs::rename(&arrived, &place).map_err(io)?;
    File::open(state.path()).and_then(|dir| dir.sync_all()).map_err(io)?;
    state.note_copied(now)?;
    Ok(newer)
}

/// Reads a database through; the statements in it.
///
/// # Errors
/// If it is damaged, contradicts itself, was written by a newer version, or names no officers.
pub fn look_through(path: &Path) -> Result<Chain, CopyError> {
    check(path)?;
    let db = Db::open(path)?;
    db.read(|tx| succession::chain(tx))?
        .ok_or_else(|| CopyError::Damaged("it names no officers".to_owned()))
}

/// Whether a database is whole in itself.
///
/// # Errors
/// If it is damaged or contradicts itself.
pub fn check(path: &Path) -> Result<(), CopyError> {
    let found = (|| {
        let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let whole: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        let stray: i64 =
            db.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
        Ok::<_, rusqlite::Error>((whole, stray))
    })();
    match found {
        Ok((whole, 0)) if whole == "ok" => Ok(()),
        Ok((whole, 0)) => Err(CopyError::Damaged(whole)),
        Ok((_, stray)) => Err(CopyError::Damaged(format!("{stray} rows refer to nothing"))),
        Err(error) => Err(CopyError::Damaged(error.to_string())),
    }
}

/// The statements in a database that may be in use, or not be there yet.
///
/// # Errors
/// If it cannot be read.
pub fn peek(path: &Path) -> Result<Option<Chain>, CopyError> {
    if !path.exists() {
        return Ok(None);
    }
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sql)?;
    db.busy_timeout(std::time::Duration::from_secs(30)).map_err(sql)?;
    let has = "SELECT count(*) FROM sqlite_master WHERE name = 'succession'";
    let known: i64 = db.query_row(has, [], |row| row.get(0)).map_err(sql)?;
    if known == 0 { Ok(None) } else { Ok(succession::chain(&db)?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_arrives_finds_no_log_of_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(IN);
        let names = [IN, "copy.in-wal", "copy.in-shm", "copy.in-journal"];
        for name in names {
            std::fs::write(dir.path().join(name), b"old").unwrap();
        }
        let database = dir.path().join("controller.db-wal");
        std::fs::write(&database, b"mine").unwrap();
        assert_eq!(incoming(&path).unwrap().metadata().unwrap().len(), 0);
        let left = names.map(|name| dir.path().join(name).exists());
        assert_eq!(left, [true, false, false, false]);
        assert!(database.exists());
    }

    #[test]
    fn copies_that_a_crash_left_are_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let goes = ["copy.out.0011", "copy.out.0011-journal"];
        let stays = ["copy.in", "copy.lock", "copied", "controller.db", "copy.outline"];
        for name in goes.iter().chain(&stays) {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        assert_eq!(sweep(dir.path()).unwrap(), 2);
        assert!(goes.iter().all(|name| !dir.path().join(name).exists()));
        assert!(stays.iter().all(|name| dir.path().join(name).exists()));
    }
}
