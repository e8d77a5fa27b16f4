//! Alerts over HTTP: what people were told, who looks after it, who is on call.
//!
//! Invariant: whoever belongs to one PD sees that PD's alerts, and of their messages those to its own people; what it may
//! not see answers as what is not there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::{AlertId, OnCallId, Timestamp};
use lumbung_wire::messages::alerts::{
    AcknowledgeInput, Alert, AlertDetail, AlertState, AlertTest, AlertTestInput, OnCall,
    OnCallInput,
};
use lumbung_wire::server::read_json;
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::extract::{Asked, Named};
use super::paging::{Page, Paging, cursor};
use super::problems::Refused;
use super::register::{Changed, Listed, id};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::alerts::text::Style;
use crate::alerts::{desk, roster};
use crate::db::{alerts as rows, deliveries, on_call};
use crate::people::access::Permission;

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 << 10;
/// Most subjects and messages of one alert.
const DETAILS_MAX: u32 = 1000;

pub(super) fn routes() -> Routes {
    use Permission::{LookAfter, Read, ReadCity, WriteRegister};
    let read = |path, permission, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(permission), summary, (None, schema))
    };
    let write = |path, permission, summary, schemas| {
        route(Method::POST, path, Access::Person(permission), summary, schemas)
    };
    let list = "The alerts, newest first; without `all` or `state`, those that are not over";
    let paged = &["pd", "state", "all", "limit", "after"];
    vec![
        (read("/api/v1/alerts", Read, list, "[Alert]", paged), get(alerts)),
        (
            read("/api/v1/alerts/{id}", Read, "One alert, with who was told", "AlertDetail", &[]),
            get(alert),
        ),
        (
            write(
                "/api/v1/alerts/{id}/acknowledge",
                LookAfter,
                "Look after an alert: nobody is told again until it gets worse or is over",
                (Some("AcknowledgeInput"), "Alert"),
            ),
            post(acknowledge),
        ),
        (
            write(
                "/api/v1/alerts/test",
                WriteRegister,
                "Send somebody a test message",
                (Some("AlertTestInput"), "AlertTest"),
            ),
            post(test),
        ),
        (
            read(
                "/api/v1/on-call",
                ReadCity,
                "Who is on call now and later; with `all` also what is over or was taken back",
                "[OnCall]",
                &["all", "limit", "after"],
            ),
            get(turns),
        ),
        (
            write(
                "/api/v1/on-call",
                WriteRegister,
                "Put somebody on call",
                (Some("OnCallInput"), "OnCall"),
            ),
            post(add_turn),
        ),
        (
            write(
                "/api/v1/on-call/{id}/remove",
                WriteRegister,
                "Take a turn on call back",
                (None, "OnCall"),
            ),
            post(remove_turn),
        ),
    ]
}

/// Which alerts are asked for.
#[derive(Deserialize)]
pub(super) struct AlertFilter {
    pd: Option<String>,
    state: Option<AlertState>,
    #[serde(default)]
    all: bool,
}

pub(super) async fn alerts(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<AlertFilter>,
    paging: Paging,
) -> Result<Page<Alert>, Refused> {
    let (before, limit) = (paging.after::<AlertId>()?, paging.wanted());
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let (all, state) = (asked.all, asked.state);
        Ok::<_, Refused>(rows::list(tx, &rows::Wanted { pd, all, state, before }, limit)?)
    };
    let found = app.db.read_async(list).await?;
    Ok(paging.cut(found, |alert: &Alert| cursor(&alert.id)))
}

pub(super) async fn alert(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<AlertDetail>, Refused> {
    let wanted: AlertId = id(&text, "alert")?;
    let read = move |tx: &Transaction<'_>| {
        let alert = desk::find(tx, who.scope(), &wanted)?;
        let subjects = rows::subjects(tx, &wanted, DETAILS_MAX)?;
        let deliveries = deliveries::of_alert(tx, &wanted, who.scope().pd(), DETAILS_MAX)?;
        Ok::<_, Refused>(AlertDetail { alert, subjects, deliveries })
    };
    Ok(Json(app.db.read_async(read).await?))
}

pub(super) async fn acknowledge(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let wanted: AlertId = id(&text, "alert")?;
    let input: AcknowledgeInput = read_json(body, BODY_MAX_BYTES).await?;
    let scope = who.scope();
    let look_after = move |tx: &Transaction<'_>, act: &Act| {
        desk::acknowledge(tx, act, scope, &wanted, &input.note)
    };
    who.change(&app, StatusCode::OK, look_after).await
}

pub(super) async fn test(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: AlertTestInput = read_json(body, BODY_MAX_BYTES).await?;
    let settings = app.config.alerts.clone();
    let style = Style { language: settings.language, zone: app.profile.zone() };
    let put = move |tx: &Transaction<'_>, act: &Act| {
        let deliveries = desk::test(tx, act, &settings, style, &input)?;
        Ok::<_, Refused>(AlertTest { deliveries })
    };
    let answer = who.change(&app, StatusCode::ACCEPTED, put).await?;
    app.alerts.bell.send_replace(());
    Ok(answer)
}

/// Which turns are asked for.
#[derive(Deserialize)]
pub(super) struct TurnFilter {
    #[serde(default)]
    all: bool,
}

pub(super) async fn turns(
    State(app): State<AppState>,
    Asked(asked): Asked<TurnFilter>,
    paging: Paging,
) -> Listed<OnCall> {
    let from = if asked.all { Timestamp::default() } else { app.clock.now() };
    let found = app.db.read_async(move |tx| on_call::list(tx, from, asked.all)).await?;
    Ok(paging.select(found, |turn: &OnCall| (turn.from, turn.tier, turn.id))?)
}

pub(super) async fn add_turn(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: OnCallInput = read_json(body, BODY_MAX_BYTES).await?;
    let put = move |tx: &Transaction<'_>, act: &Act| roster::put(tx, act, &input);
    who.change(&app, StatusCode::CREATED, put).await
}

pub(super) async fn remove_turn(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Changed {
    let turn: OnCallId = id(&text, "turn")?;
    let remove = move |tx: &Transaction<'_>, act: &Act| roster::remove(tx, act, &turn);
    who.change(&app, StatusCode::OK, remove).await
}
