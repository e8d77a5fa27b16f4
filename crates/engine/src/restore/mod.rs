//! Restore: from a snapshot to files, beneath a target and nowhere else.

mod attributes;
mod beneath;
mod content;
mod outcome;
mod tree;

use std::path::Path;
use std::sync::Arc;

pub(crate) use content::Layout;

use crate::snapshot::{Include, SnapshotError, SnapshotReader};
use crate::{Cancel, Depot, Progress, Warning};

/// What happens to entries that are in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverwritePolicy {
    /// The target must be empty, or not there.
    #[default]
    Refuse,
    /// They are replaced; what is not in the snapshot stays.
    Overwrite,
}

/// Whose the restored files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnerPolicy {
    /// The numbers in the snapshot, where permitted.
    #[default]
    AsBackedUp,
    /// Whoever restores.
    Restorer,
}

/// How to restore.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Existing entries.
    pub overwrite: OverwritePolicy,
    /// Owners.
    pub owners: OwnerPolicy,
    /// Threads that write.
    pub writers: usize,
    /// Bytes of opened chunks kept for the next file.
    pub cache_bytes: usize,
    /// Whether `openat2` is used where the kernel has it; tests switch it off.
    pub use_openat2: bool,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            overwrite: OverwritePolicy::default(),
            owners: OwnerPolicy::default(),
            writers: std::thread::available_parallelism()
                .map_or(2, std::num::NonZero::get)
                .clamp(2, 8),
            cache_bytes: 24 << 20,
            use_openat2: true,
        }
    }
}

/// A restore to be made.
pub struct RestoreRequest<'a> {
    /// The opened snapshot.
    pub snapshot: &'a SnapshotReader,
    /// Where frames are read that the snapshot's own depot has damaged or lost.
    pub fallback: Option<Arc<dyn Depot>>,
    /// The directory to write beneath; made if it is not there.
    pub target: &'a Path,
    /// What to restore; everything if it names nothing.
    pub include: Include,
    /// How.
    pub options: RestoreOptions,
    /// Told what happens.
    pub progress: &'a dyn Progress,
    /// Stops the run.
    pub cancel: &'a Cancel,
}

/// An entry that is not, or not wholly, as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Its path, relative to `/`.
    pub path: Vec<u8>,
    /// What happened.
    pub reason: String,
}

/// What was restored.
#[derive(Debug, Clone, Default)]
pub struct RestoreOutcome {
    /// Entries written.
    pub entries: u64,
    /// Bytes of content written.
    pub bytes: u64,
    /// Entries that failed: the exit code is 1 if there are any. At most 1,000 are kept.
    pub failures: Vec<Failure>,
    /// How many failed.
    pub failures_total: u64,
    /// What could not be set, and entries that were flagged in the snapshot. At most 1,000 are kept.
    pub warnings: Vec<Warning>,
    /// How many warnings there were.
    pub warnings_total: u64,
    /// Entries whose owner could not be set, for want of permission.
    pub owner_failures: u64,
    /// Frames that came from the fallback depot.
    pub repaired_frames: u64,
}

/// Why nothing (more) was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot cannot be read.
    #[error("the snapshot cannot be read")]
    Snapshot(#[from] SnapshotError),
    /// The target holds something.
    #[error("{0} is not empty: choose an empty target, or allow overwriting")]
    TargetNotEmpty(String),
    /// The target cannot be used.
    #[error("{path} cannot be used as a target")]
    Target {
        /// The target.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing matches.
    #[error("nothing in the snapshot matches what was asked for")]
    NothingIncluded,
    /// Stopped on request.
    #[error("the restore was stopped")]
    Cancelled,
    /// A thread was lost.
    #[error(
        "a part of the restore stopped unexpectedly: run it again, and report this if it repeats"
    )]
    Thread,
}

/// Restores.
///
/// # Errors
/// If the snapshot cannot be read at all. Single entries that fail are in the outcome.
pub fn restore(request: &RestoreRequest<'_>) -> Result<RestoreOutcome, RestoreError> {
    let target = beneath::Target::prepare(
        request.target,
        request.options.overwrite,
        request.options.use_openat2,
    )?;
    tree::restore_tree(request, &target)
}
