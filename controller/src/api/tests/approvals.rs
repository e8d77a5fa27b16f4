//! Four eyes: nobody confirms what they asked for themselves.

use http::StatusCode;
use lumbung_model::Timestamp;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, Session, operator};
use crate::act::Act;
use crate::approvals;
use crate::db::people as rows;
use crate::people::accounts;

impl App {
    /// A second administrator's session.
    fn second_admin(&self) -> Session {
        let first = self.account(UserRole::Admin);
        let mut second = first;
        second.user.id = lumbung_model::UserId::random();
        second.user.name = "second-admin".into();
        second.totp_step = None;
        self.state.db.write(|tx| rows::put_account(tx, &second)).unwrap();
        self.log_in_to(&second)
    }

    async fn decide(&self, session: &Session, id: &str, what: &str) -> (StatusCode, Value) {
        self.tell(session, &format!("/api/v1/approvals/{id}/{what}"), Value::Null).await
    }

    fn role_of(&self, name: &str) -> UserRole {
        self.state.db.read(|tx| accounts::find(tx, name)).unwrap().user.role
    }
}

fn id(approval: &Value) -> &str {
    approval["id"].as_str().unwrap()
}

#[tokio::test]
async fn a_role_changes_when_a_second_administrator_says_so() {
    let app = App::new();
    let (first, second) = (app.log_in(UserRole::Admin), app.second_admin());
    let (auditor, operator) = (app.log_in(UserRole::Auditor), app.log_in(UserRole::Operator));
    let to = "/api/v1/users/the-auditor/role";
    let change = json!({ "role": "operator", "reason": "SK 12/2026" });
    let (status, asked) = app.tell(&first, to, change.clone()).await;
    assert_eq!((status, &asked["state"]), (StatusCode::ACCEPTED, &json!("open")));
    assert_eq!(asked["words"], "the-auditor → operator");
    assert_eq!(app.role_of("the-auditor"), UserRole::Auditor);

    let (status, _) = app.decide(&first, id(&asked), "approve").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "whoever asked");
    let (status, _) = app.decide(&operator, id(&asked), "approve").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "not an administrator");
    assert_eq!(app.role_of("the-auditor"), UserRole::Auditor);
    let (status, done) = app.decide(&second, id(&asked), "approve").await;
    assert_eq!((status, &done["state"]), (StatusCode::OK, &json!("approved")));
    assert_eq!(done["decided_by"], "second-admin");
    assert_eq!(app.role_of("the-auditor"), UserRole::Operator);
    assert_eq!(app.see(&auditor, "/api/v1/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(app.decide(&second, id(&asked), "approve").await.0, StatusCode::CONFLICT, "twice");

    // Refused, taken back, lapsed: nothing happens.
    let back = json!({ "role": "auditor", "reason": "SK 13/2026" });
    for (session, what, state) in
        [(&second, "refuse", "refused"), (&first, "withdraw", "withdrawn")]
    {
        let (_, asked) = app.tell(&first, to, back.clone()).await;
        assert_eq!(app.decide(session, id(&asked), what).await.1["state"], state);
        assert_eq!(app.decide(&second, id(&asked), "approve").await.0, StatusCode::CONFLICT);
    }
    let (_, asked) = app.tell(&first, to, back).await;
    assert_eq!(app.decide(&second, id(&asked), "withdraw").await.0, StatusCode::FORBIDDEN);
    app.wait(7 * 86_400);
    let account = app.state.db.read(|tx| accounts::find(tx, "second-admin")).unwrap();
    let second = app.log_in_to(&account);
    assert_eq!(app.decide(&second, id(&asked), "approve").await.0, StatusCode::CONFLICT);
    let (_, all) = app.see(&second, "/api/v1/approvals").await;
    let states: Vec<_> = all.as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["expired", "withdrawn", "refused", "approved"]);
    assert_eq!(app.role_of("the-auditor"), UserRole::Operator);
}

#[tokio::test]
async fn what_can_no_longer_be_done_is_not_done() {
    let app = App::new();
    let (first, second) = (app.log_in(UserRole::Admin), app.second_admin());
    let to = "/api/v1/users/second-admin/role";
    let change = json!({ "role": "auditor", "reason": "SK 12/2026" });
    for (bad, expected) in [
        (json!({ "role": "auditor", "reason": " " }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "role": "pd", "reason": "x" }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "role": "auditor", "reason": "x", "why": 1 }), StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(app.tell(&first, to, bad).await.0, expected);
    }
    let (_, asked) = app.tell(&second, "/api/v1/users/the-admin/role", change).await;
    // Meanwhile the one who would decide is the last administrator.
    let close = |tx: &rusqlite::Transaction<'_>| {
        let second = accounts::find(tx, "second-admin")?;
        accounts::set_disabled(tx, &Act::console(Timestamp(1)), &second, true)
    };
    app.state.db.write(close).unwrap();
    let (status, refused) = app.decide(&first, id(&asked), "approve").await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert_eq!(app.role_of("the-admin"), UserRole::Admin);
}

#[tokio::test]
async fn a_site_goes_by_two_people_and_counts_no_longer() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let site = app.city.drc.id.to_string();
    let to = format!("/api/v1/sites/{site}/remove");
    let reason = json!({ "reason": "contract ended" });
    // An operator's certificate names nobody: it neither asks nor decides.
    assert_eq!(app.post(&operator(), &to, reason.clone()).await.0, StatusCode::FORBIDDEN);
    let person = app.log_in(UserRole::Operator);
    let (status, asked) = app.tell(&person, &to, reason.clone()).await;
    assert_eq!((status, &asked["words"]), (StatusCode::ACCEPTED, &json!("remove site DRC")));
    let path = format!("/api/v1/approvals/{}/approve", id(&asked));
    assert_eq!(app.post(&operator(), &path, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(app.get("/api/v1/sites").await.as_array().unwrap().len(), 2);
    assert_eq!(app.decide(&admin, id(&asked), "approve").await.0, StatusCode::OK);
    let left = app.get("/api/v1/sites").await;
    assert_eq!(left.as_array().unwrap().len(), 1);
    assert_eq!(app.tell(&admin, &to, reason).await.0, StatusCode::NOT_FOUND);
    // An old file does not bring it back.
    let old = json!({ "id": site, "name": "DRC", "kind": "drc" });
    assert_eq!(app.post(&operator(), "/api/v1/sites", old).await.0, StatusCode::CONFLICT);
    // Its name is free again.
    let input = json!({ "name": "DRC", "kind": "drc" });
    assert_eq!(app.post(&operator(), "/api/v1/sites", input).await.0, StatusCode::CREATED);
}

#[tokio::test]
async fn the_console_is_a_second_person() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    app.account(UserRole::Auditor);
    let change = json!({ "role": "operator", "reason": "the only administrator" });
    let (_, asked) = app.tell(&admin, "/api/v1/users/the-auditor/role", change).await;
    let decide = |tx: &rusqlite::Transaction<'_>| {
        let act = Act::console(super::START);
        approvals::decide(tx, &act, None, &id(&asked).parse().unwrap(), true)
    };
    app.state.db.write(decide).unwrap();
    assert_eq!(app.role_of("the-auditor"), UserRole::Operator);
}
