//! From due times to starts: jitter so that a city's servers do not begin together, catch-up after
//! missed runs, and how long to wait before trying again.

use super::{Period, Schedule};
use crate::Timestamp;

/// Without catch-up, how late a start may still count as that run: timers are never exact, and a
/// daemon that is restarted at its due time must not lose the run.
const GRACE_S: i64 = 300;

/// Mixes ids into a seed, so that every agent and job has times of its own.
#[must_use]
pub fn seed(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        let length = (part.len() as u64).to_le_bytes();
        for byte in length.iter().chain(*part) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// The `SplitMix64` finaliser: every bit of the result depends on every bit of both arguments.
pub(crate) const fn mix(seed: u64, value: u64) -> u64 {
    let mut z = seed
        .wrapping_add(value.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// How long after `due` to start: from nothing to `bound`, always the same for one seed and time.
#[must_use]
pub fn jitter(seed: u64, due: Timestamp, bound: Period) -> Period {
    let span = u64::from(bound.as_seconds()) + 1;
    let seconds = mix(seed, due.0.cast_unsigned()) % span;
    Period::seconds(u32::try_from(seconds).unwrap_or(bound.as_seconds()))
}

/// What to do with a scheduled job now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Start it: this is the due time that it answers.
    Now(Timestamp),
    /// Nothing before this time.
    At(Timestamp),
    /// Nothing any more.
    Never,
}

/// A schedule with its jitter and its answer to missed runs.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// When it is due.
    pub schedule: Schedule,
    /// The most that a start is put off.
    pub jitter: Period,
    /// Whether a run that was missed is made up for as soon as possible.
    pub catch_up: bool,
    /// Which jitter: see [`seed`].
    pub seed: u64,
}

impl Trigger {
    /// When the run that is due at `due` starts.
    #[must_use]
    pub fn start_of(&self, due: Timestamp) -> Timestamp {
        due.plus_seconds(i64::from(jitter(self.seed, due, self.jitter).as_seconds()))
    }

    /// Whether to run now, given when it last started (or, if never, since when the job is known).
    ///
    /// Any number of missed runs is made up for by one. A `since` that lies ahead of `now` (the clock
    /// was set back) counts as `now`, so that a wrong year in the past does not silence a job.
    #[must_use]
    pub fn decide(&self, since: Timestamp, now: Timestamp) -> Due {
        let since = since.min(now);
        let Some(first) = self.schedule.next_after(since) else { return Due::Never };
        if self.start_of(first) > now {
            return Due::At(self.start_of(first));
        }
        if self.catch_up {
            return Due::Now(first);
        }
        let oldest = now.plus_seconds(-GRACE_S);
        let mut from = since.max(oldest.plus_seconds(-i64::from(self.jitter.as_seconds()) - 1));
        while let Some(due) = self.schedule.next_after(from) {
            let start = self.start_of(due);
            if start > now {
                return Due::At(start);
            }
            if start > oldest {
                return Due::Now(due);
            }
            from = due;
        }
        Due::Never
    }
}

/// How often and how long after a failure to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Tries in all, the first one included.
    pub attempts: u32,
    /// Wait after the first failure; doubles with each that follows.
    pub first: Period,
    /// The longest wait.
    pub cap: Period,
}

impl Backoff {
    /// The wait after `failures` failures in a row (from 1), none if that was the last try.
    ///
    /// Between half and all of the nominal wait, so that agents whom one fault stopped together do not
    /// come back together.
    #[must_use]
    pub fn wait_after(&self, failures: u32, seed: u64) -> Option<Period> {
        if failures == 0 || failures >= self.attempts {
            return None;
        }
        let doubled = u64::from(self.first.as_seconds()) << (failures - 1).min(31);
        let nominal = doubled.min(u64::from(self.cap.as_seconds()));
        let spread = mix(seed, u64::from(failures)) % (nominal - nominal / 2 + 1);
        u32::try_from(nominal / 2 + spread).ok().map(Period::seconds)
    }
}
