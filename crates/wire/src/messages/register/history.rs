//! How rows of the register came to be as they are: who changed what, and when.

use lumbung_model::vocabulary;
use lumbung_model::{PdId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// A kind of rows whose changes are told.
    HistoryKind {
        /// A site.
        Site = "site",
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
        /// A check.
        Check = "check",
        /// A device.
        Device = "device",
        /// A reservation.
        Reservation = "reservation",
        /// A handover of access.
        Handover = "handover",
        /// A turn on call.
        OnCall = "on_call",
        /// An entry of the log of a server's care.
        Care = "care",
    }
}

/// One field of a row, before and after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldChange {
    /// The field, as the row calls it.
    pub field: String,
    /// What it held; absent: nothing. Texts as they are, anything else as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it holds since then; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One change of a row: the rows of `GET /api/v1/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub by: String,
    /// What was done, as in `device.put` or `device.retire`.
    pub action: String,
    /// The kind of the row.
    pub kind: HistoryKind,
    /// The row's id.
    pub id: String,
    /// Its name then; of a PD its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is; absent: the city's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// Which fields changed, and how.
    pub changes: Vec<FieldChange>,
}
