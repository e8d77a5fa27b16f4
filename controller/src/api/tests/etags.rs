//! Asking again only for what has changed, and changing only what one has seen.

use http::{Method, StatusCode};
use lumbung_wire::Peer;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, Session, operator, request_of, slug};

impl App {
    /// A GET by the operator's certificate with this `If-None-Match`: status, tag, body.
    async fn known(&self, path: &str, tag: &str) -> (StatusCode, String, Vec<u8>) {
        let headers = [("if-none-match", tag)];
        let request = request_of(&operator(), &headers, Method::GET, path, vec![]);
        let (status, headers, body) = self.whole(request).await;
        (status, headers["etag"].to_str().unwrap().to_owned(), body)
    }

    pub(super) async fn expecting(
        &self,
        session: &Session,
        path: &str,
        tag: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let cookie = format!("__Host-lumbung={}", session.cookie);
        let headers =
            [("cookie", cookie.as_str()), ("x-csrf-token", &session.csrf), ("if-match", tag)];
        let body = body.to_string().into_bytes();
        self.answer(request_of(&Peer::Anonymous, &headers, Method::POST, path, body)).await
    }

    pub(super) async fn tag_of(&self, session: &Session, path: &str) -> String {
        let cookie = format!("__Host-lumbung={}", session.cookie);
        let headers = [("cookie", cookie.as_str())];
        let request = request_of(&Peer::Anonymous, &headers, Method::GET, path, vec![]);
        self.whole(request).await.1["etag"].to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let app = App::new();
    let (status, tag, body) = app.known("/api/v1/pd", "\"another\"").await;
    assert_eq!(status, StatusCode::OK);
    assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() == 34, "{tag}");
    for known in [tag.clone(), format!("W/{tag}"), format!("\"another\", {tag}"), "*".to_owned()] {
        let (status, again, nothing) = app.known("/api/v1/pd", &known).await;
        assert_eq!((status, &again), (StatusCode::NOT_MODIFIED, &tag), "{known}");
        assert!(nothing.is_empty());
    }
    app.post(&operator(), "/api/v1/pd", json!({ "code": "BARU", "name": "Baru" })).await;
    let (status, changed, more) = app.known("/api/v1/pd", &tag).await;
    assert_eq!(status, StatusCode::OK);
    assert!(changed != tag && more.len() > body.len());
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let app = App::new();
    let (_, tag, _) = app.known("/api/v1/pd", "").await;
    let request = request_of(&operator(), &[], Method::HEAD, "/api/v1/pd", vec![]);
    let (status, headers, body) = app.whole(request).await;
    assert_eq!((status, headers["etag"].to_str().unwrap()), (StatusCode::OK, tag.as_str()));
    assert!(body.is_empty());
}

#[tokio::test]
async fn refusals_and_changes_have_no_tag() {
    let app = App::new();
    let input = json!({ "code": "BARU", "name": "Baru" }).to_string().into_bytes();
    let nothing = request_of(&operator(), &[], Method::GET, "/api/v1/pd/NONE", vec![]);
    let change = request_of(&operator(), &[], Method::POST, "/api/v1/pd", input);
    for request in [nothing, change] {
        assert!(app.whole(request).await.1.get("etag").is_none());
    }
}

#[tokio::test]
async fn nobody_changes_what_somebody_else_has_changed_meanwhile() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    app.account(UserRole::Auditor);
    let path = "/api/v1/users/the-auditor";
    let (disable, enable) = (format!("{path}/disable"), format!("{path}/enable"));
    let seen = app.tag_of(&admin, path).await;
    let (status, _) = app.expecting(&admin, &disable, &seen, Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    for stale in [seen.clone(), format!("W/{seen}"), "x".to_owned()] {
        let (status, refused) = app.expecting(&admin, &enable, &stale, Value::Null).await;
        assert_eq!((status, slug(&refused)), (StatusCode::PRECONDITION_FAILED, "changed"));
    }
    assert!(app.see(&admin, path).await.1["disabled"].is_i64());
    let change = json!({ "role": "pd", "pd": app.city.pd, "reason": "SK 1/2026" });
    let to = format!("{path}/role");
    let (status, _) = app.expecting(&admin, &to, &seen, change.clone()).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    let now = app.tag_of(&admin, path).await;
    assert_eq!(app.expecting(&admin, &enable, &now, Value::Null).await.0, StatusCode::OK);
    assert_eq!(app.expecting(&admin, &to, "*", change).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_site_is_taken_out_as_it_was_seen() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let path = format!("/api/v1/sites/{}", app.city.drc.id);
    let (to, reason) = (format!("{path}/remove"), json!({ "reason": "contract ended" }));
    let seen = app.tag_of(&admin, &path).await;
    let stale = app.expecting(&admin, &to, "\"0\"", reason.clone()).await;
    assert_eq!(stale.0, StatusCode::PRECONDITION_FAILED);
    assert_eq!(app.expecting(&admin, &to, &seen, reason).await.0, StatusCode::ACCEPTED);
}
