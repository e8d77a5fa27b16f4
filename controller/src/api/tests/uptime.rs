//! Uptime over HTTP: what sites are told and tell, and what people see of it.

use http::{Method, StatusCode};
use lumbung_model::SiteId;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::people::UserRole;
use lumbung_wire::{Peer, Role};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{App, START, certified, operator};
use crate::uptime::{Keeper, Rules};

fn vault(site: SiteId) -> Peer {
    certified(CertificateNames { site: Some(site), ..CertificateNames::of_role(Role::Site) })
}

impl App {
    async fn service(&self, name: &str) -> Value {
        let input = json!({ "pd": self.city.pd, "name": name, "sla_millipercent": 99_000 });
        self.post(&operator(), "/api/v1/services", input).await.1
    }

    /// A service that is looked at each minute.
    async fn watched(&self) -> (Value, Value) {
        let service = self.service("SIMRS").await;
        let input = json!({
            "pd": self.city.pd, "name": "SIMRS web", "service": service["id"], "target": "https://simrs.example.go.id/",
        });
        let (status, check) = self.post(&operator(), "/api/v1/checks", input).await;
        assert_eq!(status, StatusCode::CREATED, "{check}");
        (service, check)
    }

    async fn round(&self) {
        let rules = Rules { zone: self.state.profile.zone(), heartbeat_s: 60 };
        let keeper = Arc::new(Keeper {
            db: self.state.db.clone(),
            clock: self.city.clock.clone(),
            profile: self.state.profile.clone(),
            rules,
            own: crate::uptime::OwnPlace::default(),
            signal: self.state.uptime.clone(),
        });
        keeper.round().await.unwrap();
    }

    /// A site tells the same of each minute from START on.
    async fn told(
        &self,
        site: SiteId,
        check: &Value,
        numbers: std::ops::Range<i64>,
        up: bool,
    ) -> Value {
        let seen: Vec<Value> = numbers
            .map(|number| {
                json!({
                    "number": number, "check": check["id"], "at": START.0 + 60 * number, "interval_s": 60, "up": up,
                    "latency_ms": 12, "detail": if up { "" } else { "connection refused" },
                })
            })
            .collect();
        let body = json!({ "now": START.0, "observations": seen });
        let (status, answer) = self.post(&vault(site), "/api/v1/observations", body).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }
}

#[tokio::test]
async fn what_two_sites_tell_becomes_a_state_an_incident_and_a_figure() {
    let app = App::new();
    let (_, check) = app.watched().await;
    let (pusat, drc) = (app.city.pusat.id, app.city.drc.id);
    for site in [pusat, drc] {
        let (status, orders) = app.call(&vault(site), Method::GET, "/api/v1/vantage", None).await;
        assert_eq!(status, StatusCode::OK);
        let probe = json!({ "kind": "http", "url": "https://simrs.example.go.id/", "text": "", "any_certificate": false });
        assert_eq!(
            (&orders["checks"][0]["probe"], &orders["checks"][0]["interval_s"]),
            (&probe, &json!(60))
        );
    }
    app.wait(600);
    app.told(pusat, &check, 1..6, true).await;
    app.told(pusat, &check, 6..11, false).await;
    let ack = app.told(drc, &check, 1..11, false).await;
    assert_eq!(ack["through"], 10);
    app.round().await;

    let states = app.get("/api/v1/check-states").await;
    assert_eq!(
        (&states[0]["state"], &states[0]["places"][0]["up"]),
        (&json!("down"), &json!(false))
    );
    let incidents = app.get("/api/v1/incidents?open=true").await;
    assert_eq!(
        (&incidents[0]["name"], &incidents[0]["from"]),
        (&json!("SIMRS"), &json!(START.0 + 360))
    );
    let rows = app.get("/api/v1/uptime").await;
    assert_eq!(
        (&rows[0]["up_s"], &rows[0]["down_s"], &rows[0]["unobserved_s"]),
        (&json!(300), &json!(240), &json!(60))
    );
    assert_eq!((&rows[0]["availability"], &rows[0]["met"]), (&json!(555_555), &json!(false)));
    let by_pd = app.get("/api/v1/uptime?by=pd&period=2027").await;
    assert_eq!((&by_pd[0]["kind"], &by_pd[0]["down_s"]), (&json!("pd"), &json!(240)));

    let path = format!("/api/v1/incidents/{}/note", incidents[0]["id"].as_str().unwrap());
    let pd = app.log_in(UserRole::Pd);
    let (status, noted) =
        app.tell(&pd, &path, json!({ "note": "UPS ruang server mati", "cause": "power" })).await;
    assert_eq!((status, &noted["cause"]), (StatusCode::OK, &json!("power")), "{noted}");
    assert_eq!(noted["notes"][0]["note"], "UPS ruang server mati");
}

#[tokio::test]
async fn what_was_told_once_counts_once_and_what_makes_no_sense_is_refused_whole() {
    let app = App::new();
    let (_, check) = app.watched().await;
    let site = app.city.pusat.id;
    app.call(&vault(site), Method::GET, "/api/v1/vantage", None).await;
    app.wait(600);
    app.told(site, &check, 1..11, true).await;
    let ack = app.told(site, &check, 1..11, false).await;
    assert_eq!(ack["through"], 10, "numbers that were told are old news");
    assert_eq!(app.get("/api/v1/check-states").await[0]["state"], "up");
    let one = |change: Value| {
        let mut seen = json!({ "number": 11, "check": check["id"], "at": START.0, "interval_s": 60, "up": true });
        seen.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "now": START.0, "observations": [seen] })
    };
    let late = json!({ "now": 1, "observations": [
        { "number": 12, "check": check["id"], "at": 1, "interval_s": 60, "up": true },
        { "number": 12, "check": check["id"], "at": 1, "interval_s": 60, "up": true },
    ] });
    for bad in [
        one(json!({ "interval_s": 5 })),
        one(json!({ "detail": "x".repeat(256) })),
        one(json!({ "detail": "a\nb" })),
        one(json!({ "at": -1 })),
        one(json!({ "extra": 1 })),
        late,
    ] {
        let (status, _) = app.post(&vault(site), "/api/v1/observations", bad.clone()).await;
        assert!(status.is_client_error(), "{bad}");
    }
    // A check that is not there is no reason to come again for ever.
    let unknown = one(json!({ "check": "00000000000000000000000000000009" }));
    let (status, ack) = app.post(&vault(site), "/api/v1/observations", unknown).await;
    assert_eq!((status, &ack["through"]), (StatusCode::OK, &json!(11)));
    let stranger = vault(SiteId::from_bytes([9; 16]));
    let (status, _) = app.call(&stranger, Method::GET, "/api/v1/vantage", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_check_is_refused_with_what_to_write_instead() {
    let app = App::new();
    let (service, check) = app.watched().await;
    let input = |change: Value| {
        let mut input = json!({
            "pd": app.city.pd, "name": "lain", "service": service["id"], "target": "https://simrs.example.go.id/",
        });
        input.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        input
    };
    for (change, said) in [
        (json!({ "target": "simrs.example.go.id" }), "tcp://host:port"),
        (json!({ "target": "https://a:b@simrs.example.go.id/" }), "without a user"),
        (json!({ "interval_s": 5 }), "from 10 to 3600"),
        (json!({ "interval_s": 10, "timeout_s": 10 }), "less than interval_s"),
        (json!({ "target": "icmp://10.1.1.1", "contains": "ok" }), "only an HTTP answer"),
        (json!({ "target": "icmp://10.1.1.1", "status": 200 }), "only an HTTP answer"),
        (json!({ "address": "10.1.1.1" }), "only a DNS answer"),
        (json!({ "target": "dns://10.1.1.1/a.b", "address": "a.b" }), "IPv4 or IPv6"),
        (json!({ "status": 99 }), "100 to 599"),
        (json!({ "server": app.city.server }), "one service or of one server"),
        (json!({ "service": null }), "one service or of one server"),
        (json!({ "name": "SIMRS web" }), "in the register already"),
    ] {
        let (status, problem) =
            app.post(&operator(), "/api/v1/checks", input(change.clone())).await;
        assert!(
            status.is_client_error() && problem.to_string().contains(said),
            "{change}: {problem}"
        );
    }
    let path = format!("/api/v1/checks/{}", check["id"].as_str().unwrap());
    let other = app.service("SIMPEG").await;
    let (status, problem) = app.change(&path, Some("*"), json!({ "service": other["id"] })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let (status, row) = app.change(&path, Some("*"), json!({ "enabled": false })).await;
    assert_eq!((status, &row["enabled"]), (StatusCode::OK, &json!(false)));
    let site = app.city.pusat.id;
    let (_, orders) = app.call(&vault(site), Method::GET, "/api/v1/vantage", None).await;
    assert_eq!(orders["checks"], json!([]));
}

#[tokio::test]
async fn maintenance_is_announced_seen_and_called_off() {
    let app = App::new();
    let (service, _) = app.watched().await;
    let input = json!({
        "scope": "service", "subject": service["id"], "reason": "pindah basis data", "from": START.0 + 3600,
        "until": START.0 + 90 * 86_400, "schedule": "0 22 * * sat", "duration_s": 7200,
    });
    let (status, window) = app.post(&operator(), "/api/v1/maintenance", input.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{window}");
    assert_eq!(window["pd"], json!(app.city.pd));
    let mut late = input;
    late["from"] = json!(START.0 - 1);
    let (status, problem) = app.post(&operator(), "/api/v1/maintenance", late).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let path = format!("/api/v1/maintenance/{}/cancel", window["id"].as_str().unwrap());
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::OK);
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(app.get("/api/v1/maintenance").await, json!([]));
    assert_eq!(app.get("/api/v1/maintenance?all=true").await[0]["cancelled"], json!(START.0));
}

#[tokio::test]
async fn what_somebody_entered_was_down_and_the_log_has_who() {
    let app = App::new();
    let (service, _) = app.watched().await;
    app.wait(7200);
    let input = json!({
        "kind": "service", "subject": service["id"], "from": START.0, "until": START.0 + 600, "cause": "power",
        "note": "genset gagal",
    });
    let (status, incident) = app.post(&operator(), "/api/v1/incidents", input.clone()).await;
    assert_eq!((status, &incident["entered"]), (StatusCode::CREATED, &json!(true)), "{incident}");
    assert_eq!(app.get("/api/v1/uptime").await[0]["down_s"], 600);
    for (field, value) in
        [("until", json!(START.0 + 99_999)), ("subject", json!("x")), ("note", json!(""))]
    {
        let mut bad = input.clone();
        bad[field] = value;
        let (status, problem) = app.post(&operator(), "/api/v1/incidents", bad).await;
        assert!(status.is_client_error() && problem.to_string().contains(field), "{problem}");
    }
    let log = app.get("/api/v1/audit").await;
    assert!(log.to_string().contains("incident.put"), "{log}");
}
