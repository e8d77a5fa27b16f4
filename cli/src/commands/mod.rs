//! The commands, one module each (or each family).

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod browse;
pub(crate) mod deposits;
mod deposits_text;
pub(crate) mod diff;
pub(crate) mod exchange;
pub(crate) mod generate;
pub(crate) mod hand_in;
pub(crate) mod key;
pub(crate) mod kinds;
pub(crate) mod media;
pub(crate) mod morning;
pub(crate) mod order;
pub(crate) mod people;
pub(crate) mod policy;
pub(crate) mod register;
mod register_text;
pub(crate) mod repo;
pub(crate) mod restore;
pub(crate) mod roster;
mod roster_travel;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod verdicts;
pub(crate) mod verify;
