//! Heartbeats, reports, the register, import, compliance, proofs.

use http::{Method, StatusCode};
use lumbung_model::{DatasetId, ManifestId};
use lumbung_pack::{Kind, Statistics, sign};
use lumbung_wire::messages::{
    HostHealth, JobPhase, JobState, Outcome, Report, ReportId, ReportKind,
};
use serde_json::{Value, json};

use super::{App, operator, slug, stranger_agent};
use crate::testing::START;

pub(super) fn beat(app: &App, ahead_s: i64) -> Value {
    let now = lumbung_model::Clock::now(&*app.city.clock).plus_seconds(ahead_s);
    let job = JobState {
        dataset: app.city.dataset,
        name: "simrs".into(),
        state: JobPhase::Waiting,
        last_ok: None,
        next_run: Some(now),
        message: None,
    };
    let health = HostHealth { hostname: "simrs-1".into(), cpus: 4, ..HostHealth::default() };
    json!({ "now": now, "version": "0.1.0", "health": health, "jobs": [job] })
}

#[tokio::test]
async fn heartbeats_make_an_agent_up_then_late_then_down() {
    let app = App::new();
    let state = async || app.get("/api/v1/servers").await[0]["heartbeat"].clone();
    assert_eq!(state().await, "never");
    let (status, answer) = app.post(&app.agent(), "/api/v1/heartbeat", beat(&app, 0)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(answer["sites"].as_array().unwrap().len(), 2);
    for (later_s, expected) in [(0, "up"), (150, "up"), (151, "late"), (301, "down")] {
        app.city.clock.set(START.plus_seconds(later_s));
        assert_eq!(state().await, expected, "{later_s}");
    }
    let overview = app.get("/api/v1/status").await;
    assert_eq!(overview["agents"], json!({ "up": 0, "late": 0, "down": 1, "never": 0 }));
    let agents = app.get("/api/v1/agents").await;
    assert_eq!((&agents[0]["heartbeat"], &agents[1]), (&json!("down"), &json!(null)));
    assert_eq!(agents[0]["health"]["hostname"], "simrs-1");
    assert_eq!(agents[0]["jobs"][0]["name"], "simrs");
}

#[tokio::test]
async fn heartbeats_are_kept_as_spans() {
    let app = App::new();
    for at_s in [0, 60, 120, 1000, 1060] {
        app.city.clock.set(START.plus_seconds(at_s));
        assert_eq!(
            app.post(&app.agent(), "/api/v1/heartbeat", beat(&app, 0)).await.0,
            StatusCode::OK
        );
    }
    app.keep(false).await;
    let spans: Vec<(i64, i64, i64)> = app
        .city
        .db
        .read::<_, crate::db::DbError>(|tx| {
            let mut statement =
                tx.prepare("SELECT first_s, last_s, beats FROM heartbeat_spans ORDER BY first_s")?;
            let rows =
                statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .unwrap();
    assert_eq!(spans, [(START.0, START.0 + 120, 3), (START.0 + 1000, START.0 + 1060, 2)]);
}

#[tokio::test]
async fn a_clock_two_hours_off_warns() {
    let app = App::new();
    app.post(&app.agent(), "/api/v1/heartbeat", beat(&app, 7200)).await;
    assert!(app.get("/api/v1/agents").await[0].get("clock_warning_s").is_none());
    app.post(&app.agent(), "/api/v1/heartbeat", beat(&app, -7201)).await;
    assert_eq!(app.get("/api/v1/agents").await[0]["clock_warning_s"], -7201);
}

#[tokio::test]
async fn an_agent_that_the_register_does_not_know_is_told_to_enrol() {
    let app = App::new();
    let (status, problem) = app.post(&stranger_agent(), "/api/v1/heartbeat", beat(&app, 0)).await;
    assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, "forbidden"));
    assert!(problem["detail"].as_str().unwrap().contains("enrol"));
    assert_eq!(
        app.post(&stranger_agent(), "/api/v1/reports", json!([])).await.0,
        StatusCode::FORBIDDEN
    );
}

pub(super) fn report(app: &App, id: u8, outcome: Outcome) -> Report {
    Report {
        id: ReportId::from_bytes([id; 16]),
        kind: ReportKind::Backup,
        at: START.plus_seconds(i64::from(id)),
        dataset: app.city.dataset,
        manifest: Some(ManifestId::from_bytes([id; 32])),
        outcome,
        statistics: Statistics { files: 7, ..Statistics::default() },
        message: "ok".into(),
        cause: None,
        changes: None,
    }
}

#[tokio::test]
async fn reports_are_idempotent_and_only_the_agents_word() {
    let app = App::new();
    let reports = json!([report(&app, 1, Outcome::Ok), report(&app, 2, Outcome::Failed)]);
    for _ in 0..2 {
        let (status, answer) = app.post(&app.agent(), "/api/v1/reports", reports.clone()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["acknowledged"].as_array().unwrap().len(), 2);
    }
    let rows: i64 = app
        .city
        .db
        .read::<_, crate::db::DbError>(|tx| {
            Ok(tx.query_row("SELECT count(*) FROM reports", [], |row| row.get(0))?)
        })
        .unwrap();
    assert_eq!(rows, 2);
    let table = app.get("/api/v1/compliance").await;
    let row = &table["rows"][0];
    assert_eq!(row["menurut_agen"]["outcome"], "failed");
    assert_eq!(row["menurut_agen"]["last_ok"], json!(START.plus_seconds(1)));
    assert_eq!(row["menurut_agen"]["statistics"]["files"], 7);
    for step in ["backed_up", "at_drc", "verified", "proven"] {
        assert_eq!(row[step]["state"], "missing", "what an agent says proves nothing");
    }
    assert_eq!(row["belum_mencadangkan"], true);
}

#[tokio::test]
async fn datasets_that_nobody_registered_are_findings() {
    let app = App::new();
    let unknown = DatasetId::random();
    let mut one = report(&app, 3, Outcome::Ok);
    one.dataset = unknown;
    app.post(&app.agent(), "/api/v1/reports", json!([one])).await;
    let overview = app.get("/api/v1/status").await;
    assert_eq!(overview["unregistered_datasets"][0]["dataset"], json!(unknown));
    assert_eq!(overview["unregistered_datasets"][0]["agent"], json!(app.city.agent));
    let input = json!({
        "id": unknown, "pd": app.city.pd, "name": "Lain", "kind": "files", "classification": "public", "urgency": "low",
    });
    assert_eq!(app.post(&operator(), "/api/v1/datasets", input).await.0, StatusCode::CREATED);
    assert_eq!(app.get("/api/v1/status").await["unregistered_datasets"], json!([]));
}

#[tokio::test]
async fn the_register_takes_new_entries_once() {
    let app = App::new();
    let (status, pd) =
        app.post(&operator(), "/api/v1/pd", json!({ "code": "BAPENDA", "name": "Bapenda" })).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(app.get("/api/v1/pd/BAPENDA").await, pd);
    assert_eq!(app.get(&format!("/api/v1/pd/{}", pd["id"].as_str().unwrap())).await, pd);
    let (status, problem) =
        app.post(&operator(), "/api/v1/pd", json!({ "code": "BAPENDA", "name": "X" })).await;
    assert_eq!((status, slug(&problem)), (StatusCode::CONFLICT, "conflict"));

    let server = json!({ "pd": pd["id"], "name": "pbb", "kind": "vps" });
    let (_, server) = app.post(&operator(), "/api/v1/servers", server).await;
    let dataset = json!({
        "pd": pd["id"], "server": server["id"], "name": "PBB", "kind": "postgresql",
        "classification": "non_public", "urgency": "critical",
    });
    let (status, dataset) = app.post(&operator(), "/api/v1/datasets", dataset).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(dataset["rpo_s"], 6 * 3600, "from the urgency");
    assert_eq!(app.get("/api/v1/datasets?pd=BAPENDA").await, json!([dataset]));
    assert_eq!(app.get("/api/v1/servers?pd=BAPENDA").await.as_array().unwrap().len(), 1);

    for (path, body, expected) in [
        (
            "/api/v1/pd",
            json!({ "code": "has space", "name": "X" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        ("/api/v1/pd", json!({ "code": "X", "name": " " }), StatusCode::UNPROCESSABLE_ENTITY),
        ("/api/v1/pd", json!({ "code": "X", "name": "X", "nam": 1 }), StatusCode::BAD_REQUEST),
        (
            "/api/v1/sites",
            json!({ "name": "S", "kind": "drc", "latitude": 1.0 }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/api/v1/sites",
            json!({ "name": "S", "kind": "drc", "url": "ftp://x" }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/api/v1/servers",
            json!({ "pd": "00000000000000000000000000000001", "name": "x", "kind": "vps" }),
            StatusCode::NOT_FOUND,
        ),
        (
            "/api/v1/datasets",
            json!({ "pd": pd["id"], "server": app.city.server, "name": "x", "kind": "files", "classification": "public", "urgency": "low" }),
            StatusCode::CONFLICT,
        ),
        (
            "/api/v1/datasets",
            json!({ "pd": pd["id"], "name": "x", "kind": "files", "classification": "public", "urgency": "low", "repository": app.city.repository }),
            StatusCode::CONFLICT,
        ),
        (
            "/api/v1/datasets",
            json!({ "pd": pd["id"], "name": "x", "kind": "files", "classification": "public", "urgency": "low", "rpo_s": 1 }),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (status, problem) = app.post(&operator(), path, body.clone()).await;
        assert_eq!(status, expected, "{body}: {problem}");
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }
}

#[tokio::test]
async fn import_is_all_or_nothing_and_idempotent() {
    let app = App::new();
    let example = include_str!("../../../../config/register.example.toml");
    let (status, outcome) =
        app.post(&operator(), "/api/v1/import", json!({ "toml": example, "file": "r.toml" })).await;
    assert_eq!(status, StatusCode::OK, "{outcome}");
    // DINKES, its server and one site of its name are there already, and change.
    assert_eq!((&outcome["updated"], &outcome["unchanged"]), (&json!(3), &json!(0)), "{outcome}");
    let (status, again) = app
        .send(&operator(), Method::POST, "/api/v1/import", "application/toml", example.into())
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&again["created"], &again["updated"]), (&json!(0), &json!(0)));

    let before = app.get("/api/v1/pd").await;
    let bad =
        "[[pd]]\ncode = \"BARU\"\nname = \"Baru\"\n\n[[pd]]\ncode = \"X Y\"\nname = \"Salah\"\n";
    let (status, problem) =
        app.post(&operator(), "/api/v1/import", json!({ "toml": bad, "file": "r.toml" })).await;
    assert_eq!((status, slug(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, "import"));
    assert!(problem["detail"].as_str().unwrap().contains("r.toml:6: code"), "{problem}");
    assert_eq!(app.get("/api/v1/pd").await, before, "nothing of it was imported");
}

#[tokio::test]
async fn import_errors_name_line_field_and_what_was_meant() {
    let app = App::new();
    let pd = "[[pd]]\ncode = \"A\"\nname = \"A\"\n";
    for (text, expected) in [
        (format!("{pd}contct = \"x\"\n"), "import:4: unknown field `contct`"),
        (format!("{pd}contct = \"x\"\n"), "did you mean `contact`?"),
        (
            format!("{pd}[[pd.dataset]]\nname = \"d\"\nkind = \"postgres\"\n"),
            "import:6: unknown variant `postgres`",
        ),
        (
            format!("{pd}[[pd.dataset]]\nname = \"d\"\nkind = \"postgres\"\n"),
            "did you mean `postgresql`?",
        ),
        (format!("{pd}{pd}"), "import:5: PD \"A\" stands twice"),
        (format!("{pd}[[pd.server]]\nname = \"\"\nkind = \"vps\"\n"), "import:5: name"),
        (
            "[[site]]\nname = \"S\"\nkind = \"drc\"\nlatitude = 100.0\nlongitude = 1.0\n"
                .to_owned(),
            "import:4: latitude",
        ),
        ("[[site]]\nname = \"S\"\n".to_owned(), "missing field `kind`"),
        (
            format!(
                "{pd}[[pd.dataset]]\nname = \"d\"\nkind = \"files\"\nclassification = \"public\"\nurgency = \"low\"\nrpo_s = 5\n"
            ),
            "import:9: rpo_s 5",
        ),
    ] {
        let (status, problem) =
            app.post(&operator(), "/api/v1/import", json!({ "toml": text })).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{text}\n{detail}\n{expected}");
        let errors = problem["errors"].as_array().unwrap();
        let told = |error: &Value| {
            let (line, said) = (error["line"].as_u64().unwrap(), error["detail"].as_str().unwrap());
            format!("import:{line}: {said}").contains(expected)
        };
        assert!(errors.iter().any(told), "{errors:?} {expected}");
    }
}

#[tokio::test]
async fn a_refused_entry_names_its_field() {
    let app = App::new();
    let pd = app.city.pd;
    for (path, body, field) in [
        ("pd", json!({ "code": "a b", "name": "x" }), "code"),
        ("pd", json!({ "code": "X", "name": " " }), "name"),
        ("sites", json!({ "name": "S", "kind": "drc", "url": "ftp://x" }), "url"),
        (
            "sites",
            json!({ "name": "S", "kind": "drc", "latitude": 99.0, "longitude": 1.0 }),
            "latitude",
        ),
        (
            "datasets",
            json!({ "pd": pd, "name": "x", "kind": "files", "classification": "public", "urgency": "low", "rpo_s": 1 }),
            "rpo_s",
        ),
    ] {
        let (status, problem) = app.post(&operator(), &format!("/api/v1/{path}"), body).await;
        assert_eq!((status, slug(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, "register-entry"));
        let errors = &problem["errors"];
        assert_eq!(errors, &json!([{ "field": field, "detail": problem["detail"] }]));
    }
    let (_, problem) = app.call(&operator(), Method::GET, "/api/v1/pd/NONE", None).await;
    assert!(problem.get("errors").is_none(), "not about a field");
}

#[tokio::test]
async fn a_pd_with_nothing_stays_in_the_table() {
    let app = App::new();
    app.post(&operator(), "/api/v1/pd", json!({ "code": "DISHUB", "name": "Dishub" })).await;
    let table = app.get("/api/v1/compliance").await;
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    let row = rows.iter().find(|row| row["pd_code"] == "DISHUB").unwrap();
    assert_eq!(row["belum_mencadangkan"], true);
    assert_eq!(row["backed_up"]["reason"], "belum mencadangkan");
    assert_eq!(app.get("/api/v1/status").await["belum_mencadangkan"], 2);
    assert_eq!(app.get("/api/v1/compliance?pd=DISHUB").await["rows"].as_array().unwrap().len(), 1);
    let (status, _) = app.call(&operator(), Method::GET, "/api/v1/compliance?pd=NONE", None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = app.call(&operator(), Method::GET, "/api/v1/compliance?lang=xx", None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_proof_is_taken_only_from_a_root_key_for_a_known_snapshot() {
    let app = App::new();
    let city = &app.city;
    let post = async |object: Vec<u8>| {
        app.send(&operator(), Method::POST, "/api/v1/proofs", "application/octet-stream", object)
            .await
    };
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let good = sign(&city.proof(id, START), &city.root);
    assert_eq!(
        post(good.clone()).await.0,
        StatusCode::NOT_FOUND,
        "no roster is known before the first poll"
    );
    let receipt = city.pusat.take(city, &object, START);
    city.pusat.inventory(city, START, &[(id, receipt)]);
    city.poll(&city.pusat).await;

    assert_eq!(post(b"junk".to_vec()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(
        post(sign(&city.proof(id, START), &city.agent_key)).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    assert_eq!(
        post(sign(&city.proof(ManifestId::from_bytes([1; 32]), START), &city.root)).await.0,
        StatusCode::NOT_FOUND
    );
    let mut bent = good.clone();
    bent[100] ^= 1;
    assert_eq!(post(bent).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(vec![0; 5000]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_ne!(app.get("/api/v1/compliance").await["rows"][0]["proven"]["state"], "met");

    let (status, answer) = post(good).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["dataset"], json!(city.dataset));
    let row = &app.get("/api/v1/compliance").await["rows"][0];
    assert_eq!(
        (&row["proven"]["state"], &row["backed_up"]["state"]),
        (&json!("met"), &json!("met"))
    );
    assert_eq!(row["proven"]["evidence"]["id"], answer["proof"]);

    // A verifier's counts while that snapshot is open to it.
    let verifier = lumbung_pack::SigningKey::generate();
    let verified = sign(&city.proof(id, START), &verifier);
    assert_eq!(post(verified.clone()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let approval = lumbung_pack::StandingApproval {
        repository: city.repository,
        consent: lumbung_model::ConsentId::random(),
        grantee: lumbung_pack::Grantee {
            recipient: lumbung_model::PublicKey::from_bytes([3; 32]),
            key: verifier.public(),
        },
        dataset: city.dataset,
        name: "penguji DRC".into(),
        letter: "445/871/2026".into(),
        purpose: "uji pulih".into(),
        issued: START,
        from: START,
        until: START.plus_seconds(3600),
        base: Vec::new(),
    };
    city.pusat.vault.show(Kind::StandingApproval, sign(&approval, &city.root));
    city.poll(&city.pusat).await;
    assert_eq!(post(verified).await.0, StatusCode::CREATED);
    let consents = app.get("/api/v1/consents").await;
    assert_eq!(consents[0]["consent"], json!(approval.consent));
}

#[tokio::test]
async fn a_rehearsal_is_taken_for_a_known_root_key_and_shows_in_the_inventory() {
    let app = App::new();
    let city = &app.city;
    let post = async |object: Vec<u8>| {
        let path = "/api/v1/key-reports";
        app.send(&operator(), Method::POST, path, "application/octet-stream", object).await
    };
    let record = lumbung_pack::Rehearsal {
        set: lumbung_model::ShareSetId::from_bytes([1; 16]),
        threshold: 2,
        shares: 3,
        recovery: lumbung_model::PublicKey::from_bytes([7; 32]),
        at: START,
        present: vec![(1, "Sekda".into()), (3, "Inspektorat".into())],
        note: "ruang rapat".into(),
    };
    let object = sign(&record, &city.root);
    assert_eq!(post(object.clone()).await.0, StatusCode::NOT_FOUND, "no roster is known yet");
    city.poll(&city.pusat).await;
    let before = app.get("/api/v1/key-inventory").await;
    assert_eq!(
        (&before[0]["state"], before[0]["holders"].as_array().unwrap().len()),
        (&json!("untested"), 0)
    );
    assert_eq!(post(b"junk".to_vec()).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let mut bent = object.clone();
    bent[70] ^= 1;
    assert_eq!(post(bent).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(post(vec![0; 20_000]).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let strangers = sign(&record, &lumbung_pack::SigningKey::generate());
    assert_eq!(post(strangers).await.0, StatusCode::NOT_FOUND);
    let (status, answer) = post(object.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!(answer["key"], json!(city.root.public()));
    assert_eq!(post(object).await.0, StatusCode::CREATED, "again");
    let inventory = app.get("/api/v1/key-inventory").await;
    assert_eq!(inventory.as_array().unwrap().len(), 1);
    let entry = &inventory[0];
    assert_eq!((&entry["state"], &entry["opens"]), (&json!("tested"), &json!(true)));
    assert_eq!(entry["holders"][1]["holder"], "Inspektorat");
    assert_eq!(entry["instrument"], "", "a proposal");
}

#[tokio::test]
async fn alarms_are_listed_while_they_last_and_after() {
    let app = App::new();
    let city = &app.city;
    let (id, object) = city.signed_manifest(1, ManifestId::ZERO, START);
    let receipt = city.pusat.take(city, &object, START);
    city.pusat.inventory(city, START.plus_seconds(60), &[]);
    city.poll(&city.pusat).await;
    let alarms = app.get("/api/v1/alarms").await;
    assert_eq!(alarms[0]["kind"], "hidden");
    assert_eq!(alarms[0]["pd"], json!(city.pd));
    assert_eq!(app.get("/api/v1/status").await["alarms"], 1);
    city.pusat.inventory(city, START.plus_seconds(120), &[(id, receipt)]);
    city.poll(&city.pusat).await;
    assert_eq!(app.get("/api/v1/alarms").await, json!([]));
    assert!(app.get("/api/v1/alarms?all=true").await[0]["cleared"].is_i64());
}

#[tokio::test]
async fn anybody_can_read_health_and_the_ca() {
    let app = App::new();
    let anonymous = lumbung_wire::Peer::Anonymous;
    let (status, ca) = app.call(&anonymous, Method::GET, "/api/v1/ca", None).await;
    assert_eq!(
        (status, &ca["fingerprint"]),
        (StatusCode::OK, &json!(app.state.authority.fingerprint()))
    );
    assert_eq!(app.call(&anonymous, Method::GET, "/api/v1/health", None).await.0, StatusCode::OK);
    let (status, _) = app.call(&operator(), Method::POST, "/api/v1/poll", None).await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn queries_that_cannot_be_read_are_problems_too() {
    let app = App::new();
    for path in ["/api/v1/alarms?all=maybe", "/api/v1/compliance?pd=a&pd=b", "/api/v1/sites/%ff"] {
        let (status, problem) = app.call(&operator(), Method::GET, path, None).await;
        assert_eq!((status, slug(&problem)), (StatusCode::BAD_REQUEST, "bad-request"), "{path}");
    }
}
