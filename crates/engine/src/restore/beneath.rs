//! Writing beneath a target and nowhere else, whatever a path says.
//!
//! Invariants: a directory is reached from the target's descriptor only, by `openat2` with
//! `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS`, or, where the kernel has none, component by
//! component with `O_NOFOLLOW`; both refuse `..` and links. A last component is one name, and is
//! never followed. What is made gets a name of its own first and takes its place whole, by a rename: whoever
//! kills a restore finds each file as it was or as it shall be, never half of it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use lumbung_seal::catalogue::check_path;
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use super::RestoreError;
use super::rules::{Present, UNFINISHED_DIRECTORY};
use crate::source::{FileKind, Listing, Stat, attributes_of_link, read_link};

/// What the names of files end with that are not finished yet.
pub(super) const UNFINISHED_SUFFIX: &[u8] = b".lumbung-restore";

/// The directory that everything is written beneath.
#[derive(Debug)]
pub(super) struct Target {
    root: OwnedFd,
    openat2: AtomicBool,
    /// Names the snapshot in the names of what is unfinished: none of them can be in the snapshot itself.
    mark: String,
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
    pub(super) fn prepare(path: &Path, openat2: bool, mark: String) -> Result<Self, RestoreError> {
        let failed = |source| RestoreError::Target { path: path.display().to_string(), source };
        std::fs::create_dir_all(path).map_err(failed)?;
        let root = crate::source::open_directory(path).map_err(|e| failed(e.into()))?;
        Ok(Self { root, openat2: AtomicBool::new(openat2), mark })
    }

    /// Opens a target that is there, for looking only; nothing if it is not there.
    pub(super) fn look_at(
        path: &Path,
        openat2: bool,
        mark: String,
    ) -> Result<Option<Self>, RestoreError> {
        match crate::source::open_directory(path) {
            Ok(root) => Ok(Some(Self { root, openat2: AtomicBool::new(openat2), mark })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                let path = path.display().to_string();
                Err(RestoreError::Target { path, source: errno.into() })
            }
        }
    }

    /// The name that something has until it takes its place: always the same, so that what an interrupted
    /// restore left is found and removed by the next one.
    pub(super) fn unfinished_name(&self, name: &[u8]) -> Vec<u8> {
        let hash = blake3::hash(name).to_hex();
        let mut unfinished = format!(".{}-{}", &hash[..16], self.mark).into_bytes();
        unfinished.extend_from_slice(UNFINISHED_SUFFIX);
        unfinished
    }

    /// Whether this is the name of something that this restore has not finished.
    pub(super) fn is_unfinished(&self, name: &[u8]) -> bool {
        let end = [b"-", self.mark.as_bytes(), UNFINISHED_SUFFIX].concat();
        name.starts_with(b".") && name.ends_with(&end)
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

    /// Makes a directory in an opened one, marked as unfinished; one that is there stays.
    pub(super) fn make_directory(&self, parent: impl AsFd, name: &[u8]) -> Result<(), Errno> {
        match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(UNFINISHED_DIRECTORY)) {
            Err(Errno::EXIST) => Ok(()),
            other => other,
        }
    }

    /// Makes something under its unfinished name; what an interrupted restore left there goes first.
    pub(super) fn make<T>(
        &self,
        parent: impl AsFd,
        unfinished: &[u8],
        make: impl Fn() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        match make() {
            Err(Errno::EXIST) => {}
            other => return other,
        }
        rustix::fs::unlinkat(parent, unfinished, AtFlags::empty())?;
        make()
    }

    /// Makes an empty file for writing, under its unfinished name.
    pub(super) fn create(&self, parent: impl AsFd, unfinished: &[u8]) -> Result<OwnedFd, Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let parent = parent.as_fd();
        self.make(parent, unfinished, || {
            rustix::fs::openat(parent, unfinished, flags, Mode::from_raw_mode(0o600))
        })
    }

    /// Removes what an interrupted restore left of something that needs no restoring any more.
    pub(super) fn forget_unfinished(&self, parent: impl AsFd, name: &[u8]) {
        // Mostly there is none; what cannot be removed is told of nowhere, as it harms nothing.
        let _ = rustix::fs::unlinkat(parent, self.unfinished_name(name), AtFlags::empty());
    }

    /// Gives something finished its name. `replace`: over whatever has it, an empty directory too; else only if
    /// nothing has.
    pub(super) fn put_in_place(
        &self,
        parent: impl AsFd,
        unfinished: &[u8],
        name: &[u8],
        replace: bool,
    ) -> Result<(), Errno> {
        let parent = parent.as_fd();
        let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = match rustix::fs::renameat_with(parent, unfinished, parent, name, flags) {
            // A file system that cannot: nothing was there a moment ago.
            Err(Errno::INVAL | Errno::NOSYS) if !replace => {
                rustix::fs::renameat(parent, unfinished, parent, name)
            }
            Err(Errno::ISDIR) if replace => rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
                .and_then(|()| rustix::fs::renameat(parent, unfinished, parent, name)),
            other => other,
        };
        if renamed.is_err() {
            let _ = rustix::fs::unlinkat(parent, unfinished, AtFlags::empty());
        }
        renamed
    }

    /// What stands under a name in an opened directory. `first`: the file that a further name should be of;
    /// `directory`: whether one is wanted there.
    pub(super) fn present(
        parent: impl AsFd,
        name: &[u8],
        first: Option<(u64, u64)>,
        directory: bool,
    ) -> Result<Option<Present>, Errno> {
        let parent = parent.as_fd();
        let stat = match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Stat::from(&stat),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let link = match stat.kind {
            FileKind::Symlink => read_link(parent, name).unwrap_or_default(),
            _ => Vec::new(),
        };
        let in_the_way = stat.kind == FileKind::Directory && !directory;
        Ok(Some(Present {
            kind: stat.kind,
            mode: stat.mode,
            uid: stat.uid,
            gid: stat.gid,
            size: stat.size,
            mtime: (stat.mtime_s, stat.mtime_ns),
            device: (rustix::fs::major(stat.rdev), rustix::fs::minor(stat.rdev)),
            link,
            xattrs: attributes_of_link(parent, name).unwrap_or_default(),
            occupied: in_the_way && is_occupied(parent, name),
            is_first: first == Some(stat.identity()),
        }))
    }
}

/// Whether something lies in a directory; one that cannot be read counts as occupied.
fn is_occupied(parent: impl AsFd, name: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::openat(parent, name, flags, Mode::empty());
    opened.and_then(Listing::read).map_or(true, |listing| listing.len() > 0)
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
            let target = Target::prepare(inside.path(), openat2, "test".to_owned()).unwrap();
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
