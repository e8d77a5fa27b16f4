//! What is said of whom, over HTTP: rules, verdicts, trends, the RPO achieved.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use chrono::NaiveDate;
use http::Method;
use lumbung_model::compliance::{Arrival, achieved};
use lumbung_model::{DatasetId, Timestamp};
use lumbung_wire::Problem;
use lumbung_wire::messages::compliance::{
    AchievedRpo, RpoHistory, RuleEntry, TrendDay, VerdictEntry, VerdictState,
};
use lumbung_wire::messages::register::SiteKind;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::compliance::language;
use super::extract::{Asked, Named};
use super::paging::Paging;
use super::problems::Refused;
use super::register::{Listed, id, unknown};
use super::route::{PAGED, Route, Routes, route};
use super::who::Who;
use crate::db::{facts, register, signed, standings};
use crate::people::access::Permission;
use crate::report;
use crate::verdicts::{self, Wanted};

pub(super) fn routes() -> Routes {
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Permission::Read), summary, (None, schema))
    };
    vec![
        (
            read("/api/v1/rules", "The rules of the city's profile", "[RuleEntry]", PAGED),
            get(rules),
        ),
        (
            read(
                "/api/v1/verdicts",
                "What is said of whom by the profile's rules, now or as of a moment",
                "[VerdictEntry]",
                &["pd", "rule", "state", "as_of", "lang", "limit", "after"],
            ),
            get(list),
        ),
        (
            read(
                "/api/v1/trend",
                "How many datasets and bytes had come how far, day by day",
                "[TrendDay]",
                &["pd", "from", "until", "limit", "after"],
            ),
            get(trend),
        ),
        (
            read(
                "/api/v1/datasets/{id}/rpo",
                "The RPO that a dataset achieved over the last days",
                "RpoHistory",
                &["days"],
            ),
            get(rpo),
        ),
    ]
}

/// Days of a trend at most: two years.
const DAYS_MAX: i64 = 732;
/// Days of a trend that does not say from when.
const DAYS: i64 = 90;
/// Days over which an RPO is looked at, if the request does not say.
const RPO_DAYS: u32 = 30;

pub(super) async fn rules(State(app): State<AppState>, paging: Paging) -> Listed<RuleEntry> {
    Ok(paging.select(verdicts::rules(&app.profile), |rule: &RuleEntry| rule.id.clone())?)
}

#[derive(Deserialize)]
pub(super) struct VerdictQuery {
    pd: Option<String>,
    rule: Option<String>,
    state: Option<VerdictState>,
    as_of: Option<i64>,
    lang: Option<String>,
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<VerdictQuery>,
    paging: Paging,
) -> Listed<VerdictEntry> {
    let language = language(query.lang.as_deref())?;
    let now = app.clock.now();
    let as_of = query.as_of.map(|at| past(at, now)).transpose()?;
    let profile = app.profile.clone();
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        let wanted = Wanted { pd, rule: query.rule, state: query.state, as_of };
        Ok::<_, Refused>(verdicts::list(tx, &profile, &wanted, (now, language))?)
    };
    let rows = app.db.read_async(read).await?;
    Ok(paging.select(rows, verdicts::place)?)
}

/// A moment that has been.
pub(super) fn past(as_of: i64, now: Timestamp) -> Result<Timestamp, Refused> {
    if as_of <= now.0 {
        return Ok(Timestamp(as_of));
    }
    let detail = "as_of is a moment that has been, seconds since 1970 UTC";
    Err(Problem::bad_request(detail).into())
}

#[derive(Deserialize)]
pub(super) struct TrendQuery {
    pd: Option<String>,
    from: Option<NaiveDate>,
    until: Option<NaiveDate>,
}

pub(super) async fn trend(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<TrendQuery>,
    paging: Paging,
) -> Listed<TrendDay> {
    let number = |day: NaiveDate| i64::from(day.to_epoch_days());
    let until = query.until.map_or_else(|| app.profile.day(app.clock.now()), number);
    let from = query.from.map_or(until - DAYS + 1, number);
    if from > until || until - from >= DAYS_MAX {
        let detail = "from is not after until, and at most 732 days before it, as in 2026-06-30";
        return Err(Problem::bad_request(detail).into());
    }
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        Ok::<_, Refused>(standings::days(tx, pd.as_ref(), (from, until))?)
    };
    let days = app.db.read_async(read).await?;
    let shown = days.into_iter().map(|(day, totals)| TrendDay {
        day: i32::try_from(day)
            .ok()
            .and_then(NaiveDate::from_epoch_days)
            .map(|day| day.to_string())
            .unwrap_or_default(),
        all: report::step_totals(totals.registered),
        backed_up: report::step_totals(totals.backed_up),
        at_drc: report::step_totals(totals.at_drc),
        verified: report::step_totals(totals.verified),
        proven: report::step_totals(totals.proven),
    });
    Ok(paging.select(shown.collect(), |day: &TrendDay| day.day.clone())?)
}

#[derive(Deserialize)]
pub(super) struct RpoQuery {
    days: Option<u32>,
}

pub(super) async fn rpo(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    Asked(query): Asked<RpoQuery>,
) -> Result<Json<RpoHistory>, Refused> {
    let dataset: DatasetId = id(&text, "dataset")?;
    let days = query.days.unwrap_or(RPO_DAYS);
    if !(1..=732).contains(&days) {
        return Err(Problem::bad_request("days is 1 to 732").into());
    }
    let now = app.clock.now();
    let from = now.plus_seconds(-i64::from(days) * 86_400);
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let Some(row) = register::dataset(tx, &dataset)?.filter(|row| who.scope().sees(row.pd))
        else {
            return Err(unknown("dataset"));
        };
        let mut found = RpoHistory { rpo_s: row.rpo_s, achieved: Vec::new() };
        for kind in [SiteKind::PusatData, SiteKind::Drc] {
            let arrivals: Vec<Arrival> = facts::arrivals(tx, &row, kind, from)?;
            let achieved = achieved(&arrivals, (from, now), signed(row.rpo_s));
            found.achieved.push(AchievedRpo {
                site_kind: kind.to_string(),
                from: achieved.from,
                until: now,
                snapshots: achieved.snapshots,
                worst_s: achieved.worst.map(|(worst_s, _)| worst_s.max(0).unsigned_abs()),
                worst_at: achieved.worst.map(|(_, at)| at),
                within_millipercent: achieved.within_millipercent,
            });
        }
        Ok(found)
    };
    Ok(Json(app.db.read_async(read).await?))
}
