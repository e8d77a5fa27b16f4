//! Whose care is overdue. Pure.
//!
//! Invariant: of each server and kind of care the newest entry alone counts: who has done it again and says no day is due for
//! nothing.

use std::collections::BTreeMap;

use lumbung_model::{Day, ServerId};
use lumbung_wire::messages::register::{Care, CareKind, Server};

use super::of_row;
use crate::db::alarms::Finding;

/// One finding for each server with overdue care. `care` has the oldest entries first.
pub(super) fn overdue(care: &[Care], servers: &[Server], today: Day) -> Vec<Finding> {
    let mut newest: BTreeMap<(ServerId, CareKind), &Care> = BTreeMap::new();
    for one in care {
        let known = newest.entry((one.server, one.kind)).or_insert(one);
        if one.done_on >= known.done_on {
            *known = one;
        }
    }
    let mut late: BTreeMap<ServerId, Vec<String>> = BTreeMap::new();
    for ((server, kind), one) in newest {
        if let Some(due) = one.due_on.filter(|due| *due < today) {
            let told = format!("{kind} since {due} (last done {}, {:?})", one.done_on, one.name);
            late.entry(server).or_default().push(told);
        }
    }
    let found = late.into_iter().filter_map(|(id, late)| {
        let server = servers.iter().find(|server| server.id == id)?;
        let detail = format!(
            "the care of server {:?} is overdue: {}: see to it, and enter it (`lumbung care add`)",
            server.name,
            late.join("; ")
        );
        Some(of_row(id.to_string(), server.pd, detail))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn server(name: &str, n: u8) -> Server {
        serde_json::from_value(json!({
            "id": format!("{n:032x}"), "pd": "1".repeat(32), "name": name, "kind": "vps", "heartbeat": "never",
        }))
        .unwrap()
    }

    fn entry(server: u8, kind: &str, done: &str, due: Option<&str>) -> Care {
        let mut row = json!({
            "id": "0".repeat(32), "pd": "1".repeat(32), "server": format!("{server:032x}"), "name": "rutin",
            "kind": kind, "done_on": done, "by": "Budi",
        });
        row["due_on"] = due.map_or(Value::Null, Value::from);
        serde_json::from_value(row).unwrap()
    }

    fn found(care: &[Care], today: &str) -> Vec<String> {
        let servers = [server("vm-1", 1), server("vm-2", 2)];
        let found = overdue(care, &servers, today.parse().unwrap());
        found.into_iter().map(|one| one.detail).collect()
    }

    #[test]
    fn care_is_overdue_from_the_day_after_it_was_due_until_it_is_done_again() {
        let mut care = vec![
            entry(1, "patching", "2026-11-01", Some("2026-12-01")),
            entry(1, "backup_check", "2026-11-01", Some("2027-06-01")),
            entry(2, "patching", "2026-11-01", None),
        ];
        assert_eq!(found(&care, "2026-12-01"), [""; 0]);
        let late = found(&care, "2026-12-02");
        assert_eq!(late.len(), 1);
        assert!(
            late[0].contains("\"vm-1\" is overdue: patching since 2026-12-01 (last done"),
            "{late:?}"
        );
        // Another kind of care is not this one's.
        care.push(entry(1, "resize", "2026-12-02", None));
        assert_eq!(found(&care, "2026-12-02"), late);
        // What is entered late and is older does not take the newer one's place.
        care.push(entry(1, "patching", "2026-10-01", None));
        assert_eq!(found(&care, "2026-12-02"), late);
        care.push(entry(1, "patching", "2026-12-02", None));
        assert_eq!(found(&care, "2026-12-02"), [""; 0]);
        let other = found(&care, "2027-06-02");
        assert!(
            other.len() == 1 && other[0].contains("backup_check since 2027-06-01"),
            "{other:?}"
        );
    }

    #[test]
    fn nobody_is_asked_about_a_server_that_is_gone() {
        let care = [entry(3, "patching", "2026-11-01", Some("2026-12-01"))];
        assert_eq!(found(&care, "2027-01-15"), [""; 0]);
    }
}
