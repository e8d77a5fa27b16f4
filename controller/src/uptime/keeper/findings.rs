//! What is wrong now with what is looked at, and with who looks: as alarms.

use std::collections::HashMap;

use lumbung_model::uptime::{Judged, Timeline};
use lumbung_model::{CheckId, PdId, SiteId, Timestamp};
use rusqlite::Connection;

use super::super::reckon::{CheckLine, Reckoned, Subject};
use super::{Keeper, SETTLE_S};
use crate::db::alarms::{self, Finding};
use crate::db::sights::Newest;
use crate::db::{DbError, incidents, register, services, sights};
use lumbung_wire::messages::uptime::UpKind;

/// A certificate that expires so soon is told, seconds: thirty days.
const CERTIFICATE_S: i64 = 30 * 86_400;
/// A vault that should look and was not heard for so long is told, seconds.
const SILENT_S: i64 = 300;
/// Words of probes that one alarm quotes.
const QUOTED_MAX: usize = 4;

impl Keeper {
    /// Makes the alarms be what is wrong now.
    pub(super) fn raise(
        &self,
        db: &Connection,
        reckoned: &Reckoned,
        now: Timestamp,
    ) -> Result<(), DbError> {
        let names = Names::read(db)?;
        let newest = sights::newest(db)?;
        let all: [(&str, Vec<Finding>); 6] = [
            ("down", down(db, reckoned, &names, &newest)?),
            ("unconfirmed", unconfirmed(reckoned, &names, now)),
            ("link", links(reckoned, &names, &newest, now)),
            ("cut-off", cut_off(reckoned, &names, now)),
            ("certificate", certificates(reckoned, &newest, now)),
            ("vantage", silent(db, &names, now)?),
        ];
        for (kind, findings) in all {
            alarms::reconcile(db, now, kind, "", &findings)?;
        }
        Ok(())
    }
}

/// What things are called.
struct Names {
    services: HashMap<[u8; 16], String>,
    servers: HashMap<[u8; 16], String>,
    sites: HashMap<SiteId, String>,
}

impl Names {
    fn read(db: &Connection) -> Result<Self, DbError> {
        let services = services::services_ever(db, None)?;
        let servers = register::servers_ever(db, None)?;
        Ok(Self {
            services: services.into_iter().map(|row| (*row.id.as_bytes(), row.name)).collect(),
            servers: servers.into_iter().map(|row| (*row.id.as_bytes(), row.name)).collect(),
            sites: register::sites(db)?.into_iter().map(|row| (row.id, row.name)).collect(),
        })
    }

    fn subject(&self, subject: &Subject) -> String {
        let names = match subject.kind {
            UpKind::Service => &self.services,
            UpKind::Server => &self.servers,
        };
        let name = names.get(&subject.id).map_or("?", String::as_str);
        format!("{} {name}", subject.kind)
    }

    fn site(&self, site: &SiteId) -> String {
        self.sites.get(site).cloned().unwrap_or_else(|| site.to_string())
    }
}

fn key(subject: &Subject) -> String {
    format!("{}:{}", subject.kind, lumbung_model::ServerId::from_bytes(subject.id))
}

/// Whether it was so a moment ago: what flaps stays told.
fn lately(line: &Timeline<()>, now: Timestamp) -> bool {
    line.spans().last().is_some_and(|span| now.seconds_since(span.until) < SETTLE_S)
}

/// Incidents that go on.
fn down(
    db: &Connection,
    reckoned: &Reckoned,
    names: &Names,
    newest: &[Newest],
) -> Result<Vec<Finding>, DbError> {
    let wanted = incidents::Wanted { open: true, ..incidents::Wanted::default() };
    let open = incidents::list(db, &wanted)?;
    let seen = open.iter().filter(|row| !row.entered && !row.withdrawn);
    Ok(seen
        .map(|row| {
            let subject = Subject { kind: row.kind, id: row.subject, pd: row.pd };
            let of =
                |one: &&CheckLine| super::super::reckon::subject_of(&one.check) == Some(subject);
            let checks: Vec<CheckId> =
                reckoned.checks.iter().filter(of).map(|one| one.check.id).collect();
            let flapping = if row.flaps > 2 { ", flapping" } else { "" };
            let words = quoted(newest, |one| checks.contains(&one.check) && !one.up);
            let detail =
                format!("{} is down since {}{flapping}{words}", names.subject(&subject), row.from);
            Finding { subject: key(&subject), pd: Some(row.pd), site: None, detail }
        })
        .collect())
}

/// What probes said, for an alarm.
fn quoted(newest: &[Newest], which: impl Fn(&Newest) -> bool) -> String {
    let mut words: Vec<&str> = newest
        .iter()
        .filter(|one| which(one) && !one.detail.is_empty())
        .map(|one| &*one.detail)
        .collect();
    words.sort_unstable();
    words.dedup();
    words.truncate(QUOTED_MAX);
    if words.is_empty() { String::new() } else { format!(": {}", words.join("; ")) }
}

/// What one place sees down while the others, which should look too, do not.
fn unconfirmed(reckoned: &Reckoned, names: &Names, now: Timestamp) -> Vec<Finding> {
    let so =
        |one: &&super::super::reckon::SubjectLine| one.seen.at(now) == Some(Judged::Unconfirmed);
    let finding = |one: &super::super::reckon::SubjectLine| Finding {
        subject: key(&one.subject),
        pd: Some(one.subject.pd),
        site: None,
        detail: format!(
            "{} is down as one place sees it; no other place looks: look there yourself",
            names.subject(&one.subject)
        ),
    };
    reckoned.subjects.iter().filter(so).map(finding).collect()
}

/// What one place does not reach and another does.
fn links(reckoned: &Reckoned, names: &Names, newest: &[Newest], now: Timestamp) -> Vec<Finding> {
    let mut found = Vec::new();
    for one in &reckoned.checks {
        for (site, line) in one.links.iter().filter(|(_, line)| lately(line, now)) {
            let own = |seen: &Newest| seen.check == one.check.id && seen.site == *site && !seen.up;
            let words = quoted(newest, own);
            let since = line.spans().last().map_or(now, |span| span.from);
            found.push(Finding {
                subject: format!("{}:{site}", one.check.id),
                pd: Some(one.check.pd),
                site: Some(*site),
                detail: format!(
                    "{} does not reach {} since {since}, another place does: look at the link{words}",
                    names.site(site),
                    one.check.name
                ),
            });
        }
    }
    found
}

fn cut_off(reckoned: &Reckoned, names: &Names, now: Timestamp) -> Vec<Finding> {
    let lines = reckoned.cut_off.iter().filter(|(_, line)| lately(line, now));
    lines
        .map(|(site, line)| Finding {
            subject: site.to_string(),
            pd: None,
            site: Some(*site),
            detail: format!(
                "{} reaches nothing of what it looks at since {}, other places do: look at its network",
                names.site(site),
                line.spans().last().map_or(now, |span| span.from)
            ),
        })
        .collect()
}

fn certificates(reckoned: &Reckoned, newest: &[Newest], now: Timestamp) -> Vec<Finding> {
    let mut soonest: HashMap<CheckId, Timestamp> = HashMap::new();
    for one in newest {
        if let Some(expires) = one.certificate {
            let kept = soonest.entry(one.check).or_insert(expires);
            *kept = expires.min(*kept);
        }
    }
    let whose = |id: &CheckId| -> Option<(&str, PdId)> {
        let line = reckoned.checks.iter().find(|one| one.check.id == *id)?;
        Some((&line.check.name, line.check.pd))
    };
    let soon = soonest.iter().filter(|(_, expires)| expires.seconds_since(now) < CERTIFICATE_S);
    soon.filter_map(|(check, expires)| {
        let (name, pd) = whose(check)?;
        let verb = if *expires <= now { "expired" } else { "expires" };
        let detail = format!("the certificate of {name} {verb} {expires}: renew it");
        Some(Finding { subject: check.to_string(), pd: Some(pd), site: None, detail })
    })
    .collect()
}

/// Vaults that should look and are not heard.
fn silent(db: &Connection, names: &Names, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    if crate::db::checks::live_count(db)? == 0 {
        return Ok(Vec::new());
    }
    let silent = sights::vantages(db)?.into_iter().filter(|one| {
        names.sites.contains_key(&one.site) && now.seconds_since(one.heard) > SILENT_S
    });
    Ok(silent
        .map(|one| Finding {
            subject: one.site.to_string(),
            pd: None,
            site: Some(one.site),
            detail: format!(
                "{} tells nothing of what it looks at since {}: look at its vault, and at the link to it",
                names.site(&one.site),
                one.heard
            ),
        })
        .collect())
}
