//! What is unchanged is not read again, and what may have changed is.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lumbung_engine::{BackupRequest, Cancel, Depot, NoThrottle, Progress, Source, backup};
use lumbung_model::SystemClock;
use lumbung_pack::Kind;

use crate::world::{World, noise};

#[test]
fn unchanged_files_are_not_read() {
    let world = World::new();
    for n in 0..50 {
        world.write(&format!("d{}/f{n}", n % 7), noise(n, 3000));
    }
    world.write("large", noise(99, 2 << 20));
    let first = world.backup();
    assert_eq!(first.read_bytes, 50 * 3000 + (2 << 20));
    world.trust_cache();
    let second = world.backup();
    assert_eq!(second.read_bytes, 0);
    assert_eq!(second.statistics.content_bytes, first.statistics.content_bytes);
    world.trust_cache();
    world.write("d3/f3", noise(1000, 4000));
    world.write("d3/new", noise(1001, 500));
    std::fs::remove_file(world.source().join("d4/f4")).unwrap();
    let third = world.backup();
    assert_eq!(third.read_bytes, 4500);
    world.restore_and_compare(&third.manifest);
}

#[test]
fn a_file_touched_since_the_last_scan_began_is_read_again() {
    let world = World::new();
    world.write("a", noise(1, 3000));
    world.backup();
    // Written within the granularity of the scan's start: nothing tells whether it changed afterwards.
    assert_eq!(world.backup().read_bytes, 3000);
}

#[test]
fn the_same_size_and_times_with_another_inode_is_read_again() {
    let world = World::new();
    world.write("a", noise(1, 3000));
    world.write("b", noise(2, 3000));
    world.backup();
    world.trust_cache();
    let (a, b) = (world.source().join("a"), world.source().join("b"));
    let times = std::fs::metadata(&a).unwrap().modified().unwrap();
    std::fs::rename(&b, &a).unwrap();
    std::fs::File::options().write(true).open(&a).unwrap().set_modified(times).unwrap();
    let outcome = world.backup();
    assert_eq!(outcome.read_bytes, 3000);
    world.restore_and_compare(&outcome.manifest);
}

struct Touch {
    file: PathBuf,
    count: AtomicU64,
}

impl Progress for Touch {
    fn bytes(&self, _count: u64) {
        let n = self.count.fetch_add(1, Ordering::SeqCst);
        std::fs::write(&self.file, noise(n, 2 << 20)).unwrap();
    }
}

#[test]
fn a_file_that_goes_on_changing_is_flagged_and_read_again_next_time() {
    let world = World::new();
    world.write("log", noise(1, 2 << 20));
    world.write("quiet", noise(2, 100));
    let file = world.source().join("log");
    let progress = Touch { file, count: AtomicU64::new(0) };
    let outcome = backup(&BackupRequest {
        depots: &[world.depot.clone() as Arc<dyn Depot>],
        identity: &world.identity,
        state_dir: &world.state(),
        dataset: world.dataset,
        label: "",
        host: "",
        source: Source::Paths(&[world.source()]),
        options: world.options.clone(),
        progress: &progress,
        throttle: &NoThrottle,
        cancel: &Cancel::default(),
        clock: &SystemClock,
    })
    .unwrap();
    assert_eq!(outcome.warnings_total, 1);
    assert!(
        outcome.warnings[0].reason.contains("changed while it was read"),
        "{:?}",
        outcome.warnings
    );
    assert_eq!(outcome.statistics.flagged, 1);
    let reader = world.open(&outcome.manifest);
    let path = world.source().join("log").to_str().unwrap().as_bytes()[1..].to_vec();
    assert!(reader.entry(&path).unwrap().changed_while_read);
    world.trust_cache();
    let next = world.backup();
    assert_eq!((next.warnings_total, next.read_bytes), (0, 2 << 20));
    world.restore_and_compare(&next.manifest);
}

#[test]
fn frames_that_the_depot_lost_are_sent_again_from_unchanged_files() {
    let world = World::new();
    for n in 0..30 {
        world.write(&format!("f{n}"), noise(n, 20_000));
    }
    world.backup();
    world.trust_cache();
    let packs = world.depot.list(Kind::Pack).unwrap();
    assert!(packs.len() > 3);
    for pack in packs.iter().step_by(2) {
        world.depot.lose(Kind::Pack, pack);
    }
    let outcome = world.backup();
    assert!(outcome.read_bytes > 0);
    world.check_at(world.depot.clone(), &outcome.manifest);
}

#[test]
fn a_lost_state_starts_a_new_epoch_and_sends_nothing_again() {
    let world = World::new();
    world.write("a", noise(1, 300_000));
    let first = world.backup();
    std::fs::remove_dir_all(world.state()).unwrap();
    let second = world.backup();
    assert_eq!((first.epoch, first.sequence, second.epoch, second.sequence), (1, 1, 2, 1));
    assert_eq!(second.read_bytes, 300_000);
    assert!(second.sent_bytes < 4000, "{}", second.sent_bytes);
    world.check_at(world.depot.clone(), &second.manifest);
}

#[test]
fn one_run_at_a_time() {
    struct Again<'a>(&'a World, AtomicU64);
    impl Progress for Again<'_> {
        fn bytes(&self, _count: u64) {
            let error = self.0.backup_to(&[self.0.depot.clone()]).unwrap_err();
            let told = std::error::Error::source(&error).unwrap().to_string();
            assert!(told.contains("another backup"), "{told}");
            self.1.fetch_add(1, Ordering::SeqCst);
        }
    }
    let world = World::new();
    world.write("a", "x");
    let progress = Again(&world, AtomicU64::new(0));
    backup(&BackupRequest {
        depots: &[world.depot.clone() as Arc<dyn Depot>],
        identity: &world.identity,
        state_dir: &world.state(),
        dataset: world.dataset,
        label: "",
        host: "",
        source: Source::Paths(&[world.source()]),
        options: world.options.clone(),
        progress: &progress,
        throttle: &NoThrottle,
        cancel: &Cancel::default(),
        clock: &SystemClock,
    })
    .unwrap();
    assert_eq!(progress.1.load(Ordering::SeqCst), 1);
}
