//! The catalogue, tested as a whole: random trees come back, and nothing malformed is let through.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::domain::{DomainSecret, GearTable};
use lumbung_model::{ChunkId, Secret};
use lumbung_pack::limits::CHUNK_MAX;

fn gear() -> GearTable {
    DomainSecret::new(Secret::new([5; 32])).gear()
}

pub(crate) fn plain(path: &[u8], kind: EntryKind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        user: b"root".to_vec(),
        group: b"root".to_vec(),
        mtime_s: 1_700_000_000,
        mtime_ns: 0,
        xattrs: Vec::new(),
        changed_while_read: false,
        unreadable: None,
    }
}

fn directory(path: &[u8]) -> Entry {
    plain(path, EntryKind::Directory)
}

fn file(path: &[u8], content: Vec<ContentRef>) -> Entry {
    let size = content.iter().map(|reference| u64::from(reference.length)).sum();
    plain(path, EntryKind::File { size, sparse: None, content })
}

fn reference(chunk: u8, offset: u32, length: u32) -> ContentRef {
    ContentRef { chunk: ChunkId::from_bytes([chunk; 32]), offset, length }
}

fn write(entries: &[Entry]) -> Vec<CatalogueChunk> {
    let mut writer = CatalogueWriter::new(&gear());
    let mut chunks = Vec::new();
    for entry in entries {
        chunks.extend(writer.push(entry).unwrap());
    }
    assert_eq!(writer.entries(), entries.len() as u64);
    chunks.extend(writer.finish());
    chunks
}

fn index_of(chunks: &[CatalogueChunk]) -> Vec<IndexEntry> {
    let line = |chunk: &CatalogueChunk| IndexEntry {
        first_path: chunk.first_path.clone(),
        chunk: DomainSecret::new(Secret::new([5; 32])).id_key().chunk_id(&chunk.bytes),
        length: u32::try_from(chunk.bytes.len()).unwrap(),
        entries: chunk.entries,
    };
    chunks.iter().map(line).collect()
}

/// Reads everything as a restore does: index, groups, entries, checker.
fn read(chunks: &[CatalogueChunk]) -> Result<Vec<Entry>, CatalogueError> {
    let index = decode_index(&encode_index(&index_of(chunks)))?;
    let mut checker = CatalogueChecker::new();
    let mut entries = Vec::new();
    let mut bodies = chunks.iter();
    for group in groups(&index) {
        let bytes: Vec<u8> =
            bodies.by_ref().take(group.len()).flat_map(|chunk| chunk.bytes.clone()).collect();
        for entry in CatalogueReader::for_group(group, &bytes)? {
            let entry = entry?;
            checker.check(&entry)?;
            entries.push(entry);
        }
    }
    assert_eq!(checker.entries(), entries.len() as u64);
    Ok(entries)
}

prop_compose! {
    fn attributes()(
        mode in 0_u32..=0o7777,
        owner in 0_u32..3,
        user in prop::collection::vec(any::<u8>(), 0..4),
        mtime_s in prop_oneof![Just(0), any::<i64>()],
        mtime_ns in 0_u32..1_000_000_000,
        xattrs in prop::collection::btree_map(prop::collection::vec(any::<u8>(), 1..9), prop::collection::vec(any::<u8>(), 0..9), 0..3),
        changed_while_read in any::<bool>(),
    ) -> Entry {
        Entry {
            path: Vec::new(), kind: EntryKind::Directory, mode, uid: owner, gid: u32::MAX - owner, user: user.clone(), group: user,
            mtime_s, mtime_ns, xattrs: xattrs.into_iter().collect(), changed_while_read, unreadable: None,
        }
    }
}

fn content() -> impl Strategy<Value = Vec<ContentRef>> {
    let one = (0_u8..3, 0_u32..3, 1_u32..5)
        .prop_map(|(chunk, offset, length)| reference(chunk, offset, length));
    prop::collection::vec(one, 0..5)
}

fn leaf() -> impl Strategy<Value = EntryKind> {
    let sparse_file =
        (content(), prop::collection::vec(0_u64..1 << 40, 1..4)).prop_map(|(content, gaps)| {
            let mut data: u64 = content.iter().map(|reference| u64::from(reference.length)).sum();
            let (mut end, mut extents) = (0, Vec::new());
            for gap in &gaps {
                let length = if extents.len() + 1 == gaps.len() { data } else { data.min(2) };
                if length > 0 {
                    extents.push(Extent { offset: end + gap, length });
                    end += gap + length;
                    data -= length;
                }
            }
            EntryKind::File { size: end + gaps[0], sparse: Some(extents), content }
        });
    prop_oneof![
        content().prop_map(|content| {
            let size = content.iter().map(|reference| u64::from(reference.length)).sum();
            EntryKind::File { size, sparse: None, content }
        }),
        sparse_file,
        Just(EntryKind::Symlink { target: b"../tujuan".to_vec() }),
        Just(EntryKind::Fifo),
        Just(EntryKind::Socket),
        (any::<u32>(), any::<u32>())
            .prop_map(|(major, minor)| EntryKind::CharDevice { major, minor }),
        (any::<u32>(), any::<u32>())
            .prop_map(|(major, minor)| EntryKind::BlockDevice { major, minor }),
    ]
}

/// A tree with every ancestor, in path order.
fn tree() -> impl Strategy<Value = Vec<Entry>> {
    // Bytes around `/`, so that path order and plain byte order differ.
    let component = prop::collection::vec(prop::sample::select(&b"!-.0a\xff"[..]), 1..4)
        .prop_filter("a name", |name| name != b"." && name != b"..");
    let path = prop::collection::vec(component, 1..4).prop_map(|components| components.join(&b'/'));
    let entries = prop::collection::btree_map(path, (attributes(), leaf()), 0..40);
    (attributes(), entries).prop_map(|(root, leaves)| {
        let mut tree = BTreeMap::from([(Vec::new(), Entry { path: Vec::new(), ..root })]);
        for (path, (attributes, kind)) in leaves {
            let mut above = parent(&path);
            while let Some(folder) = above {
                let entry = Entry { path: folder.to_vec(), ..attributes.clone() };
                tree.insert(folder.to_vec(), entry);
                above = parent(folder);
            }
            tree.entry(path.clone()).or_insert(Entry { path, kind, ..attributes });
        }
        let mut entries: Vec<Entry> = tree.into_values().collect();
        entries.sort_by(|left, right| path_cmp(&left.path, &right.path));
        entries
    })
}

proptest! {
    #[test]
    fn trees_come_back(entries in tree()) {
        prop_assert_eq!(read(&write(&entries)), Ok(entries));
    }

    #[test]
    fn path_order_is_the_order_of_components(left in "[-/0a!]{0,6}", right in "[-/0a!]{0,6}") {
        let components = |path: &str| path.split('/').map(|c| c.as_bytes().to_vec()).collect::<Vec<_>>();
        if !left.is_empty() && !right.is_empty() {
            prop_assert_eq!(path_cmp(left.as_bytes(), right.as_bytes()), components(&left).cmp(&components(&right)));
        }
    }

    #[test]
    fn noise_is_refused_or_read_but_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for entry in CatalogueReader::new(&bytes) {
            drop(entry);
        }
        drop(decode_index(&bytes));
    }

    #[test]
    fn damage_never_panics_nor_gives_a_bad_path(entries in tree(), bit in any::<prop::sample::Index>()) {
        let mut bytes = write(&entries).remove(0).bytes;
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        for entry in CatalogueReader::new(&bytes).map_while(Result::ok) {
            prop_assert_eq!(check_path(&entry.path), Ok(()));
        }
    }
}

/// A tree of many small files with contents of their own.
fn many(count: u32) -> Vec<Entry> {
    let mut entries = vec![directory(b"")];
    for folder in 0..count / 100 {
        entries.push(directory(format!("f{folder:04}").as_bytes()));
        for name in 0..100 {
            let id = blake3::hash(&(folder * 100 + name).to_le_bytes());
            let content =
                vec![ContentRef { chunk: ChunkId::from_bytes(id.into()), offset: 0, length: 1000 }];
            entries.push(file(format!("f{folder:04}/berkas-{name:03}.txt").as_bytes(), content));
        }
    }
    entries
}

#[test]
fn a_change_touches_few_chunks() {
    let mut entries = many(20_000);
    let before = write(&entries);
    assert!(before.len() > 8, "{} chunks", before.len());
    for chunk in &before[..before.len() - 1] {
        assert!((64 << 10..=256 << 10).contains(&chunk.bytes.len()));
    }
    entries.insert(
        5_000,
        file(format!("{}x", "f0049/berkas-047.txt").as_bytes(), vec![reference(1, 0, 9)]),
    );
    entries.sort_by(|left, right| path_cmp(&left.path, &right.path));
    let after = write(&entries);
    let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
    assert!((1..=2).contains(&new), "{new} of {} chunks are new", after.len());
    assert_eq!(read(&after).unwrap().len(), entries.len());
}

#[test]
fn an_entry_too_long_for_a_chunk_goes_over_several() {
    let content: Vec<ContentRef> = (0..250_000_u32)
        .map(|i| ContentRef {
            chunk: ChunkId::from_bytes(blake3::hash(&i.to_le_bytes()).into()),
            offset: 0,
            length: 4,
        })
        .collect();
    let entries = vec![
        directory(b""),
        file(b"a", vec![]),
        file(b"besar", content),
        file(b"c", vec![reference(1, 0, 1)]),
    ];
    let chunks = write(&entries);
    let shape: Vec<(u64, &[u8])> =
        chunks.iter().map(|chunk| (chunk.entries, &chunk.first_path[..])).collect();
    assert_eq!(shape, [(2, &b""[..]), (1, b"besar"), (0, b"besar"), (0, b"besar"), (1, b"c")]);
    assert!(chunks.iter().all(|chunk| chunk.bytes.len() <= CHUNK_MAX));
    assert_eq!(read(&chunks).unwrap(), entries);
    let mut swapped = chunks.clone();
    swapped.swap(2, 3);
    assert!(read(&swapped).is_err());
    let mut missing = chunks;
    missing.remove(3);
    assert!(read(&missing).is_err());
}

#[test]
fn the_writer_refuses_what_is_out_of_place() {
    let refused = |entries: &[Entry], last: Entry| {
        let mut writer = CatalogueWriter::new(&gear());
        for entry in entries {
            writer.push(entry).unwrap();
        }
        writer.push(&last).is_err()
    };
    let root = || directory(b"");
    assert!(refused(&[], file(b"a", vec![])), "no root");
    assert!(refused(&[root()], root()), "a second root");
    assert!(refused(&[root()], file(b"a/b", vec![])), "no parent");
    assert!(refused(&[root(), file(b"a", vec![])], file(b"a/b", vec![])), "a file as parent");
    assert!(refused(&[root(), directory(b"ab")], file(b"ab-/c", vec![])), "a prefix as parent");
    assert!(refused(&[root(), directory(b"a"), file(b"b", vec![])], file(b"a/c", vec![])), "order");
    assert!(refused(&[root(), file(b"a", vec![])], file(b"a", vec![])), "twice");
    let closed = Entry { unreadable: Some(13), ..directory(b"a") };
    assert!(
        refused(&[root(), closed], file(b"a/b", vec![])),
        "children of an unreadable directory"
    );
    for path in [&b"/a"[..], b"a/", b"a//b", b".", b"..", b"a/../b", b"a\0", &[b'a'; 65_537]] {
        assert!(refused(&[root(), directory(b"a")], file(path, vec![])), "{:?}", readable(path));
    }
}

#[test]
fn a_refusal_names_the_path() {
    let mut writer = CatalogueWriter::new(&gear());
    writer.push(&directory(b"")).unwrap();
    let refusal = writer.push(&Entry { mode: 0o10000, ..file(b"surat.pdf", vec![]) }).unwrap_err();
    assert!(refusal.to_string().contains("\"surat.pdf\""), "{refusal}");
}

#[test]
fn an_entry_that_contradicts_itself_is_refused() {
    let of = |size, sparse, content| plain(b"a", EntryKind::File { size, sparse, content });
    let extent = |offset, length| Extent { offset, length };
    let base = || file(b"a", vec![]);
    for (why, bad) in [
        ("size", of(9, None, vec![reference(1, 0, 8)])),
        ("holes", of(9, Some(vec![extent(0, 8)]), vec![reference(1, 0, 9)])),
        ("beyond the end", of(9, Some(vec![extent(8, 2)]), vec![reference(1, 0, 2)])),
        ("overlap", of(9, Some(vec![extent(0, 2), extent(1, 2)]), vec![reference(1, 0, 4)])),
        ("empty extent", of(9, Some(vec![extent(0, 0)]), vec![])),
        ("overflow", of(u64::MAX, Some(vec![extent(u64::MAX, 2)]), vec![])),
        ("empty reference", of(0, None, vec![reference(1, 0, 0)])),
        ("beyond the chunk", of(4, None, vec![reference(1, 4 << 20, 4)])),
        ("mode", Entry { mode: 0o10000, ..base() }),
        ("nanoseconds", Entry { mtime_ns: 1_000_000_000, ..base() }),
        (
            "attributes",
            Entry { xattrs: vec![(b"b".to_vec(), vec![]), (b"a".to_vec(), vec![])], ..base() },
        ),
        ("unreadable", Entry { unreadable: Some(5), ..of(8, None, vec![reference(1, 0, 8)]) }),
        ("link", plain(b"a", EntryKind::Symlink { target: vec![] })),
        ("link to later", plain(b"a", EntryKind::HardLink { first: b"b".to_vec() })),
        ("link outside", plain(b"b", EntryKind::HardLink { first: b"../a".to_vec() })),
        (
            "link with data",
            Entry {
                changed_while_read: true,
                ..plain(b"b", EntryKind::HardLink { first: b"a".to_vec() })
            },
        ),
    ] {
        let mut writer = CatalogueWriter::new(&gear());
        writer.push(&directory(b"")).unwrap();
        assert!(writer.push(&bad).is_err(), "{why}");
    }
    let mut writer = CatalogueWriter::new(&gear());
    writer.push(&directory(b"")).unwrap();
    assert!(
        writer.push(&Entry { unreadable: Some(5), ..of(8, None, vec![]) }).is_ok(),
        "an unreadable file keeps its size"
    );
    assert!(writer.push(&plain(b"b", EntryKind::HardLink { first: b"a".to_vec() })).is_ok());
}

#[test]
fn an_entry_goes_to_its_limits() {
    let taken = |entry: Entry| {
        let mut writer = CatalogueWriter::new(&gear());
        writer.push(&directory(b"")).unwrap();
        writer.push(&entry).is_ok()
    };
    let link = |target: Vec<u8>| plain(b"a", EntryKind::Symlink { target });
    let lengths = [0, 1, 65_536, 65_537, 65_538].map(|length| taken(link(vec![b'x'; length])));
    assert_eq!(lengths, [false, true, true, false, false]);
    assert!(!taken(link(b"b\0c".to_vec())));
    assert!(taken(Entry { unreadable: Some(13), ..link(vec![]) }), "its target is not known");
    let of = |offset, length| taken(file(b"a", vec![reference(1, offset, length)]));
    let most = 4 << 20;
    assert!(of(0, most) && of(1, most - 1) && of(most - 1, 1));
    assert!(!of(1, most) && !of(most, 1) && !of(0, most + 1));
}

#[test]
fn a_folder_s_contents_stand_before_any_longer_name() {
    for byte in [0, 1, b'-', b'0', 0xff] {
        assert_eq!(path_cmp(b"a/", &[b'a', byte]), Ordering::Less, "{byte}");
    }
}

/// The root directory as the first entry: length, shared and own bytes of its path, kind, flags.
#[test]
fn flags_that_a_first_entry_cannot_have_are_refused() {
    let chunk = write(&[directory(b"")]).remove(0).bytes;
    let read = |flag: u8| {
        let mut bytes = chunk.clone();
        bytes[4] |= flag;
        CatalogueReader::new(&bytes).collect::<Result<Vec<_>, _>>().is_ok()
    };
    assert!(read(0));
    for (bit, what) in
        [(2, "a sparse map"), (4, "the same owner"), (5, "the same time"), (6, ""), (7, "")]
    {
        assert!(!read(1 << bit), "bit {bit} {what}");
    }
}

#[test]
fn the_first_entry_of_a_chunk_says_everything_of_itself() {
    let nobody = Entry { user: Vec::new(), group: Vec::new(), mtime_s: 0, ..directory(b"") };
    let chunks = write(std::slice::from_ref(&nobody));
    assert_eq!(read(&chunks).unwrap(), [nobody]);
}

#[test]
fn paths_are_as_long_as_they_may_be_however_much_they_share() {
    let long = |length: usize, last: u8| {
        let mut path = vec![b'x'; length];
        path[length - 1] = last;
        file(&path, vec![])
    };
    for entries in [
        vec![directory(b""), long(65_536, b'x')],
        vec![directory(b""), long(65_536, b'x'), long(65_536, b'y')],
        vec![
            directory(b""),
            long(600, b'x'),
            file(&[&[b'x'; 300][..], &[b'y'; 300]].concat(), vec![]),
        ],
    ] {
        assert_eq!(read(&write(&entries)).unwrap(), entries);
    }
}

#[test]
fn a_chunk_has_the_length_that_it_should_and_a_long_entry_chunks_of_its_own() {
    let chunks = write(&many(20_000));
    assert!(chunks.len() > 4);
    for chunk in &chunks[..chunks.len() - 1] {
        assert!((64 << 10..=256 << 10).contains(&chunk.bytes.len()), "{}", chunk.bytes.len());
    }
    let with = |attribute: usize| {
        let entry =
            Entry { xattrs: vec![(b"user.x".to_vec(), vec![0; attribute])], ..file(b"a", vec![]) };
        let entries = [directory(b""), entry];
        let chunks = write(&entries);
        assert_eq!(read(&chunks).unwrap(), entries);
        chunks[1..].iter().map(|chunk| (chunk.bytes.len(), chunk.entries)).collect::<Vec<_>>()
    };
    let overhead = with(4_000_000)[0].0 - 4_000_000;
    assert_eq!(with(CHUNK_MAX - overhead), [(CHUNK_MAX, 1)]);
    assert_eq!(with(CHUNK_MAX - overhead + 1).len(), 2);
}

#[test]
fn an_index_goes_to_its_limits() {
    let line = |path: &[u8], length: u32, entries| IndexEntry {
        first_path: path.to_vec(),
        chunk: ChunkId::ZERO,
        length,
        entries,
    };
    let taken = |lines: &[IndexEntry]| decode_index(&encode_index(lines)).is_ok();
    let path = |length: usize| line(&vec![b'x'; length], 1, 1);
    let paths = [65_536, 65_537, 65_538].map(|length| taken(&[line(b"", 1, 1), path(length)]));
    assert_eq!(paths, [true, false, false]);
    // An entry that goes over several chunks is alone in them, and no longer than the longest entry.
    let over = |entries, last| {
        let mut lines = vec![line(b"", 1, 1), line(b"a", 4 << 20, entries)];
        lines.extend(std::iter::repeat_n(line(b"a", 4 << 20, 0), 63));
        lines.push(line(b"a", last, 0));
        taken(&lines)
    };
    assert!(over(1, 10));
    assert!(!over(1, 11) && !over(1, 12) && !over(2, 10));
    assert!(taken(&[line(b"", 1, 1), line(b"a", 1, 2), line(b"b", 1, 1)]));
}

#[test]
fn the_index_is_held_to_its_chunks() {
    let chunks = write(&many(20_000));
    let index = index_of(&chunks);
    let refused = |change: &dyn Fn(&mut Vec<IndexEntry>)| {
        let mut bad = index.clone();
        change(&mut bad);
        decode_index(&encode_index(&bad)).is_err()
    };
    assert!(!refused(&|_| ()));
    assert!(refused(&|index| index.swap(1, 2)), "order");
    assert!(refused(&|index| index[1].first_path = b"../a".to_vec()), "path");
    assert!(refused(&|index| index[0].first_path = b"a".to_vec()), "root");
    assert!(refused(&|index| index[1].entries = 0), "a continuation of another path");
    assert!(refused(&|index| index[1].length = 0), "empty");
    assert!(refused(&|index| index[1].length = (4 << 20) + 1), "too long");
    assert!(
        refused(&|index| {
            index.remove(0);
        }),
        "no root"
    );

    let group = |change: &dyn Fn(&mut IndexEntry)| {
        let mut line = index[1].clone();
        change(&mut line);
        let group = [line];
        let read = CatalogueReader::for_group(&group, &chunks[1].bytes);
        read.and_then(Iterator::collect::<Result<Vec<Entry>, _>>)
            .map(|entries| entries.len() as u64)
    };
    assert_eq!(group(&|_| ()), Ok(index[1].entries));
    assert!(group(&|line| line.entries += 1).is_err());
    assert!(group(&|line| line.entries -= 1).is_err());
    assert!(group(&|line| line.length -= 1).is_err());
    assert!(group(&|line| line.first_path.push(b'x')).is_err());
}
