//! The agent's database: what each job did last, and the reports that wait for the controller.
//!
//! Invariants: SQLite with full synchronisation, so what was written is durable when the call returns;
//! the daemon and a run by hand use it at once. A report stays until the controller has acknowledged
//! it and [`KEEP_DAYS`] more, so that a controller restored from an older copy can be told again.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lumbung_model::{ManifestId, Timestamp};
use lumbung_wire::messages::{Outcome, Report, ReportId};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::plan::Record;

/// How long a report is kept after the controller has it.
pub const KEEP_DAYS: i64 = 7;
/// Reports that are kept at most, waiting ones too: decades of daily runs, years of hourly retries.
pub const KEEP_REPORTS: i64 = 50_000;
/// The schema; numbered from 1 by its place.
const MIGRATIONS: [&str; 1] = [include_str!("db/1.sql")];

/// Why the database did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// SQLite failed.
    #[error("the agent's database {} failed: check the disk; if it is damaged, move it away and start again (reports not sent yet are lost, backups are not)", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: rusqlite::Error,
    },
    /// The file was written by a later version.
    #[error("{} was written by a later version of lumbung-agent (schema {found}): install that version", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: i64,
    },
}

/// The database, open.
pub struct Db {
    connection: Connection,
    path: PathBuf,
}

/// How many reports wait and are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct SpoolCount {
    /// Not acknowledged yet.
    pub waiting: u64,
    /// Acknowledged, and kept for a while.
    pub kept: u64,
}

impl Db {
    /// Opens the database; makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be opened, or is newer than this program.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        let open = || -> rusqlite::Result<Connection> {
            // SQLite would make it readable by everybody; messages may name files.
            let made = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
            made.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
            let connection = Connection::open(path)?;
            connection.busy_timeout(Duration::from_secs(30))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            // A daemon that sleeps most of the day need not hold pages.
            connection.pragma_update(None, "cache_size", -128)?;
            Ok(connection)
        };
        let connection =
            open().map_err(|source| DbError::Sqlite { path: path.to_owned(), source })?;
        let mut db = Self { connection, path: path.to_owned() };
        db.migrate()?;
        Ok(db)
    }

    fn migrate(&mut self) -> Result<(), DbError> {
        let path = self.path.clone();
        let wrap = |source| DbError::Sqlite { path: path.clone(), source };
        // Immediate: of two programs that start at once, one migrates and the other sees it done.
        let behavior = rusqlite::TransactionBehavior::Immediate;
        let transaction = self.connection.transaction_with_behavior(behavior).map_err(wrap)?;
        let found: i64 =
            transaction.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrap)?;
        let done = usize::try_from(found).ok().filter(|n| *n <= MIGRATIONS.len());
        let Some(done) = done else { return Err(DbError::TooNew { path, found }) };
        for (number, sql) in (1_i64..).zip(MIGRATIONS).skip(done) {
            transaction.execute_batch(sql).map_err(wrap)?;
            transaction.pragma_update(None, "user_version", number).map_err(wrap)?;
        }
        transaction.commit().map_err(wrap)
    }

    fn wrap<T>(&self, result: rusqlite::Result<T>) -> Result<T, DbError> {
        result.map_err(|source| DbError::Sqlite { path: self.path.clone(), source })
    }

    /// What is known of a job; a job seen for the first time is known since `now`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn record(&self, job: &str, now: Timestamp) -> Result<Record, DbError> {
        let insert = "INSERT INTO job (name, known_since) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        let known = self.peek(job)?;
        if let Some(record) = known {
            return Ok(record);
        }
        self.wrap(self.connection.execute(insert, params![job, now.0]))?;
        Ok(self.peek(job)?.unwrap_or_else(|| Record::new(now)))
    }

    /// What is known of a job, without making it known.
    ///
    /// # Errors
    /// If the database fails.
    pub fn peek(&self, job: &str) -> Result<Option<Record>, DbError> {
        let sql = "SELECT known_since, last_started, last_finished, last_ok, failures, retry_at, outcome, message, \
                   manifest FROM job WHERE name = ?1";
        self.wrap(self.connection.query_row(sql, [job], read_record).optional())
    }

    /// Keeps what is known of a job.
    ///
    /// # Errors
    /// If it was not kept.
    pub fn write_record(&self, job: &str, record: &Record) -> Result<(), DbError> {
        let sql = "INSERT OR REPLACE INTO job (name, known_since, last_started, last_finished, last_ok, failures, \
                   retry_at, outcome, message, manifest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let seconds = |time: Option<Timestamp>| time.map(|t| t.0);
        self.wrap(self.connection.execute(
            sql,
            params![
                job,
                record.known_since.0,
                seconds(record.last_started),
                seconds(record.last_finished),
                seconds(record.last_ok),
                record.failures,
                seconds(record.retry_at),
                record.outcome.and_then(|o| serde_json::to_string(&o).ok()),
                record.message,
                record.manifest.map(|id| id.to_string()),
            ],
        ))?;
        Ok(())
    }

    /// Puts a report into the spool; the same one twice counts once.
    ///
    /// # Errors
    /// If it was not kept.
    pub fn push_report(&self, report: &Report) -> Result<(), DbError> {
        let body = serde_json::to_string(report).unwrap_or_default();
        let sql = "INSERT INTO report (id, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.wrap(self.connection.execute(sql, params![report.id.to_string(), body]))?;
        // A controller that stays away for ever must not fill the server's disk.
        let bound = "DELETE FROM report WHERE number <= (SELECT MAX(number) FROM report) - ?1";
        self.wrap(self.connection.execute(bound, [KEEP_REPORTS]))?;
        Ok(())
    }

    /// Reports after the `after`-th one ever, the oldest first: those not acknowledged, or all that are
    /// kept. With each its number, for the next page.
    ///
    /// # Errors
    /// If the database fails.
    pub fn reports(
        &self,
        after: i64,
        acknowledged_too: bool,
        limit: u32,
    ) -> Result<Vec<(i64, Report)>, DbError> {
        let sql = "SELECT number, body FROM report WHERE number > ?1 AND (?2 OR acknowledged IS NULL) \
                   ORDER BY number LIMIT ?3";
        let rows = |after: i64| {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params![after, acknowledged_too, limit], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<(i64, String)>>>()
        };
        let mut after = after;
        loop {
            let rows = self.wrap(rows(after))?;
            let Some((last, _)) = rows.last() else { return Ok(Vec::new()) };
            after = *last;
            // Those that cannot be read any more (an older version wrote them) must not hold up the others,
            // be it a whole page of them.
            let readable: Vec<(i64, Report)> = rows
                .into_iter()
                .filter_map(|(n, body)| Some((n, serde_json::from_str(&body).ok()?)))
                .collect();
            if !readable.is_empty() {
                return Ok(readable);
            }
        }
    }

    /// Marks reports as acknowledged at `now`; those that were acknowledged before keep their time.
    ///
    /// # Errors
    /// If it was not kept.
    pub fn acknowledge(&mut self, ids: &[ReportId], now: Timestamp) -> Result<(), DbError> {
        let sql = "UPDATE report SET acknowledged = ?2 WHERE id = ?1 AND acknowledged IS NULL";
        let mut update = || {
            let transaction = self.connection.transaction()?;
            for id in ids {
                transaction.execute(sql, params![id.to_string(), now.0])?;
            }
            transaction.commit()
        };
        let result = update();
        self.wrap(result)
    }

    /// Forgets what was acknowledged more than [`KEEP_DAYS`] before `now`.
    ///
    /// # Errors
    /// If the database fails.
    pub fn prune(&self, now: Timestamp) -> Result<usize, DbError> {
        let before = now.plus_seconds(-KEEP_DAYS * 86_400);
        self.wrap(self.connection.execute("DELETE FROM report WHERE acknowledged < ?1", [before.0]))
    }

    /// How many reports there are.
    ///
    /// # Errors
    /// If the database fails.
    pub fn spool(&self) -> Result<SpoolCount, DbError> {
        let sql =
            "SELECT COUNT(*) FILTER (WHERE acknowledged IS NULL), COUNT(acknowledged) FROM report";
        let count = |row: &Row<'_>| {
            let number = |n: i64| u64::try_from(n).unwrap_or(0);
            Ok(SpoolCount { waiting: number(row.get(0)?), kept: number(row.get(1)?) })
        };
        self.wrap(self.connection.query_row(sql, [], count))
    }

    /// A remembered number, such as the time of the last contact.
    ///
    /// # Errors
    /// If the database fails.
    pub fn memo(&self, key: Memo) -> Result<Option<i64>, DbError> {
        let sql = "SELECT value FROM memo WHERE key = ?1";
        self.wrap(self.connection.query_row(sql, [key.name()], |row| row.get(0)).optional())
    }

    /// Remembers a number.
    ///
    /// # Errors
    /// If it was not kept.
    pub fn set_memo(&self, key: Memo, value: i64) -> Result<(), DbError> {
        let sql = "INSERT OR REPLACE INTO memo (key, value) VALUES (?1, ?2)";
        self.wrap(self.connection.execute(sql, params![key.name(), value]))?;
        Ok(())
    }
}

/// The numbers that are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memo {
    /// When the controller last answered.
    ControllerSeen,
    /// Seconds by which the controller's clock is ahead of ours.
    ClockAhead,
    /// When everything kept was last sent again.
    ResentAll,
    /// When the controller last took what is seen of the host.
    InventoryTold,
    /// Disks whose SMART state could not be read for want of permission.
    RefusedDisks,
}

impl Memo {
    const fn name(self) -> &'static str {
        match self {
            Self::ControllerSeen => "controller_seen",
            Self::ClockAhead => "clock_ahead_s",
            Self::ResentAll => "resent_all",
            Self::InventoryTold => "inventory_told",
            Self::RefusedDisks => "refused_disks",
        }
    }
}

fn read_record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let time = |i| row.get::<_, Option<i64>>(i).map(|t| t.map(Timestamp));
    let outcome: Option<String> = row.get(6)?;
    let manifest: Option<String> = row.get(8)?;
    Ok(Record {
        known_since: Timestamp(row.get(0)?),
        last_started: time(1)?,
        last_finished: time(2)?,
        last_ok: time(3)?,
        failures: row.get(4)?,
        retry_at: time(5)?,
        outcome: outcome.and_then(|text| serde_json::from_str::<Outcome>(&text).ok()),
        message: row.get(7)?,
        manifest: manifest.and_then(|text| text.parse::<ManifestId>().ok()),
    })
}

#[cfg(test)]
mod tests;
