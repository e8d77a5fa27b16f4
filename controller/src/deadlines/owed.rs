//! What is owed: the profile's duties, laid upon the register, up to a point in time. Pure.
//!
//! Invariants: the same duties, register and time yield the same, ids included; nothing is owed for the time before its
//! subject was entered, nor before this controller knew the duty; nobody is late on the day on which they are entered.

use lumbung_model::schedule::Tz;
use lumbung_model::{ApplicationId, Day, DepositId, PdId, ServiceId, Timestamp};
use sha2::{Digest as _, Sha256};

use super::period::Period;
use crate::profile::{Duty, DutyOf};

/// What is owed once is due that many months later, if its duty does not say. So long, too, has whoever was entered
/// towards the end of a period.
const FIRST_MONTHS: u32 = 1;

/// A duty, and since when this controller knows it.
#[derive(Debug, Clone, Copy)]
pub struct InForce<'a> {
    /// The duty.
    pub duty: &'a Duty,
    /// Since when.
    pub since: Timestamp,
}

/// A PD, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PdSubject {
    /// Its id.
    pub id: PdId,
    /// When it was entered.
    pub entered: Timestamp,
    /// Since when it runs its own IT, if it does.
    pub mandiri_since: Option<Timestamp>,
    /// Whether it runs the Pusat Data.
    pub runs_pusat_data: bool,
}

/// Something that belongs to a PD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belonging<T> {
    /// Its id.
    pub id: T,
    /// Whose it is.
    pub pd: PdId,
    /// When it was entered.
    pub entered: Timestamp,
}

/// The register, as far as it matters here.
#[derive(Debug, Clone, Default)]
pub struct Subjects {
    /// The PD.
    pub pds: Vec<PdSubject>,
    /// The applications.
    pub applications: Vec<Belonging<ApplicationId>>,
    /// The services.
    pub services: Vec<Belonging<ServiceId>>,
}

/// What is owed, by one subject for one period.
#[derive(Debug, Clone, Copy)]
pub struct Owed<'a> {
    /// Its id.
    pub id: DepositId,
    /// The duty that it follows from.
    pub duty: &'a Duty,
    /// Who owes it; none: the city, of which no single PD runs the Pusat Data.
    pub pd: Option<PdId>,
    /// The application that it is about.
    pub application: Option<ApplicationId>,
    /// The service that it is about.
    pub service: Option<ServiceId>,
    /// The period; none: it is owed once.
    pub period: Option<Period>,
    /// The last second in which it is in time.
    pub due: Timestamp,
}

/// One whom a duty binds.
struct Bound {
    word: &'static str,
    key: [u8; 16],
    pd: Option<PdId>,
    application: Option<ApplicationId>,
    service: Option<ServiceId>,
    since: Timestamp,
}

impl Bound {
    fn pd(pd: &PdSubject, since: Timestamp) -> Self {
        let (word, key, pd) = ("pd", *pd.id.as_bytes(), Some(pd.id));
        Self { word, key, pd, application: None, service: None, since }
    }
}

impl Subjects {
    /// The PD that answers for the city: the one that runs the Pusat Data.
    #[must_use]
    pub fn dinas(&self) -> Option<PdId> {
        let mut found = self.pds.iter().filter(|pd| pd.runs_pusat_data);
        match (found.next(), found.next()) {
            (Some(only), None) => Some(only.id),
            _ => None,
        }
    }

    fn bound_by(&self, of: DutyOf) -> Vec<Bound> {
        match of {
            DutyOf::Pd => self.pds.iter().map(|pd| Bound::pd(pd, pd.entered)).collect(),
            DutyOf::PdMandiri => {
                let mandiri = |pd: &PdSubject| pd.mandiri_since.map(|since| Bound::pd(pd, since));
                self.pds.iter().filter_map(mandiri).collect()
            }
            // A city whose register is empty has not begun.
            DutyOf::Dinas => {
                let began = self.pds.iter().map(|pd| pd.entered).min();
                let (word, key, pd) = ("city", [0; 16], self.dinas());
                let city = |since| Bound { word, key, pd, application: None, service: None, since };
                began.map(city).into_iter().collect()
            }
            DutyOf::Application => {
                let bound = |one: &Belonging<ApplicationId>| Bound {
                    word: "application",
                    key: *one.id.as_bytes(),
                    pd: Some(one.pd),
                    application: Some(one.id),
                    service: None,
                    since: one.entered,
                };
                self.applications.iter().map(bound).collect()
            }
            DutyOf::Service => {
                let bound = |one: &Belonging<ServiceId>| Bound {
                    word: "service",
                    key: *one.id.as_bytes(),
                    pd: Some(one.pd),
                    application: None,
                    service: Some(one.id),
                    since: one.entered,
                };
                self.services.iter().map(bound).collect()
            }
        }
    }
}

/// All that is owed for what has begun by `until`, in the order of the duties.
#[must_use]
pub fn owed<'a>(
    duties: &[InForce<'a>],
    subjects: &Subjects,
    zone: Tz,
    until: Timestamp,
) -> Vec<Owed<'a>> {
    let mut all = Vec::new();
    for in_force in duties {
        for bound in subjects.bound_by(in_force.duty.of) {
            let since = bound.since.max(in_force.since);
            if since <= until {
                let days = (Day::of(since, zone), Day::of(until, zone));
                of_one(in_force.duty, &bound, days, zone, &mut all);
            }
        }
    }
    all
}

/// What one subject owes by one duty.
fn of_one<'a>(
    duty: &'a Duty,
    bound: &Bound,
    (since, until): (Day, Day),
    zone: Tz,
    all: &mut Vec<Owed<'a>>,
) {
    let mut add = |period: Option<Period>, due: Day| {
        all.push(Owed {
            id: id_of(duty, bound, period),
            duty,
            pd: bound.pd,
            application: bound.application,
            service: bound.service,
            period,
            due: due.last_second(zone),
        });
    };
    let Some(months) = duty.every_months else {
        return add(None, since.plus_months(duty.due_months.unwrap_or(FIRST_MONTHS)));
    };
    let mut period = Period::containing(since, months);
    let mut earliest = since.plus_months(FIRST_MONTHS);
    while period.begins() <= until {
        add(Some(period), period.due(duty.due_months).max(earliest));
        earliest = since;
        period = period.next();
    }
}

/// The id of what a subject owes for a period: another one for another duty, subject or period, and for ever the same.
fn id_of(duty: &Duty, bound: &Bound, period: Option<Period>) -> DepositId {
    let mut hash = Sha256::new();
    let period = period.map(|period| period.to_string()).unwrap_or_default();
    let words = ["lumbung deposit 1", &duty.id, bound.word, &period].map(str::as_bytes);
    for part in words.into_iter().chain([&bound.key[..]]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; DepositId::LEN];
    id.copy_from_slice(&digest[..DepositId::LEN]);
    DepositId::from_bytes(id)
}
