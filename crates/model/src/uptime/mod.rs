//! Availability: from what was seen, and from where, to seconds up, down, planned, unconfirmed and unobserved.
//!
//! Invariants: pure, whole seconds, half-open spans. Every second of a subject's life is in exactly one class, so the five add
//! up to it. Time that nobody could observe is never up and never down; down takes two places that agree, where two were
//! looking, so that one failing link is no outage. What is reckoned by days adds up to what is reckoned at once.

mod cut_off;
mod host;
mod judged;
mod maintenance;
mod outages;
mod seen;
mod timeline;

pub use cut_off::{Target, cut_off};
pub use host::{Beat, host};
pub use judged::{Figures, Judged, Place, check, else_by, subject};
pub use maintenance::{Recurrence, Window};
pub use outages::{Outage, outages};
pub use seen::{Run, reach_s, seen};
pub use timeline::{Span, Timeline};

#[cfg(test)]
mod tests;
