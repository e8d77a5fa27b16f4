//! Looks at what a city depends on from one vantage point: websites, ports, machines, name servers.
//!
//! - [`Prober`]: one probe of each kind, within its time-out. What it sees is a [`Seen`]; a probe that could not be made
//!   is an [`Unmade`] and says nothing about its target.
//! - [`Lookout`]: every check at its interval and phase, many at once.
//! - [`Reach`]: the networks that may be looked at: orders come over the network, and the vantage point stands inside.
//! - [`SteadyClock`]: what observations are dated by.
//!
//! Whatever a target answers is hostile: lengths are capped, and nothing of it is kept but whether it was as expected.

mod check;
mod clock;
mod dns;
mod fail;
mod http;
mod icmp;
mod lookout;
mod prober;
mod reach;
mod seen;
mod tls;

pub use check::{ProbeError, TEXT_MAX_BYTES, check, check_order};
pub use clock::SteadyClock;
pub use icmp::is_echo_reply;
pub use ipnet::IpNet;
pub use lookout::{Lookout, Sighting};
pub use prober::Prober;
pub use reach::{Reach, ReachError};
pub use seen::{Seen, Unmade};
