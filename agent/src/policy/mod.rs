//! The policy that this agent keeps: what the register asks it to back up, beside its own file.
//!
//! Invariants: nothing is kept that was not verified, and it is verified again whenever it is read. The key that signs
//! policies is that of the enrolment, or of the first policy, and is replaced by somebody on this server only. A policy
//! with a number that is not higher than what was seen is refused; one that narrows what is backed up waits until it is
//! confirmed here or by a root key of the PD, while the old one goes on. What is kept changes under a lock, as a whole.

pub mod commands;
mod jobs;
mod judge;
mod receive;

#[cfg(test)]
mod tests;

pub use jobs::{Effective, JobNote, effective};
pub use judge::{Asked, Verdict, judge};
pub use receive::{Received, receive};

use lumbung_model::{AgentId, PolicyHash, PublicKey, ServerId};
use lumbung_wire::messages::policy::{Policy, PolicyMark, PolicyTold, SignedPolicy};
use lumbung_wire::policy::{self as wire, PolicyError};
use serde::{Deserialize, Serialize};

use crate::state::{StateDir, StateError};

/// Why what is kept cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// What is kept was changed, or is another agent's.
    #[error(
        "policy.json in {} cannot be used ({reason}): the jobs of the agent's own file go on; move it away, and the policy \
         is taken from the controller anew", path.display()
    )]
    Damaged {
        /// The state directory.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Nothing waits, or something else.
    #[error("{0}")]
    NotPending(String),
}

/// A policy that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// As it was signed.
    pub signed: SignedPolicy,
    /// What it says.
    pub policy: Policy,
    /// Which it is.
    pub mark: PolicyMark,
}

impl Opened {
    /// Verifies what `key` should have signed.
    ///
    /// # Errors
    /// If it is not believed, or could not be used.
    pub fn of(signed: SignedPolicy, key: &PublicKey) -> Result<Self, PolicyError> {
        let (policy, mark) = wire::open(&signed, key)?;
        Ok(Self { signed, policy, mark })
    }
}

/// A policy that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The hash of its text.
    pub hash: PolicyHash,
    /// Why, for people.
    pub reason: String,
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    /// The key that signs policies.
    pub key: Option<PublicKey>,
    /// The policy by which the agent works.
    pub accepted: Option<Opened>,
    /// One that narrows it, and waits.
    pub pending: Option<Opened>,
    /// The last one that was not taken, until another one is.
    pub refused: Option<Refusal>,
}

/// The ledger's file.
#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<PublicKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accepted: Option<SignedPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending: Option<SignedPolicy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<Refusal>,
}

impl Ledger {
    /// Reads and verifies what is kept; nothing, if there is nothing.
    ///
    /// # Errors
    /// If it cannot be read, was changed, or is another agent's.
    pub fn load(state: &StateDir, agent: AgentId) -> Result<Self, KeptError> {
        let damaged = |reason: String| KeptError::Damaged { path: state.path().to_owned(), reason };
        let Some(text) = state.policy()? else { return Ok(Self::default()) };
        let file: File = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
        // Whoever signed it was believed when it was taken; the key may have been replaced since.
        let open = |signed: Option<SignedPolicy>| -> Result<Option<Opened>, KeptError> {
            let Some(signed) = signed else { return Ok(None) };
            let signer = signed.signer;
            let opened = Opened::of(signed, &signer).map_err(|e| damaged(e.to_string()))?;
            if opened.policy.agent != agent {
                return Err(damaged("it is for another agent".to_owned()));
            }
            Ok(Some(opened))
        };
        Ok(Self {
            key: file.key,
            accepted: open(file.accepted)?,
            pending: open(file.pending)?,
            refused: file.refused,
        })
    }

    /// Keeps it, durably.
    ///
    /// # Errors
    /// If it was not kept.
    pub fn save(&self, state: &StateDir) -> Result<(), KeptError> {
        let signed = |opened: &Option<Opened>| opened.as_ref().map(|one| one.signed.clone());
        let file = File {
            key: self.key,
            accepted: signed(&self.accepted),
            pending: signed(&self.pending),
            refused: self.refused.clone(),
        };
        let damaged = |e: serde_json::Error| KeptError::Damaged {
            path: state.path().to_owned(),
            reason: e.to_string(),
        };
        Ok(state.write_policy(&serde_json::to_vec(&file).map_err(damaged)?)?)
    }

    /// Changes what is kept, under its lock; a ledger that stays the same is not written.
    ///
    /// # Errors
    /// What `change` returns, or that it was not kept.
    pub fn change<T, E: From<KeptError>>(
        state: &StateDir,
        agent: AgentId,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = state.lock_policy().map_err(KeptError::from)?;
        let before = Self::load(state, agent)?;
        let mut after = before.clone();
        let value = change(&mut after)?;
        if after != before {
            after.save(state)?;
        }
        Ok(value)
    }

    /// Takes the policy that waits, because somebody on this server says so.
    ///
    /// # Errors
    /// If none waits, or one with another number.
    pub fn confirm(&mut self, version: u64) -> Result<(), KeptError> {
        let wrong = |text: String| Err(KeptError::NotPending(text));
        match self.pending.take() {
            Some(pending) if pending.mark.version == version => {
                self.accepted = Some(pending);
                Ok(())
            }
            Some(pending) => {
                let text = format!(
                    "policy {} waits, not {version}: look at it (`lumbung-agent policy diff`) and confirm that number",
                    pending.mark.version
                );
                self.pending = Some(pending);
                wrong(text)
            }
            None => wrong("no policy waits to be confirmed".to_owned()),
        }
    }

    /// Believes another key from now on.
    pub fn trust(&mut self, key: PublicKey) {
        self.key = Some(key);
        self.refused = None;
    }

    /// What the controller is told.
    #[must_use]
    pub fn told(&self, follows: bool, notes: &[JobNote]) -> PolicyTold {
        if !follows {
            return PolicyTold::default();
        }
        let mut refused: Vec<String> =
            self.refused.iter().map(|refusal| refusal.reason.clone()).collect();
        refused.extend(notes.iter().filter(|note| note.is_fault).map(ToString::to_string));
        PolicyTold {
            follows,
            applied: self.accepted.as_ref().map(|one| one.mark),
            pending: self.pending.as_ref().map(|one| one.mark),
            refused: refused.join("; ").chars().take(TOLD_MAX_CHARS).collect(),
        }
    }
}

/// More than this no controller takes.
const TOLD_MAX_CHARS: usize = 1000;

/// Keeps the key that enrolment named.
///
/// # Errors
/// If it was not kept.
pub fn pin(state: &StateDir, agent: AgentId, key: PublicKey) -> Result<(), KeptError> {
    Ledger::change(state, agent, |ledger| {
        if ledger.key != Some(key) {
            ledger.trust(key);
        }
        Ok(())
    })
}

/// Who the agent is, for whoever judges a policy.
#[derive(Debug, Clone, Copy)]
pub struct Whose {
    /// The agent.
    pub agent: AgentId,
    /// Its server in the register.
    pub server: Option<ServerId>,
}
