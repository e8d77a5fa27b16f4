//! Alerts: what people are told about alarms, by whom it goes on when nobody answers, and how it gets there.
//!
//! Invariants: what is told to whom is a function of what is wrong, who is there and the time ([`plan`]: pure), carried out in
//! one transaction with what it follows from, so that a crash loses nothing and repeats nothing; a message stands in the
//! outbox before it is tried, and stays there until its channel has taken it or never will ([`outbox`]). A message whose
//! channel did not answer is sent again under the same id. See docs/adr/0022.

pub mod address;
pub mod channel;
pub mod desk;
pub mod keeper;
pub mod outbox;
pub mod people;
pub mod plan;
pub mod pulse;
pub mod roster;
pub mod route;
pub mod settings;
pub mod severity;
pub mod text;
pub mod watch;
mod wording;

#[cfg(test)]
mod tests;

use lumbung_model::Timestamp;
use tokio::sync::watch::Sender;

pub use settings::Settings;

/// What the parts of this program know of alerts at work.
#[derive(Debug, Clone)]
pub struct AtWork {
    /// Rung when there are new messages.
    pub bell: Sender<()>,
    /// When alerts were looked after last.
    pub done: Sender<Timestamp>,
}

impl AtWork {
    /// At the start: a first round is awaited as long as any other.
    #[must_use]
    pub fn begin(now: Timestamp) -> Self {
        Self { bell: Sender::new(()), done: Sender::new(now) }
    }
}
