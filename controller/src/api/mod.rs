//! The JSON API under `/api/v1`.
//!
//! Invariants: the table in [`routes`] is the only list of routes: router, access control, OpenAPI
//! document and the test of authorization all come from it. A request is checked against its route's
//! access before its handler sees it. Handlers hold no SQL. There is no way to make an agent do anything.

pub mod access;
mod agents;
mod compliance;
mod extract;
pub mod openapi;
mod problems;
mod register;
mod schemas;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use http::Method;
use lumbung_model::Clock;
use lumbung_wire::certs::Authority;
use lumbung_wire::{Peer, Problem};
use tokio::sync::Notify;

use crate::config::Config;
use crate::db::Db;
use access::Access;

/// Longest JSON body.
pub const BODY_MAX_BYTES: usize = 4 << 20;

/// What handlers work with.
pub struct Shared {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The CA.
    pub authority: Authority,
    /// The configuration.
    pub config: Config,
    /// Asks the poller for a round.
    pub poll: Arc<Notify>,
}

/// [`Shared`], as handlers get it.
pub type AppState = Arc<Shared>;

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path, as axum and OpenAPI write it.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What it does.
    pub summary: &'static str,
    /// The schema of the request's body, by name; none if it takes none.
    pub request: Option<&'static str>,
    /// The schema of the answer, by name; `[X]` is an array.
    pub response: &'static str,
    /// Query parameters.
    pub query: &'static [&'static str],
}

fn route(
    method: Method,
    path: &'static str,
    access: Access,
    summary: &'static str,
    (request, response): (Option<&'static str>, &'static str),
) -> Route {
    Route { method, path, access, summary, request, response, query: &[] }
}

/// Every route with its handler.
pub fn routes() -> Vec<(Route, MethodRouter<AppState>)> {
    let mut table = agent_routes();
    table.extend(register_routes());
    table.extend(overview_routes());
    table
}

fn agent_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::{Agent, Anyone, Holder};
    vec![
        (
            route(
                Method::GET,
                "/api/v1/health",
                Anyone,
                "Whether the controller answers",
                (None, "ControllerHealth"),
            ),
            get(agents::health),
        ),
        (
            route(
                Method::GET,
                "/api/v1/ca",
                Anyone,
                "The CA and its fingerprint",
                (None, "CaInfo"),
            ),
            get(agents::ca),
        ),
        (
            route(
                Method::POST,
                "/api/v1/enroll",
                Anyone,
                "Enrol an agent or a site with a one-time token",
                (Some("EnrollRequest"), "EnrollResponse"),
            ),
            post(agents::enroll),
        ),
        (
            route(
                Method::POST,
                "/api/v1/renew",
                Holder,
                "A new certificate for the same identity",
                (Some("RenewRequest"), "RenewResponse"),
            ),
            post(agents::renew),
        ),
        (
            route(
                Method::POST,
                "/api/v1/heartbeat",
                Agent,
                "A sign of life with the host's health",
                (Some("HeartbeatRequest"), "HeartbeatResponse"),
            ),
            post(agents::heartbeat),
        ),
        (
            route(
                Method::POST,
                "/api/v1/reports",
                Agent,
                "Reports of runs; acknowledged once durable, idempotent by id",
                (Some("[Report]"), "ReportsAck"),
            ),
            post(agents::reports),
        ),
    ]
}

fn register_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::Operator;
    let list = |path, summary, schema| route(Method::GET, path, Operator, summary, (None, schema));
    let create = |path, summary, schemas: (&'static str, &'static str)| {
        route(Method::POST, path, Operator, summary, (Some(schemas.0), schemas.1))
    };
    let mut table = vec![
        (list("/api/v1/sites", "The sites", "[Site]"), get(register::sites)),
        (list("/api/v1/sites/{id}", "One site", "Site"), get(register::site)),
        (
            create("/api/v1/sites", "Enter a site", ("SiteInput", "Site")),
            post(register::create_site),
        ),
        (list("/api/v1/pd", "The PD", "[Pd]"), get(register::pds)),
        (list("/api/v1/pd/{id}", "One PD, by id or code", "Pd"), get(register::pd)),
        (create("/api/v1/pd", "Enter a PD", ("PdInput", "Pd")), post(register::create_pd)),
        (
            list("/api/v1/servers", "The servers with their agents", "[Server]"),
            get(register::servers),
        ),
        (list("/api/v1/servers/{id}", "One server", "Server"), get(register::server)),
        (
            create("/api/v1/servers", "Enter a server", ("ServerInput", "Server")),
            post(register::create_server),
        ),
        (list("/api/v1/datasets", "The datasets", "[Dataset]"), get(register::datasets)),
        (list("/api/v1/datasets/{id}", "One dataset", "Dataset"), get(register::dataset)),
        (
            create("/api/v1/datasets", "Enter a dataset", ("DatasetInput", "Dataset")),
            post(register::create_dataset),
        ),
        (
            create(
                "/api/v1/import",
                "Import a register in TOML: all of it or none",
                ("ImportRequest", "ImportOutcome"),
            ),
            post(register::import),
        ),
        (
            create(
                "/api/v1/tokens",
                "A one-time enrolment token, shown once",
                ("TokenRequest", "EnrollmentToken"),
            ),
            post(register::token),
        ),
    ];
    for (route, _) in &mut table {
        if matches!(route.path, "/api/v1/servers" | "/api/v1/datasets")
            && route.method == Method::GET
        {
            route.query = &["pd"];
        }
    }
    table
}

fn overview_routes() -> Vec<(Route, MethodRouter<AppState>)> {
    use Access::Operator;
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Operator, summary, (None, schema))
    };
    vec![
        (
            read(
                "/api/v1/compliance",
                "The four steps of proof, by dataset",
                "ComplianceTable",
                &["pd", "lang"],
            ),
            get(compliance::table),
        ),
        (
            read("/api/v1/status", "Sites, agents, totals, findings", "Overview", &[]),
            get(compliance::overview),
        ),
        (
            read(
                "/api/v1/alarms",
                "What is wrong; with all=true, also what was",
                "[AlarmEntry]",
                &["all"],
            ),
            get(compliance::alarms),
        ),
        (
            route(
                Method::POST,
                "/api/v1/proofs",
                Operator,
                "A signed proof of restore, verified before it is kept",
                (Some("octets"), "ProofAccepted"),
            ),
            post(compliance::proof),
        ),
        (
            route(
                Method::POST,
                "/api/v1/poll",
                Operator,
                "Ask the vaults now instead of at the next interval",
                (None, "ControllerHealth"),
            ),
            post(compliance::poll),
        ),
    ]
}

/// The API as a router.
pub fn router(state: AppState) -> Router {
    let mut router = Router::new();
    for (route, handler) in routes() {
        router = router.route(route.path, handler);
    }
    router
        .fallback(async || {
            Problem::not_found(
                "there is nothing at this path; docs/openapi.json lists all there is",
            )
        })
        .method_not_allowed_fallback(async || {
            Problem::method_not_allowed("docs/openapi.json lists what each path takes")
        })
        .route_layer(middleware::from_fn_with_state(AccessTable::new(), authorize))
        .with_state(state)
}

/// Access by method and path.
#[derive(Clone)]
struct AccessTable(Arc<Vec<Route>>);

impl AccessTable {
    fn new() -> Self {
        Self(Arc::new(routes().into_iter().map(|(route, _)| route).collect()))
    }

    fn access(&self, method: &Method, path: &str) -> Option<Access> {
        // axum answers HEAD with the handler of GET.
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        self.0
            .iter()
            .find(|route| route.method == *method && route.path == path)
            .map(|route| route.access)
    }
}

async fn authorize(
    State(table): State<AccessTable>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let access = path.and_then(|path| table.access(request.method(), path));
    // A path without such a method: only whoever may see the register learns what it takes.
    match access.unwrap_or(Access::Operator).check(&peer) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}
