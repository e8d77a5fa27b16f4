//! An operator's questions over the real programs: who complies by which article, now and before, and what is done about it.

use std::fs;

use lumbung_model::Timestamp;
use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

/// One PD that backs up, and one that does not.
fn city(directory: &TempDir) -> City {
    let folder = directory.path().join("berkas");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("data.csv"), "padi").unwrap();
    let plans = vec![
        PdPlan { code: "RSUD", name: "Rumah Sakit", paths: vec![folder] },
        PdPlan { code: "DISHUB", name: "Dinas Perhubungan", paths: Vec::new() },
    ];
    City::found(directory.path(), plans, |_| ()).unwrap()
}

fn asked(city: &City, arguments: &[&str]) -> String {
    output(city.operator().args(arguments)).unwrap()
}

fn json(city: &City, arguments: &[&str]) -> Value {
    serde_json::from_str(&output(city.operator().arg("--json").args(arguments)).unwrap()).unwrap()
}

/// Waits until that many verdicts of the rule are in this state.
fn verdicts(city: &City, rule: &str, state: &str, count: usize) {
    eventually(&format!("{count} × {rule} {state}"), || {
        let found = json(city, &["verdicts", "--rule", rule, "--state", state]);
        let fits = found.as_array().is_some_and(|list| list.len() == count);
        Ok(fits.then_some(()).ok_or_else(|| found.to_string()))
    })
    .unwrap();
}

#[test]
fn the_morning_tells_who_does_not_comply_and_the_letter_is_numbered() {
    let directory = TempDir::with_prefix("lumbung-questions-").unwrap();
    let city = city(&directory);
    output(city.pds[0].agent().arg("backup")).unwrap();
    verdicts(&city, "backup", "met", 1);
    verdicts(&city, "contact", "unmet", 2);

    let morning = asked(&city, &["--lang", "en", "morning"]);
    assert!(morning.lines().all(|line| line.chars().count() <= 100), "{morning}");
    for part in ["DISHUB: not backing up", "Perwali Medan 39/2020, Pasal 20", "never proven"] {
        assert!(morning.contains(part), "{part}: {morning}");
    }

    // The letter names the article; once the contact is entered, it is not asked for again.
    let draft = json(&city, &["reminder", "draft", "DISHUB"]);
    assert_eq!(draft["number"], 1);
    assert!(draft["body"].as_str().unwrap().contains("Pasal 20 ayat (1)"), "{draft}");
    let id = draft["id"].as_str().unwrap();
    let sent = ["reminder", "follow", id, "--note", "x", "--state", "sent", "--letter", "800/1"];
    assert_eq!(json(&city, &sent)["state"], "sent");
    asked(&city, &["contact", "add", "Budi", "--pd", "DISHUB", "--phone", "+62 61 4512345"]);
    verdicts(&city, "contact", "unmet", 1);
    assert!(json(&city, &["reminder", "show", id])["body"] == draft["body"]);

    // What is accepted for a while is shown as such, and not as met.
    let waived = json(&city, &["verdicts", "--rule", "contact"]);
    let subject = waived[0]["subject"].as_str().unwrap();
    let waiver = ["waiver", "add", "contact", "--subject", subject, "--reason", "x", "--expires"];
    let refused = any_output(city.operator().args(waiver).arg("2020-01-01")).unwrap();
    assert_eq!(refused.status.code(), Some(1), "it ends before it begins");
    let tomorrow = json(&city, &["status"])["overview"]["at"].as_i64().unwrap() + 86_400;
    let day = Timestamp(tomorrow).to_utc().date_naive().to_string();
    json(&city, &[&waiver[..], &[day.as_str()]].concat());
    verdicts(&city, "contact", "waived", 1);
}

#[test]
fn how_full_both_sites_are_and_what_moved_is_known_after_the_first_backup() {
    let directory = TempDir::with_prefix("lumbung-questions-").unwrap();
    let city = city(&directory);
    asked(&city, &["register", "set", "pd", "RSUD", "link=20 Mbit/s", "rate=2 Mbit/s"]);
    output(city.pds[0].agent().arg("backup")).unwrap();
    eventually("both vaults say how full they are", || {
        let report = json(&city, &["capacity"]);
        let used = |entry: &Value| entry["used"].as_u64().is_some_and(|used| used > 0);
        let entries = report["entries"].as_array().cloned().unwrap_or_default();
        let done = entries.len() == 2 && entries.iter().all(used);
        Ok(done.then_some(()).ok_or_else(|| report.to_string()))
    })
    .unwrap();
    let entry = json(&city, &["capacity"])["entries"][0].clone();
    assert!(entry["limit"].as_u64() > entry["used"].as_u64(), "{entry}");
    assert_eq!((&entry["history_days"], &entry["missing_days"]), (&1.into(), &59.into()));

    eventually("what moved is counted", || {
        let line = json(&city, &["bandwidth", "--pd", "RSUD"])[0].clone();
        let done = line["days"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 0);
        Ok(done.then_some(()).ok_or_else(|| line.to_string()))
    })
    .unwrap();
    let line = json(&city, &["bandwidth", "--pd", "RSUD"])[0].clone();
    assert_eq!(line["fit"]["day_bytes"], 250_000 * 86_400_u64, "the cap, not the line: {line}");
    for arguments in [&["capacity"][..], &["bandwidth"], &["bandwidth", "--pd", "RSUD"]] {
        let text = asked(&city, &[&["--lang", "en"], arguments].concat());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    let morning = asked(&city, &["--lang", "en", "morning"]);
    assert!(morning.contains("[ok] When is storage full"), "{morning}");
}

#[test]
fn the_past_is_asked_as_it_was_and_the_register_goes_out_and_in() {
    let directory = TempDir::with_prefix("lumbung-questions-").unwrap();
    let city = city(&directory);
    // From the first verdict on, the past can be asked; before, it is told since when.
    verdicts(&city, "backup", "unmet", 1);
    let before = any_output(city.operator().args(["compliance", "--as-of", "2020-01-01"])).unwrap();
    let told = String::from_utf8_lossy(&before.stderr).into_owned();
    assert!(!before.status.success() && told.contains("keeps verdicts since"), "{told}");
    let rpo = json(&city, &["rpo", &city.pds[0].dataset.to_string()]);
    assert_eq!(rpo["achieved"][0]["snapshots"], 0);
    output(city.pds[0].agent().arg("backup")).unwrap();
    verdicts(&city, "backup", "met", 1);
    eventually("the achieved RPO begins", || {
        let rpo = json(&city, &["rpo", &city.pds[0].dataset.to_string()]);
        Ok((rpo["achieved"][0]["snapshots"] == 1).then_some(()).ok_or_else(|| rpo.to_string()))
    })
    .unwrap();
    assert_eq!(json(&city, &["trend"]).as_array().unwrap().len(), 1);

    let file = directory.path().join("register.toml");
    asked(&city, &["register", "export", "--output", file.to_str().unwrap()]);
    let again = json(&city, &["register", "import", file.to_str().unwrap(), "--dry-run"]);
    assert_eq!((&again["created"], &again["updated"]), (&0.into(), &0.into()), "{again}");
    let table = directory.path().join("servers.csv");
    let csv = asked(&city, &["register", "export", "--table", "servers"]);
    fs::write(&table, csv.replace("physical", "cloud")).unwrap();
    let import = ["register", "import", table.to_str().unwrap(), "--table", "servers"];
    let refused = any_output(city.operator().args(import)).unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("`cloud`"), "{told}");
}

#[test]
fn one_row_is_changed_by_its_fields_and_nothing_else_of_it() {
    let directory = TempDir::with_prefix("lumbung-questions-").unwrap();
    let city = city(&directory);
    let set = |arguments: &[&str]| {
        let all = [&["--lang", "en", "register", "set"], arguments].concat();
        any_output(city.operator().args(all)).unwrap()
    };
    let told = |arguments: &[&str]| {
        let done = set(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    };
    let before = json(&city, &["dataset", "list"])[0].clone();
    let name = before["name"].as_str().unwrap();
    let change = ["datasets", name, "urgency=low", "rpo_s=7200", "paths:=[\"/srv/simrs\"]"];
    let shown = told(&change);
    for part in ["urgency", "low", "7200", "/srv/simrs"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let mut expected = before.as_object().unwrap().clone();
    for (member, value) in [("urgency", "low".into()), ("rpo_s", 7200.into())] {
        expected.insert(member.into(), value);
    }
    expected.insert("own_rpo".into(), true.into());
    expected.insert("paths".into(), vec!["/srv/simrs"].into());
    assert_eq!(json(&city, &["dataset", "list"])[0].as_object(), Some(&expected));
    assert!(told(&change).contains("Nothing has changed"));

    // What another row is called is enough, and an empty value takes a field out.
    let site = json(&city, &["site", "list"])[0].clone();
    let server = json(&city, &["server", "list"])[0]["name"].as_str().unwrap().to_owned();
    told(&["servers", &server, &format!("site={}", site["name"].as_str().unwrap())]);
    assert_eq!(json(&city, &["server", "list"])[0]["site"], site["id"]);
    told(&["servers", &server, "site="]);
    assert!(json(&city, &["server", "list"])[0].get("site").is_none());
    told(&["pd", "DISHUB", "contact=0812", "mandiri_tik=true"]);
    let pds = json(&city, &["pd", "list"]);
    let dishub = pds.as_array().unwrap().iter().find(|pd| pd["code"] == "DISHUB").unwrap();
    assert_eq!((&dishub["contact"], &dishub["mandiri_tik"]), (&"0812".into(), &true.into()));

    for (arguments, said) in [
        (&["datasets", name, "urgency=soon"][..], "soon"),
        (&["datasets", name, "rpo_s=1"], "rpo_s"),
        (&["datasets", name, "urgent=yes"], "urgent"),
        (&["datasets", "nothing", "owner=x"], "nothing"),
        (&["servers", &server, "site=Nowhere"], "Nowhere"),
        (&["datasets", name, "owner=x", "owner=y"], "twice"),
        (&["datasets", name, "owner"], "FIELD=VALUE"),
    ] {
        let refused = set(arguments);
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(said), "{arguments:?}: {told}");
    }
    assert_eq!(json(&city, &["dataset", "list"])[0].as_object(), Some(&expected));
}
