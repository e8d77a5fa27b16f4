//! A year of uptime of 600 servers: how large the database becomes, how long a start and a round take, and which question is
//! the slowest.
//!
//! Each server has a check that two sites look at, and an agent that is heard; links, targets and agents fail now and then.
//! Probes an hour apart stand for those a minute apart: what is kept are runs of probes that came out alike, and there are
//! as many of them.

use std::sync::Arc;
use std::time::Instant;

use lumbung_controller::act::Act;
use lumbung_controller::db::incidents::{self, Wanted};
use lumbung_controller::db::sights::{Prober, Vantage, put_vantage};
use lumbung_controller::db::{Db, DbError};
use lumbung_controller::profile::Profile;
use lumbung_controller::register::{self, Mode, RegisterError};
use lumbung_controller::uptime::{self, By, Keeper, OwnPlace, Rules};
use lumbung_model::{Clock as _, Day, FixedClock, SiteId, Timestamp};
use lumbung_wire::messages::uptime::Observation;
use serde_json::{Value, json};
use tokio::sync::Notify;

const SERVERS: usize = 600;
const SERVICES: usize = 60;
const DAYS: i64 = 365;

/// Numbers that look random and are the same each time (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an input of the register")
}

/// A city of 60 services and 600 servers, each with a check.
fn found(db: &Db, start: Timestamp) -> Result<[SiteId; 2], RegisterError> {
    let act = Act::console(start);
    let sites = db.write(|tx| {
        let site = |name: &str, kind: &str| {
            let input = read(json!({ "name": name, "kind": kind }));
            register::put_site(tx, &act, &input, Mode::Create).map(|(site, _)| site.id)
        };
        let sites = [site("Pusat Data", "pusat_data")?, site("DRC", "drc")?];
        for n in 0..SERVICES {
            let pd = read(json!({ "code": format!("PD{n}"), "name": format!("Dinas {n}") }));
            let pd = register::put_pd(tx, &act, &pd, Mode::Create)?.0.id;
            let service = json!({ "pd": pd, "name": format!("Layanan {n}"), "sla_millipercent": 99_500 });
            let service = register::put_service(tx, &act, &read(service), Mode::Create)?.0.id;
            let check = json!({
                "pd": pd, "name": "web", "service": service, "target": "https://10.0.0.1/", "interval_s": 3600,
            });
            register::put_check(tx, &act, &read(check), Mode::Create)?;
            for k in 0..SERVERS / SERVICES {
                let server = json!({ "pd": pd, "name": format!("srv-{k}"), "kind": "vps" });
                let server = register::put_server(tx, &act, &read(server), Mode::Create)?.0.id;
                let check = json!({
                    "pd": pd, "name": format!("ping {k}"), "server": server, "target": "icmp://10.0.0.1",
                    "interval_s": 3600,
                });
                register::put_check(tx, &act, &read(check), Mode::Create)?;
            }
        }
        Ok::<_, RegisterError>(sites)
    })?;
    Ok(sites)
}

/// What a day looks like from both sites.
fn day(
    (db, profile): (&Db, &Profile),
    sites: [SiteId; 2],
    (from, orders): (Timestamp, &[lumbung_wire::messages::uptime::CheckOrder]),
    (dice, number): (&mut Dice, &mut u64),
) -> Result<(), DbError> {
    let until = from.plus_seconds(86_400);
    // Which targets are down today, from which hour on and for how long; one link in a hundred fails for an hour.
    let outages: Vec<Option<(u64, u64)>> = orders
        .iter()
        .map(|_| (dice.below(30) == 0).then(|| (dice.below(24), 1 + dice.below(4))))
        .collect();
    for site in sites {
        let mut seen = Vec::with_capacity(orders.len() * 24);
        for hour in 0..24 {
            for (order, outage) in orders.iter().zip(&outages) {
                let down =
                    outage.is_some_and(|(start, hours)| (start..start + hours).contains(&hour));
                let up = !down && dice.below(2400) != 0;
                *number += 1;
                seen.push(Observation {
                    number: *number,
                    check: order.check,
                    at: from.plus_seconds(i64::try_from(hour).unwrap_or(0) * 3600),
                    interval_s: order.interval_s,
                    up,
                    latency_ms: up.then_some(20),
                    certificate_expires: None,
                    detail: if up { String::new() } else { "no answer within 10 s".to_owned() },
                });
            }
        }
        db.write(|tx| {
            uptime::observe(tx, profile, (&site, Prober::Vault), &seen, until)?;
            put_vantage(tx, &Vantage { site, through: *number, heard: until, clock: Some(until) })
        })?;
    }
    Ok(())
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let value = work();
    println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    value
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = std::env::args().nth(1).expect("name a directory for the database");
    let path = std::path::Path::new(&dir).join("uptime-year.db");
    let db = Db::create(&path).expect("a database");
    let profile = Arc::new(Profile::load("kota").expect("the profile"));
    let start = "2026-01-01".parse::<Day>().expect("a day").first_second(profile.zone());
    let sites = found(&db, start).expect("a register");
    let clock = Arc::new(FixedClock::new(start));
    let rules = Rules { zone: profile.zone(), heartbeat_s: 60 };
    let keeper = Arc::new(Keeper {
        db: db.clone(),
        clock: clock.clone(),
        profile: profile.clone(),
        rules,
        own: OwnPlace::default(),
        signal: Arc::new(Notify::new()),
    });
    let mut orders = Vec::new();
    for site in sites {
        orders = db
            .write(|tx| uptime::orders(tx, (&site, Prober::Vault), start))
            .expect("orders")
            .checks;
    }
    let (mut dice, mut number) = (Dice(1), 0);
    let mut slowest_round_ms: f64 = 0.0;
    for n in 0..DAYS {
        let from = start.plus_seconds(n * 86_400);
        day((&db, &profile), sites, (from, &orders), (&mut dice, &mut number)).expect("a day");
        clock.set(from.plus_seconds(86_400));
        let begun = Instant::now();
        keeper.round().await.expect("a round");
        slowest_round_ms = slowest_round_ms.max(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let now = clock.now();
    println!("{SERVERS} servers, {SERVICES} services, {} observations in {DAYS} days", number);
    println!("slowest round that ends a day: {slowest_round_ms:.1} ms");
    drop(keeper);
    drop(db);
    let bytes = std::fs::metadata(&path).expect("the file").len();
    println!("database: {:.1} MB", bytes as f64 / 1e6);
    let db = timed("opening it", || Db::open(&path).expect("the database"));
    let keeper = Arc::new(Keeper {
        db: db.clone(),
        clock,
        profile: profile.clone(),
        rules,
        own: OwnPlace::default(),
        signal: Arc::new(Notify::new()),
    });
    let begun = Instant::now();
    keeper.round().await.expect("a round");
    println!("a round: {:.1} ms", begun.elapsed().as_secs_f64() * 1000.0);
    let rows = |by, period: &str| {
        let asked = (by, period.parse().expect("a period"));
        db.read(|tx| uptime::rows(tx, (&profile, rules), asked, None, now)).expect("rows").len()
    };
    for (by, period) in [
        (By::Server, "2026"),
        (By::Service, "2026"),
        (By::Pd, "2026"),
        (By::Server, "2026-06"),
        (By::Server, "2027-01"),
    ] {
        timed(&format!("uptime by {by:?} of {period}"), || rows(by, period));
    }
    timed("states of all checks", || {
        db.read(|tx| uptime::states(tx, rules, None, now)).expect("states").len()
    });
    let count = timed("incidents of the year", || {
        db.read(|tx| uptime::incidents(tx, incidents::list(tx, &Wanted::default())?))
            .expect("incidents")
            .len()
    });
    println!("{count} incidents");
}
