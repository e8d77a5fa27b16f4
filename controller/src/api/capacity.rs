//! What is used up, and what lines carry, over HTTP.
//!
//! Invariant: whoever belongs to one PD sees that PD's line, and neither the city's storage nor its sites' lines.

use axum::Json;
use axum::extract::State;
use axum::routing::get;
use http::Method;
use lumbung_wire::messages::capacity::{BandwidthEntry, CapacityReport};
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::extract::Asked;
use super::paging::Paging;
use super::problems::Refused;
use super::register::Listed;
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::capacity;
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    let read = |path, permission, summary, schema| {
        route(Method::GET, path, Access::Person(permission), summary, (None, schema))
    };
    let summary = "When storage, rack units and pools of VPS are used up: 24 months ahead";
    let capacity = read("/api/v1/capacity", Permission::ReadCity, summary, "CapacityReport");
    let summary = "What moved over the lines of PD and sites, and whether they carry what has to";
    let bandwidth = Route {
        query: &["pd", "limit", "after"],
        ..read("/api/v1/bandwidth", Permission::Read, summary, "[BandwidthEntry]")
    };
    vec![(capacity, get(self::capacity)), (bandwidth, get(self::bandwidth))]
}

pub(super) async fn capacity(State(app): State<AppState>) -> Result<Json<CapacityReport>, Refused> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let report = move |tx: &Transaction<'_>| Ok::<_, Refused>(capacity::report(tx, &profile, now)?);
    Ok(Json(app.db.read_async(report).await?))
}

/// Whose lines are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
}

pub(super) async fn bandwidth(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<BandwidthEntry> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let lines = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(capacity::lines(tx, &profile, pd.as_ref(), now)?)
    };
    let rows = app.db.read_async(lines).await?;
    // PD first, then sites.
    Ok(paging.select(rows, |row| (row.site.is_some(), row.name.clone(), row.site))?)
}
