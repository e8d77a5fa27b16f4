use axum::body::Body;
use axum::routing::{get, post};
use http::StatusCode;
use std::collections::BTreeSet;

use lumbung_model::ManifestId;
use lumbung_wire::messages::alerts::{DeliveryCause, Severity};
use lumbung_wire::messages::{HeartbeatRequest, HostHealth};
use tower::ServiceExt;

use super::*;
use crate::alerts::address::{Address, Recipient, RecipientKey};
use crate::db::{deliveries, evidence};
use crate::heartbeats;
use crate::testing::{City, START, profile};

struct Bed {
    city: City,
    source: Source,
    _dir: tempfile::TempDir,
}

impl Bed {
    fn new() -> Self {
        let (city, dir) = (City::new(), tempfile::tempdir().unwrap());
        let state = StateDir::at(&dir.path().join("data"));
        state.init(&["localhost".to_owned()], &*city.clock).unwrap();
        let source = Source {
            db: city.db.clone(),
            clock: city.clock.clone(),
            profile: Arc::new(profile()),
            patience: Patience { interval_s: 60 },
            state,
            counts: Arc::default(),
        };
        Self { city, source, _dir: dir }
    }

    /// The value; -1 where there is none.
    fn value(&self, metric: &Metric, labels: &[&str]) -> f64 {
        self.source.gather().unwrap().get(metric, labels).unwrap_or(-1.0)
    }
}

#[tokio::test]
async fn figures_say_what_the_table_says() {
    let bed = Bed::new();
    let (city, pd) = (&bed.city, bed.city.row().pd_code);
    assert_eq!(bed.value(&DATASETS, &[&pd]), 1.0);
    assert_eq!(bed.value(&WITHOUT_BACKUP, &[&pd]), 1.0);
    assert_eq!(bed.value(&STEP_DATASETS, &[&pd, "backed_up", "missing"]), 1.0);
    let pusat = [city.pusat.id.to_string(), "Pusat Data".to_owned()];
    let pusat: Vec<&str> = pusat.iter().map(String::as_str).collect();
    assert_eq!(bed.source.gather().unwrap().get(&INVENTORY_OLDEST, &pusat), None);

    let (id, manifest) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipt = city.pusat.take(city, &manifest, START);
    city.pusat.inventory(city, START, &[(id, receipt)]);
    city.poll_both().await;
    city.db.write::<_, DbError>(|tx| evidence::set_size(tx, &id, 5000)).unwrap();
    let row = city.row();
    assert_eq!(row.backed_up.state, StepState::Met, "{}", row.backed_up.reason);
    assert_eq!(bed.value(&STEP_DATASETS, &[&pd, "backed_up", "met"]), 1.0);
    assert_eq!(bed.value(&STEP_DATASETS, &[&pd, "backed_up", "missing"]), 0.0);
    assert_eq!(bed.value(&STEP_DATASETS, &[&pd, "at_drc", "met"]), 0.0);
    assert_eq!(bed.value(&WITHOUT_BACKUP, &[&pd]), 0.0);
    assert_eq!(city.row().stored_bytes, 5000);
    assert_eq!(bed.value(&BYTES, &[&pd]), 5000.0);
    assert_eq!(bed.value(&STEP_BYTES, &[&pd, "backed_up", "met"]), 5000.0);
    assert_eq!(bed.value(&INVENTORY_OLDEST, &pusat), 1_800_000_000.0);
    assert_eq!(bed.value(&POLL_SUCCESS, &pusat), 1_800_000_000.0);

    city.clock.set(START.plus_seconds(7 * 86_400));
    assert_eq!(city.row().backed_up.state, StepState::Unknown);
    assert_eq!(bed.value(&STEP_DATASETS, &[&pd, "backed_up", "unknown"]), 1.0);
}

#[test]
fn agents_alarms_and_the_program_are_counted() {
    let bed = Bed::new();
    let (city, pd) = (&bed.city, bed.city.row().pd_code);
    assert_eq!(bed.value(&AGENTS, &[&pd, "never"]), 1.0);
    let beat = HeartbeatRequest {
        now: START,
        version: "0.1.0".to_owned(),
        health: HostHealth::default(),
        jobs: Vec::new(),
        policy: None,
    };
    heartbeats::load(&city.db, START).unwrap();
    let said = heartbeats::Said::of(&beat).unwrap();
    assert!(city.db.board().hear(START, &city.agent, said, 150).is_some());
    city.db
        .write::<_, DbError>(|tx| {
            let finding = crate::db::alarms::Finding {
                subject: "x".to_owned(),
                pd: None,
                site: None,
                service: None,
                detail: "x".to_owned(),
            };
            crate::db::alarms::raise(tx, START, "hidden", &finding)
        })
        .unwrap();
    assert_eq!(bed.value(&AGENTS, &[&pd, "up"]), 1.0);
    assert_eq!(bed.value(&AGENTS, &[&pd, "never"]), 0.0);
    assert_eq!(bed.value(&ALARMS, &["hidden"]), 1.0);
    assert_eq!(bed.value(&REPORTS, &[]), 0.0);
    assert!(bed.value(&DATABASE, &[]) > 0.0);
    assert_eq!(bed.value(&CERTIFICATE_EXPIRY, &["own"]), 1_800_000_000.0 + 397.0 * 86_400.0);
    assert!(bed.value(&CERTIFICATE_EXPIRY, &["ca"]) > 1_800_000_000.0);
}

#[test]
fn the_outbox_tells_what_waits_since_when_and_what_became_of_the_rest() {
    let bed = Bed::new();
    let none = bed.source.gather().unwrap();
    for channel in ["mail", "telegram", "webhook"] {
        assert_eq!(none.get(&MESSAGES_WAITING, &[channel]), Some(0.0));
        assert_eq!(none.get(&MESSAGES_OLDEST, &[channel]), Some(0.0));
        assert_eq!(none.get(&MESSAGES, &[channel, "failed"]), Some(0.0));
    }
    let make = |n: i64| {
        let to = Recipient {
            key: RecipientKey::Named(format!("n{n}")),
            name: "NOC".to_owned(),
            pd: None,
            addresses: vec![Address {
                channel: ChannelKind::Mail,
                to: format!("n{n}@example.go.id"),
            }],
        };
        let new = deliveries::New {
            cause: DeliveryCause::Test,
            to: &to,
            severity: Severity::Notice,
            subject: String::new(),
            body: String::new(),
            parts: &[],
            described: BTreeSet::new(),
            occasion: n.to_string(),
        };
        let at = START.plus_seconds(60 * n);
        bed.city.db.write(|tx| deliveries::make(tx, at, &new)).unwrap().unwrap()
    };
    let made: Vec<_> = (0..4).map(make).collect();
    let write = |tx: &rusqlite::Transaction<'_>| {
        deliveries::sent(tx, START, &made[0])?;
        deliveries::failed(tx, START, &made[1], "no")?;
        deliveries::again(tx, START, &made[2], (START, "silence", true)).map(drop)
    };
    bed.city.db.write::<_, DbError>(write).unwrap();
    bed.city.clock.set(START.plus_seconds(1000));
    assert_eq!(bed.value(&MESSAGES_WAITING, &["mail"]), 2.0);
    assert_eq!(bed.value(&MESSAGES_OLDEST, &["mail"]), 880.0);
    assert_eq!(bed.value(&MESSAGES, &["mail", "sent"]), 1.0);
    assert_eq!(bed.value(&MESSAGES, &["mail", "failed"]), 1.0);
    assert_eq!(bed.value(&MESSAGES, &["mail", "superseded"]), 0.0);
    assert_eq!(bed.value(&MESSAGES_UNKNOWN, &["mail"]), 1.0);
    assert_eq!(bed.value(&MESSAGES_WAITING, &["webhook"]), 0.0);
}

#[tokio::test]
async fn answers_are_counted_by_their_status_and_heartbeats_if_they_were_taken() {
    let counts = Arc::new(Counts::default());
    let router = Router::new()
        .route("/x", get(|| async { "x" }))
        .route(HEARTBEAT_PATH, post(|| async { StatusCode::OK }));
    let router = counted(router, counts.clone());
    for (method, path) in
        [("GET", "/x"), ("GET", "/y"), ("POST", HEARTBEAT_PATH), ("GET", HEARTBEAT_PATH)]
    {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap();
    }
    assert_eq!(counts.heartbeats.load(Ordering::Relaxed), 1);
    assert_eq!(*counts.requests.lock().unwrap(), BTreeMap::from([(200, 2), (404, 1), (405, 1)]));
}

#[test]
fn heartbeats_are_counted_where_the_api_takes_them() {
    let routes = crate::api::routes();
    assert!(routes.iter().any(|(route, _)| route.path == HEARTBEAT_PATH));
}
