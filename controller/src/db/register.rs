//! Rows of the register: sites, PD, servers, datasets, and which PD a repository belongs to.
//!
//! Invariants: every change of a row writes its new version to `register_history` and to the audit log, with who made
//! it; nothing is deleted.
//! Rules (what a name may be, who may own what) are `crate::register`'s.

use lumbung_model::{
    AgentId, ApplicationId, DatasetId, PdId, PoolId, PublicKey, RepositoryId, RoomId, ServerId,
    SiteId, Timestamp, TlsPin,
};
use lumbung_wire::messages::register::{Dataset, DatasetKind, HeartbeatState, Pd, Server, Site};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;

use super::audit::{self, Deed};
use super::{DbError, count, id, json, maybe_id, signed, to_json, word};
use crate::act::Act;

/// Writes a row's new version down, and who made it.
pub(super) fn record(
    db: &Connection,
    act: &Act,
    deed: Deed<'_>,
    id: &[u8],
    row: &impl Serialize,
) -> Result<(), DbError> {
    let corrupt = |_| DbError::Corrupt { what: "a register row" };
    let before: Option<String> = db
        .prepare_cached(
            "SELECT row FROM register_history WHERE id = ? ORDER BY sequence DESC LIMIT 1",
        )?
        .query_row([id], |row| row.get(0))
        .optional()?;
    let before = before.map(|text| serde_json::from_str(&text)).transpose().map_err(corrupt)?;
    let after = serde_json::to_value(row).map_err(corrupt)?;
    keep_version(db, act, deed.kind, id, &after.to_string())?;
    audit::append(db, act, deed, before, Some(after))
}

fn keep_version(
    db: &Connection,
    act: &Act,
    kind: &str,
    id: &[u8],
    row: &str,
) -> Result<(), DbError> {
    db.prepare_cached("INSERT INTO register_history (at_s, kind, id, row) VALUES (?, ?, ?, ?)")?
        .execute(params![act.now.0, kind, id, row])?;
    Ok(())
}

const SITE: &str =
    "SELECT id, name, kind, latitude, longitude, address, url, receipt_key, tls_pin, link, rate, windows FROM sites
     WHERE removed_s IS NULL";

fn site_row(row: &Row<'_>) -> rusqlite::Result<Site> {
    Ok(Site {
        id: SiteId::from_bytes(id(row, 0)?),
        name: row.get(1)?,
        kind: word(row, 2)?,
        latitude: row.get(3)?,
        longitude: row.get(4)?,
        address: row.get(5)?,
        url: row.get(6)?,
        receipt_key: maybe_id(row, 7)?.map(PublicKey::from_bytes),
        tls_pin: maybe_id(row, 8)?.map(TlsPin::from_bytes),
        link: row.get(9)?,
        rate: row.get(10)?,
        windows: json(row, 11)?,
    })
}

/// All sites, by name.
pub fn sites(db: &Connection) -> Result<Vec<Site>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SITE} ORDER BY name"))?;
    Ok(statement.query_map([], site_row)?.collect::<Result<_, _>>()?)
}

/// The site of that id.
pub fn site(db: &Connection, site: &SiteId) -> Result<Option<Site>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SITE} AND id = ?"))?;
    Ok(statement.query_row([site.as_bytes()], site_row).optional()?)
}

/// The site of that name.
pub fn site_by_name(db: &Connection, name: &str) -> Result<Option<Site>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SITE} AND name = ?"))?;
    Ok(statement.query_row([name], site_row).optional()?)
}

/// When the site enrolled.
pub fn site_enrolled(db: &Connection, site: &SiteId) -> Result<Option<Timestamp>, DbError> {
    let mut statement = db.prepare_cached("SELECT enrolled_s FROM sites WHERE id = ?")?;
    let found: Option<Option<i64>> =
        statement.query_row([site.as_bytes()], |row| row.get(0)).optional()?;
    Ok(found.flatten().map(Timestamp))
}

/// Writes a site: new, or in place of the one with its id.
pub fn put_site(db: &Connection, act: &Act, site: &Site) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO sites (id, name, kind, latitude, longitude, address, url, receipt_key, tls_pin, link, rate, windows)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT (id) DO UPDATE SET name = ?2, kind = ?3, latitude = ?4, longitude = ?5, address = ?6,
            url = ?7, receipt_key = ?8, tls_pin = ?9, link = ?10, rate = ?11, windows = ?12",
    )?
    .execute(params![
        site.id.as_bytes(),
        site.name,
        site.kind.as_str(),
        site.latitude,
        site.longitude,
        site.address,
        site.url,
        site.receipt_key.map(|key| *key.as_bytes()),
        site.tls_pin.map(|pin| *pin.as_bytes()),
        site.link,
        site.rate,
        to_json(&site.windows)?,
    ])?;
    let deed = Deed { action: "site.put", kind: "site", id: &site.id, pd: None };
    record(db, act, deed, site.id.as_bytes(), site)
}

/// Takes a site out of the register. Its row stays, for what it signed, without the keys by which that would count, and
/// under a name that another site may take over; what was open about it goes.
pub fn remove_site(db: &Connection, act: &Act, site: &SiteId) -> Result<(), DbError> {
    let Some(before) = self::site(db, site)? else { return Ok(()) };
    db.prepare_cached(
        "UPDATE sites SET removed_s = ?1, name = ?2, url = NULL, receipt_key = NULL, tls_pin = NULL WHERE id = ?3",
    )?
    .execute(params![
        act.now.0,
        format!("{} (removed, {})", before.name, site.short()),
        site.as_bytes()
    ])?;
    db.prepare_cached("UPDATE alarms SET cleared_s = ? WHERE site = ? AND cleared_s IS NULL")?
        .execute(params![act.now.0, site.as_bytes()])?;
    db.prepare_cached("DELETE FROM tokens WHERE site = ? AND used_s IS NULL")?
        .execute([site.as_bytes()])?;
    keep_version(db, act, "site", site.as_bytes(), "{\"removed\":true}")?;
    let deed = Deed { action: "site.remove", kind: "site", id: site, pd: None };
    audit::append(db, act, deed, Some(audit::shown(&before)?), None)
}

/// Whether the site was in the register and is no longer.
pub fn is_removed_site(db: &Connection, site: &SiteId) -> Result<bool, DbError> {
    let mut statement =
        db.prepare_cached("SELECT 1 FROM sites WHERE id = ? AND removed_s IS NOT NULL")?;
    Ok(statement.exists([site.as_bytes()])?)
}

/// The name of a site that is in the register, or was.
pub fn site_ever(db: &Connection, site: &SiteId) -> Result<Option<String>, DbError> {
    let mut statement = db.prepare_cached("SELECT name FROM sites WHERE id = ?")?;
    Ok(statement.query_row([site.as_bytes()], |row| row.get(0)).optional()?)
}

/// Gives a registered site the id that its vault was made with, and marks it enrolled.
pub fn enrol_site(
    db: &Connection,
    act: &Act,
    registered: &SiteId,
    own: &SiteId,
) -> Result<(), DbError> {
    db.execute(
        "UPDATE sites SET id = ?1, enrolled_s = ?2 WHERE id = ?3",
        params![own.as_bytes(), act.now.0, registered.as_bytes()],
    )?;
    Ok(())
}

const PD: &str = "SELECT id, code, name, contact, mandiri_tik, kind, runs_pusat_data, link, rate, windows FROM pds";

fn pd_row(row: &Row<'_>) -> rusqlite::Result<Pd> {
    Ok(Pd {
        id: PdId::from_bytes(id(row, 0)?),
        code: row.get(1)?,
        name: row.get(2)?,
        contact: row.get(3)?,
        mandiri_tik: row.get(4)?,
        kind: word(row, 5)?,
        runs_pusat_data: row.get(6)?,
        link: row.get(7)?,
        rate: row.get(8)?,
        windows: json(row, 9)?,
    })
}

/// The PD that are not retired, by code.
pub fn pds(db: &Connection) -> Result<Vec<Pd>, DbError> {
    let mut statement = db.prepare_cached(&format!("{PD} WHERE {LIVE} ORDER BY code"))?;
    Ok(statement.query_map([], pd_row)?.collect::<Result<_, _>>()?)
}

/// All PD, also those that are retired, by code.
pub fn pds_ever(db: &Connection) -> Result<Vec<Pd>, DbError> {
    let mut statement = db.prepare_cached(&format!("{PD} ORDER BY code"))?;
    Ok(statement.query_map([], pd_row)?.collect::<Result<_, _>>()?)
}

/// The PD of that id.
pub fn pd(db: &Connection, pd: &PdId) -> Result<Option<Pd>, DbError> {
    let mut statement = db.prepare_cached(&format!("{PD} WHERE id = ?"))?;
    Ok(statement.query_row([pd.as_bytes()], pd_row).optional()?)
}

/// The PD of that code.
pub fn pd_by_code(db: &Connection, code: &str) -> Result<Option<Pd>, DbError> {
    let mut statement = db.prepare_cached(&format!("{PD} WHERE code = ?"))?;
    Ok(statement.query_row([code], pd_row).optional()?)
}

/// Writes a PD.
pub fn put_pd(db: &Connection, act: &Act, pd: &Pd) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO pds (id, code, name, contact, mandiri_tik, kind, runs_pusat_data, link, rate, windows)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET code = ?2, name = ?3, contact = ?4, mandiri_tik = ?5, kind = ?6,
            runs_pusat_data = ?7, link = ?8, rate = ?9, windows = ?10",
    )?
    .execute(params![
        pd.id.as_bytes(),
        pd.code,
        pd.name,
        pd.contact,
        pd.mandiri_tik,
        pd.kind.as_str(),
        pd.runs_pusat_data,
        pd.link,
        pd.rate,
        to_json(&pd.windows)?,
    ])?;
    let deed = Deed { action: "pd.put", kind: "pd", id: &pd.id, pd: Some(pd.id) };
    record(db, act, deed, pd.id.as_bytes(), pd)
}

/// Of every PD, where the PD is a parameter that is null. `?1 IS NULL OR pd = ?1` would do for both, and read the whole
/// table for one PD.
pub(super) const EVERY_PD: &str = "?1 IS NULL";

/// What is not retired.
pub(super) const LIVE: &str = "id NOT IN (SELECT r.id FROM retired AS r)";

/// A server with its newest agent. `heartbeat` is left at `never`: the caller knows the time.
const SERVER: &str =
    "SELECT s.id, s.pd, s.name, s.kind, a.id, heard_seen_s(a.id, a.last_seen_s), s.site, s.room,
        s.pool, s.vcpus, s.memory_bytes, s.disk_bytes FROM servers AS s
    LEFT JOIN agents AS a ON a.id = (SELECT b.id FROM agents AS b WHERE b.server = s.id
        ORDER BY b.enrolled_s DESC, b.rowid DESC LIMIT 1)";

fn server_row(row: &Row<'_>) -> rusqlite::Result<Server> {
    Ok(Server {
        id: ServerId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        kind: word(row, 3)?,
        agent: maybe_id(row, 4)?.map(AgentId::from_bytes),
        heartbeat: HeartbeatState::Never,
        last_seen: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        site: maybe_id(row, 6)?.map(SiteId::from_bytes),
        room: maybe_id(row, 7)?.map(RoomId::from_bytes),
        pool: maybe_id(row, 8)?.map(PoolId::from_bytes),
        vcpus: row.get(9)?,
        memory_bytes: row.get::<_, Option<i64>>(10)?.map(i64::unsigned_abs),
        disk_bytes: row.get::<_, Option<i64>>(11)?.map(i64::unsigned_abs),
    })
}

/// The servers that are not retired, of all PD or of one, by name.
pub fn servers(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Server>, DbError> {
    let of_pd = if pd.is_some() { "s.pd = ?1" } else { EVERY_PD };
    let sql = format!("{SERVER} WHERE {of_pd} AND s.{LIVE} ORDER BY s.name, s.id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], server_row)?.collect::<Result<_, _>>()?)
}

/// All servers, also those that are retired, of all PD or of one, by name.
pub fn servers_ever(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Server>, DbError> {
    let of_pd = if pd.is_some() { "s.pd = ?1" } else { EVERY_PD };
    let mut statement =
        db.prepare_cached(&format!("{SERVER} WHERE {of_pd} ORDER BY s.name, s.id"))?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], server_row)?.collect::<Result<_, _>>()?)
}

/// The server of that id.
pub fn server(db: &Connection, server: &ServerId) -> Result<Option<Server>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SERVER} WHERE s.id = ?"))?;
    Ok(statement.query_row([server.as_bytes()], server_row).optional()?)
}

/// The PD's server of that name.
pub fn server_by_name(db: &Connection, pd: &PdId, name: &str) -> Result<Option<Server>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SERVER} WHERE s.pd = ? AND s.name = ?"))?;
    Ok(statement.query_row(params![pd.as_bytes(), name], server_row).optional()?)
}

/// Every server of that name, whosever it is.
pub fn servers_by_name(db: &Connection, name: &str) -> Result<Vec<Server>, DbError> {
    let mut statement = db.prepare_cached(&format!("{SERVER} WHERE s.name = ? ORDER BY s.id"))?;
    Ok(statement.query_map([name], server_row)?.collect::<Result<_, _>>()?)
}

/// Writes a server.
pub fn put_server(db: &Connection, act: &Act, server: &Server) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO servers (id, pd, name, kind, site, room, pool, vcpus, memory_bytes, disk_bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, name = ?3, kind = ?4, site = ?5, room = ?6, pool = ?7, vcpus = ?8,
            memory_bytes = ?9, disk_bytes = ?10",
    )?
    .execute(params![
        server.id.as_bytes(),
        server.pd.as_bytes(),
        server.name,
        server.kind.as_str(),
        server.site.map(|site| *site.as_bytes()),
        server.room.map(|room| *room.as_bytes()),
        server.pool.map(|pool| *pool.as_bytes()),
        server.vcpus,
        server.memory_bytes.map(signed),
        server.disk_bytes.map(signed),
    ])?;
    let deed = Deed { action: "server.put", kind: "server", id: &server.id, pd: Some(server.pd) };
    record(db, act, deed, server.id.as_bytes(), server)
}

/// As the index `datasets_by_name` has it.
const ON_SERVER: &str = "coalesce(server, x'')";

const DATASET: &str =
    "SELECT id, pd, server, name, kind, owner, classification, urgency, rpo_s, retention,
    period, media, repository, paths, application, distribution, location, schedule, exclude, own_rpo
    FROM datasets";

fn dataset_row(row: &Row<'_>) -> rusqlite::Result<Dataset> {
    Ok(Dataset {
        id: DatasetId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        server: maybe_id(row, 2)?.map(ServerId::from_bytes),
        name: row.get(3)?,
        kind: word(row, 4)?,
        owner: row.get(5)?,
        classification: word(row, 6)?,
        urgency: word(row, 7)?,
        rpo_s: count(row, 8)?,
        retention: row.get(9)?,
        period: row.get(10)?,
        media: row.get(11)?,
        repository: maybe_id(row, 12)?.map(RepositoryId::from_bytes),
        paths: json(row, 13)?,
        application: maybe_id(row, 14)?.map(ApplicationId::from_bytes),
        distribution: row.get(15)?,
        location: row.get(16)?,
        schedule: row.get(17)?,
        exclude: json(row, 18)?,
        own_rpo: row.get(19)?,
    })
}

/// The datasets that are not retired, of all PD or of one, by name.
pub fn datasets(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Dataset>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{DATASET} WHERE {of_pd} AND {LIVE} ORDER BY name, id");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], dataset_row)?.collect::<Result<_, _>>()?)
}

/// The datasets of a kind that are not retired.
pub fn datasets_of_kind(db: &Connection, kind: DatasetKind) -> Result<Vec<Dataset>, DbError> {
    let mut statement =
        db.prepare_cached(&format!("{DATASET} WHERE kind = ? AND {LIVE} ORDER BY id"))?;
    Ok(statement.query_map([kind.as_str()], dataset_row)?.collect::<Result<_, _>>()?)
}

/// The PD's datasets that are not retired and lie on the server, or on one that is not known, by name.
pub fn datasets_of_server(
    db: &Connection,
    pd: &PdId,
    server: &ServerId,
) -> Result<Vec<Dataset>, DbError> {
    let sql =
        format!("{DATASET} WHERE pd = ? AND {ON_SERVER} IN (x'', ?) AND {LIVE} ORDER BY name, id");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![pd.as_bytes(), server.as_bytes()], dataset_row)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The datasets that lie on the server, whosever they are.
pub fn datasets_on(db: &Connection, server: &ServerId) -> Result<Vec<Dataset>, DbError> {
    let mut statement =
        db.prepare_cached(&format!("{DATASET} WHERE server = ? AND {LIVE} ORDER BY id"))?;
    Ok(statement.query_map([server.as_bytes()], dataset_row)?.collect::<Result<_, _>>()?)
}

/// The dataset of that id.
pub fn dataset(db: &Connection, dataset: &DatasetId) -> Result<Option<Dataset>, DbError> {
    let mut statement = db.prepare_cached(&format!("{DATASET} WHERE id = ?"))?;
    Ok(statement.query_row([dataset.as_bytes()], dataset_row).optional()?)
}

/// The PD's dataset of that name on that server, or on none.
pub fn dataset_by_name(
    db: &Connection,
    pd: &PdId,
    server: Option<&ServerId>,
    name: &str,
) -> Result<Option<Dataset>, DbError> {
    let sql = format!("{DATASET} WHERE pd = ? AND coalesce(server, x'') = ? AND name = ?");
    let server = server.map_or(&[][..], |server| server.as_bytes());
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_row(params![pd.as_bytes(), server, name], dataset_row).optional()?)
}

/// Whether a dataset lies on the server.
pub fn has_datasets(db: &Connection, server: &ServerId) -> Result<bool, DbError> {
    let mut statement = db.prepare_cached("SELECT 1 FROM datasets WHERE server = ?")?;
    Ok(statement.exists([server.as_bytes()])?)
}

/// Writes a dataset.
pub fn put_dataset(db: &Connection, act: &Act, dataset: &Dataset) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO datasets (id, pd, server, name, kind, owner, classification, urgency, rpo_s, retention,
            period, media, repository, paths, application, distribution, location, schedule, exclude, own_rpo)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, server = ?3, name = ?4, kind = ?5, owner = ?6,
            classification = ?7, urgency = ?8, rpo_s = ?9, retention = ?10, period = ?11, media = ?12,
            repository = ?13, paths = ?14, application = ?15, distribution = ?16, location = ?17,
            schedule = ?18, exclude = ?19, own_rpo = ?20",
    )?
    .execute(params![
        dataset.id.as_bytes(),
        dataset.pd.as_bytes(),
        dataset.server.map(|server| *server.as_bytes()),
        dataset.name,
        dataset.kind.as_str(),
        dataset.owner,
        dataset.classification.as_str(),
        dataset.urgency.as_str(),
        signed(dataset.rpo_s),
        dataset.retention,
        dataset.period,
        dataset.media,
        dataset.repository.map(|repository| *repository.as_bytes()),
        to_json(&dataset.paths)?,
        dataset.application.map(|application| *application.as_bytes()),
        dataset.distribution,
        dataset.location,
        dataset.schedule,
        to_json(&dataset.exclude)?,
        dataset.own_rpo,
    ])?;
    db.prepare_cached("DELETE FROM unregistered_datasets WHERE dataset = ?")?
        .execute([dataset.id.as_bytes()])?;
    let deed =
        Deed { action: "dataset.put", kind: "dataset", id: &dataset.id, pd: Some(dataset.pd) };
    record(db, act, deed, dataset.id.as_bytes(), dataset)
}

/// The PD that the repository belongs to.
pub fn repository_pd(db: &Connection, repository: &RepositoryId) -> Result<Option<PdId>, DbError> {
    let mut statement = db.prepare_cached("SELECT pd FROM repositories WHERE id = ?")?;
    let pd = statement.query_row([repository.as_bytes()], |row| id(row, 0)).optional()?;
    Ok(pd.map(PdId::from_bytes))
}

/// All repositories with their PD.
pub fn repositories(db: &Connection) -> Result<Vec<(RepositoryId, PdId)>, DbError> {
    let mut statement = db.prepare_cached("SELECT id, pd FROM repositories ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        Ok((RepositoryId::from_bytes(id(row, 0)?), PdId::from_bytes(id(row, 1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that the repository belongs to the PD; a binding that stands is kept.
pub fn bind_repository(
    db: &Connection,
    act: &Act,
    repository: &RepositoryId,
    pd: &PdId,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO repositories (id, pd, bound_s) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![repository.as_bytes(), pd.as_bytes(), act.now.0])?;
    db.prepare_cached("DELETE FROM unregistered_repositories WHERE repository = ?")?
        .execute([repository.as_bytes()])?;
    let deed =
        Deed { action: "repository.bind", kind: "repository", id: repository, pd: Some(*pd) };
    audit::append(db, act, deed, None, None)
}
