//! What the register asks one server's agent to back up, and what is said about it.
//!
//! A policy names datasets, paths, patterns and times. It has no place for a command, a hook, a restore, a site or a
//! key: whoever signs policies can ask for more backups, and for nothing else. Its text is signed as it stands
//! ([`crate::policy`]), so that it never has to be written the same way twice.

use lumbung_model::vocabulary;
use lumbung_model::{
    AgentId, ApprovalId, DatasetId, PdId, PolicyHash, PublicKey, ServerId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::register::DatasetKind;

vocabulary! {
    /// Why a dataset of the register is not among a policy's jobs.
    PolicyGap {
        /// Agents cannot back up this kind yet.
        Kind = "kind",
        /// The register names no path of it.
        NoPaths = "no_paths",
        /// A path, pattern or schedule of it cannot be used: paths begin with '/' and hold no '..'.
        Entry = "entry",
        /// Its snapshots lie in another repository than this agent's.
        Repository = "repository",
    }
}

/// One dataset, and when it is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyJob {
    /// The dataset.
    pub dataset: DatasetId,
    /// What people call it.
    pub label: String,
    /// What it is made of; an agent leaves alone what it cannot back up.
    pub kind: DatasetKind,
    /// What is backed up: absolute paths.
    pub paths: Vec<String>,
    /// What is left out of them: patterns as in the agent's own file.
    pub exclude: Vec<String>,
    /// When, as five fields of crontab(5).
    pub schedule: String,
    /// The zone of the schedule, as IANA names it.
    pub timezone: String,
    /// Longest time between two backups, seconds.
    pub rpo_s: u64,
}

/// A dataset that the register has for the server and no agent is asked to back up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicySkip {
    /// The dataset.
    pub dataset: DatasetId,
    /// What people call it.
    pub label: String,
    /// Why.
    pub gap: PolicyGap,
}

/// How fast an agent may send: a cap may slow it, and never stops it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyRates {
    /// The cap outside the windows, as in `10 Mbit/s`; empty: none.
    pub rate: String,
    /// Caps by time of day, as in `07:30-16:00 mon-fri 5 Mbit/s`: the first that fits counts.
    pub windows: Vec<String>,
    /// The zone of the windows.
    pub timezone: String,
}

/// What a policy asks for, without its number.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyContent {
    /// What is backed up.
    pub jobs: Vec<PolicyJob>,
    /// What is not, and why.
    pub skipped: Vec<PolicySkip>,
    /// How fast; as the agent's own file says if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<PolicyRates>,
}

/// A policy: one version of what one server's agent is asked to back up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The server.
    pub server: ServerId,
    /// Its agent: no other one takes it.
    pub agent: AgentId,
    /// Counts the policies of a server; a later one has a higher number.
    pub version: u64,
    /// When it was published, by the controller's clock.
    pub issued: Timestamp,
    /// The one that was published before; zeros before the first.
    pub previous: PolicyHash,
    /// What it asks for.
    pub content: PolicyContent,
}

/// A policy as it is signed, kept and delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedPolicy {
    /// The policy as JSON text.
    pub text: String,
    /// The key that signed it.
    pub signer: PublicKey,
    /// Ed25519 over a fixed text and `text`, hex.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{128}$"))]
    pub signature: String,
}

/// The PD's word that its server may take a policy that narrows what is backed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyConfirmation {
    /// The policy.
    pub policy: PolicyHash,
    /// The agent that may take it.
    pub agent: AgentId,
    /// A root key of the PD's newest roster.
    pub key: PublicKey,
    /// Ed25519 by that key over a fixed text, the policy's hash and the agent's id, hex.
    #[cfg_attr(feature = "openapi", schema(pattern = "^[0-9a-f]{128}$"))]
    pub signature: String,
}

/// Which policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyMark {
    /// Its number.
    pub version: u64,
    /// Its hash.
    pub hash: PolicyHash,
}

/// In the answer to a heartbeat: the newest policy there is for this agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyOffer {
    /// Its number.
    pub version: u64,
    /// Its hash.
    pub hash: PolicyHash,
    /// Whether the PD's custodian has confirmed it.
    #[serde(default)]
    pub confirmed: bool,
}

/// In a heartbeat: what the agent says of policies.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyTold {
    /// Whether it follows policies at all (`[policy] follow` of its own file).
    pub follows: bool,
    /// The one it works by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<PolicyMark>,
    /// One that narrows what is backed up, and waits to be confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PolicyMark>,
    /// What it does not follow, and why; empty if there is nothing to say.
    #[serde(default)]
    pub refused: String,
}

/// The answer to `GET /api/v1/policy`, to an agent: its newest policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyDelivery {
    /// The policy.
    pub policy: SignedPolicy,
    /// The custodian's word, if there is one for this policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<PolicyConfirmation>,
}

/// How one policy asks for less than another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "what", rename_all = "snake_case", deny_unknown_fields)]
pub enum Narrowing {
    /// A dataset is no longer backed up.
    Dataset {
        /// The dataset.
        dataset: DatasetId,
        /// What people call it.
        label: String,
    },
    /// A path is no longer backed up.
    Path {
        /// The dataset.
        dataset: DatasetId,
        /// What people call it.
        label: String,
        /// The path.
        path: String,
    },
    /// More is left out.
    Exclude {
        /// The dataset.
        dataset: DatasetId,
        /// What people call it.
        label: String,
        /// The pattern that is new.
        pattern: String,
    },
    /// It runs less often, or leaves longer gaps.
    Schedule {
        /// The dataset.
        dataset: DatasetId,
        /// What people call it.
        label: String,
        /// The schedule before.
        before: String,
        /// The schedule after.
        after: String,
    },
    /// More time may pass between two backups.
    Rpo {
        /// The dataset.
        dataset: DatasetId,
        /// What people call it.
        label: String,
        /// Before, seconds.
        before_s: u64,
        /// After, seconds.
        after_s: u64,
    },
    /// It may send so slowly that backups may never be done.
    Rate {
        /// The lowest cap before.
        before: String,
        /// The lowest cap after.
        after: String,
    },
}

impl Narrowing {
    /// The dataset that it is about; none: all of them.
    #[must_use]
    pub const fn dataset(&self) -> Option<DatasetId> {
        match self {
            Self::Dataset { dataset, .. }
            | Self::Path { dataset, .. }
            | Self::Exclude { dataset, .. }
            | Self::Schedule { dataset, .. }
            | Self::Rpo { dataset, .. } => Some(*dataset),
            Self::Rate { .. } => None,
        }
    }
}

impl std::fmt::Display for Narrowing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dataset { label, .. } => write!(f, "{label}: no longer backed up"),
            Self::Path { label, path, .. } => write!(f, "{label}: without {path}"),
            Self::Exclude { label, pattern, .. } => write!(f, "{label}: leaves out {pattern}"),
            Self::Schedule { label, before, after, .. } => {
                write!(f, "{label}: less often, {after} instead of {before}")
            }
            Self::Rpo { label, before_s, after_s, .. } => {
                write!(f, "{label}: RPO {after_s} s instead of {before_s} s")
            }
            Self::Rate { before, after } => {
                write!(f, "everything: at most {after} at times, instead of {before}")
            }
        }
    }
}

/// One line of `GET /api/v1/policies`: a server that has an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyEntry {
    /// The server.
    pub server: ServerId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub pd: PdId,
    /// Its agent.
    pub agent: AgentId,
    /// The newest policy; none while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PolicyMark>,
    /// When that was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// Datasets that it has backed up.
    pub jobs: u64,
    /// Datasets of the server that it cannot have backed up.
    pub skipped: u64,
    /// Whether the PD's custodian has confirmed it.
    pub confirmed: bool,
    /// The request by which a narrower one waits for a second person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<ApprovalId>,
    /// *Menurut agen*: what the agent says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<PolicyTold>,
}

/// A narrower content that is not published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyWaiting {
    /// The request about it.
    pub approval: ApprovalId,
    /// Whether that was refused: then it stays unpublished.
    pub refused: bool,
    /// How it is narrower.
    pub narrowings: Vec<Narrowing>,
    /// What would be asked for.
    pub content: PolicyContent,
}

/// `GET /api/v1/policies/{server}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PolicyDetail {
    /// As in the list.
    pub entry: PolicyEntry,
    /// The newest policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<SignedPolicy>,
    /// The one by which the agent says it works, if it is another one that was published here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<SignedPolicy>,
    /// The custodian's word about the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<PolicyConfirmation>,
    /// What is not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<PolicyWaiting>,
    /// Every policy that was published for the server, newest first.
    pub history: Vec<PolicyMark>,
}
