//! One poll of one site: read what is new, check it, keep it, say what is wrong.
//!
//! Invariants: idempotent, and safe to interrupt anywhere (each step commits what it checked, cursors
//! move with it); nothing unchecked is kept; what one repository gets wrong does not stop the others; a
//! snapshot that does not pass is asked for again, and an alarm until it does.

use std::sync::Arc;

use lumbung_model::schedule::Tz;
use lumbung_model::{
    Clock, Day, ManifestId, PdId, PublicKey, ReceiptId, RepositoryId, SiteId, TlsPin,
};
use lumbung_pack::{Kind, Roster, RosterChain, open_signed};
use lumbung_wire::client::VaultClient;
use lumbung_wire::messages::ManifestSummary;
use lumbung_wire::messages::capacity::CapacityKind;
use lumbung_wire::messages::register::Site;
use lumbung_wire::tls::{self, ServerTrust, TlsIdentity};

use super::check::{self, Rejection, SiteKeys};
use super::source::{Source, SourceError};
use crate::db::alarms::Finding;
use crate::db::capacity::{self, Level};
use crate::db::{Db, DbError, agents, alarms, evidence, polls, register, rosters};

/// Snapshots that did not pass and are asked for again in one poll.
pub(super) const RETRIES: u32 = 200;
/// Usage lists read in one poll of a repository.
const SIZES: u32 = 200;
/// Pages of manifests read in one poll of a repository; the rest comes with the next.
const PAGES: u32 = 200;

/// Why a poll of a site failed.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The vault did not answer.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The vault is not the one that enrolled.
    #[error("the vault says it is site {found}, {expected} enrolled: check the address")]
    OtherSite {
        /// Who enrolled.
        expected: SiteId,
        /// Who answers.
        found: SiteId,
    },
    /// The vault signs with another key.
    #[error(
        "the vault signs with the key {0}, which is not the one that it enrolled: enter a rebuilt vault as a new site"
    )]
    OtherKey(PublicKey),
    /// What it answered is no evidence.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// So many snapshots do not pass that no more are asked for.
    #[error(
        "{RETRIES} of its snapshots do not pass: look at the alarms and at the vault before anything newer is read"
    )]
    TooManyRefused,
    /// The database failed.
    #[error("the evidence could not be kept")]
    Db(#[from] DbError),
}

/// A site that has enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Who signs.
    pub keys: SiteKeys,
    /// Its name.
    pub name: String,
    /// Where its vault answers.
    pub url: String,
    /// The pin of its TLS key.
    pub tls_pin: TlsPin,
}

impl Enrolled {
    /// The site, if it has enrolled.
    #[must_use]
    pub fn of(site: &Site) -> Option<Self> {
        Some(Self {
            keys: SiteKeys { site: site.id, receipt_key: site.receipt_key? },
            name: site.name.clone(),
            url: site.url.clone()?,
            tls_pin: site.tls_pin?,
        })
    }

    /// The way to its vault, with the controller's certificate. Says what is wrong where there is none.
    ///
    /// # Errors
    /// If the certificate or the address cannot be used.
    pub fn client(
        &self,
        identity: &TlsIdentity,
        clock: Arc<dyn Clock>,
    ) -> Result<VaultClient, String> {
        let words = |error: &dyn std::error::Error| lumbung_model::with_causes(error);
        let trust = ServerTrust::Pins(vec![self.tls_pin]);
        let tls =
            tls::client_config(Some(identity), trust, clock).map_err(|error| words(&error))?;
        VaultClient::new(&self.url, &tls).map_err(|error| words(&error))
    }
}

/// One poll.
pub struct SitePoll<'a, S> {
    /// Where evidence is kept.
    pub db: &'a Db,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Whose vault it is.
    pub site: &'a Enrolled,
    /// The vault.
    pub source: &'a S,
    /// The zone of the city's days.
    pub zone: Tz,
}

impl<S: Source> SitePoll<'_, S> {
    /// Polls the site and notes how it went.
    ///
    /// # Errors
    /// If that cannot be noted.
    pub async fn run(&self) -> Result<(), DbError> {
        let outcome = self.all().await;
        let error = match outcome {
            Ok(faults) => faults.into_iter().next(),
            Err(error) => Some(error.to_string()),
        };
        let (site, now) = (self.site.keys.site, self.clock.now());
        let before =
            self.db.read_async(move |tx| polls::poll(tx, &site)).await?.and_then(|row| row.error);
        match &error {
            Some(error) if before.as_ref() != Some(error) => {
                tracing::warn!(site = %self.site.name, %error, "polling the vault")
            }
            None if before.is_some() => {
                tracing::info!(site = %self.site.name, "the vault answers again")
            }
            _ => {}
        }
        self.db.write_async(move |tx| polls::finished(tx, now, &site, error.as_deref())).await
    }

    /// Everything the site has; what went wrong in single repositories.
    async fn all(&self) -> Result<Vec<String>, PollError> {
        let info = self.source.site_info().await?;
        let keys = self.site.keys;
        if info.site != keys.site {
            return Err(PollError::OtherSite { expected: keys.site, found: info.site });
        }
        if info.receipt_key != keys.receipt_key {
            return Err(PollError::OtherKey(info.receipt_key));
        }
        let now = self.clock.now();
        let version: String = info.version.chars().filter(|c| !c.is_control()).take(64).collect();
        self.db
            .write_async(move |tx| polls::reached(tx, now, &keys.site, info.now, &version))
            .await?;
        let there = self.source.repositories().await?;
        let registered = self.db.read_async(|tx| register::repositories(tx)).await?;
        let mut faults = Vec::new();
        if let Err(error) = self.alarms(&registered).await {
            faults.push(format!("its alarms: {error}"));
        }
        if let Err(error) = self.fullness().await {
            faults.push(format!("how full it is: {error}"));
        }
        for repository in there {
            match registered.iter().find(|(known, _)| *known == repository) {
                Some((_, pd)) => {
                    if let Err(error) = self.repository(repository, *pd).await {
                        faults.push(format!("repository {}: {error}", repository.short()));
                    }
                }
                None => {
                    let note = move |tx: &rusqlite::Transaction<'_>| {
                        polls::note_unregistered(tx, now, &keys.site, &repository)
                    };
                    self.db.write_async(note).await?;
                }
            }
        }
        Ok(faults)
    }

    /// How full the site says it is; an older vault does not say.
    async fn fullness(&self) -> Result<(), PollError> {
        let told = match self.source.capacity().await {
            Ok(told) => told,
            Err(error) if error.not_found => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (site, day) = (self.site.keys.site, Day::of(self.clock.now(), self.zone));
        let level = Level { day, used: told.used_bytes, limit: told.limit_bytes };
        let subject = (CapacityKind::Storage, *site.as_bytes());
        self.db.write_async(move |tx| capacity::put(tx, subject, &level)).await?;
        Ok(())
    }

    async fn repository(&self, repository: RepositoryId, pd: PdId) -> Result<(), PollError> {
        // Each kind on its own: what is wrong with one does not hide what the others show.
        let results = [
            self.rosters(repository, pd).await,
            self.manifests(repository).await,
            self.inventories(repository).await,
            // After the inventories: what one of them leaves out was buried before it was made.
            self.tombstones(repository).await,
            self.scrubs(repository).await,
            // Before the proofs: by them it is judged whose count.
            self.consents(repository, pd).await,
            self.proofs(repository).await,
            self.sizes(repository).await,
        ];
        // Half of what a vault has looks like gaps: only a poll that got to its end judges.
        if !results.iter().any(|result| matches!(result, Err(PollError::Source(_)))) {
            self.findings(repository, pd).await?;
        }
        results.into_iter().collect()
    }

    /// Follows the chain of rosters on from what is known. A chain that forks or goes back is an alarm, and ignored.
    async fn rosters(&self, repository: RepositoryId, pd: PdId) -> Result<(), PollError> {
        let ids = self.source.list(&repository, Kind::Roster).await?;
        let (known, absent) = self
            .db
            .read_async(move |tx| {
                Ok::<_, DbError>((
                    rosters::chain(tx, &repository)?,
                    evidence::absent_rosters(tx, ids)?,
                ))
            })
            .await?;
        let mut fetched = Vec::new();
        let mut faults: Vec<String> = Vec::new();
        for id in absent {
            let object = self.source.get(&repository, Kind::Roster, &id).await?;
            match open_signed::<Roster>(&object) {
                Ok(roster) => fetched.push((roster.body.number, object)),
                Err(error) => faults.push(format!("a roster is refused: {error}")),
            }
        }
        fetched.sort();
        let mut chain = known;
        for (number, object) in fetched {
            let result = match &mut chain {
                Some(chain) => chain.push(&object),
                None => {
                    RosterChain::begin(&object, Some(repository)).map(|begun| chain = Some(begun))
                }
            };
            if let Err(error) = result {
                faults.push(format!("roster {number} is refused: {error}"));
            }
        }
        let (site, now) = (self.site.keys.site, self.clock.now());
        let scope = format!("{site}/{repository}/");
        self.db
            .write_async(move |tx| {
                if let Some(chain) = &chain {
                    rosters::put_chain(tx, chain)?;
                }
                let finding = |(index, detail)| Finding {
                    subject: format!("{scope}{index}"),
                    pd: Some(pd),
                    site: Some(site),
                    service: None,
                    detail,
                };
                let findings: Vec<_> = faults.into_iter().enumerate().map(finding).collect();
                alarms::reconcile(tx, now, "roster", &scope, &findings)
            })
            .await?;
        Ok(())
    }

    async fn manifests(&self, repository: RepositoryId) -> Result<(), PollError> {
        let site = self.site.keys.site;
        let again =
            self.db.read_async(move |tx| polls::pending(tx, &site, &repository, RETRIES)).await?;
        for (manifest, receipt, _) in again {
            self.snapshot(repository, manifest, receipt).await?;
        }
        let mut after = self.db.read_async(move |tx| polls::cursor(tx, &site, &repository)).await?;
        for _ in 0..PAGES {
            let refused = self
                .db
                .read_async(move |tx| polls::pending(tx, &site, &repository, RETRIES))
                .await?
                .len();
            if refused >= RETRIES as usize {
                return Err(PollError::TooManyRefused);
            }
            let page = self.source.manifests(&repository, after).await?;
            let Some(last) = page.last().map(|summary| summary.arrival) else { break };
            if last <= after {
                break;
            }
            for ManifestSummary { manifest, receipt, .. } in page {
                self.snapshot(repository, manifest, receipt).await?;
            }
            after = last;
            self.db.write_async(move |tx| polls::set_cursor(tx, &site, &repository, after)).await?;
        }
        Ok(())
    }

    /// One snapshot with its receipt: kept if both pass, else noted to be asked for again.
    async fn snapshot(
        &self,
        repository: RepositoryId,
        manifest: ManifestId,
        receipt: ReceiptId,
    ) -> Result<(), PollError> {
        let (site, now) = (self.site.keys.site, self.clock.now());
        match self.fetch_snapshot(repository, manifest, receipt).await {
            Ok(()) => {
                self.db
                    .write_async(move |tx| polls::drop_pending(tx, &site, &repository, &manifest))
                    .await?;
                Ok(())
            }
            Err(PollError::Db(error)) => Err(error.into()),
            // The line is down: nothing is wrong with the snapshot.
            Err(PollError::Source(error)) if !error.not_found => Err(error.into()),
            Err(error) => {
                let error = error.to_string();
                let note = move |tx: &rusqlite::Transaction<'_>| {
                    polls::put_pending(tx, now, &site, &repository, (&manifest, &receipt), &error)
                };
                self.db.write_async(note).await?;
                Ok(())
            }
        }
    }

    async fn fetch_snapshot(
        &self,
        repository: RepositoryId,
        manifest: ManifestId,
        receipt: ReceiptId,
    ) -> Result<(), PollError> {
        let keys = self.site.keys;
        let (known, receipted) = self
            .db
            .read_async(move |tx| {
                Ok::<_, DbError>((
                    evidence::has_manifest(tx, &manifest)?,
                    evidence::has_receipt(tx, &receipt)?,
                ))
            })
            .await?;
        if !known {
            let object = self.source.get(&repository, Kind::Manifest, manifest.as_bytes()).await?;
            let opened = check::manifest(&object, &manifest, &repository)?;
            let now = self.clock.now();
            let keep = move |tx: &rusqlite::Transaction<'_>| {
                evidence::put_manifest(tx, now, &opened)?;
                let body = &opened.body;
                agents::note_unregistered(
                    tx,
                    now,
                    &body.dataset,
                    Some(&body.repository),
                    Some(&body.agent),
                    "",
                )
            };
            self.db.write_async(keep).await?;
        }
        if !receipted {
            let object = self.source.get(&repository, Kind::Receipt, receipt.as_bytes()).await?;
            let opened =
                check::receipt(&object, receipt.as_bytes(), &repository, &keys, &manifest)?;
            let now = self.clock.now();
            let received = evidence::not_after(opened.body.received, now);
            let (site, day) = (keys.site, Day::of(received, self.zone));
            let keep = move |tx: &rusqlite::Transaction<'_>| {
                evidence::put_receipt(tx, now, &opened, &object)?;
                capacity::count_moved(tx, &site, &manifest, day)
            };
            self.db.write_async(keep).await?;
        }
        Ok(())
    }

    async fn inventories(&self, repository: RepositoryId) -> Result<(), PollError> {
        let keys = self.site.keys;
        let ids = self.source.list(&repository, Kind::Inventory).await?;
        let absent = self.db.read_async(move |tx| evidence::absent_inventories(tx, ids)).await?;
        let mut rejected = None;
        for id in absent {
            let object = self.source.get(&repository, Kind::Inventory, &id).await?;
            let now = self.clock.now();
            match check::inventory(&object, &id, &repository, &keys) {
                Ok(inventory) => {
                    self.db
                        .write_async(move |tx| evidence::put_inventory(tx, now, &inventory))
                        .await?
                }
                Err(error) => rejected = Some(error),
            }
        }
        rejected.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn scrubs(&self, repository: RepositoryId) -> Result<(), PollError> {
        let keys = self.site.keys;
        let ids = self.source.list(&repository, Kind::Scrub).await?;
        let absent = self.db.read_async(move |tx| evidence::absent_scrubs(tx, ids)).await?;
        let mut rejected = None;
        for id in absent {
            let object = self.source.get(&repository, Kind::Scrub, &id).await?;
            match check::scrub(&object, &id, &repository, &keys) {
                Ok(scrub) => {
                    let now = self.clock.now();
                    self.db.write_async(move |tx| evidence::put_scrub(tx, now, &scrub)).await?;
                }
                Err(error) => rejected = Some(error),
            }
        }
        rejected.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn proofs(&self, repository: RepositoryId) -> Result<(), PollError> {
        let ids = self.source.list(&repository, Kind::Proof).await?;
        let absent = self.db.read_async(move |tx| evidence::absent_proofs(tx, ids)).await?;
        let mut rejected = None;
        for id in absent {
            let object = self.source.get(&repository, Kind::Proof, &id).await?;
            let now = self.clock.now();
            match check::proof(&object, &id, &repository) {
                Ok(proof) => {
                    self.db
                        .write_async(move |tx| {
                            evidence::put_proof(tx, now, &proof, &object).map(|_| ())
                        })
                        .await?
                }
                Err(error) => rejected = Some(error),
            }
        }
        rejected.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Sizes of snapshots, from the usage lists that their manifests name.
    async fn sizes(&self, repository: RepositoryId) -> Result<(), PollError> {
        let site = self.site.keys.site;
        let list = self
            .db
            .read_async(move |tx| evidence::unsized_manifests(tx, &site, &repository, SIZES))
            .await?;
        let mut rejected = None;
        for one in list {
            let object = match self.source.get(&repository, Kind::Usage, one.usage.as_bytes()).await
            {
                Ok(object) => object,
                Err(error) if error.not_found => continue,
                Err(error) => return Err(error.into()),
            };
            match check::stored_bytes(&object, &one.usage, &repository, &one.domain) {
                Ok(bytes) => {
                    self.db
                        .write_async(move |tx| evidence::set_size(tx, &one.manifest, bytes))
                        .await?
                }
                Err(error) => rejected = Some(error),
            }
        }
        rejected.map_or(Ok(()), |error| Err(error.into()))
    }
}
