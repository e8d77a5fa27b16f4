//! Rows of the register: buildings of sites, and their rooms.

use lumbung_model::{BuildingId, RoomId, SiteId};
use lumbung_wire::messages::register::{Building, Room};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::Deed;
use super::register::{LIVE, record};
use super::{DbError, id, word};
use crate::act::Act;

const BUILDING: &str =
    "SELECT id, site, name, address, jurisdiction, hazard_assessment FROM buildings";

fn building_row(row: &Row<'_>) -> rusqlite::Result<Building> {
    Ok(Building {
        id: BuildingId::from_bytes(id(row, 0)?),
        site: SiteId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        address: row.get(3)?,
        jurisdiction: row.get(4)?,
        hazard_assessment: row.get(5)?,
    })
}

/// The buildings that are not retired, by name.
pub fn buildings(db: &Connection) -> Result<Vec<Building>, DbError> {
    let mut statement = db.prepare_cached(&format!("{BUILDING} WHERE {LIVE} ORDER BY name, id"))?;
    Ok(statement.query_map([], building_row)?.collect::<Result<_, _>>()?)
}

/// The building of that id.
pub fn building(db: &Connection, building: &BuildingId) -> Result<Option<Building>, DbError> {
    let mut statement = db.prepare_cached(&format!("{BUILDING} WHERE id = ?"))?;
    Ok(statement.query_row([building.as_bytes()], building_row).optional()?)
}

/// The site's building of that name.
pub fn building_by_name(
    db: &Connection,
    site: &SiteId,
    name: &str,
) -> Result<Option<Building>, DbError> {
    let mut statement = db.prepare_cached(&format!("{BUILDING} WHERE site = ? AND name = ?"))?;
    Ok(statement.query_row(params![site.as_bytes(), name], building_row).optional()?)
}

/// Writes a building.
pub fn put_building(db: &Connection, act: &Act, building: &Building) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO buildings (id, site, name, address, jurisdiction, hazard_assessment)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET site = ?2, name = ?3, address = ?4, jurisdiction = ?5,
            hazard_assessment = ?6",
    )?
    .execute(params![
        building.id.as_bytes(),
        building.site.as_bytes(),
        building.name,
        building.address,
        building.jurisdiction,
        building.hazard_assessment,
    ])?;
    let deed = Deed { action: "building.put", kind: "building", id: &building.id, pd: None };
    record(db, act, deed, building.id.as_bytes(), building)
}

const ROOM: &str = "SELECT id, building, name, kind FROM rooms";

fn room_row(row: &Row<'_>) -> rusqlite::Result<Room> {
    Ok(Room {
        id: RoomId::from_bytes(id(row, 0)?),
        building: BuildingId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        kind: word(row, 3)?,
    })
}

/// The rooms that are not retired, by name.
pub fn rooms(db: &Connection) -> Result<Vec<Room>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ROOM} WHERE {LIVE} ORDER BY name, id"))?;
    Ok(statement.query_map([], room_row)?.collect::<Result<_, _>>()?)
}

/// The room of that id.
pub fn room(db: &Connection, room: &RoomId) -> Result<Option<Room>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ROOM} WHERE id = ?"))?;
    Ok(statement.query_row([room.as_bytes()], room_row).optional()?)
}

/// The building's room of that name.
pub fn room_by_name(
    db: &Connection,
    building: &BuildingId,
    name: &str,
) -> Result<Option<Room>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ROOM} WHERE building = ? AND name = ?"))?;
    Ok(statement.query_row(params![building.as_bytes(), name], room_row).optional()?)
}

/// Writes a room.
pub fn put_room(db: &Connection, act: &Act, room: &Room) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO rooms (id, building, name, kind) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (id) DO UPDATE SET building = ?2, name = ?3, kind = ?4",
    )?
    .execute(params![
        room.id.as_bytes(),
        room.building.as_bytes(),
        room.name,
        room.kind.as_str()
    ])?;
    let deed = Deed { action: "room.put", kind: "room", id: &room.id, pd: None };
    record(db, act, deed, room.id.as_bytes(), room)
}

/// A live server that stands in a room of the building.
pub fn server_in_building(
    db: &Connection,
    building: &BuildingId,
) -> Result<Option<String>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT v.name FROM servers AS v JOIN rooms AS r ON r.id = v.room
         WHERE r.building = ? AND v.{LIVE} ORDER BY v.name LIMIT 1"
    ))?;
    Ok(statement.query_row([building.as_bytes()], |row| row.get(0)).optional()?)
}

/// A live server that stands in the room.
pub fn server_in_room(db: &Connection, room: &RoomId) -> Result<Option<String>, DbError> {
    let sql = format!("SELECT name FROM servers WHERE room = ? AND {LIVE} ORDER BY name LIMIT 1");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_row([room.as_bytes()], |row| row.get(0)).optional()?)
}
