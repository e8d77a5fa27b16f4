//! What stands where as entries. Places are the city's: a PD's own entries say none.

use lumbung_model::{PdId, RoomId};
use lumbung_wire::messages::register::{Care, Device, Feed, Handover, Pool, Rack, Reservation};
use rusqlite::Connection;

use super::super::entries::{
    CareEntry, DeviceEntry, Entry, FeedEntry, HandoverEntry, PoolEntry, RackEntry, ReservationEntry,
};
use super::Names;
use crate::db::{DbError, care, colocation, pools, register, retired};

/// Racks, feeds and pools.
pub(super) fn of_city(db: &Connection, names: &Names) -> Result<Vec<Entry>, DbError> {
    let mut entries = Vec::new();
    entries.extend(colocation::racks(db)?.into_iter().filter_map(|row| names.rack(row)));
    entries.extend(colocation::feeds(db)?.into_iter().filter_map(|row| names.feed(row)));
    entries.extend(pools::pools(db)?.into_iter().filter_map(|row| names.pool(row)));
    Ok(entries)
}

/// Devices, reservations, handovers and the care of servers, of all PD or of one.
pub(super) fn of_pds(
    db: &Connection,
    names: &Names,
    own: Option<&PdId>,
) -> Result<Vec<Entry>, DbError> {
    let mut entries = Vec::new();
    let devices = colocation::devices(db, own)?.into_iter();
    entries.extend(devices.map(|row| names.device(row, own.is_none())));
    if own.is_none() {
        let kept = colocation::reservations(db, None)?.into_iter();
        entries.extend(kept.filter_map(|row| names.reservation(row)));
    }
    for row in pools::handovers(db, own)? {
        entries.extend(names.handover(db, row)?);
    }
    entries.extend(care::care(db, own)?.into_iter().filter_map(|row| names.care(row)));
    Ok(entries)
}

impl Names {
    /// Site, building and room as an entry names them; none if the site was taken out of the register.
    fn around(&self, room: RoomId) -> Option<[String; 3]> {
        let room = self.rooms.get(&room)?;
        let building = self.buildings.get(&room.building)?;
        let site = self.sites.get(&building.site)?;
        Some([site.clone(), building.name.clone(), room.name.clone()])
    }

    fn rack(&self, row: Rack) -> Option<Entry> {
        let [site, building, room] = self.around(row.room)?;
        Some(Entry::Rack(RackEntry {
            id: Some(row.id),
            site,
            building,
            room,
            name: row.name,
            height_u: row.height_u,
            width_inches: row.width_inches,
            note: row.note,
        }))
    }

    fn feed(&self, row: Feed) -> Option<Entry> {
        let [site, building, room] = self.around(row.room)?;
        let partner = row.partner.and_then(|id| self.feeds.get(&id));
        let rack = row.rack.and_then(|id| self.racks.get(&id));
        Some(Entry::Feed(FeedEntry {
            id: Some(row.id),
            site,
            building,
            room,
            rack: rack.map(|rack| rack.name.clone()).unwrap_or_default(),
            name: row.name,
            rated_w: row.rated_w,
            volts: row.volts,
            amps: row.amps,
            share_percent: row.share_percent,
            partner: partner.map(|feed| feed.name.clone()).unwrap_or_default(),
        }))
    }

    fn pool(&self, row: Pool) -> Option<Entry> {
        Some(Entry::Pool(PoolEntry {
            id: Some(row.id),
            site: self.sites.get(&row.site)?.clone(),
            name: row.name,
            vcpus: row.vcpus,
            overcommit_percent: row.overcommit_percent,
            memory_bytes: row.memory_bytes,
            disk_bytes: row.disk_bytes,
        }))
    }

    fn device(&self, row: Device, with_place: bool) -> Entry {
        let rack = row.rack.and_then(|id| self.racks.get(&id));
        let feeds: Vec<_> = row.feeds.iter().filter_map(|id| self.feeds.get(id)).collect();
        let room = rack.map(|rack| rack.room).or(feeds.first().map(|feed| feed.room));
        let around = room.filter(|_| with_place).and_then(|room| self.around(room));
        let placed = around.is_some();
        let in_rack = placed && rack.is_some();
        let [site, building, room] = around.unwrap_or_default();
        let server = row.server.and_then(|id| self.server_name(row.pd, id));
        let feeds = feeds.into_iter().filter(|_| placed).map(|feed| feed.name.clone());
        Entry::Device(Box::new(DeviceEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            name: row.name,
            kind: row.kind,
            model: row.model,
            serial: row.serial,
            purchased_on: row.purchased_on,
            warranty_until: row.warranty_until,
            condition: row.condition,
            server: server.unwrap_or_default(),
            site,
            building,
            room,
            rack: rack.filter(|_| placed).map(|rack| rack.name.clone()).unwrap_or_default(),
            lowest_u: row.lowest_u.filter(|_| in_rack),
            height_u: row.height_u.filter(|_| in_rack),
            face: row.face.filter(|_| in_rack),
            draw_w: row.draw_w,
            feeds: feeds.collect(),
        }))
    }

    fn reservation(&self, row: Reservation) -> Option<Entry> {
        let rack = self.racks.get(&row.rack)?;
        let [site, building, room] = self.around(rack.room)?;
        Some(Entry::Reservation(ReservationEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            site,
            building,
            room,
            rack: rack.name.clone(),
            name: row.name,
            lowest_u: row.lowest_u,
            height_u: row.height_u,
            face: row.face,
            until: row.until,
            reason: row.reason,
        }))
    }

    fn care(&self, row: Care) -> Option<Entry> {
        Some(Entry::Care(CareEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            server: self.servers.get(&row.server)?.1.clone(),
            name: row.name,
            kind: row.kind,
            done_on: row.done_on.to_string(),
            by: row.by,
            note: row.note,
            due_on: row.due_on,
        }))
    }

    /// None if what it is about is retired: elsewhere, nothing of that name would be there.
    fn handover(&self, db: &Connection, row: Handover) -> Result<Option<Entry>, DbError> {
        let about = [
            row.server.map(|id| *id.as_bytes()),
            row.application.map(|id| *id.as_bytes()),
            row.dataset.map(|id| *id.as_bytes()),
        ];
        for id in about.iter().flatten() {
            if retired::of(db, id)?.is_some() {
                return Ok(None);
            }
        }
        let dataset = row.dataset.map(|id| register::dataset(db, &id)).transpose()?.flatten();
        let server = row.server.or(dataset.as_ref().and_then(|dataset| dataset.server));
        let server = server.and_then(|id| self.server_name(row.pd, id));
        Ok(Some(Entry::Handover(HandoverEntry {
            id: Some(row.id),
            pd: self.code(row.pd),
            name: row.name,
            server: server.unwrap_or_default(),
            application: Self::of(&self.applications, row.application),
            dataset: dataset.map(|dataset| dataset.name).unwrap_or_default(),
            from_person: row.from_person,
            to_person: row.to_person,
            handed_on: row.handed_on,
            letter: row.letter,
            secret_kept_at: row.secret_kept_at,
            returned_on: row.returned_on,
        })))
    }
}
