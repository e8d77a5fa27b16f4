//! The agent's figures for Prometheus: what `status` shows, and how much the last runs read and sent.
//!
//! Invariants: figures are by job, as the agent's own file names it; no path, no host and no site is in them. They are
//! gathered from the database, so that runs by hand are in them too, save for what was read and sent.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lumbung_engine::BackupOutcome;
use lumbung_model::Timestamp;
use lumbung_wire::messages::Outcome;
use lumbung_wire::metrics::{CERTIFICATE_EXPIRY, Figures, Metric, MetricsError};

use crate::config::Config;
use crate::db::Db;
use crate::state::StateDir;
use crate::status::{self, JobStatus, Status};

const LAST_SUCCESS: Metric = Metric::gauge(
    "lumbung_agent_job_last_success_timestamp_seconds",
    &["job_name"],
    "When the job last made a snapshot; 0 if it never did.",
);
const LAST_START: Metric = Metric::gauge(
    "lumbung_agent_job_last_start_timestamp_seconds",
    &["job_name"],
    "When the job last started.",
);
const OUTCOME: Metric = Metric::gauge(
    "lumbung_agent_job_last_outcome",
    &["job_name", "outcome"],
    "1 for how the job last ended (ok, warnings, failed, interrupted), 0 for the others.",
);
const FAILURES: Metric = Metric::gauge(
    "lumbung_agent_job_failures",
    &["job_name"],
    "Failures in a row since the last scheduled start.",
);
const NEXT_RUN: Metric = Metric::gauge(
    "lumbung_agent_job_next_run_timestamp_seconds",
    &["job_name"],
    "When the job starts next; none if only by hand.",
);
const RUNNING: Metric =
    Metric::gauge("lumbung_agent_job_running", &["job_name"], "1 while the job runs, else 0.");
const ENABLED: Metric = Metric::gauge(
    "lumbung_agent_job_enabled",
    &["job_name"],
    "1 if the daemon may start the job, else 0.",
);
const READ: Metric = Metric::gauge(
    "lumbung_agent_job_read_bytes",
    &["job_name"],
    "Bytes of content that the job's last snapshot read; none before the daemon's first one.",
);
const SENT: Metric = Metric::gauge(
    "lumbung_agent_job_sent_bytes",
    &["job_name"],
    "Stored bytes that the job's last snapshot sent; none before the daemon's first one.",
);
const REPORTS: Metric = Metric::gauge(
    "lumbung_agent_reports_waiting",
    &[],
    "Reports that the controller has not acknowledged.",
);
const CONTACT: Metric = Metric::gauge(
    "lumbung_agent_controller_contact_timestamp_seconds",
    &[],
    "When the controller last answered; 0 if it never did.",
);
const CLOCK_AHEAD: Metric = Metric::gauge(
    "lumbung_agent_controller_clock_ahead_seconds",
    &[],
    "By how much the controller's clock is ahead of this host's.",
);

/// All of them, in the order of the page.
const ALL: [Metric; 13] = [
    LAST_SUCCESS,
    LAST_START,
    OUTCOME,
    FAILURES,
    NEXT_RUN,
    RUNNING,
    ENABLED,
    READ,
    SENT,
    REPORTS,
    CONTACT,
    CLOCK_AHEAD,
    CERTIFICATE_EXPIRY,
];

const OUTCOMES: [(Outcome, &str); 4] = [
    (Outcome::Ok, "ok"),
    (Outcome::Warnings, "warnings"),
    (Outcome::Failed, "failed"),
    (Outcome::Interrupted, "interrupted"),
];

/// Bytes that the last snapshots of the daemon's own runs read and sent, by job.
#[derive(Debug, Default)]
pub struct LastRuns(Mutex<BTreeMap<String, (u64, u64)>>);

impl LastRuns {
    /// Notes what a run that made a snapshot came to.
    pub fn note(&self, job: &str, outcome: &BackupOutcome) {
        self.note_bytes(job, outcome.read_bytes, outcome.sent_bytes);
    }

    fn note_bytes(&self, job: &str, read: u64, sent: u64) {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.insert(job.to_owned(), (read, sent));
    }

    fn of(&self, job: &str) -> Option<(u64, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(job).copied()
    }
}

/// Gathers the agent's figures. Blocks.
///
/// # Errors
/// If the agent's files or its database cannot be read.
pub fn gather(
    config: &Config,
    from: (&StateDir, &Db),
    runs: &LastRuns,
    now: Timestamp,
) -> Result<Figures, MetricsError> {
    let status = status::gather(config, from, true, now);
    let status = status.map_err(|error| MetricsError::Gather(error.into()))?;
    Ok(figures(&status, runs))
}

fn figures(status: &Status, runs: &LastRuns) -> Figures {
    let mut figures = Figures::new(&ALL);
    for job in &status.jobs {
        job_figures(&mut figures, job);
        if let Some((read, sent)) = runs.of(&job.name) {
            figures.count(&READ, &[&job.name], read);
            figures.count(&SENT, &[&job.name], sent);
        }
    }
    figures.count(&REPORTS, &[], status.spool.waiting);
    figures.time(&CONTACT, &[], Some(status.controller_seen.unwrap_or(Timestamp(0))));
    // A duration in whole seconds, as a time is.
    figures.time(&CLOCK_AHEAD, &[], status.clock_ahead_s.map(Timestamp));
    figures.time(&CERTIFICATE_EXPIRY, &["own"], Some(status.certificate_until));
    figures
}

fn job_figures(figures: &mut Figures, job: &JobStatus) {
    let name = job.name.as_str();
    figures.time(&LAST_SUCCESS, &[name], Some(job.last_ok.unwrap_or(Timestamp(0))));
    figures.time(&LAST_START, &[name], job.last_started);
    for (outcome, word) in OUTCOMES {
        figures.flag(&OUTCOME, &[name, word], job.outcome == Some(outcome));
    }
    figures.count(&FAILURES, &[name], job.failures.into());
    figures.time(&NEXT_RUN, &[name], job.next_run);
    figures.flag(&RUNNING, &[name], job.running);
    figures.flag(&ENABLED, &[name], job.enabled);
}

#[cfg(test)]
mod tests {
    use lumbung_model::{AgentId, DatasetId, RepositoryId};

    use super::*;
    use crate::db::SpoolCount;
    use crate::policy::commands::Shown;
    use crate::status::InventoryStatus;
    use lumbung_wire::messages::policy::{PolicyContent, PolicyTold};

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn job(name: &str) -> JobStatus {
        JobStatus {
            name: name.to_owned(),
            label: name.to_owned(),
            dataset: DatasetId::ZERO,
            enabled: true,
            schedule: None,
            running: false,
            last_started: None,
            last_ok: None,
            manifest: None,
            outcome: None,
            message: Some("/srv/secret.csv".to_owned()),
            failures: 0,
            next_run: None,
        }
    }

    fn status(jobs: Vec<JobStatus>) -> Status {
        Status {
            agent: AgentId::ZERO,
            repository: RepositoryId::ZERO,
            server: None,
            code: String::new(),
            daemon: true,
            certificate_until: NOW.plus_seconds(86_400),
            controller: "https://controller.example:7443".to_owned(),
            controller_seen: Some(NOW.plus_seconds(-5)),
            clock_ahead_s: Some(-3),
            spool: SpoolCount { waiting: 2, kept: 9 },
            inventory: InventoryStatus {
                sent: true,
                told: None,
                smart: true,
                smartctl: None,
                refused_disks: 0,
            },
            policy: Shown {
                key: None,
                told: PolicyTold::default(),
                issued: None,
                content: PolicyContent::default(),
                notes: Vec::new(),
                narrowings: Vec::new(),
            },
            jobs,
            now: NOW,
        }
    }

    #[test]
    fn a_job_that_never_ran_and_one_that_did() {
        let done = JobStatus {
            last_started: Some(NOW.plus_seconds(-100)),
            last_ok: Some(NOW.plus_seconds(-90)),
            next_run: Some(NOW.plus_seconds(10)),
            outcome: Some(Outcome::Warnings),
            failures: 3,
            running: true,
            ..job("done")
        };
        let runs = LastRuns::default();
        runs.note_bytes("done", 1000, 10);
        let figures = figures(&status(vec![job("new"), done]), &runs);
        let get = |metric, labels: &[&str]| figures.get(metric, labels);
        assert_eq!(get(&LAST_SUCCESS, &["new"]), Some(0.0));
        assert_eq!((get(&NEXT_RUN, &["new"]), get(&READ, &["new"])), (None, None));
        assert_eq!(get(&OUTCOME, &["new", "ok"]), Some(0.0));
        assert_eq!(get(&LAST_SUCCESS, &["done"]), Some(1_799_999_910.0));
        assert_eq!(get(&NEXT_RUN, &["done"]), Some(1_800_000_010.0));
        assert_eq!(get(&OUTCOME, &["done", "warnings"]), Some(1.0));
        assert_eq!(get(&OUTCOME, &["done", "ok"]), Some(0.0));
        assert_eq!((get(&READ, &["done"]), get(&SENT, &["done"])), (Some(1000.0), Some(10.0)));
        assert_eq!((get(&RUNNING, &["done"]), get(&FAILURES, &["done"])), (Some(1.0), Some(3.0)));
        assert_eq!((get(&REPORTS, &[]), get(&CLOCK_AHEAD, &[])), (Some(2.0), Some(-3.0)));
        assert_eq!(get(&CERTIFICATE_EXPIRY, &["own"]), Some(1_800_086_400.0));
        let page = figures.into_text();
        assert!(!page.contains("secret") && !page.contains("controller.example"), "{page}");
    }
}
