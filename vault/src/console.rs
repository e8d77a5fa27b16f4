//! The console of a running vault: a socket in the state directory, for who may read that directory.
//!
//! One line of JSON in, one line of JSON out. Invariants: the socket has mode 0600; what can be asked takes away
//! only what retention, or an order with two signatures, lets go.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_model::rate::{Speed, Timetable};
use lumbung_model::{ManifestId, RepositoryId};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use crate::pull::{Sources, pull_all};
use crate::retention::{CarriedOut, HoldView};
use crate::scrub::{Found, Regulator, ScrubOptions, Scrubbed, Throttle};
use crate::state::State;
use crate::{Swept, Vault, VaultError};

mod removal;

/// Longest request.
const REQUEST_MAX_BYTES: u64 = 64 << 10;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "command", deny_unknown_fields)]
pub enum Command {
    /// One pass now: of one repository, or of all.
    Scrub {
        /// Which.
        repository: Option<RepositoryId>,
        /// Go on with the pass that was stopped, rather than begin anew.
        #[serde(default)]
        resume: bool,
        /// Only look: nothing is repaired or signed.
        #[serde(default)]
        dry_run: bool,
    },
    /// An inventory of every repository now.
    Inventory,
    /// Everything that is new at the sources, now.
    Pull,
    /// What lies on a portable medium.
    ImportMedia {
        /// Where it is mounted: an absolute path.
        path: PathBuf,
        /// Whether to do without a signed list.
        unsigned: bool,
    },
    /// What retention would remove, or removes.
    Retain {
        /// Where; everywhere if none is named.
        repository: Option<RepositoryId>,
        /// Only say so.
        dry_run: bool,
    },
    /// What nobody uses is given back.
    Sweep {
        /// Where; everywhere if none is named.
        repository: Option<RepositoryId>,
        /// Only say so.
        dry_run: bool,
    },
    /// Why a snapshot is here, or is not.
    Why {
        /// Which.
        snapshot: ManifestId,
    },
    /// Place a hold.
    Hold {
        /// Where.
        repository: RepositoryId,
        /// `snapshot:ID`, `dataset:ID` or `repository`.
        subject: String,
        /// Who.
        by: String,
        /// Why.
        reason: String,
    },
    /// The holds.
    Holds {
        /// Where; everywhere if none is named.
        repository: Option<RepositoryId>,
    },
    /// Carry out an order.
    CarryOut {
        /// Its file.
        text: String,
        /// Only say what it would do.
        dry_run: bool,
    },
    /// Let what expired here come again from the other sites.
    Refill {
        /// Where.
        repository: RepositoryId,
        /// One snapshot; all if none is named.
        snapshot: Option<ManifestId>,
        /// Only say how many.
        dry_run: bool,
    },
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It was done.
    Done(Vec<Line>),
    /// It failed.
    Failed(String),
}

/// What was done in one repository (or by one pull).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Line {
    /// A scrub.
    Scrub {
        /// Where.
        repository: RepositoryId,
        /// Number of the signed report; none if it only looked.
        report: Option<u64>,
        /// Frames read.
        frames: u64,
        /// Bytes read.
        bytes: u64,
        /// Frames repaired.
        repaired: u32,
        /// Frames that stay bad.
        bad: u32,
        /// Small objects repaired.
        objects_repaired: u32,
        /// Small objects that stay bad.
        objects_bad: u32,
        /// Snapshots read whole.
        verified: usize,
        /// Snapshots that miss something.
        damaged: usize,
    },
    /// An inventory.
    Inventory {
        /// Where.
        repository: RepositoryId,
        /// Its id.
        inventory: Option<lumbung_model::InventoryId>,
    },
    /// A pull.
    Pull {
        /// Snapshots that are new here.
        snapshots: u64,
        /// Packs that are new here.
        packs: u64,
        /// Things that were left out.
        failures: u64,
    },
    /// A repository of a medium.
    Media {
        /// Which.
        repository: RepositoryId,
        /// Snapshots that are new here.
        snapshots: u64,
        /// Packs that are new here, whole or in part.
        packs: u64,
        /// Bytes of them.
        bytes: u64,
        /// Things that were left out.
        failures: u64,
        /// Why, at most a hundred.
        reasons: Vec<String>,
    },
    /// A retention.
    Retain {
        /// Where.
        repository: RepositoryId,
        /// Snapshots that have a place.
        placed: usize,
        /// Snapshots that stay for a while.
        waiting: usize,
        /// Snapshots that went, or would.
        expired: Vec<ManifestId>,
    },
    /// A sweep.
    Sweep {
        /// Where.
        repository: RepositoryId,
        /// What it did, or would.
        swept: Swept,
    },
    /// Why a snapshot is here, or is not.
    Why {
        /// Where.
        repository: RepositoryId,
        /// In words, one reason each.
        reasons: Vec<String>,
    },
    /// A hold.
    Hold {
        /// Where.
        repository: RepositoryId,
        /// The hold.
        hold: HoldView,
    },
    /// An order that was carried out, or could be.
    Order(CarriedOut),
    /// A refill.
    Refill {
        /// Where.
        repository: RepositoryId,
        /// Snapshots that may come again.
        snapshots: usize,
    },
}

impl Line {
    fn of(found: Found) -> Self {
        let Found { report, objects_repaired, objects_bad } = found;
        Self::Scrub {
            repository: report.repository,
            report: (report.number > 0).then_some(report.number),
            frames: report.frames,
            bytes: report.bytes,
            repaired: report.repaired,
            bad: report.bad,
            objects_repaired,
            objects_bad,
            verified: report.verified.len(),
            damaged: report.damaged.len(),
        }
    }
}

/// Where the socket is.
fn socket(state: &State) -> PathBuf {
    state.dir().join("console.sock")
}

/// Does what is asked.
pub async fn perform(
    command: Command,
    vault: &Arc<Vault>,
    sources: &Arc<Sources>,
    stop: &CancellationToken,
) -> Answer {
    let done = match command {
        Command::Pull => {
            let pulled = pull_all(vault, sources, stop).await;
            let (snapshots, packs, failures) = (pulled.snapshots, pulled.packs, pulled.failures);
            Ok(vec![Line::Pull { snapshots, packs, failures }])
        }
        Command::Scrub { repository, resume, dry_run } => {
            let (vault, sources, stop) = (Arc::clone(vault), Arc::clone(sources), stop.clone());
            let options = ScrubOptions { resume, from_medium: true, ..vault.scrub_options() };
            run(move || scrub(&vault, repository.as_ref(), &sources, (options, dry_run), stop))
                .await
        }
        Command::ImportMedia { path, unsigned } => {
            let (vault, stop) = (Arc::clone(vault), stop.clone());
            run(move || media(&vault, &path, unsigned, &stop)).await
        }
        other => {
            let (vault, stop) = (Arc::clone(vault), stop.clone());
            run(move || removal::perform(other, &vault, &stop)).await
        }
    };
    match done {
        Ok(lines) => Answer::Done(lines),
        Err(error) => Answer::Failed(lumbung_model::with_causes(&error)),
    }
}

async fn run(
    work: impl FnOnce() -> Result<Vec<Line>, VaultError> + Send + 'static,
) -> Result<Vec<Line>, VaultError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(VaultError::Stopping))
}

fn media(
    vault: &Arc<Vault>,
    path: &std::path::Path,
    unsigned: bool,
    stop: &CancellationToken,
) -> Result<Vec<Line>, VaultError> {
    let all = vault.import_medium(path, unsigned, stop)?;
    let line = |one: crate::Imported| Line::Media {
        repository: one.repository,
        snapshots: one.snapshots,
        packs: one.packs,
        bytes: one.bytes,
        failures: one.failures,
        reasons: one.reasons,
    };
    Ok(all.into_iter().map(line).collect())
}

/// Somebody waits for it: not spread, and at any time of day, but never faster than `scrub_rate`.
fn scrub(
    vault: &Vault,
    only: Option<&RepositoryId>,
    sources: &Sources,
    (options, dry_run): (ScrubOptions, bool),
    stop: CancellationToken,
) -> Result<Vec<Line>, VaultError> {
    let repositories = match only {
        Some(id) => vec![vault.repository(id)?],
        None => vault.repositories(),
    };
    let always = Timetable::always(Speed::On(vault.config.scrub_rate));
    let pace = Throttle::new(Regulator::new(always, None), Arc::clone(&vault.clock), stop);
    let mut lines = Vec::new();
    for repository in repositories {
        let found = if dry_run {
            vault.scrub_dry_run(&repository, &pace, options)?
        } else {
            let Scrubbed { report, objects_repaired, objects_bad, .. } =
                vault.scrub_with(&repository, sources, &pace, options)?;
            Found { report, objects_repaired, objects_bad }
        };
        lines.push(Line::of(found));
    }
    Ok(lines)
}

/// Answers at the socket until the vault stops. A socket that cannot be made is logged: the vault goes on.
pub(crate) fn listen(
    state: &State,
    vault: Arc<Vault>,
    sources: Arc<Sources>,
    stop: CancellationToken,
) -> impl Future<Output = ()> + Send + use<> {
    let path = socket(state);
    // Before the vault says that it is ready: who connects from then on is answered.
    let bound = bind(&path);
    async move {
        let listener = match bound {
            Ok(listener) => listener,
            Err(error) => return tracing::warn!(%error, path = %path.display(), "no console"),
        };
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            if let Ok((stream, _)) = stream {
                tokio::spawn(answer(
                    stream,
                    Arc::clone(&vault),
                    Arc::clone(&sources),
                    stop.clone(),
                ));
            }
        }
        let _ = std::fs::remove_file(&path);
    }
}

fn bind(path: &Path) -> std::io::Result<UnixListener> {
    // The vault holds its lock: a socket that is there was left by a crash.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(
    mut stream: UnixStream,
    vault: Arc<Vault>,
    sources: Arc<Sources>,
    stop: CancellationToken,
) {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(read.take(REQUEST_MAX_BYTES));
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let answer = match serde_json::from_str(&line) {
        Ok(command) => perform(command, &vault, &sources, &stop).await,
        Err(error) => Answer::Failed(format!("the request is not understood: {error}")),
    };
    let mut text = serde_json::to_vec(&answer).unwrap_or_default();
    text.push(b'\n');
    // Who asked may have gone; the work is done all the same.
    let _ = write.write_all(&text).await;
}

/// Whether a vault runs over this state directory.
#[must_use]
pub fn is_running(state: &State) -> bool {
    BlockingStream::connect(socket(state)).is_ok()
}

/// Asks a running vault; nothing if none runs.
///
/// # Errors
/// If it breaks off.
pub fn ask(state: &State, command: &Command) -> std::io::Result<Option<Answer>> {
    let Ok(mut stream) = BlockingStream::connect(socket(state)) else { return Ok(None) };
    let mut text = serde_json::to_vec(command)?;
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(Some(serde_json::from_str(&line)?))
}
