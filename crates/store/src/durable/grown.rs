//! A file that grows in place: a journal, or notes that may be lost.
//!
//! Invariants: a new one never takes over the blocks of an older file of its name, so that a crash cannot
//! leave a mixture of both; what was appended is durable after [`GrownFile::sync`] and not before.
//! Whoever reads such a file stops at the first record that is not whole.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::{calls, remove_file, sync_directory};
use crate::StoreError;

/// A file that grows in place.
#[derive(Debug)]
pub struct GrownFile {
    path: PathBuf,
    file: File,
}

impl GrownFile {
    pub(super) const fn new(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Makes an empty one; an older file of that name goes. Its name is not synced.
    ///
    /// # Errors
    /// Anything the operating system says.
    pub fn create(path: &Path, mode: u32) -> Result<Self, StoreError> {
        // A truncated file keeps its inode: after a crash its new beginning may stand before an old end.
        remove_file(path)?;
        let file = calls::create_at(path, mode).map_err(|e| StoreError::io("created", path, e))?;
        Ok(Self::new(path.to_owned(), file))
    }

    /// Opens one that is there, or makes it, its name durable; what follows its first `length` bytes is cut off.
    ///
    /// # Errors
    /// Anything the operating system says.
    pub fn open(path: &Path, mode: u32, length: u64) -> Result<Self, StoreError> {
        let failed = |e| StoreError::io("opened", path, e);
        let opened = File::options().write(true).open(path);
        let mut file = match opened {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let file = calls::create_at(path, mode).map_err(failed)?;
                if let Some(dir) = path.parent() {
                    sync_directory(dir)?;
                }
                file
            }
            opened => opened.map_err(failed)?,
        };
        if file.metadata().map_err(failed)?.len() != length {
            calls::set_length(path, &file, length)
                .map_err(|e| StoreError::io("written", path, e))?;
        }
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        Ok(Self::new(path.to_owned(), file))
    }

    /// The file.
    #[must_use]
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Appends.
    ///
    /// # Errors
    /// Anything the operating system says.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        calls::append(&self.path, &self.file, bytes)
            .map_err(|e| StoreError::io("written", &self.path, e))
    }

    /// Makes everything that was appended durable.
    ///
    /// # Errors
    /// Anything the operating system says; the file must not be written again then.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        calls::sync_data(&self.path, &self.file)
            .map_err(|e| StoreError::io("synced", &self.path, e))
    }
}
