//! `lumbung key rewrap` and `key rotate`, and a compromised server's new agent.

use lumbung_model::{SessionId, Timestamp};
use lumbung_pack::{Kind, Wrap, object_id, sign};
use lumbung_seal::{DomainSecret, KeyBundle, OpenedSession, SessionKey, wrap_session};
use serde_json::{Value, json};

use crate::office::{Office, PASSPHRASE, ended, files};

fn rotate(office: &Office, more: &[&str]) -> crate::office::Ended {
    let args = ["key", "rotate", "depot", "--new", "baru.key", "--yes", "--json"];
    let mut command = office.command(&[&args[..], more].concat());
    ended(command.env("LUMBUNG_NEW_PASSPHRASE", PASSPHRASE))
}

fn restores(office: &Office, snapshot: &str, key: &str, target: &str) -> i32 {
    let restore = ["restore", "depot", snapshot, "--target", target, "--verify", "--key", key];
    office.run(&restore).code
}

#[test]
fn a_recipient_who_came_later_opens_what_was_backed_up_before() {
    let office = Office::equipped();
    let old = office.backup("arsip");
    office.ok(&["key", "new", "lain.key", "--label", "Sekda"]);
    office.ok(&["roster", "add-recipient", "depot", "lain.key", "--key", "pd.key"]);
    let new = office.backup("arsip");
    // The new one shares packs with the old one, whose session was not sealed to it.
    assert_eq!(restores(&office, &new, "lain.key", "a"), 1);
    assert_eq!(restores(&office, &old, "lain.key", "b"), 1);
    // Looking seals nothing.
    let rewrap = ["key", "rewrap", "depot", "--key", "pd.key"];
    let looked = office.json(&[&rewrap[..], &["--dry-run"]].concat());
    assert_eq!(looked["sealed"][0]["sessions"], 1);
    assert!(!office.path("depot/wraps").exists() || files(&office.path("depot/wraps")).is_empty());
    // Who is a recipient only signs nothing.
    let by_other = ["key", "rewrap", "depot", "--key", "lain.key"];
    assert_eq!(office.error(&by_other).0, "not-entitled");
    let sealed = office.json(&[&rewrap[..], &["--to", "lain.key"]].concat());
    assert_eq!(sealed["sealed"].as_array().map(Vec::len), Some(1));
    assert_eq!(office.json(&rewrap)["sealed"], json!([]), "nothing is left");
    assert_eq!(restores(&office, &old, "lain.key", "c"), 0);
    assert_eq!(restores(&office, &new, "lain.key", "d"), 0);
    let listed = office.json(&["snapshots", "depot", "--key", "lain.key"]);
    assert_eq!(listed["snapshots"].as_array().map(Vec::len), Some(2));
    assert_eq!(office.run(&["verify", "depot", "--key", "lain.key"]).code, 0);
    // A stranger is no recipient, wrapped or not.
    office.ok(&["key", "new", "asing.key"]);
    let to = office.error(&[&rewrap[..], &["--to", "asing.key"]].concat());
    assert_eq!(to.0, "not-in-roster");
}

#[test]
fn a_rotated_bundle_takes_everything_over_and_the_old_one_signs_nothing_more() {
    let office = Office::equipped();
    let before = [office.backup("arsip"), office.backup("simrs")];
    office.ok(&["key", "new", "baru.key", "--label", "Dinas Kesehatan 2027"]);
    let done = rotate(&office, &["--key", "pd.key"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let told: serde_json::Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((&told["sealed"], &told["old_root_gone"]), (&json!(2), &json!(true)));
    assert_eq!(told["roster"], 3);
    let after = office.backup("arsip");
    for (number, snapshot) in before.iter().chain([&after]).enumerate() {
        assert_eq!(restores(&office, snapshot, "baru.key", &format!("baru-{number}")), 0);
    }
    // The old bundle opens what it opened, as its owner is told, and nothing new; and it changes nothing.
    assert_eq!(restores(&office, &before[0], "pd.key", "lama"), 0);
    assert_eq!(restores(&office, &after, "pd.key", "lama-baru"), 1);
    let add = ["roster", "add-recipient", "depot", "pd.key", "--key", "pd.key"];
    assert_eq!(office.error(&add).0, "not-entitled");
    // Again: nothing is left to be done.
    let again = rotate(&office, &["--key", "pd.key"]);
    let told: serde_json::Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!((&told["sealed"], &told["roster"]), (&json!(0), &json!(3)));
    assert_eq!(rotate(&office, &["--key", "baru.key"]).code, 2, "itself");
}

#[test]
fn the_spare_takes_a_stolen_bundle_out() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key", "--label", "kerja"]);
    office.ok(&["key", "new", "cadangan.key", "--label", "cadangan"]);
    let init = ["repo", "init", "depot", "--key", "pd.key", "--agent", "agent.id"];
    office.ok(&[&init[..], &["--spare-key", "cadangan.key"]].concat());
    office.write("data/a.txt", b"surat keputusan\n");
    let snapshot = office.backup("arsip");
    office.ok(&["key", "new", "baru.key"]);
    let public = |file: &str, half: &str| {
        let shown = office.json(&["key", "show", file]);
        shown[half].as_str().expect("a key").to_owned()
    };
    let stolen = (public("pd.key", "root_public"), public("pd.key", "recovery_public"));
    // Mistyped, they take nothing away.
    office.ok(&["key", "new", "lain.key"]);
    let typo = public("lain.key", "root_public");
    for (root, recipient) in [(&typo, &stolen.1), (&stolen.0, &typo)] {
        let args = ["--key", "cadangan.key", "--old-root", root, "--old-recipient", recipient];
        let refused = rotate(&office, &args);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("not-in-roster"), "{}", refused.stderr);
    }
    assert_eq!(office.json(&["roster", "show", "depot"])["roster"]["number"], 1);
    let done = rotate(
        &office,
        &["--key", "cadangan.key", "--old-root", &stolen.0, "--old-recipient", &stolen.1],
    );
    assert_eq!(done.code, 0, "{}", done.stderr);
    // The stolen key was out of the first roster already: there is no second one.
    let told: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!(
        (&told["roster"], &told["old_root_gone"], &told["old_recipient_gone"]),
        (&json!(2), &json!(true), &json!(true))
    );
    let roster = office.json(&["roster", "show", "depot"])["roster"].clone();
    let keys = |name: &str| {
        let list = roster[name].as_array().expect("a list").iter();
        list.map(|one| one["key"].as_str().expect("a key").to_owned()).collect::<Vec<_>>()
    };
    let spare = (public("cadangan.key", "root_public"), public("cadangan.key", "recovery_public"));
    let new = (public("baru.key", "root_public"), public("baru.key", "recovery_public"));
    assert_eq!(keys("root_keys"), [spare.0, new.0]);
    assert_eq!(keys("recipients"), [spare.1, new.1]);
    assert_eq!(restores(&office, &snapshot, "baru.key", "keluar"), 0);
    let add = ["roster", "add-recipient", "depot", "pd.key", "--key", "pd.key"];
    assert_eq!(office.error(&add).0, "not-entitled");
}

/// Whoever had a root key has wrapped something else to the new bundle, before the rotation.
#[test]
fn a_false_wrap_does_not_count_as_done() {
    let office = Office::equipped();
    let snapshot = office.backup("arsip");
    office.ok(&["key", "new", "baru.key"]);
    let bundle = |name: &str| {
        let text = String::from_utf8(office.read(name)).expect("text");
        KeyBundle::from_text(&text, PASSPHRASE.as_bytes()).expect("a bundle")
    };
    let (old, new) = (bundle("pd.key"), bundle("baru.key"));
    let shown = office.json(&["roster", "show", "depot"]);
    let repository = shown["repository"].as_str().expect("an id").parse().expect("an id");
    let name = files(&office.path("depot/sessions")).remove(0);
    let name = name.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let session: SessionId = name.parse().expect("an id");
    let other = OpenedSession { key: SessionKey::random(), domain: DomainSecret::random() };
    let recipient = new.recovery_public();
    let sessions = vec![wrap_session(&repository, &session, &other, &recipient).expect("a key")];
    let wrap =
        sign(&Wrap { repository, made: Timestamp(i64::MAX), recipient, sessions }, old.root());
    let id = SessionId::from_bytes(object_id(&wrap));
    office.write(&format!("depot/{}/{id}", Kind::Wrap.folder()), &wrap);
    let done = rotate(&office, &["--key", "pd.key"]);
    let told: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((&told["sealed"], &told["old_root_gone"]), (&json!(1), &json!(true)));
    assert_eq!(restores(&office, &snapshot, "baru.key", "keluar"), 0);
    let again = rotate(&office, &["--key", "pd.key"]);
    let told: Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!(told["sealed"], 0, "the genuine one counts");
}

/// Garbage keeps neither the other sessions closed nor the old root key in.
#[test]
fn a_damaged_session_is_left_out_and_the_rotation_goes_on() {
    let office = Office::equipped();
    let snapshot = office.backup("arsip");
    let garbage = "ab".repeat(32);
    office.write(&format!("depot/sessions/{garbage}"), b"bukan sesi");
    office.ok(&["key", "new", "baru.key"]);
    let done = rotate(&office, &["--key", "pd.key"]);
    assert_eq!(done.code, 3, "{}", done.stderr);
    let told: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((&told["sealed"], &told["old_root_gone"]), (&json!(1), &json!(true)));
    assert!(told["unread"][&garbage].is_string(), "{told}");
    assert!(done.stderr.contains(&garbage), "{}", done.stderr);
    assert_eq!(restores(&office, &snapshot, "baru.key", "keluar"), 0);
}

/// A site or a medium that has what the rotation did not see: rosters are published, and only the sessions sealed again.
#[test]
fn what_only_another_site_has_is_sealed_again_there() {
    let office = Office::equipped();
    assert_eq!(office.json(&["roster", "publish", "depot", "drc"])["published"], 1);
    let made = office.json(&["backup", "drc", "--agent", "agent.id", "--dataset", "arsip", "data"]);
    let snapshot = made["snapshot"].as_str().expect("an id").to_owned();
    office.ok(&["key", "new", "baru.key"]);
    assert_eq!(rotate(&office, &["--key", "pd.key"]).code, 0);
    office.ok(&["roster", "publish", "depot", "drc"]);
    // Said before the old bundle is destroyed.
    let look = office.run(&["key", "rewrap", "drc", "--key", "baru.key", "--dry-run"]);
    assert_eq!(look.code, 3, "{}", look.stdout);
    assert!(!look.stdout.contains("Tidak ada yang perlu"), "{}", look.stdout);
    let rewrap = ["key", "rewrap", "drc", "--key", "pd.key"];
    assert_eq!(office.error(&rewrap).0, "not-entitled");
    let mut with_new = office.command(&[&rewrap[..], &["--new", "baru.key", "--json"]].concat());
    let done = ended(with_new.env("LUMBUNG_NEW_PASSPHRASE", PASSPHRASE));
    let told: Value = serde_json::from_str(&done.stdout).expect("JSON");
    assert_eq!((done.code, &told["sealed"][0]["sessions"]), (0, &json!(1)));
    let restore = ["restore", "drc", &snapshot, "--target", "keluar", "--key", "baru.key"];
    assert_eq!(office.run(&restore).code, 0);
    let roster = office.json(&["roster", "show", "drc"])["roster"]["number"].clone();
    assert_eq!(roster, 3, "no roster of its own");
    let look = office.run(&["key", "rewrap", "drc", "--key", "baru.key", "--dry-run"]);
    assert_eq!(look.code, 0, "{}", look.stderr);
}

#[test]
fn a_compromised_server_gets_an_agent_and_a_domain_of_its_own() {
    let office = Office::equipped();
    let before = office.backup("arsip");
    let roster = || office.json(&["roster", "show", "depot"])["roster"]["agents"].clone();
    let old = roster()[0].clone();
    let id = old["agent"].as_str().expect("an id").to_owned();
    // Its own code again is no new agent.
    let same = ["roster", "replace-agent", "depot", &id, "agent.id", "--key", "pd.key"];
    assert_ne!(office.run(&same).code, 0);
    office.ok(&["repo", "init", "lain", "--key", "pd.key", "--agent", "baru.id"]);
    let replace = ["roster", "replace-agent", "depot", &id, "baru.id", "--key", "pd.key"];
    office.ok(&replace);
    let agents = roster();
    assert_eq!((&agents[0]["agent"], &agents[0]["status"]), (&old["agent"], &json!("withdrawn")));
    assert_eq!((&agents[1]["status"], &agents[1]["label"]), (&json!("active"), &old["label"]));
    assert_ne!(agents[1]["domain"], old["domain"]);
    assert_eq!(restores(&office, &before, "pd.key", "keluar"), 0);
}
