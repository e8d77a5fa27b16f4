//! The OpenAPI document of the API, from the table of routes and the schemas.
//!
//! Invariants: every route of the table is in it and nothing else; every schema that a route names is
//! there; the checked-in `docs/openapi.json` is this document (a test holds them against each other).

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::access::Access;
use super::idempotency::Keys;
use super::{Route, parameters, routes, schemas};

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let mut paths: BTreeMap<&str, serde_json::Map<String, Value>> = BTreeMap::new();
    let bodies: Vec<&str> = routes().iter().filter_map(|(route, _)| route.request).collect();
    for (route, _) in routes() {
        let operation = operation(&route);
        paths
            .entry(route.path)
            .or_default()
            .insert(route.method.as_str().to_ascii_lowercase(), operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Lumbung controller",
            "version": "1",
            "description": "Register, enrolment, heartbeats and compliance. Every connection is TLS 1.3. Agents and sites come with a certificate of the city's CA; people with an API token, an operator's certificate, or a session's cookie, whose requests that change something carry its `csrf_token` in the header x-csrf-token. Refusals are RFC 9457 problem documents. A query parameter that a path does not name is refused. docs/api.md tells of pages, tags and idempotency keys. Ids are lower-case hexadecimal, times are seconds since 1970 UTC.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(bodies.iter().map(|name| element(name))),
            "securitySchemes": {
                "mtls": { "type": "mutualTLS" },
                "token": { "type": "http", "scheme": "bearer" },
                "session": { "type": "apiKey", "in": "cookie", "name": super::access::COOKIE },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let success = match (route.path, route.method.as_str()) {
        (
            "/api/v1/poll"
            | "/api/v1/users/{id}/role"
            | "/api/v1/sites/{id}/remove"
            | "/api/v1/drill-plans/{id}/failover",
            _,
        ) => "202",
        (
            "/api/v1/sites"
            | "/api/v1/buildings"
            | "/api/v1/rooms"
            | "/api/v1/pd"
            | "/api/v1/servers"
            | "/api/v1/services"
            | "/api/v1/applications"
            | "/api/v1/contact-persons"
            | "/api/v1/datasets"
            | "/api/v1/deposits"
            | "/api/v1/tokens"
            | "/api/v1/waivers"
            | "/api/v1/reminders"
            | "/api/v1/retirements"
            | "/api/v1/proofs"
            | "/api/v1/key-reports"
            | "/api/v1/users"
            | "/api/v1/me/tokens"
            | "/api/v1/drill-plans"
            | "/api/v1/drill-plans/{id}/start",
            "POST",
        ) => "201",
        _ => "200",
    };
    let problem = json!({
        "description": "A refusal; its detail tells what to do next.",
        "content": { "application/problem+json": { "schema": reference("Problem") } },
    });
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": description(route),
        "responses": { success: answer(route), "default": problem },
        "security": security(route.access),
    });
    if route.method == Method::GET {
        let nothing = "The caller has it already (If-None-Match).";
        operation["responses"]["304"] = json!({ "description": nothing });
    }
    let parameters = parameters::of(route);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(request) = route.request {
        let mut body = content(request);
        if request == "ImportRequest" {
            body["application/toml"] = json!({ "schema": { "type": "string" } });
            body["text/csv"] = json!({ "schema": { "type": "string" } });
        }
        operation["requestBody"] = json!({ "required": true, "content": body });
    }
    operation
}

fn description(route: &Route) -> String {
    let access = route.access.describe();
    match route.keys {
        Keys::Refused => format!(
            "{access} A secret is in the request or its answer, of which nothing is kept: an Idempotency-Key is refused."
        ),
        Keys::Kept | Keys::Needless => access.to_owned(),
    }
}

/// A success, with the headers that it comes with.
fn answer(route: &Route) -> Value {
    let header =
        |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let mut headers = serde_json::Map::new();
    if route.method == Method::GET {
        headers.insert("ETag".to_owned(), header("A strong tag of this answer."));
    }
    if route.query.contains(&"after") {
        let next = header("Where the next page is, `<…>; rel=\"next\"`; absent on the last one.");
        headers.insert("Link".to_owned(), next);
    }
    if route.keys == Keys::Kept {
        let again = header("`true`: this was answered before, and not done again.");
        headers.insert("Idempotency-Replayed".to_owned(), again);
    }
    json!({ "description": route.summary, "headers": headers, "content": content(route.response) })
}

fn security(access: Access) -> Value {
    match access {
        Access::Anyone => json!([]),
        Access::Agent | Access::Site | Access::Holder | Access::Member | Access::Controller => {
            json!([{ "mtls": [] }])
        }
        Access::Person(_) | Access::Own => {
            json!([{ "token": [] }, { "session": [] }, { "mtls": [] }])
        }
    }
}

fn operation_id(route: &Route) -> String {
    let words =
        route.path.trim_start_matches("/api/v1/").replace("/{id}", "_one").replace('/', "_");
    format!("{}_{words}", route.method.as_str().to_ascii_lowercase())
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What a body named so is made of: itself, or the elements of a list.
fn element(name: &str) -> &str {
    name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(name)
}

fn content(name: &str) -> Value {
    if name == "octets" {
        return json!({ "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } });
    }
    if name == "text" {
        let text = json!({ "schema": { "type": "string" } });
        return json!({ "application/toml": text, "text/csv": text });
    }
    if name.ends_with(schemas::PATCH) {
        return json!({ "application/merge-patch+json": { "schema": reference(name) } });
    }
    let schema = match element(name) {
        inner if inner != name => json!({ "type": "array", "items": reference(inner) }),
        _ => reference(name),
    };
    json!({ "application/json": { "schema": schema } })
}
