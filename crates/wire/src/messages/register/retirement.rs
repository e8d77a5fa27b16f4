//! What is no more, and stays in the register for questions about the past.

use lumbung_model::{PdId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What can be retired.
    RetiredKind {
        /// A dataset.
        Dataset = "dataset",
        /// A server.
        Server = "server",
    }
}

/// That a row of the register is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Retirement {
    /// What it is.
    pub kind: RetiredKind,
    /// The row's id.
    pub id: String,
    /// Whose it is.
    pub pd: PdId,
    /// Its name.
    pub name: String,
    /// Since when it is no more.
    pub from: Timestamp,
    /// When that was entered: it counts for nothing from then on.
    pub entered: Timestamp,
    /// Who entered it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What is to be retired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetirementInput {
    /// What it is.
    pub kind: RetiredKind,
    /// The row's id.
    pub id: String,
    /// Since when it is no more: not in the future.
    pub from: Timestamp,
    /// Why.
    pub reason: String,
    /// Of a server: its datasets as well.
    #[serde(default)]
    pub with_datasets: bool,
}
