//! The controller's own disaster: a standby takes its place by the word of two officers, or one that is recovered from a vault
//! does; the old one comes back and is refused; nothing that was reported in between is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_tests::city::{City, Controller, PdPlan};
use lumbung_tests::process::{any_output, eventually, output};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What is in a controller's backup.
const KEYS: [&str; 4] = ["ca.crt", "ca.key", "audit.key", "policy.key"];
const OFFICERS: [&str; 3] = ["Sekdis", "Kabid", "Auditor"];

/// The officers' bundles, and how a statement names them.
struct Officers(Vec<(PathBuf, String)>);

impl Officers {
    fn new(city: &City) -> Self {
        let bundle = |name: &&str| {
            let file = city.dir.join(format!("{name}.key"));
            output(city.lumbung().args(["key", "new", "--label", name]).arg(&file)).unwrap();
            let shown = output(city.lumbung().args(["--json", "key", "show"]).arg(&file)).unwrap();
            let shown: Value = serde_json::from_str(&shown).unwrap();
            (file, format!("{name}={}", shown["root_public"].as_str().unwrap()))
        };
        Self(OFFICERS.iter().map(bundle).collect())
    }

    fn sign(&self, city: &City, file: &Path, number: usize) -> Value {
        let mut sign = city.lumbung();
        sign.args(["--json", "succession", "sign", "--yes", "--key"]).arg(&self.0[number].0);
        serde_json::from_str(&output(sign.arg(file)).unwrap()).unwrap()
    }

    /// The first statement, signed by two: `city`'s controller acts.
    fn found(&self, city: &City, standby: Option<String>) -> PathBuf {
        let file = city.dir.join("pertama.json");
        let mut draft = city.controller.command();
        draft.args(["succession", "draft", "--reason", "SK Kadis 12/2026"]).arg(&file);
        draft.args(["--url", &city.controller.url]);
        for (_, named) in &self.0 {
            draft.args(["--officer", named]);
        }
        if let Some(seat) = &standby {
            draft.args(["--standby", seat]);
        }
        output(&mut draft).unwrap();
        self.sign(city, &file, 0);
        assert_eq!(self.sign(city, &file, 1)["complete"], true);
        take(&city.controller, "succession", &file);
        file
    }
}

fn take(controller: &Controller, command: &str, file: &Path) {
    let mut take = controller.command();
    let verb = if command == "promote" { "--take" } else { "take" };
    output(take.args([command, verb]).arg(file)).unwrap();
}

/// What somebody without a certificate is answered.
fn asked(controller: &Controller, path: &str) -> Value {
    let url = format!("{}{path}", controller.url);
    let answer = output(Command::new("curl").args(["--insecure", "--silent", &url])).unwrap();
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
}

fn database(controller: &Controller) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let db = Connection::open_with_flags(controller.database(), flags).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
    db
}

/// Reports, snapshots and receipts that a controller knows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known([BTreeSet<Vec<u8>>; 3]);

impl Known {
    fn of(controller: &Controller) -> Self {
        let db = database(controller);
        Self(["reports", "manifests", "receipts"].map(|table| {
            let mut rows = db.prepare(&format!("SELECT id FROM {table}")).unwrap();
            rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        }))
    }

    fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|index| self.0[index].len())
    }

    fn holds(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(these, those)| those.is_subset(these))
    }
}

/// Waits until it knows so many reports and snapshots, each snapshot from both sites.
fn until_known(controller: &Controller, reports: usize, snapshots: usize) -> Known {
    eventually("everything is known", || {
        let known = Known::of(controller);
        let all = known.counts() == [reports, snapshots, 2 * snapshots];
        Ok(if all { Ok(known) } else { Err(format!("{:?}", known.counts())) })
    })
    .unwrap()
}

/// The epoch that a file of an agent or vault knows.
fn epoch(file: &Path) -> usize {
    let Ok(text) = fs::read_to_string(file) else { return 0 };
    let kept: Value = serde_json::from_str(&text).unwrap();
    kept["statements"].as_array().unwrap().len()
}

fn until_epoch(city: &City, wanted: usize) {
    let state = |dir: PathBuf| dir.join("state/succession.json");
    let agents = city.pds.iter().map(|pd| state(pd.server.clone()));
    let sites = [&city.pusat, &city.drc].map(|site| state(site.data()));
    for file in agents.chain(sites) {
        eventually("agents and vaults know who acts", || {
            let found = epoch(&file);
            Ok((found == wanted)
                .then_some(())
                .ok_or_else(|| format!("{}: {found}", file.display())))
        })
        .unwrap();
    }
}

fn back_up(city: &City, content: &str) {
    for pd in &city.pds {
        fs::write(pd.paths[0].join("data.csv"), content).unwrap();
        output(pd.agent().arg("backup")).unwrap();
    }
}

/// A folder as the restored dataset of a controller is: keys, and a copy of the database.
fn backup_of(controller: &Controller, folder: &Path) {
    fs::create_dir(folder).unwrap();
    for name in KEYS {
        fs::copy(controller.data().join(name), folder.join(name)).unwrap();
    }
    let copy = folder.join("controller.db");
    database(controller).execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
}

fn recover(at: &Controller, from: &Path, database: &Path) -> Value {
    let mut recover = at.command();
    recover.args(["--json", "recover", "--from"]).arg(from).arg("--database").arg(database);
    serde_json::from_str(&output(&mut recover).unwrap()).unwrap()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn two_officers_put_the_standby_in_the_place_of_a_controller_that_is_gone() {
    let dir = TempDir::with_prefix("lumbung-standby-").unwrap();
    let plans = [("RSUD", "Rumah Sakit"), ("DISHUB", "Dinas Perhubungan")].map(|(code, name)| {
        let data = dir.path().join(format!("srv-{code}"));
        fs::create_dir(&data).unwrap();
        PdPlan { code, name, paths: vec![data] }
    });
    let mut city = City::found(dir.path(), plans.into(), |_| ()).unwrap();
    let officers = Officers::new(&city);

    // A standby is made of a backup, and both controllers take the statement that names it.
    backup_of(&city.controller, &dir.path().join("restored"));
    let mut standby = city.controller.place_beside(&dir.path().join("drc-controller")).unwrap();
    let restored = dir.path().join("restored");
    let made = recover(&standby, &restored, &restored.join("controller.db"));
    let seat = format!("{}={}", standby.url, made["own_pin"].as_str().unwrap());
    let first = officers.found(&city, Some(seat));
    let early = any_output(standby.command().arg("standby")).unwrap();
    assert!(String::from_utf8_lossy(&early.stderr).contains("no officers are known here"));
    take(&standby, "succession", &first);
    standby.start_as("standby", "standby").unwrap();
    for pd in &mut city.pds {
        pd.start().unwrap();
    }
    until_epoch(&city, 1);

    // It copies what the controller learns, and does nothing else.
    back_up(&city, "before the disaster");
    let before = until_known(&city.controller, 2, 2);
    eventually("the standby has copied that", || {
        let known = Known::of(&standby);
        Ok(if known.holds(&before) { Ok(()) } else { Err(format!("{:?}", known.counts())) })
    })
    .unwrap();
    let health = asked(&standby, "/api/v1/health");
    assert_eq!((&health["state"], &health["epoch"]), (&json!("standby"), &json!(1)), "{health}");
    assert!(health["copied"].as_i64() > Some(0), "{health}");
    let refusal = asked(&standby, "/api/v1/compliance");
    assert_eq!(refusal["status"], 503, "{refusal}");
    assert!(refusal["detail"].as_str().unwrap().contains(&city.controller.url), "{refusal}");

    // The controller is gone; agents back up all the same, and one run fails.
    city.controller.kill().unwrap();
    let lost = dir.path().join("lost");
    copy_dir(&city.controller.data(), &lost);
    back_up(&city, "while nobody acts");
    let (data, away) = (city.pds[0].paths[0].clone(), dir.path().join("away"));
    fs::rename(&data, &away).unwrap();
    let failed = any_output(city.pds[0].agent().arg("backup")).unwrap();
    assert_eq!(failed.status.code(), Some(1));
    fs::rename(&away, &data).unwrap();

    // One officer alone promotes nobody, however often they sign.
    let file = dir.path().join("promosi.json");
    let mut ask = standby.command();
    ask.args(["promote", "--reason", "Pusat Data terbakar", "--ask"]).arg(&file);
    output(&mut ask).unwrap();
    assert_eq!(officers.sign(&city, &file, 2)["complete"], false);
    let mut again = city.lumbung();
    again.args(["succession", "sign", "--yes", "--key"]).arg(&officers.0[2].0).arg(&file);
    let again = any_output(&mut again).unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("already"), "{again:?}");
    let alone = any_output(standby.command().args(["promote", "--take"]).arg(&file)).unwrap();
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert!(!alone.status.success() && said.contains("has 1 valid signatures"), "{said}");
    assert_eq!(asked(&standby, "/api/v1/health")["state"], "standby");

    assert_eq!(officers.sign(&city, &file, 0)["complete"], true);
    take(&standby, "promote", &file);
    standby.becomes("listening").unwrap();
    let after = until_known(&standby, 5, 4);
    assert!(after.holds(&before), "something that was known is lost");
    until_epoch(&city, 2);
    let promoted: Value = database(&standby)
        .query_row(
            "SELECT entry FROM audit WHERE action = 'succession.take' AND subject = '2'",
            [],
            |row| row.get(0),
        )
        .map(|text: String| serde_json::from_str(&text).unwrap())
        .unwrap();
    assert_eq!(promoted["after"]["signed_by"], json!(["Sekdis", "Auditor"]));

    // The old one comes back: before it answers anybody it learns that its time is over.
    city.controller.start_as("run", "superseded").unwrap();
    assert_eq!(asked(&city.controller, "/api/v1/health")["state"], "superseded");
    let refusal = asked(&city.controller, "/api/v1/compliance");
    assert!(refusal["detail"].as_str().unwrap().contains(&standby.url), "{refusal}");
    city.controller.stop().unwrap();

    // Put back as it was, and alone with one agent, which was started anew: nobody else can tell it, and it gets no report.
    city.pds.iter_mut().for_each(|pd| pd.stop().unwrap());
    standby.kill().unwrap();
    city.pusat.kill().unwrap();
    city.drc.kill().unwrap();
    fs::remove_dir_all(city.controller.data()).unwrap();
    copy_dir(&lost, &city.controller.data());
    city.controller.start().unwrap();
    let beats = |controller: &Controller| -> i64 {
        database(controller)
            .query_row("SELECT coalesce(max(last_s), 0) FROM heartbeat_spans", [], |row| row.get(0))
            .unwrap()
    };
    let heard = beats(&city.controller);
    city.pds[0].start().unwrap();
    city.controller.becomes("superseded").unwrap();
    let log = fs::read_to_string(city.pds[0].server.join("log")).unwrap();
    assert!(log.contains("it knows epoch 1 only, and epoch 2 was seen here"), "{log}");
    assert_eq!(Known::of(&city.controller).counts()[0], before.counts()[0], "it took a report");
    assert_eq!(beats(&city.controller), heard, "it took a heartbeat");
    city.controller.stop().unwrap();

    standby.start_as("standby", "listening").unwrap();
    city.pusat.start().unwrap();
    city.drc.start().unwrap();
    city.pds[1].start().unwrap();
    back_up(&city, "and on it goes");
    assert!(until_known(&standby, 7, 6).holds(&after));
}

#[test]
fn a_controller_recovered_from_a_vault_acts_once_two_officers_say_so() {
    let dir = TempDir::with_prefix("lumbung-recover-").unwrap();
    let data = dir.path().join("controller/data");
    // Its keys are a dataset like any other; its database is another one.
    let keys = KEYS.map(|name| data.join(name));
    let plan = PdPlan { code: "KOMINFO", name: "Diskominfo", paths: keys.to_vec() };
    let mut city = City::found(dir.path(), vec![plan], |_| ()).unwrap();
    let officers = Officers::new(&city);
    officers.found(&city, None);
    let config = city.pds[0].server.join("agent.toml");
    let database_job = format!(
        "\n[[job]]\nname = \"database\"\ndataset = \"{}\"\n[job.sqlite]\nfiles = [{:?}]\n",
        "ab".repeat(16),
        city.controller.database()
    );
    fs::write(&config, fs::read_to_string(&config).unwrap() + &database_job).unwrap();
    city.pds[0].start().unwrap();
    until_epoch(&city, 1);
    let runs = output(city.pds[0].agent().args(["backup", "--json", "--quiet"])).unwrap();
    let runs: Vec<Value> = serde_json::from_str(&runs).unwrap();
    assert!(runs.iter().all(|run| run["outcome"] == "ok"), "{runs:?}");
    let before = until_known(&city.controller, 2, 2);

    // Nothing is left of it; the agent goes on.
    city.controller.kill().unwrap();
    fs::rename(&data, dir.path().join("burnt")).unwrap();
    let restored = dir.path().join("restored");
    for run in &runs {
        let mut restore = city.lumbung();
        restore.args(["restore", &city.drc.url, run["manifest"].as_str().unwrap(), "--key"]);
        let target = restored.join(run["job"].as_str().unwrap());
        output(restore.arg(city.pds[0].key()).arg("--target").arg(target)).unwrap();
    }
    let copies = restored.join("database/sqlite/files");
    let copy = fs::read_dir(copies).unwrap().next().unwrap().unwrap().path();
    let from = restored.join("data").join(data.strip_prefix("/").unwrap());
    let made = recover(&city.controller, &from, &copy);
    assert_eq!((&made["state"], &made["epoch"]), (&json!("unnamed"), &json!(1)), "{made}");
    assert_eq!(made["ca_fingerprint"], city.controller.ca_fingerprint);
    let twice =
        any_output(city.controller.command().args(["recover", "--from"]).arg(&from)).unwrap();
    assert!(String::from_utf8_lossy(&twice.stderr).contains("nothing is written over"));

    // The CA's key is there, and still it serves nobody.
    city.controller.start_as("run", "unnamed").unwrap();
    assert_eq!(asked(&city.controller, "/api/v1/compliance")["status"], 503);
    let file = dir.path().join("promosi.json");
    let mut ask = city.controller.command();
    ask.args([
        "promote",
        "--reason",
        "Pusat Data terbakar",
        "--url",
        &city.controller.url,
        "--ask",
    ]);
    output(ask.arg(&file)).unwrap();
    officers.sign(&city, &file, 1);
    officers.sign(&city, &file, 2);
    take(&city.controller, "promote", &file);
    city.controller.becomes("listening").unwrap();
    let after = until_known(&city.controller, 2, 2);
    assert!(after.holds(&before), "something that was known is lost");
    until_epoch(&city, 2);

    // What burnt down is found again, and started by somebody who does not know: it has the same address.
    city.controller.kill().unwrap();
    fs::rename(&data, dir.path().join("recovered")).unwrap();
    fs::rename(dir.path().join("burnt"), &data).unwrap();
    city.controller.start_as("run", "superseded").unwrap();
}
