//! Consents as the controller tells them: what PDs opened, to whom, by which letter, until when.

use lumbung_model::vocabulary;
use lumbung_model::{ConsentId, DatasetId, PdId, PublicKey, RepositoryId, Timestamp};
use serde::{Deserialize, Serialize};

vocabulary! {
    /// What a consent opens.
    ConsentKind {
        /// Some snapshots.
        Grant = "grant",
        /// A dataset's latest snapshot and those of its next runs.
        Standing = "standing",
    }
}

vocabulary! {
    /// How a consent stands now.
    ConsentState {
        /// It holds.
        Open = "open",
        /// It begins later.
        Later = "later",
        /// It is over.
        Over = "over",
        /// The custodian took it back.
        Revoked = "revoked",
        /// No root key of the newest roster signed it: it counts nowhere.
        NotOwners = "not-owners",
    }
}

/// What a PD's custodian opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Consent {
    /// Its number.
    pub consent: ConsentId,
    /// What it opens.
    pub kind: ConsentKind,
    /// Whose data it is.
    pub pd: PdId,
    /// In which repository.
    pub repository: RepositoryId,
    /// Who reads, in their own words.
    pub name: String,
    /// The key that reads.
    pub key: PublicKey,
    /// Number of the letter that decides it.
    pub letter: String,
    /// What for.
    pub purpose: String,
    /// The dataset, of a standing approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<DatasetId>,
    /// How many snapshots it names; the next ones of a standing approval are not counted.
    pub snapshots: u64,
    /// When it was made, by the custodian's clock.
    pub issued: Timestamp,
    /// Sites let it be read from then on.
    pub from: Timestamp,
    /// And until then.
    pub until: Timestamp,
    /// The root key that signed it.
    pub signer: PublicKey,
    /// How it stands.
    pub state: ConsentState,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Timestamp>,
    /// Why it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When this controller saw it first.
    pub seen: Timestamp,
}
