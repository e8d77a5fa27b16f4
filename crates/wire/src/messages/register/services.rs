//! What a PD does with its servers: services with their SLA, applications, and whom to call (pasal 52 of Depok 40/2021,
//! pasal 20 of Medan 39/2020: each PD sets the SLA of its services and names at least one contact).

use lumbung_model::{ApplicationId, ContactPersonId, PdId, ServerId, ServiceId};
use serde::{Deserialize, Serialize};

/// A service of a PD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// Whether the city cannot do without it: it needs a standby.
    #[serde(default)]
    pub critical: bool,
    /// How much of a month it has to be up, in thousandths of a percent: 99500 is 99.5 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_millipercent: Option<u32>,
    /// When it is offered, in the SLA's own words.
    #[serde(default)]
    pub hours: String,
    /// How long it may be down after a failure, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_s: Option<u64>,
    /// The document that sets the SLA.
    #[serde(default)]
    pub sla_document: String,
    /// The server that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<ServerId>,
}

/// A service to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ServiceInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ServiceId>,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// Whether the city cannot do without it.
    #[serde(default)]
    pub critical: bool,
    /// How much of a month it has to be up, in thousandths of a percent, 1 to 100000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_millipercent: Option<u32>,
    /// When it is offered.
    #[serde(default)]
    pub hours: String,
    /// How long it may be down after a failure, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_s: Option<u64>,
    /// The document that sets the SLA.
    #[serde(default)]
    pub sla_document: String,
    /// The server that takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<ServerId>,
}

/// An application of a PD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The service it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// What it is made with.
    #[serde(default)]
    pub technology: String,
    /// The servers it runs on.
    #[serde(default)]
    pub servers: Vec<ServerId>,
}

/// An application to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApplicationInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ApplicationId>,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// The service it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// What it is made with.
    #[serde(default)]
    pub technology: String,
    /// The servers it runs on.
    #[serde(default)]
    pub servers: Vec<ServerId>,
}

/// Whom to call at a PD.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ContactPerson {
    /// Its id.
    pub id: ContactPersonId,
    /// Whose it is.
    pub pd: PdId,
    /// The service it is for; none: for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Tier of the service desk: 1 is asked first.
    pub tier: u8,
    /// The person's name.
    pub name: String,
    /// Telephone number.
    #[serde(default)]
    pub phone: String,
    /// Electronic mail.
    #[serde(default)]
    pub email: String,
    /// Number of a chat of Telegram; empty: none.
    #[serde(default)]
    pub telegram: String,
}

/// A contact person to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ContactPersonInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ContactPersonId>,
    /// Whose it is.
    pub pd: PdId,
    /// The service it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
    /// Tier of the service desk, 1 to 3.
    pub tier: u8,
    /// The person's name.
    pub name: String,
    /// Telephone number.
    #[serde(default)]
    pub phone: String,
    /// Electronic mail.
    #[serde(default)]
    pub email: String,
    /// Number of a chat of Telegram; empty: none.
    #[serde(default)]
    pub telegram: String,
}
