//! The entries of a snapshot as a stream in path order, from only those catalogue chunks that matter.

use std::cmp::Ordering;
use std::collections::VecDeque;

use lumbung_seal::catalogue::{
    CatalogueChecker, CatalogueReader, Entry, IndexEntry, groups, parent, path_cmp,
};

use super::frames::Frames;
use super::{Include, SnapshotError, is_beneath};

/// One group of the index, and where the next one begins.
#[derive(Clone, Copy)]
pub(super) struct Group<'a> {
    pub(super) lines: &'a [IndexEntry],
    next: Option<&'a [u8]>,
}

impl<'a> Group<'a> {
    pub(super) fn all(index: &'a [IndexEntry]) -> Vec<Self> {
        let all: Vec<&[IndexEntry]> = groups(index).collect();
        let first = |lines: &'a [IndexEntry]| lines.first().map(|line| &line.first_path[..]);
        let next = |i: usize| all.get(i + 1).and_then(|lines| first(lines));
        (0..all.len()).map(|i| Self { lines: all[i], next: next(i) }).collect()
    }

    pub(super) fn first_path(&self) -> &'a [u8] {
        self.lines.first().map_or(b"", |line| &line.first_path)
    }

    /// Whether `path` would be in this group.
    pub(super) fn may_hold(&self, path: &[u8]) -> bool {
        path_cmp(self.first_path(), path) != Ordering::Greater
            && self.next.is_none_or(|next| path_cmp(path, next) == Ordering::Less)
    }

    /// Whether something in this group may be `directory` or beneath it.
    fn may_hold_beneath(&self, directory: &[u8]) -> bool {
        let ends_before =
            self.next.is_some_and(|next| path_cmp(next, directory) != Ordering::Greater);
        let first = self.first_path();
        let begins_behind =
            path_cmp(first, directory) == Ordering::Greater && !is_beneath(first, directory);
        !ends_before && !begins_behind
    }

    /// Whether all of this group lies beneath one entry of `folder`: nothing in it is directly in the folder.
    pub(super) fn is_deep_beneath(&self, folder: &[u8]) -> bool {
        let child_of = |path: &'a [u8]| {
            let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
            let rest = path.get(skip..).filter(|_| is_beneath(path, folder))?;
            rest.iter().position(|b| *b == b'/').map(|slash| &path[..skip + slash])
        };
        let child = child_of(self.first_path());
        child.is_some() && self.next.and_then(child_of) == child
    }

    /// Whether something in this group may be touched by `include`.
    pub(super) fn matters(&self, include: &Include) -> bool {
        if include.is_all() {
            return true;
        }
        include.named().iter().any(|named| {
            let mut ancestor = parent(named);
            while let Some(path) = ancestor {
                if self.may_hold(path) {
                    return true;
                }
                ancestor = parent(path);
            }
            self.may_hold_beneath(named)
        })
    }

    /// Reads the group's entries.
    pub(super) fn read(&self, frames: &Frames) -> Result<Vec<Entry>, SnapshotError> {
        let mut bytes = Vec::new();
        for line in self.lines {
            bytes.extend_from_slice(&frames.chunk(&line.chunk, None)?.0);
        }
        let reader = CatalogueReader::for_group(self.lines, &bytes)?;
        Ok(reader.collect::<Result<_, _>>()?)
    }
}

/// A stream of entries.
pub(crate) struct Entries<'a> {
    frames: &'a Frames,
    groups: VecDeque<Group<'a>>,
    queue: VecDeque<Entry>,
    /// None once a part was left out: the order across parts cannot be checked then.
    checker: Option<CatalogueChecker>,
    include: Include,
}

impl<'a> Entries<'a> {
    pub(super) fn new(frames: &'a Frames, index: &'a [IndexEntry], include: &Include) -> Self {
        let groups = Group::all(index).into_iter().filter(|group| group.matters(include)).collect();
        let (queue, checker) = (VecDeque::new(), Some(CatalogueChecker::new()));
        Self { frames, groups, queue, checker, include: include.clone() }
    }

    /// The group that would be read next, if no entry of the one before is left.
    pub(super) fn at_group(&self) -> Option<&Group<'a>> {
        if self.queue.is_empty() { self.groups.front() } else { None }
    }

    /// Leaves the next group out.
    pub(super) fn skip_group(&mut self) {
        self.groups.pop_front();
        self.checker = None;
    }

    /// The next entry that is touched. After an error the stream goes on with the next part of the catalogue.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, SnapshotError> {
        loop {
            if let Some(entry) = self.queue.pop_front() {
                return Ok(Some(entry));
            }
            let Some(group) = self.groups.pop_front() else { return Ok(None) };
            if let Err(error) = self.read_group(&group) {
                self.queue.clear();
                self.checker = None;
                return Err(error);
            }
        }
    }

    fn read_group(&mut self, group: &Group<'a>) -> Result<(), SnapshotError> {
        for entry in group.read(self.frames)? {
            if self.include.touches(&entry.path) {
                if let Some(checker) = &mut self.checker {
                    checker.check(&entry)?;
                }
                self.queue.push_back(entry);
            }
        }
        Ok(())
    }
}
