//! The controller's JSON beside the register: tokens, alarms, findings, how sites and agents are.
//!
//! Nothing here is evidence. Requests refuse unknown fields; answers may grow.

use lumbung_model::vocabulary;
use lumbung_model::{AgentId, DatasetId, PdId, RepositoryId, ServerId, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

use super::control::{HostHealth, JobState};
use super::register::{HeartbeatState, RegisterTable, SiteKind, StepTotals};
use crate::identity::Role;

/// `POST /api/v1/tokens`: name the server (or the site) by id or by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// `agent` or `site`.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::identity::enrolled))]
    pub role: Role,
    /// The server: its id, its name, or `PD/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The site: its id or its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// How long it can be used; 24 hours if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub life_h: Option<u32>,
}

/// `POST /api/v1/import` as JSON. The TOML itself, as `application/toml`, does as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// What errors call it.
    #[serde(default)]
    pub file: String,
    /// The register as TOML; empty if `csv` is given.
    #[serde(default)]
    pub toml: String,
    /// Rows of one table as CSV, with a header; empty if `toml` is given.
    #[serde(default)]
    pub csv: String,
    /// The table that the rows are of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<RegisterTable>,
    /// Only look what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// `GET /api/v1/ca`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CaInfo {
    /// `sha256:<hex>` of the CA's certificate.
    pub fingerprint: String,
    /// The CAs to trust.
    pub ca_pems: Vec<String>,
}

vocabulary! {
    /// What a controller is.
    ControllerState {
        /// It acts.
        Acting = "acting",
        /// It keeps a copy, and waits.
        Standby = "standby",
        /// Another one acts in its place: it refuses everything but this.
        Superseded = "superseded",
        /// A restored copy that no statement names: two officers have to promote it.
        Unnamed = "unnamed",
    }
}

/// `GET /api/v1/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ControllerHealth {
    /// Version of the controller.
    pub version: String,
    /// Its clock.
    pub now: Timestamp,
    /// When it looked after alerts last: every few seconds, if it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alerts: Option<Timestamp>,
    /// What it is; absent of a controller from before there were standbys, which acts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<ControllerState>,
    /// The newest epoch that it knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Of a standby: from when its copy of the database is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Timestamp>,
}

/// An element of `GET /api/v1/alarms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlarmEntry {
    /// Counts alarms.
    pub sequence: u64,
    /// What is wrong: `hidden`, `removal`, `receipt-gap`, `inventory`, `manifest`, `roster`, `refused`, `unseen`, `vault` (the
    /// vault's own word); or to be known: `order`.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Whose data it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pd: Option<PdId>,
    /// The site it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// For people.
    pub detail: String,
    /// Since when.
    pub raised: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// Until when; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared: Option<Timestamp>,
}

/// How a site is, as seen by the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteStatus {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SiteKind,
    /// Whether its vault has enrolled.
    pub enrolled: bool,
    /// When its vault was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub polled: Option<Timestamp>,
    /// When it last answered everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succeeded: Option<Timestamp>,
    /// What went wrong last, if the last try was not good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Version of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// By how many seconds its clock is ahead, where that is more than two hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_warning_s: Option<i64>,
}

/// How far two sites are apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteDistance {
    /// One site.
    pub from: SiteId,
    /// The other.
    pub to: SiteId,
    /// Kilometres along the great circle.
    pub km: f64,
    /// What the city profile asks for.
    pub min_km: f64,
    /// Whether that is met.
    pub met: bool,
    /// The legal instrument that asks for it, or that it is a proposal (*usulan*).
    pub note: String,
}

/// An element of `GET /api/v1/agents`: how an agent is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentStatus {
    /// The agent.
    pub agent: AgentId,
    /// Its server.
    pub server: ServerId,
    /// Whether it was heard of lately.
    pub heartbeat: HeartbeatState,
    /// When it was heard of last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// By how many seconds its clock is ahead, where that is more than two hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_warning_s: Option<i64>,
    /// Version of its program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Health of the host, as the agent told it last (*menurut agen*).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HostHealth>,
    /// Its jobs, as it told them last (*menurut agen*).
    #[serde(default)]
    pub jobs: Vec<JobState>,
}

/// A dataset id that agents or snapshots name and the register does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnregisteredDataset {
    /// The id.
    pub dataset: DatasetId,
    /// The repository its snapshots lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryId>,
    /// The agent that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The name of the agent's job.
    #[serde(default)]
    pub name: String,
    /// First named.
    pub first: Timestamp,
    /// Last named.
    pub last: Timestamp,
}

/// A repository at a site that belongs to no PD of the register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnregisteredRepository {
    /// The repository.
    pub repository: RepositoryId,
    /// A site that has it.
    pub site: SiteId,
}

/// How many agents are how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AgentCounts {
    /// Heard of within their interval.
    pub up: u64,
    /// Missed a few.
    pub late: u64,
    /// Silent for long.
    pub down: u64,
    /// Never heard of.
    pub never: u64,
}

/// `GET /api/v1/status`: the morning's overview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overview {
    /// When it was made.
    pub at: Timestamp,
    /// Version of the controller.
    pub version: String,
    /// The sites.
    pub sites: Vec<SiteStatus>,
    /// How far they are apart, where coordinates are known.
    pub distances: Vec<SiteDistance>,
    /// How many agents are how.
    pub agents: AgentCounts,
    /// PD of the register.
    pub pds: u64,
    /// PD of which nothing was ever backed up.
    pub belum_mencadangkan: u64,
    /// Datasets of the register.
    pub registered: StepTotals,
    /// Of them, *tercadang*.
    pub backed_up: StepTotals,
    /// Of them, *di DRC*.
    pub at_drc: StepTotals,
    /// Of them, *terverifikasi*.
    pub verified: StepTotals,
    /// Of them, *terbukti pulih*.
    pub proven: StepTotals,
    /// Alarms that last.
    pub alarms: u64,
    /// What is owed by date and overdue.
    #[serde(default)]
    pub deposits_overdue: u64,
    /// What is owed by date within 30 days.
    #[serde(default)]
    pub deposits_due_soon: u64,
    /// Datasets that the register does not know.
    pub unregistered_datasets: Vec<UnregisteredDataset>,
    /// Repositories that the register does not know.
    pub unregistered_repositories: Vec<UnregisteredRepository>,
}

/// `POST /api/v1/proofs`: the proof was verified and is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProofAccepted {
    /// The proof's id, hex.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{64}$"))]
    pub proof: String,
    /// The dataset that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
}
