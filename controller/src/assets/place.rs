//! Servers that are said to be in one place while their devices stand in another. Pure, but for what reads the places.
//!
//! Invariant: a server whose row says no place differs from none, and a room is compared before a site: two rooms of one
//! site are two places.

use std::collections::HashMap;

use lumbung_model::{RackId, RoomId, ServerId, SiteId};
use lumbung_wire::messages::register::{Device, Server};
use rusqlite::Connection;

use super::of_row;
use crate::db::alarms::Finding;
use crate::db::{DbError, colocation, places, register};

/// Racks, rooms and sites by their ids, with what each is called.
#[derive(Debug, Default)]
pub struct Places {
    racks: HashMap<RackId, (String, RoomId)>,
    rooms: HashMap<RoomId, (String, SiteId)>,
    sites: HashMap<SiteId, String>,
}

impl Places {
    /// Reads them.
    ///
    /// # Errors
    /// If the database fails.
    pub fn read(db: &Connection) -> Result<Self, DbError> {
        let site_of: HashMap<_, _> =
            places::buildings(db)?.into_iter().map(|one| (one.id, one.site)).collect();
        let racks = colocation::racks(db)?.into_iter();
        let rooms = places::rooms(db)?.into_iter();
        Ok(Self {
            racks: racks.map(|rack| (rack.id, (rack.name, rack.room))).collect(),
            rooms: rooms
                .filter_map(|room| Some((room.id, (room.name, *site_of.get(&room.building)?))))
                .collect(),
            sites: register::sites(db)?.into_iter().map(|site| (site.id, site.name)).collect(),
        })
    }

    fn room(&self, room: RoomId) -> Option<String> {
        let (name, site) = self.rooms.get(&room)?;
        Some(format!("room {name:?} at {}", self.site(*site)?))
    }

    fn site(&self, site: SiteId) -> Option<String> {
        Some(format!("site {:?}", self.sites.get(&site)?))
    }
}

/// One finding for each server that is in two places.
pub(super) fn differing(servers: &[Server], devices: &[Device], places: &Places) -> Vec<Finding> {
    let standing = devices.iter().filter_map(|device| Some((device.server?, device)));
    let standing: HashMap<ServerId, &Device> = standing.collect();
    let of = |server: &Server| {
        let device = standing.get(&server.id)?;
        let (rack, room) = places.racks.get(&device.rack?)?;
        let (_, site) = places.rooms.get(room)?;
        let said = match (server.room, server.site) {
            (Some(own), _) if own != *room => places.room(own)?,
            (None, Some(own)) if own != *site => places.site(own)?,
            _ => return None,
        };
        let detail = format!(
            "server {:?} is in {said} by its own row, and its device {:?} stands in rack {rack:?}, {}: correct the one that is wrong (`lumbung register set servers {}`, `lumbung device place {}`)",
            server.name,
            device.name,
            places.room(*room)?,
            server.name,
            device.name
        );
        Some(Finding { site: Some(*site), ..of_row(server.id.to_string(), server.pd, detail) })
    };
    servers.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const fn room(n: u8) -> RoomId {
        RoomId::from_bytes([n; 16])
    }

    const fn site(n: u8) -> SiteId {
        SiteId::from_bytes([n; 16])
    }

    fn row(more: Value) -> Value {
        let mut row = json!({ "id": "0".repeat(32), "pd": "1".repeat(32), "name": "simrs" });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    }

    fn device(more: Value) -> Device {
        let mut device =
            row(json!({ "kind": "server", "condition": "baik", "server": "0".repeat(32) }));
        device.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(device).unwrap()
    }

    /// Rooms 1 and 2 at site 1, room 3 at site 2; the device of the server in a rack of room 1.
    fn found(own_room: Option<u8>, own_site: Option<u8>) -> Vec<String> {
        let name = |n: u8| format!("Ruang {n}");
        let places = Places {
            racks: [(RackId::ZERO, ("R1".to_owned(), room(1)))].into(),
            rooms: [(1, 1), (2, 1), (3, 2)].map(|(n, at)| (room(n), (name(n), site(at)))).into(),
            sites: [1, 2].map(|n| (site(n), format!("Situs {n}"))).into(),
        };
        let server: Server = serde_json::from_value(row(json!({
            "kind": "physical", "heartbeat": "never", "room": own_room.map(room), "site": own_site.map(site),
        })))
        .unwrap();
        let servers = [server];
        assert_eq!(differing(&servers, &[device(json!({}))], &places), [], "it is in no rack");
        let in_rack = json!({ "rack": RackId::ZERO, "lowest_u": 1, "height_u": 1, "face": "both" });
        let found = differing(&servers, &[device(in_rack)], &places);
        found.into_iter().map(|one| one.detail).collect()
    }

    #[test]
    fn both_places_are_named_where_they_differ() {
        assert_eq!(found(None, None), [""; 0], "no place is said");
        assert_eq!(found(Some(1), Some(1)), [""; 0]);
        assert_eq!(found(None, Some(1)), [""; 0], "the room's site");
        let [room] = found(Some(2), Some(1)).try_into().unwrap();
        assert!(room.contains(r#"in room "Ruang 2" at site "Situs 1" by its own row"#), "{room}");
        assert!(room.contains(r#"rack "R1", room "Ruang 1" at site "Situs 1""#), "{room}");
        let [site] = found(None, Some(2)).try_into().unwrap();
        assert!(site.contains(r#"in site "Situs 2" by its own row"#), "{site}");
    }
}
