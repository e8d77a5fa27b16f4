//! The caps that the NOC allots, on their way to the vaults: what each site is to keep to, and the reconciler that sees to it.
//!
//! Invariants: what a site is given follows from register and profile alone, but for a PD whose lower cap waits for a second
//! person with one of its agents: the cap that the vault has goes on until that is decided (ADR 20, ADR 24). The vault checks
//! again whatever it is given.

mod keeper;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lumbung_model::{PdId, RepositoryId};
use lumbung_wire::messages::caps::{PdCaps, SiteCaps, VERSION_MAX};
use lumbung_wire::messages::policy::{Narrowing, PolicyRates};
use lumbung_wire::messages::register::Site;
use lumbung_wire::policy::rate_plan;
use rusqlite::Connection;

use crate::db::{DbError, caps as caps_rows, policies as rows, register};
use crate::policies::{Terms, rates};

pub use keeper::Keeper;

/// What all sites' lists have in common.
pub(crate) struct Allotted {
    pds: Vec<PdCaps>,
    /// PDs whose lower cap waits for a second person, or was refused by one.
    waiting: BTreeSet<PdId>,
    /// What sites were given for each PD last: a site that is new gets no other for one that waits.
    given: BTreeMap<PdId, PolicyRates>,
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
        let mut given = BTreeMap::new();
        for site in register::sites(db)? {
            let entries = caps_rows::of(db, &site.id)?.map(|row| row.caps.pds).unwrap_or_default();
            given.extend(entries.into_iter().filter_map(|entry| Some((entry.pd, entry.rates?))));
        }
        Ok(Self { pds, waiting: waiting(db)?, given, timezone: terms.timezone.to_owned() })
    }

    /// What this site is to keep to, by what it was given last; its number is the one that this list has or would have.
    pub(crate) fn to(&self, site: &Site, last: Option<&SiteCaps>) -> SiteCaps {
        let stands =
            |pd: &PdId| match last.and_then(|last| last.pds.iter().find(|entry| entry.pd == *pd)) {
                Some(entry) => entry.rates.clone(),
                None => self.given.get(pd).cloned(),
            };
        let pds = self.pds.iter().cloned().map(|entry| {
            let rates =
                if self.waiting.contains(&entry.pd) { stands(&entry.pd) } else { entry.rates };
            PdCaps { rates, ..entry }
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
