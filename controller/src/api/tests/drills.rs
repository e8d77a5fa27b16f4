//! Drills: plans that become verified and cease to be, runs told by their runner alone, failover by two people.

use http::{Method, StatusCode};
use lumbung_model::Clock as _;
use lumbung_wire::Peer;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, Session, operator, slug, stranger_agent};

const PLANS: &str = "/api/v1/drill-plans";

impl App {
    /// A plan that restores the city's dataset into a scratch place of the city's server.
    fn restore_plan(&self) -> Value {
        json!({
            "title": "Uji pulih SIMRS", "kind": "restore", "scenario": "Cakram server rusak.",
            "runner": self.city.server, "targets": { "rto": "2 h", "rpo": "24 h" },
            "participants": [{ "name": "Budi", "role": "pemimpin uji", "organisation": "Diskominfo", "contact": "0812" }],
            "datasets": [{ "key": "simrs", "dataset": self.city.dataset }],
            "steps": [
                { "id": "pulihkan", "title": "Pulihkan", "limit": "1 h",
                  "action": { "kind": "restore", "dataset": "simrs", "to": "scratch", "place": "uji-1" } },
                { "id": "lihat", "title": "Lihat isinya", "after": ["pulihkan"], "limit": "1 h",
                  "action": { "kind": "confirm", "text": "Isinya utuh.", "who": "pemimpin uji" } }
            ],
        })
    }

    /// A failover of nothing but a hook, with the Pusat Data cut off.
    fn failover_plan(&self) -> Value {
        let mut plan = self.restore_plan();
        plan["kind"] = json!("failover");
        plan["isolates"] = json!(self.city.pusat.id);
        plan["steps"].as_array_mut().unwrap().insert(
            0,
            json!({ "id": "putus", "title": "Putuskan", "limit": "1 min", "undo": { "hook": "sambung", "limit": "1 min" },
                    "action": { "kind": "isolate", "hook": "putus" } }),
        );
        plan
    }

    /// Enters a plan of the city's own PD; its id.
    async fn planned(&self, plan: Value) -> String {
        let input = json!({ "pd": self.city.pd, "plan": plan });
        let (status, made) = self.post(&operator(), PLANS, input).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    async fn plan_of(&self, id: &str) -> Value {
        self.get(&format!("{PLANS}/{id}")).await
    }

    async fn changed(&self, session: &Session, id: &str, plan: Value) -> (StatusCode, Value) {
        let path = format!("{PLANS}/{id}");
        let tag = self.tag_of(session, &path).await;
        let input = json!({ "pd": self.city.pd, "plan": plan });
        self.expecting(session, &format!("{path}/change"), &tag, input).await
    }

    /// Starts a run; its id.
    async fn started(&self, plan: &str, mode: &str) -> String {
        let input = json!({ "mode": mode, "reason": "jadwal 2027" });
        let (status, run) = self.post(&operator(), &format!("{PLANS}/{plan}/start"), input).await;
        assert_eq!(status, StatusCode::CREATED, "{run}");
        run["id"].as_str().unwrap().to_owned()
    }

    /// The journal of a run of the restore plan that goes well.
    fn journal(&self) -> Vec<Value> {
        let now = self.city.clock.now().0;
        let point =
            json!({ "snapshot": "5a".repeat(32), "taken": now - 3600, "entries": 3, "bytes": 99 });
        let what = [
            json!({ "event": "started", "mode": "drill" }),
            json!({ "event": "step_started", "step": "pulihkan" }),
            json!({ "event": "step_finished", "step": "pulihkan", "outcome": { "recovery_point": point } }),
            json!({ "event": "step_started", "step": "lihat" }),
            json!({ "event": "step_confirmed", "step": "lihat", "by": "Budi" }),
            json!({ "event": "failback", "why": "completed" }),
            json!({ "event": "undo_started", "step": "pulihkan" }),
            json!({ "event": "undo_finished", "step": "pulihkan" }),
            json!({ "event": "cleaned" }),
            json!({ "event": "finished" }),
        ];
        let numbered = (1..).zip(what);
        numbered.map(|(n, what)| json!({ "number": n, "at": now + n, "what": what })).collect()
    }

    async fn report(&self, peer: &Peer, run: &str, events: &[Value]) -> (StatusCode, Value) {
        self.post(peer, "/api/v1/drill-reports", json!({ "run": run, "events": events })).await
    }

    /// A run of that plan that goes well, told by the city's agent.
    async fn rehearsed(&self, plan: &str) -> String {
        let run = self.started(plan, "drill").await;
        self.wait(60);
        let (status, told) = self.report(&self.agent(), &run, &self.journal()).await;
        assert_eq!((status, &told["through"]), (StatusCode::OK, &json!(10)), "{told}");
        run
    }

    async fn standing(&self, plan: &str) -> (Value, Value) {
        let found = self.plan_of(plan).await;
        (found["state"].clone(), found.get("why").cloned().unwrap_or_default())
    }
}

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap()
}

#[tokio::test]
async fn a_plan_is_verified_by_a_good_run_of_exactly_it() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    assert_eq!(app.standing(&plan).await, (json!("not_verified"), json!("never")));
    let run = app.rehearsed(&plan).await;
    assert_eq!(app.standing(&plan).await, (json!("verified"), Value::Null));
    let found = app.plan_of(&plan).await;
    assert_eq!((&found["verified_by"], &found["revision"]), (&json!(run), &json!(1)));

    let dinas = app.log_in(UserRole::Operator);
    // A telephone number changes nothing that is carried out.
    let mut other = app.restore_plan();
    other["participants"][0]["contact"] = json!("0813");
    let (status, changed) = app.changed(&dinas, &plan, other).await;
    assert_eq!((status, &changed["revision"]), (StatusCode::OK, &json!(1)), "{changed}");
    assert_eq!(changed["state"], "verified");
    // Nor does who answers for the dataset; where it lies does.
    let path = format!("/api/v1/datasets/{}", app.city.dataset);
    for (patch, why) in [
        (json!({ "owner": "dr. Siti", "retention": "5 tahun" }), Value::Null),
        (json!({ "paths": ["/srv/lain"] }), json!("subject_changed")),
    ] {
        let tag = app.tag_of(&dinas, &path).await;
        let cookie = format!("__Host-lumbung={}", dinas.cookie);
        let headers =
            [("cookie", cookie.as_str()), ("x-csrf-token", &dinas.csrf), ("if-match", &tag)];
        let body = patch.to_string().into_bytes();
        let request = super::request_of(&Peer::Anonymous, &headers, Method::PATCH, &path, body);
        assert_eq!(app.answer(request).await.0, StatusCode::OK);
        assert_eq!(app.standing(&plan).await.1, why);
    }
    app.rehearsed(&plan).await;
    assert_eq!(app.standing(&plan).await.0, "verified");
    let mut other = app.restore_plan();
    other["steps"][0]["limit"] = json!("2 h");
    let (_, changed) = app.changed(&dinas, &plan, other).await;
    assert_eq!((&changed["revision"], &changed["why"]), (&json!(2), &json!("plan_changed")));
    // And it does not last for ever.
    app.rehearsed(&plan).await;
    assert_eq!(app.standing(&plan).await.0, "verified");
    app.wait(190 * 86_400);
    assert_eq!(app.standing(&plan).await, (json!("not_verified"), json!("expired")));
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_plan_is_told_and_a_draft_waits() {
    let app = App::new();
    let mut plan = app.restore_plan();
    plan["steps"][0]["after"] = json!(["lihat"]);
    plan["steps"][1]["action"]["who"] = json!("direktur");
    let (status, refused) = app.post(&operator(), PLANS, json!({ "plan": plan })).await;
    assert_eq!((status, slug(&refused)), (StatusCode::UNPROCESSABLE_ENTITY, "drill-plan"));
    let told: Vec<&str> = refused["errors"].as_array().unwrap().iter().map(detail).collect();
    assert_eq!(
        told,
        [
            "these steps wait for each other and could never begin: pulihkan → lihat → pulihkan",
            "step lihat: no participant has the role \"direktur\"; the roles are: pemimpin uji",
        ]
    );
    plan["draft"] = json!(true);
    let (status, draft) = app.post(&operator(), PLANS, json!({ "plan": plan })).await;
    assert_eq!((status, &draft["state"]), (StatusCode::CREATED, &json!("draft")), "{draft}");
    assert_eq!(draft["faults"].as_array().unwrap().len(), 2);
    let path = format!("{PLANS}/{}/start", draft["id"].as_str().unwrap());
    let (status, refused) =
        app.post(&operator(), &path, json!({ "mode": "drill", "reason": "x" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");

    let nobody = "00000000000000000000000000000000";
    let (_, pd) = app.post(&operator(), "/api/v1/pd", json!({ "code": "BARU", "name": "B" })).await;
    for (pointer, value, expected) in [
        ("/datasets/0/dataset", json!(nobody), StatusCode::NOT_FOUND),
        ("/runner", json!(nobody), StatusCode::NOT_FOUND),
        ("/steps/0/action/place", json!("/etc/passwd"), StatusCode::BAD_REQUEST),
        ("/title", json!("a\u{1b}[2J"), StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let mut plan = app.restore_plan();
        *plan.pointer_mut(pointer).unwrap() = value;
        let (status, refused) = app.post(&operator(), PLANS, json!({ "plan": plan })).await;
        assert_eq!(status, expected, "{pointer}: {refused}");
    }
    let foreign = json!({ "pd": pd["id"], "plan": app.restore_plan() });
    assert_eq!(app.post(&operator(), PLANS, foreign).await.0, StatusCode::CONFLICT);
    let mut plan = app.restore_plan();
    plan["steps"][1]["action"] =
        json!({ "kind": "check", "health": { "probe": { "target": "https://x:99999/" } } });
    assert!(app.post(&operator(), PLANS, json!({ "plan": plan })).await.0.is_client_error());
    // What a draft lacks it may lack; what would disturb a page it may not have.
    let mut plan = app.restore_plan();
    (plan["draft"], plan["scenario"]) = (json!(true), json!(""));
    assert_eq!(app.post(&operator(), PLANS, json!({ "plan": plan })).await.0, StatusCode::CREATED);
    plan["scenario"] = json!("a\u{1b}[2J");
    let (status, _) = app.post(&operator(), PLANS, json!({ "plan": plan })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn nobody_changes_what_they_have_not_seen() {
    let app = App::new();
    let dinas = app.log_in(UserRole::Operator);
    let id = app.planned(app.restore_plan()).await;
    let path = format!("{PLANS}/{id}");
    let input = json!({ "pd": app.city.pd, "plan": app.restore_plan() });
    let (status, _) = app.tell(&dinas, &format!("{path}/change"), input.clone()).await;
    assert_eq!(status, StatusCode::PRECONDITION_REQUIRED);
    let before = app.tag_of(&dinas, &path).await;
    let mut other = app.restore_plan();
    other["place"] = json!("NOC");
    assert_eq!(app.changed(&dinas, &id, other).await.0, StatusCode::OK);
    for (what, body) in [
        ("change", input),
        ("retire", json!({ "reason": "x" })),
        ("start", json!({ "mode": "drill", "reason": "x" })),
    ] {
        let (status, _) = app.expecting(&dinas, &format!("{path}/{what}"), &before, body).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "{what}");
    }
    // A run does not change what people enter.
    let before = app.tag_of(&dinas, &path).await;
    app.rehearsed(&id).await;
    let body = json!({ "reason": "diganti" });
    let (status, retired) = app.expecting(&dinas, &format!("{path}/retire"), &before, body).await;
    assert_eq!(status, StatusCode::OK, "{retired}");
    assert!(retired.get("due_on").is_none() && retired["retired"].is_i64(), "{retired}");
    assert_eq!(app.get(PLANS).await, json!([]));
    assert_eq!(app.get(&format!("{PLANS}?all=true")).await.as_array().unwrap().len(), 1);
    let (status, _) =
        app.tell(&dinas, &format!("{path}/start"), json!({ "mode": "drill", "reason": "x" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn the_runner_alone_writes_the_journal_and_only_what_follows() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    let run = app.started(&plan, "drill").await;
    let again = json!({ "mode": "drill", "reason": "lagi" });
    let (status, twice) = app.post(&operator(), &format!("{PLANS}/{plan}/start"), again).await;
    assert_eq!(status, StatusCode::CONFLICT, "never two at a time");
    assert!(detail(&twice).contains(&run), "{twice}");

    let (status, orders) = app.call(&app.agent(), Method::GET, "/api/v1/drill-orders", None).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(orders["orders"][0]["run"], json!(run));
    assert_eq!(
        (&orders["orders"][0]["through"], &orders["orders"][0]["plan"]["title"]),
        (&json!(0), &json!("Uji pulih SIMRS"))
    );
    let journal = app.journal();
    // Another agent learns nothing, not even that there is such a run.
    let (_, none) = app.call(&stranger_agent(), Method::GET, "/api/v1/drill-orders", None).await;
    assert_eq!(none["orders"], json!([]));
    let foreign = app.report(&stranger_agent(), &run, &journal).await;
    let missing = app.report(&stranger_agent(), "00000000000000000000000000000000", &journal).await;
    assert_eq!((foreign.0, foreign), (StatusCode::NOT_FOUND, missing));
    // People do not write it either.
    let dinas = app.log_in(UserRole::Operator);
    let path = format!("/api/v1/drill-runs/{run}/events");
    assert_eq!(app.tell(&dinas, &path, json!(journal)).await.0, StatusCode::CONFLICT);

    let real = json!({ "number": 1, "at": 5, "what": { "event": "started", "mode": "tabletop" } });
    let (status, refused) = app.report(&app.agent(), &run, &[real]).await;
    assert_eq!((status, &refused["errors"][0]["field"]), (StatusCode::CONFLICT, &json!("events")));
    // A gap, or something that does not follow, keeps nothing of the request.
    let (status, refused) =
        app.report(&app.agent(), &run, &[journal[0].clone(), journal[2].clone()]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(detail(&refused).contains("number 2 comes next"), "{refused}");
    let mut early = journal[3].clone();
    early["number"] = json!(2);
    let (_, refused) = app.report(&app.agent(), &run, &[journal[0].clone(), early]).await;
    assert!(detail(&refused).contains("cannot begin"), "{refused}");
    let found = app.get(&format!("/api/v1/drill-runs/{run}")).await;
    assert_eq!(found["events"], json!([]));

    // In parts, overlapping, again: it is kept once.
    for (part, through) in [(0..3, 3), (1..5, 5), (0..5, 5), (4..10, 10), (0..10, 10)] {
        let (status, told) = app.report(&app.agent(), &run, &journal[part]).await;
        assert_eq!((status, &told["through"]), (StatusCode::OK, &json!(through)), "{told}");
    }
    let mut forked = journal[4].clone();
    forked["what"]["by"] = json!("Orang lain");
    let (status, refused) = app.report(&app.agent(), &run, &[forked]).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(detail(&refused).contains("two journals"), "{refused}");
    let more = json!({ "number": 11, "at": 5, "what": { "event": "interrupted", "reason": "x" } });
    assert_eq!(app.report(&app.agent(), &run, &[more]).await.0, StatusCode::CONFLICT);
    let found = app.get(&format!("/api/v1/drill-runs/{run}")).await;
    assert_eq!(found["events"], json!(journal));
    assert_eq!(
        (&found["run"]["verdict"], &found["run"]["waits"]),
        (&json!("succeeded"), &json!(""))
    );
    let (_, orders) = app.call(&app.agent(), Method::GET, "/api/v1/drill-orders", None).await;
    assert_eq!(orders["orders"], json!([]), "it is over");
}

#[tokio::test]
async fn what_people_answer_reaches_the_runner() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    let run = app.started(&plan, "drill").await;
    let path = format!("/api/v1/drill-runs/{run}/answers");
    for bad in [
        json!({ "reply": "confirm" }),
        json!({ "reply": "confirm", "step": "lain" }),
        json!({ "reply": "failback", "step": "lihat" }),
        json!({ "reply": "skip", "step": "lihat" }),
        json!({ "reply": "confirm", "step": "lihat", "note": "a\u{1b}b" }),
    ] {
        let (status, refused) = app.post(&operator(), &path, bad.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {refused}");
    }
    let answer = json!({ "reply": "confirm", "step": "lihat", "note": "utuh" });
    let dinas = app.log_in(UserRole::Operator);
    let (status, found) = app.tell(&dinas, &path, answer).await;
    assert_eq!(status, StatusCode::OK, "{found}");
    let (_, orders) = app.call(&app.agent(), Method::GET, "/api/v1/drill-orders", None).await;
    let told = &orders["orders"][0]["answers"][0];
    assert_eq!((&told["number"], &told["by"]), (&json!(1), &json!("the-operator")));
    // It is a wish: the run is where its journal says.
    assert_eq!(found["run"]["waits"], "the runner has not begun it");
}

#[tokio::test]
async fn a_failover_in_earnest_takes_two_people() {
    let app = App::new();
    let plan = app.planned(app.failover_plan()).await;
    let (first, second) = (app.log_in(UserRole::Operator), app.log_in(UserRole::Admin));
    let now = app.city.clock.now().0;
    let start = format!("{PLANS}/{plan}/start");
    let (status, refused) =
        app.tell(&first, &start, json!({ "mode": "real", "reason": "padam" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    let path = format!("{PLANS}/{plan}/failover");
    let ahead = json!({ "outage": now + 60, "reason": "padam" });
    assert_eq!(app.tell(&first, &path, ahead).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let asked = json!({ "outage": now - 600, "reason": "listrik padam" });
    // A certificate names nobody.
    assert_eq!(app.post(&operator(), &path, asked.clone()).await.0, StatusCode::FORBIDDEN);
    let (status, approval) = app.tell(&first, &path, asked).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{approval}");
    assert!(
        approval["words"].as_str().unwrap().contains("Uji pulih SIMRS (revision 1)"),
        "{approval}"
    );
    assert_eq!(app.get("/api/v1/drill-runs").await, json!([]));
    let approve = format!("/api/v1/approvals/{}/approve", approval["id"].as_str().unwrap());
    assert_eq!(app.tell(&first, &approve, Value::Null).await.0, StatusCode::FORBIDDEN);
    let (status, done) = app.tell(&second, &approve, Value::Null).await;
    assert_eq!((status, &done["state"]), (StatusCode::OK, &json!("approved")), "{done}");
    let runs = app.get("/api/v1/drill-runs?open=true").await;
    assert_eq!(runs[0]["mode"], "real");
    assert_eq!(runs[0]["created_by"], "the-operator, the-admin");
    let (_, orders) = app.call(&app.agent(), Method::GET, "/api/v1/drill-orders", None).await;
    assert_eq!(orders["orders"][0]["outage"], json!(now - 600));

    // What was asked for of a plan that is another by now is not done.
    let other = app.planned(app.failover_plan()).await;
    let asked = json!({ "outage": now, "reason": "padam" });
    let (_, approval) = app.tell(&first, &format!("{PLANS}/{other}/failover"), asked).await;
    let mut plan = app.failover_plan();
    plan["targets"]["rto"] = json!("3 h");
    assert_eq!(app.changed(&first, &other, plan).await.0, StatusCode::OK);
    let approve = format!("/api/v1/approvals/{}/approve", approval["id"].as_str().unwrap());
    let (status, refused) = app.tell(&second, &approve, Value::Null).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert!(detail(&refused).contains("revision 2"), "{refused}");
    // A restore is never in earnest.
    let restore = app.planned(app.restore_plan()).await;
    let asked = json!({ "outage": now, "reason": "padam" });
    let (status, _) = app.tell(&first, &format!("{PLANS}/{restore}/failover"), asked).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_tabletop_is_told_by_people_and_verifies_nothing_that_is_carried_out() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    let run = app.started(&plan, "tabletop").await;
    let (_, orders) = app.call(&app.agent(), Method::GET, "/api/v1/drill-orders", None).await;
    assert_eq!(orders["orders"], json!([]), "nothing of it is carried out");
    assert_eq!(app.report(&app.agent(), &run, &app.journal()).await.0, StatusCode::NOT_FOUND);
    let mut number = 0;
    let mut event = |what: Value| {
        number += 1;
        json!({ "number": number, "at": 1_800_000_000 + number, "what": what })
    };
    let mut events = vec![event(json!({ "event": "started", "mode": "tabletop" }))];
    for step in ["pulihkan", "lihat"] {
        events.push(event(json!({ "event": "step_started", "step": step })));
        events.push(event(json!({ "event": "step_confirmed", "step": step, "by": "Budi" })));
    }
    events.push(event(json!({ "event": "failback", "why": "completed" })));
    events.push(event(json!({ "event": "cleaned" })));
    events.push(event(json!({ "event": "finished" })));
    let path = format!("/api/v1/drill-runs/{run}/events");
    let (status, told) = app.post(&operator(), &path, json!(events)).await;
    assert_eq!((status, &told["through"]), (StatusCode::OK, &json!(8)), "{told}");
    assert_eq!(app.get(&format!("/api/v1/drill-runs/{run}")).await["run"]["verdict"], "succeeded");
    assert_eq!(app.standing(&plan).await, (json!("not_verified"), json!("never")));
}

#[tokio::test]
async fn the_berita_acara_is_data_with_its_hash_and_takes_notes() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    let run = app.rehearsed(&plan).await;
    let path = format!("/api/v1/drill-runs/{run}");
    let before = app.get(&format!("{path}/acta")).await;
    assert_eq!(
        (&before["acta"]["verdict"], &before["acta"]["number"]),
        (&json!("succeeded"), &json!(""))
    );
    assert_eq!(before["acta"]["time_zone"], "Asia/Jakarta");
    assert_eq!(before["acta"]["datasets"][0]["pd"], "DINKES");
    assert_eq!(before["acta"]["log"].as_array().unwrap().len(), 10);
    for bad in [
        json!({ "number": "a\nb" }),
        json!({ "signatories": [{ "role": "", "name": "x" }] }),
        json!({ "corrections": [{ "what": "x", "by": "", "until": "2027-01-01" }] }),
    ] {
        let (status, _) = app.post(&operator(), &format!("{path}/notes"), bad.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    let notes = json!({
        "number": "555/1/2027", "signatories": [{ "role": "Kepala Dinas", "name": "Ahmad", "nip": "19700101" }],
        "corrections": [{ "what": "Perbaiki DNS", "by": "Budi", "until": "2027-02-01" }],
    });
    let (status, noted) = app.post(&operator(), &format!("{path}/notes"), notes).await;
    assert_eq!(status, StatusCode::OK, "{noted}");
    let after = app.get(&format!("{path}/acta")).await;
    assert_eq!(after["acta"]["number"], "555/1/2027");
    assert_ne!(after["sha256"], before["sha256"]);
    let acta: lumbung_model::drill::Acta = serde_json::from_value(after["acta"].clone()).unwrap();
    let hash = crate::drills::sha256_of(&acta).unwrap();
    assert_eq!(after["sha256"], json!(hash), "whoever has the data can reckon it");
    let log = app.get("/api/v1/audit").await.to_string();
    for action in ["drill_plan.add", "drill_run.start", "drill_run.note"] {
        assert!(log.contains(action), "{action}");
    }
}

#[tokio::test]
async fn what_is_overdue_or_left_lying_is_an_alarm() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    let alarms = async || {
        let now = app.city.clock.now();
        crate::drills::keep(&app.state.db, now, &app.state.profile).await.unwrap();
        let found = app.get("/api/v1/alarms").await;
        let kinds =
            found.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap().to_owned());
        kinds.filter(|kind| kind.starts_with("drill")).collect::<Vec<_>>()
    };
    assert!(alarms().await.is_empty());
    let due = app.get("/api/v1/drill-calendar").await;
    // The 15th of January and ninety days.
    assert_eq!((&due[0]["due_on"], &due[0]["overdue"]), (&json!("2027-04-15"), &json!(false)));
    app.wait(91 * 86_400);
    assert_eq!(alarms().await, ["drill-overdue"]);
    assert_eq!(app.get("/api/v1/drill-calendar").await[0]["overdue"], true);
    app.rehearsed(&plan).await;
    assert!(alarms().await.is_empty(), "it was held");
    assert_eq!(app.get("/api/v1/drill-calendar").await[0]["due_on"], "2027-10-16");

    let run = app.started(&plan, "drill").await;
    app.wait(86_400);
    assert_eq!(alarms().await, ["drill-unfinished"]);
    let close = format!("/api/v1/drill-runs/{run}/close");
    let (status, closed) =
        app.post(&operator(), &close, json!({ "reason": "server diganti" })).await;
    assert_eq!(status, StatusCode::OK, "{closed}");
    assert_eq!(closed["run"]["verdict"], "failed");
    assert!(alarms().await.is_empty());
    assert_eq!(app.report(&app.agent(), &run, &app.journal()).await.0, StatusCode::CONFLICT);
    assert_eq!(app.standing(&plan).await.0, "verified", "what was closed says nothing");

    // What goes on is not closed.
    let run = app.started(&plan, "drill").await;
    app.report(&app.agent(), &run, &app.journal()[..3]).await;
    let close = format!("/api/v1/drill-runs/{run}/close");
    let (status, _) = app.post(&operator(), &close, json!({ "reason": "x" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    app.wait(86_400);
    assert_eq!(app.post(&operator(), &close, json!({ "reason": "x" })).await.0, StatusCode::OK);
    assert_eq!(app.standing(&plan).await, (json!("not_verified"), json!("last_run")));

    // Nor is what its runner was given: it may have begun, and be cut off from here.
    let run = app.started(&plan, "drill").await;
    let (_, orders) = app.call(&app.agent(), Method::GET, "/api/v1/drill-orders", None).await;
    assert_eq!(orders["orders"][0]["run"], json!(run));
    let close = format!("/api/v1/drill-runs/{run}/close");
    let (status, _) = app.post(&operator(), &close, json!({ "reason": "x" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    app.wait(86_400);
    assert_eq!(app.post(&operator(), &close, json!({ "reason": "x" })).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_restore_test_is_started_by_its_schedule_once_at_a_time() {
    let app = App::new();
    let mut by_itself = app.restore_plan();
    by_itself["schedule"] = json!("0 2 * * *");
    // Nobody is there at night to confirm anything, and nothing is switched then.
    let input = json!({ "pd": app.city.pd, "plan": by_itself });
    let (status, refused) = app.post(&operator(), PLANS, input).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    assert!(detail(&refused).contains("asks nobody is run by itself"), "{refused}");
    by_itself["steps"].as_array_mut().unwrap().pop();
    let plan = app.planned(by_itself).await;
    let round = async || {
        let now = app.city.clock.now();
        crate::drills::start_due(&app.state.db, now, &app.state.profile).await.unwrap();
        crate::drills::keep(&app.state.db, now, &app.state.profile).await.unwrap();
        app.get("/api/v1/drill-runs").await.as_array().unwrap().clone()
    };
    assert_eq!(round().await.len(), 0, "it is due tonight");
    app.wait(86_400);
    let runs = round().await;
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!((&runs[0]["plan"], &runs[0]["created_by"]), (&json!(plan), &json!("controller")));
    app.wait(3 * 86_400);
    assert_eq!(round().await.len(), 1, "as long as one goes on no other one begins");

    // It fails: that is an alarm until one succeeds.
    let run = runs[0]["id"].as_str().unwrap().to_owned();
    let now = app.city.clock.now().0;
    let what = [
        json!({ "event": "started", "mode": "drill" }),
        json!({ "event": "step_started", "step": "pulihkan" }),
        json!({ "event": "step_failed", "step": "pulihkan", "reason": "tidak ada izin" }),
        json!({ "event": "failback", "why": "failed" }),
        json!({ "event": "undo_started", "step": "pulihkan" }),
        json!({ "event": "undo_finished", "step": "pulihkan" }),
        json!({ "event": "cleaned" }),
        json!({ "event": "finished" }),
    ];
    let events: Vec<Value> = (1..)
        .zip(what)
        .map(|(n, what)| json!({ "number": n, "at": now + n, "what": what }))
        .collect();
    let (status, told) = app.report(&app.agent(), &run, &events).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let runs = round().await;
    assert_eq!(runs.len(), 2, "the next one, which was due meanwhile, begins");
    let alarms = app.get("/api/v1/alarms").await.to_string();
    assert!(alarms.contains("restore-test-failed") && alarms.contains(&run), "{alarms}");
}

#[tokio::test]
async fn a_restore_test_that_cannot_be_started_is_told() {
    let app = App::new();
    let server = json!({ "pd": app.city.pd, "name": "drc-2", "kind": "physical" });
    let (_, server) = app.post(&operator(), "/api/v1/servers", server).await;
    let mut by_itself = app.restore_plan();
    by_itself["runner"] = server["id"].clone();
    by_itself["schedule"] = json!("0 2 * * *");
    by_itself["steps"].as_array_mut().unwrap().pop();
    app.planned(by_itself).await;
    let round = async || {
        let now = app.city.clock.now();
        crate::drills::start_due(&app.state.db, now, &app.state.profile).await.unwrap();
        crate::drills::keep(&app.state.db, now, &app.state.profile).await.unwrap();
        app.get("/api/v1/alarms?kind=restore-test-failed").await.to_string()
    };
    assert!(!round().await.contains("Uji pulih"));
    app.wait(86_400 + 3600);
    let told = round().await;
    assert!(told.contains("and cannot be started") && told.contains("no agent"), "{told}");
}

#[tokio::test]
async fn a_runner_whose_clock_is_behind_hides_no_failure() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    app.rehearsed(&plan).await;
    let run = app.started(&plan, "drill").await;
    let what = [
        json!({ "event": "started", "mode": "drill" }),
        json!({ "event": "step_started", "step": "pulihkan" }),
        json!({ "event": "step_failed", "step": "pulihkan", "reason": "rusak", "outcome": {} }),
        json!({ "event": "failback", "why": "failed" }),
        json!({ "event": "undo_started", "step": "pulihkan" }),
        json!({ "event": "undo_finished", "step": "pulihkan" }),
        json!({ "event": "cleaned" }),
        json!({ "event": "finished" }),
    ];
    // In 1970.
    let journal: Vec<Value> =
        (1..).zip(what).map(|(n, what)| json!({ "number": n, "at": n, "what": what })).collect();
    let (status, told) = app.report(&app.agent(), &run, &journal).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert_eq!(app.standing(&plan).await, (json!("not_verified"), json!("last_run")));
    let found = app.get(&format!("/api/v1/drill-runs/{run}")).await;
    assert_eq!(found["run"]["started"], found["run"]["created"]);
}

#[tokio::test]
async fn whoever_made_a_plan_that_cuts_something_off_does_not_start_its_drill_alone() {
    let app = App::new();
    let plan = app.planned(app.failover_plan()).await;
    let start = format!("{PLANS}/{plan}/start");
    let body = json!({ "mode": "drill", "reason": "jadwal 2027" });
    let (status, refused) = app.post(&operator(), &start, body.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert!(detail(&refused).contains("somebody else"), "{refused}");
    // Who corrects a telephone number has not made the revision.
    let (dinas, mut other) = (app.log_in(UserRole::Operator), app.failover_plan());
    other["participants"][0]["contact"] = json!("0813");
    let (status, changed) = app.changed(&dinas, &plan, other).await;
    assert_eq!((status, &changed["revision"]), (StatusCode::OK, &json!(1)), "{changed}");
    assert_eq!(app.post(&operator(), &start, body.clone()).await.0, StatusCode::CONFLICT);
    let (status, run) = app.tell(&dinas, &start, body).await;
    assert_eq!(status, StatusCode::CREATED, "{run}");
}

#[tokio::test]
async fn whoever_belongs_to_one_pd_sees_its_own_drills_alone() {
    let app = App::new();
    let own = app.planned(app.restore_plan()).await;
    let input = json!({ "plan": app.restore_plan() });
    let (_, citys) = app.post(&operator(), PLANS, input).await;
    let citys = citys["id"].as_str().unwrap();
    let (own_run, citys_run) = (app.rehearsed(&own).await, app.rehearsed(citys).await);
    let nobody = "00000000000000000000000000000000";
    for role in [UserRole::Pd, UserRole::Custodian] {
        let session = app.log_in(role);
        for (list, expected) in [(PLANS, &own), ("/api/v1/drill-runs", &own_run)] {
            let (_, seen) = app.see(&session, list).await;
            let seen = seen.as_array().unwrap();
            assert_eq!(seen.len(), 1, "{list}");
            assert_eq!(seen[0]["id"], json!(expected));
            assert_eq!(app.see(&session, &format!("{list}/{expected}")).await.0, StatusCode::OK);
        }
        assert_eq!(
            app.see(&session, "/api/v1/drill-calendar").await.1.as_array().unwrap().len(),
            1
        );
        for (path, id) in [
            ("/api/v1/drill-plans/{}", citys),
            ("/api/v1/drill-runs/{}", citys_run.as_str()),
            ("/api/v1/drill-runs/{}/acta", citys_run.as_str()),
        ] {
            let missing = app.see(&session, &path.replace("{}", nobody)).await;
            assert_eq!(missing.0, StatusCode::NOT_FOUND);
            assert_eq!(app.see(&session, &path.replace("{}", id)).await, missing, "{role} {path}");
        }
    }
}

#[tokio::test]
async fn a_journal_is_only_ever_added_to() {
    let app = App::new();
    let plan = app.planned(app.restore_plan()).await;
    app.rehearsed(&plan).await;
    for sql in [
        "UPDATE drill_events SET heard_s = 0",
        "DELETE FROM drill_events",
        "UPDATE drill_revisions SET made_by = 'x'",
        "DELETE FROM drill_revisions",
    ] {
        let changed = app.state.db.write::<_, crate::db::DbError>(|tx| Ok(tx.execute(sql, [])?));
        assert!(changed.is_err(), "{sql}");
    }
}
