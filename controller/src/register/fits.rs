//! Whether a row fits where it is, beside all that stands there: asked in the transaction of a change, after it is entered.
//!
//! Invariants: of one request for one row it is asked for that row; of an import for every row that it changed, once all of
//! them are entered; of a row that comes back from retirement before it does. A row that has not changed is not asked about.

use lumbung_model::Day;
use lumbung_model::colocation::{
    Misfit, Share, Shortfall, carries, device_fits, rack_holds, reservation_fits,
};
use lumbung_wire::messages::register::{
    Application, Building, Care, Check, ContactPerson, Dataset, Device, Feed, Handover, Pd, Pool,
    Rack, Reservation, Room, Server, Service, Site,
};
use rusqlite::Connection;

use super::colocation::related;
use super::{RegisterError, known};
use crate::db::placement::{Codes, from_pool, in_rack, on_feed};
use crate::db::{colocation as rows, pools};

/// A row that may have to fit somewhere.
pub trait Fits {
    /// Whether it does, on a day of the city's.
    ///
    /// # Errors
    /// What stands in its way.
    fn fits(&self, db: &Connection, today: Day) -> Result<(), RegisterError>;
}

macro_rules! fits_anywhere {
    ($($row:ty),+ $(,)?) => {$(
        impl Fits for $row {
            fn fits(&self, _: &Connection, _: Day) -> Result<(), RegisterError> {
                Ok(())
            }
        }
    )+};
}

fits_anywhere!(
    Site,
    Building,
    Care,
    Check,
    Room,
    Pd,
    Service,
    Application,
    ContactPerson,
    Dataset,
    Handover
);

fn misfit(field: &'static str, rack: &Rack) -> impl Fn(Misfit) -> RegisterError {
    let rack = rack.name.clone();
    move |misfit| RegisterError::Space { field, rack: rack.clone(), misfit }
}

impl Fits for Rack {
    fn fits(&self, db: &Connection, today: Day) -> Result<(), RegisterError> {
        let (devices, kept) = in_rack(db, &self.id, &Codes::read(db)?)?;
        rack_holds(self.height_u, today, (&devices, &kept)).map_err(misfit("height_u", self))
    }
}

impl Fits for Reservation {
    fn fits(&self, db: &Connection, today: Day) -> Result<(), RegisterError> {
        let codes = Codes::read(db)?;
        let rack = known("rack", &self.rack, |id| rows::rack(db, id))?;
        let (devices, kept) = in_rack(db, &self.rack, &codes)?;
        let Some(own) = codes.reserved(self) else { return Ok(()) };
        reservation_fits(rack.height_u, today, (&devices, &kept), &own)
            .map_err(misfit("lowest_u", &rack))
    }
}

impl Fits for Feed {
    fn fits(&self, db: &Connection, _: Day) -> Result<(), RegisterError> {
        if let Some(partner) = &self.partner {
            // While this one was retired, another may have taken its place.
            let alone = rows::feed_by_partner(db, partner)?.is_none_or(|one| one.id == self.id);
            related("partner", alone, "that feed has another partner now: change that one first")?;
        }
        let there = on_feed(db, &self.id, &Codes::read(db)?)?;
        let field = if self.rated_w.is_some() { "rated_w" } else { "amps" };
        let full = |overload| RegisterError::Power { field, feed: self.name.clone(), overload };
        carries(self.usable_w(), &there, None).map_err(full)
    }
}

impl Fits for Device {
    fn fits(&self, db: &Connection, today: Day) -> Result<(), RegisterError> {
        let codes = Codes::read(db)?;
        if let Some(other) = rows::device_by_serial(db, &self.serial, &self.id)? {
            let (serial, code) = (self.serial.clone(), codes.of(other.pd));
            return Err(RegisterError::Serial { serial, device: other.name, code });
        }
        let rack = self.rack.map(|id| known("rack", &id, |id| rows::rack(db, id))).transpose()?;
        if let (Some(rack), Some(own)) = (&rack, codes.standing(self)) {
            let (devices, kept) = in_rack(db, &rack.id, &codes)?;
            device_fits(rack.height_u, today, (&devices, &kept), &own)
                .map_err(misfit("lowest_u", rack))?;
        }
        for id in &self.feeds {
            let feed = known("feed", id, |id| rows::feed(db, id))?;
            let reachable = match &rack {
                Some(rack) => feed.room == rack.room && feed.rack.is_none_or(|id| id == rack.id),
                None => feed.rack.is_none(),
            };
            let reason = "name feeds of the rack's own room, and none that is for another rack";
            related("feeds", reachable, reason)?;
            let there = on_feed(db, id, &codes)?;
            let full = |overload| RegisterError::Power {
                field: "draw_w",
                feed: feed.name.clone(),
                overload,
            };
            carries(feed.usable_w(), &there, codes.draw(self).as_ref()).map_err(full)?;
        }
        Ok(())
    }
}

impl Fits for Pool {
    fn fits(&self, db: &Connection, _: Day) -> Result<(), RegisterError> {
        let (_, used) = from_pool(db, &self.id, None)?;
        self.capacity().holds(Share::default(), used).map_err(|short| full(self, short))
    }
}

fn full(pool: &Pool, shortfall: Shortfall) -> RegisterError {
    let left = shortfall.left;
    let field = if shortfall.asked.vcpus > left.vcpus {
        "vcpus"
    } else if shortfall.asked.memory_bytes > left.memory_bytes {
        "memory_bytes"
    } else {
        "disk_bytes"
    };
    RegisterError::PoolFull { field, pool: pool.name.clone(), shortfall }
}

impl Fits for Server {
    fn fits(&self, db: &Connection, _: Day) -> Result<(), RegisterError> {
        let Some(id) = &self.pool else { return Ok(()) };
        let pool = known("pool", id, |id| pools::pool(db, id))?;
        let (_, used) = from_pool(db, id, Some(&self.id))?;
        let asked = Share {
            vcpus: self.vcpus.map_or(0, u64::from),
            memory_bytes: self.memory_bytes.unwrap_or(0),
            disk_bytes: self.disk_bytes.unwrap_or(0),
        };
        pool.capacity().holds(used, asked).map_err(|short| full(&pool, short))
    }
}
