//! Whether one policy asks for less than another. Pure: controller and agent come to the same answer, each for itself.
//!
//! Invariants: a policy never narrows itself; adding datasets, paths or runs, and dropping patterns, never narrows; taking
//! any of them away always does. When in doubt it narrows: then a person looks at it.

use std::collections::{HashMap, HashSet};

use lumbung_model::rate::Rate;
use lumbung_model::schedule::Schedule;
use lumbung_model::{DatasetId, Timestamp};

use super::{rate_plan, schedule};
use crate::messages::policy::{Narrowing, PolicyContent, PolicyJob};
use crate::messages::register::DatasetKind;

/// Runs are counted one by one this far ahead.
const NEAR_S: i64 = 28 * 86_400;
/// Fewer runs in [`NEAR_S`] are too few to know a schedule by: it is then followed for four years.
const OFTEN: u32 = 28;
const FAR_S: i64 = 1461 * 86_400;
/// Rare schedules are not followed through more runs than this.
const FAR_RUNS: u32 = 5000;
/// A schedule that rests for months shows at one of these moments of the next 400 days.
const LOOKS: i64 = 2000;
const LOOKS_S: i64 = 400 * 86_400;

/// A cap that goes below this has to be confirmed: 1 Mbit/s, of which a day has 10.8 GB.
pub const RATE_CONFIRMED: Rate = match Rate::bytes_per_second(125_000) {
    Some(rate) => rate,
    None => unreachable!(),
};

/// How `new` asks for less than `old`; nothing, if it does not.
#[must_use]
pub fn narrows(old: &PolicyContent, new: &PolicyContent, now: Timestamp) -> Vec<Narrowing> {
    Comparison::at(now).narrows(old, new)
}

/// Many comparisons at one moment: schedules repeat through a city, and each pair is followed once.
#[derive(Debug)]
pub struct Comparison {
    now: Timestamp,
    /// Old schedule and zone, new schedule and zone: whether the new one runs less.
    known: HashMap<[String; 4], bool>,
}

impl Comparison {
    /// As of `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self { now, known: HashMap::new() }
    }

    /// As [`narrows`].
    pub fn narrows(&mut self, old: &PolicyContent, new: &PolicyContent) -> Vec<Narrowing> {
        let after: HashMap<DatasetId, &PolicyJob> =
            new.jobs.iter().filter(|job| is_run(job)).map(|job| (job.dataset, job)).collect();
        let mut found = Vec::new();
        for before in old.jobs.iter().filter(|job| is_run(job)) {
            match after.get(&before.dataset) {
                Some(after) => self.job(before, after, &mut found),
                None => found.push(Narrowing::Dataset {
                    dataset: before.dataset,
                    label: before.label.clone(),
                }),
            }
        }
        found.extend(slower(old, new));
        found
    }

    fn job(&mut self, before: &PolicyJob, after: &PolicyJob, found: &mut Vec<Narrowing>) {
        let of = || (before.dataset, before.label.clone());
        let is_covered = |path: &String| after.paths.iter().any(|above| covers(above, path));
        for path in before.paths.iter().filter(|path| !is_covered(path)) {
            let (dataset, label) = of();
            found.push(Narrowing::Path { dataset, label, path: path.clone() });
        }
        let known: HashSet<&String> = before.exclude.iter().collect();
        for pattern in after.exclude.iter().filter(|pattern| !known.contains(pattern)) {
            let (dataset, label) = of();
            found.push(Narrowing::Exclude { dataset, label, pattern: pattern.clone() });
        }
        if self.runs_less(before, after) {
            let (dataset, label) = of();
            let text = |job: &PolicyJob| format!("{} ({})", job.schedule, job.timezone);
            let (before, after) = (text(before), text(after));
            found.push(Narrowing::Schedule { dataset, label, before, after });
        }
        if after.rpo_s > before.rpo_s {
            let (dataset, label) = of();
            let (before_s, after_s) = (before.rpo_s, after.rpo_s);
            found.push(Narrowing::Rpo { dataset, label, before_s, after_s });
        }
    }

    fn runs_less(&mut self, before: &PolicyJob, after: &PolicyJob) -> bool {
        let texts = [&before.schedule, &before.timezone, &after.schedule, &after.timezone];
        if texts[..2] == texts[2..] {
            return false;
        }
        let now = self.now;
        let pair = texts.map(Clone::clone);
        *self.known.entry(pair).or_insert_with(|| runs_less(before, after, now))
    }
}

/// A cap below [`RATE_CONFIRMED`] that is lower than any before.
fn slower(old: &PolicyContent, new: &PolicyContent) -> Option<Narrowing> {
    // Caps that cannot be read are none that a policy is signed with.
    let lowest = |content: &PolicyContent| {
        content
            .rates
            .as_ref()
            .and_then(|rates| rate_plan(rates).ok())
            .and_then(|plan| plan.lowest())
    };
    let (before, after) = (lowest(old), lowest(new)?);
    // Where nothing was backed up, slowly is more.
    let is_less = old.jobs.iter().any(is_run)
        && after < RATE_CONFIRMED
        && before.is_none_or(|before| after < before);
    let text = |rate: Option<Rate>| rate.map_or_else(|| "unlimited".to_owned(), |r| r.to_string());
    is_less.then(|| Narrowing::Rate { before: text(before), after: text(Some(after)) })
}

/// Whether agents back up this kind: what lies in folders. A database needs more than its files.
#[must_use]
pub const fn lies_in_folders(kind: DatasetKind) -> bool {
    use DatasetKind as K;
    matches!(kind, K::Files | K::SourceCode | K::SpbeDocuments)
}

/// What agents leave alone is as good as not there.
const fn is_run(job: &PolicyJob) -> bool {
    lies_in_folders(job.kind)
}

/// Whether what lies at `path` lies at or below `above`.
#[must_use]
pub fn covers(above: &str, path: &str) -> bool {
    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path.split('/').filter(|part| !matches!(*part, "" | "."))
    }
    let mut below = parts(path);
    parts(above).all(|part| below.next() == Some(part))
}

fn runs_less(before: &PolicyJob, after: &PolicyJob, now: Timestamp) -> bool {
    let Ok(old) = schedule(before) else { return false };
    let Ok(new) = schedule(after) else { return true };
    let (old_pace, new_pace) = (Pace::of(&old, now), Pace::of(&new, now));
    let fewer = old_pace.near_runs >= OFTEN && new_pace.near_runs < old_pace.near_runs;
    let gap_s = old_pace.gap_s;
    fewer || new_pace.gap_s > gap_s || long_waits(&new, now, gap_s) > long_waits(&old, now, gap_s)
}

/// How often a schedule runs.
struct Pace {
    /// Runs in the next [`NEAR_S`].
    near_runs: u32,
    /// The longest time between two runs, seconds.
    gap_s: i64,
}

impl Pace {
    fn of(schedule: &Schedule, now: Timestamp) -> Self {
        let (near_runs, gap_s) = follow(schedule, now, NEAR_S, u32::MAX);
        if near_runs >= OFTEN {
            return Self { near_runs, gap_s };
        }
        let (runs, gap_s) = follow(schedule, now, FAR_S, FAR_RUNS);
        // What runs less than twice in four years may as well never run.
        Self { near_runs, gap_s: if runs < 2 { i64::MAX } else { gap_s } }
    }
}

/// Runs, and the longest time between two, within so many seconds.
fn follow(schedule: &Schedule, now: Timestamp, within_s: i64, at_most: u32) -> (u32, i64) {
    let until = now.plus_seconds(within_s);
    let (mut runs, mut gap_s) = (0, 0);
    let mut last: Option<Timestamp> = None;
    while let Some(next) = schedule.next_after(last.unwrap_or(now)) {
        if next > until || runs == at_most {
            break;
        }
        gap_s = gap_s.max(last.map_or(0, |last| next.seconds_since(last)));
        runs += 1;
        last = Some(next);
    }
    (runs, gap_s)
}

/// At how many moments ahead one would wait longer than `gap_s` for the next run.
fn long_waits(schedule: &Schedule, now: Timestamp, gap_s: i64) -> usize {
    let moments = (0..LOOKS).map(|look| now.plus_seconds(look * LOOKS_S / LOOKS));
    let waits = |at: Timestamp| schedule.next_after(at).map(|next| next.seconds_since(at));
    moments.filter(|at| waits(*at).is_none_or(|wait_s| wait_s > gap_s)).count()
}
