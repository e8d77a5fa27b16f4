//! What of the inventory needs somebody: warranties that end, devices that are old or broken, reservations that lapse, access
//! that was not given back, servers whose care is overdue or whose rows say two places.
//!
//! Pure: a function of the rows, the day and what the profile sets; [`keep`] makes the open alarms be those. Invariants: one
//! alarm for each PD and kind where there may be many devices, one for each row otherwise; a round that finds nothing new
//! writes nothing.

mod care;
mod place;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lumbung_model::{Day, PdId, Timestamp};
use lumbung_wire::messages::register::{Care, Condition, Device, Handover, Reservation, Server};
use rusqlite::Connection;

use crate::db::alarms::{self, Finding};
use crate::db::{Db, DbError, care as rows, colocation, pools, register, retired};
use crate::profile::{Assets, Profile};

pub use place::Places;

/// The kinds of alarms that are raised here.
pub const ALARMS: [&str; 7] = [
    "asset-warranty",
    "asset-age",
    "asset-broken",
    "reservation-lapses",
    "access-kept",
    "care-overdue",
    "server-place",
];

/// Devices that an alarm names; the rest are counted.
const NAMED_MAX: usize = 10;

/// The rows that are looked at.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The devices.
    pub devices: Vec<Device>,
    /// The reservations.
    pub reservations: Vec<Reservation>,
    /// The handovers, and whether what each is about is retired.
    pub handovers: Vec<(Handover, bool)>,
    /// What was done to servers.
    pub care: Vec<Care>,
    /// The servers.
    pub servers: Vec<Server>,
    /// The places that servers and racks are in.
    pub places: Places,
}

/// What is found of each kind, in the order of [`ALARMS`].
#[must_use]
pub fn findings(inventory: &Inventory, today: Day, asked: &Assets) -> [Vec<Finding>; 7] {
    let horizon = today.plus_days(asked.warranty_days);
    let warranty = by_pd(&inventory.devices, |device| {
        let until = device.warranty_until.filter(|until| *until <= horizon)?;
        let word = if until < today { "ended" } else { "ends" };
        Some(format!("{word} {until}"))
    });
    let years = asked.max_age_years;
    let age = by_pd(&inventory.devices, |device| {
        let age = device.age_years(today).filter(|age| *age >= years)?;
        Some(format!("{age} years, bought {}", device.purchased_on?))
    });
    let told = |all: BTreeMap<PdId, Vec<String>>, what: &str| {
        all.into_iter().map(|(pd, devices)| of_pd(pd, what, &devices)).collect()
    };
    let broken = inventory
        .devices
        .iter()
        .filter(|device| device.condition == Condition::RusakBerat && device.rack.is_some());
    let lapse = today.plus_days(asked.reservation_days);
    let lapses = inventory.reservations.iter();
    let lapses = lapses.filter(|row| today <= row.until && row.until <= lapse);
    let kept = inventory.handovers.iter();
    let kept = kept.filter(|(row, gone)| *gone && row.returned_on.is_none());
    [
        told(warranty, "warranty is over or ends soon"),
        told(age, &format!("{years} years old or older")),
        broken.map(broken_in_rack).collect(),
        lapses.map(lapsing).collect(),
        kept.map(|(row, _)| not_returned(row)).collect(),
        care::overdue(&inventory.care, &inventory.servers, today),
        place::differing(&inventory.servers, &inventory.devices, &inventory.places),
    ]
}

/// The devices of each PD of which there is something to say.
fn by_pd(
    devices: &[Device],
    say: impl Fn(&Device) -> Option<String>,
) -> BTreeMap<PdId, Vec<String>> {
    let mut all: BTreeMap<PdId, Vec<String>> = BTreeMap::new();
    for device in devices {
        if let Some(said) = say(device) {
            all.entry(device.pd).or_default().push(format!("{} ({said})", device.name));
        }
    }
    all
}

fn of_pd(pd: PdId, what: &str, devices: &[String]) -> Finding {
    let named: Vec<_> = devices.iter().take(NAMED_MAX).map(String::as_str).collect();
    let mut detail = format!("{what}: {}", named.join(", "));
    if devices.len() > NAMED_MAX {
        let _ = write!(detail, " and {} more", devices.len() - NAMED_MAX);
    }
    Finding { subject: pd.to_string(), pd: Some(pd), site: None, service: None, detail }
}

fn of_row(id: String, pd: PdId, detail: String) -> Finding {
    Finding { subject: id, pd: Some(pd), site: None, service: None, detail }
}

fn broken_in_rack(device: &Device) -> Finding {
    let detail = format!(
        "device {:?} is damaged beyond use (rusak berat) and still in its rack: take it out, or correct its condition",
        device.name
    );
    of_row(device.id.to_string(), device.pd, detail)
}

fn lapsing(row: &Reservation) -> Finding {
    let detail = format!(
        "reservation {:?} lapses after {}: use the units, extend it, or retire it",
        row.name, row.until
    );
    of_row(row.id.to_string(), row.pd, detail)
}

fn not_returned(row: &Handover) -> Finding {
    let detail = format!(
        "access {:?} was handed to {} on {}, what it is to is retired, and it was not given back: enter the day on which it was",
        row.name, row.to_person, row.handed_on
    );
    of_row(row.id.to_string(), row.pd, detail)
}

/// Makes the open alarms be what is found today.
///
/// # Errors
/// If the database fails; nothing is changed then.
pub async fn keep(db: &Db, now: Timestamp, profile: &Profile) -> Result<(), DbError> {
    let (today, asked) = (profile.today(now), profile.assets.clone());
    alarms::keep(db, now, ALARMS, move |tx| Ok(findings(&inventory(tx)?, today, &asked))).await
}

fn inventory(db: &Connection) -> Result<Inventory, DbError> {
    let with_subject = |row: Handover| {
        let server = row.server.map(|id| *id.as_bytes());
        let application = row.application.map(|id| *id.as_bytes());
        let about = server.or(application).or(row.dataset.map(|id| *id.as_bytes()));
        let gone = about.map(|id| retired::of(db, &id)).transpose()?.flatten().is_some();
        Ok::<_, DbError>((row, gone))
    };
    let handovers = pools::handovers(db, None)?.into_iter().map(with_subject);
    Ok(Inventory {
        devices: colocation::devices(db, None)?,
        reservations: colocation::reservations(db, None)?,
        handovers: handovers.collect::<Result<_, _>>()?,
        care: rows::care(db, None)?,
        servers: register::servers(db, None)?,
        places: Places::read(db)?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn device(name: &str, more: Value) -> Device {
        let mut row = json!({
            "id": "0".repeat(32), "pd": "1".repeat(32), "name": name, "kind": "server", "condition": "baik",
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(row).unwrap()
    }

    fn found(inventory: &Inventory, today: &str) -> [Vec<String>; 7] {
        let asked = Assets::default();
        findings(inventory, day(today), &asked)
            .map(|kind| kind.into_iter().map(|one| one.detail).collect())
    }

    #[test]
    fn warranty_and_age_are_told_once_a_pd() {
        let bought = |name: &str, on: &str, until: &str| {
            device(name, json!({ "purchased_on": on, "warranty_until": until }))
        };
        let devices = vec![
            bought("tua", "2021-01-15", "2024-01-14"),
            bought("sedang", "2024-02-28", "2027-02-28"),
            bought("baru", "2026-12-01", "2029-12-01"),
            device("entah", json!({})),
        ];
        let inventory = Inventory { devices, ..Inventory::default() };
        let [warranty, age, others @ ..] = found(&inventory, "2027-01-15");
        let text =
            "warranty is over or ends soon: tua (ended 2024-01-14), sedang (ends 2027-02-28)";
        assert_eq!(warranty, [text]);
        assert_eq!(age, ["5 years old or older: tua (6 years, bought 2021-01-15)"]);
        assert!(others.iter().all(Vec::is_empty));
        let [warranty, age, ..] = found(&inventory, "2026-01-14");
        assert_eq!(warranty, ["warranty is over or ends soon: tua (ended 2024-01-14)"]);
        assert!(age.is_empty(), "a day before its fifth birthday");
    }

    #[test]
    fn many_devices_are_counted() {
        let more = json!({ "warranty_until": "2020-01-01" });
        let devices = (0..13).map(|n| device(&format!("d{n}"), more.clone())).collect();
        let [warranty, ..] = found(&Inventory { devices, ..Inventory::default() }, "2027-01-15");
        assert!(warranty.len() == 1 && warranty[0].ends_with("and 3 more"), "{warranty:?}");
    }

    #[test]
    fn what_is_broken_counts_while_it_stands_in_a_rack() {
        let broken = json!({ "condition": "rusak_berat" });
        let in_rack = json!({
            "condition": "rusak_berat", "rack": "2".repeat(32), "lowest_u": 1, "height_u": 1, "face": "both",
        });
        let devices = vec![device("gudang", broken), device("rak", in_rack)];
        let [_, _, broken, ..] =
            found(&Inventory { devices, ..Inventory::default() }, "2027-01-15");
        assert!(
            broken.len() == 1 && broken[0].starts_with(r#"device "rak" is damaged"#),
            "{broken:?}"
        );
    }

    #[test]
    fn a_reservation_is_told_in_its_last_month_and_not_after() {
        let row = json!({
            "id": "3".repeat(32), "rack": "2".repeat(32), "pd": "1".repeat(32), "name": "baru", "lowest_u": 1,
            "height_u": 1, "face": "both", "until": "2027-02-14",
        });
        let reservations = vec![serde_json::from_value(row).unwrap()];
        let inventory = Inventory { reservations, ..Inventory::default() };
        for (today, told) in
            [("2027-01-14", 0), ("2027-01-15", 1), ("2027-02-14", 1), ("2027-02-15", 0)]
        {
            assert_eq!(found(&inventory, today)[3].len(), told, "{today}");
        }
    }

    #[test]
    fn access_to_what_is_gone_is_told_until_it_is_given_back() {
        let row = |returned: Option<&str>| -> Handover {
            serde_json::from_value(json!({
                "id": "4".repeat(32), "pd": "1".repeat(32), "name": "root", "server": "5".repeat(32),
                "from_person": "Budi", "to_person": "Siti", "handed_on": "2026-01-01", "returned_on": returned,
            }))
            .unwrap()
        };
        for (handover, told) in
            [((row(None), true), 1), ((row(None), false), 0), ((row(Some("2026-02-01")), true), 0)]
        {
            let inventory = Inventory { handovers: vec![handover], ..Inventory::default() };
            assert_eq!(found(&inventory, "2027-01-15")[4].len(), told);
        }
    }
}
