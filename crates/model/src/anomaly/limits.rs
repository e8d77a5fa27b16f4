//! From where on a share is suspicious: what the dataset's own past says, and floors where it says little.
//!
//! One run: beyond three times the largest share so far, beyond the median by eight robust standard deviations, and never below
//! the floor. Several runs: a cumulative sum of what is beyond nine of ten runs, against twice the most that this sum ever
//! reached. The newest runs are not asked what is usual when that is summed: a slow attack would answer.

use super::shares::{PPM, share};
use super::{Hit, Reason, Run, Shares, Signal};
use crate::Timestamp;

/// What can decide.
pub(super) const DECIDING: [Signal; 4] =
    [Signal::RewrittenFiles, Signal::RewrittenBytes, Signal::Renamed, Signal::Removed];

/// Fewer files than this are never suspicious by their number.
const FILES_MIN: u64 = 10;
/// Runs that are not asked what is usual when runs are summed.
const RECENT_RUNS: usize = 21;

/// A run as it is looked at.
pub(super) struct Kept {
    at: Timestamp,
    shares: Shares,
    cleared: bool,
}

impl Kept {
    /// None if the run cannot be compared.
    pub(super) fn of(run: &Run) -> Option<Self> {
        let shares = Shares::of(&run.figures)?;
        Some(Self { at: run.at, shares, cleared: run.cleared })
    }
}

/// The value that so many percent of the sorted values do not exceed.
fn quantile(sorted: &[u64], percent: usize) -> u64 {
    let index = (sorted.len().saturating_sub(1) * percent).div_ceil(100);
    sorted.get(index).copied().unwrap_or(0)
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values
}

/// Below which share nothing is suspicious, by how many runs there are to learn from.
const fn floor_ppm(signal: Signal, runs: usize) -> u64 {
    let [new, young, growing, learned] = match signal {
        Signal::RewrittenFiles => [300_000, 150_000, 80_000, 50_000],
        Signal::RewrittenBytes => [500_000, 350_000, 300_000, 250_000],
        Signal::Renamed => [200_000, 80_000, 50_000, 30_000],
        _ => [700_000, 500_000, 500_000, 500_000],
    };
    match runs {
        0..5 => new,
        5..14 => young,
        14..45 => growing,
        _ => learned,
    }
}

/// Below what a cumulative sum begins.
const SLACK_PPM: u64 = 1_000;

/// The limits of one signal for one dataset.
pub(super) struct Limits<'a> {
    signal: Signal,
    past: &'a [Kept],
    usual_ppm: u64,
    floor_ppm: u64,
    single_ppm: u64,
}

/// A cumulative sum.
struct Sum {
    slack_ppm: u64,
    reached_ppm: u64,
    since: Option<Timestamp>,
    runs: u32,
}

impl Sum {
    const fn new(slack_ppm: u64) -> Self {
        Self { slack_ppm, reached_ppm: 0, since: None, runs: 0 }
    }

    fn add(&mut self, at: Timestamp, ppm: u64) {
        self.reached_ppm = self.reached_ppm.saturating_add(ppm).saturating_sub(self.slack_ppm);
        if self.reached_ppm == 0 {
            (self.since, self.runs) = (None, 0);
        } else {
            self.since.get_or_insert(at);
            self.runs = self.runs.saturating_add(1);
        }
    }
}

impl<'a> Limits<'a> {
    /// The limits after these runs, for a dataset of so many files.
    pub(super) fn of(signal: Signal, past: &'a [Kept], files: u64) -> Self {
        let values = sorted(past.iter().map(|run| run.shares.get(signal)));
        let usual_ppm = quantile(&values, 50);
        let apart = sorted(values.iter().map(|value| value.abs_diff(usual_ppm)));
        let deviation = quantile(&apart, 50).saturating_mul(14_826) / 10_000;
        let largest = values.last().copied().unwrap_or(0);
        let floor = floor_ppm(signal, past.len()).max(match signal {
            Signal::RewrittenBytes => 0,
            _ => share(FILES_MIN, files),
        });
        let beyond = (largest * 3).max(usual_ppm.saturating_add(8 * deviation));
        // Where much is usual there is still something between that and all.
        let single_ppm = beyond.min((largest + 3 * PPM) / 4).max(floor);
        Self { signal, past, usual_ppm, floor_ppm: floor, single_ppm }
    }

    /// The test of one run, and if that finds nothing the one of several.
    pub(super) fn test(&self, now: &Kept) -> Option<Hit> {
        let observed_ppm = now.shares.get(self.signal);
        let reason = |observed_ppm, limit, runs| Reason {
            signal: self.signal,
            observed_ppm,
            usual_ppm: self.usual_ppm,
            limit_ppm: Some(limit),
            runs,
        };
        let summed = self.summed(now);
        if observed_ppm > self.single_ppm {
            let reason = reason(observed_ppm, self.single_ppm, 1);
            // What had begun to add up before may belong to it.
            let since = summed.and_then(|(sum, _)| sum.since).unwrap_or(now.at);
            return Some(Hit { reason, since });
        }
        let (sum, limit) = summed?;
        let since = sum.since?;
        (sum.reached_ppm > limit && observed_ppm > sum.slack_ppm)
            .then(|| Hit { reason: reason(sum.reached_ppm, limit, sum.runs), since })
    }

    /// The sum as of now, and its limit. What goes at once is seen at once: removals are not summed.
    fn summed(&self, now: &Kept) -> Option<(Sum, u64)> {
        if self.signal == Signal::Removed {
            return None;
        }
        let asked = match self.past.len() {
            n if n >= 2 * RECENT_RUNS => n - RECENT_RUNS,
            n => n - n / 3,
        };
        let reference = sorted(self.past[..asked].iter().map(|run| run.shares.get(self.signal)));
        let slack = quantile(&reference, 90).max(2 * quantile(&reference, 50)).max(SLACK_PPM);
        let (mut sum, mut most) = (Sum::new(slack), 0);
        for (index, run) in self.past.iter().enumerate() {
            sum.add(run.at, run.shares.get(self.signal));
            if index < asked || run.cleared {
                most = most.max(sum.reached_ppm);
            }
            if run.cleared {
                sum = Sum::new(slack);
            }
        }
        sum.add(now.at, now.shares.get(self.signal));
        let limit = self.floor_ppm.max(most.saturating_mul(2)).max(slack.saturating_mul(3));
        Some((sum, limit))
    }
}

/// What is told beside what decided: the figures of the run that are higher than in nine of ten runs.
pub(super) fn beside(past: &[Kept], now: &Kept) -> Vec<Reason> {
    let signals = [Signal::Changed, Signal::Incompressible, Signal::Undeduplicated];
    let unusual = signals.into_iter().filter_map(|signal| {
        let values = sorted(past.iter().map(|run| run.shares.get(signal)));
        let observed_ppm = now.shares.get(signal);
        let usual_ppm = quantile(&values, 50);
        (observed_ppm > quantile(&values, 90)).then_some(Reason {
            signal,
            observed_ppm,
            usual_ppm,
            limit_ppm: None,
            runs: 1,
        })
    });
    unusual.collect()
}
