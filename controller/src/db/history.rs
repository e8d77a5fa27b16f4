//! The register as it was: every version of a row stands in `register_history`, and who made it in the audit log.

use lumbung_model::{DatasetId, PdId, Timestamp};
use lumbung_wire::audit::AuditEntry;
use lumbung_wire::messages::register::HistoryKind;
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

/// Which changes are asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of rows of this kind.
    pub kind: Option<HistoryKind>,
    /// Of this row.
    pub id: Option<String>,
    /// Of this PD's rows.
    pub pd: Option<PdId>,
    /// With a lower number.
    pub before: Option<i64>,
}

/// Changes of rows of the register with their numbers, newest first, of all the city or of one PD's scope. One PD's are
/// counted by themselves: the numbers tell nothing of what others do.
pub fn changes(
    db: &Connection,
    scope: Option<PdId>,
    wanted: &Wanted,
    limit: u32,
) -> Result<Vec<(i64, AuditEntry)>, DbError> {
    let kinds = HistoryKind::ALL.iter().map(|kind| format!("'{kind}'")).collect::<Vec<_>>();
    let (number, scoped) = match scope {
        None => ("sequence", "?1 IS NULL"),
        Some(_) => ("row_number() OVER (ORDER BY sequence)", "pd = ?1"),
    };
    // A condition that is not asked for would keep the index from being used.
    let asked = |given: bool, condition: &str| match given {
        true => format!(" AND {condition}"),
        false => String::new(),
    };
    let sql = format!(
        "SELECT own, entry FROM (
            SELECT {number} AS own, entry, subject_kind, subject, pd FROM audit
            WHERE {scoped} AND subject_kind IN ({}))
         WHERE (?2 IS NULL OR subject_kind = ?2) AND (?4 IS NULL OR pd = ?4){}{} ORDER BY own DESC LIMIT ?6",
        kinds.join(", "),
        asked(wanted.id.is_some(), "subject = ?3"),
        asked(wanted.before.is_some(), "own < ?5"),
    );
    let mut statement = db.prepare_cached(&sql)?;
    let pd = |pd: Option<PdId>| pd.map(|pd| *pd.as_bytes());
    let values = params![
        pd(scope),
        wanted.kind.map(HistoryKind::as_str),
        wanted.id,
        pd(wanted.pd),
        wanted.before,
        limit,
    ];
    let rows = statement.query_map(values, |row| Ok((row.get(0)?, json(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
