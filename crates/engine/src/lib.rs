//! Backup, restore and verification over a [`Depot`]: a directory, a vault, or a test's memory.
//!
//! What always holds:
//! - A snapshot exists only once its depot has taken the manifest; everything before that is repeatable.
//! - A frame is reused only if this agent sent it itself (its journal) or found it through a manifest
//!   signed by a key of its own domain. A depot's word is never enough.
//! - A restore writes beneath its target and nowhere else, whatever the repository says.
//! - Nothing is dropped silently: what could not be read, changed while it was read or could not be
//!   written is in the result, with its path.
//!
//! Threads and channels only; the one runtime is inside [`HttpDepot`].

mod approval;
pub mod backup;
mod compare;
mod control;
pub mod depot;
mod exclude;
pub mod media;
pub mod restore;
pub mod snapshot;
mod source;
mod state;
mod verify;

pub use approval::{ApprovalError, Consented, open_for_consent};
pub use backup::{
    BackupError, BackupOptions, BackupOutcome, BackupRequest, Halt, Source, Stream, StreamError,
    Streams, Waited, backup,
};
pub use compare::{CompareReport, Difference, compare};
pub use control::{Cancel, NoProgress, NoThrottle, Progress, Throttle, Total, Warning};
pub use depot::{Commit, Depot, DepotError, HttpDepot, LocalDepot};
#[cfg(any(test, feature = "testing"))]
pub use depot::{FaultyDepot, MemoryDepot};
pub use exclude::{ExcludeError, Excludes};
pub use restore::{
    Counts, Failure, OverwritePolicy, OwnerPolicy, PlanReport, Planned, RestoreError,
    RestoreOptions, RestoreOutcome, RestoreRequest, Step, is_live_root, plan, restore,
};
pub use snapshot::{
    Change, DiffEntry, HeadCache, Include, OpenedFile, Opening, Query, Sealed, Search,
    SessionOpener, Snapshot, SnapshotError, SnapshotFiles, SnapshotReader, TypeFilter, Version,
    Wraps, authorized_manifests, list_snapshots, read_session, read_wraps, select_snapshot,
    session_fits,
};
pub use state::{StateError, import_rosters, load_rosters};
pub use verify::{DamagedSnapshot, VerifyReport, verify};
