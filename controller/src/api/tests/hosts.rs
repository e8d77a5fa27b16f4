//! What agents tell of their hosts: bounds, whose it is, and that it is shown and accepted.

use http::{Method, StatusCode};
use lumbung_wire::messages::host::{DISKS_MAX, TEXT_MAX_BYTES};
use lumbung_wire::messages::people::UserRole;
use serde_json::{Value, json};

use super::{App, operator, slug, stranger_agent};

fn host() -> Value {
    json!({
        "system": { "vendor": "Dell Inc.", "model": "PowerEdge R740", "serial": "LMB7Q13", "chassis": "rack_mount" },
        "platform": "physical",
        "processors": [{ "model": "Xeon", "sockets": 2, "cores": 20, "threads": 40 }],
        "memory_bytes": 274_877_906_944_u64,
        "disks": [{
            "name": "sda", "model": "ST3500418AS", "serial": "6VM0LMB1", "bytes": 500_107_862_016_u64, "rotational": true,
            "removable": false, "transport": "sata", "smart_state": "read",
            "smart": { "at": 1_800_000_000, "exit_status": 0, "passed": true, "temperature_c": 33, "pending_sectors": 0 },
        }],
        "interfaces": [{ "name": "eno1", "mac": "02:4c:4d:42:00:01", "addresses": ["10.20.30.5/24", "2001:db8::7/64"] }],
        "os": "Ubuntu 22.04.4 LTS",
        "kernel": "5.15.0",
        "utc_offset_s": 25_200,
    })
}

fn path(app: &App) -> String {
    format!("/api/v1/servers/{}/inventory", app.city.server)
}

#[tokio::test]
async fn an_inventory_is_shown_held_against_the_register_and_accepted() {
    let app = App::new();
    let (status, problem) = app.call(&operator(), Method::GET, &path(&app), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(problem["detail"].as_str().unwrap().contains("no agent has told"), "{problem}");

    let (status, answer) = app.post(&app.agent(), "/api/v1/inventory", host()).await;
    assert_eq!((status, &answer["received"]), (StatusCode::OK, &json!(super::START)), "{answer}");
    let shown = app.get(&path(&app)).await;
    assert_eq!(shown["inventory"], host());
    assert_eq!((&shown["revision"], &shown["accepted_by"]), (&json!(1), &json!("controller")));
    assert_eq!(shown["differences"], json!([]));

    app.wait(3600);
    let mut other = host();
    other["disks"][0]["serial"] = json!("6VM0LMB2");
    app.post(&app.agent(), "/api/v1/inventory", other).await;
    let shown = app.get(&path(&app)).await;
    assert_eq!(shown["changes"][0]["differences"].as_array().unwrap().len(), 2, "{shown}");
    let accept = format!("{}/accept", path(&app));
    let (status, problem) =
        app.post(&operator(), &accept, json!({ "revision": 1, "reason": "disk diganti" })).await;
    assert_eq!((status, slug(&problem)), (StatusCode::CONFLICT, "conflict"), "{problem}");
    let (status, problem) =
        app.post(&operator(), &accept, json!({ "revision": 2, "reason": "" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["field"], "reason");
    let (status, shown) =
        app.post(&operator(), &accept, json!({ "revision": 2, "reason": "disk diganti" })).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert_eq!(
        (&shown["accepted_revision"], &shown["accepted_by"]),
        (&json!(2), &json!("operator's certificate \"budi\""))
    );
    let from_accepted =
        shown["differences"].as_array().unwrap().iter().filter(|one| one["from"] == "accepted");
    assert_eq!(from_accepted.count(), 0);
}

#[tokio::test]
async fn what_passes_its_bounds_or_is_not_known_is_refused() {
    let app = App::new();
    let disk = |n: usize| json!({ "name": format!("sd{n}"), "smart_state": "not_asked" });
    let with = |member: &str, value: Value| {
        let mut host = host();
        host[member] = value;
        host
    };
    for (what, body) in [
        ("unknown member", with("processes", json!([]))),
        ("unknown word", with("platform", json!("mainframe"))),
        ("long text", with("os", json!("x".repeat(TEXT_MAX_BYTES + 1)))),
        ("control character", with("kernel", json!("6.1\u{1b}[2J"))),
        ("too many", with("disks", (0..=DISKS_MAX).map(disk).collect())),
        ("twice", with("disks", json!([disk(1), disk(1)]))),
        ("no address", with("interfaces", json!([{ "name": "e", "addresses": ["10.1.2.3"] }]))),
        ("negative", with("memory_bytes", json!(-1))),
        ("no object", json!("host")),
    ] {
        let bytes = serde_json::to_vec(&body).unwrap();
        let (status, answer) = app
            .send(&app.agent(), Method::POST, "/api/v1/inventory", "application/json", bytes)
            .await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{what}: {answer}");
    }
    let large = vec![b' '; lumbung_wire::messages::host::INVENTORY_MAX_BYTES + 1];
    let (status, _) =
        app.send(&app.agent(), Method::POST, "/api/v1/inventory", "application/json", large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let (status, _) = app.call(&operator(), Method::GET, &path(&app), None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "nothing of it was kept");
}

#[tokio::test]
async fn an_agent_tells_of_its_own_server_and_not_too_often() {
    let app = App::new();
    let (status, problem) = app.post(&stranger_agent(), "/api/v1/inventory", host()).await;
    assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, "forbidden"));
    assert!(problem["detail"].as_str().unwrap().contains("enrol"));
    app.post(&app.agent(), "/api/v1/inventory", json!({})).await;
    app.wait(1);
    let (status, problem) = app.post(&app.agent(), "/api/v1/inventory", host()).await;
    assert_eq!((status, slug(&problem)), (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"));
    app.wait(30);
    let (status, _) = app.post(&app.agent(), "/api/v1/inventory", host()).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_pd_sees_its_own_hosts_and_accepts_none() {
    let app = App::new();
    app.post(&app.agent(), "/api/v1/inventory", host()).await;
    let session = app.log_in(UserRole::Pd);
    let (status, shown) = app.see(&session, &path(&app)).await;
    assert_eq!(
        (status, &shown["inventory"]["system"]["serial"]),
        (StatusCode::OK, &json!("LMB7Q13"))
    );
    let accept = format!("{}/accept", path(&app));
    let (status, _) = app.tell(&session, &accept, json!({ "revision": 1, "reason": "x" })).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}
