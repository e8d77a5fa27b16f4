//! Maintenance windows: once, or again and again by the wall clock of a zone.

use super::timeline::Timeline;
use crate::Timestamp;
use crate::schedule::Schedule;

/// A maintenance window that comes again.
#[derive(Debug, Clone)]
pub struct Recurrence {
    /// When it begins.
    pub schedule: Schedule,
    /// How long it lasts, seconds.
    pub duration_s: u32,
}

/// A maintenance window.
#[derive(Debug, Clone)]
pub struct Window {
    /// From when it holds.
    pub from: Timestamp,
    /// Until before when it holds.
    pub until: Timestamp,
    /// When it comes in that time; none: all of that time is the window.
    pub recurrence: Option<Recurrence>,
}

impl Window {
    /// When it is maintenance within a stretch of time.
    #[must_use]
    pub fn within(&self, (from, until): (Timestamp, Timestamp)) -> Timeline<()> {
        let (from, until) = (from.max(self.from), until.min(self.until));
        let Some(Recurrence { schedule, duration_s }) = &self.recurrence else {
            return Timeline::of(from, until, ());
        };
        let duration_s = i64::from(*duration_s);
        let mut spans = Vec::new();
        // One that began before the stretch may reach into it, but none begins before the window holds.
        let mut last = from.plus_seconds(-duration_s).max(self.from).plus_seconds(-1);
        while let Some(start) = schedule.next_after(last).filter(|start| *start < until) {
            spans.push((start.max(from), start.plus_seconds(duration_s).min(until)));
            last = start;
        }
        spans.retain(|(from, until)| from < until);
        Timeline::union(spans)
    }
}
