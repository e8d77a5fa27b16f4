//! The register over HTTP: sites, PD, servers, datasets, tokens.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's rows as about rows that are not there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_wire::Problem;
use lumbung_wire::messages::overview::TokenRequest;
use lumbung_wire::messages::register::{
    Dataset, DatasetInput, EnrollmentToken, Pd, PdInput, Server, ServerInput, Site, SiteInput,
};
use lumbung_wire::server::read_json;
use serde::Deserialize;

use super::access::Who;
use super::agents::{find_pd, narrowed, with_heartbeats};
use super::extract::{Asked, Named};
use super::problems::Refused;
use super::{AppState, BODY_MAX_BYTES};
use crate::db::register as rows;
use crate::issue;
use crate::people::access::Scope;
use crate::register::{self, Mode};

#[derive(Deserialize)]
pub(super) struct OfPd {
    pub(super) pd: Option<String>,
}

pub(super) type Listed<T> = Result<Json<Vec<T>>, Refused>;
pub(super) type Created<T> = Result<(StatusCode, Json<T>), Refused>;

pub(super) fn unknown(what: &str) -> Refused {
    Problem::not_found(format!("no {what} has this id: the list without an id shows all")).into()
}

pub(super) fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| unknown(what))
}

pub(super) async fn sites(State(app): State<AppState>) -> Listed<Site> {
    Ok(Json(app.db.read_async(|tx| rows::sites(tx)).await?))
}

pub(super) async fn site(
    State(app): State<AppState>,
    Named(text): Named,
) -> Result<Json<Site>, Refused> {
    let id = id(&text, "site")?;
    let found = app.db.read_async(move |tx| rows::site(tx, &id)).await?;
    found.map(Json).ok_or_else(|| unknown("site"))
}

pub(super) async fn create_site(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Created<Site> {
    let input: SiteInput = read_json(body, BODY_MAX_BYTES).await?;
    let (site, _) = app
        .db
        .write_async(move |tx| register::put_site(tx, &who.act, &input, Mode::Create))
        .await?;
    Ok((StatusCode::CREATED, Json(site)))
}

pub(super) async fn pds(State(app): State<AppState>, who: Who) -> Listed<Pd> {
    let list = move |tx: &rusqlite::Transaction<'_>| match who.scope() {
        Scope::City => rows::pds(tx),
        Scope::Pd(own) => Ok(rows::pd(tx, &own)?.into_iter().collect()),
    };
    Ok(Json(app.db.read_async(list).await?))
}

pub(super) async fn pd(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Pd>, Refused> {
    Ok(Json(app.db.read_async(move |tx| find_pd(tx, who.scope(), &text)).await?))
}

pub(super) async fn create_pd(State(app): State<AppState>, who: Who, body: Body) -> Created<Pd> {
    let input: PdInput = read_json(body, BODY_MAX_BYTES).await?;
    let (pd, _) =
        app.db.write_async(move |tx| register::put_pd(tx, &who.act, &input, Mode::Create)).await?;
    Ok((StatusCode::CREATED, Json(pd)))
}

pub(super) async fn servers(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<OfPd>,
) -> Listed<Server> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        Ok::<_, Refused>(rows::servers(tx, pd.as_ref())?)
    };
    let servers = app.db.read_async(list).await?;
    Ok(Json(with_heartbeats(&app, servers)))
}

pub(super) async fn server(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Server>, Refused> {
    let id = id(&text, "server")?;
    let found = app.db.read_async(move |tx| rows::server(tx, &id)).await?;
    let found = found.filter(|server| who.scope().sees(server.pd));
    let found = with_heartbeats(&app, found.into_iter().collect());
    found.into_iter().next().map(Json).ok_or_else(|| unknown("server"))
}

pub(super) async fn create_server(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Created<Server> {
    let input: ServerInput = read_json(body, BODY_MAX_BYTES).await?;
    let (server, _) = app
        .db
        .write_async(move |tx| register::put_server(tx, &who.act, &input, Mode::Create))
        .await?;
    Ok((StatusCode::CREATED, Json(server)))
}

pub(super) async fn datasets(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<OfPd>,
) -> Listed<Dataset> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        Ok::<_, Refused>(rows::datasets(tx, pd.as_ref())?)
    };
    Ok(Json(app.db.read_async(list).await?))
}

pub(super) async fn dataset(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Dataset>, Refused> {
    let id = id(&text, "dataset")?;
    let found = app.db.read_async(move |tx| rows::dataset(tx, &id)).await?;
    let found = found.filter(|dataset| who.scope().sees(dataset.pd));
    found.map(Json).ok_or_else(|| unknown("dataset"))
}

pub(super) async fn create_dataset(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Created<Dataset> {
    let input: DatasetInput = read_json(body, BODY_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let write = move |tx: &rusqlite::Transaction<'_>| {
        register::put_dataset(tx, &who.act, &input, &profile.urgency, Mode::Create)
    };
    let (dataset, _) = app.db.write_async(write).await?;
    app.poll.notify_one();
    app.policies.notify_one();
    Ok((StatusCode::CREATED, Json(dataset)))
}

pub(super) async fn token(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Created<EnrollmentToken> {
    let request: TokenRequest = read_json(body, 64 << 10).await?;
    let fingerprint = app.authority.fingerprint().to_owned();
    let token =
        app.db.write_async(move |tx| issue::token(tx, &who.act, &fingerprint, &request)).await?;
    Ok((StatusCode::CREATED, Json(token)))
}
