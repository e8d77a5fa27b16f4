//! A request that comes twice is done once, whatever lies between.

use http::{HeaderMap, Method, StatusCode};
use lumbung_wire::Peer;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::super::idempotency::{Keyed, Keys};
use super::super::routes;
use super::{App, PASSWORD, Session, operator, request_of, slug};
use crate::db::idempotency as rows;
use crate::people::accounts;

const DAY_S: i64 = 86_400;

impl App {
    async fn once(&self, key: &str, path: &str, body: &Value) -> (StatusCode, HeaderMap, Value) {
        let headers = [("idempotency-key", key)];
        let body = body.to_string().into_bytes();
        self.json(request_of(&operator(), &headers, Method::POST, path, body)).await
    }

    async fn once_as(
        &self,
        session: &Session,
        key: &str,
        path: &str,
        body: &Value,
    ) -> (StatusCode, HeaderMap, Value) {
        let cookie = format!("__Host-lumbung={}", session.cookie);
        let headers = [
            ("cookie", cookie.as_str()),
            ("x-csrf-token", &session.csrf),
            ("idempotency-key", key),
        ];
        let body = body.to_string().into_bytes();
        self.json(request_of(&Peer::Anonymous, &headers, Method::POST, path, body)).await
    }

    async fn json(&self, request: axum::extract::Request) -> (StatusCode, HeaderMap, Value) {
        let (status, headers, body) = self.whole(request).await;
        (status, headers, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    fn kept(&self) -> i64 {
        let count = |tx: &rusqlite::Transaction<'_>| {
            Ok::<_, crate::db::DbError>(tx.query_row(
                "SELECT count(*) FROM idempotency",
                [],
                |row| row.get(0),
            )?)
        };
        self.city.db.read(count).unwrap()
    }
}

fn pd(code: &str) -> Value {
    json!({ "code": code, "name": code })
}

#[tokio::test]
async fn the_same_request_is_answered_the_same_and_done_once() {
    let app = App::new();
    let (status, headers, first) = app.once("k1", "/api/v1/pd", &pd("BARU")).await;
    assert_eq!((status, headers.get("idempotency-replayed")), (StatusCode::CREATED, None));
    let entries = app.city.db.read(|tx| crate::db::audit::end(tx)).unwrap();
    for key in ["k1", "\"k1\""] {
        let (status, headers, again) = app.once(key, "/api/v1/pd", &pd("BARU")).await;
        assert_eq!((status, &again), (StatusCode::CREATED, &first));
        assert_eq!(headers["idempotency-replayed"], "true");
    }
    assert_eq!(app.city.db.read(|tx| crate::db::audit::end(tx)).unwrap(), entries);
    // Without the key it is another request.
    let (status, _, _) = app.once("k2", "/api/v1/pd", &pd("BARU")).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_key_is_good_for_one_request() {
    let app = App::new();
    app.once("k", "/api/v1/pd", &pd("BARU")).await;
    for (path, body) in
        [("/api/v1/pd", pd("LAIN")), ("/api/v1/sites", json!({ "name": "X", "kind": "drc" }))]
    {
        let (status, _, refused) = app.once("k", path, &body).await;
        assert_eq!(
            (status, slug(&refused)),
            (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-reused")
        );
    }
    let all = app.get("/api/v1/pd").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_was_refused_may_be_corrected_under_its_key() {
    let app = App::new();
    let (status, _, _) = app.once("k", "/api/v1/pd", &pd("has space")).await;
    assert_eq!((status, app.kept()), (StatusCode::UNPROCESSABLE_ENTITY, 0));
    assert_eq!(app.once("k", "/api/v1/pd", &pd("BARU")).await.0, StatusCode::CREATED);
    assert_eq!(app.once("", "/api/v1/pd", &pd("LAIN")).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn keys_of_two_callers_have_nothing_to_do_with_each_other() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    assert_eq!(app.once("k", "/api/v1/pd", &pd("BARU")).await.0, StatusCode::CREATED);
    let (status, _, _) = app.once_as(&session, "k", "/api/v1/pd", &pd("BARU")).await;
    assert_eq!(status, StatusCode::CONFLICT, "the row is there; the answer is another caller's");
    assert_eq!(app.once_as(&session, "k", "/api/v1/pd", &pd("LAIN")).await.0, StatusCode::CREATED);
    // Another session of the same person is the same caller; a stranger's is not asked.
    let again = app.log_in(UserRole::Operator);
    let (_, headers, _) = app.once_as(&again, "k", "/api/v1/pd", &pd("LAIN")).await;
    assert_eq!(headers["idempotency-replayed"], "true");
}

#[tokio::test]
async fn whoever_may_no_longer_change_anything_is_told_nothing_again() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    assert_eq!(app.once_as(&session, "k", "/api/v1/pd", &pd("BARU")).await.0, StatusCode::CREATED);
    let close = |tx: &rusqlite::Transaction<'_>| {
        let account = accounts::find(tx, "the-operator")?;
        let act = crate::act::Act::console(super::START);
        accounts::set_disabled(tx, &act, &account, true)
    };
    app.state.db.write(close).unwrap();
    let (status, _, _) = app.once_as(&session, "k", "/api/v1/pd", &pd("BARU")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_request_that_is_at_work_is_not_begun_again() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    let of = |tx: &rusqlite::Transaction<'_>| {
        let cookie = &session.cookie;
        crate::people::login::by_cookie(tx, super::START, cookie)
    };
    let principal = app.state.db.read(of).unwrap().unwrap().principal;
    let begin = || Keyed::begin(&app.state.at_work, &principal, "k".to_owned(), [0; 32]);
    let at_work = begin().unwrap();
    let (status, _, refused) = app.once_as(&session, "k", "/api/v1/pd", &pd("BARU")).await;
    assert_eq!((status, slug(&refused)), (StatusCode::CONFLICT, "idempotency-at-work"));
    drop(at_work);
    assert_eq!(app.once_as(&session, "k", "/api/v1/pd", &pd("BARU")).await.0, StatusCode::CREATED);
    assert!(begin().is_ok(), "nothing stays at work");
}

#[tokio::test]
async fn many_at_once_do_it_once() {
    let app = std::sync::Arc::new(App::new());
    let requests = (0..16).map(|_| {
        let app = app.clone();
        tokio::spawn(async move { app.once("k", "/api/v1/pd", &pd("BARU")).await })
    });
    let mut created = Vec::new();
    for request in requests.collect::<Vec<_>>() {
        let (status, _, answer) = request.await.unwrap();
        match status {
            StatusCode::CREATED => created.push(answer),
            other => {
                assert_eq!((other, slug(&answer)), (StatusCode::CONFLICT, "idempotency-at-work"))
            }
        }
    }
    created.dedup();
    assert_eq!((created.len(), app.kept()), (1, 1));
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let app = App::new();
    let site = json!({ "name": "Batam", "kind": "other" });
    app.once("k", "/api/v1/sites", &site).await;
    app.wait(DAY_S - 1);
    assert_eq!(app.once("k", "/api/v1/sites", &site).await.0, StatusCode::CREATED);
    app.wait(1);
    assert_eq!(
        app.once("k", "/api/v1/sites", &site).await.0,
        StatusCode::CONFLICT,
        "a new request"
    );
    app.once("another", "/api/v1/pd", &pd("BARU")).await;
    assert_eq!(app.kept(), 1, "what is over goes");
}

#[tokio::test]
async fn one_caller_cannot_fill_the_database() {
    let app = App::new();
    app.once("first", "/api/v1/pd", &pd("SATU")).await;
    let fill = |tx: &rusqlite::Transaction<'_>| {
        let caller: String =
            tx.query_row("SELECT caller FROM idempotency", [], |row| row.get(0))?;
        let kept = rows::find(tx, &caller, "first")?.unwrap();
        for number in 1..10_000 {
            rows::keep(tx, &caller, &format!("filler {number}"), &kept)?;
        }
        Ok::<_, crate::db::DbError>(())
    };
    app.city.db.write(fill).unwrap();
    let (status, _, refused) = app.once("k", "/api/v1/pd", &pd("DUA")).await;
    assert_eq!((status, slug(&refused)), (StatusCode::TOO_MANY_REQUESTS, "idempotency-full"));
    assert_eq!(app.once("first", "/api/v1/pd", &pd("SATU")).await.0, StatusCode::CREATED);
    app.wait(DAY_S);
    assert_eq!(app.once("k", "/api/v1/pd", &pd("DUA")).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn nothing_is_kept_where_a_secret_is() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let secret: Vec<&str> = routes()
        .into_iter()
        .filter(|(route, _)| route.keys == Keys::Refused)
        .map(|(route, _)| route.path)
        .collect();
    assert_eq!(secret.len(), 8);
    for path in secret {
        let path = path.replace("{id}", "the-admin");
        let body = json!({ "name": "the-admin", "password": PASSWORD });
        let (status, _, refused) = app.once_as(&admin, "k", &path, &body).await;
        assert_eq!(
            (status, slug(&refused)),
            (StatusCode::BAD_REQUEST, "idempotency-secret"),
            "{path}"
        );
    }
    assert_eq!(app.kept(), 0);
}

#[tokio::test]
async fn no_message_with_a_secret_is_on_a_route_that_keeps_answers() {
    let secret = ["password", "secret", "token", "text", "code", "current", "new", "csrf_token"];
    let document = super::super::openapi::document();
    for (route, _) in routes().iter().filter(|(route, _)| route.keys == Keys::Kept) {
        for name in route.request.into_iter().chain([route.response]) {
            let schema = &document["components"]["schemas"][name];
            let members = schema["properties"].as_object();
            for member in members.into_iter().flat_map(|members| members.keys()) {
                let is_code_of_a_pd = member == "code" && name.starts_with("Pd");
                assert!(
                    !secret.contains(&member.as_str()) || is_code_of_a_pd,
                    "{}: {name}.{member}",
                    route.path
                );
            }
        }
    }
}
