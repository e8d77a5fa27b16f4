//! What a route is, and the few shapes that most have.

use axum::routing::{MethodRouter, patch};
use http::Method;

use super::AppState;
use super::access::Access;
use super::entered::{self, Entered};
use super::idempotency::Keys;
use crate::people::access::Permission;

/// Routes with their handlers.
pub type Routes = Vec<(Route, MethodRouter<AppState>)>;

/// What is asked of a list without filters.
pub(super) const PAGED: &[&str] = &["limit", "after"];

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
    /// What it does with an idempotency key.
    pub keys: Keys,
    /// Whether it takes `If-Match`: it changes a row that the caller has seen.
    pub replaces: bool,
}

pub(super) fn route(
    method: Method,
    path: &'static str,
    access: Access,
    summary: &'static str,
    (request, response): (Option<&'static str>, &'static str),
) -> Route {
    let by_people = matches!(access, Access::Person(_) | Access::Own);
    let keys = if by_people && method == Method::POST { Keys::Kept } else { Keys::Needless };
    Route { method, path, access, summary, request, response, query: &[], keys, replaces: false }
}

/// A route whose request or answer carries a secret.
pub(super) fn secret(route: Route) -> Route {
    Route { keys: Keys::Refused, ..route }
}

/// A list that is read in pages.
pub(super) fn paged(route: Route) -> Route {
    Route { query: PAGED, ..route }
}

/// A route that changes a row which can be read before.
pub(super) fn replacing(route: Route) -> Route {
    Route { replaces: true, ..route }
}

/// The route that changes one row of a kind.
pub(super) fn change<K: Entered>(
    path: &'static str,
    (request, row): (&'static str, &'static str),
) -> (Route, MethodRouter<AppState>) {
    let access = Access::Person(Permission::WriteRegister);
    let summary = "Change a row: what is named is set, null takes it out, what is not named stays";
    let route = replacing(route(Method::PATCH, path, access, summary, (Some(request), row)));
    (route, patch(entered::change::<K>))
}

/// A route that does nothing twice by itself.
pub(super) fn repeatable(route: Route) -> Route {
    Route { keys: Keys::Needless, ..route }
}
