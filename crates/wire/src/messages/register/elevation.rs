//! A rack as one sees it: unit by unit, from the front and from the rear.

use lumbung_model::vocabulary;
use lumbung_model::{Day, DeviceId, PdId, RackId, ReservationId};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What one unit of a rack is on one face.
    SlotState {
        /// Nothing stands there, and anybody's may.
        Free = "free",
        /// A device stands there.
        Device = "device",
        /// It is kept for a PD.
        Reserved = "reserved",
        /// It is another PD's, who asks need not know which or what for.
        Taken = "taken",
    }
}

/// One unit of a rack on one face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Slot {
    /// What it is.
    pub state: SlotState,
    /// The device that stands there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// The reservation that keeps it, where no device stands there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reservation: Option<ReservationId>,
    /// Name of the device or the reservation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// That PD's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// One unit of a rack, on both faces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ElevationUnit {
    /// Its number, from the bottom.
    pub unit: u8,
    /// The front.
    pub front: Slot,
    /// The rear.
    pub rear: Slot,
}

/// `GET /api/v1/racks/{id}/elevation`, and one of `GET /api/v1/elevations`: a rack, unit by unit. A PD is shown racks in
/// which a device of its own stands, and of what is not its own only that it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Elevation {
    /// The rack.
    pub rack: RackId,
    /// Its name.
    pub name: String,
    /// The day as of which reservations count.
    pub on: Day,
    /// Its units, from the top down.
    pub units: Vec<ElevationUnit>,
}
