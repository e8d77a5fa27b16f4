//! Where a run writes to, and by which keys the sites are known.
//!
//! Invariants: pure. The order is the configuration's, else Pusat Data, DRC, others. A site that the
//! newest roster lists is known by the roster's key and no other; the register's word counts only
//! while no roster lists any site. A pin in the agent's own file outranks both. Where the register sends an agent, whatever
//! it says, the address at which a site of the roster took the last snapshot is tried too: a register in wrong hands stops no backup.

use lumbung_model::{SiteId, TlsPin};
use lumbung_pack::Roster;
use lumbung_wire::messages::{SiteEntry, SiteKind};

use crate::config::Site;
use crate::state::Reached;

/// A site that can be written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What people call it.
    pub name: String,
    /// Where it answers.
    pub url: String,
    /// Its TLS key is one of these.
    pub pins: Vec<TlsPin>,
    /// Which site it is, as far as that is known.
    pub site: Option<SiteId>,
}

/// The sites of a run, and those that had to be left out, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Targets {
    /// In the order in which they are tried.
    pub usable: Vec<Target>,
    /// Why others are not.
    pub left_out: Vec<String>,
}

/// The sites of a run: those of the file, else those of the register and, last, those `reached` before.
#[must_use]
pub fn targets(
    configured: &[Site],
    register: &[SiteEntry],
    reached: &[Reached],
    roster: Option<&Roster>,
) -> Targets {
    let mut out = Targets::default();
    let mut add =
        |name: &str, url: &str, site: Option<SiteId>, pins: Result<Vec<TlsPin>, String>| match pins
        {
            Ok(pins) => {
                out.usable.push(Target { name: name.to_owned(), url: url.to_owned(), pins, site })
            }
            Err(reason) => out.left_out.push(format!("{name} ({url}): {reason}")),
        };
    if configured.is_empty() {
        let mut sites: Vec<&SiteEntry> = register.iter().collect();
        sites.sort_by_key(|site| match site.kind {
            SiteKind::PusatData => 0,
            SiteKind::Drc => 1,
            SiteKind::Other => 2,
        });
        for site in sites {
            add(&site.name, &site.url, Some(site.site), pins_of(Some(site), roster));
        }
        for before in reached.iter().filter(|before| !is_named(register, before)) {
            if let Some(pin) = listed_pin(before.site, roster) {
                add(&before.name, &before.url, Some(before.site), Ok(vec![pin]));
            }
        }
    }
    for site in configured {
        let known =
            register.iter().find(|entry| entry.url.trim_end_matches('/') == site.url.as_str());
        let pins = site.pin.map_or_else(|| pins_of(known, roster), |pin| Ok(vec![pin]));
        add(&site.name, site.url.as_str(), known.map(|entry| entry.site), pins);
    }
    out
}

fn is_named(register: &[SiteEntry], before: &Reached) -> bool {
    register.iter().any(|entry| entry.site == before.site && entry.url == before.url)
}

fn listed_pin(site: SiteId, roster: Option<&Roster>) -> Option<TlsPin> {
    roster?.sites.iter().find(|entry| entry.site == site).map(|entry| entry.tls_pin)
}

/// What is kept once a snapshot was taken at `target`; none if that is nothing new. Only sites that the roster lists are
/// kept, so that there are never more than it has.
#[must_use]
pub fn reached_now(before: &[Reached], target: &Target, roster: &Roster) -> Option<Vec<Reached>> {
    let site = target.site?;
    let now = Reached { site, name: target.name.clone(), url: target.url.clone() };
    let listed = |site: SiteId| roster.sites.iter().any(|entry| entry.site == site);
    let others = before.iter().filter(|one| one.site != site && listed(one.site)).cloned();
    let after: Vec<Reached> =
        others.chain(std::iter::once(now).filter(|one| listed(one.site))).collect();
    let same = after.len() == before.len() && after.iter().all(|one| before.contains(one));
    (!same).then_some(after)
}

fn pins_of(known: Option<&SiteEntry>, roster: Option<&Roster>) -> Result<Vec<TlsPin>, String> {
    let listed = roster.map(|roster| roster.sites.as_slice()).unwrap_or_default();
    match known {
        Some(site) if listed.is_empty() => Ok(vec![site.tls_pin]),
        Some(site) => match listed.iter().find(|entry| entry.site == site.site) {
            Some(entry) => Ok(vec![entry.tls_pin]),
            None => Err(format!(
                "the repository's newest roster does not list site {}: have the custodian add it \
                 (lumbung roster add-site), or set `pin` for it",
                site.site
            )),
        },
        // An address that the register does not have: it must be one of the roster's sites.
        None if listed.is_empty() => Err(
            "neither the register nor a roster knows its TLS key: set `pin` for it, or have the custodian add it \
             (lumbung roster add-site)"
                .to_owned(),
        ),
        None => Ok(listed.iter().map(|entry| entry.tls_pin).collect()),
    }
}

#[cfg(test)]
mod tests;
