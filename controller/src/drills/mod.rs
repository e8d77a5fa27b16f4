//! Drills and failover: plans as people enter them, runs as their runners tell them, and when the next is due.
//!
//! What a plan is, which event may follow which and what a run has shown is `lumbung_model::drill`'s; here stands who may do
//! what, and what is kept. Invariants: a revision that was run stays as it was; a run's journal has one writer (the agent of the
//! server that the plan names as its runner, or people at a tabletop) and is checked event by event before any of it is
//! kept; a plan has one run at a time; in earnest two people start it. The controller carries nothing out: a runner asks
//! for its orders, and knows hooks and places by the names of its own file alone.

mod desk;
mod error;
mod journal;
mod keeper;
mod runs;
mod subjects;
mod view;

pub use desk::{change, enter, find, retire, sees};
pub use error::DrillError;
pub use journal::{has_orders, orders, take_from_agent, take_from_people};
pub use keeper::{ALARMS, keep, start_due};
pub use runs::{answer, close, find_run, may_start, note, start};
#[cfg(test)]
pub(crate) use subjects::sha256 as sha256_of;
pub use subjects::{fingerprint, subjects};
pub use view::{acta, calendar, detail, entries, entry, row_tag_of, run_entries, run_entry};
