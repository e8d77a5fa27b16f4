//! When what the city has is used up, and whether its lines carry what the policies demand.
//!
//! Invariants: everything is computed from days that were measured ([`crate::db::capacity`]) and the register; what no
//! regulation fixes, above all how early there is an alarm, is the profile's and a proposal unless it names its
//! instrument. A forecast never hides how sure it is: months and crossings come with their bounds.

pub mod bandwidth;
pub mod forecasts;
pub mod keeper;
mod placed;

#[cfg(test)]
mod tests;

pub use bandwidth::lines;
pub use forecasts::{forecasts, report};
pub use keeper::Keeper;
