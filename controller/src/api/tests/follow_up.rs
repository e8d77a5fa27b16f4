//! Verdicts, waivers, reminders over HTTP.

use http::StatusCode;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};
use std::sync::Arc;

use super::{App, operator, slug};
use crate::profile::Profile;
use crate::reconcile::{self, Reconciler};

impl App {
    /// A controller that follows Medan's regulation, and has weighed everything.
    pub(super) fn of_medan() -> Self {
        let mut app = Self::new();
        let profile = Arc::new(Profile::load("medan").unwrap());
        let shared = Arc::get_mut(&mut app.state).unwrap();
        shared.profile = profile;
        app.weigh();
        app
    }

    fn weigh(&self) {
        let (db, clock) = (self.city.db.clone(), self.city.clock.clone());
        let profile = self.state.profile.clone();
        db.write(|tx| reconcile::take_over(tx, &profile)).unwrap();
        Reconciler::new(db, clock, profile).pass().unwrap();
    }

    async fn verdict(&self, rule: &str) -> Value {
        let found = self.get(&format!("/api/v1/verdicts?rule={rule}&lang=en")).await;
        let list = found.as_array().unwrap();
        assert_eq!(list.len(), 1, "{found}");
        list[0].clone()
    }
}

#[tokio::test]
async fn a_verdict_has_its_article_its_reason_and_its_time() {
    let app = App::of_medan();
    let verdict = app.verdict("backup").await;
    assert_eq!(verdict["article"], "Perwali Medan 39/2020, Pasal 10 ayat (1)");
    assert_eq!((&verdict["force"], &verdict["state"]), (&json!("must"), &json!("unmet")));
    assert_eq!(
        (&verdict["name"], &verdict["pd_code"]),
        (&json!("simrs-1/SIMRS"), &json!("DINKES"))
    );
    assert_eq!(verdict["reason"], "no snapshot ever arrived");
    let met = app.get("/api/v1/verdicts?state=met").await;
    assert!(met.as_array().unwrap().iter().all(|one| one["state"] == "met"));
    let rules = app.get("/api/v1/rules").await;
    let proposals = rules.as_array().unwrap().iter().filter(|rule| rule["article"] == "");
    assert!(
        proposals.clone().count() > 0 && proposals.clone().all(|rule| rule["force"] == "proposal")
    );
    for bad in ["state=late", "as_of=99999999999", "lang=fr", "pd=NOBODY"] {
        let path = format!("/api/v1/verdicts?{bad}");
        let (status, _) = app.call(&operator(), http::Method::GET, &path, None).await;
        assert!(status.is_client_error(), "{bad}");
    }
}

#[tokio::test]
async fn a_waiver_accepts_until_it_expires_or_is_taken_back_and_the_past_stays() {
    let app = App::of_medan();
    let dataset = app.city.dataset.to_string();
    let until = super::START.0 + 86_400;
    let input = json!({ "rule": "backup", "subject": dataset, "reason": "server moves", "letter": "1/2026", "expires": until });
    let (status, waiver) = app.post(&operator(), "/api/v1/waivers", input.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{waiver}");
    let verdict = app.verdict("backup").await;
    assert_eq!((&verdict["state"], &verdict["waiver"]), (&json!("waived"), &waiver["id"]));
    app.wait(86_400);
    assert_eq!(app.verdict("backup").await["state"], "unmet");
    let then = format!("/api/v1/verdicts?rule=backup&as_of={}", super::START.0 + 60);
    assert_eq!(app.get(&then).await[0]["state"], "waived");
    // One that is over is not taken back; one that lasts is.
    let path = format!("/api/v1/waivers/{}/revoke", waiver["id"].as_str().unwrap());
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::CONFLICT);
    let later = json!({ "rule": "backup", "subject": dataset, "reason": "again", "expires": until + 86_400 });
    let (_, waiver) = app.post(&operator(), "/api/v1/waivers", later).await;
    assert_eq!(app.verdict("backup").await["state"], "waived");
    let path = format!("/api/v1/waivers/{}/revoke", waiver["id"].as_str().unwrap());
    assert_eq!(app.post(&operator(), &path, json!({})).await.0, StatusCode::OK);
    assert_eq!(app.verdict("backup").await["state"], "unmet");
    for (change, part) in [
        (json!({ "rule": "step:backed_up" }), "no rule"),
        (json!({ "rule": "drc-exists" }), "leave it out"),
        (json!({ "subject": "00000000000000000000000000000000" }), "about a dataset"),
        (json!({ "reason": " " }), "reason"),
        (json!({ "expires": super::START.0 }), "expires"),
        (json!({ "expires": until + 400 * 86_400 }), "expires"),
    ] {
        let mut bad = input.clone();
        bad["expires"] = (until + 86_400).into();
        bad.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (status, problem) = app.post(&operator(), "/api/v1/waivers", bad).await;
        assert_eq!((status, slug(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, "waiver-entry"));
        assert!(problem["detail"].as_str().unwrap().contains(part), "{problem}");
    }
}

#[tokio::test]
async fn a_reminder_is_numbered_names_what_articles_ask_and_keeps_its_text() {
    let app = App::of_medan();
    let dinas = operator();
    let draft = || app.post(&dinas, "/api/v1/reminders", json!({ "pd": "DINKES" }));
    let (status, first) = draft().await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (_, second) = draft().await;
    assert_eq!((&first["number"], &second["number"]), (&json!(1), &json!(2)));
    let body = first["body"].as_str().unwrap();
    for part in
        ["Dinas Kesehatan", "simrs-1/SIMRS", "Perwali Medan 39/2020, Pasal 10 ayat (1)", "001/2027"]
    {
        assert!(body.contains(part), "{part}: {body}");
    }
    let items = first["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["article"] != ""), "{items:?}");
    // The PD sees what was sent, not drafts.
    let pd = app.log_in(UserRole::Pd);
    assert_eq!(app.see(&pd, "/api/v1/reminders").await.1, json!([]));
    let path = format!("/api/v1/reminders/{}/follow-up", first["id"].as_str().unwrap());
    let follow = |body: Value| app.post(&dinas, &path, body);
    let sent = json!({ "note": "sent by courier", "state": "sent", "letter": "800/12/2027" });
    let (status, after) = follow(sent.clone()).await;
    assert_eq!(status, StatusCode::OK, "{after}");
    assert_eq!((&after["letter"], &after["body"]), (&json!("800/12/2027"), &first["body"]));
    assert_eq!(app.see(&pd, "/api/v1/reminders").await.1.as_array().unwrap().len(), 1);
    let (status, _) = follow(json!({ "note": "they called" })).await;
    assert_eq!(status, StatusCode::OK);
    for (bad, expected) in [
        (json!({ "note": "back", "state": "draft" }), StatusCode::CONFLICT),
        (sent, StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "note": "" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "note": "x", "letter": "another" }), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(follow(bad.clone()).await.0, expected, "{bad}");
    }
    let (_, closed) = follow(json!({ "note": "done", "state": "closed" })).await;
    assert_eq!(closed["follow_ups"].as_array().unwrap().len(), 3);
    // What it was about may be waived since: its text stays.
    assert_eq!(closed["body"], first["body"]);
}

#[tokio::test]
async fn who_meets_everything_is_not_reminded() {
    let app = App::new();
    app.weigh();
    // This profile has proposals only: no ground for a letter.
    let (status, problem) =
        app.post(&operator(), "/api/v1/reminders", json!({ "pd": "DINKES" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
}

#[tokio::test]
async fn trend_and_achieved_rpo_begin_with_what_is_known() {
    let app = App::of_medan();
    let trend = app.get("/api/v1/trend").await;
    assert_eq!(trend.as_array().unwrap().len(), 1);
    assert_eq!(trend[0]["all"]["datasets"], 1);
    let path = format!("/api/v1/datasets/{}/rpo", app.city.dataset);
    let rpo = app.get(&path).await;
    assert_eq!((&rpo["rpo_s"], &rpo["achieved"][0]["snapshots"]), (&json!(86_400), &json!(0)));
    for bad in ["/api/v1/trend?from=2027-02-01&until=2027-01-01", "/api/v1/trend?from=yesterday"] {
        let (status, _) = app.call(&operator(), http::Method::GET, bad, None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
    }
}
