//! Servers.

use lumbung_model::{ServerId, SiteId};
use lumbung_wire::messages::register::{HeartbeatState, Server, ServerInput};
use rusqlite::Connection;

use super::text::line;
use super::{Change, Mode, RegisterError, by_id, enter_live, known, pools, settle};
use crate::act::Act;
use crate::db::{care, colocation, places, register as rows};

/// Enters a server.
///
/// # Errors
/// If a rule forbids it.
pub fn put_server(
    db: &Connection,
    act: &Act,
    input: &ServerInput,
    mode: Mode,
) -> Result<(Server, Change), RegisterError> {
    line("name", &input.name)?;
    known("PD", &input.pd, |id| rows::pd(db, id))?;
    let site = match site_of(db, input)? {
        Some(site) => Some(site),
        None => pools::site_of(db, input)?,
    };
    pools::drawn(db, &ServerInput { site, ..input.clone() })?;
    let same_id = by_id(input.id, |id| rows::server(db, id))?;
    let by_name = rows::server_by_name(db, &input.pd, &input.name)?;
    let found = settle(("server", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    if let Some(found) = found.as_ref().filter(|found| found.pd != input.pd)
        && (found.agent.is_some()
            || rows::has_datasets(db, &found.id)?
            || colocation::device_of_server(db, &found.id)?.is_some()
            || care::has_care(db, &found.id)?)
    {
        return Err(RegisterError::Moves(found.id));
    }
    let server = Server {
        id: found.as_ref().map(|server| server.id).or(input.id).unwrap_or_else(ServerId::random),
        pd: input.pd,
        name: input.name.clone(),
        kind: input.kind,
        site,
        room: input.room,
        pool: input.pool,
        vcpus: input.vcpus,
        memory_bytes: input.memory_bytes,
        disk_bytes: input.disk_bytes,
        agent: found.as_ref().and_then(|server| server.agent),
        heartbeat: HeartbeatState::Never,
        last_seen: found.as_ref().and_then(|server| server.last_seen),
    };
    enter_live(db, found.as_ref(), server, |row| rows::put_server(db, act, row))
}

/// The site that is named, or that the room is at; never two.
fn site_of(db: &Connection, input: &ServerInput) -> Result<Option<SiteId>, RegisterError> {
    input.site.as_ref().map(|id| known("site", id, |id| rows::site(db, id))).transpose()?;
    let Some(room) = &input.room else { return Ok(input.site) };
    let room = known("room", room, |id| places::room(db, id))?;
    let building = known("building", &room.building, |id| places::building(db, id))?;
    if input.site.is_some_and(|site| site != building.site) {
        return Err(RegisterError::RoomElsewhere(room.name));
    }
    Ok(Some(building.site))
}
