//! What a run counts against the one before, over real files.

use lumbung_model::anomaly::{NewData, RunFigures};

use crate::world::{World, noise};

fn counted(world: &World) -> RunFigures {
    let changes = world.backup().changes.expect("there is a run to compare with");
    assert_eq!(changes.check(), Ok(()), "{changes:?}");
    world.trust_cache();
    changes
}

/// Whole files of text, some small and some cut alone.
fn filled() -> World {
    let world = World::new();
    for n in 0..40_u32 {
        world.write(&format!("doc/{n:02}.txt"), format!("baris {n} data penduduk\n").repeat(200));
    }
    for n in 0..3_u32 {
        world.write(&format!("big/{n}.log"), format!("catatan {n}\n").repeat(200_000));
    }
    assert_eq!(world.backup().changes, None, "nothing was there before");
    world.trust_cache();
    world
}

fn encrypt(world: &World, path: &str, to: &str, seed: u64) {
    let before = world.source().join(path);
    let length = usize::try_from(std::fs::metadata(&before).unwrap().len()).unwrap();
    std::fs::remove_file(&before).unwrap();
    world.write(to, noise(seed, length));
}

#[test]
fn an_unchanged_run_counts_nothing_but_what_is_there() {
    let world = filled();
    let changes = counted(&world);
    assert_eq!((changes.before_files, changes.changed_files), (43, 0));
    assert_eq!((changes.new_files, changes.removed_files), (0, 0));
    assert_eq!((changes.rewritten, changes.added), (NewData::default(), NewData::default()));
    assert!(changes.folders.is_empty());
}

#[test]
fn people_at_work_are_told_apart_from_files_coming_back_as_noise() {
    let world = filled();
    world.write("doc/00.txt", "lain\n".repeat(300));
    world.write("doc/new.txt", "baru\n".repeat(300));
    std::fs::remove_file(world.source().join("doc/01.txt")).unwrap();
    let changes = counted(&world);
    let files = (changes.changed_files, changes.new_files, changes.removed_files);
    assert_eq!((changes.before_files, files, changes.renamed_files), (43, (1, 1, 1), 0));
    assert_eq!((changes.rewritten.read_bytes, changes.added.read_bytes), (1500, 1500));
    assert_eq!(changes.rewritten.incompressible_bytes + changes.added.incompressible_bytes, 0);

    for n in 2..40_u32 {
        encrypt(&world, &format!("doc/{n:02}.txt"), &format!("doc/{n:02}.txt.lokd"), n.into());
    }
    for n in 0..3_u32 {
        encrypt(&world, &format!("big/{n}.log"), &format!("big/{n}.log"), 100 + u64::from(n));
    }
    let changes = counted(&world);
    let files = (changes.changed_files, changes.new_files, changes.removed_files);
    assert_eq!((files, changes.renamed_files), ((3, 38, 38), 38));
    assert_eq!(changes.new_extension, "lokd");
    let rewritten = changes.rewritten;
    assert_eq!(changes.added, NewData::default());
    assert!(rewritten.incompressible_bytes * 100 > rewritten.read_bytes * 99, "{rewritten:?}");
    assert_eq!(rewritten.deduplicated_bytes, 0);
    let named: Vec<(&str, u64)> =
        changes.folders.iter().map(|f| (f.path.rsplit('/').next().unwrap(), f.weight())).collect();
    assert_eq!(named, [("doc", 38), ("big", 3)]);
}

#[test]
fn what_is_read_again_without_a_change_of_content_is_known() {
    let world = filled();
    for n in 0..3_u32 {
        let path = world.source().join(format!("big/{n}.log"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    let changes = counted(&world);
    assert_eq!(changes.changed_files, 3);
    assert_eq!(changes.rewritten.read_bytes, 6_000_000);
    assert_eq!(changes.rewritten.deduplicated_bytes, changes.rewritten.read_bytes);
}

#[test]
fn files_of_the_end_of_the_last_walk_are_missed_too() {
    let world = filled();
    std::fs::remove_dir_all(world.source().join("doc")).unwrap();
    let changes = counted(&world);
    assert_eq!((changes.before_files, changes.removed_files, changes.new_files), (43, 40, 0));
    assert!(changes.removed_bytes > 0 && changes.removed_bytes < changes.before_bytes);
}
