//! The main job, as `cargo demo` shows it, on data of its own.

use std::fs;
use std::process::Command;

use lumbung_model::{Clock as _, PackId, SystemClock};
use lumbung_pack::{Content, Kind};
use lumbung_store::RepositoryDir;
use lumbung_tests::alone::{Alone, furnish};
use lumbung_tests::process::{eventually, output, program};
use lumbung_tests::tree;
use tempfile::TempDir;

#[test]
fn the_demo_runs() {
    let data = TempDir::with_prefix("lumbung-data-").unwrap();
    furnish(data.path()).unwrap();
    let printed = output(Command::new(program("demo").unwrap()).arg(data.path())).unwrap();
    let last = printed.lines().last().unwrap_or_default();
    assert!(last.starts_with("demo: ok "), "{printed}");
    let not_backing_up = printed.lines().find(|line| line.contains("DISHUB")).unwrap_or_default();
    assert!(not_backing_up.contains("belum mencadangkan"), "{printed}");
}

#[test]
fn a_directory_is_a_depot_of_its_own() {
    let alone = Alone::new().unwrap();
    furnish(&alone.source()).unwrap();
    alone.backup().unwrap();
    let target = alone.path().join("out");
    output(&mut alone.restore(&alone.depot(), &target)).unwrap();
    let expected = tree::read(&alone.source()).unwrap();
    let found = tree::read(&alone.restored(&target)).unwrap();
    assert_eq!(tree::differences(&expected, &found, 3), (vec![], 0));
    output(alone.lumbung().arg("verify").arg(alone.depot())).unwrap();
}

#[test]
fn what_did_not_change_is_not_stored_again() {
    let alone = Alone::new().unwrap();
    furnish(&alone.source()).unwrap();
    // A file as young as a run is read again by the next one, to be sure of it: what is asked is about older ones.
    let furnished = SystemClock.now();
    eventually("the files are older than two timestamps may hide", || {
        let age_s = SystemClock.now().seconds_since(furnished);
        Ok(if age_s > 3 { Ok(()) } else { Err(format!("{age_s} s old")) })
    })
    .unwrap();
    alone.backup().unwrap();
    let packs = data_packs(&alone);
    alone.backup().unwrap();
    alone.backup().unwrap();
    assert_eq!(data_packs(&alone), packs, "nothing changed");
    fs::write(alone.source().join("satu-baris"), "baru").unwrap();
    alone.backup().unwrap();
    assert_eq!(data_packs(&alone), packs + 1);
}

/// Packs of data. The catalogue has the folders above the source too, and others write to /tmp meanwhile.
fn data_packs(alone: &Alone) -> usize {
    let depot = RepositoryDir::open(alone.depot()).unwrap();
    let packs = depot.list(Kind::Pack).unwrap().into_iter().map(PackId::from_bytes);
    packs.filter(|id| depot.pack_head(id).unwrap().header.content == Content::Data).count()
}
