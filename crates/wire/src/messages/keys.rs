//! The key inventory: which PD has a key that was tested, who holds shares of it, when that was. Never a key.

use lumbung_model::vocabulary;
use lumbung_model::{PdId, PublicKey, RepositoryId, ShareSetId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// How a key stands.
    KeyState {
        /// It was rebuilt from its shares lately.
        Tested = "tested",
        /// No rehearsal was handed in, and none is due yet.
        Untested = "untested",
        /// A rehearsal is overdue.
        Overdue = "overdue",
    }
}

/// Who keeps a share, as far as rehearsals have shown it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ShareHolder {
    /// The share's number.
    pub number: u8,
    /// Name and office, as they stand on the share.
    pub holder: String,
    /// The last rehearsal at which it was there.
    pub last: Timestamp,
}

/// A root key of a PD's repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyEntry {
    /// Whose it is.
    pub pd: PdId,
    /// Of which repository.
    pub repository: RepositoryId,
    /// The public root key.
    pub key: PublicKey,
    /// Its label in the roster.
    pub label: String,
    /// Whether it is the spare on paper.
    pub spare: bool,
    /// How it stands.
    pub state: KeyState,
    /// The last rehearsal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Timestamp>,
    /// When the next one is due.
    pub due: Timestamp,
    /// The legal instrument that sets the interval; empty: it is a proposal (*usulan*).
    pub instrument: String,
    /// The split that was rehearsed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<ShareSetId>,
    /// How many of its shares rebuild the key; 0 where none was rehearsed.
    pub threshold: u8,
    /// How many there are.
    pub shares: u8,
    /// Who keeps them, as far as they were seen.
    pub holders: Vec<ShareHolder>,
    /// Whether the recovery key that was rebuilt is still a recipient.
    pub opens: bool,
}

/// A record of a rehearsal that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyReportAccepted {
    /// Its id: the hash of its bytes.
    pub record: String,
    /// Whose key it is.
    pub pd: PdId,
    /// The public root key.
    pub key: PublicKey,
    /// When it was rehearsed.
    pub at: Timestamp,
}
