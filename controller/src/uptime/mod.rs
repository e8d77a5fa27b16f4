//! Uptime: what is looked at from each site, what follows from what was seen, and what people enter about it.
//!
//! Invariants: figures are functions of what was seen, told and entered ([`reckon()`]): reckoned again, they are the same.
//! Nothing that was down becomes planned after the fact, and nothing that nobody saw becomes up.

mod entered;
mod keeper;
mod prober;
mod reckon;
mod vantage;
mod view;

#[cfg(test)]
mod tests;

pub use entered::{UptimeError, call_off, enter_incident, enter_maintenance, note_incident};
pub use keeper::Keeper;
pub use prober::{OwnEyes, OwnPlace};
pub use reckon::{CheckLine, Reckoned, Rules, Subject, SubjectLine, reckon};
pub use vantage::{Heard, observe, orders};
pub use view::{By, Period, PeriodError, incident_view, incidents, present, rows, states};
