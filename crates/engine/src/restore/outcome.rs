//! What a restore has to tell, collected from several threads.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::rules::{Counts, Step};
use super::{Failure, RestoreOutcome};
use crate::Warning;

const KEPT: usize = 1000;

/// Collects.
#[derive(Debug, Default)]
pub(super) struct Findings {
    outcome: Mutex<RestoreOutcome>,
    counts: Mutex<Counts>,
    /// What does not have the snapshot's content where it should be: nothing is to be linked to it.
    other: Mutex<HashSet<Vec<u8>>>,
    owner_failures: AtomicU64,
}

/// What can be told of an errno.
pub(super) fn told(what: &str, errno: Errno) -> String {
    format!("{what}: {}", std::io::Error::from(errno))
}

impl Findings {
    fn outcome(&self) -> MutexGuard<'_, RestoreOutcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn failed(&self, path: &[u8], reason: impl Into<String>) {
        self.has_other_content(path);
        let mut outcome = self.outcome();
        outcome.failures_total += 1;
        if outcome.failures.len() < KEPT {
            outcome.failures.push(Failure { path: path.to_vec(), reason: reason.into() });
        }
    }

    pub(super) fn has_failures(&self) -> bool {
        self.outcome().failures_total > 0
    }

    pub(super) fn warn(&self, path: &[u8], reason: impl Into<String>) {
        let mut outcome = self.outcome();
        outcome.warnings_total += 1;
        if outcome.warnings.len() < KEPT {
            outcome.warnings.push(Warning::new(path, reason));
        }
    }

    /// A step was taken, and brought so many bytes of content.
    pub(super) fn done(&self, step: Step, bytes: u64) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(step, 1, bytes);
    }

    /// So many entries were removed.
    pub(super) fn deleted(&self, entries: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.add(Step::Delete, entries, 0);
    }

    /// An entry that differs stays as it is.
    pub(super) fn kept(&self, path: &[u8]) {
        self.done(Step::Keep, 0);
        let mut outcome = self.outcome();
        if outcome.kept.len() < KEPT {
            outcome.kept.push(path.to_vec());
        }
    }

    pub(super) fn has_other_content(&self, path: &[u8]) {
        self.other.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_vec());
    }

    /// Whether the entry does not have the snapshot's content where it should be.
    pub(super) fn is_other(&self, path: &[u8]) -> bool {
        self.other.lock().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    /// An owner could not be set. Told once: without the right to, it happens to every entry.
    pub(super) fn owner_failed(&self, path: &[u8]) {
        if self.owner_failures.fetch_add(1, Ordering::Relaxed) == 0 {
            self.warn(
                path,
                "owners cannot be set without root: this and other entries belong to who restores",
            );
        }
    }

    pub(super) fn finish(self, repaired_frames: u64) -> RestoreOutcome {
        let mut outcome = self.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        let counts = self.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.entries = counts.created + counts.replaced + counts.adjusted + counts.unchanged;
        outcome.bytes = counts.bytes;
        outcome.counts = counts;
        outcome.owner_failures = self.owner_failures.into_inner();
        outcome.repaired_frames = repaired_frames;
        outcome
    }
}
