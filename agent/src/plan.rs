//! What the daemon does next, as a function of the time and of what is known of each job.
//!
//! Invariants: pure. At most one job runs at a time on a host (a backup may use all of its disk and
//! line), of those that are due the one that is due longest; a job that was interrupted goes on as
//! soon as the daemon runs again; every failure is followed by a try or by the next scheduled run.

use lumbung_model::schedule::{Backoff, Due, Trigger};
use lumbung_model::{ManifestId, Timestamp};
use lumbung_wire::messages::Outcome;

/// What the planner needs to know of a job in the file.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// Its schedule; only by hand if absent.
    pub trigger: Option<Trigger>,
    /// What follows a failure.
    pub retry: Backoff,
    /// Makes its jitter and waits its own.
    pub seed: u64,
    /// Whether the daemon may start it.
    pub enabled: bool,
}

/// What is known of a job from its earlier runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Since when the job is in the file.
    pub known_since: Timestamp,
    /// When it last started.
    pub last_started: Option<Timestamp>,
    /// When it last finished; before `last_started` while it runs, or if it was killed.
    pub last_finished: Option<Timestamp>,
    /// When it last made a snapshot.
    pub last_ok: Option<Timestamp>,
    /// Failures in a row since the last scheduled start.
    pub failures: u32,
    /// When to try again.
    pub retry_at: Option<Timestamp>,
    /// How it last ended.
    pub outcome: Option<Outcome>,
    /// What there is to say about that.
    pub message: Option<String>,
    /// The newest snapshot.
    pub manifest: Option<ManifestId>,
}

/// How a run ended, for the planner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// A snapshot was made.
    Ok,
    /// A snapshot was made; some entries are flagged.
    Warnings,
    /// It failed in a way that time may heal.
    Transient,
    /// It failed in a way that somebody must look at; trying again at once does not help.
    Permanent,
    /// It was told to stop.
    Interrupted,
}

impl Ending {
    /// As it is reported.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Ok => Outcome::Ok,
            Self::Warnings => Outcome::Warnings,
            Self::Transient | Self::Permanent => Outcome::Failed,
            Self::Interrupted => Outcome::Interrupted,
        }
    }
}

/// Why a job starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Its schedule says so: the time it was due.
    Scheduled(Timestamp),
    /// It failed or was interrupted, and this is the next try.
    Again,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start the job with this index.
    Start(usize, Reason),
    /// Nothing before this time, unless something happens.
    WakeAt(Timestamp),
}

/// When a job starts next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Now(Timestamp, Reason),
    At(Timestamp),
    Never,
}

impl Record {
    /// A job that never ran, known since `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self {
            known_since: now,
            last_started: None,
            last_finished: None,
            last_ok: None,
            failures: 0,
            retry_at: None,
            outcome: None,
            message: None,
            manifest: None,
        }
    }

    /// After a start.
    #[must_use]
    pub fn started(&self, now: Timestamp, reason: Option<Reason>) -> Self {
        let failures = if reason == Some(Reason::Again) { self.failures } else { 0 };
        Self {
            last_started: Some(now),
            last_finished: None,
            retry_at: None,
            failures,
            ..self.clone()
        }
    }

    /// After an end.
    #[must_use]
    pub fn finished(
        &self,
        plan: &JobPlan,
        now: Timestamp,
        ending: Ending,
        message: Option<String>,
    ) -> Self {
        let mut next = self.clone();
        next.last_finished = Some(now);
        next.outcome = Some(ending.outcome());
        next.message = message;
        next.retry_at = None;
        match ending {
            Ending::Ok | Ending::Warnings => {
                next.last_ok = Some(now);
                next.failures = 0;
            }
            Ending::Transient => {
                next.failures = next.failures.saturating_add(1);
                let wait = plan.retry.wait_after(next.failures, plan.seed);
                next.retry_at = wait.map(|wait| now.plus_seconds(i64::from(wait.as_seconds())));
            }
            Ending::Permanent => next.failures = next.failures.saturating_add(1),
            Ending::Interrupted => next.retry_at = Some(now),
        }
        next
    }

    /// What is known when the daemon starts: a run that never ended was killed, and goes on now.
    #[must_use]
    pub fn recovered(&self, now: Timestamp) -> Self {
        let mut next = self.clone();
        if next.last_started.is_some() && next.last_finished.is_none() {
            next.last_finished = Some(now);
            next.outcome = Some(Outcome::Interrupted);
            next.message = Some("the run was killed; it goes on from its journal".to_owned());
            next.retry_at = Some(now);
        }
        next
    }
}

fn next(now: Timestamp, job: &JobPlan, record: &Record) -> Next {
    let Some(trigger) = job.trigger.as_ref().filter(|_| job.enabled) else { return Next::Never };
    let since = record.last_started.unwrap_or(record.known_since);
    let scheduled = trigger.decide(since, now);
    if let Due::Now(due) = scheduled {
        return Next::Now(due, Reason::Scheduled(due));
    }
    // A try further ahead than any wait was set before the clock was put back: it is due.
    let longest = now.plus_seconds(i64::from(job.retry.cap.as_seconds()));
    match (record.retry_at, scheduled) {
        (Some(retry), _) if retry <= now || retry > longest => {
            Next::Now(retry.min(now), Reason::Again)
        }
        (Some(retry), Due::At(at)) => Next::At(at.min(retry)),
        (Some(retry), _) => Next::At(retry),
        (None, Due::At(at)) => Next::At(at),
        (None, _) => Next::Never,
    }
}

/// When a job starts next, for people: `now` if it is due; none if only by hand.
#[must_use]
pub fn next_run(now: Timestamp, job: &JobPlan, record: &Record) -> Option<Timestamp> {
    match next(now, job, record) {
        Next::Now(..) => Some(now),
        Next::At(at) => Some(at),
        Next::Never => None,
    }
}

/// What to do at `now`; `running` says whether a job runs already. Its end is an event of its own.
#[must_use]
pub fn plan(now: Timestamp, jobs: &[(JobPlan, Record)], running: bool) -> Vec<Action> {
    if running {
        return Vec::new();
    }
    let all = || jobs.iter().enumerate().map(|(i, (job, record))| (i, next(now, job, record)));
    let due = all().filter_map(|(i, next)| match next {
        Next::Now(due, reason) => Some((due, i, reason)),
        _ => None,
    });
    if let Some((_, i, reason)) = due.min_by_key(|(due, i, _)| (*due, *i)) {
        return vec![Action::Start(i, reason)];
    }
    let wake = all().filter_map(|(_, next)| match next {
        Next::At(at) => Some(at),
        _ => None,
    });
    wake.min().map(Action::WakeAt).into_iter().collect()
}

#[cfg(test)]
mod tests;
