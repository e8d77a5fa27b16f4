//! The retention clock: counts time in which a site could have been looked at, and cannot be set.
//!
//! Invariants: never goes back; while the machine runs it follows the time since its boot, which nobody sets; across
//! a restart of the machine it takes the wall clock's difference, at least 0 and at most [`STOPPED_MAX_S`], so that
//! a wrong clock ages snapshots by a week at the most each time the machine is started.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The most that a stop counts for: 7 days, in seconds.
pub const STOPPED_MAX_S: u64 = 7 * 86_400;

/// The machine's time since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Names this start of the machine (Linux: `/proc/sys/kernel/random/boot_id`).
    pub id: String,
    /// Seconds since then, sleep included (`CLOCK_BOOTTIME`).
    pub seconds: u64,
}

/// The clock's reading, as it is kept between two looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionClock {
    /// What it shows, in seconds.
    pub seconds: u64,
    /// The wall clock at that moment.
    pub wall: Timestamp,
    /// The boot time at that moment.
    pub boot: Boot,
}

impl RetentionClock {
    /// A new clock, at 0.
    #[must_use]
    pub const fn start(wall: Timestamp, boot: Boot) -> Self {
        Self { seconds: 0, wall, boot }
    }

    /// The clock at a later look.
    #[must_use]
    pub fn advance(&self, wall: Timestamp, boot: Boot) -> Self {
        let passed = if boot.id == self.boot.id {
            boot.seconds.saturating_sub(self.boot.seconds)
        } else {
            u64::try_from(wall.seconds_since(self.wall)).unwrap_or(0).min(STOPPED_MAX_S)
        };
        Self { seconds: self.seconds.saturating_add(passed), wall, boot }
    }
}
