//! The register as files over HTTP: import and export.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode, header};
use lumbung_wire::Problem;
use lumbung_wire::messages::overview::ImportRequest;
use lumbung_wire::messages::register::RegisterTable;
use lumbung_wire::server::{read_capped, read_json};
use rusqlite::Transaction;
use serde::Deserialize;

use super::access::Access;
use super::agents::narrowed;
use super::extract::Asked;
use super::problems::Refused;
use super::register::Changed;
use super::route::{Route, Routes, route};
use super::who::Who;
use super::{AppState, BODY_MAX_BYTES};
use crate::act::Act;
use crate::exchange::{self, Form, ImportError, Source};
use crate::people::access::Permission;
use crate::policies::{self, Asker, Terms};

pub(super) fn routes() -> Routes {
    use Permission::{Read, WriteRegister};
    let write = Access::Person(WriteRegister);
    let summary = "Import a register as TOML, or one table of it as CSV: all of it or none";
    let schemas = (Some("ImportRequest"), "ImportOutcome");
    let import = Route {
        query: &["table", "dry_run"],
        ..route(Method::POST, "/api/v1/import", write, summary, schemas)
    };
    let summary = "The register as TOML, or one table of it as CSV";
    let export = Route {
        query: &["table", "pd"],
        ..route(Method::GET, "/api/v1/export", Access::Person(Read), summary, (None, "text"))
    };
    vec![(import, post(self::import)), (export, get(self::export))]
}

/// How a body that is no JSON is to be read.
#[derive(Deserialize)]
pub(super) struct HowToRead {
    table: Option<RegisterTable>,
    #[serde(default)]
    dry_run: bool,
}

pub(super) async fn import(
    State(app): State<AppState>,
    who: Who,
    Asked(how): Asked<HowToRead>,
    headers: HeaderMap,
    body: Body,
) -> Changed {
    let request = request(&headers, how, body).await?;
    let (profile, dry_run) = (app.profile.clone(), request.dry_run);
    let user = who.principal.user;
    let run = move |tx: &Transaction<'_>, act: &Act| {
        let file = if request.file.is_empty() { "import" } else { &request.file };
        let source = match request.table {
            Some(table) => Source::Csv(table, &request.csv),
            None => Source::Toml(&request.toml),
        };
        match exchange::import(tx, act, (file, source), &profile, request.dry_run) {
            Err(ImportError::Tried(outcome)) => Ok(outcome),
            Err(error) => Err(error),
            Ok(outcome) => {
                // What asks for less is asked for in the name of whoever changed it.
                let asker = Asker { act, user };
                policies::reconcile(tx, asker, Terms::of(&profile), None)?;
                Ok(outcome)
            }
        }
    };
    if dry_run {
        return who.try_out(&app, run).await;
    }
    let imported = who.change(&app, StatusCode::OK, run).await?;
    app.poll.notify_one();
    app.policies.notify_one();
    Ok(imported)
}

/// The request, however it came: as JSON, or as the file itself.
async fn request(
    headers: &HeaderMap,
    how: HowToRead,
    body: Body,
) -> Result<ImportRequest, Refused> {
    let is = |kind: &str| {
        let given = headers.get(header::CONTENT_TYPE);
        given.is_some_and(|given| given.as_bytes().starts_with(kind.as_bytes()))
    };
    if is("application/json") {
        let request: ImportRequest = read_json(body, BODY_MAX_BYTES).await?;
        if request.csv.is_empty() != request.table.is_none() {
            let detail = "csv and table go together: name the table that the rows are of";
            return Err(Problem::bad_request(detail).into());
        }
        return Ok(request);
    }
    let bytes = read_capped(body, BODY_MAX_BYTES).await?;
    let text = String::from_utf8(bytes.to_vec())
        .map_err(|_| Problem::bad_request("the register is not UTF-8 text"))?;
    let mut request =
        ImportRequest { table: how.table, dry_run: how.dry_run, ..ImportRequest::default() };
    match (is("text/csv"), request.table) {
        (true, None) => {
            let detail = "name the table that the rows are of, as in ?table=datasets";
            return Err(Problem::bad_request(detail).into());
        }
        (true, Some(_)) => request.csv = text,
        (false, Some(_)) => {
            let detail = "a table is for text/csv: set the content type, or leave the table out";
            return Err(Problem::bad_request(detail).into());
        }
        (false, None) => request.toml = text,
    }
    Ok(request)
}

/// What is to be written.
#[derive(Deserialize)]
pub(super) struct WhatToWrite {
    table: Option<RegisterTable>,
    pd: Option<String>,
}

pub(super) async fn export(
    State(app): State<AppState>,
    who: Who,
    Asked(what): Asked<WhatToWrite>,
) -> Result<Response, Refused> {
    let (form, kind) = match what.table {
        Some(table) => (Form::Csv(table), "text/csv; charset=utf-8; header=present"),
        None => (Form::Toml, "application/toml"),
    };
    let at = (app.clock.now(), app.profile.zone());
    let write = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), what.pd.as_deref())?;
        Ok::<_, Refused>(exchange::export(tx, form, pd, at)?)
    };
    let text = app.db.read_async(write).await?;
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
