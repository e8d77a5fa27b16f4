//! The daemon: asks the planner what to do, runs one job at a time, tells the controller.
//!
//! Invariants: the runtime's only thread never blocks on a run or a file system. What is planned
//! follows from the database, so a daemon that was killed comes to the same plan. A configuration
//! that is wrong at SIGHUP leaves the old one in force; a policy that changes takes effect like one that is read again. SIGTERM stops the run at its next step; its
//! journal goes on with the next daemon.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use lumbung_engine::{Cancel, NoProgress};
use lumbung_model::{Clock, PolicyHash, Timestamp};
use lumbung_seal::AgentIdentity;
use lumbung_wire::messages::policy::PolicyTold;
use lumbung_wire::messages::{JobPhase, JobState};
use lumbung_wire::metrics::Endpoint;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::cli::Loader;
use crate::config::Config;
use crate::controller::{Link, Said};
use crate::db::{Db, DbError};
use crate::metrics::LastRuns;
use crate::plan::{Action, Ending, JobPlan, Reason, Record, next_run, plan};
use crate::policy::{Effective, Ledger, effective};
use crate::run::{Finished, RunError, Runner, job_plan, record};
use crate::state::StateDir;

/// The clock is looked at again at least so often: it may be set, and a host may sleep.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A heartbeat comes every minute; the whole message is in the report.
const HEARTBEAT_TEXT_CHARS: usize = 300;
/// How long a job waits for a run by hand that holds the engine's state.
const BUSY_WAIT_S: i64 = 60;

/// The database, whoever panicked while holding it.
pub fn locked(db: &Mutex<Db>) -> MutexGuard<'_, Db> {
    db.lock().unwrap_or_else(PoisonError::into_inner)
}

/// SIGTERM, SIGINT and SIGHUP.
pub struct Signals {
    term: Signal,
    int: Signal,
    hup: Signal,
}

impl Signals {
    /// From now on these signals no longer end the process.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the process shall stop.
    pub async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }

    /// Waits for either: true to read the configuration again, false to stop.
    async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.term.recv() => false,
            _ = self.int.recv() => false,
            _ = self.hup.recv() => true,
        }
    }
}

/// What the loop and the line to the controller share.
struct Shared {
    /// The agent's own file.
    file: RwLock<Arc<Config>>,
    /// The file with the policy's jobs: what the agent does.
    config: RwLock<Arc<Config>>,
    policy: Mutex<Seen>,
    /// The policy that is kept has changed.
    wake: Notify,
    state: StateDir,
    identity: AgentIdentity,
    db: Mutex<Db>,
    clock: Arc<dyn Clock>,
    running: Mutex<Option<String>>,
    last_runs: LastRuns,
    /// How often the agent's own file was read anew.
    reloads: AtomicU64,
    /// Something happened that the controller should hear of soon.
    news: Notify,
}

/// The policy that is kept, as it was read last.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    told: PolicyTold,
    refused: Option<PolicyHash>,
}

/// Tells one state of a file that is only ever replaced from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp(u64, i64, i64, u64);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self(found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
    }
}

struct Running {
    job: usize,
    record: Record,
    handle: JoinHandle<Finished>,
    cancel: Cancel,
    started: Timestamp,
}

/// Runs until told to stop.
///
/// # Errors
/// If the configuration, the state or the database cannot be used.
pub async fn run(loader: &Loader, clock: Arc<dyn Clock>) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be received")?;
    let config = Arc::new(loader.load()?);
    let state = StateDir::create(&config.state)?;
    let (identity, ..) = state.enrolled()?;
    let _only = state
        .lock_daemon()?
        .context("another lumbung-agent runs with this state directory: stop it first")?;
    let endpoint = Endpoint::bind(config.metrics).await?;
    let db = Db::open(&state.database())?;
    let shared = Arc::new(Shared {
        file: RwLock::new(config.clone()),
        config: RwLock::new(config),
        policy: Mutex::default(),
        wake: Notify::new(),
        state,
        identity,
        db: Mutex::new(db),
        clock,
        running: Mutex::new(None),
        last_runs: LastRuns::default(),
        reloads: AtomicU64::new(0),
        news: Notify::new(),
    });
    shared.apply();
    tracing::info!(
        "agent {} of repository {}: {} jobs",
        shared.identity.agent,
        shared.identity.repository,
        shared.config().jobs.len()
    );
    shared.recover()?;
    let (stop_all, stopped) = watch::channel(false);
    let metrics = tokio::spawn(show_metrics(endpoint, shared.clone(), stopped.clone()));
    let link = tokio::spawn(keep_in_touch(shared.clone(), stopped));
    let result = shared.serve(loader, &mut signals).await;
    let _ = stop_all.send(true);
    let _ = tokio::join!(link, metrics);
    tracing::info!("stopped");
    result
}

impl Shared {
    fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn file(&self) -> Arc<Config> {
        self.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.policy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts file and policy together anew.
    fn apply(&self) {
        let file = self.file();
        let stamp = Stamp::of(&self.state.policy_file());
        let ledger = Ledger::load(&self.state, self.identity.agent);
        let policy = ledger.as_ref().ok().and_then(|ledger| ledger.accepted.as_ref());
        let Effective { config, notes } = effective(&file, policy.map(|one| &one.policy));
        for note in notes.iter().filter(|note| note.is_fault) {
            tracing::warn!("of the policy is left out: {note}");
        }
        let (told, refused) = match &ledger {
            Ok(ledger) => (
                ledger.told(file.follow_policy, &notes),
                ledger.refused.as_ref().map(|refusal| refusal.hash),
            ),
            Err(error) => {
                let refused = lumbung_model::with_causes(error);
                tracing::error!("{refused}");
                (PolicyTold { follows: file.follow_policy, refused, ..PolicyTold::default() }, None)
            }
        };
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        *self.seen() = Seen { stamp, told, refused };
        self.news.notify_one();
    }

    /// Takes in what a visit, or somebody on this server, has changed about the policy; whether there was anything.
    fn look_at_policy(&self) -> bool {
        let changed = Stamp::of(&self.state.policy_file()) != self.seen().stamp;
        if changed {
            self.apply();
            tracing::info!("the policy has changed: {} jobs", self.config().jobs.len());
        }
        changed
    }

    fn said(&self) -> Said {
        let file = self.file();
        let own = file.jobs.iter().map(|job| job.dataset).collect();
        let (policy, refused) = {
            let seen = self.seen();
            (seen.told.clone(), seen.refused)
        };
        Said {
            jobs: self.job_states(),
            paths: self.watched_paths(),
            policy,
            refused,
            own,
            inventory: file.inventory.clone(),
            reloads: self.reloads.load(Ordering::Relaxed),
        }
    }

    fn running(&self) -> Option<String> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_running(&self, job: Option<String>) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = job;
        self.news.notify_one();
    }

    /// Runs that never ended were killed with the daemon before this one.
    fn recover(&self) -> Result<(), DbError> {
        let (config, now) = (self.config(), self.clock.now());
        let db = locked(&self.db);
        for job in &config.jobs {
            let known = db.record(&job.name, now)?;
            let next = known.recovered(now);
            if next != known {
                tracing::info!(
                    "job {}: its last run was killed; it goes on from its journal",
                    job.name
                );
                db.write_record(&job.name, &next)?;
            }
        }
        Ok(())
    }

    fn plans(&self, config: &Config) -> Result<Vec<(JobPlan, Record)>, DbError> {
        let (db, now) = (locked(&self.db), self.clock.now());
        let one = |job| Ok((job_plan(job, &self.identity), db.record(&job.name, now)?));
        config.jobs.iter().map(one).collect()
    }

    async fn serve(self: &Arc<Self>, loader: &Loader, signals: &mut Signals) -> anyhow::Result<()> {
        let mut running: Option<Running> = None;
        loop {
            let pause = self.act(&mut running)?;
            let go_on = tokio::select! {
                ended = ended(&mut running) => {
                    self.finish(running.take(), ended)?;
                    true
                }
                reload = signals.next() => {
                    if reload {
                        self.reload(loader);
                    }
                    reload
                }
                () = self.wake.notified() => true,
                () = tokio::time::sleep(pause) => true,
            };
            if !go_on {
                return self.stop(running).await;
            }
        }
    }

    /// Starts what is due, and says how long nothing else is.
    fn act(self: &Arc<Self>, running: &mut Option<Running>) -> Result<Duration, DbError> {
        self.look_at_policy();
        let config = self.config();
        let plans = self.plans(&config)?;
        let now = self.clock.now();
        for action in plan(now, &plans, running.is_some()) {
            match action {
                Action::Start(job, reason) => {
                    *running = Some(self.start(&config, job, &plans[job].1, reason)?)
                }
                Action::WakeAt(at) => {
                    let seconds = u64::try_from(at.seconds_since(now)).unwrap_or(0);
                    return Ok(Duration::from_secs(seconds).min(LOOK_AGAIN));
                }
            }
        }
        Ok(LOOK_AGAIN)
    }

    fn start(
        self: &Arc<Self>,
        config: &Arc<Config>,
        index: usize,
        known: &Record,
        reason: Reason,
    ) -> Result<Running, DbError> {
        let job = config.jobs[index].clone();
        let now = self.clock.now();
        let record = known.started(now, Some(reason));
        locked(&self.db).write_record(&job.name, &record)?;
        match reason {
            Reason::Scheduled(due) => tracing::info!("job {} starts (due {due})", job.name),
            Reason::Again => tracing::info!("job {} starts again", job.name),
        }
        self.set_running(Some(job.name.clone()));
        let cancel = Cancel::default();
        let handle = tokio::runtime::Handle::current();
        let runner = Runner::new(config.clone(), self.state.clone(), self.clock.clone(), handle);
        let stop = cancel.clone();
        let handle = tokio::task::spawn_blocking(move || runner.run(&job, &NoProgress, &stop));
        Ok(Running { job: index, record, handle, cancel, started: now })
    }

    /// Keeps what a run came to.
    fn finish(&self, running: Option<Running>, finished: Finished) -> Result<(), DbError> {
        let Some(running) = running else { return Ok(()) };
        let name = self.running();
        self.set_running(None);
        let config = self.config();
        // After a reload the job may have another place, or none.
        let job = config.jobs.get(running.job).filter(|job| Some(&job.name) == name.as_ref());
        let job = job.or_else(|| config.jobs.iter().find(|job| Some(&job.name) == name.as_ref()));
        let Some(job) = job else {
            tracing::info!("a job that is no longer configured has ended");
            return Ok(());
        };
        if let Ok(outcome) = &finished.result {
            self.last_runs.note(&job.name, outcome);
        }
        let plan = job_plan(job, &self.identity);
        let db = locked(&self.db);
        if finished.ending.is_none() {
            tracing::info!("job {}: a run by hand is under way; it waits", job.name);
            let retry_at = Some(
                self.clock
                    .now()
                    .plus_seconds(BUSY_WAIT_S.min(i64::from(plan.retry.cap.as_seconds()))),
            );
            let waiting =
                Record { retry_at, last_finished: Some(finished.ended), ..running.record };
            return db.write_record(&job.name, &waiting);
        }
        let next = record(&db, job, &plan, &running.record, &finished)?;
        log_end(&job.name, &finished, &next);
        Ok(())
    }

    fn reload(&self, loader: &Loader) {
        match loader.load() {
            Ok(config) if config.state != self.state.path() => {
                tracing::error!(
                    "the state directory cannot be changed while the agent runs: restart it; the old configuration stays"
                );
            }
            Ok(config) => {
                tracing::info!(
                    "{} was read again: {} jobs",
                    loader.file().display(),
                    config.jobs.len()
                );
                if config.metrics != self.config().metrics {
                    tracing::warn!("[metrics] is taken up when the agent is restarted");
                }
                *self.file.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                self.reloads.fetch_add(1, Ordering::Relaxed);
                self.apply();
            }
            Err(error) => {
                let text = lumbung_model::with_causes(&error);
                tracing::error!("the old configuration stays: {text}");
            }
        }
    }

    /// Ends the run that is under way, so that it is known as interrupted and not as killed.
    async fn stop(&self, running: Option<Running>) -> anyhow::Result<()> {
        let Some(running) = running else { return Ok(()) };
        tracing::info!("stopping after the packs that are under way");
        running.cancel.cancel();
        let mut running = Some(running);
        let finished = ended(&mut running).await;
        self.finish(running.take(), finished)?;
        Ok(())
    }

    fn job_states(&self) -> Vec<JobState> {
        let (config, now) = (self.config(), self.clock.now());
        let running = self.running();
        let Ok(plans) = self.plans(&config) else { return Vec::new() };
        let state = |(job, (plan, record)): (&crate::config::Job, &(JobPlan, Record))| JobState {
            dataset: job.dataset,
            name: job.name.clone(),
            state: match () {
                () if running.as_ref() == Some(&job.name) => JobPhase::Running,
                () if !job.enabled => JobPhase::Disabled,
                () if record.retry_at.is_some() => JobPhase::Retrying,
                () => JobPhase::Waiting,
            },
            last_ok: record.last_ok,
            next_run: next_run(now, plan, record),
            message: record
                .message
                .as_ref()
                .map(|text| text.chars().take(HEARTBEAT_TEXT_CHARS).collect()),
        };
        config.jobs.iter().zip(&plans).map(state).collect()
    }

    fn watched_paths(&self) -> Vec<PathBuf> {
        let config = self.config();
        let sources = config.jobs.iter().flat_map(|job| job.paths.iter().cloned());
        std::iter::once(self.state.path().to_owned()).chain(sources).collect()
    }
}

/// The end of the run that is under way; never, if none is.
async fn ended(running: &mut Option<Running>) -> Finished {
    let Some(running) = running else { return std::future::pending().await };
    let started = running.started;
    (&mut running.handle).await.unwrap_or_else(|_| Finished {
        ending: Some(Ending::Transient),
        result: Err(RunError::Thread),
        notes: Vec::new(),
        started,
        ended: started,
    })
}

fn log_end(job: &str, finished: &Finished, record: &Record) {
    let message = record.message.as_deref().unwrap_or_default();
    match finished.ending {
        Some(Ending::Ok) if message.is_empty() => tracing::info!("job {job}: done"),
        Some(Ending::Ok) => tracing::info!("job {job}: done; {message}"),
        Some(Ending::Warnings) => tracing::warn!("job {job}: done, with warnings: {message}"),
        Some(Ending::Interrupted) => {
            tracing::info!("job {job}: stopped; it goes on from its journal")
        }
        Some(Ending::Transient | Ending::Permanent) | None => match record.retry_at {
            Some(at) => tracing::warn!("job {job}: failed, tried again at {at}: {message}"),
            None => tracing::error!(
                "job {job}: failed, not tried again before its next scheduled run: {message}"
            ),
        },
    }
}

/// Shows metrics, where the configuration says so.
async fn show_metrics(
    endpoint: Option<Endpoint>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) {
    let Some(endpoint) = endpoint else { return };
    let program = ("lumbung-agent", env!("CARGO_PKG_VERSION"));
    let clock = shared.clock.clone();
    let gather = Box::new(move || {
        let (config, now, db) = (shared.config(), shared.clock.now(), locked(&shared.db));
        crate::metrics::gather(&config, (&shared.state, &db), &shared.last_runs, now)
    });
    // The end of the daemon's own channel is an end too.
    let stopped = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    endpoint.serve(program, clock, gather, stopped).await;
}

/// Visits the controller at every interval, and soon after anything happened.
async fn keep_in_touch(shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    let seed = lumbung_model::schedule::seed(&[shared.identity.agent.as_bytes()]);
    let mut link: Option<(Option<String>, Link)> = None;
    loop {
        let config = shared.config();
        let url = config.controller.as_ref().map(|url| url.as_str().to_owned());
        if link.as_ref().is_none_or(|(known, link)| *known != url || link.is_outlived()) {
            let hostname = config.hostname.clone().unwrap_or_else(crate::health::host_name);
            match Link::open(&shared.state, url.as_deref(), hostname, seed, shared.clock.clone()) {
                Ok(opened) => link = Some((url, opened)),
                Err(error) => {
                    tracing::error!(
                        "no line to the controller: {}",
                        lumbung_model::with_causes(&error)
                    )
                }
            }
        }
        let interval = config.heartbeat_interval.to_duration();
        // What somebody on this server has confirmed is told with this visit, and planned for now.
        if shared.look_at_policy() {
            shared.wake.notify_one();
        }
        let visit = async {
            if let Some((_, link)) = &mut link
                && link.visit(&shared.db, shared.said()).await
            {
                shared.wake.notify_one();
            }
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = shared.news.notified() => {}
            }
        };
        tokio::select! {
            () = visit => {}
            _ = stopped.changed() => break,
        }
    }
    // A last word: how the run that was stopped ended. Soon, or with the next start.
    if let Some((_, link)) = &mut link {
        let patience = Duration::from_secs(3);
        let _ = tokio::time::timeout(patience, link.deliver_waiting(&shared.db)).await;
    }
}
