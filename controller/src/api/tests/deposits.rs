//! What is owed by date: handed in by its PD, accepted or given back by the Dinas.

use http::{Method, StatusCode};
use lumbung_model::Clock as _;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, Session, operator, slug};
use crate::act::Act;
use crate::deadlines::keeper::reconcile;

const HASH: &str = "aa11223344556677889900aabbccddeeff00112233445566778899aabbccddee";
const OTHER_HASH: &str = "bb11223344556677889900aabbccddeeff00112233445566778899aabbccddee";

impl App {
    /// A deposit of the city's own PD, due on the 31st of March.
    async fn owed(&self) -> String {
        let input = json!({
            "title_id": "Diagram jaringan", "title_en": "Network diagram", "due_on": "2027-03-31",
            "pd": self.city.pd, "article": "Pasal 16 ayat (1)", "force": "must", "period": "2027",
        });
        let (status, made) = self.post(&operator(), "/api/v1/deposits", input).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["id"].as_str().unwrap().to_owned()
    }

    async fn does(
        &self,
        session: &Session,
        id: &str,
        what: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        self.tell(session, &format!("/api/v1/deposits/{id}/{what}"), body).await
    }

    /// Ids of a list.
    async fn listed(&self, query: &str) -> Vec<String> {
        let found = self.get(&format!("/api/v1/deposits?{query}")).await;
        let ids =
            found.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        ids.collect()
    }
}

fn document(hash: &str) -> Value {
    json!({ "document": "diagram.pdf", "sha256": hash, "bytes": 12_345, "letter": "800/12/2027" })
}

fn reason(text: &str) -> Value {
    json!({ "reason": text })
}

#[tokio::test]
async fn a_document_goes_back_and_forth_until_it_is_accepted() {
    let app = App::new();
    let id = app.owed().await;
    let (pd, dinas) = (app.log_in(UserRole::Pd), app.log_in(UserRole::Operator));
    let (_, seen) = app.see(&pd, &format!("/api/v1/deposits/{id}")).await;
    assert_eq!((&seen["state"], &seen["due_on"]), (&json!("open"), &json!("2027-03-31")));
    // 2027-03-31T23:59:59+07:00
    assert_eq!((&seen["due"], &seen["pd_code"]), (&json!(1_806_512_399), &json!("DINKES")));
    assert!(seen.get("delivery").is_none() && seen.get("decision").is_none(), "{seen}");

    let (status, delivered) = app.does(&pd, &id, "deliver", document(HASH)).await;
    assert_eq!((status, &delivered["state"]), (StatusCode::OK, &json!("delivered")));
    assert_eq!(delivered["delivery"]["by"], "the-pd");
    let (status, again) = app.does(&pd, &id, "deliver", document(OTHER_HASH)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(again["detail"].as_str().unwrap().contains("return it first"), "{again}");

    let (status, refused) = app.does(&dinas, &id, "return", reason("  ")).await;
    assert_eq!((status, slug(&refused)), (StatusCode::UNPROCESSABLE_ENTITY, "deposit-entry"));
    assert_eq!(refused["errors"][0]["field"], "reason");
    let (_, returned) = app.does(&dinas, &id, "return", reason("tanpa VLAN")).await;
    assert_eq!(returned["state"], "returned");
    assert_eq!(returned["decision"]["reason"], "tanpa VLAN");
    assert_eq!(returned["delivery"]["sha256"], HASH, "what was handed in is not forgotten");
    let (_, delivered) = app.does(&pd, &id, "deliver", document(OTHER_HASH)).await;
    assert!(delivered.get("decision").is_none(), "{delivered}");

    // Only what was looked at is accepted.
    let (status, other) = app.does(&dinas, &id, "accept", json!({ "sha256": HASH })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(other["detail"].as_str().unwrap().contains(OTHER_HASH), "{other}");
    let acceptance = json!({ "sha256": OTHER_HASH, "note": "BAST 3/2027" });
    let (status, accepted) = app.does(&dinas, &id, "accept", acceptance.clone()).await;
    assert_eq!((status, &accepted["state"]), (StatusCode::OK, &json!("accepted")));
    assert_eq!(app.does(&dinas, &id, "accept", acceptance).await.0, StatusCode::CONFLICT);
    assert_eq!(app.does(&dinas, &id, "cancel", reason("x")).await.0, StatusCode::CONFLICT);

    let log = app.get("/api/v1/audit").await.to_string();
    for action in ["add", "deliver", "return", "accept"] {
        assert!(log.contains(&format!("deposit.{action}")), "{action}");
    }
    // The first document is in the log, though the record has the second.
    assert!(log.contains(HASH));
}

#[tokio::test]
async fn what_comes_back_late_is_overdue_and_what_is_cancelled_can_be_opened() {
    let app = App::new();
    let id = app.owed().await;
    app.post(&operator(), &format!("/api/v1/deposits/{id}/deliver"), document(HASH)).await;
    app.wait(100 * 86_400);
    let dinas = app.log_in(UserRole::Operator);
    let overdue =
        |status: Value| (status["deposits_overdue"].clone(), status["deposits_due_soon"].clone());
    assert_eq!(overdue(app.get("/api/v1/status").await), (json!(0), json!(0)));
    let (_, returned) = app.does(&dinas, &id, "return", reason("salah berkas")).await;
    assert_eq!(returned["state"], "overdue");
    assert_eq!(overdue(app.get("/api/v1/status").await), (json!(1), json!(0)));
    let table = app.get("/api/v1/compliance").await;
    let expected = json!([{ "pd": app.city.pd, "pd_code": "DINKES", "overdue": 1, "due_soon": 0 }]);
    assert_eq!(table["overdue"], expected);

    let (_, cancelled) = app.does(&dinas, &id, "cancel", reason("digabung")).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(overdue(app.get("/api/v1/status").await), (json!(0), json!(0)));
    let (status, refused) = app.does(&dinas, &id, "deliver", document(HASH)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(refused["detail"].as_str().unwrap().contains("not owed"), "{refused}");
    let (_, open) = app.does(&dinas, &id, "return", reason("ternyata perlu")).await;
    assert_eq!(open["state"], "overdue");
    assert_eq!(app.does(&dinas, &id, "return", reason("x")).await.0, StatusCode::CONFLICT);
}

#[tokio::test]
async fn lists_are_narrowed() {
    let app = App::new();
    let id = app.owed().await;
    let now = app.city.clock.now();
    let profile = app.state.profile.clone();
    let made = app.state.db.write(|tx| reconcile(tx, &Act::controller(now), &profile)).unwrap();
    assert_eq!(made.made, 1, "the restore drill of the city");
    let drill = app.listed("duty=restore-drill").await;
    assert_eq!(drill.len(), 1);
    let both = [id.clone(), drill[0].clone()];
    assert_eq!(app.listed("").await, both, "by date");
    for (query, expected) in [
        ("pd=DINKES", &both[..1]),
        ("from=2027-04-01", &both[1..]),
        ("until=2027-03-31", &both[..1]),
        ("until=2027-03-30", &[]),
        ("from=2027-03-31&until=2027-12-31", &both[..]),
        ("q=DIAGRAM", &both[..1]),
        ("q=pasal%2016", &both[..1]),
        ("q=disaster", &both[1..]),
        ("q=nothing", &[]),
        ("state=open", &both[..]),
        ("state=due,overdue,accepted", &[]),
    ] {
        assert_eq!(app.listed(query).await, expected, "{query}");
    }
    app.wait(60 * 86_400);
    assert_eq!(app.listed("state=due,overdue").await, both[..1]);
    for (query, part) in [
        ("state=late", "overdue"),
        ("from=31-03-2027", "from: "),
        ("until=2027-02-30", "until: "),
        ("pd=NOBODY", "no PD"),
    ] {
        let path = format!("/api/v1/deposits?{query}");
        let (status, problem) = app.call(&operator(), Method::GET, &path, None).await;
        assert!(status.is_client_error(), "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{query}: {problem}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_its_field() {
    let app = App::new();
    let service = json!({ "pd": app.city.pd, "name": "SIMRS" });
    let (_, service) = app.post(&operator(), "/api/v1/services", service).await;
    let (_, own) = app
        .post(&operator(), "/api/v1/pd", json!({ "code": "BAPENDA", "name": "Badan Pendapatan" }))
        .await;
    let good = json!({ "title_id": "SOP", "due_on": "2027-03-31" });
    let nobody = "00000000000000000000000000000000";
    for (field, value, part) in [
        ("title_id", json!(" "), "title_id"),
        ("title_en", json!("a\nb"), "title_en"),
        ("due_on", json!("2027-02-29"), "2027-02-29"),
        ("pd", json!(nobody), "PD"),
        ("application", json!(nobody), "application"),
        ("force", json!("must"), "force"),
        ("article", json!("x".repeat(300)), "article"),
        ("wat", json!(1), "wat"),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let (status, problem) = app.post(&operator(), "/api/v1/deposits", bad).await;
        assert!(status.is_client_error(), "{field}: {status}");
        assert!(problem["detail"].as_str().unwrap().contains(part), "{field}: {problem}");
    }
    let foreign = json!({ "title_id": "SOP", "due_on": "2027-03-31", "pd": own["id"], "service": service["id"] });
    assert_eq!(app.post(&operator(), "/api/v1/deposits", foreign).await.0, StatusCode::CONFLICT);
    // Whoever names a service need not name its PD.
    let of_service = json!({ "title_id": "SLA", "due_on": "2027-03-31", "service": service["id"] });
    let (_, made) = app.post(&operator(), "/api/v1/deposits", of_service).await;
    assert_eq!((&made["pd"], &made["subject"]), (&json!(app.city.pd), &json!("SIMRS")));
    assert_eq!((&made["title_en"], &made["force"]), (&json!("SLA"), &json!("proposal")));

    let id = app.owed().await;
    for (field, value) in [
        ("document", json!("/srv/diagram.pdf")),
        ("document", json!("")),
        ("sha256", json!("abc")),
        ("bytes", json!(0)),
        ("letter", json!("a\u{1b}b")),
    ] {
        let mut bad = document(HASH);
        bad[field] = value;
        let path = format!("/api/v1/deposits/{id}/deliver");
        let (status, problem) = app.post(&operator(), &path, bad).await;
        assert!(status.is_client_error(), "{field}: {status}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(field) || detail.contains("SHA-256"), "{field}: {problem}");
    }
    let (status, _) =
        app.does(&app.log_in(UserRole::Operator), &id, "accept", json!({ "sha256": HASH })).await;
    assert_eq!(status, StatusCode::CONFLICT, "nothing was delivered");
}

#[tokio::test]
async fn whoever_belongs_to_one_pd_hands_in_its_own_alone() {
    let app = App::new();
    let (_, other) = app
        .post(&operator(), "/api/v1/pd", json!({ "code": "BAPENDA", "name": "Badan Pendapatan" }))
        .await;
    let own = app.owed().await;
    let foreign = json!({ "title_id": "SOP", "due_on": "2027-03-31", "pd": other["id"] });
    let (_, foreign) = app.post(&operator(), "/api/v1/deposits", foreign).await;
    let citys = json!({ "title_id": "Uji coba", "due_on": "2027-03-31" });
    let (_, citys) = app.post(&operator(), "/api/v1/deposits", citys).await;
    let nobody = "00000000000000000000000000000000";
    for role in [UserRole::Pd, UserRole::Custodian] {
        let session = app.log_in(role);
        let (_, seen) = app.see(&session, "/api/v1/deposits").await;
        assert_eq!(seen.as_array().unwrap().len(), 1, "{role}");
        let missing = app.does(&session, nobody, "deliver", document(HASH)).await;
        assert_eq!(missing.0, StatusCode::NOT_FOUND);
        for id in [&foreign["id"], &citys["id"]] {
            let found = app.does(&session, id.as_str().unwrap(), "deliver", document(HASH)).await;
            assert_eq!(found, missing, "{role}");
        }
    }
    let session = app.log_in(UserRole::Custodian);
    assert_eq!(app.does(&session, &own, "deliver", document(HASH)).await.0, StatusCode::OK);
    // Nobody accepts what they handed in themselves, but the Dinas its own.
    let acceptance = json!({ "sha256": HASH });
    assert_eq!(app.does(&session, &own, "accept", acceptance).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_change_of_the_register_asks_for_a_round() {
    let app = App::new();
    let asked = || {
        let notified = app.state.deadlines.notified();
        async {
            tokio::select! { biased; () = notified => true, () = std::future::ready(()) => false }
        }
    };
    assert!(!asked().await);
    app.get("/api/v1/pd").await;
    assert!(!asked().await, "whoever only looks");
    let toml = "[[pd]]\ncode = \"BAPENDA\"\nname = \"Badan Pendapatan\"\n";
    app.post(&operator(), "/api/v1/import", json!({ "toml": toml })).await;
    assert!(asked().await);
    app.post(&operator(), "/api/v1/pd", json!({ "code": "BAPENDA", "name": "x" })).await;
    assert!(!asked().await, "it was refused");
    let input = json!({ "pd": app.city.pd, "name": "SIMRS" });
    app.post(&operator(), "/api/v1/applications", input).await;
    assert!(asked().await);
}

#[tokio::test]
async fn the_calendar_is_grouped_by_day() {
    let app = App::new();
    let id = app.owed().await;
    let found = app.get("/api/v1/calendar?until=2027-12-31").await;
    assert_eq!((&found["from"], &found["until"]), (&json!("2027-01-15"), &json!("2027-12-31")));
    let days = found["days"].as_array().unwrap();
    assert_eq!(days[0]["day"], "2027-03-31");
    assert_eq!(days[0]["entries"][0]["deposit"], json!(id));
    // No round has made it yet: it is planned.
    assert_eq!(
        (&days[1]["day"], &days[1]["entries"][0]["kind"]),
        (&json!("2027-12-31"), &json!("planned"))
    );
    let path = "/api/v1/calendar?from=2027-05-01&until=2027-04-01";
    let (status, problem) = app.call(&operator(), Method::GET, path, None).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(problem["detail"].as_str().unwrap().contains("until"), "{problem}");
}

#[tokio::test]
async fn nobody_decides_on_what_was_changed_meanwhile() {
    let app = App::new();
    let id = app.owed().await;
    let path = format!("/api/v1/deposits/{id}");
    let dinas = app.log_in(UserRole::Operator);
    let before = app.tag_of(&dinas, &path).await;
    app.post(&operator(), &format!("{path}/deliver"), document(HASH)).await;
    // Whoever wants to cancel what nobody has delivered is told that somebody has.
    for what in ["cancel", "return"] {
        let to = format!("{path}/{what}");
        let (status, refused) = app.expecting(&dinas, &to, &before, reason("x")).await;
        assert_eq!((status, slug(&refused)), (StatusCode::PRECONDITION_FAILED, "changed"));
    }
    let now = app.tag_of(&dinas, &path).await;
    let acceptance = json!({ "sha256": HASH });
    let to = format!("{path}/accept");
    let (status, _) = app.expecting(&dinas, &to, &before, acceptance.clone()).await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert_eq!(app.expecting(&dinas, &to, &now, acceptance).await.0, StatusCode::OK);
}
