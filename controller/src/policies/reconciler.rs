//! The reconciler that publishes policies: at the start, when something changed, and now and then.
//!
//! Invariants: it looks at every server once after each start, because profile or program may be others than before; later
//! at those that are due. Servers are looked at in pages, each in a transaction of its own, so nobody waits long to write.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::ServerId;
use tokio::sync::{Notify, watch};

use super::{Asker, Terms, due, look};
use crate::act::Act;
use crate::api::Shared;
use crate::db::{DbError, policies as rows};
use crate::turns::Turns;

/// Requests lapse, and somebody decides at the console, without a signal. A pass that finds nothing due reads three short lists.
const INTERVAL: Duration = Duration::from_secs(10);
/// Servers that are looked at in one transaction.
const PAGE: usize = 256;

/// What it works on.
pub struct Reconciler {
    /// The controller.
    pub app: Arc<Shared>,
    /// Asks for a pass now.
    pub signal: Arc<Notify>,
}

impl Reconciler {
    /// Works until told to stop.
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let mut turns = Turns::every_or_when(INTERVAL, self.signal.clone(), stop);
        let mut all_marked = false;
        while turns.next().await {
            let passed = if all_marked { self.pass().await } else { self.whole_pass().await };
            all_marked |= passed.is_ok();
            if let Err(error) = passed {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "the policies could not be brought up to date");
            }
        }
    }

    /// A pass over every server.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn whole_pass(&self) -> Result<(), DbError> {
        self.app.db.write_async(|tx| rows::mark_all(tx)).await?;
        self.pass().await
    }

    /// A pass over the servers that are due: what it finds in order it leaves alone.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn pass(&self) -> Result<(), DbError> {
        let due: Vec<ServerId> = self.app.db.read_async(|tx| due(tx)).await?.into_iter().collect();
        for page in due.chunks(PAGE) {
            self.look(page.to_vec()).await?;
        }
        Ok(())
    }

    async fn look(&self, page: Vec<ServerId>) -> Result<(), DbError> {
        let app = self.app.clone();
        let act = Act::controller(app.clock.now());
        let db = app.db.clone();
        let look = move |tx: &rusqlite::Transaction<'_>| {
            let asker = Asker { act: &act, user: None };
            look(tx, asker, Terms::of(&app.profile), Some(&app.policy_key), page)
        };
        db.write_async(look).await
    }
}
