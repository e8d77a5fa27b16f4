//! The one place that writes files: temporary file in the same directory → write → fsync → rename → fsync of the directory.
//!
//! Invariants: a file is seen whole or not at all; after an error of fsync the temporary file is
//! discarded and never synced again; a draft that is dropped leaves nothing behind; every change goes
//! through `calls`, so that a recording sees all of them.

pub(crate) mod calls;
mod grown;

use std::fs::File;
use std::io::{self, Seek as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::StoreError;

pub use grown::GrownFile;

/// How file names of unfinished writes begin.
pub const UNFINISHED: &str = ".tmp-";

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
pub struct Draft {
    dir: OwnedFd,
    dir_path: PathBuf,
    name: String,
    /// Where it lies until it is published.
    path: PathBuf,
    file: File,
    /// Whether the temporary name is still there to be removed.
    named: bool,
}

impl Draft {
    /// Begins a file in the directory at `dir_path`.
    ///
    /// # Errors
    /// Anything the operating system says.
    pub fn create(dir_path: &Path, mode: u32) -> Result<Self, StoreError> {
        Self::create_as(dir_path, mode, UNFINISHED)
    }

    /// As [`Draft::create`], with a temporary name that begins so.
    pub(crate) fn create_as(dir_path: &Path, mode: u32, prefix: &str) -> Result<Self, StoreError> {
        let dir = open_dir(dir_path)?;
        let name = unfinished_name(dir_path, prefix)?;
        let path = dir_path.join(&name);
        let file = calls::create(&dir, &path, &name, mode)
            .map_err(|e| StoreError::io("created", &path, e))?;
        Ok(Self { dir, dir_path: dir_path.to_owned(), name, path, file, named: true })
    }

    /// Appends.
    ///
    /// # Errors
    /// Anything the operating system says.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        calls::append(&self.path, &self.file, bytes)
            .map_err(|e| StoreError::io("written", &self.dir_path, e))
    }

    /// Makes the file durable in the place of whatever has the name, and goes on growing it.
    ///
    /// # Errors
    /// Anything the operating system says.
    pub fn replace_and_grow(self, name: &str) -> Result<GrownFile, StoreError> {
        let path = self.dir_path.join(name);
        let file = self.file.try_clone().map_err(|e| StoreError::io("opened", &path, e))?;
        self.publish(name, Taken::Replace)?;
        Ok(GrownFile::new(path, file))
    }

    /// Leaves out so many bytes: they read as zeros and take no space where the file system can do that.
    pub(crate) fn skip(&mut self, length: u64) -> Result<(), StoreError> {
        let failed = |e: std::io::Error| StoreError::io("written", &self.dir_path, e);
        let end = self.file.stream_position().map_err(failed)?.saturating_add(length);
        calls::set_length(&self.path, &self.file, end).map_err(failed)?;
        self.file.seek(std::io::SeekFrom::Start(end)).map(|_| ()).map_err(failed)
    }

    /// Makes the file durable and gives it its name. Returns whether the name is new or was replaced;
    /// `false` means that another file of that name was kept.
    pub(crate) fn publish(mut self, name: &str, taken: Taken) -> Result<bool, StoreError> {
        let path = self.dir_path.join(name);
        // On an error the kernel may have dropped the dirty pages: a second fsync would lie, so the
        // draft is dropped with its file.
        calls::sync_file(&self.path, &self.file).map_err(|e| StoreError::io("synced", &path, e))?;
        let created = match taken {
            Taken::Replace => {
                calls::rename(&self.dir, (&self.path, &self.name), (&path, name))
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
        let (from, to) = ((self.path.as_path(), self.name.as_str()), (path, name));
        match errno(calls::rename_new(&self.dir, from, to)) {
            Ok(()) => {
                self.named = false;
                Ok(true)
            }
            Err((Some(Errno::EXIST), _)) => Ok(false),
            // File systems without RENAME_NOREPLACE (NFS, some FUSE): a hard link never replaces. The
            // temporary name goes when the draft is dropped.
            Err((Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP), _)) => {
                match errno(calls::link(&self.dir, from, to)) {
                    Ok(()) => Ok(true),
                    Err((Some(Errno::EXIST), _)) => Ok(false),
                    Err((Some(Errno::PERM | Errno::INVAL | Errno::NOSYS | Errno::NOTSUP), _)) => {
                        self.name_if_free(name, path)
                    }
                    Err((_, e)) => Err(StoreError::io("named", path, e)),
                }
            }
            Err((_, e)) => Err(StoreError::io("named", path, e)),
        }
    }

    /// The file systems of removable disks (exFAT, FAT) know neither: the name is looked for, then taken. Between
    /// the two steps another writer's file could be replaced; whoever writes to such a disk alone, or names files
    /// by their content, loses nothing by that.
    fn name_if_free(&mut self, name: &str, path: &Path) -> Result<bool, StoreError> {
        match rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => return Ok(false),
            Err(Errno::NOENT) => {}
            Err(e) => return Err(StoreError::io("named", path, e)),
        }
        calls::rename(&self.dir, (&self.path, &self.name), (path, name))
            .map_err(|e| StoreError::io("named", path, e))?;
        self.named = false;
        Ok(true)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.named {
            // What stays behind is ignored by every reader and swept at the next start.
            let _ = calls::unlink(&self.dir, &self.path, &self.name);
        }
    }
}

/// A new name for an unfinished file in a directory.
pub(crate) fn unfinished_name(dir: &Path, prefix: &str) -> Result<String, StoreError> {
    let mut random = [0; 12];
    getrandom::fill(&mut random)
        .map_err(|e| StoreError::io("written", dir, io::Error::other(e)))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{prefix}{digits}"))
}

/// Takes an error's number out of it.
fn errno<T>(result: io::Result<T>) -> Result<T, (Option<Errno>, io::Error)> {
    result.map_err(|e| (Errno::from_io_error(&e), e))
}

fn open_dir(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|e| StoreError::io("opened", path, e))
}

fn sync_dir(dir: &OwnedFd, path: &Path) -> Result<(), StoreError> {
    let synced = match errno(calls::sync_directory(path, dir)) {
        // A file system that syncs no directory by itself syncs them all.
        Err((Some(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP), _)) => calls::sync_all(path, dir),
        synced => synced.map_err(|(_, e)| e),
    };
    synced.map_err(|source| StoreError::Unsynced { path: path.to_owned(), source })
}

/// Syncs the directory at `path`, so that the names in it are durable.
///
/// # Errors
/// [`StoreError::Unsynced`] if the file system says no.
pub fn sync_directory(path: &Path) -> Result<(), StoreError> {
    sync_dir(&open_dir(path)?, path)
}

/// Makes everything durable that is on the file system of the directory at `path`: one call for many
/// directories, of which a killed process may have left some unsynced.
///
/// # Errors
/// [`StoreError::Unsynced`] if the file system says no.
pub fn sync_file_system(path: &Path) -> Result<(), StoreError> {
    calls::sync_all(path, &open_dir(path)?)
        .map_err(|source| StoreError::Unsynced { path: path.to_owned(), source })
}

/// Makes the directory if it is not there, and its name durable. Its parent must exist.
///
/// # Errors
/// Anything the operating system says but "exists".
pub fn make_directory(path: &Path, mode: u32) -> Result<(), StoreError> {
    match errno(calls::make_directory(path, mode)) {
        Ok(()) | Err((Some(Errno::EXIST), _)) => {}
        Err((_, e)) => return Err(StoreError::io("created", path, e)),
    }
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new(".")),
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// As [`make_directory`], with the directories above it that are not there either.
///
/// # Errors
/// Anything the operating system says but "exists".
pub fn make_directories(path: &Path, mode: u32) -> Result<(), StoreError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.is_dir()
    {
        make_directories(parent, mode)?;
    }
    make_directory(path, mode)
}

/// Removes a file that may not be there; says whether it was. That it is gone is durable once its directory
/// is synced; until then it may come back.
///
/// # Errors
/// Anything the operating system says but "not found".
pub fn remove_file(path: &Path) -> Result<bool, StoreError> {
    match errno(calls::unlink_at(path)) {
        Ok(()) => Ok(true),
        Err((Some(Errno::NOENT | Errno::NOTDIR), _)) => Ok(false),
        Err((_, e)) => Err(StoreError::io("removed", path, e)),
    }
}

/// Gives a file another name in the same directory, in the place of what had it. Neither its bytes nor its
/// name are synced: for what can be lost, but not torn between old and new.
///
/// # Errors
/// Anything the operating system says.
pub fn rename_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    calls::rename_at(from, to).map_err(|e| StoreError::io("named", to, e))
}

/// Removes what unfinished writes left in a directory; how many there were. Only for who alone writes there.
///
/// # Errors
/// If the directory cannot be read.
pub fn sweep_unfinished(dir: &Path) -> Result<usize, StoreError> {
    sweep_others(dir, None)
}

/// As [`sweep_unfinished`], beside a writer whose temporary names begin with `own`: they are let be.
pub(crate) fn sweep_others(dir: &Path, own: Option<&str>) -> Result<usize, StoreError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(StoreError::io("read", dir, e)),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("read", dir, e))?;
        let name = entry.file_name();
        let begins = |with: &str| name.as_encoded_bytes().starts_with(with.as_bytes());
        if begins(UNFINISHED) && !own.is_some_and(begins) {
            remove_file(&entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Says that the database at `path` has committed, to the recording that covers it. Does nothing in a
/// production build.
#[inline]
pub fn committed(path: &Path) {
    #[cfg(feature = "testing")]
    crate::recording::committed(path);
    #[cfg(not(feature = "testing"))]
    let _ = path;
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
    fn without_links_and_flags_a_free_name_is_taken_and_a_taken_one_kept() {
        let dir = tempfile::tempdir().unwrap();
        let named = |bytes: &[u8]| {
            let mut draft = Draft::create(dir.path(), 0o600).unwrap();
            draft.write(bytes).unwrap();
            draft.name_if_free("pack", &dir.path().join("pack")).unwrap()
        };
        assert!(named(b"one"));
        assert!(!named(b"two"));
        assert_eq!(std::fs::read(dir.path().join("pack")).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no temporary file stays");
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
