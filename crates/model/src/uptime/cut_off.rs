//! When a place was itself cut off: it saw none of its targets up, while another place saw some of theirs.
//!
//! Invariant: where no place saw anything up, none was cut off: then it is the targets that are down.

use super::timeline::Timeline;
use crate::Timestamp;

/// Of fewer targets that are all down nothing follows for the place that looks at them.
const TARGETS_MIN: i64 = 2;

/// How many targets a place looked at, and how many of them it saw up.
#[derive(Clone, Copy, Default)]
struct Sight {
    seen: i64,
    up: i64,
}

/// For each place, when it was cut off, from what it saw of all its targets.
#[must_use]
pub fn cut_off(
    places: &[Vec<Timeline<bool>>],
    window: (Timestamp, Timestamp),
) -> Vec<Timeline<()>> {
    let mut changes: Vec<(Timestamp, usize, Sight)> = Vec::new();
    for (place, targets) in places.iter().enumerate() {
        for span in targets.iter().flat_map(|target| target.spans()) {
            let (from, until) = (span.from.max(window.0), span.until.min(window.1));
            if from < until {
                let up = i64::from(span.state);
                changes.push((from, place, Sight { seen: 1, up }));
                changes.push((until, place, Sight { seen: -1, up: -up }));
            }
        }
    }
    changes.sort_unstable_by_key(|(at, ..)| *at);
    let mut sights = vec![Sight::default(); places.len()];
    let mut found = vec![Timeline::default(); places.len()];
    let mut since = window.0;
    for (at, place, change) in changes {
        note(&sights, &mut found, (since, at));
        since = at;
        sights[place].seen += change.seen;
        sights[place].up += change.up;
    }
    found
}

/// Notes for a stretch without changes who was cut off in it.
fn note(sights: &[Sight], found: &mut [Timeline<()>], (from, until): (Timestamp, Timestamp)) {
    let somebody_sees = sights.iter().any(|sight| sight.up > 0);
    for (sight, line) in sights.iter().zip(found) {
        if somebody_sees && sight.up == 0 && sight.seen >= TARGETS_MIN {
            line.push(from, until, ());
        }
    }
}
