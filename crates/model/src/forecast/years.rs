//! What whole years of a series show: the seasons, and how much growth changes from one year to the next.
//!
//! Invariants: only whole years that end with the newest week are compared, so that no season passes for a change of
//! growth. Less than two of them show no change, less than one shows no season.

use super::ONE;

/// Weeks of a year, near enough.
pub(super) const YEAR: usize = 52;
/// Weeks that are compared as one: single ones are mostly noise.
const MONTH: usize = 4;
/// In how many of 16 futures what one year did counts as a season; a second year then says how far it came again.
const AFTER_ONE: u64 = 4;
/// The least and the most that a year's growth becomes in the next year, in parts of [`ONE`].
const CHANGE: (i128, i128) = (ONE / 4, 2 * ONE);

/// What whole years show.
#[derive(Debug, Clone)]
pub(super) struct Years {
    /// What each week added beyond its year's mean; whole years, the oldest first.
    pub(super) season: Vec<i128>,
    /// In how many of 16 futures it comes again.
    pub(super) seasonal: u64,
    /// What becomes of growth by the week, in parts of [`ONE`], if it changes as from the last year but one to the last.
    pub(super) change: Option<i128>,
}

impl Years {
    /// `added` is what each week added to the one before, oldest first.
    pub(super) fn of(added: &[i128]) -> Self {
        let whole = &added[added.len() % YEAR..];
        let beyond = |year: &[i128]| -> Vec<i128> {
            let mean = year.iter().sum::<i128>() / YEAR as i128;
            year.iter().map(|added| added - mean).collect()
        };
        let season: Vec<i128> = whole.chunks_exact(YEAR).flat_map(beyond).collect();
        let mut latest = whole.rchunks_exact(YEAR).map(|year| year.iter().sum::<i128>());
        let change = latest.next().zip(latest.next()).and_then(|(last, before)| {
            let grew = last > 0 && before > 0;
            grew.then(|| by_week((last * ONE / before).clamp(CHANGE.0, CHANGE.1)))
        });
        Self { seasonal: seasonal(&season), season, change }
    }
}

/// In how many of 16 futures the seasons come again: the regression of one of the last two years on the other.
fn seasonal(season: &[i128]) -> u64 {
    let months: Vec<i128> = season.chunks_exact(MONTH).map(|month| month.iter().sum()).collect();
    let mut latest = months.rchunks_exact(YEAR / MONTH);
    let (Some(last), Some(before)) = (latest.next(), latest.next()) else {
        return if season.is_empty() { 0 } else { AFTER_ONE };
    };
    // To one scale, whatever the unit: the squares of large numbers would not fit.
    let most = months.iter().map(|month| month.abs()).max().unwrap_or(0).max(1);
    let product = |one: &[i128], other: &[i128]| -> i128 {
        one.iter().zip(other).map(|(one, other)| (one * ONE / most) * (other * ONE / most)).sum()
    };
    let all = product(last, last).max(product(before, before)).max(1);
    u64::try_from(16 * product(last, before) / all).unwrap_or(0)
}

/// The factor by the week that makes `ratio` of a year, both in parts of [`ONE`].
fn by_week(ratio: i128) -> i128 {
    let (mut low, mut high) = (0, 2 * ONE);
    while high - low > 1 {
        let middle = i128::midpoint(low, high);
        if power(middle, YEAR) > ratio {
            high = middle;
        } else {
            low = middle;
        }
    }
    low
}

/// What a factor by the week makes in so many weeks, both in parts of [`ONE`].
pub(super) fn power(factor: i128, weeks: usize) -> i128 {
    (0..weeks).fold(ONE, |power, _| power * factor / ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A year of so much growth a week, and of a season that gives it in the first half and takes it in the second.
    fn year(growth: i128, season: i128) -> impl Iterator<Item = i128> {
        (0..YEAR).map(move |week| if week < YEAR / 2 { growth + season } else { growth - season })
    }

    #[test]
    fn two_years_show_how_growth_changes_whatever_the_season() {
        let change = |weeks: Vec<i128>| Years::of(&weeks).change;
        let factor = change(year(1000, 900).chain(year(1250, 900)).collect()).unwrap();
        assert!((power(factor, YEAR) - ONE * 5 / 4).abs() < ONE / 100_000, "{factor}");
        assert_eq!(change(year(1000, 900).collect()), None);
        // What shrank says nothing of how growth changes, and no change is taken to be endless.
        assert_eq!(change(year(-1000, 0).chain(year(1000, 0)).collect()), None);
        let bounded = change(year(1, 0).chain(year(1000, 0)).collect()).unwrap();
        assert!((power(bounded, YEAR) - CHANGE.1).abs() < ONE / 100_000, "{bounded}");
    }

    #[test]
    fn a_season_is_sure_once_it_came_twice_and_nothing_if_it_came_the_other_way_round() {
        let seasonal = |weeks: Vec<i128>| Years::of(&weeks).seasonal;
        assert_eq!(seasonal(year(1000, 900).take(YEAR - 1).collect()), 0);
        assert_eq!(seasonal(year(1000, 900).collect()), AFTER_ONE);
        assert_eq!(seasonal(year(1000, 900).chain(year(5000, 900)).collect()), 16);
        assert_eq!(seasonal(year(1000, 900).chain(year(1000, 450)).collect()), 8);
        assert_eq!(seasonal(year(1000, 900).chain(year(1000, -900)).collect()), 0);
        let huge = i128::from(u64::MAX);
        assert_eq!(seasonal(year(huge, huge).chain(year(huge, huge)).collect()), 16);
    }
}
