//! What stands where now, and whose it is: what new places, draws and shares are held against.

use std::collections::HashMap;

use lumbung_model::colocation::{Draw, Reserved, Share, Standing};
use lumbung_model::{FeedId, PdId, PoolId, RackId, ServerId};
use lumbung_wire::messages::register::{Device, Reservation};
use rusqlite::{Connection, params};

use super::colocation::{devices_in_rack, devices_on_feed, reservations_in_rack};
use super::register::{LIVE, pds_ever};
use super::{DbError, count};

/// Codes of all PD.
pub struct Codes(HashMap<PdId, String>);

impl Codes {
    /// As they are now.
    ///
    /// # Errors
    /// If the database fails.
    pub fn read(db: &Connection) -> Result<Self, DbError> {
        Ok(Self(pds_ever(db)?.into_iter().map(|pd| (pd.id, pd.code)).collect()))
    }

    /// The code of one.
    #[must_use]
    pub fn of(&self, pd: PdId) -> String {
        self.0.get(&pd).cloned().unwrap_or_else(|| pd.short())
    }

    /// A device in its place; none: it is in no rack.
    #[must_use]
    pub fn standing(&self, device: &Device) -> Option<Standing> {
        let span = device.span()?;
        let (name, code) = (device.name.clone(), self.of(device.pd));
        Some(Standing { id: device.id, name, pd: device.pd, code, span })
    }

    /// What a reservation keeps.
    #[must_use]
    pub fn reserved(&self, row: &Reservation) -> Option<Reserved> {
        let (name, code) = (row.name.clone(), self.of(row.pd));
        let span = row.span()?;
        Some(Reserved { id: row.id, name, pd: row.pd, code, span, until: row.until })
    }

    /// What a device draws; none: nobody knows.
    #[must_use]
    pub fn draw(&self, device: &Device) -> Option<Draw> {
        let (name, code) = (device.name.clone(), self.of(device.pd));
        Some(Draw { id: device.id, name, code, draw_w: device.draw_w? })
    }
}

/// What stands in a rack, and what of it is reserved, whether that has lapsed or not.
pub fn in_rack(
    db: &Connection,
    rack: &RackId,
    codes: &Codes,
) -> Result<(Vec<Standing>, Vec<Reserved>), DbError> {
    let devices = devices_in_rack(db, rack)?;
    let kept = reservations_in_rack(db, rack)?;
    Ok((
        devices.iter().filter_map(|one| codes.standing(one)).collect(),
        kept.iter().filter_map(|one| codes.reserved(one)).collect(),
    ))
}

/// What hangs on a feed.
pub fn on_feed(db: &Connection, feed: &FeedId, codes: &Codes) -> Result<Vec<Draw>, DbError> {
    Ok(devices_on_feed(db, feed)?.iter().filter_map(|one| codes.draw(one)).collect())
}

/// How many live servers draw on a pool, and how much in all; without one of them.
pub fn from_pool(
    db: &Connection,
    pool: &PoolId,
    without: Option<&ServerId>,
) -> Result<(u64, Share), DbError> {
    let mut statement = db.prepare_cached(&format!(
        "SELECT count(*), coalesce(sum(vcpus), 0), coalesce(sum(memory_bytes), 0), coalesce(sum(disk_bytes), 0)
         FROM servers WHERE pool = ?1 AND (?2 IS NULL OR id <> ?2) AND {LIVE}"
    ))?;
    let asked = params![pool.as_bytes(), without.map(ServerId::as_bytes)];
    let found = statement.query_row(asked, |row| {
        let share = Share {
            vcpus: count(row, 1)?,
            memory_bytes: count(row, 2)?,
            disk_bytes: count(row, 3)?,
        };
        Ok((count(row, 0)?, share))
    })?;
    Ok(found)
}
