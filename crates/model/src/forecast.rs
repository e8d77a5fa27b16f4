//! What will be used 1 to 24 months from now, with how sure one can be, and when a limit is reached.
//!
//! Invariants: pure and deterministic: the same series gives the same forecast, and a series in another unit the same
//! forecast in that unit. Whole numbers throughout. `low <= expected <= high` in every month, the distance between them
//! never shrinks with the horizon (save where nothing below 0 is left), and what is expected is never negative.
//!
//! The method: weekly medians, isolated jumps set apart, then simulated paths of resampled weeks (moving blocks: Künsch,
//! Annals of Statistics 17, 1989; of the same season: Dudek and others, Journal of Time Series Analysis 35, 2014). Each
//! path looks back over a stretch of its own and lets growth persist, fade or increase at a rate of its own (damped
//! trend: Gardner and McKenzie, Management Science 31, 1985), or at the rate of the last two years: which of them is right
//! cannot be known beforehand, and the width says so. How often it is right is measured in `forecast/tests/coverage.rs`.

mod history;
mod paths;
mod years;

use crate::Day;
use history::History;

/// How far a forecast looks ahead, in months.
pub const MONTHS: u32 = 24;
/// Days that must have been measured before anything is forecast.
pub const MIN_DAYS: u32 = 60;
/// Days before the newest that are looked at: three years.
pub const MAX_HISTORY_DAYS: u32 = 1096;
/// Of a hundred forecasts, how many should have the truth between `low` and `high`.
pub const INTERVAL_PERCENT: u32 = 80;
/// The fixed point: one, for factors and for sums.
const ONE: i128 = 1 << 24;

/// What was used at the end of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// The day.
    pub day: Day,
    /// How much, in the series' own unit.
    pub used: u64,
}

/// What is expected in some month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The day.
    pub day: Day,
    /// Half of the paths are below.
    pub expected: u64,
    /// A tenth of the paths is below.
    pub low: u64,
    /// A tenth of the paths is above.
    pub high: u64,
}

/// A forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// The newest day of the series and its level: the median of the last week.
    pub from: Used,
    /// Days of the series that were measured.
    pub history_days: u32,
    /// One month after `from` and so on, [`MONTHS`] of them.
    pub months: Vec<Point>,
}

/// Why nothing is forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "too little history for a forecast: {have_days} days were measured of the {MIN_DAYS} that are needed; it comes by \
     itself in {} days",
    self.missing_days()
)]
pub struct TooLittle {
    /// Days that were measured.
    pub have_days: u32,
}

impl TooLittle {
    /// Days that are still to be measured.
    #[must_use]
    pub const fn missing_days(self) -> u32 {
        MIN_DAYS.saturating_sub(self.have_days)
    }
}

/// When a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// The first day on which `high` is at the limit.
    pub earliest: Day,
    /// The first day on which `expected` is; none if that is beyond the forecast.
    pub expected: Option<Day>,
    /// The first day on which `low` is; none if that is beyond the forecast.
    pub latest: Option<Day>,
}

/// Forecasts a series: days in any order, with gaps; of two measurements of a day the later one in the list counts.
///
/// # Errors
/// [`TooLittle`] before [`MIN_DAYS`] days have been measured.
pub fn forecast(series: &[Used]) -> Result<Forecast, TooLittle> {
    let history = History::of(series)?;
    let from = Used { day: history.newest, used: history.level() };
    let days: Vec<Day> = (1..=MONTHS).map(|months| from.day.plus_months(months)).collect();
    let quantiles = paths::quantiles(&history, &days);
    let mut months = Vec::with_capacity(days.len());
    let mut reach = (0, 0);
    for (day, (low, expected, high)) in days.into_iter().zip(quantiles) {
        // The paths are a sample: what one of them happened to do must not make a later month look surer.
        reach = (reach.0.max(expected - low), reach.1.max(high - expected));
        let point = |value: i128| u64::try_from(value.max(0)).unwrap_or(u64::MAX);
        months.push(Point {
            day,
            expected: point(expected),
            low: point(expected - reach.0),
            high: point(expected + reach.1),
        });
    }
    Ok(Forecast { from, history_days: history.measured_days, months })
}

impl Forecast {
    /// When `limit` is reached; none if not even the upper bound reaches it within the forecast.
    #[must_use]
    pub fn crosses(&self, limit: u64) -> Option<Crossing> {
        let earliest = self.reaches(limit, |point| point.high)?;
        let expected = self.reaches(limit, |point| point.expected);
        Some(Crossing { earliest, expected, latest: self.reaches(limit, |point| point.low) })
    }

    /// The first day on which a line through the months, straight between them, is at the limit.
    fn reaches(&self, limit: u64, line: impl Fn(&Point) -> u64) -> Option<Day> {
        let mut before = self.from;
        if before.used >= limit {
            return Some(before.day);
        }
        for point in &self.months {
            let here = Used { day: point.day, used: line(point) };
            if here.used >= limit {
                let days = u128::from(here.day.days_since(before.day).max(0).unsigned_abs());
                let rise = u128::from(here.used - before.used);
                let part = (days * u128::from(limit - before.used)).div_ceil(rise);
                return Some(before.day.plus_days(u32::try_from(part).unwrap_or(0)));
            }
            before = here;
        }
        None
    }
}

#[cfg(test)]
mod tests;
