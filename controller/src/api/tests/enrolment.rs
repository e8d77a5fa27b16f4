//! Tokens, enrolment, renewal: the good way and every refusal.

use http::StatusCode;
use lumbung_model::{AgentId, Clock, DomainId, RepositoryId, SiteId};
use lumbung_pack::SigningKey;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::{Peer, Role, certs};
use serde_json::{Value, json};

use super::{App, certified, operator, request, slug};
use crate::testing::START;

async fn token(app: &App, body: Value) -> String {
    let (status, answer) = app.post(&operator(), "/api/v1/tokens", body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["ca_fingerprint"], app.state.authority.fingerprint());
    answer["token"].as_str().unwrap().to_owned()
}

async fn agent_token(app: &App) -> String {
    token(app, json!({ "role": "agent", "server": "simrs-1" })).await
}

fn agent_request(app: &App, token: &str) -> Value {
    json!({
        "token": token,
        "role": "agent",
        "csr_pem": request().1,
        "repository": app.city.repository,
        "agent": AgentId::random(),
        "agent_key": SigningKey::generate().public(),
        "domain": DomainId::random(),
    })
}

async fn enroll(app: &App, body: &Value) -> (StatusCode, Value) {
    app.post(&Peer::Anonymous, "/api/v1/enroll", body.clone()).await
}

#[tokio::test]
async fn an_agent_enrols_once_with_its_token() {
    let app = App::new();
    let body = agent_request(&app, &agent_token(&app).await);
    let (status, answer) = enroll(&app, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let facts = certs::facts(answer["certificate_pem"].as_str().unwrap()).unwrap();
    let names = facts.names.unwrap();
    assert_eq!(names.role, Role::Agent);
    assert_eq!(json!(names.agent), body["agent"]);
    assert_eq!(json!(names.agent_key), body["agent_key"]);
    assert_eq!(names.repository, Some(app.city.repository));
    assert_eq!(names.server, Some(app.city.server));
    assert_eq!(facts.not_after, START.plus_seconds(397 * 86_400));
    assert_eq!(answer["sites"].as_array().unwrap().len(), 2);
    assert_eq!(answer["datasets"][0]["name"], "SIMRS");
    assert_eq!(answer["ca_pems"], json!([app.state.authority.certificate_pem()]));

    let servers = app.get("/api/v1/servers").await;
    assert_eq!(servers[0]["agent"], body["agent"], "the newest agent is the server's");

    let (status, problem) = enroll(&app, &body).await;
    assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, "token-used"));
}

#[tokio::test]
async fn no_agent_enrols_for_a_server_that_is_retired_with_a_token_of_before() {
    let app = App::new();
    let body = agent_request(&app, &agent_token(&app).await);
    let input = json!({
        "kind": "server", "id": app.city.server, "from": START, "reason": "dijual", "with_contents": true,
    });
    let (status, _) = app.post(&operator(), "/api/v1/retirements", input).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, refused) = enroll(&app, &body).await;
    assert_eq!((status, slug(&refused)), (StatusCode::CONFLICT, "conflict"));
    assert!(refused["detail"].as_str().unwrap().contains("bring it back first"), "{refused}");
    let path = format!("/api/v1/retirements/{}/restore", app.city.server);
    let (status, _) = app.post(&operator(), &path, json!({ "reason": "keliru" })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(enroll(&app, &body).await.0, StatusCode::OK, "the token was not used up");
}

#[tokio::test]
async fn a_refused_enrolment_does_not_use_up_the_token() {
    let app = App::new();
    let text = agent_token(&app).await;
    for (change, status, expected) in [
        (json!({ "csr_pem": "nonsense" }), StatusCode::UNPROCESSABLE_ENTITY, "certificate-request"),
        (json!({ "agent": null }), StatusCode::BAD_REQUEST, "bad-request"),
        (json!({ "repository": null }), StatusCode::BAD_REQUEST, "bad-request"),
        (json!({ "agent_key": null }), StatusCode::BAD_REQUEST, "bad-request"),
        (json!({ "domain": null }), StatusCode::BAD_REQUEST, "bad-request"),
        (json!({ "role": "site" }), StatusCode::FORBIDDEN, "token-role"),
        (json!({ "role": "operator" }), StatusCode::FORBIDDEN, "token-role"),
        (json!({ "token": "LBG-AAAA" }), StatusCode::FORBIDDEN, "token-unknown"),
        (json!({ "surprise": 1 }), StatusCode::BAD_REQUEST, "bad-request"),
        // The city's agent, with another key.
        (json!({ "agent": app.city.agent }), StatusCode::CONFLICT, "conflict"),
        // Its key, under another id.
        (json!({ "agent_key": app.city.agent_key.public() }), StatusCode::CONFLICT, "conflict"),
    ] {
        let mut body = agent_request(&app, &text);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (found, problem) = enroll(&app, &body).await;
        assert_eq!((found, slug(&problem)), (status, expected), "{change}: {problem}");
    }
    assert_eq!(enroll(&app, &agent_request(&app, &text)).await.0, StatusCode::OK);
}

#[tokio::test]
async fn refused_enrolments_stand_in_the_audit_log_and_cannot_fill_it() {
    let app = App::new();
    let text = agent_token(&app).await;
    let body = agent_request(&app, &text);
    assert_eq!(enroll(&app, &body).await.0, StatusCode::OK);
    let mut unknown = body.clone();
    unknown["token"] = json!("LBG-AAAA");
    for _ in 0..25 {
        assert_eq!(enroll(&app, &unknown).await.0, StatusCode::FORBIDDEN);
    }
    assert_eq!(enroll(&app, &body).await.0, StatusCode::FORBIDDEN, "used");
    let refused = async || {
        let log = app.log().await.into_iter();
        log.filter(|entry| entry.action == "enrol.refuse").collect::<Vec<_>>()
    };
    let entries = refused().await;
    assert_eq!(entries.len(), 21, "20 of strangers, and the token that was used");
    let last = entries.last().unwrap();
    assert_eq!((last.subject.kind.as_str(), last.pd), ("server", Some(app.city.pd)));
    assert_eq!(last.actor.name, "unknown");
    let after = last.after.as_ref().unwrap();
    assert!(after["why"].as_str().unwrap().contains("was used at"), "{after}");
    assert!(!serde_json::to_string(&entries).unwrap().contains("LBG-AAAA"));

    app.city.clock.set(START.plus_seconds(3600));
    enroll(&app, &unknown).await;
    assert_eq!(refused().await.last().unwrap().after.as_ref().unwrap()["left_out_before"], 5);
}

#[tokio::test]
async fn tokens_expire_and_are_not_kept_in_clear() {
    let app = App::new();
    let text =
        token(&app, json!({ "role": "agent", "server": "DINKES/simrs-1", "life_h": 1 })).await;
    app.city.clock.set(START.plus_seconds(3600));
    let (status, problem) = enroll(&app, &agent_request(&app, &text)).await;
    assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, "token-expired"));
    let stored: Vec<u8> = app
        .city
        .db
        .read::<_, crate::db::DbError>(|tx| {
            Ok(tx.query_row("SELECT hash FROM tokens", [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(stored, crate::tokens::hash(&text));
}

#[tokio::test]
async fn tokens_are_for_what_the_register_knows() {
    let app = App::new();
    for (body, expected) in [
        (json!({ "role": "agent", "server": "nobody" }), StatusCode::NOT_FOUND),
        (json!({ "role": "site", "site": "nowhere" }), StatusCode::NOT_FOUND),
        (json!({ "role": "agent" }), StatusCode::BAD_REQUEST),
        (json!({ "role": "agent", "site": "DRC" }), StatusCode::BAD_REQUEST),
        (json!({ "role": "operator", "server": "simrs-1" }), StatusCode::BAD_REQUEST),
        (
            json!({ "role": "agent", "server": "simrs-1", "life_h": 10_000 }),
            StatusCode::BAD_REQUEST,
        ),
    ] {
        assert_eq!(
            app.post(&operator(), "/api/v1/tokens", body.clone()).await.0,
            expected,
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_repository_stays_with_its_pd() {
    let app = App::new();
    let (_, pd) =
        app.post(&operator(), "/api/v1/pd", json!({ "code": "RSUD", "name": "RSUD" })).await;
    let server = json!({ "pd": pd["id"], "name": "rsud-1", "kind": "vps" });
    assert_eq!(app.post(&operator(), "/api/v1/servers", server).await.0, StatusCode::CREATED);
    let text = token(&app, json!({ "role": "agent", "server": "rsud-1" })).await;
    // The repository is DINKES's.
    let (status, problem) = enroll(&app, &agent_request(&app, &text)).await;
    assert_eq!((status, slug(&problem)), (StatusCode::CONFLICT, "conflict"));
    let mut own = agent_request(&app, &text);
    own["repository"] = json!(RepositoryId::from_bytes([5; 32]));
    assert_eq!(enroll(&app, &own).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_same_agent_may_enrol_again() {
    let app = App::new();
    let mut body = agent_request(&app, &agent_token(&app).await);
    assert_eq!(enroll(&app, &body).await.0, StatusCode::OK);
    body["token"] = json!(agent_token(&app).await);
    assert_eq!(enroll(&app, &body).await.0, StatusCode::OK);
    body["token"] = json!(agent_token(&app).await);
    body["domain"] = json!(DomainId::random());
    assert_eq!(enroll(&app, &body).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_token_for_one_server_gives_no_certificate_of_anothers_agent() {
    let app = App::new();
    let mut body = agent_request(&app, &agent_token(&app).await);
    assert_eq!(enroll(&app, &body).await.0, StatusCode::OK);
    let pds = app.get("/api/v1/pd").await;
    let server = json!({ "pd": pds[0]["id"], "name": "neighbour", "kind": "vps" });
    assert_eq!(app.post(&operator(), "/api/v1/servers", server).await.0, StatusCode::CREATED);
    // What the agent says of itself can be read in its roster; only the certificate's key is the neighbour's.
    body["token"] = json!(token(&app, json!({ "role": "agent", "server": "neighbour" })).await);
    body["csr_pem"] = json!(request().1);
    let (status, problem) = enroll(&app, &body).await;
    assert_eq!((status, slug(&problem)), (StatusCode::CONFLICT, "conflict"), "{problem}");
}

#[tokio::test]
async fn a_site_enrols_with_the_id_and_keys_of_its_vault() {
    let app = App::new();
    let site = json!({ "name": "Ketiga", "kind": "other", "latitude": -6.2, "longitude": 106.8 });
    let (status, created) = app.post(&operator(), "/api/v1/sites", site).await;
    assert_eq!(status, StatusCode::CREATED);
    let (own, key) = (SiteId::random(), SigningKey::generate());
    let (tls_key, csr) = request();
    let pin =
        certs::facts(&certs::self_signed_site_certificate(&tls_key, own).unwrap()).unwrap().pin;
    let mut body = json!({
        "token": token(&app, json!({ "role": "site", "site": "Ketiga" })).await,
        "role": "site",
        "csr_pem": csr,
        "site": own,
        "receipt_key": key.public(),
        "url": "https://vault3.example.go.id:7443",
        "tls_pin": lumbung_model::TlsPin::from_bytes([9; 32]),
    });
    let (status, problem) = enroll(&app, &body).await;
    assert_eq!((status, slug(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, "tls-pin"));
    body["tls_pin"] = json!(pin);
    body["url"] = json!("http://vault3");
    assert_eq!(enroll(&app, &body).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    body["url"] = json!("https://vault3.example.go.id:7443");
    let (status, answer) = enroll(&app, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["site"], json!(own));
    let facts = certs::facts(answer["certificate_pem"].as_str().unwrap()).unwrap();
    assert_eq!((facts.pin, facts.names), (pin, Some(CertificateNames::site(own))));

    let row = app.get(&format!("/api/v1/sites/{own}")).await;
    assert_eq!((&row["tls_pin"], &row["receipt_key"]), (&json!(pin), &json!(key.public())));
    assert_eq!(row["latitude"], json!(-6.2));
    let (status, _) = app
        .call(
            &operator(),
            http::Method::GET,
            &format!("/api/v1/sites/{}", created["id"].as_str().unwrap()),
            None,
        )
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the id is the vault's now");

    // Enrolling again is fine with the same keys, and refused with others.
    for (change, expected) in [
        (json!({}), StatusCode::OK),
        (json!({ "receipt_key": SigningKey::generate().public() }), StatusCode::CONFLICT),
        (json!({ "site": SiteId::random() }), StatusCode::CONFLICT),
        (json!({ "csr_pem": request().1, "tls_pin": null }), StatusCode::CONFLICT),
    ] {
        let mut again = body.clone();
        again["token"] = json!(token(&app, json!({ "role": "site", "site": "Ketiga" })).await);
        again.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(enroll(&app, &again).await.0, expected, "{change}");
    }
}

#[tokio::test]
async fn a_site_cannot_take_the_place_of_another() {
    let app = App::new();
    let (status, _) =
        app.post(&operator(), "/api/v1/sites", json!({ "name": "Baru", "kind": "drc" })).await;
    assert_eq!(status, StatusCode::CREATED);
    for (own, key) in [
        (app.city.drc.id, SigningKey::generate().public()),
        (SiteId::random(), app.city.drc.key.public()),
    ] {
        let body = json!({
            "token": token(&app, json!({ "role": "site", "site": "Baru" })).await,
            "role": "site", "csr_pem": request().1, "site": own, "receipt_key": key, "url": "https://x:1",
        });
        let (status, problem) = enroll(&app, &body).await;
        assert_eq!((status, slug(&problem)), (StatusCode::CONFLICT, "conflict"));
    }
}

#[tokio::test]
async fn certificates_renew_for_the_same_identity() {
    let app = App::new();
    app.city.clock.set(START.plus_seconds(90 * 86_400));
    let (status, answer) =
        app.post(&app.agent(), "/api/v1/renew", json!({ "csr_pem": request().1 })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let facts = certs::facts(answer["certificate_pem"].as_str().unwrap()).unwrap();
    assert_eq!(facts.names.unwrap().agent, Some(app.city.agent));
    assert_eq!(facts.not_after, app.city.clock.now().plus_seconds(397 * 86_400));

    let operator_again =
        app.post(&operator(), "/api/v1/renew", json!({ "csr_pem": request().1 })).await;
    assert_eq!(operator_again.0, StatusCode::OK);

    // An agent that the register knows with another key is somebody else.
    let impostor = certified(CertificateNames::agent(
        app.city.repository,
        app.city.agent,
        SigningKey::generate().public(),
        Some(app.city.server),
    ));
    let (status, _) = app.post(&impostor, "/api/v1/renew", json!({ "csr_pem": request().1 })).await;
    assert_eq!(status, StatusCode::CONFLICT);

    // A site renews for the TLS key that rosters pin, and for no other.
    let site = certified(CertificateNames::site(app.city.drc.id));
    let (status, problem) =
        app.post(&site, "/api/v1/renew", json!({ "csr_pem": request().1 })).await;
    assert_eq!((status, slug(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, "tls-pin"));
}

#[tokio::test]
async fn datasets_stay_with_the_repository_of_the_first_agent() {
    let app = App::new();
    let first = agent_request(&app, &agent_token(&app).await);
    assert_eq!(enroll(&app, &first).await.0, StatusCode::OK);
    let pinned = async || app.get("/api/v1/datasets").await[0]["repository"].clone();
    assert_eq!(pinned().await, json!(app.city.repository));
    let mut second = agent_request(&app, &agent_token(&app).await);
    second["repository"] = json!(RepositoryId::from_bytes([6; 32]));
    assert_eq!(enroll(&app, &second).await.0, StatusCode::OK);
    assert_eq!(pinned().await, json!(app.city.repository));
}
