//! Observations on their way to the controller.
//!
//! Invariants: before anything is sent the controller is asked what it has, since it may have been restored from an older
//! copy; what is sent goes in order and follows on what it has. It never gets what this site took for another's.

use std::sync::Arc;

use lumbung_model::{Clock, SiteId};
use lumbung_wire::messages::uptime::{OBSERVATIONS_MAX, Observation, Observations};
use lumbung_wire::{ClientError, ControllerClient};

use super::journal::{Journal, JournalError};

/// Why observations are not delivered. They stay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    /// The controller refuses, or does not answer.
    #[error("the controller does not take what this site saw")]
    Controller(#[from] ClientError),
    /// The journal does not answer.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The controller takes this site for another one.
    #[error(
        "the controller takes this site for {0}: was another site's state directory copied here?"
    )]
    Site(SiteId),
    /// It answers, and has no more than before.
    #[error("the controller does not get on: it was sent observation {sent} and has {through}")]
    Stuck {
        /// The last that was sent.
        sent: u64,
        /// The last that it has.
        through: u64,
    },
    /// The runtime is ending.
    #[error("the vault is stopping")]
    Stopping,
}

/// Who delivers.
pub(crate) struct Delivery {
    pub(crate) journal: Arc<Journal>,
    pub(crate) site: SiteId,
    /// What the observations were dated by.
    pub(crate) clock: Arc<dyn Clock>,
}

impl Delivery {
    /// Sends everything that the controller does not have; says how much that was.
    pub(crate) async fn deliver(&self, to: &ControllerClient) -> Result<usize, DeliveryError> {
        let mut through = self.exchange(to, Vec::new()).await?;
        let mut delivered = 0;
        loop {
            let from = through;
            let batch = self.with(move |journal| journal.after(from, OBSERVATIONS_MAX)).await?;
            let Some(sent) = batch.last().map(|last| last.number) else { return Ok(delivered) };
            delivered += batch.len();
            self.with(move |journal| journal.sending(sent)).await?;
            through = self.exchange(to, batch).await?;
            if through <= from {
                return Err(DeliveryError::Stuck { sent, through });
            }
        }
    }

    /// Sends these, and says up to which number the controller has them.
    async fn exchange(
        &self,
        to: &ControllerClient,
        observations: Vec<Observation>,
    ) -> Result<u64, DeliveryError> {
        let message = Observations { now: self.clock.now(), observations };
        let answer = to.observe(&message).await?;
        if answer.site != self.site {
            return Err(DeliveryError::Site(answer.site));
        }
        let moved = self.with(move |journal| journal.heard(answer.through)).await?;
        if moved > 0 {
            tracing::warn!(
                through = answer.through,
                "the controller has observations that this site does not know any more: its journal is an older copy, and goes on behind them"
            );
        }
        Ok(answer.through)
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let journal = Arc::clone(&self.journal);
        let done = tokio::task::spawn_blocking(move || work(&journal)).await;
        Ok(done.map_err(|_| DeliveryError::Stopping)??)
    }
}
