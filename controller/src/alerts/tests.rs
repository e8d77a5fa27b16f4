//! Alerts as a whole: the plan under any order of events, and the outbox over its database.

mod addresses;
mod hangs;
mod outages;
mod piling;
mod plans;
