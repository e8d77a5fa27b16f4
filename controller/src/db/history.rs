//! The register as it was: every version of a row stands in `register_history`.

use lumbung_model::{DatasetId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;

use super::{DbError, count, json};

/// The rows of a kind as they were at `at`, but those that were retired then, in no particular order.
pub fn rows_at<T: DeserializeOwned>(
    db: &Connection,
    kind: &str,
    at: Timestamp,
) -> Result<Vec<T>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT row FROM register_history AS h WHERE kind = ?1 AND at_s <= ?2 AND json_extract(row, '$.retired') IS NULL AND NOT EXISTS (
            SELECT 1 FROM register_history AS later
            WHERE later.id = h.id AND later.sequence > h.sequence AND later.at_s <= ?2)",
    )?;
    let rows = statement.query_map(params![kind, at.0], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Stored bytes of the newest snapshot of the dataset that was known at `at` and that a roster vouches for.
pub fn bytes_at(db: &Connection, dataset: &DatasetId, at: Timestamp) -> Result<u64, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT coalesce(stored_bytes, 0) FROM authorized_manifests
         WHERE dataset = ? AND partial = 0 AND seen_s <= ? ORDER BY seen_s DESC LIMIT 1",
    )?;
    let found =
        statement.query_row(params![dataset.as_bytes(), at.0], |row| count(row, 0)).optional()?;
    Ok(found.unwrap_or_default())
}
