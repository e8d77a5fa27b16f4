//! Elevations, pools with what is left, handovers, and the history of rows.

use http::StatusCode;
use lumbung_model::Clock as _;
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::super::{App, operator};
use super::Place;

fn states(elevation: &Value, unit: u8) -> (String, String) {
    let units = elevation["units"].as_array().unwrap();
    let found = units.iter().find(|one| one["unit"] == unit).unwrap();
    let told = |face: &str| {
        let slot = &found[face];
        let (state, name) = (slot["state"].as_str().unwrap(), slot["name"].as_str());
        name.map_or_else(|| state.to_owned(), |name| format!("{state} {name}"))
    };
    (told("front"), told("rear"))
}

#[tokio::test]
async fn an_elevation_shows_each_unit_from_both_sides() {
    let app = App::with_racks().await;
    let own = Place { pd: "DINKES", name: "web", lowest_u: 20, height_u: 1, face: "front" };
    app.adds("devices", app.device(own, json!({})).await).await;
    let path = format!("/api/v1/racks/{}/elevation", app.named("racks", "R1").await);
    let shown = app.get(&path).await;
    assert_eq!(shown["on"], "2027-01-15");
    let units: Vec<_> = shown["units"].as_array().unwrap().iter().map(|one| &one["unit"]).collect();
    assert_eq!((units.len(), units[0], units[41]), (42, &json!(42), &json!(1)));
    let pair = |front: &str, rear: &str| (front.to_owned(), rear.to_owned());
    assert_eq!(states(&shown, 42), pair("free", "free"));
    assert_eq!(states(&shown, 41), pair("device inti-1", "device inti-1"));
    assert_eq!(states(&shown, 21), pair("reserved Peladen baru", "reserved Peladen baru"));
    assert_eq!(states(&shown, 20), pair("device web", "reserved Peladen baru"));
    app.wait(200 * 86_400);
    assert_eq!(states(&app.get(&path).await, 21), pair("free", "free"), "it has lapsed");
}

#[tokio::test]
async fn a_pd_sees_racks_with_its_devices_and_of_others_only_that_they_take_room() {
    let app = App::with_racks().await;
    let path = format!("/api/v1/racks/{}/elevation", app.named("racks", "R1").await);
    let session = app.log_in(UserRole::Pd);
    // Where none of its devices stands there is nothing to see.
    assert_eq!(app.see(&session, &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(app.see(&session, "/api/v1/elevations").await.1, json!([]));
    let own = Place { pd: "DINKES", name: "web", lowest_u: 30, height_u: 1, face: "front" };
    let web = app.adds("devices", app.device(own, json!({})).await).await;
    let kept = json!({
        "pd": app.named("pd", "KOMINFO").await, "name": "zzz-kept", "rack": app.named("racks", "R1").await,
        "lowest_u": 5, "height_u": 1, "face": "rear", "until": "2027-12-31", "reason": "zzz-reason",
    });
    app.adds("reservations", kept).await;

    let (status, shown) = app.see(&session, &path).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let pair = |front: &str, rear: &str| (front.to_owned(), rear.to_owned());
    assert_eq!(states(&shown, 30), pair("device web", "free"));
    assert_eq!(states(&shown, 20), pair("reserved Peladen baru", "reserved Peladen baru"));
    assert_eq!(states(&shown, 41), pair("taken", "taken"));
    assert_eq!(states(&shown, 5), pair("free", "taken"));
    assert_eq!(shown["units"][42 - 41]["front"], json!({ "state": "taken" }));
    let (_, listed) = app.see(&session, "/api/v1/elevations").await;
    assert_eq!(listed, json!([shown]));
    let kominfo = app.named("pd", "KOMINFO").await;
    for trace in ["zzz-", "KOMINFO", "inti-1", kominfo.as_str()] {
        assert!(!listed.to_string().contains(trace), "{trace}");
    }
    assert_eq!(app.see(&session, "/api/v1/elevations?q=r2").await.1, json!([]));
    assert_eq!(
        states(&app.get(&path).await, 41),
        pair("device inti-1", "device inti-1"),
        "the city"
    );

    assert_eq!(app.retire("device", &web, false).await.0, StatusCode::CREATED);
    assert_eq!(app.see(&session, &path).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pools_are_listed_with_what_is_left() {
    let app = App::with_racks().await;
    let pools = app.get("/api/v1/pools").await;
    let of = |member: &str| pools[0][member].as_u64().unwrap();
    assert_eq!((of("usable_vcpus"), of("used_vcpus"), of("free_vcpus")), (32, 8, 24));
    assert_eq!((of("used_memory_bytes"), of("free_memory_bytes")), (16 << 30, 48 << 30));
    assert_eq!((of("used_disk_bytes"), of("free_disk_bytes")), (100 << 30, 924 << 30));
    assert_eq!(of("servers"), 1);
}

#[tokio::test]
async fn a_handover_outlives_the_server_and_is_returned_after_it() {
    let app = App::with_racks().await;
    let server = app.city.server.to_string();
    let handover = app.named("handovers", "root simrs-1").await;
    assert_eq!(app.retire("server", &server, true).await.0, StatusCode::CREATED);
    let another = json!({
        "pd": app.city.pd, "name": "lagi", "server": server, "from_person": "a", "to_person": "b", "handed_on": "2027-01-05",
    });
    let (_, text) = app.adds_not("handovers", another).await;
    assert!(text.contains("is retired"), "{text}");
    let path = format!("/api/v1/handovers/{handover}");
    let patch = json!({ "returned_on": "2027-01-14" }).to_string().into_bytes();
    let request = super::super::request_of(
        &operator(),
        &[("if-match", "*")],
        http::Method::PATCH,
        &path,
        patch,
    );
    let (status, row) = app.answer(request).await;
    assert_eq!((status, &row["returned_on"]), (StatusCode::OK, &json!("2027-01-14")));
    let foreign = json!({
        "pd": app.named("pd", "KOMINFO").await, "name": "x", "dataset": app.city.dataset, "from_person": "a",
        "to_person": "b", "handed_on": "2027-01-05",
    });
    let (field, _) = app.adds_not("handovers", foreign).await;
    assert_eq!(field, "dataset");
}

#[tokio::test]
async fn a_history_tells_who_changed_which_field_newest_first() {
    let app = App::with_racks().await;
    let device = app.named("devices", "inti-1").await;
    app.wait(60);
    let moved = super::RACKS.replace("lowest_u = 40", "lowest_u = 38");
    app.enter_text(&moved).await;
    app.wait(60);
    assert_eq!(app.retire("device", &device, false).await.0, StatusCode::CREATED);
    let path = format!("/api/v1/history?kind=device&id={device}");
    let told = app.get(&path).await;
    let actions: Vec<_> = told.as_array().unwrap().iter().map(|one| &one["action"]).collect();
    assert_eq!(actions, ["device.retire", "device.put", "device.put"]);
    let change = json!([{ "field": "lowest_u", "before": "40", "after": "38" }]);
    assert_eq!(
        (&told[1]["changes"], &told[1]["by"], &told[1]["name"]),
        (&change, &json!("operator's certificate \"budi\""), &json!("inti-1"))
    );
    assert_eq!(told[0]["changes"], json!([{ "field": "retired", "after": "SK 7/2026" }]));
    let first: Vec<_> =
        told[2]["changes"].as_array().unwrap().iter().map(|one| &one["field"]).collect();
    assert!(first.contains(&&json!("serial")) && !first.contains(&&json!("id")), "{first:?}");
    // Page by page, the same.
    let (page, next) = app.page(&operator(), &format!("{path}&limit=2")).await;
    let (rest, end) = app.page(&operator(), &next.unwrap()).await;
    assert_eq!((page.as_array().unwrap().len(), &rest[0], end), (2, &told[2], None));
}

#[tokio::test]
async fn a_pd_sees_what_became_of_its_own_rows_only() {
    let app = App::with_racks().await;
    let session = app.log_in(UserRole::Pd);
    let (_, seen) = app.see(&session, "/api/v1/history").await;
    let rows = seen.as_array().unwrap();
    assert!(rows.len() >= 4, "{seen}");
    assert!(rows.iter().all(|row| row["pd"] == json!(app.city.pd)), "{seen}");
    let foreign = app.named("devices", "inti-1").await;
    let (_, seen) = app.see(&session, &format!("/api/v1/history?id={foreign}")).await;
    assert_eq!(seen, json!([]));
    for list in ["devices", "reservations", "handovers"] {
        let (_, own) = app.see(&session, &format!("/api/v1/{list}")).await;
        assert!(own.as_array().unwrap().iter().all(|row| row["pd"] == json!(app.city.pd)), "{own}");
    }
}

#[tokio::test]
async fn what_needs_somebody_is_an_alarm_until_it_is_seen_to() {
    let app = App::with_racks().await;
    let keep = || async {
        let (db, profile) = (&app.state.db, &app.state.profile);
        crate::assets::keep(db, app.city.clock.now(), profile).await.unwrap();
    };
    keep().await;
    let kinds = |alarms: &Value| {
        let mut kinds: Vec<_> = alarms
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&app.get("/api/v1/alarms").await), ["asset-age", "asset-warranty"]);
    let device = app.named("devices", "inti-1").await;
    assert_eq!(app.retire("device", &device, false).await.0, StatusCode::CREATED);
    let server = app.city.server.to_string();
    assert_eq!(app.retire("server", &server, true).await.0, StatusCode::CREATED);
    keep().await;
    let alarms = app.get("/api/v1/alarms").await;
    assert_eq!(kinds(&alarms), ["access-kept"]);
    assert_eq!(alarms[0]["pd"], json!(app.city.pd));
    // A round that finds nothing new writes nothing.
    app.wait(60);
    keep().await;
    assert_eq!(app.get("/api/v1/alarms").await, alarms);
}
