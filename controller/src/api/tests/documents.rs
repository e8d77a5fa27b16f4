//! The OpenAPI document: checked in, complete, and true of what the API takes and answers.

use http::Method;
use lumbung_model::drill::StepId;
use lumbung_model::schedule::Period;
use serde_json::Value;

use super::super::openapi::document;
use super::super::{Route, routes};

/// Holds a request's body and its answer against the document.
pub(super) fn check(method: &Method, path: &str, request: Option<&Value>, answer: &Value) {
    let document = document();
    let route = route(method, path).expect(path);
    if let (Some(schema), Some(body)) = (route.request, request) {
        validate(&document, &named(schema), body, &format!("{method} {path} request"));
    }
    validate(&document, &named(route.response), answer, &format!("{method} {path} answer"));
}

/// Holds a refusal against the document.
pub(super) fn check_problem(problem: &Value) {
    validate(&document(), &named("Problem"), problem, "problem");
}

/// The route of the table that takes this request.
pub(super) fn route(method: &Method, path: &str) -> Option<Route> {
    let path = path.split('?').next().unwrap();
    let fits = |route: &Route| {
        let mut pattern = route.path.split('/');
        let mut parts = path.split('/');
        route.method == *method
            && pattern
                .by_ref()
                .zip(parts.by_ref())
                .all(|(pattern, part)| pattern == part || pattern == "{id}")
            && route.path.split('/').count() == path.split('/').count()
    };
    routes().into_iter().map(|(route, _)| route).find(fits)
}

fn named(name: &str) -> Value {
    if name == "text" {
        return serde_json::json!({ "type": "string" });
    }
    match name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => serde_json::json!({ "type": "array", "items": named(inner) }),
        None => serde_json::json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// The keywords of JSON Schema that the document uses; another one has to be understood here first.
const KEYWORDS: &[&str] = &[
    "$ref",
    "additionalProperties",
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maximum",
    "minItems",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "type",
];

fn validate(document: &Value, schema: &Value, value: &Value, place: &str) {
    let fault = fault(document, schema, value, place);
    assert_eq!(fault, None);
}

/// What is wrong with a value; members that its schema does not name are, too.
fn fault(document: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let keywords = schema.as_object().unwrap_or_else(|| panic!("{place}: {schema} is no schema"));
    let unknown = keywords.keys().find(|word| !KEYWORDS.contains(&word.as_str()));
    assert_eq!(unknown, None, "{place}: what does this keyword mean?");
    if let Some(reference) = schema.get("$ref") {
        let name = reference.as_str().unwrap().rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        assert!(schema.is_object(), "{place}: no schema {name}");
        return fault(document, schema, value, place);
    }
    if let Some(kinds) = schema.get("oneOf") {
        let faults =
            kinds.as_array().unwrap().iter().map(|kind| fault(document, kind, value, place));
        let (good, bad): (Vec<_>, Vec<_>) = faults.partition(Option::is_none);
        return (good.len() != 1)
            .then(|| format!("{place}: {value} is {} of these: {bad:?}", good.len()));
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(|one| one.as_str().unwrap()).collect(),
        one => vec![one.as_str().unwrap_or_else(|| panic!("{place}: {schema} has no type"))],
    };
    let Some(kind) = types.iter().find(|kind| is_of(kind, value)) else {
        return Some(format!("{place}: {value} is no {types:?}"));
    };
    if let Some(words) =
        schema.get("enum").filter(|words| !words.as_array().unwrap().contains(value))
    {
        return Some(format!("{place}: {value} is none of {words}"));
    }
    match *kind {
        "object" => object(document, schema, value, place),
        "array" => array(document, schema, value, place),
        "string" => text(schema, value.as_str().unwrap(), place),
        "integer" | "number" => {
            let (number, limit) =
                (value.as_f64(), |name: &str| schema.get(name).and_then(Value::as_f64));
            let outside =
                number < limit("minimum").or(number) || number > limit("maximum").or(number);
            outside.then(|| format!("{place}: {value} is outside {schema}"))
        }
        _ => None,
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("type {other}"),
    }
}

/// Patterns are of names, of lengths of time, or of hexadecimal digits.
fn text(schema: &Value, text: &str, place: &str) -> Option<String> {
    let pattern = schema.get("pattern")?.as_str().unwrap();
    let refused = || Some(format!("{place}: {text:?} is not {pattern}"));
    let by_its_parser = match pattern {
        "^[a-z0-9][a-z0-9-]{0,39}$" => Some(text.parse::<StepId>().is_ok()),
        "^[0-9]{1,5} (s|min|h|d)$" => Some(text.parse::<Period>().is_ok()),
        _ => None,
    };
    if let Some(fits) = by_its_parser {
        return if fits { None } else { refused() };
    }
    let digits = pattern.trim_start_matches("^[0-9a-f]{").trim_end_matches("}$");
    let digits: usize = digits.parse().unwrap();
    let fits = text.len() == digits && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
    if fits { None } else { refused() }
}

fn array(document: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let items = value.as_array().unwrap();
    let limit = |name: &str| {
        schema.get(name).map(|limit| usize::try_from(limit.as_u64().unwrap()).unwrap())
    };
    let length = limit("minItems").unwrap_or(0)..=limit("maxItems").unwrap_or(usize::MAX);
    if !length.contains(&items.len()) {
        return Some(format!("{place}: {} items, not {length:?}", items.len()));
    }
    items.iter().find_map(|item| fault(document, &schema["items"], item, place))
}

fn object(document: &Value, schema: &Value, value: &Value, place: &str) -> Option<String> {
    let members = value.as_object().unwrap();
    let required = schema.get("required").map(|names| names.as_array().unwrap().as_slice());
    let missing = required.unwrap_or_default().iter().map(|name| name.as_str().unwrap());
    if let Some(name) = missing.into_iter().find(|name| !members.contains_key(*name)) {
        return Some(format!("{place}: {name} is missing in {value}"));
    }
    members.iter().find_map(|(name, member)| match schema["properties"].get(name) {
        Some(schema) => fault(document, schema, member, &format!("{place}.{name}")),
        None => Some(format!("{place}: {name} is not documented")),
    })
}

#[test]
fn the_checked_in_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let generated = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("LUMBUNG_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let hint = "run with LUMBUNG_UPDATE_GOLDEN=1 and read the difference: the API only grows";
    assert_eq!(std::fs::read_to_string(path).unwrap(), generated, "{hint}");
}

#[test]
fn every_reference_has_its_schema_and_every_schema_is_used() {
    let document = document();
    let text = document.to_string();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut used = std::collections::BTreeSet::new();
    for part in text.split("#/components/schemas/").skip(1) {
        used.insert(part.split('"').next().unwrap().to_owned());
    }
    let known: std::collections::BTreeSet<_> = schemas.keys().cloned().collect();
    assert_eq!(used, known);
}

#[test]
fn operation_ids_are_distinct() {
    let document = document();
    let mut ids: Vec<&str> = Vec::new();
    for path in document["paths"].as_object().unwrap().values() {
        ids.extend(
            path.as_object()
                .unwrap()
                .values()
                .map(|operation| operation["operationId"].as_str().unwrap()),
        );
    }
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    assert_eq!(all, routes().len());
}
