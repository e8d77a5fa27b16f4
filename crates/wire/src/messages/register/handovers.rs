//! Who was handed access to what (O26 of the regulation map).
//!
//! Invariant: no secret stands here, only where it is kept.

use lumbung_model::{ApplicationId, DatasetId, Day, HandoverId, PdId, ServerId};
use serde::{Deserialize, Serialize};

/// That a PD handed over access to a server, an application or a database (Depok 40/2021, pasal 28(2)g): never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Handover {
    /// Its id.
    pub id: HandoverId,
    /// Who handed over.
    pub pd: PdId,
    /// What it is called.
    pub name: String,
    /// The server that can be reached by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Or the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// Or the dataset, as a database is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
    /// The person who handed over.
    pub from_person: String,
    /// The person who took it.
    pub to_person: String,
    /// The day.
    pub handed_on: Day,
    /// Number of the letter.
    #[serde(default)]
    pub letter: String,
    /// Where the secret is kept: a safe, a sealed envelope; never the secret itself.
    #[serde(default)]
    pub secret_kept_at: String,
    /// The day on which access was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_on: Option<Day>,
}

/// A handover of access, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<HandoverId>,
    /// Who handed over.
    pub pd: PdId,
    /// What it is called.
    pub name: String,
    /// The server that can be reached by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Or the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationId>,
    /// Or the dataset, as a database is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
    /// The person who handed over.
    pub from_person: String,
    /// The person who took it.
    pub to_person: String,
    /// The day.
    pub handed_on: Day,
    /// Number of the letter.
    #[serde(default)]
    pub letter: String,
    /// Where the secret is kept: a safe, a sealed envelope; never the secret itself.
    #[serde(default)]
    pub secret_kept_at: String,
    /// The day on which access was given back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub returned_on: Option<Day>,
}
