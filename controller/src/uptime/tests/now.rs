//! What is wrong now: outages, links, places that are cut off or silent; and what late news change.

use super::*;
use crate::db::uptime as uptime_rows;

/// A city in which both places look at both services.
fn watched() -> (Watched, SiteId, SiteId) {
    let watched = Watched::new("WIB", START);
    let (pusat, drc) = (watched.city.pusat.id, watched.city.drc.id);
    (watched, pusat, drc)
}

fn at(probe: i64) -> Timestamp {
    START.plus_seconds(probe * INTERVAL_S)
}

#[tokio::test]
async fn what_both_places_see_down_is_an_outage_and_what_one_sees_is_its_link() {
    let (watched, pusat, drc) = watched();
    let see = |probe| {
        watched.see(pusat, at(probe), (probe < 3, true));
        watched.see(drc, at(probe), (probe < 1, true));
    };
    (0..3).for_each(see);
    watched.round(at(2).plus_seconds(60)).await;
    let alarms = watched.alarms();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(
        alarms[0].starts_with("link") && alarms[0].contains("another place does"),
        "{alarms:?}"
    );
    assert_eq!(watched.incidents(), []);

    (3..6).for_each(see);
    watched.round(at(5)).await;
    let alarms = watched.alarms();
    assert!(
        alarms.iter().any(|alarm| alarm.starts_with("down") && alarm.contains("SIMRS")),
        "{alarms:?}"
    );
    let [incident] = &watched.incidents()[..] else { panic!("one incident") };
    assert_eq!((incident.from, incident.until, incident.entered), (at(3), None, false));

    for probe in 6..8 {
        watched.see(pusat, at(probe), (true, true));
        watched.see(drc, at(probe), (true, true));
    }
    watched.round(at(7)).await;
    assert_eq!(watched.alarms(), Vec::<String>::new());
    let [incident] = &watched.incidents()[..] else { panic!("one incident") };
    assert_eq!((incident.until, incident.down_s), (Some(at(6)), 3 * 600));
    watched.round(at(7)).await;
    assert_eq!(watched.incidents().len(), 1, "a round is idempotent");
}

#[tokio::test]
async fn a_place_that_reaches_nothing_is_one_alarm_and_no_outage() {
    let (watched, pusat, drc) = watched();
    for probe in 0..4 {
        watched.see(pusat, at(probe), (true, true));
        watched.see(drc, at(probe), (probe < 1, probe < 1));
    }
    watched.round(at(3)).await;
    let alarms = watched.alarms();
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(alarms[0].starts_with("cut-off"), "{alarms:?}");
    assert_eq!(watched.incidents(), []);
}

#[tokio::test]
async fn what_one_place_sees_while_the_other_is_silent_is_told_as_that() {
    let (watched, pusat, _) = watched();
    for probe in 0..4 {
        watched.see(pusat, at(probe), (false, true));
    }
    watched.round(at(3)).await;
    let alarms = watched.alarms();
    assert!(alarms.iter().any(|alarm| alarm.starts_with("unconfirmed")), "{alarms:?}");
    assert!(alarms.iter().any(|alarm| alarm.starts_with("vantage")), "nothing heard: {alarms:?}");
    assert_eq!(watched.incidents(), []);
}

#[tokio::test]
async fn late_news_take_an_incident_back_and_correct_the_day() {
    let (watched, pusat, drc) = watched();
    let day = 86_400 / INTERVAL_S;
    // The DRC saw it down; the Pusat Data's word comes a day late, and it saw it up.
    for probe in 0..day {
        watched.see(drc, at(probe), (!(10..20).contains(&probe), true));
    }
    for probe in 0..12 {
        watched.see(pusat, at(probe), (!(10..12).contains(&probe), true));
    }
    watched.round(at(12)).await;
    assert_eq!(watched.incidents().len(), 1);
    watched.round(at(2 * day)).await;
    let before = watched.row("2027-01", at(2 * day));
    assert_eq!((before.down_s, before.unconfirmed_s), (1200 + 900, 10 * 600 - 1200 - 900));
    // An error of the place itself: what it saw at the same second it saw up after all, through its second prober.
    let corrected: Vec<Observation> =
        (0..day).map(|probe| observation(watched.check, at(probe), true)).collect();
    let now = at(2 * day);
    watched
        .city
        .db
        .write(|tx| observe(tx, &watched.profile, (&pusat, Prober::Controller), &corrected, now))
        .unwrap();
    watched.round(now).await;
    let after = watched.row("2027-01", now);
    assert_eq!((after.down_s, after.unconfirmed_s), (0, 0));
    let [incident] = &watched.incidents()[..] else { panic!("it stays") };
    assert!(incident.withdrawn);
    let alarms = watched.alarms();
    assert!(!alarms.iter().any(|alarm| alarm.starts_with("down")), "{alarms:?}");
}

#[tokio::test]
async fn a_racks_window_plans_the_downtime_of_what_stands_in_it() {
    let (watched, ..) = watched();
    let (rack, act) = (watched.rack_with_the_server(), Act::console(START));
    let input = MaintenanceInput {
        scope: MaintenanceScope::Rack,
        subject: rack.to_string(),
        reason: "ganti PDU".to_owned(),
        from: at(1),
        until: at(4),
        schedule: String::new(),
        duration_s: 0,
    };
    watched.city.db.write(|tx| enter_maintenance(tx, &act, &input)).unwrap();
    let entered = IncidentInput {
        kind: UpKind::Server,
        subject: watched.city.server.to_string(),
        from: at(2),
        until: at(6),
        cause: IncidentCause::Power,
        note: "PDU dilepas".to_owned(),
    };
    let later = Act::console(at(7));
    let profile = watched.profile.clone();
    watched.city.db.write(|tx| enter_incident(tx, &later, &profile, &entered)).unwrap();
    let asked = (By::Server, "2027-01".parse().unwrap());
    let terms = (&*watched.profile, watched.keeper.rules);
    let figures = |now| {
        let rows = watched.city.db.read(|tx| rows(tx, terms, asked, None, now)).unwrap();
        (rows[0].planned_s, rows[0].down_s)
    };
    assert_eq!(figures(at(7)), (2 * 600, 2 * 600));

    // The day is over, the device is taken out of the rack, and something is told of the day: it stays as it was.
    watched.round(at(288)).await;
    let device: DeviceInput = json(json!({
        "pd": watched.city.pd, "name": "srv", "kind": "server", "condition": "baik", "server": watched.city.server,
    }));
    let moved = Act::console(at(289));
    watched.city.db.write(|tx| register::put_device(tx, &moved, &device, Mode::Upsert)).unwrap();
    let day = watched.profile.day(START);
    watched.city.db.write(|tx| uptime_rows::mark_days(tx, (day, day))).unwrap();
    watched.round(at(290)).await;
    assert_eq!(watched.city.db.read(|tx| uptime_rows::stale_days(tx)).unwrap(), []);
    assert_eq!(figures(at(290)), (2 * 600, 2 * 600));
}

#[tokio::test]
async fn nothing_is_planned_afterwards() {
    let (watched, ..) = watched();
    let act = Act::console(at(10));
    let mut input = MaintenanceInput {
        scope: MaintenanceScope::City,
        subject: String::new(),
        reason: "pemeliharaan listrik".to_owned(),
        from: at(9),
        until: at(20),
        schedule: String::new(),
        duration_s: 0,
    };
    let enter = |input: &MaintenanceInput| {
        watched
            .city
            .db
            .write(|tx| enter_maintenance(tx, &act, input))
            .map_err(|error| error.to_string())
    };
    assert!(enter(&input).unwrap_err().contains("begins in the future"));
    input.from = at(11);
    let row = enter(&input).unwrap();
    for (change, expected) in [
        (MaintenanceInput { until: at(11), ..input.clone() }, "until: after from"),
        (MaintenanceInput { reason: " ".to_owned(), ..input.clone() }, "reason: write a sentence"),
        (MaintenanceInput { schedule: "0 1 * *".to_owned(), ..input.clone() }, "five"),
        (MaintenanceInput { schedule: "0 1 * * sun".to_owned(), ..input.clone() }, "duration_s"),
        (MaintenanceInput { scope: MaintenanceScope::Room, ..input.clone() }, "no room of this id"),
    ] {
        let error = enter(&change).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let off = |now| {
        let act = Act::console(now);
        watched.city.db.write(|tx| call_off(tx, &act, &row.id)).map_err(|error| error.to_string())
    };
    assert_eq!(off(at(15)).unwrap().cancelled, Some(at(15)));
    assert!(off(at(16)).unwrap_err().contains("was called off"));
}

#[tokio::test]
async fn what_is_marked_again_while_a_day_is_reckoned_stays_marked() {
    let (watched, ..) = watched();
    let day = watched.profile.day(START);
    let db = &watched.city.db;
    db.write(|tx| uptime_rows::mark_days(tx, (day, day))).unwrap();
    let seen = db.read(|tx| uptime_rows::stale_days(tx)).unwrap();
    assert_eq!(seen, [(day, 1)]);
    db.write(|tx| uptime_rows::mark_days(tx, (day, day))).unwrap();
    db.write(|tx| uptime_rows::put_day(tx, seen[0], &[])).unwrap();
    assert_eq!(db.read(|tx| uptime_rows::stale_days(tx)).unwrap(), [(day, 2)]);
    db.write(|tx| uptime_rows::put_day(tx, (day, 2), &[])).unwrap();
    assert_eq!(db.read(|tx| uptime_rows::stale_days(tx)).unwrap(), []);
}

#[tokio::test]
async fn an_incident_of_yesterday_keeps_its_beginning_when_its_days_are_looked_at_again() {
    let (watched, pusat, drc) = watched();
    let (day, begun) = (144, 20);
    let see = |probe| {
        let up = !(begun..day - 30).contains(&probe);
        watched.see(pusat, at(probe), (up, true));
        watched.see(drc, at(probe), (up, true));
    };
    (0..day).for_each(see);
    watched.round(at(day)).await;
    let before = watched.incidents();
    assert_eq!((before[0].from, before[0].until), (at(begun), Some(at(day - 30))));
    for late in [day - 31, day + 40, day + 100] {
        let last = watched.profile.day(at(late));
        watched.city.db.write(|tx| uptime_rows::mark_days(tx, (last, last))).unwrap();
        (day..day + 10).for_each(see);
        watched.round(at(day + 200)).await;
        assert_eq!(watched.incidents(), before, "{late}");
    }
}

#[tokio::test]
async fn an_incident_ends_with_the_check_that_saw_it() {
    let (watched, pusat, drc) = watched();
    let see = |probe| {
        watched.see(pusat, at(probe), (probe < 2, true));
        watched.see(drc, at(probe), (probe < 2, true));
    };
    (0..4).for_each(see);
    watched.round(at(3)).await;
    assert_eq!(watched.incidents()[0].until, None);
    let mut input = check_input(watched.city.pd, watched.service, "SIMRS");
    input.enabled = false;
    let act = Act::console(at(4));
    watched.city.db.write(|tx| register::put_check(tx, &act, &input, Mode::Upsert)).unwrap();
    watched.round(at(4)).await;
    watched.round(at(5)).await;
    assert_eq!(watched.incidents()[0].until, Some(at(4)));
    assert!(!watched.alarms().iter().any(|alarm| alarm.starts_with("down")));
}

#[tokio::test]
async fn a_clock_that_was_never_set_rewrites_no_past() {
    let (watched, pusat, _) = watched();
    watched.city.clock.set(at(6));
    let old = START.plus_seconds(-600 * 86_400);
    let heard = watched.hear(pusat, &[observation(watched.check, old, false)]);
    assert_eq!(heard, Heard::default());
    assert_eq!(watched.city.db.read(|tx| uptime_rows::stale_days(tx)).unwrap(), []);
}

#[tokio::test]
async fn a_day_that_was_reckoned_by_a_clock_that_was_ahead_is_reckoned_when_it_is_over() {
    let (watched, pusat, drc) = watched();
    let see = |probe| {
        watched.see(pusat, at(probe), (true, true));
        watched.see(drc, at(probe), (true, true));
    };
    (0..20).for_each(see);
    watched.round(at(400 * 144)).await;
    (20..288).for_each(see);
    watched.round(at(288)).await;
    watched.round(at(288)).await;
    let row = watched.row("2027-01", at(288));
    assert_eq!(row.up_s + row.unobserved_s, 288 * 600);
    assert!(row.unobserved_s <= 1200, "{row:?}");
}

#[tokio::test]
async fn a_new_check_has_no_say_before_every_place_has_looked() {
    let (watched, pusat, _) = watched();
    let (service, check) = looked_at(&watched.city, at(1), "GIS");
    let orders = |site: SiteId, now| {
        watched.city.db.write(|tx| orders(tx, (&site, Prober::Vault), now)).unwrap()
    };
    orders(pusat, at(1));
    watched.city.clock.set(at(2));
    watched.hear(pusat, &[observation(check, at(1), false), observation(check, at(2), false)]);
    watched.round(at(2)).await;
    let of_it = |one: &lumbung_wire::messages::uptime::Incident| one.subject == service.to_string();
    assert!(!watched.incidents().iter().any(of_it), "the DRC has not looked yet");
}
