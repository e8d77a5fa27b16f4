//! A daily series made ready: levels by week, what a usual week adds, and the jumps, set apart.
//!
//! Invariants: every week from the first to the last has a level; usual weeks and jumps together add up to the way from
//! the first level to the last; one or two days that were measured wrongly change nothing.

use std::collections::BTreeMap;

use super::years::Years;
use super::{MAX_HISTORY_DAYS, MIN_DAYS, TooLittle, Used};
use crate::Day;

/// Weeks around one that say what is usual there.
const AROUND: usize = 4;
/// How many times the usual deviation makes a jump.
const JUMP_DEVIATIONS: i128 = 6;

/// What is known of the past.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) newest: Day,
    pub(super) measured_days: u32,
    /// By week, oldest first: the medians of the weeks that end with the newest day.
    levels: Vec<i128>,
    /// What each week added to the one before, without the jumps.
    pub(super) usual: Vec<i128>,
    /// What the jumps added or took.
    pub(super) jumps: Vec<i128>,
    /// What whole years show.
    pub(super) years: Years,
}

impl History {
    pub(super) fn of(series: &[Used]) -> Result<Self, TooLittle> {
        let mut days: BTreeMap<Day, u64> = series.iter().map(|one| (one.day, one.used)).collect();
        let newest = days.last_key_value().map(|(day, _)| *day);
        let newest = newest.ok_or(TooLittle { have_days: 0 })?;
        days.retain(|day, _| newest.days_since(*day) < i64::from(MAX_HISTORY_DAYS));
        let measured_days = u32::try_from(days.len()).unwrap_or(u32::MAX);
        if measured_days < MIN_DAYS {
            return Err(TooLittle { have_days: measured_days });
        }
        let levels = levels(newest, &days);
        let (usual, jumps) = apart(&levels);
        let years = Years::of(&usual);
        Ok(Self { newest, measured_days, levels, usual, jumps, years })
    }

    /// The newest level.
    pub(super) fn level(&self) -> u64 {
        self.levels.last().map_or(0, |level| u64::try_from(*level).unwrap_or(0))
    }
}

/// The medians by week, oldest first; a week without any measurement lies on the line between its neighbours.
fn levels(newest: Day, days: &BTreeMap<Day, u64>) -> Vec<i128> {
    let mut weeks: BTreeMap<usize, Vec<i128>> = BTreeMap::new();
    for (day, used) in days {
        let back = usize::try_from(newest.days_since(*day) / 7).unwrap_or(0);
        weeks.entry(back).or_default().push(i128::from(*used));
    }
    let mut levels: Vec<i128> = Vec::new();
    let mut before: Option<(usize, i128)> = None;
    for (back, values) in weeks.iter_mut().rev() {
        let level = median(values);
        if let Some((earlier, from)) = before {
            let gap = earlier - back;
            for step in 1..gap {
                levels.push(from + (level - from) * step as i128 / gap as i128);
            }
        }
        levels.push(level);
        before = Some((*back, level));
    }
    levels
}

/// What weeks add, with isolated jumps taken out: a new PD's first copy is no growth.
fn apart(levels: &[i128]) -> (Vec<i128>, Vec<i128>) {
    let added: Vec<i128> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let here = |index: usize| {
        let around = index.saturating_sub(AROUND)..(index + AROUND + 1).min(added.len());
        median(&mut added[around].to_vec())
    };
    let local: Vec<i128> = (0..added.len()).map(here).collect();
    let mut off: Vec<i128> = added.iter().zip(&local).map(|(a, l)| (a - l).abs()).collect();
    let bound = JUMP_DEVIATIONS * median(&mut off);
    let (mut usual, mut jumps) = (Vec::with_capacity(added.len()), Vec::new());
    for (added, local) in added.iter().zip(&local) {
        let jump = added - local;
        if jump.abs() > bound && jump.abs() > 2 * local.abs() {
            jumps.push(jump);
            usual.push(*local);
        } else {
            usual.push(*added);
        }
    }
    (usual, jumps)
}

/// The middle one; of an even number the lower of the two in the middle. 0 of nothing.
fn median(values: &mut [i128]) -> i128 {
    if values.is_empty() {
        return 0;
    }
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable(middle).1
}
