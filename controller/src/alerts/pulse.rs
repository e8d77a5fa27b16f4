//! The sign of life: a URL that is asked for as long as the controller does its work, for a service that raises the alarm
//! when it stays away (as healthchecks and its kin expect).
//!
//! Invariant: it stays away when alerts were not looked after for five minutes or the database cannot be written, and not
//! only when the program is gone.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, Timestamp};
use tokio::sync::watch;

use super::channel::Web;
use super::settings;
use crate::db::{Db, DbError, alerts as rows};
use crate::turns::Turns;

/// Alerts that were looked after longer ago are not looked after, s.
pub const STALE_S: i64 = 300;

/// What it works with.
pub struct Pulse {
    /// What has to be writable.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// When alerts were looked after last.
    pub done: watch::Receiver<Timestamp>,
    /// Where the sign goes.
    pub settings: settings::Pulse,
    /// By what.
    pub web: Web,
}

impl Pulse {
    /// Gives signs until told to stop.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let mut turns = Turns::every(Duration::from_secs(self.settings.interval_s.into()), stop);
        while turns.next().await {
            match self.is_at_work().await {
                Ok(true) => {
                    if let Err(error) = self.web.get(&self.settings.url).await {
                        tracing::warn!(error, "the sign of life was not heard");
                    }
                }
                Ok(false) => {
                    tracing::error!("alerts are not looked after: no sign of life is given")
                }
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, "no sign of life is given");
                }
            }
        }
    }

    /// Whether the controller does its work.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn is_at_work(&self) -> Result<bool, DbError> {
        let now = self.clock.now();
        self.db.write_async(move |tx| rows::beat(tx, now)).await?;
        Ok(now.seconds_since(*self.done.borrow()) <= STALE_S)
    }
}
