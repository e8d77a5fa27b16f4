//! Racks, power feeds, devices and reservations: what may be entered. Whether it fits where it is to be, [`super::fits`] says
//! once all of a change is entered, so that two devices may change places in one import.

use lumbung_model::colocation::{RACK_MAX_U, Span};
use lumbung_model::{DeviceId, FeedId, RackId, ReservationId};
use lumbung_wire::messages::register::{
    Device, DeviceInput, Feed, FeedInput, Rack, RackInput, Reservation, ReservationInput,
};
use rusqlite::Connection;

use super::text::{free_text, line};
use super::{Change, Mode, RegisterError, by_id, enter_live, known, settle};
use crate::act::Act;
use crate::db::{colocation as rows, places, register};

/// What a rack may be wide, inches.
const WIDTHS_INCHES: [u8; 4] = [10, 19, 21, 23];
/// The strongest feed and the heaviest device, watts.
const WATTS_MAX: u32 = 1_000_000;
/// Feeds of one device.
const FEEDS_MAX: usize = 8;

/// Enters a rack.
///
/// # Errors
/// If a rule forbids it.
pub fn put_rack(
    db: &Connection,
    act: &Act,
    input: &RackInput,
    mode: Mode,
) -> Result<(Rack, Change), RegisterError> {
    line("name", &input.name)?;
    free_text("note", &input.note)?;
    if !(1..=RACK_MAX_U).contains(&input.height_u) {
        return Err(number("height_u", input.height_u, "write units, 1 to 60"));
    }
    if !WIDTHS_INCHES.contains(&input.width_inches) {
        return Err(number("width_inches", input.width_inches, "write 10, 19, 21 or 23"));
    }
    known("room", &input.room, |id| places::room(db, id))?;
    let same_id = by_id(input.id, |id| rows::rack(db, id))?;
    let by_name = rows::rack_by_name(db, &input.room, &input.name)?;
    let found = settle(("rack", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    if let Some(before) = found.as_ref().filter(|before| before.room != input.room) {
        nothing_in_rack(db, before)?;
    }
    let rack = Rack {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(RackId::random),
        room: input.room,
        name: input.name.clone(),
        height_u: input.height_u,
        width_inches: input.width_inches,
        note: input.note.clone(),
    };
    enter_live(db, found.as_ref(), rack, |row| rows::put_rack(db, act, row))
}

fn number(field: &'static str, found: impl Into<u64>, reason: &'static str) -> RegisterError {
    RegisterError::Number { field, found: found.into(), reason }
}

/// Fails if something is in a rack that is to be in another room: its feeds are the room's.
fn nothing_in_rack(db: &Connection, rack: &Rack) -> Result<(), RegisterError> {
    let device = rows::devices_in_rack(db, &rack.id)?.into_iter().next();
    let feed = rows::feeds_of_rack(db, &rack.id)?.into_iter().next();
    let device = device.map(|one| format!("device {:?}", one.name));
    match device.or_else(|| feed.map(|one| format!("feed {:?}", one.name))) {
        None => Ok(()),
        Some(inside) => Err(RegisterError::Inside {
            what: "rack",
            field: "room",
            name: rack.name.clone(),
            inside,
        }),
    }
}

/// Enters a power feed.
///
/// # Errors
/// If a rule forbids it.
pub fn put_feed(
    db: &Connection,
    act: &Act,
    input: &FeedInput,
    mode: Mode,
) -> Result<(Feed, Change), RegisterError> {
    line("name", &input.name)?;
    rating(input)?;
    known("room", &input.room, |id| places::room(db, id))?;
    if let Some(rack) = &input.rack {
        let rack = known("rack", rack, |id| rows::rack(db, id))?;
        let reason = "name a rack of the feed's own room";
        related("rack", rack.room == input.room, reason)?;
    }
    let same_id = by_id(input.id, |id| rows::feed(db, id))?;
    let by_name = rows::feed_by_name(db, &input.room, &input.name)?;
    let found = settle(("feed", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    let id = found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(FeedId::random);
    partner(db, &id, input)?;
    let moves = |before: &&Feed| (before.room, before.rack) != (input.room, input.rack);
    if let Some(before) = found.as_ref().filter(moves)
        && let Some(device) = rows::devices_on_feed(db, &before.id)?.first()
    {
        let inside = format!("device {:?}", device.name);
        let (what, field, name) = ("feed", "room", before.name.clone());
        return Err(RegisterError::Inside { what, field, name, inside });
    }
    let feed = Feed {
        id,
        room: input.room,
        rack: input.rack,
        name: input.name.clone(),
        rated_w: input.rated_w,
        volts: input.volts,
        amps: input.amps,
        share_percent: input.share_percent,
        partner: input.partner,
    };
    enter_live(db, found.as_ref(), feed, |row| rows::put_feed(db, act, row))
}

/// Watts, or volts and amperes.
fn rating(input: &FeedInput) -> Result<(), RegisterError> {
    let reason = "write rated_w, or volts and amps: one of the two ways";
    let whole = matches!(
        (input.rated_w, input.volts, input.amps),
        (Some(_), None, None) | (None, Some(_), Some(_))
    );
    together("rated_w", whole, reason)?;
    for (field, found, most) in [
        ("rated_w", input.rated_w, WATTS_MAX),
        ("volts", input.volts, 1000),
        ("amps", input.amps, 1000),
    ] {
        if let Some(found) = found.filter(|found| !(1..=most).contains(found)) {
            return Err(number(field, found, "write what its label says, as in 230 V and 16 A"));
        }
    }
    if !(1..=100).contains(&input.share_percent) {
        return Err(number("share_percent", input.share_percent, "write percent, 1 to 100"));
    }
    Ok(())
}

/// The other feed of the pair: of the same room, and no other's already.
fn partner(db: &Connection, id: &FeedId, input: &FeedInput) -> Result<(), RegisterError> {
    let field = "partner";
    let Some(partner) = &input.partner else { return Ok(()) };
    let other = known("feed", partner, |id| rows::feed(db, id))?;
    related(field, other.id != *id, "a feed is no partner of itself: name the other one")?;
    related(field, other.room == input.room, "name a feed of the same room")?;
    let reason = "one of the two feeds of a pair names the other: that one has a partner already";
    related(field, other.partner.is_none(), reason)?;
    let named_by = |of: &FeedId| rows::feed_by_partner(db, of);
    let free = named_by(partner)?.is_none_or(|one| one.id == *id) && named_by(id)?.is_none();
    related(field, free, reason)
}

/// Fails unless what is given together is whole.
pub(super) fn together(
    field: &'static str,
    whole: bool,
    reason: &'static str,
) -> Result<(), RegisterError> {
    if whole { Ok(()) } else { Err(RegisterError::Together { field, reason }) }
}

/// Fails unless a row is related to others as it has to be.
pub(super) fn related(
    field: &'static str,
    fits: bool,
    reason: &'static str,
) -> Result<(), RegisterError> {
    if fits { Ok(()) } else { Err(RegisterError::Relation { field, reason }) }
}

/// Enters a device.
///
/// # Errors
/// If a rule forbids it.
pub fn put_device(
    db: &Connection,
    act: &Act,
    input: &DeviceInput,
    mode: Mode,
) -> Result<(Device, Change), RegisterError> {
    line("name", &input.name)?;
    for (field, text) in [("model", &input.model), ("serial", &input.serial)] {
        if !text.is_empty() {
            line(field, text)?;
        }
    }
    let in_order = |end| input.purchased_on.is_none_or(|bought| bought <= end);
    let reason = "it ends after the day on which the device was bought";
    together("warranty_until", input.warranty_until.is_none_or(in_order), reason)?;
    place(input)?;
    power(input)?;
    known("PD", &input.pd, |id| register::pd(db, id))?;
    if let Some(id) = &input.server {
        let server = known("server", id, |id| register::server(db, id))?;
        related("server", server.pd == input.pd, "name a server of the device's own PD")?;
    }
    input.rack.as_ref().map(|id| known("rack", id, |id| rows::rack(db, id))).transpose()?;
    for feed in &input.feeds {
        known("feed", feed, |id| rows::feed(db, id))?;
    }
    let same_id = by_id(input.id, |id| rows::device(db, id))?;
    let by_name = rows::device_by_name(db, &input.pd, &input.name)?;
    let found = settle(("device", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    let id = found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(DeviceId::random);
    enter_live(db, found.as_ref(), device(id, input), |row| rows::put_device(db, act, row))
}

fn device(id: DeviceId, input: &DeviceInput) -> Device {
    Device {
        id,
        pd: input.pd,
        name: input.name.clone(),
        kind: input.kind,
        model: input.model.clone(),
        serial: input.serial.clone(),
        purchased_on: input.purchased_on,
        warranty_until: input.warranty_until,
        condition: input.condition,
        server: input.server,
        rack: input.rack,
        lowest_u: input.lowest_u,
        height_u: input.height_u,
        face: input.face,
        draw_w: input.draw_w,
        feeds: input.feeds.clone(),
    }
}

/// A rack with units and face, or nothing of these.
fn place(input: &DeviceInput) -> Result<(), RegisterError> {
    let reason = "rack, lowest_u, height_u and face go together: give all of them, or none";
    match (input.rack, input.lowest_u, input.height_u, input.face) {
        (None, None, None, None) => Ok(()),
        (Some(_), Some(lowest_u), Some(height_u), Some(face)) => {
            units(lowest_u, height_u, face.faces())
        }
        _ => Err(RegisterError::Together { field: "rack", reason }),
    }
}

fn units(lowest_u: u8, height_u: u8, faces: (bool, bool)) -> Result<(), RegisterError> {
    if Span::new(lowest_u, height_u, faces).is_some() {
        return Ok(());
    }
    let reason = "units are numbered from the bottom: 1 to 60, and so is the highest one";
    Err(number("lowest_u", lowest_u, reason))
}

/// What it draws, and on which feeds.
fn power(input: &DeviceInput) -> Result<(), RegisterError> {
    if let Some(found) = input.draw_w.filter(|watts| !(1..=WATTS_MAX).contains(watts)) {
        return Err(number("draw_w", found, "write watts, 1 to 1000000"));
    }
    let some = input.feeds.is_empty() || input.draw_w.is_some();
    together("draw_w", some, "write what the device draws: feeds have to carry it")?;
    if input.feeds.len() > FEEDS_MAX {
        return Err(number("feeds", input.feeds.len() as u64, "at most 8 feeds"));
    }
    let again = |(index, feed): (usize, &FeedId)| input.feeds[..index].contains(feed);
    let distinct = !input.feeds.iter().enumerate().any(again);
    together("feeds", distinct, "name each feed once")
}

/// Enters a reservation.
///
/// # Errors
/// If a rule forbids it.
pub fn put_reservation(
    db: &Connection,
    act: &Act,
    input: &ReservationInput,
    mode: Mode,
) -> Result<(Reservation, Change), RegisterError> {
    line("name", &input.name)?;
    free_text("reason", &input.reason)?;
    units(input.lowest_u, input.height_u, input.face.faces())?;
    known("PD", &input.pd, |id| register::pd(db, id))?;
    known("rack", &input.rack, |id| rows::rack(db, id))?;
    let same_id = by_id(input.id, |id| rows::reservation(db, id))?;
    let by_name = rows::reservation_by_name(db, &input.rack, &input.name)?;
    let name = ("reservation", input.name.as_str());
    let found = settle(name, mode, input.id, same_id, by_name, |one| one.id)?;
    let row = Reservation {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(ReservationId::random),
        rack: input.rack,
        pd: input.pd,
        name: input.name.clone(),
        lowest_u: input.lowest_u,
        height_u: input.height_u,
        face: input.face,
        until: input.until,
        reason: input.reason.clone(),
    };
    enter_live(db, found.as_ref(), row, |row| rows::put_reservation(db, act, row))
}
