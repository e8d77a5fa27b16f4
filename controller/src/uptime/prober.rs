//! The controller's own eyes: it looks at every check from the site where it stands.
//!
//! Invariants: what it sees is that site's word, beside the vault's there; a probe that could not be made is no
//! observation; only networks that the configuration allows are looked at. What cannot be written is left out: the time in
//! which the database failed is one that nobody observed from here.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, SiteId};
use lumbung_probe::{Lookout, Prober as Eyes, Reach, Sighting};
use lumbung_wire::messages::register::SiteKind;
use lumbung_wire::messages::uptime::Observation;
use rusqlite::{Connection, Transaction};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::vantage::{observe, orders};
use crate::db::sights::Prober;
use crate::db::{Db, DbError, register};
use crate::profile::Profile;

/// How often the register is asked what to look at.
const AGAIN: Duration = Duration::from_secs(15);
/// What is seen within this time is written together, unless it is news.
const TOGETHER: Duration = Duration::from_secs(1);
/// Sightings on their way to the database.
const QUEUE: usize = 1024;

/// What the prober works with.
pub struct OwnEyes {
    /// Where everything is kept.
    pub db: Db,
    /// The time, which does not jump.
    pub clock: Arc<dyn Clock>,
    /// The city's days.
    pub profile: Arc<Profile>,
    /// Where the controller looks from.
    pub place: OwnPlace,
    /// The networks that may be looked at.
    pub reach: Reach,
    /// Asks for uptime to be reckoned now.
    pub signal: Arc<Notify>,
}

impl OwnEyes {
    /// Looks until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let reach = self.reach.clone();
        let Ok(eyes) = tokio::task::spawn_blocking(move || Eyes::new(reach)).await else { return };
        let (sink, seen) = mpsc::channel(QUEUE);
        let lookout = Lookout::new(eyes, self.clock.clone(), sink, stop.clone());
        tokio::join!(self.follow(lookout, &stop), self.keep(seen));
    }

    /// Looks at what the register says, as it changes. When it ends, so does the looking.
    async fn follow(&self, mut lookout: Lookout, stop: &CancellationToken) {
        let mut known = Vec::new();
        loop {
            match self.ask().await {
                Ok(newest) if newest != known => {
                    known.clone_from(&newest);
                    lookout.watch(newest);
                }
                Ok(_) => {}
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, "what to look at could not be read");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
                return;
            }
        }
    }

    async fn ask(&self) -> Result<Vec<lumbung_wire::messages::uptime::CheckOrder>, DbError> {
        let (now, place) = (self.clock.now(), self.place.clone());
        let ask = move |tx: &Transaction<'_>| {
            let Some(site) = place.site(tx)? else { return Ok(Vec::new()) };
            Ok(orders(tx, (&site, Prober::Controller), now)?.checks)
        };
        self.db.write_async(ask).await
    }

    /// Writes down what is seen. Ends when nobody looks any more.
    async fn keep(&self, mut seen: mpsc::Receiver<Sighting>) {
        let (mut arrived, mut unmade) = (Vec::new(), HashSet::new());
        while seen.recv_many(&mut arrived, QUEUE).await > 0 {
            let mut made = Vec::with_capacity(arrived.len());
            for sighting in arrived.drain(..) {
                let Sighting { check, at, interval_s, seen } = sighting;
                match seen {
                    Ok(seen) => made.push(Observation {
                        number: 0,
                        check,
                        at,
                        interval_s,
                        up: seen.up,
                        latency_ms: seen.latency_ms,
                        certificate_expires: seen.certificate_expires,
                        detail: seen.detail,
                    }),
                    Err(why) if unmade.insert((check, why.kind())) => {
                        let why = lumbung_model::with_causes(&why);
                        tracing::warn!(%check, why, "not looked at from the controller");
                    }
                    Err(_) => {}
                }
            }
            match self.write(made).await {
                Ok(true) => self.signal.notify_one(),
                Ok(false) => tokio::time::sleep(TOGETHER).await,
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(error, "what was seen could not be written");
                }
            }
        }
    }

    async fn write(&self, made: Vec<Observation>) -> Result<bool, DbError> {
        let (now, profile, place) = (self.clock.now(), self.profile.clone(), self.place.clone());
        let write = move |tx: &Transaction<'_>| {
            let Some(site) = place.site(tx)? else { return Ok(false) };
            Ok(observe(tx, &profile, (&site, Prober::Controller), &made, now)?.news)
        };
        self.db.write_async(write).await
    }
}

/// Where the controller looks from, if it looks.
#[derive(Debug, Clone, Default)]
pub struct OwnPlace {
    /// Whether it looks.
    pub enabled: bool,
    /// Name of the site where it stands; none: the one that is the Pusat Data.
    pub name: Option<String>,
}

impl OwnPlace {
    /// The site, if the register has it.
    ///
    /// # Errors
    /// If the database fails.
    pub fn site(&self, db: &Connection) -> Result<Option<SiteId>, DbError> {
        if !self.enabled {
            return Ok(None);
        }
        if let Some(name) = &self.name {
            return Ok(register::site_by_name(db, name)?.map(|site| site.id));
        }
        let sites = register::sites(db)?;
        let mut own =
            sites.iter().filter(|site| site.kind == SiteKind::PusatData).map(|site| site.id);
        Ok(own.next().filter(|_| own.next().is_none()))
    }
}
