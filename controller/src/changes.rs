//! What a change of a row was, field by field, from the entry of the audit log that tells of it.
//!
//! Pure. Invariant: whoever sees one PD's rows sees nothing of a row from the time when it was another PD's.

use lumbung_model::PdId;
use lumbung_wire::audit::AuditEntry;
use lumbung_wire::messages::register::{FieldChange, HistoryEntry};
use serde_json::{Map, Value};

/// What nobody enters, and what changes all the time.
const OBSERVED: [&str; 4] = ["id", "heartbeat", "last_seen", "agent"];
/// Notes that a version carries of what was done to it, with the reason.
const NOTES: [&str; 2] = ["retired", "restored"];

type Members = Map<String, Value>;

/// The change that an entry tells of, as whoever sees one PD's rows (or all) may see it; none: it is of no kind of row.
#[must_use]
pub fn change(entry: AuditEntry, scope: Option<PdId>) -> Option<HistoryEntry> {
    let kind = entry.subject.kind.parse().ok()?;
    let own = |row: &Members| {
        let pd = row.get("pd").and_then(Value::as_str).and_then(|id| id.parse::<PdId>().ok());
        pd.is_none() || scope.is_none() || pd == scope
    };
    let mut before = members(entry.before).filter(own).unwrap_or_default();
    let mut after = members(entry.after).unwrap_or_default();
    let name = ["name", "code"].iter().find_map(|field| after.get(*field).or(before.get(*field)));
    let name = name.and_then(Value::as_str).map(str::to_owned);
    for note in NOTES {
        before.remove(note);
        if let Some(said) = after.get_mut(note)
            && let Some(reason) = said.get("reason").cloned()
        {
            *said = reason;
        }
    }
    Some(HistoryEntry {
        at: entry.at,
        by: entry.actor.name,
        action: entry.action,
        kind,
        id: entry.subject.id,
        name,
        pd: entry.pd,
        changes: differences(&before, &after),
    })
}

fn members(row: Option<Value>) -> Option<Members> {
    match row {
        Some(Value::Object(members)) => Some(members),
        _ => None,
    }
}

/// The fields that differ, in the order of their names.
fn differences(before: &Members, after: &Members) -> Vec<FieldChange> {
    let mut fields: Vec<&String> = before.keys().chain(after.keys()).collect();
    fields.sort_unstable();
    fields.dedup();
    fields.retain(|field| !OBSERVED.contains(&field.as_str()));
    let shown = |row: &Members, field: &str| match row.get(field)? {
        Value::Null => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(list) if list.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let mut changes: Vec<_> = fields
        .into_iter()
        .map(|field| FieldChange {
            field: field.clone(),
            before: shown(before, field),
            after: shown(after, field),
        })
        .collect();
    changes.retain(|change| change.before != change.after);
    changes
}

#[cfg(test)]
mod tests {
    use lumbung_model::{DeviceId, Timestamp};
    use lumbung_wire::audit::{Actor, ActorKind, Subject};
    use serde_json::json;

    use super::*;

    fn entry(before: Value, after: Value) -> AuditEntry {
        AuditEntry {
            sequence: 1,
            at: Timestamp(7),
            actor: Actor { kind: ActorKind::User, id: "u".into(), name: "budi".into() },
            from: None,
            action: "device.put".into(),
            subject: Subject { kind: "device".into(), id: DeviceId::ZERO.to_string() },
            pd: Some(PdId::from_bytes([2; 16])),
            before: Some(before),
            after: Some(after),
        }
    }

    fn told(entry: AuditEntry, scope: Option<PdId>) -> Vec<String> {
        let change = change(entry, scope).unwrap();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let told = |one: FieldChange| {
            format!("{}: {} > {}", one.field, or_none(one.before), or_none(one.after))
        };
        change.changes.into_iter().map(told).collect()
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = json!({ "id": "1", "name": "web", "lowest_u": 3, "serial": "", "feeds": [], "last_seen": 1, "restored": { "reason": "keliru" } });
        let after = json!({ "id": "1", "name": "web", "lowest_u": 5, "model": "R740", "feeds": ["a"], "last_seen": 9 });
        assert_eq!(
            told(entry(before, after), None),
            [r#"feeds: - > ["a"]"#, "lowest_u: 3 > 5", "model: - > R740"]
        );
    }

    #[test]
    fn a_retirement_tells_its_reason() {
        let after = json!({ "name": "web", "retired": { "reason": "dijual", "by": "budi" } });
        assert_eq!(told(entry(json!({ "name": "web" }), after), None), ["retired: - > dijual"]);
    }

    #[test]
    fn what_was_another_pds_is_not_shown_to_this_one() {
        let of = |n: u8, serial: &str| json!({ "pd": PdId::from_bytes([n; 16]), "serial": serial });
        let own = Some(PdId::from_bytes([2; 16]));
        let moved = || entry(of(1, "rahasia"), of(2, "baru"));
        assert!(!format!("{:?}", change(moved(), own)).contains("rahasia"));
        assert!(format!("{:?}", change(moved(), None)).contains("rahasia"));
        assert_eq!(told(entry(of(2, "a"), of(2, "b")), own), ["serial: a > b"]);
    }
}
