//! What a restore has to tell, collected from several threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::{Failure, RestoreOutcome};
use crate::Warning;

const KEPT: usize = 1000;

/// Collects.
#[derive(Debug, Default)]
pub(super) struct Findings {
    outcome: Mutex<RestoreOutcome>,
    entries: AtomicU64,
    bytes: AtomicU64,
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
        let mut outcome = self.outcome();
        outcome.failures_total += 1;
        if outcome.failures.len() < KEPT {
            outcome.failures.push(Failure { path: path.to_vec(), reason: reason.into() });
        }
    }

    pub(super) fn warn(&self, path: &[u8], reason: impl Into<String>) {
        let mut outcome = self.outcome();
        outcome.warnings_total += 1;
        if outcome.warnings.len() < KEPT {
            outcome.warnings.push(Warning::new(path, reason));
        }
    }

    /// An entry is there, with so many bytes of content.
    pub(super) fn restored(&self, bytes: u64) {
        self.entries.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
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
        outcome.entries = self.entries.into_inner();
        outcome.bytes = self.bytes.into_inner();
        outcome.owner_failures = self.owner_failures.into_inner();
        outcome.repaired_frames = repaired_frames;
        outcome
    }
}
