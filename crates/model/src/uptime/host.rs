//! Whether a server was up, from its agent's heartbeats alone.
//!
//! Invariant: silence is no proof of anything. A server that was silent and had started anew when it was heard again was
//! down; one that had been running all along was only not heard.

use super::seen::reach_s;
use super::timeline::{Timeline, lay};
use crate::Timestamp;

/// Heartbeats without a silence between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// When the host had started, as the first of them told.
    pub booted: Option<Timestamp>,
}

/// When a server was up (`true`) and down (`false`), by heartbeats that come each `interval_s` and the times in which
/// somebody listened for them.
#[must_use]
pub fn host(
    beats: &[Beat],
    interval_s: u32,
    listened: &Timeline<()>,
    window: (Timestamp, Timestamp),
) -> Timeline<bool> {
    let (mut ups, mut downs) = (Vec::new(), Vec::new());
    for (index, beat) in beats.iter().enumerate() {
        let reach = beat.last.plus_seconds(reach_s(interval_s));
        let Some(next) = beats.get(index + 1) else {
            ups.push((beat.first, reach));
            continue;
        };
        if next.booted.is_some_and(|booted| booted > beat.last) {
            // It missed the heartbeat that came next.
            let missed = beat.last.plus_seconds(interval_s.into()).min(next.first);
            ups.push((beat.first, missed));
            downs.push((missed, next.first));
        } else {
            ups.push((beat.first, reach.min(next.first)));
        }
    }
    let layers = [Timeline::union(ups), Timeline::union(downs), listened.clone()];
    lay(&layers, window, |states| match (states[0], states[1], states[2]) {
        (Some(()), ..) => Some(true),
        (None, Some(()), Some(())) => Some(false),
        _ => None,
    })
}
