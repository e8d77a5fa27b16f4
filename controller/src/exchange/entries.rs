//! Entries as files hold them: what an entry belongs to and refers to is named, not numbered.
//!
//! Invariant: each kind has its list of columns, which is the list of its fields: a test holds the two together.

use lumbung_model::{BuildingId, CheckId, DatasetId, RepositoryId, RoomId, ServerId};
use lumbung_wire::messages::register::{
    Classification, DatasetKind, INTERVAL_S, PdInput, RegisterTable, RoomKind, ServerKind,
    SiteInput, TIMEOUT_S, Target, Urgency,
};
use serde::{Deserialize, Serialize};

mod colocated;
mod roster;
mod services;

pub(super) use colocated::{
    CareEntry, DeviceEntry, FeedEntry, HandoverEntry, PoolEntry, RackEntry, ReservationEntry,
};
pub(super) use roster::{OnCallEntry, moment};
pub(super) use services::{ApplicationEntry, ContactPersonEntry, ServiceEntry};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Texts, each on a line of its own.
    Lines,
}

/// The columns of a table, in their order.
pub(super) const fn columns(table: RegisterTable) -> &'static [(&'static str, Cell)] {
    use Cell::{Flag, Integer, Lines, Number, Text};
    match table {
        RegisterTable::Sites => &[
            ("id", Text),
            ("name", Text),
            ("kind", Text),
            ("latitude", Number),
            ("longitude", Number),
            ("address", Text),
            ("url", Text),
            ("receipt_key", Text),
            ("tls_pin", Text),
            ("link", Text),
            ("rate", Text),
            ("windows", Lines),
        ],
        RegisterTable::Buildings => &[
            ("id", Text),
            ("site", Text),
            ("name", Text),
            ("address", Text),
            ("jurisdiction", Text),
            ("hazard_assessment", Text),
        ],
        RegisterTable::Rooms => {
            &[("id", Text), ("site", Text), ("building", Text), ("name", Text), ("kind", Text)]
        }
        RegisterTable::Pd => &[
            ("id", Text),
            ("code", Text),
            ("name", Text),
            ("kind", Text),
            ("contact", Text),
            ("mandiri_tik", Flag),
            ("runs_pusat_data", Flag),
            ("link", Text),
            ("rate", Text),
            ("windows", Lines),
        ],
        RegisterTable::Servers => &[
            ("id", Text),
            ("pd", Text),
            ("name", Text),
            ("kind", Text),
            ("site", Text),
            ("building", Text),
            ("room", Text),
            ("pool", Text),
            ("vcpus", Integer),
            ("memory_bytes", Integer),
            ("disk_bytes", Integer),
        ],
        RegisterTable::Services => &[
            ("id", Text),
            ("pd", Text),
            ("name", Text),
            ("critical", Flag),
            ("sla_millipercent", Integer),
            ("hours", Text),
            ("rto_s", Integer),
            ("sla_document", Text),
            ("standby", Text),
        ],
        RegisterTable::Applications => &[
            ("id", Text),
            ("pd", Text),
            ("name", Text),
            ("service", Text),
            ("technology", Text),
            ("servers", Lines),
        ],
        RegisterTable::ContactPersons => &[
            ("id", Text),
            ("pd", Text),
            ("service", Text),
            ("tier", Integer),
            ("name", Text),
            ("phone", Text),
            ("email", Text),
            ("telegram", Text),
        ],
        RegisterTable::Checks => &[
            ("id", Text),
            ("pd", Text),
            ("service", Text),
            ("server", Text),
            ("name", Text),
            ("target", Text),
            ("status", Integer),
            ("contains", Text),
            ("address", Text),
            ("any_certificate", Flag),
            ("interval_s", Integer),
            ("timeout_s", Integer),
            ("disabled", Flag),
        ],
        RegisterTable::Datasets => &[
            ("id", Text),
            ("pd", Text),
            ("server", Text),
            ("name", Text),
            ("kind", Text),
            ("application", Text),
            ("owner", Text),
            ("classification", Text),
            ("distribution", Text),
            ("location", Text),
            ("urgency", Text),
            ("rpo_s", Integer),
            ("schedule", Text),
            ("retention", Text),
            ("period", Text),
            ("media", Text),
            ("repository", Text),
            ("paths", Lines),
            ("exclude", Lines),
        ],
        RegisterTable::OnCall => &roster::COLUMNS,
        other => colocated::columns(other),
    }
}

/// A building.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BuildingEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<BuildingId>,
    /// Name of its site.
    pub(super) site: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) address: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) jurisdiction: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) hazard_assessment: String,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<RoomId>,
    /// Name of its building's site.
    pub(super) site: String,
    /// Name of its building.
    pub(super) building: String,
    pub(super) name: String,
    pub(super) kind: RoomKind,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<ServerId>,
    /// Code of its PD.
    pub(super) pd: String,
    pub(super) name: String,
    pub(super) kind: ServerKind,
    /// Name of the site it stands at.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) site: String,
    /// Name of the building of that site.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) building: String,
    /// Name of the room of that building.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) room: String,
    /// Name of the site's pool that it draws on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) pool: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vcpus: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) memory_bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) disk_bytes: Option<u64>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<CheckId>,
    pub(super) pd: String,
    /// Name of the PD's service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) service: String,
    /// Name of the PD's server.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) server: String,
    pub(super) name: String,
    pub(super) target: Target,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) contains: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) address: String,
    #[serde(default)]
    pub(super) any_certificate: bool,
    #[serde(default = "interval_s")]
    pub(super) interval_s: u32,
    #[serde(default = "timeout_s")]
    pub(super) timeout_s: u32,
    /// Left out where it is looked at, as flags are.
    #[serde(default)]
    pub(super) disabled: bool,
}

const fn interval_s() -> u32 {
    INTERVAL_S
}

const fn timeout_s() -> u32 {
    TIMEOUT_S
}

/// A dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DatasetEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<DatasetId>,
    pub(super) pd: String,
    /// Name of the PD's server; empty: it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) server: String,
    pub(super) name: String,
    pub(super) kind: DatasetKind,
    /// Name of the PD's application.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) application: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) owner: String,
    pub(super) classification: Classification,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) distribution: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) location: String,
    pub(super) urgency: Urgency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rpo_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) retention: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) period: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) media: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) repository: Option<RepositoryId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) paths: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) exclude: Vec<String>,
}

/// One entry of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Site(SiteInput),
    Building(BuildingEntry),
    Room(RoomEntry),
    Pd(PdInput),
    Server(ServerEntry),
    Service(ServiceEntry),
    Application(ApplicationEntry),
    ContactPerson(ContactPersonEntry),
    Check(Box<CheckEntry>),
    Dataset(Box<DatasetEntry>),
    Rack(RackEntry),
    Feed(FeedEntry),
    Pool(PoolEntry),
    Device(Box<DeviceEntry>),
    Reservation(ReservationEntry),
    Handover(HandoverEntry),
    OnCall(OnCallEntry),
    Care(CareEntry),
}

impl Entry {
    /// Reads an entry of a table.
    pub(super) fn read<'de, D: serde::Deserializer<'de>>(
        table: RegisterTable,
        from: D,
    ) -> Result<Self, D::Error> {
        Ok(match table {
            RegisterTable::Sites => Self::Site(Deserialize::deserialize(from)?),
            RegisterTable::Buildings => Self::Building(Deserialize::deserialize(from)?),
            RegisterTable::Rooms => Self::Room(Deserialize::deserialize(from)?),
            RegisterTable::Pd => Self::Pd(Deserialize::deserialize(from)?),
            RegisterTable::Servers => Self::Server(Deserialize::deserialize(from)?),
            RegisterTable::Services => Self::Service(Deserialize::deserialize(from)?),
            RegisterTable::Applications => Self::Application(Deserialize::deserialize(from)?),
            RegisterTable::ContactPersons => Self::ContactPerson(Deserialize::deserialize(from)?),
            RegisterTable::Checks => Self::Check(Deserialize::deserialize(from)?),
            RegisterTable::Datasets => Self::Dataset(Deserialize::deserialize(from)?),
            RegisterTable::Racks => Self::Rack(Deserialize::deserialize(from)?),
            RegisterTable::Feeds => Self::Feed(Deserialize::deserialize(from)?),
            RegisterTable::Pools => Self::Pool(Deserialize::deserialize(from)?),
            RegisterTable::Devices => Self::Device(Deserialize::deserialize(from)?),
            RegisterTable::Reservations => Self::Reservation(Deserialize::deserialize(from)?),
            RegisterTable::Handovers => Self::Handover(Deserialize::deserialize(from)?),
            RegisterTable::OnCall => Self::OnCall(Deserialize::deserialize(from)?),
            RegisterTable::Care => Self::Care(Deserialize::deserialize(from)?),
        })
    }

    /// Its fields; what is empty is left out.
    pub(super) fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        let mut table = match self {
            Self::Site(entry) => toml::Table::try_from(entry),
            Self::Building(entry) => toml::Table::try_from(entry),
            Self::Room(entry) => toml::Table::try_from(entry),
            Self::Pd(entry) => toml::Table::try_from(entry),
            Self::Server(entry) => toml::Table::try_from(entry),
            Self::Service(entry) => toml::Table::try_from(entry),
            Self::Application(entry) => toml::Table::try_from(entry),
            Self::ContactPerson(entry) => toml::Table::try_from(entry),
            Self::Check(entry) => toml::Table::try_from(entry),
            Self::Dataset(entry) => toml::Table::try_from(entry),
            Self::Rack(entry) => toml::Table::try_from(entry),
            Self::Feed(entry) => toml::Table::try_from(entry),
            Self::Pool(entry) => toml::Table::try_from(entry),
            Self::Device(entry) => toml::Table::try_from(entry),
            Self::Reservation(entry) => toml::Table::try_from(entry),
            Self::Handover(entry) => toml::Table::try_from(entry),
            Self::OnCall(entry) => toml::Table::try_from(entry),
            Self::Care(entry) => toml::Table::try_from(entry),
        }?;
        table.retain(|_, value| value.as_str() != Some("") && value.as_bool() != Some(false));
        Ok(table)
    }

    /// The table that it is of.
    pub(super) const fn table(&self) -> RegisterTable {
        match self {
            Self::Site(_) => RegisterTable::Sites,
            Self::Building(_) => RegisterTable::Buildings,
            Self::Room(_) => RegisterTable::Rooms,
            Self::Pd(_) => RegisterTable::Pd,
            Self::Server(_) => RegisterTable::Servers,
            Self::Service(_) => RegisterTable::Services,
            Self::Application(_) => RegisterTable::Applications,
            Self::ContactPerson(_) => RegisterTable::ContactPersons,
            Self::Check(_) => RegisterTable::Checks,
            Self::Dataset(_) => RegisterTable::Datasets,
            Self::Rack(_) => RegisterTable::Racks,
            Self::Feed(_) => RegisterTable::Feeds,
            Self::Pool(_) => RegisterTable::Pools,
            Self::Device(_) => RegisterTable::Devices,
            Self::Reservation(_) => RegisterTable::Reservations,
            Self::Handover(_) => RegisterTable::Handovers,
            Self::OnCall(_) => RegisterTable::OnCall,
            Self::Care(_) => RegisterTable::Care,
        }
    }

    /// What it is called, from what it belongs to down to itself.
    pub(super) fn path(&self) -> Vec<&str> {
        match self {
            Self::Site(entry) => vec![&entry.name],
            Self::Building(entry) => vec![&entry.site, &entry.name],
            Self::Room(entry) => vec![&entry.site, &entry.building, &entry.name],
            Self::Pd(entry) => vec![&entry.code],
            Self::Server(entry) => vec![&entry.pd, &entry.name],
            Self::Service(entry) => vec![&entry.pd, &entry.name],
            Self::Application(entry) => vec![&entry.pd, &entry.name],
            Self::ContactPerson(entry) => vec![&entry.pd, &entry.service, &entry.name],
            Self::Check(entry) => vec![&entry.pd, &entry.name],
            Self::Dataset(entry) => vec![&entry.pd, &entry.server, &entry.name],
            Self::Rack(one) => vec![&one.site, &one.building, &one.room, &one.name],
            Self::Feed(one) => vec![&one.site, &one.building, &one.room, &one.name],
            Self::Pool(one) => vec![&one.site, &one.name],
            Self::Device(one) => vec![&one.pd, &one.name],
            Self::Reservation(one) => {
                vec![&one.site, &one.building, &one.room, &one.rack, &one.name]
            }
            Self::Handover(one) => vec![&one.pd, &one.name],
            Self::OnCall(one) => vec![one.tier_word(), &one.from, &one.name],
            Self::Care(one) => {
                vec![&one.pd, &one.server, one.kind.as_str(), &one.done_on, &one.name]
            }
        }
    }
}
