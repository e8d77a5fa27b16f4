//! `lumbung approve`: asked by one, opened by another, read with a grant alone.

use serde_json::{Value, json};

use crate::office::{Office, files};

/// An office with two datasets' snapshots, and with a requester who has no bundle.
fn office() -> (Office, [String; 2], String) {
    let office = Office::equipped();
    let snapshots = [office.backup("arsip"), office.backup("simrs")];
    let info = office.json(&["repo", "info", "depot"]);
    let repository = info["repository"].as_str().expect("an id").to_owned();
    office.ok(&["key", "requester", "inspektorat.key", "--name", "Inspektorat, Budi"]);
    (office, snapshots, repository)
}

fn ask(office: &Office, repository: &str, what: &[&str]) -> Value {
    let args = ["approve", "request", "minta.txt", "--repository", repository];
    let why = ["--purpose", "pemeriksaan", "--requester-key", "inspektorat.key"];
    office.json(&[&args, what, &why[..]].concat())
}

fn open(office: &Office, more: &[&str]) -> Value {
    let args = ["approve", "grant", "minta.txt", "depot", "--key", "pd.key", "--yes"];
    office.json(&[&args, more].concat())
}

const LETTER: [&str; 2] = ["--letter", "700/12/2026"];

#[test]
fn somebody_who_is_no_recipient_restores_what_was_granted_and_nothing_else() {
    let (office, [granted, other], repository) = office();
    let asked = ask(&office, &repository, &["--snapshot", &granted]);
    assert_eq!(asked["name"], "Inspektorat, Budi");
    assert_eq!(asked["wanted"], json!([{ "snapshot": granted }]));
    let made = open(&office, &[&LETTER[..], &["--out", "izin.txt"]].concat());
    assert_eq!(made["snapshots"], json!([granted]));
    assert_eq!(made["letter"], "700/12/2026");
    assert_eq!(made["opened"]["snapshots"][0]["files"], 3);
    assert!(made["opened"]["stored_bytes"].as_u64().expect("bytes") > 300_000);

    // With the file, and with what lies in the depot.
    let key = ["--requester-key", "inspektorat.key"];
    let with_file = [&key[..], &["--grant", "izin.txt"]].concat();
    for (target, with) in [("keluar", &with_file[..]), ("lagi", &key[..])] {
        let restore = ["restore", "depot", "latest", "--target", target, "--verify"];
        let done = office.json(&[&restore, with].concat());
        assert_eq!(
            (&done["snapshot"], &done["compared"]["equal"]),
            (&json!(granted), &json!(true))
        );
        let inside = office.path("data").strip_prefix("/").expect("absolute").join("surat/a.txt");
        let restored = office.path(target).join(inside);
        assert_eq!(std::fs::read(restored).expect("restored"), b"surat keputusan\n");
    }
    let listed = office.ok(&[&["ls", "depot", &granted, "-R"][..], &key].concat());
    assert!(listed.contains("surat/b.bin"), "{listed}");
    // The other snapshot is not among those to choose from, also by its name.
    let (code, _) =
        office.error(&[&["restore", "depot", &other, "--target", "x"][..], &with_file].concat());
    assert_eq!(code, "unknown-snapshot");
    assert!(!office.path("x").exists());
    // Proven with the key to which it is opened.
    let proving = ["restore", "depot", "latest", "--target", "x", "--prove"];
    let proven = office.json(&[&proving[..], &key].concat());
    let proofs = files(&office.path("depot/proofs"));
    assert_eq!(proofs.len(), 1);
    assert!(proofs[0].ends_with(proven["proof"].as_str().expect("an id")), "{proofs:?}");
}

/// What is approved once opens what is backed up later, with the requester's key alone.
#[test]
fn a_standing_approval_opens_the_next_snapshots_of_one_dataset() {
    let (office, [first, other], repository) = office();
    let snapshots = office.json(&["snapshots", "depot"])["snapshots"].clone();
    let of = |id: &str| {
        let one = snapshots.as_array().expect("a list").iter().find(|one| one["id"] == *id);
        one.expect("it is listed")["dataset"].as_str().expect("an id").to_owned()
    };
    let asked = ask(&office, &repository, &["--dataset", &of(&first), "--standing"]);
    assert_eq!(asked["wanted"], json!([{ "standing_of": of(&first) }]));
    let grant = ["approve", "grant", "minta.txt", "depot", "--key", "pd.key", "--yes"];
    assert_eq!(office.error(&[&grant[..], &LETTER].concat()).0, "usage");
    let standing = ["approve", "standing", "minta.txt", "depot", "--key", "pd.key"];
    assert_eq!(office.error(&[&standing[..], &LETTER].concat()).0, "usage", "nobody agreed");
    let made = office.json(&[&standing[..], &LETTER, &["--yes", "--out", "tetap.txt"]].concat());
    let approval = &made["approvals"][0];
    assert_eq!((&approval["base"], &approval["dataset"]), (&json!([first]), &json!(of(&first))));
    assert_eq!(approval["opened"]["snapshots"][0]["files"], 3);

    office.write("data/surat/baru.txt", b"surat hari kedua\n");
    let next = office.backup("arsip");
    let later = office.backup("simrs");
    let key = ["--requester-key", "inspektorat.key"];
    let restore = ["restore", "depot", "latest", "--target", "keluar", "--verify"];
    let done = office.json(&[&restore[..], &key].concat());
    assert_eq!((&done["snapshot"], &done["compared"]["equal"]), (&json!(next), &json!(true)));
    let listed = office.ok(&[&["ls", "depot", &first, "-R"][..], &key].concat());
    assert!(listed.contains("surat/b.bin"), "the base: {listed}");
    for closed in [&other, &later] {
        let (code, _) = office.error(&[&["ls", "depot", closed][..], &key].concat());
        assert_eq!(code, "unknown-snapshot", "another dataset");
    }
    let shown = office.ok(&["approve", "show", "tetap.txt", "--lang", "en"]);
    assert!(shown.contains("Standing approval") && shown.contains(&of(&first)), "{shown}");
    let listed = office.json(&["approve", "list", "depot"]);
    assert_eq!(listed["consents"].as_array().map(Vec::len), Some(1), "its base is no other one");
    assert_eq!(listed["consents"][0]["kind"], "standing");

    let consent = approval["consent"].as_str().expect("an id");
    let revoke = ["approve", "revoke", "depot", consent, "--key", "pd.key", "--reason", "selesai"];
    office.ok(&revoke);
    let openings = files(&office.path("depot/openings")).len();
    office.write("data/surat/lagi.txt", b"surat hari ketiga\n");
    let closed = office.backup("arsip");
    assert_eq!(files(&office.path("depot/openings")).len(), openings);
    let (code, _) = office.error(&[&["ls", "depot", &closed][..], &key].concat());
    assert_eq!(code, "unknown-snapshot");
}

#[test]
fn a_grant_is_for_its_requester_alone() {
    let (office, [granted, _], repository) = office();
    ask(&office, &repository, &["--snapshot", &granted]);
    open(&office, &[&LETTER[..], &["--out", "izin.txt", "--not-to-depot"]].concat());
    assert!(files(&office.path("depot/grants")).is_empty(), "not to the depot");
    office.ok(&["key", "requester", "lain.key", "--name", "Inspektorat, Budi", "--machine"]);
    let ls = ["ls", "depot", "latest", "--requester-key"];
    let refused = office.error(&[&ls[..], &["lain.key", "--grant", "izin.txt"]].concat());
    assert_eq!(refused.0, "not-entitled");
    // And who has no grant has nothing at the depot either.
    assert_eq!(office.error(&[&ls[..], &["lain.key"]].concat()).0, "not-entitled");
    assert_eq!(office.error(&[&ls[..], &["inspektorat.key"]].concat()).0, "not-entitled");
    assert_eq!(
        office.run(&[&ls[..], &["inspektorat.key", "--grant", "izin.txt"]].concat()).code,
        0
    );
    // A damaged file is told.
    let text = String::from_utf8(office.read("izin.txt")).expect("text");
    office.write("rusak.txt", text.replacen("AAAA", "AAAB", 1).as_bytes());
    let damaged = office.error(&[&ls[..], &["inspektorat.key", "--grant", "rusak.txt"]].concat());
    assert_eq!(damaged.0, "bad-file");
}

#[test]
fn the_custodian_reads_what_is_opened_before_it_is() {
    let (office, [granted, other], repository) = office();
    let dataset = office.json(&["snapshots", "depot"])["snapshots"]
        .as_array()
        .expect("snapshots")
        .iter()
        .find(|one| one["id"] == *other)
        .expect("it is listed")["dataset"]
        .as_str()
        .expect("an id")
        .to_owned();
    ask(&office, &repository, &["--dataset", &dataset, "--snapshot", &granted]);
    // Without a letter nothing is opened, nor without somebody who says yes.
    let grant = ["approve", "grant", "minta.txt", "depot", "--key", "pd.key"];
    assert_eq!(office.error(&[&grant[..], &["--yes"]].concat()).0, "usage");
    assert_eq!(office.error(&[&grant[..], &LETTER].concat()).0, "usage");
    assert!(files(&office.path("depot/grants")).is_empty());
    let words = office.ok(&[&grant[..], &LETTER, &["--yes", "--lang", "en"]].concat());
    for said in ["Inspektorat, Budi", "700/12/2026", "simrs", "arsip", "stays opened"] {
        assert!(words.contains(said), "{said} is not in:\n{words}");
    }
    let listed = office.json(&["approve", "list", "depot"]);
    assert_eq!(listed["consents"].as_array().map(Vec::len), Some(1));
    assert_eq!(listed["consents"][0]["state"], "open");
    let mut expected = [granted.clone(), other.clone()];
    expected.sort();
    assert_eq!(listed["consents"][0]["snapshots"], json!(expected));

    let consent = listed["consents"][0]["consent"].as_str().expect("an id").to_owned();
    let revoke = ["approve", "revoke", "depot", &consent, "--key", "pd.key", "--reason", "selesai"];
    office.ok(&revoke);
    let listed = office.json(&["approve", "list", "depot"]);
    assert_eq!(listed["consents"][0]["state"], "revoked");
    let unknown = ["approve", "revoke", "depot", &"0".repeat(32), "--key", "pd.key"];
    let (code, _) = office.error(&[&unknown[..], &["--reason", "x"]].concat());
    assert_eq!(code, "unknown-consent");
}

#[test]
fn only_the_custodian_of_that_repository_opens_it() {
    let (office, [granted, _], repository) = office();
    ask(&office, &repository, &["--snapshot", &granted]);
    office.ok(&["key", "new", "lain.key"]);
    let recipient = office.json(&["key", "show", "lain.key"])["recovery_public"].clone();
    let recipient = recipient.as_str().expect("a key");
    let add = ["roster", "add-recipient", "depot", recipient, "--key", "pd.key", "--label", "x"];
    office.ok(&add);
    // A recipient decrypts, and is no root key.
    let grant = ["approve", "grant", "minta.txt", "depot", "--key", "lain.key", "--yes"];
    assert_eq!(office.error(&[&grant[..], &LETTER].concat()).0, "not-entitled");
    ask_elsewhere(&office, &granted);
    let grant = ["approve", "grant", "lain.txt", "depot", "--key", "pd.key", "--yes"];
    assert_eq!(office.error(&[&grant[..], &LETTER].concat()).0, "other-repository");
}

fn ask_elsewhere(office: &Office, snapshot: &str) {
    let elsewhere = "7".repeat(64);
    office.ok(&[
        "approve",
        "request",
        "lain.txt",
        "--repository",
        &elsewhere,
        "--snapshot",
        snapshot,
        "--purpose",
        "x",
        "--requester-key",
        "inspektorat.key",
    ]);
}

#[test]
fn a_requesters_key_is_shown_without_its_passphrase_and_opens_nothing_alone() {
    let (office, [granted, _], _) = office();
    let shown = office.json(&["key", "show", "inspektorat.key"]);
    assert_eq!((&shown["kind"], &shown["passphrase"]), (&json!("requester"), &json!(true)));
    office.ok(&["key", "requester", "mesin.key", "--name", "penguji", "--machine"]);
    let shown = office.json(&["key", "show", "mesin.key"]);
    assert_eq!((&shown["name"], &shown["passphrase"]), (&json!("penguji"), &json!(false)));
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(office.path("mesin.key")).expect("it is there").permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    // In the place of a bundle it is another kind of file.
    let restore = ["restore", "depot", &granted, "--target", "x", "--key", "inspektorat.key"];
    assert_eq!(office.error(&restore).0, "damaged-key-file");
    assert_eq!(office.error(&["key", "requester", "mesin.key", "--name", "x"]).0, "file-exists");
}
