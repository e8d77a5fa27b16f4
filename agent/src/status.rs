//! `status` and `config check`: what there is to see, gathered and put in words.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use lumbung_model::{AgentId, DatasetId, ManifestId, RepositoryId, ServerId, Timestamp};
use lumbung_seal::AgentIdentity;
use lumbung_wire::certs;
use lumbung_wire::messages::Outcome;
use serde::Serialize;

use crate::config::Config;
use crate::controller::CLOCK_WARN_S;
use crate::db::{Db, Memo, SpoolCount};
use crate::inventory::find;
use crate::output::local;
use crate::plan::next_run;
use crate::policy::commands::Shown;
use crate::policy::{Ledger, effective};
use crate::run::job_plan;
use crate::state::StateDir;

/// The agent, as `status --json` prints it.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The agent.
    pub agent: AgentId,
    /// Its repository.
    pub repository: RepositoryId,
    /// Its server in the register.
    pub server: Option<ServerId>,
    /// What the custodian adds to the roster.
    pub code: String,
    /// Whether the daemon runs.
    pub daemon: bool,
    /// When its certificate expires.
    pub certificate_until: Timestamp,
    /// The controller's address.
    pub controller: String,
    /// When the controller last answered.
    pub controller_seen: Option<Timestamp>,
    /// Seconds by which the controller's clock is ahead.
    pub clock_ahead_s: Option<i64>,
    /// Reports that wait, and that are kept.
    pub spool: SpoolCount,
    /// What the controller is told of this host.
    pub inventory: InventoryStatus,
    /// The policy.
    pub policy: Shown,
    /// The jobs.
    pub jobs: Vec<JobStatus>,
    /// The time.
    pub now: Timestamp,
}

/// What the controller is told of this host.
#[derive(Debug, Serialize)]
pub struct InventoryStatus {
    /// Whether it is told at all.
    pub sent: bool,
    /// When it was told last.
    pub told: Option<Timestamp>,
    /// Whether disks are asked for their SMART state.
    pub smart: bool,
    /// The program that asks them; none if there is none.
    pub smartctl: Option<PathBuf>,
    /// Disks that the agent may not open.
    pub refused_disks: i64,
}

impl InventoryStatus {
    fn of(config: &Config, db: &Db) -> anyhow::Result<Self> {
        let settings = &config.inventory;
        Ok(Self {
            sent: settings.send,
            told: db.memo(Memo::InventoryTold)?.map(Timestamp),
            smart: settings.smart,
            smartctl: find(settings).map(|smartctl| smartctl.program().to_owned()),
            refused_disks: db.memo(Memo::RefusedDisks)?.unwrap_or(0),
        })
    }

    fn lines(&self, zone: chrono_tz::Tz) -> String {
        if !self.sent {
            return "the controller is not told of this host's hardware (send = false)\n"
                .to_owned();
        }
        let told = self.told.map_or_else(|| "never".to_owned(), |at| local(at, zone));
        let mut out = format!("this host's hardware was told to the controller: {told}\n");
        if self.smart && self.smartctl.is_none() {
            out.push_str(
                "the SMART state of disks is not told: there is no smartctl (install smartmontools)\n",
            );
        } else if self.smart && self.refused_disks > 0 {
            let _ = writeln!(
                out,
                "the SMART state of {} disks is not told: the agent may not open them: see lumbung-agent.service.d/smart.conf in the operations guide",
                self.refused_disks
            );
        }
        out
    }
}

/// One job.
#[derive(Debug, Serialize)]
pub struct JobStatus {
    /// Its name.
    pub name: String,
    /// What people call its dataset.
    pub label: String,
    /// Its dataset.
    pub dataset: DatasetId,
    /// Whether the daemon may start it.
    pub enabled: bool,
    /// Its schedule; none: only by hand.
    pub schedule: Option<String>,
    /// Whether the daemon runs it, or was killed while it did.
    pub running: bool,
    /// When it last started.
    pub last_started: Option<Timestamp>,
    /// When it last made a snapshot.
    pub last_ok: Option<Timestamp>,
    /// The newest snapshot.
    pub manifest: Option<ManifestId>,
    /// How it last ended.
    pub outcome: Option<Outcome>,
    /// What there is to say about that.
    pub message: Option<String>,
    /// Failures in a row.
    pub failures: u32,
    /// When it starts next.
    pub next_run: Option<Timestamp>,
}

/// Gathers the status. Works with and without a daemon.
///
/// # Errors
/// If the agent is not enrolled, or its files cannot be read.
pub fn collect(config: &Config, now: Timestamp) -> anyhow::Result<Status> {
    let state = StateDir::create(&config.state)?;
    let db = Db::open(&state.database())?;
    let daemon = state.lock_daemon()?.is_none();
    gather(config, (&state, &db), daemon, now)
}

/// The status by an open database; `daemon` says whether the daemon runs.
pub(crate) fn gather(
    config: &Config,
    (state, db): (&StateDir, &Db),
    daemon: bool,
    now: Timestamp,
) -> anyhow::Result<Status> {
    let (identity, tls, enrolment) = state.enrolled()?;
    let controller = config.controller.as_ref().map_or(enrolment.controller, ToString::to_string);
    let (ledger, damaged) = match Ledger::load(state, identity.agent) {
        Ok(ledger) => (ledger, None),
        Err(error) => (Ledger::default(), Some(lumbung_model::with_causes(&error))),
    };
    let mut shown = Shown::of(config, &ledger, now);
    shown.told.refused.push_str(damaged.as_deref().unwrap_or_default());
    let policy = ledger.accepted.as_ref().map(|accepted| &accepted.policy);
    let all = effective(config, policy).config;
    let jobs = all
        .jobs
        .iter()
        .map(|job| job_status(db, job, &identity, now))
        .collect::<anyhow::Result<_>>()?;
    Ok(Status {
        agent: identity.agent,
        repository: identity.repository,
        server: enrolment.server,
        code: identity.public_code(),
        daemon,
        certificate_until: certs::facts(&tls.certificate_pem)?.not_after,
        controller,
        controller_seen: db.memo(Memo::ControllerSeen)?.map(Timestamp),
        clock_ahead_s: db.memo(Memo::ClockAhead)?,
        spool: db.spool()?,
        inventory: InventoryStatus::of(config, db)?,
        policy: shown,
        jobs,
        now,
    })
}

fn job_status(
    db: &Db,
    job: &crate::config::Job,
    identity: &AgentIdentity,
    now: Timestamp,
) -> anyhow::Result<JobStatus> {
    let known = db.peek(&job.name)?.unwrap_or_else(|| crate::plan::Record::new(now));
    let running = known.last_started.is_some() && known.last_finished.is_none();
    Ok(JobStatus {
        name: job.name.clone(),
        label: job.label.clone(),
        dataset: job.dataset,
        enabled: job.enabled,
        schedule: job.schedule.as_ref().map(ToString::to_string),
        running,
        last_started: known.last_started,
        last_ok: known.last_ok,
        manifest: known.manifest,
        outcome: known.outcome,
        next_run: next_run(now, &job_plan(job, identity), &known),
        message: known.message,
        failures: known.failures,
    })
}

impl Status {
    /// In words.
    #[must_use]
    pub fn to_text(&self, zone: chrono_tz::Tz) -> String {
        let mut out = format!("agent {}, repository {}\n", self.agent, self.repository);
        if !self.daemon {
            out.push_str("the daemon does not run: nothing happens by schedule (systemctl start lumbung-agent)\n");
        }
        let until = local(self.certificate_until, zone);
        let _ = writeln!(
            out,
            "certificate valid until {until}{}",
            if self.now > self.certificate_until { ": EXPIRED" } else { "" }
        );
        let seen = self.controller_seen.map_or_else(|| "never".to_owned(), |t| local(t, zone));
        let _ = writeln!(
            out,
            "controller {}, last answer {seen}; {} reports wait",
            self.controller, self.spool.waiting
        );
        if let Some(ahead) = self.clock_ahead_s.filter(|s| s.abs() > CLOCK_WARN_S) {
            let direction = if ahead > 0 { "behind" } else { "ahead of" };
            let _ = writeln!(
                out,
                "warning: this host's clock is {} min {direction} the controller's",
                ahead.abs() / 60
            );
        }
        out.push_str(&self.inventory.lines(zone));
        out.push_str(&self.policy.lines());
        for job in &self.jobs {
            out.push('\n');
            out.push_str(&job.to_text(zone, self.daemon));
        }
        out
    }
}

impl JobStatus {
    fn to_text(&self, zone: chrono_tz::Tz, daemon: bool) -> String {
        let when = |time: Option<Timestamp>, none: &str| {
            time.map_or_else(|| none.to_owned(), |t| local(t, zone))
        };
        let name = if self.name.starts_with("policy:") { &self.label } else { &self.name };
        let mut out = format!("{name} (dataset {})\n", self.dataset);
        let _ = writeln!(out, "  last good   {}", when(self.last_ok, "never"));
        let last = match self.outcome {
            _ if self.running && daemon => "running".to_owned(),
            _ if self.running => "killed with the daemon; goes on when that starts".to_owned(),
            None => "never ran".to_owned(),
            Some(Outcome::Ok) => "ok".to_owned(),
            Some(Outcome::Warnings) => "ok, with warnings".to_owned(),
            Some(Outcome::Failed) => format!("failed, {} in a row", self.failures),
            Some(Outcome::Interrupted) => "interrupted".to_owned(),
        };
        let _ = writeln!(out, "  last run    {last}");
        if let Some(message) = &self.message {
            let _ = writeln!(out, "              {message}");
        }
        let next = match (self.enabled, &self.schedule) {
            (false, _) => "off (enabled = false)".to_owned(),
            (true, None) => "by hand only (no schedule)".to_owned(),
            (true, Some(schedule)) => {
                format!("{}, schedule {schedule}", when(self.next_run, "never"))
            }
        };
        let _ = writeln!(out, "  next run    {next}");
        out
    }
}

/// A configuration that was found to be right.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// What to look at all the same.
    pub warnings: Vec<String>,
    /// Its jobs.
    pub jobs: Vec<CheckedJob>,
}

/// A job of it.
#[derive(Debug, Serialize)]
pub struct CheckedJob {
    /// Its name.
    pub name: String,
    /// The next times it is due, before jitter.
    pub next: Vec<Timestamp>,
}

/// What a right configuration will do.
#[must_use]
pub fn check(config: &Config, now: Timestamp) -> Checked {
    let mut warnings = Vec::new();
    let mut jobs = Vec::new();
    for job in &config.jobs {
        for path in job.paths.iter().filter(|path| std::fs::symlink_metadata(path).is_err()) {
            warnings.push(format!(
                "job {}: {} is not there, or this user may not see it",
                job.name,
                path.display()
            ));
        }
        let due = |t: &Timestamp| job.schedule.as_ref().and_then(|s| s.next_after(*t));
        let next = std::iter::successors(due(&now), due).take(3).collect();
        jobs.push(CheckedJob { name: job.name.clone(), next });
    }
    if config.jobs.is_empty() {
        warnings.push("there is no [[job]]: nothing will be backed up".to_owned());
    }
    Checked { warnings, jobs }
}

impl Checked {
    /// In words.
    #[must_use]
    pub fn to_text(&self, file: &Path, zone: chrono_tz::Tz) -> String {
        let mut out = format!("{}: fine\n", file.display());
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        for job in &self.jobs {
            let times: Vec<String> = job.next.iter().map(|t| local(*t, zone)).collect();
            let next = if times.is_empty() { "by hand only".to_owned() } else { times.join(", ") };
            let _ = writeln!(out, "{}: {next}", job.name);
        }
        out
    }
}
