//! What `--json` prints: the names of `docs/cli.md`, no more and no fewer.

use serde_json::Value;

use crate::office::Office;

const DOCUMENT: &str = include_str!("../../../docs/cli.md");

/// The document's JSON example that follows the heading of a command.
fn documented(command: &str) -> Value {
    let heading = format!("<!-- shape: {command} -->");
    let start = DOCUMENT
        .find(&heading)
        .unwrap_or_else(|| panic!("docs/cli.md shows no shape of {command}"));
    let text = &DOCUMENT[start..];
    let start = text.find("```json\n").expect("an example") + 8;
    let end = text[start..].find("```").expect("its end");
    serde_json::from_str(&text[start..start + end])
        .unwrap_or_else(|e| panic!("the shape of {command}: {e}"))
}

/// Holds a value against an example: the same names, the same kinds of values; null fits anything.
fn hold(command: &str, place: &str, found: &Value, shape: &Value) {
    match (found, shape) {
        (Value::Null, _) | (_, Value::Null) => {}
        (Value::Object(found), Value::Object(shape)) => {
            let (names, expected): (Vec<_>, Vec<_>) =
                (found.keys().collect(), shape.keys().collect());
            assert_eq!(names, expected, "{command}: {place}");
            for (name, value) in found {
                hold(command, &format!("{place}.{name}"), value, &shape[name]);
            }
        }
        (Value::Array(found), Value::Array(shape)) => {
            let Some(shape) = shape.first() else { return };
            found.iter().for_each(|value| hold(command, &format!("{place}[]"), value, shape));
        }
        _ => assert_eq!(
            std::mem::discriminant(found),
            std::mem::discriminant(shape),
            "{command}: {place}: {found}"
        ),
    }
}

#[test]
fn every_result_has_its_documented_shape() {
    let office = Office::equipped();
    let snapshot = office.backup("arsip");
    office.write("data/lagi", b"x");
    office.write("rencana.toml", include_bytes!("../../../config/drill.example.toml"));
    let data = office.path("data").to_str().expect("text").to_owned();
    let commands: &[(&str, &[&str])] = &[
        ("key show", &["key", "show", "pd.key"]),
        ("key show agent", &["key", "show", "agent.id"]),
        ("key check", &["key", "check", "pd.key"]),
        ("key paper", &["key", "paper", "pd.key"]),
        ("repo info", &["repo", "info", "depot"]),
        ("roster show", &["roster", "show", "depot"]),
        ("roster change", &["roster", "add-agent", "depot", "agent.id", "--key", "pd.key"]),
        ("roster publish", &["roster", "publish", "depot", "copy"]),
        ("roster export", &["roster", "export", "depot", "rosters.txt"]),
        (
            "order",
            &[
                "order",
                "new",
                "order.txt",
                "--depot",
                "depot",
                "--destroy-repository",
                "--letter",
                "1",
                "--reason",
                "x",
                "--key",
                "pd.key",
            ],
        ),
        ("order", &["order", "show", "order.txt"]),
        ("backup", &["backup", "depot", "--agent", "agent.id", "--dataset", "arsip", "data"]),
        ("snapshots", &["snapshots", "depot"]),
        ("snapshots --key", &["snapshots", "depot", "--key", "pd.key"]),
        ("find", &["find", "depot", "*.txt", "--key", "pd.key"]),
        ("diff", &["diff", "depot", &snapshot, "latest", "--key", "pd.key"]),
        (
            "restore",
            &["restore", "depot", "latest", "--key", "pd.key", "--target", "out", "--verify"],
        ),
        (
            "restore --dry-run",
            &["restore", "depot", "latest", "--key", "pd.key", "--target", "lain", "--dry-run"],
        ),
        ("verify", &["verify", "depot"]),
        (
            "media export",
            &["media", "export", "depot", "disk", "--key", "pd.key", "--keep-list", "daftar"],
        ),
        ("media verify", &["media", "verify", "disk"]),
        ("media show", &["media", "show", "disk"]),
        ("media import", &["media", "import", "disk", "masuk"]),
        ("drill plan check", &["drill", "plan", "check", "rencana.toml"]),
        ("man", &["man", "--dir", "man"]),
    ];
    for (name, args) in commands {
        hold(name, "", &office.json(args), &documented(name));
    }
    let listed = office.json(&["ls", "depot", "latest", &data, "--key", "pd.key"]);
    let shape = documented("ls");
    assert_eq!(listed["snapshot"].is_string(), shape["snapshot"].is_string());
    let entry = |value: &Value, kind: &str| {
        let entries = value["entries"].as_array().expect("entries").clone();
        entries.into_iter().find(|e| e["type"] == kind).unwrap_or_else(|| panic!("no {kind}"))
    };
    for kind in ["file", "symlink", "directory"] {
        hold("ls", kind, &entry(&listed, kind), &entry(&shape, kind));
    }
}

#[test]
fn a_first_repository_has_its_documented_shape() {
    let office = Office::new();
    hold("key new", "", &office.json(&["key", "new", "pd.key"]), &documented("key show"));
    let made = office.json(&["repo", "init", "depot", "--key", "pd.key", "--agent", "agent.id"]);
    hold("repo init", "", &made, &documented("repo init"));
}

#[test]
fn an_error_has_its_documented_shape() {
    let office = Office::new();
    let (_, error) = office.error(&["snapshots", "tidak"]);
    hold("error", "", &serde_json::json!({ "error": error }), &documented("error"));
}

#[test]
fn tables_fit_100_columns_and_speak_two_languages() {
    let office = Office::equipped();
    let long = "himpunan data dengan nama yang sangat panjang sekali supaya tabelnya harus memotong kolom ini";
    office.backup(long);
    let table = office.ok(&["snapshots", "depot", "--key", "pd.key"]);
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    assert!(
        table.contains("Cuplikan") && table.contains("lengkap") && table.contains("WIB"),
        "{table}"
    );
    let table = office.ok(&["snapshots", "depot", "--lang", "en", "--time-zone", "Asia/Jayapura"]);
    assert!(
        table.contains("Snapshot") && table.contains("complete") && table.contains("WIT"),
        "{table}"
    );
}
