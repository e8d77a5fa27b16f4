//! Entries of what stands where: racks, feeds, pools, devices, reservations, handovers, care.

use lumbung_model::{CareId, Day, DeviceId, FeedId, HandoverId, PoolId, RackId, ReservationId};
use lumbung_wire::messages::register::{CareKind, Condition, DeviceKind, Face, RegisterTable};
use serde::{Deserialize, Serialize};

use super::Cell;

/// The columns of a table, in their order.
pub(super) const fn columns(table: RegisterTable) -> &'static [(&'static str, Cell)] {
    use Cell::{Integer, Lines, Text};
    match table {
        RegisterTable::Racks => &[
            ("id", Text),
            ("site", Text),
            ("building", Text),
            ("room", Text),
            ("name", Text),
            ("height_u", Integer),
            ("width_inches", Integer),
            ("note", Text),
        ],
        RegisterTable::Feeds => &[
            ("id", Text),
            ("site", Text),
            ("building", Text),
            ("room", Text),
            ("rack", Text),
            ("name", Text),
            ("rated_w", Integer),
            ("volts", Integer),
            ("amps", Integer),
            ("share_percent", Integer),
            ("partner", Text),
        ],
        RegisterTable::Pools => &[
            ("id", Text),
            ("site", Text),
            ("name", Text),
            ("vcpus", Integer),
            ("overcommit_percent", Integer),
            ("memory_bytes", Integer),
            ("disk_bytes", Integer),
        ],
        RegisterTable::Devices => &[
            ("id", Text),
            ("pd", Text),
            ("name", Text),
            ("kind", Text),
            ("model", Text),
            ("serial", Text),
            ("purchased_on", Text),
            ("warranty_until", Text),
            ("condition", Text),
            ("server", Text),
            ("site", Text),
            ("building", Text),
            ("room", Text),
            ("rack", Text),
            ("lowest_u", Integer),
            ("height_u", Integer),
            ("face", Text),
            ("draw_w", Integer),
            ("feeds", Lines),
        ],
        RegisterTable::Reservations => &[
            ("id", Text),
            ("pd", Text),
            ("site", Text),
            ("building", Text),
            ("room", Text),
            ("rack", Text),
            ("name", Text),
            ("lowest_u", Integer),
            ("height_u", Integer),
            ("face", Text),
            ("until", Text),
            ("reason", Text),
        ],
        RegisterTable::Handovers => &[
            ("id", Text),
            ("pd", Text),
            ("name", Text),
            ("server", Text),
            ("application", Text),
            ("dataset", Text),
            ("from_person", Text),
            ("to_person", Text),
            ("handed_on", Text),
            ("letter", Text),
            ("secret_kept_at", Text),
            ("returned_on", Text),
        ],
        RegisterTable::Care => &[
            ("id", Text),
            ("pd", Text),
            ("server", Text),
            ("name", Text),
            ("kind", Text),
            ("done_on", Text),
            ("by", Text),
            ("note", Text),
            ("due_on", Text),
        ],
        _ => &[],
    }
}

const fn nineteen() -> u8 {
    19
}

const fn four_fifths() -> u8 {
    80
}

const fn as_many() -> u32 {
    100
}

/// A rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct RackEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<RackId>,
    pub(in crate::exchange) site: String,
    pub(in crate::exchange) building: String,
    pub(in crate::exchange) room: String,
    pub(in crate::exchange) name: String,
    pub(in crate::exchange) height_u: u8,
    #[serde(default = "nineteen")]
    pub(in crate::exchange) width_inches: u8,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) note: String,
}

/// A power feed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct FeedEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<FeedId>,
    pub(in crate::exchange) site: String,
    pub(in crate::exchange) building: String,
    pub(in crate::exchange) room: String,
    /// Name of the rack that it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) rack: String,
    pub(in crate::exchange) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) rated_w: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) volts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) amps: Option<u32>,
    #[serde(default = "four_fifths")]
    pub(in crate::exchange) share_percent: u8,
    /// Name of the room's feed that carries on when this one fails.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) partner: String,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct PoolEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<PoolId>,
    pub(in crate::exchange) site: String,
    pub(in crate::exchange) name: String,
    pub(in crate::exchange) vcpus: u32,
    #[serde(default = "as_many")]
    pub(in crate::exchange) overcommit_percent: u32,
    pub(in crate::exchange) memory_bytes: u64,
    pub(in crate::exchange) disk_bytes: u64,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct DeviceEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<DeviceId>,
    pub(in crate::exchange) pd: String,
    pub(in crate::exchange) name: String,
    pub(in crate::exchange) kind: DeviceKind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) model: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) serial: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) purchased_on: Option<Day>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) warranty_until: Option<Day>,
    pub(in crate::exchange) condition: Condition,
    /// Name of the PD's server that it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) server: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) site: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) building: String,
    /// Name of the room of its rack, or of its feeds.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) room: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) rack: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) lowest_u: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) height_u: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) face: Option<Face>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) draw_w: Option<u32>,
    /// Names of the room's feeds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::exchange) feeds: Vec<String>,
}

/// A reservation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct ReservationEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<ReservationId>,
    pub(in crate::exchange) pd: String,
    pub(in crate::exchange) site: String,
    pub(in crate::exchange) building: String,
    pub(in crate::exchange) room: String,
    pub(in crate::exchange) rack: String,
    pub(in crate::exchange) name: String,
    pub(in crate::exchange) lowest_u: u8,
    pub(in crate::exchange) height_u: u8,
    pub(in crate::exchange) face: Face,
    pub(in crate::exchange) until: Day,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) reason: String,
}

/// A handover of access.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct HandoverEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<HandoverId>,
    pub(in crate::exchange) pd: String,
    pub(in crate::exchange) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) server: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) application: String,
    /// Name of the dataset; `server` then names the server that it lies on, if it is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) dataset: String,
    pub(in crate::exchange) from_person: String,
    pub(in crate::exchange) to_person: String,
    pub(in crate::exchange) handed_on: Day,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) letter: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) secret_kept_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) returned_on: Option<Day>,
}

/// An entry of the log of a server's care.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct CareEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<CareId>,
    pub(in crate::exchange) pd: String,
    pub(in crate::exchange) server: String,
    pub(in crate::exchange) name: String,
    pub(in crate::exchange) kind: CareKind,
    /// A day as text: with server, kind and name it says which entry this is.
    pub(in crate::exchange) done_on: String,
    pub(in crate::exchange) by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) note: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) due_on: Option<Day>,
}
