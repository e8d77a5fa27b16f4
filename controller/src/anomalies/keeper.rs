//! The reconciler of holds: what unsettled anomalies ask sites to keep is asked for until each site has said that it does.
//!
//! Invariants: idempotent, periodic and signalled, taking no argument but the state; what is wanted is written down before a site is
//! asked, so a restart forgets nothing; a dead site delays no other. A hold lapses at the site after 30 days, and so is asked for again
//! every hour while its anomaly is unsettled. It takes nothing away: the most that a wrong hold costs is room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{AnomalyId, Clock, HoldId, SiteId};
use lumbung_wire::client::VaultClient;
use lumbung_wire::messages::HoldRequest;
use lumbung_wire::tls::TlsIdentity;
use tokio::sync::{Notify, watch};

use super::settle_alarm;
use crate::db::anomalies::{self as rows, Due, Kept};
use crate::db::{Db, DbError, register};
use crate::poller::findings::{ERROR_MAX_CHARS, printed};
use crate::poller::site::Enrolled;
use crate::turns::Turns;

/// A hold that stands is asked for again after so many seconds.
const AGAIN_S: i64 = 3600;
/// A site has this long to answer one request.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the reconciler works on.
pub struct Keeper {
    /// Where anomalies are kept.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The controller's own certificate.
    pub identity: Arc<TlsIdentity>,
    /// Seconds between two rounds.
    pub interval_s: u32,
    /// Asks for a round now: a run is suspicious.
    pub signal: Arc<Notify>,
}

impl Keeper {
    /// Places holds until told to stop.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let period = Duration::from_secs(u64::from(self.interval_s));
        let turns = Turns::every_or_when(period, self.signal.clone(), stop);
        turns.work("holds for anomalies could not be seen to", || self.clone().round()).await;
    }

    /// One round over everything that is unsettled.
    ///
    /// # Errors
    /// If the database fails; what a site answers is noted with the hold.
    pub async fn round(self: Arc<Self>) -> Result<(), DbError> {
        self.want().await?;
        let since = self.clock.now().plus_seconds(-AGAIN_S);
        let due = self.db.read_async(move |tx| rows::due_holds(tx, since)).await?;
        let mut by_site: BTreeMap<SiteId, Vec<Due>> = BTreeMap::new();
        for one in due {
            by_site.entry(one.site).or_default().push(one);
        }
        if by_site.is_empty() {
            return Ok(());
        }
        let sites = self.db.read_async(|tx| register::sites(tx)).await?;
        let mut asked = tokio::task::JoinSet::new();
        for site in sites.iter().filter_map(Enrolled::of) {
            if let Some(due) = by_site.remove(&site.keys.site) {
                asked.spawn(self.clone().ask(site, due));
            }
        }
        let mut outcome = Ok(());
        while let Some(ended) = asked.join_next().await {
            outcome = outcome.and(ended.unwrap_or(Err(DbError::Worker)));
        }
        outcome
    }

    /// Writes down what is to be held by now: sites show snapshots as they are polled.
    async fn want(&self) -> Result<(), DbError> {
        let missing =
            self.db
                .read_async(|tx| {
                    let mut missing: Vec<(AnomalyId, Vec<Kept>)> = Vec::new();
                    for anomaly in rows::unsettled(tx)? {
                        let mut new = Vec::new();
                        // What added up may have begun long before what gave it away: the newest from before either.
                        for before in [anomaly.since, anomaly.first] {
                            new.extend(rows::wanted_before(tx, &anomaly, before)?);
                        }
                        new.sort_unstable_by_key(|kept| (kept.site, kept.manifest));
                        new.dedup_by_key(|kept| (kept.site, kept.manifest));
                        new.retain(|kept| {
                            !anomaly.holds.iter().any(|hold| {
                                (hold.site, hold.manifest) == (kept.site, kept.manifest)
                            })
                        });
                        if !new.is_empty() {
                            missing.push((anomaly.id, new));
                        }
                    }
                    Ok::<_, DbError>(missing)
                })
                .await?;
        if missing.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.db
            .write_async(move |tx| {
                for (anomaly, kept) in &missing {
                    for one in kept {
                        rows::want_hold(tx, anomaly, one)?;
                    }
                    if let Some(anomaly) = rows::anomaly(tx, anomaly)? {
                        settle_alarm(tx, now, &anomaly)?;
                    }
                }
                Ok::<_, DbError>(())
            })
            .await
    }

    /// Asks one site for its holds, one after the other; one that does not answer is not asked for the rest.
    async fn ask(self: Arc<Self>, site: Enrolled, due: Vec<Due>) -> Result<(), DbError> {
        let client = site.client(&self.identity, self.clock.clone());
        let mut silent: Option<String> = None;
        for one in due {
            let answer = match (&client, &silent) {
                (_, Some(error)) | (Err(error), None) => Err(error.clone()),
                (Ok(client), None) => {
                    let answer = place(client, &one).await;
                    if let Err((error, true)) = &answer {
                        silent = Some(error.clone());
                    }
                    answer.map_err(|(error, _)| error)
                }
            };
            self.note(&site, one, answer).await?;
        }
        Ok(())
    }

    async fn note(
        &self,
        site: &Enrolled,
        due: Due,
        answer: Result<HoldId, String>,
    ) -> Result<(), DbError> {
        let answer = answer.map_err(|error| printed(&error, ERROR_MAX_CHARS));
        match &answer {
            Ok(hold) => {
                tracing::info!(site = %site.name, manifest = %due.manifest, %hold, "held for an anomaly");
            }
            Err(error) => {
                tracing::warn!(site = %site.name, manifest = %due.manifest, error, "not held yet");
            }
        }
        let now = self.clock.now();
        self.db
            .write_async(move |tx| {
                rows::note_hold(tx, now, &due, answer.as_ref().copied().map_err(String::as_str))?;
                match rows::anomaly(tx, &due.anomaly)? {
                    Some(anomaly) => settle_alarm(tx, now, &anomaly),
                    None => Ok(()),
                }
            })
            .await
    }
}

/// Asks a vault for a hold; an error with whether it is the vault that does not answer.
async fn place(client: &VaultClient, due: &Due) -> Result<HoldId, (String, bool)> {
    let request = HoldRequest {
        subject: format!("snapshot:{}", due.manifest),
        reason: format!("anomaly {}: the last snapshot before a suspicious run", due.anomaly),
    };
    match tokio::time::timeout(PATIENCE, client.hold(&due.repository, &request)).await {
        Ok(Ok(hold)) => Ok(hold),
        Ok(Err(error)) => Err((lumbung_model::with_causes(&error), error.problem().is_none())),
        Err(_) => Err((format!("it did not answer within {} s", PATIENCE.as_secs()), true)),
    }
}
