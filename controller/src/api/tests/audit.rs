//! What stands in the audit log after changes over the API, and what never does.

use http::StatusCode;
use lumbung_wire::audit::{AuditEntry, AuditHead, AuditRecord, Verifier};
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, PASSWORD, operator};

impl App {
    pub(super) async fn log(&self) -> Vec<AuditEntry> {
        let session = self.log_in(UserRole::Auditor);
        let mut verifier = Verifier::default();
        let mut entries = Vec::new();
        loop {
            let path = format!("/api/v1/audit?after={}&limit=2", verifier.end().0);
            let (status, page) = self.see(&session, &path).await;
            assert_eq!(status, StatusCode::OK);
            let page: Vec<AuditRecord> = serde_json::from_value(page).unwrap();
            if page.is_empty() {
                break;
            }
            entries.extend(page.iter().map(|record| verifier.take(record).unwrap()));
        }
        let (_, head) = self.see(&session, "/api/v1/audit/head").await;
        let head: AuditHead = serde_json::from_value(head).unwrap();
        verifier.finish(&head, &self.state.audit_key.public()).unwrap();
        entries
    }
}

#[tokio::test]
async fn a_change_stands_there_with_who_before_and_after() {
    let app = App::new();
    let put = |name: &str| json!({ "toml": format!("[[pd]]\ncode = \"DISHUB\"\nname = \"{name}\"\n"), "file": "r.toml" });
    for name in ["Dinas Perhubungan", "Dishub", "Dishub"] {
        let (status, _) = app.post(&operator(), "/api/v1/import", put(name)).await;
        assert_eq!(status, StatusCode::OK);
    }
    let (status, _) = app
        .post(
            &operator(),
            "/api/v1/import",
            json!({ "toml": "[[pd]]\ncode = \"é\"\nname = \"x\"" }),
        )
        .await;
    assert!(status.is_client_error());
    let log = app.log().await;
    let of_dishub: Vec<_> = log
        .iter()
        .filter(|entry| entry.after.as_ref().is_some_and(|after| after["code"] == "DISHUB"))
        .collect();
    assert_eq!(of_dishub.len(), 2, "what changed nothing, or was refused, is no entry");
    assert_eq!(of_dishub[0].before, None);
    assert_eq!(of_dishub[1].before.as_ref().unwrap()["name"], "Dinas Perhubungan");
    assert_eq!(of_dishub[1].after.as_ref().unwrap()["name"], "Dishub");
    assert_eq!(of_dishub[1].actor.name, "operator's certificate \"budi\"");
    assert_eq!(of_dishub[1].action, "pd.put");
}

#[tokio::test]
async fn logins_and_failures_stand_there_and_no_secret_does() {
    let app = App::new();
    let session = app.log_in(UserRole::Admin);
    let (_, given) = app.tell(&session, "/api/v1/me/totp", json!({})).await;
    let input = json!({ "name": "x", "writes": false, "days": 1 });
    let (_, token) = app.tell(&session, "/api/v1/me/tokens", input).await;
    let wrong = json!({ "name": "the-admin", "password": "a wrong password" });
    app.post(&lumbung_wire::Peer::Anonymous, "/api/v1/login", wrong).await;
    let log = app.log().await;
    let actions: Vec<_> = log.iter().map(|entry| entry.action.as_str()).collect();
    for expected in ["user.add", "login", "login.fail", "api_token.add"] {
        assert!(actions.contains(&expected), "{actions:?}");
    }
    let failed = log.iter().find(|entry| entry.action == "login.fail").unwrap();
    let after = failed.after.as_ref().unwrap();
    assert_eq!((&after["failures"], &after["locked_until"]), (&json!(1), &Value::Null));
    let text = serde_json::to_string(&log).unwrap();
    let secrets = [
        PASSWORD,
        "a wrong password",
        "$argon2",
        token["text"].as_str().unwrap(),
        given["secret"].as_str().unwrap(),
        session.cookie.as_str(),
        session.csrf.as_str(),
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret}");
    }
}
