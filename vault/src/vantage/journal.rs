//! What was seen, until the controller has it and for a while after: a small database of its own.
//!
//! Invariants: what is delivered is durable here before; a number stands for one observation for ever, also if this file
//! is put back from an older copy: then the controller knows numbers that this file never sent, and what is new moves
//! behind them. Observations stay [`KEPT_S`], so that a controller that was restored asks again and gets them; the
//! oldest go first if there are more than [`ROWS_MAX`], and those that the controller never had are counted.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lumbung_model::{CheckId, Timestamp};
use lumbung_store::durable;
use lumbung_wire::messages::uptime::Observation;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

/// How long an observation is kept: 8 days, in seconds.
pub(crate) const KEPT_S: i64 = 8 * 86_400;
/// Observations kept: 690 checks a minute for eight days, 26 bytes each as measured with mostly good outcomes.
const ROWS_MAX: i64 = 8_000_000;
/// Highest number that is believed of a controller.
const NUMBER_MAX: i64 = i64::MAX / 4;
/// Raised with every change of the schema.
const VERSION: i64 = 1;

/// Why the journal does not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// SQLite refuses.
    #[error("what was seen cannot be kept in {}: if the disk is not full, move that file away and restart the vault", path.display())]
    Sql {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer program wrote it.
    #[error("{} was written by a newer lumbung-vault: update this one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// A number that cannot be.
    #[error(
        "the controller says that it has observation {0}, which nobody can have sent: is it the right one?"
    )]
    Number(u64),
}

/// An observation that has no number yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) check: CheckId,
    pub(crate) at: Timestamp,
    pub(crate) interval_s: u32,
    pub(crate) seen: lumbung_probe::Seen,
}

/// The open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    connection: Mutex<Connection>,
    rows_max: i64,
}

impl Journal {
    /// Opens the journal, making it if there is none. Blocks, as everything here.
    pub(crate) fn open(path: &Path) -> Result<Self, JournalError> {
        let error = |source| JournalError::Sql { path: path.to_owned(), source };
        let mut connection = connect(path).map_err(error)?;
        let version: i64 =
            connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(error)?;
        if version > VERSION {
            return Err(JournalError::Newer { path: path.to_owned() });
        }
        if version == 0 {
            let make = |connection: &mut Connection| {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                tx.execute_batch(include_str!("schema.sql"))?;
                tx.pragma_update(None, "user_version", VERSION)?;
                tx.commit()
            };
            make(&mut connection).map_err(error)?;
            durable::committed(path);
        }
        let connection = Mutex::new(connection);
        Ok(Self { path: path.to_owned(), connection, rows_max: ROWS_MAX })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn error(&self, source: rusqlite::Error) -> JournalError {
        JournalError::Sql { path: self.path.clone(), source }
    }

    /// One durable change.
    fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, JournalError> {
        let mut connection = self.lock();
        let run = |connection: &mut Connection| {
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = change(&tx)?;
            tx.commit()?;
            Ok(value)
        };
        let value = run(&mut connection).map_err(|source| self.error(source))?;
        durable::committed(&self.path);
        Ok(value)
    }

    /// Gives these the next numbers, in their order.
    pub(crate) fn add(&self, entries: &[Entry]) -> Result<(), JournalError> {
        self.write(|tx| {
            let mut last = progress(tx, "last")?;
            for entry in entries {
                last += 1;
                insert(tx, last, entry)?;
            }
            tx.execute("UPDATE progress SET last = ?1", [last]).map(|_| ())
        })
    }

    /// At most `limit` observations with higher numbers than this, ascending.
    pub(crate) fn after(
        &self,
        number: u64,
        limit: usize,
    ) -> Result<Vec<Observation>, JournalError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |connection: &Connection| {
            connection
                .prepare_cached(
                    "SELECT o.number, c.\"check\", o.at, o.interval_s, o.up, o.latency_ms, o.certificate_expires, o.detail
                     FROM observations o JOIN checks c ON c.id = o.\"check\" WHERE o.number > ?1 ORDER BY o.number LIMIT ?2",
                )?
                .query_map([number, limit], observation)?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read(&self.lock()).map_err(|source| self.error(source))
    }

    /// Notes, before they are sent, that observations up to this number are.
    pub(crate) fn sending(&self, through: u64) -> Result<(), JournalError> {
        let through = i64::try_from(through).map_err(|_| JournalError::Number(through))?;
        self.write(|tx| {
            tx.execute("UPDATE progress SET sent = ?1 WHERE sent < ?1", [through]).map(|_| ())
        })
    }

    /// Takes note of what the controller has. If that is more than was ever sent from here, this file is an older copy:
    /// what was never sent moves behind it. Says by how many numbers.
    pub(crate) fn heard(&self, through: u64) -> Result<u64, JournalError> {
        let number = i64::try_from(through).ok().filter(|number| *number <= NUMBER_MAX);
        let number = number.ok_or(JournalError::Number(through))?;
        self.write(|tx| {
            let (sent, last) = (progress(tx, "sent")?, progress(tx, "last")?);
            let by = (number - sent).max(0);
            if by > 0 {
                // By way of negative numbers: each is free when it is taken.
                let away = "UPDATE observations SET number = -(number + ?1) WHERE number > ?2";
                tx.execute(away, [by, sent])?;
                tx.execute("UPDATE observations SET number = -number WHERE number < 0", [])?;
                tx.execute(
                    "UPDATE progress SET last = ?1, sent = ?2",
                    [last.max(sent) + by, number],
                )?;
            }
            // Written only if it is news: every delivery asks, and each write is a sync.
            tx.execute("UPDATE progress SET acknowledged = ?1 WHERE acknowledged <> ?1", [number])?;
            Ok(u64::try_from(by).unwrap_or(0))
        })
    }

    /// Lets go of what is too old or too much. Says how many of it the controller never had.
    pub(crate) fn prune(&self, now: Timestamp) -> Result<u64, JournalError> {
        let oldest = now.plus_seconds(-KEPT_S);
        self.write(|tx| {
            let (last, had) = (progress(tx, "last")?, progress(tx, "acknowledged")?);
            // Numbers and times ascend together: the first that is young enough is soon found.
            let first_young: Option<i64> = tx.query_row(
                "SELECT min(number) FROM (SELECT number FROM observations WHERE at >= ?1 ORDER BY number LIMIT 1)",
                [oldest.0],
                |row| row.get(0),
            )?;
            let through = first_young.unwrap_or(last + 1).saturating_sub(1).max(last - self.rows_max);
            let lost: i64 = tx.query_row(
                "SELECT count(*) FROM observations WHERE number > ?1 AND number <= ?2",
                [had, through],
                |row| row.get(0),
            )?;
            tx.execute("DELETE FROM observations WHERE number <= ?1", [through])?;
            Ok(u64::try_from(lost).unwrap_or(0))
        })
    }

    /// Each check's newest outcome.
    pub(crate) fn outcomes(&self) -> Result<Vec<(CheckId, bool)>, JournalError> {
        let read = |connection: &Connection| {
            connection
                .prepare(
                    "SELECT c.\"check\", o.up FROM (SELECT max(number) AS number FROM observations GROUP BY \"check\") n
                     JOIN observations o ON o.number = n.number JOIN checks c ON c.id = o.\"check\"",
                )?
                .query_map([], |row| Ok((CheckId::from_bytes(row.get(0)?), row.get(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read(&self.lock()).map_err(|source| self.error(source))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(20))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL: a number that was given out survives power loss.
    connection.pragma_update(None, "synchronous", "FULL")?;
    Ok(connection)
}

fn progress(tx: &Transaction<'_>, column: &str) -> rusqlite::Result<i64> {
    tx.prepare_cached(&format!("SELECT {column} FROM progress"))?.query_row([], |row| row.get(0))
}

fn insert(tx: &Transaction<'_>, number: i64, entry: &Entry) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO checks (\"check\") VALUES (?1)")?
        .execute([entry.check.as_bytes()])?;
    let seen = &entry.seen;
    let detail = (!seen.detail.is_empty()).then_some(&seen.detail);
    tx.prepare_cached(
        "INSERT INTO observations (number, \"check\", at, interval_s, up, latency_ms, certificate_expires, detail)
         SELECT ?1, id, ?3, ?4, ?5, ?6, ?7, ?8 FROM checks WHERE \"check\" = ?2",
    )?
    .execute(params![
        number,
        entry.check.as_bytes(),
        entry.at.0,
        entry.interval_s,
        seen.up,
        seen.latency_ms,
        seen.certificate_expires.map(|at| at.0),
        detail
    ])
    .map(|_| ())
}

fn observation(row: &Row<'_>) -> rusqlite::Result<Observation> {
    Ok(Observation {
        number: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
        check: CheckId::from_bytes(row.get(1)?),
        at: Timestamp(row.get(2)?),
        interval_s: row.get(3)?,
        up: row.get(4)?,
        latency_ms: row.get(5)?,
        certificate_expires: row.get::<_, Option<i64>>(6)?.map(Timestamp),
        detail: row.get::<_, Option<String>>(7)?.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use lumbung_probe::Seen;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn entry(check: u8, at: i64, up: bool) -> Entry {
        let detail = if up { String::new() } else { "it answers 503".to_owned() };
        let seen = Seen {
            up,
            latency_ms: up.then_some(12),
            certificate_expires: up.then_some(Timestamp(NOW + 9)),
            detail,
        };
        Entry { check: CheckId::from_bytes([check; 16]), at: Timestamp(at), interval_s: 60, seen }
    }

    fn journal() -> (tempfile::TempDir, Journal) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("vantage.sqlite")).unwrap();
        (dir, journal)
    }

    fn numbers(journal: &Journal, after: u64) -> Vec<u64> {
        journal.after(after, 1000).unwrap().iter().map(|seen| seen.number).collect()
    }

    #[test]
    fn what_was_added_comes_back_whole_and_in_order() {
        let (dir, journal) = journal();
        journal.add(&[entry(1, NOW, true), entry(2, NOW, false)]).unwrap();
        drop(journal);
        let journal = Journal::open(&dir.path().join("vantage.sqlite")).unwrap();
        journal.add(&[entry(1, NOW + 60, false)]).unwrap();
        let all = journal.after(0, 10).unwrap();
        let expected = [entry(1, NOW, true), entry(2, NOW, false), entry(1, NOW + 60, false)];
        assert_eq!(all.len(), 3);
        for ((seen, entry), number) in all.iter().zip(&expected).zip(1..) {
            assert_eq!((seen.number, seen.check, seen.at), (number, entry.check, entry.at));
            assert_eq!((seen.up, seen.latency_ms), (entry.seen.up, entry.seen.latency_ms));
            assert_eq!(seen.certificate_expires, entry.seen.certificate_expires);
            assert_eq!((seen.interval_s, &seen.detail), (60, &entry.seen.detail));
        }
        assert_eq!(journal.after(1, 1).unwrap()[0].number, 2);
        let mut outcomes = journal.outcomes().unwrap();
        outcomes.sort();
        let [one, two] = [1, 2].map(|id| CheckId::from_bytes([id; 16]));
        assert_eq!(outcomes, [(one, false), (two, false)]);
    }

    #[test]
    fn what_was_delivered_stays_for_a_controller_that_is_restored() {
        let (_dir, journal) = journal();
        journal.add(&vec![entry(1, NOW, true); 5]).unwrap();
        journal.sending(5).unwrap();
        assert_eq!(journal.heard(5).unwrap(), 0);
        assert_eq!(journal.prune(Timestamp(NOW + KEPT_S)).unwrap(), 0);
        assert_eq!(journal.heard(2).unwrap(), 0, "it is an older copy");
        assert_eq!(numbers(&journal, 2), [3, 4, 5]);
        journal.add(&[entry(1, NOW + 60, true)]).unwrap();
        assert_eq!(numbers(&journal, 4), [5, 6], "no number is given again");
    }

    #[test]
    fn numbers_are_not_given_again_when_everything_was_let_go() {
        let (_dir, journal) = journal();
        journal.add(&vec![entry(1, NOW, true); 5]).unwrap();
        journal.sending(3).unwrap();
        journal.heard(3).unwrap();
        let lost = journal.prune(Timestamp(NOW + KEPT_S + 1)).unwrap();
        assert_eq!(lost, 2, "the controller never had 4 and 5");
        assert_eq!(numbers(&journal, 0), [] as [u64; 0]);
        journal.add(&[entry(1, NOW + KEPT_S, true)]).unwrap();
        assert_eq!(numbers(&journal, 0), [6]);
    }

    #[test]
    fn an_older_copy_of_the_file_takes_no_number_that_was_sent() {
        let (dir, journal) = journal();
        let path = dir.path().join("vantage.sqlite");
        journal.add(&vec![entry(1, NOW, true); 3]).unwrap();
        journal.sending(2).unwrap();
        journal.heard(2).unwrap();
        drop(journal);
        // It was copied here. Then it sent up to 10, and was put back.
        let journal = Journal::open(&path).unwrap();
        journal.add(&[entry(2, NOW + 600, false)]).unwrap();
        assert_eq!(numbers(&journal, 2), [3, 4]);
        assert_eq!(journal.heard(10).unwrap(), 8);
        assert_eq!(numbers(&journal, 0), [1, 2, 11, 12], "3 and 4 were never sent from this copy");
        assert_eq!(journal.after(10, 9).unwrap()[1].check, CheckId::from_bytes([2; 16]));
        journal.add(&[entry(1, NOW + 660, true)]).unwrap();
        assert_eq!(numbers(&journal, 10), [11, 12, 13]);
        assert_eq!(journal.heard(10).unwrap(), 0, "once");
        let fresh = Journal::open(&dir.path().join("other.sqlite")).unwrap();
        assert_eq!(fresh.heard(40).unwrap(), 40, "the file was lost");
        fresh.add(&[entry(1, NOW, true)]).unwrap();
        assert_eq!(numbers(&fresh, 0), [41]);
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let (_dir, mut journal) = journal();
        journal.rows_max = 10;
        journal.add(&vec![entry(1, NOW, true); 25]).unwrap();
        assert_eq!(journal.prune(Timestamp(NOW)).unwrap(), 15);
        assert_eq!(numbers(&journal, 0), (16..=25).collect::<Vec<u64>>());
    }

    #[test]
    fn numbers_beyond_reason_are_refused() {
        let (_dir, journal) = journal();
        for number in [u64::MAX, 1 << 62] {
            let error = journal.heard(number).unwrap_err();
            assert!(matches!(error, JournalError::Number(_)), "{error}");
        }
    }

    #[test]
    fn what_a_newer_program_wrote_is_left_alone() {
        let (dir, journal) = journal();
        let path = dir.path().join("vantage.sqlite");
        journal.lock().pragma_update(None, "user_version", VERSION + 1).unwrap();
        drop(journal);
        assert!(matches!(Journal::open(&path), Err(JournalError::Newer { .. })));
        std::fs::write(dir.path().join("bad"), vec![7; 8192]).unwrap();
        let error = Journal::open(&dir.path().join("bad")).unwrap_err();
        assert!(error.to_string().contains("move that file away"), "{error}");
    }
}
