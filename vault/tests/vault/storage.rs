//! What every storage behind the vault must do, on the storage itself.

use std::path::Path;
use std::sync::Arc;

use lumbung_model::{DomainId, RepositoryId, SessionId, SiteId};
use lumbung_pack::limits::OBJECT_MAX_BYTES;
use lumbung_pack::{Bitmap, Kind, object_id};
use lumbung_store::{PutOutcome, StoreError};
use lumbung_vault::Config;
use lumbung_vault::storage::{self, Place, SetupError, Storage};

use crate::backing::{self, Lying};
use crate::support::{TestPack, clock, pack_of};

/// The place of a vault with its data there.
pub(crate) fn open(data: &Path, settings: &str) -> Result<Box<dyn Place>, SetupError> {
    std::fs::create_dir_all(data).unwrap();
    let file = data.join("vault.toml");
    std::fs::write(&file, format!("data = {data:?}\nlisten = \"127.0.0.1:0\"\n{settings}"))
        .unwrap();
    storage::open(&Config::load(&file).unwrap(), SiteId::random(), clock())
}

const ID: RepositoryId = RepositoryId::from_bytes([7; 32]);

fn lying(data: &Path, kind: Kind, id: &[u8; 32]) -> Lying {
    let name = lumbung_model::PackId::from_bytes(*id).to_string();
    let prefix = if kind == Kind::Pack { format!("{}/", &name[..2]) } else { String::new() };
    backing::lying(data, format!("repositories/{ID}/{}/{prefix}{name}", kind.folder()))
}

fn pack(lengths: &[usize]) -> TestPack {
    pack_of(ID, DomainId::random(), SessionId::from_bytes([3; 32]), lengths)
}

fn put_pack(store: &dyn Storage, pack: &TestPack) -> Result<PutOutcome, StoreError> {
    let mut writer = store.pack_writer(&pack.id)?;
    pack.bytes.chunks(1000).try_for_each(|piece| writer.write(piece))?;
    writer.finish()
}

pub(crate) fn range(pack: &TestPack, frame: usize) -> std::ops::Range<usize> {
    let range = pack.table.frame_range(frame);
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}

pub(crate) fn frames(of: &TestPack, set: &[u32]) -> Bitmap {
    let mut frames = Bitmap::new(u32::try_from(of.table.frames.len()).unwrap());
    set.iter().for_each(|frame| frames.set(*frame));
    frames
}

/// Everything that a storage must do; run over a directory, over S3, and over an S3 store without conditions.
pub(crate) fn contract(data: &Path, settings: &str) {
    let place = open(data, settings).unwrap();
    assert!(matches!(place.open(&ID), Err(StoreError::NotARepository { .. })));
    let store = place.create(&ID).unwrap();
    small_objects(data, &*store);
    packs(data, &*store);
    repairs(data, &*store);
    let dropped = dropped_frames(&*store);
    assert_eq!(place.repositories().unwrap(), [ID]);
    drop((store, place));

    let place = open(data, settings).unwrap();
    assert!(matches!(place.open(&ID), Err(StoreError::NotARepository { .. })) == crate::S3);
    let store = place.create(&ID).unwrap();
    assert_eq!(store.list_presence().unwrap(), [dropped.id]);
    assert_eq!(
        store.presence(&dropped.id, &dropped.table).unwrap(),
        Some(frames(&dropped, &[0, 2]))
    );
    assert_eq!(store.pack_len(&dropped.id).unwrap(), dropped.bytes.len() as u64);
    partial_packs(&*store, &dropped);
    let roster = object_id(b"a roster");
    store.put(Kind::Roster, &roster, b"a roster").unwrap();
    place.open(&ID).unwrap();
}

fn small_objects(data: &Path, store: &dyn Storage) {
    let bytes = b"a segment".to_vec();
    let id = object_id(&bytes);
    assert!(matches!(store.get(Kind::Segment, &id), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.arrived(Kind::Segment, &id), Err(StoreError::NotFound { .. })));
    assert!(!store.contains(Kind::Segment, &id).unwrap());
    assert_eq!(store.put(Kind::Segment, &id, &bytes).unwrap(), PutOutcome::Created);
    assert_eq!(store.put(Kind::Segment, &id, &bytes).unwrap(), PutOutcome::AlreadyThere);
    assert_eq!(store.get(Kind::Segment, &id).unwrap(), bytes);
    assert!(store.contains(Kind::Segment, &id).unwrap());
    assert!(!store.contains(Kind::Usage, &id).unwrap());
    let age_s = clock().now().seconds_since(store.arrived(Kind::Segment, &id).unwrap());
    assert!((-5..3600).contains(&age_s), "{age_s}");

    assert!(matches!(store.put(Kind::Segment, &id, b"other"), Err(StoreError::WrongId { .. })));
    let long = vec![0; OBJECT_MAX_BYTES + 1];
    let too_long = store.put(Kind::Segment, &object_id(&long), &long);
    assert!(matches!(too_long, Err(StoreError::TooLarge { .. })));
    assert!(matches!(store.put(Kind::Pack, &id, &bytes), Err(StoreError::NotKept { .. })));
    assert!(matches!(store.get(Kind::KeyBundle, &id), Err(StoreError::NotKept { .. })));

    // Damage is found, and healed by the same object.
    lying(data, Kind::Segment, &id).write(b"a segmenT".to_vec());
    assert!(matches!(store.get(Kind::Segment, &id), Err(StoreError::Damaged { .. })));
    assert_eq!(store.put(Kind::Segment, &id, &bytes).unwrap(), PutOutcome::Created);
    assert_eq!(store.get(Kind::Segment, &id).unwrap(), bytes);

    let other = object_id(b"another");
    store.put(Kind::Segment, &other, b"another").unwrap();
    let mut both = [id, other];
    both.sort_unstable();
    assert_eq!(store.list(Kind::Segment).unwrap(), both);
    assert!(store.remove(Kind::Segment, &other).unwrap());
    assert!(!store.remove(Kind::Segment, &other).unwrap());
    assert_eq!(store.list(Kind::Segment).unwrap(), [id]);
}

fn packs(data: &Path, store: &dyn Storage) {
    let pack = pack(&[5000, 200_000, 7000]);
    assert!(matches!(store.open_pack(&pack.id), Err(StoreError::NotFound { .. })));
    assert!(matches!(store.pack_len(&pack.id), Err(StoreError::NotFound { .. })));
    let mut wrong = pack.clone();
    *wrong.bytes.last_mut().unwrap() ^= 1;
    assert!(matches!(put_pack(store, &wrong), Err(StoreError::Pack { .. })));
    let mut short = store.pack_writer(&pack.id).unwrap();
    short.write(&pack.bytes[..pack.bytes.len() - 1]).unwrap();
    assert_eq!(short.table(), Some(&pack.table));
    assert!(matches!(short.finish(), Err(StoreError::Pack { .. })));
    assert!(matches!(store.open_pack(&pack.id), Err(StoreError::NotFound { .. })));

    assert_eq!(put_pack(store, &pack).unwrap(), PutOutcome::Created);
    assert_eq!(put_pack(store, &pack).unwrap(), PutOutcome::AlreadyThere);
    store.sync_pack(&pack.id).unwrap();
    let length = pack.bytes.len();
    assert_eq!(store.pack_len(&pack.id).unwrap(), length as u64);
    let lens = store.pack_lens(&[pack.id, lumbung_model::PackId::from_bytes([1; 32])]);
    assert_eq!(*lens[0].as_ref().unwrap(), length as u64);
    assert!(matches!(lens[1], Err(StoreError::NotFound { .. })));
    assert_eq!(store.pack_head(&pack.id).unwrap(), pack.table);
    assert_eq!(store.get(Kind::Pack, pack.id.as_bytes()).unwrap(), pack.bytes);
    assert_eq!(store.list(Kind::Pack).unwrap(), [*pack.id.as_bytes()]);
    let open = store.open_pack(&pack.id).unwrap();
    for (from, to) in
        [(0, length), (0, 1), (70_000, 70_001), (length - 1, length), (5, 5), (length, length)]
    {
        assert_eq!(open.read_range(from as u64, to - from).unwrap(), pack.bytes[from..to]);
    }
    for (offset, wanted) in [(length as u64, 1), (u64::MAX, 2), (0, length + 1)] {
        assert!(matches!(open.read_range(offset, wanted), Err(StoreError::Range { .. })));
    }
    for frame in [1, 0, 2] {
        assert_eq!(open.read_frame(&pack.table, frame).unwrap(), pack.bytes[range(&pack, frame)]);
    }
    // Cut down to nothing, it is damaged and not out of reach.
    lying(data, Kind::Pack, pack.id.as_bytes()).write(Vec::new());
    assert!(matches!(store.pack_head(&pack.id), Err(StoreError::Damaged { .. })));
    let mut writer = store.pack_writer(&pack.id).unwrap();
    writer.write(&pack.bytes).unwrap();
    assert_eq!(writer.finish_over().unwrap(), PutOutcome::Created);
    assert_eq!(store.get(Kind::Pack, pack.id.as_bytes()).unwrap(), pack.bytes);
    assert!(store.remove(Kind::Pack, pack.id.as_bytes()).unwrap());
}

fn repairs(data: &Path, store: &dyn Storage) {
    let pack = pack(&[5000, 6000, 7000]);
    put_pack(store, &pack).unwrap();
    let object = lying(data, Kind::Pack, pack.id.as_bytes());
    let mut damaged = pack.bytes.clone();
    damaged[range(&pack, 1).start] ^= 1;
    damaged.truncate(pack.bytes.len() - 100);
    damaged[10] ^= 1;
    object.write(damaged.clone());
    assert!(matches!(store.pack_head(&pack.id), Err(StoreError::Damaged { .. })));
    let open = store.open_pack(&pack.id).unwrap();
    assert!(matches!(open.read_frame(&pack.table, 1), Err(StoreError::Frame { frame: 1, .. })));
    assert!(matches!(open.read_frame(&pack.table, 2), Err(StoreError::Range { .. })));
    let good = |frame: usize| &pack.bytes[range(&pack, frame)];
    let refused = store.repair_frames(&pack.id, &pack.table, &[(1, good(0))]);
    assert!(matches!(refused, Err(StoreError::Frame { .. })));
    assert_eq!(object.read(), damaged, "a wrong frame changes nothing");
    store.repair_frames(&pack.id, &pack.table, &[(1, good(1))]).unwrap();
    let open = store.open_pack(&pack.id).unwrap();
    assert_eq!(open.read_frame(&pack.table, 1).unwrap(), good(1));
    assert!(open.read_frame(&pack.table, 2).is_err(), "what had no good copy stays bad");
    store.repair_frames(&pack.id, &pack.table, &[(2, good(2))]).unwrap();
    assert_eq!(object.read(), pack.bytes);
    assert!(store.remove(Kind::Pack, pack.id.as_bytes()).unwrap());
    let gone = store.repair_frames(&pack.id, &pack.table, &[(2, good(2))]);
    assert!(matches!(gone, Err(StoreError::NotFound { .. })));
}

/// Gives a pack that has frames 0 and 2 left.
pub(crate) fn dropped_frames(store: &dyn Storage) -> TestPack {
    let pack = pack(&[5000, 6000, 7000, 100_000]);
    put_pack(store, &pack).unwrap();
    assert_eq!(store.presence(&pack.id, &pack.table).unwrap(), None);
    let before = store.open_pack(&pack.id).unwrap();
    before.head().unwrap();
    for gone in [&[1][..], &[1, 3], &[3]] {
        store.drop_frames(&pack.id, &pack.table, &frames(&pack, gone)).unwrap();
    }
    let left = frames(&pack, &[0, 2]);
    assert_eq!(store.presence(&pack.id, &pack.table).unwrap(), Some(left.clone()));
    assert_eq!(store.list_presence().unwrap(), [pack.id]);
    assert_eq!(store.pack_len(&pack.id).unwrap(), pack.bytes.len() as u64);
    assert_eq!(*store.pack_lens(&[pack.id])[0].as_ref().unwrap(), pack.bytes.len() as u64);
    let mut expected = pack.bytes.clone();
    for frame in [1, 3] {
        expected[range(&pack, frame)].fill(0);
    }
    // Also for who opened it before.
    for open in [before, store.open_pack(&pack.id).unwrap()] {
        assert_eq!(open.length(), pack.bytes.len() as u64);
        assert_eq!(open.read_frame(&pack.table, 2).unwrap(), pack.bytes[range(&pack, 2)]);
        assert!(matches!(open.read_frame(&pack.table, 3), Err(StoreError::Frame { .. })));
        assert_eq!(open.head().unwrap(), pack.table);
        assert_eq!(open.read_range(0, pack.bytes.len()).unwrap(), expected);
    }
    assert_eq!(store.get(Kind::Pack, pack.id.as_bytes()).unwrap(), expected);
    pack
}

fn partial_packs(store: &dyn Storage, dropped: &TestPack) {
    let frame = |pack: &TestPack, frame: usize| pack.bytes[range(pack, frame)].to_vec();
    // Back come the frames that were dropped, and with the last of them the map goes.
    let none = dropped.table.no_frames();
    let mut writer = store.partial_pack_writer(&dropped.id, &dropped.table).unwrap();
    writer.write_frame(1, &frame(dropped, 1)).unwrap();
    assert!(writer.write_frame(1, &frame(dropped, 1)).is_err(), "not in order");
    assert!(writer.write_frame(3, &frame(dropped, 2)).is_err(), "not that frame");
    assert_eq!(writer.finish(&none).unwrap(), frames(dropped, &[0, 1, 2]));
    let mut writer = store.partial_pack_writer(&dropped.id, &dropped.table).unwrap();
    writer.write_frame(3, &frame(dropped, 3)).unwrap();
    assert!(writer.finish(&none).unwrap().is_full());
    assert_eq!(store.list_presence().unwrap(), []);
    assert_eq!(store.get(Kind::Pack, dropped.id.as_bytes()).unwrap(), dropped.bytes);

    // A pack that is not here may come in part.
    let (fresh, none) = (pack(&[900, 800]), Bitmap::new(2));
    let mut writer = store.partial_pack_writer(&fresh.id, &fresh.table).unwrap();
    writer.write_frame(1, &frame(&fresh, 1)).unwrap();
    assert_eq!(writer.finish(&none).unwrap(), frames(&fresh, &[1]));
    assert_eq!(store.list_presence().unwrap(), [fresh.id]);
    store.repair_frames(&fresh.id, &fresh.table, &[(0, &frame(&fresh, 0))]).unwrap();
    assert_eq!(store.presence(&fresh.id, &fresh.table).unwrap(), None);
    assert_eq!(store.get(Kind::Pack, fresh.id.as_bytes()).unwrap(), fresh.bytes);

    // Two that bring the same pack: the second finds it changed.
    let other = pack(&[900, 800]);
    let mut one = store.partial_pack_writer(&other.id, &other.table).unwrap();
    let mut two = store.partial_pack_writer(&other.id, &other.table).unwrap();
    one.write_frame(0, &frame(&other, 0)).unwrap();
    two.write_frame(1, &frame(&other, 1)).unwrap();
    one.finish(&none).unwrap();
    assert!(matches!(two.finish(&none), Err(StoreError::Changed { .. })));
    assert!(store.remove(Kind::Pack, other.id.as_bytes()).unwrap());
    assert_eq!(store.list_presence().unwrap(), [], "the map goes with its pack");
}

#[test]
fn the_storage_does_what_the_vault_relies_on() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    contract(&data, &backing::settings(&data));
}

#[test]
fn many_threads_write_the_same_and_different_objects() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let place = open(&data, &backing::settings(&data)).unwrap();
    let store = place.create(&ID).unwrap();
    let same = Arc::new(pack(&[50_000, 1]));
    let threads: Vec<_> = (0..8_u8)
        .map(|thread| {
            let (store, same) = (Arc::clone(&store), Arc::clone(&same));
            std::thread::spawn(move || {
                let own = pack(&[20_000]);
                for _ in 0..3 {
                    put_pack(&*store, &same).unwrap();
                    put_pack(&*store, &own).unwrap();
                    let bytes = [thread; 100];
                    store.put(Kind::Usage, &object_id(&bytes), &bytes).unwrap();
                    assert_eq!(store.get(Kind::Pack, own.id.as_bytes()).unwrap(), own.bytes);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(store.list(Kind::Pack).unwrap().len(), 9);
    assert_eq!(store.list(Kind::Usage).unwrap().len(), 8);
    assert_eq!(store.get(Kind::Pack, same.id.as_bytes()).unwrap(), same.bytes);
}
