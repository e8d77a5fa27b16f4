//! The caps that the NOC allots, on their way to the vaults: what each site is to keep to, and the reconciler that sees to it.
//!
//! Invariants: what a site is given follows from register and profile alone, but for a PD whose lower cap waits for a second
//! person with one of its agents: the cap that the vault has goes on until that is decided (ADR 20, ADR 24). The vault checks
//! again whatever it is given.

mod keeper;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lumbung_model::{PdId, RepositoryId, SiteId};
use lumbung_wire::messages::caps::{PdCaps, SiteCaps, VERSION_MAX};
use lumbung_wire::messages::policy::{Narrowing, PolicyRates};
use lumbung_wire::messages::register::Site;
use lumbung_wire::policy::rate_plan;
use rusqlite::Connection;

use crate::db::caps::{self as caps_rows, CapsRow};
use crate::db::{DbError, policies as rows, register};
use crate::policies::{Terms, rates};

pub use keeper::Keeper;

/// What all sites' lists have in common.
pub(crate) struct Allotted {
    pds: Vec<PdCaps>,
    /// PDs whose lower cap waits for a second person, or was refused by one.
    waiting: BTreeSet<PdId>,
    /// What each site was given last.
    last: BTreeMap<SiteId, CapsRow>,
    timezone: String,
}

impl Allotted {
    /// Reads it from the register.
    pub(crate) fn read(db: &Connection, terms: Terms<'_>) -> Result<Self, DbError> {
        let mut repositories: BTreeMap<PdId, Vec<RepositoryId>> = BTreeMap::new();
        for (repository, pd) in register::repositories(db)? {
            repositories.entry(pd).or_default().push(repository);
        }
        let mut pds = Vec::new();
        for pd in register::pds(db)? {
            if let Some(repositories) = repositories.remove(&pd.id) {
                let rates = rates(&pd, terms);
                pds.push(PdCaps { pd: pd.id, code: pd.code, rates, repositories });
            }
        }
        pds.sort_by_key(|entry| entry.pd);
        let mut last = BTreeMap::new();
        for site in register::sites(db)? {
            last.extend(caps_rows::of(db, &site.id)?.map(|row| (site.id, row)));
        }
        Ok(Self { pds, waiting: waiting(db)?, last, timezone: terms.timezone.to_owned() })
    }

    /// What this site was given last.
    pub(crate) fn last(&self, site: &SiteId) -> Option<&CapsRow> {
        self.last.get(site)
    }

    /// The cap of a PD that goes on at this site as long as a lower one waits: what it has, and if it is new, what others have.
    fn stands(&self, site: &SiteId, pd: PdId) -> Option<PolicyRates> {
        let given = |row: &CapsRow| row.caps.pds.iter().find(|entry| entry.pd == pd).cloned();
        match self.last(site).and_then(given) {
            Some(entry) => entry.rates,
            None => self.last.values().rev().filter_map(given).find_map(|entry| entry.rates),
        }
    }

    /// What this site is to keep to, by what it was given last; its number is the one that this list has or would have.
    pub(crate) fn to(&self, site: &Site) -> SiteCaps {
        let last = self.last(&site.id).map(|row| &row.caps);
        let pds = self.pds.iter().cloned().map(|entry| match self.waiting.contains(&entry.pd) {
            true => PdCaps { rates: self.stands(&site.id, entry.pd), ..entry },
            false => entry,
        });
        let next =
            SiteCaps { site: site.id, version: 0, pull: self.pull(site), pds: pds.collect() };
        let version = match last {
            Some(last) if (SiteCaps { version: 0, ..last.clone() }) == next => last.version,
            // Numbers that somebody used up begin anew: a vault that has a higher one says so.
            Some(last) if last.version < VERSION_MAX => last.version + 1,
            Some(_) | None => 1,
        };
        SiteCaps { version, ..next }
    }

    fn pull(&self, site: &Site) -> Option<PolicyRates> {
        let rates = PolicyRates {
            rate: site.rate.clone(),
            windows: site.windows.clone(),
            timezone: self.timezone.clone(),
        };
        let is_capped = rate_plan(&rates).is_ok_and(|plan| !plan.is_unlimited());
        is_capped.then_some(rates)
    }
}

/// PDs with an agent for which a lower cap is not decided, or was decided against, or for which nobody has looked yet.
fn waiting(db: &Connection) -> Result<BTreeSet<PdId>, DbError> {
    let mut waiting = BTreeSet::new();
    for server in rows::marked(db)? {
        waiting.extend(register::server(db, &server)?.map(|server| server.pd));
    }
    for server in rows::proposed(db)? {
        let Some(proposal) = rows::proposal(db, &server)? else { continue };
        let slows = proposal.narrowings.iter().any(|one| matches!(one, Narrowing::Rate { .. }));
        if slows && let Some(server) = register::server(db, &server)? {
            waiting.insert(server.pd);
        }
    }
    Ok(waiting)
}

/// Whether anything in a list is capped: else nobody misses it.
pub(crate) fn has_caps(caps: &SiteCaps) -> bool {
    caps.pull.is_some() || caps.pds.iter().any(|entry| entry.rates.is_some())
}
