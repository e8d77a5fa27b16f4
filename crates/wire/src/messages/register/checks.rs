//! Checks: what is looked at from every site to know whether a service or a server is up.

use lumbung_model::{CheckId, PdId, ServerId, ServiceId};
pub use lumbung_model::{Target, TargetError};
use serde::{Deserialize, Serialize};

use crate::messages::uptime::Probe;

/// Seconds from one probe to the next, if nothing is said.
pub const INTERVAL_S: u32 = 60;
/// Seconds after which no answer is none, if nothing is said.
pub const TIMEOUT_S: u32 = 10;

/// A check of a service or of a server. It is one of those that are looked at while it is enabled and nothing that it
/// belongs to is retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// Its id.
    pub id: CheckId,
    /// Whose service or server it is about.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The service that is down when it is; none: a server is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The server that is down when it is; none: a service is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Where its probes go.
    pub target: Target,
    /// The HTTP status that is expected; none: any of 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Text that an HTTP answer has to contain.
    #[serde(default)]
    pub contains: String,
    /// An address that a DNS answer has to contain.
    #[serde(default)]
    pub address: String,
    /// Whether a certificate that no known authority signed is taken too.
    #[serde(default)]
    pub any_certificate: bool,
    /// Seconds from one probe to the next.
    pub interval_s: u32,
    /// Seconds after which no answer is none.
    pub timeout_s: u32,
    /// Whether it is looked at.
    pub enabled: bool,
}

impl Check {
    /// What is asked of its target.
    #[must_use]
    pub fn probe(&self) -> Probe {
        match self.target.clone() {
            Target::Http(url) => Probe::Http {
                url,
                status: self.status,
                text: self.contains.clone(),
                any_certificate: self.any_certificate,
            },
            Target::Tcp { host, port } => Probe::Tcp { host, port },
            Target::Icmp(host) => Probe::Icmp { host },
            Target::Dns { server, name } => {
                Probe::Dns { server, name, address: self.address.clone() }
            }
        }
    }
}

/// A check to be entered: of a service or of a server, not of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CheckInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CheckId>,
    /// Whose service or server it is about.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The service that is down when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// The server that is down when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Where its probes go.
    pub target: Target,
    /// The HTTP status that is expected, 100 to 599; none: any of 200 to 399.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Text that an HTTP answer has to contain.
    #[serde(default)]
    pub contains: String,
    /// An address that a DNS answer has to contain.
    #[serde(default)]
    pub address: String,
    /// Whether a certificate that no known authority signed is taken too.
    #[serde(default)]
    pub any_certificate: bool,
    /// Seconds from one probe to the next, 10 to 3600.
    #[serde(default = "interval_s")]
    pub interval_s: u32,
    /// Seconds after which no answer is none, 1 to 60, less than the interval.
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    /// Whether it is looked at.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

const fn interval_s() -> u32 {
    INTERVAL_S
}

const fn timeout_s() -> u32 {
    TIMEOUT_S
}

const fn enabled() -> bool {
    true
}
