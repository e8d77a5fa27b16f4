//! Structured inputs: values that obey the format, out of a fuzzer's bytes.

use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use lumbung_model::ChunkId;
use lumbung_pack::limits::CHUNK_MAX;
use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, Extent, parent, path_cmp};

/// Runs a check on structured values out of `data`. Bytes that run out end it: what came before was checked.
pub(crate) fn check(data: &[u8], check: impl FnOnce(&mut Unstructured<'_>) -> Result<()>) {
    let (Ok(()) | Err(_)) = check(&mut Unstructured::new(data));
}

const MAX_ENTRIES: usize = 40;

/// Names that sort in many ways around the slash.
const NAMES: [&[u8]; 9] = [b"a", b"a-", b"a.b", b"b", b"\x01", b"\xff\xfe", b"...", b"aa", b" "];

/// A path of one to three components.
fn path(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut path = Vec::new();
    for _ in 0..u.int_in_range(1..=3)? {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(u.choose(&NAMES)?);
    }
    Ok(path)
}

fn chunk(u: &mut Unstructured<'_>) -> Result<ChunkId> {
    Ok(ChunkId::from_bytes([u.int_in_range(0..=2)?; 32]))
}

/// References that add up to `length`; fewer bytes where the input ends.
fn content(u: &mut Unstructured<'_>, length: u64) -> Result<Vec<ContentRef>> {
    let mut content = Vec::new();
    let mut left = length;
    while left > 0 {
        let at_most = left.min(CHUNK_MAX as u64);
        let part = if content.len() < 8 { u.int_in_range(1..=at_most)? } else { at_most };
        let part = u32::try_from(part).expect("at most CHUNK_MAX");
        let room = u32::try_from(CHUNK_MAX).expect("4 MiB") - part;
        content.push(ContentRef {
            chunk: chunk(u)?,
            offset: u.int_in_range(0..=room)?,
            length: part,
        });
        left -= u64::from(part);
    }
    Ok(content)
}

fn extents(u: &mut Unstructured<'_>) -> Result<(Vec<Extent>, u64)> {
    let (mut extents, mut end) = (Vec::new(), 0_u64);
    for _ in 0..u.int_in_range(0..=4)? {
        let offset = end + u64::from(u.arbitrary::<u16>()?);
        let length = 1 + u64::from(u.arbitrary::<u16>()?);
        end = offset + length;
        extents.push(Extent { offset, length });
    }
    Ok((extents, end))
}

fn file(u: &mut Unstructured<'_>, readable: bool) -> Result<EntryKind> {
    if u.arbitrary()? {
        let (extents, end) = extents(u)?;
        let size = end + u64::from(u.arbitrary::<u16>()?);
        let data = extents.iter().map(|extent| extent.length).sum();
        let content = if readable { content(u, data)? } else { Vec::new() };
        return Ok(EntryKind::File { size, sparse: Some(extents), content });
    }
    let size = u64::from(u.int_in_range(0..=20_000_000_u32)?);
    let content = if readable { content(u, size)? } else { Vec::new() };
    Ok(EntryKind::File { size, sparse: None, content })
}

fn leaf(u: &mut Unstructured<'_>, readable: bool) -> Result<EntryKind> {
    Ok(match u.int_in_range(0..=6)? {
        0..=2 => file(u, readable)?,
        3 => EntryKind::Symlink { target: path(u)? },
        4 => EntryKind::Fifo,
        5 => EntryKind::CharDevice { major: u.arbitrary()?, minor: u.arbitrary()? },
        _ => EntryKind::Socket,
    })
}

fn entry(u: &mut Unstructured<'_>, path: Vec<u8>, directory: bool, inner: bool) -> Result<Entry> {
    let unreadable = if inner || u.ratio(7, 8)? { None } else { Some(u.arbitrary()?) };
    let kind = if directory { EntryKind::Directory } else { leaf(u, unreadable.is_none())? };
    let mut xattrs = BTreeMap::new();
    for _ in 0..u.int_in_range(0..=2)? {
        xattrs.insert(path_bytes(u)?, path_bytes(u)?);
    }
    Ok(Entry {
        path,
        kind,
        mode: u.int_in_range(0..=0o7777)?,
        uid: *u.choose(&[0, 1000, u32::MAX])?,
        gid: *u.choose(&[0, 1000, u32::MAX])?,
        user: u.choose(&[&b"root"[..], b""])?.to_vec(),
        group: u.choose(&[&b"root"[..], b""])?.to_vec(),
        mtime_s: *u.choose(&[0, -1, i64::MIN, i64::MAX, 1_800_000_000])?,
        mtime_ns: u.int_in_range(0..=999_999_999)?,
        xattrs: xattrs.into_iter().collect(),
        changed_while_read: u.arbitrary()?,
        unreadable,
    })
}

fn path_bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = u.int_in_range(0..=5)?;
    Ok(u.bytes(length.min(u.len()))?.to_vec())
}

/// A tree in path order, every directory before what lies in it.
pub(crate) fn tree(u: &mut Unstructured<'_>) -> Result<Vec<Entry>> {
    let mut paths = vec![Vec::new()];
    for _ in 0..u.int_in_range(0..=MAX_ENTRIES)? {
        let new = path(u)?;
        let mut above = parent(&new);
        while let Some(directory) = above {
            paths.push(directory.to_vec());
            above = parent(directory);
        }
        paths.push(new);
    }
    paths.sort_by(|left, right| path_cmp(left, right));
    paths.dedup();
    let mut entries: Vec<Entry> = Vec::new();
    for (i, path) in paths.iter().enumerate() {
        let inner = path.is_empty()
            || paths.get(i + 1).is_some_and(|next| parent(next) == Some(path.as_slice()));
        let directory = inner || u.arbitrary()?;
        entries.push(entry(u, path.clone(), directory, inner)?);
    }
    Ok(entries)
}
