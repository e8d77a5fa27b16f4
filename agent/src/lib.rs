//! The agent of a PD server: backs up datasets by schedule or by hand, and tells the controller.
//!
//! - [`config`]: the agent's own file. [`policy`]: what the register asks for beside it, verified and kept.
//! - [`plan`]: pure: what the daemon does next. [`daemon`]: the loop around it.
//! - [`run`]: one run of one job over the engine; [`sites`]: which depots, and by which keys to know them.
//! - [`state`]: identity and certificate; [`db`]: what jobs did, and the spool of reports.
//! - [`inventory`]: what there is to see of the host: hardware, disks, addresses.
//! - [`runner`]: a service of its own, which carries out drills and failovers.
//! - [`metrics`]: figures for Prometheus.
//! - [`controller`]: heartbeats, reports, renewal; [`succession`]: which controller; [`enroll`]: how an agent begins.
//!
//! What always holds: losing the controller stops no backup. The agent can read nothing back that was
//! backed up before. Everything durable is in the state directory; a run that was interrupted at any
//! point goes on with the next one.

pub mod cli;
pub mod config;
pub mod controller;
pub mod daemon;
pub mod db;
pub mod enroll;
pub mod health;
pub mod inventory;
pub mod metrics;
pub mod output;
pub mod plan;
pub mod policy;
pub mod progress;
pub mod run;
pub mod runner;
pub mod sites;
pub mod state;
pub mod status;
pub mod succession;
pub mod throttle;
pub mod wal;

pub use cli::main;
