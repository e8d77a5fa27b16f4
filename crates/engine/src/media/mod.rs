//! Portable media: repositories copied to a removable disk with a signed list, verified without keys, and brought in
//! again (`docs/format.md` §15).
//!
//! What always holds:
//! - A medium holds what a depot holds, byte for byte: it is restored from directly, and nothing on it is opened.
//! - A manifest is written after everything that it needs; the list comes last, and names only what is there. So a
//!   disk that was pulled out in the middle is an older state of itself, and the same command goes on.
//! - Nothing that lies on a medium is believed: ids, frames, signatures and the commit check decide, as for a vault.
//! - Packs, which are all of the bulk, may be left out where an earlier list names them; everything small that a
//!   snapshot needs is on the same medium as its manifest.

mod copies;
mod export;
mod import;
mod plan;
mod verify;

use std::path::PathBuf;

use lumbung_model::{ByteSize, ManifestId, MediumListId, RepositoryId, with_causes};
use lumbung_pack::{FormatError, RosterError};
use lumbung_store::StoreError;

use crate::{DepotError, SnapshotError};

pub use copies::Copies;
pub use export::{ExportOutcome, ExportRequest, MediumFacts, Remaining, export};
pub use import::{ImportOutcome, import};
pub use plan::{ExportPlan, PlanRequest, plan};
pub use verify::{CheckedSnapshot, MediumCheck, SnapshotState, verify_medium};

/// Why an export, a verification or an import of a medium did not finish.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// A depot.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The medium.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The snapshots of the source.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The rosters of the two sides are not of one chain.
    #[error(
        "the rosters of the medium and of the depot do not fit together: one of the two is not what it should be"
    )]
    Roster(#[from] RosterError),
    /// An object does not decode.
    #[error("{what} is damaged or forged")]
    Object {
        /// Which.
        what: String,
        /// What is wrong.
        #[source]
        source: FormatError,
    },
    /// A list that was given to go on from cannot be used.
    #[error("list {list} cannot be gone on from: {reason}")]
    Base {
        /// The list.
        list: MediumListId,
        /// Why not.
        reason: String,
    },
    /// The medium is too small, and nothing was written.
    #[error(
        "{} are needed on {}, {} are free; nothing was written", ByteSize::bytes(*needed), path.display(), ByteSize::bytes(*free)
    )]
    NoSpace {
        /// Bytes that the export takes.
        needed: u64,
        /// Bytes free.
        free: u64,
        /// The medium.
        path: PathBuf,
    },
    /// Nobody vouches for what is on the medium.
    #[error("{reason}")]
    Unsigned {
        /// Whose data it is.
        repository: RepositoryId,
        /// What is wrong with the list.
        reason: String,
    },
    /// Stopped on request.
    #[error("stopped on request")]
    Cancelled,
    /// A thread was lost.
    #[error("a part of the work stopped unexpectedly: run it again, and report this if it repeats")]
    Thread,
}

/// A snapshot that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Which; none where it is about no snapshot.
    pub snapshot: Option<ManifestId>,
    /// Why.
    pub reason: String,
}

impl LeftOut {
    fn snapshot(snapshot: &ManifestId, error: &dyn std::error::Error) -> Self {
        Self { snapshot: Some(*snapshot), reason: with_causes(error) }
    }
}

/// Whether an error is about one object, so that the rest can go on without it.
fn is_about_one(error: &MediaError) -> bool {
    match error {
        MediaError::Depot(error) => matches!(
            error,
            DepotError::NotFound { .. }
                | DepotError::Damaged { .. }
                | DepotError::Refused { .. }
                | DepotError::Incomplete { .. }
        ),
        MediaError::Snapshot(error) => match error {
            SnapshotError::Depot(error) => !error.is_transient(),
            SnapshotError::Object { .. } | SnapshotError::OtherRepository { .. } => true,
            _ => false,
        },
        MediaError::Store(error) => {
            matches!(error, StoreError::NotFound { .. } | StoreError::Damaged { .. })
        }
        _ => false,
    }
}
