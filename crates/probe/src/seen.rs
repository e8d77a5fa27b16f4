//! What a probe saw, and why one could not be made.
//!
//! Invariant: a detail is a short text for people: one line, without control characters, at most
//! [`DETAIL_MAX_BYTES`] long.

use std::net::IpAddr;
use std::time::Duration;

use lumbung_model::Timestamp;
use lumbung_wire::messages::uptime::DETAIL_MAX_BYTES;

use crate::ProbeError;

/// What one probe saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Whether the target answered as expected.
    pub up: bool,
    /// Milliseconds until the answer; none if there was none.
    pub latency_ms: Option<u32>,
    /// When the target's certificate expires, if it showed one.
    pub certificate_expires: Option<Timestamp>,
    /// What was wrong; empty if nothing was.
    pub detail: String,
}

impl Seen {
    pub(crate) fn up(after: Duration) -> Self {
        let latency_ms = Some(millis(after));
        Self { up: true, latency_ms, certificate_expires: None, detail: String::new() }
    }

    pub(crate) fn down(latency: Option<Duration>, detail: &str) -> Self {
        Self {
            up: false,
            latency_ms: latency.map(millis),
            certificate_expires: None,
            detail: short(detail),
        }
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// One line of at most [`DETAIL_MAX_BYTES`].
fn short(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if out.len() + c.len_utf8() > DETAIL_MAX_BYTES {
            break;
        }
        out.push(c);
    }
    out
}

/// Why a probe could not be made. It says nothing about the target, which may be up or down.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    /// The order is not one that can be carried out.
    #[error("the check is not one that can be made")]
    Order(#[from] ProbeError),
    /// The target lies where this vantage point may not look.
    #[error(
        "{host} is at {address}, where this vantage point may not look: if it should, add its network to `allow`"
    )]
    Elsewhere {
        /// The target, as the check names it.
        host: String,
        /// Where it is.
        address: IpAddr,
    },
    /// The operating system lets this process open no ping socket.
    #[error(
        "this process may not ping: set the sysctl net.ipv4.ping_group_range to \"0 2147483647\", or grant it CAP_NET_RAW"
    )]
    Ping(#[source] std::io::Error),
    /// The operating system of the vantage point refuses, not the target.
    #[error("this machine cannot look: see to its files, memory and network")]
    Local(#[source] std::io::Error),
    /// Too many names are being looked up already.
    #[error(
        "too many host names are being looked up at once: does this machine's resolver answer?"
    )]
    Lookups,
    /// There is nothing to judge certificates by.
    #[error("this machine knows no certificate authorities: install the package ca-certificates")]
    Authorities,
}

impl Unmade {
    /// A word for the kind of reason, the same for every check that it holds up.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Order(_) => "order",
            Self::Elsewhere { .. } => "elsewhere",
            Self::Ping(_) => "ping",
            Self::Local(_) => "local",
            Self::Lookups => "lookups",
            Self::Authorities => "authorities",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_one_short_line() {
        assert_eq!(short("a\nb\u{1b}[31m"), "a b [31m");
        let long = short(&"é".repeat(300));
        assert_eq!(long.len(), DETAIL_MAX_BYTES - 1, "254: the next letter has two bytes");
        assert_eq!(Seen::down(None, "x").detail, "x");
    }
}
