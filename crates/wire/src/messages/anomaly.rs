//! Anomalies as the controller tells them: runs that look as if files were being encrypted or destroyed.
//!
//! Figures and names of folders are what the agent says; the snapshots that are held are what sites signed for.

use lumbung_model::anomaly::{FolderFigures, Reason};
use lumbung_model::vocabulary;
use lumbung_model::{AgentId, AnomalyId, DatasetId, HoldId, ManifestId, PdId, SiteId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What became of an anomaly.
    AnomalyState {
        /// Nobody has said what it is.
        Open = "open",
        /// A person said that it was harmless: its runs are history.
        Dismissed = "dismissed",
        /// A person said that it is an attack: snapshots stay on hold.
        Confirmed = "confirmed",
        /// It was an attack, and is dealt with.
        Closed = "closed",
    }
}

/// A snapshot from before an anomaly that is to be held at one site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnomalyHold {
    /// The site.
    pub site: SiteId,
    /// Its name.
    pub site_name: String,
    /// The snapshot.
    pub manifest: ManifestId,
    /// When that was made, by its agent's clock.
    pub finished: Timestamp,
    /// The hold at the site; none: it is not placed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// When the site said last that the hold stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<Timestamp>,
    /// Why the last try came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Suspicious runs of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Anomaly {
    /// Its id.
    pub id: AnomalyId,
    /// The dataset.
    pub dataset: DatasetId,
    /// The dataset's name.
    pub dataset_name: String,
    /// Whose it is.
    pub pd: PdId,
    /// The agent that reported it.
    pub agent: AgentId,
    /// What became of it.
    pub state: AnomalyState,
    /// The first run that belongs to it; snapshots from before are held.
    pub since: Timestamp,
    /// The first suspicious run.
    pub first: Timestamp,
    /// The last one so far.
    pub last: Timestamp,
    /// How many runs were suspicious.
    pub runs: u64,
    /// How far beyond its limit the worst run was, percent: 100 is at the limit.
    pub score_pct: u32,
    /// Why the worst run is suspicious.
    pub reasons: Vec<Reason>,
    /// The same in words.
    pub words: Vec<String>,
    /// The extension that most renamed files took; empty if there is none to tell.
    pub new_extension: String,
    /// The folders in which most was changed or taken away, according to the agent.
    pub folders: Vec<FolderFigures>,
    /// What is held, or to be held, at which site.
    pub holds: Vec<AnomalyHold>,
    /// When somebody said what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<Timestamp>,
    /// Who; empty while nobody has.
    pub by: String,
    /// With which reason.
    pub note: String,
}
