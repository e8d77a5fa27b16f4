//! How full racks and pools are today, from the register: what forecasts of them are made of.
//!
//! Invariant: a unit counts as used where a device stands in it on either face, or where it is kept for somebody: it is not
//! there for anybody else.

use std::collections::HashMap;

use lumbung_model::colocation::usable_vcpus;
use lumbung_model::{BuildingId, Day, RackId, RoomId, SiteId};
use lumbung_wire::messages::capacity::CapacityKind;
use rusqlite::Connection;

use crate::db::capacity::{Level, Subject};
use crate::db::{DbError, colocation, placement, places, pools};

/// How full everything is that the register counts.
///
/// # Errors
/// If the database fails.
pub(super) fn levels(db: &Connection, today: Day) -> Result<Vec<(Subject, Level)>, DbError> {
    let mut found = rack_units(db, today)?;
    for pool in pools::pools(db)? {
        let (_, used) = placement::from_pool(db, &pool.id, None)?;
        let vcpus = usable_vcpus(pool.vcpus, pool.overcommit_percent);
        for (kind, used, limit) in [
            (CapacityKind::VpsVcpu, used.vcpus, vcpus),
            (CapacityKind::VpsMemory, used.memory_bytes, pool.memory_bytes),
            (CapacityKind::VpsDisk, used.disk_bytes, pool.disk_bytes),
        ] {
            let level = Level { day: today, used, limit: Some(limit) };
            found.push(((kind, *pool.id.as_bytes()), level));
        }
    }
    Ok(found)
}

/// The units of all racks of each site.
fn rack_units(db: &Connection, today: Day) -> Result<Vec<(Subject, Level)>, DbError> {
    let mut taken: HashMap<RackId, Vec<(u8, u8)>> = HashMap::new();
    for device in colocation::devices(db, None)? {
        if let (Some(rack), Some(lowest), Some(height)) =
            (device.rack, device.lowest_u, device.height_u)
        {
            taken.entry(rack).or_default().push((lowest, height));
        }
    }
    for kept in colocation::reservations(db, None)?.into_iter().filter(|kept| kept.until >= today) {
        taken.entry(kept.rack).or_default().push((kept.lowest_u, kept.height_u));
    }
    let sites = sites_of_rooms(db)?;
    let mut sums: HashMap<SiteId, (u64, u64)> = HashMap::new();
    for rack in colocation::racks(db)? {
        let Some(site) = sites.get(&rack.room) else { continue };
        let within = |unit: &u8, (lowest, height): &(u8, u8)| {
            (*lowest..lowest.saturating_add(*height)).contains(unit)
        };
        let spans = taken.remove(&rack.id).unwrap_or_default();
        let used = (1..=rack.height_u).filter(|unit| spans.iter().any(|span| within(unit, span)));
        let sum = sums.entry(*site).or_default();
        *sum = (sum.0 + used.count() as u64, sum.1 + u64::from(rack.height_u));
    }
    let level = |(site, (used, units)): (SiteId, (u64, u64))| {
        let level = Level { day: today, used, limit: Some(units) };
        ((CapacityKind::RackUnits, *site.as_bytes()), level)
    };
    Ok(sums.into_iter().map(level).collect())
}

fn sites_of_rooms(db: &Connection) -> Result<HashMap<RoomId, SiteId>, DbError> {
    let buildings: HashMap<BuildingId, SiteId> =
        places::buildings(db)?.into_iter().map(|building| (building.id, building.site)).collect();
    let rooms = places::rooms(db)?.into_iter();
    Ok(rooms.filter_map(|room| Some((room.id, *buildings.get(&room.building)?))).collect())
}
