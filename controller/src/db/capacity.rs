//! Rows of how full things were, and of what moved, day by day. What follows is `crate::capacity`'s.
//!
//! Invariants: one row for each thing and day, the newest word wins; rows older than [`KEPT_DAYS`] go when a day ends.

use lumbung_model::forecast::Used;
use lumbung_model::{Day, ManifestId, PdId, SiteId};
use lumbung_wire::messages::capacity::{CapacityKind, MovedDay};
use rusqlite::{Connection, params};

use super::register::EVERY_PD;
use super::{DbError, count, id, signed, word};

/// How long days are kept: three years.
pub const KEPT_DAYS: u32 = 1096;

/// How full something was at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// The day.
    pub day: Day,
    /// What was used.
    pub used: u64,
    /// What there was in all; none: nobody says.
    pub limit: Option<u64>,
}

/// What a series is about.
pub type Subject = (CapacityKind, [u8; 16]);

/// Writes down how full something is.
pub fn put(db: &Connection, (kind, subject): Subject, level: &Level) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO capacity_days (kind, subject, day, used, capacity) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (kind, subject, day) DO UPDATE SET used = ?4, capacity = ?5
            WHERE used IS NOT ?4 OR capacity IS NOT ?5",
    )?
    .execute(params![
        kind.as_str(),
        subject,
        level.day.to_string(),
        signed(level.used),
        level.limit.map(signed)
    ])?;
    Ok(())
}

/// Everything that was ever measured and is not forgotten, by kind and subject.
pub fn subjects(db: &Connection) -> Result<Vec<Subject>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT DISTINCT kind, subject FROM capacity_days ORDER BY kind, subject",
    )?;
    Ok(statement
        .query_map([], |row| Ok((word(row, 0)?, id(row, 1)?)))?
        .collect::<Result<_, _>>()?)
}

/// One series, oldest day first, and what the newest day says.
pub fn series(
    db: &Connection,
    (kind, subject): Subject,
) -> Result<Option<(Vec<Used>, Level)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT day, used, capacity FROM capacity_days WHERE kind = ? AND subject = ? ORDER BY day",
    )?;
    let levels: Vec<Level> = statement
        .query_map(params![kind.as_str(), subject], |row| {
            let limit: Option<i64> = row.get(2)?;
            let limit = limit.map(|limit| limit.max(0).unsigned_abs());
            Ok(Level { day: word(row, 0)?, used: count(row, 1)?, limit })
        })?
        .collect::<Result<_, _>>()?;
    let series = levels.iter().map(|level| Used { day: level.day, used: level.used }).collect();
    Ok(levels.last().map(|newest| (series, *newest)))
}

/// Forgets what is older than three years.
pub fn forget(db: &Connection, today: Day) -> Result<(), DbError> {
    let first = today.minus_days(KEPT_DAYS).to_string();
    db.prepare_cached("DELETE FROM capacity_days WHERE day < ?")?.execute([&first])?;
    db.prepare_cached("DELETE FROM moved_days WHERE day < ?")?.execute([&first])?;
    Ok(())
}

/// Counts a snapshot that came to a site, with what its run added. A partial one protects what the whole one counts.
pub fn count_moved(
    db: &Connection,
    site: &SiteId,
    manifest: &ManifestId,
    day: Day,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO moved_days (repository, site, day, bytes, snapshots)
         SELECT m.repository, ?1, ?2, m.new_stored_bytes, 1 FROM manifests AS m
            WHERE m.id = ?3 AND m.partial = 0 AND m.new_stored_bytes IS NOT NULL
         ON CONFLICT (repository, site, day) DO UPDATE SET
            bytes = min(bytes + excluded.bytes, 1 << 60), snapshots = snapshots + 1",
    )?
    .execute(params![site.as_bytes(), day.to_string(), manifest.as_bytes()])?;
    Ok(())
}

/// What came to the sites since a day, of all PD or of one, newest day first.
pub fn moved(
    db: &Connection,
    pd: Option<&PdId>,
    since: Day,
) -> Result<Vec<(PdId, MovedDay)>, DbError> {
    let of_pd = if pd.is_some() { "r.pd = ?1" } else { EVERY_PD };
    let mut statement = db.prepare_cached(&format!(
        "SELECT r.pd, m.day, m.site, sum(m.bytes), sum(m.snapshots) FROM moved_days AS m
         JOIN repositories AS r ON r.id = m.repository
         WHERE {of_pd} AND m.day >= ?2 GROUP BY r.pd, m.day, m.site ORDER BY m.day DESC, m.site"
    ))?;
    let rows = statement.query_map(params![pd.map(PdId::as_bytes), since.to_string()], |row| {
        let (day, site) = (word(row, 1)?, SiteId::from_bytes(id(row, 2)?));
        let (bytes, snapshots) = (count(row, 3)?, count(row, 4)?);
        Ok((PdId::from_bytes(id(row, 0)?), MovedDay { day, site, bytes, snapshots }))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Since when anything of a PD's is counted, PD by PD.
pub fn first_moved(db: &Connection) -> Result<Vec<(PdId, Day)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT r.pd, min(m.day) FROM moved_days AS m JOIN repositories AS r ON r.id = m.repository GROUP BY r.pd",
    )?;
    let rows = statement.query_map([], |row| Ok((PdId::from_bytes(id(row, 0)?), word(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
