//! Each kind of row: what keeps it from being retired, what goes with it, and what is said and owed of a PD that is no more.

use http::StatusCode;
use lumbung_model::Clock as _;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, START, operator, slug};
use crate::act::Act;
use crate::db::verdicts;
use crate::people::{PeopleError, accounts};
use crate::profile::Subject;

/// What is entered beside the city's own PD, server and dataset: a row of every kind, and what refers to what.
const MORE: &str = r#"
[[site]]
name = "Pusat Data"
kind = "pusat_data"
[[site.building]]
name = "Gedung A"
[[site.building.room]]
name = "Ruang 1"
kind = "data_centre"

[[pd]]
code = "KOMINFO"
name = "Dinas Kominfo"
runs_pusat_data = true
[[pd.server]]
name = "bersama"
kind = "physical"
site = "Pusat Data"
building = "Gedung A"
room = "Ruang 1"

[[pd]]
code = "DINKES"
name = "Dinas Kesehatan"
kind = "dinas"
[[pd.service]]
name = "Pendaftaran"
critical = true
standby = "KOMINFO/bersama"
[[pd.service.contact_person]]
name = "Budi"
[[pd.application]]
name = "Antrean"
service = "Pendaftaran"
servers = ["simrs-1", "KOMINFO/bersama"]
[[pd.dataset]]
name = "Kode sumber"
kind = "source_code"
classification = "public"
urgency = "low"
application = "Antrean"
"#;

/// List of each kind, and the name of the row in it that [`MORE`] or the city has.
const ROWS: [(&str, &str, &str); 8] = [
    ("pd", "pd", "DINKES"),
    ("server", "servers", "bersama"),
    ("service", "services", "Pendaftaran"),
    ("application", "applications", "Antrean"),
    ("contact_person", "contact-persons", "Budi"),
    ("dataset", "datasets", "Kode sumber"),
    ("building", "buildings", "Gedung A"),
    ("room", "rooms", "Ruang 1"),
];

impl App {
    pub(super) async fn furnished() -> Self {
        let app = Self::new();
        app.enter_text(MORE).await;
        app
    }

    /// As [`App::furnished`], by Medan's rules, of which every kind of subject has one.
    async fn furnished_in_medan() -> Self {
        let app = Self::of_medan();
        app.enter_text(MORE).await;
        app.weigh_all();
        app
    }

    pub(in crate::api::tests) async fn try_text(&self, toml: &str) -> (StatusCode, Value) {
        let body = json!({ "toml": toml, "file": "r.toml" });
        self.post(&operator(), "/api/v1/import", body).await
    }

    pub(in crate::api::tests) async fn enter_text(&self, toml: &str) -> Value {
        let (status, outcome) = self.try_text(toml).await;
        assert_eq!(status, StatusCode::OK, "{outcome}");
        outcome
    }

    pub(in crate::api::tests) async fn named(&self, list: &str, name: &str) -> String {
        let rows = self.get(&format!("/api/v1/{list}")).await;
        let fits = |row: &&Value| row["name"] == name || row["code"] == name;
        let row = rows.as_array().unwrap().iter().find(fits);
        row.unwrap_or_else(|| panic!("no {name} in {rows}"))["id"].as_str().unwrap().to_owned()
    }

    /// A refusal's detail.
    pub(in crate::api::tests) async fn refuses(
        &self,
        kind: &str,
        id: &str,
        with_contents: bool,
    ) -> String {
        let (status, refused) = self.retire(kind, id, with_contents).await;
        assert_eq!((status, slug(&refused)), (StatusCode::CONFLICT, "conflict"), "{refused}");
        refused["detail"].as_str().unwrap().to_owned()
    }

    /// Brings everything back, whatever has to come first.
    async fn restore_all(&self) {
        while self.count("/api/v1/retirements").await > 0 {
            let mut back = 0;
            for row in self.get("/api/v1/retirements").await.as_array().unwrap() {
                back += usize::from(self.restore(row["id"].as_str().unwrap()).await.0.is_success());
            }
            assert!(back > 0, "nothing can be brought back");
        }
    }

    /// Everything that is retired with the city's own PD: names, in order.
    async fn retire_own_pd(&self) -> Vec<String> {
        let (status, done) = self.retire("pd", &self.city.pd.to_string(), true).await;
        assert_eq!(status, StatusCode::CREATED, "{done}");
        let names = done.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn what_something_needs_is_not_retired_and_the_refusal_names_what() {
    let app = App::furnished().await;
    let names: [(&str, &str, &str, &[&str]); 6] = [
        ("room", "rooms", "Ruang 1", &["server bersama"]),
        ("building", "buildings", "Gedung A", &["server bersama"]),
        ("service", "services", "Pendaftaran", &["application Antrean", "contact person Budi"]),
        ("application", "applications", "Antrean", &["dataset Kode sumber"]),
        (
            "server",
            "servers",
            "bersama",
            &["application Antrean of DINKES", "service Pendaftaran of DINKES"],
        ),
        // Its server is what others need.
        (
            "pd",
            "pd",
            "KOMINFO",
            &["application Antrean of DINKES", "service Pendaftaran of DINKES"],
        ),
    ];
    for (kind, list, name, needed_by) in names {
        let id = app.named(list, name).await;
        // What needs it is never taken along.
        for with_contents in [false, true] {
            let detail = app.refuses(kind, &id, with_contents).await;
            assert!(needed_by.iter().all(|one| detail.contains(one)), "{kind}: {detail}");
        }
    }
    let detail = app.refuses("pd", &app.city.pd.to_string(), false).await;
    for one in ["dataset SIMRS", "server simrs-1", "service Pendaftaran", "contact person Budi"] {
        assert!(detail.contains(one), "{detail}");
    }
    assert_eq!(app.count("/api/v1/retirements").await, 0);
}

#[tokio::test]
async fn a_refusal_names_ten_and_counts_the_others() {
    let app = App::new();
    let building = "[[site]]\nname = \"DRC\"\nkind = \"drc\"\n[[site.building]]\nname = \"G\"\n";
    let rooms: String = (10..23)
        .map(|n| format!("[[site.building.room]]\nname = \"R{n}\"\nkind = \"other\"\n"))
        .collect();
    app.enter_text(&format!("{building}{rooms}")).await;
    let id = app.named("buildings", "G").await;
    let detail = app.refuses("building", &id, false).await;
    assert!(detail.contains("room R10") && detail.contains("room R19 and 3 more"), "{detail}");
    let (_, done) = app.retire("building", &id, true).await;
    assert_eq!(done.as_array().unwrap().len(), 14, "{done}");
    assert_eq!(app.count("/api/v1/rooms").await, 0);
}

#[tokio::test]
async fn a_pd_goes_with_all_that_is_its_own_and_comes_back_parents_first() {
    let app = App::furnished().await;
    let mut ids = Vec::new();
    for (_, list, name) in ROWS {
        ids.push((list, name, app.named(list, name).await));
    }
    let own = ["Kode sumber", "SIMRS", "Budi", "Antrean", "Pendaftaran", "simrs-1", "DINKES"];
    assert_eq!(app.retire_own_pd().await, own);
    for (list, name, id) in &ids {
        let left = app.get(&format!("/api/v1/{list}")).await;
        let listed = left.as_array().unwrap().iter().any(|row| row["id"] == id.as_str());
        assert_eq!(listed, !own.contains(name), "{name}: {left}");
        assert_eq!(app.get(&format!("/api/v1/{list}/{id}")).await["id"], id.as_str());
    }
    // What only the PD needed is free now: its server of another PD, the room, the building.
    for (kind, list, name) in [("server", "servers", "bersama"), ("room", "rooms", "Ruang 1")] {
        let id = app.named(list, name).await;
        assert_eq!(app.retire(kind, &id, false).await.0, StatusCode::CREATED, "{name}");
    }
    let gone = app.get("/api/v1/retirements").await;
    let id_of = |name: &str| {
        let row = gone.as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
        row["id"].as_str().unwrap().to_owned()
    };
    // The service rests on the other PD's server, the application on both, and so on.
    let order = [
        "DINKES",
        "Ruang 1",
        "bersama",
        "simrs-1",
        "Pendaftaran",
        "Budi",
        "Antrean",
        "Kode sumber",
    ];
    for name in &order[2..] {
        let (status, refused) = app.restore(&id_of(name)).await;
        assert_eq!((status, slug(&refused)), (StatusCode::CONFLICT, "conflict"), "{name}");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("bring that back first"), "{detail}");
    }
    for name in order {
        let (status, back) = app.restore(&id_of(name)).await;
        assert_eq!(status, StatusCode::OK, "{name}: {back}");
    }
    assert_eq!(app.count("/api/v1/retirements").await, 1, "nobody has brought SIMRS back");
}

#[tokio::test]
async fn a_retired_row_of_any_kind_stays_as_it_was_and_keeps_its_name() {
    let app = App::furnished().await;
    app.retire_own_pd().await;
    for (kind, list, name) in [
        ("server", "servers", "bersama"),
        ("room", "rooms", "Ruang 1"),
        ("building", "buildings", "Gedung A"),
    ] {
        let id = app.named(list, name).await;
        assert_eq!(app.retire(kind, &id, false).await.0, StatusCode::CREATED, "{name}");
    }
    let outcome = app.enter_text(MORE).await;
    assert_eq!(outcome["unchanged"], 10, "{outcome}");
    // Each row in turn is another than it was.
    for (was, is, told) in [
        (
            "name = \"Gedung A\"",
            "name = \"Gedung A\"\naddress = \"Jl. 1\"",
            "building \"Gedung A\"",
        ),
        ("kind = \"data_centre\"", "kind = \"other\"", "room \"Ruang 1\""),
        (
            "name = \"bersama\"\nkind = \"physical\"",
            "name = \"bersama\"\nkind = \"vps\"",
            "server \"bersama\"",
        ),
        ("name = \"Dinas Kesehatan\"", "name = \"Dinkes\"", "PD \"DINKES\""),
        ("critical = true", "critical = false", "service \"Pendaftaran\""),
        ("name = \"Budi\"", "name = \"Budi\"\nphone = \"1\"", "contact person \"Budi\""),
        ("servers = [\"simrs-1\", \"KOMINFO/bersama\"]", "servers = []", "application \"Antrean\""),
        ("urgency = \"low\"", "urgency = \"high\"", "dataset \"Kode sumber\""),
    ] {
        assert!(MORE.contains(was), "{was}");
        let (status, refused) = app.try_text(&MORE.replace(was, is)).await;
        assert!(!status.is_success(), "{is}");
        assert!(
            refused
                .to_string()
                .replace("\\\"", "\"")
                .contains(&format!("{told} is retired: bring it back")),
            "{refused}"
        );
    }
    let input = json!({ "code": "DINKES", "name": "Lain" });
    let (status, _) = app.post(&operator(), "/api/v1/pd", input).await;
    assert_eq!(status, StatusCode::CONFLICT, "its code stays taken");
}

#[tokio::test]
async fn nothing_new_is_entered_under_what_is_retired() {
    let app = App::furnished().await;
    let ids = [
        ("room", app.named("rooms", "Ruang 1").await),
        ("building", app.named("buildings", "Gedung A").await),
        ("service", app.named("services", "Pendaftaran").await),
        ("application", app.named("applications", "Antrean").await),
    ];
    let id = |kind: &str| ids.iter().find(|(one, _)| *one == kind).unwrap().1.clone();
    let (server, other) = (app.named("servers", "bersama").await, app.named("pd", "KOMINFO").await);
    app.retire_own_pd().await;
    for (kind, one) in [("server", &server), ("room", &id("room")), ("building", &id("building"))] {
        assert_eq!(app.retire(kind, one, false).await.0, StatusCode::CREATED);
    }
    let own = app.city.pd;
    for (list, body) in [
        ("servers", json!({ "pd": own, "name": "n", "kind": "other" })),
        ("servers", json!({ "pd": other, "name": "n", "kind": "other", "room": id("room") })),
        ("rooms", json!({ "building": id("building"), "name": "n", "kind": "other" })),
        ("services", json!({ "pd": own, "name": "n" })),
        ("services", json!({ "pd": other, "name": "n", "standby": server })),
        ("applications", json!({ "pd": own, "name": "n" })),
        ("applications", json!({ "pd": other, "name": "n", "servers": [server] })),
        ("contact-persons", json!({ "pd": own, "name": "n", "tier": 1 })),
        (
            "datasets",
            json!({ "pd": own, "name": "n", "kind": "files", "classification": "public", "urgency": "low" }),
        ),
    ] {
        let (status, refused) = app.post(&operator(), &format!("/api/v1/{list}"), body).await;
        assert_eq!(
            (status, slug(&refused)),
            (StatusCode::CONFLICT, "conflict"),
            "{list} {refused}"
        );
        assert!(refused["detail"].as_str().unwrap().contains("bring it back first"), "{refused}");
    }
    // A service and an application of a PD that lives, and that alone are retired.
    let app = App::furnished().await;
    let (service, application) =
        (app.named("services", "Pendaftaran").await, app.named("applications", "Antrean").await);
    for (kind, list, name) in [
        ("dataset", "datasets", "Kode sumber"),
        ("application", "applications", "Antrean"),
        ("contact_person", "contact-persons", "Budi"),
        ("service", "services", "Pendaftaran"),
    ] {
        let id = app.named(list, name).await;
        assert_eq!(app.retire(kind, &id, false).await.0, StatusCode::CREATED, "{name}");
    }
    let pd = app.city.pd;
    for (list, body) in [
        ("applications", json!({ "pd": pd, "name": "n", "service": service })),
        ("contact-persons", json!({ "pd": pd, "name": "n", "tier": 1, "service": service })),
        (
            "datasets",
            json!({ "pd": pd, "name": "n", "kind": "files", "classification": "public", "urgency": "low", "application": application }),
        ),
    ] {
        let (status, refused) = app.post(&operator(), &format!("/api/v1/{list}"), body).await;
        assert_eq!(status, StatusCode::CONFLICT, "{list} {refused}");
    }
}

#[tokio::test]
async fn nobody_keeps_an_account_of_a_pd_that_is_no_more() {
    let app = App::new();
    let account = app.account(UserRole::Custodian);
    let pd = app.city.pd.to_string();
    let detail = app.refuses("pd", &pd, true).await;
    assert!(detail.contains("the-custodian") && detail.contains("close them first"), "{detail}");
    assert_eq!(app.count("/api/v1/retirements").await, 0);
    let act = Act::console(START);
    let close = |disabled| {
        app.state.db.write(|tx| {
            let account = accounts::by_id(tx, &account.user.id)?;
            accounts::set_disabled(tx, &act, &account, disabled)
        })
    };
    close(true).unwrap();
    app.retire_own_pd().await;
    assert!(matches!(close(false), Err(PeopleError::RetiredPd(code)) if code == "DINKES"));
    let role =
        app.state.db.read(|tx| accounts::check_role(tx, &account, UserRole::Pd, Some(app.city.pd)));
    assert!(matches!(role, Err(PeopleError::RetiredPd(_))));
}

#[tokio::test]
async fn a_retired_pd_is_in_no_figure_of_today_and_nothing_is_said_of_it() {
    let app = App::furnished_in_medan().await;
    let said = |app: &App| {
        let kinds = [
            Subject::Pd,
            Subject::Server,
            Subject::Service,
            Subject::Application,
            Subject::Dataset,
        ];
        let of = |kind: Subject| {
            let (now, pd) = (app.city.clock.now(), app.city.pd);
            let open = app.city.db.read(|tx| verdicts::at(tx, now, Some(&pd))).unwrap();
            open.iter().filter(|one| one.subject_kind == kind.as_str()).count()
        };
        kinds.map(of)
    };
    let before = said(&app);
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    let status = app.get("/api/v1/status").await;
    assert_eq!((&status["pds"], &status["belum_mencadangkan"]), (&json!(2), &json!(2)));

    app.wait(1000);
    app.retire_own_pd().await;
    assert_eq!(said(&app), [0; 5], "from the moment that it is entered");
    app.wait(1000);
    app.weigh_all();
    assert_eq!(said(&app), [0; 5]);
    let status = app.get("/api/v1/status").await;
    assert_eq!((&status["pds"], &status["belum_mencadangkan"]), (&json!(1), &json!(1)));
    assert_eq!(status["agents"], json!({ "up": 0, "late": 0, "down": 0, "never": 0 }));
    let pd = json!(app.city.pd);
    let rows = |table: &Value| {
        table["rows"].as_array().unwrap().iter().filter(|row| row["pd"] == pd).count()
    };
    assert_eq!(rows(&app.get("/api/v1/compliance").await), 0);
    let then = START.plus_seconds(500).0;
    let past = app.get(&format!("/api/v1/compliance?as_of={then}")).await;
    assert_eq!(rows(&past), 2, "it was there then: {past}");
    assert!(!app.get(&format!("/api/v1/verdicts?pd=DINKES&as_of={then}")).await[0].is_null());
}

#[tokio::test]
async fn nothing_is_asked_of_a_retired_pd_nor_waived() {
    let app = App::furnished_in_medan().await;
    app.retire_own_pd().await;
    let expires = START.0 + 86_400;
    let waiver =
        json!({ "rule": "backup", "subject": app.city.dataset, "reason": "r", "expires": expires });
    for (path, body) in [
        ("/api/v1/waivers", waiver),
        ("/api/v1/reminders", json!({ "pd": "DINKES" })),
        ("/api/v1/tokens", json!({ "role": "agent", "server": "DINKES/simrs-1" })),
    ] {
        let (status, refused) = app.post(&operator(), path, body).await;
        assert_eq!(
            (status, slug(&refused)),
            (StatusCode::CONFLICT, "conflict"),
            "{path} {refused}"
        );
        assert!(refused["detail"].as_str().unwrap().contains("is retired"), "{refused}");
    }
}

#[tokio::test]
async fn a_pd_sees_its_own_retirements_and_none_of_the_citys() {
    let app = App::furnished().await;
    for (kind, list, name) in [
        ("contact_person", "contact-persons", "Budi"),
        ("dataset", "datasets", "Kode sumber"),
        ("application", "applications", "Antrean"),
        ("service", "services", "Pendaftaran"),
        ("server", "servers", "bersama"),
        ("room", "rooms", "Ruang 1"),
        ("building", "buildings", "Gedung A"),
        ("pd", "pd", "KOMINFO"),
    ] {
        let id = app.named(list, name).await;
        let (status, done) = app.retire(kind, &id, false).await;
        assert_eq!(status, StatusCode::CREATED, "{name}: {done}");
        assert_eq!(done[0]["pd"].is_null(), list == "rooms" || list == "buildings", "{done}");
    }
    let pd = app.log_in(UserRole::Pd);
    let (_, own) = app.see(&pd, "/api/v1/retirements").await;
    assert_eq!(own.as_array().unwrap().len(), 4, "{own}");
    assert!(own.as_array().unwrap().iter().all(|row| row["pd"] == json!(app.city.pd)), "{own}");
    let auditor = app.log_in(UserRole::Auditor);
    let (_, all) = app.see(&auditor, "/api/v1/retirements").await;
    assert_eq!(all.as_array().unwrap().len(), 8, "{all}");
}

#[tokio::test]
async fn the_audit_log_tells_what_was_retired_and_what_came_back() {
    let app = App::furnished().await;
    let mut ids = Vec::new();
    for (kind, list, name) in ROWS {
        ids.push((kind, app.named(list, name).await));
    }
    app.retire_own_pd().await;
    for kind in ["server", "room", "building"] {
        let (_, id) = ids.iter().find(|(one, _)| *one == kind).unwrap();
        assert_eq!(app.retire(kind, id, false).await.0, StatusCode::CREATED);
    }
    app.restore_all().await;
    let log = app.log().await;
    for (kind, id) in &ids {
        let find = |action: String| {
            log.iter().find(|one| one.action == action && one.subject.id == *id).cloned().unwrap()
        };
        let retired = find(format!("{kind}.retire"));
        assert_eq!(retired.subject.kind, *kind);
        let (before, after) = (retired.before.unwrap(), retired.after.unwrap());
        assert!(before.get("retired").is_none() && after["retired"]["reason"] == "SK 7/2026");
        assert_eq!(before["id"], after["id"]);
        let back = find(format!("{kind}.restore"));
        assert_eq!(back.before.unwrap(), after);
        assert_eq!(back.after.unwrap()["restored"]["reason"], "entered by mistake");
    }
}
