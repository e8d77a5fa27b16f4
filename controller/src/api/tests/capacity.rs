//! Lines entered, shown and capped over HTTP; how full sites are.

use http::{Method, StatusCode};
use lumbung_model::Day;
use lumbung_wire::Peer;
use lumbung_wire::messages::capacity::CapacityKind;
use lumbung_wire::messages::people::UserRole;
use lumbung_wire::messages::policy::PolicyDelivery;
use lumbung_wire::policy;
use serde_json::{Value, json};

use super::{App, operator};
use crate::act::Act;
use crate::db::DbError;
use crate::db::capacity::{self, Level};
use crate::policies::{self, Asker, Terms};
use crate::testing::START;

impl App {
    /// Enters the line of a PD or a site.
    async fn line(&self, path: &str, patch: Value) -> (StatusCode, Value) {
        let body = patch.to_string().into_bytes();
        let headers = [("if-match", "*")];
        let request = super::request_of(&operator(), &headers, Method::PATCH, path, body);
        self.answer(request).await
    }

    /// What the agent is asked for, after a round.
    async fn rates(&self) -> Option<(String, Vec<String>)> {
        let act = Act::controller(START);
        let (terms, key) = (Terms::of(&self.state.profile), Some(&self.state.policy_key));
        let asker = Asker { act: &act, user: None };
        self.state.db.write(|tx| policies::reconcile(tx, asker, terms, key)).unwrap();
        let (status, answer) = self.call(&self.agent(), Method::GET, "/api/v1/policy", None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let delivery: PolicyDelivery = serde_json::from_value(answer).unwrap();
        let (policy, _) = policy::open(&delivery.policy, &self.state.policy_key.public()).unwrap();
        policy.content.rates.map(|rates| (rates.rate, rates.windows))
    }
}

#[tokio::test]
async fn a_line_is_entered_with_its_caps_and_only_with_such_as_can_be() {
    let app = App::new();
    let pd = format!("/api/v1/pd/{}", app.city.pd);
    let line = json!({ "link": "20 Mbit/s", "rate": "10 Mbit/s", "windows": ["07:30-16:00 mon-fri 2 Mbit/s"] });
    let (status, row) = app.line(&pd, line).await;
    assert_eq!((status, &row["link"]), (StatusCode::OK, &json!("20 Mbit/s")), "{row}");
    for (field, patch) in [
        ("link", json!({ "link": "fast" })),
        ("link", json!({ "link": "0 Mbit/s" })),
        ("rate", json!({ "rate": "63 kbit/s" })),
        ("rate", json!({ "rate": "off" })),
        ("windows", json!({ "windows": ["07:30-16:00 1 kbit/s"] })),
        ("windows", json!({ "windows": ["always"] })),
        ("windows", json!({ "windows": vec!["07:30-16:00 1 MB/s"; 51] })),
    ] {
        let (status, problem) = app.line(&pd, patch.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{patch}: {problem}");
        assert!(problem.to_string().contains(field), "{patch}: {problem}");
    }
    let shown = app.get("/api/v1/bandwidth").await;
    let lines = shown.as_array().unwrap();
    let names: Vec<_> = lines.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DINKES", "DRC", "Pusat Data"], "PD first, then sites");
    // Two Mbit/s for eight and a half hours, ten for the rest.
    let day_bytes = 250_000 * 30_600 + 1_250_000 * (86_400 - 30_600_u64);
    assert_eq!(lines[0]["fit"]["day_bytes"], json!(day_bytes));
    assert_eq!(lines[1].get("fit"), None, "nobody has entered the DRC's line");
    let site = format!("/api/v1/sites/{}", app.city.drc.id);
    let (status, row) = app.line(&site, json!({ "link": "100 Mbit/s" })).await;
    assert_eq!(status, StatusCode::OK, "{row}");
    assert_eq!(app.get("/api/v1/bandwidth").await[1]["fit"]["use_permille"], json!(0));
    let first = app.get("/api/v1/bandwidth?limit=1").await;
    assert_eq!(first.as_array().unwrap().len(), 1, "a page of one");
}

#[tokio::test]
async fn whoever_is_of_one_pd_sees_its_line_and_nothing_of_the_citys() {
    let app = App::new();
    let session = app.log_in(UserRole::Pd);
    let ask = async |path: &str| {
        app.send_as(&Peer::Anonymous, Some(&session), Method::GET, path, vec![]).await
    };
    let (status, lines) = ask("/api/v1/bandwidth").await;
    assert_eq!(status, StatusCode::OK, "{lines}");
    let names: Vec<_> = lines.as_array().unwrap().iter().map(|line| &line["name"]).collect();
    assert_eq!(names, ["DINKES"]);
    let (status, _) = ask("/api/v1/bandwidth?pd=LAIN").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = ask("/api/v1/capacity").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_cap_reaches_the_agent_and_one_that_nearly_stops_it_takes_two_people() {
    let app = App::new();
    let dataset = format!("/api/v1/datasets/{}", app.city.dataset);
    let (status, row) = app.line(&dataset, json!({ "paths": ["/srv/a"] })).await;
    assert_eq!(status, StatusCode::OK, "{row}");
    assert_eq!(app.rates().await, None, "without a cap nothing is said of it");
    let pd = format!("/api/v1/pd/{}", app.city.pd);
    app.line(&pd, json!({ "rate": "10 Mbit/s" })).await;
    let capped = Some(("10 Mbit/s".to_owned(), Vec::new()));
    assert_eq!(app.rates().await, capped);
    // Below 1 Mbit/s: asked for, and not published.
    app.line(&pd, json!({ "windows": ["07:30-16:00 128 kbit/s"] })).await;
    assert_eq!(app.rates().await, capped);
    let alarms = app.get("/api/v1/alarms?kind=policy-narrowed").await;
    assert!(alarms[0]["detail"].as_str().unwrap().contains("128 kbit/s"), "{alarms}");
    app.line(&pd, json!({ "rate": "", "windows": [] })).await;
    assert_eq!(app.rates().await, None);
    assert_eq!(app.get("/api/v1/alarms?kind=policy-narrowed").await, json!([]));
}

#[tokio::test]
async fn a_forecast_comes_with_its_bounds_and_dates() {
    let app = App::new();
    let report = app.get("/api/v1/capacity").await;
    assert_eq!((&report["entries"], &report["lead_months"]), (&json!([]), &json!(24)));
    let subject = (CapacityKind::Storage, *app.city.drc.id.as_bytes());
    let today = Day::of(START, app.state.profile.zone());
    app.state
        .db
        .write::<_, DbError>(|tx| {
            (0..90).try_for_each(|back: u32| {
                let used = 1_000_000 - u64::from(back) * 2_000;
                let level = Level { day: today.minus_days(back), used, limit: Some(1_200_000) };
                capacity::put(tx, subject, &level)
            })
        })
        .unwrap();
    let entry = app.get("/api/v1/capacity").await["entries"][0].clone();
    assert_eq!((&entry["name"], &entry["kind"]), (&json!("DRC"), &json!("storage")));
    assert_eq!(entry["months"].as_array().unwrap().len(), 24);
    let expected: Day = serde_json::from_value(entry["crossing"]["expected"].clone()).unwrap();
    assert!((90..=115).contains(&expected.days_since(today)), "{expected}");
    assert_eq!(entry["alarm"], json!(true));
}
