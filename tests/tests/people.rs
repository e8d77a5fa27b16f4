//! People at the controller, with the real programs: an account from the console, a login, a token, the audit log, a
//! document that is owed.

use std::fs;

use lumbung_tests::city::{City, PdPlan};
use lumbung_tests::process::{any_output, eventually, output};
use serde_json::Value;
use tempfile::TempDir;

struct Bed {
    city: City,
    directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-people-").unwrap();
        let mut plans = Vec::new();
        for (code, name) in [("DINKES", "Dinas Kesehatan"), ("RSUD", "Rumah Sakit")] {
            let data = directory.path().join(code);
            fs::create_dir(&data).unwrap();
            fs::write(data.join("data.csv"), code).unwrap();
            plans.push(PdPlan { code, name, paths: vec![data] });
        }
        let city = City::found(directory.path(), plans, |_| ()).unwrap();
        Self { city, directory }
    }

    /// Makes an account at the console and gives its first password.
    fn account(&self, arguments: &[&str]) -> String {
        let mut console = self.city.controller.command();
        let made = output(console.args(["--json", "user", "add"]).args(arguments)).unwrap();
        let made: Value = serde_json::from_str(&made).unwrap();
        made["password"].as_str().unwrap().to_owned()
    }

    /// `lumbung` of somebody who knows only where the controller is.
    fn lumbung(&self) -> std::process::Command {
        let mut command = self.city.lumbung();
        command
            .env("LUMBUNG_CONTROLLER", &self.city.controller.url)
            .env("LUMBUNG_CA_FINGERPRINT", &self.city.controller.ca_fingerprint)
            .env_remove("LUMBUNG_PASSPHRASE");
        command
    }

    fn token(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(format!("{name}.token"))
    }

    /// Logs in with the first password, which is changed on the way, and keeps a token.
    fn log_in(&self, name: &str, first: &str) {
        self.log_in_with(name, first, &[]);
    }

    fn log_in_with(&self, name: &str, first: &str, options: &[&str]) {
        let file = |kind: &str, text: &str| {
            let path = self.directory.path().join(format!("{name}.{kind}"));
            fs::write(&path, text).unwrap();
            path
        };
        let mut login = self.lumbung();
        login.args(["login", name, "--out"]).arg(self.token(name)).args(options);
        login.arg("--password-file").arg(file("first", first));
        login.arg("--new-password-file").arg(file("new", "gabah kering giling"));
        output(&mut login).unwrap();
    }

    fn as_(&self, name: &str) -> std::process::Command {
        let mut command = self.lumbung();
        command.env("LUMBUNG_TOKEN_FILE", self.token(name));
        command
    }
}

#[test]
fn a_pd_sees_its_own_and_the_auditor_checks_the_log_of_all() {
    let bed = Bed::new();
    let first = bed.account(&["siti", "--full-name", "Siti", "--role", "pd", "--pd", "DINKES"]);
    bed.log_in("siti", &first);
    let first = bed.account(&["irban", "--full-name", "Inspektur", "--role", "auditor"]);
    bed.log_in("irban", &first);

    let table = output(bed.as_("siti").args(["--json", "compliance"])).unwrap();
    assert!(table.contains("DINKES") && !table.contains("RSUD"), "{table}");
    let table = output(bed.as_("irban").args(["--json", "compliance"])).unwrap();
    assert!(table.contains("DINKES") && table.contains("RSUD"), "{table}");
    // The token only reads, and the PD sees no audit log.
    let refused = any_output(bed.as_("siti").args(["pd", "add", "X", "--name", "X"])).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let refused = any_output(bed.as_("siti").args(["audit", "verify"])).unwrap();
    assert_eq!(refused.status.code(), Some(1));

    // Over the network and from an export the log is the same, and is signed with the key that the console prints.
    let export = bed.directory.path().join("audit.jsonl");
    let mut console = bed.city.controller.command();
    let exported = output(console.args(["--json", "audit", "export"]).arg(&export)).unwrap();
    let exported: Value = serde_json::from_str(&exported).unwrap();
    let key = exported["key"].as_str().unwrap();
    let seen = format!("{}:{}", exported["entries"], exported["hash"].as_str().unwrap());
    let verify = ["--json", "audit", "verify", "--key", key, "--seen", &seen];
    let online = output(bed.as_("irban").args(verify)).unwrap();
    let online: Value = serde_json::from_str(&online).unwrap();
    assert_eq!((&online["entries"], &online["hash"]), (&exported["entries"], &exported["hash"]));
    output(bed.lumbung().args(verify).arg(&export)).unwrap();
    let text = fs::read_to_string(&export).unwrap();
    for part in ["user.add", "user.change_password", "api_token.add", "agent.enrol", "127.0.0.1"] {
        assert!(text.contains(part), "{part}");
    }
    assert!(!text.contains("gabah kering giling") && !text.contains(&first));
    fs::write(&export, text.replacen("Siti", "Budi", 1)).unwrap();
    let spoilt = any_output(bed.lumbung().args(verify).arg(&export)).unwrap();
    assert_eq!(spoilt.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&spoilt.stderr).contains("was changed"));
}

#[test]
fn a_pd_hands_in_what_it_owes_and_the_dinas_accepts_the_same_file() {
    let bed = Bed::new();
    let first = bed.account(&["siti", "--full-name", "Siti", "--role", "pd", "--pd", "DINKES"]);
    bed.log_in_with("siti", &first, &["--writes"]);
    let read = |command: &mut std::process::Command| -> Value {
        serde_json::from_str(&output(command.arg("--json")).unwrap()).unwrap()
    };
    // The daemon has made what the city owes by its profile.
    let drill = eventually("the record of the drill", || {
        let all = read(bed.city.operator().args(["deposit", "list", "--duty", "restore-drill"]));
        Ok(all.as_array().unwrap().first().cloned().ok_or_else(|| "no record".to_owned()))
    });
    assert_eq!(drill.unwrap()["force"], "proposal");
    let titled = ["deposit", "add", "Diagram jaringan", "--pd", "DINKES", "--due", "2099-12-31"];
    let owed = read(bed.city.operator().args(titled));
    let id = owed["id"].as_str().unwrap();
    let file = bed.directory.path().join("diagram.pdf");
    fs::write(&file, "a diagram").unwrap();

    // Of what there is, the PD sees its own; and its own command makes the hash.
    let seen = read(bed.as_("siti").args(["deposit", "list"]));
    let seen = seen.as_array().unwrap();
    assert!(seen.iter().all(|one| one["pd_code"] == "DINKES"), "{seen:?}");
    // By the city's regulation each PD owes a diagram of its network, beside what was entered.
    assert!(
        seen.iter().any(|one| one["id"] == id)
            && seen.iter().any(|one| one["duty"] == "lan-diagram"),
        "{seen:?}"
    );
    let deliver = ["deposit", "deliver", id, "--letter", "800/12/2026"];
    let delivered = read(bed.as_("siti").args(deliver).arg(&file));
    assert_eq!(
        (&delivered["state"], &delivered["delivery"]["bytes"]),
        (&"delivered".into(), &9.into())
    );
    let calendar = ["calendar", "--from", "2099-12-31", "--until", "2099-12-31"];
    let far = any_output(bed.as_("siti").args(calendar)).unwrap();
    assert_eq!(far.status.code(), Some(1), "nobody knows what is owed in 2099");

    // What arrived is compared with what was handed in.
    let other = bed.directory.path().join("other.pdf");
    fs::write(&other, "another diagram").unwrap();
    let refused =
        any_output(bed.city.operator().args(["deposit", "accept", id]).arg(&other)).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let accepted = read(bed.city.operator().args(["deposit", "accept", id]).arg(&file));
    assert_eq!(accepted["state"], "accepted");
    let refused =
        any_output(bed.as_("siti").args(["deposit", "cancel", id, "--reason", "x"])).unwrap();
    assert_eq!(refused.status.code(), Some(1));
}
