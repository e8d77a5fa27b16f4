//! The reconciler that reads the vaults: periodic, signalled, taking no argument but the state.
//!
//! Invariants: it only reads (what its certificate lets it do beside that, holds, is done by `crate::anomalies::keeper`); sites are polled
//! at the same time, so a dead one delays no other; a round that finds nothing new changes nothing.

pub mod check;
mod consents;
pub(crate) mod findings;
mod removals;
pub mod site;
pub mod source;

#[cfg(test)]
mod consents_tests;
#[cfg(test)]
mod removal_tests;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::schedule::Tz;
use lumbung_model::{Clock, Timestamp};
use lumbung_wire::tls::TlsIdentity;
use tokio::sync::{Notify, watch};

use crate::db::{Db, DbError, alarms, findings as db_findings, polls, register};
use crate::turns::Turns;
use site::{Enrolled, SitePoll};

/// A round waits this long for one site, which may answer as slowly as it likes: the others must be asked again.
const SITE_PATIENCE: Duration = Duration::from_secs(20 * 60);

/// What the poller works on.
pub struct Poller {
    /// Where evidence is kept.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The controller's own certificate.
    pub identity: Arc<TlsIdentity>,
    /// The zone of the city's days.
    pub zone: Tz,
    /// Seconds between two rounds.
    pub interval_s: u32,
    /// Asks for a round now: a site enrolled, a repository was bound, a proof arrived.
    pub signal: Arc<Notify>,
}

impl Poller {
    /// Polls until told to stop.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let period = Duration::from_secs(u64::from(self.interval_s));
        let turns = Turns::every_or_when(period, self.signal.clone(), stop);
        turns.work("a round of polling could not be kept", || self.clone().round()).await;
    }

    /// One round over all sites that have enrolled.
    ///
    /// # Errors
    /// If the database fails; what a site gets wrong is noted with the site.
    pub async fn round(self: Arc<Self>) -> Result<(), DbError> {
        let sites = self.db.read_async(|tx| register::sites(tx)).await?;
        let mut polls = tokio::task::JoinSet::new();
        for enrolled in sites.iter().filter_map(Enrolled::of) {
            polls.spawn(self.clone().site(enrolled));
        }
        let mut outcome = Ok(());
        while let Some(ended) = polls.join_next().await {
            outcome = outcome.and(ended.unwrap_or(Err(DbError::Worker)));
        }
        // A report may have overtaken the round that would have shown its snapshot: two rounds later it has not.
        let patience_s = i64::from(self.interval_s) * 2 + 60;
        outcome.and(hold_reports_against_sites(&self.db, self.clock.now(), patience_s).await)
    }

    async fn site(self: Arc<Self>, site: Enrolled) -> Result<(), DbError> {
        match site.client(&self.identity, self.clock.clone()) {
            Ok(source) => {
                let poll = SitePoll {
                    db: &self.db,
                    clock: &*self.clock,
                    site: &site,
                    source: &source,
                    zone: self.zone,
                };
                match tokio::time::timeout(SITE_PATIENCE, poll.run()).await {
                    Ok(polled) => polled,
                    Err(_) => {
                        let minutes = SITE_PATIENCE.as_secs() / 60;
                        let text = format!(
                            "it was not read to its end within {minutes} min: the next round goes on from there"
                        );
                        self.failed(&site, text).await
                    }
                }
            }
            Err(error) => self.failed(&site, error).await,
        }
    }

    async fn failed(&self, site: &Enrolled, text: String) -> Result<(), DbError> {
        let (now, id) = (self.clock.now(), site.keys.site);
        self.db.write_async(move |tx| polls::finished(tx, now, &id, Some(&text))).await
    }
}

/// What agents reported and no site shows becomes an alarm, once every site has had the time to show it.
async fn hold_reports_against_sites(
    db: &Db,
    now: Timestamp,
    patience_s: i64,
) -> Result<(), DbError> {
    db.write_async(move |tx| {
        let Some(shown) = db_findings::all_sites_shown(tx)? else { return Ok(()) };
        let unseen = db_findings::unseen(tx, now, shown.plus_seconds(-patience_s))?;
        alarms::reconcile(tx, now, "unseen", "", &unseen)
    })
    .await
}
