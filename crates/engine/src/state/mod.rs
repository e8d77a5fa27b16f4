//! What an agent keeps between runs: lock, rosters, journal, chain, cache.
//!
//! ```text
//! lock                      held by the run (flock)
//! rosters/<id>              the chain of rosters, checked
//! approvals/<id>            standing approvals and revocations of the owner
//! bases/<consent>           the frames that a standing approval's base opens
//! journal                   packs that a depot acknowledged, the sessions that sealed them, and to whom these were opened
//! <dataset>/chain           epoch, sequence number and id of the last manifest
//! <dataset>/pending         a manifest whose commit has begun
//! <dataset>/cache           files of the last snapshot, in path order
//! <dataset>/progress.<n>    the same of runs that did not finish
//! <dataset>/partial.<hash>  how far they came in a large file
//! ```
//!
//! Nothing here opens a backup: names, metadata and the domain's secret are all that a thief gets.
//! All of it can be lost: the next run reads everything again and finds its frames through its own manifests.

mod approvals;
mod cache;
mod chain;
mod journal;
mod partial;
mod rosters;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lumbung_model::{DatasetId, RepositoryId};
use lumbung_pack::RosterError;
use lumbung_store::{StoreError, durable};
use rustix::fs::FlockOperation;

pub(crate) use approvals::{Approvals, load_base, store_base};
pub(crate) use cache::{CacheHeader, CacheReader, CacheWriter, CachedFile};
pub(crate) use chain::{ChainState, Pending};
pub(crate) use journal::{Journal, Record};
pub(crate) use partial::PartialFile;
pub(crate) use rosters::sync_rosters;
pub use rosters::{import_rosters, load_rosters};

/// State files are their owner's alone.
const FILE_MODE: u32 = 0o600;

/// Why the agent's state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another run holds the lock.
    #[error("another backup with the state in {0} is running: wait until it has finished")]
    Locked(PathBuf),
    /// A file cannot be used.
    #[error("{path} cannot be {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The rosters do not fit together.
    #[error(
        "the rosters offered by {from} are not a continuation of those known here: this may be an attack, do not go on before it is explained"
    )]
    Roster {
        /// Who offered them.
        from: String,
        /// What is wrong.
        #[source]
        source: RosterError,
    },
    /// There is no roster yet.
    #[error(
        "no roster of repository {0} is known here or at the depot: have its custodian create it (lumbung repo init)"
    )]
    NoRoster(RepositoryId),
    /// The depot could not be asked.
    #[error("the rosters could not be exchanged")]
    Depot(#[from] crate::DepotError),
    /// A state file is not what this program writes.
    #[error(
        "{path} is damaged or of another version: move it away; the next run then continues from the depot"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl StateError {
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<std::io::Error>) -> Self {
        Self::Io { action, path: path.to_owned(), source: source.into() }
    }

    /// What kept a state file from being written.
    pub(crate) fn unwritten(path: &Path, error: StoreError) -> Self {
        let source = match error {
            StoreError::Io { source, .. } | StoreError::Unsynced { source, .. } => source,
            StoreError::Full { .. } => std::io::ErrorKind::StorageFull.into(),
            other => std::io::Error::other(other),
        };
        Self::io("written", path, source)
    }
}

/// The state directory, locked for one run.
#[derive(Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
    /// Closing it releases the lock.
    _lock: File,
}

impl StateDir {
    /// Opens and locks it; makes it if it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        make_private(path)?;
        let lock_path = path.join("lock");
        let lock = options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|e| StateError::io("opened", &lock_path, e))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                sweep(path)?;
                Ok(Self { path: path.to_owned(), _lock: lock })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StateError::Locked(path.to_owned())),
            Err(error) => Err(StateError::io("locked", &lock_path, error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The directory of a dataset.
    pub(crate) fn dataset(&self, dataset: &DatasetId) -> Result<PathBuf, StateError> {
        let path = self.path.join(dataset.to_string());
        make_private(&path)?;
        sweep(&path)?;
        Ok(path)
    }
}

/// What an interrupted run left unfinished goes. Only under the lock.
fn sweep(path: &Path) -> Result<(), StateError> {
    durable::sweep_unfinished(path).map(|_| ()).map_err(|e| StateError::unwritten(path, e))
}

fn options() -> std::fs::OpenOptions {
    let mut options = File::options();
    options.mode(FILE_MODE);
    options
}

/// Makes a directory that only its owner enters, its name durable.
fn make_private(path: &Path) -> Result<(), StateError> {
    durable::make_directories(path, 0o700).map_err(|e| StateError::unwritten(path, e))
}

/// Makes a file's new bytes durable under its name, or leaves the old ones.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    durable::replace_file(path, bytes, FILE_MODE).map_err(|e| StateError::unwritten(path, e))
}

/// Gives a file that may be lost another name, in the place of what had it.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), StateError> {
    durable::rename_file(from, to).map_err(|e| StateError::unwritten(to, e))
}

/// Removes a file that may not be there. After a crash it may be there again.
pub(crate) fn remove(path: &Path) -> Result<(), StateError> {
    durable::remove_file(path).map(|_| ()).map_err(|e| StateError::unwritten(path, e))
}

/// Reads a file that may not be there.
pub(crate) fn read_optional(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StateError::io("read", path, error)),
    }
}
