//! Uptime over HTTP: what sites look at and tell; for people, states, availability, incidents, maintenance.

use std::cmp::Reverse;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::{IncidentId, MaintenanceId, SiteId, Timestamp};
use lumbung_wire::messages::uptime::{
    CheckState, DETAIL_MAX_BYTES, Incident, IncidentInput, IncidentNoteInput, Maintenance,
    MaintenanceInput, OBSERVATIONS_MAX, Observations, ObservationsAck, UptimeRow, VantageOrders,
};
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem};
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::extract::{Asked, Named};
use super::paging::Paging;
use super::problems::Refused;
use super::register::{Changed, Listed, id, unknown};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::db::incidents::{self as rows, IncidentRow, Wanted};
use crate::db::register;
use crate::db::sights::{self, Prober, Vantage};
use crate::people::access::Permission;
use crate::uptime::{self as rules, By, Period, Rules};

pub(super) fn routes() -> Routes {
    use Permission::{Deliver, Read, WriteRegister};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let write = |path, permission, summary, schemas| {
        route(Method::POST, path, Access::Person(permission), summary, schemas)
    };
    let told = |method, path, summary, schemas| route(method, path, Access::Site, summary, schemas);
    let vantage = "/api/v1/vantage";
    let orders = told(Method::GET, vantage, "What a site is to look at", (None, "VantageOrders"));
    let schemas = (Some("Observations"), "ObservationsAck");
    let summary = "What a site saw, in order; acknowledged once durable";
    let observe = told(Method::POST, "/api/v1/observations", summary, schemas);
    let states = read(
        "/api/v1/check-states",
        "How every check is now, and what each place saw last",
        "[CheckState]",
        &["pd", "limit", "after"],
    );
    let uptime = read(
        "/api/v1/uptime",
        "Availability over a month or a year, against its SLA",
        "[UptimeRow]",
        &["pd", "by", "period", "limit", "after"],
    );
    let incidents = read(
        "/api/v1/incidents",
        "What was down, newest first",
        "[Incident]",
        &["pd", "open", "since", "limit", "after"],
    );
    let one = read("/api/v1/incidents/{id}", "One incident", "Incident", &[]);
    let summary = "Enter that something was down, which no probe could see";
    let schemas = (Some("IncidentInput"), "Incident");
    let enter = write("/api/v1/incidents", WriteRegister, summary, schemas);
    let summary = "Write down what is known of an incident, and its cause";
    let schemas = (Some("IncidentNoteInput"), "Incident");
    let note = write("/api/v1/incidents/{id}/note", Deliver, summary, schemas);
    let windows = read(
        "/api/v1/maintenance",
        "Maintenance windows that hold or will; with all=true, also those that are over",
        "[Maintenance]",
        &["pd", "all", "limit", "after"],
    );
    let summary = "Announce maintenance, before it begins";
    let schemas = (Some("MaintenanceInput"), "Maintenance");
    let announce = write("/api/v1/maintenance", WriteRegister, summary, schemas);
    let summary = "Call maintenance off: it holds no more from now on";
    let path = "/api/v1/maintenance/{id}/cancel";
    let cancel = write(path, WriteRegister, summary, (None, "Maintenance"));
    vec![
        (orders, get(self::orders)),
        (observe, post(self::observe)),
        (states, get(self::states)),
        (uptime, get(self::uptime)),
        (incidents, get(self::incidents)),
        (one, get(self::incident)),
        (enter, post(self::enter_incident)),
        (note, post(self::note_incident)),
        (windows, get(self::windows)),
        (announce, post(self::announce)),
        (cancel, post(self::cancel)),
    ]
}

/// Longest body of what people enter.
const INPUT_MAX_BYTES: usize = 64 << 10;
/// Longest body of what a site tells: each observation with its longest detail, twice as long as JSON.
const OBSERVATIONS_MAX_BYTES: usize = OBSERVATIONS_MAX * (2 * DETAIL_MAX_BYTES + 512);

/// The site that speaks.
fn site_of(peer: &Peer) -> Result<SiteId, Refused> {
    let site = peer.identity().and_then(|identity| identity.site);
    site.ok_or_else(|| Problem::forbidden("this certificate names no site: enrol again").into())
}

/// Fails unless the register still has the site.
fn still_there(tx: &Transaction<'_>, site: &SiteId) -> Result<(), Refused> {
    if register::site(tx, site)?.is_some() {
        return Ok(());
    }
    let detail = "this site is not in the register (taken out?): enrol its vault again";
    Err(Problem::not_found(detail).into())
}

async fn orders(State(app): State<AppState>, peer: Peer) -> Result<Json<VantageOrders>, Refused> {
    let (site, now) = (site_of(&peer)?, app.steady.now());
    let write = move |tx: &Transaction<'_>| {
        still_there(tx, &site)?;
        Ok::<_, Refused>(rules::orders(tx, (&site, Prober::Vault), now)?)
    };
    Ok(Json(app.db.write_async(write).await?))
}

async fn observe(
    State(app): State<AppState>,
    peer: Peer,
    body: Body,
) -> Result<Json<ObservationsAck>, Refused> {
    let (site, now) = (site_of(&peer)?, app.steady.now());
    let told: Observations = read_json(body, OBSERVATIONS_MAX_BYTES).await?;
    check_observations(&told)?;
    let profile = app.profile.clone();
    let write = move |tx: &Transaction<'_>| {
        still_there(tx, &site)?;
        let before = sights::vantage(tx, &site)?.map_or(0, |vantage| vantage.through);
        let new: Vec<_> = told.observations.into_iter().filter(|one| one.number > before).collect();
        let through = new.last().map_or(before, |one| one.number);
        let heard = rules::observe(tx, &profile, (&site, Prober::Vault), &new, now)?;
        let clock = Some(told.now);
        sights::put_vantage(tx, &Vantage { site, through, heard: now, clock })?;
        Ok::<_, Refused>((through, heard))
    };
    let (through, heard) = app.db.write_async(write).await?;
    if heard.news {
        app.uptime.notify_one();
    }
    Ok(Json(ObservationsAck { through, site }))
}

/// What a site tells is checked before it is kept.
fn check_observations(told: &Observations) -> Result<(), Refused> {
    let all = &told.observations;
    let ascending = all.windows(2).all(|pair| pair[0].number < pair[1].number);
    let fits = |one: &lumbung_wire::messages::uptime::Observation| {
        one.detail.len() <= DETAIL_MAX_BYTES
            && !one.detail.chars().any(char::is_control)
            && (10..=3600).contains(&one.interval_s)
            && one.number <= i64::MAX.unsigned_abs()
            && one.at >= Timestamp(0)
    };
    if all.len() > OBSERVATIONS_MAX || !ascending || !all.iter().all(fits) {
        let detail = format!(
            "send at most {OBSERVATIONS_MAX} observations, by number, ascending, with intervals of 10 to 3600 seconds and details of {DETAIL_MAX_BYTES} bytes on one line"
        );
        return Err(Problem::bad_request(detail).into());
    }
    Ok(())
}

/// What figures depend on.
fn terms(app: &AppState) -> Rules {
    Rules { zone: app.profile.zone(), heartbeat_s: app.config.heartbeat.interval_s }
}

#[derive(Deserialize)]
struct OfPd {
    pd: Option<String>,
}

async fn states(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<OfPd>,
    paging: Paging,
) -> Listed<CheckState> {
    let (terms, now) = (terms(&app), app.clock.now());
    let read = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(rules::states(tx, terms, pd, now)?)
    };
    let rows = app.db.read_async(read).await?;
    Ok(paging.select(rows, |row: &CheckState| (row.name.clone(), row.check))?)
}

#[derive(Deserialize)]
struct UptimeQuery {
    pd: Option<String>,
    by: Option<By>,
    period: Option<String>,
}

async fn uptime(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<UptimeQuery>,
    paging: Paging,
) -> Listed<UptimeRow> {
    let (terms, now, profile) = (terms(&app), app.clock.now(), app.profile.clone());
    let period = match asked.period.as_deref() {
        Some(text) => {
            text.parse::<Period>().map_err(|error| Problem::bad_request(error.to_string()))?
        }
        None => Period::month_of(now, terms),
    };
    let by = asked.by.unwrap_or(By::Service);
    let read = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(rules::rows(tx, (&profile, terms), (by, period), pd, now)?)
    };
    let rows = app.db.read_async(read).await?;
    Ok(paging.select(rows, |row: &UptimeRow| (row.name.clone(), row.id.clone()))?)
}

#[derive(Deserialize)]
struct IncidentQuery {
    pd: Option<String>,
    #[serde(default)]
    open: bool,
    since: Option<i64>,
}

async fn incidents(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<IncidentQuery>,
    paging: Paging,
) -> Listed<Incident> {
    let read = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let wanted = Wanted { pd, open: asked.open, from: asked.since.map(Timestamp) };
        // Only a page of them is looked up: incidents are kept for ever.
        let page = paging
            .select(rows::list(tx, &wanted)?, |row: &IncidentRow| (Reverse(row.from), row.id))?;
        Ok::<_, Refused>(page.try_with(|rows| rules::incidents(tx, rows))?)
    };
    app.db.read_async(read).await
}

async fn incident(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Incident>, Refused> {
    let wanted: IncidentId = id(&text, "incident")?;
    let read = move |tx: &Transaction<'_>| {
        let found = rows::incident(tx, &wanted)?.filter(|row| who.scope().sees(row.pd));
        let row = found.ok_or_else(|| unknown("incident"))?;
        Ok::<_, Refused>(rules::incident_view(tx, row)?)
    };
    Ok(Json(app.db.read_async(read).await?))
}

async fn enter_incident(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: IncidentInput = read_json(body, INPUT_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let enter = move |tx: &Transaction<'_>, act: &Act| {
        let row = rules::enter_incident(tx, act, &profile, &input)?;
        Ok::<_, Refused>(rules::incident_view(tx, row)?)
    };
    let answer = who.change(&app, StatusCode::CREATED, enter).await?;
    app.uptime.notify_one();
    Ok(answer)
}

async fn note_incident(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let incident: IncidentId = id(&text, "incident")?;
    let input: IncidentNoteInput = read_json(body, INPUT_MAX_BYTES).await?;
    let scope = who.scope();
    let note = move |tx: &Transaction<'_>, act: &Act| {
        let row = rules::note_incident(tx, act, scope, &incident, &input)?;
        Ok::<_, Refused>(rules::incident_view(tx, row)?)
    };
    who.change(&app, StatusCode::OK, note).await
}

#[derive(Deserialize)]
struct WindowQuery {
    pd: Option<String>,
    #[serde(default)]
    all: bool,
}

async fn windows(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<WindowQuery>,
    paging: Paging,
) -> Listed<Maintenance> {
    let now = app.clock.now();
    let read = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let from = if asked.all { Timestamp(0) } else { now };
        let mut found = rows::maintenance_within(tx, (from, Timestamp(i64::MAX)))?;
        found.retain(|row| asked.all || row.cancelled.is_none());
        // What is for the whole city or a place is everybody's to know.
        found.retain(|row| pd.is_none() || row.pd.is_none() || row.pd == pd);
        Ok::<_, Refused>(found)
    };
    let rows = app.db.read_async(read).await?;
    Ok(paging.select(rows, |row: &Maintenance| (row.from, row.id))?)
}

async fn announce(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: MaintenanceInput = read_json(body, INPUT_MAX_BYTES).await?;
    let enter = move |tx: &Transaction<'_>, act: &Act| rules::enter_maintenance(tx, act, &input);
    who.change(&app, StatusCode::CREATED, enter).await
}

async fn cancel(State(app): State<AppState>, who: Who, Named(text): Named) -> Changed {
    let window: MaintenanceId = id(&text, "maintenance window")?;
    let cancel = move |tx: &Transaction<'_>, act: &Act| rules::call_off(tx, act, &window);
    who.change(&app, StatusCode::OK, cancel).await
}
