//! How polling the vaults goes: results by site, cursors, what has not passed yet.

use lumbung_model::{ManifestId, ReceiptId, RepositoryId, SiteId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, id};

/// How the last polls of a site went.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PollRow {
    /// The last try.
    pub tried: Timestamp,
    /// The last one without an error.
    pub succeeded: Option<Timestamp>,
    /// What the vault's clock said at the last try that reached it.
    pub clock: Option<Timestamp>,
    /// When that was.
    pub reached: Option<Timestamp>,
    /// Version of its program.
    pub version: Option<String>,
    /// What went wrong last; none if the last try was good.
    pub error: Option<String>,
    /// When that was.
    pub error_at: Option<Timestamp>,
}

/// How the last polls of the site went; none before the first.
pub fn poll(db: &Connection, site: &SiteId) -> Result<Option<PollRow>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT tried_s, succeeded_s, clock_s, version, error, error_s, reached_s FROM site_polls WHERE site = ?",
    )?;
    let row = statement
        .query_row([site.as_bytes()], |row| {
            Ok(PollRow {
                tried: Timestamp(row.get(0)?),
                succeeded: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                clock: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                reached: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                version: row.get(3)?,
                error: row.get(4)?,
                error_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            })
        })
        .optional()?;
    Ok(row)
}

/// Notes that the vault answered: its clock, its version.
pub fn reached(
    db: &Connection,
    now: Timestamp,
    site: &SiteId,
    clock: Timestamp,
    version: &str,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO site_polls (site, tried_s, reached_s, clock_s, version) VALUES (?1, ?2, ?2, ?3, ?4)
         ON CONFLICT (site) DO UPDATE SET tried_s = ?2, reached_s = ?2, clock_s = ?3, version = ?4",
    )?
    .execute(params![site.as_bytes(), now.0, clock.0, version])?;
    Ok(())
}

/// Notes how a poll ended.
pub fn finished(
    db: &Connection,
    now: Timestamp,
    site: &SiteId,
    error: Option<&str>,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO site_polls (site, tried_s, succeeded_s, error, error_s)
         VALUES (?1, ?2, CASE WHEN ?3 IS NULL THEN ?2 END, ?3, CASE WHEN ?3 IS NULL THEN NULL ELSE ?2 END)
         ON CONFLICT (site) DO UPDATE SET tried_s = ?2, succeeded_s = coalesce(excluded.succeeded_s, succeeded_s),
            error = ?3, error_s = coalesce(excluded.error_s, error_s)",
    )?
    .execute(params![site.as_bytes(), now.0, error])?;
    Ok(())
}

/// The last arrival at the site that was dealt with.
pub fn cursor(db: &Connection, site: &SiteId, repository: &RepositoryId) -> Result<u64, DbError> {
    let mut statement =
        db.prepare_cached("SELECT arrival FROM poll_cursors WHERE site = ? AND repository = ?")?;
    let found = statement
        .query_row([site.as_bytes().as_slice(), repository.as_bytes()], |row| super::count(row, 0))
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// Moves the cursor on.
pub fn set_cursor(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
    arrival: u64,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO poll_cursors (site, repository, arrival) VALUES (?1, ?2, ?3)
         ON CONFLICT (site, repository) DO UPDATE SET arrival = max(arrival, ?3)",
    )?
    .execute(params![site.as_bytes(), repository.as_bytes(), super::signed(arrival)])?;
    Ok(())
}

/// Notes a snapshot that did not pass, to be asked for again.
pub fn put_pending(
    db: &Connection,
    now: Timestamp,
    site: &SiteId,
    repository: &RepositoryId,
    (manifest, receipt): (&ManifestId, &ReceiptId),
    error: &str,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO poll_pending (site, repository, manifest, receipt, error, first_s, last_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (site, repository, manifest) DO UPDATE SET receipt = ?4, error = ?5, last_s = ?6",
    )?
    .execute(params![
        site.as_bytes(),
        repository.as_bytes(),
        manifest.as_bytes(),
        receipt.as_bytes(),
        error,
        now.0
    ])?;
    Ok(())
}

/// Snapshots that did not pass: those asked for longest ago first.
pub fn pending(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
    limit: u32,
) -> Result<Vec<(ManifestId, ReceiptId, String)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT manifest, receipt, error FROM poll_pending WHERE site = ? AND repository = ? ORDER BY last_s, manifest LIMIT ?",
    )?;
    let rows =
        statement.query_map(params![site.as_bytes(), repository.as_bytes(), limit], |row| {
            Ok((
                ManifestId::from_bytes(id(row, 0)?),
                ReceiptId::from_bytes(id(row, 1)?),
                row.get(2)?,
            ))
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// It has passed.
pub fn drop_pending(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
    manifest: &ManifestId,
) -> Result<(), DbError> {
    db.prepare_cached(
        "DELETE FROM poll_pending WHERE site = ? AND repository = ? AND manifest = ?",
    )?
    .execute(params![site.as_bytes(), repository.as_bytes(), manifest.as_bytes()])?;
    Ok(())
}

/// Notes a repository at a site that no PD is known for; at most a thousand of them.
pub fn note_unregistered(
    db: &Connection,
    now: Timestamp,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO unregistered_repositories (repository, site, first_s, last_s)
         SELECT ?1, ?2, ?3, ?3 WHERE (SELECT count(*) FROM unregistered_repositories) < 1000
         ON CONFLICT (repository) DO UPDATE SET last_s = ?3",
    )?
    .execute(params![repository.as_bytes(), site.as_bytes(), now.0])?;
    Ok(())
}

/// Repositories at sites that no PD is known for.
pub fn unregistered(db: &Connection) -> Result<Vec<(RepositoryId, SiteId)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT repository, site FROM unregistered_repositories ORDER BY first_s, repository",
    )?;
    let rows = statement.query_map([], |row| {
        Ok((RepositoryId::from_bytes(id(row, 0)?), SiteId::from_bytes(id(row, 1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
