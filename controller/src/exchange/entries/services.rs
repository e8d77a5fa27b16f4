//! Entries of services, applications and the people who answer for them.

use lumbung_model::{ApplicationId, ContactPersonId, ServiceId};
use serde::{Deserialize, Serialize};

/// A service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct ServiceEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<ServiceId>,
    pub(in crate::exchange) pd: String,
    pub(in crate::exchange) name: String,
    #[serde(default)]
    pub(in crate::exchange) critical: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) sla_millipercent: Option<u32>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) hours: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) rto_s: Option<u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) sla_document: String,
    /// Name of the server that takes over; `CODE/name` where it is another PD's.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) standby: String,
}

/// An application.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct ApplicationEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<ApplicationId>,
    pub(in crate::exchange) pd: String,
    pub(in crate::exchange) name: String,
    /// Name of the PD's service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) service: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) technology: String,
    /// Names of servers; `CODE/name` where one is another PD's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::exchange) servers: Vec<String>,
}

/// A contact person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::exchange) struct ContactPersonEntry {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::exchange) id: Option<ContactPersonId>,
    pub(in crate::exchange) pd: String,
    /// Name of the PD's service.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) service: String,
    #[serde(default = "first_tier")]
    pub(in crate::exchange) tier: u8,
    pub(in crate::exchange) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) phone: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) email: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(in crate::exchange) telegram: String,
}

const fn first_tier() -> u8 {
    1
}
