//! The whole life of a small repository.

use std::path::Path;

use crate::office::{Office, files, noise};

#[test]
fn from_the_key_to_the_proof() {
    let office = Office::equipped();
    let data = office.path("data");
    let first = office.json(&["backup", "depot", "--agent", "agent.id", "data"]);
    assert_eq!(first["statistics"]["files"], 3);
    assert_eq!(first["authorized"], true);
    assert!(first["receipt"].is_null(), "a directory signs nothing");

    office.write("data/surat/a.txt", b"surat keputusan, diubah\n");
    office.write("data/surat/baru/c.txt", b"baru\n");
    std::fs::remove_file(data.join("kosong")).expect("a file less");
    let second = office.json(&["backup", "depot", "--agent", "agent.id", "data"]);
    assert_eq!(first["dataset"], second["dataset"], "the same paths are the same dataset");
    assert_eq!(second["sequence"], 2);
    let (first, second) =
        (first["snapshot"].as_str().expect("an id"), second["snapshot"].as_str().expect("an id"));

    let listed = office.json(&["snapshots", "depot"]);
    assert_eq!(listed["snapshots"].as_array().map(Vec::len), Some(2));
    assert!(listed["snapshots"][0].get("host").is_none(), "the host's name is sealed");
    let opened = office.json(&["snapshots", "depot", "--key", "pd.key"]);
    assert_eq!(opened["snapshots"][0]["sources"][0], data.to_str().expect("text"));

    look_inside(&office, &data, first, second);

    let proof = office.json(&[
        "restore", "depot", "latest", "--key", "pd.key", "--target", "out", "--prove", "--proof",
        "bukti",
    ]);
    assert_eq!(proof["compared"]["equal"], true, "{proof}");
    assert_eq!(proof["compared"]["differences_total"], 0);
    let id = proof["proof"].as_str().expect("an id");
    assert_eq!(
        std::fs::read(office.path("depot/proofs").join(id)).expect("stored"),
        office.read("bukti")
    );
    same_tree(&data, &office.path("out").join(data.strip_prefix("/").expect("absolute")));

    let verified = office.json(&["verify", "depot"]);
    assert_eq!(
        (verified["clean"].clone(), verified["opened_frames"].clone()),
        (true.into(), 0.into())
    );
    assert_eq!(verified["snapshots"], 2);
    let verified = office.json(&["verify", "depot", "--key", "pd.key", "--data"]);
    assert!(verified["opened_frames"].as_u64().is_some_and(|frames| frames > 0), "{verified}");
}

fn look_inside(office: &Office, data: &Path, first: &str, second: &str) {
    let text = |path: &str| data.join(path).to_str().expect("text").to_owned();
    let top = office.ok(&["ls", "depot", "latest", &text(""), "--key", "pd.key"]);
    assert_eq!(top, format!("{}\n{}\n", text("pintas"), text("surat")));
    let all = office.ok(&["ls", "depot", first, "-R", &text("surat"), "--key", "pd.key"]);
    assert_eq!(
        all,
        format!("{}\n{}\n{}\n", text("surat"), text("surat/a.txt"), text("surat/b.bin"))
    );
    let found = office.json(&["find", "depot", "*.txt", "--key", "pd.key"]);
    assert_eq!(found["versions"].as_array().map(Vec::len), Some(3), "{found}");
    let found = office.json(&["find", "depot", "c.txt", "--snapshot", "latest", "--key", "pd.key"]);
    assert_eq!(found["versions"][0]["entry"]["path"], text("surat/baru/c.txt"));

    let diff = office.json(&["diff", "depot", &first[..12], &second[..12], "--key", "pd.key"]);
    let changes: Vec<(String, String)> = diff["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .map(|c| {
            (
                c["change"].as_str().expect("a word").into(),
                c["entry"]["path"].as_str().expect("a path").into(),
            )
        })
        .filter(|(change, _)| change != "attributes")
        .collect();
    let expected = [
        ("removed", "kosong"),
        ("content", "surat/a.txt"),
        ("added", "surat/baru"),
        ("added", "surat/baru/c.txt"),
    ];
    assert_eq!(changes, expected.map(|(change, path)| (change.to_owned(), text(path))));
    // By their bytes it is the same.
    let exact = office.json(&["diff", "depot", first, second, "--checksum", "--key", "pd.key"]);
    assert_eq!(exact["changes"], diff["changes"]);

    assert_eq!(
        office.ok(&["dump", "depot", first, &text("surat/a.txt"), "--key", "pd.key"]),
        "surat keputusan\n"
    );
    let (code, _) = office.error(&["dump", "depot", first, &text("surat"), "--key", "pd.key"]);
    assert_eq!(code, "unknown-path");
}

fn same_tree(left: &Path, right: &Path) {
    let relative = |root: &Path| -> Vec<_> {
        files(root)
            .iter()
            .map(|path| path.strip_prefix(root).expect("beneath").to_owned())
            .collect()
    };
    assert_eq!(relative(left), relative(right));
    for path in relative(left) {
        let (left, right) = (left.join(&path), right.join(&path));
        if left.is_symlink() {
            assert_eq!(std::fs::read_link(left).ok(), std::fs::read_link(right).ok());
        } else {
            assert_eq!(std::fs::read(left).ok(), std::fs::read(right).ok(), "{}", path.display());
        }
    }
}

#[test]
fn a_part_is_restored_alone() {
    let office = Office::equipped();
    office.backup("arsip");
    let wanted = office.path("data/surat/a.txt");
    let include = wanted.to_str().expect("text");
    office.ok(&[
        "restore",
        "depot",
        "latest:arsip",
        "--key",
        "pd.key",
        "--target",
        "out",
        "--include",
        include,
    ]);
    let out = office.path("out");
    let found = files(&out);
    assert_eq!(found, [out.join(wanted.strip_prefix("/").expect("absolute"))]);
    // The target holds something now.
    let again = [
        "restore",
        "depot",
        "latest",
        "--key",
        "pd.key",
        "--target",
        "out",
        "--overwrite",
        "if-changed",
        "--verify",
    ];
    assert_eq!(office.json(&again)["compared"]["equal"], true);
}

#[test]
fn excluded_files_stay_away() {
    let office = Office::equipped();
    office.write("data/sementara.tmp", b"x");
    office.ok(&[
        "backup",
        "depot",
        "--agent",
        "agent.id",
        "--exclude",
        "*.tmp",
        "--exclude",
        "surat",
        "data",
    ]);
    let found = office.json(&["find", "depot", "*", "--key", "pd.key"]);
    let text = found.to_string();
    assert!(
        text.contains("/data/kosong")
            && !text.contains("sementara")
            && !text.contains("/data/surat"),
        "{text}"
    );
}

#[test]
fn a_second_run_sends_nothing_that_is_there() {
    let office = Office::equipped();
    office.write("data/besar", &noise(3_000_000, 99));
    let first = office.json(&["backup", "depot", "--agent", "agent.id", "data"]);
    let second = office.json(&["backup", "depot", "--agent", "agent.id", "data"]);
    let stored = |made: &serde_json::Value| {
        made["statistics"]["new_stored_bytes"].as_u64().expect("a number")
    };
    assert!(stored(&first) > 3_000_000, "{first}");
    assert!(stored(&second) < 100_000, "{second}");
}

#[test]
fn a_vaults_directory_is_a_depot() {
    let office = Office::equipped();
    office.backup("arsip");
    let repository =
        office.json(&["repo", "info", "depot"])["repository"].as_str().expect("an id").to_owned();
    std::fs::create_dir(office.path("vault")).expect("a folder");
    std::fs::create_dir(office.path("vault/repositories")).expect("a folder");
    std::fs::rename(office.path("depot"), office.path("vault/repositories").join(&repository))
        .expect("moved");
    assert_eq!(office.json(&["verify", "vault"])["clean"], true);
    office.ok(&["restore", "vault", "latest", "--key", "pd.key", "--target", "out"]);
    let (code, _) = office.error(&["verify", "vault", "--repository", &"ab".repeat(32)]);
    assert_eq!(code, "not-a-depot");
}

#[test]
fn an_agent_that_no_roster_lists_is_shown_and_never_latest() {
    let office = Office::equipped();
    office.backup("arsip");
    let agent =
        office.json(&["key", "show", "agent.id"])["agent"].as_str().expect("an id").to_owned();
    office.ok(&["roster", "withdraw-agent", "depot", &agent, "--key", "pd.key"]);
    // What a withdrawn agent added stays valid; it adds nothing more.
    office.ok(&["restore", "depot", "latest", "--key", "pd.key", "--target", "out"]);
    let (code, error) = office.error(&["backup", "depot", "--agent", "agent.id", "data"]);
    assert_eq!(code, "not-entitled", "{error}");
}
