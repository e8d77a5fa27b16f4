//! A file system in memory that knows what is durable: what POSIX promises, and no more.
//!
//! Bytes and length of a file are durable after its own fsync. A name is durable after the fsync of its
//! directory, whatever was synced of the file behind it. A rename is one change: the new name stands
//! for the old file or the new one. Everything else may be on the disk or not, each change by itself and in
//! any order; of bytes that were written, any part, and zeros where the length came first. What ext4, XFS
//! or Btrfs leave is among this.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Image, Op};

/// A file, whatever its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(super) u64);

/// Bytes of a file, with their hash.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) hash: [u8; 32],
}

impl Content {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let hash = lumbung_pack::object_id(&bytes);
        Self { bytes: Arc::new(bytes), hash }
    }
}

#[derive(Debug, Clone)]
pub(super) enum DataOp {
    Write { offset: u64, bytes: Arc<[u8]> },
    Punch { offset: u64, length: u64 },
    SetLength(u64),
}

#[derive(Debug, Clone)]
pub(super) struct FileState {
    pub(super) durable: Content,
    /// Number of the change, and what it was.
    pub(super) pending: Vec<(u64, DataOp)>,
    pub(super) modified: (i64, i64),
    /// Its last name.
    path: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    File(NodeId),
    Directory,
}

#[derive(Debug, Clone)]
pub(super) enum NameOp {
    Add(String, Entry),
    Remove(String),
    Rename(String, String, NodeId),
}

#[derive(Debug, Clone, Default)]
pub(super) struct DirectoryState {
    pub(super) durable: BTreeMap<String, Entry>,
    pub(super) pending: Vec<(u64, NameOp)>,
}

impl FileState {
    fn sync(&mut self) {
        if !self.pending.is_empty() {
            self.durable = super::states::content(self, &mut |_| super::Fate::Kept);
            self.pending.clear();
        }
    }
}

impl DirectoryState {
    fn sync(&mut self) {
        for (_, op) in std::mem::take(&mut self.pending) {
            Self::apply(&mut self.durable, &op);
        }
    }

    pub(super) fn apply(names: &mut BTreeMap<String, Entry>, op: &NameOp) {
        match op {
            NameOp::Add(name, entry) => {
                names.insert(name.clone(), *entry);
            }
            NameOp::Remove(name) => {
                names.remove(name);
            }
            NameOp::Rename(from, to, node) => {
                if names.get(from) == Some(&Entry::File(*node)) {
                    names.remove(from);
                }
                names.insert(to.clone(), Entry::File(*node));
            }
        }
    }
}

/// A change that is not durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its number: changes are numbered in the order in which they were made.
    pub number: u64,
    /// Whether it is bytes of a file, which can be torn; otherwise it is a name or a length.
    pub bytes: bool,
    /// The directory of the name, or a name of the file.
    pub path: PathBuf,
}

/// What there is, and what of it is durable.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub(super) files: BTreeMap<NodeId, FileState>,
    pub(super) directories: BTreeMap<PathBuf, DirectoryState>,
    /// Names as a running program sees them.
    names: BTreeMap<PathBuf, NodeId>,
    /// Every commit of each database so far.
    pub(super) databases: BTreeMap<PathBuf, Vec<Arc<Image>>>,
    changes: u64,
}

fn split(path: &Path) -> (PathBuf, String) {
    let name = path.file_name().and_then(|name| name.to_str()).expect("names in tests are UTF-8");
    (path.parent().unwrap_or(Path::new("")).to_owned(), name.to_owned())
}

impl Model {
    /// Takes in what is on the disk, as durable.
    pub(super) fn scan(
        &mut self,
        root: &Path,
        folder: &Path,
        nodes: &mut HashMap<(u64, u64), NodeId>,
    ) -> io::Result<()> {
        let mut durable = BTreeMap::new();
        for entry in std::fs::read_dir(root.join(folder))? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let path = folder.join(entry.file_name());
            let (_, name) = split(&path);
            if meta.is_dir() {
                self.scan(root, &path, nodes)?;
                durable.insert(name, Entry::Directory);
                continue;
            }
            let node = *nodes.entry((meta.dev(), meta.ino())).or_insert(NodeId(self.next_node()));
            let content = Content::new(std::fs::read(entry.path())?);
            let modified = (meta.mtime(), meta.mtime_nsec());
            let named = path.clone();
            let file = FileState { durable: content, pending: Vec::new(), modified, path: named };
            self.files.insert(node, file);
            self.names.insert(path, node);
            durable.insert(name, Entry::File(node));
        }
        let state = DirectoryState { durable, pending: Vec::new() };
        self.directories.insert(folder.to_owned(), state);
        Ok(())
    }

    pub(super) fn next_node(&self) -> u64 {
        self.files.last_key_value().map_or(0, |(node, _)| node.0 + 1)
    }

    /// Makes a change.
    ///
    /// # Panics
    /// If it does not fit what there is: the recording is not whole.
    pub fn apply(&mut self, op: &Op) {
        self.changes += 1;
        match op {
            Op::Create { path, node } => {
                let durable = Content::new(Vec::new());
                let path = path.clone();
                let file = FileState { durable, pending: Vec::new(), modified: (0, 0), path };
                self.names.insert(file.path.clone(), *node);
                self.name_op(&file.path, |name| NameOp::Add(name, Entry::File(*node)));
                self.files.insert(*node, file);
            }
            Op::Write { node, offset, bytes, modified } => {
                let write = DataOp::Write { offset: *offset, bytes: Arc::clone(bytes) };
                self.data_op(*node, write);
                if let Some(file) = self.files.get_mut(node) {
                    file.modified = *modified;
                }
            }
            Op::Punch { node, offset, length } => {
                self.data_op(*node, DataOp::Punch { offset: *offset, length: *length });
            }
            Op::SetLength { node, length } => self.data_op(*node, DataOp::SetLength(*length)),
            Op::SyncFile { node } => {
                self.files.get_mut(node).expect("a synced file was made").sync();
            }
            Op::SyncDirectory { path } => {
                // One that was made beside the recording has nothing that is seen.
                if let Some(directory) = self.directories.get_mut(path) {
                    directory.sync();
                }
            }
            Op::SyncAll => {
                self.files.values_mut().for_each(FileState::sync);
                self.directories.values_mut().for_each(DirectoryState::sync);
            }
            Op::Rename { from, to } => {
                assert_eq!(from.parent(), to.parent(), "renames stay in their directory");
                let node = self.names.remove(from).expect("a renamed file was made");
                self.names.insert(to.clone(), node);
                if let Some(file) = self.files.get_mut(&node) {
                    file.path.clone_from(to);
                }
                let (_, from) = split(from);
                self.name_op(to, |to| NameOp::Rename(from, to, node));
            }
            Op::Link { from, to } => {
                let node = *self.names.get(from).expect("a linked file was made");
                self.names.insert(to.clone(), node);
                self.name_op(to, |to| NameOp::Add(to, Entry::File(node)));
            }
            Op::Unlink { path } => {
                // A file that was made beside the recording (a lock) may be removed by it.
                self.names.remove(path);
                self.name_op(path, NameOp::Remove);
            }
            Op::MakeDirectory { path } => {
                self.directories.insert(path.clone(), DirectoryState::default());
                self.name_op(path, |name| NameOp::Add(name, Entry::Directory));
            }
            Op::Committed { path, image } => {
                self.databases.entry(path.clone()).or_default().push(Arc::clone(image));
            }
            Op::Omitted => {}
        }
    }

    fn name_op(&mut self, path: &Path, op: impl FnOnce(String) -> NameOp) {
        let (folder, name) = split(path);
        let number = self.changes;
        // The directory may have been made beside the recording: then it counts as durable.
        self.directories.entry(folder).or_default().pending.push((number, op(name)));
    }

    fn data_op(&mut self, node: NodeId, op: DataOp) {
        let number = self.changes;
        let file = self.files.get_mut(&node).expect("a written file was made");
        file.pending.push((number, op));
    }

    /// What is not durable, in the order in which it was done.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        let mut all = Vec::new();
        for (path, directory) in &self.directories {
            all.extend(directory.pending.iter().map(|(number, _)| Pending {
                number: *number,
                bytes: false,
                path: path.clone(),
            }));
        }
        for file in self.files.values() {
            for (number, op) in &file.pending {
                let bytes = matches!(op, DataOp::Write { .. });
                all.push(Pending { number: *number, bytes, path: file.path.clone() });
            }
        }
        all.sort_by_key(|pending| pending.number);
        all
    }
}
