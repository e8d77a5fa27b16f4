//! The reconciler of caps: what each site is to keep to is written down, and given to its vault until it has said that it does.
//!
//! Invariants: idempotent, periodic, taking no argument but the state; a list is written down before a vault is given it, so
//! that a number stands for one list; a dead site delays no other. A vault that has a newer list (this controller was restored
//! from an older copy) is given the same caps under a higher number.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, SiteId, Timestamp};
use lumbung_wire::messages::caps::{CapsAnswer, SiteCaps};
use lumbung_wire::tls::TlsIdentity;
use tokio::sync::watch;

use super::{Allotted, has_caps};
use crate::db::alarms::Finding;
use crate::db::{Db, DbError, alarms, caps as rows, register};
use crate::policies::Terms;
use crate::poller::findings::{ERROR_MAX_CHARS, printed};
use crate::poller::site::Enrolled;
use crate::profile::Profile;
use crate::turns::Turns;

/// The longest pause between two rounds: a new cap is to hold soon.
const LONGEST_PAUSE_S: u32 = 60;
/// A list that stands is given again after so many seconds: a vault may have been put back from an older copy.
const AGAIN_S: i64 = 3600;
/// A vault has this long to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// A list that a vault has not taken for so long is an alarm.
const LATE_S: i64 = 1800;

/// What the reconciler works on.
pub struct Keeper {
    /// Where lists are kept.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The controller's own certificate.
    pub identity: Arc<TlsIdentity>,
    /// The zone of the windows.
    pub profile: Arc<Profile>,
    /// Seconds between two rounds; more than 60 is 60.
    pub interval_s: u32,
}

impl Keeper {
    /// Gives caps to vaults until told to stop.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let pause_s = u64::from(self.interval_s.min(LONGEST_PAUSE_S));
        let turns = Turns::every(Duration::from_secs(pause_s), stop);
        turns.work("the caps of sites could not be seen to", || self.clone().round()).await;
    }

    /// One round over all sites that have enrolled.
    ///
    /// # Errors
    /// If the database fails; what a vault answers is noted with its list.
    pub async fn round(self: Arc<Self>) -> Result<(), DbError> {
        let due = self.write_down().await?;
        let mut giving = tokio::task::JoinSet::new();
        for (site, caps) in due {
            giving.spawn(self.clone().give(site, caps));
        }
        let mut outcome = Ok(());
        while let Some(ended) = giving.join_next().await {
            outcome = outcome.and(ended.unwrap_or(Err(DbError::Worker)));
        }
        outcome.and(self.settle_alarms().await)
    }

    /// Writes down what each site is to keep to by now; says which vaults have to be given it.
    pub(super) async fn write_down(&self) -> Result<Vec<(Enrolled, SiteCaps)>, DbError> {
        let (now, profile) = (self.clock.now(), self.profile.clone());
        // Read beside whoever writes: nearly every round finds nothing new.
        let (new, mut due) = self
            .db
            .read_async(move |tx| {
                let allotted = Allotted::read(tx, Terms::of(&profile))?;
                let (mut new, mut due) = (Vec::new(), Vec::new());
                for site in register::sites(tx)? {
                    let Some(enrolled) = Enrolled::of(&site) else { continue };
                    let next = allotted.to(&site);
                    let last = allotted.last(&site.id);
                    let stands = last.filter(|last| last.caps.version == next.version);
                    match stands {
                        None => new.push((enrolled, next)),
                        Some(last) if is_due(now, last.taken) => due.push((enrolled, next)),
                        Some(_) => {}
                    }
                }
                Ok::<_, DbError>((new, due))
            })
            .await?;
        if new.is_empty() {
            return Ok(due);
        }
        let lists: Vec<SiteCaps> = new.iter().map(|(_, caps)| caps.clone()).collect();
        self.db
            .write_async(move |tx| lists.iter().try_for_each(|caps| rows::put(tx, now, caps)))
            .await?;
        due.extend(new);
        Ok(due)
    }

    async fn give(self: Arc<Self>, site: Enrolled, caps: SiteCaps) -> Result<(), DbError> {
        let (id, version) = (site.keys.site, caps.version);
        let error = match self.ask(&site, &caps).await {
            Ok(CapsAnswer { taken: true, .. }) => None,
            Ok(CapsAnswer { version: newer, .. }) => return self.go_beyond(caps, newer).await,
            Err(error) => Some(printed(&error, ERROR_MAX_CHARS)),
        };
        match &error {
            None => {
                tracing::debug!(site = %site.name, version, "the site keeps to the register's caps")
            }
            Some(error) => {
                tracing::warn!(site = %site.name, version, error, "the site was not given its caps yet")
            }
        }
        let now = self.clock.now();
        self.db.write_async(move |tx| rows::tried(tx, now, (&id, version), error.as_deref())).await
    }

    /// The vault has a list with that number, which this controller does not know: the next round gives it a newer one.
    async fn go_beyond(&self, caps: SiteCaps, newer: u64) -> Result<(), DbError> {
        let now = self.clock.now();
        let (site, version) = (caps.site, caps.version);
        let caps = SiteCaps { version: newer.saturating_add(1).max(version), ..caps };
        if let Err(reason) = caps.check() {
            let error = format!(
                "its vault has caps of number {newer}: {reason}; stop it, remove caps.json from its data, and start it"
            );
            return self
                .db
                .write_async(move |tx| rows::tried(tx, now, (&site, version), Some(&error)))
                .await;
        }
        tracing::info!(site = %caps.site, version = caps.version, "the site has newer caps than this controller gave it: numbering goes on beyond them");
        self.db.write_async(move |tx| rows::put(tx, now, &caps)).await
    }

    async fn ask(&self, site: &Enrolled, caps: &SiteCaps) -> Result<CapsAnswer, String> {
        caps.check()?;
        let client = site.client(&self.identity, self.clock.clone())?;
        match tokio::time::timeout(PATIENCE, client.put_caps(caps)).await {
            Ok(answer) => answer.map_err(|error| lumbung_model::with_causes(&error)),
            Err(_) => Err(format!("it did not answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// Sites that do not keep to their caps, as alarms.
    pub(super) async fn settle_alarms(&self) -> Result<(), DbError> {
        let now = self.clock.now();
        self.db
            .write_async(move |tx| {
                let mut findings = Vec::new();
                for site in register::sites(tx)? {
                    let row =
                        if Enrolled::of(&site).is_some() { rows::of(tx, &site.id)? } else { None };
                    findings.extend(row.and_then(|row| late(now, (&site.id, &site.name), &row)));
                }
                alarms::reconcile(tx, now, "caps", "", &findings)
            })
            .await
    }
}

fn is_due(now: Timestamp, taken: Option<Timestamp>) -> bool {
    taken.is_none_or(|taken| now.seconds_since(taken) >= AGAIN_S)
}

/// What is wrong where a site has not said for too long that it keeps to its list.
fn late(now: Timestamp, (site, name): (&SiteId, &str), row: &rows::CapsRow) -> Option<Finding> {
    let error = row.error.as_deref()?;
    let since = row.taken.map_or(row.made, |taken| taken.plus_seconds(AGAIN_S));
    if !has_caps(&row.caps) || now.seconds_since(since) < LATE_S {
        return None;
    }
    Some(Finding {
        subject: site.to_string(),
        pd: None,
        site: Some(*site),
        service: None,
        detail: format!(
            "the caps that the register allots do not hold at {name}, list {}: {error}; update its vault, or see why it does not answer",
            row.caps.version
        ),
    })
}
