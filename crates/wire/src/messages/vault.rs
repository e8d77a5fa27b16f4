//! The vault's JSON: what it is, what it holds, what is missing.
//!
//! Objects themselves travel as bytes and are checked against their ids; nothing here is evidence.

use lumbung_model::{
    AgentId, DatasetId, DomainId, HoldId, ManifestId, PublicKey, ReceiptId, RepositoryId, SiteId,
    Timestamp,
};
use lumbung_pack::{PackUse, Statistics};
use serde::{Deserialize, Serialize};

/// Most packs in one [`HaveRequest`]: a client sends several.
pub const HAVE_MAX_PACKS: usize = 1024;
/// Most manifests on one page of the list.
pub const MANIFESTS_PAGE_MAX: usize = 1000;
/// Longest JSON body of a request to the vault.
pub const VAULT_JSON_MAX_BYTES: usize = 8 << 20;

/// `GET /v1/site`: who answers, and as whom it sees the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteInfo {
    /// The site.
    pub site: SiteId,
    /// The key that signs its receipts, inventories and scrub reports.
    pub receipt_key: PublicKey,
    /// Version of the vault program.
    pub version: String,
    /// The vault's clock: a caller that is two hours off warns.
    pub now: Timestamp,
    /// As whom the vault sees the caller: `agent`, `site`, `controller`, `operator`, `root-key` or `anonymous`.
    pub role_seen: String,
}

/// `GET /v1/capacity`, for sites, the controller and operators: how full the site is, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultCapacity {
    /// Bytes that the repositories keep, as their quotas count them.
    pub used_bytes: u64,
    /// Bytes that they may keep before writes are refused; absent where the vault cannot know (S3 without `capacity`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Bytes of the file system that are free for them, what is kept free left out; absent over S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_bytes: Option<u64>,
    /// What the quotas of its repositories add up to; absent if one of them has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
}

/// `GET /v1/repositories/{r}/{folder}` and `GET /v1/repositories`: ids in hex, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct IdList {
    /// The ids.
    pub ids: Vec<String>,
}

/// One manifest in the vault's list: read from the manifest itself, so that a page lists many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSummary {
    /// The manifest.
    pub manifest: ManifestId,
    /// The agent that signed it.
    pub agent: AgentId,
    /// The dataset.
    pub dataset: DatasetId,
    /// The dedup domain.
    pub domain: DomainId,
    /// Epoch of the chain.
    pub epoch: u32,
    /// Sequence number in the epoch.
    pub sequence: u64,
    /// The manifest before it; zero if none.
    pub previous: ManifestId,
    /// Whether it only protects what has been sent so far.
    pub partial: bool,
    /// When the run started, by the agent's clock.
    pub started: Timestamp,
    /// When the run finished, by the agent's clock.
    pub finished: Timestamp,
    /// The agent's figures.
    pub statistics: Statistics,
    /// The roster in force when it was made.
    pub roster_number: u32,
    /// Whether the newest roster here lists its agent.
    pub authorized: bool,
    /// Counts arrivals in this repository at this site, from 1: the `after` of the next page.
    pub arrival: u64,
    /// This site's receipt for it.
    pub receipt: ReceiptId,
}

/// `POST /v1/repositories/{r}/have`: are these frames still there?
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaveRequest {
    /// The frames asked for.
    pub packs: Vec<PackUse>,
}

/// The answer to [`HaveRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HaveAnswer {
    /// Which of the frames asked for are not there.
    pub absent: Vec<PackUse>,
}

/// `POST /v1/repositories/{r}/hold`: keep this, whatever retention says. Such a hold lapses after 30 days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// `snapshot:ID`, `dataset:ID` or `repository`.
    pub subject: String,
    /// Why, 1 to 255 bytes.
    pub reason: String,
}

/// The answer to [`HoldRequest`]: one of the same subject that stands already, or a new one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldAnswer {
    /// The hold.
    pub hold: HoldId,
}

/// One alarm of [`VaultAlarms`]: a claim of the vault, no evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultAlarm {
    /// When it was seen first, by the vault's clock.
    pub at: Timestamp,
    /// Where, if it is about one repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryId>,
    /// `fork`, `gap`, `roster-fork`, `lost`, `damaged`, `source` …
    pub kind: String,
    /// For people.
    pub detail: String,
}

/// `GET /v1/alarms`: the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct VaultAlarms {
    /// The alarms.
    pub alarms: Vec<VaultAlarm>,
}
