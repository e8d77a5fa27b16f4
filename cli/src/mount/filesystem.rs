//! What a mount consists of: places, their numbers, and what is known of each.
//!
//! Invariants: an inode's number follows from the snapshot and the path, so it is the same as long as the mount is
//! there; names of one file share theirs; of snapshots that were entered only the last few stay open; an
//! error is the answer to one question and never ends the mount.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fuser::{Errno, FileAttr, FileHandle, FileType, INodeNo};
use lumbung_engine::{OpenedFile, SnapshotError, SnapshotFiles};
use lumbung_model::{Timestamp, with_causes};
use lumbung_seal::catalogue::{Entry, EntryKind, Xattr};

use super::attributes::{kind, of_entry, of_shelf};
use super::shelf::{LATEST, Shelf};
use crate::commands::browse::open_reader;
use crate::entry::absolute;
use crate::opening::Unlocked;
use crate::terminal::{Terminal, printable};

/// Snapshots kept open besides those of open files.
const SNAPSHOTS_OPEN: usize = 4;
/// Messages told: one bad frame may hold thousands of small files, and a screen or a pipe that is full holds up
/// the mount.
const TOLD: usize = 100;

/// Takes a number, the offset behind it, a type and a name; whether there was no room.
pub(super) type Add<'a> = &'a mut dyn FnMut(INodeNo, u64, FileType, &[u8]) -> bool;

/// Where a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Top,
    Dataset(usize),
    Latest(usize),
    Inner(usize, Vec<u8>),
}

pub(super) struct Node {
    place: Place,
    /// Names of it that the kernel knows, as far as they were seen.
    pub(super) names: u32,
    /// How often the kernel was told of it and has not forgotten it.
    pub(super) lookups: u64,
}

pub(super) struct Open {
    files: Arc<SnapshotFiles>,
    file: OpenedFile,
    path: Vec<u8>,
}

/// The file system.
pub(super) struct Snapshots {
    shelf: Shelf,
    unlocked: Unlocked,
    terminal: Terminal,
    pub(super) nodes: Mutex<HashMap<u64, Node>>,
    entered: Mutex<VecDeque<(usize, Arc<SnapshotFiles>)>>,
    /// One snapshot is opened at a time; those that are open need not wait for it.
    entering: Mutex<()>,
    pub(super) handles: Mutex<HashMap<u64, Arc<Open>>>,
    next_handle: AtomicU64,
    told: Mutex<HashSet<Vec<u8>>>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of a node: 0 and 1 are the kernel's.
fn number(place: &Place) -> u64 {
    let mut hasher = blake3::Hasher::new();
    match place {
        Place::Top => return INodeNo::ROOT.0,
        Place::Dataset(dataset) => hasher.update(b"dataset").update(&dataset.to_le_bytes()),
        Place::Latest(dataset) => hasher.update(b"latest").update(&dataset.to_le_bytes()),
        Place::Inner(snapshot, path) => {
            hasher.update(b"inner").update(&snapshot.to_le_bytes()).update(path)
        }
    };
    let bytes = hasher.finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&bytes.as_bytes()[..8]);
    u64::from_le_bytes(first).max(2)
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

impl Snapshots {
    pub(super) fn new(shelf: Shelf, unlocked: Unlocked, terminal: Terminal) -> Self {
        Self {
            shelf,
            unlocked,
            terminal,
            nodes: Mutex::default(),
            entered: Mutex::default(),
            entering: Mutex::default(),
            handles: Mutex::default(),
            next_handle: AtomicU64::new(1),
            told: Mutex::default(),
        }
    }

    /// Tells of an error, once of each path.
    fn tell(&self, path: &[u8], why: &str) {
        let mut told = lock(&self.told);
        if told.len() >= TOLD || !told.insert(path.to_vec()) {
            return;
        }
        let last = told.len() == TOLD;
        drop(told);
        self.terminal.warn(&format!("{}: {why}", printable(&absolute(path))));
        if last {
            let more = "further errors are not shown: `lumbung verify` tells what is damaged";
            self.terminal.warn(more);
        }
    }

    fn failed(&self, path: &[u8], error: &SnapshotError) -> Errno {
        if matches!(error, SnapshotError::NoSuchPath(_)) {
            return Errno::ENOENT;
        }
        self.tell(path, &with_causes(error));
        Errno::EIO
    }

    pub(super) fn place(&self, ino: INodeNo) -> Result<Place, Errno> {
        if ino == INodeNo::ROOT {
            return Ok(Place::Top);
        }
        lock(&self.nodes).get(&ino.0).map(|node| node.place.clone()).ok_or(Errno::ENOENT)
    }

    /// An opened snapshot.
    fn files(&self, snapshot: usize) -> Result<Arc<SnapshotFiles>, Errno> {
        let known = || {
            let mut entered = lock(&self.entered);
            let at = entered.iter().position(|(known, _)| *known == snapshot)?;
            let found = entered.remove(at)?;
            entered.push_back(found.clone());
            Some(found.1)
        };
        if let Some(files) = known() {
            return Ok(files);
        }
        let _turn = lock(&self.entering);
        if let Some(files) = known() {
            return Ok(files);
        }
        let wanted = self.shelf.snapshots.get(snapshot).ok_or(Errno::ENOENT)?;
        let reader = open_reader(&self.unlocked, wanted).map_err(|failure| {
            self.tell(wanted.id.as_bytes(), failure.text().trim_end());
            Errno::EIO
        })?;
        let files = Arc::new(SnapshotFiles::new(reader));
        let mut entered = lock(&self.entered);
        entered.push_back((snapshot, files.clone()));
        // Dropped once the lock is released: its threads are waited for.
        let gone = if entered.len() > SNAPSHOTS_OPEN { entered.pop_front() } else { None };
        drop(entered);
        drop(gone);
        Ok(files)
    }

    fn entry(&self, snapshot: usize, path: &[u8]) -> Result<Entry, Errno> {
        self.files(snapshot)?.entry(path).map_err(|e| self.failed(path, &e))
    }

    pub(super) fn attributes(&self, place: &Place, names: u32) -> Result<FileAttr, Errno> {
        let ino = INodeNo(number(place));
        let finished = |at: usize| self.shelf.snapshots.get(at).map(|s| s.finished);
        let newest = |dataset: usize| {
            let newest = self.shelf.datasets.get(dataset)?.snapshots.last()?;
            Some((&newest.0, finished(newest.1)?))
        };
        match place {
            Place::Top => {
                let all = self.shelf.snapshots.iter().map(|s| s.finished);
                let at = all.max().unwrap_or(Timestamp(0));
                Ok(of_shelf(ino, FileType::Directory, at, 0))
            }
            Place::Dataset(dataset) => {
                let (_, at) = newest(*dataset).ok_or(Errno::ENOENT)?;
                Ok(of_shelf(ino, FileType::Directory, at, 0))
            }
            Place::Latest(dataset) => {
                let (name, at) = newest(*dataset).ok_or(Errno::ENOENT)?;
                Ok(of_shelf(ino, FileType::Symlink, at, name.len() as u64))
            }
            // It is not opened before somebody goes into it.
            Place::Inner(snapshot, path) if path.is_empty() => {
                let at = finished(*snapshot).ok_or(Errno::ENOENT)?;
                Ok(of_shelf(ino, FileType::Directory, at, 0))
            }
            Place::Inner(snapshot, path) => Ok(of_entry(ino, &self.entry(*snapshot, path)?, names)),
        }
    }

    /// What a name in a folder is, and how many names of it are known.
    fn child(&self, parent: &Place, name: &[u8]) -> Result<(Place, u32), Errno> {
        match parent {
            Place::Top => {
                let named = |dataset: &super::shelf::Dataset| dataset.name.as_bytes() == name;
                let found = self.shelf.datasets.iter().position(named);
                found.map(|dataset| (Place::Dataset(dataset), 1)).ok_or(Errno::ENOENT)
            }
            Place::Dataset(dataset) if name == LATEST.as_bytes() => {
                Ok((Place::Latest(*dataset), 1))
            }
            Place::Dataset(dataset) => {
                let all = self.shelf.datasets.get(*dataset).ok_or(Errno::ENOENT)?;
                let found = all.snapshots.iter().find(|(known, _)| known.as_bytes() == name);
                let (_, snapshot) = found.ok_or(Errno::ENOENT)?;
                Ok((Place::Inner(*snapshot, Vec::new()), 1))
            }
            Place::Latest(_) => Err(Errno::ENOTDIR),
            Place::Inner(snapshot, folder) => {
                let path = join(folder, name);
                match self.entry(*snapshot, &path)?.kind {
                    EntryKind::HardLink { first } => Ok((Place::Inner(*snapshot, first), 2)),
                    _ => Ok((Place::Inner(*snapshot, path), 1)),
                }
            }
        }
    }

    pub(super) fn look_up(&self, parent: INodeNo, name: &[u8]) -> Result<FileAttr, Errno> {
        let (place, names) = self.child(&self.place(parent)?, name)?;
        let mut attributes = self.attributes(&place, names)?;
        let mut nodes = lock(&self.nodes);
        let node = nodes.entry(number(&place)).or_insert(Node { place, names, lookups: 0 });
        node.lookups += 1;
        node.names = node.names.max(names);
        if attributes.kind != FileType::Directory {
            attributes.nlink = node.names;
        }
        Ok(attributes)
    }

    /// Tells `add` of what lies in a folder from an offset on: number, next offset, type, name; until it is full.
    pub(super) fn list(&self, ino: INodeNo, offset: u64, add: Add<'_>) -> Result<(), Errno> {
        const DOTS: u64 = 2;
        let place = self.place(ino)?;
        let dots: [&[u8]; 2] = [b".", b".."];
        for (dot, next) in dots.into_iter().zip(1..).skip(usize::try_from(offset).unwrap_or(2)) {
            if add(ino, next, FileType::Directory, dot) {
                return Ok(());
            }
        }
        let position = offset.saturating_sub(DOTS);
        let skip = usize::try_from(position).unwrap_or(usize::MAX);
        let inode = |place: &Place| INodeNo(number(place));
        match &place {
            Place::Top => {
                for (n, dataset) in self.shelf.datasets.iter().enumerate().skip(skip) {
                    let (ino, next) = (inode(&Place::Dataset(n)), DOTS + 1 + n as u64);
                    if add(ino, next, FileType::Directory, dataset.name.as_bytes()) {
                        return Ok(());
                    }
                }
            }
            Place::Dataset(dataset) => {
                let all = self.shelf.datasets.get(*dataset).ok_or(Errno::ENOENT)?;
                let latest = (LATEST, Place::Latest(*dataset), FileType::Symlink);
                let snapshots = all.snapshots.iter().map(|(name, snapshot)| {
                    (&name[..], Place::Inner(*snapshot, Vec::new()), FileType::Directory)
                });
                let names = std::iter::once(latest).chain(snapshots);
                for (n, (name, place, kind)) in names.enumerate().skip(skip) {
                    if add(inode(&place), DOTS + 1 + n as u64, kind, name.as_bytes()) {
                        return Ok(());
                    }
                }
            }
            Place::Latest(_) => return Err(Errno::ENOTDIR),
            Place::Inner(snapshot, folder) => {
                let skip = if folder.is_empty() { 0 } else { folder.len() + 1 };
                let files = self.files(*snapshot)?;
                let visited = files.children(folder, position, &mut |entry, next| {
                    let path = match &entry.kind {
                        EntryKind::HardLink { first } => first.clone(),
                        _ => entry.path.clone(),
                    };
                    let ino = inode(&Place::Inner(*snapshot, path));
                    !add(ino, DOTS + next, kind(entry), &entry.path[skip..])
                });
                visited.map_err(|e| self.failed(folder, &e))?;
            }
        }
        Ok(())
    }

    pub(super) fn open_file(&self, ino: INodeNo) -> Result<u64, Errno> {
        let Place::Inner(snapshot, path) = self.place(ino)? else { return Err(Errno::EISDIR) };
        let files = self.files(snapshot)?;
        let entry = files.entry(&path).map_err(|e| self.failed(&path, &e))?;
        let file = files.open(entry).map_err(|e| self.failed(&path, &e))?;
        let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
        lock(&self.handles).insert(handle, Arc::new(Open { files, file, path }));
        Ok(handle)
    }

    pub(super) fn read_file(
        &self,
        handle: FileHandle,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, Errno> {
        let open = lock(&self.handles).get(&handle.0).cloned().ok_or(Errno::EBADF)?;
        let read = open.files.read(&open.file, offset, length as usize);
        read.map_err(|e| self.failed(&open.path, &e))
    }

    pub(super) fn link_target(&self, ino: INodeNo) -> Result<Vec<u8>, Errno> {
        match self.place(ino)? {
            Place::Latest(dataset) => {
                let newest = self.shelf.datasets.get(dataset).and_then(|d| d.snapshots.last());
                newest.map(|(name, _)| name.clone().into_bytes()).ok_or(Errno::ENOENT)
            }
            Place::Inner(snapshot, path) => match self.entry(snapshot, &path)?.kind {
                EntryKind::Symlink { target } => Ok(target),
                _ => Err(Errno::EINVAL),
            },
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn extended(&self, ino: INodeNo) -> Result<Vec<Xattr>, Errno> {
        match self.place(ino)? {
            Place::Inner(snapshot, path) if !path.is_empty() => {
                Ok(self.entry(snapshot, &path)?.xattrs)
            }
            _ => Ok(Vec::new()),
        }
    }
}
