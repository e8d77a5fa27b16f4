//! Counts for metrics. Each costs what it says and not what is kept.

use rusqlite::Connection;

use super::{DbError, count};

/// Alarms that last, by kind.
pub fn open_alarms(db: &Connection) -> Result<Vec<(String, u64)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT kind, count(*) FROM alarms WHERE cleared_s IS NULL GROUP BY kind ORDER BY kind",
    )?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, count(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reports that were ever kept. Their numbers are given once, so that nobody counts years of them.
pub fn reports(db: &Connection) -> Result<u64, DbError> {
    let mut statement = db.prepare_cached("SELECT coalesce(max(rowid), 0) FROM reports")?;
    Ok(statement.query_row([], |row| count(row, 0))?)
}
