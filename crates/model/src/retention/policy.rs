//! How many snapshots are to stay, as an operator writes it.

use serde::{Deserialize, Serialize};

/// Why numbers are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Nothing would be kept for good.
    #[error(
        "a retention that keeps nothing is refused: give at least one of keep_last, keep_hourly, keep_daily, \
         keep_weekly, keep_monthly, keep_yearly; or leave the whole table out, and everything is kept"
    )]
    Nothing,
}

/// How many snapshots of a dataset keep a place. Absent figures are 0.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// The last that arrived.
    pub keep_last: u32,
    /// One of each of so many hours that have one.
    pub keep_hourly: u32,
    /// One of each of so many days.
    pub keep_daily: u32,
    /// One of each of so many weeks.
    pub keep_weekly: u32,
    /// One of each of so many months.
    pub keep_monthly: u32,
    /// One of each of so many years.
    pub keep_yearly: u32,
}

impl Policy {
    /// Fails if it would keep nothing.
    ///
    /// # Errors
    /// [`PolicyError::Nothing`].
    pub const fn check(&self) -> Result<(), PolicyError> {
        let Self { keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly } =
            self;
        let none = *keep_last == 0
            && *keep_hourly == 0
            && *keep_daily == 0
            && *keep_weekly == 0
            && *keep_monthly == 0
            && *keep_yearly == 0;
        if none { Err(PolicyError::Nothing) } else { Ok(()) }
    }
}
