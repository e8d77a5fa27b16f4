//! Power: what a feed may carry, and what it carries.
//!
//! Each device counts with its whole draw on each of its feeds: when one of two fails, the other carries all of it at once,
//! and a breaker that trips then takes both down.

use std::fmt;

use crate::DeviceId;

/// A device on a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// The device.
    pub id: DeviceId,
    /// Its name.
    pub name: String,
    /// Code of the PD whose it is.
    pub code: String,
    /// What it draws in all, watts.
    pub draw_w: u32,
}

/// What a feed may carry, watts: the share of its rating that the city allows.
#[must_use]
pub fn usable_w(rated_w: u64, share_percent: u8) -> u64 {
    u64::try_from(u128::from(rated_w) * u128::from(share_percent) / 100).unwrap_or(u64::MAX)
}

/// Why a feed does not carry something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Overload {
    /// What it may carry, watts.
    pub usable_w: u64,
    /// What it would carry, watts.
    pub asked_w: u64,
    /// What is on it now.
    pub there: Vec<Draw>,
}

/// Devices that a refusal names; the rest are counted.
const NAMED_MAX: usize = 10;

impl fmt::Display for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now: u64 = self.there.iter().map(|one| u64::from(one.draw_w)).sum();
        write!(
            f,
            "it may carry {} W, and would carry {} W; now it carries {now} W",
            self.usable_w, self.asked_w
        )?;
        for (index, one) in self.there.iter().take(NAMED_MAX).enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            write!(f, "{separator}{:?} of {} {} W", one.name, one.code, one.draw_w)?;
        }
        match self.there.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Whether a feed carries what is on it, and `new` beside it.
///
/// # Errors
/// What it would carry, and what is on it now.
pub fn carries(usable_w: u64, there: &[Draw], new: Option<&Draw>) -> Result<(), Overload> {
    let others = || there.iter().filter(|one| new.is_none_or(|new| one.id != new.id));
    let asked_w = others().chain(new).map(|one| u64::from(one.draw_w)).sum();
    if asked_w <= usable_w {
        return Ok(());
    }
    Err(Overload { usable_w, asked_w, there: others().cloned().collect() })
}
