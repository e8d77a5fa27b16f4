//! Simulated futures: each path with a look back, a change of growth and an attitude to jumps and seasons of its own.
//!
//! Invariants: paths are numbered, and a path's number decides everything that is random in it; sums are exact in
//! fixed point, so that no order of additions and no unit changes the result.

use super::ONE;
use super::history::History;
use super::years::{YEAR, power};
use crate::Day;
use crate::schedule::mix;

/// Futures that are simulated.
const PATHS: u64 = 1000;
/// Weeks that are drawn together, so that a good month stays one.
const BLOCK: usize = 4;
const _: () = assert!(YEAR.is_multiple_of(BLOCK), "no block of a season reaches beyond its year");
/// The shortest stretch that a path looks back over, in weeks.
const SHORTEST: usize = 8;
/// A quarter of a year.
const QUARTER: usize = 13;
/// What becomes of growth by the week, in parts of [`ONE`], and in how many of 16 paths: it stays; it is halved in 12, 6 or 2
/// months; it grows by a quarter or a half in a year. As many fade as grow, so that what is straight is expected to stay so.
const CHANGES: [(i128, u64); 6] =
    [(ONE, 6), (16_555_064, 1), (16_335_853, 1), (15_487_655, 3), (16_849_365, 3), (16_908_546, 2)];
/// Beside them, where two years are known: it changes as it did from the one to the other.
const AS_BEFORE: u64 = 4;
/// In how many of 16 paths jumps go on as often as they came.
const JUMPING: u64 = 10;
/// How often jumps come is told from two years at least: one in the first months is no habit yet.
const JUMP_WEEKS: u64 = 104;
/// A seed for everybody: a forecast does not change because it is made again.
const SEED: u64 = 0x4c75_6d62_756e_6721;

/// Numbers that look random, by counting.
struct Draws {
    seed: u64,
    drawn: u64,
}

impl Draws {
    /// One of `0..bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.drawn += 1;
        let number = u128::from(mix(self.seed, self.drawn));
        u64::try_from((number * u128::from(bound)) >> 64).unwrap_or(0)
    }

    fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }
}

/// One future.
struct Path<'a> {
    /// The weeks that it draws from.
    weeks: &'a [i128],
    /// What they add on average, and what this path takes growth to be now; in parts of [`ONE`].
    mean: i128,
    growth: i128,
    /// What becomes of growth by the week, in parts of [`ONE`].
    change: i128,
    /// Whole years of what the season adds; nothing where this path does not believe in it.
    season: &'a [i128],
    jumps: &'a [i128],
    /// Weeks in which the jumps came.
    jump_weeks: u64,
    draws: Draws,
}

impl<'a> Path<'a> {
    fn new(history: &'a History, number: u64) -> Self {
        let mut draws = Draws { seed: mix(SEED, number), drawn: 0 };
        let all = history.usual.len();
        let season: &[i128] =
            if draws.below(16) < history.years.seasonal { &history.years.season } else { &[] };
        let back = if season.is_empty() {
            [all, all / 2, all / 4, QUARTER, SHORTEST][draws.index(5)].max(SHORTEST).min(all)
        } else {
            // A part of a year would take the season for growth.
            [YEAR, season.len()][draws.index(2)]
        };
        let weeks = &history.usual[all - back..];
        let mean = weeks.iter().sum::<i128>() * ONE / weeks.len().max(1) as i128;
        let (change, lasting) = change(history, &mut draws);
        let jumps: &[i128] = if draws.below(16) < JUMPING { &history.jumps } else { &[] };
        let jump_weeks = JUMP_WEEKS.max(all as u64);
        let mut path = Path { weeks, mean, growth: mean, change, season, jumps, jump_weeks, draws };
        path.growth = path.resampled_mean();
        if lasting {
            // The mean is the growth of the middle of the stretch.
            path.growth = path.growth * power(change, back / 2) / ONE;
        }
        path
    }

    fn block(&mut self) -> &'a [i128] {
        let length = BLOCK.min(self.weeks.len());
        let start = self.draws.index(self.weeks.len() - length + 1);
        &self.weeks[start..start + length]
    }

    /// The weeks that come after so many, and what is usual in them.
    fn piece(&mut self, week: usize) -> (&'a [i128], i128) {
        if self.season.is_empty() {
            return (self.block(), self.mean);
        }
        let year = self.draws.index(self.season.len() / YEAR);
        let start = year * YEAR + week % YEAR;
        (&self.season[start..start + BLOCK], 0)
    }

    /// The mean of as many weeks drawn anew: how else the same past might have turned out.
    fn resampled_mean(&mut self) -> i128 {
        let blocks = self.weeks.len().div_ceil(BLOCK).max(2);
        let (mut sum, mut weeks) = (0, 0);
        for _ in 0..blocks {
            let block = self.block();
            sum += block.iter().sum::<i128>();
            weeks += block.len() as i128;
        }
        let off = sum * ONE / weeks.max(1) - self.mean;
        // A sample's mean deviates less from the sample's own mean than from the truth.
        let wider = (((1_u64 << 32) * blocks as u64) / (blocks as u64 - 1)).isqrt();
        self.mean + off * i128::from(wider) / (1 << 16)
    }

    /// What is added, in parts of [`ONE`], by the end of each of so many weeks.
    fn run(mut self, weeks: usize) -> Vec<i128> {
        let mut sums = Vec::with_capacity(weeks + BLOCK);
        let (mut sum, mut weight) = (0, ONE);
        while sums.len() < weeks {
            let (piece, mean) = self.piece(sums.len());
            for added in piece {
                weight = weight * self.change / ONE;
                sum += added * ONE - mean + self.growth * weight / ONE;
                if !self.jumps.is_empty()
                    && self.draws.below(self.jump_weeks) < self.jumps.len() as u64
                {
                    sum += self.jumps[self.draws.index(self.jumps.len())] * ONE;
                }
                sums.push(sum);
            }
        }
        sums
    }
}

/// What becomes of growth by the week, and whether it did so all along: growth fades from now on, but growth that gathers
/// pace, or changes as from year to year, is thought to have done so before.
fn change(history: &History, draws: &mut Draws) -> (i128, bool) {
    let as_before = history.years.change.map(|change| (change, AS_BEFORE));
    let shares: u64 = CHANGES.iter().chain(&as_before).map(|(_, share)| share).sum();
    let mut share = draws.below(shares);
    for (change, of) in CHANGES {
        if share < of {
            return (change, change > ONE);
        }
        share -= of;
    }
    (history.years.change.unwrap_or(ONE), true)
}

/// For each of these days the tenth, the fiftieth and the ninetieth of a hundred paths.
pub(super) fn quantiles(history: &History, days: &[Day]) -> Vec<(i128, i128, i128)> {
    // The level is a week's median: it stands for the middle of that week.
    let ahead: Vec<i128> =
        days.iter().map(|day| i128::from(day.days_since(history.newest)) + 3).collect();
    let weeks = ahead.last().map_or(0, |days| usize::try_from(days / 7 + 1).unwrap_or(0));
    let mut values: Vec<Vec<i128>> = vec![Vec::new(); days.len()];
    for number in 0..PATHS {
        let sums = Path::new(history, number).run(weeks);
        for (values, ahead) in values.iter_mut().zip(&ahead) {
            values.push(i128::from(history.level()) + between(&sums, *ahead) / ONE);
        }
    }
    let quantile = |values: &[i128], of: usize| values[(values.len() - 1) * of / 10];
    let three = |values: &mut Vec<i128>| {
        values.sort_unstable();
        (quantile(values, 1), quantile(values, 5), quantile(values, 9))
    };
    values.iter_mut().map(three).collect()
}

/// The sum after so many days, straight between the weeks.
fn between(sums: &[i128], days: i128) -> i128 {
    let week = usize::try_from(days / 7).unwrap_or(0);
    let at = |weeks: usize| if weeks == 0 { 0 } else { sums.get(weeks - 1).copied().unwrap_or(0) };
    at(week) + (at(week + 1) - at(week)) * (days % 7) / 7
}
