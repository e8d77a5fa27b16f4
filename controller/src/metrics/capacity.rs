//! How full things are, and when they will be.
//!
//! Invariant: of at most [`ENTRIES_MAX`] things; there are a few sites, the racks together, and pools.

use lumbung_model::Day;
use lumbung_model::schedule::Tz;
use lumbung_wire::messages::capacity::CapacityEntry;
use lumbung_wire::metrics::{Figures, Metric};

/// Things that have figures.
const ENTRIES_MAX: usize = 200;

pub(super) const USED: Metric = Metric::gauge(
    "lumbung_capacity_used",
    &["kind", "subject", "name"],
    "What is used of it on the newest measured day: bytes of storage, of memory and of disks, else units.",
);
pub(super) const LIMIT: Metric = Metric::gauge(
    "lumbung_capacity_limit",
    &["kind", "subject", "name"],
    "What there is of it in all; none where nobody says.",
);
pub(super) const FULL: Metric = Metric::gauge(
    "lumbung_capacity_full_timestamp_seconds",
    &["kind", "subject", "name", "bound"],
    "When it is full by the newest forecast: expected, at the earliest and at the latest; none beyond 24 months; today if it is full.",
);

/// Shows them.
pub(super) fn show(figures: &mut Figures, entries: &[CapacityEntry], (today, zone): (Day, Tz)) {
    for entry in entries.iter().take(ENTRIES_MAX) {
        let kind = entry.kind.as_str();
        let labels = [kind, entry.subject.as_str(), entry.name.as_str()];
        figures.count(&USED, &labels, entry.used);
        if let Some(limit) = entry.limit {
            figures.count(&LIMIT, &labels, limit);
        }
        let is_full = entry.limit.is_some_and(|limit| entry.used >= limit);
        let crossing = entry.crossing.as_ref();
        let days = [
            ("expected", crossing.and_then(|crossing| crossing.expected)),
            ("earliest", crossing.map(|crossing| crossing.earliest)),
            ("latest", crossing.and_then(|crossing| crossing.latest)),
        ];
        for (bound, day) in days {
            let day = if is_full { Some(today) } else { day };
            let labels = [kind, &entry.subject, &entry.name, bound];
            figures.time(&FULL, &labels, day.map(|day| day.first_second(zone)));
        }
    }
}
