//! Restoring for people: in place and elsewhere, over what is there, killed in the middle, told beforehand.

use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

use serde_json::Value;

use crate::office::{Office, PASSPHRASE, noise};

const RESTORE: [&str; 5] = ["restore", "depot", "latest", "--key", "pd.key"];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&RESTORE[..], more].concat()
}

fn paths(list: &Value) -> Vec<String> {
    let steps = list.as_array().expect("a list").iter();
    steps.map(|step| step["path"].as_str().expect("a path").to_owned()).collect()
}

#[test]
fn what_is_there_stays_and_is_told_unless_a_rule_says_otherwise() {
    let office = Office::equipped();
    office.backup("arsip");
    office.ok(&with(&["--target", "out"]));
    let at = office.path("out").join(office.path("data").strip_prefix("/").expect("absolute"));
    std::fs::write(at.join("surat/a.txt"), "ditulis orang lain").expect("a file");

    let ended = office.run(&with(&["--target", "out", "--lang", "en"]));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("/data/surat/a.txt: differs and stays"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--overwrite never"), "{}", ended.stderr);
    assert_eq!(std::fs::read(at.join("surat/a.txt")).expect("a file"), b"ditulis orang lain");

    // Who asks for the rule is not told off for it.
    let kept = office.json(&with(&["--target", "out", "--overwrite", "never"]));
    assert_eq!(kept["counts"]["kept"], 1, "{kept}");
    let made = office.json(&with(&["--target", "out", "--overwrite", "if-changed", "--verify"]));
    assert_eq!(made["counts"]["replaced"], 1, "{made}");
    assert_eq!(made["compared"]["equal"], true);
    assert_eq!(std::fs::read(at.join("surat/a.txt")).expect("a file"), b"surat keputusan\n");
}

#[test]
fn in_place_needs_consent_and_brings_back_what_was_lost() {
    let office = Office::equipped();
    office.backup("arsip");
    let data = office.path("data");
    std::fs::remove_dir_all(data.join("surat")).expect("a loss");
    office.write("data/kosong", b"enkripsi");
    office.write("data/TEBUSAN.txt", b"bayar");
    office.write("beside", b"x");

    // Nobody can be asked here.
    let in_place = ["--in-place", "--overwrite", "if-changed", "--delete"];
    let (code, _) = office.error(&with(&in_place));
    assert_eq!(code, "usage");
    assert!(!data.join("surat").exists(), "nothing was done");

    let plan = office.json(&with(&[&in_place[..], &["--dry-run"]].concat()));
    assert_eq!(plan["dry_run"], true);
    let inner = |name: &str| data.join(name).to_str().expect("text").to_owned();
    let planned = paths(&plan["steps"]);
    for name in ["surat", "surat/a.txt", "kosong", "TEBUSAN.txt"] {
        assert!(planned.contains(&inner(name)), "{name}: {plan}");
    }
    assert_eq!(plan["counts"]["deleted"], 1, "{plan}");
    assert_eq!(plan["counts"]["replaced"], 1, "{plan}");
    assert!(!data.join("surat").exists(), "a plan changes nothing");
    let shown = office.ok(&with(&[&in_place[..], &["--dry-run", "--lang", "en"]].concat()));
    assert!(shown.contains(&format!("delete     {}", inner("TEBUSAN.txt"))), "{shown}");

    let done = office.json(&with(&[&in_place[..], &["--yes", "--verify"]].concat()));
    assert_eq!(done["counts"]["deleted"], 1, "{done}");
    assert_eq!(done["compared"]["equal"], true, "{done}");
    assert_eq!(office.read("data/surat/a.txt"), b"surat keputusan\n");
    assert_eq!(office.read("data/kosong"), b"");
    assert!(!data.join("TEBUSAN.txt").exists());
    assert_eq!(office.read("beside"), b"x", "it lies outside of what was backed up");
}

#[test]
fn deletion_asks_for_a_folder() {
    let office = Office::equipped();
    office.backup("arsip");
    let file = office.path("data/surat/a.txt");
    let file = file.to_str().expect("text");
    let (code, error) =
        office.error(&with(&["--target", "out", "--delete", "--yes", "--include", file]));
    assert_eq!(code, "usage", "{error}");
    assert!(error["message"].as_str().expect("text").contains("none in the snapshot"), "{error}");
    let (code, _) = office.error(&with(&["--target", "out", "--delete"]));
    assert_eq!(code, "usage", "it is asked for, and nobody is there");
}

/// The kernel kills a program that writes a file beyond its limit: in the middle of a file.
fn killed_at(office: &Office, blocks: u32, args: &[&str]) -> bool {
    let line = format!("ulimit -c 0; ulimit -f {blocks}; exec \"$0\" \"$@\"");
    let status = Command::new("bash")
        .args(["-c", &line, env!("CARGO_BIN_EXE_lumbung")])
        .args(args)
        .current_dir(office.path(""))
        .env("HOME", office.path(""))
        .env("LUMBUNG_PASSPHRASE", PASSPHRASE)
        .status()
        .expect("bash runs");
    const SIGXFSZ: i32 = 25;
    status.signal() == Some(SIGXFSZ)
}

#[test]
fn a_restore_that_was_killed_in_the_middle_of_a_file_goes_on() {
    let office = Office::equipped();
    for n in 0..12_u64 {
        office.write(&format!("data/m/{n:02}"), &noise(2_000 << n, n + 1));
    }
    office.backup("arsip");
    for blocks in [0, 4, 40, 400] {
        let out = format!("out-{blocks}");
        let args = with(&["--target", &out]);
        assert!(killed_at(&office, blocks, &args), "{blocks} blocks are enough for everything");
        let done = office.json(&[&args[..], &["--verify"]].concat());
        assert_eq!(done["compared"]["equal"], true, "{done}");
        assert_eq!(done["counts"]["kept"], 0, "{done}");
        if blocks == 400 {
            let unchanged = done["counts"]["unchanged"].as_u64().expect("a number");
            assert!(unchanged > 0, "what was whole is not written again: {done}");
        }
    }
}

/// Three snapshots of two versions, at two sites, of which the second lacks the last snapshot.
fn two_sites() -> Office {
    let office = Office::equipped();
    office.backup("arsip");
    office.backup("arsip");
    let copied =
        Command::new("cp").args(["-a", "depot", "drc"]).current_dir(office.path("")).status();
    assert!(copied.expect("cp runs").success());
    office.write("data/surat/a.txt", b"surat keputusan, diubah\n");
    office.backup("arsip");
    office
}

#[test]
fn versions_are_told_once_with_their_snapshots_and_sites() {
    let office = two_sites();
    let find = |more: &[&str]| {
        office
            .json(&[&["find", "depot", "a.txt", "--key", "pd.key", "--site", "drc"], more].concat())
    };
    let found = find(&[]);
    let versions = found["versions"].as_array().expect("versions");
    assert_eq!(versions.len(), 2, "{found}");
    assert_eq!(versions[0]["entry"]["size"], 24, "the newest first: {found}");
    assert_eq!((&versions[0]["snapshots"], &versions[1]["snapshots"]), (&1.into(), &2.into()));
    let sites = |version: &Value| version["sites"].as_array().map(Vec::len);
    assert_eq!((sites(&versions[0]), sites(&versions[1])), (Some(1), Some(2)), "{found}");
    assert_ne!(versions[1]["first"]["snapshot"], versions[1]["last"]["snapshot"]);

    let count = |found: &Value| found["versions"].as_array().map(Vec::len);
    assert_eq!(count(&find(&["--min-size", "20"])), Some(1));
    assert_eq!(count(&find(&["--max-size", "20"])), Some(1));
    assert_eq!(count(&find(&["--until", "2001-01-01"])), Some(0));
    assert_eq!(count(&find(&["--since", "2001-01-01"])), Some(2));
    assert_eq!(count(&find(&["--type", "directory"])), Some(0));
    assert_eq!(count(&find(&["--snapshots-since", "2100-01-01"])), Some(0));
    let limited = find(&["--limit", "1"]);
    assert_eq!((count(&limited), &limited["left_out"]), (Some(1), &1.into()));

    // The command that it prints does what it says.
    let command = versions[1]["restore"].as_str().expect("a command");
    let line = command.replace(" OUT", " printed").replacen("lumbung", "\"$0\"", 1);
    let status = Command::new("bash")
        .args(["-c", &line, env!("CARGO_BIN_EXE_lumbung")])
        .current_dir(office.path(""))
        .env("LUMBUNG_PASSPHRASE", PASSPHRASE)
        .status();
    assert!(status.expect("bash runs").success(), "{command}");
    let inner = office.path("data/surat/a.txt");
    let inner = inner.strip_prefix("/").expect("absolute");
    let read = |out: &str| std::fs::read(office.path(out).join(inner)).expect("restored");
    assert_eq!(read("printed"), b"surat keputusan\n");
}

#[test]
fn what_was_found_is_restored_at_once() {
    let office = two_sites();
    let find = |more: &[&'static str]| {
        [
            &[
                "find",
                "drc",
                "a.txt",
                "--key",
                "pd.key",
                "--site",
                "depot",
                "--restore",
                "--target",
            ],
            more,
        ]
        .concat()
    };
    let inner = office.path("data/surat/a.txt");
    let inner = inner.strip_prefix("/").expect("absolute");
    let read = |out: &str| std::fs::read(office.path(out).join(inner)).expect("restored");
    let (code, error) = office.error(&find(&["out"]));
    assert_eq!(code, "usage", "{error}");
    let done = office.json(&find(&["new", "--newest"]));
    assert_eq!(done["restored"][0]["counts"]["created"].as_u64().map(|n| n > 0), Some(true));
    assert_eq!(read("new"), b"surat keputusan, diubah\n");
    office.json(&find(&["old", "--pick", "2"]));
    assert_eq!(read("old"), b"surat keputusan\n");
    assert_eq!(office.error(&find(&["x", "--pick", "3"])).0, "usage");
    assert!(!office.path("x").exists());
}

#[test]
fn what_no_roster_vouches_for_is_searched_only_if_asked_and_marked() {
    let office = Office::equipped();
    office.backup("arsip");
    let repository = office.json(&["snapshots", "depot"])["repository"].clone();
    let repository = repository.as_str().expect("an id").parse().expect("an id");
    let unlisted = lumbung_seal::AgentIdentity::generate(repository).to_text();
    office.write("thief.id", unlisted.as_bytes());
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(office.path("thief.id"), private).expect("the mode is set");
    office.write("data/surat/a.txt", b"surat yang dipalsukan\n");
    let made = office.run(&["backup", "depot", "--agent", "thief.id", "data", "--json"]);
    let made: Value = serde_json::from_str(&made.stdout).expect("a document");
    assert_eq!(made["authorized"], false, "{made}");

    let find = ["find", "depot", "a.txt", "--key", "pd.key"];
    let found = office.json(&find);
    assert_eq!(found["versions"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["versions"][0]["authorized"], true, "{found}");
    let all = office.json(&[&find[..], &["--all"]].concat());
    assert_eq!(all["versions"].as_array().map(Vec::len), Some(2), "{all}");
    // Both are of one second, maybe.
    let doubted = all["versions"].as_array().expect("versions").iter();
    let doubted: Vec<&Value> = doubted.filter(|one| one["authorized"] == false).collect();
    assert_eq!(doubted.len(), 1, "{all}");
    assert_eq!(doubted[0]["last"]["snapshot"], made["snapshot"], "{all}");
    let shown = office.ok(&[&find[..], &["--all", "--lang", "en"]].concat());
    assert_eq!(shown.matches("NOT AUTHORISED").count(), 1, "{shown}");

    office.json(&[&find[..], &["--restore", "--newest", "--target", "out"]].concat());
    let inner = office.path("data/surat/a.txt");
    let inner = inner.strip_prefix("/").expect("absolute");
    let restored = std::fs::read(office.path("out").join(inner)).expect("restored");
    assert_eq!(restored, b"surat keputusan\n");

    let id = made["snapshot"].as_str().expect("an id");
    let back = office.run(&["restore", "depot", id, "--key", "pd.key", "--target", "palsu"]);
    assert!(back.stderr.contains("belum disahkan"), "{}", back.stderr);
}
