//! The walk: every entry of the sources, and every ancestor, in path order.
//!
//! Invariants: an entry comes after its directory and before whatever sorts behind it; the second and
//! later names of one file are told as hard links to the first; no link is followed; directories that
//! are left out (another file system, the agent's own state) are told but not entered. Memory follows
//! the depth of the tree and the size of its directories, not the number of entries.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_pack::limits::PATH_MAX_BYTES;
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{FileKind, Listing, Stat, attributes_of, attributes_of_link};
use crate::Excludes;

type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// What is to be walked: sources in a tree from the root.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    tree: Node,
    /// Absolute paths, as the snapshot names them.
    pub(crate) paths: Vec<Vec<u8>>,
    /// Those that are not there, relative to the root.
    pub(crate) missing: Vec<(Vec<u8>, Errno)>,
}

#[derive(Debug, Default)]
struct Node {
    whole: bool,
    children: BTreeMap<Vec<u8>, Node>,
}

/// Resolves sources: links in their directories are followed, a source that is a link is kept as one.
pub(crate) fn sources(paths: &[PathBuf]) -> Sources {
    let mut found = Sources::default();
    for path in paths {
        match resolve(path) {
            Ok(absolute) => {
                found.add(&absolute);
                found.paths.push(absolute);
            }
            Err(error) => {
                let bytes = path.as_os_str().as_bytes();
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                found.missing.push((bytes.strip_prefix(b"/").unwrap_or(bytes).to_vec(), errno));
            }
        }
    }
    found.paths.sort();
    found.paths.dedup();
    found
}

fn resolve(path: &Path) -> std::io::Result<Vec<u8>> {
    let absolute = std::path::absolute(path)?;
    let resolved = match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => {
            let whole = std::fs::canonicalize(parent)?.join(name);
            std::fs::symlink_metadata(&whole)?;
            whole
        }
        _ => std::fs::canonicalize(&absolute)?,
    };
    Ok(resolved.into_os_string().as_encoded_bytes().to_vec())
}

impl Sources {
    /// The sources of a snapshot, to be walked beneath any directory.
    pub(crate) fn of(paths: &[Vec<u8>]) -> Self {
        let mut sources = Self { paths: paths.to_vec(), ..Self::default() };
        paths.iter().for_each(|path| sources.add(path));
        sources
    }

    fn add(&mut self, absolute: &[u8]) {
        let mut node = &mut self.tree;
        for component in absolute.split(|b| *b == b'/').filter(|part| !part.is_empty()) {
            node = node.children.entry(component.to_vec()).or_default();
        }
        node.whole = true;
    }
}

/// How to walk.
pub(crate) struct WalkOptions<'a> {
    pub(crate) excludes: &'a Excludes,
    pub(crate) one_file_system: bool,
    /// Directories that are never entered, by device and inode.
    pub(crate) skip: Vec<(u64, u64)>,
}

/// One entry.
pub(crate) struct Visit<'a> {
    /// Path relative to the root of the walk.
    pub(crate) path: &'a [u8],
    /// The directory that holds it; for the root of the walk, itself.
    pub(crate) parent: &'a Arc<OwnedFd>,
    /// Its name there; empty for the root of the walk.
    pub(crate) name: &'a [u8],
    pub(crate) kind: VisitKind,
}

/// What the walk knows of an entry.
pub(crate) enum VisitKind {
    Directory {
        stat: Stat,
        attributes: Attributes,
        /// It, or its attributes, could not be read.
        unreadable: Option<Errno>,
    },
    /// Anything else.
    Leaf(Stat),
    /// Another name of an entry that was told before.
    HardLink { stat: Stat, first: Vec<u8> },
    /// Not even its type could be found out.
    Unknown(Errno),
}

struct Frame<'a> {
    directory: Arc<OwnedFd>,
    listing: Listing,
    next: usize,
    path_length: usize,
    node: Option<&'a Node>,
    dev: u64,
}

/// A walk under way.
pub(crate) struct Walk<'a> {
    options: WalkOptions<'a>,
    path: Vec<u8>,
    stack: Vec<Frame<'a>>,
    /// First paths of files that have several names, with how many names are still to come.
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
}

/// Opens a directory by path, following links: where a walk begins.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

impl<'a> Walk<'a> {
    pub(crate) fn new(options: WalkOptions<'a>) -> Self {
        Self { options, path: Vec::new(), stack: Vec::new(), links: HashMap::new() }
    }

    /// Walks `sources` beneath `root`, telling `visit` of each entry.
    pub(crate) fn run<E>(
        mut self,
        root: OwnedFd,
        sources: &'a Sources,
        visit: &mut dyn FnMut(Visit<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let root = Arc::new(root);
        match rustix::fs::fstat(root.as_fd()) {
            Ok(stat) => self.enter(
                &root,
                b"",
                root.clone(),
                Stat::from(&stat),
                Some(&sources.tree),
                None,
                visit,
            )?,
            Err(errno) => visit(Visit {
                path: b"",
                parent: &root,
                name: b"",
                kind: VisitKind::Unknown(errno),
            })?,
        }
        while let Some(frame) = self.stack.last_mut() {
            let Some(name) = frame.listing.get(frame.next) else {
                self.stack.pop();
                continue;
            };
            self.path.truncate(frame.path_length);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            let name = name.to_vec();
            frame.next += 1;
            let (parent, node, dev) = (frame.directory.clone(), frame.node, frame.dev);
            self.entry(&parent, &name, node, dev, visit)?;
        }
        Ok(())
    }

    fn entry<E>(
        &mut self,
        parent: &Arc<OwnedFd>,
        name: &[u8],
        node: Option<&'a Node>,
        dev: u64,
        visit: &mut dyn FnMut(Visit<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let inside = node.is_none();
        if inside && self.options.excludes.matches(&self.path) {
            return Ok(());
        }
        let unknown = |walk: &Self, errno, visit: &mut dyn FnMut(Visit<'_>) -> Result<(), E>| {
            visit(Visit { path: &walk.path, parent, name, kind: VisitKind::Unknown(errno) })
        };
        if self.path.len() > PATH_MAX_BYTES {
            return unknown(self, Errno::NAMETOOLONG, visit);
        }
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Stat::from(&stat),
            // Removed since its directory was read: it is not part of this moment any more.
            Err(Errno::NOENT) if inside => return Ok(()),
            Err(errno) => return unknown(self, errno, visit),
        };
        let child = node.and_then(|node| node.children.get(name));
        if stat.kind == FileKind::Directory {
            return self.directory(parent, name, stat, child, inside.then_some(dev), visit);
        }
        let kind = match self.first_name(&stat) {
            Some(first) => VisitKind::HardLink { stat, first },
            None => VisitKind::Leaf(stat),
        };
        visit(Visit { path: &self.path, parent, name, kind })
    }

    /// The path under which a file with several names was told before.
    fn first_name(&mut self, stat: &Stat) -> Option<Vec<u8>> {
        if stat.nlink < 2 {
            return None;
        }
        let Some((first, left)) = self.links.get_mut(&stat.identity()) else {
            self.links.insert(stat.identity(), (self.path.clone(), stat.nlink - 1));
            return None;
        };
        *left -= 1;
        if *left > 0 {
            return Some(first.clone());
        }
        self.links.remove(&stat.identity()).map(|(first, _)| first)
    }

    fn directory<E>(
        &mut self,
        parent: &Arc<OwnedFd>,
        name: &[u8],
        stat: Stat,
        child: Option<&'a Node>,
        dev: Option<u64>,
        visit: &mut dyn FnMut(Visit<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let ancestor = child.is_some_and(|node| !node.whole);
        // An ancestor may be searchable and not readable.
        let access = if ancestor { OFlags::PATH } else { OFlags::RDONLY | OFlags::NONBLOCK };
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(parent, name, flags, Mode::empty())
            .and_then(|opened| rustix::fs::fstat(&opened).map(|stat| (opened, Stat::from(&stat))));
        match opened {
            Ok((opened, stat)) => {
                self.enter(parent, name, Arc::new(opened), stat, child, dev, visit)
            }
            Err(errno) => {
                let attributes = attributes_of_link(parent, name).unwrap_or_default();
                let unreadable = Some(errno);
                let kind = VisitKind::Directory { stat, attributes, unreadable };
                visit(Visit { path: &self.path, parent, name, kind })
            }
        }
    }

    /// Tells of an opened directory and puts what is in it on the stack. `dev`: the file system that the
    /// walk is in, if it is inside a source.
    #[expect(clippy::too_many_arguments, reason = "they are what one directory is made of")]
    fn enter<E>(
        &mut self,
        parent: &Arc<OwnedFd>,
        name: &[u8],
        directory: Arc<OwnedFd>,
        stat: Stat,
        node: Option<&'a Node>,
        dev: Option<u64>,
        visit: &mut dyn FnMut(Visit<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let node = node.filter(|node| !node.whole);
        let ancestor = node.is_some();
        let attributes =
            if ancestor { attributes_of_link(&directory, b"") } else { attributes_of(&directory) };
        let foreign = self.options.one_file_system && dev.is_some_and(|dev| dev != stat.dev);
        let closed = foreign || self.options.skip.contains(&stat.identity());
        let listing = match node {
            Some(node) => Listing::of(node.children.keys().map(Vec::as_slice)),
            None if closed => Ok(Listing::default()),
            None => Listing::read(&directory),
        };
        let unreadable = listing.as_ref().err().or(attributes.as_ref().err()).copied();
        let kind =
            VisitKind::Directory { stat, attributes: attributes.unwrap_or_default(), unreadable };
        visit(Visit { path: &self.path, parent, name, kind })?;
        if unreadable.is_none()
            && let Ok(listing) = listing
            && listing.len() > 0
        {
            let path_length = self.path.len();
            self.stack.push(Frame {
                directory,
                listing,
                next: 0,
                path_length,
                node,
                dev: stat.dev,
            });
        }
        Ok(())
    }
}
