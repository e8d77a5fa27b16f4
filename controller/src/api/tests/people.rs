//! From a new account to a session that is good for everything, and what ends it.

use http::{Method, StatusCode};
use lumbung_model::{Clock as _, UserId};
use lumbung_wire::Peer;
use lumbung_wire::messages::people::{LoginRequest, UserRole};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{App, PASSWORD, Session, code_at, login, operator, request_of, rows, slug};
use crate::db::DbError;
use crate::people::PeopleError;

const NEW: &str = "gabah kering giling 2026";

impl App {
    async fn log_in_as(
        &self,
        name: &str,
        password: &str,
        code: Option<&str>,
    ) -> (StatusCode, Value) {
        let mut body = json!({ "name": name, "password": password });
        if let Some(code) = code {
            body["code"] = code.into();
        }
        self.post(&Peer::Anonymous, "/api/v1/login", body).await
    }

    /// A login over HTTP, with its cookie.
    async fn session(&self, name: &str, password: &str, code: Option<&str>) -> Session {
        let body = json!({ "name": name, "password": password, "code": code });
        let bytes = body.to_string().into_bytes();
        let request = request_of(&Peer::Anonymous, &[], Method::POST, "/api/v1/login", bytes);
        let router = super::router(self.state.clone());
        let response = tower::ServiceExt::oneshot(router, request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
        for needed in ["__Host-lumbung=", "; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict"]
        {
            assert!(cookie.contains(needed), "{cookie}");
        }
        let cookie = cookie["__Host-lumbung=".len()..].split(';').next().unwrap().to_owned();
        let bytes =
            http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&bytes).unwrap();
        Session { cookie, csrf: answer["csrf_token"].as_str().unwrap().to_owned() }
    }
}

#[tokio::test]
async fn a_new_account_changes_its_password_and_sets_up_a_second_factor_first() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let input = json!({ "name": "siti", "full_name": "Siti Aminah", "role": "custodian",
        "pd": app.city.pd, "password": PASSWORD });
    let (status, siti) = app.tell(&admin, "/api/v1/users", input.clone()).await;
    assert_eq!((status, siti["password_is_new"].as_bool()), (StatusCode::CREATED, Some(true)));
    assert_eq!(app.tell(&admin, "/api/v1/users", input).await.0, StatusCode::CONFLICT);

    let session = app.session("siti", PASSWORD, None).await;
    assert_eq!(app.see(&session, "/api/v1/me").await.1["state"], "change_password");
    let (status, refused) = app.see(&session, "/api/v1/pd").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(refused["detail"].as_str().unwrap().contains("/api/v1/me/password"), "{refused}");
    let change = |current: &str, new: &str| json!({ "current": current, "new": new });
    let to = "/api/v1/me/password";
    for (body, expected) in [
        (change("wrong password here", NEW), StatusCode::UNAUTHORIZED),
        (change(PASSWORD, "short"), StatusCode::UNPROCESSABLE_ENTITY),
        (change(PASSWORD, PASSWORD), StatusCode::UNPROCESSABLE_ENTITY),
        (change(PASSWORD, "my name is SITI 123"), StatusCode::UNPROCESSABLE_ENTITY),
        (change(PASSWORD, NEW), StatusCode::OK),
    ] {
        assert_eq!(app.tell(&session, to, body).await.0, expected);
    }

    assert_eq!(app.see(&session, "/api/v1/me").await.1["state"], "set_up_totp");
    assert_eq!(app.see(&session, "/api/v1/pd").await.0, StatusCode::FORBIDDEN);
    let (_, given) = app.tell(&session, "/api/v1/me/totp", json!({})).await;
    let text = given["secret"].as_str().unwrap();
    assert!(given["url"].as_str().unwrap().starts_with("otpauth://totp/Lumbung:siti?secret="));
    let secret: [u8; 20] =
        data_encoding::BASE32_NOPAD.decode(text.as_bytes()).unwrap().try_into().unwrap();
    let code = code_at(&secret, app.city.clock.now());
    let confirm =
        |code: &str, password: &str| json!({ "secret": text, "code": code, "password": password });
    let to = "/api/v1/me/totp/confirm";
    let wrong = if code == "000000" { "000001" } else { "000000" };
    for (body, expected) in [
        (confirm(wrong, NEW), StatusCode::UNPROCESSABLE_ENTITY),
        (confirm(&code, PASSWORD), StatusCode::UNAUTHORIZED),
        (confirm(&code, NEW), StatusCode::OK),
    ] {
        assert_eq!(app.tell(&session, to, body).await.0, expected);
    }
    assert_eq!(app.see(&session, "/api/v1/me").await.1["state"], "full");
    assert_eq!(app.see(&session, "/api/v1/pd").await.0, StatusCode::OK);

    // The next login needs a code, and none is taken twice.
    let (status, refused) = app.log_in_as("siti", NEW, None).await;
    assert_eq!((status, slug(&refused)), (StatusCode::UNAUTHORIZED, "code-needed"));
    let (status, refused) = app.log_in_as("siti", NEW, Some(&code)).await;
    assert_eq!((status, slug(&refused)), (StatusCode::UNAUTHORIZED, "login"), "used already");
    app.wait(30);
    let code = code_at(&secret, app.city.clock.now());
    assert_eq!(app.log_in_as("siti", NEW, Some(&code)).await.0, StatusCode::OK);
    assert_eq!(app.log_in_as("siti", NEW, Some(&code)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn failures_lock_for_a_while_and_say_nothing_of_whether_there_is_an_account() {
    let app = App::new();
    app.account(UserRole::Auditor);
    let (_, unknown) = app.log_in_as("nobody", PASSWORD, None).await;
    for _ in 0..4 {
        let (status, wrong) = app.log_in_as("the-auditor", "something else 1", None).await;
        assert_eq!((status, &wrong), (StatusCode::UNAUTHORIZED, &unknown));
    }
    assert_eq!(app.log_in_as("the-auditor", PASSWORD, None).await.0, StatusCode::OK);
    for _ in 0..5 {
        app.log_in_as("the-auditor", "something else 1", None).await;
    }
    let (status, locked) = app.log_in_as("the-auditor", PASSWORD, None).await;
    assert_eq!((status, locked), (StatusCode::UNAUTHORIZED, unknown), "locked");
    app.wait(59);
    assert_eq!(app.log_in_as("the-auditor", PASSWORD, None).await.0, StatusCode::UNAUTHORIZED);
    app.wait(1);
    assert_eq!(app.log_in_as("the-auditor", PASSWORD, None).await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_side_by_side_are_all_counted() {
    let app = App::new();
    let account = app.account(UserRole::Auditor);
    let now = app.city.clock.now();
    let guess = |n: u32| {
        let db = app.state.db.clone();
        let request = login_of("the-auditor", &format!("something else {n}"));
        std::thread::spawn(move || login::login(&db, (now, None), &request).map(|_| ()))
    };
    let guesses: Vec<_> = (0..12).map(guess).collect();
    for guess in guesses {
        assert!(matches!(guess.join().unwrap(), Err(PeopleError::Login)));
    }
    let (after, origin) = kept(&app, &account.user.id, "");
    assert_eq!(after.failures, 5, "no password was looked at after the fifth");
    assert_eq!(origin.failures, 5);
    assert_eq!(origin.locked_until, Some(now.plus_seconds(60)));
}

fn login_of(name: &str, password: &str) -> LoginRequest {
    LoginRequest { name: name.to_owned(), password: password.to_owned(), code: None }
}

/// What is kept of an account and of logins to it from there.
fn kept(app: &App, user: &UserId, from: &str) -> (rows::Account, rows::Origin) {
    let read = |tx: &Connection| {
        Ok::<_, DbError>((rows::account(tx, user)?.unwrap(), rows::origin(tx, user, from)?))
    };
    app.state.db.read(|tx| read(tx)).unwrap()
}

/// Whether a login from there goes well.
fn logs_in(app: &App, from: &str, password: &str) -> bool {
    let moment = (app.city.clock.now(), Some(from.parse().unwrap()));
    login::login(&app.state.db, moment, &login_of("the-auditor", password)).is_ok()
}

#[test]
fn whoever_fails_elsewhere_locks_nobody_out_and_guesses_no_more_than_a_hundred_times() {
    let app = App::new();
    let user = app.account(UserRole::Auditor).user.id;
    assert!(logs_in(&app, "192.0.2.1", PASSWORD));
    for _ in 0..5 {
        assert!(!logs_in(&app, "2001:db8:6:6::1", "something else 1"));
    }
    assert!(!logs_in(&app, "2001:db8:6:6:1:2:3:4", PASSWORD), "another address of that network");
    assert!(logs_in(&app, "192.0.2.2", PASSWORD), "an address that is new to it");
    assert_eq!(kept(&app, &user, "192.0.2.2").0.failures, 0);

    // From so many addresses that none is locked by itself.
    let guess = |n: u8| logs_in(&app, &format!("203.0.113.{n}"), "something else 1");
    (0..120).for_each(|n| assert!(!guess(n)));
    let (account, _) = kept(&app, &user, "");
    assert_eq!(account.failures, 100, "no password was looked at after the hundredth");
    assert_eq!(account.user.locked_until, Some(app.city.clock.now().plus_seconds(3600)));
    assert!(!logs_in(&app, "198.51.100.1", PASSWORD), "an address that is new to it");
    app.wait(3599);
    assert!(!guess(121));
    assert!(!logs_in(&app, "198.51.100.1", PASSWORD));
    app.wait(1);
    (122..130).for_each(|n| assert!(!guess(n)));
    assert_eq!(kept(&app, &user, "").0.failures, 101, "one an hour");
    assert!(logs_in(&app, "192.0.2.1", PASSWORD), "an address that it knows");
    assert!(logs_in(&app, "198.51.100.1", PASSWORD), "the count began anew");
}

#[test]
fn an_address_that_is_known_guesses_no_more_than_another_and_is_known_for_a_month() {
    let app = App::new();
    let user = app.account(UserRole::Auditor).user.id;
    assert!(logs_in(&app, "192.0.2.1", PASSWORD));
    (0..9).for_each(|_| assert!(!logs_in(&app, "192.0.2.1", "something else 1")));
    assert_eq!(kept(&app, &user, "192.0.2.1").1.failures, 5);
    app.wait(60);
    assert!(logs_in(&app, "192.0.2.1", PASSWORD));

    let fill = |n: u8| assert!(!logs_in(&app, &format!("203.0.113.{n}"), "something else 1"));
    app.wait(30 * 86_400 - 1);
    (0..100).for_each(fill);
    assert!(logs_in(&app, "192.0.2.1", PASSWORD), "within the month");
    app.wait(30 * 86_400);
    (0..100).for_each(fill);
    assert!(!logs_in(&app, "192.0.2.1", PASSWORD));
    assert_eq!(
        kept(&app, &user, "203.0.113.5").1.failures,
        1,
        "what was there before is forgotten"
    );
}

#[test]
fn a_login_of_nobody_writes_as_often_as_one_of_an_account() {
    let app = App::new();
    app.account(UserRole::Auditor);
    let commits = || -> u32 {
        let read = |tx: &Connection| {
            tx.query_row("SELECT writes FROM login_of_nobody", [], |row| row.get(0))
        };
        app.state.db.read::<_, DbError>(|tx| Ok(read(tx)?)).unwrap()
    };
    let moment = (app.city.clock.now(), None);
    let nobody = login_of("nobody", PASSWORD);
    assert!(login::login(&app.state.db, moment, &nobody).is_err());
    assert_eq!(commits(), 2, "before the password was looked at, and after");
    (0..5).for_each(|_| assert!(!logs_in(&app, "192.0.2.1", "something else 1")));
    assert_eq!(commits(), 2);
    assert!(!logs_in(&app, "192.0.2.1", PASSWORD), "locked");
    assert_eq!(commits(), 4);
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    let stolen = Session { cookie: session.cookie.clone(), csrf: String::new() };
    let other = app.log_in(UserRole::Operator);
    let mixed = Session { cookie: session.cookie.clone(), csrf: other.csrf };
    for forged in [stolen, mixed, Session { csrf: "é".repeat(32), cookie: session.cookie.clone() }]
    {
        let (status, refused) = app.tell(&forged, "/api/v1/poll", Value::Null).await;
        assert_eq!((status, slug(&refused)), (StatusCode::FORBIDDEN, "csrf"));
        assert_eq!(app.see(&forged, "/api/v1/pd").await.0, StatusCode::OK, "reading needs none");
    }
    assert_eq!(app.tell(&session, "/api/v1/poll", Value::Null).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_session_ends_by_itself_by_a_logout_and_with_its_account() {
    let app = App::new();
    let is_open =
        async |session: &Session| app.see(session, "/api/v1/me").await.0 == StatusCode::OK;
    let idle = app.log_in(UserRole::Auditor);
    app.wait(30 * 60 - 1);
    assert!(is_open(&idle).await);
    app.wait(30 * 60 - 1);
    assert!(is_open(&idle).await, "it was used meanwhile");
    app.wait(30 * 60);
    assert!(!is_open(&idle).await);

    let long = app.log_in(UserRole::Auditor);
    for _ in 0..47 {
        app.wait(15 * 60);
        assert!(is_open(&long).await);
    }
    app.wait(15 * 60);
    assert!(!is_open(&long).await, "twelve hours");

    let left = app.log_in(UserRole::Auditor);
    assert_eq!(app.tell(&left, "/api/v1/logout", Value::Null).await.0, StatusCode::OK);
    assert!(!is_open(&left).await);

    let (closed, admin) = (app.log_in(UserRole::Auditor), app.log_in(UserRole::Admin));
    let to = "/api/v1/users/the-auditor/disable";
    assert_eq!(app.tell(&admin, to, Value::Null).await.0, StatusCode::OK);
    assert!(!is_open(&closed).await);
    assert_eq!(app.log_in_as("the-auditor", PASSWORD, None).await.0, StatusCode::UNAUTHORIZED);
    let (status, _) = app.tell(&admin, "/api/v1/users/the-admin/disable", Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "the last administrator");
    app.tell(&admin, "/api/v1/users/the-auditor/enable", Value::Null).await;
    assert!(!is_open(&closed).await, "its sessions are gone for good");

    let reset = app.log_in(UserRole::Auditor);
    let to = "/api/v1/users/the-auditor/password";
    assert_eq!(app.tell(&admin, to, json!({ "password": NEW })).await.0, StatusCode::OK);
    assert!(!is_open(&reset).await);
    let (_, caller) = app.log_in_as("the-auditor", NEW, None).await;
    assert_eq!(caller["state"], "change_password");
}

#[tokio::test]
async fn a_token_speaks_for_its_account_within_its_limits() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    let make = async |writes: bool| {
        let input = json!({ "name": "cron", "writes": writes, "days": 30 });
        let (status, made) = app.tell(&session, "/api/v1/me/tokens", input).await;
        assert_eq!(status, StatusCode::CREATED);
        (
            made["token"]["id"].as_str().unwrap().to_owned(),
            made["text"].as_str().unwrap().to_owned(),
        )
    };
    let call = async |token: &str, method: Method, path: &str| {
        app.send_with_token(token, method, path, Value::Null).await
    };
    let (id, reads) = make(false).await;
    let (_, writes) = make(true).await;
    assert_eq!(call(&reads, Method::GET, "/api/v1/pd").await, StatusCode::OK);
    assert_eq!(call(&reads, Method::POST, "/api/v1/poll").await, StatusCode::FORBIDDEN);
    assert_eq!(call(&writes, Method::POST, "/api/v1/poll").await, StatusCode::ACCEPTED);
    // A token makes no tokens, and changes no password.
    for path in ["/api/v1/me/tokens", "/api/v1/me/password", "/api/v1/me/totp"] {
        assert_eq!(call(&writes, Method::POST, path).await, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(call("lbt_00", Method::GET, "/api/v1/pd").await, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&reads, Method::GET, "/api/v1/me/tokens").await, StatusCode::OK);
    let (_, mine) = app.see(&session, "/api/v1/me/tokens").await;
    assert!(!mine.to_string().contains("lbt_"), "no text of a token is shown again");
    let to = format!("/api/v1/me/tokens/{id}/revoke");
    assert_eq!(app.tell(&session, &to, Value::Null).await.0, StatusCode::OK);
    assert_eq!(call(&reads, Method::GET, "/api/v1/pd").await, StatusCode::UNAUTHORIZED);
    app.wait(30 * 86_400);
    assert_eq!(call(&writes, Method::GET, "/api/v1/pd").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn what_is_wrong_with_an_account_is_told_by_its_field() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let good =
        json!({ "name": "budi", "full_name": "Budi", "role": "auditor", "password": PASSWORD });
    let pd = app.city.pd.to_string();
    for (field, value, said) in [
        ("name", json!("Budi"), "name \"Budi\""),
        ("name", json!("b"), "name \"b\""),
        ("full_name", json!(" "), "full_name"),
        ("full_name", json!("a\nb"), "full_name"),
        ("password", json!("short"), "password"),
        ("role", json!("pd"), "pd:"),
        ("pd", json!(pd), "pd:"),
        ("role", json!("mayor"), "mayor"),
        ("role", json!("operator"), "console"),
        ("role", json!("admin"), "console"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let (status, refused) = app.tell(&admin, "/api/v1/users", bad).await;
        assert!(status.is_client_error(), "{field}: {status}");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(said), "{field}: {detail}");
        if status == StatusCode::UNPROCESSABLE_ENTITY {
            let named = said.split([':', ' ']).next().unwrap();
            assert_eq!(refused["errors"][0]["field"], named, "{refused}");
        }
    }
    assert_eq!(app.tell(&admin, "/api/v1/users", good).await.0, StatusCode::CREATED);
    let (_, all) = app.see(&admin, "/api/v1/users").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_certificate_is_an_operator_without_an_account() {
    let app = App::new();
    let (_, me) = app.call(&operator(), Method::GET, "/api/v1/me", None).await;
    assert_eq!((&me["kind"], &me["role"]), (&json!("certificate"), &json!("operator")));
    let (status, _) = app.post(&operator(), "/api/v1/me/password", json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_administrators_token_keeps_no_accounts_and_a_reset_takes_tokens_along() {
    let app = App::new();
    let (admin, auditor) = (app.log_in(UserRole::Admin), app.log_in(UserRole::Auditor));
    let make = async |session: &Session| {
        let input = json!({ "name": "cron", "writes": true, "days": 30 });
        app.tell(session, "/api/v1/me/tokens", input).await.1["text"].as_str().unwrap().to_owned()
    };
    let token = make(&admin).await;
    let account =
        json!({ "name": "budi", "full_name": "Budi", "role": "auditor", "password": NEW });
    let reset = json!({ "password": NEW, "without_totp": true });
    for (path, body) in [
        ("/api/v1/users", account),
        ("/api/v1/users/the-auditor/password", reset.clone()),
        ("/api/v1/users/the-auditor/disable", Value::Null),
        ("/api/v1/users/the-auditor/enable", Value::Null),
    ] {
        assert_eq!(
            app.send_with_token(&token, Method::POST, path, body).await,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    // Nobody who decides is let in again over the network, least of all by themselves.
    for name in ["the-admin", "the-operator"] {
        app.account(UserRole::Operator);
        let (status, _) =
            app.tell(&admin, &format!("/api/v1/users/{name}/password"), reset.clone()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}");
    }
    let old = make(&auditor).await;
    assert_eq!(
        app.send_with_token(&old, Method::GET, "/api/v1/pd", Value::Null).await,
        StatusCode::OK
    );
    let (status, _) = app.tell(&admin, "/api/v1/users/the-auditor/password", reset).await;
    assert_eq!(status, StatusCode::OK);
    let session = app.session("the-auditor", NEW, None).await;
    let change = json!({ "current": NEW, "new": PASSWORD });
    assert_eq!(app.tell(&session, "/api/v1/me/password", change).await.0, StatusCode::OK);
    assert_eq!(
        app.send_with_token(&old, Method::GET, "/api/v1/pd", Value::Null).await,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_stolen_session_guesses_no_password_and_moves_no_second_factor() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    let (_, given) = app.tell(&session, "/api/v1/me/totp", json!({})).await;
    let secret = given["secret"].as_str().unwrap().to_owned();
    let bytes: [u8; 20] =
        data_encoding::BASE32_NOPAD.decode(secret.as_bytes()).unwrap().try_into().unwrap();
    let code = code_at(&bytes, app.city.clock.now());
    let mut confirm = json!({ "secret": secret, "code": code, "password": PASSWORD });
    let to = "/api/v1/me/totp/confirm";
    let (status, refused) = app.tell(&session, to, confirm.clone()).await;
    assert_eq!((status, slug(&refused)), (StatusCode::UNAUTHORIZED, "code-needed"));
    confirm["present_code"] = "000000".into();
    assert_eq!(app.tell(&session, to, confirm.clone()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    confirm["password"] = "something else 1".into();
    for _ in 0..5 {
        assert_eq!(app.tell(&session, to, confirm.clone()).await.0, StatusCode::UNAUTHORIZED);
    }
    confirm["password"] = PASSWORD.into();
    app.wait(30);
    confirm["present_code"] = code_at(&[7; 20], app.city.clock.now()).into();
    confirm["code"] = code_at(&bytes, app.city.clock.now()).into();
    assert_eq!(app.tell(&session, to, confirm.clone()).await.0, StatusCode::UNAUTHORIZED, "locked");
    app.wait(60);
    confirm["present_code"] = code_at(&[7; 20], app.city.clock.now()).into();
    confirm["code"] = code_at(&bytes, app.city.clock.now()).into();
    assert_eq!(app.tell(&session, to, confirm).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_browser_that_tells_of_another_page_changes_nothing_by_a_certificate() {
    let app = App::new();
    let call = async |site: &str, method: Method, path: &str| {
        let headers = [("sec-fetch-site", site)];
        app.answer(request_of(&operator(), &headers, method, path, vec![])).await.0
    };
    for site in ["cross-site", "same-site", "x"] {
        assert_eq!(call(site, Method::POST, "/api/v1/poll").await, StatusCode::FORBIDDEN);
        assert_eq!(call(site, Method::POST, "/api/v1/login").await, StatusCode::FORBIDDEN);
        assert_eq!(call(site, Method::GET, "/api/v1/pd").await, StatusCode::OK);
    }
    assert_eq!(call("same-origin", Method::POST, "/api/v1/poll").await, StatusCode::ACCEPTED);
    assert_eq!(call("none", Method::POST, "/api/v1/poll").await, StatusCode::ACCEPTED);
}
