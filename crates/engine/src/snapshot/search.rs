//! Finds the versions of files over many snapshots.
//!
//! Invariants: a version is a path with its type, size, modification time and content, and is kept once, with the
//! first and last snapshot that has it and every site that keeps one of them; a part of a catalogue that was read
//! in one snapshot is not read again in another that shares it; no more versions are kept than the caller
//! allows, and what is left out is counted.

use std::collections::{HashMap, HashSet};

use lumbung_model::{ManifestId, Timestamp};
use lumbung_seal::catalogue::{Entry, EntryKind, path_cmp};

use super::entries::Group;
use super::{SnapshotError, SnapshotReader};
use crate::Excludes;

/// What type an entry must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeFilter {
    /// A file, under its first name or a further one.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
}

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Of what name.
    pub pattern: Excludes,
    /// Modified then or later.
    pub since: Option<Timestamp>,
    /// Modified then or earlier.
    pub until: Option<Timestamp>,
    /// Of at least so many bytes.
    pub min_bytes: Option<u64>,
    /// Of at most so many.
    pub max_bytes: Option<u64>,
    /// Of this type.
    pub kind: Option<TypeFilter>,
    /// How many versions are kept.
    pub limit: usize,
}

/// A version of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The entry, without its content.
    pub entry: Entry,
    /// The oldest snapshot with it, and when it finished.
    pub first: (ManifestId, Timestamp),
    /// The newest.
    pub last: (ManifestId, Timestamp),
    /// How many snapshots have it.
    pub snapshots: u64,
    /// Which sites keep one of them: their numbers with the caller, ascending.
    pub sites: Vec<usize>,
}

/// A search that goes from snapshot to snapshot.
pub struct Search {
    query: Query,
    versions: Vec<Version>,
    by_identity: HashMap<[u8; 32], usize>,
    /// What was found in parts of catalogues, by the hash of the chunks that they consist of.
    parts: HashMap<[u8; 32], Vec<usize>>,
    /// Versions there was no room for, by the beginning of their identity: 8 bytes each.
    left_out: HashSet<[u8; 8]>,
    parts_read: u64,
}

impl Search {
    /// A search in no snapshot yet.
    #[must_use]
    pub fn new(query: Query) -> Self {
        let (by_identity, parts) = (HashMap::new(), HashMap::new());
        let (versions, left_out) = (Vec::new(), HashSet::new());
        Self { query, versions, by_identity, parts, left_out, parts_read: 0 }
    }

    /// Searches a snapshot that these sites keep. Snapshots are given from the newest to the oldest: that is the order
    /// of the versions too, and the newest have their place when room is short.
    ///
    /// # Errors
    /// If its catalogue cannot be read.
    pub fn add(&mut self, reader: &SnapshotReader, sites: &[usize]) -> Result<(), SnapshotError> {
        let snapshot = reader.snapshot();
        let place = (snapshot.id, snapshot.finished);
        for group in Group::all(reader.index()) {
            let mut hasher = blake3::Hasher::new();
            group.lines.iter().for_each(|line| {
                hasher.update(line.chunk.as_bytes());
            });
            let part = *hasher.finalize().as_bytes();
            if !self.parts.contains_key(&part) {
                let found = self.read(reader, &group, place)?;
                self.parts.insert(part, found);
            }
            for version in &self.parts[&part] {
                if let Some(version) = self.versions.get_mut(*version) {
                    version.seen(place, sites);
                }
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        reader: &SnapshotReader,
        group: &Group<'_>,
        place: (ManifestId, Timestamp),
    ) -> Result<Vec<usize>, SnapshotError> {
        self.parts_read += 1;
        let mut found = Vec::new();
        for entry in group.read(reader.frames())? {
            if !self.query.takes(reader, &entry)? {
                continue;
            }
            let identity = identity(&entry);
            let known = self.by_identity.get(&identity).copied();
            let version = match known {
                Some(version) => version,
                None if self.versions.len() >= self.query.limit => {
                    let mut short = [0; 8];
                    short.copy_from_slice(&identity[..8]);
                    self.left_out.insert(short);
                    continue;
                }
                None => {
                    self.by_identity.insert(identity, self.versions.len());
                    self.versions.push(Version::new(entry, place));
                    self.versions.len() - 1
                }
            };
            found.push(version);
        }
        Ok(found)
    }

    /// What was found, by path, the newest version of each first; and how many versions there was no room for.
    #[must_use]
    pub fn finish(mut self) -> (Vec<Version>, u64) {
        // A stable sort: of one path they stay as they were found, the newest first.
        self.versions.sort_by(|a, b| path_cmp(&a.entry.path, &b.entry.path));
        (self.versions, self.left_out.len() as u64)
    }

    /// How many parts of catalogues were read so far.
    #[must_use]
    pub const fn parts_read(&self) -> u64 {
        self.parts_read
    }
}

impl Version {
    fn new(mut entry: Entry, place: (ManifestId, Timestamp)) -> Self {
        if let EntryKind::File { content, sparse, .. } = &mut entry.kind {
            *content = Vec::new();
            *sparse = sparse.take().map(|_| Vec::new());
        }
        Self { entry, first: place, last: place, snapshots: 0, sites: Vec::new() }
    }

    fn seen(&mut self, place: (ManifestId, Timestamp), sites: &[usize]) {
        self.snapshots += 1;
        self.first = place;
        for site in sites {
            if let Err(at) = self.sites.binary_search(site) {
                self.sites.insert(at, *site);
            }
        }
    }
}

impl Query {
    fn takes(&self, reader: &SnapshotReader, entry: &Entry) -> Result<bool, SnapshotError> {
        let at = Timestamp(entry.mtime_s);
        let right_time = self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at <= until);
        if !right_time || !self.takes_type(entry) || !self.pattern.matches(&entry.path) {
            return Ok(false);
        }
        if self.min_bytes.is_none() && self.max_bytes.is_none() {
            return Ok(true);
        }
        let size = match &entry.kind {
            EntryKind::File { size, .. } => Some(*size),
            // A further name says nothing of the size.
            EntryKind::HardLink { first } => match reader.entry(first)?.kind {
                EntryKind::File { size, .. } => Some(size),
                _ => None,
            },
            _ => None,
        };
        Ok(size.is_some_and(|size| {
            self.min_bytes.is_none_or(|least| size >= least)
                && self.max_bytes.is_none_or(|most| size <= most)
        }))
    }

    fn takes_type(&self, entry: &Entry) -> bool {
        let of = match entry.kind {
            EntryKind::File { .. } | EntryKind::HardLink { .. } => TypeFilter::File,
            EntryKind::Directory => TypeFilter::Directory,
            EntryKind::Symlink { .. } => TypeFilter::Symlink,
            _ => TypeFilter::Special,
        };
        self.kind.is_none_or(|wanted| wanted == of)
    }
}

/// What makes a version. A folder's time is none of it: it changes with whatever is in it.
fn identity(entry: &Entry) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut part = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(&entry.path);
    let time = |part: &mut dyn FnMut(&[u8])| {
        part(&entry.mtime_s.to_le_bytes());
        part(&entry.mtime_ns.to_le_bytes());
    };
    match &entry.kind {
        EntryKind::Directory => part(b"directory"),
        EntryKind::File { size, content, .. } => {
            part(b"file");
            part(&size.to_le_bytes());
            time(&mut part);
            for piece in content {
                part(piece.chunk.as_bytes());
                part(&piece.offset.to_le_bytes());
                part(&piece.length.to_le_bytes());
            }
        }
        EntryKind::Symlink { target } => {
            part(b"symlink");
            part(target);
        }
        EntryKind::HardLink { first } => {
            part(b"hard link");
            part(first);
            time(&mut part);
        }
        other => {
            part(format!("{other:?}").as_bytes());
            time(&mut part);
        }
    }
    *hasher.finalize().as_bytes()
}
