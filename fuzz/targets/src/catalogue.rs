//! The catalogue, its index and the root (`docs/format.md` §10–11), as whoever has the session's key could write them.

use arbitrary::Unstructured;
use lumbung_seal::RootPlain;
use lumbung_seal::catalogue::{
    CatalogueChecker, CatalogueReader, CatalogueWriter, Entry, IndexEntry, check_path,
    decode_index, encode_index, groups,
};

use crate::frames::domain;
use crate::structured;

/// Writes entries and reads them back, through the index as a restore does.
fn write_and_read(entries: &[Entry]) {
    let domain = domain();
    let mut writer = CatalogueWriter::new(&domain.gear());
    let mut chunks = Vec::new();
    for entry in entries {
        chunks.extend(writer.push(entry).expect("entries that were checked are written"));
    }
    chunks.extend(writer.finish());
    let line = |chunk: &lumbung_seal::catalogue::CatalogueChunk| IndexEntry {
        first_path: chunk.first_path.clone(),
        chunk: domain.id_key().chunk_id(&chunk.bytes),
        length: u32::try_from(chunk.bytes.len()).expect("at most CHUNK_MAX"),
        entries: chunk.entries,
    };
    let index: Vec<IndexEntry> = chunks.iter().map(line).collect();
    assert_eq!(decode_index(&encode_index(&index)).as_ref(), Ok(&index));
    let (mut read, mut at) = (Vec::new(), 0);
    for group in groups(&index) {
        let parts = &chunks[at..at + group.len()];
        at += group.len();
        let bytes: Vec<u8> = parts.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
        let reader = CatalogueReader::for_group(group, &bytes).expect("what was written is read");
        read.extend(reader.map(|entry| entry.expect("what was written is read")));
    }
    assert_eq!(read, entries);
}

pub(crate) fn catalogue_read(data: &[u8]) {
    let mut entries = Vec::new();
    let mut checker = CatalogueChecker::new();
    let mut in_order = true;
    for entry in CatalogueReader::new(data) {
        let Ok(entry) = entry else { return };
        check_path(&entry.path).expect("a path that was read is one");
        let components: Vec<&[u8]> = entry.path.split(|byte| *byte == b'/').collect();
        assert!(!components.contains(&&b".."[..]), "a path leads out of its folder");
        assert!(!entry.path.starts_with(b"/") && !entry.path.contains(&0));
        in_order = in_order && checker.check(&entry).is_ok();
        entries.push(entry);
    }
    if in_order {
        write_and_read(&entries);
    }
}

pub(crate) fn catalogue_write(data: &[u8]) {
    let Ok(entries) = structured::tree(&mut Unstructured::new(data)) else { return };
    write_and_read(&entries);
}

pub(crate) fn catalogue_index(data: &[u8]) {
    let Ok(index) = decode_index(data) else { return };
    assert_eq!(encode_index(&index), data, "what was read is not canonical");
    let grouped: usize = groups(&index).map(<[IndexEntry]>::len).sum();
    assert_eq!(grouped, index.len());
    assert!(groups(&index).all(|group| group[1..].iter().all(|line| line.entries == 0)));
    for group in groups(&index) {
        // Whatever its chunks hold, it is not these bytes of another length.
        drop(CatalogueReader::for_group(group, data).map(Iterator::count));
    }
}

pub(crate) fn root(data: &[u8]) {
    let Ok(root) = RootPlain::decode(data) else { return };
    // A root that is too long for a manifest cannot have come out of one.
    if let Ok(bytes) = root.encode() {
        assert_eq!(bytes, data, "what was read is not canonical");
    }
}
