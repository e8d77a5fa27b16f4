//! Alerts as a whole: the plan under any order of events, and the outbox over its database.

mod outages;
mod plans;
