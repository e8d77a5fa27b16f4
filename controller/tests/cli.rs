//! The program itself: what it prints, and how it fails.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::path::Path;
use std::process::{Command, Output};

fn controller(dir: &Path, args: &[&str]) -> Output {
    let config = dir.join("c.toml");
    if !config.exists() {
        std::fs::write(&config, format!("data_dir = {:?}\n", dir.join("data"))).unwrap();
    }
    Command::new(env!("CARGO_BIN_EXE_lumbung-controller"))
        .arg("--config")
        .arg(config)
        .args(args)
        .output()
        .unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn failure(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code));
    assert!(output.stdout.is_empty());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const REGISTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/register.example.toml");

#[test]
fn init_import_token() {
    let dir = tempfile::tempdir().unwrap();
    let before =
        failure(&controller(dir.path(), &["token", "--role", "agent", "--server", "x"]), 1);
    assert!(before.contains("lumbung-controller init"), "{before}");
    let made = json(&controller(dir.path(), &["init", "--json"]));
    assert!(made["ca_fingerprint"].as_str().unwrap().starts_with("sha256:"));
    assert!(failure(&controller(dir.path(), &["init"]), 1).contains("has a CA already"));

    let imported = json(&controller(dir.path(), &["import", REGISTER, "--json"]));
    assert!(imported["created"].as_u64().unwrap() > 5);
    let again = json(&controller(dir.path(), &["import", REGISTER, "--json"]));
    assert_eq!((&again["created"], &again["updated"]), (&0.into(), &0.into()));

    let token = json(&controller(
        dir.path(),
        &["--json", "token", "--role", "agent", "--server", "simrs-1"],
    ));
    assert_eq!(token["ca_fingerprint"], made["ca_fingerprint"]);
    let unknown =
        failure(&controller(dir.path(), &["token", "--role", "site", "--site", "Bulan"]), 1);
    assert!(unknown.contains("no site is called \"Bulan\""), "{unknown}");
    failure(&controller(dir.path(), &["token", "--role", "agent"]), 2);
}

#[test]
fn configuration_errors_name_line_and_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "# comment\n\nlisten = \"[::]:1\"\n[heartbeat]\nintervall_s = 3\n")
        .unwrap();
    let said = failure(&controller(dir.path(), &["config", "check", file.to_str().unwrap()]), 1);
    assert!(said.contains("bad.toml:5: unknown field `intervall_s`"), "{said}");
    assert!(said.contains("did you mean `interval_s`?"), "{said}");
    let missing = failure(&controller(dir.path(), &["config", "check", "/nonexistent.toml"]), 1);
    assert!(missing.contains("--config"), "{missing}");
}

#[test]
fn the_document_and_the_manual_page_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let document = controller(dir.path(), &["openapi"]);
    let checked_in = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    assert_eq!(document.stdout, std::fs::read(checked_in).unwrap());
    let man = controller(dir.path(), &["man"]);
    assert!(String::from_utf8_lossy(&man.stdout).contains(".TH lumbung-controller 1"));
}
