//! The log of a server's care (O16 of the regulation map): what was done to it, and when it is due again.
//!
//! Invariant: an entry tells of what was done. What is due follows from the newest entry of a kind, and is entered nowhere else.

use lumbung_model::vocabulary;
use lumbung_model::{CareId, Day, PdId, ServerId};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What was done to a server.
    CareKind {
        /// Updates of the system or of programs.
        Patching = "patching",
        /// Settings were changed.
        Configuration = "configuration",
        /// Processors, memory or disks were given or taken.
        Resize = "resize",
        /// Somebody looked at its backups, or restored some of them.
        BackupCheck = "backup_check",
        /// Something was wrong, and was seen to.
        Incident = "incident",
        /// Anything else.
        Other = "other",
    }
}

/// One entry of the log of a server's care (Makassar 2/2023, pasal 8 ayat (5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Care {
    /// Its id.
    pub id: CareId,
    /// Whose server it is.
    pub pd: PdId,
    /// The server.
    pub server: ServerId,
    /// What was done, in a few words. Of one server, kind and day only one entry has them.
    pub name: String,
    /// What that is.
    pub kind: CareKind,
    /// The day on which it was done.
    pub done_on: Day,
    /// By whom.
    pub by: String,
    /// More about it, and what was found.
    #[serde(default)]
    pub note: String,
    /// The day by which this kind of care is due again; none: nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_on: Option<Day>,
}

/// An entry of the log of a server's care, to be entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CareInput {
    /// Its id, if it has one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<CareId>,
    /// Whose server it is.
    pub pd: PdId,
    /// The server.
    pub server: ServerId,
    /// What was done, in a few words. Of one server, kind and day only one entry has them.
    pub name: String,
    /// What that is.
    pub kind: CareKind,
    /// The day on which it was done.
    pub done_on: Day,
    /// By whom.
    pub by: String,
    /// More about it, and what was found.
    #[serde(default)]
    pub note: String,
    /// The day by which this kind of care is due again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_on: Option<Day>,
}
