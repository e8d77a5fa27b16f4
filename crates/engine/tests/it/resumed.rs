//! A restore that ends in the middle, and the same restore again: as if it had never been stopped.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use lumbung_engine::{
    Cancel, Include, OverwritePolicy, Progress, RestoreOptions, RestoreRequest, SnapshotReader,
    restore,
};

use crate::world::{World, noise};

/// Ends the thread that writes byte number `after`, wherever in a file that is.
struct Dies {
    after: u64,
    seen: AtomicU64,
}

impl Progress for Dies {
    fn bytes(&self, count: u64) {
        let seen = self.seen.fetch_add(count, Ordering::SeqCst) + count;
        assert!(seen <= self.after, "this is where it ends");
    }
}

fn tree(world: &World) {
    for n in 0..60 {
        world.write(&format!("many/{:02}/{n:03}", n % 7), noise(n, 3000));
    }
    world.write("big", noise(100, 900_000));
    world.write("closed/file", "x");
    let source = world.source();
    std::fs::hard_link(source.join("big"), source.join("z-again")).unwrap();
    symlink("big", source.join("link")).unwrap();
    let closed = std::fs::Permissions::from_mode(0o2711);
    std::fs::set_permissions(source.join("closed"), closed).unwrap();
}

fn restore_with(
    reader: &SnapshotReader,
    target: &Path,
    overwrite: OverwritePolicy,
    progress: &dyn Progress,
) -> Result<lumbung_engine::RestoreOutcome, lumbung_engine::RestoreError> {
    restore(&RestoreRequest {
        snapshot: reader,
        fallback: None,
        target,
        include: Include::all(),
        options: RestoreOptions { overwrite, writers: 2, ..RestoreOptions::default() },
        progress,
        cancel: &Cancel::default(),
    })
}

fn unfinished(folder: &Path) -> usize {
    let mut found = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found += usize::from(path.as_os_str().as_bytes().ends_with(b".lumbung-restore"));
        if path.is_dir() && !path.is_symlink() {
            found += unfinished(&path);
        }
    }
    found
}

#[test]
fn a_restore_that_ended_anywhere_is_taken_up_again() {
    let world = World::new();
    tree(&world);
    let reader = world.open(&world.backup().manifest);
    let mut half_written = 0;
    for after in [0, 1, 4_000, 50_000, 130_000, 300_000, 700_000, 1_000_000] {
        for overwrite in [OverwritePolicy::Never, OverwritePolicy::IfChanged] {
            let target = tempfile::tempdir().unwrap();
            let dies = Dies { after, seen: AtomicU64::new(0) };
            assert!(restore_with(&reader, target.path(), overwrite, &dies).is_err());
            half_written += unfinished(target.path());
            let at = world.restored(target.path());
            let whole: Vec<_> = (0..60)
                .filter_map(|n| {
                    let path = at.join(format!("many/{:02}/{n:03}", n % 7));
                    let meta = path.metadata().ok()?;
                    // What has its name is whole, at every moment.
                    assert_eq!(std::fs::read(&path).unwrap(), noise(n, 3000));
                    Some((path, meta.ino()))
                })
                .collect();
            let outcome =
                restore_with(&reader, target.path(), overwrite, &lumbung_engine::NoProgress);
            let outcome = outcome.unwrap();
            assert_eq!((outcome.failures_total, outcome.counts.kept), (0, 0), "{outcome:?}");
            assert_eq!(world.compare(&reader, target.path()).differences, [], "after {after}");
            assert_eq!(unfinished(target.path()), 0, "after {after}");
            for (path, inode) in whole {
                assert_eq!(path.metadata().unwrap().ino(), inode, "it was whole already");
            }
        }
    }
    assert!(half_written > 0, "no run was stopped in the middle of a file");
}

#[test]
fn a_file_in_place_is_the_old_one_or_the_new_one() {
    let world = World::new();
    tree(&world);
    let reader = world.open(&world.backup().manifest);
    let target = tempfile::tempdir().unwrap();
    let at = world.restored(target.path());
    std::fs::create_dir_all(&at).unwrap();
    let old = noise(7, 500_000);
    std::fs::write(at.join("big"), &old).unwrap();
    let dies = Dies { after: 400_000, seen: AtomicU64::new(0) };
    assert!(restore_with(&reader, target.path(), OverwritePolicy::Always, &dies).is_err());
    assert!(std::fs::read(at.join("big")).unwrap() == old, "half of it took its place");
}
