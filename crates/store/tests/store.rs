//! A repository in a directory: what is kept, what is refused, what is found damaged.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::Barrier;

use lumbung_model::{PackId, Secret};
use lumbung_pack::limits::{OBJECT_MAX_BYTES, PACK_FIXED_BYTES};
use lumbung_pack::{Kind, PackTable, object_id};
use lumbung_store::{PackChecker, PackFault, PutOutcome, RepositoryDir, StoreError, sample};

fn random() -> [u8; 32] {
    *Secret::<32>::random().expose()
}

fn new(dir: &Path) -> RepositoryDir {
    RepositoryDir::create(dir.join("repository")).unwrap()
}

fn pack(lengths: &[usize]) -> (PackId, PackTable, Vec<u8>) {
    let (table, bytes) = sample::pack(random(), lengths, |_| random());
    (table.id(), table, bytes)
}

fn put_pack(
    repository: &RepositoryDir,
    id: &PackId,
    bytes: &[u8],
) -> Result<PutOutcome, StoreError> {
    let mut writer = repository.pack_writer(id)?;
    bytes.chunks(1000).try_for_each(|piece| writer.write(piece))?;
    writer.finish()
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

/// Made by a version that knew fewer kinds: what it lacks is listed as empty, and made when something comes.
#[test]
fn an_older_repository_takes_a_newer_kind() {
    let dir = tempfile::tempdir().unwrap();
    let path = new(dir.path()).path().to_owned();
    std::fs::remove_dir(path.join(Kind::Opening.folder())).unwrap();
    let repository = RepositoryDir::open(&path).unwrap();
    assert_eq!(repository.list(Kind::Opening).unwrap(), Vec::<[u8; 32]>::new());
    let id = object_id(b"an opening");
    assert_eq!(repository.put(Kind::Opening, &id, b"an opening").unwrap(), PutOutcome::Created);
    assert_eq!(repository.list(Kind::Opening).unwrap(), [id]);
}

#[test]
fn objects_are_kept_once_under_their_hash() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let id = object_id(b"an object");
    assert_eq!(repository.put(Kind::Usage, &id, b"an object").unwrap(), PutOutcome::Created);
    assert_eq!(repository.put(Kind::Usage, &id, b"an object").unwrap(), PutOutcome::AlreadyThere);
    assert_eq!(repository.get(Kind::Usage, &id).unwrap(), b"an object");
    assert_eq!(repository.list(Kind::Usage).unwrap(), [id]);
    assert!(matches!(repository.get(Kind::Segment, &id), Err(StoreError::NotFound { .. })));
    assert!(matches!(
        repository.put(Kind::Usage, &id, b"another"),
        Err(StoreError::WrongId { .. })
    ));
    let huge = vec![0; OBJECT_MAX_BYTES + 1];
    assert!(matches!(
        repository.put(Kind::Usage, &object_id(&huge), &huge),
        Err(StoreError::TooLarge { .. })
    ));
    for kind in [Kind::Pack, Kind::AgentIdentity, Kind::KeyBundle] {
        assert!(
            matches!(repository.put(kind, &id, b"an object"), Err(StoreError::NotKept { .. })),
            "{kind}"
        );
    }
    assert_eq!(files(repository.path()).len(), 1);
}

#[test]
fn a_damaged_object_is_found_and_replaced_by_the_good_one() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let id = object_id(b"an object");
    repository.put(Kind::Session, &id, b"an object").unwrap();
    let path = repository.object_path(Kind::Session, &id);
    for damage in [&b"an Object"[..], b"an objec", b"", &vec![b'x'; OBJECT_MAX_BYTES + 1]] {
        std::fs::write(&path, damage).unwrap();
        let error = repository.get(Kind::Session, &id).unwrap_err();
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::TooLarge { .. }),
            "{error}"
        );
        assert_eq!(repository.put(Kind::Session, &id, b"an object").unwrap(), PutOutcome::Created);
        assert_eq!(repository.get(Kind::Session, &id).unwrap(), b"an object");
    }
}

#[test]
fn a_link_is_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let secret = dir.path().join("secret");
    std::fs::write(&secret, b"an object").unwrap();
    let id = object_id(b"an object");
    std::os::unix::fs::symlink(&secret, repository.object_path(Kind::Usage, &id)).unwrap();
    assert!(repository.get(Kind::Usage, &id).is_err());
}

#[test]
fn foreign_names_and_unfinished_writes_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let (id, _, bytes) = pack(&[100]);
    put_pack(&repository, &id, &bytes).unwrap();
    let folder = repository.object_path(Kind::Pack, id.as_bytes()).parent().unwrap().to_owned();
    for name in [".tmp-0123", "README", &"0".repeat(63), &"A".repeat(64)] {
        std::fs::write(folder.join(name), b"x").unwrap();
    }
    // A pack in the wrong folder has the wrong name.
    std::fs::create_dir_all(repository.path().join("packs/zz")).unwrap();
    assert_eq!(repository.list(Kind::Pack).unwrap(), [*id.as_bytes()]);
    assert_eq!(repository.sweep_unfinished().unwrap(), 1);
    assert!(folder.join("README").exists());
}

#[test]
fn a_repository_is_made_in_an_empty_directory_only() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("letter.odt"), b"x").unwrap();
    assert!(matches!(RepositoryDir::create(dir.path()), Err(StoreError::NotEmpty { .. })));
    assert!(matches!(RepositoryDir::open(dir.path()), Err(StoreError::NotARepository { .. })));
    let repository = new(dir.path());
    RepositoryDir::create(repository.path()).expect("making it again is harmless");
    RepositoryDir::open(repository.path()).unwrap();
}

#[test]
fn writers_of_the_same_object_agree() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let (id, _, bytes) = pack(&[50_000, 100]);
    let object = object_id(b"an object");
    let start = Barrier::new(8);
    let outcomes: Vec<(PutOutcome, PutOutcome)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    start.wait();
                    (
                        put_pack(&repository, &id, &bytes).unwrap(),
                        repository.put(Kind::Usage, &object, b"an object").unwrap(),
                    )
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|(pack, _)| *pack == PutOutcome::Created).count(), 1);
    assert_eq!(outcomes.iter().filter(|(_, object)| *object == PutOutcome::Created).count(), 1);
    assert_eq!(files(repository.path()).len(), 2, "no temporary file stays");
    assert_eq!(repository.get(Kind::Pack, id.as_bytes()).unwrap(), bytes);
}

#[test]
fn a_pack_is_checked_whatever_the_pieces() {
    let (id, table, bytes) = pack(&[1, 3000, 17, 40_000]);
    for size in [1, 7, 76, 168, 4096, bytes.len()] {
        let mut checker = PackChecker::new(id);
        bytes.chunks(size).try_for_each(|piece| checker.push(piece)).unwrap();
        assert_eq!(checker.finish().unwrap(), table, "pieces of {size}");
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_a_pack_is_found() {
    let (id, _, bytes) = pack(&[40, 60]);
    let check = |bytes: &[u8]| {
        let mut checker = PackChecker::new(id);
        checker.push(bytes)?;
        checker.finish()
    };
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            assert!(check(&damaged).is_err(), "byte {at}, bit {bit}");
        }
        assert!(check(&bytes[..at]).is_err(), "cut at {at}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(matches!(check(&longer), Err(PackFault::Trailing)));
}

#[test]
fn a_table_beyond_the_limits_takes_no_memory() {
    let (_, _, bytes) = pack(&[40]);
    let mut head = bytes[..PACK_FIXED_BYTES].to_vec();
    head[164..168].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut checker = PackChecker::new(PackId::from_bytes([0; 32]));
    assert!(matches!(checker.push(&head), Err(PackFault::Head(_) | PackFault::Table { .. })));
}

#[test]
fn a_pack_that_breaks_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let (id, _, bytes) = pack(&[5000, 5000]);
    assert!(matches!(
        put_pack(&repository, &id, &bytes[..bytes.len() - 1]),
        Err(StoreError::Pack { .. })
    ));
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    assert!(matches!(put_pack(&repository, &id, &wrong), Err(StoreError::Pack { .. })));
    let mut writer = repository.pack_writer(&id).unwrap();
    writer.write(&bytes).unwrap();
    drop(writer);
    assert_eq!(files(repository.path()), Vec::<String>::new());
    assert_eq!(put_pack(&repository, &id, &bytes).unwrap(), PutOutcome::Created);
    assert_eq!(put_pack(&repository, &id, &bytes).unwrap(), PutOutcome::AlreadyThere);
}

#[test]
fn frames_are_read_checked_and_repaired() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let (id, table, bytes) = pack(&[5000, 6000, 7000]);
    put_pack(&repository, &id, &bytes).unwrap();
    assert_eq!(repository.pack_head(&id).unwrap(), table);
    let frame = |i: usize| {
        let range = table.frame_range(i);
        &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]
    };
    assert_eq!(repository.read_frame(&id, &table, 1).unwrap(), frame(1));
    let length = bytes.len() as u64;
    assert!(matches!(repository.read_range(&id, length - 1, 2), Err(StoreError::Range { .. })));
    assert!(matches!(repository.read_range(&id, u64::MAX, 2), Err(StoreError::Range { .. })));

    let path = repository.object_path(Kind::Pack, id.as_bytes());
    let mut damaged = bytes.clone();
    damaged[usize::try_from(table.frame_range(1).start).unwrap()] ^= 1;
    damaged.truncate(bytes.len() - 100);
    damaged[10] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(matches!(repository.pack_head(&id), Err(StoreError::Damaged { .. })));
    assert!(matches!(
        repository.read_frame(&id, &table, 1),
        Err(StoreError::Frame { frame: 1, .. })
    ));
    assert!(matches!(repository.read_frame(&id, &table, 2), Err(StoreError::Range { .. })));
    let reader = repository.open_pack(&id).unwrap();
    assert!(matches!(
        repository.repair_frame(&id, &table, 1, frame(0)),
        Err(StoreError::Frame { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), damaged, "a wrong frame changes nothing");
    repository.repair_frame(&id, &table, 1, frame(1)).unwrap();
    assert_eq!(repository.read_frame(&id, &table, 1).unwrap(), frame(1));
    assert!(repository.read_frame(&id, &table, 2).is_err(), "what had no good copy stays bad");
    repository.repair_frame(&id, &table, 2, frame(2)).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(reader.length(), damaged.len() as u64, "an open reader goes on with what it opened");

    let (_, other, _) = pack(&[5000, 6000, 7000]);
    assert!(matches!(
        repository.repair_frame(&id, &other, 1, frame(1)),
        Err(StoreError::Damaged { .. })
    ));
}

#[test]
fn an_object_is_removed_once_and_has_a_time_of_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let repository = new(dir.path());
    let (id, _, bytes) = pack(&[5000]);
    let segment = object_id(b"a segment");
    let missing = |error: StoreError| assert!(error.is_not_found(), "{error}");
    for kind in [Kind::Pack, Kind::Segment] {
        let id = if kind == Kind::Pack { *id.as_bytes() } else { segment };
        missing(repository.arrived(kind, &id).unwrap_err());
        assert!(!repository.remove(kind, &id).unwrap());
    }
    put_pack(&repository, &id, &bytes).unwrap();
    repository.put(Kind::Segment, &segment, b"a segment").unwrap();
    for kind in [Kind::Pack, Kind::Segment] {
        let id = if kind == Kind::Pack { *id.as_bytes() } else { segment };
        let written = std::fs::metadata(repository.object_path(kind, &id)).unwrap();
        let written = written.modified().unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
        let arrived = repository.arrived(kind, &id).unwrap();
        assert_eq!(u64::try_from(arrived.0).unwrap(), written.as_secs());
        assert!(repository.remove(kind, &id).unwrap());
        assert!(!repository.contains(kind, &id).unwrap());
        assert!(!repository.remove(kind, &id).unwrap(), "a second time finds nothing");
    }
    assert_eq!(files(repository.path()), Vec::<String>::new());
    assert!(matches!(
        repository.remove(Kind::KeyBundle, &segment),
        Err(StoreError::NotKept { .. })
    ));
}
