//! The OpenAPI document: checked in, complete, and true of what the API takes and answers.

use http::Method;
use serde_json::Value;

use super::super::openapi::document;
use super::super::{Route, routes};

/// Holds a request's body and its answer against the document.
pub(super) fn check(method: &Method, path: &str, request: Option<&Value>, answer: &Value) {
    let document = document();
    let route = find(method, path);
    if let (Some(schema), Some(body)) = (route.request, request) {
        validate(&document, &named(schema), body, &format!("{method} {path} request"));
    }
    validate(&document, &named(route.response), answer, &format!("{method} {path} answer"));
}

fn find(method: &Method, path: &str) -> Route {
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
    routes().into_iter().map(|(route, _)| route).find(fits).expect(path)
}

fn named(name: &str) -> Value {
    match name.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => serde_json::json!({ "type": "array", "items": named(inner) }),
        None => serde_json::json!({ "$ref": format!("#/components/schemas/{name}") }),
    }
}

/// The part of JSON Schema that the document uses; members that it does not name are errors here.
fn validate(document: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(reference) = schema.get("$ref") {
        let name = reference.as_str().unwrap().rsplit('/').next().unwrap();
        let schema = &document["components"]["schemas"][name];
        assert!(schema.is_object(), "{place}: no schema {name}");
        return validate(document, schema, value, place);
    }
    if let Some(words) = schema.get("enum") {
        assert!(words.as_array().unwrap().contains(value), "{place}: {value} is none of {words}");
    }
    match schema["type"].as_str().unwrap() {
        "object" => object(document, schema, value, place),
        "array" => {
            let items = value.as_array().unwrap_or_else(|| panic!("{place}: {value} is no array"));
            items.iter().for_each(|item| validate(document, &schema["items"], item, place));
        }
        "string" => {
            let text = value.as_str().unwrap_or_else(|| panic!("{place}: {value} is no string"));
            if let Some(pattern) = schema.get("pattern") {
                let pattern = pattern.as_str().unwrap();
                let digits: usize = pattern
                    .trim_start_matches("^[0-9a-f]{")
                    .trim_end_matches("}$")
                    .parse()
                    .unwrap();
                assert!(
                    text.len() == digits && text.bytes().all(|b| b"0123456789abcdef".contains(&b)),
                    "{place}: {text}"
                );
            }
        }
        "integer" => assert!(value.is_i64() || value.is_u64(), "{place}: {value} is no integer"),
        "number" => assert!(value.is_number(), "{place}: {value} is no number"),
        "boolean" => assert!(value.is_boolean(), "{place}: {value} is no boolean"),
        other => panic!("{place}: type {other}"),
    }
}

fn object(document: &Value, schema: &Value, value: &Value, place: &str) {
    let members = value.as_object().unwrap_or_else(|| panic!("{place}: {value} is no object"));
    for required in schema["required"].as_array().unwrap() {
        assert!(
            members.contains_key(required.as_str().unwrap()),
            "{place}: {required} is missing in {value}"
        );
    }
    for (name, member) in members {
        let schema = schema["properties"]
            .get(name)
            .unwrap_or_else(|| panic!("{place}: {name} is not documented"));
        validate(document, schema, member, &format!("{place}.{name}"));
    }
}

#[test]
fn the_checked_in_document_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let generated = serde_json::to_string_pretty(&document()).unwrap() + "\n";
    if std::env::var_os("LUMBUNG_UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &generated).unwrap();
    }
    let hint = "run `lumbung-controller openapi > docs/openapi.json` and read the difference: the API only grows";
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
