//! Entries of what stands where, and of who looked after it.

use lumbung_model::{DatasetId, DayError, FeedId, PoolId, RackId, RoomId, ServerId};
use lumbung_wire::messages::register::{
    CareInput, DeviceInput, FeedInput, HandoverInput, PoolInput, RackInput, RegisterTable,
    ReservationInput,
};

use super::super::Place;
use super::super::entries::{
    CareEntry, DeviceEntry, Entry, FeedEntry, HandoverEntry, PoolEntry, RackEntry,
    ReservationEntry, ServerEntry,
};
use super::{Refusal, Run, given};
use crate::db::{colocation, pools, register as rows};
use crate::register::{self, Mode};

/// Site, building and room of an entry.
type Around<'e> = [&'e str; 3];

fn missing(field: &'static str, detail: &str) -> Refusal {
    Refusal::Field(Some(field), detail.to_owned())
}

impl Run<'_> {
    pub(super) fn enter_colocated(&mut self, entry: &Entry, place: &Place) -> Result<(), Refusal> {
        let (db, act, mode) = (self.db, self.act, Mode::Upsert);
        match entry {
            Entry::Rack(entry) => {
                let input = self.rack_input(entry)?;
                self.entered(register::put_rack(db, act, &input, mode)?, place);
            }
            Entry::Feed(entry) => {
                let input = self.feed_input(entry)?;
                self.entered(register::put_feed(db, act, &input, mode)?, place);
            }
            Entry::Pool(entry) => {
                let input = self.pool_input(entry)?;
                self.entered(register::put_pool(db, act, &input, mode)?, place);
            }
            Entry::Device(entry) => {
                let input = self.device_input(entry)?;
                self.entered(register::put_device(db, act, &input, mode)?, place);
            }
            Entry::Reservation(entry) => {
                let input = self.reservation_input(entry)?;
                self.entered(register::put_reservation(db, act, &input, mode)?, place);
            }
            Entry::Handover(entry) => {
                let input = self.handover_input(entry)?;
                self.entered(register::put_handover(db, act, &input, mode)?, place);
            }
            Entry::Care(entry) => {
                let input = self.care_input(entry)?;
                self.entered(register::put_care(db, act, &input, mode)?, place);
            }
            _ => {}
        }
        Ok(())
    }

    fn rack(&self, room: &RoomId, [s, b, r]: Around<'_>, name: &str) -> Result<RackId, Refusal> {
        let found = colocation::rack_by_name(self.db, room, name)?.map(|rack| rack.id);
        self.named(found, "rack", (RegisterTable::Racks, "rack"), &[s, b, r, name])
    }

    fn feed(
        &self,
        field: &'static str,
        room: &RoomId,
        ([s, b, r], name): (Around<'_>, &str),
    ) -> Result<FeedId, Refusal> {
        let found = colocation::feed_by_name(self.db, room, name)?.map(|feed| feed.id);
        self.named(found, field, (RegisterTable::Feeds, "feed"), &[s, b, r, name])
    }

    /// The pool that a server draws on: one of its site's.
    pub(super) fn pool_of(&self, entry: &ServerEntry) -> Result<Option<PoolId>, Refusal> {
        let Some(name) = given(&entry.pool) else { return Ok(None) };
        if entry.site.is_empty() {
            return Err(missing("pool", "name the site of the pool too"));
        }
        let found = pools::pool_by_name(self.db, &self.site(&entry.site)?, name)?;
        let table = (RegisterTable::Pools, "pool");
        self.named(found.map(|pool| pool.id), "pool", table, &[&entry.site, name]).map(Some)
    }

    fn rack_input(&self, entry: &RackEntry) -> Result<RackInput, Refusal> {
        Ok(RackInput {
            id: entry.id,
            room: self.room(&entry.site, &entry.building, &entry.room)?,
            name: entry.name.clone(),
            height_u: entry.height_u,
            width_inches: entry.width_inches,
            note: entry.note.clone(),
        })
    }

    fn feed_input(&self, entry: &FeedEntry) -> Result<FeedInput, Refusal> {
        let around: Around<'_> = [&entry.site, &entry.building, &entry.room];
        let room = self.room(&entry.site, &entry.building, &entry.room)?;
        let rack = given(&entry.rack).map(|name| self.rack(&room, around, name));
        let partner = given(&entry.partner).map(|name| self.feed("partner", &room, (around, name)));
        Ok(FeedInput {
            id: entry.id,
            room,
            rack: rack.transpose()?,
            name: entry.name.clone(),
            rated_w: entry.rated_w,
            volts: entry.volts,
            amps: entry.amps,
            share_percent: entry.share_percent,
            partner: partner.transpose()?,
        })
    }

    fn pool_input(&self, entry: &PoolEntry) -> Result<PoolInput, Refusal> {
        Ok(PoolInput {
            id: entry.id,
            site: self.site(&entry.site)?,
            name: entry.name.clone(),
            vcpus: entry.vcpus,
            overcommit_percent: entry.overcommit_percent,
            memory_bytes: entry.memory_bytes,
            disk_bytes: entry.disk_bytes,
        })
    }

    /// The rack and the feeds that a device names; none without a room.
    fn place_of(&self, entry: &DeviceEntry) -> Result<(Option<RackId>, Vec<FeedId>), Refusal> {
        let around: Around<'_> = [&entry.site, &entry.building, &entry.room];
        if entry.room.is_empty() {
            let named = !entry.rack.is_empty() || !entry.feeds.is_empty();
            let half = !entry.site.is_empty() || !entry.building.is_empty();
            return match named || half {
                true => Err(missing("room", "name site, building and room of the rack too")),
                false => Ok((None, Vec::new())),
            };
        }
        let room = self.room(&entry.site, &entry.building, &entry.room)?;
        let rack = given(&entry.rack).map(|name| self.rack(&room, around, name)).transpose()?;
        let feed = |name: &String| self.feed("feeds", &room, (around, name));
        let feeds = entry.feeds.iter().map(feed).collect::<Result<Vec<_>, _>>()?;
        if rack.is_none() && feeds.is_empty() {
            return Err(missing("room", "name a rack or feeds of the room, or leave it out"));
        }
        Ok((rack, feeds))
    }

    fn device_input(&self, entry: &DeviceEntry) -> Result<DeviceInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let server = given(&entry.server).map(|name| self.server("server", (&entry.pd, &pd), name));
        let (rack, feeds) = self.place_of(entry)?;
        Ok(DeviceInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            kind: entry.kind,
            model: entry.model.clone(),
            serial: entry.serial.clone(),
            purchased_on: entry.purchased_on,
            warranty_until: entry.warranty_until,
            condition: entry.condition,
            server: server.transpose()?,
            rack,
            lowest_u: entry.lowest_u,
            height_u: entry.height_u,
            face: entry.face,
            draw_w: entry.draw_w,
            feeds,
        })
    }

    fn reservation_input(&self, entry: &ReservationEntry) -> Result<ReservationInput, Refusal> {
        let around: Around<'_> = [&entry.site, &entry.building, &entry.room];
        let room = self.room(&entry.site, &entry.building, &entry.room)?;
        Ok(ReservationInput {
            id: entry.id,
            rack: self.rack(&room, around, &entry.rack)?,
            pd: self.pd(&entry.pd)?,
            name: entry.name.clone(),
            lowest_u: entry.lowest_u,
            height_u: entry.height_u,
            face: entry.face,
            until: entry.until,
            reason: entry.reason.clone(),
        })
    }

    fn handover_input(&self, entry: &HandoverEntry) -> Result<HandoverInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let server = given(&entry.server).map(|name| self.server("server", (&entry.pd, &pd), name));
        let server: Option<ServerId> = server.transpose()?;
        let dataset: Option<DatasetId> = match given(&entry.dataset) {
            None => None,
            Some(name) => {
                let found = rows::dataset_by_name(self.db, &pd, server.as_ref(), name)?;
                let path = [entry.pd.as_str(), &entry.server, name];
                let table = (RegisterTable::Datasets, "dataset");
                Some(self.named(found.map(|one| one.id), "dataset", table, &path)?)
            }
        };
        let own = (entry.pd.as_str(), &pd);
        let application = given(&entry.application).map(|name| self.own_application(own, name));
        Ok(HandoverInput {
            id: entry.id,
            pd,
            name: entry.name.clone(),
            // Of a dataset it says where that lies.
            server: server.filter(|_| dataset.is_none()),
            application: application.transpose()?,
            dataset,
            from_person: entry.from_person.clone(),
            to_person: entry.to_person.clone(),
            handed_on: entry.handed_on,
            letter: entry.letter.clone(),
            secret_kept_at: entry.secret_kept_at.clone(),
            returned_on: entry.returned_on,
        })
    }

    fn care_input(&self, entry: &CareEntry) -> Result<CareInput, Refusal> {
        let pd = self.pd(&entry.pd)?;
        let no_day = |error: DayError| missing("done_on", &error.to_string());
        Ok(CareInput {
            id: entry.id,
            pd,
            server: self.own_server((&entry.pd, &pd), &entry.server)?,
            name: entry.name.clone(),
            kind: entry.kind,
            done_on: entry.done_on.parse().map_err(no_day)?,
            by: entry.by.clone(),
            note: entry.note.clone(),
            due_on: entry.due_on,
        })
    }
}
