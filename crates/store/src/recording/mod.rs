//! Records what is written beneath a directory, so that a test can ask what a crash would have left of it.
//!
//! A [`Recording`] covers one directory. Every change made through `durable::calls` beneath it is carried out
//! and noted, with its bytes, in the order of the calls; a database beside the files notes an image of itself
//! at each commit. [`Model`] replays the notes and keeps what is durable apart from what is not; [`crashes`]
//! enumerates the states that a crash may leave, and [`State::write`] puts one into an empty directory.
//!
//! Invariants: recordings hold what happened, never what should have; nothing here is part of a production
//! build (feature `testing`). A change that bypasses `durable` is not seen, and so is missing from every
//! state: a test that looks for it fails.

mod model;
mod states;

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use model::{Model, NodeId, Pending};
pub use states::{Databases, Depth, Fate, State, Survey, crashes, exhaustive};

use crate::durable::calls::Call;

/// A change that was made. Paths are relative to the recording's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new, empty file.
    Create {
        /// Its name.
        path: PathBuf,
        /// What the name stands for.
        node: NodeId,
    },
    /// Bytes of a file.
    Write {
        /// The file.
        node: NodeId,
        /// Where they begin.
        offset: u64,
        /// The bytes.
        bytes: Arc<[u8]>,
        /// The file's time afterwards.
        modified: (i64, i64),
    },
    /// Bytes of a file are zeros, its length stays.
    Punch {
        /// The file.
        node: NodeId,
        /// Where they begin.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// The file ends here, or is filled with zeros up to here.
    SetLength {
        /// The file.
        node: NodeId,
        /// Its new length.
        length: u64,
    },
    /// Bytes and length of the file are durable.
    SyncFile {
        /// The file.
        node: NodeId,
    },
    /// The names in the directory are durable.
    SyncDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Everything is durable.
    SyncAll,
    /// A file has another name in its directory.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new one, which whatever had it lost.
        to: PathBuf,
    },
    /// A file has a second name.
    Link {
        /// The first one.
        from: PathBuf,
        /// The second one.
        to: PathBuf,
    },
    /// A name is gone.
    Unlink {
        /// Which.
        path: PathBuf,
    },
    /// A new directory.
    MakeDirectory {
        /// Its name.
        path: PathBuf,
    },
    /// A database has committed; its own durability is trusted.
    Committed {
        /// Its file.
        path: PathBuf,
        /// What its files hold now.
        image: Arc<Image>,
    },
    /// Nothing: a change that a test has taken out.
    Omitted,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { path, node } => {
                write!(f, "create {} as file {}", path.display(), node.0)
            }
            Self::Write { node, offset, bytes, .. } => {
                write!(f, "write {} bytes at {offset} of file {}", bytes.len(), node.0)
            }
            Self::Punch { node, offset, length } => {
                write!(f, "punch {length} bytes at {offset} of file {}", node.0)
            }
            Self::SetLength { node, length } => write!(f, "cut file {} at {length}", node.0),
            Self::SyncFile { node } => write!(f, "sync file {}", node.0),
            Self::SyncDirectory { path } => write!(f, "sync directory {}", path.display()),
            Self::SyncAll => f.write_str("sync everything"),
            Self::Rename { from, to } => {
                write!(f, "rename {} to {}", from.display(), to.display())
            }
            Self::Link { from, to } => write!(f, "link {} as {}", from.display(), to.display()),
            Self::Unlink { path } => write!(f, "unlink {}", path.display()),
            Self::MakeDirectory { path } => write!(f, "make directory {}", path.display()),
            Self::Committed { path, .. } => write!(f, "commit of {}", path.display()),
            Self::Omitted => f.write_str("nothing"),
        }
    }
}

/// The files of a database at a commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    /// The file itself.
    pub main: Vec<u8>,
    /// Its write-ahead log.
    pub log: Vec<u8>,
}

/// What was recorded.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// What there was at the beginning.
    pub base: Model,
    /// What was done.
    pub ops: Vec<Op>,
}

impl Recorded {
    /// As if the program had left out those changes that `omit` names.
    #[must_use]
    pub fn without(mut self, omit: impl Fn(&Op) -> bool) -> Self {
        self.ops.iter_mut().filter(|op| omit(op)).for_each(|op| *op = Op::Omitted);
        self
    }

    /// What there was after the first `length` changes.
    #[must_use]
    pub fn at(&self, length: usize) -> Model {
        let mut model = self.base.clone();
        self.ops.iter().take(length).for_each(|op| model.apply(op));
        model
    }
}

struct Log {
    recorded: Recorded,
    /// Which file has which device and inode now.
    nodes: HashMap<(u64, u64), NodeId>,
    next: u64,
}

struct Shared {
    root: PathBuf,
    log: Mutex<Log>,
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }
}

/// Recordings under way.
static ACTIVE: RwLock<Vec<Arc<Shared>>> = RwLock::new(Vec::new());

fn covering(path: &Path) -> Option<Arc<Shared>> {
    let active = ACTIVE.read().unwrap_or_else(PoisonError::into_inner);
    active.iter().find(|shared| path.starts_with(&shared.root)).cloned()
}

/// A recording under way; ends when it is dropped.
pub struct Recording {
    shared: Arc<Shared>,
}

impl Recording {
    /// Records what happens beneath `root`, an absolute path. What is there already counts as durable.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn start(root: &Path) -> io::Result<Self> {
        let mut base = Model::default();
        let mut nodes = HashMap::new();
        base.scan(root, Path::new(""), &mut nodes)?;
        Ok(Self::go_on(root, base, nodes))
    }

    /// Records what a program does that comes after one that was killed: writes everything that `model` holds,
    /// durable or not, to the empty directory at `root`, and goes on from there.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn after_kill(root: &Path, model: &Model) -> io::Result<Self> {
        let state = State::of(model, &mut |_| Fate::Kept, Databases::Newest);
        let nodes = state.write(root)?;
        Ok(Self::go_on(root, model.clone(), nodes))
    }

    fn go_on(root: &Path, base: Model, nodes: HashMap<(u64, u64), NodeId>) -> Self {
        let next = base.next_node();
        let recorded = Recorded { base, ops: Vec::new() };
        let log = Mutex::new(Log { recorded, nodes, next });
        let shared = Arc::new(Shared { root: root.to_owned(), log });
        ACTIVE.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&shared));
        Self { shared }
    }

    /// How many changes there were: what had happened when this returns is among the first so many.
    #[must_use]
    pub fn length(&self) -> usize {
        self.shared.log().recorded.ops.len()
    }

    /// Ends it.
    #[must_use]
    pub fn finish(self) -> Recorded {
        self.shared.log().recorded.clone()
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let mut active = ACTIVE.write().unwrap_or_else(PoisonError::into_inner);
        active.retain(|shared| !Arc::ptr_eq(shared, &self.shared));
    }
}

/// Carries out a change, and notes it if it succeeded. One at a time, so that the notes have the calls' order.
pub(crate) fn perform<T>(call: &Call<'_>, run: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(shared) = covering(path_of(call)) else { return run() };
    let mut log = shared.log();
    let offset = match call {
        &Call::Append(_, mut file, _) => file.stream_position()?,
        &Call::WriteAt(.., offset) | &Call::Punch(_, _, offset, _) => offset,
        _ => 0,
    };
    let value = run()?;
    let op = log.describe(&shared, call, offset)?;
    log.recorded.ops.push(op);
    Ok(value)
}

/// Notes what the files of a database hold.
pub(crate) fn committed(path: &Path) {
    let Some(shared) = covering(path) else { return };
    let mut log = shared.log();
    let read = |name: &Path| match std::fs::read(name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.expect("the database of a test can be read"),
    };
    let image = Arc::new(Image { main: read(path), log: read(&write_ahead_log(path)) });
    let path = shared.relative(path);
    log.recorded.ops.push(Op::Committed { path, image });
}

fn write_ahead_log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

const fn path_of<'a>(call: &Call<'a>) -> &'a Path {
    match call {
        Call::Create(path)
        | Call::Append(path, ..)
        | Call::WriteAt(path, ..)
        | Call::Punch(path, ..)
        | Call::SetLength(path, ..)
        | Call::SyncFile(path, _)
        | Call::SyncDirectory(path)
        | Call::SyncAll(path)
        | Call::Rename(_, path)
        | Call::Link(_, path)
        | Call::Unlink(path)
        | Call::MakeDirectory(path) => path,
    }
}

impl Log {
    fn describe(&mut self, shared: &Shared, call: &Call<'_>, offset: u64) -> io::Result<Op> {
        let relative = |path: &Path| shared.relative(path);
        Ok(match *call {
            Call::Create(path) => {
                let node = NodeId(self.next);
                self.next += 1;
                let meta = std::fs::symlink_metadata(path)?;
                self.nodes.insert((meta.dev(), meta.ino()), node);
                Op::Create { path: relative(path), node }
            }
            Call::Append(_, file, bytes) | Call::WriteAt(_, file, bytes, _) => {
                let meta = file.metadata()?;
                let modified = (meta.mtime(), meta.mtime_nsec());
                Op::Write { node: self.node(file)?, offset, bytes: bytes.into(), modified }
            }
            Call::Punch(_, file, _, length) => Op::Punch { node: self.node(file)?, offset, length },
            Call::SetLength(_, file, length) => Op::SetLength { node: self.node(file)?, length },
            Call::SyncFile(_, file) => Op::SyncFile { node: self.node(file)? },
            Call::SyncDirectory(path) => Op::SyncDirectory { path: relative(path) },
            Call::SyncAll(_) => Op::SyncAll,
            Call::Rename(from, to) => Op::Rename { from: relative(from), to: relative(to) },
            Call::Link(from, to) => Op::Link { from: relative(from), to: relative(to) },
            Call::Unlink(path) => Op::Unlink { path: relative(path) },
            Call::MakeDirectory(path) => Op::MakeDirectory { path: relative(path) },
        })
    }

    fn node(&self, file: &File) -> io::Result<NodeId> {
        let meta = file.metadata()?;
        let known = self.nodes.get(&(meta.dev(), meta.ino())).copied();
        Ok(known
            .expect("a file that is written was made while the recording ran, or was there before"))
    }
}
