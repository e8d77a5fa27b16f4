//! What is up, and what the month comes to so far.
//!
//! Invariant: figures are by PD; by service there are at most [`SERVICES_MAX`], and how many were left out is a figure too.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::{PdId, Timestamp};
use lumbung_wire::messages::uptime::{CheckState, UpKind, UpState};
use lumbung_wire::metrics::{Figures, Metric};
use rusqlite::Connection;

use crate::db::{DbError, register, services};
use crate::profile::Profile;
use crate::uptime::{By, Period, Rules, Subject, present, rows};

/// Services that have figures of their own.
pub(super) const SERVICES_MAX: usize = 500;
/// Availability is in ten-thousandths of a percent.
const WHOLE: f64 = 1_000_000.0;

pub(super) const CHECKS: Metric = Metric::gauge(
    "lumbung_pd_checks",
    &["pd", "state"],
    "Checks of the PD by state: up, down, planned, unconfirmed, unobserved.",
);
pub(super) const OBSERVED: Metric = Metric::gauge(
    "lumbung_pd_observation_oldest_timestamp_seconds",
    &["pd"],
    "Of the newest observation of each of the PD's checks, when the oldest was made; 0 if one was never made.",
);
pub(super) const SERVICE_STATE: Metric = Metric::gauge(
    "lumbung_service_state",
    &["pd", "service", "state"],
    "1 for the state that the service is in (up, down, planned, unconfirmed, unobserved); of 500 services at most.",
);
pub(super) const SERVICE_AVAILABILITY: Metric = Metric::gauge(
    "lumbung_service_availability_ratio",
    &["pd", "service"],
    "Availability of the service in this month of the city's calendar so far, planned downtime left out, 0 to 1.",
);
pub(super) const SERVICE_SLA: Metric = Metric::gauge(
    "lumbung_service_sla_ratio",
    &["pd", "service"],
    "What the SLA of the service asks for, 0 to 1; none without one.",
);
pub(super) const PD_AVAILABILITY: Metric = Metric::gauge(
    "lumbung_pd_availability_ratio",
    &["pd"],
    "Availability of all services of the PD together in this month so far, 0 to 1.",
);
pub(super) const LEFT_OUT: Metric = Metric::gauge(
    "lumbung_services_left_out",
    &[],
    "Services that have no figures of their own, since there are more than 500.",
);

const STATES: [UpState; 5] =
    [UpState::Up, UpState::Down, UpState::Planned, UpState::Unconfirmed, UpState::Unobserved];

/// What the month comes to so far: kept for a while, since a day's sights are read for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Month {
    /// By service: its PD, its name, availability and SLA.
    services: Vec<(PdId, String, Option<f64>, Option<f64>)>,
    pds: Vec<(PdId, f64)>,
}

impl Month {
    pub(super) fn read(
        db: &Connection,
        (profile, rules): (&Profile, Rules),
        now: Timestamp,
    ) -> Result<Self, DbError> {
        let month = Period::month_of(now, rules);
        let of = |by| rows(db, (profile, rules), (by, month), None, now);
        let ratio = |availability: Option<u32>| availability.map(|share| f64::from(share) / WHOLE);
        let sla = |sla: Option<u32>| sla.map(|sla| f64::from(sla) * 10.0 / WHOLE);
        let services = of(By::Service)?.into_iter();
        let pds = of(By::Pd)?.into_iter();
        Ok(Self {
            services: services
                .map(|row| (row.pd, row.name, ratio(row.availability), sla(row.sla_millipercent)))
                .collect(),
            pds: pds.filter_map(|row| Some((row.pd, ratio(row.availability)?))).collect(),
        })
    }
}

/// What is up now.
pub(super) fn show(
    figures: &mut Figures,
    db: &Connection,
    rules: Rules,
    (at, month): (Timestamp, &Month),
) -> Result<(), DbError> {
    let codes: HashMap<PdId, String> =
        register::pds(db)?.into_iter().map(|pd| (pd.id, pd.code)).collect();
    let now = present(db, rules, at)?;
    checks(figures, &now.checks, &codes);
    let live = services::services(db, None)?;
    figures.count(&LEFT_OUT, &[], live.len().saturating_sub(SERVICES_MAX) as u64);
    let month_of: HashMap<(PdId, &str), _> = month
        .services
        .iter()
        .map(|(pd, name, share, sla)| ((*pd, name.as_str()), (share, sla)))
        .collect();
    for service in live.iter().take(SERVICES_MAX) {
        let Some(code) = codes.get(&service.pd) else { continue };
        let labels = [code.as_str(), service.name.as_str()];
        let subject = Subject { kind: UpKind::Service, id: *service.id.as_bytes(), pd: service.pd };
        if let Some(is) = now.subjects.get(&subject) {
            for state in STATES {
                figures.flag(&SERVICE_STATE, &[code, &service.name, state.as_str()], state == *is);
            }
        }
        if let Some((share, sla)) = month_of.get(&(service.pd, service.name.as_str())) {
            if let Some(share) = share {
                figures.set(&SERVICE_AVAILABILITY, &labels, *share);
            }
            if let Some(sla) = sla {
                figures.set(&SERVICE_SLA, &labels, *sla);
            }
        }
    }
    for (pd, share) in &month.pds {
        if let Some(code) = codes.get(pd) {
            figures.set(&PD_AVAILABILITY, &[code], *share);
        }
    }
    Ok(())
}

fn checks(figures: &mut Figures, states: &[CheckState], codes: &HashMap<PdId, String>) {
    let mut oldest: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for check in states {
        let Some(code) = codes.get(&check.pd) else { continue };
        for state in STATES {
            figures.add(
                &CHECKS,
                &[code, state.as_str()],
                f64::from(u8::from(state == check.state)),
            );
        }
        let seen = check.places.iter().filter_map(|place| place.at).max().unwrap_or(Timestamp(0));
        let known = oldest.entry(code).or_insert(seen);
        *known = (*known).min(seen);
    }
    for (code, seen) in oldest {
        figures.time(&OBSERVED, &[code], Some(seen));
    }
}
