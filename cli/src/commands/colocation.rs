//! `lumbung rack`, `feed`, `device`, `reservation`, `pool`, `handover`: what stands where, what it draws, and who may reach it.
//!
//! People name things; ids are looked up here, so that nobody types one. Whether something fits, the controller says.

mod args;

use lumbung_model::{Clock as _, Day, SystemClock};
use lumbung_wire::messages::register::{
    Device, DeviceInput, Elevation, Feed, FeedInput, Handover, HandoverInput, Pd, Pool, PoolInput,
    PoolStatus, Rack, RackInput, RegisterTable, Reservation, ReservationInput, Room,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use args::{DeviceAdd, DevicePlace, HandoverAdd};
pub(crate) use args::{
    DeviceCommand, FeedCommand, HandoverCommand, PoolCommand, RackCommand, ReservationCommand,
};

use crate::commands::colocated_text as text;
use crate::commands::elevation::draw;
use crate::commands::register::{find_pd, find_site, id_in, list_of, the};
use crate::commands::set::path_of;
use crate::controller::Controller;
use crate::failure::{Exit, Outcome};
use crate::terminal::Terminal;

/// Today, where times are shown.
pub(super) fn today(terminal: &Terminal) -> Day {
    let now = SystemClock.now();
    let shown = terminal.time(now);
    // It begins with the day.
    let day = shown.get(..10).and_then(|day| day.parse().ok());
    day.unwrap_or_else(|| Day::of(now, chrono_tz::UTC))
}

fn find_room(controller: &Controller, named: &str) -> Outcome<Room> {
    let rooms = controller.list("/api/v1/rooms")?;
    the(rooms, "room", named, |one: &Room| (&one.name, one.id.to_string()))
}

fn find_rack(controller: &Controller, named: &str) -> Outcome<Rack> {
    let racks = controller.list("/api/v1/racks")?;
    the(racks, "rack", named, |one: &Rack| (&one.name, one.id.to_string()))
}

fn find_feed(controller: &Controller, named: &str) -> Outcome<Feed> {
    feed_of(controller.list("/api/v1/feeds")?, named)
}

fn feed_of(feeds: Vec<Feed>, named: &str) -> Outcome<Feed> {
    the(feeds, "feed", named, |one: &Feed| (&one.name, one.id.to_string()))
}

/// Rows that are looked up by id for a table, and may not be seen by everybody: then there are none.
fn seen<T: DeserializeOwned>(controller: &Controller, path: &str) -> Vec<T> {
    controller.list(path).unwrap_or_default()
}

/// Runs `lumbung rack`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn rack(command: &RackCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        RackCommand::List(args) => {
            let controller = args.connect()?;
            let racks: Vec<Rack> = controller.list("/api/v1/racks")?;
            let rooms: Vec<Room> = controller.list("/api/v1/rooms")?;
            let feeds: Vec<Feed> = controller.list("/api/v1/feeds")?;
            let devices: Vec<Device> = controller.list("/api/v1/devices")?;
            let mut rows = Vec::new();
            for rack in racks {
                let path = format!("/api/v1/racks/{}/elevation", rack.id);
                let elevation: Elevation = controller.get(&path)?;
                rows.push(text::RackRow::new(rack, &elevation, (&rooms, &feeds, &devices)));
            }
            terminal.result(&rows, || text::racks(&rows, terminal))?;
        }
        RackCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let input = RackInput {
                id: None,
                room: find_room(&controller, &args.room)?.id,
                name: args.name.clone(),
                height_u: args.height_u,
                width_inches: args.width_inches,
                note: args.note.clone(),
            };
            let rack: Rack = controller.post("/api/v1/racks", &input)?;
            terminal.result(&rack, || format!("{}\n", rack.id))?;
        }
        RackCommand::Show(args) => {
            let controller = args.controller.connect()?;
            // Not by way of the racks, which a PD may not list.
            let racks = controller.list("/api/v1/elevations")?;
            let elevation = the(racks, "rack", &args.rack, |one: &Elevation| {
                (&one.name, one.rack.to_string())
            })?;
            terminal.result(&elevation, || draw(&elevation, terminal.lang, args.ascii))?;
        }
    }
    Ok(Exit::Fine)
}

/// Runs `lumbung feed`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn feed(command: &FeedCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        FeedCommand::List(args) => {
            let controller = args.connect()?;
            let feeds: Vec<Feed> = controller.list("/api/v1/feeds")?;
            let rooms: Vec<Room> = controller.list("/api/v1/rooms")?;
            let racks: Vec<Rack> = controller.list("/api/v1/racks")?;
            let devices: Vec<Device> = controller.list("/api/v1/devices")?;
            terminal
                .result(&feeds, || text::feeds(&feeds, (&rooms, &racks, &devices), terminal))?;
        }
        FeedCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let rack = args.rack.as_deref().map(|named| find_rack(&controller, named));
            let partner = args.partner.as_deref().map(|named| find_feed(&controller, named));
            let input = FeedInput {
                id: None,
                room: find_room(&controller, &args.room)?.id,
                rack: rack.transpose()?.map(|rack| rack.id),
                name: args.name.clone(),
                rated_w: args.watts,
                volts: args.volts,
                amps: args.amps,
                share_percent: args.share,
                partner: partner.transpose()?.map(|feed| feed.id),
            };
            let feed: Feed = controller.post("/api/v1/feeds", &input)?;
            terminal.result(&feed, || format!("{} {} W\n", feed.id, feed.usable_w()))?;
        }
    }
    Ok(Exit::Fine)
}

/// Runs `lumbung device`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn device(command: &DeviceCommand, terminal: &Terminal) -> Outcome<Exit> {
    let (controller, device) = match command {
        DeviceCommand::List(args) => {
            let controller = args.controller.connect()?;
            let devices: Vec<Device> = list_of(&controller, "devices", args.pd.as_deref())?;
            terminal.result(&devices, || {
                let (pds, racks) =
                    (seen(&controller, "/api/v1/pd"), seen(&controller, "/api/v1/racks"));
                let on = today(terminal);
                text::devices(&devices, (&pds, &racks), on, terminal)
            })?;
            return Ok(Exit::Fine);
        }
        DeviceCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let input = device_input(&controller, args)?;
            let device: Device = controller.post("/api/v1/devices", &input)?;
            (controller, device)
        }
        DeviceCommand::Place(args) => {
            let controller = args.controller.connect()?;
            let patch = placed(&controller, args)?;
            let device = change(&controller, (&args.name, args.pd.as_deref()), &patch)?;
            (controller, device)
        }
        DeviceCommand::TakeOut(args) => {
            let controller = args.controller.connect()?;
            let nothing = json!({ "rack": null, "lowest_u": null, "height_u": null, "face": null, "feeds": null });
            let device = change(&controller, (&args.name, args.pd.as_deref()), &nothing)?;
            (controller, device)
        }
    };
    terminal.result(&device, || {
        let (pds, racks) = (seen(&controller, "/api/v1/pd"), seen(&controller, "/api/v1/racks"));
        let on = today(terminal);
        text::devices(std::slice::from_ref(&device), (&pds, &racks), on, terminal)
    })?;
    Ok(Exit::Fine)
}

/// Changes a device as it is seen now.
fn change(
    controller: &Controller,
    (name, pd): (&str, Option<&str>),
    patch: &Value,
) -> Outcome<Device> {
    let path = path_of(controller, (RegisterTable::Devices, name, pd))?;
    let (_, tag): (Device, String) = controller.get_tagged(&path)?;
    controller.patch(&path, tag, patch)
}

fn placed(controller: &Controller, args: &DevicePlace) -> Outcome<Value> {
    let mut patch = json!({
        "rack": find_rack(controller, &args.rack)?.id,
        "lowest_u": args.unit, "height_u": args.height_u, "face": args.face,
    });
    if !args.feed.is_empty() {
        patch["feeds"] = json!(feed_ids(controller, &args.feed)?);
    }
    if let Some(watts) = args.watts {
        patch["draw_w"] = json!(watts);
    }
    Ok(patch)
}

fn feed_ids(controller: &Controller, named: &[String]) -> Outcome<Vec<lumbung_model::FeedId>> {
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let feeds: Vec<Feed> = controller.list("/api/v1/feeds")?;
    named.iter().map(|name| feed_of(feeds.clone(), name).map(|feed| feed.id)).collect()
}

fn device_input(controller: &Controller, args: &DeviceAdd) -> Outcome<DeviceInput> {
    let pd = find_pd(controller, &args.pd)?;
    let server =
        args.server.as_deref().map(|named| id_in(controller, "servers", Some(&pd.code), named));
    let rack = args.rack.as_deref().map(|named| find_rack(controller, named)).transpose()?;
    Ok(DeviceInput {
        id: None,
        pd: pd.id,
        name: args.name.clone(),
        kind: args.kind,
        model: args.model.clone(),
        serial: args.serial.clone(),
        purchased_on: args.purchased,
        warranty_until: args.warranty,
        condition: args.condition,
        server: server.transpose()?.and_then(|id| id.parse().ok()),
        lowest_u: args.unit,
        height_u: rack.is_some().then_some(args.height_u),
        face: rack.is_some().then_some(args.face),
        rack: rack.map(|rack| rack.id),
        draw_w: args.watts,
        feeds: feed_ids(controller, &args.feed)?,
    })
}

/// Runs `lumbung reservation`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn reservation(command: &ReservationCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        ReservationCommand::List(args) => {
            let controller = args.controller.connect()?;
            let rows: Vec<Reservation> = list_of(&controller, "reservations", args.pd.as_deref())?;
            terminal.result(&rows, || {
                let (pds, racks) =
                    (seen(&controller, "/api/v1/pd"), seen(&controller, "/api/v1/racks"));
                text::reservations(&rows, (&pds, &racks), terminal)
            })?;
        }
        ReservationCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let (pd, rack) = (find_pd(&controller, &args.pd)?, find_rack(&controller, &args.rack)?);
            let input = ReservationInput {
                id: None,
                rack: rack.id,
                pd: pd.id,
                name: args.name.clone(),
                lowest_u: args.unit,
                height_u: args.height_u,
                face: args.face,
                until: args.until,
                reason: args.reason.clone(),
            };
            let row: Reservation = controller.post("/api/v1/reservations", &input)?;
            let (pds, racks) = ([pd], [rack]);
            terminal.result(&row, || {
                text::reservations(std::slice::from_ref(&row), (&pds, &racks), terminal)
            })?;
        }
    }
    Ok(Exit::Fine)
}

/// Runs `lumbung pool`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn pool(command: &PoolCommand, terminal: &Terminal) -> Outcome<Exit> {
    match command {
        PoolCommand::List(args) => {
            let rows: Vec<PoolStatus> = args.connect()?.list("/api/v1/pools")?;
            terminal.result(&rows, || text::pools(&rows, terminal))?;
        }
        PoolCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let input = PoolInput {
                id: None,
                site: find_site(&controller, &args.site)?.id,
                name: args.name.clone(),
                vcpus: args.vcpus,
                overcommit_percent: args.overcommit,
                memory_bytes: args.memory.as_u64(),
                disk_bytes: args.disk.as_u64(),
            };
            let pool: Pool = controller.post("/api/v1/pools", &input)?;
            terminal.result(&pool, || {
                let drawn = (0, lumbung_model::colocation::Share::default());
                text::pools(&[PoolStatus::new(pool.clone(), drawn)], terminal)
            })?;
        }
    }
    Ok(Exit::Fine)
}

/// Runs `lumbung handover`.
///
/// # Errors
/// If the controller does not answer or refuses.
pub(crate) fn handover(command: &HandoverCommand, terminal: &Terminal) -> Outcome<Exit> {
    let (controller, row): (_, Handover) = match command {
        HandoverCommand::List(args) => {
            let controller = args.controller.connect()?;
            let rows: Vec<Handover> = list_of(&controller, "handovers", args.pd.as_deref())?;
            let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
            terminal.result(&rows, || text::handovers(&rows, &pds, terminal))?;
            return Ok(Exit::Fine);
        }
        HandoverCommand::Add(args) => {
            let controller = args.controller.connect()?;
            let input = handover_input(&controller, args)?;
            let row = controller.post("/api/v1/handovers", &input)?;
            (controller, row)
        }
        HandoverCommand::Return(args) => {
            let controller = args.controller.connect()?;
            let which = (RegisterTable::Handovers, args.name.as_str(), args.pd.as_deref());
            let path = path_of(&controller, which)?;
            let (_, tag): (Handover, String) = controller.get_tagged(&path)?;
            let on = args.on.unwrap_or_else(|| today(terminal));
            let row = controller.patch(&path, tag, &json!({ "returned_on": on }))?;
            (controller, row)
        }
    };
    let pds: Vec<Pd> = controller.list("/api/v1/pd")?;
    terminal.result(&row, || text::handovers(std::slice::from_ref(&row), &pds, terminal))?;
    Ok(Exit::Fine)
}

fn handover_input(controller: &Controller, args: &HandoverAdd) -> Outcome<HandoverInput> {
    let pd = find_pd(controller, &args.pd)?;
    let find = |list: &str, named: Option<&str>| {
        named.map(|named| id_in(controller, list, Some(&pd.code), named)).transpose()
    };
    let (server, application) = (
        find("servers", args.server.as_deref())?,
        find("applications", args.application.as_deref())?,
    );
    let dataset = find("datasets", args.dataset.as_deref())?;
    Ok(HandoverInput {
        id: None,
        pd: pd.id,
        name: args.name.clone(),
        server: server.and_then(|id| id.parse().ok()),
        application: application.and_then(|id| id.parse().ok()),
        dataset: dataset.and_then(|id| id.parse().ok()),
        from_person: args.from_person.clone(),
        to_person: args.to_person.clone(),
        handed_on: args.on,
        letter: args.letter.clone(),
        secret_kept_at: args.secret_kept_at.clone(),
        returned_on: None,
    })
}
