//! One agent on the board: what its heartbeats add up to. Pure.
//!
//! Invariants: a span goes on if the silence before was no longer than the patience, and else a new one begins; a span
//! that was written once is written again with the same beginning. What was not written stays due.

use std::hash::{DefaultHasher, Hash, Hasher};

use lumbung_model::{DatasetId, Timestamp};
use lumbung_wire::messages::{HeartbeatRequest, JobState};

use super::TOLD_EVERY_S;

/// Heartbeats without a silence between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
    /// How many.
    pub beats: i64,
    /// When the host had started, by our clock, as the first of them told.
    pub booted: Option<Timestamp>,
}

/// What a heartbeat says, as it is kept.
#[derive(Debug, Clone)]
pub struct Said {
    /// The agent's clock.
    pub clock: Timestamp,
    /// Version of its program.
    pub version: Box<str>,
    /// Health of its host, JSON.
    pub health: Box<str>,
    /// Its jobs, JSON.
    pub jobs: Box<str>,
    /// Seconds since the host started.
    uptime_s: u64,
    jobs_seen: u64,
    names: u64,
}

impl Said {
    /// # Errors
    /// If a figure has no form in JSON.
    pub fn of(beat: &HeartbeatRequest) -> serde_json::Result<Self> {
        let jobs = serde_json::to_string(&beat.jobs)?;
        Ok(Self {
            clock: beat.now,
            version: beat.version.as_str().into(),
            health: serde_json::to_string(&beat.health)?.into(),
            uptime_s: beat.health.uptime_s,
            jobs_seen: digest(&jobs.as_str()),
            jobs: jobs.into(),
            names: names(&beat.jobs),
        })
    }

    /// When the host started, by our clock; none if it does not say.
    fn booted(&self, now: Timestamp) -> Option<Timestamp> {
        let uptime_s = i64::try_from(self.uptime_s).ok().filter(|seconds| *seconds > 0)?;
        Some(now.plus_seconds(-uptime_s))
    }
}

/// Told from one another by this: whether a list of jobs was seen before.
fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn names(jobs: &[JobState]) -> u64 {
    let names: Vec<(&DatasetId, &str)> =
        jobs.iter().map(|job| (&job.dataset, job.name.as_str())).collect();
    digest(&names)
}

/// What the database knows of an agent when it comes onto the board.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// Its newest span.
    pub span: Option<Span>,
    /// Its version, if it ever told one.
    pub version: Option<String>,
    /// Its jobs, JSON, if it ever told them.
    pub jobs: Option<String>,
    /// It names datasets that the register does not know.
    pub unregistered: bool,
}

/// What a heartbeat brought beside being heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Its datasets are to be held against the register.
    pub note_jobs: bool,
}

/// What is to be written of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// When it was heard of last, by our clock.
    pub last_seen: Timestamp,
    /// What its clock said then.
    pub clock: Timestamp,
    /// Spans that ended, and the present one.
    pub spans: Vec<Span>,
    /// What it told, where that is due.
    pub told: Option<Told>,
    /// As of which heartbeat.
    heard: u64,
}

/// What is written of what an agent told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Version of its program.
    pub version: Box<str>,
    /// Health of its host, JSON.
    pub health: Box<str>,
    /// Its jobs, JSON, where they are others than those that were written.
    pub jobs: Option<Box<str>>,
}

/// What of an agent is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// It was not heard since all of it was written.
    Nothing,
    /// Only the health of its host is newer than what is written.
    Written,
    /// When it was heard.
    Seen,
    /// That, and what it told long ago: as many at once as the database takes easily.
    Old,
    /// That, and what it told: it is new.
    All,
}

/// An agent on the board.
#[derive(Debug)]
pub(super) struct Entry {
    /// Heartbeats since it came onto the board, and up to which of them is written.
    heard: u64,
    written: u64,
    last_seen: Timestamp,
    clock: Timestamp,
    span: Option<Span>,
    ended: Vec<Span>,
    version: Box<str>,
    health: Box<str>,
    /// Where they are not written.
    jobs: Option<Box<str>>,
    jobs_seen: Option<u64>,
    names: Option<u64>,
    /// When datasets that the register does not know were noted; none if it names none.
    noted: Option<Timestamp>,
    /// When what it told was written; none if that must not wait.
    told: Option<Timestamp>,
    /// As of which heartbeat that was.
    told_written: u64,
}

impl Entry {
    pub(super) fn new(now: Timestamp, stored: Stored) -> Self {
        let jobs: Option<Vec<JobState>> =
            stored.jobs.as_deref().and_then(|jobs| serde_json::from_str(jobs).ok());
        Self {
            heard: 0,
            written: 0,
            last_seen: now,
            clock: now,
            span: stored.span,
            ended: Vec::new(),
            version: stored.version.unwrap_or_default().into(),
            health: Box::default(),
            jobs: None,
            jobs_seen: stored.jobs.as_deref().map(|jobs| digest(&jobs)),
            names: jobs.as_deref().map(names),
            noted: stored.unregistered.then_some(Timestamp(i64::MIN)),
            told: Some(now),
            told_written: 0,
        }
    }

    pub(super) fn hear(&mut self, now: Timestamp, said: Said, late_after_s: i64) -> Heard {
        self.heard += 1;
        (self.last_seen, self.clock) = (now, said.clock);
        match &mut self.span {
            Some(span) if now.seconds_since(span.last) <= late_after_s => {
                span.last = span.last.max(now);
                span.beats += 1;
            }
            _ => {
                let booted = said.booted(now);
                let ended = self.span.replace(Span { first: now, last: now, beats: 1, booted });
                // What was read from the database, or written before, is there already; again does no harm.
                self.ended.extend(ended);
            }
        }
        let other_jobs = self.jobs_seen.replace(said.jobs_seen) != Some(said.jobs_seen);
        if other_jobs || self.version != said.version {
            self.told = None;
        }
        if other_jobs {
            self.jobs = Some(said.jobs);
        }
        (self.version, self.health) = (said.version, said.health);
        let new = self.names.replace(said.names) != Some(said.names);
        let again = self.noted.is_some_and(|noted| now.seconds_since(noted) >= TOLD_EVERY_S);
        Heard { note_jobs: new || again }
    }

    /// The datasets of its jobs were held against the register.
    pub(super) fn noted(&mut self, now: Timestamp, unregistered: bool) {
        self.noted = unregistered.then_some(now);
    }

    /// They could not be: the next heartbeat tries again.
    pub(super) fn not_noted(&mut self) {
        self.names = None;
    }

    /// What of it is to be written at `now`.
    pub(super) fn due(&self, now: Timestamp) -> Due {
        match self.told {
            _ if self.heard == self.told_written => Due::Nothing,
            None => Due::All,
            Some(told) if now.seconds_since(told) >= TOLD_EVERY_S => Due::Old,
            Some(_) if self.heard == self.written => Due::Written,
            Some(_) => Due::Seen,
        }
    }

    /// What is to be written now.
    pub(super) fn to_keep(&self, with_told: bool) -> Kept {
        let told = || Told {
            version: self.version.clone(),
            health: self.health.clone(),
            jobs: self.jobs.clone(),
        };
        Kept {
            last_seen: self.last_seen,
            clock: self.clock,
            spans: self.ended.iter().copied().chain(self.span).collect(),
            told: with_told.then(told),
            heard: self.heard,
        }
    }

    /// That was written.
    pub(super) fn kept(&mut self, now: Timestamp, kept: &Kept) {
        self.written = kept.heard;
        self.ended.retain(|span| !kept.spans.contains(span));
        let Some(told) = &kept.told else { return };
        self.told_written = kept.heard;
        // A heartbeat may have come while the database wrote.
        let jobs_are_newer = self.jobs.is_some() && self.jobs != told.jobs;
        if !jobs_are_newer {
            self.jobs = None;
        }
        if !jobs_are_newer && self.version == told.version {
            self.told = Some(now);
        }
    }

    /// What lies over the database: nothing while the agent has not been heard since it came onto the board.
    pub(super) fn seen(&self) -> Option<(Timestamp, Timestamp)> {
        (self.heard > 0).then_some((self.last_seen, self.clock))
    }

    pub(super) fn version(&self) -> Option<&str> {
        (self.heard > 0).then_some(&*self.version)
    }

    pub(super) fn health(&self) -> Option<&str> {
        (self.heard > 0).then_some(&*self.health)
    }

    pub(super) fn jobs(&self) -> Option<&str> {
        self.jobs.as_deref()
    }
}

#[cfg(test)]
mod tests;
