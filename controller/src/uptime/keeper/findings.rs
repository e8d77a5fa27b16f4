//! What is wrong now with what is looked at, and with who looks: as alarms.

use std::collections::HashMap;

use lumbung_model::uptime::{Judged, Timeline};
use lumbung_model::{CheckId, SiteId, Timestamp};
use lumbung_wire::messages::register::Check;
use rusqlite::Connection;

use super::super::reckon::{CheckLine, Reckoned, Subject};
use super::super::view;
use super::{Look, SETTLE_S};
use crate::db::alarms::{self, Finding};
use crate::db::sights::{Newest, Vantage};
use crate::db::{DbError, checks, incidents, register, sights};

/// A certificate that expires so soon is told, seconds: thirty days.
const CERTIFICATE_S: i64 = 30 * 86_400;
/// A vault that should look and was not heard for so long is told, seconds.
const SILENT_S: i64 = 300;
/// What a vault saw is told so soon, seconds.
const TOLD_S: i64 = 15;
/// A place that is cut off for so long is told, seconds.
const CUT_OFF_S: i64 = 120;
/// What is unconfirmed for so long is told, seconds: the other places have been heard meanwhile.
const UNCONFIRMED_S: i64 = 120;
/// A vault's clock that is off by so much is told, seconds.
const CLOCK_S: i64 = 60;
/// Words of probes that one alarm quotes.
const QUOTED_MAX: usize = 4;

/// Makes the alarms be what is wrong now.
pub(super) fn raise(db: &Connection, look: &Look, now: Timestamp) -> Result<(), DbError> {
    let Look { reckoned, names, newest, .. } = look;
    let all: [(&str, Vec<Finding>); 6] = [
        ("down", down(db, reckoned, names, newest)?),
        ("unconfirmed", unconfirmed(reckoned, names, now)),
        ("link", links(reckoned, names, newest, now)),
        ("cut-off", cut_off(reckoned, names, now)),
        ("certificate", certificates(reckoned, newest, now)),
        ("vantage", silent(db, names, now)?),
    ];
    for (kind, findings) in all {
        alarms::reconcile(db, now, kind, "", &findings)?;
    }
    Ok(())
}

/// What things are called.
pub(super) struct Names {
    /// Services and servers.
    subjects: HashMap<[u8; 16], String>,
    sites: HashMap<SiteId, String>,
}

impl Names {
    pub(super) fn read(db: &Connection) -> Result<Self, DbError> {
        let sites = register::sites(db)?.into_iter().map(|row| (row.id, row.name)).collect();
        Ok(Self { subjects: view::names(db)?, sites })
    }

    fn subject(&self, subject: &Subject) -> String {
        let name = self.subjects.get(&subject.id).map_or("?", String::as_str);
        format!("{} {name}", subject.kind)
    }

    fn site(&self, site: &SiteId) -> String {
        self.sites.get(site).cloned().unwrap_or_else(|| site.to_string())
    }
}

fn key(subject: &Subject) -> String {
    format!("{}:{}", subject.kind, lumbung_model::ServerId::from_bytes(subject.id))
}

/// Since when it is so, or was so a moment ago for at least `least_s`: what flaps stays told, and the moment between one
/// place's probe and another's is nothing.
fn lately(line: &Timeline<()>, least_s: i64, now: Timestamp) -> Option<Timestamp> {
    let last = line.spans().iter().rfind(|span| span.seconds() >= least_s)?;
    (now.seconds_since(last.until) < SETTLE_S).then_some(last.from)
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
            Finding {
                subject: key(&subject),
                pd: Some(row.pd),
                site: None,
                service: subject.service(),
                detail,
            }
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
    let so = |one: &&super::super::reckon::SubjectLine| {
        one.seen.spans().last().is_some_and(|span| {
            span.state == Judged::Unconfirmed && span.until > now && span.seconds() > UNCONFIRMED_S
        })
    };
    let finding = |one: &super::super::reckon::SubjectLine| Finding {
        subject: key(&one.subject),
        pd: Some(one.subject.pd),
        site: None,
        service: one.subject.service(),
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
        let least_s = i64::from(one.check.interval_s) + TOLD_S;
        for (site, line) in &one.links {
            let Some(since) = lately(line, least_s, now) else { continue };
            let own = |seen: &Newest| seen.check == one.check.id && seen.site == *site && !seen.up;
            let words = quoted(newest, own);
            found.push(Finding {
                subject: format!("{}:{site}", one.check.id),
                pd: Some(one.check.pd),
                site: Some(*site),
                service: one.check.service,
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
    let lines = reckoned.cut_off.iter();
    lines
        .filter_map(|(site, line)| {
            let since = lately(line, CUT_OFF_S, now)?;
            let detail = format!(
                "{} reaches nothing of what it looks at since {since}, other places do: look at its network",
                names.site(site)
            );
            Some(Finding { subject: site.to_string(), pd: None, site: Some(*site), service: None, detail })
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
    let line = |id: &CheckId| reckoned.checks.iter().find(|one| one.check.id == *id);
    let soon = soonest.iter().filter(|(_, expires)| expires.seconds_since(now) < CERTIFICATE_S);
    soon.filter_map(|(check, expires)| {
        let Check { name, pd, service, .. } = &line(check)?.check;
        let verb = if *expires <= now { "expired" } else { "expires" };
        let detail = format!("the certificate of {name} {verb} {expires}: renew it");
        let (subject, pd, service) = (check.to_string(), Some(*pd), *service);
        Some(Finding { subject, pd, site: None, service, detail })
    })
    .collect()
}

/// Vaults that should look and are not heard.
fn silent(db: &Connection, names: &Names, now: Timestamp) -> Result<Vec<Finding>, DbError> {
    if checks::live_count(db)? == 0 {
        return Ok(Vec::new());
    }
    let looking = checks::looking(db)?;
    let vantages = sights::vantages(db)?.into_iter().filter(|one| looking.contains(&one.site));
    let wrong = |one: &Vantage| {
        let name = names.site(&one.site);
        let skew_s = one.clock.map_or(0, |clock| clock.seconds_since(one.heard));
        if now.seconds_since(one.heard) > SILENT_S {
            Some(format!(
                "{name} tells nothing of what it looks at since {}: look at its vault, and at the link to it",
                one.heard
            ))
        } else if skew_s.saturating_abs() > CLOCK_S {
            Some(format!(
                "the clock of {name} is off by {skew_s} s: set it, since what two places see is compared by their clocks"
            ))
        } else {
            None
        }
    };
    let finding = |one: Vantage| {
        let detail = wrong(&one)?;
        Some(Finding {
            subject: one.site.to_string(),
            pd: None,
            site: Some(one.site),
            service: None,
            detail,
        })
    };
    Ok(vantages.filter_map(finding).collect())
}
