//! `lumbung media`: out to a disk, checked, restored from, and in again; and what a hostile or broken disk comes to.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::office::{Office, files, noise};

const EXPORT: [&str; 4] = ["--key", "pd.key", "--keep-list", "daftar"];

fn export(office: &Office, medium: &str, more: &[&str]) -> Value {
    office.json(&[&["media", "export", "depot", medium], &EXPORT[..], more].concat())
}

/// The verification of a medium, whatever it ends with.
fn verify(office: &Office, args: &[&str]) -> (i32, Value) {
    let ended = office.run(&[&["media", "verify"], args, &["--json"]].concat());
    let value = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|e| panic!("{e}\n{}\n{}", ended.stdout, ended.stderr));
    (ended.code, value)
}

fn kept(office: &Office, exported: &Value) -> String {
    let file = exported["repositories"][0]["list"]["file"].as_str().expect("a kept list");
    assert!(office.path(file).is_file());
    file.to_owned()
}

/// Restores the newest snapshot and compares it with the folder that was backed up.
fn restores(office: &Office, depot: &str, more: &[&str]) {
    let _ = std::fs::remove_dir_all(office.path("out"));
    let restore = ["restore", depot, "latest", "--key", "pd.key", "--target", "out", "--verify"];
    let ended = office.run(&[&restore[..], more].concat());
    // What came from a fallback is a warning.
    let expected = if more.is_empty() { 0 } else { 3 };
    assert_eq!(ended.code, expected, "{}\n{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stderr.contains("came from --fallback"), !more.is_empty(), "{}", ended.stderr);
    let data = office.path("data");
    let out = office.path("out").join(data.strip_prefix("/").expect("absolute"));
    for file in files(&data) {
        let name = file.strip_prefix(&data).expect("beneath");
        if !file.is_symlink() {
            assert_eq!(std::fs::read(&file).ok(), std::fs::read(out.join(name)).ok(), "{name:?}");
        }
    }
}

fn repository(office: &Office, medium: &str) -> PathBuf {
    let folder = office.path(medium).join("repositories");
    std::fs::read_dir(folder).expect("a folder").next().expect("one").expect("one").path()
}

fn packs(office: &Office, medium: &str) -> Vec<PathBuf> {
    files(&repository(office, medium).join("packs"))
}

#[test]
fn a_medium_is_a_depot_and_only_the_difference_is_copied() {
    let office = Office::equipped();
    office.write("data/lama.bin", &noise(3_000_000, 5));
    office.backup("arsip");
    let facts = [
        "--label",
        "Brankas 1",
        "--serial",
        "WX-42",
        "--custodian",
        "Sekretaris",
        "--place",
        "Lemari besi Setda",
    ];
    let first = export(&office, "disk", &facts);
    assert_eq!(first["repositories"][0]["list"]["snapshots"], 1);
    restores(&office, "disk", &[]);
    let (code, checked) = verify(&office, &["disk"]);
    assert_eq!((code, &checked["sound"]), (0, &Value::Bool(true)), "{checked}");
    let list = &checked["repositories"][0]["list"];
    assert_eq!(
        (&list["serial"], &list["custodian"], &list["place"]),
        (&"WX-42".into(), &"Sekretaris".into(), &"Lemari besi Setda".into())
    );
    assert_eq!(list["signer"]["kind"], "root");
    assert_eq!(checked["medium"]["label"], "Brankas 1");
    assert_eq!(checked["repositories"][0]["snapshots"][0]["state"], "whole");

    office.write("data/baru.bin", &noise(1_200_000, 99));
    office.backup("arsip");
    let dry = export(&office, "disk", &["--dry-run"]);
    let needed = dry["repositories"][0]["needed"]["bytes"].as_u64().expect("bytes");
    assert!(dry["repositories"][0]["list"].is_null());
    let second = export(&office, "disk", &[]);
    let copied = second["repositories"][0]["copied"]["bytes"].as_u64().expect("bytes");
    assert_eq!(copied, needed, "the dry run said what was copied");
    assert!((1_200_000..1_400_000).contains(&copied), "only the difference: {copied}");
    assert_eq!(second["repositories"][0]["list"]["number"], 2);
    restores(&office, "disk", &[]);
    assert_eq!(verify(&office, &["disk"]).0, 0);
    let third = export(&office, "disk", &[]);
    assert_eq!(third["repositories"][0]["copied"]["objects"], 0, "{third}");
    // Into an empty directory, and once more.
    let imported = office.json(&["media", "import", "disk", "copy"]);
    assert_eq!(imported["snapshots"].as_array().map(Vec::len), Some(2), "{imported}");
    assert_eq!(office.json(&["media", "import", "disk", "copy"])["objects"], 0);
    restores(&office, "copy", &[]);
    office.ok(&["verify", "copy"]);
}

#[test]
fn a_second_disk_goes_on_from_the_first() {
    let office = Office::equipped();
    office.write("data/lama.bin", &noise(3_000_000, 5));
    office.backup("arsip");
    let list = kept(&office, &export(&office, "satu", &[]));
    office.write("data/baru.bin", &noise(1_200_000, 99));
    let newest = office.backup("arsip");
    let second = export(&office, "dua", &["--since", &list]);
    let copied = second["repositories"][0]["copied"]["bytes"].as_u64().expect("bytes");
    assert!(copied < 1_400_000, "the first disk's packs are not repeated: {copied}");
    let (code, checked) = verify(&office, &["dua"]);
    assert_eq!(code, 0, "{checked}");
    let snapshots = &checked["repositories"][0]["snapshots"];
    assert_eq!(snapshots.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&snapshots[0]["id"], &snapshots[0]["state"]),
        (&newest.clone().into(), &"needs-other-media".into())
    );
    let (code, checked) = verify(&office, &["dua", "--with", "satu"]);
    assert_eq!((code, &checked["repositories"][0]["snapshots"][0]["state"]), (0, &"whole".into()));
    restores(&office, "dua", &["--fallback", "satu"]);

    // In whatever order they are brought in: what rests on the other disk waits for it.
    let early = office.run(&["media", "import", "dua", "copy", "--json"]);
    assert_eq!(early.code, 3, "{}", early.stderr);
    assert!(early.stdout.contains("bring in the medium"), "{}", early.stdout);
    office.ok(&["media", "import", "satu", "copy"]);
    let late = office.json(&["media", "import", "dua", "copy"]);
    assert_eq!(late["snapshots"], serde_json::json!([newest]));
    restores(&office, "copy", &[]);
    // A list that a stranger made would leave out anything.
    let stranger = Office::equipped();
    stranger.backup("arsip");
    let foreign = stranger.path(&kept(&stranger, &export(&stranger, "disk", &[])));
    std::fs::copy(foreign, office.path("asing.list")).expect("copied");
    let other = export(&office, "tiga", &["--since", "asing.list"]);
    assert_eq!(
        other["repositories"][0]["list"]["snapshots"], 2,
        "it is of another repository and says nothing here"
    );
}

#[test]
fn what_was_done_to_a_disk_shows() {
    let office = Office::equipped();
    office.backup("arsip");
    export(&office, "asli", &[]);
    let copy = |name: &str| {
        let cp = std::process::Command::new("cp")
            .arg("-a")
            .arg(office.path("asli"))
            .arg(office.path(name))
            .status();
        assert!(cp.expect("cp").success());
        packs(&office, name)
    };
    type Harm = fn(&[PathBuf], &Path);
    let harms: [(&str, Harm); 7] = [
        ("terbalik", |packs, _| {
            let mut bytes = std::fs::read(&packs[0]).expect("a pack");
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(&packs[0], bytes).expect("written");
        }),
        ("terpotong", |packs, _| {
            let file = std::fs::File::options().write(true).open(&packs[0]).expect("a pack");
            let length = file.metadata().expect("its length").len();
            file.set_len(length - 7).expect("cut");
        }),
        ("tertukar", |packs, _| {
            let [one, two] =
                [&packs[0], &packs[1]].map(|path| std::fs::read(path).expect("a pack"));
            std::fs::write(&packs[0], two).expect("written");
            std::fs::write(&packs[1], one).expect("written");
        }),
        ("hilang", |packs, _| std::fs::remove_file(&packs[0]).expect("removed")),
        ("tautan", |packs, _| {
            let away = packs[0].with_file_name("away");
            std::fs::rename(&packs[0], &away).expect("moved");
            std::os::unix::fs::symlink("away", &packs[0]).expect("a link");
        }),
        ("manifes", |_, repository| {
            let manifest = files(&repository.join("manifests")).pop().expect("a manifest");
            std::fs::remove_file(manifest).expect("removed");
        }),
        ("daftar-rusak", |_, repository| {
            let lists = repository.ancestors().nth(2).expect("the medium").join("lists");
            let list = files(&lists).pop().expect("a list");
            let mut bytes = std::fs::read(&list).expect("a list");
            bytes[100] ^= 1;
            std::fs::write(&list, bytes).expect("written");
        }),
    ];
    for (name, harm) in harms {
        let packs = copy(name);
        harm(&packs, &repository(&office, name));
        let (code, checked) = verify(&office, &[name]);
        assert_eq!((code, &checked["sound"]), (1, &Value::Bool(false)), "{name}: {checked}");
        // Nothing of it gets into a depot as a whole snapshot.
        let target = format!("ke-{name}");
        let ended = office.run(&["media", "import", name, &target]);
        if name != "manifes" && name != "daftar-rusak" {
            assert_eq!(ended.code, 3, "{name}: {}", ended.stderr);
            assert!(files(&office.path(&target).join("manifests")).is_empty(), "{name}");
        } else {
            assert_ne!(ended.code, 0, "{name}");
        }
        if name != "daftar-rusak" {
            // The sound copy mends it.
            export(&office, name, &["--repair"]);
            let (code, checked) = verify(&office, &[name]);
            assert_eq!(code, 0, "{name}: {checked}");
        }
    }
}

#[test]
fn an_exchanged_disk_is_told_by_its_lists() {
    let office = Office::equipped();
    office.backup("arsip");
    export(&office, "disk", &[]);
    let cp = |from: &str, to: &str| {
        let status = std::process::Command::new("cp")
            .arg("-a")
            .arg(office.path(from))
            .arg(office.path(to))
            .status();
        assert!(status.expect("cp").success());
    };
    cp("disk", "lama");
    office.write("data/baru.bin", &noise(50_000, 3));
    office.backup("arsip");
    let list = kept(&office, &export(&office, "disk", &[]));
    assert_eq!(verify(&office, &["disk", "--against", &list]).0, 0);
    // Whole, and older than the register knows.
    assert_eq!(verify(&office, &["lama"]).0, 0);
    let (code, checked) = verify(&office, &["lama", "--against", &list]);
    assert_eq!(code, 1);
    assert!(checked["findings"].to_string().contains("older state"), "{checked}");
    // Another disk altogether, and a list of it put here.
    export(&office, "lain", &[]);
    let (code, checked) = verify(&office, &["lain", "--against", &list]);
    assert!(code == 1 && checked["findings"].to_string().contains("another disk"), "{checked}");
    let foreign = files(&office.path("lain/lists")).pop().expect("a list");
    std::fs::copy(&foreign, office.path("disk/lists").join(foreign.file_name().expect("a name")))
        .expect("copied");
    let (code, checked) = verify(&office, &["disk"]);
    assert!(code == 1 && checked["findings"].to_string().contains("another medium"), "{checked}");
    // The list before the newest was taken away.
    cp("disk", "berlubang");
    let lists = office.path("berlubang/lists");
    std::fs::remove_file(lists.join(foreign.file_name().expect("a name"))).expect("removed");
    for list in files(&lists) {
        let shown = verify(&office, &["berlubang"]).1;
        if shown["repositories"][0]["list"]["id"]
            != list.file_name().expect("a name").to_string_lossy().as_ref()
        {
            std::fs::remove_file(list).expect("removed");
        }
    }
    let (code, checked) = verify(&office, &["berlubang"]);
    assert!(code == 1 && checked["findings"].to_string().contains("is missing"), "{checked}");
}

#[test]
fn nobody_in_particular_signs_nothing() {
    let office = Office::equipped();
    office.backup("arsip");
    let (code, _) = office.error(&["media", "export", "depot", "disk"]);
    assert_eq!(code, "usage");
    office.ok(&["key", "new", "asing.key"]);
    let (code, _) = office.error(&["media", "export", "depot", "disk", "--key", "asing.key"]);
    assert_eq!(code, "not-entitled");
    assert!(!office.path("disk").exists());
    // An agent may vouch for what it brings, and signs what is there by exporting the medium onto itself.
    office.ok(&["media", "export", "depot", "disk", "--agent", "agent.id"]);
    let shown = office.json(&["media", "show", "disk"]);
    assert_eq!(shown["repositories"][0]["list"]["signer"]["kind"], "agent");
    for list in files(&office.path("disk/lists")) {
        std::fs::remove_file(list).expect("removed");
    }
    assert_eq!(verify(&office, &["disk"]).0, 1);
    assert_eq!(verify(&office, &["disk", "--unsigned"]).0, 3);
    assert_eq!(office.error(&["media", "import", "disk", "copy"]).0, "unsigned");
    office.ok(&["media", "import", "disk", "copy", "--unsigned"]);
    restores(&office, "copy", &[]);
    office.ok(&["media", "export", "disk", "disk", "--agent", "agent.id"]);
    assert_eq!(verify(&office, &["disk"]).0, 0);
}

#[test]
fn what_is_no_medium_is_left_alone() {
    let office = Office::equipped();
    office.backup("arsip");
    office.write("disk/foto/anak.jpg", b"foto");
    office.write("vault/repositories/x", b"");
    for place in ["depot", "vault"] {
        let before = files(&office.path(place));
        let args = ["media", "export", "depot", place, "--key", "pd.key"];
        assert_eq!(office.error(&args).0, "not-a-medium", "{place}");
        assert_eq!(files(&office.path(place)), before);
    }
    assert_eq!(office.error(&["media", "verify", "depot"]).0, "not-a-medium");
    export(&office, "disk", &[]);
    assert_eq!(office.read("disk/foto/anak.jpg"), b"foto");
    assert_eq!(verify(&office, &["disk"]).0, 0);
}

#[test]
fn a_disk_that_was_pulled_out_goes_on() {
    let office = Office::equipped();
    for number in 0..12 {
        office.write(&format!("data/besar-{number}.bin"), &noise(8_000_000, 1000 + number));
    }
    office.backup("arsip");
    let binary = env!("CARGO_BIN_EXE_lumbung");
    let mut killed = 0;
    for wanted in 1..4 {
        let args = ["media", "export", "depot", "disk", "--key", "pd.key"];
        let mut child = std::process::Command::new(binary)
            .args(args)
            .current_dir(office.path("."))
            .env("LUMBUNG_PASSPHRASE", crate::office::PASSPHRASE)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let ended = loop {
            let folder = office.path("disk/repositories");
            let there = if folder.is_dir() { files(&folder) } else { Vec::new() };
            let is_pack = |path: &&PathBuf| path.iter().any(|part| part == "packs");
            let count = there.iter().filter(is_pack).filter(|pack| !hidden(pack)).count();
            if count >= wanted {
                break None;
            }
            if let Some(status) = child.try_wait().expect("asked") {
                break Some(status);
            }
            std::thread::yield_now();
        };
        if ended.is_none() {
            child.kill().expect("killed");
            killed += 1;
        }
        child.wait().expect("waited for");
    }
    assert!(killed > 0, "nothing was killed in the middle");
    // Whatever is there is whole; then the same command goes on and comes to the end.
    for pack in packs(&office, "disk").iter().filter(|pack| !hidden(pack)) {
        let name = pack.file_name().expect("a name");
        let original = files(&office.path("depot/packs"))
            .into_iter()
            .find(|path| path.file_name() == Some(name));
        assert_eq!(std::fs::read(pack).ok(), std::fs::read(original.expect("it is there")).ok());
    }
    export(&office, "disk", &[]);
    let (code, checked) = verify(&office, &["disk"]);
    assert_eq!(code, 0, "{checked}");
    restores(&office, "disk", &[]);
}

fn hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}
