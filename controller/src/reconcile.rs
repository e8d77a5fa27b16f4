//! The reconciler of compliance: weighs what has to be weighed again, and writes down what is said now.
//!
//! Invariants: idempotent, and takes no argument but the state and the time: run twice, nothing changes the second time;
//! killed anywhere, the next pass goes on. A dataset's mark is taken off in the transaction that weighed it; that of the
//! register becomes another one when its work begins, so that what changes meanwhile marks it anew, and is taken off at the
//! end. It works in parts, so that nobody waits long for the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lumbung_model::compliance::Totals;
use lumbung_model::{Clock, DatasetId, PdId, SiteId, Timestamp};
use lumbung_wire::messages::register::{DatasetKind, Pd, Site};
use rusqlite::Connection;
use tokio::sync::watch;

use crate::db::standings::{self, Stale};
use crate::db::{Db, DbError, places, register as rows, retired, services, verdicts};
use crate::hosts;
use crate::profile::{Profile, Subject};
use crate::retire;
use crate::rules::{self, DatasetCase, Judged, Register};
use crate::standing::{self, Standing};

/// Datasets weighed, or other subjects judged, in one transaction.
const PART: usize = 200;
/// Between two passes at least: many writes are one pass.
const PAUSE: Duration = Duration::from_millis(500);
/// Without any write, a pass at least this often: totals of the day.
const LONGEST: Duration = Duration::from_secs(600);

/// The reconciler.
pub struct Reconciler {
    db: Db,
    clock: Arc<dyn Clock>,
    profile: Arc<Profile>,
}

impl Reconciler {
    /// Over this database, at this time, for what this profile asks.
    #[must_use]
    pub fn new(db: Db, clock: Arc<dyn Clock>, profile: Arc<Profile>) -> Self {
        Self { db, clock, profile }
    }

    /// Runs until told to stop.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            let reconciler = self.clone();
            let pass = tokio::task::spawn_blocking(move || reconciler.pass());
            let next = match pass.await.unwrap_or(Err(DbError::Worker)) {
                Ok(next) => next,
                Err(error) => {
                    let error = lumbung_model::with_causes(&error);
                    tracing::error!(
                        error,
                        "compliance could not be written down; it is tried again"
                    );
                    None
                }
            };
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return,
                () = self.db.written() => {}
                () = tokio::time::sleep(self.wait(next)) => {}
            }
        }
    }

    fn wait(&self, next: Option<Timestamp>) -> Duration {
        let until = next.map(|next| next.seconds_since(self.clock.now()).max(0).unsigned_abs());
        until.map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST))
    }

    /// Works off everything that has to be looked at again, and tells when there is something next.
    ///
    /// # Errors
    /// If the database fails; what was worked off until then stays.
    pub fn pass(&self) -> Result<Option<Timestamp>, DbError> {
        loop {
            let now = self.clock.now();
            if self.db.read(|tx| standings::stale(tx, now))?.is_empty() {
                break;
            }
            let stale = self.db.write(|tx| standings::spread(tx, now))?;
            self.work_off(&stale)?;
        }
        hosts::work_off(&self.db, self.clock.now())?;
        self.total()?;
        self.db.read(|tx| standings::next_recheck(tx))
    }

    /// Writes down the totals of the day where they are others than those that are written.
    fn total(&self) -> Result<(), DbError> {
        let now = self.clock.now();
        if self.db.read(|tx| day_differs(tx, &self.profile, now))? {
            self.db.write(|tx| close_day(tx, &self.profile, now))?;
        }
        Ok(())
    }

    fn work_off(&self, stale: &Stale) -> Result<(), DbError> {
        let datasets: Vec<_> = stale.datasets.iter().copied().collect();
        for part in datasets.chunks(PART) {
            self.db.write(|tx| self.weigh_part(tx, part))?;
        }
        if stale.register { self.judge_register() } else { Ok(()) }
    }

    fn weigh_part(&self, tx: &Connection, part: &[DatasetId]) -> Result<(), DbError> {
        let now = self.clock.now();
        let names = Names::read(tx)?;
        for id in part {
            if retired::of(tx, id.as_bytes())?.is_some() {
                forget(tx, id, now)?;
            } else if let Some(dataset) = rows::dataset(tx, id)? {
                let (standing, facts) = standing::weigh(tx, &self.profile, &dataset, now)?;
                let Some(pd) = names.pds.get(&dataset.pd) else { continue };
                let server = dataset.server.map(|id| rows::server(tx, &id)).transpose()?.flatten();
                let site = server.as_ref().and_then(|one| one.site);
                let case = DatasetCase {
                    dataset: &dataset,
                    pd,
                    server: server.as_ref(),
                    site: site.and_then(|id| names.sites.get(&id)).map(|site| site.kind),
                    compliance: &standing.compliance,
                    facts: &facts,
                    evidence: self.profile.evidence_rules(),
                    now,
                    site_name: &|id| names.site(id),
                };
                let said = rules::judge_dataset(&self.profile, &case);
                let subject = id.as_bytes().to_vec();
                let kind = Subject::Dataset.as_str();
                verdicts::settle(tx, now, (kind, &subject, Some(dataset.pd)), &said)?;
                standings::put(tx, &standing, now)?;
                if dataset.kind == DatasetKind::SourceCode {
                    standings::mark_register(tx)?;
                }
            }
            standings::unmark(tx, id)?;
        }
        Ok(())
    }

    /// Judges what is no dataset. All of it is looked at, beside writers; what is said otherwise now is written in parts.
    fn judge_register(&self) -> Result<(), DbError> {
        self.db.write(|tx| standings::begin_register(tx))?;
        let otherwise = self.db.read(|tx| self.judged_otherwise(tx))?;
        for part in otherwise.chunks(PART) {
            self.db.write::<_, DbError>(|tx| {
                let now = self.clock.now();
                for Judged { kind, subject, pd, verdicts } in part {
                    // It may have been retired since it was judged.
                    let live = !is_retired(tx, subject)?;
                    let said = if live { verdicts.as_slice() } else { &[] };
                    verdicts::settle(tx, now, (kind, subject, *pd), said)?;
                }
                Ok(())
            })?;
        }
        self.db.write(|tx| standings::end_register(tx))
    }

    fn judged_otherwise(&self, tx: &Connection) -> Result<Vec<Judged>, DbError> {
        let mut judged = rules::judge_all(&self.profile, &register(tx)?);
        // Whatever is retired, nothing is said of it.
        for one in retired::all(tx, None)? {
            // Ids of all kinds are written alike.
            if let (Some(subject), Ok(id)) = (retire::subject(one.kind), one.id.parse::<PdId>()) {
                let (kind, subject) = (subject.as_str(), id.as_bytes().to_vec());
                judged.push(Judged { kind, subject, pd: one.pd, verdicts: Vec::new() });
            }
        }
        let mut otherwise = Vec::new();
        for one in judged {
            if verdicts::differ(tx, (&one.subject, one.pd), &one.verdicts)? {
                otherwise.push(one);
            }
        }
        Ok(otherwise)
    }
}

fn is_retired(tx: &Connection, subject: &[u8]) -> Result<bool, DbError> {
    let Ok(id) = subject.try_into() else { return Ok(false) };
    Ok(retired::of(tx, id)?.is_some())
}

/// Nothing more is said of a dataset that is retired, and it stands nowhere. What was said stays.
fn forget(tx: &Connection, id: &DatasetId, now: Timestamp) -> Result<(), DbError> {
    let pd = rows::dataset(tx, id)?.map(|dataset| dataset.pd);
    let subject = (Subject::Dataset.as_str(), &id.as_bytes().to_vec(), pd);
    verdicts::settle(tx, now, subject, &[])?;
    standings::forget(tx, id)?;
    // Rules about applications look at their source code.
    standings::mark_register(tx)
}

/// What ids are called, for one part of the work.
struct Names {
    pds: HashMap<PdId, Pd>,
    sites: HashMap<SiteId, Site>,
}

impl Names {
    fn read(tx: &Connection) -> Result<Self, DbError> {
        Ok(Self {
            pds: rows::pds_ever(tx)?.into_iter().map(|pd| (pd.id, pd)).collect(),
            sites: rows::sites(tx)?.into_iter().map(|site| (site.id, site)).collect(),
        })
    }

    fn site(&self, id: &SiteId) -> String {
        self.sites.get(id).map_or_else(|| id.short(), |site| site.name.clone())
    }
}

/// The register as rules look at it.
fn register(tx: &Connection) -> Result<Register, DbError> {
    let mut source_code = Vec::new();
    for dataset in rows::datasets_of_kind(tx, DatasetKind::SourceCode)? {
        let standing: Option<Standing> = standings::standing(tx, &dataset.id)?;
        let backed_up = standing.is_some_and(|standing| standing.compliance.backed_up.met);
        source_code.push((dataset, backed_up));
    }
    Ok(Register {
        sites: rows::sites(tx)?,
        buildings: places::buildings(tx)?,
        pds: rows::pds(tx)?,
        servers: rows::servers(tx, None)?,
        services: services::services(tx, None)?,
        applications: services::applications(tx, None)?,
        contact_persons: services::contact_persons(tx, None)?,
        source_code,
    })
}

/// Whether the totals differ from those that are written down for today.
fn day_differs(tx: &Connection, profile: &Profile, now: Timestamp) -> Result<bool, DbError> {
    let day = profile.day(now);
    let mut here = totals(tx)?;
    let mut written = standings::day(tx, day)?;
    here.sort_by_key(|(pd, _)| *pd);
    written.sort_by_key(|(pd, _)| *pd);
    Ok(here != written)
}

fn close_day(tx: &Connection, profile: &Profile, now: Timestamp) -> Result<(), DbError> {
    standings::put_day(tx, profile.day(now), &totals(tx)?)
}

/// How many datasets and bytes have come how far: of each PD that has datasets.
fn totals(tx: &Connection) -> Result<Vec<(PdId, Totals)>, DbError> {
    Ok(standings::sums(tx, None)?.into_iter().map(|(pd, sums)| (pd, sums.totals)).collect())
}

/// Marks everything if the profile is another one than the last that was applied, and remembers this one.
///
/// # Errors
/// If the database fails.
pub fn take_over(tx: &Connection, profile: &Profile) -> Result<bool, DbError> {
    if standings::setting(tx, "profile")?.as_deref() == Some(&profile.digest) {
        return Ok(false);
    }
    standings::mark_all(tx)?;
    standings::put_setting(tx, "profile", &profile.digest)?;
    Ok(true)
}

#[cfg(test)]
mod tests;
