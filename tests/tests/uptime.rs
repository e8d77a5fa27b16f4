//! What is up, seen from two places over the real programs: each host in a network namespace of its own, with cables that are
//! cut.

use std::fs;
use std::path::Path;

use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::hosts::Network;
use lumbung_tests::process::{Daemon, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

const PUSAT: usize = 0;
const DRC: usize = 1;
const TARGET: usize = 2;

/// Seconds from one probe to the next: the least that there is.
const INTERVAL_S: i64 = 10;

fn json(city: &City, arguments: &[&str]) -> Value {
    serde_json::from_str(&output(city.operator().arg("--json").args(arguments)).unwrap()).unwrap()
}

/// A web server on the target.
fn website(network: &Network, directory: &Path) -> Daemon {
    let host = network.host(TARGET);
    let address = host.address().to_string();
    let mut command = host.command(Path::new("python3"));
    command.args(["-u", "-m", "http.server", "8080", "--bind", &address, "--directory"]);
    let mut daemon =
        Daemon::start("website", command.arg(directory), &directory.join("log")).unwrap();
    daemon.wait_for("Serving HTTP").unwrap();
    daemon
}

/// Waits until the alarms of these kinds are as many.
fn alarms(city: &City, kind: &str, count: usize) -> Value {
    eventually(&format!("{count} × {kind}"), || {
        let found = json(city, &["status"])["alarms"].clone();
        let fits = |list: &Vec<Value>| {
            let of_kind: Vec<Value> =
                list.iter().filter(|alarm| alarm["kind"] == kind).cloned().collect();
            (of_kind.len() == count).then_some(Value::Array(of_kind))
        };
        Ok(found.as_array().and_then(fits).ok_or_else(|| found.to_string()))
    })
    .unwrap()
}

fn state(city: &City, wanted: &str) {
    eventually(&format!("the service is {wanted}"), || {
        let found = json(city, &["check", "list"]);
        Ok((found["states"][0]["state"] == wanted).then_some(()).ok_or_else(|| found.to_string()))
    })
    .unwrap();
}

#[test]
fn one_failing_link_is_no_outage_and_what_both_places_see_is_one_at_once() {
    let directory = TempDir::with_prefix("lumbung-uptime-").unwrap();
    let network = Network::new(["10.77.0.1", "10.77.0.2", "10.77.0.3"]).unwrap();
    for (one, other) in [(PUSAT, DRC), (PUSAT, TARGET), (DRC, TARGET)] {
        network.link(one, other).unwrap();
    }
    let web = directory.path().join("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("sehat"), "SIMRS sehat").unwrap();
    let mut website_runs = website(&network, &web);

    let plans = vec![PdPlan { code: "RSUD", name: "Rumah Sakit", paths: Vec::new() }];
    let hosts = [network.host(PUSAT), network.host(DRC)];
    let city = City::found_on(directory.path(), plans, hosts, |_| ()).unwrap();
    let sla = ["--sla-millipercent", "99500"];
    json(&city, &[&["service", "add", "SIMRS", "--pd", "RSUD"], &sla[..]].concat());
    let target = "http://10.77.0.3:8080/sehat";
    let check = ["check", "add", "SIMRS", target, "--pd", "RSUD", "--service", "SIMRS"];
    json(
        &city,
        &[&check[..], &["--contains", "SIMRS sehat", "--interval", "10s", "--timeout", "3s"]]
            .concat(),
    );
    // Both places look once the DRC has asked what to look at.
    eventually("both places see it", || {
        let found = json(&city, &["check", "list"]);
        let places = found["states"][0]["places"].as_array().cloned().unwrap_or_default();
        let see = places.iter().filter(|place| place["up"] == true).count();
        Ok((see == 2).then_some(()).ok_or_else(|| found.to_string()))
    })
    .unwrap();
    state(&city, "up");

    // The DRC's cable to the target is cut: its link, and no outage.
    network.cut(DRC, TARGET).unwrap();
    let found = alarms(&city, "link", 1);
    assert!(found[0]["detail"].as_str().unwrap().contains("DRC does not reach SIMRS"), "{found}");
    state(&city, "up");
    assert_eq!(json(&city, &["incident", "list"]), Value::Array(Vec::new()));
    network.mend(DRC, TARGET).unwrap();
    eventually("the DRC sees it again", || {
        let found = json(&city, &["check", "list"]);
        let places = found["states"][0]["places"].as_array().cloned().unwrap_or_default();
        Ok(places
            .iter()
            .all(|place| place["up"] == true)
            .then_some(())
            .ok_or_else(|| found.to_string()))
    })
    .unwrap();

    // The service itself stops: an alarm within two intervals, by the controller's own records.
    let before = json(&city, &["check", "list"]);
    let stopped = before["states"][0]["places"].as_array().unwrap().iter();
    let last_up = stopped.filter_map(|place| place["at"].as_i64()).min().unwrap();
    website_runs.kill().unwrap();
    let found = alarms(&city, "down", 1);
    let raised = found[0]["raised"].as_i64().unwrap();
    eprintln!("the alarm was raised {} s after the last probe that saw it up", raised - last_up);
    assert!(raised - last_up <= 3 * INTERVAL_S, "last seen up {last_up}, raised {raised}: {found}");
    let morning = output(city.operator().args(["--lang", "en", "morning"])).unwrap();
    assert!(morning.contains("service SIMRS: down since"), "{morning}");
    let open = json(&city, &["incident", "list", "--open"]);
    assert_eq!(
        (&open[0]["name"], &open[0]["entered"]),
        (&Value::from("SIMRS"), &Value::from(false))
    );
    let id = open[0]["id"].as_str().unwrap();
    json(&city, &["incident", "note", id, "proses web berhenti", "--cause", "software"]);

    let _website_runs = website(&network, &web);
    state(&city, "up");
    let uptime = json(&city, &["uptime"]);
    assert!(uptime[0]["down_s"].as_i64().unwrap() >= INTERVAL_S, "{uptime}");
    assert_eq!(uptime[0]["sla_millipercent"], 99500);
    for arguments in
        [&["uptime"][..], &["check", "list"], &["incident", "list"], &["incident", "show", id]]
    {
        let text = output(city.operator().args(arguments)).unwrap();
        assert!(
            text.contains("SIMRS") && text.lines().all(|line| line.chars().count() <= 100),
            "{text}"
        );
    }
}
