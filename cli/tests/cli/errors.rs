//! What goes wrong, what is said about it, and with which exit code.

use crate::office::{Office, ended, files};

fn message(error: &serde_json::Value) -> String {
    error.to_string()
}

#[test]
fn a_wrong_passphrase_is_told_apart_from_a_damaged_file() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key"]);
    let mut wrong = office.command(&["key", "check", "pd.key"]);
    let said = ended(wrong.env("LUMBUNG_PASSPHRASE", "salah"));
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("the passphrase does not open pd.key")
            && said.stderr.contains("next: "),
        "{}",
        said.stderr
    );

    let text = String::from_utf8(office.read("pd.key")).expect("text");
    let place = text.len() - 20;
    let other = if &text[place..=place] == "A" { "B" } else { "A" };
    office.write("pd.key", format!("{}{other}{}", &text[..place], &text[place + 1..]).as_bytes());
    let (code, error) = office.error(&["key", "check", "pd.key"]);
    assert_eq!(code, "damaged-key-file");
    assert!(
        message(&error).contains("checksum") && message(&error).contains("printout"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_there() {
    let office = Office::equipped();
    for args in [
        &["key", "check", "tidak.key"][..],
        &["restore", "depot", "latest", "--key", "tidak.key", "--target", "out"],
        &["backup", "depot", "--agent", "tidak.id", "data"],
        &["backup", "depot", "--agent", "agent.id", "tidak"],
    ] {
        let (code, error) = office.error(args);
        assert_eq!(code, "file-missing", "{args:?}");
        assert!(message(&error).contains("does not exist"), "{error}");
    }
}

#[test]
fn a_place_that_is_no_depot() {
    let office = Office::equipped();
    for place in ["data", "tidak-ada"] {
        let (code, error) = office.error(&["snapshots", place]);
        assert_eq!(code, "not-a-depot");
        assert!(message(&error).contains("lumbung repo init"), "{error}");
    }
    // And no repository is made where something lies.
    assert_eq!(office.error(&["repo", "init", "data", "--key", "pd.key"]).0, "not-a-depot");
    assert_eq!(office.error(&["repo", "init", "depot", "--key", "pd.key"]).0, "file-exists");
    assert!(!office.path("data/rosters").exists());
}

#[test]
fn a_snapshot_that_nobody_knows() {
    let office = Office::equipped();
    let none = office.error(&["ls", "depot", "latest", "--key", "pd.key"]);
    assert_eq!(none.0, "unknown-snapshot");
    office.backup("arsip");
    for spec in ["0123456789abcdef", "latest:lain", "zzzz", "ab"] {
        let (code, error) =
            office.error(&["restore", "depot", spec, "--key", "pd.key", "--target", "out"]);
        assert_eq!(code, "unknown-snapshot", "{spec}");
        assert!(message(&error).contains("lumbung snapshots"), "{error}");
    }
    assert!(!office.path("out").exists());
}

#[test]
fn latest_of_two_datasets_lists_both() {
    let office = Office::equipped();
    let (first, second) = (office.backup("arsip"), office.backup("simrs"));
    let args = ["restore", "depot", "latest", "--key", "pd.key", "--target", "out"];
    let (code, error) = office.error(&args);
    assert_eq!(code, "ambiguous-latest");
    let candidates = error["candidates"].to_string();
    assert!(candidates.contains(&first[..8]) && candidates.contains(&second[..8]), "{error}");
    let said = office.run(&args);
    assert!(said.stderr.contains("latest:DATASET"), "{}", said.stderr);
    for spec in ["latest:simrs", &second[..10]] {
        let shown = office.json(&["ls", "depot", spec, "--key", "pd.key"]);
        assert_eq!(shown["snapshot"], second.as_str());
    }
    let shown = office.json(&["ls", "depot", "latest", "--dataset", "arsip", "--key", "pd.key"]);
    assert_eq!(shown["snapshot"], first.as_str());
    let both = ["ls", "depot", "latest:simrs", "--dataset", "arsip", "--key", "pd.key"];
    assert_eq!(office.error(&both).0, "usage");
}

#[test]
fn an_agent_of_another_repository() {
    let office = Office::equipped();
    office.ok(&["repo", "init", "other", "--key", "pd.key", "--agent", "other.id"]);
    let (code, error) = office.error(&["backup", "depot", "--agent", "other.id", "data"]);
    assert_eq!(code, "other-repository");
    assert!(message(&error).contains("was made for repository"), "{error}");
    assert_eq!(files(&office.path("depot/manifests")).len(), 0);
}

#[test]
fn a_key_that_is_no_recipient_opens_nothing() {
    let office = Office::equipped();
    office.backup("arsip");
    office.ok(&["key", "new", "thief.key"]);
    let (code, _) = office.error(&["ls", "depot", "latest", "--key", "thief.key"]);
    assert_eq!(code, "not-entitled");
    let said = office.run(&["snapshots", "depot", "--key", "thief.key"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
}

#[test]
fn damage_is_found_without_a_key() {
    let office = Office::equipped();
    let snapshot = office.backup("arsip");
    let pack = files(&office.path("depot/packs")).pop().expect("a pack");
    let mut bytes = std::fs::read(&pack).expect("a pack");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&pack, bytes).expect("written");
    let said = office.run(&["verify", "depot", "--json"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(report["clean"], false);
    assert_eq!(report["damaged"][0]["snapshot"], snapshot.as_str(), "{report}");
    let text = office.run(&["verify", "depot", "--lang", "en"]);
    assert!(
        text.stdout.contains("DAMAGED") && text.stderr.contains("next: "),
        "{}{}",
        text.stdout,
        text.stderr
    );
}

#[test]
fn a_lost_roster_is_not_passed_over() {
    let office = Office::equipped();
    office.ok(&["key", "new", "second.key"]);
    office.ok(&["roster", "add-recipient", "depot", "second.key", "--key", "pd.key"]);
    let shown = office.json(&["roster", "show", "depot"]);
    let first = shown["history"][0]["id"].as_str().expect("an id");
    std::fs::remove_file(office.path("depot/rosters").join(first)).expect("a roster lost");
    let (code, _) = office.error(&["snapshots", "depot"]);
    assert_eq!(code, "not-a-depot");
}

#[test]
fn a_vault_that_does_not_answer() {
    let office = Office::equipped();
    let (code, error) = office.error(&["snapshots", "https://127.0.0.1:9", "--key", "pd.key"]);
    assert_eq!(code, "depot");
    assert!(message(&error).contains("cannot be reached"), "{error}");
    assert_eq!(office.error(&["snapshots", "https://127.0.0.1:9"]).0, "usage");
    assert_eq!(office.error(&["snapshots", "http://127.0.0.1:9", "--key", "pd.key"]).0, "usage");
    // Its TLS key is unknown: nothing is sent there.
    let (code, _) =
        office.error(&["roster", "publish", "depot", "https://127.0.0.1:9", "--key", "pd.key"]);
    assert_eq!(code, "server-not-trusted");
}

#[test]
fn a_controller_that_nobody_named() {
    let office = Office::new();
    let (code, error) = office.error(&["compliance"]);
    assert_eq!(code, "usage");
    assert!(message(&error).contains("client.toml"), "{error}");
    office.write(
        ".config/lumbung/client.toml",
        b"controller = \"https://127.0.0.1:9\"\nca_fingerprin = \"x\"\n",
    );
    let (code, error) = office.error(&["status"]);
    assert_eq!(code, "bad-file");
    assert!(
        message(&error).contains("line 2") && message(&error).contains("ca_fingerprint"),
        "{error}"
    );
}

#[test]
fn a_wrong_command_line_is_2() {
    let office = Office::new();
    for args in [&["backup"][..], &["tidak"], &["snapshots"], &["verify", "depot", "--data"]] {
        assert_eq!(office.run(args).code, 2, "{args:?}");
    }
    assert_eq!(office.run(&["--help"]).code, 0);
    assert_eq!(office.run(&["--version"]).code, 0);
}

#[test]
fn nothing_is_overwritten() {
    let office = Office::equipped();
    let before = office.read("pd.key");
    assert_eq!(office.error(&["key", "new", "pd.key"]).0, "file-exists");
    assert_eq!(office.error(&["roster", "export", "depot", "pd.key"]).0, "file-exists");
    assert_eq!(office.read("pd.key"), before);
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let office = Office::equipped();
    office.write("data/besar", &crate::office::noise(2_000_000, 3));
    office.backup("arsip");
    let besar = office.path("data/besar");
    let script = format!(
        "{} dump depot latest {} --key pd.key | head -c 10 | wc -c; exit ${{PIPESTATUS[0]}}",
        env!("CARGO_BIN_EXE_lumbung"),
        besar.display()
    );
    let mut shell = assert_cmd::Command::new("bash");
    shell
        .current_dir(office.path(""))
        .env("LUMBUNG_PASSPHRASE", crate::office::PASSPHRASE)
        .args(["-c", &script]);
    let said = ended(&mut shell);
    assert_eq!((said.code, said.stdout.trim(), said.stderr.as_str()), (0, "10", ""));
}

#[test]
fn a_folder_that_cannot_be_read_is_flagged_and_ends_with_3() {
    use std::os::unix::fs::PermissionsExt as _;
    let office = Office::equipped();
    office.write("data/rahasia/x", b"x");
    let locked = office.path("data/rahasia");
    // Root reads everything, so the agent runs as nobody where the test runs as root.
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let nobody = 65_534;
    if root {
        chown(&office.path(""), nobody);
    }
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o000)).expect("locked");
    let args = ["backup", "depot", "--agent", "agent.id", "data", "--json"];
    let said = if root {
        let mut command = assert_cmd::Command::new("setpriv");
        command.args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            env!("CARGO_BIN_EXE_lumbung"),
        ]);
        ended(command.current_dir(office.path("")).args(args))
    } else {
        office.run(&args)
    };
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o755)).expect("unlocked");
    assert_eq!(said.code, 3, "{}", said.stderr);
    let made: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(made["statistics"]["flagged"], 1, "{made}");
    assert!(
        made["warnings"][0]["path"].as_str().is_some_and(|path| path.ends_with("data/rahasia")),
        "{made}"
    );
    assert!(said.stderr.contains("rahasia"), "{}", said.stderr);
}

fn chown(path: &std::path::Path, user: u32) {
    std::os::unix::fs::lchown(path, Some(user), Some(user)).expect("given away");
    if path.is_dir() && !path.is_symlink() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            chown(&entry.expect("an entry").path(), user);
        }
    }
}
