//! What is no more, and stays in the register for questions about the past.

use lumbung_model::vocabulary;
use lumbung_model::{PdId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What can be retired.
    RetiredKind {
        /// A PD.
        Pd = "pd",
        /// A server.
        Server = "server",
        /// A service.
        Service = "service",
        /// An application.
        Application = "application",
        /// A contact person.
        ContactPerson = "contact_person",
        /// A dataset.
        Dataset = "dataset",
        /// A building.
        Building = "building",
        /// A room.
        Room = "room",
        /// A rack.
        Rack = "rack",
        /// A power feed.
        Feed = "feed",
        /// A pool.
        Pool = "pool",
        /// A device.
        Device = "device",
        /// A reservation of rack units.
        Reservation = "reservation",
        /// A handover of access.
        Handover = "handover",
    }
}

impl RetiredKind {
    /// What sentences call it.
    #[must_use]
    pub const fn called(self) -> &'static str {
        match self {
            Self::Pd => "PD",
            Self::ContactPerson => "contact person",
            _ => self.as_str(),
        }
    }
}

/// That a row of the register is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retirement {
    /// What it is.
    pub kind: RetiredKind,
    /// The row's id.
    pub id: String,
    /// Whose it is; none: the city's, as buildings, rooms, racks, feeds and pools are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// Its name; of a PD its code.
    pub name: String,
    /// Since when it is no more.
    pub from: Timestamp,
    /// When that was entered: it counts for nothing from then on.
    pub entered: Timestamp,
    /// Who entered it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What is to be retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetirementInput {
    /// What it is.
    pub kind: RetiredKind,
    /// The row's id.
    pub id: String,
    /// Since when it is no more: not in the future.
    pub from: Timestamp,
    /// Why.
    pub reason: String,
    /// What belongs to it as well: the datasets of a server, all that is a PD's, the rooms of a building, the feeds and
    /// reservations of a rack. Was called
    /// `with_datasets`, and still may be.
    #[serde(default, alias = "with_datasets")]
    pub with_contents: bool,
}
