//! Backup: from files to a manifest that the depot has taken.
//!
//! One pass walks the sources, reuses what it knows is unchanged, reads the rest, cuts, seals and sends
//! it, and writes the catalogue. The commit follows; where the depot lacks something, only the files
//! affected are read again, in the same run. A run that dies anywhere is continued by the next one.

mod assemble;
mod buffers;
mod changes;
mod known;
mod large;
mod pass;
mod plan;
mod publish;
mod read;
mod rebuild;
mod record;
mod retry;
mod run;
mod sealing;
mod standing;
mod stop;
mod streams;
mod upload;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_model::anomaly::RunFigures;
use lumbung_model::{AgentId, Clock, DatasetId, ManifestId, Timestamp};
use lumbung_pack::{Receipt, Statistics};
use lumbung_seal::AgentIdentity;

use crate::source::{Sources, sources};
use crate::state::{StateDir, StateError};
use streams::Planned;
pub use streams::{Halt, Stream, StreamError, Streams, Waited};

use crate::{Cancel, Depot, DepotError, Excludes, Progress, Throttle, Warning};

/// What to do and how.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// What is left out.
    pub excludes: Excludes,
    /// Whether other file systems that are mounted in the sources are left out.
    pub one_file_system: bool,
    /// Whether files known to be unchanged are reused without reading them.
    pub use_cache: bool,
    /// Whether a scan ahead counts what there will be.
    pub estimate: bool,
    /// A partial manifest is published after so many seconds …
    pub partial_after_s: i64,
    /// … or so many newly stored bytes.
    pub partial_after_bytes: u64,
    /// A pack is closed at this many bytes; at most `PACK_TARGET`. Several are in memory at once.
    pub pack_target: usize,
    /// Threads that read files.
    pub readers: usize,
    /// Threads that hash, compress and seal.
    pub workers: usize,
    /// Threads that send packs.
    pub uploaders: usize,
    /// How often a call to a depot is tried before the next depot is.
    pub attempts: u32,
    /// The pause between tries, milliseconds; doubles each time.
    pub pause_ms: u64,
    /// How often files that the depot lost are read again before the run fails.
    pub rounds: u32,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            excludes: Excludes::default(),
            one_file_system: false,
            use_cache: true,
            estimate: false,
            partial_after_s: 3600,
            partial_after_bytes: 50_000_000_000,
            pack_target: 6 << 20,
            readers: 2,
            workers: std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(16),
            uploaders: 2,
            attempts: 3,
            pause_ms: 500,
            rounds: 4,
        }
    }
}

/// What is backed up.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// Files and directories.
    Paths(&'a [PathBuf]),
    /// What programs write to their output.
    Streams(&'a dyn Streams),
}

/// A backup to be made.
pub struct BackupRequest<'a> {
    /// Where to: the first that answers is used, the others stand by.
    pub depots: &'a [Arc<dyn Depot>],
    /// The agent.
    pub identity: &'a AgentIdentity,
    /// Where the agent keeps its cache, journal and chain. One run at a time.
    pub state_dir: &'a Path,
    /// The dataset.
    pub dataset: DatasetId,
    /// What people call the dataset; stands sealed in the snapshot.
    pub label: &'a str,
    /// The host's name; stands sealed in the snapshot.
    pub host: &'a str,
    /// What is backed up.
    pub source: Source<'a>,
    /// How.
    pub options: BackupOptions,
    /// Told what happens.
    pub progress: &'a dyn Progress,
    /// Asked before packs are sent.
    pub throttle: &'a dyn Throttle,
    /// Stops the run.
    pub cancel: &'a Cancel,
    /// The time.
    pub clock: &'a dyn Clock,
}

/// A backup that was made.
#[derive(Debug, Clone)]
pub struct BackupOutcome {
    /// The snapshot.
    pub manifest: ManifestId,
    /// The site's receipt: its signature is good and the roster lists the site.
    pub receipt: Option<Receipt>,
    /// The receipt's bytes, as the site sent them.
    pub receipt_object: Option<Vec<u8>>,
    /// Where it is.
    pub depot: String,
    /// Position of that depot in the request.
    pub depot_index: usize,
    /// The statistics in the manifest.
    pub statistics: Statistics,
    /// What did not go as it should; at most 1,000 are kept.
    pub warnings: Vec<Warning>,
    /// How many warnings there were.
    pub warnings_total: u64,
    /// Whether the newest roster lists the agent: if not, the snapshot is *belum disahkan*.
    pub authorized: bool,
    /// Epoch of the chain.
    pub epoch: u32,
    /// Sequence number.
    pub sequence: u64,
    /// When the run started.
    pub started: Timestamp,
    /// When it finished.
    pub finished: Timestamp,
    /// Bytes of content that were read.
    pub read_bytes: u64,
    /// Stored bytes that were sent and acknowledged.
    pub sent_bytes: u64,
    /// What changed since the last finished run; none if that left no cache.
    pub changes: Option<RunFigures>,
    /// Partial manifests that were published on the way.
    pub partials: Vec<ManifestId>,
}

impl BackupOutcome {
    /// Whether the run ends with exit code 3: finished, with warnings.
    #[must_use]
    pub const fn has_warnings(&self) -> bool {
        self.warnings_total > 0
    }
}

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The agent's state.
    #[error("the agent's state cannot be used")]
    State(#[from] StateError),
    /// None of the sources is there.
    #[error("none of the paths to be backed up is there: {0}")]
    NoSource(String),
    /// A stream's path.
    #[error(
        "{0} cannot be a stream's path: it is not absolute, has \"..\", or is another stream's path or folder"
    )]
    StreamPath(String),
    /// A stream that is not whole.
    #[error("{path} is not whole, so there is no snapshot of this run")]
    Stream {
        /// Under which path the snapshot would have had it.
        path: String,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// No depot.
    #[error("no depot was given to back up to")]
    NoDepot,
    /// No depot answered to the end.
    #[error(
        "no depot could take the backup: {tried}; what was sent is kept and the next run goes on from there"
    )]
    Unavailable {
        /// What each said.
        tried: String,
        /// The last error.
        #[source]
        source: DepotError,
    },
    /// The depot said no.
    #[error("the depot did not take the backup")]
    Depot(#[from] DepotError),
    /// The roster does not let this agent write.
    #[error("agent {agent} may not write to this repository: {reason}")]
    NotAllowed {
        /// The agent.
        agent: AgentId,
        /// Why.
        reason: &'static str,
    },
    /// The depot goes on losing what it acknowledged.
    #[error(
        "{depot} still lacks frames after {rounds} rounds of sending them again: scrub it, then run this again"
    )]
    StillMissing {
        /// Which depot.
        depot: String,
        /// How many rounds.
        rounds: u32,
    },
    /// Stopped on request.
    #[error("the backup was stopped; what was sent is kept and the next run goes on from there")]
    Cancelled,
    /// Sealing failed.
    #[error("a chunk could not be sealed")]
    Seal(#[from] lumbung_seal::SealError),
    /// The roster's chunker cannot be used.
    #[error("the repository's chunker parameters cannot be used")]
    Chunker(#[from] lumbung_seal::ChunkerError),
    /// An entry could not be put in the catalogue.
    #[error("the catalogue could not be written")]
    Catalogue(#[from] lumbung_seal::catalogue::CatalogueError),
    /// An object could not be built.
    #[error("an object could not be built")]
    Format(#[from] lumbung_pack::FormatError),
    /// A thread was lost.
    #[error(
        "a part of the backup stopped unexpectedly: run it again, and report this if it repeats"
    )]
    Thread,
}

/// The source, looked at.
enum Input<'a> {
    Walk(Sources),
    Streams(Planned<'a>),
}

impl<'a> Input<'a> {
    fn of(source: Source<'a>) -> Result<Self, BackupError> {
        match source {
            Source::Streams(streams) => Ok(Self::Streams(Planned::new(streams)?)),
            Source::Paths(paths) => {
                let found = sources(paths);
                if found.paths.is_empty() {
                    let named: Vec<String> =
                        paths.iter().map(|path| path.display().to_string()).collect();
                    return Err(BackupError::NoSource(named.join(", ")));
                }
                Ok(Self::Walk(found))
            }
        }
    }

    /// The absolute paths, as the snapshot names them.
    fn paths(&self) -> Vec<Vec<u8>> {
        match self {
            Self::Walk(sources) => sources.paths.clone(),
            Self::Streams(planned) => planned.absolute(),
        }
    }
}

/// Makes a backup.
///
/// # Errors
/// If no snapshot was made. What was sent is kept and used by the next run.
pub fn backup(request: &BackupRequest<'_>) -> Result<BackupOutcome, BackupError> {
    let input = Input::of(request.source)?;
    let state = StateDir::open(request.state_dir)?;
    let started = request.clock.now();
    let mut tried = Vec::new();
    let mut last = None;
    for index in 0..request.depots.len() {
        match run::run_at(request, &state, &input, index, started) {
            Err(BackupError::Depot(error)) if error.may_work_elsewhere() => {
                request.progress.message(&format!("{error}; trying the next depot"));
                tried.push(error.to_string());
                last = Some(error);
            }
            other => return other,
        }
    }
    match last {
        Some(source) => Err(BackupError::Unavailable { tried: tried.join("; "), source }),
        None => Err(BackupError::NoDepot),
    }
}
