//! The jobs of the agent: those of its own file, and those of its policy that the file does not name. Pure.
//!
//! Invariant: what the file says of a dataset stands alone, be it `enabled = false`; a policy's job that cannot be used is
//! left out with a note and takes no other with it. Of the file's caps and the policy's the lower one applies.

use std::path::PathBuf;

use lumbung_engine::Excludes;
use lumbung_model::schedule::{Backoff, Period, Schedule};
use lumbung_model::{DatasetId, Timestamp};
use lumbung_wire::messages::policy::{Policy, PolicyGap, PolicyJob};
use lumbung_wire::policy::{lies_in_folders, rate_plan, schedule};
use serde::Serialize;

use crate::config::{Config, Job};

/// The most that a start is put off: a city's servers do not all begin at once.
const JITTER_MAX_S: i64 = 30 * 60;

/// A dataset of the policy that is not backed up as the policy says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobNote {
    /// The dataset.
    pub dataset: DatasetId,
    /// What people call it.
    pub label: String,
    /// Why.
    pub note: String,
    /// Whether somebody has to correct something.
    pub is_fault: bool,
}

impl std::fmt::Display for JobNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.label, self.dataset, self.note)
    }
}

/// What the agent does, from its file and its policy.
#[derive(Debug, Clone)]
pub struct Effective {
    /// The file's configuration with the policy's jobs at the end.
    pub config: Config,
    /// What the policy says in vain.
    pub notes: Vec<JobNote>,
}

/// Puts file and policy together.
#[must_use]
pub fn effective(file: &Config, policy: Option<&Policy>) -> Effective {
    let mut together = Effective { config: file.clone(), notes: Vec::new() };
    let Some(policy) = policy.filter(|_| file.follow_policy) else { return together };
    if let Some(plan) = policy.content.rates.as_ref().and_then(|rates| rate_plan(rates).ok()) {
        together.config.rates = together.config.rates.and(plan);
    }
    for asked in &policy.content.jobs {
        let own = file.jobs.iter().find(|job| job.dataset == asked.dataset);
        let (note, is_fault) = match own {
            Some(own) => (format!("this server's own file says it, as job {}", own.name), false),
            None => match job(asked, policy.issued) {
                Ok(job) => {
                    together.config.jobs.push(job);
                    continue;
                }
                Err(note) => (note, true),
            },
        };
        let (dataset, label) = (asked.dataset, asked.label.clone());
        together.notes.push(JobNote { dataset, label, note, is_fault });
    }
    for skipped in &policy.content.skipped {
        let note = match skipped.gap {
            PolicyGap::Kind => {
                "no path of it can be backed up: a [[job]] in this server's own file has to say how to reach it, such as by [job.postgresql]"
            }
            PolicyGap::NoPaths => "the register names no path of it",
            PolicyGap::Entry => "the register names a path or schedule that cannot be used",
            PolicyGap::Repository => "the register has it in another repository",
        };
        let (dataset, label) = (skipped.dataset, skipped.label.clone());
        together.notes.push(JobNote { dataset, label, note: note.to_owned(), is_fault: false });
    }
    together
}

fn job(asked: &PolicyJob, issued: Timestamp) -> Result<Job, String> {
    if !lies_in_folders(asked.kind) {
        return Err(format!("this version backs up no dataset of kind {}", asked.kind));
    }
    Excludes::new(&asked.exclude).map_err(|error| format!("not backed up: {error}"))?;
    let schedule = schedule(asked).map_err(|error| format!("not backed up: {error}"))?;
    Ok(Job {
        // No job of a file has a colon in its name.
        name: format!("policy:{}", asked.dataset),
        dataset: asked.dataset,
        label: asked.label.clone(),
        paths: asked.paths.iter().map(PathBuf::from).collect(),
        stream: None,
        before: None,
        after: None,
        exclude: asked.exclude.clone(),
        one_file_system: false,
        jitter: jitter(&schedule, issued),
        schedule: Some(schedule),
        catch_up: true,
        retry: Backoff { attempts: 6, first: Period::seconds(60), cap: Period::seconds(3600) },
        enabled: true,
    })
}

/// A quarter of the time between two runs, half an hour at most: the same for as long as the policy is the same.
fn jitter(schedule: &Schedule, issued: Timestamp) -> Period {
    let first = schedule.next_after(issued);
    let second = first.and_then(|first| schedule.next_after(first));
    let between_s = first.zip(second).map_or(0, |(first, second)| second.seconds_since(first));
    let jitter_s = (between_s / 4).clamp(0, JITTER_MAX_S);
    Period::seconds(u32::try_from(jitter_s).unwrap_or(0))
}
