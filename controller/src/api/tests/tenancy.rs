//! Whoever belongs to one PD learns nothing of another: not from an answer, not from a refusal, not from a count.

use http::{Method, StatusCode};
use lumbung_model::{
    AgentId, AnomalyId, ApplicationId, CareId, ContactPersonId, DatasetId, DepositId, DeviceId,
    DomainId, HandoverId, PdId, PublicKey, RepositoryId, ReservationId, ServerId, ServiceId,
};
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::super::access::Access;
use super::super::routes;
use super::{App, operator};
use crate::act::Act;
use crate::anomalies;
use crate::db::agents::{self, AgentRow};
use crate::db::alarms::{self, Finding};
use crate::db::anomalies as rows;
use crate::db::{DbError, register};
use crate::people::access;
use crate::policies::{self, Asker, Terms};

/// Another PD with everything that the register and the alarms may hold of it; whatever is its own has a name with this.
const MARK: &str = "zzz-other";

struct Other {
    pd: PdId,
    server: ServerId,
    dataset: DatasetId,
    repository: RepositoryId,
    service: ServiceId,
    application: ApplicationId,
    person: ContactPersonId,
    device: DeviceId,
    reservation: ReservationId,
    handover: HandoverId,
    care: CareId,
    deposit: DepositId,
    agent: AgentId,
    anomaly: AnomalyId,
}

impl Other {
    async fn enter(app: &App) -> Self {
        let mut other = Self {
            deposit: DepositId::ZERO,
            pd: PdId::random(),
            server: ServerId::random(),
            dataset: DatasetId::random(),
            repository: RepositoryId::from_bytes([9; 32]),
            service: ServiceId::random(),
            application: ApplicationId::random(),
            person: ContactPersonId::random(),
            device: DeviceId::random(),
            reservation: ReservationId::random(),
            handover: HandoverId::random(),
            care: CareId::random(),
            agent: AgentId::random(),
            anomaly: AnomalyId::ZERO,
        };
        let toml = format!(
            "[[pd]]\nid = \"{}\"\ncode = \"ZZZ\"\nname = \"{MARK}\"\ncontact = \"{MARK}\"\n\
             [[pd.server]]\nid = \"{}\"\nname = \"{MARK}\"\nkind = \"vps\"\n\
             [[pd.server.care]]\nid = \"{}\"\nname = \"{MARK}\"\nkind = \"patching\"\ndone_on = \"2027-01-01\"\nby = \"{MARK}\"\n\
             [[pd.server.dataset]]\nid = \"{}\"\nname = \"{MARK}\"\nkind = \"files\"\nclassification = \"non_public\"\n\
             urgency = \"critical\"\nrepository = \"{}\"\n\
             [[pd.service]]\nid = \"{}\"\nname = \"{MARK}\"\n\
             [[pd.application]]\nid = \"{}\"\nname = \"{MARK}\"\nservers = [\"{MARK}\"]\n\
             [[pd.contact_person]]\nid = \"{}\"\nname = \"{MARK}\"\n\
             [[pd.device]]\nid = \"{}\"\nname = \"{MARK}\"\nkind = \"server\"\ncondition = \"baik\"\n\
             [[pd.reservation]]\nid = \"{}\"\nname = \"{MARK}\"\nsite = \"Pusat Data {MARK}\"\nbuilding = \"{MARK}\"\n\
             room = \"{MARK}\"\nrack = \"{MARK}\"\nlowest_u = 1\nheight_u = 1\nface = \"front\"\nuntil = \"2027-12-31\"\n\
             [[pd.handover]]\nid = \"{}\"\nname = \"{MARK}\"\nserver = \"{MARK}\"\nfrom_person = \"{MARK}\"\n\
             to_person = \"{MARK}\"\nhanded_on = \"2027-01-01\"\n\
             [[site]]\nname = \"Pusat Data {MARK}\"\nkind = \"other\"\n[[site.building]]\nname = \"{MARK}\"\n\
             [[site.building.room]]\nname = \"{MARK}\"\nkind = \"other\"\n\
             [[site.building.room.rack]]\nname = \"{MARK}\"\nheight_u = 4\n",
            other.pd,
            other.server,
            other.care,
            other.dataset,
            other.repository,
            other.service,
            other.application,
            other.person,
            other.device,
            other.reservation,
            other.handover
        );
        let (status, answer) =
            app.post(&operator(), "/api/v1/import", json!({ "toml": toml })).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let finding = Finding {
            subject: MARK.to_owned(),
            pd: Some(other.pd),
            site: None,
            service: None,
            detail: MARK.to_owned(),
        };
        let now = super::START;
        app.state.db.write(|tx| alarms::raise(tx, now, "test", &finding)).unwrap();
        other.deposit = other.owe(app).await;
        other.narrow_a_policy(app);
        other.anomaly = other.attacked(app);
        other
    }

    /// Something that it owes and has handed in, for its application.
    async fn owe(&self, app: &App) -> DepositId {
        let input = json!({
            "title_id": MARK, "due_on": "2027-01-20", "application": self.application,
        });
        let (status, made) = app.post(&operator(), "/api/v1/deposits", input.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        // Another stays overdue or due: counts would show it.
        app.post(&operator(), "/api/v1/deposits", input).await;
        let path = format!("/api/v1/deposits/{}/deliver", made["id"].as_str().unwrap());
        let document = json!({ "document": MARK, "sha256": "9".repeat(64), "bytes": 9 });
        let (status, answer) = app.post(&operator(), &path, document).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        made["id"].as_str().unwrap().parse().unwrap()
    }

    /// Its server has an agent with a policy, and less is asked for.
    fn narrow_a_policy(&self, app: &App) {
        let act = Act::controller(super::START);
        let with_paths = |paths: &[&str]| {
            let put = |tx: &rusqlite::Transaction<'_>| {
                let mut dataset = register::dataset(tx, &self.dataset)?.unwrap();
                dataset.paths = paths.iter().map(|path| (*path).to_owned()).collect();
                register::put_dataset(tx, &act, &dataset)?;
                let asker = Asker { act: &act, user: None };
                let key = &app.state.policy_key;
                policies::reconcile(tx, asker, Terms::of(&app.state.profile), Some(key))
            };
            app.state.db.write::<_, DbError>(put).unwrap();
        };
        let agent = AgentRow {
            agent: self.agent,
            server: self.server,
            repository: self.repository,
            key: PublicKey::from_bytes([8; 32]),
            domain: DomainId::random(),
        };
        app.state.db.write(|tx| agents::put_agent(tx, super::START, &agent)).unwrap();
        with_paths(&["/zzz-other/a", "/zzz-other/b"]);
        with_paths(&["/zzz-other/a"]);
    }

    /// A run of its agent looks like an attack.
    fn attacked(&self, app: &App) -> AnomalyId {
        let mut report = super::anomalies::suspicious(app, 77);
        report.dataset = self.dataset;
        if let Some(folder) = report.changes.iter_mut().flat_map(|one| &mut one.folders).next() {
            MARK.clone_into(&mut folder.path);
        }
        let take = |tx: &rusqlite::Transaction<'_>| {
            assert!(anomalies::take_in(tx, report.at, &self.agent, &report)?);
            Ok::<_, DbError>(rows::anomalies(tx, Some(&self.pd), None, 1)?[0].id)
        };
        app.state.db.write(take).unwrap()
    }

    /// The request about its policy.
    async fn request(&self, app: &App) -> String {
        let (_, all) = app.call(&operator(), Method::GET, "/api/v1/approvals", None).await;
        all[0]["id"].as_str().unwrap().to_owned()
    }

    /// Every text by which it could be known.
    fn traces(&self) -> Vec<String> {
        vec![
            MARK.to_owned(),
            "ZZZ".to_owned(),
            self.pd.to_string(),
            self.server.to_string(),
            self.dataset.to_string(),
            self.repository.to_string(),
            self.service.to_string(),
            self.application.to_string(),
            self.person.to_string(),
            self.device.to_string(),
            self.reservation.to_string(),
            self.handover.to_string(),
            self.care.to_string(),
            self.deposit.to_string(),
            self.agent.to_string(),
            self.anomaly.to_string(),
        ]
    }
}

/// The routes that somebody of a PD may read.
fn readable(role: UserRole) -> Vec<&'static str> {
    let reads = |access| match access {
        Access::Person(permission) => access::may(role, permission),
        access => access == Access::Own,
    };
    let found = routes().into_iter().map(|(route, _)| route);
    found
        .filter(|route| route.method == Method::GET && reads(route.access))
        .map(|route| route.path)
        .collect()
}

#[tokio::test]
async fn no_answer_and_no_refusal_shows_anything_of_another_pd() {
    let app = App::new();
    let (act, key) = (Act::controller(super::START), Some(&app.state.policy_key));
    let (asker, terms) = (Asker { act: &act, user: None }, Terms::of(&app.state.profile));
    app.state.db.write(|tx| policies::reconcile(tx, asker, terms, key)).unwrap();
    let before: Vec<_> = answers(&app).await;
    let other = Other::enter(&app).await;
    let after: Vec<_> = answers(&app).await;
    // The city's own answers do show it: the test would notice.
    let (_, all) = app.call(&operator(), Method::GET, "/api/v1/datasets", None).await;
    assert!(all.to_string().contains(MARK));
    let (_, all) = app.call(&operator(), Method::GET, "/api/v1/calendar", None).await;
    assert!(all.to_string().contains(MARK));
    for (role, path, answer) in &after {
        for trace in other.traces() {
            assert!(!answer.to_string().contains(&trace), "{role} {path}: {trace}");
        }
    }
    // Nothing is counted that is not the PD's own.
    assert_eq!(before, after);
}

async fn answers(app: &App) -> Vec<(UserRole, &'static str, Value)> {
    let mut answers = Vec::new();
    for role in [UserRole::Pd, UserRole::Custodian] {
        let session = app.log_in(role);
        for path in readable(role).into_iter().filter(|path| !path.contains("{id}")) {
            let (status, mut answer) = app.see(&session, path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            // Of each session its own.
            if let Some(token) = answer.get_mut("csrf_token") {
                *token = Value::Null;
            }
            answers.push((role, path, answer));
        }
    }
    answers
}

#[tokio::test]
async fn another_pds_ids_are_answered_like_ids_that_are_not_there() {
    let app = App::new();
    let other = Other::enter(&app).await;
    let session = app.log_in(UserRole::Pd);
    let nobody = "00000000000000000000000000000000";
    for path in readable(UserRole::Pd).into_iter().filter(|path| path.contains("{id}")) {
        let missing = app.see(&session, &path.replace("{id}", nobody)).await;
        assert_eq!(missing.0, StatusCode::NOT_FOUND, "{path}");
        for trace in other.traces() {
            let found = app.see(&session, &path.replace("{id}", &trace)).await;
            assert_eq!(found, missing, "{path} {trace}");
        }
    }
    // What a custodian may do, it may do to its own PD's.
    let custodian = app.log_in(UserRole::Custodian);
    let request = other.request(&app).await;
    let word = json!({ "policy": "0".repeat(64), "agent": other.agent, "key": "0".repeat(64), "signature": "0".repeat(128) });
    for (path, id, body) in [
        ("/api/v1/approvals/{id}/approve", &request, Value::Null),
        ("/api/v1/approvals/{id}/refuse", &request, Value::Null),
        ("/api/v1/approvals/{id}/withdraw", &request, Value::Null),
        ("/api/v1/policies/{id}/confirm", &other.server.to_string(), word),
    ] {
        let missing = app.tell(&custodian, &path.replace("{id}", nobody), body.clone()).await;
        assert_eq!(missing.0, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(app.tell(&custodian, &path.replace("{id}", id), body).await, missing, "{path}");
    }
    let asks_for_a_pd = |route: &super::super::Route| route.query.contains(&"pd");
    let queried: Vec<_> =
        routes().into_iter().map(|(route, _)| route).filter(asks_for_a_pd).collect();
    assert!(queried.len() >= 3);
    for route in queried {
        let missing = app.see(&session, &format!("{}?pd=NOBODY", route.path)).await;
        assert_eq!(missing.0, StatusCode::NOT_FOUND, "{}", route.path);
        for pd in [other.pd.to_string(), "ZZZ".to_owned()] {
            let found = app.see(&session, &format!("{}?pd={pd}", route.path)).await;
            assert_eq!(found, missing, "{}", route.path);
        }
        let own = app.see(&session, &format!("{}?pd=DINKES", route.path)).await;
        assert_eq!(own.0, StatusCode::OK);
    }
}

/// The rows of a list, or of a table.
fn rows_of(answer: &Value) -> Vec<Value> {
    answer.get("rows").unwrap_or(answer).as_array().unwrap().clone()
}

/// Every cursor that somebody who sees all gets of a list.
async fn cursors(app: &App, path: &str) -> Vec<String> {
    let (mut found, mut next) = (Vec::new(), Some(format!("{path}?limit=1")));
    while let Some(path) = next {
        next = app.page(&operator(), &path).await.1;
        let after = next.as_deref().and_then(|next| next.split("after=").nth(1));
        found.extend(after.map(str::to_owned));
    }
    found
}

#[tokio::test]
async fn a_cursor_or_a_filter_shows_only_some_of_what_one_sees_anyway() {
    let app = App::new();
    let other = Other::enter(&app).await;
    let session = app.log_in(UserRole::Pd);
    let lists = routes().into_iter().map(|(route, _)| route);
    let lists: Vec<_> = lists
        .filter(|route| {
            readable(UserRole::Pd).contains(&route.path) && route.query.contains(&"after")
        })
        .collect();
    assert!(lists.len() >= 5);
    let words = ["files", "vps", "critical", "missing", "true", "test", "never", "1", "en"];
    let mut values = other.traces();
    values.extend(words.map(str::to_owned));
    for route in lists {
        let path = route.path;
        let own = rows_of(&app.see(&session, path).await.1);
        for after in cursors(&app, path).await {
            let (status, answer) = app.see(&session, &format!("{path}?after={after}")).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(own.ends_with(&rows_of(&answer)), "{path}?after={after}: {answer}");
        }
        for name in route.query.iter().filter(|name| !["limit", "after"].contains(name)) {
            for value in &values {
                let (status, answer) = app.see(&session, &format!("{path}?{name}={value}")).await;
                if status != StatusCode::OK {
                    assert!(status.is_client_error(), "{path}?{name}={value}");
                    continue;
                }
                // In another language, a reason reads otherwise.
                let shown = rows_of(&answer);
                let known =
                    *name == "lang" || *name == "all" || shown.iter().all(|row| own.contains(row));
                assert!(known, "{path}?{name}={value}: {answer}");
                let traces = other.traces();
                assert!(
                    traces.iter().all(|trace| !answer.to_string().contains(trace)),
                    "{path}?{name}={value}"
                );
            }
        }
    }
}
