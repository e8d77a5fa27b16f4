//! When a place was itself cut off: it saw none of its targets up, while another place saw some of them.
//!
//! Invariant: a place is cut off only by what another place saw of the same targets. What is down for both is down, whatever else
//! one of them sees.

use std::collections::HashMap;

use super::timeline::Timeline;
use crate::{CheckId, Timestamp};

/// Of fewer targets that are all down nothing follows for the place that looks at them.
const TARGETS_MIN: usize = 2;

/// What one prober of a place saw of a target.
pub type Target = (CheckId, Timeline<bool>);

/// How many probers of a place look at a target now, and how many of them see it up.
#[derive(Clone, Copy, Default)]
struct Sight {
    seen: i64,
    up: i64,
}

/// What a place sees now, of each target.
type Sights = HashMap<CheckId, Sight>;

/// For each place, when it was cut off, from what its probers saw of all their targets.
#[must_use]
pub fn cut_off(places: &[Vec<Target>], window: (Timestamp, Timestamp)) -> Vec<Timeline<()>> {
    let mut changes: Vec<(Timestamp, usize, CheckId, Sight)> = Vec::new();
    for (place, targets) in places.iter().enumerate() {
        for (target, line) in targets {
            for span in line.spans() {
                let (from, until) = (span.from.max(window.0), span.until.min(window.1));
                if from < until {
                    let up = i64::from(span.state);
                    changes.push((from, place, *target, Sight { seen: 1, up }));
                    changes.push((until, place, *target, Sight { seen: -1, up: -up }));
                }
            }
        }
    }
    changes.sort_unstable_by_key(|(at, ..)| *at);
    let mut sights = vec![Sights::default(); places.len()];
    let mut found = vec![Timeline::default(); places.len()];
    let mut since = window.0;
    for (at, place, target, change) in changes {
        if since < at {
            note(&sights, &mut found, (since, at));
            since = at;
        }
        let sight = sights[place].entry(target).or_default();
        sight.seen += change.seen;
        sight.up += change.up;
        if sight.seen == 0 {
            sights[place].remove(&target);
        }
    }
    found
}

/// Notes for a stretch without changes who was cut off in it.
fn note(sights: &[Sights], found: &mut [Timeline<()>], (from, until): (Timestamp, Timestamp)) {
    for (own, line) in found.iter_mut().enumerate() {
        if is_cut_off(sights, own) {
            line.push(from, until, ());
        }
    }
}

fn is_cut_off(sights: &[Sights], own: usize) -> bool {
    let targets = &sights[own];
    if targets.len() < TARGETS_MIN || targets.values().any(|sight| sight.up > 0) {
        return false;
    }
    let seen_up = |place: &Sights, target| place.get(target).is_some_and(|sight| sight.up > 0);
    targets.keys().any(|target| sights.iter().any(|place| seen_up(place, target)))
}
