//! Entries of the roster of who is on call.
//!
//! Invariant: times are written in the city's zone, with its offset: a file means the same wherever it is read.

use chrono::{DateTime, NaiveDateTime, TimeZone as _};
use lumbung_model::Timestamp;
use lumbung_model::schedule::Tz;
use lumbung_wire::messages::alerts::OnCall;
use serde::{Deserialize, Serialize};

use super::Cell::{self, Integer, Text};

/// The columns of the table, in their order.
pub(super) const COLUMNS: [(&str, Cell); 7] = [
    ("tier", Integer),
    ("name", Text),
    ("from", Text),
    ("until", Text),
    ("phone", Text),
    ("email", Text),
    ("telegram", Text),
];

/// A turn on call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct OnCallEntry {
    #[serde(default = "second_tier")]
    pub(in crate::exchange) tier: u8,
    pub(in crate::exchange) name: String,
    pub(in crate::exchange) from: String,
    pub(in crate::exchange) until: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) telegram: String,
}

const fn second_tier() -> u8 {
    2
}

impl OnCallEntry {
    /// A turn as a file holds it.
    pub(in crate::exchange) fn of(turn: OnCall, zone: Tz) -> Self {
        let written = |at: Timestamp| at.to_utc().with_timezone(&zone).to_rfc3339();
        Self {
            tier: turn.tier,
            name: turn.name,
            from: written(turn.from),
            until: written(turn.until),
            phone: turn.phone,
            email: turn.email,
            telegram: turn.telegram,
        }
    }

    /// The tier as part of what the entry is called.
    pub(super) const fn tier_word(&self) -> &'static str {
        match self.tier {
            2 => "2",
            3 => "3",
            _ => "",
        }
    }
}

/// The moment that a text names, in the city's zone unless it says another.
pub(in crate::exchange) fn moment(text: &str, zone: Tz) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Some(Timestamp(at.timestamp()));
    }
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").ok()?;
    zone.from_local_datetime(&local).latest().map(|at| Timestamp(at.timestamp()))
}
