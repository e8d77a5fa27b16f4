//! What may be asked for beside a path and a body: query parameters and headers, for the OpenAPI document.
//!
//! Invariant: whatever the table of routes names is described here, as the handlers read it; a test holds the two against
//! each other.

use http::Method;
use serde_json::{Value, json};

use super::Route;
use super::idempotency::Keys;
use super::paging::{LIMIT_MAX, TEXT_MAX_CHARS};

/// The parameters of a route.
pub(super) fn of(route: &Route) -> Vec<Value> {
    let mut all = Vec::new();
    if route.path.contains("{id}") {
        let schema = json!({ "type": "string", "minLength": 1 });
        all.push(parameter("path", "id", "The id; of some kinds the name does as well.", &schema));
    }
    all.extend(route.query.iter().map(|name| query(route, name)));
    all.extend(headers(route));
    all
}

fn parameter(place: &str, name: &str, description: &str, schema: &Value) -> Value {
    json!({
        "name": name, "in": place, "required": place == "path", "description": description, "schema": schema,
    })
}

fn word(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn query(route: &Route, name: &str) -> Value {
    let (description, schema) = described(route.path, name)
        .unwrap_or_else(|| unreachable!("{}?{name} is not described", route.path));
    parameter("query", name, description, &schema)
}

/// What a query parameter of a path is; `None`: nobody has written it down.
fn described(path: &str, name: &str) -> Option<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    let day = || json!({ "type": "string", "format": "date" });
    let yes_or_no = || json!({ "type": "boolean", "default": false });
    Some(match (name, path) {
        ("limit", _) => (
            "Rows in one answer.",
            json!({ "type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_MAX }),
        ),
        ("after", "/api/v1/audit") => (
            "Only entries behind the one of this number.",
            json!({ "type": "integer", "minimum": 0, "maximum": i64::MAX }),
        ),
        ("after", _) => {
            ("Where the page before ended: as its header Link says, and opaque.", text())
        }
        ("pd", _) => ("Only what is this PD's: its id or code.", text()),
        ("q", "/api/v1/deposits") => (
            "Only what has this text in title, article, subject, PD, period, letter or document; upper or lower case does not matter.",
            json!({ "type": "string", "minLength": 1, "maxLength": TEXT_MAX_CHARS }),
        ),
        ("q", _) => (
            "Only what has this text in its name (of a dataset, or its owner's); upper or lower case does not matter.",
            json!({ "type": "string", "minLength": 1, "maxLength": TEXT_MAX_CHARS }),
        ),
        ("kind", "/api/v1/servers") => ("Only servers of this kind.", word("ServerKind")),
        ("kind", "/api/v1/datasets") => ("Only datasets of this kind.", word("DatasetKind")),
        ("kind", "/api/v1/history") => ("Only changes of rows of this kind.", word("HistoryKind")),
        ("id", "/api/v1/history") => ("Only changes of the row of this id.", text()),
        ("kind", "/api/v1/alarms") => ("Only alarms of this kind.", text()),
        ("heartbeat", _) => {
            ("Only servers whose agent was heard of so lately.", word("HeartbeatState"))
        }
        ("server", _) => ("Only what lies on this server.", word("ServerId")),
        ("site", _) => ("Only what is about this site.", word("SiteId")),
        ("urgency", _) => ("Only what is so urgent.", word("Urgency")),
        ("backed_up" | "at_drc" | "verified" | "proven", _) => {
            ("Only rows whose step has come so far.", word("StepState"))
        }
        ("late", _) => ("Only rows of which a step was met once and is late now.", yes_or_no()),
        ("by", _) => (
            "What is added up: each service, each server, or all services of each PD.",
            json!({ "type": "string", "enum": ["service", "server", "pd"], "default": "service" }),
        ),
        ("period", _) => (
            "A month of the city's calendar, as in 2026-11, or a year, as in 2026; this month if it is left out.",
            json!({ "type": "string", "pattern": "^[0-9]{4}(-[0-9]{2})?$" }),
        ),
        ("open", _) => ("Only what goes on.", yes_or_no()),
        ("plan", _) => ("Only runs of this plan.", word("DrillPlanId")),
        ("since", _) => (
            "Only what lasted beyond this moment, seconds since 1970 UTC.",
            json!({ "type": "integer", "format": "int64" }),
        ),
        ("rule", _) => ("Only what this rule says; by default all but the four steps.", text()),
        ("state", "/api/v1/deposits") => (
            "Only what has come so far: one or several words of DepositState, separated by commas.",
            text(),
        ),
        ("duty", _) => ("Only what follows from this duty of the profile.", text()),
        ("from", "/api/v1/deposits") => ("Only what is due on this day or later.", day()),
        ("until", "/api/v1/deposits") => ("Only what is due on this day or earlier.", day()),
        ("from", "/api/v1/calendar") => ("The first day; today if it is left out.", day()),
        ("until", "/api/v1/calendar") => (
            "The last day, at most 397 days after the first and 1100 from today; 90 days after the first if it is left out.",
            day(),
        ),
        ("state", "/api/v1/alerts") => ("Only what has come so far.", word("AlertState")),
        ("state", "/api/v1/verdicts") => ("Only what is said so.", word("VerdictState")),
        ("as_of", _) => (
            "What was said at this moment, seconds since 1970 UTC; now if it is left out.",
            json!({ "type": "integer", "format": "int64" }),
        ),
        ("from" | "until", "/api/v1/trend") => (
            "A day of the city's calendar, as in 2026-06-30; at most 732 days in all.",
            json!({ "type": "string", "format": "date" }),
        ),
        ("days", _) => (
            "How many days back.",
            json!({ "type": "integer", "minimum": 1, "maximum": 732, "default": 30 }),
        ),
        ("all", _) => ("Also what is over.", yes_or_no()),
        ("lang", _) => (
            "The language of reasons.",
            json!({ "type": "string", "enum": ["id", "en"], "default": "id" }),
        ),
        ("table", _) => ("Which table, as CSV.", word("RegisterTable")),
        ("dry_run", _) => ("Only tells what would come of it.", yes_or_no()),
        _ => return None,
    })
}

fn headers(route: &Route) -> Vec<Value> {
    let mut all = Vec::new();
    let mut header = |name, description, schema| {
        all.push(parameter("header", name, description, &schema));
    };
    if route.method == Method::GET {
        let description = "Tags of answers that the caller has; 304 if one of them is this one's.";
        header("If-None-Match", description, json!({ "type": "string" }));
    }
    if route.replaces {
        let description = if route.method == Method::PATCH {
            "The tag of the row as the caller has seen it, or *; 412 if it has changed, 428 if it is left out."
        } else {
            "The tag of the row as the caller has seen it; 412 if it has changed."
        };
        header("If-Match", description, json!({ "type": "string" }));
    }
    if route.keys == Keys::Kept {
        let description = "Names this request: sent again within a day, it is answered the same and done once. 409 while it is at work, 422 if the key was another request's.";
        // As RFC 9110 lets a value through: no space at its ends.
        let schema = json!({ "type": "string", "pattern": "^[!#-~]([ -~]{0,253}[!-~])?$" });
        header("Idempotency-Key", description, schema);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_is_described() {
        for (route, _) in super::super::routes() {
            for name in route.query {
                assert!(described(route.path, name).is_some(), "{}?{name}", route.path);
            }
        }
    }
}
