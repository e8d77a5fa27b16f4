//! Replays every kept input: the corpora, and what once broke something. An ordinary compiler suffices.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lumbung_fuzz_targets::{TARGETS, run, seeds};

/// The tree keeps no more than this.
const CORPUS_MAX_BYTES: u64 = 2_000_000;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The names of what is in a folder, without an extension.
fn names(name: &str) -> BTreeSet<String> {
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files(&folder(name)).iter().map(stem).collect()
}

fn replay(target: &str) {
    let kept = ["corpus", "regressions"].map(|name| files(&folder(name).join(target)));
    assert!(!kept[0].is_empty(), "fuzz/corpus/{target} is empty");
    for file in kept.iter().flatten() {
        println!("{}", file.display());
        run(target, &fs::read(file).unwrap());
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(#[test] fn $target() { replay(stringify!($target)); })*
        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

replays! {
    roster session manifest receipt inventory scrub proof order hold tombstone segment usage roster_chain
    pack_head pack_checker presence usage_builder key_files order_file agent_code codec catalogue_read
    catalogue_write catalogue_index root frame zstd_frame sealed_session chunker requests answers
    certificate_names certificate certificate_request range ids agent_toml vault_toml controller_toml
    register_toml register_import schedule rates excludes
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_replay() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "two targets have one name");
    assert_eq!(targets, names("fuzz_targets"), "fuzz/fuzz_targets");
    assert_eq!(targets, names("corpus"), "fuzz/corpus");
    assert!(targets.is_superset(&names("regressions")), "fuzz/regressions");
    assert_eq!(targets, REPLAYED.iter().map(|name| (*name).to_owned()).collect());
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
    }
}

#[test]
fn every_target_begins_with_a_seed_and_the_tree_stays_small() {
    let seeded: BTreeSet<&str> = seeds::all().iter().map(|(target, ..)| *target).collect();
    let targets: BTreeSet<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(seeded, targets);
    let kept = TARGETS.iter().flat_map(|(target, _)| {
        [files(&folder("corpus").join(target)), files(&folder("regressions").join(target))].concat()
    });
    let bytes: u64 = kept.map(|file| file.metadata().unwrap().len()).sum();
    assert!(bytes < CORPUS_MAX_BYTES, "{bytes} bytes of inputs in the tree");
}
