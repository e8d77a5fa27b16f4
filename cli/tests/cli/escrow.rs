//! A bundle in shares: printed, typed in again, rebuilt, rehearsed.

use serde_json::json;

use crate::office::{Office, files};

/// An office whose bundle is split, two of three, with the pages in `pages`.
fn split() -> Office {
    let office = Office::equipped();
    let holders = ["--holder", "Sekretaris", "--holder", "Diskominfo", "--holder", "Inspektorat"];
    let split = ["key", "split", "--key", "pd.key", "--threshold", "2", "--dir", "pages"];
    let made = office.json(&[&split[..], &holders].concat());
    assert_eq!((&made["threshold"], &made["shares"]), (&json!(2), &json!(3)));
    assert_eq!(files(&office.path("pages")).len(), 3);
    office
}

fn page(number: u8) -> String {
    format!("pages/share-{number}.txt")
}

#[test]
fn any_two_pages_rebuild_a_bundle_that_restores() {
    let office = split();
    let snapshot = office.backup("arsip");
    let shown = office.json(&["key", "show", "pd.key"]);
    for (number, [one, two]) in [[1, 2], [3, 1], [2, 3]].into_iter().enumerate() {
        let out = format!("baru-{number}.key");
        let joined = office.json(&["key", "join", &page(one), &page(two), "--out", &out]);
        assert_eq!(joined["root_public"], shown["root_public"]);
        assert_eq!(joined["recovery_public"], shown["recovery_public"]);
        let target = format!("keluar-{number}");
        office.ok(&["restore", "depot", &snapshot, "--key", &out, "--target", &target]);
    }
    let one = office.error(&["key", "join", &page(1), "--out", "x.key"]);
    assert_eq!(one.0, "not-entitled");
    let twice = office.error(&["key", "join", &page(1), &page(1), "--out", "x.key"]);
    assert_eq!(twice.0, "bad-file");
    assert!(!office.path("x.key").exists());
}

#[test]
fn a_page_says_whose_it_is_and_a_mistyped_line_is_named() {
    let office = split();
    let text = String::from_utf8(office.read(&page(2))).expect("text");
    for said in ["Dinas Kesehatan", "Diskominfo", "2 / 3", "LUMBUNG KEY SHARE 1", "\n01: "] {
        assert!(text.contains(said), "{said} is not in:\n{text}");
    }
    assert!(text.contains('█'), "its code");
    // What somebody types: the lines of the share alone, spaces as they like.
    let lines: Vec<&str> = text.lines().collect();
    let begin = lines.iter().position(|line| *line == "LUMBUNG KEY SHARE 1").expect("a title");
    let share: Vec<&str> =
        lines[begin..].iter().copied().take_while(|line| !line.trim().is_empty()).collect();
    office.write("ketik.txt", share.join("\n").as_bytes());
    let shown = office.json(&["key", "show", "ketik.txt"]);
    assert_eq!((&shown["number"], &shown["holder"]), (&json!(2), &json!("Diskominfo")));
    office.ok(&["key", "join", "ketik.txt", &page(3), "--out", "baru.key"]);
    let line = share[3];
    let (at, letter) =
        line.char_indices().skip(4).find(|(_, c)| c.is_ascii_uppercase()).expect("one");
    let mut wrong = line.to_owned();
    wrong.replace_range(at..=at, if letter == 'A' { "B" } else { "A" });
    office.write("salah.txt", share.join("\n").replace(line, &wrong).as_bytes());
    let (code, error) = office.error(&["key", "show", "salah.txt"]);
    assert_eq!(code, "damaged-key-file");
    assert!(error["causes"].to_string().contains("line 3 of the paper"), "{error}");
}

#[test]
fn a_rehearsal_writes_a_record_and_no_key() {
    let office = split();
    let before = files(&office.path("."));
    let rehearse = ["key", "rehearse", &page(3), &page(1), "--record", "geladi.txt"];
    let record = office.json(&[&rehearse[..], &["--note", "ruang Sekda"]].concat());
    let shown = office.json(&["key", "show", "pd.key"]);
    assert_eq!(record["root_public"], shown["root_public"]);
    assert_eq!(
        record["present"],
        json!([{ "number": 1, "holder": "Sekretaris" }, { "number": 3, "holder": "Inspektorat" }])
    );
    let after = files(&office.path("."));
    let new: Vec<_> = after.iter().filter(|path| !before.contains(path)).collect();
    assert_eq!(new, [&office.path("geladi.txt")]);
    assert_eq!(office.json(&["key", "show", "geladi.txt"])["note"], "ruang Sekda");
    // Nobody changes what it says.
    let text = String::from_utf8(office.read("geladi.txt")).expect("text");
    let (title, body) = text.split_once('\n').expect("a title");
    office.write("palsu.txt", format!("{title}\n{}", body.replacen('A', "B", 1)).as_bytes());
    assert_eq!(office.error(&["key", "show", "palsu.txt"]).0, "bad-file");
    let few = ["key", "rehearse", &page(3), "--record", "x.txt"];
    assert_eq!(office.error(&few).0, "not-entitled");
}

#[test]
fn shares_of_two_splits_are_not_mixed() {
    let office = split();
    let again = ["key", "split", "--key", "pd.key", "--threshold", "2", "--dir", "lain"];
    office.ok(&[&again[..], &["--holder", "a", "--holder", "b"]].concat());
    let mixed = office.error(&["key", "join", &page(1), "lain/share-2.txt", "--out", "x.key"]);
    assert_eq!(mixed.0, "bad-file");
    let senseless = ["key", "split", "--key", "pd.key", "--threshold", "3", "--dir", "x"];
    let refused = office.error(&[&senseless[..], &["--holder", "a", "--holder", "b"]].concat());
    assert_eq!(refused.0, "usage");
    assert!(!office.path("x").exists());
}
