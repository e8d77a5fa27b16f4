//! Rows of the caps that sites were given: the newest list of each, and whether its vault keeps to it.

use lumbung_model::{SiteId, Timestamp};
use lumbung_wire::messages::caps::SiteCaps;
use rusqlite::{Connection, OptionalExtension, params};

use super::{DbError, json, to_json};

/// A site's newest list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapsRow {
    /// The list.
    pub caps: SiteCaps,
    /// When it was made.
    pub made: Timestamp,
    /// When the vault said last that it keeps to it.
    pub taken: Option<Timestamp>,
    /// What went wrong at the last try.
    pub error: Option<String>,
}

/// The newest list of a site.
pub fn of(db: &Connection, site: &SiteId) -> Result<Option<CapsRow>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT content, made_s, taken_s, error FROM site_caps WHERE site = ?")?;
    let row = statement
        .query_row([site.as_bytes()], |row| {
            Ok(CapsRow {
                caps: json(row, 0)?,
                made: Timestamp(row.get(1)?),
                taken: row.get::<_, Option<i64>>(2)?.map(Timestamp),
                error: row.get(3)?,
            })
        })
        .optional()?;
    Ok(row)
}

/// Writes down a list that the site is to keep to from now on. One that takes the place of a list that the vault has not taken
/// changes nothing of how long the site is late, and why.
pub fn put(db: &Connection, now: Timestamp, caps: &SiteCaps) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO site_caps (site, version, content, made_s) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (site) DO UPDATE SET version = ?2, content = ?3, taken_s = NULL,
            made_s = CASE WHEN taken_s IS NULL THEN made_s WHEN error IS NOT NULL THEN taken_s ELSE ?4 END",
    )?
    .execute(params![caps.site.as_bytes(), super::signed(caps.version), to_json(caps)?, now.0])?;
    Ok(())
}

/// Notes what became of giving it to the vault, unless there is a newer list by now.
pub fn tried(
    db: &Connection,
    now: Timestamp,
    (site, version): (&SiteId, u64),
    error: Option<&str>,
) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE site_caps SET error = ?3, taken_s = CASE WHEN ?3 IS NULL THEN ?4 ELSE taken_s END
         WHERE site = ?1 AND version = ?2",
    )?
    .execute(params![site.as_bytes(), super::signed(version), error, now.0])?;
    Ok(())
}
