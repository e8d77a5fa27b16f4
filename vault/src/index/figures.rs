//! Counts for metrics.

use lumbung_model::{SiteId, Timestamp};
use rusqlite::Connection;

use super::from_sql;

/// Receipts that this site ever gave.
pub(crate) fn receipts(connection: &Connection) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT COALESCE(SUM(receipts), 0) FROM repositories")?
        .query_row([], |row| row.get(0).map(from_sql))
}

/// Alarms that are kept, by kind: how many, and when the newest was raised.
pub(crate) fn alarm_figures(
    connection: &Connection,
) -> rusqlite::Result<Vec<(String, u64, Timestamp)>> {
    connection
        .prepare_cached("SELECT kind, COUNT(*), MAX(at) FROM alarms GROUP BY kind ORDER BY kind")?
        .query_map([], |row| Ok((row.get(0)?, from_sql(row.get(1)?), Timestamp(row.get(2)?))))?
        .collect()
}

/// For each source, when the newest of the snapshots to which its cursors point had its receipt here.
pub(crate) fn pulled_until(connection: &Connection) -> rusqlite::Result<Vec<(SiteId, Timestamp)>> {
    connection
        .prepare_cached(
            "SELECT c.source, MAX(m.received) FROM cursors AS c
             JOIN manifests AS m ON m.repo = c.repo AND m.manifest = c.manifest GROUP BY c.source",
        )?
        .query_map([], |row| Ok((SiteId::from_bytes(row.get(0)?), Timestamp(row.get(1)?))))?
        .collect()
}
