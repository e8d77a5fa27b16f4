//! Rows of the register: pools that virtual machines draw on, and handovers of access.

use lumbung_model::{ApplicationId, DatasetId, HandoverId, PdId, PoolId, ServerId, SiteId};
use lumbung_wire::messages::register::{Handover, Pool};
use rusqlite::{Connection, Row, params};

use super::audit::Deed;
use super::colocation::{all, maybe_day, one};
use super::register::{EVERY_PD, LIVE, record};
use super::{DbError, count, id, maybe_id, signed, word};
use crate::act::Act;

const POOL: &str =
    "SELECT id, site, name, vcpus, overcommit_percent, memory_bytes, disk_bytes FROM pools";

fn pool_row(row: &Row<'_>) -> rusqlite::Result<Pool> {
    Ok(Pool {
        id: PoolId::from_bytes(id(row, 0)?),
        site: SiteId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        vcpus: row.get(3)?,
        overcommit_percent: row.get(4)?,
        memory_bytes: count(row, 5)?,
        disk_bytes: count(row, 6)?,
    })
}

/// The pools that are not retired, by name.
pub fn pools(db: &Connection) -> Result<Vec<Pool>, DbError> {
    all(db, &format!("{POOL} WHERE {LIVE} ORDER BY name, id"), &[], pool_row)
}

/// The pool of that id.
pub fn pool(db: &Connection, pool: &PoolId) -> Result<Option<Pool>, DbError> {
    one(db, &format!("{POOL} WHERE id = ?"), &[pool.as_bytes()], pool_row)
}

/// The site's pool of that name.
pub fn pool_by_name(db: &Connection, site: &SiteId, name: &str) -> Result<Option<Pool>, DbError> {
    one(db, &format!("{POOL} WHERE site = ? AND name = ?"), &[site.as_bytes(), &name], pool_row)
}

/// Writes a pool.
pub fn put_pool(db: &Connection, act: &Act, pool: &Pool) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO pools (id, site, name, vcpus, overcommit_percent, memory_bytes, disk_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET site = ?2, name = ?3, vcpus = ?4, overcommit_percent = ?5, memory_bytes = ?6,
            disk_bytes = ?7",
    )?
    .execute(params![
        pool.id.as_bytes(),
        pool.site.as_bytes(),
        pool.name,
        pool.vcpus,
        pool.overcommit_percent,
        signed(pool.memory_bytes),
        signed(pool.disk_bytes),
    ])?;
    let deed = Deed { action: "pool.put", kind: "pool", id: &pool.id, pd: None };
    record(db, act, deed, pool.id.as_bytes(), pool)
}

const HANDOVER: &str =
    "SELECT id, pd, name, server, application, dataset, from_person, to_person, handed_on, letter,
    secret_kept_at, returned_on FROM handovers";

fn handover_row(row: &Row<'_>) -> rusqlite::Result<Handover> {
    Ok(Handover {
        id: HandoverId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        server: maybe_id(row, 3)?.map(ServerId::from_bytes),
        application: maybe_id(row, 4)?.map(ApplicationId::from_bytes),
        dataset: maybe_id(row, 5)?.map(DatasetId::from_bytes),
        from_person: row.get(6)?,
        to_person: row.get(7)?,
        handed_on: word(row, 8)?,
        letter: row.get(9)?,
        secret_kept_at: row.get(10)?,
        returned_on: maybe_day(row, 11)?,
    })
}

/// The handovers that are not retired, of all PD or of one, by name.
pub fn handovers(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Handover>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{HANDOVER} WHERE {of_pd} AND {LIVE} ORDER BY name, id");
    all(db, &sql, &[&pd.map(PdId::as_bytes)], handover_row)
}

/// The handover of that id.
pub fn handover(db: &Connection, handover: &HandoverId) -> Result<Option<Handover>, DbError> {
    one(db, &format!("{HANDOVER} WHERE id = ?"), &[handover.as_bytes()], handover_row)
}

/// The PD's handover of that name.
pub fn handover_by_name(
    db: &Connection,
    pd: &PdId,
    name: &str,
) -> Result<Option<Handover>, DbError> {
    let sql = format!("{HANDOVER} WHERE pd = ? AND name = ?");
    one(db, &sql, &[pd.as_bytes(), &name], handover_row)
}

/// Writes a handover.
pub fn put_handover(db: &Connection, act: &Act, row: &Handover) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO handovers (id, pd, name, server, application, dataset, from_person, to_person, handed_on, letter,
            secret_kept_at, returned_on)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, name = ?3, server = ?4, application = ?5, dataset = ?6, from_person = ?7,
            to_person = ?8, handed_on = ?9, letter = ?10, secret_kept_at = ?11, returned_on = ?12",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.pd.as_bytes(),
        row.name,
        row.server.map(|server| *server.as_bytes()),
        row.application.map(|application| *application.as_bytes()),
        row.dataset.map(|dataset| *dataset.as_bytes()),
        row.from_person,
        row.to_person,
        row.handed_on.to_string(),
        row.letter,
        row.secret_kept_at,
        row.returned_on.map(|day| day.to_string()),
    ])?;
    let deed = Deed { action: "handover.put", kind: "handover", id: &row.id, pd: Some(row.pd) };
    record(db, act, deed, row.id.as_bytes(), row)
}
