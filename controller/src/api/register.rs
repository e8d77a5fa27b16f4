//! The register over HTTP: sites, PD, servers, datasets, tokens.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's rows as about rows that are not there.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use lumbung_model::ServerId;
use lumbung_wire::Problem;
use lumbung_wire::messages::overview::TokenRequest;
use lumbung_wire::messages::register::{
    Dataset, DatasetKind, HeartbeatState, Pd, Server, ServerKind, Site, Urgency,
};
use lumbung_wire::server::read_json;
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::{find_pd, narrowed, with_heartbeats};
use super::entered::{self, Datasets, Entered as _, Pds, Servers, Sites};
use super::etag::RowTag;
use super::extract::{Asked, Named};
use super::idempotency::Answer;
use super::paging::{Page, Paging, Text};
use super::problems::Refused;
use super::route::{PAGED, Routes, change, route, secret};
use super::who::Who;
use crate::act::Act;
use crate::db::{DbError, register as rows};
use crate::issue;
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    use Permission::{Read, ReadCity, WriteRegister};
    let list = |path, summary, schema| {
        route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let create = |path, summary, schemas: (&'static str, &'static str)| {
        let access = Access::Person(WriteRegister);
        route(Method::POST, path, access, summary, (Some(schemas.0), schemas.1))
    };
    let mut table = vec![
        (list("/api/v1/sites", "The sites", "[Site]"), get(sites)),
        (list("/api/v1/sites/{id}", "One site", "Site"), get(site)),
        (
            create("/api/v1/sites", "Enter a site", ("SiteInput", "Site")),
            post(entered::create::<Sites>),
        ),
        (list("/api/v1/pd", "The PD", "[Pd]"), get(pds)),
        (list("/api/v1/pd/{id}", "One PD, by id or code", "Pd"), get(pd)),
        (create("/api/v1/pd", "Enter a PD", ("PdInput", "Pd")), post(entered::create::<Pds>)),
        (list("/api/v1/servers", "The servers with their agents", "[Server]"), get(servers)),
        (list("/api/v1/servers/{id}", "One server", "Server"), get(server)),
        (
            create("/api/v1/servers", "Enter a server", ("ServerInput", "Server")),
            post(entered::create::<Servers>),
        ),
        (list("/api/v1/datasets", "The datasets", "[Dataset]"), get(datasets)),
        (list("/api/v1/datasets/{id}", "One dataset", "Dataset"), get(dataset)),
        (
            create("/api/v1/datasets", "Enter a dataset", ("DatasetInput", "Dataset")),
            post(entered::create::<Datasets>),
        ),
        (
            secret(create(
                "/api/v1/tokens",
                "A one-time enrolment token, shown once",
                ("TokenRequest", "EnrollmentToken"),
            )),
            post(token),
        ),
    ];
    table.push(change::<Sites>("/api/v1/sites/{id}", ("SitePatch", "Site")));
    table.push(change::<Pds>("/api/v1/pd/{id}", ("PdPatch", "Pd")));
    table.push(change::<Servers>("/api/v1/servers/{id}", ("ServerPatch", "Server")));
    table.push(change::<Datasets>("/api/v1/datasets/{id}", ("DatasetPatch", "Dataset")));
    for (route, _) in &mut table {
        if route.method == Method::GET {
            route.query = match route.path {
                "/api/v1/servers" => &["pd", "kind", "heartbeat", "q", "limit", "after"],
                "/api/v1/datasets" => &["pd", "server", "kind", "urgency", "q", "limit", "after"],
                "/api/v1/sites" | "/api/v1/pd" => PAGED,
                _ => &[],
            };
        }
        // Where the copies lie is the city's, not one PD's.
        if route.path.starts_with("/api/v1/sites") && route.method == Method::GET {
            route.access = Access::Person(ReadCity);
        }
    }
    table
}

/// Which servers are asked for.
#[derive(Deserialize)]
pub(super) struct ServerFilter {
    pd: Option<String>,
    kind: Option<ServerKind>,
    heartbeat: Option<HeartbeatState>,
    q: Option<Text>,
}

/// Which datasets are asked for.
#[derive(Deserialize)]
pub(super) struct DatasetFilter {
    pd: Option<String>,
    server: Option<ServerId>,
    kind: Option<DatasetKind>,
    urgency: Option<Urgency>,
    q: Option<Text>,
}

/// Whether a row is as it is asked for, if it is asked for.
pub(super) fn fits<T: PartialEq>(asked: Option<T>, found: T) -> bool {
    asked.is_none_or(|asked| asked == found)
}

pub(super) type Listed<T> = Result<Page<T>, Refused>;
pub(super) type Changed = Result<Answer, Refused>;

pub(super) fn unknown(what: &str) -> Refused {
    Problem::not_found(format!("no {what} has this id: the list without an id shows all")).into()
}

pub(super) fn id<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| unknown(what))
}

pub(super) async fn sites(State(app): State<AppState>, paging: Paging) -> Listed<Site> {
    let sites = app.db.read_async(|tx| rows::sites(tx)).await?;
    Ok(paging.select(sites, |site: &Site| (site.name.clone(), site.id))?)
}

pub(super) async fn site(
    State(app): State<AppState>,
    Named(text): Named,
) -> Result<Json<Site>, Refused> {
    let id = id(&text, "site")?;
    let found = app.db.read_async(move |tx| rows::site(tx, &id)).await?;
    found.map(Json).ok_or_else(|| unknown("site"))
}

pub(super) async fn pds(State(app): State<AppState>, who: Who, paging: Paging) -> Listed<Pd> {
    let list = move |tx: &Transaction<'_>| {
        let mut pds = rows::pds(tx)?;
        pds.retain(|pd| who.scope().sees(pd.id));
        Ok::<_, DbError>(pds)
    };
    Ok(paging.select(app.db.read_async(list).await?, |pd: &Pd| (pd.code.clone(), pd.id))?)
}

pub(super) async fn pd(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Pd>, Refused> {
    Ok(Json(app.db.read_async(move |tx| find_pd(tx, who.scope(), &text)).await?))
}

pub(super) async fn servers(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<ServerFilter>,
    paging: Paging,
) -> Listed<Server> {
    let pd = asked.pd.clone();
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), pd.as_deref())?;
        Ok::<_, Refused>(rows::servers(tx, pd.as_ref())?)
    };
    let mut servers = with_heartbeats(&app, app.db.read_async(list).await?);
    servers.retain(|one| {
        fits(asked.kind, one.kind)
            && fits(asked.heartbeat, one.heartbeat)
            && asked.q.as_ref().is_none_or(|text| text.is_in(&[&one.name]))
    });
    Ok(paging.select(servers, |one: &Server| (one.name.clone(), one.id))?)
}

pub(super) async fn server(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Response, Refused> {
    let id = id(&text, "server")?;
    let found = app.db.read_async(move |tx| rows::server(tx, &id)).await?;
    let found = found.filter(|server| who.scope().sees(server.pd));
    let found = found.ok_or_else(|| unknown("server"))?;
    let tag = Extension(RowTag(Servers::tag(&found)));
    Ok((tag, Json(Servers::shown(&app, found))).into_response())
}

pub(super) async fn datasets(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<DatasetFilter>,
    paging: Paging,
) -> Listed<Dataset> {
    let pd = asked.pd.clone();
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), pd.as_deref())?;
        Ok::<_, Refused>(rows::datasets(tx, pd.as_ref())?)
    };
    let mut datasets = app.db.read_async(list).await?;
    datasets.retain(|one| {
        fits(asked.kind, one.kind)
            && fits(asked.urgency, one.urgency)
            && (asked.server.is_none() || asked.server == one.server)
            && asked.q.as_ref().is_none_or(|text| text.is_in(&[&one.name, &one.owner]))
    });
    Ok(paging.select(datasets, |one: &Dataset| (one.name.clone(), one.id))?)
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

pub(super) async fn token(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let request: TokenRequest = read_json(body, 64 << 10).await?;
    let fingerprint = app.authority.fingerprint().to_owned();
    let issue =
        move |tx: &Transaction<'_>, act: &Act| issue::token(tx, act, &fingerprint, &request);
    who.change(&app, StatusCode::CREATED, issue).await
}
