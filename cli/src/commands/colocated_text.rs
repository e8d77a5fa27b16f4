//! Tables of racks, feeds, devices, reservations, pools and handovers.

use lumbung_model::{ByteSize, Day, FeedId, RackId, RoomId};
use lumbung_wire::messages::register::{
    Device, Elevation, ElevationUnit, Face, Feed, Handover, Pd, PoolStatus, Rack, Reservation,
    Room, SlotState,
};
use serde::Serialize;

use super::register_text::pd_code;
use crate::table::Table;
use crate::terminal::{Terminal, plain};

fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| plain(&value.to_string()))
}

fn rack_name(racks: &[Rack], rack: RackId) -> String {
    racks.iter().find(|one| one.id == rack).map_or_else(|| rack.short(), |one| plain(&one.name))
}

fn room_name(rooms: &[Room], room: RoomId) -> String {
    rooms.iter().find(|one| one.id == room).map_or_else(|| room.short(), |one| plain(&one.name))
}

fn units(lowest_u: u8, height_u: u8, face: Face) -> String {
    let top = u16::from(lowest_u) + u16::from(height_u) - 1;
    if height_u == 1 { format!("U{lowest_u} {face}") } else { format!("U{lowest_u}-U{top} {face}") }
}

/// What a feed carries now, watts.
fn load_w(devices: &[Device], feed: FeedId) -> u64 {
    let on_it = devices.iter().filter(|one| one.feeds.contains(&feed));
    on_it.filter_map(|one| one.draw_w).map(u64::from).sum()
}

/// A rack with what is free in it.
#[derive(Serialize)]
pub(crate) struct RackRow {
    rack: Rack,
    room_name: String,
    /// Units with a free front, with a free rear, with both.
    free_front_u: usize,
    free_rear_u: usize,
    free_u: usize,
    feeds: Vec<FeedRow>,
}

#[derive(Serialize)]
struct FeedRow {
    name: String,
    load_w: u64,
    usable_w: u64,
}

impl RackRow {
    /// Of a rack, its elevation, and what may be in it.
    pub(crate) fn new(
        rack: Rack,
        elevation: &Elevation,
        (rooms, feeds, devices): (&[Room], &[Feed], &[Device]),
    ) -> Self {
        let units = &elevation.units;
        let front = |one: &ElevationUnit| one.front.state == SlotState::Free;
        let rear = |one: &ElevationUnit| one.rear.state == SlotState::Free;
        let in_it: Vec<_> = devices.iter().filter(|one| one.rack == Some(rack.id)).collect();
        let of_rack = |feed: &&Feed| {
            feed.rack == Some(rack.id) || in_it.iter().any(|one| one.feeds.contains(&feed.id))
        };
        let feed_row = |feed: &Feed| FeedRow {
            name: feed.name.clone(),
            load_w: load_w(devices, feed.id),
            usable_w: feed.usable_w(),
        };
        Self {
            room_name: room_name(rooms, rack.room),
            free_front_u: units.iter().filter(|one| front(one)).count(),
            free_rear_u: units.iter().filter(|one| rear(one)).count(),
            free_u: units.iter().filter(|one| front(one) && rear(one)).count(),
            feeds: feeds.iter().filter(of_rack).map(feed_row).collect(),
            rack,
        }
    }
}

/// The racks.
pub(crate) fn racks(rows: &[RackRow], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Ruang", "Room"))
        .text(terminal.pick("Rak", "Rack"))
        .number("U")
        .number(terminal.pick("Kosong", "Free"))
        .number(terminal.pick("Depan", "Front"))
        .number(terminal.pick("Belakang", "Rear"))
        .text(terminal.pick("Daya (W)", "Power (W)"));
    for row in rows {
        let feeds: Vec<_> = row
            .feeds
            .iter()
            .map(|feed| format!("{} {}/{}", plain(&feed.name), feed.load_w, feed.usable_w))
            .collect();
        table.row([
            row.room_name.clone(),
            plain(&row.rack.name),
            row.rack.height_u.to_string(),
            row.free_u.to_string(),
            row.free_front_u.to_string(),
            row.free_rear_u.to_string(),
            feeds.join(", "),
        ]);
    }
    table.render()
}

/// The feeds.
pub(crate) fn feeds(
    rows: &[Feed],
    (rooms, racks, devices): (&[Room], &[Rack], &[Device]),
    terminal: &Terminal,
) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Ruang", "Room"))
        .text(terminal.pick("Jalur daya", "Feed"))
        .text(terminal.pick("Rak", "Rack"))
        .number("%")
        .number(terminal.pick("Boleh (W)", "May carry (W)"))
        .number(terminal.pick("Terpakai (W)", "Carries (W)"))
        .text(terminal.pick("Pasangan", "Partner"));
    for row in rows {
        let pair = |one: &&Feed| Some(one.id) == row.partner || one.partner == Some(row.id);
        table.row([
            room_name(rooms, row.room),
            plain(&row.name),
            row.rack.map_or_else(|| "–".to_owned(), |rack| rack_name(racks, rack)),
            row.share_percent.to_string(),
            row.usable_w().to_string(),
            load_w(devices, row.id).to_string(),
            or_dash(rows.iter().find(pair).map(|one| &one.name)),
        ]);
    }
    table.render()
}

/// The devices, with their age on a day.
pub(crate) fn devices(
    rows: &[Device],
    (pds, racks): (&[Pd], &[Rack]),
    on: Day,
    terminal: &Terminal,
) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Perangkat", "Device"))
        .text(terminal.pick("Jenis", "Kind"))
        .text(terminal.pick("Kondisi", "Condition"))
        .number(terminal.pick("Usia (th)", "Age (y)"))
        .rigid(terminal.pick("Garansi", "Warranty"))
        .text(terminal.pick("Tempat", "Place"))
        .number("W");
    for row in rows {
        let place = match (row.rack, row.lowest_u, row.height_u, row.face) {
            (Some(rack), Some(lowest_u), Some(height_u), Some(face)) => {
                Some(format!("{} {}", rack_name(racks, rack), units(lowest_u, height_u, face)))
            }
            _ => None,
        };
        table.row([
            pd_code(pds, &row.pd),
            plain(&row.name),
            row.kind.to_string(),
            row.condition.to_string(),
            or_dash(row.age_years(on)),
            or_dash(row.warranty_until),
            place.unwrap_or_else(|| "–".to_owned()),
            or_dash(row.draw_w),
        ]);
    }
    table.render()
}

/// The reservations.
pub(crate) fn reservations(
    rows: &[Reservation],
    (pds, racks): (&[Pd], &[Rack]),
    terminal: &Terminal,
) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Reservasi", "Reservation"))
        .text(terminal.pick("Rak", "Rack"))
        .rigid(terminal.pick("Unit", "Units"))
        .rigid(terminal.pick("Sampai", "Until"))
        .text(terminal.pick("Alasan", "Reason"));
    for row in rows {
        table.row([
            pd_code(pds, &row.pd),
            plain(&row.name),
            rack_name(racks, row.rack),
            units(row.lowest_u, row.height_u, row.face),
            row.until.to_string(),
            or_dash(Some(&row.reason).filter(|reason| !reason.is_empty())),
        ]);
    }
    table.render()
}

/// The pools, used of all.
pub(crate) fn pools(rows: &[PoolStatus], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text(terminal.pick("Kolam", "Pool"))
        .number("VPS")
        .number("vCPU")
        .number(terminal.pick("Memori", "Memory"))
        .number(terminal.pick("Disk", "Disk"))
        .text(terminal.pick("Sisa", "Left"));
    for row in rows {
        let of =
            |used: u64, all: u64| format!("{} / {}", ByteSize::bytes(used), ByteSize::bytes(all));
        let left = format!(
            "{} vCPU, {}, {}",
            row.free_vcpus,
            ByteSize::bytes(row.free_memory_bytes),
            ByteSize::bytes(row.free_disk_bytes)
        );
        table.row([
            plain(&row.name),
            row.servers.to_string(),
            format!("{} / {}", row.used_vcpus, row.usable_vcpus),
            of(row.used_memory_bytes, row.memory_bytes),
            of(row.used_disk_bytes, row.disk_bytes),
            left,
        ]);
    }
    table.render()
}

/// The handovers.
pub(crate) fn handovers(rows: &[Handover], pds: &[Pd], terminal: &Terminal) -> String {
    let mut table = Table::new()
        .text("PD")
        .text(terminal.pick("Akses", "Access"))
        .text(terminal.pick("Dari", "From"))
        .text(terminal.pick("Kepada", "To"))
        .rigid(terminal.pick("Tanggal", "On"))
        .text(terminal.pick("Surat", "Letter"))
        .text(terminal.pick("Disimpan di", "Kept at"))
        .rigid(terminal.pick("Kembali", "Returned"));
    for row in rows {
        table.row([
            pd_code(pds, &row.pd),
            plain(&row.name),
            plain(&row.from_person),
            plain(&row.to_person),
            row.handed_on.to_string(),
            or_dash(Some(&row.letter).filter(|letter| !letter.is_empty())),
            or_dash(Some(&row.secret_kept_at).filter(|place| !place.is_empty())),
            or_dash(row.returned_on),
        ]);
    }
    table.render()
}
