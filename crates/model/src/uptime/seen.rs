//! What one prober saw of one target, as runs of probes that all came out alike.
//!
//! Invariants: what a probe saw stands until the next one, but for two and a half intervals at most: after that nobody has
//! looked. Where two runs lie over each other (the prober's clock was set back), down counts.

use super::timeline::{Timeline, lay};
use crate::Timestamp;

/// Probes one after the other that all came out alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// Seconds from one to the next.
    pub interval_s: u32,
    /// Whether the target answered.
    pub up: bool,
}

/// How long a probe's word stands if no other follows, seconds: as long as an agent may be silent before it is late.
#[must_use]
pub fn reach_s(interval_s: u32) -> i64 {
    i64::from(interval_s) * 5 / 2
}

/// When the target was seen up (`true`) and down (`false`).
#[must_use]
pub fn seen(mut runs: Vec<Run>) -> Timeline<bool> {
    runs.sort_unstable_by_key(|run| (run.first, run.last));
    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for (index, run) in runs.iter().enumerate() {
        let reach = run.last.plus_seconds(reach_s(run.interval_s));
        let until = match runs.get(index + 1) {
            Some(next) if next.first > run.last => reach.min(next.first),
            // The clock was set back: of this run only what was seen for certain.
            Some(_) => run.last.plus_seconds(1),
            None => reach,
        };
        if run.up { &mut ups } else { &mut downs }.push((run.first, until));
    }
    let layers = [Timeline::union(ups), Timeline::union(downs)];
    let edges = layers.iter().flat_map(|layer| layer.spans());
    let first = edges.clone().map(|span| span.from).min();
    let last = edges.map(|span| span.until).max();
    let (Some(first), Some(last)) = (first, last) else { return Timeline::default() };
    lay(&layers, (first, last), |states| match (states[0], states[1]) {
        (_, Some(())) => Some(false),
        (Some(()), None) => Some(true),
        (None, None) => None,
    })
}
