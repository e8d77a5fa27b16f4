//! The one place that writes files: temporary file in the same directory → write → fsync → rename → fsync of the directory.
//!
//! Invariants: a file is seen whole or not at all; after an error of fsync the temporary file is
//! discarded and never synced again; a draft that is dropped leaves nothing behind.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::StoreError;

/// How file names of unfinished writes begin.
pub(crate) const UNFINISHED: &str = ".tmp-";

/// What to do where the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Leave the file in place.
    Keep,
    /// Put this one in its place, atomically.
    Replace,
}

/// An unfinished file. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct Draft {
    dir: OwnedFd,
    dir_path: PathBuf,
    name: String,
    file: File,
    /// Whether the temporary name is still there to be removed.
    named: bool,
}

impl Draft {
    /// Begins a file in `dir`.
    pub(crate) fn create(dir_path: &Path, mode: u32) -> Result<Self, StoreError> {
        let dir = open_dir(dir_path)?;
        let mut random = [0; 12];
        getrandom::fill(&mut random)
            .map_err(|e| StoreError::io("written", dir_path, std::io::Error::other(e)))?;
        let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{UNFINISHED}{digits}");
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat(&dir, &name, flags, Mode::from_raw_mode(mode))
            .map_err(|e| StoreError::io("created", &dir_path.join(&name), e))?;
        Ok(Self { dir, dir_path: dir_path.to_owned(), name, file: File::from(file), named: true })
    }

    /// Appends.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.file.write_all(bytes).map_err(|e| StoreError::io("written", &self.dir_path, e))
    }

    /// Leaves out so many bytes: they read as zeros and take no space where the file system can do that.
    pub(crate) fn skip(&mut self, length: u64) -> Result<(), StoreError> {
        let failed = |e: std::io::Error| StoreError::io("written", &self.dir_path, e);
        let end = self.file.stream_position().map_err(failed)?.saturating_add(length);
        self.file.set_len(end).map_err(failed)?;
        self.file.seek(std::io::SeekFrom::Start(end)).map(|_| ()).map_err(failed)
    }

    /// Makes the file durable and gives it its name. Returns whether the name is new or was replaced;
    /// `false` means that another file of that name was kept.
    pub(crate) fn publish(mut self, name: &str, taken: Taken) -> Result<bool, StoreError> {
        let path = self.dir_path.join(name);
        // On an error the kernel may have dropped the dirty pages: a second fsync would lie, so the
        // draft is dropped with its file.
        self.file.sync_all().map_err(|e| StoreError::io("synced", &path, e))?;
        let created = match taken {
            Taken::Replace => {
                rustix::fs::renameat(&self.dir, &self.name, &self.dir, name)
                    .map_err(|e| StoreError::io("named", &path, e))?;
                self.named = false;
                true
            }
            Taken::Keep => self.name_without_replacing(name, &path)?,
        };
        // Where another writer was first, its rename may not be durable yet; ours is the word that
        // the sender gets, so it is synced in either case.
        sync_dir(&self.dir, &self.dir_path)?;
        Ok(created)
    }

    fn name_without_replacing(&mut self, name: &str, path: &Path) -> Result<bool, StoreError> {
        match rustix::fs::renameat_with(
            &self.dir,
            &self.name,
            &self.dir,
            name,
            RenameFlags::NOREPLACE,
        ) {
            Ok(()) => {
                self.named = false;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            // File systems without RENAME_NOREPLACE (NFS, some FUSE): a hard link never replaces. The
            // temporary name goes when the draft is dropped.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                match rustix::fs::linkat(&self.dir, &self.name, &self.dir, name, AtFlags::empty()) {
                    Ok(()) => Ok(true),
                    Err(Errno::EXIST) => Ok(false),
                    Err(e) => Err(StoreError::io("named", path, e)),
                }
            }
            Err(e) => Err(StoreError::io("named", path, e)),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named {
            // What stays behind is ignored by every reader and swept at the next start.
            let _ = rustix::fs::unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
    }
}

fn open_dir(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|e| StoreError::io("opened", path, e))
}

fn sync_dir(dir: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    rustix::fs::fsync(dir)
        .map_err(|e| StoreError::Unsynced { path: path.to_owned(), source: e.into() })
}

/// Syncs the directory at `path`, so that the names in it are durable.
///
/// # Errors
/// [`StoreError::Unsynced`] if the file system says no.
pub fn sync_directory(path: &Path) -> Result<(), StoreError> {
    sync_dir(&open_dir(path)?, path)
}

/// Makes the directory if it is not there, and its name durable. Its parent must exist.
///
/// # Errors
/// Anything the operating system says but "exists".
pub fn make_directory(path: &Path, mode: u32) -> Result<(), StoreError> {
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(mode)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(StoreError::io("created", path, e)),
    }
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

fn split(path: &Path) -> Result<(PathBuf, &str), StoreError> {
    let invalid = || StoreError::io("written", path, std::io::ErrorKind::InvalidInput);
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).ok_or_else(invalid)?;
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((dir.to_owned(), name))
}

/// Writes a new file durably, with these permission bits.
///
/// # Errors
/// [`StoreError::Exists`] if there is one; it is left alone.
pub fn create_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let (dir, name) = split(path)?;
    let mut draft = Draft::create(&dir, mode)?;
    draft.write(bytes)?;
    if draft.publish(name, Taken::Keep)? {
        Ok(())
    } else {
        Err(StoreError::Exists { path: path.to_owned() })
    }
}

/// Writes a file durably in the place of whatever has its name; readers see the old one or the new one.
///
/// # Errors
/// Anything the operating system says.
pub fn replace_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    let (dir, name) = split(path)?;
    let mut draft = Draft::create(&dir, mode)?;
    draft.write(bytes)?;
    draft.publish(name, Taken::Replace).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_never_replaces_and_a_replacement_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.key");
        create_file(&path, b"one", 0o600).unwrap();
        assert!(matches!(create_file(&path, b"two", 0o600), Err(StoreError::Exists { .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        replace_file(&path, b"two", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&path).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut draft = Draft::create(dir.path(), 0o600).unwrap();
        draft.write(b"half").unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        drop(draft);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
