//! Anomalies over HTTP: the list, one, and what a person says it is.
//!
//! Invariant: a PD sees its own; whether something was an attack is said by who may write the register.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::{AnomalyId, Timestamp};
use lumbung_wire::messages::anomaly::{Anomaly, AnomalyState};
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::server::read_json;
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::compliance::language;
use super::extract::{Asked, Named};
use super::paging::{Page, Paging, cursor};
use super::problems::Refused;
use super::register::{Changed, id, unknown};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::anomalies;
use crate::db::anomalies as rows;
use crate::people::access::Permission;
use crate::report::Language;

pub(super) fn routes() -> Routes {
    use Permission::{Read, WriteRegister};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let write = |path, summary| {
        let schemas = (Some("Reasoned"), "Anomaly");
        route(Method::POST, path, Access::Person(WriteRegister), summary, schemas)
    };
    vec![
        (
            read(
                "/api/v1/anomalies",
                "Runs that look like an attack, newest first",
                "[Anomaly]",
                &["pd", "lang", "limit", "after"],
            ),
            get(list),
        ),
        (read("/api/v1/anomalies/{id}", "One anomaly", "Anomaly", &["lang"]), get(one)),
        (
            write("/api/v1/anomalies/{id}/dismiss", "Say that an anomaly was harmless"),
            post(dismiss),
        ),
        (
            write("/api/v1/anomalies/{id}/confirm", "Say that an anomaly is an attack"),
            post(confirm),
        ),
        (
            write("/api/v1/anomalies/{id}/close", "Say that a confirmed attack is dealt with"),
            post(close),
        ),
    ]
}

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 16 << 10;

/// Whose are asked for, and in which language.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
    lang: Option<String>,
}

fn told(anomaly: Anomaly, language: Language) -> Anomaly {
    Anomaly { words: anomalies::words(&anomaly, language), ..anomaly }
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Result<Page<Anomaly>, Refused> {
    let language = language(asked.lang.as_deref())?;
    let (behind, limit) = (paging.after::<(Timestamp, AnomalyId)>()?, paging.wanted());
    let read = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(rows::anomalies(tx, pd.as_ref(), behind, limit)?)
    };
    let rows = app.db.read_async(read).await?;
    let rows = rows.into_iter().map(|row| told(row, language)).collect();
    Ok(paging.cut(rows, |row: &Anomaly| cursor(&(row.first, row.id))))
}

pub(super) async fn one(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    Asked(asked): Asked<Filter>,
) -> Result<Json<Anomaly>, Refused> {
    let language = language(asked.lang.as_deref())?;
    let wanted: AnomalyId = id(&text, "anomaly")?;
    let found = app.db.read_async(move |tx| rows::anomaly(tx, &wanted)).await?;
    let found = found.filter(|anomaly| who.scope().sees(anomaly.pd));
    found.map(|found| Json(told(found, language))).ok_or_else(|| unknown("anomaly"))
}

async fn decide(app: &AppState, who: Who, text: &str, body: Body, state: AnomalyState) -> Changed {
    let anomaly: AnomalyId = id(text, "anomaly")?;
    let input: Reasoned = read_json(body, BODY_MAX_BYTES).await?;
    let decide = move |tx: &Transaction<'_>, act: &Act| {
        let decided = anomalies::decide(tx, act, &anomaly, state, &input.reason)?;
        Ok::<_, anomalies::AnomalyError>(told(decided, Language::default()))
    };
    who.change(app, StatusCode::OK, decide).await
}

pub(super) async fn dismiss(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    decide(&app, who, &text, body, AnomalyState::Dismissed).await
}

pub(super) async fn confirm(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    decide(&app, who, &text, body, AnomalyState::Confirmed).await
}

pub(super) async fn close(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    decide(&app, who, &text, body, AnomalyState::Closed).await
}
