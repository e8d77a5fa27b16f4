//! What agents see of their hosts, over the real programs and this machine's own `/sys`: only smartctl plays its part, so that a
//! disk can fail.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

const SERVER: &str = "srv-rsud";

fn shown(city: &City) -> Value {
    let text = output(city.operator().args(["--json", "server", "show", SERVER])).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Waits until an alarm of this kind lasts, or none does.
fn alarm(city: &City, kind: &str, lasts: bool) -> String {
    let kind = format!("\"kind\": \"{kind}\"");
    eventually(&format!("alarm {kind}: {lasts}"), || {
        let status = output(city.operator().args(["--json", "status"]))?;
        Ok(if status.contains(&kind) == lasts { Ok(status) } else { Err(status) })
    })
    .unwrap()
}

/// What smartctl says of every disk from now on.
fn says(directory: &Path, fixture: &str) {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/tests/fixtures/smart");
    fs::copy(format!("{fixtures}/{fixture}.json"), directory.join("smartctl.json")).unwrap();
}

fn city(directory: &Path) -> City {
    let data = directory.join("berkas");
    fs::create_dir(&data).unwrap();
    let plan = PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![data] };
    let city = City::found(directory, vec![plan], |_| ()).unwrap();
    let smartctl = directory.join("smartctl");
    fs::write(&smartctl, "#!/bin/sh\nexec /bin/cat \"$0.json\"\n").unwrap();
    fs::set_permissions(&smartctl, fs::Permissions::from_mode(0o755)).unwrap();
    let file = city.pds[0].server.join("agent.toml");
    let own = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{own}\n[inventory]\nsmartctl = {smartctl:?}\n")).unwrap();
    city
}

#[test]
fn a_failing_disk_and_a_wrong_register_are_seen_until_they_are_mended() {
    let directory = TempDir::with_prefix("lumbung-hosts-").unwrap();
    let mut city = city(directory.path());
    assert_eq!(shown(&city)["inventory"], Value::Null);
    says(directory.path(), "ata-failing");
    city.pds[0].start().unwrap();
    let told = eventually("the agent tells of its host", || {
        let shown = shown(&city);
        Ok(if shown["inventory"].is_null() { Err(shown.to_string()) } else { Ok(shown) })
    })
    .unwrap();
    let seen = &told["inventory"]["inventory"];
    assert!(seen["memory_bytes"].as_u64().unwrap() > 0, "{seen}");
    assert!(seen["kernel"].is_string() && !seen["processors"][0].is_null(), "{seen}");

    // A machine without any disk of its own has nothing to ask.
    if let Some(disk) = seen["disks"].as_array().unwrap().first() {
        let name = disk["name"].as_str().unwrap();
        let status = alarm(&city, "smart", true);
        assert!(status.contains(&format!("disk {name}")), "{status}");
        assert!(status.contains("says that it is failing"), "{status}");
        let text =
            output(city.operator().args(["--lang", "en", "server", "show", SERVER])).unwrap();
        assert!(text.contains("FAILING") && text.contains("cannot be read now: 8"), "{text}");
        // The disk is replaced, or thinks better of it.
        says(directory.path(), "ata-hdd");
        city.pds[0].restart().unwrap();
        alarm(&city, "smart", false);
    }
    the_register_is_held_against_it(&city);
    a_state_is_accepted(&city);
}

fn the_register_is_held_against_it(city: &City) {
    let Some(platform) =
        shown(city)["inventory"]["inventory"]["platform"].as_str().map(str::to_owned)
    else {
        return;
    };
    let (right, wrong) =
        if platform == "physical" { ("physical", "vps") } else { ("vps", "physical") };
    let set = |kind: &str| {
        let kind = format!("kind={kind}");
        output(city.operator().args(["register", "set", "servers", SERVER, &kind])).unwrap();
    };
    // The register of the bed says physical.
    if wrong != "physical" {
        set(wrong);
    }
    let status = alarm(city, "hardware", true);
    let said = format!("the register says {wrong}, its agent sees {platform}");
    assert!(status.contains(&said), "{status}");
    set(right);
    alarm(city, "hardware", false);
}

fn a_state_is_accepted(city: &City) {
    let newest = shown(city)["inventory"]["revision"].as_u64().unwrap();
    let accept = |state: u64| {
        let state = state.to_string();
        let mut command = city.operator();
        command.args(["--json", "server", "accept", SERVER, "--state", &state]);
        any_output(command.args(["--reason", "disk diganti, surat 12/2026"])).unwrap()
    };
    let refused = accept(newest + 1);
    assert!(!refused.status.success());
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(error.contains(&format!("in state {newest} by now")), "{error}");
    assert!(accept(newest).status.success());
    let host = shown(city)["inventory"].clone();
    assert_eq!(host["accepted_revision"], newest);
    assert_ne!(host["accepted_by"], "controller");
    let agent = output(city.pds[0].agent().args(["--json", "status"])).unwrap();
    assert!(!agent.contains("\"told\": null"), "{agent}");
}
