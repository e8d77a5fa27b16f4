//! Places: which snapshots of one agent and dataset a policy keeps for good.

use std::collections::BTreeMap;

use chrono::{Datelike, TimeZone, Timelike};
use chrono_tz::Tz;

use super::{Candidate, Interval, Policy, Reason};
use crate::{ManifestId, Timestamp};

/// Every place that a snapshot of the group holds.
pub(super) fn places(
    group: &[&Candidate],
    policy: Option<&Policy>,
    zone: Tz,
) -> Vec<(ManifestId, Reason)> {
    let Some(policy) = policy else {
        return group.iter().map(|one| (one.manifest, Reason::NoPolicy)).collect();
    };
    let mut complete: Vec<&Candidate> = group.iter().copied().filter(|one| !one.partial).collect();
    complete.sort_by_key(|one| one.arrival);
    let newest = complete.iter().max_by_key(|one| (one.place, one.arrival)).copied();
    let mut places: Vec<(ManifestId, Reason)> =
        newest.iter().map(|one| (one.manifest, Reason::Newest)).collect();
    // A partial snapshot has done its work when the run that it belongs to has ended.
    let under_way =
        group.iter().filter(|one| one.partial && newest.is_none_or(|end| one.place > end.place));
    places.extend(under_way.map(|one| (one.manifest, Reason::Partial)));
    for (nth, one) in (1..=policy.keep_last).zip(complete.iter().rev()) {
        places.push((one.manifest, Reason::Last(nth)));
    }
    for (interval, count) in [
        (Interval::Hour, policy.keep_hourly),
        (Interval::Day, policy.keep_daily),
        (Interval::Week, policy.keep_weekly),
        (Interval::Month, policy.keep_monthly),
        (Interval::Year, policy.keep_yearly),
    ] {
        places.extend(slots(&complete, interval, count, zone));
    }
    places
}

/// The first that arrived in each of the newest `count` slots. `complete` ascends by arrival.
fn slots(
    complete: &[&Candidate],
    interval: Interval,
    count: u32,
    zone: Tz,
) -> Vec<(ManifestId, Reason)> {
    let mut first: BTreeMap<(i32, u32, u32), &Candidate> = BTreeMap::new();
    for one in complete {
        first.entry(slot(interval, one.dated, zone)).or_insert(one);
    }
    let newest = first.into_iter().rev().take(count as usize);
    newest.map(|(key, one)| (one.manifest, Reason::Slot(interval, name(interval, key)))).collect()
}

/// The slot of a moment: year, part of the year, hour; what a coarser interval does not tell apart is 0.
fn slot(interval: Interval, at: Timestamp, zone: Tz) -> (i32, u32, u32) {
    let local = zone.from_utc_datetime(&at.to_utc().naive_utc());
    match interval {
        // Where the clock is put back an hour occurs twice: one slot, as people name it.
        Interval::Hour => (local.year(), local.ordinal(), local.hour()),
        Interval::Day => (local.year(), local.ordinal(), 0),
        Interval::Week => (local.iso_week().year(), local.iso_week().week(), 0),
        Interval::Month => (local.year(), local.month(), 0),
        Interval::Year => (local.year(), 0, 0),
    }
}

fn name(interval: Interval, (year, part, hour): (i32, u32, u32)) -> String {
    let day = || {
        chrono::NaiveDate::from_yo_opt(year, part)
            .map_or_else(|| year.to_string(), |day| day.to_string())
    };
    match interval {
        Interval::Hour => format!("{} {hour:02}:00", day()),
        Interval::Day => day(),
        Interval::Week => format!("{year}-W{part:02}"),
        Interval::Month => format!("{year}-{part:02}"),
        Interval::Year => year.to_string(),
    }
}
