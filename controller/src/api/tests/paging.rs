//! Pages that together are the list, and filters that show what was asked for.

use http::{Method, StatusCode};
use lumbung_model::AgentId;
use lumbung_pack::SigningKey;
use lumbung_wire::Peer;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::super::{Route, routes};
use super::{App, Session, operator, request_of, slug};
use crate::db::agents::{self, AgentRow};
use crate::db::alarms::{self, Finding};
use crate::db::standings;
use crate::reconcile::Reconciler;

impl App {
    /// A page, and the path of the next one.
    pub(super) async fn page(&self, peer: &Peer, path: &str) -> (Value, Option<String>) {
        self.page_of(request_of(peer, &[], Method::GET, path, vec![])).await
    }

    async fn page_of(&self, request: axum::extract::Request) -> (Value, Option<String>) {
        let (status, headers, body) = self.whole(request).await;
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        let link = headers.get("link").map(|link| link.to_str().unwrap());
        let next = link.map(|link| {
            link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap().to_owned()
        });
        (answer, next)
    }

    async fn page_as(&self, session: &Session, path: &str) -> (Value, Option<String>) {
        let cookie = format!("__Host-lumbung={}", session.cookie);
        let headers = [("cookie", cookie.as_str())];
        self.page_of(request_of(&Peer::Anonymous, &headers, Method::GET, path, vec![])).await
    }

    /// Several rows in every list.
    async fn furnish(&self) -> Session {
        let admin = self.log_in(UserRole::Admin);
        self.account(UserRole::Auditor);
        self.account(UserRole::Pd);
        let toml = "[[pd]]\ncode = \"BAPENDA\"\nname = \"Bapenda\"\n\
             [[pd.server]]\nname = \"pbb\"\nkind = \"vps\"\n\
             [[pd.server.dataset]]\nname = \"PBB\"\nkind = \"postgresql\"\nclassification = \"non_public\"\nurgency = \"high\"\n\
             [[pd.server.dataset]]\nname = \"arsip\"\nkind = \"files\"\nclassification = \"public\"\nurgency = \"low\"\nowner = \"Bidang Pendataan\"\n";
        let (status, answer) =
            self.post(&operator(), "/api/v1/import", json!({ "toml": toml })).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let bapenda = self.get("/api/v1/pd/BAPENDA").await["id"].as_str().unwrap().parse().unwrap();
        for (subject, pd, site) in [
            ("one", Some(self.city.pd), None),
            ("two", Some(bapenda), Some(self.city.drc.id)),
            ("three", None, Some(self.city.drc.id)),
        ] {
            let finding =
                Finding { subject: subject.into(), pd, site, service: None, detail: "x".into() };
            let kind = if subject == "three" { "unseen" } else { "hidden" };
            self.state.db.write(|tx| alarms::raise(tx, super::START, kind, &finding)).unwrap();
        }
        for _ in 0..3 {
            let (agent, key) = (AgentId::random(), SigningKey::generate().public());
            let row = AgentRow { agent, key, ..self.city.agent_row() };
            self.state.db.write(|tx| agents::put_agent(tx, super::START, &row)).unwrap();
        }
        for (title, due_on) in [("a", "2027-03-31"), ("b", "2027-03-31"), ("c", "2027-01-31")] {
            let input = json!({ "title_id": title, "due_on": due_on });
            let (status, made) = self.post(&operator(), "/api/v1/deposits", input).await;
            assert_eq!(status, StatusCode::CREATED, "{made}");
        }
        for reason in ["SK 1", "SK 2", "SK 3"] {
            let change = json!({ "role": "operator", "reason": reason });
            let to = "/api/v1/users/the-auditor/role";
            assert_eq!(self.tell(&admin, to, change).await.0, StatusCode::ACCEPTED);
            let input = json!({ "name": reason, "days": 1 });
            assert_eq!(self.tell(&admin, "/api/v1/me/tokens", input).await.0, StatusCode::CREATED);
        }
        admin
    }
}

fn rows_of(answer: &Value) -> Vec<Value> {
    answer.get("rows").unwrap_or(answer).as_array().unwrap().clone()
}

#[tokio::test]
async fn pages_of_every_list_together_are_the_list() {
    let app = App::new();
    let admin = app.furnish().await;
    let lists = routes().into_iter().map(|(route, _)| route);
    let lists: Vec<_> = lists.filter(|route| route.query.contains(&"after")).collect();
    let is_list = |route: &Route| route.method == Method::GET && route.response.starts_with('[');
    let arrays = routes().into_iter().filter(|(route, _)| is_list(route));
    assert_eq!(lists.len(), arrays.count() + 1, "each list, and the table");
    let mut long = 0;
    for route in lists {
        let (whole, next) = app.page_as(&admin, route.path).await;
        assert_eq!(next, None, "{}", route.path);
        long += usize::from(rows_of(&whole).len() > 1);
        for limit in [1, 2, 1000] {
            let (mut rows, mut next) = (vec![], Some(format!("{}?limit={limit}", route.path)));
            while let Some(path) = next {
                let (page, after) = app.page_as(&admin, &path).await;
                let page = rows_of(&page);
                assert!(page.len() <= limit && (after.is_none() || page.len() == limit));
                rows.extend(page);
                next = after;
            }
            assert_eq!(rows, rows_of(&whole), "{}?limit={limit}", route.path);
        }
    }
    assert!(long >= 10, "lists of one row show little: {long}");
}

#[tokio::test]
async fn a_page_keeps_its_filters_and_its_totals() {
    let app = App::new();
    app.furnish().await;
    let (whole, _) = app.page(&operator(), "/api/v1/compliance").await;
    let (page, next) = app.page(&operator(), "/api/v1/compliance?pd=BAPENDA&limit=1").await;
    let next = next.unwrap();
    assert!(next.starts_with("/api/v1/compliance?pd=BAPENDA&limit=1&after="), "{next}");
    assert_eq!((rows_of(&page).len(), &page["all"]["datasets"]), (1, &json!(2)));
    let (last, next) = app.page(&operator(), &next).await;
    assert_eq!((rows_of(&last)[0]["pd_code"].as_str(), next), (Some("BAPENDA"), None));
    let (filtered, _) = app.page(&operator(), "/api/v1/compliance?urgency=low").await;
    assert_eq!(filtered["all"], whole["all"], "totals are of the whole");
}

#[tokio::test]
async fn filters_show_what_was_asked_for() {
    let app = App::new();
    app.furnish().await;
    let (pd, drc) = (app.city.pd, app.city.drc.id);
    for (path, names) in [
        ("servers?kind=vps&pd=BAPENDA".to_owned(), vec!["pbb"]),
        ("servers?q=PB".to_owned(), vec!["pbb"]),
        ("servers?kind=physical&q=pbb".to_owned(), vec![]),
        ("servers?heartbeat=up".to_owned(), vec![]),
        ("datasets?kind=postgresql&pd=BAPENDA".to_owned(), vec!["PBB"]),
        ("datasets?urgency=low".to_owned(), vec!["arsip"]),
        ("datasets?q=pendataan".to_owned(), vec!["arsip"]),
        (format!("datasets?server={}&q=arsip", app.city.server), vec![]),
    ] {
        let rows = rows_of(&app.get(&format!("/api/v1/{path}")).await);
        let found: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{path}");
    }
    for (query, subjects) in [
        ("kind=hidden".to_owned(), vec!["two", "one"]),
        ("kind=none".to_owned(), vec![]),
        (format!("pd={pd}"), vec!["one"]),
        (format!("site={drc}"), vec!["three", "two"]),
        (format!("site={drc}&pd=BAPENDA&all=true"), vec!["two"]),
    ] {
        let rows = rows_of(&app.get(&format!("/api/v1/alarms?{query}")).await);
        let found: Vec<_> = rows.iter().map(|row| row["subject"].as_str().unwrap()).collect();
        assert_eq!(found, subjects, "{query}");
    }
    for (query, count) in [
        ("backed_up=missing&urgency=low", 1),
        ("backed_up=met", 0),
        ("at_drc=missing&verified=missing&proven=missing", 3),
        ("late=true", 0),
        ("late=false", 3),
    ] {
        let rows = rows_of(&app.get(&format!("/api/v1/compliance?{query}")).await);
        assert_eq!(rows.len(), count, "{query}");
    }
}

#[tokio::test]
async fn a_row_that_was_met_once_and_is_no_longer_is_late() {
    let app = App::new();
    let city = &app.city;
    let start = super::START;
    let (id, object) = city.signed_manifest(1, lumbung_model::ManifestId::ZERO, start);
    let receipt = city.pusat.take(city, &object, start);
    city.pusat.inventory(city, start, &[(id, receipt)]);
    city.poll(&city.pusat).await;
    assert_eq!(rows_of(&app.get("/api/v1/compliance?late=true").await).len(), 0);
    // The inventory is renewed, the snapshot is not.
    let later = start.plus_seconds(40 * 86_400);
    city.clock.set(later);
    city.pusat.inventory(city, later, &[(id, receipt)]);
    city.poll(&city.pusat).await;
    let late = rows_of(&app.get("/api/v1/compliance?late=true").await);
    assert_eq!((late.len(), &late[0]["backed_up"]["state"]), (1, &json!("late")));
}

#[tokio::test]
async fn what_cannot_be_asked_is_named() {
    let app = App::new();
    let admin = app.log_in(UserRole::Admin);
    let long = format!("servers?q={}", "x".repeat(101));
    for (path, name) in [
        ("servers?limit=0", "limit"),
        ("servers?limit=1001", "limit"),
        ("servers?limit=many", "limit"),
        ("servers?after=x", "after"),
        ("servers?after=", "after"),
        ("alarms?after=IngI", "after"),
        ("audit?after=-1", "after"),
        ("audit?after=9223372036854775808", "after"),
        ("audit?limit=0", "limit"),
        ("approvals?after=IngI", "after"),
        ("servers?kind=mainframe", "kind"),
        ("servers?heartbeat=x", "heartbeat"),
        ("servers?q=", "q"),
        (long.as_str(), "q"),
        ("servers?kin=vps", "kin"),
        ("servers?kind=vps&kind=vps", "kind"),
        ("sites?pd=x", "pd"),
        ("datasets?urgency=very", "urgency"),
        ("datasets?server=1", "server"),
        ("alarms?site=1", "site"),
        ("alarms?all=maybe", "all"),
        ("compliance?late=x", "late"),
        ("compliance?proven=x", "proven"),
        ("compliance?lang=xx", "lang"),
        ("health?x=1", "x"),
        ("users?q=a", "q"),
    ] {
        let (status, problem) = app.see(&admin, &format!("/api/v1/{path}")).await;
        assert_eq!((status, slug(&problem)), (StatusCode::BAD_REQUEST, "bad-request"), "{path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains(&format!("{name}:")) || detail.contains(&format!("{name} ")),
            "{path}: {detail}"
        );
    }
}

#[tokio::test]
async fn the_table_answers_the_same_whether_standings_are_read_or_weighed() {
    let app = App::new();
    app.furnish().await;
    let profile = app.state.profile.clone();
    let reconciler = Reconciler::new(app.state.db.clone(), app.city.clock.clone(), profile);
    let first = app.page(&operator(), "/api/v1/compliance?pd=BAPENDA&limit=1").await.1.unwrap();
    let paths = ["", "?limit=1", "?pd=BAPENDA", "?pd=BAPENDA&limit=1", "?urgency=low&limit=1"];
    let mut paths: Vec<_> =
        paths.iter().map(|query| format!("/api/v1/compliance{query}")).collect();
    paths.push(first);
    for path in paths {
        let ask = || app.whole(request_of(&operator(), &[], Method::GET, &path, vec![]));
        reconciler.pass().unwrap();
        let read = ask().await;
        app.state.db.write(|tx| standings::mark_all(tx)).unwrap();
        let weighed = ask().await;
        assert_eq!(read.0, StatusCode::OK);
        assert_eq!(
            (&read.1["etag"], read.1.get("link")),
            (&weighed.1["etag"], weighed.1.get("link"))
        );
        assert_eq!(read.2, weighed.2, "{path}");
    }
}
