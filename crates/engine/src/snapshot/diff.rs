//! What changed between two snapshots: their catalogues merged in path order. Chunks of the catalogue that
//! both share are not read.

use std::cmp::Ordering;

use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, path_cmp};

use super::entries::Entries;
use super::{ChunkCache, Include, SnapshotError, SnapshotReader, piece};

const CACHE_BYTES: usize = 12 << 20;

/// How an entry differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Only in the newer.
    Added,
    /// Only in the older.
    Removed,
    /// Its content, or its type, differs.
    Content,
    /// Only its attributes differ.
    Attributes,
}

/// A difference between two snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffEntry {
    /// What happened.
    pub change: Change,
    /// The entry in the newer, or in the older if it was removed.
    pub entry: Entry,
}

pub(super) fn diff(
    older: &SnapshotReader,
    newer: &SnapshotReader,
    visit: &mut dyn FnMut(DiffEntry),
) -> Result<(), SnapshotError> {
    let cache = |reader| ChunkCache::new(SnapshotReader::frames(reader), None, CACHE_BYTES);
    let contents = Contents { old: cache(older), new: cache(newer) };
    let all = Include::all();
    let (mut old, mut new) = (older.entries(&all), newer.entries(&all));
    skip_shared(&mut old, &mut new);
    let (mut left, mut right) = (old.next()?, new.next()?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => path_cmp(&left.path, &right.path),
        };
        match order {
            Ordering::Less => {
                visit_one(left.take(), Change::Removed, visit);
                left = old.next()?;
            }
            Ordering::Greater => {
                visit_one(right.take(), Change::Added, visit);
                right = new.next()?;
            }
            Ordering::Equal => {
                if let (Some(before), Some(after)) = (left.take(), right.take())
                    && let Some(change) = contents.change(&before, &after)
                {
                    visit(DiffEntry { change, entry: after });
                }
                skip_shared(&mut old, &mut new);
                (left, right) = (old.next()?, new.next()?);
            }
        }
    }
}

fn visit_one(entry: Option<Entry>, change: Change, visit: &mut dyn FnMut(DiffEntry)) {
    if let Some(entry) = entry {
        visit(DiffEntry { change, entry });
    }
}

/// Where both stand before the same chunks, there is nothing to see.
fn skip_shared(old: &mut Entries<'_>, new: &mut Entries<'_>) {
    while let (Some(left), Some(right)) = (old.at_group(), new.at_group()) {
        let same = left.lines.len() == right.lines.len()
            && left.lines.iter().zip(right.lines).all(|(l, r)| l.chunk == r.chunk);
        // The first group holds the root directory, which the order check begins with.
        if !same || left.first_path().is_empty() {
            return;
        }
        old.skip_group();
        new.skip_group();
    }
}

struct Contents {
    old: ChunkCache,
    new: ChunkCache,
}

impl Contents {
    fn change(&self, before: &Entry, after: &Entry) -> Option<Change> {
        if before == after {
            return None;
        }
        let same_content = match (&before.kind, &after.kind) {
            (
                EntryKind::File { size: a, content: x, sparse: s },
                EntryKind::File { size: b, content: y, sparse: t },
            ) => a == b && s == t && self.same_data(x, y),
            (a, b) => a == b,
        };
        let cut_anew =
            same_content && Entry { kind: after.kind.clone(), ..before.clone() } == *after;
        match (same_content, cut_anew) {
            (false, _) => Some(Change::Content),
            (true, false) => Some(Change::Attributes),
            // The same bytes in other chunks: read again, and nothing had changed.
            (true, true) => None,
        }
    }

    /// Whether two lists hold the same bytes. What is in the same place of the same chunk is not read; what
    /// cannot be read counts as changed.
    fn same_data(&self, left: &[ContentRef], right: &[ContentRef]) -> bool {
        let (mut left, mut right) = (left.iter().copied(), right.iter().copied());
        let (mut l, mut r) = (left.next(), right.next());
        loop {
            let (Some(a), Some(b)) = (l.as_mut(), r.as_mut()) else {
                return l.is_none() && r.is_none();
            };
            let length = a.length.min(b.length);
            if (a.chunk, a.offset) != (b.chunk, b.offset) && !self.same_bytes(a, b, length) {
                return false;
            }
            for part in [&mut *a, &mut *b] {
                part.offset += length;
                part.length -= length;
            }
            if a.length == 0 {
                l = left.next();
            }
            if r.is_some_and(|b| b.length == 0) {
                r = right.next();
            }
        }
    }

    fn same_bytes(&self, left: &ContentRef, right: &ContentRef, length: u32) -> bool {
        let (Ok(a), Ok(b)) = (self.old.get(&left.chunk), self.new.get(&right.chunk)) else {
            return false;
        };
        let part = |of: &ContentRef| ContentRef { length, ..*of };
        matches!((piece(&a, &part(left)), piece(&b, &part(right))), (Ok(x), Ok(y)) if x == y)
    }
}
