//! Colocation: racks with both faces, power feeds, devices, reservations (O15, O17, O22 of the regulation map).
//!
//! Invariant: units are numbered from the bottom of a rack, beginning with 1; days are the city's.

use lumbung_model::colocation::{Span, usable_w};
use lumbung_model::vocabulary;
use lumbung_model::{Day, DeviceId, FeedId, PdId, RackId, ReservationId, RoomId, ServerId};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What a device is.
    DeviceKind {
        /// A server.
        Server = "server",
        /// A switch, a router, a firewall.
        Switch = "switch",
        /// Storage.
        Storage = "storage",
        /// A power supply with batteries.
        Ups = "ups",
        /// A power distribution unit.
        Pdu = "pdu",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// In which condition a device is, in the words of Indonesian asset registers (*barang milik daerah*).
    Condition {
        /// Good.
        Baik = "baik",
        /// Damaged, and can be repaired or used.
        RusakRingan = "rusak_ringan",
        /// Damaged beyond use.
        RusakBerat = "rusak_berat",
    }
}

vocabulary! {
    /// Which face of a rack something takes.
    Face {
        /// The front: a device of half depth.
        Front = "front",
        /// The rear: a device of half depth.
        Rear = "rear",
        /// Both: a device of full depth.
        Both = "both",
    }
}

impl Face {
    /// Whether it takes the front, and whether the rear.
    #[must_use]
    pub const fn faces(self) -> (bool, bool) {
        (matches!(self, Self::Front | Self::Both), matches!(self, Self::Rear | Self::Both))
    }
}

/// The width of most racks, inches.
const fn nineteen() -> u8 {
    19
}

/// The share of a feed's rating that is allowed, where the city says nothing else, percent.
const fn four_fifths() -> u8 {
    80
}

/// A rack of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rack {
    /// Its id.
    pub id: RackId,
    /// The room it stands in.
    pub room: RoomId,
    /// Its name.
    pub name: String,
    /// Its height in units, 1 to 60.
    pub height_u: u8,
    /// Its width in inches: 10, 19, 21 or 23.
    #[serde(default = "nineteen")]
    pub width_inches: u8,
    /// A note.
    #[serde(default)]
    pub note: String,
}

/// A rack of a room, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RackInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RackId>,
    /// The room it stands in.
    pub room: RoomId,
    /// Its name.
    pub name: String,
    /// Its height in units, 1 to 60.
    pub height_u: u8,
    /// Its width in inches: 10, 19, 21 or 23.
    #[serde(default = "nineteen")]
    pub width_inches: u8,
    /// A note.
    #[serde(default)]
    pub note: String,
}

/// A power feed of a room, rated in watts, or in volts and amperes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Feed {
    /// Its id.
    pub id: FeedId,
    /// The room it is in.
    pub room: RoomId,
    /// The rack that it is for; none: for any in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackId>,
    /// Its name.
    pub name: String,
    /// Its rating in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rated_w: Option<u32>,
    /// Or its voltage, volts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volts: Option<u32>,
    /// And its current, amperes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amps: Option<u32>,
    /// The share of its rating that may be used, percent.
    #[serde(default = "four_fifths")]
    pub share_percent: u8,
    /// The other feed of a pair (A and B) that carries on when one fails; one of the two names the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<FeedId>,
}

/// A power feed of a room, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FeedInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<FeedId>,
    /// The room it is in.
    pub room: RoomId,
    /// The rack that it is for; none: for any in the room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackId>,
    /// Its name.
    pub name: String,
    /// Its rating in watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rated_w: Option<u32>,
    /// Or its voltage, volts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volts: Option<u32>,
    /// And its current, amperes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amps: Option<u32>,
    /// The share of its rating that may be used, percent.
    #[serde(default = "four_fifths")]
    pub share_percent: u8,
    /// The other feed of a pair (A and B) that carries on when one fails; one of the two names the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partner: Option<FeedId>,
}

/// A device: hardware, in a rack or beside one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Maker and model.
    #[serde(default)]
    pub model: String,
    /// Serial number; no two devices have the same.
    #[serde(default)]
    pub serial: String,
    /// The day it was bought: its age counts from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchased_on: Option<Day>,
    /// The last day of its warranty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warranty_until: Option<Day>,
    /// In which condition it is.
    pub condition: Condition,
    /// The PD's server that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// The rack it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackId>,
    /// The lowest unit that it takes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_u: Option<u8>,
    /// How many units it takes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_u: Option<u8>,
    /// Which face it takes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<Face>,
    /// What it draws in all, watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw_w: Option<u32>,
    /// The feeds it hangs on: each has to carry all of it, since the others may fail.
    #[serde(default)]
    pub feeds: Vec<FeedId>,
}

/// A device, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<DeviceId>,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// Maker and model.
    #[serde(default)]
    pub model: String,
    /// Serial number; no two devices have the same.
    #[serde(default)]
    pub serial: String,
    /// The day it was bought: its age counts from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purchased_on: Option<Day>,
    /// The last day of its warranty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warranty_until: Option<Day>,
    /// In which condition it is.
    pub condition: Condition,
    /// The PD's server that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// The rack it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<RackId>,
    /// The lowest unit that it takes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest_u: Option<u8>,
    /// How many units it takes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height_u: Option<u8>,
    /// Which face it takes there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face: Option<Face>,
    /// What it draws in all, watts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw_w: Option<u32>,
    /// The feeds it hangs on: each has to carry all of it, since the others may fail.
    #[serde(default)]
    pub feeds: Vec<FeedId>,
}

/// Rack units that are kept for a PD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reservation {
    /// Its id.
    pub id: ReservationId,
    /// The rack.
    pub rack: RackId,
    /// For whom.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The lowest unit.
    pub lowest_u: u8,
    /// How many units.
    pub height_u: u8,
    /// Which face.
    pub face: Face,
    /// The last day on which it keeps others out.
    pub until: Day,
    /// Why, and by which letter.
    #[serde(default)]
    pub reason: String,
}

/// Rack units that are kept for a PD, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ReservationInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ReservationId>,
    /// The rack.
    pub rack: RackId,
    /// For whom.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The lowest unit.
    pub lowest_u: u8,
    /// How many units.
    pub height_u: u8,
    /// Which face.
    pub face: Face,
    /// The last day on which it keeps others out.
    pub until: Day,
    /// Why, and by which letter.
    #[serde(default)]
    pub reason: String,
}

impl Feed {
    /// What it may carry, watts: the share of its rating.
    #[must_use]
    pub fn usable_w(&self) -> u64 {
        let product = || u64::from(self.volts.unwrap_or(0)) * u64::from(self.amps.unwrap_or(0));
        usable_w(self.rated_w.map_or_else(product, u64::from), self.share_percent)
    }
}

impl Device {
    /// The units that it takes; none: it stands in no rack.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.rack?;
        Span::new(self.lowest_u?, self.height_u?, self.face?.faces())
    }

    /// How old it is on a day, in whole years; none: nobody knows when it was bought.
    #[must_use]
    pub fn age_years(&self, on: Day) -> Option<u32> {
        let bought = self.purchased_on.filter(|bought| *bought <= on)?;
        let years = u32::try_from(on.year() - bought.year()).ok()?;
        Some(if bought.plus_months(12 * years) > on { years - 1 } else { years })
    }
}

impl Reservation {
    /// The units that it keeps.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        Span::new(self.lowest_u, self.height_u, self.face.faces())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_counted_in_whole_years() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let mut device: Device = serde_json::from_value(serde_json::json!({
            "id": DeviceId::ZERO, "pd": PdId::ZERO, "name": "web", "kind": "server", "condition": "baik",
            "purchased_on": "2020-02-29",
        }))
        .unwrap();
        for (on, years) in
            [("2020-02-29", 0), ("2021-02-27", 0), ("2021-02-28", 1), ("2026-11-29", 6)]
        {
            assert_eq!(device.age_years(day(on)), Some(years), "{on}");
        }
        assert_eq!(device.age_years(day("2020-02-28")), None, "not bought yet");
        device.purchased_on = None;
        assert_eq!(device.age_years(day("2026-11-29")), None);
    }
}
