//! What changed between two snapshots: their catalogues merged in path order. Chunks of the catalogue that
//! both share are not read.

use std::cmp::Ordering;

use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, path_cmp};

use super::entries::Entries;
use super::{Include, SnapshotError, SnapshotReader};

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
                    && let Some(change) = change(&before, &after)
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

fn change(before: &Entry, after: &Entry) -> Option<Change> {
    if before == after {
        return None;
    }
    let same_content = match (&before.kind, &after.kind) {
        (EntryKind::File { size: a, content: x, .. }, EntryKind::File { size: b, content: y, .. }) => {
            a == b && same_data(x, y)
        }
        (a, b) => a == b,
    };
    Some(if same_content { Change::Attributes } else { Change::Content })
}

/// Whether two lists name the same data. Equal data that was cut differently counts as changed.
fn same_data(left: &[ContentRef], right: &[ContentRef]) -> bool {
    left == right
}
