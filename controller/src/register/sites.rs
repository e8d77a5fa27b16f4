//! Sites, their buildings and rooms.

use lumbung_model::geo::Coordinates;
use lumbung_model::{BuildingId, RoomId, SiteId};
use lumbung_wire::messages::register::{Building, BuildingInput, Room, RoomInput, Site, SiteInput};
use rusqlite::Connection;

use super::text::{bandwidth, free_text, line};
use super::{Change, Mode, RegisterError, by_id, enter, enter_live, known, settle};
use crate::act::Act;
use crate::db::{places, register as rows};

/// The host of an address of a vault.
///
/// # Errors
/// If it is not `https://host[:port]`.
pub fn url_host(url: &str) -> Result<String, RegisterError> {
    let refused = || RegisterError::Text {
        field: "url",
        found: url.chars().take(64).collect(),
        reason: "write https://HOST:PORT, as in https://vault.example.go.id:7443",
    };
    let parsed: http::Uri = url.parse().map_err(|_| refused())?;
    let path_free = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
    let host = parsed.host().filter(|host| !host.is_empty()).ok_or_else(refused)?;
    let user_free = !parsed.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if parsed.scheme_str() != Some("https") || !path_free || !user_free || url.len() > 512 {
        return Err(refused());
    }
    Ok(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}

/// Enters a site.
///
/// # Errors
/// If a rule forbids it.
pub fn put_site(
    db: &Connection,
    act: &Act,
    input: &SiteInput,
    mode: Mode,
) -> Result<(Site, Change), RegisterError> {
    line("name", &input.name)?;
    free_text("address", &input.address)?;
    bandwidth(&input.link, &input.rate, &input.windows)?;
    input.url.as_deref().map(url_host).transpose()?;
    match (input.latitude, input.longitude) {
        (Some(latitude), Some(longitude)) => {
            Coordinates::new(latitude, longitude).map_err(RegisterError::Place)?;
        }
        (None, None) => {}
        _ => return Err(RegisterError::HalfPlace),
    }
    if let Some(id) = input.id
        && rows::is_removed_site(db, &id)?
    {
        return Err(RegisterError::RemovedSite(id));
    }
    let same_id = by_id(input.id, |id| rows::site(db, id))?;
    let by_name = rows::site_by_name(db, &input.name)?;
    let found = settle(("site", &input.name), mode, input.id, same_id, by_name, |site| site.id)?;
    let known = found.as_ref();
    let site = Site {
        id: known.map(|site| site.id).or(input.id).unwrap_or_else(SiteId::random),
        name: input.name.clone(),
        kind: input.kind,
        latitude: input.latitude,
        longitude: input.longitude,
        address: input.address.clone(),
        // What enrolment taught is not forgotten because a file does not say it.
        url: input.url.clone().or_else(|| known.and_then(|site| site.url.clone())),
        receipt_key: input.receipt_key.or_else(|| known.and_then(|site| site.receipt_key)),
        tls_pin: input.tls_pin.or_else(|| known.and_then(|site| site.tls_pin)),
        link: input.link.clone(),
        rate: input.rate.clone(),
        windows: input.windows.clone(),
    };
    if let Some(known) = known
        && rows::site_enrolled(db, &known.id)?.is_some()
        && (known.kind, &known.url, known.receipt_key, known.tls_pin)
            != (site.kind, &site.url, site.receipt_key, site.tls_pin)
    {
        return Err(RegisterError::EnrolledSite(site.name));
    }
    enter(known, site, |site| rows::put_site(db, act, site))
}

/// Enters a building.
///
/// # Errors
/// If a rule forbids it.
pub fn put_building(
    db: &Connection,
    act: &Act,
    input: &BuildingInput,
    mode: Mode,
) -> Result<(Building, Change), RegisterError> {
    line("name", &input.name)?;
    for (field, text) in [
        ("address", &input.address),
        ("jurisdiction", &input.jurisdiction),
        ("hazard_assessment", &input.hazard_assessment),
    ] {
        free_text(field, text)?;
    }
    known("site", &input.site, |id| rows::site(db, id))?;
    let same_id = by_id(input.id, |id| places::building(db, id))?;
    let by_name = places::building_by_name(db, &input.site, &input.name)?;
    let found = settle(("building", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    if let Some(before) = found.as_ref().filter(|before| before.site != input.site) {
        nothing_inside(
            ("building", "site"),
            &before.name,
            places::server_in_building(db, &before.id)?,
        )?;
    }
    let building = Building {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(BuildingId::random),
        site: input.site,
        name: input.name.clone(),
        address: input.address.clone(),
        jurisdiction: input.jurisdiction.clone(),
        hazard_assessment: input.hazard_assessment.clone(),
    };
    enter_live(db, found.as_ref(), building, |row| places::put_building(db, act, row))
}

/// Fails if a server stands in what is to be at another site: the server's own site would be the old one.
fn nothing_inside(
    (what, field): (&'static str, &'static str),
    name: &str,
    server: Option<String>,
) -> Result<(), RegisterError> {
    let name = name.to_owned();
    server.map_or(Ok(()), |server| Err(RegisterError::ServersInside { what, field, name, server }))
}

/// Enters a room.
///
/// # Errors
/// If a rule forbids it.
pub fn put_room(
    db: &Connection,
    act: &Act,
    input: &RoomInput,
    mode: Mode,
) -> Result<(Room, Change), RegisterError> {
    line("name", &input.name)?;
    known("building", &input.building, |id| places::building(db, id))?;
    let same_id = by_id(input.id, |id| places::room(db, id))?;
    let by_name = places::room_by_name(db, &input.building, &input.name)?;
    let found = settle(("room", &input.name), mode, input.id, same_id, by_name, |one| one.id)?;
    if let Some(before) = found.as_ref().filter(|before| before.building != input.building) {
        let site = |id| known("building", id, |id| places::building(db, id)).map(|one| one.site);
        if site(&before.building)? != site(&input.building)? {
            nothing_inside(
                ("room", "building"),
                &before.name,
                places::server_in_room(db, &before.id)?,
            )?;
        }
    }
    let room = Room {
        id: found.as_ref().map(|one| one.id).or(input.id).unwrap_or_else(RoomId::random),
        building: input.building,
        name: input.name.clone(),
        kind: input.kind,
    };
    enter_live(db, found.as_ref(), room, |row| places::put_room(db, act, row))
}
