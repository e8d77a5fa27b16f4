//! Reads entries back and refuses what the format forbids.

use std::cmp::Ordering;

use lumbung_model::ChunkId;
use lumbung_pack::codec::Reader;
use lumbung_pack::limits::{ENTRY_MAX_BYTES, PATH_MAX_BYTES};

use super::path::path_cmp;
use super::writer::{CHANGED, SAME_OWNER, SAME_TIME, SPARSE, UNREADABLE, XATTRS};
use super::{CatalogueError, ContentRef, Entry, EntryKind, Extent, IndexEntry, Xattr, forbidden};

const KNOWN_FLAGS: u8 = CHANGED | UNREADABLE | SPARSE | XATTRS | SAME_OWNER | SAME_TIME;

/// Reads the entries of one group of chunks, joined. Ends after the first error.
pub struct CatalogueReader<'a> {
    reader: Reader<'a>,
    /// The entry before, without its content.
    previous: Option<Entry>,
    content: Option<(ChunkId, u32)>,
    /// Entries that the index promises and that did not come yet.
    promised: Option<u64>,
}

impl<'a> CatalogueReader<'a> {
    /// Reads a chunk, or an entry's chunks joined, of which no index is at hand.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { reader: Reader::new(bytes), previous: None, content: None, promised: None }
    }

    /// Reads the joined chunks of one group of the index, and holds them to what the index says.
    ///
    /// # Errors
    /// If the length, or the path of the first entry, is another one.
    pub fn for_group(group: &[IndexEntry], bytes: &'a [u8]) -> Result<Self, CatalogueError> {
        let first =
            group.first().ok_or_else(|| forbidden("a group of the index", "it is empty"))?;
        let length: u64 = group.iter().map(|line| u64::from(line.length)).sum();
        if length != bytes.len() as u64 {
            return Err(CatalogueError::index(&first.first_path, "its chunks have another length"));
        }
        let mut peek = Self::new(bytes);
        if peek.take_entry_head()? != first.first_path {
            return Err(CatalogueError::index(
                &first.first_path,
                "its chunk begins with another path",
            ));
        }
        Ok(Self { promised: Some(first.entries), ..Self::new(bytes) })
    }

    fn take_entry_head(&mut self) -> Result<Vec<u8>, CatalogueError> {
        let mut body = self.take_body()?;
        self.path(&mut body)
    }

    fn take_body(&mut self) -> Result<Reader<'a>, CatalogueError> {
        let length = self.reader.varint()?;
        if length > ENTRY_MAX_BYTES as u64 {
            return Err(forbidden("an entry", "it is longer than 256 MiB"));
        }
        Ok(Reader::new(take_varint_bytes(&mut self.reader, length)?))
    }

    fn path(&self, body: &mut Reader<'a>) -> Result<Vec<u8>, CatalogueError> {
        let before = self.previous.as_ref().map_or(&[][..], |entry| &entry.path);
        let shared = usize::try_from(body.varint()?).unwrap_or(usize::MAX);
        let head = before
            .get(..shared)
            .ok_or_else(|| forbidden("an entry's path", "it shares more than there is"))?;
        let rest = take_bytes(body)?;
        if shared + rest.len() > PATH_MAX_BYTES {
            return Err(forbidden("an entry's path", "it is longer than 65,536 bytes"));
        }
        Ok([head, rest].concat())
    }

    fn entry(&mut self) -> Result<Entry, CatalogueError> {
        let mut body = self.take_body()?;
        let path = self.path(&mut body)?;
        if let Some(previous) = &self.previous
            && path_cmp(&previous.path, &path) != Ordering::Less
        {
            return Err(CatalogueError::entry(
                &path,
                "it is not after the entry before it in path order",
            ));
        }
        let code = body.u8()?;
        let flags = body.u8()?;
        self.check_flags(code, flags)?;
        let mut entry = Entry {
            path,
            kind: EntryKind::Directory,
            mode: take_u32(&mut body, "a mode")?,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            mtime_s: 0,
            mtime_ns: 0,
            xattrs: Vec::new(),
            changed_while_read: flags & CHANGED != 0,
            unreadable: None,
        };
        self.read_attributes(&mut body, flags, &mut entry)?;
        entry.kind = self.read_kind(&mut body, code, flags)?;
        body.finish()?;
        entry.check()?;
        Ok(entry)
    }

    fn check_flags(&self, code: u8, flags: u8) -> Result<(), CatalogueError> {
        if flags & !KNOWN_FLAGS != 0 {
            return Err(forbidden("an entry's flags", "one is unknown"));
        }
        if self.previous.is_none() && flags & (SAME_OWNER | SAME_TIME) != 0 {
            return Err(forbidden(
                "an entry's flags",
                "the first entry of a chunk refers to one before it",
            ));
        }
        if flags & SPARSE != 0 && code != 1 {
            return Err(forbidden("an entry's flags", "only a file has a sparse map"));
        }
        Ok(())
    }

    fn read_attributes(
        &self,
        body: &mut Reader<'a>,
        flags: u8,
        entry: &mut Entry,
    ) -> Result<(), CatalogueError> {
        match &self.previous {
            Some(previous) if flags & SAME_OWNER != 0 => {
                (entry.uid, entry.gid) = (previous.uid, previous.gid);
                entry.user.clone_from(&previous.user);
                entry.group.clone_from(&previous.group);
            }
            _ => {
                entry.uid = take_u32(body, "a uid")?;
                entry.gid = take_u32(body, "a gid")?;
                entry.user = take_bytes(body)?.to_vec();
                entry.group = take_bytes(body)?.to_vec();
            }
        }
        match &self.previous {
            Some(previous) if flags & SAME_TIME != 0 => {
                (entry.mtime_s, entry.mtime_ns) = (previous.mtime_s, previous.mtime_ns);
            }
            _ => {
                entry.mtime_s = body.svarint()?;
                entry.mtime_ns = take_u32(body, "nanoseconds")?;
            }
        }
        if flags & UNREADABLE != 0 {
            entry.unreadable = Some(take_u32(body, "an errno")?);
        }
        if flags & XATTRS != 0 {
            entry.xattrs = read_xattrs(body)?;
        }
        Ok(())
    }

    fn read_kind(
        &self,
        body: &mut Reader<'a>,
        code: u8,
        flags: u8,
    ) -> Result<EntryKind, CatalogueError> {
        Ok(match code {
            1 => {
                let size = body.varint()?;
                let sparse = if flags & SPARSE == 0 { None } else { Some(read_extents(body)?) };
                EntryKind::File { size, sparse, content: read_content(body, self.content)? }
            }
            2 => EntryKind::Directory,
            3 => EntryKind::Symlink { target: take_bytes(body)?.to_vec() },
            4 => EntryKind::Fifo,
            5 => EntryKind::Socket,
            6 => EntryKind::CharDevice {
                major: take_u32(body, "a major")?,
                minor: take_u32(body, "a minor")?,
            },
            7 => EntryKind::BlockDevice {
                major: take_u32(body, "a major")?,
                minor: take_u32(body, "a minor")?,
            },
            8 => EntryKind::HardLink { first: take_bytes(body)?.to_vec() },
            _ => return Err(forbidden("an entry's type", "it is not 1 to 8")),
        })
    }

    fn follow(&mut self, entry: &Entry) -> Result<(), CatalogueError> {
        if let EntryKind::File { content, .. } = &entry.kind
            && let Some(last) = content.last()
        {
            self.content = Some((last.chunk, last.offset + last.length));
        }
        if let Some(promised) = &mut self.promised {
            *promised = promised
                .checked_sub(1)
                .ok_or_else(|| CatalogueError::index(&entry.path, "its chunk has more entries"))?;
        }
        // What the next entry may refer to; the content's list can be long and stays out.
        self.previous = Some(Entry {
            path: entry.path.clone(),
            kind: EntryKind::Directory,
            user: entry.user.clone(),
            group: entry.group.clone(),
            xattrs: Vec::new(),
            ..*entry
        });
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<Entry>, CatalogueError> {
        if self.reader.is_empty() {
            return match self.promised {
                Some(missing) if missing > 0 => {
                    Err(forbidden("the index", "it promises more entries than a chunk has"))
                }
                _ => Ok(None),
            };
        }
        let entry = self.entry()?;
        self.follow(&entry)?;
        Ok(Some(entry))
    }
}

impl Iterator for CatalogueReader<'_> {
    type Item = Result<Entry, CatalogueError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_entry().transpose();
        if matches!(next, Some(Err(_))) {
            self.reader = Reader::new(&[]);
            self.promised = None;
        }
        next
    }
}

fn take_u32(reader: &mut Reader<'_>, field: &'static str) -> Result<u32, CatalogueError> {
    u32::try_from(reader.varint()?).map_err(|_| forbidden(field, "it is beyond 32 bits"))
}

fn take_varint_bytes<'a>(reader: &mut Reader<'a>, length: u64) -> Result<&'a [u8], CatalogueError> {
    Ok(reader.take(usize::try_from(length).unwrap_or(usize::MAX))?)
}

fn take_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], CatalogueError> {
    let length = reader.varint()?;
    take_varint_bytes(reader, length)
}

/// A number of items that have at least `item_bytes` each: no more than there is room for.
fn take_count(reader: &mut Reader<'_>, item_bytes: usize) -> Result<usize, CatalogueError> {
    let count = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
    if count > reader.remaining() / item_bytes {
        return Err(forbidden("a number in an entry", "it is more than the entry has room for"));
    }
    Ok(count)
}

fn read_xattrs(body: &mut Reader<'_>) -> Result<Vec<Xattr>, CatalogueError> {
    let count = take_count(body, 2)?;
    let mut xattrs = Vec::new();
    for _ in 0..count {
        let name = take_bytes(body)?.to_vec();
        xattrs.push((name, take_bytes(body)?.to_vec()));
    }
    Ok(xattrs)
}

fn read_extents(body: &mut Reader<'_>) -> Result<Vec<Extent>, CatalogueError> {
    let count = take_count(body, 2)?;
    let mut extents = Vec::new();
    let mut end = 0_u64;
    for _ in 0..count {
        let beyond = || forbidden("a sparse map", "it goes beyond 64 bits");
        let offset = end.checked_add(body.varint()?).ok_or_else(beyond)?;
        let length = body.varint()?;
        end = offset.checked_add(length).ok_or_else(beyond)?;
        extents.push(Extent { offset, length });
    }
    Ok(extents)
}

fn read_content(
    body: &mut Reader<'_>,
    mut previous: Option<(ChunkId, u32)>,
) -> Result<Vec<ContentRef>, CatalogueError> {
    let count = take_count(body, 2)?;
    let mut content = Vec::new();
    for _ in 0..count {
        let token = body.varint()?;
        let earlier =
            previous.ok_or_else(|| forbidden("a content reference", "there is none before it"));
        let (chunk, offset) = match token {
            0 => earlier?,
            1 => (earlier?.0, take_u32(body, "an offset")?),
            2 => (ChunkId::from_bytes(body.array()?), take_u32(body, "an offset")?),
            _ => return Err(forbidden("a content reference", "its token is not 0 to 2")),
        };
        let length = take_u32(body, "a length")?;
        let end = offset
            .checked_add(length)
            .ok_or_else(|| forbidden("a content reference", "it is beyond 32 bits"))?;
        content.push(ContentRef { chunk, offset, length });
        previous = Some((chunk, end));
    }
    Ok(content)
}
