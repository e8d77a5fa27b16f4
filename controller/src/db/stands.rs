//! Where servers stand and what runs on them, now or at a time that is past: uptime figures of a day that is reckoned again
//! are those of the day, whoever moved since.
//!
//! Invariant: what the register did not know at a time is as it is now, so that what is entered late counts for the past.

use std::collections::{HashMap, HashSet};

use lumbung_model::{ApplicationId, PdId, RackId, RoomId, ServerId, ServiceId, SiteId, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{DbError, id, json, maybe_id, services};

/// Where a server stands, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Whose it is.
    pub pd: PdId,
    /// At which site.
    pub site: Option<SiteId>,
    /// In which room.
    pub room: Option<RoomId>,
    /// In which rack, as the device that it is.
    pub rack: Option<RackId>,
}

/// Where every server stood right before a time, also those that are retired.
pub fn stands(db: &Connection, before: Timestamp) -> Result<HashMap<ServerId, Stand>, DbError> {
    let mut stands = stands_now(db)?;
    if !changed_since(db, before)? {
        return Ok(stands);
    }
    let servers: Vec<ServerThen> = versions(db, "server", before)?;
    for then in &servers {
        let ServerThen { id, pd, site, room } = *then;
        stands.insert(id, Stand { pd, site, room, rack: None });
    }
    let known: HashSet<ServerId> = servers.iter().map(|then| then.id).collect();
    for then in versions::<DeviceThen>(db, "device", before)? {
        let server = then.server.filter(|server| known.contains(server));
        if let Some(stand) = server.and_then(|server| stands.get_mut(&server)) {
            stand.rack = then.rack.or(stand.rack);
        }
    }
    Ok(stands)
}

/// The servers on which each service ran right before a time, also those of applications that are retired.
pub fn servers_of_services(
    db: &Connection,
    before: Timestamp,
) -> Result<HashMap<ServiceId, Vec<ServerId>>, DbError> {
    let now = services::applications_ever(db, None)?.into_iter();
    let mut applications: HashMap<ApplicationId, (Option<ServiceId>, Vec<ServerId>)> =
        now.map(|one| (one.id, (one.service, one.servers))).collect();
    if changed_since(db, before)? {
        for then in versions::<ApplicationThen>(db, "application", before)? {
            applications.insert(then.id, (then.service, then.servers));
        }
    }
    let mut services: HashMap<ServiceId, Vec<ServerId>> = HashMap::new();
    for (service, servers) in applications.into_values() {
        if let Some(service) = service {
            services.entry(service).or_default().extend(servers);
        }
    }
    Ok(services)
}

fn stands_now(db: &Connection) -> Result<HashMap<ServerId, Stand>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT v.id, v.pd, v.site, v.room, (SELECT d.rack FROM devices AS d WHERE d.server = v.id AND d.rack IS NOT NULL
            ORDER BY EXISTS (SELECT 1 FROM retired AS r WHERE r.id = d.id), d.id LIMIT 1)
         FROM servers AS v",
    )?;
    let rows = statement.query_map([], |row| {
        let stand = Stand {
            pd: PdId::from_bytes(id(row, 1)?),
            site: maybe_id(row, 2)?.map(SiteId::from_bytes),
            room: maybe_id(row, 3)?.map(RoomId::from_bytes),
            rack: maybe_id(row, 4)?.map(RackId::from_bytes),
        };
        Ok((ServerId::from_bytes(id(row, 0)?), stand))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What matters of a server's row.
#[derive(Deserialize)]
struct ServerThen {
    id: ServerId,
    pd: PdId,
    #[serde(default)]
    site: Option<SiteId>,
    #[serde(default)]
    room: Option<RoomId>,
}

/// What matters of a device's.
#[derive(Deserialize)]
struct DeviceThen {
    #[serde(default)]
    server: Option<ServerId>,
    #[serde(default)]
    rack: Option<RackId>,
}

/// What matters of an application's.
#[derive(Deserialize)]
struct ApplicationThen {
    id: ApplicationId,
    #[serde(default)]
    service: Option<ServiceId>,
    #[serde(default)]
    servers: Vec<ServerId>,
}

/// Whether the register changed at a time or after it, by its newest change.
fn changed_since(db: &Connection, at: Timestamp) -> Result<bool, DbError> {
    let newest = db
        .prepare_cached("SELECT at_s FROM register_history ORDER BY sequence DESC LIMIT 1")?
        .query_row([], |row| row.get::<_, i64>(0))
        .optional()?;
    Ok(newest.is_some_and(|newest| newest >= at.0))
}

/// The newest version of every row of a kind from before a time: those of rows that were retired by then first.
fn versions<T: DeserializeOwned>(
    db: &Connection,
    kind: &str,
    before: Timestamp,
) -> Result<Vec<T>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT row FROM register_history AS h WHERE kind = ?1 AND at_s < ?2 AND NOT EXISTS (
            SELECT 1 FROM register_history AS later
            WHERE later.id = h.id AND later.sequence > h.sequence AND later.at_s < ?2)
         ORDER BY json_extract(row, '$.retired') IS NULL, sequence",
    )?;
    let rows = statement.query_map(params![kind, before.0], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
