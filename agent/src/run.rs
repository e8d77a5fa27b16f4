//! One run of one job: which sites, the engine, and what it came to.
//!
//! Invariants: blocking, so never on the runtime's own thread; the first site that answers is used,
//! the others stand by. What a run came to is in the database, and its report in the spool, before
//! anybody is told that it ended.

mod by_hand;
mod hooks;
mod summary;

pub use by_hand::{ByHand, by_hand};
pub use summary::{RunSummary, warning_lines};

use std::sync::Arc;

use lumbung_database::{Launcher, Places, Prepared, SourceError};
use lumbung_engine::{
    BackupError, BackupOptions, BackupOutcome, BackupRequest, Cancel, Depot, DepotError, Excludes,
    Halt, HttpDepot, Progress, Source, StateError as EngineState, backup, load_rosters,
};
use lumbung_model::anomaly::RunFigures;
use lumbung_model::{Clock, SiteId, Timestamp};
use lumbung_seal::AgentIdentity;
use lumbung_wire::client::{ClientError, VaultClient};
use lumbung_wire::messages::{Report, ReportId, ReportKind, RunCause};
use lumbung_wire::tls::{self, ServerTrust, TlsError, TlsIdentity};
use tokio::runtime::Handle;

use crate::config::{Config, Job};
use crate::controller::CLOCK_WARN_S;
use crate::db::{Db, DbError};
use crate::plan::{Ending, JobPlan, Record};
use crate::sites::{Target, Targets, reached_now, targets};
use crate::state::{Enrolment, Reached, StateDir, StateError};
use crate::throttle::RateLimiter;

/// Why a run did not begin, or made no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The agent's files.
    #[error(transparent)]
    State(#[from] StateError),
    /// The rosters kept by the engine.
    #[error("the rosters of the repository cannot be used")]
    Rosters(#[source] EngineState),
    /// No site.
    #[error("there is no site to write to: {0}")]
    NoSite(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A site's address.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An exclude pattern.
    #[error(transparent)]
    Exclude(#[from] lumbung_engine::ExcludeError),
    /// The engine.
    #[error("no snapshot was made")]
    Backup(#[from] BackupError),
    /// A database, or what else is streamed.
    #[error("the source of the job cannot be backed up")]
    Source(#[from] SourceError),
    /// The hook before the backup.
    #[error("the hook before the backup failed, so there is no backup")]
    Before(#[source] SourceError),
    /// Another run holds the state.
    #[error(
        "another backup of this agent is running: wait until it has finished (`lumbung-agent status` shows it)"
    )]
    Busy,
    /// The file that one run at a time holds.
    #[error("{} cannot be locked: is the state directory writable?", path.display())]
    Lock {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The thread died.
    #[error("the run stopped unexpectedly: look at the log, and report this if it repeats")]
    Thread,
}

/// What a run needs beside its job.
pub struct Runner {
    /// The configuration at the start of the run.
    pub config: Arc<Config>,
    /// The state directory.
    pub state: StateDir,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The runtime, for connections.
    pub handle: Handle,
    /// The host's name.
    pub hostname: String,
    /// Whether a scan ahead counts what there will be: only of use to somebody who watches.
    pub estimate: bool,
}

/// Something about a run that is not about a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A site was left out, and why.
    LeftOut(String),
    /// The clocks of this host and of a site are far apart: the snapshot's times are wrong at one of them.
    Clock(String),
    /// The hook after the backup failed.
    After(String),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LeftOut(site) => write!(f, "site left out: {site}"),
            Self::Clock(clock) => f.write_str(clock),
            Self::After(why) => write!(f, "the hook after the backup failed: {why}"),
        }
    }
}

/// What a run came to.
pub struct Finished {
    /// How it ended, for the planner; none if it did not begin because another one runs.
    pub ending: Option<Ending>,
    /// The snapshot, or why there is none.
    pub result: Result<BackupOutcome, RunError>,
    /// What else there is to say: sites that had to be left out, a clock that is wrong.
    pub notes: Vec<Note>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

impl Runner {
    /// A runner for the configuration as it is now.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        state: StateDir,
        clock: Arc<dyn Clock>,
        handle: Handle,
    ) -> Self {
        let hostname = config.hostname.clone().unwrap_or_else(crate::health::host_name);
        Self { config, state, clock, handle, hostname, estimate: false }
    }

    /// Runs a job to its end. Blocks.
    #[must_use]
    pub fn run(&self, job: &Job, progress: &dyn Progress, cancel: &Cancel) -> Finished {
        let started = self.clock.now();
        let mut notes = Vec::new();
        let result = self.alone().and_then(|_alone| {
            hooks::around(job, cancel, &mut notes, |notes| {
                self.try_run(job, progress, cancel, notes)
            })
        });
        let ending = ending(&result, &notes);
        Finished { ending, result, notes, started, ended: self.clock.now() }
    }

    fn try_run(
        &self,
        job: &Job,
        progress: &dyn Progress,
        cancel: &Cancel,
        notes: &mut Vec<Note>,
    ) -> Result<BackupOutcome, RunError> {
        let (identity, tls, enrolment) = self.state.enrolled()?;
        let engine_state = self.state.engine();
        let chain = load_rosters(&engine_state, identity.repository).map_err(RunError::Rosters)?;
        let roster = chain.as_ref().map(|chain| &chain.current().body);
        let reached = self.reached();
        let mut found = targets(&self.config.sites, &enrolment.sites, &reached, roster);
        let own = TlsIdentity::from_pem(&tls.certificate_pem, &tls.key)?;
        let clients = self.clients(&mut found, &own);
        if found.usable.is_empty() {
            return Err(RunError::NoSite(no_site(&found.left_out, &enrolment)));
        }
        notes.extend(std::mem::take(&mut found.left_out).into_iter().map(Note::LeftOut));
        let depots: Vec<Arc<dyn Depot>> = found
            .usable
            .iter()
            .zip(&clients)
            .map(|(to, client)| self.depot(client.clone(), to.site, &identity))
            .collect();
        let stream = self.stream(job, cancel)?;
        let throttle =
            RateLimiter::new(self.config.rates.clone(), self.clock.clone(), cancel.clone());
        let outcome = backup(&BackupRequest {
            depots: &depots,
            identity: &identity,
            state_dir: &engine_state,
            dataset: job.dataset,
            label: &job.label,
            host: &self.hostname,
            source: stream.as_ref().map_or(Source::Paths(&job.paths), |it| Source::Streams(it)),
            options: options(job, self.estimate)?,
            progress,
            throttle: &throttle,
            cancel,
            clock: &*self.clock,
        });
        notes.extend(clients.iter().filter_map(clock_note));
        if let Some(target) =
            outcome.as_ref().ok().and_then(|one| found.usable.get(one.depot_index))
        {
            self.note_reached(&reached, target, &identity);
        }
        let named = |outcome: BackupOutcome| match found.usable.get(outcome.depot_index) {
            Some(site) => {
                BackupOutcome { depot: format!("{} ({})", site.name, site.url), ..outcome }
            }
            None => outcome,
        };
        let told = |outcome: BackupOutcome| BackupOutcome {
            changes: outcome.changes.map(|changes| told(changes, self.config.report_folders)),
            ..outcome
        };
        outcome.map(named).map(told).map_err(|error| match error {
            BackupError::State(EngineState::Locked(_)) => RunError::Busy,
            other => RunError::Backup(other),
        })
    }

    /// One run at a time on this host, its hooks included: they would stop and start applications in the middle of another run.
    fn alone(&self) -> Result<std::fs::File, RunError> {
        let path = self.state.path().join("run.lock");
        let failed = |source| RunError::Lock { path: path.clone(), source };
        let mut options = std::fs::File::options();
        let lock = options.write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(lock),
            Err(std::fs::TryLockError::WouldBlock) => Err(RunError::Busy),
            Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
        }
    }

    /// The job's database, looked at; none if it backs up files.
    fn stream(&self, job: &Job, cancel: &Cancel) -> Result<Option<Prepared>, SourceError> {
        let Some(settings) = &job.stream else { return Ok(None) };
        let places = Places {
            credentials: std::env::var_os("CREDENTIALS_DIRECTORY").map(Into::into),
            scratch: self.state.path().to_owned(),
            launcher: Launcher::default(),
        };
        settings.prepare(&places, self.clock.now(), &Halt::by(cancel)).map(Some)
    }

    /// Where sites were reached before. It only adds to the register's sites, so a run goes on without it.
    fn reached(&self) -> Vec<Reached> {
        self.state.reached().unwrap_or_else(|error| {
            tracing::warn!("{}", lumbung_model::with_causes(&error));
            Vec::new()
        })
    }

    fn note_reached(&self, before: &[Reached], target: &Target, identity: &AgentIdentity) {
        // The run may have brought a newer roster.
        let Ok(Some(chain)) = load_rosters(&self.state.engine(), identity.repository) else {
            return;
        };
        let Some(now) = reached_now(before, target, &chain.current().body) else { return };
        if let Err(error) = self.state.write_reached(&now) {
            tracing::warn!("{}", lumbung_model::with_causes(&error));
        }
    }

    /// A client for each usable site; an address that is none leaves its site out, and no other.
    fn clients(&self, found: &mut Targets, own: &TlsIdentity) -> Vec<VaultClient> {
        let mut clients = Vec::with_capacity(found.usable.len());
        for target in std::mem::take(&mut found.usable) {
            match self.client(&target, own) {
                Ok(client) => {
                    clients.push(client);
                    found.usable.push(target);
                }
                Err(error) => {
                    let reason = lumbung_model::with_causes(&error);
                    found.left_out.push(format!("{} ({}): {reason}", target.name, target.url));
                }
            }
        }
        clients
    }

    fn client(&self, target: &Target, own: &TlsIdentity) -> Result<VaultClient, RunError> {
        let config = tls::client_config(
            Some(own),
            ServerTrust::Pins(target.pins.clone()),
            self.clock.clone(),
        )?;
        Ok(VaultClient::new(&target.url, &config)?)
    }

    fn depot(
        &self,
        client: VaultClient,
        site: Option<SiteId>,
        identity: &AgentIdentity,
    ) -> Arc<dyn Depot> {
        Arc::new(HttpDepot::new(client, identity.repository, site, self.handle.clone()))
    }
}

/// What to say of a site's clock, if it is far from ours.
fn clock_note(client: &VaultClient) -> Option<Note> {
    let ahead = client.clock_skew_s().filter(|s| s.abs() > CLOCK_WARN_S)?;
    let direction = if ahead > 0 { "behind" } else { "ahead of" };
    let (minutes, server) = (ahead.abs() / 60, client.server());
    Some(Note::Clock(format!(
        "this host's clock is {minutes} min {direction} that of {server}: set it (timedatectl)"
    )))
}

fn options(job: &Job, estimate: bool) -> Result<BackupOptions, RunError> {
    Ok(BackupOptions {
        excludes: Excludes::new(&job.exclude)?,
        one_file_system: job.one_file_system,
        estimate,
        ..BackupOptions::default()
    })
}

/// What the controller is told of changes: names only where they may leave the server.
fn told(changes: RunFigures, names: bool) -> RunFigures {
    if names {
        return changes;
    }
    RunFigures { new_extension: String::new(), folders: Vec::new(), ..changes }
}

fn no_site(left_out: &[String], enrolment: &Enrolment) -> String {
    if !left_out.is_empty() {
        return left_out.join("; ");
    }
    format!(
        "neither the configuration nor the register ({}) names one; add a [[site]], or enter the vault there",
        enrolment.controller
    )
}

/// Whether time may heal it; none if the run did not begin because another one runs.
fn ending(result: &Result<BackupOutcome, RunError>, notes: &[Note]) -> Option<Ending> {
    let to_be_told = notes.iter().any(|note| matches!(note, Note::Clock(_) | Note::After(_)));
    Some(match result {
        Ok(outcome) if outcome.has_warnings() || !outcome.authorized || to_be_told => {
            Ending::Warnings
        }
        Ok(_) => Ending::Ok,
        Err(RunError::Busy) => return None,
        Err(RunError::Backup(error)) => ending_of(error),
        Err(
            RunError::Source(SourceError::Halted { .. })
            | RunError::Before(SourceError::Halted { .. }),
        ) => Ending::Interrupted,
        Err(RunError::Source(error) | RunError::Before(error)) if error.may_heal() => {
            Ending::Transient
        }
        Err(RunError::Thread) => Ending::Transient,
        Err(_) => Ending::Permanent,
    })
}

fn ending_of(error: &BackupError) -> Ending {
    match error {
        BackupError::Cancelled => Ending::Interrupted,
        BackupError::Unavailable { .. }
        | BackupError::StillMissing { .. }
        // A server that was restarted, a lock that somebody held.
        | BackupError::Stream { .. }
        | BackupError::Thread => Ending::Transient,
        BackupError::Depot(error) | BackupError::State(EngineState::Depot(error)) => match error {
            // A full site is somebody's morning work; what lacks frames gets them with the next run.
            DepotError::Unavailable { .. }
            | DepotError::Full { .. }
            | DepotError::Incomplete { .. } => Ending::Transient,
            _ => Ending::Permanent,
        },
        _ => Ending::Permanent,
    }
}

/// What a failure comes from, as operators tell them apart.
fn cause_of(error: &RunError) -> Option<RunCause> {
    let of_depot = |error: &DepotError| match error {
        DepotError::Full { .. } => RunCause::SiteFull,
        DepotError::Unavailable { .. } => RunCause::SiteUnreachable,
        _ => RunCause::SiteRefused,
    };
    Some(match error {
        RunError::Busy | RunError::Thread | RunError::Backup(BackupError::Cancelled) => {
            return None;
        }
        RunError::Source(_)
        | RunError::Before(_)
        | RunError::Backup(BackupError::NoSource(_) | BackupError::Stream { .. }) => {
            RunCause::SourceUnreadable
        }
        RunError::Backup(BackupError::Unavailable { .. }) => RunCause::SiteUnreachable,
        RunError::Backup(BackupError::NotAllowed { .. } | BackupError::StillMissing { .. }) => {
            RunCause::SiteRefused
        }
        RunError::Backup(BackupError::Depot(error)) => of_depot(error),
        RunError::Backup(BackupError::State(EngineState::Depot(error))) => of_depot(error),
        RunError::NoSite(_) => RunCause::SiteUnreachable,
        _ => RunCause::Agent,
    })
}

/// Keeps what a run came to: the job's record, and the report for the controller.
///
/// # Errors
/// If it was not kept.
pub fn record(
    db: &Db,
    job: &Job,
    plan: &JobPlan,
    record: &Record,
    finished: &Finished,
) -> Result<Record, DbError> {
    let Some(ending) = finished.ending else { return Ok(record.clone()) };
    let message = summary::message(finished);
    let mut next = record.finished(
        plan,
        finished.ended,
        ending,
        (!message.is_empty()).then(|| message.clone()),
    );
    if let Ok(outcome) = &finished.result {
        next.manifest = Some(outcome.manifest);
    }
    let report = Report {
        id: ReportId::random(),
        kind: ReportKind::Backup,
        at: finished.ended,
        dataset: job.dataset,
        manifest: finished.result.as_ref().ok().map(|outcome| outcome.manifest),
        outcome: ending.outcome(),
        statistics: finished
            .result
            .as_ref()
            .map(|o| summary::statistics(&o.statistics))
            .unwrap_or_default(),
        message,
        cause: finished.result.as_ref().err().and_then(cause_of),
        changes: finished.result.as_ref().ok().and_then(|outcome| outcome.changes.clone()),
    };
    // The report first: were only the record kept, a run would never be told of.
    db.push_report(&report)?;
    db.write_record(&job.name, &next)?;
    Ok(next)
}

/// What the planner needs to know of a job.
#[must_use]
pub fn job_plan(job: &Job, identity: &AgentIdentity) -> JobPlan {
    let seed = lumbung_model::schedule::seed(&[identity.agent.as_bytes(), job.dataset.as_bytes()]);
    let trigger = job.schedule.clone().map(|schedule| lumbung_model::schedule::Trigger {
        schedule,
        jitter: job.jitter,
        catch_up: job.catch_up,
        seed,
    });
    JobPlan { trigger, retry: job.retry, seed, enabled: job.enabled }
}

#[cfg(test)]
mod tests;
