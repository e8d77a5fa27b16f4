//! The runner of drills and failovers: carries out what the controller's plans name, with its own file's hooks, checks and places.
//!
//! - [`config`]: the runner's own file. [`journal`]: what happened, durably.
//! - [`mod@conduct`]: one run, driven by `lumbung_model::drill::Run`; [`hands`]: what its steps do.
//! - [`programs`], [`scratch`], [`confined`], [`servers`], [`lumbung`]: processes, locked-down places, what runs in them, databases there, and
//!   the restores.
//!
//! Invariants (docs/drills.md): it needs the controller for orders and answers alone, and goes on without it; it does nothing that its
//! own file does not know; whatever kills it, the next start goes on from the journals, and puts back what was begun. It is a service
//! of its own beside the agent's, since it has to be root, and uses the agent's enrolment.

pub mod conduct;
pub mod config;
pub mod confined;
pub mod hands;
pub mod journal;
pub mod lumbung;
pub mod programs;
pub mod scratch;
pub mod servers;

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, unbounded};
use lumbung_model::drill::{DrillEvent, DrillMode, Happened, Run, faults};
use lumbung_model::{Clock, DrillRunId, with_causes};
use lumbung_wire::client::ControllerClient;
use lumbung_wire::messages::drills::{
    DrillOrder, DrillOrders, DrillReport, DrillReportAck, EVENTS_MAX,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use conduct::{Conducted, Hands, Message, conduct};
use config::RunnerFile;
use hands::Host;
use journal::{JournalError, Journals, Kept, Ordered};

use crate::config::Config;
use crate::controller;
use crate::state::{StateDir, try_lock};

/// How long a run rests that stopped by an error.
const REST: Duration = Duration::from_secs(30);
/// Of events in one report; the controller takes larger ones.
const REPORT_BYTES: usize = 1 << 20;
/// Runs at a time; a city's drills are rare.
const RUNS_MAX: usize = 8;

/// Why the runner does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The journals.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The agent's enrolment.
    #[error(transparent)]
    State(#[from] crate::state::StateError),
    /// The operating system.
    #[error("{what}")]
    Io {
        /// What was to be done.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Another one.
    #[error("another runner works in {}: there is one for a state directory", .0.display())]
    Locked(PathBuf),
}

/// What runs need.
struct Workshop {
    journals: Journals,
    hands: Arc<dyn Hands>,
    clock: Arc<dyn Clock>,
    /// Told after each event.
    news: Arc<Notify>,
}

/// Runs that are conducted.
#[derive(Default)]
struct Conducting {
    runs: HashMap<DrillRunId, Conduct>,
    /// Those that are over.
    over: HashSet<DrillRunId>,
    /// When each was taken up last: one that stops at once is not taken up again at once.
    taken_up: HashMap<DrillRunId, Instant>,
}

struct Conduct {
    outbox: Sender<Message>,
    thread: std::thread::JoinHandle<()>,
}

/// Runs as a daemon until it is told to end.
///
/// # Errors
/// If it cannot begin. What goes wrong later is logged, and tried again.
pub async fn run(
    config: &Config,
    file: RunnerFile,
    clock: Arc<dyn Clock>,
) -> Result<(), RunnerError> {
    let journals = Journals::open(&file.runner.state.0)?;
    let _lock = lock(&file.runner.state.0)?;
    let agent = std::env::current_exe().map_err(|source| RunnerError::Io {
        what: "this program cannot be found".to_owned(),
        source,
    })?;
    let state = StateDir::create(&config.state)?;
    state.enrolled()?;
    let file = Arc::new(file);
    // A crash of what runs here must not write somebody's data to this host's disk.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(|error| {
        RunnerError::Io { what: "core dumps cannot be turned off".to_owned(), source: error.into() }
    })?;
    let host = Arc::new(Host::new(Arc::clone(&file), agent, tokio::runtime::Handle::current()));
    // Whatever lies in scratch folders is of runs that were cut short: their places are gone. What cannot be wiped keeps nothing from
    // being put back.
    if let Err(error) = host.wipe(|_| false) {
        tracing::error!("what an earlier run left is not wiped: {error}");
    }
    let hands: Arc<dyn Hands> = host.clone();
    let workshop = Workshop { journals, hands, clock: clock.clone(), news: Arc::default() };
    let mut conducting = Conducting::default();
    let url = config.controller.as_ref().map(ToString::to_string);
    let mut line = Line { state, url, clock, client: None, silent: false, refused: HashMap::new() };
    let terminated = |kind| {
        signal(kind).map_err(|source| RunnerError::Io {
            what: "signals cannot be waited for".to_owned(),
            source,
        })
    };
    let (mut term, mut int) =
        (terminated(SignalKind::terminate())?, terminated(SignalKind::interrupt())?);
    tracing::info!("the runner is ready");
    loop {
        conducting.take_up_all(&workshop);
        line.visit(&workshop, &mut conducting).await;
        tokio::select! {
            () = tokio::time::sleep(file.runner.interval.to_duration()) => {}
            () = workshop.news.notified() => {}
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    // Probes under way need this runtime to end.
    if tokio::task::spawn_blocking(move || conducting.stop()).await.is_err() {
        tracing::error!("a run was not ended in order: the next start goes on with it");
    }
    host.close();
    Ok(())
}

/// Held while the runner runs.
fn lock(state: &Path) -> Result<File, RunnerError> {
    let path = state.join("runner.lock");
    let held = try_lock(&path).map_err(|source| RunnerError::Io {
        what: format!("{} cannot be locked", path.display()),
        source,
    })?;
    held.ok_or_else(|| RunnerError::Locked(state.to_owned()))
}

impl Conducting {
    /// Goes on with every run that is not over and that nobody conducts: after a start, and after a disk was full.
    fn take_up_all(&mut self, workshop: &Workshop) {
        match workshop.journals.runs() {
            Ok(runs) => runs.iter().for_each(|run| self.take_up(workshop, run)),
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
    }

    /// Goes on with a run, if its journal says that it is not over.
    fn take_up(&mut self, workshop: &Workshop, run: &DrillRunId) {
        let rests = self.taken_up.get(run).is_some_and(|last| last.elapsed() < REST);
        if self.over.contains(run) || rests || self.goes_on(run) {
            return;
        }
        match workshop.journals.read(run) {
            Ok(Some(kept)) if !is_over(&kept) => self.start(workshop, kept),
            Ok(Some(_)) => {
                self.over.insert(*run);
            }
            // Not even its order was written: it comes again.
            Ok(None) => {}
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
    }

    /// Whether somebody conducts it now.
    fn goes_on(&mut self, run: &DrillRunId) -> bool {
        self.runs.retain(|_, one| !one.thread.is_finished());
        self.runs.contains_key(run)
    }

    fn start(&mut self, workshop: &Workshop, kept: Kept) {
        let run = kept.ordered.run;
        let journal = match workshop.journals.resume(&run) {
            Ok(journal) => journal,
            Err(error) => return tracing::error!("{}", with_causes(&error)),
        };
        self.taken_up.insert(run, Instant::now());
        let (outbox, inbox) = unbounded();
        let channel = (outbox.clone(), inbox);
        let (hands, clock) = (Arc::clone(&workshop.hands), workshop.clock.clone());
        let news = Arc::clone(&workshop.news);
        let thread = std::thread::spawn(move || {
            let title = &kept.ordered.plan.title;
            tracing::info!("run {run} of {title:?} goes on");
            let news_of_events = || news.notify_one();
            match conduct(&kept, journal, hands, clock, channel, news_of_events) {
                Ok(Conducted::Over) => tracing::info!("run {run} of {title:?} is over"),
                Ok(Conducted::Stopped) => tracing::info!("run {run} waits for the next start"),
                Err(error) => tracing::error!("run {run} stops: {}", with_causes(&error)),
            }
            news.notify_one();
        });
        self.runs.insert(run, Conduct { outbox, thread });
    }

    /// Takes an order: hands on what people have answered, or begins its run. One with a journal that nobody conducts is over, or
    /// was taken up a moment ago.
    fn take_order(&mut self, workshop: &Workshop, order: &DrillOrder) {
        if self.goes_on(&order.run) {
            if let Some(conduct) = self.runs.get(&order.run) {
                // A run that has just ended hears nothing more.
                let _ = conduct.outbox.send(Message::Answers(order.answers.clone()));
            }
            return;
        }
        match workshop.journals.read(&order.run) {
            Ok(None) => self.begin(workshop, order),
            Ok(Some(_)) => {}
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
    }

    fn begin(&mut self, workshop: &Workshop, order: &DrillOrder) {
        if order.mode == DrillMode::Tabletop {
            tracing::error!(
                "run {} is not begun: people hold a tabletop, and no runner",
                order.run
            );
            return;
        }
        let ordered = Ordered::from(order);
        let started = Happened::Started { mode: order.mode, outage: order.outage };
        let first = DrillEvent { number: 1, at: workshop.clock.now(), what: started };
        if let Err(refusal) = Run::new(&order.plan).apply(&first) {
            tracing::error!("run {} is not begun: {refusal}", order.run);
            return;
        }
        let found = faults(&order.plan);
        if let Some(fault) = found.first() {
            tracing::error!(
                "run {} is not begun, its plan cannot be carried out: {fault}",
                order.run
            );
            return;
        }
        if order.through > 0 {
            tracing::error!(
                "run {} is not begun: the controller has a journal of it and this runner has none; close the run there",
                order.run
            );
            return;
        }
        if self.runs.len() >= RUNS_MAX {
            tracing::warn!("run {} waits: {RUNS_MAX} runs are under way", order.run);
            return;
        }
        match workshop.journals.begin(&ordered) {
            Ok(_) => self.start(workshop, Kept { ordered, events: Vec::new(), answered: 0 }),
            Err(error) => tracing::error!("{}", with_causes(&error)),
        }
    }

    /// Ends what is under way, and waits for that: the next start goes on.
    fn stop(self) {
        for conduct in self.runs.values() {
            let _ = conduct.outbox.send(Message::Stop);
        }
        for (_, conduct) in self.runs {
            let _ = conduct.thread.join();
        }
    }
}

fn is_over(kept: &Kept) -> bool {
    // What does not replay is told when it is conducted.
    Run::replay(&kept.ordered.plan, &kept.events).is_ok_and(|run| run.finished().is_some())
}

/// The line to the controller.
struct Line {
    state: StateDir,
    url: Option<String>,
    clock: Arc<dyn Clock>,
    client: Option<ControllerClient>,
    silent: bool,
    /// Runs of which the controller refused what they told, and up to which event that was.
    refused: HashMap<DrillRunId, u64>,
}

impl Line {
    /// Fetches orders and answers, and tells what happened. Failures are logged once.
    async fn visit(&mut self, workshop: &Workshop, conducting: &mut Conducting) {
        match self.try_visit(workshop, conducting).await {
            Ok(()) => {
                if self.silent {
                    tracing::info!("the controller answers again");
                }
                self.silent = false;
            }
            Err(error) => {
                if !self.silent {
                    tracing::warn!(
                        "no line to the controller; runs go on: {}",
                        with_causes(&error)
                    );
                }
                self.silent = true;
                // Its address, or our certificate, may have changed.
                self.client = None;
            }
        }
    }

    async fn try_visit(
        &mut self,
        workshop: &Workshop,
        conducting: &mut Conducting,
    ) -> Result<(), controller::LinkError> {
        let client = match &self.client {
            Some(client) => client.clone(),
            None => controller::client(&self.state, self.url.as_deref(), self.clock.clone())?,
        };
        self.client = Some(client.clone());
        let DrillOrders { orders } = client.get("/api/v1/drill-orders").await?;
        for order in &orders {
            conducting.take_order(workshop, order);
        }
        for order in &orders {
            match workshop.journals.read(&order.run) {
                Ok(Some(kept)) => self.tell(&client, order, kept.events).await?,
                Ok(None) => {}
                Err(error) => tracing::error!("{}", with_causes(&error)),
            }
        }
        Ok(())
    }

    /// Tells the controller what it does not know yet of a run. What it refuses is told once more when more has happened, and keeps nothing
    /// of other runs back.
    async fn tell(
        &mut self,
        client: &ControllerClient,
        order: &DrillOrder,
        events: Vec<DrillEvent>,
    ) -> Result<(), controller::LinkError> {
        let last = events.last().map_or(0, |event| event.number);
        if self.refused.get(&order.run) == Some(&last) {
            return Ok(());
        }
        let mut untold: Vec<DrillEvent> =
            events.into_iter().filter(|event| event.number > order.through).collect();
        while !untold.is_empty() {
            let rest = untold.split_off(fits(&untold));
            let report = DrillReport { run: order.run, events: untold };
            match client.post::<_, DrillReportAck>("/api/v1/drill-reports", &report).await {
                Ok(_) => untold = rest,
                // It does not follow there, or the run is closed: what was begun is put back all the same.
                Err(error) if error.problem().is_some_and(|it| is_of_report(it.status)) => {
                    let run = order.run;
                    tracing::error!(
                        "the controller refuses what run {run} tells: {}",
                        with_causes(&error)
                    );
                    self.refused.insert(run, last);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Whether a refusal is about what was told, and not about who tells it or when.
const fn is_of_report(status: u16) -> bool {
    matches!(status, 400 | 404 | 409 | 413 | 422)
}

/// How many events fit into one report; one at least.
fn fits(events: &[DrillEvent]) -> usize {
    let mut room = REPORT_BYTES;
    let fit = events.iter().take(EVENTS_MAX).take_while(|event| {
        let bytes = serde_json::to_vec(event).map_or(0, |json| json.len() + 1);
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    fit.count().max(1)
}
