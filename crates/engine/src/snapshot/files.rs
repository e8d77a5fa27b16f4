//! A snapshot to be looked into at random: one entry, one folder, some bytes of a file, with a bounded memory.
//!
//! Invariants: every byte handed out was checked as in a restore; what is kept of decoded chunks and of the catalogue
//! is bounded, however many files are open; reading ahead never makes anybody wait, and its failures are told
//! only to whoever reads there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Sender, bounded};
use lumbung_model::ChunkId;
use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind, parent, path_cmp};

use super::entries::Group;
use super::{ChunkCache, Include, SnapshotError, SnapshotReader, piece, readable};
use crate::restore::Layout;

/// Opened chunks kept.
const CACHE_BYTES: usize = 32 << 20;
/// Decoded parts of the catalogue kept: each a few thousand entries.
const GROUPS_KEPT: usize = 8;
/// Chunks fetched before they are asked for, and by how many threads.
const AHEAD: (usize, usize) = (4, 2);

/// A snapshot that is looked into at random.
pub struct SnapshotFiles {
    reader: Arc<SnapshotReader>,
    chunks: Arc<ChunkCache>,
    groups: Mutex<VecDeque<(usize, Arc<Vec<Entry>>)>>,
    /// None once it is dropped: the threads end with it.
    ahead: Option<Sender<ChunkId>>,
    fetchers: Vec<JoinHandle<()>>,
}

/// A file whose content is read in pieces.
pub struct OpenedFile {
    size: u64,
    layout: Layout,
    content: Vec<ContentRef>,
    /// Where each part begins in the content.
    starts: Vec<u64>,
    /// The part that was read last.
    last: AtomicUsize,
}

impl SnapshotFiles {
    /// Looks into an opened snapshot.
    #[must_use]
    pub fn new(reader: SnapshotReader) -> Self {
        let chunks = Arc::new(ChunkCache::new(reader.frames(), None, CACHE_BYTES));
        let (sender, receiver) = bounded::<ChunkId>(AHEAD.0 * AHEAD.1);
        let fetchers = (0..AHEAD.1)
            .map(|_| {
                let (receiver, chunks) = (receiver.clone(), chunks.clone());
                std::thread::spawn(move || {
                    for chunk in receiver {
                        // Whoever reads it is told.
                        let _ = chunks.get(&chunk);
                    }
                })
            })
            .collect();
        let reader = Arc::new(reader);
        Self { reader, chunks, groups: Mutex::default(), ahead: Some(sender), fetchers }
    }

    /// The snapshot.
    #[must_use]
    pub fn reader(&self) -> &SnapshotReader {
        &self.reader
    }

    fn group(&self, number: usize, group: &Group<'_>) -> Result<Arc<Vec<Entry>>, SnapshotError> {
        let lock = || self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = lock();
        if let Some(at) = kept.iter().position(|(known, _)| *known == number)
            && let Some((_, entries)) = kept.remove(at)
        {
            kept.push_back((number, entries.clone()));
            return Ok(entries);
        }
        drop(kept);
        let entries = Arc::new(group.read(self.reader.frames())?);
        let mut kept = lock();
        kept.push_back((number, entries.clone()));
        if kept.len() > GROUPS_KEPT {
            kept.pop_front();
        }
        Ok(entries)
    }

    /// One entry, by its path without slashes around it.
    ///
    /// # Errors
    /// [`SnapshotError::NoSuchPath`].
    pub fn entry(&self, path: &[u8]) -> Result<Entry, SnapshotError> {
        let missing = || SnapshotError::NoSuchPath(readable(path));
        let groups = Group::all(self.reader.index());
        let number = groups.partition_point(|group| {
            path_cmp(group.first_path(), path) != std::cmp::Ordering::Greater
        });
        let number = number.checked_sub(1).ok_or_else(missing)?;
        let entries = self.group(number, &groups[number])?;
        let found = entries.binary_search_by(|entry| path_cmp(&entry.path, path));
        found.ok().and_then(|at| entries.get(at)).cloned().ok_or_else(missing)
    }

    /// The file that an entry names: of a further name its first one.
    ///
    /// # Errors
    /// If the first name is not in the snapshot.
    pub fn resolved(&self, entry: Entry) -> Result<Entry, SnapshotError> {
        match &entry.kind {
            EntryKind::HardLink { first } => self.entry(first),
            _ => Ok(entry),
        }
    }

    /// Tells `visit` of what lies directly in a folder, from `position` on (0 is the beginning), each with the position
    /// behind it; until it says no.
    ///
    /// # Errors
    /// If the catalogue cannot be read there.
    pub fn children(
        &self,
        folder: &[u8],
        position: u64,
        visit: &mut dyn FnMut(&Entry, u64) -> bool,
    ) -> Result<(), SnapshotError> {
        // A position is the number of a group, and of an entry in it.
        let (first, mut skip) = (position >> 32, position & u64::from(u32::MAX));
        let include = Include::paths([folder]);
        let groups = Group::all(self.reader.index());
        let first = usize::try_from(first).unwrap_or(usize::MAX);
        for (number, group) in groups.iter().enumerate().skip(first) {
            if group.matters(&include) && !group.is_deep_beneath(folder) {
                let entries = self.group(number, group)?;
                let from = usize::try_from(skip).unwrap_or(usize::MAX);
                for (at, entry) in entries.iter().enumerate().skip(from) {
                    if parent(&entry.path) == Some(folder)
                        && !visit(entry, (number as u64) << 32 | (at as u64 + 1))
                    {
                        return Ok(());
                    }
                }
            }
            skip = 0;
        }
        Ok(())
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    /// [`SnapshotError::NotAFile`].
    pub fn open(&self, entry: Entry) -> Result<OpenedFile, SnapshotError> {
        let entry = self.resolved(entry)?;
        let unreadable = entry.unreadable.is_some();
        let EntryKind::File { size, sparse, content } = entry.kind else {
            return Err(SnapshotError::NotAFile(readable(&entry.path)));
        };
        if unreadable {
            return Err(SnapshotError::NotAFile(readable(&entry.path)));
        }
        let layout = Layout::new(size, sparse.as_deref());
        let mut start = 0;
        let starts = content.iter().map(|part| {
            start += u64::from(part.length);
            start - u64::from(part.length)
        });
        let starts = starts.collect();
        Ok(OpenedFile { size, layout, content, starts, last: AtomicUsize::new(usize::MAX) })
    }

    /// Some bytes of a file, holes as zeros; fewer at its end.
    ///
    /// # Errors
    /// If a frame that they lie in cannot be read.
    pub fn read(
        &self,
        file: &OpenedFile,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, SnapshotError> {
        let end = offset.saturating_add(length as u64).min(file.size);
        let length = usize::try_from(end.saturating_sub(offset)).unwrap_or(0);
        let mut bytes = vec![0; length];
        let stretches = &file.layout.stretches;
        let first = stretches.partition_point(|(_, at, length)| at + length <= offset);
        for (start, at, stretch) in &stretches[first..] {
            let (from, until) = (offset.max(*at), end.min(at + stretch));
            if from >= until {
                break;
            }
            let place = usize::try_from(from - offset).unwrap_or(usize::MAX);
            let room = usize::try_from(until - from).unwrap_or(0);
            let Some(part) = bytes.get_mut(place..place + room) else { break };
            self.fill(file, start + (from - at), part)?;
        }
        Ok(bytes)
    }

    /// Fills `bytes` with the content from `position` on.
    fn fill(
        &self,
        file: &OpenedFile,
        mut position: u64,
        mut bytes: &mut [u8],
    ) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            let number = file.starts.partition_point(|start| *start <= position).wrapping_sub(1);
            let part = file.content.get(number);
            let part =
                part.ok_or_else(|| SnapshotError::NotAFile("its content ends".to_owned()))?;
            self.fetch_ahead(file, number);
            let chunk = self.chunks.get(&part.chunk)?;
            let within = usize::try_from(position - file.starts[number]).unwrap_or(usize::MAX);
            let data = piece(&chunk, part)?.get(within..).unwrap_or_default();
            if data.is_empty() {
                return Err(SnapshotError::UnknownChunk(part.chunk));
            }
            let length = data.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(length);
            now.copy_from_slice(&data[..length]);
            position += length as u64;
            bytes = later;
        }
        Ok(())
    }

    /// Whoever has read one part and now reads the next will read on: what follows is fetched in order.
    fn fetch_ahead(&self, file: &OpenedFile, number: usize) {
        let last = file.last.swap(number, Ordering::Relaxed);
        if last == number || (last.wrapping_add(1) != number) {
            return;
        }
        let following = file.content.iter().skip(number + 1).take(AHEAD.0);
        for part in following {
            // Where there is no room, there is enough to do.
            if self.ahead.as_ref().is_none_or(|ahead| ahead.try_send(part.chunk).is_err()) {
                return;
            }
        }
    }
}

impl Drop for SnapshotFiles {
    fn drop(&mut self) {
        self.ahead = None;
        for fetcher in self.fetchers.drain(..) {
            // A fetcher that panicked has told so itself.
            let _ = fetcher.join();
        }
    }
}

impl OpenedFile {
    /// Bytes of its content, holes included.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }
}
