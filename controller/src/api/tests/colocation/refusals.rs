//! What does not fit is refused with what stands there now: for single rows, for changes, for imports, for what comes back.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::super::{App, operator, request_of};
use super::{Place, RACKS, told};

const OWN: Place<'_> = Place { pd: "DINKES", name: "web", lowest_u: 10, height_u: 2, face: "both" };

impl App {
    /// The refusal of a change.
    async fn changes_not(&self, path: &str, patch: Value) -> (String, String) {
        let body = patch.to_string().into_bytes();
        let request = request_of(&operator(), &[("if-match", "*")], Method::PATCH, path, body);
        let (status, refused) = self.answer(request).await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        told(&refused)
    }

    async fn changes(&self, path: &str, patch: Value) {
        let body = patch.to_string().into_bytes();
        let request = request_of(&operator(), &[("if-match", "*")], Method::PATCH, path, body);
        let (status, answer) = self.answer(request).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }
}

#[tokio::test]
async fn two_devices_do_not_stand_in_one_unit_unless_back_to_back() {
    let app = App::with_racks().await;
    app.adds("devices", app.device(Place { face: "front", ..OWN }, json!({})).await).await;
    let other = Place { pd: "KOMINFO", name: "lain", lowest_u: 11, ..OWN };
    let refused = app.adds_not("devices", app.device(other, json!({})).await).await;
    let text = r#"rack "R1": device "web" of DINKES stands in U10-U11 (front) already: take other units, or move it first"#;
    assert_eq!(refused, ("lowest_u".into(), text.into()));
    let behind = Place { pd: "KOMINFO", name: "lain", face: "rear", ..OWN };
    app.adds("devices", app.device(behind, json!({})).await).await;
    let above = Place { name: "tinggi", lowest_u: 42, ..OWN };
    let (_, text) = app.adds_not("devices", app.device(above, json!({})).await).await;
    assert!(text.contains("ends above the rack, which has 42 units"), "{text}");
}

#[tokio::test]
async fn a_reservation_keeps_others_out_until_it_has_lapsed() {
    let app = App::with_racks().await;
    let foreign = Place { pd: "KOMINFO", name: "lain", lowest_u: 23, ..OWN };
    let row = app.device(foreign, json!({})).await;
    let refused = app.adds_not("devices", row.clone()).await;
    let text = r#"rack "R1": U20-U23 (front and rear) is reserved for DINKES until 2027-06-30 ("Peladen baru"): take other units, or end that reservation first"#;
    assert_eq!(refused, ("lowest_u".into(), text.into()));
    app.adds("devices", app.device(Place { lowest_u: 20, ..OWN }, json!({})).await).await;
    let kept = json!({
        "pd": app.named("pd", "KOMINFO").await, "rack": app.named("racks", "R1").await, "name": "kedua",
        "lowest_u": 22, "height_u": 1, "face": "rear", "until": "2027-12-31",
    });
    let (_, text) = app.adds_not("reservations", kept.clone()).await;
    assert!(text.contains("is reserved for DINKES"), "{text}");
    // In the city's last minute of the day it still binds.
    let end = "2027-06-30".parse::<lumbung_model::Day>().unwrap();
    let zone = app.state.profile.zone();
    app.city.clock.set(end.last_second(zone));
    app.adds_not("devices", row.clone()).await;
    app.city.clock.set(end.last_second(zone).plus_seconds(1));
    app.adds("devices", row).await;
    let over = json!({
        "pd": app.city.pd, "rack": app.named("racks", "R1").await, "name": "ketiga",
        "lowest_u": 24, "height_u": 1, "face": "front", "until": "2027-12-31",
    });
    let (_, text) = app.adds_not("reservations", over).await;
    assert!(text.contains(r#"device "lain" of KOMINFO stands in U23-U24"#), "{text}");
}

#[tokio::test]
async fn each_feed_of_a_device_carries_all_of_it_for_the_other_may_fail() {
    let app = App::with_racks().await;
    let feeds = json!([app.named("feeds", "A").await, app.named("feeds", "B").await]);
    // A may carry 3200 W and B 2944 W; 500 W are on both already.
    let heavy = |watts: u32| json!({ "draw_w": watts, "feeds": feeds });
    let refused = app.adds_not("devices", app.device(OWN, heavy(2445)).await).await;
    let text = r#"feed "B": it may carry 2944 W, and would carry 2945 W; now it carries 500 W: "inti-1" of KOMINFO 500 W; use another feed, or take something off it first"#;
    assert_eq!(refused, ("draw_w".into(), text.into()));
    app.adds("devices", app.device(OWN, heavy(2444)).await).await;
    let feed = format!("/api/v1/feeds/{}", app.named("feeds", "A").await);
    let (field, text) = app.changes_not(&feed, json!({ "rated_w": 3600 })).await;
    assert_eq!(field, "rated_w");
    assert!(text.contains("it may carry 2880 W, and would carry 2944 W"), "{text}");
    app.changes(&feed, json!({ "rated_w": 3680 })).await;
}

#[tokio::test]
async fn a_feed_has_one_rating_and_one_partner_in_its_own_room() {
    let app = App::with_racks().await;
    let room = app.named("rooms", "Ruang 1").await;
    let (a, b) = (app.named("feeds", "A").await, app.named("feeds", "B").await);
    for (more, part) in [
        (json!({}), "one of the two ways"),
        (json!({ "rated_w": 1, "volts": 1, "amps": 1 }), "one of the two ways"),
        (json!({ "rated_w": 0 }), "write what its label says"),
        (json!({ "rated_w": 1, "share_percent": 101 }), "1 to 100"),
        (json!({ "rated_w": 1, "partner": a }), "has a partner already"),
        (json!({ "rated_w": 1, "partner": b }), "has a partner already"),
    ] {
        let mut row = json!({ "room": room, "name": "C" });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, refused) = app.post(&operator(), "/api/v1/feeds", row).await;
        assert!(status.is_client_error() && told(&refused).1.contains(part), "{refused}");
    }
    let path = format!("/api/v1/feeds/{a}");
    let (_, text) = app.changes_not(&path, json!({ "partner": b })).await;
    assert!(text.contains("has a partner already"), "one of the two says it: {text}");
    let (_, text) = app.changes_not(&path, json!({ "partner": a })).await;
    assert!(text.contains("no partner of itself"), "{text}");
}

#[tokio::test]
async fn a_virtual_machine_gets_what_its_pool_has_left() {
    let app = App::with_racks().await;
    let pool = app.named("pools", "Klaster").await;
    let vps = |vcpus: u32, gib: u64| {
        json!({
            "pd": app.city.pd, "name": "vm-2", "kind": "vps", "pool": pool, "vcpus": vcpus,
            "memory_bytes": gib << 30, "disk_bytes": 1_u64 << 30,
        })
    };
    let refused = app.adds_not("servers", vps(25, 8)).await;
    let text = r#"pool "Klaster": it has 24 vCPU, 48 GiB of memory and 924 GiB of disk left, and 25 vCPU, 8 GiB of memory and 1 GiB of disk are asked for; give less, or enlarge the pool first"#;
    assert_eq!(refused, ("vcpus".into(), text.into()));
    assert_eq!(app.adds_not("servers", vps(24, 49)).await.0, "memory_bytes");
    let made = app.adds("servers", vps(24, 48)).await;
    let path = format!("/api/v1/servers/{made}");
    let row = app.get(&path).await;
    assert_eq!(row["site"], app.named("sites", "Pusat Data").await, "it is where its pool is");
    assert_eq!(app.changes_not(&path, json!({ "vcpus": 25 })).await.0, "vcpus");
    app.changes(&path, json!({ "vcpus": 20 })).await;
    let (_, text) = app.changes_not(&path, json!({ "kind": "physical" })).await;
    assert!(text.contains("only a server of the kind vps draws on a pool"), "{text}");
    let pool = format!("/api/v1/pools/{pool}");
    let other = json!({ "name": "Cadangan", "kind": "other" });
    let other = app.adds("sites", other).await;
    let (field, text) = app.changes_not(&pool, json!({ "site": other })).await;
    assert!(field == "site" && text.contains(r#"server "vm-1" is in pool "Klaster""#), "{text}");
    let (field, text) = app.changes_not(&pool, json!({ "overcommit_percent": 100 })).await;
    assert!(field == "vcpus" && text.contains("it has 16 vCPU"), "{field}: {text}");
    // What is retired draws on nothing, and comes back only where there is enough.
    assert_eq!(app.retire("server", &made, false).await.0, StatusCode::CREATED);
    app.changes(&pool, json!({ "overcommit_percent": 100 })).await;
    let (status, refused) = app.restore(&made).await;
    assert_eq!((status, told(&refused).0.as_str()), (StatusCode::CONFLICT, "vcpus"), "{refused}");
}

#[tokio::test]
async fn a_rack_and_a_device_stay_where_what_holds_them_is() {
    let app = App::with_racks().await;
    let rack = format!("/api/v1/racks/{}", app.named("racks", "R1").await);
    let (field, text) = app.changes_not(&rack, json!({ "height_u": 40 })).await;
    assert_eq!(field, "height_u");
    assert!(text.contains(r#"U40-U41 (front and rear) of "inti-1" ends above the rack"#), "{text}");
    let building = app.named("buildings", "Gedung A").await;
    let other = json!({ "building": building, "name": "Ruang 2", "kind": "data_centre" });
    let other = app.adds("rooms", other).await;
    let (_, text) = app.changes_not(&rack, json!({ "room": other })).await;
    assert!(text.contains(r#"device "inti-1" is in rack "R1""#), "{text}");
    let feed = format!("/api/v1/feeds/{}", app.named("feeds", "A").await);
    let (_, text) = app.changes_not(&feed, json!({ "room": other })).await;
    assert!(text.contains("is in feed"), "{text}");
    let far = json!({ "room": other, "name": "C", "rated_w": 5000 });
    let far = app.adds("feeds", far).await;
    let hangs = json!({ "draw_w": 10, "feeds": [far] });
    let (_, text) = app.adds_not("devices", app.device(OWN, hangs).await).await;
    assert!(text.contains("name feeds of the rack's own room"), "{text}");
}

#[tokio::test]
async fn a_serial_number_is_one_devices() {
    let app = App::with_racks().await;
    let twin = app.device(OWN, json!({ "serial": "SN-1" })).await;
    let (field, text) = app.adds_not("devices", twin.clone()).await;
    assert_eq!(field, "serial");
    assert!(
        text.starts_with(r#"serial number "SN-1" is that of device "inti-1" of KOMINFO"#),
        "{text}"
    );
    // Sold to another PD: retired there, entered here; then it does not come back there.
    let first = app.named("devices", "inti-1").await;
    assert_eq!(app.retire("device", &first, false).await.0, StatusCode::CREATED);
    app.adds("devices", twin).await;
    let (status, refused) = app.restore(&first).await;
    assert_eq!((status, told(&refused).0.as_str()), (StatusCode::CONFLICT, "serial"));
}

#[tokio::test]
async fn what_says_only_half_is_refused_by_its_field() {
    let app = App::with_racks().await;
    let (pd, rack) = (app.city.pd, app.named("racks", "R1").await);
    let feed = app.named("feeds", "A").await;
    let device = |more: Value| {
        let mut row = json!({ "pd": pd, "name": "n", "kind": "server", "condition": "baik" });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let handover = json!({ "pd": pd, "name": "h", "from_person": "a", "to_person": "b", "handed_on": "2027-01-02" });
    for (list, row, field) in [
        ("devices", device(json!({ "rack": rack })), "rack"),
        ("devices", device(json!({ "lowest_u": 3 })), "rack"),
        ("devices", device(json!({ "feeds": [feed] })), "draw_w"),
        ("devices", device(json!({ "feeds": [feed, feed], "draw_w": 1 })), "feeds"),
        (
            "devices",
            device(json!({ "purchased_on": "2027-01-02", "warranty_until": "2027-01-01" })),
            "warranty_until",
        ),
        (
            "racks",
            json!({ "room": app.named("rooms", "Ruang 1").await, "name": "n", "height_u": 61 }),
            "height_u",
        ),
        ("servers", json!({ "pd": pd, "name": "n", "kind": "vps", "vcpus": 1 }), "pool"),
        ("handovers", handover, "server"),
    ] {
        let (status, refused) = app.post(&operator(), &format!("/api/v1/{list}"), row).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{list} {field}: {refused}");
        assert_eq!(told(&refused).0, field, "{refused}");
    }
}

fn device_text(name: &str, lowest_u: u8) -> String {
    format!(
        "[[device]]\npd = \"DINKES\"\nname = \"{name}\"\nkind = \"server\"\ncondition = \"baik\"\nsite = \"Pusat Data\"\n\
         building = \"Gedung A\"\nroom = \"Ruang 1\"\nrack = \"R1\"\nlowest_u = {lowest_u}\nheight_u = 2\nface = \"both\"\n"
    )
}

#[tokio::test]
async fn an_import_is_judged_as_a_whole() {
    let app = App::with_racks().await;
    let both = |a: u8, b: u8| format!("{}{}", device_text("a", a), device_text("b", b));
    let (status, refused) = app.try_text(&both(2, 3)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let faults: Vec<_> = refused["errors"].as_array().unwrap().iter().collect();
    assert_eq!((&faults[0]["line"], &faults[1]["line"]), (&json!(10), &json!(22)), "{refused}");
    assert!(told(&refused).1.contains(r#"device "b" of DINKES stands in U3-U4"#), "{refused}");
    assert_eq!(app.count("/api/v1/devices").await, 1);
    app.enter_text(&both(2, 4)).await;
    // Each into the other's place.
    assert_eq!(app.enter_text(&both(4, 2)).await["updated"], 2);
    let (status, refused) = app.try_text(&both(40, 2)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refused}");
    assert!(told(&refused).1.contains("inti-1"), "{refused}");
    // The same file changes nothing, and what is there is not asked about again.
    assert_eq!(app.enter_text(RACKS).await["created"], 0);
}

#[tokio::test]
async fn what_is_retired_gives_its_place_free_and_comes_back_only_into_a_free_one() {
    let app = App::with_racks().await;
    let first = app.adds("devices", app.device(OWN, json!({})).await).await;
    assert_eq!(app.retire("device", &first, false).await.0, StatusCode::CREATED);
    let second = Place { pd: "KOMINFO", name: "lain", ..OWN };
    let second = app.adds("devices", app.device(second, json!({})).await).await;
    let (status, refused) = app.restore(&first).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(
        told(&refused).1.contains(r#"device "lain" of KOMINFO stands in U10-U11"#),
        "{refused}"
    );
    assert_eq!(app.retire("device", &second, false).await.0, StatusCode::CREATED);
    assert_eq!(app.restore(&first).await.0, StatusCode::OK);
    // So with a reservation.
    let kept = app.named("reservations", "Peladen baru").await;
    assert_eq!(app.retire("reservation", &kept, false).await.0, StatusCode::CREATED);
    let there = Place { pd: "KOMINFO", name: "cepat", lowest_u: 20, ..OWN };
    app.adds("devices", app.device(there, json!({})).await).await;
    let (status, refused) = app.restore(&kept).await;
    assert!(status == StatusCode::CONFLICT && told(&refused).1.contains("cepat"), "{refused}");
}

#[tokio::test]
async fn a_rack_goes_with_its_reservations_once_no_device_stands_in_it() {
    let app = App::with_racks().await;
    let (rack, device) = (app.named("racks", "R1").await, app.named("devices", "inti-1").await);
    for (kind, list, name, by) in [
        ("rack", "racks", "R1", "device inti-1"),
        ("feed", "feeds", "A", "device inti-1"),
        ("pool", "pools", "Klaster", "server vm-1"),
        ("room", "rooms", "Ruang 1", "rack R1"),
        ("building", "buildings", "Gedung A", "rack R1"),
    ] {
        let id = app.named(list, name).await;
        let detail = app.refuses(kind, &id, true).await;
        assert!(detail.contains(by), "{kind}: {detail}");
    }
    assert_eq!(app.retire("device", &device, false).await.0, StatusCode::CREATED);
    let detail = app.refuses("rack", &rack, false).await;
    assert!(detail.contains("reservation Peladen baru"), "{detail}");
    let (status, done) = app.retire("rack", &rack, true).await;
    assert_eq!((status, done.as_array().unwrap().len()), (StatusCode::CREATED, 2), "{done}");
    // B names A as its partner.
    let (a, b) = (app.named("feeds", "A").await, app.named("feeds", "B").await);
    let detail = app.refuses("feed", &a, false).await;
    assert!(detail.contains("feed B"), "{detail}");
    // Another takes its place as A's partner, and B does not come back.
    assert_eq!(app.retire("feed", &b, false).await.0, StatusCode::CREATED);
    let room = app.named("rooms", "Ruang 1").await;
    app.adds("feeds", json!({ "room": room, "name": "C", "rated_w": 1, "partner": a })).await;
    let (status, refused) = app.restore(&b).await;
    assert_eq!((status, told(&refused).0.as_str()), (StatusCode::CONFLICT, "partner"), "{refused}");
}
