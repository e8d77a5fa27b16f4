//! The reconciler of alarms about capacity and lines: daily, taking no argument but the state.
//!
//! Invariants: a round that finds nothing new changes nothing but when alarms were seen last; what is forecast is read from
//! one state of the database, beside whoever writes.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, Day};
use tokio::sync::watch;

use super::{bandwidth, forecasts, placed};
use crate::db::{Db, DbError, alarms, capacity as rows};
use crate::profile::Profile;

/// The longest pause, s: somebody sets the clock, or changes a line.
const LONGEST_PAUSE_S: i64 = 3600;

/// What the reconciler works on.
pub struct Keeper {
    /// Where the days are kept.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How early there is an alarm.
    pub profile: Arc<Profile>,
}

impl Keeper {
    /// Looks until told to stop.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        loop {
            if let Err(error) = self.round().await {
                let error = lumbung_model::with_causes(&error);
                tracing::error!(error, "capacity could not be forecast");
            }
            let (now, zone) = (self.clock.now(), self.profile.zone());
            let midnight = Day::of(now, zone).plus_days(1).first_second(zone);
            let pause_s = midnight.seconds_since(now).clamp(1, LONGEST_PAUSE_S);
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(Duration::from_secs(pause_s.unsigned_abs())) => {}
            }
        }
    }

    /// One round.
    ///
    /// # Errors
    /// If the database fails; nothing is changed then.
    pub async fn round(&self) -> Result<(), DbError> {
        let (now, profile) = (self.clock.now(), self.profile.clone());
        let today = Day::of(now, profile.zone());
        let count = move |tx: &rusqlite::Transaction<'_>| {
            for (subject, level) in placed::levels(tx, today)? {
                rows::put(tx, subject, &level)?;
            }
            Ok::<_, DbError>(())
        };
        self.db.write_async(count).await?;
        let look = move |tx: &rusqlite::Transaction<'_>| {
            let full = forecasts::findings(&forecasts::report(tx, &profile, now)?, today);
            let short = bandwidth::findings(&bandwidth::lines(tx, &profile, None, now)?);
            Ok::<_, DbError>((full, short))
        };
        let (full, short) = self.db.read_async(look).await?;
        self.db
            .write_async(move |tx| {
                alarms::reconcile(tx, now, "capacity", "", &full)?;
                alarms::reconcile(tx, now, "bandwidth", "", &short)?;
                rows::forget(tx, today)
            })
            .await
    }
}
