//! `lumbung-controller`: register, CA and enrolment, heartbeats, compliance, JSON API.
//!
//! It knows what must be backed up (register first), and learns what is backed up from what the sites
//! signed (`poller`), never from what agents say. It holds no key that reads or signs anything of a
//! repository, and no channel by which it could command an agent: losing it, or having it stolen, stops no
//! backup, adds no reader and deletes nothing.
//!
//! - [`db`]: SQLite; all SQL stands there. [`register`], [`tokens`], [`enroll`], [`exchange`]: rules over it.
//! - [`heartbeats`]: what agents say of themselves, on a board in memory before it is in the database.
//! - [`hosts`]: what agents see of their hosts, held against the register and against what was accepted.
//! - [`people`]: accounts, roles, logins; [`approvals`]: what takes two people; [`act`]: who changes what, for the audit log.
//! - [`deadlines`]: what is owed by date; the reconciler that makes its records.
//! - [`capacity`]: when what the city has is used up, and whether its lines carry what has to move.
//! - [`policies`]: what agents are asked to back up: signed, and narrowed by two people only.
//! - [`anomalies`]: runs that look like an attack, and the snapshots that sites hold for them.
//! - [`poller`]: the reconciler that reads the vaults and checks what they answer.
//! - [`profile`]: what the city asks for, with its articles.
//! - [`rules`]: the profile applied; [`standing`]: where a dataset stands; [`reconcile`]: what is said, kept as intervals.
//! - [`verdicts`]: what is said, with names; [`waivers`], [`reminders`]: what is done about it.
//! - [`assets`]: what of the inventory needs somebody, as alarms; [`changes`]: who changed which field of a row.
//! - [`report`], [`overview`]: put into tables, of now or of a date.
//! - [`alerts`]: what people are told about what is wrong.
//! - [`succession`]: who acts as the controller; [`standby`]: a copy that waits; [`recover`]: a controller made from its own backup.
//! - [`metrics`]: figures for Prometheus.
//! - [`api`]: `/api/v1`. [`daemon`]: everything together. [`cli`]: the command line.

pub mod act;
pub mod alerts;
pub mod anomalies;
pub mod api;
pub mod approvals;
pub mod assets;
pub mod capacity;
pub mod caps;
pub mod changes;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod db;
pub mod deadlines;
pub mod drills;
pub mod enroll;
pub mod exchange;
pub mod heartbeats;
pub mod hosts;
pub mod issue;
pub mod key_inventory;
pub mod keys;
pub mod liveness;
pub mod metrics;
pub mod overview;
pub mod people;
pub mod policies;
pub mod poller;
pub mod profile;
pub mod reconcile;
pub mod recover;
pub mod refusals;
pub mod register;
pub mod reminders;
pub mod report;
pub mod retire;
pub mod rules;
pub mod standby;
pub mod standing;
pub mod state_dir;
pub mod succession;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod turns;
pub mod uptime;
pub mod verdicts;
pub mod waivers;
