//! Listing, finding, comparing snapshots; restoring over what is there.

use lumbung_engine::{Cancel, Include, NoProgress};
use lumbung_engine::{
    Change, Excludes, OverwritePolicy, Query, RestoreOptions, RestoreRequest, Search,
    SnapshotReader, restore,
};

use crate::world::{World, noise};

fn names(entries: &[lumbung_seal::catalogue::Entry], world: &World) -> Vec<String> {
    let root = world.source();
    let strip = |path: &[u8]| {
        let path = format!("/{}", String::from_utf8(path.to_vec()).unwrap());
        path.strip_prefix(root.to_str().unwrap())
            .unwrap_or(&path)
            .trim_start_matches('/')
            .to_owned()
    };
    entries.iter().map(|entry| strip(&entry.path)).collect()
}

fn tree(world: &World) {
    // Enough entries for many catalogue chunks.
    for n in 0..3000 {
        world.write(
            &format!("many/{:02}/{n:04}-with-a-name-of-some-length", n % 40),
            format!("{n}"),
        );
    }
    for name in ["alpha/one", "alpha/two", "alpha/sub/three", "omega"] {
        world.write(name, name);
    }
}

fn path(world: &World, name: &str) -> Vec<u8> {
    format!("{}/{name}", world.source().display()).into_bytes()
}

#[test]
fn folders_are_listed_and_names_found() {
    let world = World::new();
    tree(&world);
    let reader = world.open(&world.backup().manifest);
    let list = |name| names(&reader.list(&path(&world, name)).unwrap(), &world);
    assert_eq!(list(""), ["alpha", "many", "omega"]);
    assert_eq!(list("alpha"), ["alpha/one", "alpha/sub", "alpha/two"]);
    assert_eq!(list("many").len(), 40);
    assert_eq!(list("many/07").len(), 75);
    assert_eq!(list("omega"), ["omega"]);
    assert!(reader.list(b"no/such").unwrap_err().to_string().contains("is not in the snapshot"));
    let pattern = Excludes::new(["*2999*", "sub"]).unwrap();
    let mut search = Search::new(Query { pattern, limit: 10, ..Query::default() });
    search.add(&reader, &[0]).unwrap();
    let found: Vec<_> = search.finish().0.into_iter().map(|version| version.entry).collect();
    assert_eq!(names(&found, &world), ["alpha/sub", "many/39/2999-with-a-name-of-some-length"]);
    let mut bytes = Vec::new();
    reader.write_content(&reader.entry(&path(&world, "alpha/two")).unwrap(), &mut bytes).unwrap();
    assert_eq!(bytes, b"alpha/two");
    assert!(
        reader.write_content(&reader.entry(&path(&world, "alpha")).unwrap(), &mut bytes).is_err()
    );
    let mut parts = Vec::new();
    let include = Include::paths([path(&world, "many/11"), path(&world, "alpha/sub/three")]);
    reader
        .for_each::<lumbung_engine::SnapshotError>(&include, &mut |entry| {
            if include.contains(&entry.path) {
                parts.push(entry);
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(parts.len(), 77);
}

#[test]
fn a_sparse_file_is_written_out_with_its_zeros() {
    use std::os::unix::fs::FileExt as _;
    let world = World::new();
    let file = std::fs::File::create(world.source().join("sparse")).unwrap();
    file.set_len(400_000).unwrap();
    file.write_all_at(&noise(1, 9000), 100_000).unwrap();
    let reader = world.open(&world.backup().manifest);
    let mut bytes = Vec::new();
    reader.write_content(&reader.entry(&path(&world, "sparse")).unwrap(), &mut bytes).unwrap();
    assert!(bytes == std::fs::read(world.source().join("sparse")).unwrap());
}

#[test]
fn two_snapshots_are_compared() {
    let world = World::new();
    tree(&world);
    let before = world.open(&world.backup().manifest);
    world.write("alpha/one", "changed");
    world.write("many/05/new", "new");
    std::fs::remove_file(world.source().join("omega")).unwrap();
    let two = std::fs::File::open(world.source().join("alpha/two")).unwrap();
    two.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let after = world.open(&world.backup().manifest);
    let mut changes = Vec::new();
    before
        .diff(&after, &mut |diff| {
            if !matches!(diff.entry.kind, lumbung_seal::catalogue::EntryKind::Directory) {
                changes.push((diff.change, names(&[diff.entry], &world).remove(0)));
            }
        })
        .unwrap();
    let expected = [
        (Change::Content, "alpha/one"),
        (Change::Attributes, "alpha/two"),
        (Change::Added, "many/05/new"),
        (Change::Removed, "omega"),
    ];
    // Everything was read and cut again (it was written just now), and still only what changed is told.
    assert!(changes.len() < 10, "{} changes", changes.len());
    assert_eq!(changes, expected.map(|(change, name)| (change, name.to_owned())));
    let mut none = 0;
    after.diff(&after, &mut |_| none += 1).unwrap();
    assert_eq!(none, 0);
}

#[test]
fn a_target_that_holds_something_is_left_or_overwritten() {
    let world = World::new();
    world.write("file", "right");
    world.write("folder/inner", "right");
    std::os::unix::fs::symlink("elsewhere", world.source().join("link")).unwrap();
    let reader = world.open(&world.backup().manifest);
    let target = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let at = world.restored(target.path());
    std::fs::create_dir_all(at.join("link")).unwrap();
    std::fs::write(at.join("file"), "wrong and longer").unwrap();
    std::fs::write(at.join("other"), "stays").unwrap();
    // What a snapshot has as a folder is a link here: it must not be followed.
    std::os::unix::fs::symlink(outside.path(), at.join("folder")).unwrap();
    let cancel = Cancel::default();
    let request = |options| RestoreRequest {
        snapshot: &reader,
        fallback: None,
        target: target.path(),
        include: Include::all(),
        options,
        progress: &NoProgress,
        cancel: &cancel,
    };
    // By itself nothing that is there is touched, and what is in the way is told.
    let outcome = restore(&request(RestoreOptions::default())).unwrap();
    assert_eq!(std::fs::read(at.join("file")).unwrap(), b"wrong and longer");
    assert!(outcome.kept.iter().any(|path| path.ends_with(b"/file")), "{outcome:?}");
    assert!(outcome.failures.iter().any(|f| f.path.ends_with(b"/folder")), "{outcome:?}");
    for use_openat2 in [true, false] {
        let options = RestoreOptions {
            overwrite: OverwritePolicy::IfChanged,
            use_openat2,
            ..RestoreOptions::default()
        };
        assert_eq!(restore(&request(options)).unwrap().failures, []);
        assert_eq!(std::fs::read(at.join("file")).unwrap(), b"right");
        assert_eq!(std::fs::read(at.join("folder/inner")).unwrap(), b"right");
        assert_eq!(std::fs::read(at.join("other")).unwrap(), b"stays");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
    let report = world.compare(&reader, target.path());
    assert_eq!(report.differences_total, 1, "the file that stayed: {report:?}");
}

#[test]
fn the_key_of_somebody_else_opens_nothing() {
    let world = World::new();
    world.write("secret", "of the PD");
    let manifest = world.backup().manifest;
    let other = lumbung_seal::RecoveryKey::generate();
    let error = SnapshotReader::open(world.depot.clone(), None, &manifest, &other).err().unwrap();
    let told = std::error::Error::source(&error).unwrap().to_string();
    assert!(told.contains("is not sealed to the recovery key"), "{told}");
}

/// A depot that counts what is read of its packs, and has no place on this machine.
struct Counting {
    depot: std::sync::Arc<lumbung_engine::MemoryDepot>,
    reads: std::sync::Mutex<std::collections::BTreeMap<lumbung_model::PackId, u64>>,
}

impl lumbung_engine::Depot for Counting {
    fn describe(&self) -> String {
        self.depot.describe()
    }
    fn list(&self, kind: lumbung_pack::Kind) -> Result<Vec<[u8; 32]>, lumbung_engine::DepotError> {
        self.depot.list(kind)
    }
    fn get(
        &self,
        kind: lumbung_pack::Kind,
        id: &[u8; 32],
    ) -> Result<Vec<u8>, lumbung_engine::DepotError> {
        self.depot.get(kind, id)
    }
    fn put(
        &self,
        kind: lumbung_pack::Kind,
        id: &[u8; 32],
        bytes: &[u8],
    ) -> Result<(), lumbung_engine::DepotError> {
        self.depot.put(kind, id, bytes)
    }
    fn put_pack(
        &self,
        id: &lumbung_model::PackId,
        head: &bytes::Bytes,
        pieces: &[bytes::Bytes],
    ) -> Result<(), lumbung_engine::DepotError> {
        self.depot.put_pack(id, head, pieces)
    }
    fn read_pack(
        &self,
        id: &lumbung_model::PackId,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<u8>, lumbung_engine::DepotError> {
        *self.reads.lock().unwrap().entry(*id).or_default() += 1;
        self.depot.read_pack(id, range)
    }
    fn have(
        &self,
        packs: &[lumbung_pack::PackUse],
    ) -> Result<Vec<lumbung_pack::PackUse>, lumbung_engine::DepotError> {
        self.depot.have(packs)
    }
    fn commit(
        &self,
        id: &lumbung_model::ManifestId,
        manifest: &[u8],
    ) -> Result<lumbung_engine::Commit, lumbung_engine::DepotError> {
        self.depot.commit(id, manifest)
    }
}

#[test]
fn one_file_is_read_without_the_heads_of_most_packs_and_later_without_any() {
    use lumbung_engine::{Depot, HeadCache};
    let mut world = World::new();
    // Many small packs.
    world.options.pack_target = 8 << 10;
    for n in 0..600 {
        world.write(&format!("d/{n:04}"), noise(n, 9000));
    }
    let manifest = world.backup().manifest;
    let packs = world.depot.list(lumbung_pack::Kind::Pack).unwrap().len() as u64;
    assert!(packs > 500, "{packs}");
    let counting = std::sync::Arc::new(Counting {
        depot: world.depot.clone(),
        reads: std::sync::Mutex::default(),
    });
    let folder = tempfile::tempdir().unwrap();
    let cache = HeadCache::new(folder.path().join("heads"));
    let read = |cache: Option<HeadCache>| {
        counting.reads.lock().unwrap().clear();
        let repository = Some(world.repository);
        let depot = counting.clone();
        let key = &world.recovery;
        let reader =
            SnapshotReader::open_cached(depot, None, repository, &manifest, key, cache).unwrap();
        let mut bytes = Vec::new();
        let entry = reader.entry(&path(&world, "d/0123")).unwrap();
        reader.write_content(&entry, &mut bytes).unwrap();
        assert_eq!(bytes, noise(123, 9000));
        counting.reads.lock().unwrap().values().sum::<u64>()
    };
    let cold = read(Some(cache.clone()));
    let warm = read(Some(cache.clone()));
    assert!(warm < 40 && warm < cold, "{warm} reads after {cold}");
    assert_eq!(read(None), cold, "the same order each time");

    // A cache that lies is not believed.
    for shard in std::fs::read_dir(cache.folder()).unwrap() {
        for head in std::fs::read_dir(shard.unwrap().path()).unwrap() {
            let path = head.unwrap().path();
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[170] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert_eq!(read(Some(cache.clone())), cold);
    assert!(read(Some(cache)) == warm, "and it heals");
}

#[test]
fn a_part_of_the_catalogue_that_snapshots_share_is_searched_once() {
    let world = World::new();
    tree(&world);
    // Names that take room: where the catalogue is cut depends on them, but they fill several parts.
    for n in 0..4000 {
        world.write(&format!("zz/{n:04}_{}", "x".repeat(220)), "");
    }
    let first = world.open(&world.backup().manifest);
    world.trust_cache();
    world.write("alpha/one", "other");
    let second = world.open(&world.backup().manifest);
    let pattern = Excludes::new(["one", "*0007-*"]).unwrap();
    let mut search = Search::new(Query { pattern, limit: 10, ..Query::default() });
    search.add(&second, &[1]).unwrap();
    let all = search.parts_read();
    assert!(all > 1, "{all}");
    search.add(&first, &[0]).unwrap();
    let more = search.parts_read() - all;
    assert!(more < all, "{more} of {all} parts were read again");
    let (versions, left_out) = search.finish();
    assert_eq!(left_out, 0);
    let told: Vec<_> = versions.iter().map(|v| (v.snapshots, v.sites.clone())).collect();
    assert_eq!(told, [(1, vec![1]), (1, vec![0]), (2, vec![0, 1])]);
    assert_eq!(versions[0].last.0, second.snapshot().id);
    assert_eq!(
        (versions[2].first.0, versions[2].last.0),
        (first.snapshot().id, second.snapshot().id)
    );
}

#[test]
fn a_snapshot_is_looked_into_at_random() {
    use lumbung_engine::SnapshotFiles;
    use std::os::unix::fs::FileExt as _;
    let world = World::new();
    tree(&world);
    world.write("big", noise(5, 700_000));
    let sparse = std::fs::File::create(world.source().join("sparse")).unwrap();
    sparse.set_len(900_000).unwrap();
    for at in [0, 250_000, 899_000] {
        sparse.write_all_at(&noise(at, 900), at).unwrap();
    }
    std::fs::hard_link(world.source().join("big"), world.source().join("z")).unwrap();
    let files = SnapshotFiles::new(world.open(&world.backup().manifest));
    for name in ["big", "sparse", "z"] {
        let whole = std::fs::read(world.source().join(name)).unwrap();
        let opened = files.open(files.entry(&path(&world, name)[1..]).unwrap()).unwrap();
        assert_eq!(opened.size(), whole.len() as u64);
        let mut state = 7_usize;
        for _ in 0..300 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (offset, length) = ((state >> 20) % (whole.len() + 10), (state >> 7) % 60_000);
            let read = files.read(&opened, offset as u64, length).unwrap();
            let from = offset.min(whole.len());
            assert!(
                read == whole[from..(offset + length).min(whole.len()).max(from)],
                "{name} {offset}"
            );
        }
    }
    // A folder in steps of one, as a small buffer of the kernel would ask for it.
    let folder = path(&world, "many/07");
    let (mut position, mut found) = (0, 0);
    loop {
        let before = position;
        files
            .children(&folder[1..], position, &mut |_, next| {
                position = next;
                false
            })
            .unwrap();
        if position == before {
            break;
        }
        found += 1;
    }
    assert_eq!(found, 75);
}
