//! Accounts over the network, with the real programs: `lumbung user`, by administrators who log in for each change.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lumbung_tests::city::City;
use lumbung_tests::people::{Admin, PASSWORD};
use lumbung_tests::process::{any_output, output};
use serde_json::Value;
use tempfile::TempDir;

struct Bed {
    city: City,
    directory: TempDir,
}

impl Bed {
    fn new() -> Self {
        let directory = TempDir::with_prefix("lumbung-users-").unwrap();
        let city = City::found(directory.path(), Vec::new(), |_| ()).unwrap();
        let bed = Self { city, directory };
        output(bed.city.operator().args(["pd", "add", "DINKES", "--name", "Kesehatan"])).unwrap();
        output(bed.city.operator().args(["pd", "add", "RSUD", "--name", "Rumah Sakit"])).unwrap();
        bed
    }

    fn admin(&self, name: &'static str) -> Admin {
        Admin::new(&self.city.controller, name).unwrap()
    }

    /// `lumbung user` of somebody who knows only where the controller is.
    fn user(&self) -> Command {
        let mut command = self.city.lumbung();
        command
            .env("LUMBUNG_CONTROLLER", &self.city.controller.url)
            .env("LUMBUNG_CA_FINGERPRINT", &self.city.controller.ca_fingerprint)
            .env_remove("LUMBUNG_PASSPHRASE")
            .args(["--lang", "en", "user"]);
        command
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// `lumbung user …`, as an administrator who logs in for it, once.
    fn by(&self, admin: &Admin, arguments: &[&str]) -> Command {
        let mut command = self.user();
        command.args(arguments).args(["--as", admin.name]);
        command.arg("--password-file").arg(self.file("password", PASSWORD));
        command.arg("--code-file").arg(self.file("code", &admin.code));
        command
    }

    fn list(&self, admin: &Admin, arguments: &[&str]) -> String {
        let mut command = self.user();
        command.env("LUMBUNG_TOKEN_FILE", self.file("token", &admin.token));
        output(command.arg("list").args(arguments)).unwrap()
    }
}

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&output(command.arg("--json")).unwrap()).unwrap()
}

#[test]
fn an_administrator_keeps_accounts_from_afar_and_a_role_takes_a_second_person() {
    let bed = Bed::new();
    let ketua = bed.admin("ketua");
    let add = ["add", "siti", "--full-name", "Siti Aminah", "--role", "pd", "--pd", "DINKES"];
    let made = json(&mut bed.by(&ketua, &add));
    let first = made["password"].as_str().unwrap();
    assert_eq!((first.len(), &made["user"]["role"]), (23, &"pd".into()));
    let closed = json(&mut bed.by(&bed.admin("wakil"), &["disable", "siti"]));
    assert!(closed["disabled"].is_number(), "{closed}");

    let table = bed.list(&ketua, &["--pd", "DINKES"]);
    assert!(table.contains("siti") && table.contains("DINKES") && table.contains("closed"));
    assert!(!table.contains("ketua") && table.lines().all(|line| line.chars().count() <= 100));
    assert!(!bed.list(&ketua, &["--pd", "RSUD"]).contains("siti"));
    assert!(bed.list(&ketua, &[]).contains("ketua"));

    let open = json(&mut bed.by(&bed.admin("sekretaris"), &["enable", "siti"]));
    assert!(open["disabled"].is_null(), "{open}");
    let role = ["role", "siti", "custodian", "--pd", "DINKES", "--reason", "800/12/2026"];
    let asked = output(&mut bed.by(&bed.admin("kabid"), &role)).unwrap();
    assert!(asked.contains("Nothing has changed yet"), "{asked}");
    let id = asked.lines().find_map(|line| line.trim().strip_prefix("lumbung approval approve "));
    let id = id.unwrap().split(' ').next().unwrap();
    let role_of = |name: &str| {
        let all: Value = serde_json::from_str(&bed.list(&ketua, &["--json"])).unwrap();
        let all = all.as_array().unwrap();
        all.iter().find(|user| user["name"] == name).unwrap()["role"].clone()
    };
    assert_eq!(role_of("siti"), "pd");
    output(bed.city.controller.command().args(["approval", "approve", id])).unwrap();
    assert_eq!(role_of("siti"), "custodian");
}

#[test]
fn a_new_password_opens_the_account_and_what_belongs_to_the_console_is_refused() {
    let bed = Bed::new();
    let ketua = bed.admin("ketua");
    let mut console = bed.city.controller.command();
    output(console.args(["user", "add", "irban", "--full-name", "I", "--role", "auditor"]))
        .unwrap();
    let first = json(&mut bed.by(&ketua, &["password", "irban"]));
    let first = bed.file("first", first["password"].as_str().unwrap());
    let mut login = bed.city.lumbung();
    login
        .env("LUMBUNG_CONTROLLER", &bed.city.controller.url)
        .env("LUMBUNG_CA_FINGERPRINT", &bed.city.controller.ca_fingerprint)
        .args(["login", "irban", "--out"])
        .arg(bed.directory.path().join("irban.token"));
    login.arg("--password-file").arg(first);
    login.arg("--new-password-file").arg(bed.file("new", PASSWORD));
    output(&mut login).unwrap();

    let operator = ["add", "budi", "--full-name", "Budi", "--role", "operator"];
    let refused = any_output(&mut bed.by(&bed.admin("wakil"), &operator)).unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("lumbung-controller user"), "{said}");
    // An administrator's own token, which may write, makes no account: nobody has logged in.
    let mut token = bed.user();
    token.env("LUMBUNG_TOKEN_FILE", bed.file("token", &ketua.token));
    let add = ["add", "tono", "--full-name", "Tono", "--role", "auditor", "--as", "ketua"];
    assert!(!any_output(token.args(add)).unwrap().status.success());
    let all = bed.list(&ketua, &[]);
    assert!(all.contains("irban") && !all.contains("budi") && !all.contains("tono"), "{all}");
}
