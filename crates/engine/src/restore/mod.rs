//! Restore: from a snapshot to files, beneath a target and nowhere else.
//!
//! [`plan()`] tells what [`restore()`] would do, by the same rules and the same look at the target, and changes nothing.
//! A restore that ended early is taken up again by running it again: what is whole is left alone.

mod attributes;
mod beneath;
mod content;
mod decide;
mod outcome;
mod plan;
mod protect;
mod rules;
mod sweep;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) use content::Layout;
pub use plan::{PlanReport, Planned, plan};
pub use rules::{Counts, OverwritePolicy, Step};

use crate::snapshot::{Include, SnapshotError, SnapshotReader};
use crate::{Cancel, Depot, Progress, Warning};

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
    /// Removes what is in the restored folders and not in the snapshot.
    pub delete: bool,
    /// What is never removed, nor what lies in it, nor a folder above it: the depot, keys, an agent's state.
    pub protected: Vec<PathBuf>,
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
            delete: false,
            protected: Vec::new(),
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
    /// Entries that are as in the snapshot now.
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
    /// How many entries each step was taken for.
    pub counts: Counts,
    /// Entries that differ from the snapshot and stay, as the rule says. At most 1,000 are kept.
    pub kept: Vec<Vec<u8>>,
}

/// Why nothing (more) was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The snapshot cannot be read.
    #[error("the snapshot cannot be read")]
    Snapshot(#[from] SnapshotError),
    /// Deletion was asked for, and not in a folder.
    #[error("/{0} is no folder in the snapshot, so nothing says where to delete")]
    DeleteNeedsFolder(String),
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
    decide::check_delete(request)?;
    let target =
        beneath::Target::prepare(request.target, request.options.use_openat2, mark(request))?;
    tree::restore_tree(request, &target)
}

/// Whether a target is the root of the live system, whatever it is called: what is restored there comes back in
/// place.
#[must_use]
pub fn is_live_root(target: &Path) -> bool {
    let identity = |path: &Path| {
        let stat = rustix::fs::stat(path).ok()?;
        Some(crate::source::Stat::from(&stat).identity())
    };
    target == Path::new("/")
        || identity(target).is_some_and(|found| Some(found) == identity(Path::new("/")))
}

/// What is unfinished carries the snapshot's id in its name.
fn mark(request: &RestoreRequest<'_>) -> String {
    request.snapshot.manifest().id.to_string()[..16].to_owned()
}

fn check(request: &RestoreRequest<'_>) -> Result<(), RestoreError> {
    if request.cancel.is_cancelled() { Err(RestoreError::Cancelled) } else { Ok(()) }
}
