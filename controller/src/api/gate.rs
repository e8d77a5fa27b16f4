//! What every request passes before its handler: who asks, whether the route is for it, what it may ask with.
//!
//! Invariant: the table of routes decides. A query parameter that a route does not name is refused, since a filter that is
//! misspelt and ignored shows more than was asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::Method;
use lumbung_wire::server::read_capped;
use lumbung_wire::{Peer, Problem};

use super::access::{self, Access, Asking};
use super::idempotency::{self, Keyed, Keys};
use super::problems::Refused;
use super::who::Who;
use super::{AppState, BODY_MAX_BYTES, Route, routes};
use crate::people::access::Permission;

/// The routes, for the requests that come.
#[derive(Clone)]
pub(super) struct Gate {
    app: AppState,
    routes: Arc<Vec<Route>>,
}

impl Gate {
    pub(super) fn new(app: AppState) -> Self {
        Self { app, routes: Arc::new(routes().into_iter().map(|(route, _)| route).collect()) }
    }

    fn route(&self, request: &Request) -> Option<&Route> {
        // axum answers HEAD with the handler of GET.
        let method =
            if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
        let path = request.extensions().get::<MatchedPath>()?.as_str();
        self.routes.iter().find(|route| route.method == *method && route.path == path)
    }
}

/// Lets a request through to its handler, with its caller.
pub(super) async fn pass(
    State(gate): State<Gate>,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    match admit(&gate, &peer, request, next).await {
        Ok(response) => response,
        Err(refused) => refused.into_response(),
    }
}

async fn admit(
    gate: &Gate,
    peer: &Peer,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let route = gate.route(&request);
    // A path without such a method: only whoever may see the register learns what it takes.
    let access = route.map_or(Access::Person(Permission::Read), |route| route.access);
    let keys = route.map_or(Keys::Needless, |route| route.keys);
    if keys == Keys::Refused && request.headers().contains_key(idempotency::HEADER) {
        return Err(idempotency::refused().into());
    }
    if !matches!(access, Access::Person(_) | Access::Own) {
        access.check(peer)?;
        check_query(route, &request)?;
        return Ok(next.run(request).await);
    }
    let asking = Asking::of(&request);
    let who = access::person(&gate.app, peer, access, asking).await?;
    check_query(route, &request)?;
    let key = if keys == Keys::Kept { idempotency::key_of(request.headers())? } else { None };
    let response = match key {
        Some(key) => run_once(gate, who, key, request, next).await?,
        None => {
            request.extensions_mut().insert(who);
            next.run(request).await
        }
    };
    // Whatever changed the register may change what is owed by date.
    if access == Access::Person(Permission::WriteRegister) && response.status().is_success() {
        gate.app.deadlines.notify_one();
    }
    Ok(response)
}

/// Runs a request that has an idempotency key.
async fn run_once(
    gate: &Gate,
    who: Who,
    key: String,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let bytes = read_capped(body, BODY_MAX_BYTES).await?;
    let hash = idempotency::request_of(&parts, &bytes);
    let keyed = Keyed::begin(&gate.app.at_work, &who.principal, key, hash)?;
    let looked_at = keyed.looked_at();
    let mut request = Request::from_parts(parts, Body::from(bytes));
    request.extensions_mut().insert(who.keyed(keyed));
    let response = next.run(request).await;
    // Else the route's handler makes its change in another way than by `Who::change`.
    debug_assert!(looked_at.load(Ordering::Relaxed) || !response.status().is_success());
    Ok(response)
}

/// Fails if the query names something that the route does not take, or something twice.
fn check_query(route: Option<&Route>, request: &Request) -> Result<(), Problem> {
    let (Some(route), Some(query)) = (route, request.uri().query()) else { return Ok(()) };
    let mut seen: Vec<&str> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        if seen.contains(&name) {
            return Err(Problem::bad_request(format!("{name}: give it once")));
        }
        if !route.query.contains(&name) {
            let known = match route.query {
                [] => "no query".to_owned(),
                names => format!("only {}", names.join(", ")),
            };
            let shown: String = name.chars().take(64).collect();
            return Err(Problem::bad_request(format!("{shown}: this path takes {known}")));
        }
        seen.push(name);
    }
    Ok(())
}
