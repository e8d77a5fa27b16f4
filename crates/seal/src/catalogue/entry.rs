//! One entry of the catalogue, and what makes it valid on its own.

use std::cmp::Ordering;

use lumbung_model::ChunkId;
use lumbung_pack::limits::{CHUNK_MAX, PATH_MAX_BYTES};

use super::CatalogueError;
use super::path::{check_path, path_cmp};

/// A stretch of a sparse file that holds data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length, at least 1.
    pub length: u64,
}

/// A part of a chunk that is the next part of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRef {
    /// The chunk.
    pub chunk: ChunkId,
    /// Where the part begins in the chunk.
    pub offset: u32,
    /// Its length, at least 1.
    pub length: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File {
        /// Its apparent size.
        size: u64,
        /// Which parts hold data; `None`: all of it.
        sparse: Option<Vec<Extent>>,
        /// What those parts hold, one after the other.
        content: Vec<ContentRef>,
    },
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink {
        /// Where it points, as it stands in the link.
        target: Vec<u8>,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// Another name of a file that stands before.
    HardLink {
        /// The first name of that file.
        first: Vec<u8>,
    },
}

impl EntryKind {
    /// The type's number.
    pub(super) const fn code(&self) -> u8 {
        match self {
            Self::File { .. } => 1,
            Self::Directory => 2,
            Self::Symlink { .. } => 3,
            Self::Fifo => 4,
            Self::Socket => 5,
            Self::CharDevice { .. } => 6,
            Self::BlockDevice { .. } => 7,
            Self::HardLink { .. } => 8,
        }
    }
}

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the file system's root, without a leading `/`; empty for the root directory.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name; may be empty.
    pub user: Vec<u8>,
    /// Group's name; may be empty.
    pub group: Vec<u8>,
    /// Modification time, seconds since 1970.
    pub mtime_s: i64,
    /// And nanoseconds, below 10^9.
    pub mtime_ns: u32,
    /// Extended attributes, names ascending.
    pub xattrs: Vec<Xattr>,
    /// Whether it changed while it was read.
    pub changed_while_read: bool,
    /// The errno for which it could not be read.
    pub unreadable: Option<u32>,
}

impl Entry {
    /// Whether other entries may lie in it.
    #[must_use]
    pub const fn may_have_children(&self) -> bool {
        matches!(self.kind, EntryKind::Directory) && self.unreadable.is_none()
    }

    /// Whether it is flagged: unreadable, or changed while it was read.
    #[must_use]
    pub const fn flagged(&self) -> bool {
        self.changed_while_read || self.unreadable.is_some()
    }

    /// Refuses what the format forbids within one entry.
    pub(super) fn check(&self) -> Result<(), CatalogueError> {
        check_path(&self.path)?;
        let refuse = |reason| Err(CatalogueError::entry(&self.path, reason));
        if self.mode > 0o7777 {
            return refuse("its mode has more than permission bits");
        }
        if self.mtime_ns >= 1_000_000_000 {
            return refuse("its modification time has more than 999,999,999 nanoseconds");
        }
        if self.xattrs.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
            return refuse("the names of its extended attributes do not ascend");
        }
        if self.path.is_empty() && !matches!(self.kind, EntryKind::Directory) {
            return refuse("the root is not a directory");
        }
        match &self.kind {
            EntryKind::File { size, sparse, content } => {
                self.check_file(*size, sparse.as_deref(), content)
            }
            EntryKind::Symlink { target } => {
                let readable = self.unreadable.is_none();
                if target.contains(&0)
                    || target.len() > PATH_MAX_BYTES
                    || (readable && target.is_empty())
                {
                    return refuse("its target is empty, too long or has a NUL");
                }
                Ok(())
            }
            EntryKind::HardLink { first } => {
                check_path(first)?;
                if path_cmp(first, &self.path) != Ordering::Less {
                    return refuse("the first name of its file does not stand before it");
                }
                if self.flagged() || !self.xattrs.is_empty() {
                    return refuse("a further name of a file carries data of its own");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn check_file(
        &self,
        size: u64,
        sparse: Option<&[Extent]>,
        content: &[ContentRef],
    ) -> Result<(), CatalogueError> {
        let refuse = |reason| Err(CatalogueError::entry(&self.path, reason));
        let mut data = size;
        if let Some(extents) = sparse {
            let mut end = 0;
            data = 0;
            for extent in extents {
                let next = extent.offset.checked_add(extent.length);
                let Some(next) =
                    next.filter(|next| extent.length > 0 && extent.offset >= end && *next <= size)
                else {
                    return refuse(
                        "its sparse map is empty somewhere, overlaps or goes beyond its size",
                    );
                };
                data += extent.length;
                end = next;
            }
        }
        let mut referred = 0_u64;
        for reference in content {
            let end = u64::from(reference.offset) + u64::from(reference.length);
            if reference.length == 0 || end > CHUNK_MAX as u64 {
                return refuse("a content reference is empty or goes beyond its chunk");
            }
            referred += u64::from(reference.length);
        }
        if self.unreadable.is_some() {
            return if content.is_empty() {
                Ok(())
            } else {
                refuse("it could not be read, and has content")
            };
        }
        if referred == data {
            Ok(())
        } else {
            refuse("its content is not as long as its size says")
        }
    }
}
