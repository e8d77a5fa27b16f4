//! Uptime over the database: what sites tell becomes incidents, alarms and figures.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use lumbung_model::{CheckId, PdId, SiteId, Timestamp};
use lumbung_wire::messages::register::{
    BuildingInput, CheckInput, DeviceInput, RackInput, RoomInput, ServiceInput,
};
use lumbung_wire::messages::uptime::{
    IncidentCause, IncidentInput, MaintenanceInput, MaintenanceScope, Observation, UpKind,
    UptimeRow,
};
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::act::Act;
use crate::db::alarms;
use crate::db::incidents::{self as incident_rows, Wanted};
use crate::db::sights::{self, Prober};
use crate::profile::Profile;
use crate::register::{self, Mode};
use crate::testing::{City, START, profile};

mod now;
mod year;

/// A city with a service that is looked at, and another one beside it.
struct Watched {
    city: City,
    keeper: Arc<Keeper>,
    profile: Arc<Profile>,
    service: lumbung_model::ServiceId,
    check: CheckId,
    other: CheckId,
}

/// Seconds from one probe to the next.
const INTERVAL_S: i64 = 600;

impl Watched {
    fn new(zone: &str, start: Timestamp) -> Self {
        let city = City::new();
        city.clock.set(start);
        let mut profile = profile();
        zone.clone_into(&mut profile.city.timezone);
        let profile = Arc::new(profile);
        let rules = Rules { zone: profile.zone(), heartbeat_s: 60 };
        let keeper = Arc::new(Keeper {
            db: city.db.clone(),
            clock: city.clock.clone(),
            profile: profile.clone(),
            rules,
            own: OwnPlace::default(),
            signal: Arc::new(Notify::new()),
        });
        let (service, check) = looked_at(&city, start, "SIMRS");
        let (_, other) = looked_at(&city, start, "SIMPEG");
        let told = Self { city, keeper, profile, service, check, other };
        told.tell_places(start);
        told
    }

    /// Both sites ask what to look at.
    fn tell_places(&self, now: Timestamp) {
        for site in [self.city.pusat.id, self.city.drc.id] {
            self.city.db.write(|tx| orders(tx, (&site, Prober::Vault), now)).unwrap();
        }
    }

    /// A rack in which the city's server stands, as a device.
    fn rack_with_the_server(&self) -> lumbung_model::RackId {
        let (act, city) = (Act::console(START), &self.city);
        let enter = |tx: &rusqlite::Transaction<'_>| {
            let building: BuildingInput =
                json(json!({ "site": city.pusat.id, "name": "Balai Kota" }));
            let building = register::put_building(tx, &act, &building, Mode::Create)?.0.id;
            let room: RoomInput =
                json(json!({ "building": building, "name": "R1", "kind": "data_centre" }));
            let room = register::put_room(tx, &act, &room, Mode::Create)?.0.id;
            let rack: RackInput = json(json!({ "room": room, "name": "A1", "height_u": 42 }));
            let rack = register::put_rack(tx, &act, &rack, Mode::Create)?.0.id;
            let device: DeviceInput = json(json!({
                "pd": city.pd, "name": "srv", "kind": "server", "condition": "baik", "server": city.server, "rack": rack,
                "lowest_u": 1, "height_u": 1, "face": "front",
            }));
            register::put_device(tx, &act, &device, Mode::Create)?;
            Ok::<_, register::RegisterError>(rack)
        };
        city.db.write(enter).unwrap()
    }

    fn hear(&self, site: SiteId, seen: &[Observation]) -> Heard {
        let now = lumbung_model::Clock::now(&*self.city.clock);
        let hear = |tx: &rusqlite::Transaction<'_>| {
            let vantage = sights::Vantage { site, through: 0, heard: now, clock: Some(now) };
            sights::put_vantage(tx, &vantage)?;
            observe(tx, &self.profile, (&site, Prober::Vault), seen, now)
        };
        self.city.db.write(hear).unwrap()
    }

    /// Both checks, one probe each.
    fn see(&self, site: SiteId, at: Timestamp, states: (bool, bool)) {
        self.city.clock.set(at);
        let seen = [observation(self.check, at, states.0), observation(self.other, at, states.1)];
        self.hear(site, &seen);
    }

    async fn round(&self, now: Timestamp) {
        self.city.clock.set(now);
        self.keeper.round().await.unwrap();
    }

    fn row(&self, period: &str, now: Timestamp) -> UptimeRow {
        let asked = (By::Service, period.parse().unwrap());
        let terms = (&*self.profile, self.keeper.rules);
        let rows = self.city.db.read(|tx| rows(tx, terms, asked, None, now)).unwrap();
        rows.into_iter().find(|row| row.name == "SIMRS").unwrap()
    }

    fn alarms(&self) -> Vec<String> {
        let kinds = ["down", "unconfirmed", "link", "cut-off", "vantage", "certificate"];
        let list = |tx: &rusqlite::Transaction<'_>| {
            alarms::list(tx, None, &alarms::Wanted::default(), 100)
        };
        let mut rows = self.city.db.read(list).unwrap();
        rows.retain(|row| kinds.contains(&&*row.kind));
        rows.into_iter().map(|row| format!("{}: {}", row.kind, row.finding.detail)).collect()
    }

    fn incidents(&self) -> Vec<lumbung_wire::messages::uptime::Incident> {
        self.city.db.read(|tx| incidents(tx, incident_rows::list(tx, &Wanted::default())?)).unwrap()
    }
}

fn looked_at(city: &City, now: Timestamp, name: &str) -> (lumbung_model::ServiceId, CheckId) {
    let service = ServiceInput {
        id: None,
        pd: city.pd,
        name: name.to_owned(),
        critical: false,
        sla_millipercent: Some(99_500),
        hours: String::new(),
        rto_s: None,
        sla_document: String::new(),
        standby: None,
    };
    let act = Act::console(now);
    let enter = |tx: &rusqlite::Transaction<'_>| {
        let service = register::put_service(tx, &act, &service, Mode::Create)?.0.id;
        let check = check_input(city.pd, service, name);
        let check = register::put_check(tx, &act, &check, Mode::Create)?.0.id;
        Ok::<_, register::RegisterError>((service, check))
    };
    city.db.write(enter).unwrap()
}

fn check_input(pd: PdId, service: lumbung_model::ServiceId, name: &str) -> CheckInput {
    CheckInput {
        id: None,
        pd,
        name: name.to_owned(),
        service: Some(service),
        server: None,
        target: "https://simrs.example.go.id/".parse().unwrap(),
        status: None,
        contains: String::new(),
        address: String::new(),
        any_certificate: false,
        interval_s: u32::try_from(INTERVAL_S).unwrap(),
        timeout_s: 10,
        enabled: true,
    }
}

fn observation(check: CheckId, at: Timestamp, up: bool) -> Observation {
    Observation {
        number: 0,
        check,
        at,
        interval_s: u32::try_from(INTERVAL_S).unwrap(),
        up,
        latency_ms: up.then_some(20),
        certificate_expires: None,
        detail: if up { String::new() } else { "no answer within 10 s".to_owned() },
    }
}

/// What is entered, written as JSON.
fn json<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}
