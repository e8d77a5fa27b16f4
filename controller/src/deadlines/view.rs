//! What is owed, as it is shown: lists, the calendar, how much is late.
//!
//! Invariants: how far something has come follows from its record and the time; whoever belongs to one PD is shown its
//! own alone; what the calendar only plans has no record, and gets one when its period begins.

use std::collections::{BTreeMap, HashMap, HashSet};

use lumbung_model::schedule::Tz;
use lumbung_model::{ApplicationId, Day, DepositId, PdId, ServiceId, Timestamp};
use lumbung_wire::messages::deposits::{
    Calendar, CalendarDay, CalendarEntry, CalendarKind, DeadlineCounts, Deposit, DepositState,
};
use rusqlite::Connection;

use super::owed::{Owed, owed};
use super::{DepositError, SOON_DAYS, keeper};
use crate::db::deposits::{self as rows, DepositRow, Status, Which};
use crate::db::{DbError, register, services};
use crate::profile::Profile;

/// The longest calendar, days: a year, its leap day, and a month.
pub const CALENDAR_MAX_DAYS: u32 = 397;
/// How far ahead the calendar plans, days: what is owed is worked out period by period.
const AHEAD_MAX_DAYS: u32 = 1100;

/// How far a record has come.
#[must_use]
pub fn state(row: &DepositRow, now: Timestamp) -> DepositState {
    match row.status {
        Status::Delivered => DepositState::Delivered,
        Status::Accepted => DepositState::Accepted,
        Status::Cancelled => DepositState::Cancelled,
        Status::Open | Status::Returned if now > row.due => DepositState::Overdue,
        Status::Returned => DepositState::Returned,
        Status::Open if row.due <= soon(now) => DepositState::Due,
        Status::Open => DepositState::Open,
    }
}

const fn soon(now: Timestamp) -> Timestamp {
    now.plus_seconds(SOON_DAYS * 86_400)
}

/// What ids are called; records tell of what is retired too.
struct Names {
    pds: HashMap<PdId, String>,
    applications: HashMap<ApplicationId, String>,
    services: HashMap<ServiceId, String>,
}

impl Names {
    fn read(db: &Connection, pd: Option<&PdId>) -> Result<Self, DbError> {
        let applications = services::applications_ever(db, pd)?.into_iter();
        let offered = services::services_ever(db, pd)?.into_iter();
        Ok(Self {
            pds: register::pds_ever(db)?.into_iter().map(|pd| (pd.id, pd.code)).collect(),
            applications: applications.map(|one| (one.id, one.name)).collect(),
            services: offered.map(|one| (one.id, one.name)).collect(),
        })
    }

    fn pd(&self, pd: Option<PdId>) -> String {
        pd.and_then(|pd| self.pds.get(&pd)).cloned().unwrap_or_default()
    }

    fn subject(&self, application: Option<ApplicationId>, service: Option<ServiceId>) -> String {
        let application = application.and_then(|id| self.applications.get(&id));
        let service = service.and_then(|id| self.services.get(&id));
        application.or(service).cloned().unwrap_or_default()
    }

    fn shown(&self, row: DepositRow, now: Timestamp, zone: Tz) -> Deposit {
        Deposit {
            pd_code: self.pd(row.pd),
            subject: self.subject(row.application, row.service),
            due_on: Day::of(row.due, zone),
            state: state(&row, now),
            id: row.id,
            duty: row.duty,
            title_id: row.title_id,
            title_en: row.title_en,
            article: row.article,
            force: row.force,
            date_by: row.date_by,
            obligations: row.obligations,
            pd: row.pd,
            application: row.application,
            service: row.service,
            period: row.period,
            due: row.due,
            created: row.created,
            delivery: row.delivery,
            decision: row.decision,
        }
    }
}

/// One record, with what its ids are called.
///
/// # Errors
/// If the database fails.
pub fn shown(
    db: &Connection,
    row: DepositRow,
    now: Timestamp,
    zone: Tz,
) -> Result<Deposit, DbError> {
    Ok(Names::read(db, row.pd.as_ref())?.shown(row, now, zone))
}

/// Which records are listed; what is not said does not narrow it.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this PD, from this duty, due between these days.
    pub which: Which,
    /// In one of these states; none: in any.
    pub states: Vec<DepositState>,
}

/// The texts in which something is looked for.
#[must_use]
pub fn words(deposit: &Deposit) -> Vec<&str> {
    let own = [
        &deposit.title_id,
        &deposit.title_en,
        &deposit.article,
        &deposit.subject,
        &deposit.pd_code,
    ];
    let handed_in = deposit.delivery.iter().flat_map(|one| [&one.letter, &one.document]);
    own.into_iter().chain(&deposit.period).chain(handed_in).map(String::as_str).collect()
}

/// Where a record stands in a list: by date, title and id.
#[must_use]
pub fn place(deposit: &Deposit) -> (Timestamp, String, DepositId) {
    (deposit.due, deposit.title_id.clone(), deposit.id)
}

/// The records, by date.
///
/// # Errors
/// If the database fails.
pub fn list(
    db: &Connection,
    filter: &Filter,
    now: Timestamp,
    zone: Tz,
) -> Result<Vec<Deposit>, DbError> {
    let names = Names::read(db, filter.which.pd.as_ref())?;
    let all = rows::deposits(db, &filter.which)?.into_iter();
    let mut all: Vec<Deposit> = all.map(|row| names.shown(row, now, zone)).collect();
    all.retain(|one| filter.states.is_empty() || filter.states.contains(&one.state));
    Ok(all)
}

/// What falls due from one day to another, of one PD or of all.
///
/// # Errors
/// If the days are not in order, or the database fails.
pub fn calendar(
    db: &Connection,
    profile: &Profile,
    pd: Option<PdId>,
    now: Timestamp,
    (from, until): (Day, Day),
) -> Result<Calendar, DepositError> {
    if !(0..=i64::from(CALENDAR_MAX_DAYS)).contains(&until.days_since(from)) {
        return Err(DepositError::Span(CALENDAR_MAX_DAYS));
    }
    let zone = profile.zone();
    if until > Day::of(now, zone).plus_days(AHEAD_MAX_DAYS) {
        return Err(DepositError::Far(AHEAD_MAX_DAYS));
    }
    let (first, last) = (from.first_second(zone), until.last_second(zone));
    let names = Names::read(db, pd.as_ref())?;
    let mut days: BTreeMap<Day, Vec<CalendarEntry>> = BTreeMap::new();
    let which = Which { pd, from: Some(first), until: Some(last), ..Which::default() };
    for row in rows::deposits(db, &which)? {
        if row.status != Status::Cancelled {
            let shown = names.shown(row, now, zone);
            days.entry(shown.due_on).or_default().push(recorded(shown));
        }
    }
    let known: HashSet<DepositId> = rows::known(db)?.into_iter().map(|one| one.id).collect();
    let duties = keeper::known_duties(db, now, &profile.duties)?;
    let ahead = owed(&duties, &keeper::subjects(db)?, zone, last);
    let is_asked = |one: &Owed<'_>| {
        let own = pd.is_none() || one.pd == pd;
        own && one.due >= first && one.due <= last && !known.contains(&one.id)
    };
    for one in ahead.iter().filter(|one| is_asked(one)) {
        days.entry(Day::of(one.due, zone)).or_default().push(planned(&names, profile, one));
    }
    let days = days.into_iter().map(|(day, entries)| CalendarDay { day, entries }).collect();
    Ok(Calendar { from, until, time_zone: zone.name().to_owned(), days })
}

fn recorded(deposit: Deposit) -> CalendarEntry {
    CalendarEntry {
        kind: CalendarKind::Deposit,
        deposit: Some(deposit.id),
        state: Some(deposit.state),
        title_id: deposit.title_id,
        title_en: deposit.title_en,
        article: deposit.article,
        pd: deposit.pd,
        pd_code: deposit.pd_code,
        subject: deposit.subject,
        period: deposit.period,
    }
}

fn planned(names: &Names, profile: &Profile, owed: &Owed<'_>) -> CalendarEntry {
    CalendarEntry {
        kind: CalendarKind::Planned,
        deposit: None,
        state: None,
        title_id: owed.duty.asks.id.clone(),
        title_en: owed.duty.asks.en.clone(),
        article: keeper::cited(profile, owed.duty),
        pd: owed.pd,
        pd_code: names.pd(owed.pd),
        subject: names.subject(owed.application, owed.service),
        period: owed.period.map(|period| period.to_string()),
    }
}

/// Who has something overdue, or due within [`SOON_DAYS`], by code; of one PD, or of all and the city.
///
/// # Errors
/// If the database fails.
pub fn overdue(
    db: &Connection,
    pd: Option<PdId>,
    now: Timestamp,
) -> Result<Vec<DeadlineCounts>, DbError> {
    let found = rows::counts(db, pd.as_ref(), (now, soon(now)))?;
    let mut all = Vec::with_capacity(found.len());
    for (pd, overdue, due_soon) in found {
        let code = pd.map(|pd| register::pd(db, &pd)).transpose()?.flatten().map(|pd| pd.code);
        all.push(DeadlineCounts { pd, pd_code: code.unwrap_or_default(), overdue, due_soon });
    }
    all.sort_by(|a, b| a.pd_code.cmp(&b.pd_code));
    Ok(all)
}
