//! Policies over HTTP: delivery to agents, what people see, four eyes, custodians' words.

use http::{Method, StatusCode};
use lumbung_model::PolicyHash;
use lumbung_pack::SigningKey;
use lumbung_wire::Peer;
use lumbung_wire::messages::people::UserRole;
use lumbung_wire::messages::policy::{Policy, PolicyDelivery};
use lumbung_wire::policy;
use serde_json::{Value, json};

use super::{App, Session, operator, stranger_agent};
use crate::act::Act;
use crate::db::{people as people_rows, rosters};
use crate::policies::{self, Asker, Terms};
use crate::testing::START;

impl App {
    /// The register's one dataset with these paths, entered by somebody.
    async fn import(&self, session: &Session, paths: &[&str], exclude: &[&str]) {
        let city = &self.city;
        let toml = format!(
            "[[pd]]\nid = \"{}\"\ncode = \"DINKES\"\nname = \"Dinas Kesehatan\"\n\
             [[pd.server]]\nid = \"{}\"\nname = \"simrs-1\"\nkind = \"physical\"\n\
             [[pd.server.dataset]]\nid = \"{}\"\nname = \"SIMRS\"\nkind = \"files\"\n\
             classification = \"non_public\"\nurgency = \"high\"\npaths = {paths:?}\nexclude = {exclude:?}\n",
            city.pd, city.server, city.dataset
        );
        let (peer, path) = (Peer::Anonymous, "/api/v1/import");
        let (status, answer) =
            self.send_as(&peer, Some(session), Method::POST, path, toml.into_bytes()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// What the running controller does by itself.
    fn publish(&self) {
        let act = Act::controller(START);
        let (terms, key) = (Terms::of(&self.state.profile), Some(&self.state.policy_key));
        let asker = Asker { act: &act, user: None };
        self.state.db.write(|tx| policies::reconcile(tx, asker, terms, key)).unwrap();
    }

    async fn delivered(&self) -> (Policy, PolicyDelivery) {
        let (status, answer) = self.call(&self.agent(), Method::GET, "/api/v1/policy", None).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let delivery: PolicyDelivery = serde_json::from_value(answer).unwrap();
        let key = self.state.policy_key.public();
        (policy::open(&delivery.policy, &key).unwrap().0, delivery)
    }

    async fn decides(&self, session: &Session, request: &Value, what: &str) -> StatusCode {
        let path = format!("/api/v1/approvals/{}/{what}", request.as_str().unwrap());
        self.tell(session, &path, Value::Null).await.0
    }

    /// A second account of the role of an operator.
    fn second_operator(&self) -> Session {
        let mut second = self.account(UserRole::Operator);
        second.user.id = lumbung_model::UserId::random();
        second.user.name = "second-operator".into();
        self.state.db.write(|tx| people_rows::put_account(tx, &second)).unwrap();
        self.log_in_to(&second)
    }

    async fn entry(&self) -> Value {
        self.get("/api/v1/policies").await[0].clone()
    }
}

#[tokio::test]
async fn an_agent_gets_its_own_policy_and_tells_what_it_made_of_it() {
    let app = App::new();
    let (status, _) = app.call(&app.agent(), Method::GET, "/api/v1/policy", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "there is none yet");
    let operator = app.log_in(UserRole::Operator);
    app.import(&operator, &["/srv/a"], &[]).await;
    app.publish();
    let (status, _) = app.call(&stranger_agent(), Method::GET, "/api/v1/policy", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "another agent gets nothing");
    let (policy, delivery) = app.delivered().await;
    assert_eq!((policy.version, policy.agent), (1, app.city.agent));
    let hash = policy::hash(&delivery.policy.text);

    let told = json!({ "follows": true, "applied": { "version": 1, "hash": hash }, "refused": "" });
    let beat = json!({ "now": START, "version": "0.1.0", "health": {}, "policy": told });
    let (status, answer) = app.post(&app.agent(), "/api/v1/heartbeat", beat.clone()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["policy"], json!({ "version": 1, "hash": hash, "confirmed": false }));
    assert_eq!(app.entry().await["told"], told);
    // A heartbeat that says nothing of policies leaves what was told; one that says too much is refused.
    let mut silent = beat.clone();
    silent.as_object_mut().unwrap().remove("policy");
    app.post(&app.agent(), "/api/v1/heartbeat", silent).await;
    assert_eq!(app.entry().await["told"], told);
    let mut long = beat;
    long["policy"]["refused"] = json!("x".repeat(5000));
    let (status, _) = app.post(&app.agent(), "/api/v1/heartbeat", long).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn whoever_changed_the_register_does_not_decide_that_less_is_backed_up() {
    let app = App::new();
    let (first, second) = (app.log_in(UserRole::Operator), app.second_operator());
    app.import(&first, &["/srv/a", "/srv/b"], &[]).await;
    app.publish();
    app.import(&first, &["/srv/a"], &[]).await;
    let request = app.entry().await["waiting"].clone();
    let all = app.get("/api/v1/approvals").await;
    assert_eq!((&all[0]["id"], &all[0]["asked_by"]), (&request, &json!("the-operator")));
    assert_eq!(all[0]["words"], "back up less of simrs-1: SIMRS: without /srv/b");
    assert_eq!(app.decides(&first, &request, "approve").await, StatusCode::FORBIDDEN);
    let (status, _) = app
        .post(
            &operator(),
            &format!("/api/v1/approvals/{}/approve", request.as_str().unwrap()),
            Value::Null,
        )
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN, "a certificate names nobody");
    app.publish();
    assert_eq!(app.delivered().await.0.version, 1);

    // Somebody else asks for still less: now neither of the two decides.
    app.import(&second, &["/srv/a"], &["*.log"]).await;
    assert_eq!(app.decides(&second, &request, "approve").await, StatusCode::CONFLICT, "over");
    let request = app.entry().await["waiting"].clone();
    for session in [&first, &second] {
        assert_eq!(app.decides(session, &request, "approve").await, StatusCode::FORBIDDEN);
    }
    let custodian = app.log_in(UserRole::Custodian);
    let (_, seen) = app.see(&custodian, "/api/v1/approvals").await;
    assert_eq!(seen[0]["id"], request);
    assert_eq!(app.decides(&custodian, &request, "approve").await, StatusCode::OK);
    assert_eq!(app.delivered().await.0.version, 1, "the controller publishes by itself");
    app.publish();
    let (policy, _) = app.delivered().await;
    assert_eq!((policy.version, policy.content.jobs[0].exclude.len()), (2, 1));
    let audit = app.get("/api/v1/audit").await.to_string();
    for action in ["policy.publish", "approval.ask", "approval.withdraw", "approval.approve"] {
        assert!(audit.contains(action), "{action}");
    }
}

#[tokio::test]
async fn an_operator_may_decide_what_another_one_asked_but_not_what_a_certificate_did() {
    let app = App::new();
    let (first, second) = (app.log_in(UserRole::Operator), app.second_operator());
    app.import(&first, &["/srv/a", "/srv/b"], &[]).await;
    app.publish();
    app.import(&first, &["/srv/a"], &[]).await;
    let request = app.entry().await["waiting"].clone();
    assert_eq!(app.decides(&second, &request, "refuse").await, StatusCode::OK);
    app.publish();
    let detail = app.get(&format!("/api/v1/policies/{}", app.city.server)).await;
    assert_eq!(detail["waiting"]["refused"], true);
    assert_eq!(detail["entry"].get("waiting"), None);
    let alarms = app.get("/api/v1/alarms").await.to_string();
    assert!(alarms.contains("policy-narrowed") && alarms.contains("refused"), "{alarms}");

    // Whoever holds the certificate may have an account too.
    let toml = json!({ "toml": format!(
        "[[pd]]\ncode = \"DINKES\"\nname = \"Dinas Kesehatan\"\n[[pd.server]]\nname = \"simrs-1\"\nkind = \"physical\"\n\
         [[pd.server.dataset]]\nid = \"{}\"\nname = \"SIMRS\"\nkind = \"files\"\nclassification = \"non_public\"\n\
         urgency = \"high\"\npaths = [\"/srv/b\"]\n", app.city.dataset) });
    let (status, answer) = app.post(&operator(), "/api/v1/import", toml).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let request = app.entry().await["waiting"].clone();
    assert_eq!(app.decides(&second, &request, "approve").await, StatusCode::FORBIDDEN);
    let admin = app.log_in(UserRole::Admin);
    assert_eq!(app.decides(&admin, &request, "approve").await, StatusCode::OK);
}

#[tokio::test]
async fn an_administrator_does_not_agree_with_itself_as_a_custodian_of_its_own_making() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let input = json!({ "name": "boneka", "full_name": "Boneka", "role": "custodian",
        "pd": app.city.pd, "password": super::PASSWORD });
    assert_eq!(app.tell(&admin, "/api/v1/users", input).await.0, StatusCode::CREATED);
    let find = |tx: &rusqlite::Transaction<'_>| people_rows::account_by_name(tx, "boneka");
    let mut account = app.state.db.read(find).unwrap().unwrap();
    (account.user.password_is_new, account.totp) = (false, Some([9; 20]));
    app.state.db.write(|tx| people_rows::put_account(tx, &account)).unwrap();
    let puppet = app.log_in_to(&account);

    app.import(&admin, &["/srv/a", "/srv/b"], &[]).await;
    app.publish();
    app.import(&admin, &["/srv/a"], &[]).await;
    let request = app.entry().await["waiting"].clone();
    assert_eq!(app.decides(&puppet, &request, "approve").await, StatusCode::FORBIDDEN);
    // Of somebody whose account another one keeps, it is taken.
    let custodian = app.log_in(UserRole::Custodian);
    assert_eq!(app.decides(&custodian, &request, "approve").await, StatusCode::OK);
}

#[tokio::test]
async fn a_custodians_word_is_kept_if_it_is_the_pds_about_the_newest() {
    let app = App::new();
    let custodian = app.log_in(UserRole::Custodian);
    app.import(&app.log_in(UserRole::Operator), &["/srv/a"], &[]).await;
    app.publish();
    let (policy, delivery) = app.delivered().await;
    let hash = policy::hash(&delivery.policy.text);
    let to = format!("/api/v1/policies/{}/confirm", app.city.server);
    let word = json!(policy::confirm(hash, policy.agent, &app.city.root));
    let (status, _) = app.tell(&custodian, &to, word.clone()).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "no roster is known yet");
    let chain = lumbung_pack::RosterChain::from_objects(
        app.city.repository,
        vec![app.city.first_roster.clone()],
    );
    app.state.db.write(|tx| rosters::put_chain(tx, &chain.unwrap())).unwrap();

    let stranger = json!(policy::confirm(hash, policy.agent, &SigningKey::generate()));
    let other = json!(policy::confirm(PolicyHash::ZERO, policy.agent, &app.city.root));
    let mut spoilt = word.clone();
    spoilt["agent"] = json!("00".repeat(16));
    for (bad, expected) in [
        (stranger, StatusCode::UNPROCESSABLE_ENTITY),
        (other, StatusCode::CONFLICT),
        (spoilt, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(app.tell(&custodian, &to, bad.clone()).await.0, expected, "{bad}");
        assert_eq!(app.delivered().await.1.confirmation, None);
    }
    let (status, detail) = app.tell(&custodian, &to, word.clone()).await;
    assert_eq!((status, &detail["confirmation"]), (StatusCode::CREATED, &word));
    assert_eq!(app.entry().await["confirmed"], true);
    assert_eq!(json!(app.delivered().await.1.confirmation), word);
    let of_nobody = app.send_as(&Peer::Anonymous, None, Method::POST, &to, b"{}".to_vec()).await;
    assert_eq!(of_nobody.0, StatusCode::UNAUTHORIZED);
}
