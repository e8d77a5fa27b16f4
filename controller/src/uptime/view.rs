//! Uptime for people: states now, availability by month and year, incidents with their notes.
//!
//! Invariant: a period's figures are the sum of its days that are over and of what is reckoned of the rest, so that they do
//! not change when the detail behind a day is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use lumbung_model::uptime::{Figures, Judged};
use lumbung_model::{Day, PdId, ServerId, Timestamp};
use lumbung_wire::messages::uptime::{CheckState, Incident, Sight, UpKind, UpState, UptimeRow};
use rusqlite::Connection;

use super::reckon::{CheckLine, Rules, Subject, reckon};
use crate::db::incidents::{self as incident_rows, IncidentRow};
use crate::db::{DbError, register, services, sights, uptime};
use crate::profile::Profile;

/// A stretch before now in which the state of a check is looked for, seconds.
const STATE_S: i64 = 3 * 3600;

/// What figures are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Each service.
    Service,
    /// Each server.
    Server,
    /// Each PD: all of its services.
    Pd,
}

/// A month, `2026-11`, or a year, `2026`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    first: Day,
    months: u32,
}

/// Why a text is no period.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("period is a month, as in 2026-11, or a year, as in 2026")]
pub struct PeriodError;

impl Period {
    /// The month in which a time falls.
    #[must_use]
    pub fn month_of(at: Timestamp, rules: Rules) -> Self {
        Self { first: Day::first_of_month(Day::of(at, rules.zone).month()), months: 1 }
    }

    /// Its first day, and the first one after it.
    fn days(self) -> (Day, Day) {
        (self.first, self.first.plus_months(self.months))
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let (text, months) = match text.len() {
            4 => (format!("{text}-01-01"), 12),
            7 => (format!("{text}-01"), 1),
            _ => return Err(PeriodError),
        };
        text.parse().map(|first| Self { first, months }).map_err(|_| PeriodError)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = self.first.to_string();
        f.write_str(if self.months == 12 { &day[..4] } else { &day[..7] })
    }
}

/// The availability of all subjects of a kind over a period that has begun, of all PD or of one, by name.
///
/// # Errors
/// If the database fails.
pub fn rows(
    db: &Connection,
    (profile, rules): (&Profile, Rules),
    (by, period): (By, Period),
    pd: Option<PdId>,
    now: Timestamp,
) -> Result<Vec<UptimeRow>, DbError> {
    let mut figures = figures(db, (profile, rules), period, pd, now)?;
    let kind = if by == By::Server { UpKind::Server } else { UpKind::Service };
    figures.retain(|subject, _| subject.kind == kind);
    if by == By::Pd {
        return pd_rows(db, period, figures);
    }
    let slas: HashMap<[u8; 16], (String, Option<u32>)> = match kind {
        UpKind::Service => services::services_ever(db, pd.as_ref())?
            .into_iter()
            .map(|row| (*row.id.as_bytes(), (row.name, row.sla_millipercent)))
            .collect(),
        UpKind::Server => register::servers_ever(db, pd.as_ref())?
            .into_iter()
            .map(|row| (*row.id.as_bytes(), (row.name, None)))
            .collect(),
    };
    let mut rows: Vec<UptimeRow> = figures
        .into_iter()
        .map(|(subject, figures)| {
            let (name, sla) = slas.get(&subject.id).cloned().unwrap_or_default();
            let id = ServerId::from_bytes(subject.id).to_string();
            row((kind.as_str(), id, subject.pd, name), period, figures, sla)
        })
        .collect();
    rows.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(rows)
}

/// Each PD's services together.
fn pd_rows(
    db: &Connection,
    period: Period,
    figures: BTreeMap<Subject, Figures>,
) -> Result<Vec<UptimeRow>, DbError> {
    let mut sums: BTreeMap<PdId, Figures> = BTreeMap::new();
    for (subject, figures) in figures {
        let sum = sums.entry(subject.pd).or_default();
        *sum = sum.and(figures);
    }
    let codes: HashMap<PdId, String> =
        register::pds_ever(db)?.into_iter().map(|pd| (pd.id, pd.code)).collect();
    let mut rows: Vec<UptimeRow> = sums
        .into_iter()
        .map(|(pd, figures)| {
            let name = codes.get(&pd).cloned().unwrap_or_default();
            row(("pd", pd.to_string(), pd, name), period, figures, None)
        })
        .collect();
    rows.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(rows)
}

fn row(
    (kind, id, pd, name): (&str, String, PdId, String),
    period: Period,
    figures: Figures,
    sla_millipercent: Option<u32>,
) -> UptimeRow {
    let seconds = |seconds: i64| seconds.max(0).unsigned_abs();
    let availability = figures.availability();
    let worst = Figures { down_s: figures.down_s + figures.unconfirmed_s, ..figures };
    let met = |sla: u32| availability.map(|share| share >= sla.saturating_mul(10));
    UptimeRow {
        kind: kind.to_owned(),
        id,
        pd,
        name,
        period: period.to_string(),
        up_s: seconds(figures.up_s),
        down_s: seconds(figures.down_s),
        planned_s: seconds(figures.planned_s),
        unconfirmed_s: seconds(figures.unconfirmed_s),
        unobserved_s: seconds(figures.unobserved_s),
        availability,
        at_worst: worst.availability(),
        sla_millipercent,
        met: sla_millipercent.and_then(met),
    }
}

/// The figures of every subject over a period.
fn figures(
    db: &Connection,
    (profile, rules): (&Profile, Rules),
    period: Period,
    pd: Option<PdId>,
    now: Timestamp,
) -> Result<BTreeMap<Subject, Figures>, DbError> {
    let (first, after) = period.days();
    let number = |day: Day| profile.day(day.first_second(rules.zone));
    let kept = uptime::last_day(db)?;
    let last = kept.map_or(i64::MIN, |kept| kept.min(number(after) - 1));
    let mut found: BTreeMap<Subject, Figures> =
        uptime::sums(db, pd.as_ref(), (number(first), last))?
            .into_iter()
            .map(|day| (Subject { kind: day.kind, id: day.subject, pd: day.pd }, day.figures))
            .collect();
    let from = if last >= number(first) {
        first.plus_days(u32::try_from(last - number(first) + 1).unwrap_or(u32::MAX))
    } else {
        first
    };
    let until = after.first_second(rules.zone).min(now);
    let rest = (from.first_second(rules.zone), until);
    if rest.0 < rest.1 && kept.is_none_or(|kept| kept < number(after) - 1) {
        for one in reckon(db, rules, rest)?.subjects {
            if pd.is_some_and(|pd| pd != one.subject.pd) || one.line.spans().is_empty() {
                continue;
            }
            let sum = found.entry(one.subject).or_default();
            *sum = sum.and(Figures::of(&one.line));
        }
    }
    Ok(found)
}

/// How every check is now, of all PD or of one, by name.
///
/// # Errors
/// If the database fails.
pub fn states(
    db: &Connection,
    rules: Rules,
    pd: Option<PdId>,
    now: Timestamp,
) -> Result<Vec<CheckState>, DbError> {
    check_states(db, reckon(db, rules, lately(now))?.checks, pd, now)
}

/// How things are at a moment.
#[derive(Debug)]
pub struct Present {
    /// Every check, by name.
    pub checks: Vec<CheckState>,
    /// Every subject.
    pub subjects: HashMap<Subject, UpState>,
}

/// How every check and every subject is now, of all PD.
///
/// # Errors
/// If the database fails.
pub fn present(db: &Connection, rules: Rules, now: Timestamp) -> Result<Present, DbError> {
    let reckoned = reckon(db, rules, lately(now))?;
    let subjects = reckoned.subjects.into_iter();
    let subjects = subjects.filter_map(|one| Some((one.subject, as_state(one.line.at(now)?))));
    let subjects = subjects.collect();
    Ok(Present { checks: check_states(db, reckoned.checks, None, now)?, subjects })
}

/// The stretch that says how things are now.
const fn lately(now: Timestamp) -> (Timestamp, Timestamp) {
    (now.plus_seconds(-STATE_S), now.plus_seconds(1))
}

fn check_states(
    db: &Connection,
    checks: Vec<CheckLine>,
    pd: Option<PdId>,
    now: Timestamp,
) -> Result<Vec<CheckState>, DbError> {
    let newest: HashMap<_, _> =
        sights::newest(db)?.into_iter().map(|seen| ((seen.check, seen.site), seen)).collect();
    let mut states: Vec<CheckState> = checks
        .into_iter()
        .filter(|one| pd.is_none_or(|pd| pd == one.check.pd))
        .filter_map(|one| {
            let state = as_state(one.line.at(now)?);
            let places = one.links.iter().map(|(site, _)| {
                let seen = newest.get(&(one.check.id, *site));
                Sight {
                    site: *site,
                    at: seen.map(|seen| seen.at),
                    up: seen.is_some_and(|seen| seen.up),
                    latency_ms: seen.and_then(|seen| seen.latency_ms),
                    certificate_expires: seen.and_then(|seen| seen.certificate),
                    detail: seen.map(|seen| seen.detail.clone()).unwrap_or_default(),
                }
            });
            let places = places.collect();
            Some(CheckState {
                check: one.check.id,
                pd: one.check.pd,
                name: one.check.name,
                state,
                places,
            })
        })
        .collect();
    states.sort_by(|a, b| (&a.name, a.check).cmp(&(&b.name, b.check)));
    Ok(states)
}

const fn as_state(judged: Judged) -> UpState {
    match judged {
        Judged::Up => UpState::Up,
        Judged::Down => UpState::Down,
        Judged::Planned => UpState::Planned,
        Judged::Unconfirmed => UpState::Unconfirmed,
        Judged::Unobserved => UpState::Unobserved,
    }
}

/// Incidents with what people wrote about them, in their order.
///
/// # Errors
/// If the database fails.
pub fn incidents(db: &Connection, rows: Vec<IncidentRow>) -> Result<Vec<Incident>, DbError> {
    let names = names(db)?;
    rows.into_iter().map(|row| incident(db, &names, row)).collect()
}

/// One incident as people see it.
///
/// # Errors
/// If the database fails.
pub fn incident_view(db: &Connection, row: IncidentRow) -> Result<Incident, DbError> {
    incident(db, &names(db)?, row)
}

/// What services and servers are called, those that are retired too, by id.
pub(super) fn names(db: &Connection) -> Result<HashMap<[u8; 16], String>, DbError> {
    let services = services::services_ever(db, None)?.into_iter();
    let servers = register::servers_ever(db, None)?.into_iter();
    let services = services.map(|row| (*row.id.as_bytes(), row.name));
    Ok(services.chain(servers.map(|row| (*row.id.as_bytes(), row.name))).collect())
}

fn incident(
    db: &Connection,
    names: &HashMap<[u8; 16], String>,
    row: IncidentRow,
) -> Result<Incident, DbError> {
    Ok(Incident {
        id: row.id,
        kind: row.kind,
        subject: ServerId::from_bytes(row.subject).to_string(),
        name: names.get(&row.subject).cloned().unwrap_or_default(),
        pd: row.pd,
        from: row.from,
        until: row.until,
        down_s: row.down_s,
        flaps: row.flaps,
        entered: row.entered,
        withdrawn: row.withdrawn,
        cause: row.cause,
        notes: incident_rows::notes(db, &row.id)?,
    })
}
