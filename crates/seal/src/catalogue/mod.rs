//! The catalogue: the tree of a snapshot as one stream of entries in path order (format, section 11).
//!
//! [`CatalogueWriter`] cuts the stream into chunks at places that depend on paths, so that an
//! unchanged part of the tree gives the same chunks again. The index names each chunk's first path:
//! a folder is listed from one or two chunks. [`CatalogueReader`] reads one group of chunks (see
//! [`groups`]) and refuses everything that is not canonical within it; [`CatalogueChecker`] adds what
//! holds across groups: order, and ancestors that are directories. A path that was read here can be
//! joined to a target folder: it has no `..`, no empty component and no NUL, and is never absolute.

mod checker;
mod entry;
mod index;
mod path;
mod reader;
mod writer;

pub use checker::CatalogueChecker;
pub use entry::{ContentRef, Entry, EntryKind, Extent, Xattr};
pub use index::{IndexEntry, decode_index, encode_index, groups};
pub use path::{check_path, parent, path_cmp};
pub use reader::CatalogueReader;
pub use writer::{CatalogueChunk, CatalogueWriter};

use lumbung_pack::FormatError;

/// Why an entry cannot be written, or a catalogue cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogueError {
    /// The bytes are not a catalogue.
    #[error("the catalogue is not well formed: its writer was faulty or newer than this program")]
    Format(#[from] FormatError),
    /// A path that the format forbids.
    #[error("{path:?} is not a path of a catalogue: {reason}")]
    Path {
        /// The path, with what is not UTF-8 replaced.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry that the format forbids.
    #[error("the entry {path:?} is not valid: {reason}")]
    Entry {
        /// Its path, with what is not UTF-8 replaced.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The index and a chunk, or two of its lines, do not agree.
    #[error("the catalogue's index is not valid at {path:?}: {reason}")]
    Index {
        /// The line's first path.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl CatalogueError {
    fn path(path: &[u8], reason: &'static str) -> Self {
        Self::Path { path: readable(path), reason }
    }

    fn entry(path: &[u8], reason: &'static str) -> Self {
        Self::Entry { path: readable(path), reason }
    }

    fn index(path: &[u8], reason: &'static str) -> Self {
        Self::Index { path: readable(path), reason }
    }
}

fn readable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// Shorthand for a field that the format forbids.
const fn forbidden(field: &'static str, reason: &'static str) -> CatalogueError {
    CatalogueError::Format(FormatError::Field { field, reason })
}

#[cfg(test)]
mod tests;
