//! Tries again what a depot may do better at the next try.

use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::BackupError;
use super::stop::Stop;
use crate::DepotError;

/// How often, and how long in between.
#[derive(Clone, Copy)]
pub(super) struct Retry<'a> {
    pub(super) attempts: u32,
    pub(super) pause_ms: u64,
    pub(super) stop: &'a Stop,
}

impl Retry<'_> {
    /// Calls until it works, fails for good, or was tried often enough.
    pub(super) fn call<T>(
        &self,
        mut call: impl FnMut() -> Result<T, DepotError>,
    ) -> Result<T, BackupError> {
        let mut pause = Duration::from_millis(self.pause_ms);
        let mut attempt = 1;
        loop {
            match call() {
                Ok(done) => return Ok(done),
                Err(error) if !error.is_transient() || attempt >= self.attempts => {
                    return Err(error.into());
                }
                Err(error) => {
                    tracing::warn!(%error, attempt, "the depot did not answer, trying again")
                }
            }
            // Ends early when the run is stopped.
            if self.stop.signal.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected)
                || self.stop.check().is_err()
            {
                return Err(BackupError::Cancelled);
            }
            pause = pause.saturating_mul(2);
            attempt += 1;
        }
    }
}
