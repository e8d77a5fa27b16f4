//! Damage, by a matrix: what × how. Each is found without a key, or refused at restore; none restores wrong
//! bytes and says it is fine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_tests::alone::Alone;
use lumbung_tests::process::{any_output, output};
use lumbung_tests::tree;

const KINDS: [&str; 6] = ["rosters", "sessions", "packs", "segments", "usages", "manifests"];

#[derive(Debug, Clone, Copy)]
enum How {
    FlipFirst,
    FlipMiddle,
    FlipLast,
    Truncate,
    Empty,
    Remove,
    Swap,
}

const HOWS: [How; 7] = [
    How::FlipFirst,
    How::FlipMiddle,
    How::FlipLast,
    How::Truncate,
    How::Empty,
    How::Remove,
    How::Swap,
];

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    files.sort();
    files
}

/// Damages one object; `false` where there is none to damage so.
fn damage(path: &Path, other: Option<&PathBuf>, how: How) -> bool {
    let mut bytes = fs::read(path).unwrap();
    let (middle, last) = (bytes.len() / 2, bytes.len() - 1);
    match how {
        How::FlipFirst => bytes[0] ^= 1,
        How::FlipMiddle => bytes[middle] ^= 0x10,
        How::FlipLast => bytes[last] ^= 0x80,
        How::Truncate => bytes.truncate(last),
        How::Empty => bytes.clear(),
        How::Remove => {
            fs::remove_file(path).unwrap();
            return true;
        }
        How::Swap => match other {
            Some(other) => bytes = fs::read(other).unwrap(),
            None => return false,
        },
    }
    fs::write(path, bytes).unwrap();
    true
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    output(Command::new("cp").arg("-a").arg(from).arg(to)).unwrap();
}

#[test]
fn no_damage_goes_unnoticed() {
    let alone = Alone::new().unwrap();
    for i in 0..40_u32 {
        fs::write(alone.source().join(format!("a{i}")), format!("isi {i} ").repeat(3000)).unwrap();
    }
    alone.backup().unwrap();
    fs::write(alone.source().join("b"), "yang kedua").unwrap();
    alone.backup().unwrap();
    let expected = tree::read(&alone.source()).unwrap();
    let damaged = alone.path().join("damaged");
    let target = alone.path().join("out");
    for kind in KINDS {
        for how in HOWS {
            for number in 0..files(&alone.depot().join(kind)).len() {
                copy(&alone.depot(), &damaged);
                let files = files(&damaged.join(kind));
                let other = files.iter().find(|other| **other != files[number]);
                if !damage(&files[number], other, how) {
                    continue;
                }
                check(&alone, &damaged, &target, &expected, &format!("{kind} {number} {how:?}"));
            }
        }
    }
}

/// A removed manifest is a snapshot that is not there: only the site's inventory shows it (tested with the
/// controller), so a restore of the one before it is right.
fn check(alone: &Alone, damaged: &Path, target: &Path, expected: &tree::Tree, what: &str) {
    let found = any_output(alone.lumbung().arg("verify").arg(damaged)).unwrap();
    let noticed = !found.status.success();
    let _ = fs::remove_dir_all(target);
    let restored = any_output(&mut alone.restore(damaged, target)).unwrap();
    if what.starts_with("manifests") && what.ends_with("Remove") {
        return;
    }
    assert!(noticed, "verify did not notice: {what}\n{}", String::from_utf8_lossy(&found.stdout));
    if restored.status.success() {
        let differences =
            tree::differences(expected, &tree::read(&alone.restored(target)).unwrap(), 3);
        assert_eq!(differences.1, 0, "a wrong restore without a word: {what}\n{differences:?}");
    }
}
