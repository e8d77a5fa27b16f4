//! `lumbung-agent policy`: what somebody on this server sees of its policy and decides about it.

use std::fmt::Write as _;

use lumbung_model::{PublicKey, Timestamp};
use lumbung_wire::messages::policy::{Narrowing, PolicyContent, PolicyMark, PolicyTold};
use lumbung_wire::policy::narrows;
use serde::Serialize;

use super::{JobNote, KeptError, Ledger, Opened, effective};
use crate::config::Config;
use crate::output::local;
use crate::state::StateDir;

/// The policy, as `policy show --json` and `status --json` print it.
#[derive(Debug, Serialize)]
pub struct Shown {
    /// The key that signs policies.
    pub key: Option<PublicKey>,
    /// What the controller is told.
    pub told: PolicyTold,
    /// When the one that holds was published.
    pub issued: Option<Timestamp>,
    /// What it asks for.
    pub content: PolicyContent,
    /// What of it is not done as it says.
    pub notes: Vec<JobNote>,
    /// How the one that waits asks for less.
    pub narrowings: Vec<Narrowing>,
}

impl Shown {
    /// What there is to see.
    #[must_use]
    pub fn of(config: &Config, ledger: &Ledger, now: Timestamp) -> Self {
        let accepted = ledger.accepted.as_ref();
        let notes = effective(config, accepted.map(|one| &one.policy)).notes;
        let content = accepted.map(|one| one.policy.content.clone()).unwrap_or_default();
        let less = |pending: &Opened| {
            let all = narrows(&content, &pending.policy.content, now).into_iter();
            let own =
                |one: &Narrowing| config.jobs.iter().any(|job| Some(job.dataset) == one.dataset());
            all.filter(|one| !own(one)).collect()
        };
        Self {
            key: ledger.key,
            told: ledger.told(config.follow_policy, &notes),
            issued: accepted.map(|one| one.policy.issued),
            narrowings: ledger.pending.as_ref().map(less).unwrap_or_default(),
            content,
            notes,
        }
    }

    /// A few lines for `status`; nothing, if there is nothing to say.
    #[must_use]
    pub fn lines(&self) -> String {
        if !self.told.follows {
            return "policy: not followed ([policy] follow = false)\n".to_owned();
        }
        let mut out = String::new();
        if let Some(PolicyMark { version, .. }) = self.told.applied {
            let _ = writeln!(out, "policy {version}: {} datasets", self.content.jobs.len());
        }
        if let Some(PolicyMark { version, .. }) = self.told.pending {
            let _ = writeln!(
                out,
                "warning: policy {version} asks for less and WAITS; the old one goes on (lumbung-agent policy diff, then \
                 policy confirm {version})"
            );
        }
        if !self.told.refused.is_empty() {
            let _ = writeln!(out, "warning: of the policy is not followed: {}", self.told.refused);
        }
        out
    }

    /// In words.
    #[must_use]
    pub fn to_text(&self, zone: chrono_tz::Tz) -> String {
        let mut out = self.lines();
        if out.is_empty() {
            out.push_str("no policy has come from the controller yet\n");
        }
        if let Some(issued) = self.issued {
            let _ = writeln!(out, "published {}", local(issued, zone));
        }
        if let Some(key) = self.key {
            let _ = writeln!(out, "signed with key {key}");
        }
        for job in &self.content.jobs {
            let _ = writeln!(out, "\n{} (dataset {})", job.label, job.dataset);
            let _ = writeln!(out, "  schedule  {} ({})", job.schedule, job.timezone);
            for path in &job.paths {
                let _ = writeln!(out, "  path      {path}");
            }
            for pattern in &job.exclude {
                let _ = writeln!(out, "  without   {pattern}");
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "\nnote: {note}");
        }
        out
    }

    /// How the one that waits asks for less, in words.
    #[must_use]
    pub fn difference(&self) -> String {
        let Some(PolicyMark { version, hash }) = self.told.pending else {
            return "no policy waits to be confirmed\n".to_owned();
        };
        let mut out = format!("policy {version} (hash {hash}) asks for less:\n");
        for narrowing in &self.narrowings {
            let _ = writeln!(out, "  - {narrowing}");
        }
        let _ = writeln!(out, "to take it: lumbung-agent policy confirm {version}");
        out
    }
}

/// Takes the policy that waits.
///
/// # Errors
/// If none waits, or one with another number.
pub fn confirm(state: &StateDir, version: u64) -> anyhow::Result<PolicyMark> {
    let (identity, ..) = state.enrolled()?;
    let taken = Ledger::change(state, identity.agent, |ledger| {
        ledger.confirm(version)?;
        let taken = ledger.accepted.as_ref().map(|one| one.mark);
        taken.ok_or_else(|| KeptError::NotPending("no policy waits to be confirmed".to_owned()))
    })?;
    Ok(taken)
}

/// Believes another key.
///
/// # Errors
/// If it was not kept.
pub fn trust(state: &StateDir, key: PublicKey) -> anyhow::Result<()> {
    let (identity, ..) = state.enrolled()?;
    Ledger::change(state, identity.agent, |ledger| {
        ledger.trust(key);
        Ok::<_, KeptError>(())
    })?;
    Ok(())
}
