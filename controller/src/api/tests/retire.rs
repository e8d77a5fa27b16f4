//! Retiring rows of the register, and bringing them back.

mod kinds;
mod random;

use http::{Method, StatusCode};
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, operator, slug};
use crate::reconcile::Reconciler;
use crate::report::{self, Language, Past, Terms};
use crate::testing::START;

impl App {
    pub(super) async fn retire(
        &self,
        kind: &str,
        id: &str,
        with_contents: bool,
    ) -> (StatusCode, Value) {
        let body = json!({
            "kind": kind, "id": id, "from": START.0, "reason": "SK 7/2026", "with_contents": with_contents,
        });
        self.call(&operator(), Method::POST, "/api/v1/retirements", Some(body)).await
    }

    pub(super) async fn restore(&self, id: &str) -> (StatusCode, Value) {
        let path = format!("/api/v1/retirements/{id}/restore");
        let body = json!({ "reason": "entered by mistake" });
        self.call(&operator(), Method::POST, &path, Some(body)).await
    }

    fn weigh_all(&self) {
        let (db, clock) = (self.city.db.clone(), self.city.clock.clone());
        Reconciler::new(db, clock, self.state.profile.clone()).pass().unwrap();
    }

    /// Rows of the compliance table that are about the dataset, as of a moment.
    fn rows_at(&self, seconds: i64) -> usize {
        let at = START.plus_seconds(seconds);
        let terms = Terms {
            profile: self.state.profile.clone(),
            patience: crate::config::Config::default().heartbeat.patience(),
            now: at,
            language: Language::English,
        };
        let past = self.city.db.read(|tx| report::table_at(tx, &terms, None, at)).unwrap();
        let Past::Table(table) = past else { panic!("nothing is known of then") };
        table.rows.iter().filter(|row| row.dataset == Some(self.city.dataset)).count()
    }

    pub(super) async fn count(&self, path: &str) -> usize {
        self.get(path).await.as_array().unwrap().len()
    }
}

#[tokio::test]
async fn a_retired_dataset_counts_no_more_and_is_still_there_for_the_past() {
    let app = App::new();
    app.weigh_all();
    let id = app.city.dataset.to_string();
    let before = app.count("/api/v1/datasets").await;
    app.city.clock.set(START.plus_seconds(1000));
    let (status, done) = app.retire("dataset", &id, false).await;
    assert_eq!((status, &done[0]["id"]), (StatusCode::CREATED, &json!(id)), "{done}");
    app.city.clock.set(START.plus_seconds(2000));
    app.weigh_all();
    assert_eq!(app.count("/api/v1/datasets").await, before - 1);
    assert_eq!(app.get(&format!("/api/v1/datasets/{id}")).await["id"], json!(id));
    assert_eq!((app.rows_at(500), app.rows_at(2000)), (1, 0));
    let subject = app.city.dataset.as_bytes().to_vec();
    let open = |app: &App| app.city.db.read(|tx| crate::db::verdicts::open(tx, &subject)).unwrap();
    assert!(open(&app).is_empty());

    assert_eq!(slug(&app.retire("dataset", &id, false).await.1), "conflict");
    assert_eq!(app.restore(&id).await.0, StatusCode::OK);
    app.city.clock.set(START.plus_seconds(3000));
    app.weigh_all();
    assert_eq!(app.count("/api/v1/datasets").await, before);
    assert_eq!((app.rows_at(500), app.rows_at(1500), app.rows_at(3000)), (1, 0, 1));
    assert!(!open(&app).is_empty());
    assert_eq!(app.restore(&id).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_pd_whose_last_dataset_is_retired_is_still_a_finding() {
    let app = App::new();
    let pd = app.city.pd.to_string();
    let id = app.city.dataset.to_string();
    assert_eq!(app.retire("dataset", &id, false).await.0, StatusCode::CREATED);
    app.weigh_all();
    let table = app.get("/api/v1/compliance").await;
    let mut rows = table["rows"].as_array().unwrap().iter().filter(|row| row["pd"] == json!(pd));
    let row = rows.next().unwrap();
    assert!(row.get("dataset").is_none() && row["belum_mencadangkan"] == true, "{row}");
}

#[tokio::test]
async fn a_server_goes_with_its_datasets_or_not_at_all() {
    let app = App::new();
    let (server, dataset) = (app.city.server.to_string(), app.city.dataset.to_string());
    let (status, refused) = app.retire("server", &server, false).await;
    assert_eq!((status, slug(&refused)), (StatusCode::CONFLICT, "conflict"));
    assert!(refused["detail"].as_str().unwrap().contains("SIMRS"), "{refused}");
    assert_eq!(app.count("/api/v1/retirements").await, 0);
    let (_, done) = app.retire("server", &server, true).await;
    let ids: Vec<_> = done.as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [json!(dataset), json!(server)]);
    let (status, refused) = app.restore(&dataset).await;
    assert_eq!((status, slug(&refused)), (StatusCode::CONFLICT, "conflict"));
    assert_eq!(app.restore(&server).await.0, StatusCode::OK);
    assert_eq!(app.restore(&dataset).await.0, StatusCode::OK);
    assert_eq!(app.count("/api/v1/retirements").await, 0);
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let app = App::new();
    let id = app.city.dataset.to_string();
    for (field, value, slug_of) in [
        ("reason", json!(" "), "retirement-entry"),
        ("from", json!(START.0 + 999_999_999), "retirement-entry"),
        ("from", json!(-1), "retirement-entry"),
        ("id", json!(app.city.server.to_string()), "not-found"),
    ] {
        let mut body =
            json!({ "kind": "dataset", "id": id, "from": START.0, "reason": "SK 7/2026" });
        body[field] = value;
        let (_, refused) =
            app.call(&operator(), Method::POST, "/api/v1/retirements", Some(body)).await;
        assert_eq!(slug(&refused), slug_of, "{field}: {refused}");
    }
}

#[tokio::test]
async fn another_pd_sees_nothing_of_what_is_retired() {
    let app = App::new();
    let input = json!({ "code": "LAIN", "name": "Lain" });
    let (_, other) = app.call(&operator(), Method::POST, "/api/v1/pd", Some(input)).await;
    let id = app.city.dataset.to_string();
    assert_eq!(app.retire("dataset", &id, false).await.0, StatusCode::CREATED);
    assert_eq!(app.count("/api/v1/retirements").await, 1);
    let of_other = format!("/api/v1/retirements?pd={}", other["id"].as_str().unwrap());
    assert_eq!(app.count(&of_other).await, 0);
    let own = app.log_in(UserRole::Pd);
    assert_eq!(app.see(&own, "/api/v1/retirements").await.1.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn with_datasets_is_still_understood() {
    let app = App::new();
    let body = json!({
        "kind": "server", "id": app.city.server, "from": START.0, "reason": "SK 7/2026", "with_datasets": true,
    });
    let body = serde_json::to_vec(&body).unwrap();
    let (kind, path) = ("application/json", "/api/v1/retirements");
    let (status, done) = app.send(&operator(), Method::POST, path, kind, body).await;
    assert_eq!((status, done.as_array().map(Vec::len)), (StatusCode::CREATED, Some(2)), "{done}");
}
