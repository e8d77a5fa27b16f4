//! End-to-end tests over the real programs, and tests of the house itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alerts;
mod anomaly;
mod api;
mod approvals;
mod attackers;
mod bandwidth;
mod chaos;
mod colocation;
mod damage;
mod databases;
mod drills;
mod failover;
mod heartbeats;
mod hosts;
mod house;
mod lost_controller;
mod main_job;
mod media;
mod metrics;
mod orders;
mod people;
mod policies;
mod questions;
mod ransomware;
mod reader;
mod replicated;
mod retirement;
mod runner;
mod standby;
mod stolen_controller;
mod thieves;
mod uptime;
mod users;
