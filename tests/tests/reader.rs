//! The reference reader in Python restores what the Rust code wrote: nobody depends on these binaries to get the
//! city's data back.

use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_tests::alone::{Alone, PASSPHRASE, furnish};
use lumbung_tests::process::output;
use lumbung_tests::tree;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("reference_reader")
}

/// Python in the environment that `cargo xtask test` makes.
fn python() -> Command {
    let python = folder().join(".venv/bin/python");
    assert!(python.exists(), "run `cargo xtask test`: it installs what the reference reader needs");
    let mut command = Command::new(python);
    command.current_dir(folder()).env("LUMBUNG_PASSPHRASE", PASSPHRASE);
    command
}

#[test]
fn the_reader_restores_what_the_rust_code_wrote() {
    let alone = Alone::new().unwrap();
    furnish(&alone.source()).unwrap();
    alone.backup().unwrap();
    // A second snapshot, so that the reader meets packs of two sessions.
    std::fs::write(alone.source().join("surat/baru.txt"), "ditambahkan kemudian").unwrap();
    std::fs::remove_file(alone.source().join("kosong")).unwrap();
    alone.backup().unwrap();
    restores(&alone, &alone.depot());
}

/// After a rotation the new bundle alone opens what was backed up before it.
#[test]
fn the_reader_opens_old_sessions_by_their_wraps() {
    let alone = Alone::new().unwrap();
    furnish(&alone.source()).unwrap();
    alone.backup().unwrap();
    let new = alone.path().join("baru.key");
    let mut key = alone.lumbung();
    output(key.args(["key", "new"]).arg(&new)).unwrap();
    let read = |key: &Path, name: &str| {
        let target = alone.path().join(name);
        let mut read = python();
        read.args(["-m", "reference_reader"]).arg(alone.depot()).arg("--key").arg(key);
        read.args(["--passphrase-env", "LUMBUNG_PASSPHRASE", "--snapshot", "latest"]);
        // The new bundle founded nothing: whoever has it alone knows the repository's id.
        read.args(["--repository", &repository(&alone)]).arg("--target").arg(&target);
        output(&mut read).map(|_| tree::read(&alone.restored(&target)).unwrap())
    };
    assert!(read(&new, "sebelum").is_err(), "it is no recipient yet");
    let mut rotate = alone.lumbung();
    rotate.args(["key", "rotate"]).arg(alone.depot()).arg("--key").arg(alone.key());
    rotate.env("LUMBUNG_NEW_PASSPHRASE", PASSPHRASE).arg("--yes").arg("--new").arg(&new);
    output(&mut rotate).unwrap();
    let found = read(&new, "sesudah").unwrap();
    let expected = tree::read(&alone.source()).unwrap();
    assert_eq!(tree::differences(&expected, &found, 3), (vec![], 0));
}

fn repository(alone: &Alone) -> String {
    let mut info = alone.lumbung();
    let told = output(info.args(["repo", "info", "--json"]).arg(alone.depot())).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    told["repository"].as_str().unwrap().to_owned()
}

/// The newest snapshot in a directory comes back as it was.
pub(crate) fn restores(alone: &Alone, depot: &Path) {
    let target = alone.path().join("out");
    let mut read = python();
    read.args(["-m", "reference_reader"]).arg(depot).arg("--key").arg(alone.key());
    read.args(["--passphrase-env", "LUMBUNG_PASSPHRASE", "--snapshot", "latest", "--target"])
        .arg(&target);
    output(&mut read).unwrap();
    let expected = tree::read(&alone.source()).unwrap();
    let found = tree::read(&alone.restored(&target)).unwrap();
    assert_eq!(tree::differences(&expected, &found, 3), (vec![], 0));
}

#[test]
fn the_reader_refuses_a_flipped_bit() {
    let alone = Alone::new().unwrap();
    std::fs::write(alone.source().join("berkas"), "isi yang penting".repeat(1000)).unwrap();
    alone.backup().unwrap();
    let packs = walk(&alone.depot().join("packs"));
    let data = packs.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(data).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(data, bytes).unwrap();
    let mut read = python();
    read.args(["-m", "reference_reader"]).arg(alone.depot()).arg("--key").arg(alone.key());
    read.args(["--passphrase-env", "LUMBUNG_PASSPHRASE", "--snapshot", "latest", "--target"])
        .arg(alone.path().join("out"));
    assert!(output(&mut read).is_err());
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn the_readers_own_tests_pass() {
    output(python().args(["-m", "unittest", "--quiet"])).unwrap();
}

#[test]
fn the_reader_agrees_with_the_test_vectors() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/seal/tests/vectors.json");
    output(python().args(["-m", "reference_reader.vectors"]).arg(vectors)).unwrap();
}
