//! Changing one row: only what was seen, only what is named, by the rules of an import.

use http::{Method, StatusCode};
use lumbung_wire::Peer;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, documents, operator, request_of, slug};

impl App {
    /// Changes a row that has this tag, as the operator's certificate.
    pub(super) async fn change(
        &self,
        path: &str,
        tag: Option<&str>,
        patch: Value,
    ) -> (StatusCode, Value) {
        let headers: Vec<_> = tag.into_iter().map(|tag| ("if-match", tag)).collect();
        let body = patch.to_string().into_bytes();
        let request = request_of(&operator(), &headers, Method::PATCH, path, body);
        let (status, answer) = self.answer(request).await;
        if status.is_success() {
            documents::check(&Method::PATCH, path, Some(&patch), &answer);
        }
        (status, answer)
    }

    /// A row with its tag.
    async fn seen(&self, path: &str) -> (Value, String) {
        let request = request_of(&operator(), &[], Method::GET, path, vec![]);
        let (status, headers, body) = self.whole(request).await;
        assert_eq!(status, StatusCode::OK, "{path}");
        let tag = headers["etag"].to_str().unwrap().to_owned();
        (serde_json::from_slice(&body).unwrap(), tag)
    }

    /// The path of the row that is entered so.
    async fn entered(&self, list: &str, input: Value) -> String {
        let (status, row) = self.post(&operator(), &format!("/api/v1/{list}"), input).await;
        assert_eq!(status, StatusCode::CREATED, "{list}: {row}");
        format!("/api/v1/{list}/{}", row["id"].as_str().unwrap())
    }
}

/// One row of each kind, and something to change in it.
async fn one_of_each(app: &App) -> Vec<(String, Value)> {
    let (pd, server) = (app.city.pd.to_string(), app.city.server.to_string());
    let site = app.get("/api/v1/sites").await[0]["id"].clone();
    let building = app.entered("buildings", json!({ "site": site, "name": "Balai Kota" })).await;
    let in_it = building.rsplit('/').next().unwrap().to_owned();
    let room = json!({ "building": in_it, "name": "R1", "kind": "data_centre" });
    let room = app.entered("rooms", room).await;
    let service = app.entered("services", json!({ "pd": pd, "name": "e-office" })).await;
    let application = app.entered("applications", json!({ "pd": pd, "name": "SIMPEG" })).await;
    let person = json!({ "pd": pd, "tier": 1, "name": "Siti", "phone": "0811" });
    let person = app.entered("contact-persons", person).await;
    let id_of = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let rack = json!({ "room": id_of(&room), "name": "R1", "height_u": 42 });
    let rack = app.entered("racks", rack).await;
    let feed = app
        .entered("feeds", json!({ "room": id_of(&room), "name": "A", "volts": 230, "amps": 16 }))
        .await;
    let pool = json!({ "site": site, "name": "K", "vcpus": 8, "memory_bytes": 8, "disk_bytes": 8 });
    let pool = app.entered("pools", pool).await;
    let device = json!({
        "pd": pd, "name": "web", "kind": "server", "condition": "baik", "rack": id_of(&rack), "lowest_u": 1,
        "height_u": 1, "face": "front", "draw_w": 10, "feeds": [id_of(&feed)],
    });
    let device = app.entered("devices", device).await;
    let kept = json!({
        "pd": pd, "rack": id_of(&rack), "name": "baru", "lowest_u": 9, "height_u": 2, "face": "both",
        "until": "2027-12-31",
    });
    let kept = app.entered("reservations", kept).await;
    let handover = json!({
        "pd": pd, "name": "root", "server": server, "from_person": "a", "to_person": "b", "handed_on": "2027-01-01",
    });
    let handover = app.entered("handovers", handover).await;
    vec![
        (rack, json!({ "height_u": 40, "note": "pojok" })),
        (feed, json!({ "volts": null, "amps": null, "rated_w": 4000, "share_percent": 70 })),
        (pool, json!({ "overcommit_percent": 300 })),
        (
            device,
            json!({ "rack": null, "lowest_u": null, "height_u": null, "face": null, "feeds": [] }),
        ),
        (kept, json!({ "until": "2028-01-31", "face": "rear" })),
        (handover, json!({ "returned_on": "2027-01-02", "letter": "BA 1" })),
        (format!("/api/v1/sites/{}", site.as_str().unwrap()), json!({ "address": "Jalan Satu" })),
        (building, json!({ "address": "Jalan Dua" })),
        (room, json!({ "name": "R2" })),
        (format!("/api/v1/pd/{pd}"), json!({ "mandiri_tik": true, "contact": "0812" })),
        (format!("/api/v1/servers/{server}"), json!({ "kind": "vps" })),
        (service, json!({ "critical": true, "sla_millipercent": 99_900, "hours": "24x7" })),
        (application, json!({ "technology": "Java", "servers": [server] })),
        (person, json!({ "phone": null, "email": "siti@example.go.id" })),
        (
            format!("/api/v1/datasets/{}", app.city.dataset),
            json!({ "urgency": "critical", "rpo_s": null, "paths": ["/srv"], "owner": "Kabid" }),
        ),
    ]
}

#[tokio::test]
async fn a_row_of_each_kind_is_changed_where_the_change_names_it_and_nowhere_else() {
    let app = App::new();
    for (path, patch) in one_of_each(&app).await {
        let (before, tag) = app.seen(&path).await;
        let (status, unchanged) = app.change(&path, Some(&tag), json!({})).await;
        assert_eq!((status, &unchanged), (StatusCode::OK, &before), "{path}: what is there passes");
        let (status, answer) = app.change(&path, Some(&tag), patch.clone()).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        let (after, changed) = app.seen(&path).await;
        assert_eq!(answer, after, "{path}");
        assert_ne!(changed, tag, "{path}");
        let mut expected = before.as_object().unwrap().clone();
        for (member, value) in patch.as_object().unwrap() {
            expected.insert(member.clone(), value.clone());
        }
        // What null takes out, and the RPO of the new class.
        expected.retain(|member, value| after.get(member).is_some() || !value.is_null());
        if expected.insert("phone".into(), "".into()).is_none() {
            expected.remove("phone");
        }
        if path.contains("datasets") {
            assert_eq!((&before["own_rpo"], &after["own_rpo"]), (&json!(true), &json!(false)));
            expected.insert("own_rpo".into(), json!(false));
            expected.insert("rpo_s".into(), after["rpo_s"].clone());
        }
        assert_eq!(after.as_object().unwrap(), &expected, "{path}");
        let (status, refused) = app.change(&path, Some(&tag), patch).await;
        assert_eq!((status, slug(&refused)), (StatusCode::PRECONDITION_FAILED, "changed"));
    }
}

#[tokio::test]
async fn a_change_says_what_it_was_made_of_and_passes_the_rules_of_the_register() {
    let app = App::new();
    let path = format!("/api/v1/datasets/{}", app.city.dataset);
    let (before, tag) = app.seen(&path).await;
    let other = json!({ "code": "DISHUB", "name": "Dinas Perhubungan" });
    let other = app.entered("pd", other).await.rsplit('/').next().unwrap().to_owned();
    let unnamed = [(None, StatusCode::PRECONDITION_REQUIRED, "unconditional")];
    for (tag, status, expected) in unnamed {
        let (found, refused) = app.change(&path, tag, json!({ "owner": "x" })).await;
        assert_eq!((found, slug(&refused)), (status, expected));
    }
    for (patch, status, said) in [
        (json!({ "urgencies": "high" }), StatusCode::BAD_REQUEST, "urgencies"),
        (json!({ "urgency": "high!" }), StatusCode::BAD_REQUEST, "high!"),
        (json!({ "name": null }), StatusCode::BAD_REQUEST, "name"),
        (json!({ "id": other }), StatusCode::BAD_REQUEST, "id: it stays"),
        (json!({ "own_rpo": true }), StatusCode::BAD_REQUEST, "own_rpo"),
        (json!({ "rpo_s": 1 }), StatusCode::UNPROCESSABLE_ENTITY, "rpo_s"),
        (json!({ "name": "a\nb" }), StatusCode::UNPROCESSABLE_ENTITY, "name"),
        (json!([1]), StatusCode::BAD_REQUEST, "map"),
    ] {
        let (found, refused) = app.change(&path, Some(&tag), patch.clone()).await;
        assert_eq!(found, status, "{patch}: {refused}");
        assert!(refused["detail"].as_str().unwrap().contains(said), "{patch}: {refused}");
    }
    // Its server is not the other PD's.
    let (status, _) = app.change(&path, Some(&tag), json!({ "pd": other })).await;
    assert!(status.is_client_error(), "{status}");
    assert_eq!(app.seen(&path).await, (before, tag));
    let nothing = format!("/api/v1/datasets/{}", lumbung_model::DatasetId::from_bytes([9; 16]));
    let (status, _) = app.change(&nothing, Some("*"), json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_heartbeat_is_no_change_of_the_server() {
    let app = App::new();
    let path = format!("/api/v1/servers/{}", app.city.server);
    let (_, tag) = app.seen(&path).await;
    let (status, _) =
        app.post(&app.agent(), "/api/v1/heartbeat", super::flows::beat(&app, 0)).await;
    assert_eq!(status, StatusCode::OK);
    let (row, later) = app.seen(&path).await;
    assert_ne!(later, tag, "the answer is another one: {row}");
    let (status, changed) = app.change(&path, Some(&tag), json!({ "name": "simrs-2" })).await;
    assert_eq!((status, &changed["heartbeat"]), (StatusCode::OK, &row["heartbeat"]));
    let (status, refused) = app.change(&path, Some(&later), json!({ "name": "simrs-3" })).await;
    assert_eq!((status, slug(&refused)), (StatusCode::PRECONDITION_FAILED, "changed"));
}

#[tokio::test]
async fn a_change_by_a_session_needs_its_token_and_stands_in_the_audit_log() {
    let app = App::new();
    let session = app.log_in(UserRole::Operator);
    let path = format!("/api/v1/pd/{}", app.city.pd);
    let (_, tag) = app.seen(&path).await;
    let cookie = format!("__Host-lumbung={}", session.cookie);
    let send = async |csrf: &str| {
        let headers = [("cookie", cookie.as_str()), ("x-csrf-token", csrf), ("if-match", &tag)];
        let body = json!({ "name": "Dinas Kesehatan Kota" }).to_string().into_bytes();
        app.answer(request_of(&Peer::Anonymous, &headers, Method::PATCH, &path, body)).await
    };
    let (status, refused) = send("").await;
    assert_eq!((status, slug(&refused)), (StatusCode::FORBIDDEN, "csrf"));
    assert_eq!(send(&session.csrf).await.0, StatusCode::OK);
    let log = app.log().await;
    let entry = log.iter().rfind(|entry| entry.action == "pd.put").unwrap();
    assert_eq!(entry.actor.name, "the-operator");
    assert_eq!(entry.after.as_ref().unwrap()["name"], "Dinas Kesehatan Kota");
}

#[tokio::test]
async fn a_server_goes_where_its_room_is_and_a_room_with_servers_stays_at_its_site() {
    let app = App::new();
    let sites = app.get("/api/v1/sites").await;
    let (here, there) = (sites[0]["id"].clone(), sites[1]["id"].clone());
    let id = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let building = app.entered("buildings", json!({ "site": here, "name": "A" })).await;
    let other = app.entered("buildings", json!({ "site": there, "name": "B" })).await;
    let room =
        |of: &str, name: &str| json!({ "building": id(of), "name": name, "kind": "data_centre" });
    let (in_a, in_b) = (room(&building, "R1"), room(&other, "R2"));
    let (room, far) = (app.entered("rooms", in_a).await, app.entered("rooms", in_b).await);
    let server = format!("/api/v1/servers/{}", app.city.server);
    for (to, site) in [(&room, &here), (&far, &there), (&room, &here)] {
        let (_, row) = app.change(&server, Some("*"), json!({ "room": id(to) })).await;
        assert_eq!((&row["site"], &row["room"]), (site, &json!(id(to))), "{row}");
    }
    let named = json!({ "room": id(&room), "site": there });
    assert_eq!(app.change(&server, Some("*"), named).await.0, StatusCode::CONFLICT);

    for (path, patch, field) in [
        (&building, json!({ "site": there }), "site"),
        (&room, json!({ "building": id(&other) }), "building"),
    ] {
        let (status, refused) = app.change(path, Some("*"), patch).await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        assert!(refused["detail"].as_str().unwrap().contains("simrs-1"), "{refused}");
        assert_eq!(refused["errors"][0]["field"], field, "{refused}");
    }
    app.change(&server, Some("*"), json!({ "room": null })).await;
    let (status, row) = app.change(&building, Some("*"), json!({ "site": there })).await;
    assert_eq!((status, &row["site"]), (StatusCode::OK, &there), "nothing stands in it: {row}");
}

#[tokio::test]
async fn a_datasets_repository_goes_with_its_pd_and_not_by_itself() {
    let app = App::new();
    let other = app.entered("pd", json!({ "code": "DISHUB", "name": "Dishub" })).await;
    let pd = other.rsplit('/').next().unwrap();
    let path = format!("/api/v1/datasets/{}", app.city.dataset);
    let repository = json!({ "repository": app.city.repository });
    let (status, row) = app.change(&path, Some("*"), repository.clone()).await;
    assert_eq!((status, &row["repository"]), (StatusCode::OK, &repository["repository"]));
    let (status, refused) = app.change(&path, Some("*"), json!({ "repository": null })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
    let (status, row) = app.change(&path, Some("*"), json!({ "pd": pd, "server": null })).await;
    assert_eq!((status, &row["pd"]), (StatusCode::OK, &json!(pd)), "{row}");
    assert!(row.get("repository").is_none(), "{row}");
}
