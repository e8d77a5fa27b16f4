//! Writing beneath a target and nowhere else, whatever a path says.
//!
//! Invariants: a directory is reached from the target's descriptor only, by `openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`, or, where the kernel has none, component by
//! component with `O_NOFOLLOW`; both refuse `..` and links. A last component is one name, and is
//! never followed.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lumbung_seal::catalogue::check_path;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{OverwritePolicy, RestoreError};
use crate::source::Listing;

/// The directory that everything is written beneath.
#[derive(Debug)]
pub(super) struct Target {
    root: OwnedFd,
    openat2: AtomicBool,
    pub(super) overwrite: OverwritePolicy,
}

/// A path as directory and last component.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

impl Target {
    /// Opens the target; makes it if it is not there.
    pub(super) fn prepare(
        path: &Path,
        overwrite: OverwritePolicy,
        openat2: bool,
    ) -> Result<Self, RestoreError> {
        let failed = |source| RestoreError::Target { path: path.display().to_string(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let root = crate::source::open_directory(path).map_err(|e| failed(e.into()))?;
        let listing = Listing::read(&root).map_err(|e| failed(e.into()))?;
        if overwrite == OverwritePolicy::Refuse && listing.len() > 0 {
            return Err(RestoreError::TargetNotEmpty(path.display().to_string()));
        }
        // Read to the end above: opened anew, so that its position does not matter.
        let root = crate::source::open_directory(path).map_err(|e| failed(e.into()))?;
        Ok(Self { root, openat2: AtomicBool::new(openat2), overwrite })
    }

    /// Opens a directory beneath the target; the empty path is the target.
    pub(super) fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::PATH)
    }

    /// Opens a directory for setting its attributes.
    pub(super) fn directory_to_change(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.open(path, OFlags::RDONLY)
    }

    fn open(&self, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
        check_path(path).map_err(|_| Errno::INVAL)?;
        let flags = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if path.is_empty() {
            return rustix::fs::openat(&self.root, c".", flags, Mode::empty());
        }
        if self.openat2.load(Ordering::Relaxed) {
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve) {
                // Not in this kernel, or kept from us: the other way from now on.
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
                    self.openat2.store(false, Ordering::Relaxed)
                }
                // Longer than the kernel takes at once.
                Err(Errno::NAMETOOLONG) => {}
                other => return other,
            }
        }
        self.open_by_component(path, access)
    }

    fn open_by_component(&self, path: &[u8], access: OFlags) -> Result<OwnedFd, Errno> {
        let way = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let last = access | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (parents, name) = split(path);
        let mut directory = rustix::fs::openat(&self.root, c".", way, Mode::empty())?;
        for component in parents.split(|b| *b == b'/').filter(|component| !component.is_empty()) {
            directory = rustix::fs::openat(&directory, component, way, Mode::empty())?;
        }
        rustix::fs::openat(&directory, name, last, Mode::empty())
    }

    /// Opens a directory, making what is missing on the way: only needed where the catalogue lost entries.
    pub(super) fn directory_made(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        match self.directory(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        check_path(path).map_err(|_| Errno::INVAL)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut directory = rustix::fs::openat(&self.root, c".", flags, Mode::empty())?;
        for component in path.split(|b| *b == b'/') {
            match rustix::fs::mkdirat(&directory, component, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            directory = rustix::fs::openat(&directory, component, flags, Mode::empty())?;
        }
        Ok(directory)
    }

    /// Makes a directory in an opened one. With overwriting, one that is there stays, and anything else goes.
    pub(super) fn make_directory(&self, parent: impl AsFd, name: &[u8]) -> Result<(), Errno> {
        let mode = Mode::from_raw_mode(0o700);
        let parent = parent.as_fd();
        match rustix::fs::mkdirat(parent, name, mode) {
            Err(Errno::EXIST) if self.overwrite == OverwritePolicy::Overwrite => {}
            other => return other,
        }
        let there = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            return Ok(());
        }
        rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        rustix::fs::mkdirat(parent, name, mode)
    }

    /// Makes something new in an opened directory. With overwriting, what is there goes first (a directory
    /// only if it is empty).
    pub(super) fn make<T>(
        &self,
        parent: impl AsFd,
        name: &[u8],
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) if self.overwrite == OverwritePolicy::Overwrite => {}
            other => return other,
        }
        match rustix::fs::unlinkat(parent.as_fd(), name, AtFlags::empty()) {
            Err(Errno::ISDIR) => rustix::fs::unlinkat(parent.as_fd(), name, AtFlags::REMOVEDIR)?,
            other => other?,
        }
        make()
    }

    /// Makes an empty file for writing.
    pub(super) fn create(&self, parent: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = parent.as_fd();
        self.make(parent, name, || {
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn neither_way_leads_out_of_the_target() {
        let outside = tempfile::tempdir().unwrap();
        let inside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(inside.path().join("a/b")).unwrap();
        symlink(outside.path(), inside.path().join("link")).unwrap();
        symlink("a", inside.path().join("inner")).unwrap();
        symlink("/proc/self/cwd", inside.path().join("a/magic")).unwrap();
        for openat2 in [true, false] {
            let target =
                Target::prepare(inside.path(), OverwritePolicy::Overwrite, openat2).unwrap();
            assert!(target.directory(b"a/b").is_ok());
            assert!(target.directory(b"").is_ok());
            for path in [
                "..", "a/../..", "/etc", "link", "link/x", "inner", "inner/b", "a/magic", "a/./b",
                "a//b",
            ] {
                assert!(target.directory(path.as_bytes()).is_err(), "{path} {openat2}");
                assert!(target.directory_to_change(path.as_bytes()).is_err(), "{path} {openat2}");
                assert!(target.directory_made(path.as_bytes()).is_err(), "{path} {openat2}");
            }
            assert_eq!(
                target.openat2.load(Ordering::Relaxed),
                openat2,
                "the way that was asked for is tested"
            );
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
