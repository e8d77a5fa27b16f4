//! Rows of the register: racks, power feeds, devices with the feeds that they hang on, reservations.
//!
//! What fits where is `crate::register`'s business.

use lumbung_model::{Day, DeviceId, FeedId, PdId, RackId, ReservationId, RoomId, ServerId};
use lumbung_wire::messages::register::{Device, Feed, Rack, Reservation};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use super::audit::Deed;
use super::register::{EVERY_PD, LIVE, record};
use super::{DbError, id, maybe_id, word};
use crate::act::Act;

/// A day in column `index`, if there is one.
pub(super) fn maybe_day(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Day>> {
    let text: Option<String> = row.get(index)?;
    text.map(|_| word(row, index)).transpose()
}

/// Rows that one statement finds.
pub(super) fn all<T>(
    db: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, DbError> {
    Ok(db.prepare_cached(sql)?.query_map(values, read)?.collect::<Result<_, _>>()?)
}

/// The one row that a statement finds.
pub(super) fn one<T>(
    db: &Connection,
    sql: &str,
    values: &[&dyn ToSql],
    read: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, DbError> {
    Ok(db.prepare_cached(sql)?.query_row(values, read).optional()?)
}

const RACK: &str = "SELECT id, room, name, height_u, width_inches, note FROM racks";

fn rack_row(row: &Row<'_>) -> rusqlite::Result<Rack> {
    Ok(Rack {
        id: RackId::from_bytes(id(row, 0)?),
        room: RoomId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        height_u: row.get(3)?,
        width_inches: row.get(4)?,
        note: row.get(5)?,
    })
}

/// The racks that are not retired, by name.
pub fn racks(db: &Connection) -> Result<Vec<Rack>, DbError> {
    all(db, &format!("{RACK} WHERE {LIVE} ORDER BY name, id"), &[], rack_row)
}

/// The live racks in which a live device of the PD stands.
pub fn racks_of(db: &Connection, pd: &PdId) -> Result<Vec<Rack>, DbError> {
    let own = format!("SELECT rack FROM devices WHERE pd = ? AND {LIVE}");
    let sql = format!("{RACK} WHERE id IN ({own}) AND {LIVE} ORDER BY name, id");
    all(db, &sql, &[pd.as_bytes()], rack_row)
}

/// The rack of that id.
pub fn rack(db: &Connection, rack: &RackId) -> Result<Option<Rack>, DbError> {
    one(db, &format!("{RACK} WHERE id = ?"), &[rack.as_bytes()], rack_row)
}

/// The room's rack of that name.
pub fn rack_by_name(db: &Connection, room: &RoomId, name: &str) -> Result<Option<Rack>, DbError> {
    one(db, &format!("{RACK} WHERE room = ? AND name = ?"), &[room.as_bytes(), &name], rack_row)
}

/// Writes a rack.
pub fn put_rack(db: &Connection, act: &Act, rack: &Rack) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO racks (id, room, name, height_u, width_inches, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET room = ?2, name = ?3, height_u = ?4, width_inches = ?5, note = ?6",
    )?
    .execute(params![
        rack.id.as_bytes(),
        rack.room.as_bytes(),
        rack.name,
        rack.height_u,
        rack.width_inches,
        rack.note,
    ])?;
    let deed = Deed { action: "rack.put", kind: "rack", id: &rack.id, pd: None };
    record(db, act, deed, rack.id.as_bytes(), rack)
}

const FEED: &str =
    "SELECT id, room, rack, name, rated_w, volts, amps, share_percent, partner FROM feeds";

fn feed_row(row: &Row<'_>) -> rusqlite::Result<Feed> {
    Ok(Feed {
        id: FeedId::from_bytes(id(row, 0)?),
        room: RoomId::from_bytes(id(row, 1)?),
        rack: maybe_id(row, 2)?.map(RackId::from_bytes),
        name: row.get(3)?,
        rated_w: row.get(4)?,
        volts: row.get(5)?,
        amps: row.get(6)?,
        share_percent: row.get(7)?,
        partner: maybe_id(row, 8)?.map(FeedId::from_bytes),
    })
}

/// The feeds that are not retired, by name.
pub fn feeds(db: &Connection) -> Result<Vec<Feed>, DbError> {
    all(db, &format!("{FEED} WHERE {LIVE} ORDER BY name, id"), &[], feed_row)
}

/// The feed of that id.
pub fn feed(db: &Connection, feed: &FeedId) -> Result<Option<Feed>, DbError> {
    one(db, &format!("{FEED} WHERE id = ?"), &[feed.as_bytes()], feed_row)
}

/// The room's feed of that name.
pub fn feed_by_name(db: &Connection, room: &RoomId, name: &str) -> Result<Option<Feed>, DbError> {
    one(db, &format!("{FEED} WHERE room = ? AND name = ?"), &[room.as_bytes(), &name], feed_row)
}

/// A live feed that names this one as its partner.
pub fn feed_by_partner(db: &Connection, partner: &FeedId) -> Result<Option<Feed>, DbError> {
    let sql = format!("{FEED} WHERE partner = ? AND {LIVE} ORDER BY name LIMIT 1");
    one(db, &sql, &[partner.as_bytes()], feed_row)
}

/// The live feeds that are for one rack.
pub fn feeds_of_rack(db: &Connection, rack: &RackId) -> Result<Vec<Feed>, DbError> {
    let sql = format!("{FEED} WHERE rack = ? AND {LIVE} ORDER BY name");
    all(db, &sql, &[rack.as_bytes()], feed_row)
}

/// Writes a feed.
pub fn put_feed(db: &Connection, act: &Act, feed: &Feed) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO feeds (id, room, rack, name, rated_w, volts, amps, share_percent, partner)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET room = ?2, rack = ?3, name = ?4, rated_w = ?5, volts = ?6, amps = ?7,
            share_percent = ?8, partner = ?9",
    )?
    .execute(params![
        feed.id.as_bytes(),
        feed.room.as_bytes(),
        feed.rack.map(|rack| *rack.as_bytes()),
        feed.name,
        feed.rated_w,
        feed.volts,
        feed.amps,
        feed.share_percent,
        feed.partner.map(|partner| *partner.as_bytes()),
    ])?;
    let deed = Deed { action: "feed.put", kind: "feed", id: &feed.id, pd: None };
    record(db, act, deed, feed.id.as_bytes(), feed)
}

const DEVICE: &str = "SELECT id, pd, name, kind, model, serial, purchased_on, warranty_until, condition, server, rack,
    lowest_u, height_u, face, draw_w,
    (SELECT group_concat(lower(hex(f.feed)), ',' ORDER BY f.place) FROM device_feeds AS f WHERE f.device = devices.id)
    FROM devices";

fn device_row(row: &Row<'_>) -> rusqlite::Result<Device> {
    let face: Option<String> = row.get(13)?;
    Ok(Device {
        id: DeviceId::from_bytes(id(row, 0)?),
        pd: PdId::from_bytes(id(row, 1)?),
        name: row.get(2)?,
        kind: word(row, 3)?,
        model: row.get(4)?,
        serial: row.get(5)?,
        purchased_on: maybe_day(row, 6)?,
        warranty_until: maybe_day(row, 7)?,
        condition: word(row, 8)?,
        server: maybe_id(row, 9)?.map(ServerId::from_bytes),
        rack: maybe_id(row, 10)?.map(RackId::from_bytes),
        lowest_u: row.get(11)?,
        height_u: row.get(12)?,
        face: face.map(|_| word(row, 13)).transpose()?,
        draw_w: row.get(14)?,
        feeds: feed_ids(row, 15)?,
    })
}

/// Ids of feeds with commas between them.
fn feed_ids(row: &Row<'_>, index: usize) -> rusqlite::Result<Vec<FeedId>> {
    let text: Option<String> = row.get(index)?;
    let ids = text.iter().flat_map(|text| text.split(','));
    ids.map(|id| {
        id.parse().map_err(|error| {
            let kind = rusqlite::types::Type::Text;
            rusqlite::Error::FromSqlConversionFailure(index, kind, Box::new(error))
        })
    })
    .collect()
}

/// The devices that are not retired, of all PD or of one, by name.
pub fn devices(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Device>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{DEVICE} WHERE {of_pd} AND {LIVE} ORDER BY name, id");
    all(db, &sql, &[&pd.map(PdId::as_bytes)], device_row)
}

/// The device of that id.
pub fn device(db: &Connection, device: &DeviceId) -> Result<Option<Device>, DbError> {
    one(db, &format!("{DEVICE} WHERE id = ?"), &[device.as_bytes()], device_row)
}

/// The PD's device of that name.
pub fn device_by_name(db: &Connection, pd: &PdId, name: &str) -> Result<Option<Device>, DbError> {
    one(db, &format!("{DEVICE} WHERE pd = ? AND name = ?"), &[pd.as_bytes(), &name], device_row)
}

/// A live device of that serial number, other than this one.
pub fn device_by_serial(
    db: &Connection,
    serial: &str,
    other_than: &DeviceId,
) -> Result<Option<Device>, DbError> {
    let sql = format!("{DEVICE} WHERE serial = ? AND serial <> '' AND id <> ? AND {LIVE} LIMIT 1");
    one(db, &sql, &[&serial, other_than.as_bytes()], device_row)
}

/// A live device that is this server.
pub fn device_of_server(db: &Connection, server: &ServerId) -> Result<Option<Device>, DbError> {
    let sql = format!("{DEVICE} WHERE server = ? AND {LIVE} ORDER BY name LIMIT 1");
    one(db, &sql, &[server.as_bytes()], device_row)
}

/// The live devices in one rack.
pub fn devices_in_rack(db: &Connection, rack: &RackId) -> Result<Vec<Device>, DbError> {
    let sql = format!("{DEVICE} WHERE rack = ? AND {LIVE} ORDER BY lowest_u, name");
    all(db, &sql, &[rack.as_bytes()], device_row)
}

/// The live reservations in one rack.
pub fn reservations_in_rack(db: &Connection, rack: &RackId) -> Result<Vec<Reservation>, DbError> {
    let sql = format!("{RESERVATION} WHERE rack = ? AND {LIVE} ORDER BY name, id");
    all(db, &sql, &[rack.as_bytes()], reservation_row)
}

/// The live devices on one feed.
pub fn devices_on_feed(db: &Connection, feed: &FeedId) -> Result<Vec<Device>, DbError> {
    let sql = format!(
        "{DEVICE} WHERE id IN (SELECT f.device FROM device_feeds AS f WHERE f.feed = ?) AND {LIVE} ORDER BY name, id"
    );
    all(db, &sql, &[feed.as_bytes()], device_row)
}

/// Writes a device and which feeds it hangs on.
pub fn put_device(db: &Connection, act: &Act, device: &Device) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO devices (id, pd, name, kind, model, serial, purchased_on, warranty_until, condition, server, rack,
            lowest_u, height_u, face, draw_w)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, name = ?3, kind = ?4, model = ?5, serial = ?6, purchased_on = ?7,
            warranty_until = ?8, condition = ?9, server = ?10, rack = ?11, lowest_u = ?12, height_u = ?13, face = ?14,
            draw_w = ?15",
    )?
    .execute(params![
        device.id.as_bytes(),
        device.pd.as_bytes(),
        device.name,
        device.kind.as_str(),
        device.model,
        device.serial,
        device.purchased_on.map(|day| day.to_string()),
        device.warranty_until.map(|day| day.to_string()),
        device.condition.as_str(),
        device.server.map(|server| *server.as_bytes()),
        device.rack.map(|rack| *rack.as_bytes()),
        device.lowest_u,
        device.height_u,
        device.face.map(lumbung_wire::messages::register::Face::as_str),
        device.draw_w,
    ])?;
    let own = device.id.as_bytes();
    db.prepare_cached("DELETE FROM device_feeds WHERE device = ?")?.execute([own])?;
    let mut insert =
        db.prepare_cached("INSERT INTO device_feeds (device, feed, place) VALUES (?, ?, ?)")?;
    for (place, feed) in device.feeds.iter().enumerate() {
        insert.execute(params![own, feed.as_bytes(), i64::try_from(place).unwrap_or(i64::MAX)])?;
    }
    let deed = Deed { action: "device.put", kind: "device", id: &device.id, pd: Some(device.pd) };
    record(db, act, deed, own, device)
}

const RESERVATION: &str =
    "SELECT id, rack, pd, name, lowest_u, height_u, face, until, reason FROM reservations";

fn reservation_row(row: &Row<'_>) -> rusqlite::Result<Reservation> {
    Ok(Reservation {
        id: ReservationId::from_bytes(id(row, 0)?),
        rack: RackId::from_bytes(id(row, 1)?),
        pd: PdId::from_bytes(id(row, 2)?),
        name: row.get(3)?,
        lowest_u: row.get(4)?,
        height_u: row.get(5)?,
        face: word(row, 6)?,
        until: word(row, 7)?,
        reason: row.get(8)?,
    })
}

/// The reservations that are not retired, of all PD or of one, by name.
pub fn reservations(db: &Connection, pd: Option<&PdId>) -> Result<Vec<Reservation>, DbError> {
    let of_pd = if pd.is_some() { "pd = ?1" } else { EVERY_PD };
    let sql = format!("{RESERVATION} WHERE {of_pd} AND {LIVE} ORDER BY name, id");
    all(db, &sql, &[&pd.map(PdId::as_bytes)], reservation_row)
}

/// The reservation of that id.
pub fn reservation(
    db: &Connection,
    reservation: &ReservationId,
) -> Result<Option<Reservation>, DbError> {
    one(db, &format!("{RESERVATION} WHERE id = ?"), &[reservation.as_bytes()], reservation_row)
}

/// The rack's reservation of that name.
pub fn reservation_by_name(
    db: &Connection,
    rack: &RackId,
    name: &str,
) -> Result<Option<Reservation>, DbError> {
    let sql = format!("{RESERVATION} WHERE rack = ? AND name = ?");
    one(db, &sql, &[rack.as_bytes(), &name], reservation_row)
}

/// Writes a reservation.
pub fn put_reservation(db: &Connection, act: &Act, row: &Reservation) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO reservations (id, rack, pd, name, lowest_u, height_u, face, until, reason)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET rack = ?2, pd = ?3, name = ?4, lowest_u = ?5, height_u = ?6, face = ?7,
            until = ?8, reason = ?9",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.rack.as_bytes(),
        row.pd.as_bytes(),
        row.name,
        row.lowest_u,
        row.height_u,
        row.face.as_str(),
        row.until.to_string(),
        row.reason,
    ])?;
    let (action, kind) = ("reservation.put", "reservation");
    let deed = Deed { action, kind, id: &row.id, pd: Some(row.pd) };
    record(db, act, deed, row.id.as_bytes(), row)
}
