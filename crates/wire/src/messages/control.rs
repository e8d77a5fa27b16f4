//! The controller's JSON for agents and sites: enrolment, renewal, heartbeats, reports.
//!
//! What an agent says of itself is a claim: the controller shows it as *menurut agen*. A report's id
//! makes its delivery idempotent; it is acknowledged once it is durable.

use std::fmt;
use std::str::FromStr;

use lumbung_model::anomaly::RunFigures;
use lumbung_model::{
    AgentId, DatasetId, DomainId, IdError, InstanceId, ManifestId, PublicKey, RepositoryId,
    ServerId, SiteId, Timestamp, TlsPin,
};
use lumbung_pack::Statistics;
use serde::{Deserialize, Serialize};

use super::policy::{PolicyOffer, PolicyTold};
use super::register::{Dataset, SiteKind};
use crate::identity::Role;

/// `POST /api/v1/enroll`, without a certificate: a one-time token and a certificate request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EnrollRequest {
    /// The one-time token.
    pub token: String,
    /// What the caller wants to be; the token must be for the same role.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::identity::enrolled))]
    pub role: Role,
    /// PKCS#10, PEM. Only its key is used: what the certificate says follows from the token.
    pub csr_pem: String,
    /// The repository the agent was enrolled for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryId>,
    /// The agent's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// The agent's Ed25519 key that signs manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_key: Option<PublicKey>,
    /// The agent's dedup domain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainId>,
    /// The site's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// The site's receipt key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt_key: Option<PublicKey>,
    /// Where the site answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The pin of the site's TLS key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_pin: Option<TlsPin>,
}

/// The answer to [`EnrollRequest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnrollResponse {
    /// The certificate for the caller's key, PEM.
    pub certificate_pem: String,
    /// The CAs to trust: one, or two during a change.
    pub ca_pems: Vec<String>,
    /// The server the agent was entered for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// The site that was entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// The sites that keep data.
    #[serde(default)]
    pub sites: Vec<SiteEntry>,
    /// The datasets of the agent's server.
    #[serde(default)]
    pub datasets: Vec<Dataset>,
    /// The key that signs the policies of agents; an agent keeps it and believes no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_key: Option<PublicKey>,
}

/// A site as its users need it: where it is, and by which keys to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteEntry {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: SiteKind,
    /// Where it answers, `https://…`.
    pub url: String,
    /// The pin of its TLS key.
    pub tls_pin: TlsPin,
    /// The key of its receipts.
    pub receipt_key: PublicKey,
}

/// `POST /api/v1/renew`, with the certificate that is to be renewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// PKCS#10, PEM.
    pub csr_pem: String,
}

/// The answer to [`RenewRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenewResponse {
    /// The new certificate, PEM.
    pub certificate_pem: String,
    /// The CAs to trust from now on.
    pub ca_pems: Vec<String>,
}

/// `POST /api/v1/heartbeat`, from an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HeartbeatRequest {
    /// The agent's clock.
    pub now: Timestamp,
    /// Version of the agent program.
    pub version: String,
    /// Health of the host.
    pub health: HostHealth,
    /// The agent's jobs.
    #[serde(default)]
    pub jobs: Vec<JobState>,
    /// What it says of policies; told only to a controller that has offered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyTold>,
}

/// The answer to [`HeartbeatRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HeartbeatResponse {
    /// The controller's clock.
    pub now: Timestamp,
    /// The sites that keep data, as the register has them now.
    #[serde(default)]
    pub sites: Vec<SiteEntry>,
    /// Which run of the controller answers. With another one everything that is kept is told again: it may work on an older
    /// copy of its database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The newest policy for this agent, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyOffer>,
    /// The epoch in which this controller acts (`GET /api/v1/succession`); none where no officers were ever named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
}

/// How the host is, as the agent sees it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HostHealth {
    /// Host name.
    pub hostname: String,
    /// Operating system and version.
    pub os: String,
    /// Kernel version.
    pub kernel: String,
    /// Seconds since the host started.
    pub uptime_s: u64,
    /// Processors.
    pub cpus: u32,
    /// Load averages over 1, 5 and 15 minutes.
    #[cfg_attr(feature = "openapi", schema(min_items = 3, max_items = 3))]
    pub load: [f64; 3],
    /// Memory, bytes.
    pub memory_total_bytes: u64,
    /// Memory that programs can still have, bytes.
    pub memory_available_bytes: u64,
    /// Swap in use, bytes.
    pub swap_used_bytes: u64,
    /// File systems.
    pub disks: Vec<DiskHealth>,
}

/// One file system of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DiskHealth {
    /// Where it is mounted.
    pub mount: String,
    /// Its size, bytes.
    pub total_bytes: u64,
    /// What is still free, bytes.
    pub available_bytes: u64,
}

/// What a job of an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobPhase {
    /// Waiting for its next run.
    Waiting,
    /// Running.
    Running,
    /// The last run failed and the next try is due.
    Retrying,
    /// Switched off in the agent's own file.
    Disabled,
}

/// One job of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct JobState {
    /// What it backs up.
    pub dataset: DatasetId,
    /// Its name in the agent's own file.
    pub name: String,
    /// What it is doing.
    pub state: JobPhase,
    /// When it last succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ok: Option<Timestamp>,
    /// When it runs next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Timestamp>,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A report's id: 16 random bytes, so that sending it twice counts once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReportId(ServerId);

impl ReportId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(ServerId::random())
    }
    /// Takes the raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(ServerId::from_bytes(bytes))
    }
    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for ReportId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        lumbung_model::openapi::hex("A report's id: sending it twice counts once.", 16).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for ReportId {
    fn name() -> std::borrow::Cow<'static, str> {
        "ReportId".into()
    }
}

impl fmt::Display for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ReportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportId({})", self.0)
    }
}

impl FromStr for ReportId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|error| match error {
            IdError::Length { expected, found, .. } => {
                IdError::Length { what: "a report id", expected, found }
            }
            IdError::Digit { found, .. } => IdError::Digit { what: "a report id", found },
        })
    }
}

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReportKind {
    /// A backup run.
    Backup,
    /// A restore.
    Restore,
    /// A verification.
    Verify,
    /// Something to look at.
    Alarm,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All well.
    Ok,
    /// Finished; some entries are flagged.
    Warnings,
    /// It failed.
    Failed,
    /// It was interrupted and goes on later.
    Interrupted,
}

/// What kept a run from ending well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunCause {
    /// What is to be backed up cannot be read.
    SourceUnreadable,
    /// The site has no room left.
    SiteFull,
    /// No site answers.
    SiteUnreachable,
    /// The site does not take it.
    SiteRefused,
    /// The agent's own files or settings.
    Agent,
}

/// One element of `POST /api/v1/reports`: the body is an array of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// What it is about.
    pub kind: ReportKind,
    /// When, by the agent's clock.
    pub at: Timestamp,
    /// The dataset.
    pub dataset: DatasetId,
    /// The snapshot, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<ManifestId>,
    /// How it ended.
    pub outcome: Outcome,
    /// The agent's figures.
    #[serde(default)]
    pub statistics: Statistics,
    /// For people; empty if there is nothing to say.
    #[serde(default)]
    pub message: String,
    /// What kept it from ending well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<RunCause>,
    /// What changed since the last finished run: of a backup, if there is something to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<RunFigures>,
}

/// The answer to reports: what is now durable at the controller.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportsAck {
    /// Reports that need not be sent again.
    pub acknowledged: Vec<ReportId>,
}
