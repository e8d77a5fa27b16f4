//! Spans of time, each in one state, one after the other.
//!
//! Invariants: ascending, not overlapping, none empty; two that touch are in different states.

use crate::Timestamp;

/// From the first second to before the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<S> {
    /// The first second.
    pub from: Timestamp,
    /// The second after it.
    pub until: Timestamp,
    /// What it was in.
    pub state: S,
}

impl<S> Span<S> {
    /// How long it lasted, seconds.
    #[must_use]
    pub const fn seconds(&self) -> i64 {
        self.until.seconds_since(self.from)
    }
}

/// Spans one after the other; between them nothing is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline<S>(Vec<Span<S>>);

impl<S> Default for Timeline<S> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<S: Copy + Eq> Timeline<S> {
    /// One span.
    #[must_use]
    pub fn of(from: Timestamp, until: Timestamp, state: S) -> Self {
        let mut one = Self::default();
        one.push(from, until, state);
        one
    }

    /// Adds a span. What of it lies before the end of the last one is left out.
    pub fn push(&mut self, from: Timestamp, until: Timestamp, state: S) {
        let from = self.0.last().map_or(from, |last| from.max(last.until));
        if from >= until {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.until == from && last.state == state => last.until = until,
            _ => self.0.push(Span { from, until, state }),
        }
    }

    /// The spans, ascending.
    #[must_use]
    pub fn spans(&self) -> &[Span<S>] {
        &self.0
    }

    /// The state at a moment.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Option<S> {
        let after = self.0.partition_point(|span| span.until <= at);
        self.0.get(after).filter(|span| span.from <= at).map(|span| span.state)
    }

    /// How long it was in a state, seconds.
    #[must_use]
    pub fn seconds(&self, state: S) -> i64 {
        self.0.iter().filter(|span| span.state == state).map(Span::seconds).sum()
    }

    /// What of it lies in a window.
    #[must_use]
    pub fn within(&self, (from, until): (Timestamp, Timestamp)) -> Self {
        let mut cut = Self::default();
        for span in &self.0 {
            cut.push(span.from.max(from), span.until.min(until), span.state);
        }
        cut
    }
}

impl Timeline<()> {
    /// The spans of any order, laid together.
    #[must_use]
    pub fn union(mut spans: Vec<(Timestamp, Timestamp)>) -> Self {
        spans.sort_unstable();
        let mut all = Self::default();
        for (from, until) in spans {
            all.push(from, until, ());
        }
        all
    }
}

/// Lays timelines over each other: for each stretch in the window in which none of them changes, `decide` is given the
/// state of each.
pub(super) fn lay<S: Copy + Eq, T: Copy + Eq>(
    layers: &[Timeline<S>],
    window: (Timestamp, Timestamp),
    mut decide: impl FnMut(&[Option<S>]) -> Option<T>,
) -> Timeline<T> {
    let (from, until) = window;
    let mut edges: Vec<Timestamp> = layers
        .iter()
        .flat_map(|layer| layer.spans())
        .flat_map(|span| [span.from, span.until])
        .filter(|edge| from < *edge && *edge < until)
        .chain([from, until])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    let mut next = vec![0; layers.len()];
    let mut states = vec![None; layers.len()];
    let mut laid = Timeline::default();
    for edge in edges.windows(2) {
        for ((layer, next), state) in layers.iter().zip(&mut next).zip(&mut states) {
            let spans = layer.spans();
            while spans.get(*next).is_some_and(|span| span.until <= edge[0]) {
                *next += 1;
            }
            *state = spans.get(*next).filter(|span| span.from <= edge[0]).map(|span| span.state);
        }
        if let Some(state) = decide(&states) {
            laid.push(edge[0], edge[1], state);
        }
    }
    laid
}
