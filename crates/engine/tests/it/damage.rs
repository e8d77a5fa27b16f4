//! What is damaged is found, named, and harms nothing else.

use std::sync::Arc;

use lumbung_engine::{
    Cancel, Depot, FaultyDepot, Include, LocalDepot, MemoryDepot, NoProgress, RestoreOptions,
    RestoreRequest, SnapshotReader, VerifyReport, depot::Injection, restore, verify,
};
use lumbung_pack::{Content, Kind, PackTable};

use crate::world::{World, noise};

fn check(world: &World, depot: &Arc<MemoryDepot>) -> VerifyReport {
    let depot: Arc<dyn Depot> = depot.clone();
    verify(&depot, Some(world.repository), None, &NoProgress, &Cancel::default()).unwrap()
}

fn world() -> (World, lumbung_model::ManifestId) {
    let world = World::new();
    for n in 0..40 {
        world.write(&format!("f{n:02}"), noise(n, 9000));
    }
    let manifest = world.backup().manifest;
    (world, manifest)
}

fn copy(world: &World) -> Arc<MemoryDepot> {
    let copy = Arc::new(MemoryDepot::new("copy"));
    for kind in Kind::REPOSITORY {
        for id in world.depot.list(kind).unwrap() {
            let bytes = if kind == Kind::Pack {
                let id = lumbung_model::PackId::from_bytes(id);
                let head = world.depot.read_pack(&id, 0..168).unwrap();
                let length = PackTable::head_length(&head).unwrap();
                let table =
                    PackTable::decode(&world.depot.read_pack(&id, 0..length as u64).unwrap())
                        .unwrap();
                world.depot.read_pack(&id, 0..table.total_length()).unwrap()
            } else {
                world.depot.get(kind, &id).unwrap()
            };
            copy.plant(kind, id, bytes);
        }
    }
    copy
}

#[test]
fn every_kind_of_damage_to_every_kind_of_object_is_found_without_a_key() {
    let (world, manifest) = world();
    assert!(check(&world, &world.depot).is_clean());
    type How = (&'static str, fn(&mut Vec<u8>));
    let hows: [How; 4] = [
        ("flip in front", |bytes| bytes[60] ^= 4),
        ("flip at the end", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("truncate", |bytes| bytes.truncate(bytes.len() - 1)),
        ("empty", Vec::clear),
    ];
    for kind in [Kind::Session, Kind::Pack, Kind::Segment, Kind::Usage, Kind::Manifest] {
        for id in world.depot.list(kind).unwrap() {
            for (name, how) in hows {
                let copy = copy(&world);
                copy.damage(kind, &id, how);
                let report = check(&world, &copy);
                let named = report.damaged.iter().any(|damaged| damaged.snapshot == manifest);
                assert!(named, "{name} of {kind}");
            }
            let copy = copy(&world);
            copy.lose(kind, &id);
            // A manifest that is gone is missed by inventories, not by a depot that does not have it.
            assert_eq!(check(&world, &copy).is_clean(), kind == Kind::Manifest, "loss of {kind}");
        }
    }
    // Two objects of one kind exchanged.
    let packs = world.depot.list(Kind::Pack).unwrap();
    let copy = copy(&world);
    let bytes = {
        let id = lumbung_model::PackId::from_bytes(packs[1]);
        let length = copy.total_bytes();
        (0..length).rev().find_map(|end| copy.read_pack(&id, 0..end).ok()).unwrap()
    };
    copy.plant(Kind::Pack, packs[0], bytes);
    assert!(!check(&world, &copy).is_clean());
}

/// The same objects in a directory.
fn on_disk(world: &World, path: &std::path::Path) -> Arc<dyn Depot> {
    let depot = LocalDepot::create(path).unwrap();
    for kind in Kind::REPOSITORY {
        for id in world.depot.list(kind).unwrap() {
            let file = depot.directory().object_path(kind, &id);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, world.depot.get(kind, &id).unwrap()).unwrap();
        }
    }
    Arc::new(depot)
}

#[test]
fn a_directory_read_pack_by_pack_is_told_of_as_a_depot_read_by_range() {
    let (world, manifest) = world();
    type How = (&'static str, fn(&mut Vec<u8>));
    let hows: [How; 5] = [
        ("flip in the header", |bytes| bytes[60] ^= 4),
        ("flip in the first frame", |bytes| {
            let at = PackTable::head_length(bytes).unwrap();
            bytes[at] ^= 1;
        }),
        ("flip at the end", |bytes| *bytes.last_mut().unwrap() ^= 1),
        ("truncate", |bytes| bytes.truncate(bytes.len() - 1)),
        ("empty", Vec::clear),
    ];
    let verify = |depot: Arc<dyn Depot>| {
        verify(&depot, Some(world.repository), None, &NoProgress, &Cancel::default()).unwrap()
    };
    let counts = |report: &VerifyReport| (report.packs, report.frames, report.bytes);
    let named = |report: &VerifyReport| {
        report.damaged.iter().map(|damaged| damaged.snapshot).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = on_disk(&world, folder.path());
    let whole = verify(disk.clone());
    assert!(whole.is_clean());
    assert_eq!(counts(&whole), counts(&check(&world, &world.depot)));
    for id in world.depot.list(Kind::Pack).unwrap() {
        let file = folder.path().join("packs").join(format!(
            "{:02x}/{}",
            id[0],
            lumbung_model::PackId::from_bytes(id)
        ));
        let good = std::fs::read(&file).unwrap();
        for (name, how) in hows {
            let memory = copy(&world);
            memory.damage(Kind::Pack, &id, how);
            let mut bytes = good.clone();
            how(&mut bytes);
            std::fs::write(&file, bytes).unwrap();
            let (disk, memory) = (verify(disk.clone()), verify(memory));
            assert_eq!((named(&disk), counts(&disk)), (vec![manifest], counts(&memory)), "{name}");
            assert_eq!(disk.damaged[0].reasons.len(), memory.damaged[0].reasons.len(), "{name}");
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(named(&verify(disk.clone())), [manifest]);
        std::fs::write(&file, good).unwrap();
    }
    assert!(verify(disk).is_clean());
}

#[test]
fn only_the_snapshots_that_use_a_bad_frame_are_damaged() {
    let (world, first) = world();
    let before: Vec<_> = data_packs(&world).into_iter().map(|(id, _)| id).collect();
    world.write("new", noise(99, 30_000));
    let second = world.backup().manifest;
    assert_ne!(first, second);
    let new = data_packs(&world).into_iter().find(|(id, _)| !before.contains(id)).unwrap().0;
    let copy = copy(&world);
    copy.damage(Kind::Pack, new.as_bytes(), |bytes| *bytes.last_mut().unwrap() ^= 1);
    let report = check(&world, &copy);
    let named: Vec<_> = report.damaged.iter().map(|damaged| damaged.snapshot).collect();
    assert_eq!((report.snapshots, named), (2, vec![second]));
    let table = data_packs(&world).into_iter().find(|(id, _)| *id == new).unwrap().1;
    let last = table.frames.len() - 1;
    let told = format!("frame {last} of pack {new}: its bytes do not match the pack's table");
    assert_eq!(report.damaged[0].reasons, [told]);
    // One that nobody uses is a finding, and harms no snapshot.
    copy.lose(Kind::Manifest, second.as_bytes());
    let report = check(&world, &copy);
    assert_eq!((report.damaged.len(), report.findings.len()), (0, 1));
    assert!(report.findings[0].starts_with(&format!("unused pack {new}")), "{:?}", report.findings);
}

#[test]
fn a_depot_that_stops_answering_ends_the_verification() {
    let (world, _) = world();
    let quiet = Arc::new(FaultyDepot::new(world.depot.clone(), Injection::Never, true));
    let run = |depot: Arc<dyn Depot>| {
        verify(&depot, Some(world.repository), None, &NoProgress, &Cancel::default())
    };
    assert!(run(quiet.clone()).unwrap().is_clean());
    let last = quiet.calls();
    for call in 1..=last {
        let gone = FaultyDepot::new(world.depot.clone(), Injection::From(call), true);
        assert!(run(Arc::new(gone)).is_err(), "gone at call {call} of {last}");
        // One answer that did not come is no damage.
        let faulty = FaultyDepot::new(world.depot.clone(), Injection::Before(call), true);
        let told = run(Arc::new(faulty));
        assert!(told.is_err() || told.unwrap().is_clean(), "call {call} of {last}");
    }
}

/// The data frames of the depot: pack, start in the pack.
fn data_packs(world: &World) -> Vec<(lumbung_model::PackId, PackTable)> {
    let mut found = Vec::new();
    for id in world.depot.list(Kind::Pack).unwrap() {
        let id = lumbung_model::PackId::from_bytes(id);
        let head = world.depot.read_pack(&id, 0..168).unwrap();
        let length = PackTable::head_length(&head).unwrap();
        let table =
            PackTable::decode(&world.depot.read_pack(&id, 0..length as u64).unwrap()).unwrap();
        if table.header.content == Content::Data {
            found.push((id, table));
        }
    }
    found
}

#[test]
fn a_bad_frame_harms_only_the_files_in_it_and_heals_from_another_depot() {
    let (world, manifest) = world();
    let good: Arc<dyn Depot> = copy(&world);
    let (pack, table) = data_packs(&world).remove(0);
    let at = usize::try_from(table.frame_range(1).start).unwrap() + 5;
    world.depot.damage(Kind::Pack, pack.as_bytes(), |bytes| bytes[at] ^= 0x80);
    let reader = world.open(&manifest);
    let target = tempfile::tempdir().unwrap();
    let outcome = world.restore_with(&reader, target.path(), RestoreOptions::default());
    assert!(outcome.failures_total > 0 && outcome.failures_total < 8, "{:?}", outcome.failures);
    assert!(outcome.failures[0].reason.contains("does not match"), "{:?}", outcome.failures);
    let report = world.compare(&reader, target.path());
    assert_eq!(report.differences_total, outcome.failures_total);

    let whole = tempfile::tempdir().unwrap();
    let request = RestoreRequest {
        snapshot: &reader,
        fallback: Some(good),
        target: whole.path(),
        include: Include::all(),
        options: RestoreOptions::default(),
        progress: &NoProgress,
        cancel: &Cancel::default(),
    };
    let outcome = restore(&request).unwrap();
    assert_eq!((outcome.failures_total, outcome.repaired_frames), (0, 1));
    let reader = world.open_at(copy(&world), &manifest);
    let differences = world.compare(&reader, whole.path()).differences_total;
    assert_eq!(
        differences, report.differences_total,
        "the depot is still damaged, the files are not"
    );
}

#[test]
fn a_lost_head_is_read_from_the_other_depot() {
    let (world, manifest) = world();
    let good: Arc<dyn Depot> = copy(&world);
    for (pack, _) in data_packs(&world) {
        world.depot.damage(Kind::Pack, pack.as_bytes(), |bytes| bytes[170] ^= 1);
    }
    let alone = world.open(&manifest);
    let target = tempfile::tempdir().unwrap();
    let outcome = world.restore_with(&alone, target.path(), RestoreOptions::default());
    assert_eq!(outcome.failures_total, 40);
    let reader = SnapshotReader::open_with_fallback(
        world.depot.clone(),
        Some(good),
        None,
        &manifest,
        &world.recovery,
    )
    .unwrap();
    let target = tempfile::tempdir().unwrap();
    assert_eq!(world.restore_with(&reader, target.path(), RestoreOptions::default()).failures, []);
    assert_eq!(world.compare(&reader, target.path()).differences, []);
}

#[test]
fn a_lost_pack_harms_only_the_files_in_it() {
    let (world, manifest) = world();
    let packs = data_packs(&world);
    assert!(packs.len() > 2);
    world.depot.lose(Kind::Pack, packs[0].0.as_bytes());
    let reader = world.open(&manifest);
    let target = tempfile::tempdir().unwrap();
    let outcome = world.restore_with(&reader, target.path(), RestoreOptions::default());
    assert!(outcome.failures_total > 0 && outcome.failures_total < 30, "{:?}", outcome.failures);
    let told = &outcome.failures[0].reason;
    assert!(told.contains("1 could not") && told.contains(&packs[0].0.to_string()), "{told}");
    let report = world.compare(&reader, target.path());
    assert_eq!(report.differences_total, outcome.failures_total);
}
