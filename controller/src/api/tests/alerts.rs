//! Alerts, who looks after them, and who is on call, over HTTP.

use std::sync::Arc;

use http::{Method, StatusCode};
use lumbung_model::PdId;
use lumbung_wire::messages::people::UserRole;
use lumbung_wire::messages::register::{Pd, PdKind};
use serde_json::{Value, json};

use super::{App, START, operator, slug};
use crate::act::Act;
use crate::alerts::AtWork;
use crate::alerts::keeper::Keeper;
use crate::alerts::settings::Settings;
use crate::db::alarms::{self, Finding};
use crate::db::register;

const CHANNELS: &str = r#"
    digest_at = "never"
    [mail]
    host = "localhost"
    security = "none"
    from = "lumbung@example.go.id"
    [telegram]
    token_file = "/nowhere"
    [[recipient]]
    name = "noc"
    mail = "noc@example.go.id"
    telegram = "-100123"
"#;

impl App {
    /// A controller with channels that nobody ever sends by.
    fn with_channels() -> Self {
        let mut app = Self::new();
        let settings: Settings = toml::from_str(CHANNELS).unwrap();
        assert_eq!(settings.check(), Ok(()));
        Arc::get_mut(&mut app.state).unwrap().config.alerts = settings;
        app
    }

    fn raise(&self, kind: &str, pd: Option<PdId>) {
        let finding = Finding {
            subject: format!("{kind} {pd:?}"),
            pd,
            site: None,
            service: None,
            detail: format!("{kind} is wrong"),
        };
        self.state
            .db
            .write(|tx| alarms::raise(tx, self.state.clock.now(), kind, &finding))
            .unwrap();
    }

    async fn alert_round(&self) {
        let AtWork { bell, done } = self.state.alerts.clone();
        let keeper = Keeper {
            db: self.state.db.clone(),
            clock: self.state.clock.clone(),
            profile: self.state.profile.clone(),
            settings: Arc::new(self.state.config.alerts.clone()),
            bell,
            done,
        };
        keeper.round().await.unwrap();
    }

    /// Another PD.
    fn neighbour(&self) -> PdId {
        let pd = Pd {
            id: PdId::random(),
            code: "DISHUB".into(),
            name: "Dinas Perhubungan".into(),
            kind: PdKind::Other,
            contact: String::new(),
            mandiri_tik: false,
            runs_pusat_data: false,
            link: String::new(),
            rate: String::new(),
            windows: Vec::new(),
        };
        self.state.db.write(|tx| register::put_pd(tx, &Act::console(START), &pd)).unwrap();
        pd.id
    }

    async fn contact(&self, pd: &PdId, name: &str, email: &str) -> Value {
        let person = json!({ "pd": pd, "tier": 1, "name": name, "email": email });
        let (status, person) = self.post(&operator(), "/api/v1/contact-persons", person).await;
        assert_eq!(status, StatusCode::CREATED, "{person}");
        person
    }
}

#[tokio::test]
async fn what_a_thing_says_once_it_is_another_pds_is_not_for_the_one_that_gave_it_away() {
    let app = App::with_channels();
    let other = app.neighbour();
    app.contact(&app.city.pd, "Budi", "budi@example.go.id").await;
    let broken = |pd, detail: &str| {
        let finding = Finding {
            subject: "device:1".into(),
            pd: Some(pd),
            site: None,
            service: None,
            detail: detail.into(),
        };
        let now = app.state.clock.now();
        app.state.db.write(|tx| alarms::raise(tx, now, "asset-broken", &finding)).unwrap();
    };
    broken(app.city.pd, "UPS of the old owner");
    app.alert_round().await;
    let pd = app.log_in(UserRole::Pd);
    let (_, own) = app.see(&pd, "/api/v1/alerts").await;
    let path = format!("/api/v1/alerts/{}", own[0]["id"].as_str().unwrap());
    let (_, before) = app.see(&pd, &path).await;
    assert_eq!(before["subjects"][0]["detail"], "UPS of the old owner");
    // The same alarm is about the other PD's device from now on, before a round knows it and after.
    broken(other, "UPS in the new owner's vault");
    for _ in 0..2 {
        let (_, detail) = app.see(&pd, &path).await;
        let subject = &detail["subjects"][0];
        assert_eq!((&subject["detail"], &subject["lasts"]), (&json!(""), &json!(false)));
        app.wait(60);
        app.alert_round().await;
    }
    let all = app.get("/api/v1/alerts").await;
    let new = all.as_array().unwrap().iter().find(|one| one["pd"] == json!(other)).unwrap();
    let detail = app.get(&format!("/api/v1/alerts/{}", new["id"].as_str().unwrap())).await;
    assert_eq!(detail["subjects"][0]["detail"], "UPS in the new owner's vault");
}

#[tokio::test]
async fn the_subject_line_of_what_tells_of_others_as_well_is_not_for_a_pd() {
    let app = App::with_channels();
    let other = app.neighbour();
    // The contact of the PD that runs the Pusat Data is told of others' alerts too, in one message.
    let dinas = |tx: &rusqlite::Transaction<'_>| {
        let pd = register::pds(tx)?.into_iter().find(|pd| pd.id == app.city.pd).unwrap();
        let pd = Pd { runs_pusat_data: true, ..pd };
        register::put_pd(tx, &Act::console(START), &pd)
    };
    app.state.db.write(dinas).unwrap();
    app.contact(&app.city.pd, "Budi", "budi@example.go.id").await;
    app.raise("hidden", Some(app.city.pd));
    app.raise("hidden", Some(other));
    app.alert_round().await;
    let pd = app.log_in(UserRole::Pd);
    let (_, own) = app.see(&pd, "/api/v1/alerts").await;
    let path = format!("/api/v1/alerts/{}", own[0]["id"].as_str().unwrap());
    let (_, detail) = app.see(&pd, &path).await;
    let delivery = &detail["deliveries"][0];
    assert_eq!((&delivery["recipient"], &delivery["subject"]), (&json!("Budi"), &json!("")));
    let subject = app.get(&path).await["deliveries"][0]["subject"].as_str().unwrap().to_owned();
    assert!(subject.contains("(+1)"), "{subject}");
}

#[tokio::test]
async fn a_pd_sees_and_looks_after_its_own_alerts_and_nothing_of_others() {
    let app = App::with_channels();
    let other = app.neighbour();
    app.contact(&app.city.pd, "Budi", "budi@example.go.id").await;
    app.contact(&other, "Siti", "siti@example.go.id").await;
    for pd in [Some(app.city.pd), Some(other), None] {
        app.raise("hidden", pd);
    }
    app.alert_round().await;
    let all = app.get("/api/v1/alerts").await;
    assert_eq!(all.as_array().unwrap().len(), 3, "{all}");
    let pd = app.log_in(UserRole::Pd);
    let (_, own) = app.see(&pd, "/api/v1/alerts").await;
    assert_eq!(own.as_array().unwrap().len(), 1, "{own}");
    assert_eq!((&own[0]["pd"], &own[0]["state"]), (&json!(app.city.pd), &json!("open")));
    let foreign = all.as_array().unwrap().iter().find(|one| one["pd"] == json!(other)).unwrap();
    let path = |alert: &Value| format!("/api/v1/alerts/{}", alert["id"].as_str().unwrap());
    assert_eq!(app.see(&pd, &path(foreign)).await.0, StatusCode::NOT_FOUND);
    let acknowledge = |alert: &Value| path(alert) + "/acknowledge";
    assert_eq!(app.tell(&pd, &acknowledge(foreign), json!({})).await.0, StatusCode::NOT_FOUND);
    let (_, detail) = app.see(&pd, &path(&own[0])).await;
    let told: Vec<_> =
        detail["deliveries"].as_array().unwrap().iter().map(|one| &one["recipient"]).collect();
    assert_eq!(told, ["Budi"], "{detail}");
    assert_eq!(detail["subjects"][0]["detail"], "hidden is wrong");
    let (status, looked_after) =
        app.tell(&pd, &acknowledge(&own[0]), json!({ "note": "teknisi berangkat" })).await;
    assert_eq!(status, StatusCode::OK, "{looked_after}");
    assert_eq!(looked_after["acknowledged"]["note"], "teknisi berangkat");
    let seen = app.get("/api/v1/alerts?state=acknowledged").await;
    assert_eq!(seen[0]["id"], own[0]["id"]);
    let log = app.get("/api/v1/audit?limit=1000").await;
    assert!(log.to_string().contains("alert.acknowledge"), "{log}");
    // Nobody hears of it again, while the other PD is told once more.
    app.wait(3600);
    app.alert_round().await;
    let count =
        async |alert: &Value| app.get(&path(alert)).await["deliveries"].as_array().unwrap().len();
    assert_eq!((count(&own[0]).await, count(foreign).await), (1, 2));
    let long = json!({ "note": "x".repeat(1001) });
    let (status, problem) = app.post(&operator(), &acknowledge(foreign), long).await;
    assert_eq!((status, slug(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, "alert-entry"));
}

#[tokio::test]
async fn what_is_over_is_listed_only_when_asked_for_and_in_pages() {
    let app = App::with_channels();
    app.contact(&app.city.pd, "Budi", "budi@example.go.id").await;
    for kind in ["hidden", "removal", "roster"] {
        app.raise(kind, Some(app.city.pd));
    }
    app.alert_round().await;
    app.state.db.write(|tx| alarms::reconcile(tx, START, "removal", "", &[])).unwrap();
    app.alert_round().await;
    app.wait(700);
    app.alert_round().await;
    let open = app.get("/api/v1/alerts").await;
    assert_eq!(open.as_array().unwrap().len(), 2);
    let over = app.get("/api/v1/alerts?state=over").await;
    assert_eq!((over.as_array().unwrap().len(), &over[0]["kind"]), (1, &json!("removal")));
    assert_eq!(app.get("/api/v1/alerts?all=true&limit=2").await.as_array().unwrap().len(), 2);
    let path = format!("/api/v1/alerts/{}/acknowledge", over[0]["id"].as_str().unwrap());
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_test_message_goes_to_whoever_is_named_and_to_nobody_else() {
    let app = App::with_channels();
    let person = app.contact(&app.city.pd, "Budi", "budi@example.go.id").await;
    let dinas = operator();
    let test = |recipient: &str, channel: Value| {
        let mut body = json!({ "recipient": recipient });
        if !channel.is_null() {
            body["channel"] = channel;
        }
        app.post(&dinas, "/api/v1/alerts/test", body)
    };
    let (status, made) = test(person["id"].as_str().unwrap(), Value::Null).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{made}");
    assert_eq!(
        (&made["deliveries"][0]["recipient"], &made["deliveries"][0]["cause"]),
        (&json!("Budi"), &json!("test"))
    );
    let (_, made) = test("noc", Value::Null).await;
    assert_eq!(made["deliveries"].as_array().unwrap().len(), 2, "each address: {made}");
    let (_, made) = test("noc", json!("telegram")).await;
    assert_eq!(made["deliveries"].as_array().unwrap().len(), 1);
    for (recipient, channel) in
        [("nobody", Value::Null), ("noc", json!("webhook")), ("dinas", Value::Null)]
    {
        let (status, problem) = test(recipient, channel).await;
        assert_eq!(
            (status, slug(&problem)),
            (StatusCode::UNPROCESSABLE_ENTITY, "alert-entry"),
            "{problem}"
        );
    }
    let bare = App::new();
    let body = json!({ "recipient": "noc" });
    assert_eq!(bare.post(&operator(), "/api/v1/alerts/test", body).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_roster_is_kept_and_its_gaps_are_told() {
    let app = App::with_channels();
    let from = START.0;
    let turn = json!({ "tier": 2, "name": "Andi", "from": from, "until": from + 2 * 86_400, "email": "andi@example.go.id" });
    let (status, made) = app.post(&operator(), "/api/v1/on-call", turn.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    for (change, field) in [
        (json!({ "tier": 1 }), "tier"),
        (json!({ "until": from }), "until"),
        (json!({ "until": from + 100 * 86_400 }), "until"),
        (json!({ "email": "" }), "email"),
        (json!({ "name": "" }), "name"),
        (json!({ "telegram": "@andi" }), "telegram"),
    ] {
        let mut bad = turn.clone();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = app.post(&operator(), "/api/v1/on-call", bad).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    app.alert_round().await;
    let gap = app.get("/api/v1/alarms?kind=roster-gap").await;
    assert_eq!(gap[0]["subject"], "tier 2", "{gap}");
    // Andi is told what concerns no PD.
    app.raise("hidden", None);
    app.alert_round().await;
    let alerts = app.get("/api/v1/alerts").await;
    let hidden = alerts.as_array().unwrap().iter().find(|one| one["kind"] == "hidden").unwrap();
    let detail = app.get(&format!("/api/v1/alerts/{}", hidden["id"].as_str().unwrap())).await;
    assert_eq!(detail["deliveries"][0]["recipient"], "Andi", "{detail}");
    let rest = json!({ "tier": 2, "name": "Rina", "from": from + 2 * 86_400, "until": from + 30 * 86_400, "email": "rina@example.go.id" });
    assert_eq!(app.post(&operator(), "/api/v1/on-call", rest).await.0, StatusCode::CREATED);
    app.alert_round().await;
    assert_eq!(app.get("/api/v1/alarms?kind=roster-gap").await, json!([]));
    let path = format!("/api/v1/on-call/{}/remove", made["id"].as_str().unwrap());
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::OK);
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::CONFLICT);
    assert_eq!(app.get("/api/v1/on-call").await.as_array().unwrap().len(), 1);
    assert_eq!(app.get("/api/v1/on-call?all=true").await.as_array().unwrap().len(), 2);
    let (status, _) = app.call(&operator(), Method::GET, "/api/v1/health", None).await;
    assert_eq!(status, StatusCode::OK);
}
