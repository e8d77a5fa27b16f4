//! What only root can make, and what is odd. Tests that need root say so and end where there is none.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use lumbung_engine::{
    Cancel, Depot, Excludes, Include, NoProgress, RestoreOptions, RestoreRequest, restore,
};
use lumbung_seal::catalogue::EntryKind;
use rustix::fs::{CWD, FileType, Gid, Mode, Uid, XattrFlags, makedev, mknodat, setxattr};

use crate::world::{World, noise};

fn node(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).unwrap();
}

#[test]
fn every_type_and_attribute_comes_back() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new();
    let source = world.source();
    node(&source.join("fifo"), FileType::Fifo, 0);
    node(&source.join("socket"), FileType::Socket, 0);
    node(&source.join("char"), FileType::CharacterDevice, makedev(1, 3));
    node(&source.join("block"), FileType::BlockDevice, makedev(250, 70_000));
    world.write("owned", "x");
    rustix::fs::chown(
        source.join("owned"),
        Some(Uid::from_raw(12_345)),
        Some(Gid::from_raw(54_321)),
    )
    .unwrap();
    std::fs::set_permissions(source.join("owned"), std::fs::Permissions::from_mode(0o6755))
        .unwrap();
    // CAP_NET_BIND_SERVICE, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    world.write("capable", "#!/bin/sh\n");
    setxattr(source.join("capable"), c"security.capability", &capability, XattrFlags::empty())
        .unwrap();
    // user::rw- user:1001:r-- group::r-- mask::r-- other::---
    let acl: Vec<u8> = [
        &2_u32.to_le_bytes()[..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 0xe9, 3, 0, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[16, 0, 4, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    world.write("listed/file", "y");
    setxattr(source.join("listed/file"), c"system.posix_acl_access", &acl, XattrFlags::empty())
        .unwrap();
    setxattr(source.join("listed"), c"system.posix_acl_default", &acl, XattrFlags::empty())
        .unwrap();
    setxattr(source.join("listed"), c"user.note", b"padi\0gabah", XattrFlags::empty()).unwrap();
    setxattr(source.join("listed/file"), c"user.empty", b"", XattrFlags::empty()).unwrap();
    std::os::unix::fs::symlink("owned", source.join("link")).unwrap();
    std::os::unix::fs::lchown(source.join("link"), Some(77), Some(78)).unwrap();
    std::fs::hard_link(source.join("fifo"), source.join("fifo-again")).unwrap();
    std::fs::set_permissions(source.join("listed"), std::fs::Permissions::from_mode(0o1731))
        .unwrap();

    let outcome = world.backup();
    assert_eq!(outcome.warnings, []);
    let target = world.restore_and_compare(&outcome.manifest);
    let restored = world.restored(target.path());
    let mut value = [0; 64];
    let length =
        rustix::fs::getxattr(restored.join("capable"), c"security.capability", &mut value[..])
            .unwrap();
    assert_eq!(value[..length], capability);
    assert_eq!(std::fs::metadata(restored.join("owned")).unwrap().mode() & 0o7777, 0o6755);
    assert_eq!(std::fs::metadata(restored.join("owned")).unwrap().uid(), 12_345);
    assert_eq!(std::fs::metadata(restored.join("block")).unwrap().rdev(), makedev(250, 70_000));
    assert_eq!(std::fs::symlink_metadata(restored.join("link")).unwrap().gid(), 78);
}

#[test]
fn sparse_files_keep_their_holes() {
    use std::os::unix::fs::FileExt as _;
    let world = World::new();
    let make = |name: &str, size: u64, data: &[(u64, usize)]| {
        let file = std::fs::File::create(world.source().join(name)).unwrap();
        file.set_len(size).unwrap();
        for (offset, length) in data {
            file.write_all_at(&noise(*offset, *length), *offset).unwrap();
        }
    };
    make("huge", 10 << 30, &[(0, 70_000), (5 << 30, 3 << 20), ((10 << 30) - 10, 10)]);
    make("hole", 1 << 30, &[]);
    make("small", 300_000, &[(150_000, 100)]);
    make("tail", 100_000, &[(0, 5)]);
    let outcome = world.backup();
    assert!(outcome.read_bytes < 8 << 20, "{}", outcome.read_bytes);
    let target = world.restore_and_compare(&outcome.manifest);
    for (name, most) in [("huge", 4 << 20), ("hole", 0), ("small", 64 << 10), ("tail", 64 << 10)] {
        let meta = std::fs::metadata(world.restored(target.path()).join(name)).unwrap();
        assert_eq!(meta.len(), std::fs::metadata(world.source().join(name)).unwrap().len());
        assert!(meta.blocks() * 512 <= most, "{name}: {} blocks", meta.blocks());
    }
}

#[test]
fn odd_names_come_back() {
    let world = World::new();
    let names: [&[u8]; 9] = [
        b"\xff\xfe",
        b"new\nline",
        b"a b",
        b"-rf",
        b"..hidden",
        b"...",
        b"\\",
        b"z\x01\x7f",
        b"caf\xc3\xa9",
    ];
    for (n, name) in (0..).zip(names) {
        std::fs::write(world.source().join(OsStr::from_bytes(name)), noise(n, 50)).unwrap();
    }
    let long = "x".repeat(255);
    let mut deep = world.source();
    for _ in 0..12 {
        deep.push(&long);
    }
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("bottom"), "here").unwrap();
    let outcome = world.backup();
    assert_eq!(outcome.warnings, []);
    world.restore_and_compare(&outcome.manifest);
}

#[test]
fn extreme_times_come_back() {
    let world = World::new();
    for (name, seconds) in
        [("before", -86_400 * 365 * 60), ("year-2100", 4_102_444_800_i64), ("epoch", 0)]
    {
        world.write(name, name);
        let file = std::fs::File::open(world.source().join(name)).unwrap();
        let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 123_456_789 };
        rustix::fs::futimens(
            &file,
            &rustix::fs::Timestamps { last_access: time, last_modification: time },
        )
        .unwrap();
    }
    let outcome = world.backup();
    world.restore_and_compare(&outcome.manifest);
}

#[test]
fn an_unreadable_file_is_flagged() {
    // Nobody can read this one, root neither.
    let path = Path::new("/sys/bus/platform/uevent");
    if !path.exists() {
        return;
    }
    let world = World::new();
    world.write("fine", "x");
    let sources = [world.source(), path.to_owned()];
    let outcome =
        world.backup_sources(&[world.depot.clone()], &sources, &Cancel::default()).unwrap();
    assert!(outcome.has_warnings());
    assert_eq!((outcome.warnings_total, outcome.statistics.flagged), (1, 1));
    assert_eq!(outcome.warnings[0].path, b"sys/bus/platform/uevent");
    let entry = world.open(&outcome.manifest).entry(b"sys/bus/platform/uevent").unwrap();
    assert_eq!(entry.unreadable, Some(13));
    let missing = [world.source(), world.source().join("not/there")];
    let outcome =
        world.backup_sources(&[world.depot.clone()], &missing, &Cancel::default()).unwrap();
    assert_eq!(outcome.warnings_total, 1);
    let none = [world.source().join("nothing")];
    let error =
        world.backup_sources(&[world.depot.clone()], &none, &Cancel::default()).unwrap_err();
    assert!(error.to_string().contains("none of the paths"), "{error}");
}

#[test]
fn sources_excludes_and_the_own_state_are_respected() {
    let mut world = World::new();
    world.options.excludes = Excludes::new(["*.tmp", "cache", "/**/deep/skip"]).unwrap();
    for path in
        ["keep", "x.tmp", "cache/inside", "a/cache/inside", "a/deep/skip", "a/deep/keep", "skip"]
    {
        world.write(path, path);
    }
    world.options.one_file_system = true;
    // The source is the folder that also holds the agent's state.
    let sources =
        [world.folder.path().to_owned(), world.source().join("a"), world.source().join("./keep")];
    let outcome =
        world.backup_sources(&[world.depot.clone()], &sources, &Cancel::default()).unwrap();
    let reader = world.open(&outcome.manifest);
    let mut found = Vec::new();
    reader
        .for_each::<lumbung_engine::SnapshotError>(&Include::all(), &mut |entry| {
            if matches!(entry.kind, EntryKind::File { .. }) {
                found.push(String::from_utf8(entry.path).unwrap());
            }
            Ok(())
        })
        .unwrap();
    let root = world.folder.path().to_str().unwrap()[1..].to_owned();
    let expected = ["a/deep/keep", "keep", "skip"].map(|path| format!("{root}/source/{path}"));
    assert_eq!(found, expected);
    assert!(reader.entry(format!("{root}/state").as_bytes()).is_ok());
}

#[test]
fn a_part_is_restored_with_the_links_into_it() {
    let world = World::new();
    world.write("a/file", noise(1, 5000));
    world.write("b/other", noise(2, 5000));
    std::fs::hard_link(world.source().join("a/file"), world.source().join("b/linked")).unwrap();
    std::fs::hard_link(world.source().join("a/file"), world.source().join("b/linked-too")).unwrap();
    let outcome = world.backup();
    let reader = world.open(&outcome.manifest);
    let target = tempfile::tempdir().unwrap();
    let part = world.source().join("b");
    let request = RestoreRequest {
        snapshot: &reader,
        fallback: None,
        target: target.path(),
        include: Include::paths([part.to_str().unwrap()]),
        options: RestoreOptions::default(),
        progress: &NoProgress,
        cancel: &Cancel::default(),
    };
    assert_eq!(restore(&request).unwrap().failures, []);
    let restored = world.restored(target.path());
    assert!(!restored.join("a").exists());
    assert_eq!(std::fs::read(restored.join("b/linked")).unwrap(), noise(1, 5000));
    let inode = |name: &str| std::fs::metadata(restored.join(name)).unwrap().ino();
    assert_eq!(inode("b/linked"), inode("b/linked-too"));
    let nothing = RestoreRequest {
        include: Include::paths(["nowhere"]),
        target: &target.path().join("new"),
        ..request
    };
    assert!(restore(&nothing).unwrap_err().to_string().contains("nothing in the snapshot"));
}

#[test]
fn a_directory_on_disk_is_a_depot_and_never_backed_up_into_itself() {
    let world = World::new();
    world.write("a", noise(1, 100_000));
    let depot =
        lumbung_engine::LocalDepot::create(world.folder.path().join("source/depot")).unwrap();
    crate::world::put_roster(&depot, &world.roster);
    let depot: std::sync::Arc<dyn Depot> = std::sync::Arc::new(depot);
    let first = world.backup_to(&[depot.clone()]).unwrap();
    let second = world.backup_to(&[depot.clone()]).unwrap();
    assert_eq!((first.statistics.files, second.statistics.files), (1, 1));
    let reader = world.open_at(depot.clone(), &second.manifest);
    let target = tempfile::tempdir().unwrap();
    assert_eq!(world.restore_with(&reader, target.path(), RestoreOptions::default()).failures, []);
    let report = lumbung_engine::verify(
        &depot,
        None,
        Some(&world.recovery),
        &NoProgress,
        &Cancel::default(),
    )
    .unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert!(report.opened_frames > 0 && report.snapshots == 2);
}
