//! Rows of checks, and which place was told to look at which of them.
//!
//! Invariant: `check_places` has at most one open stretch for each check and place, and a check has life only in its
//! stretches: what is reckoned about a past day rests on them and not on what the check is now.

use std::collections::HashMap;

use lumbung_model::uptime::Timeline;
use lumbung_model::{CheckId, PdId, ServerId, ServiceId, SiteId, Timestamp};
use lumbung_wire::messages::register::Check;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::Deed;
use super::register::{EVERY_PD, record};
use super::{DbError, id, maybe_id, word};
use crate::act::Act;

const COLUMNS: &str =
    "id, pd, name, service, server, target, status, contains, address, any_certificate, interval_s,
    timeout_s, enabled";

fn check_row(row: &Row<'_>) -> rusqlite::Result<Check> {
    Ok(Check {
        id: CheckId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        service: maybe_id(row, 3)?.map(ServiceId::from_bytes),
        server: maybe_id(row, 4)?.map(ServerId::from_bytes),
        target: word(row, 5)?,
        status: row.get(6)?,
        contains: row.get(7)?,
        address: row.get(8)?,
        any_certificate: row.get(9)?,
        interval_s: row.get(10)?,
        timeout_s: row.get(11)?,
        enabled: row.get(12)?,
    })
}

/// The checks of all PD or of one, by name, but for those of what is retired.
pub fn checks(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Check>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!(
        "SELECT {COLUMNS} FROM checks AS c WHERE {of_pd}
         AND NOT EXISTS (SELECT 1 FROM retired AS r WHERE r.id IN (c.pd, c.service, c.server)) ORDER BY name, id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], check_row)?.collect::<Result<_, _>>()?)
}

/// Every check that ever was.
pub fn checks_ever(db: &Connection) -> Result<Vec<Check>, DbError> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM checks"))?;
    Ok(statement.query_map([], check_row)?.collect::<Result<_, _>>()?)
}

/// The checks that are to be looked at.
pub fn live(db: &Connection) -> Result<Vec<Check>, DbError> {
    let mut statement =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM live_checks ORDER BY id"))?;
    Ok(statement.query_map([], check_row)?.collect::<Result<_, _>>()?)
}

/// The check of that id.
pub fn check(db: &Connection, check: &CheckId) -> Result<Option<Check>, DbError> {
    let mut statement = db.prepare_cached(&format!("SELECT {COLUMNS} FROM checks WHERE id = ?"))?;
    Ok(statement.query_row([check.as_bytes()], check_row).optional()?)
}

/// The PD's check of that name.
pub fn check_by_name(db: &Connection, pd: &PdId, name: &str) -> Result<Option<Check>, DbError> {
    let sql = format!("SELECT {COLUMNS} FROM checks WHERE pd = ? AND name = ?");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_row(params![pd.as_bytes(), name], check_row).optional()?)
}

/// How many checks are to be looked at.
pub fn live_count(db: &Connection) -> Result<u64, DbError> {
    let mut statement = db.prepare_cached("SELECT count(*) FROM live_checks")?;
    Ok(statement.query_row([], |row| super::count(row, 0))?)
}

/// Writes a check.
pub fn put_check(db: &Connection, act: &Act, check: &Check) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO checks (id, pd, name, service, server, target, status, contains, address, any_certificate, interval_s,
            timeout_s, enabled)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (id) DO UPDATE SET name = ?3, target = ?6, status = ?7, contains = ?8, address = ?9,
            any_certificate = ?10, interval_s = ?11, timeout_s = ?12, enabled = ?13",
    )?
    .execute(params![
        check.id.as_bytes(),
        check.pd.as_bytes(),
        check.name,
        check.service.map(|service| *service.as_bytes()),
        check.server.map(|server| *server.as_bytes()),
        check.target.to_string(),
        check.status,
        check.contains,
        check.address,
        check.any_certificate,
        check.interval_s,
        check.timeout_s,
        check.enabled,
    ])?;
    let deed = Deed { action: "check.put", kind: "check", id: &check.id, pd: Some(check.pd) };
    record(db, act, deed, check.id.as_bytes(), check)
}

/// Writes that a place is told to look at the live checks from now on, and at no others. Of a check that is new, every
/// place that looks is told at once: until it has asked, it is one that should look and does not.
pub fn tell(db: &Connection, site: &SiteId, now: Timestamp) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE check_places SET until_s = max(?2, from_s) WHERE site = ?1 AND until_s IS NULL
            AND check_id NOT IN (SELECT id FROM live_checks)",
    )?
    .execute(params![site.as_bytes(), now.0])?;
    db.prepare_cached(
        "INSERT INTO check_places (check_id, site, from_s) SELECT c.id, l.site, ?2 FROM live_checks AS c
         JOIN (SELECT DISTINCT site FROM check_places WHERE until_s IS NULL UNION SELECT ?1) AS l
         WHERE NOT EXISTS (SELECT 1 FROM check_places AS p WHERE p.check_id = c.id AND p.site = l.site AND p.until_s IS NULL)
         ON CONFLICT (check_id, site, from_s) DO UPDATE SET until_s = NULL",
    )?
    .execute(params![site.as_bytes(), now.0])?;
    Ok(())
}

/// The places that are told to look at something now.
pub fn looking(db: &Connection) -> Result<Vec<SiteId>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT DISTINCT site FROM check_places WHERE until_s IS NULL")?;
    let rows = statement.query_map([], |row| Ok(SiteId::from_bytes(id(row, 0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes that a place looks at nothing any more, as of `then`.
pub fn dismiss(db: &Connection, site: &SiteId, then: Timestamp) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE check_places SET until_s = max(?2, from_s) WHERE site = ?1 AND until_s IS NULL",
    )?
    .execute(params![site.as_bytes(), then.0])?;
    Ok(())
}

/// Ends the stretches of checks that are not live any more, and of sites that are no more.
pub fn end_told(db: &Connection, now: Timestamp) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE check_places SET until_s = max(?1, from_s) WHERE until_s IS NULL
            AND (check_id NOT IN (SELECT id FROM live_checks)
                OR site IN (SELECT id FROM sites WHERE removed_s IS NOT NULL))",
    )?
    .execute([now.0])?;
    Ok(())
}

/// When each place was told to look at what, within a stretch of time.
pub fn told(
    db: &Connection,
    (from, until): (Timestamp, Timestamp),
) -> Result<HashMap<(CheckId, SiteId), Timeline<()>>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT check_id, site, from_s, coalesce(until_s, ?2) FROM check_places
         WHERE from_s < ?2 AND coalesce(until_s, ?2) > ?1 ORDER BY check_id, site, from_s",
    )?;
    let mut found: HashMap<(CheckId, SiteId), Timeline<()>> = HashMap::new();
    let mut rows = statement.query(params![from.0, until.0])?;
    while let Some(row) = rows.next()? {
        let key = (CheckId::from_bytes(id(row, 0)?), SiteId::from_bytes(id(row, 1)?));
        let (from, until) = (Timestamp(row.get(2)?), Timestamp(row.get(3)?));
        found.entry(key).or_default().push(from, until, ());
    }
    Ok(found)
}
