//! What is owed by date: documents, reports, reviews, drills; who owes them, what was handed in, what is late.
//!
//! Invariants: records follow from the profile's duties and the register ([`owed`], [`plan`]: pure), made by a
//! reconciler ([`keeper`]) that makes nothing twice; a record keeps wording, article and date as they were when it was
//! made; what was handed in is never taken back, only accepted, given back or cancelled with a reason ([`desk`]); the
//! document itself stays with whoever wrote it: its hash, name and size are kept. Days are those of the city's time zone.

pub mod desk;
mod error;
pub mod keeper;
pub mod owed;
pub mod period;
pub mod plan;
pub mod view;

#[cfg(test)]
mod tests;

pub use error::DepositError;
pub use view::overdue;

/// What falls due within so many days is due soon.
pub const SOON_DAYS: i64 = 30;
