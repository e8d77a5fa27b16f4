//! What goes in comes out.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use crate::world::{World, noise};

#[test]
fn a_tree_comes_back() {
    let world = World::new();
    world.write("small.txt", "padi");
    world.write("empty", "");
    world.write("a/b/c/deep", noise(1, 5000));
    world.write("big.bin", noise(2, 3 << 20));
    world.write("zeros", vec![0; 2 << 20]);
    for n in 0..200 {
        world.write(&format!("many/{n:03}"), noise(n, 100 + usize::try_from(n).unwrap() * 37));
    }
    let source = world.source();
    symlink("../small.txt", source.join("a/link")).unwrap();
    symlink("/nowhere/at/all", source.join("dangling")).unwrap();
    std::fs::hard_link(source.join("small.txt"), source.join("z-second-name")).unwrap();
    std::fs::set_permissions(source.join("small.txt"), std::fs::Permissions::from_mode(0o4751))
        .unwrap();
    let outcome = world.backup();
    assert_eq!(outcome.warnings, []);
    assert_eq!(outcome.statistics.files, 205);
    let target = world.restore_and_compare(&outcome.manifest);
    let restored = world.restored(target.path());
    assert_eq!(std::fs::read(restored.join("big.bin")).unwrap(), noise(2, 3 << 20));
    assert_eq!(std::fs::metadata(restored.join("small.txt")).unwrap().mode() & 0o7777, 0o4751);
    assert_eq!(
        std::fs::metadata(restored.join("z-second-name")).unwrap().ino(),
        std::fs::metadata(restored.join("small.txt")).unwrap().ino()
    );
    let live = world.compare(&world.open(&outcome.manifest), "/".as_ref());
    assert_eq!(live.differences, []);
}

#[test]
fn a_second_run_stores_nothing_new() {
    let world = World::new();
    world.write("a", noise(1, 100_000));
    world.write("b", noise(2, 2 << 20));
    let first = world.backup();
    let second = world.backup();
    assert_eq!(second.sequence, 2);
    // The catalogue alone, if a directory above was touched meanwhile.
    assert!(second.sent_bytes < 30_000, "{}", second.sent_bytes);
    assert!(first.sent_bytes > 2 << 20);
    world.restore_and_compare(&second.manifest);
}
