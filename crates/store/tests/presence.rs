//! Packs of which frames were dropped: what is left reads, what went is a hole, and no crash or race makes the map
//! promise a frame that is not there.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::MetadataExt as _;

use lumbung_model::{ChunkId, DomainId, FrameHash, PackId, RepositoryId, SessionId};
use lumbung_pack::{Bitmap, Content, Encoding, FrameEntry, Kind, PackHeader, PackTable, object_id};
use lumbung_store::{RepositoryDir, StoreError, decode_presence, encode_presence};
use tempfile::TempDir;

const FRAMES: u32 = 5;
const FRAME_BYTES: usize = 200_000;

struct Fixture {
    _folder: TempDir,
    dir: RepositoryDir,
    id: PackId,
    table: PackTable,
    frames: Vec<Vec<u8>>,
}

fn set(frames: &[u32]) -> Bitmap {
    let mut set = Bitmap::new(FRAMES);
    frames.iter().for_each(|frame| set.set(*frame));
    set
}

impl Fixture {
    /// An empty repository and a pack for it.
    fn empty() -> Self {
        let folder = TempDir::new().unwrap();
        let dir = RepositoryDir::create(folder.path().join("repo")).unwrap();
        let frames: Vec<Vec<u8>> =
            (1..=5_u8).map(|i| vec![i; FRAME_BYTES + usize::from(i)]).collect();
        let entry = |(i, stored): (usize, &Vec<u8>)| FrameEntry {
            chunk: ChunkId::from_bytes([u8::try_from(i).unwrap(); 32]),
            stored_hash: FrameHash::from_bytes(object_id(stored)),
            plain_length: u32::try_from(stored.len() - 16).unwrap(),
            stored_length: u32::try_from(stored.len()).unwrap(),
            encoding: Encoding::Raw,
        };
        let header = PackHeader {
            repository: RepositoryId::ZERO,
            domain: DomainId::ZERO,
            session: SessionId::ZERO,
            salt: [1; 32],
            commitment: [2; 32],
            content: Content::Data,
        };
        let table = PackTable::new(header, frames.iter().enumerate().map(entry).collect()).unwrap();
        Self { _folder: folder, dir, id: table.id(), table, frames }
    }

    fn with_pack() -> Self {
        let fixture = Self::empty();
        fixture.put_whole();
        fixture
    }

    fn put_whole(&self) {
        let mut writer = self.dir.pack_writer(&self.id).unwrap();
        writer.write(&self.table.encode()).unwrap();
        self.frames.iter().for_each(|frame| writer.write(frame).unwrap());
        writer.finish_over().unwrap();
    }

    fn present(&self) -> Option<Bitmap> {
        self.dir.presence(&self.id, &self.table).unwrap()
    }

    /// The frames that read as the table says.
    fn readable(&self) -> Vec<u32> {
        let pack = self.dir.open_pack(&self.id).unwrap();
        let reads = |frame: &u32| pack.read_frame(&self.table, *frame as usize).is_ok();
        (0..FRAMES).filter(reads).collect()
    }

    fn blocks(&self) -> u64 {
        let path = self.dir.object_path(Kind::Pack, self.id.as_bytes());
        std::fs::metadata(path).unwrap().blocks()
    }
}

#[test]
fn dropped_frames_are_holes_and_the_rest_stays() {
    let f = Fixture::with_pack();
    assert_eq!(f.present(), None);
    let before = f.blocks();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1, 2])).unwrap();
    assert_eq!(f.present(), Some(set(&[0, 3, 4])));
    assert_eq!(f.readable(), [0, 3, 4]);
    assert_eq!(f.dir.pack_len(&f.id).unwrap(), f.table.total_length(), "offsets stay");
    assert!(f.blocks() + 700 < before, "space comes back: {} of {before} blocks", f.blocks());
    f.dir.drop_frames(&f.id, &f.table, &set(&[4])).unwrap();
    assert_eq!(f.present(), Some(set(&[0, 3])));
    assert_eq!(f.dir.list_presence().unwrap(), [f.id]);
}

#[test]
fn a_repair_of_a_pack_with_holes_keeps_its_holes_and_fills_what_it_brings() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1, 2])).unwrap();
    let with_holes = f.blocks();
    f.dir.repair_frames(&f.id, &f.table, &[(3, &f.frames[3])]).unwrap();
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 3, 4])), vec![0, 3, 4]));
    assert!(f.blocks() <= with_holes + 8);
    f.dir.repair_frames(&f.id, &f.table, &[(1, &f.frames[1]), (2, &f.frames[2])]).unwrap();
    assert_eq!((f.present(), f.readable().len()), (None, 5));
}

#[test]
fn a_pack_that_comes_whole_has_no_map() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[0])).unwrap();
    f.put_whole();
    assert_eq!((f.present(), f.readable().len()), (None, 5));
    assert!(f.dir.list_presence().unwrap().is_empty());
}

#[test]
fn some_frames_of_a_pack_come_and_later_some_more() {
    let f = Fixture::empty();
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(1, &f.frames[1]).unwrap();
    assert!(matches!(writer.write_frame(1, &f.frames[1]), Err(StoreError::Frame { .. })));
    assert!(matches!(writer.write_frame(2, &f.frames[3]), Err(StoreError::Frame { .. })));
    writer.write_frame(3, &f.frames[3]).unwrap();
    assert!(!f.dir.contains(Kind::Pack, f.id.as_bytes()).unwrap(), "nothing counts before the end");
    assert_eq!(writer.finish(&f.table.no_frames()).unwrap(), set(&[1, 3]));
    assert_eq!((f.present(), f.readable()), (Some(set(&[1, 3])), vec![1, 3]));
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(0, &f.frames[0]).unwrap();
    assert_eq!(f.present(), Some(set(&[1, 3])), "not before it is durable");
    drop(writer);
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    for frame in [0, 2, 4] {
        writer.write_frame(frame, &f.frames[frame]).unwrap();
    }
    assert!(writer.finish(&f.table.no_frames()).unwrap().is_full());
    assert_eq!((f.present(), f.readable().len()), (None, 5));
}

#[test]
fn frames_for_a_file_that_was_exchanged_meanwhile_do_not_count() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1, 2])).unwrap();
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(1, &f.frames[1]).unwrap();
    // A repair puts another file in its place.
    f.dir.repair_frames(&f.id, &f.table, &[(0, &f.frames[0])]).unwrap();
    assert!(matches!(writer.finish(&f.table.no_frames()), Err(StoreError::Changed { .. })));
    // What had come into a hole by then, and is good, stays.
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 1, 3, 4])), vec![0, 1, 3, 4]));

    let f = Fixture::empty();
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(1, &f.frames[1]).unwrap();
    f.put_whole();
    assert!(matches!(writer.finish(&f.table.no_frames()), Err(StoreError::Changed { .. })));
    assert_eq!((f.present(), f.readable().len()), (None, 5));
}

#[test]
fn a_damaged_map_is_drawn_up_again_from_the_frames() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1, 4])).unwrap();
    let map = f.dir.path().join("presence").join(f.id.to_string());
    for damage in [&b"LMPR"[..], b"", &[0xff; 90]] {
        std::fs::write(&map, damage).unwrap();
        assert_eq!(f.present(), Some(set(&[0, 2, 3])));
        assert_eq!(std::fs::read(&map).unwrap(), damage, "who only looks changes nothing");
        f.dir.mend_presence(&f.id, &f.table, None).unwrap();
        assert_eq!(std::fs::read(&map).unwrap(), encode_presence(&f.id, &set(&[0, 2, 3])));
    }
}

#[test]
fn a_damaged_frame_behind_a_damaged_map_was_not_dropped() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1])).unwrap();
    let path = f.dir.object_path(Kind::Pack, f.id.as_bytes());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(f.table.frame_range(2).start).unwrap()] ^= 1;
    bytes.truncate(usize::try_from(f.table.frame_range(3).end).unwrap());
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(f.dir.path().join("presence").join(f.id.to_string()), b"").unwrap();
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 2, 3, 4])), vec![0, 3]));
}

#[test]
fn frames_for_a_file_that_was_cut_short_or_has_no_head_make_another_file() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1])).unwrap();
    let path = f.dir.object_path(Kind::Pack, f.id.as_bytes());
    let whole = std::fs::read(&path).unwrap();
    let end = usize::try_from(f.table.frame_range(2).end).unwrap();
    let mut headless = whole.clone();
    headless[50] ^= 1;
    for (damaged, lost) in [(whole[..end].to_vec(), set(&[3, 4])), (headless, set(&[]))] {
        std::fs::write(&path, &damaged).unwrap();
        let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
        writer.write_frame(3, &f.frames[3]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing before the end");
        let missing = writer.lost(&f.table.no_frames()).unwrap();
        assert_eq!(missing, lost);
        assert_eq!(writer.finish(&missing).unwrap(), set(&[0, 2, 3, 4]));
        assert_eq!(f.dir.pack_head(&f.id).unwrap(), f.table);
        let reads: Vec<u32> =
            [0, 2, 3, 4].into_iter().filter(|n| *n < 4 || lost.is_empty()).collect();
        assert_eq!(f.readable(), reads);
    }
}

#[test]
fn frames_that_somebody_counts_on_are_damaged_and_not_dropped_until_they_come() {
    let f = Fixture::empty();
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(1, &f.frames[1]).unwrap();
    assert_eq!(writer.lost(&set(&[0, 1, 2])).unwrap(), set(&[0, 1, 2]));
    writer.finish(&set(&[0, 2])).unwrap();
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 1, 2])), vec![1]));
    f.dir.repair_frames(&f.id, &f.table, &[(0, &f.frames[0]), (2, &f.frames[2])]).unwrap();
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 1, 2])), vec![0, 1, 2]));
}

#[test]
fn what_comes_for_a_frame_that_is_here_makes_another_file_and_a_hole_is_filled() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1, 3])).unwrap();
    let path = f.dir.object_path(Kind::Pack, f.id.as_bytes());
    let inode = || std::fs::metadata(&path).unwrap().ino();
    let before = inode();
    let bring = |frames: &[usize]| {
        let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
        frames.iter().for_each(|frame| writer.write_frame(*frame, &f.frames[*frame]).unwrap());
        writer.finish(&f.table.no_frames()).unwrap()
    };
    assert_eq!((bring(&[1]), inode()), (set(&[0, 1, 2, 4]), before));
    f.dir.drop_frames(&f.id, &f.table, &set(&[1])).unwrap();
    // Frame 2 is damaged.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(f.table.frame_range(2).start).unwrap()] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!((bring(&[1, 2]), f.readable()), (set(&[0, 1, 2, 4]), vec![0, 1, 2, 4]));
    assert_ne!(inode(), before);
}

#[test]
fn frames_that_two_bring_at_once_are_there_or_sent_again() {
    let f = Fixture::with_pack();
    f.dir.drop_frames(&f.id, &f.table, &set(&[1, 3])).unwrap();
    let none = f.table.no_frames();
    let mut one = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    one.write_frame(2, &f.frames[2]).unwrap();
    let mut other = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    other.write_frame(1, &f.frames[1]).unwrap();
    assert_eq!(other.finish(&none).unwrap(), set(&[0, 1, 2, 4]));
    assert!(matches!(one.lost(&none), Err(StoreError::Changed { .. })));
    assert!(matches!(one.finish(&none), Err(StoreError::Changed { .. })));
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 1, 2, 4])), vec![0, 1, 2, 4]));
}

#[test]
fn another_file_takes_along_what_is_good_and_its_map_does_not_know() {
    let f = Fixture::with_pack();
    let map = f.dir.path().join("presence").join(f.id.to_string());
    f.dir.drop_frames(&f.id, &f.table, &set(&[4])).unwrap();
    std::fs::write(&map, encode_presence(&f.id, &set(&[0]))).unwrap();
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(0, &f.frames[0]).unwrap();
    let counted = set(&[0, 1, 2, 3]);
    assert_eq!(writer.lost(&counted).unwrap(), set(&[]));
    writer.finish(&set(&[])).unwrap();
    f.dir.mend_presence(&f.id, &f.table, Some(&counted)).unwrap();
    assert_eq!((f.present(), f.readable()), (Some(counted), vec![0, 1, 2, 3]));
}

#[test]
fn a_sweep_that_drops_a_frame_while_it_comes_again_takes_nothing_of_what_came() {
    let f = Fixture::with_pack();
    let mut writer = f.dir.partial_pack_writer(&f.id, &f.table).unwrap();
    writer.write_frame(2, &f.frames[2]).unwrap();
    f.dir.drop_frames(&f.id, &f.table, &set(&[2, 3])).unwrap();
    assert_eq!(writer.finish(&f.table.no_frames()).unwrap(), set(&[0, 1, 2, 4]));
    assert_eq!(f.readable().into_iter().filter(|frame| *frame != 3).count(), 4);
}

#[test]
fn a_map_follows_the_frames_where_somebody_counts_on_them() {
    let f = Fixture::with_pack();
    let map = f.dir.path().join("presence").join(f.id.to_string());
    f.dir.drop_frames(&f.id, &f.table, &set(&[1])).unwrap();
    let with_hole = std::fs::read(&map).unwrap();
    // The map is lost, or says less than there is.
    std::fs::remove_file(&map).unwrap();
    f.dir.mend_presence(&f.id, &f.table, Some(&set(&[0, 2, 3, 4]))).unwrap();
    assert_eq!(std::fs::read(&map).unwrap(), with_hole);
    std::fs::write(&map, encode_presence(&f.id, &set(&[0]))).unwrap();
    f.dir.mend_presence(&f.id, &f.table, Some(&set(&[0, 1, 2, 3, 4]))).unwrap();
    assert_eq!(f.present(), Some(set(&[0, 2, 3, 4])), "a hole is nothing good");
    // A repair of another frame takes nothing of what is good.
    std::fs::write(&map, encode_presence(&f.id, &set(&[0]))).unwrap();
    f.dir.repair_frames(&f.id, &f.table, &[(4, &f.frames[4])]).unwrap();
    assert_eq!((f.present(), f.readable()), (Some(set(&[0, 2, 3, 4])), vec![0, 2, 3, 4]));
}

#[test]
fn a_map_is_of_one_pack_and_no_bit_of_it_may_flip() {
    let (id, other) = (PackId::from_bytes([1; 32]), PackId::from_bytes([2; 32]));
    let bytes = encode_presence(&id, &set(&[0, 2]));
    assert_eq!(decode_presence(&id, FRAMES, &bytes), Some(set(&[0, 2])));
    assert_eq!(decode_presence(&other, FRAMES, &bytes), None);
    assert_eq!(decode_presence(&id, FRAMES + 1, &bytes), None);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode_presence(&id, FRAMES, &damaged), None, "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(decode_presence(&id, FRAMES, &bytes[..length]), None);
    }
}
