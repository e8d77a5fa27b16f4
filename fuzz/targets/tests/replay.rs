//! Replays every kept input (the corpora, and what once broke something), then changes of them at random: the short
//! form of `cargo xtask fuzz`, for which an ordinary compiler suffices. What is changed follows from the target's name
//! and the number of the change alone, so that a failure comes again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use lumbung_fuzz_targets::{TARGETS, run, seeds};

/// Changed inputs for each target; `LUMBUNG_TEST_CASES` asks for more.
const CHANGED: u64 = 400;
/// Changes of one input: each makes it likelier that it is refused at once.
const CHANGES_MAX: u64 = 4;
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
    let mut inputs = Vec::new();
    for file in kept.iter().flatten() {
        println!("{}", file.display());
        let input = fs::read(file).unwrap();
        run(target, &input);
        inputs.push(input);
    }
    let asked = std::env::var("LUMBUNG_TEST_CASES").ok().map(|cases| cases.parse::<u64>().unwrap());
    for number in 0..asked.map_or(CHANGED, |cases| cases.max(CHANGED)) {
        println!("{target}, change {number}");
        run(target, &changed(&inputs, &mut Random::new(target, number)));
    }
}

/// A stream of random numbers: BLAKE3's output over a name and a number.
struct Random(blake3::OutputReader);

impl Random {
    fn new(target: &str, number: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        Self(hasher.update(target.as_bytes()).update(&number.to_le_bytes()).finalize_xof())
    }

    fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}

/// One of the inputs, changed as libFuzzer's mutations do.
fn changed(inputs: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut input = random.pick(inputs).clone();
    for _ in 0..=random.next() % CHANGES_MAX {
        change(&mut input, inputs, random);
    }
    input
}

fn change(input: &mut Vec<u8>, inputs: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(6) {
        0 => input.truncate(at),
        1 => input.insert(at, random.next().to_le_bytes()[0]),
        2 => input.extend_from_within(at..),
        3 => {
            let other = random.pick(inputs);
            input.truncate(at);
            input.extend_from_slice(&other[at.min(other.len())..]);
        }
        // Lengths, counts and times that parsers stumble over.
        4 => {
            let number =
                *random.pick(&[0, 1, 0x7f, 0x80, 0xff, 0xffff, 1 << 31, u64::MAX >> 1, u64::MAX]);
            let width = *random.pick(&[1, 2, 4, 8]);
            input
                .iter_mut()
                .skip(at)
                .zip(number.to_le_bytes())
                .take(width)
                .for_each(|(to, from)| *to = from);
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
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
    profile_toml register_csv register_import schedule rates excludes
    orders echo_reply grant grant_request revocation wrap standing_approval opening rehearsal grant_file share_file
    drill_plan drill_events
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
