//! What must hold from entry to entry through the whole catalogue.

use std::cmp::Ordering;

use super::path::{parent, path_cmp, shared_prefix};
use super::{CatalogueError, Entry};

/// Checks that entries ascend in path order and that each lies in a directory that came before it.
#[derive(Debug, Default)]
pub struct CatalogueChecker {
    /// The last path.
    last: Vec<u8>,
    /// Lengths of the prefixes of `last` that are directories which may have children.
    directories: Vec<usize>,
    entries: u64,
}

impl CatalogueChecker {
    /// Before the first entry.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries seen so far.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// If it is out of order, or not in a readable directory that came before it.
    pub fn check(&mut self, entry: &Entry) -> Result<(), CatalogueError> {
        let path = &entry.path;
        match parent(path) {
            None if self.entries > 0 => {
                return Err(CatalogueError::entry(
                    path,
                    "the root directory is not the first entry",
                ));
            }
            None => {}
            Some(parent) => self.check_place(path, parent)?,
        }
        self.last.clear();
        self.last.extend_from_slice(path);
        if entry.may_have_children() {
            self.directories.push(path.len());
        }
        self.entries += 1;
        Ok(())
    }

    fn check_place(&mut self, path: &[u8], parent: &[u8]) -> Result<(), CatalogueError> {
        // Before the first one nothing was last, which is before every path.
        if path_cmp(&self.last, path) != Ordering::Less {
            return Err(CatalogueError::entry(
                path,
                "it is not after the entry before it in path order",
            ));
        }
        let shared = shared_prefix(&self.last, path);
        let contains =
            |length: usize| length == 0 || (length <= shared && path.get(length) == Some(&b'/'));
        while self.directories.last().is_some_and(|length| !contains(*length)) {
            self.directories.pop();
        }
        if self.directories.last() == Some(&parent.len()) {
            Ok(())
        } else {
            Err(CatalogueError::entry(
                path,
                "the directory that it lies in is not an entry before it",
            ))
        }
    }
}
