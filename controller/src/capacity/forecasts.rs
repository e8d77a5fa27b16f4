//! From measured days to what is expected: the same for storage, rack units and pools of VPS.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use lumbung_model::forecast::{self, Forecast, INTERVAL_PERCENT};
use lumbung_model::{Day, SiteId, Timestamp};
use lumbung_wire::messages::capacity::{
    CapacityCrossing, CapacityEntry, CapacityKind, CapacityPoint, CapacityReport,
};
use rusqlite::Connection;

use crate::db::alarms::Finding;
use crate::db::capacity::{self as rows, Level, Subject};
use crate::db::{DbError, pools, register};
use crate::profile::Profile;

/// What was not measured for so long is no longer there: a site that was removed, a pool that was dissolved.
const SILENT_DAYS: i64 = 60;

/// One series with its forecast. `alarm_until` is the last day on which reaching the limit is near enough for an alarm.
#[must_use]
pub fn forecasts(
    (kind, subject): Subject,
    name: &str,
    (series, newest): (&[forecast::Used], &Level),
    alarm_until: Day,
) -> CapacityEntry {
    let found = forecast::forecast(series);
    let (missing_days, history_days) = match &found {
        Ok(forecast) => (0, forecast.history_days),
        Err(short) => (short.missing_days(), short.have_days),
    };
    let forecast = found.ok();
    let crossing =
        forecast.as_ref().zip(newest.limit).and_then(|(forecast, limit)| forecast.crosses(limit));
    // What is full is full, however short its history is.
    let is_full = newest.limit.is_some_and(|limit| newest.used >= limit);
    let is_near = |day: Option<Day>| day.is_some_and(|day| day <= alarm_until);
    CapacityEntry {
        kind,
        subject: HEXLOWER.encode(&subject),
        name: name.to_owned(),
        measured: newest.day,
        used: newest.used,
        limit: newest.limit,
        history_days,
        missing_days,
        months: forecast.as_ref().map(months).unwrap_or_default(),
        alarm: is_full || is_near(crossing.and_then(|crossing| crossing.expected)),
        crossing: crossing.map(|crossing| CapacityCrossing {
            earliest: crossing.earliest,
            expected: crossing.expected,
            latest: crossing.latest,
        }),
    }
}

fn months(forecast: &Forecast) -> Vec<CapacityPoint> {
    let point = |point: &forecast::Point| CapacityPoint {
        day: point.day,
        expected: point.expected,
        low: point.low,
        high: point.high,
    };
    forecast.months.iter().map(point).collect()
}

/// Everything that is used up, storage first.
///
/// # Errors
/// If the database fails.
pub fn report(
    db: &Connection,
    profile: &Profile,
    now: Timestamp,
) -> Result<CapacityReport, DbError> {
    let lead_months = profile.capacity.lead_months;
    let today = Day::of(now, profile.zone());
    let sites = register::sites(db)?.into_iter().map(|site| (*site.id.as_bytes(), site.name));
    let pools = pools::pools(db)?.into_iter().map(|pool| (*pool.id.as_bytes(), pool.name));
    let names: HashMap<[u8; 16], String> = sites.chain(pools).collect();
    let mut entries = Vec::new();
    for subject in rows::subjects(db)? {
        let Some((series, newest)) = rows::series(db, subject)? else { continue };
        let known = names.get(&subject.1);
        if today.days_since(newest.day) > SILENT_DAYS
            || (known.is_none() && subject.0 == CapacityKind::Storage)
        {
            continue;
        }
        let name = known.cloned().unwrap_or_else(|| HEXLOWER.encode(&subject.1[..4]));
        let alarm_until = today.plus_months(lead_months);
        entries.push(forecasts(subject, &name, (&series, &newest), alarm_until));
    }
    entries.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    Ok(CapacityReport {
        at: now,
        lead_months,
        instrument: profile.capacity.instrument.clone(),
        interval_percent: INTERVAL_PERCENT,
        entries,
    })
}

/// What of it is an alarm.
#[must_use]
pub fn findings(report: &CapacityReport, today: Day) -> Vec<Finding> {
    let near = report.entries.iter().filter(|entry| entry.alarm);
    let finding = |entry: &CapacityEntry| {
        let bytes = HEXLOWER.decode(entry.subject.as_bytes()).ok()?;
        let site = SiteId::from_bytes(<[u8; 16]>::try_from(bytes).ok()?);
        Some(Finding {
            subject: format!("{}/{}", entry.kind, entry.subject),
            pd: None,
            site: (entry.kind == CapacityKind::Storage).then_some(site),
            service: None,
            detail: detail(report, entry, today)?,
        })
    };
    near.filter_map(finding).collect()
}

/// What is said of it; nothing, if it is neither full nor expected to be.
fn detail(report: &CapacityReport, entry: &CapacityEntry, today: Day) -> Option<String> {
    let CapacityEntry { kind, name, .. } = entry;
    if entry.limit.is_some_and(|limit| entry.used >= limit) {
        return Some(format!("{kind} of {name} is full: add room today, or what comes is refused"));
    }
    let crossing = entry.crossing?;
    let expected = crossing.expected?;
    let latest = crossing.latest.map_or_else(
        || "perhaps not within 24 months".to_owned(),
        |latest| format!("by {latest} at the latest"),
    );
    let set = match report.instrument.as_str() {
        "" => "usulan",
        instrument => instrument,
    };
    Some(format!(
        "{kind} of {name} is expected to be full on {expected} ({}; not before {}, {latest}): plan the purchase, {} months \
         ahead ({set}; `lumbung capacity`)",
        nearness(today, expected),
        crossing.earliest,
        report.lead_months,
    ))
}

/// How urgent it is, in words that change when somebody should look again.
fn nearness(today: Day, expected: Day) -> &'static str {
    match expected.days_since(today) {
        ..=90 => "critical: within three months",
        91..=365 => "urgent: within a year",
        _ => "ahead: more than a year",
    }
}
