//! How the threads of a run end together: the first error counts, everybody else just stops.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};

use super::BackupError;
use crate::{Cancel, Warning};

/// The run is over; why is kept in [`Stop`].
#[derive(Debug)]
pub(super) struct Stopped;

/// Shared by the threads of a run.
pub(super) struct Stop {
    cancel: Cancel,
    stopped: AtomicBool,
    error: Mutex<Option<BackupError>>,
    /// Dropped when the run stops, so that whoever waits on `signal` wakes.
    holder: Mutex<Option<Sender<Infallible>>>,
    /// Disconnected when the run stops.
    pub(super) signal: Receiver<Infallible>,
}

impl Stop {
    pub(super) fn new(cancel: &Cancel) -> Self {
        let (holder, signal) = crossbeam_channel::bounded(0);
        Self {
            cancel: cancel.clone(),
            stopped: AtomicBool::new(false),
            error: Mutex::default(),
            holder: Mutex::new(Some(holder)),
            signal,
        }
    }

    /// Stops the run for this reason, if nothing stopped it before.
    pub(super) fn fail(&self, error: impl Into<BackupError>) -> Stopped {
        let mut kept = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert(error.into());
        self.stopped.store(true, Ordering::SeqCst);
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
        Stopped
    }

    /// Whether to go on.
    pub(super) fn check(&self) -> Result<(), Stopped> {
        if self.stopped.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        if self.cancel.is_cancelled() {
            return Err(self.fail(BackupError::Cancelled));
        }
        Ok(())
    }

    /// What asks the run to stop from outside.
    pub(super) const fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// Why the run stopped, if it did.
    pub(super) fn take_error(&self) -> Option<BackupError> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Warnings, the first of them kept.
#[derive(Debug, Default)]
pub(super) struct Warnings(Mutex<(Vec<Warning>, u64)>);

const KEPT: usize = 1000;

impl Warnings {
    pub(super) fn push(&self, path: &[u8], reason: impl Into<String>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.1 += 1;
        if kept.0.len() < KEPT {
            kept.0.push(Warning::new(path, reason));
        }
    }

    pub(super) fn take(&self) -> (Vec<Warning>, u64) {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
