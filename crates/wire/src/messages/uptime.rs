//! What is probed, from where, and what was seen: between the controller and the vaults that look from their own sites.
//!
//! A vantage point looks by itself and keeps what it saw until the controller has acknowledged it durably, so that a
//! controller that was down for a day learns of that day. What it saw is stamped with its own clock.

use lumbung_model::{CheckId, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

/// Most observations in one [`Observations`].
pub const OBSERVATIONS_MAX: usize = 2000;
/// Longest [`Observation::detail`], bytes.
pub const DETAIL_MAX_BYTES: usize = 255;

/// What is asked of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    /// An HTTP or HTTPS answer.
    Http {
        /// `http://…` or `https://…`.
        url: String,
        /// The status that is expected; none: any of 200 to 399.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        /// Text that the first 256 KiB of the body have to contain; empty: anything.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        text: String,
        /// Whether a certificate that no known authority signed is taken too; its expiry is told all the same.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        any_certificate: bool,
    },
    /// A TCP connection.
    Tcp {
        /// Host name or address.
        host: String,
        /// Port, 1 to 65535.
        port: u16,
    },
    /// An echo reply (RFC 792, RFC 4443).
    Icmp {
        /// Host name or address.
        host: String,
    },
    /// An answer of a DNS server (RFC 1035).
    Dns {
        /// Address of the server that is asked.
        server: String,
        /// The name that is asked for: its addresses.
        name: String,
        /// An address that has to be among the answers; empty: any.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        address: String,
    },
}

/// A check as a vantage point needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckOrder {
    /// The check.
    pub check: CheckId,
    /// What is asked.
    pub probe: Probe,
    /// Seconds from one probe to the next, 10 to 3600.
    pub interval_s: u32,
    /// Seconds after which no answer is none, 1 to 60, less than the interval.
    pub timeout_s: u32,
}

/// `GET /api/v1/vantage`, from a site: what it has to look at.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VantageOrders {
    /// The checks.
    pub checks: Vec<CheckOrder>,
    /// Seconds until it should ask again.
    pub again_s: u32,
}

/// What one probe saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Observation {
    /// Counts what this vantage point saw, from 1; never the same number twice.
    pub number: u64,
    /// Of which check.
    pub check: CheckId,
    /// When the probe began, by the vantage point's clock.
    pub at: Timestamp,
    /// Seconds from one probe to the next, as the check said then: how long this stands for.
    pub interval_s: u32,
    /// Whether the target answered as expected.
    pub up: bool,
    /// Milliseconds until the answer; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u32>,
    /// When the target's certificate expires, if it showed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<Timestamp>,
    /// What was wrong, for people; empty if nothing was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// `POST /api/v1/observations`, from a site: at most [`OBSERVATIONS_MAX`], by number, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Observations {
    /// The vantage point's clock.
    pub now: Timestamp,
    /// What it saw.
    pub observations: Vec<Observation>,
}

/// The answer to [`Observations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObservationsAck {
    /// Observations up to this number are durable, or of no use, and need not be sent again.
    pub through: u64,
    /// Of which site they were taken to be.
    pub site: SiteId,
}
