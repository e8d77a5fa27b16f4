//! Where servers stand and what runs on them, now or at a time that is past: uptime figures of a day that is reckoned again
//! are those of the day, whoever moved since.
//!
//! Invariant: what the register did not know at a time is as it is now, so that what is entered late counts for the past.

use std::collections::{HashMap, HashSet};

use lumbung_model::{
    ApplicationId, DeviceId, PdId, RackId, RoomId, ServerId, ServiceId, SiteId, Timestamp,
};
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
    let now = stands_now(db)?;
    let mut stands: HashMap<ServerId, Stand> =
        now.iter().map(|(server, (stand, _))| (*server, *stand)).collect();
    if !changed_since(db, before)? {
        return Ok(stands);
    }
    for then in versions::<ServerThen>(db, "server", before)? {
        if let Some(stand) = stands.get_mut(&then.id) {
            *stand = Stand { pd: then.pd, site: then.site, room: then.room, ..*stand };
        }
    }
    let devices: Vec<DeviceThen> = versions(db, "device", before)?;
    let known: HashSet<DeviceId> = devices.iter().map(|then| then.id).collect();
    for (server, (_, device)) in &now {
        let entered_later = device.is_none_or(|device| !known.contains(&device));
        if let Some(stand) = stands.get_mut(server).filter(|_| !entered_later) {
            stand.rack = None;
        }
    }
    for then in devices {
        if let Some(stand) = then.server.and_then(|server| stands.get_mut(&server)) {
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

/// Where every server stands now, and as which device in a rack.
fn stands_now(db: &Connection) -> Result<HashMap<ServerId, (Stand, Option<DeviceId>)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT v.id, v.pd, v.site, v.room, d.rack, d.id FROM servers AS v LEFT JOIN devices AS d ON d.id = (
            SELECT o.id FROM devices AS o WHERE o.server = v.id AND o.rack IS NOT NULL
            ORDER BY EXISTS (SELECT 1 FROM retired AS r WHERE r.id = o.id), o.id LIMIT 1)",
    )?;
    let rows = statement.query_map([], |row| {
        let stand = Stand {
            pd: PdId::from_bytes(id(row, 1)?),
            site: maybe_id(row, 2)?.map(SiteId::from_bytes),
            room: maybe_id(row, 3)?.map(RoomId::from_bytes),
            rack: maybe_id(row, 4)?.map(RackId::from_bytes),
        };
        let device = maybe_id(row, 5)?.map(DeviceId::from_bytes);
        Ok((ServerId::from_bytes(id(row, 0)?), (stand, device)))
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
    id: DeviceId,
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
