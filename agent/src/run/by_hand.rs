//! `lumbung-agent backup`: runs jobs once, now, beside the daemon or without one.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lumbung_engine::{Cancel, NoProgress, Progress};
use lumbung_model::{Clock, Timestamp};
use tokio::runtime::Runtime;

use super::{Finished, RunError, RunSummary, Runner, job_plan, record};
use crate::config::{Config, Job};
use crate::controller::Link;
use crate::daemon::{Signals, locked};
use crate::db::{Db, DbError};
use crate::output::{Exit, print};
use crate::plan::{Ending, JobPlan, Record};
use crate::progress::Console;
use crate::state::StateDir;

/// How long the controller is waited for: it is told by the next run or the daemon otherwise.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(10);

/// How to show it.
pub struct ByHand {
    /// As JSON.
    pub json: bool,
    /// Without progress.
    pub quiet: bool,
}

/// Runs the jobs one after the other; one that fails does not stop the others, a signal does.
///
/// # Errors
/// If the agent is not enrolled, or its database fails.
pub fn by_hand(
    runtime: &Runtime,
    config: &Config,
    jobs: &[&Job],
    options: &ByHand,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Exit> {
    let state = StateDir::create(&config.state)?;
    let (identity, ..) = state.enrolled()?;
    let db = Mutex::new(Db::open(&state.database())?);
    let handle = runtime.handle().clone();
    let runner = Runner::new(Arc::new(config.clone()), state.clone(), clock.clone(), handle);
    let runner = Arc::new(Runner { estimate: !options.quiet, ..runner });
    let cancel = Cancel::default();
    let mut summaries = Vec::new();
    let mut exit = Exit::Fine;
    for job in jobs {
        let finished = runtime.block_on(one(&runner, job, options, &cancel))?;
        exit = exit.max(exit_of(&finished));
        keep(&locked(&db), job, &job_plan(job, &identity), &finished, clock.now())?;
        let summary = RunSummary::new(job, &finished);
        if !options.json {
            show(&summary)?;
        }
        summaries.push(summary);
        if cancel.is_cancelled() {
            break;
        }
    }
    if options.json {
        print(true, &summaries, |_| String::new())?;
    }
    let seed = lumbung_model::schedule::seed(&[identity.agent.as_bytes()]);
    runtime.block_on(tell(&state, config, seed, &db, clock));
    Ok(exit)
}

/// Keeps what a run by hand came to, once it has ended: until then the record is the daemon's. A
/// failure leaves the daemon's own plan as it was, so that its next try or run comes all the same.
fn keep(
    db: &Db,
    job: &Job,
    plan: &JobPlan,
    finished: &Finished,
    now: Timestamp,
) -> Result<(), DbError> {
    let known = db.record(&job.name, now)?;
    let ran = Record { last_started: Some(finished.started), ..known.clone() };
    let next = record(db, job, plan, &ran, finished)?;
    if matches!(finished.ending, None | Some(Ending::Ok | Ending::Warnings)) {
        return Ok(());
    }
    let (last_started, failures, retry_at) = (known.last_started, known.failures, known.retry_at);
    db.write_record(&job.name, &Record { last_started, failures, retry_at, ..next })
}

fn show(summary: &RunSummary) -> std::io::Result<()> {
    if summary.manifest.is_some() {
        return print(false, summary, RunSummary::to_text);
    }
    eprint!("{}", summary.to_text());
    Ok(())
}

const fn exit_of(finished: &Finished) -> Exit {
    match finished.ending {
        Some(Ending::Ok) => Exit::Fine,
        Some(Ending::Warnings) => Exit::Warnings,
        _ => Exit::Failed,
    }
}

/// One run on a thread of its own, stopped in order by the first signal, at once by the second.
async fn one(
    runner: &Arc<Runner>,
    job: &Job,
    options: &ByHand,
    cancel: &Cancel,
) -> anyhow::Result<Finished> {
    let console = (!options.quiet)
        .then(|| Arc::new(Console::new(&job.name, std::io::stderr().is_terminal())));
    let started = runner.clock.now();
    let mut running = {
        let (runner, job, cancel, console) =
            (runner.clone(), job.clone(), cancel.clone(), console.clone());
        tokio::task::spawn_blocking(move || {
            let progress: &dyn Progress = console.as_deref().map_or(&NoProgress, |console| console);
            runner.run(&job, progress, &cancel)
        })
    };
    let mut signals = Signals::new()?;
    let ended = tokio::select! {
        ended = &mut running => ended,
        () = signals.stop() => {
            eprintln!("{}: stopping after the packs that are under way; what was sent is kept", job.name);
            cancel.cancel();
            tokio::select! {
                ended = running => ended,
                // Whatever point it is at, the next run goes on from there.
                () = signals.stop() => std::process::exit(i32::from(Exit::Failed.code())),
            }
        }
    };
    if let Some(console) = console {
        console.finish();
    }
    Ok(ended.unwrap_or_else(|_| Finished {
        ending: Some(Ending::Transient),
        result: Err(RunError::Thread),
        notes: Vec::new(),
        started,
        ended: runner.clock.now(),
    }))
}

/// Tells the controller, if it answers soon: there may be no daemon to do it.
async fn tell(state: &StateDir, config: &Config, seed: u64, db: &Mutex<Db>, clock: Arc<dyn Clock>) {
    let url = config.controller.as_ref().map(crate::config::SiteUrl::as_str);
    let link = Link::open(state, url, String::new(), seed, clock);
    let told = match link {
        Ok(link) => match tokio::time::timeout(DELIVERY_PATIENCE, link.deliver_waiting(db)).await {
            Ok(told) => told.map_err(|error| lumbung_model::with_causes(&error)),
            Err(_) => Err("it took too long".to_owned()),
        },
        Err(error) => Err(lumbung_model::with_causes(&error)),
    };
    if let Err(reason) = told {
        tracing::info!("the controller could not be told; the report waits in the spool: {reason}");
    }
}

#[cfg(test)]
mod tests {
    use lumbung_engine::BackupError;
    use lumbung_model::RepositoryId;
    use lumbung_seal::AgentIdentity;

    use super::*;

    #[test]
    fn a_failure_by_hand_leaves_the_daemons_plan() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(&dir.path().join("agent.db")).unwrap();
        let text = "[[job]]\nname = \"files\"\ndataset = \"00112233445566778899aabbccddeeff\"\npaths = [\"/srv\"]\n";
        let job = Config::parse(std::path::Path::new("x"), text).unwrap().jobs.remove(0);
        let plan = job_plan(&job, &AgentIdentity::generate(RepositoryId::from_bytes([1; 32])));
        let known =
            Record { retry_at: Some(Timestamp(900)), failures: 2, ..Record::new(Timestamp(1)) };
        db.write_record("files", &known).unwrap();
        for error in [BackupError::Cancelled, BackupError::NoDepot] {
            let ending = if matches!(error, BackupError::Cancelled) {
                Ending::Interrupted
            } else {
                Ending::Permanent
            };
            let result = Err(RunError::Backup(error));
            let finished = Finished {
                ending: Some(ending),
                result,
                notes: Vec::new(),
                started: Timestamp(100),
                ended: Timestamp(200),
            };
            keep(&db, &job, &plan, &finished, Timestamp(200)).unwrap();
            let next = db.peek("files").unwrap().unwrap();
            assert_eq!(
                (next.last_started, next.failures, next.retry_at),
                (None, 2, Some(Timestamp(900)))
            );
            assert_eq!(next.outcome, Some(ending.outcome()));
        }
    }
}
