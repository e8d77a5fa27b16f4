//! `lumbung order`: what two parties sign, and what is refused.

use serde_json::{Value, json};

use crate::office::{Ended, Office, PASSPHRASE, ended};

const WHY: [&str; 6] =
    ["--letter", "800/12/2026", "--reason", "Pasal 16 UU 27/2022", "--key", "pd.key"];

/// An office with two snapshots, and with the Dinas' bundle, which is nobody in its roster.
fn office() -> (Office, [String; 2]) {
    let office = Office::equipped();
    office.ok(&["key", "new", "dinas.key", "--label", "Diskominfo"]);
    let snapshots = [office.backup("arsip"), office.backup("simrs")];
    (office, snapshots)
}

/// Draws an order up with a look into the depot.
fn draw_up(office: &Office, what: &[&str]) -> Value {
    office.json(&[&["order", "new", "order.txt", "--depot", "depot"], what, &WHY].concat())
}

fn root_key(office: &Office, file: &str) -> Value {
    office.json(&["key", "show", file])["root_public"].clone()
}

#[test]
fn two_parties_sign_one_order() {
    let (office, [snapshot, other]) = office();
    let drawn = draw_up(&office, &["--destroy-snapshot", &snapshot[..8]]);
    assert_eq!((&drawn["action"], &drawn["id"]), (&json!("destroy-snapshot"), &json!(snapshot)));
    assert_eq!(drawn["snapshots"], json!([snapshot]), "and not {other}");
    assert_eq!(drawn["missing"], json!(["dinas"]));
    let lasts =
        drawn["valid_until"].as_i64().zip(drawn["issued"].as_i64()).map(|(to, from)| to - from);
    assert_eq!(lasts, Some(30 * 86_400));

    let text = office.ok(&["order", "show", "order.txt", "--lang", "en", "--depot", "depot"]);
    for said in
        [&snapshot, "800/12/2026", "Pasal 16 UU 27/2022", "PD (root key)", "signature of the Dinas"]
    {
        assert!(text.contains(said), "{said} is not in:\n{text}");
    }

    let dinas = root_key(&office, "dinas.key");
    let hex = dinas.as_str().expect("a key");
    let sign = ["order", "sign", "order.txt", "--key", "dinas.key", "--yes", "--depot", "depot"];
    let signed = office.json(&[&sign[..], &["--dinas-key", hex]].concat());
    assert_eq!(signed["missing"], json!([]));
    let role = |i: usize| {
        (signed["signatures"][i]["key"].clone(), signed["signatures"][i]["role"].clone())
    };
    assert_eq!(role(0), (root_key(&office, "pd.key"), json!("owner")));
    assert_eq!(role(1), (dinas.clone(), json!("dinas")));
    let same = |name: &str| assert_eq!(signed[name], drawn[name], "{name}");
    ["action", "id", "letter", "reason", "issued", "valid_until"]
        .iter()
        .for_each(|name| same(name));

    // With nothing but the file: two keys signed, in no role that could be told.
    let shown = office.json(&["order", "show", "order.txt"]);
    assert_eq!((&shown["missing"], &shown["snapshots"]), (&json!([]), &Value::Null));
    assert_eq!(shown["signatures"][1]["role"], Value::Null);
    assert!(!office.path("order.txt.new").exists());
}

#[test]
fn datasets_repositories_and_holds_are_named_too() {
    let (office, snapshots) = office();
    let dataset = office.json(&["snapshots", "depot"])["snapshots"]
        .as_array()
        .expect("snapshots")
        .iter()
        .find(|one| one["id"] == *snapshots[1])
        .expect("it is listed")["dataset"]
        .clone();
    let drawn = draw_up(&office, &["--destroy-dataset", "simrs"]);
    assert_eq!((&drawn["action"], &drawn["id"]), (&json!("destroy-dataset"), &dataset));
    assert_eq!(drawn["snapshots"], json!([snapshots[1]]));

    // Without a depot, by ids alone.
    let repository = drawn["repository"].as_str().expect("an id");
    let alone = |file: &str, what: &[&str]| {
        office.json(&[&["order", "new", file, "--repository", repository], what, &WHY].concat())
    };
    let made = alone("semua.txt", &["--destroy-repository", "--valid-for", "7 d"]);
    assert_eq!(
        (&made["action"], &made["id"], &made["snapshots"]),
        (&json!("destroy-repository"), &Value::Null, &Value::Null)
    );
    assert_eq!(made["missing"], json!(["second"]), "whose key it is cannot be told");
    let hold = "ab".repeat(16);
    let made = alone("lepas.txt", &["--release", &hold]);
    assert_eq!((&made["action"], &made["id"]), (&json!("release-hold"), &json!(hold)));
    let made = alone("satu.txt", &["--destroy-snapshot", &snapshots[0]]);
    assert_eq!(made["id"], json!(snapshots[0]));
}

#[test]
fn what_is_destroyed_is_named_and_known() {
    let (office, [snapshot, _]) = office();
    let refused = |what: &[&str]| {
        let (code, _) = office.error(&[&["order", "new", "order.txt"], what, &WHY].concat());
        assert!(!office.path("order.txt").exists(), "{what:?} wrote a file");
        code
    };
    let here = ["--depot", "depot"];
    let at = |what: &[&'static str]| refused(&[&here[..], what].concat());
    assert_eq!(at(&["--destroy-snapshot", "latest"]), "usage");
    assert_eq!(at(&["--destroy-snapshot", "latest:simrs"]), "usage");
    assert_eq!(at(&["--destroy-snapshot", "0123456789abcdef"]), "unknown-snapshot");
    assert_eq!(at(&["--destroy-dataset", "lain"]), "unknown-snapshot");
    assert_eq!(at(&["--destroy-repository", "--valid-for", "0s"]), "usage");
    assert_eq!(at(&["--destroy-repository", "--valid-for", "367d"]), "usage");
    let repository = "ab".repeat(32);
    let away = ["--repository", repository.as_str()];
    // Some digits could mean another snapshot than the one that was decided on.
    assert_eq!(refused(&[&away[..], &["--destroy-snapshot", &snapshot[..8]]].concat()), "usage");
    assert_eq!(refused(&[&away[..], &["--destroy-dataset", "simrs"]].concat()), "usage");
    let both = [&here[..], &away[..], &["--destroy-repository"]].concat();
    assert_eq!(refused(&both), "other-repository");
}

#[test]
fn letter_and_reason_are_there_and_are_not_cut() {
    let office = Office::equipped();
    let long = "x".repeat(256);
    for (letter, reason) in [("", "alasan"), ("1", " "), (&*long, "alasan"), ("1", &*long)] {
        let (code, _) = office.error(&[
            "order",
            "new",
            "order.txt",
            "--depot",
            "depot",
            "--destroy-repository",
            "--letter",
            letter,
            "--reason",
            reason,
            "--key",
            "pd.key",
        ]);
        assert_eq!(code, "usage", "{letter:?} {reason:?}");
    }
    assert!(!office.path("order.txt").exists());
}

#[test]
fn an_order_names_one_thing_and_its_repository() {
    let office = Office::equipped();
    let start = ["order", "new", "order.txt"];
    for what in [
        &["--depot", "depot"][..],
        &["--destroy-repository"],
        &["--depot", "depot", "--destroy-repository", "--destroy-snapshot", "0123"],
    ] {
        assert_eq!(office.run(&[&start[..], what, &WHY].concat()).code, 2, "{what:?}");
    }
}

#[test]
fn a_new_order_overwrites_nothing() {
    let (office, _) = office();
    draw_up(&office, &["--destroy-repository"]);
    let before = office.read("order.txt");
    let again =
        [&["order", "new", "order.txt", "--depot", "depot", "--destroy-repository"], &WHY[..]];
    assert_eq!(office.error(&again.concat()).0, "file-exists");
    assert_eq!(office.read("order.txt"), before);
}

/// Signing is refused with this code, and the file stays as it was.
fn refuses(office: &Office, key: &str, code: &str) {
    let before = office.read("order.txt");
    let (found, error) = office.error(&["order", "sign", "order.txt", "--key", key, "--yes"]);
    assert_eq!(found, code, "{error}");
    assert_eq!(office.read("order.txt"), before);
}

#[test]
fn a_key_signs_once() {
    let (office, _) = office();
    draw_up(&office, &["--destroy-repository"]);
    refuses(&office, "pd.key", "signed-already");
    office.ok(&["order", "sign", "order.txt", "--key", "dinas.key", "--yes"]);
    refuses(&office, "dinas.key", "signed-already");
}

#[test]
fn the_spare_root_key_stands_not_for_the_dinas() {
    let office = Office::new();
    office.ok(&["key", "new", "pd.key"]);
    office.ok(&["key", "new", "spare.key"]);
    office.ok(&["repo", "init", "depot", "--key", "pd.key", "--spare-key", "spare.key"]);
    draw_up(&office, &["--destroy-repository"]);
    let sign = ["order", "sign", "order.txt", "--key", "spare.key", "--yes", "--depot", "depot"];
    assert_eq!(office.json(&sign)["missing"], json!(["dinas"]));
}

#[test]
fn the_dinas_may_sign_first() {
    let (office, _) = office();
    let mut why = WHY;
    why[5] = "dinas.key";
    let new = ["order", "new", "order.txt", "--depot", "depot", "--destroy-repository"];
    assert_eq!(office.json(&[&new[..], &why].concat())["missing"], json!(["owner"]));
    let sign = ["order", "sign", "order.txt", "--key", "pd.key", "--yes", "--depot", "depot"];
    assert_eq!(office.json(&sign)["missing"], json!([]));
}

#[test]
fn an_order_whose_time_is_over_is_not_signed() {
    let (office, _) = office();
    draw_up(&office, &["--destroy-repository", "--valid-for", "1s"]);
    // Its own word says when that is.
    while office.json(&["order", "show", "order.txt"])["over"] != true {}
    refuses(&office, "dinas.key", "order-over");
    assert!(office.ok(&["order", "show", "order.txt"]).contains("sudah lewat"));
}

#[test]
fn copies_of_different_orders_and_damage_are_not_signed() {
    let (office, _) = office();
    draw_up(&office, &["--destroy-repository"]);
    let first = String::from_utf8(office.read("order.txt")).expect("text");
    std::fs::remove_file(office.path("order.txt")).expect("removed");
    // The same words, another order.
    draw_up(&office, &["--destroy-repository"]);
    let second = String::from_utf8(office.read("order.txt")).expect("text");
    let damaged = first.replacen("AAAA", "AAAB", 1);
    assert_ne!(damaged, first);
    for text in [format!("{first}{second}"), damaged, "surat biasa\n".to_owned()] {
        office.write("order.txt", text.as_bytes());
        refuses(&office, "dinas.key", "bad-file");
        assert_eq!(office.error(&["order", "show", "order.txt"]).0, "bad-file");
    }
    assert_eq!(office.error(&["order", "show", "tidak.txt"]).0, "file-missing");
}

#[test]
fn a_changed_order_has_no_signature() {
    let (office, _) = office();
    draw_up(&office, &["--destroy-repository"]);
    let text = String::from_utf8(office.read("order.txt")).expect("text");
    let mut object = lumbung_pack::armor::decode("LUMBUNG ORDER 1", &text).expect("whole").to_vec();
    let at = object.windows(4).position(|part| part == b"800/").expect("the letter stands in it");
    object[at] = b'9';
    // The checksum fits, the signature does not.
    office.write("order.txt", lumbung_pack::armor::encode("LUMBUNG ORDER 1", &object).as_bytes());
    refuses(&office, "dinas.key", "bad-file");
}

#[test]
fn an_order_of_another_repository_is_not_looked_up_in_this_depot() {
    let (office, _) = office();
    draw_up(&office, &["--destroy-repository"]);
    office.ok(&["repo", "init", "other", "--key", "pd.key"]);
    let (code, _) = office.error(&["order", "show", "order.txt", "--depot", "other"]);
    assert_eq!(code, "other-repository");
}

/// Signs at a terminal, where somebody types `answer`.
fn at_a_terminal(office: &Office, answer: &str) -> Ended {
    let sign =
        format!("{} order sign order.txt --key dinas.key --lang en", env!("CARGO_BIN_EXE_lumbung"));
    let mut script = assert_cmd::Command::new("script");
    script.current_dir(office.path("")).env("LUMBUNG_PASSPHRASE", PASSPHRASE);
    ended(script.args(["-qec", &sign, "/dev/null"]).write_stdin(format!("{answer}\n")))
}

#[test]
fn nobody_signs_without_having_been_asked() {
    let (office, [snapshot, _]) = office();
    draw_up(&office, &["--destroy-snapshot", &snapshot]);
    let before = office.read("order.txt");
    let (code, error) = office.error(&["order", "sign", "order.txt", "--key", "dinas.key"]);
    assert_eq!(code, "usage");
    assert!(error.to_string().contains("--yes"), "{error}");
    let said = at_a_terminal(&office, "y");
    assert_eq!(said.code, 1, "{}", said.stdout);
    for word in
        [&*snapshot, "800/12/2026", "Pasal 16", "cannot be brought back", "nothing was signed"]
    {
        assert!(said.stdout.contains(word), "{word} is not in:\n{}", said.stdout);
    }
    assert_eq!(office.read("order.txt"), before);
    let said = at_a_terminal(&office, "yes");
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert_eq!(office.json(&["order", "show", "order.txt"])["missing"], json!([]));
}

#[test]
fn the_words_of_an_order_cannot_drive_the_terminal() {
    let office = Office::equipped();
    let repository = office.json(&["repo", "info", "depot"])["repository"].clone();
    let shown = office.ok(&[
        "order",
        "new",
        "order.txt",
        "--repository",
        repository.as_str().expect("an id"),
        "--release",
        &"ab".repeat(16),
        "--letter",
        "1\u{1b}[2J",
        "--reason",
        "x\nPerintah: tidak ada",
        "--key",
        "pd.key",
    ]);
    assert!(shown.contains("1\\x1b[2J") && shown.contains("x\\x0aPerintah"), "{shown}");
}
