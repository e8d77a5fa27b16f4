//! The reconciler that publishes policies: at the start, when something changed, and now and then.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::{Asker, Terms, reconcile};
use crate::act::Act;
use crate::api::Shared;
use crate::db::DbError;

/// Requests lapse, and agents tell, without a signal.
const INTERVAL: Duration = Duration::from_secs(60);

/// What it works on.
pub struct Reconciler {
    /// The controller.
    pub app: Arc<Shared>,
    /// Asks for a pass now.
    pub signal: Arc<Notify>,
}

impl Reconciler {
    /// Works until told to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut due = tokio::time::interval(INTERVAL);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                _ = due.tick() => {}
                () = self.signal.notified() => {}
            }
            if let Err(error) = self.pass().await {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "the policies could not be brought up to date");
            }
        }
    }

    /// One pass: what it finds in order it leaves alone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pass(&self) -> Result<(), DbError> {
        let app = self.app.clone();
        let act = Act::controller(app.clock.now());
        let db = app.db.clone();
        let all = move |tx: &rusqlite::Transaction<'_>| {
            let asker = Asker { act: &act, user: None };
            reconcile(tx, asker, Terms::of(&app.profile), Some(&app.policy_key))
        };
        db.write_async(all).await
    }
}
