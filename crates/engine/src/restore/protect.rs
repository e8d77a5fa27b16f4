//! What a restore never removes, and how it knows where another mount begins.
//!
//! Invariants: what is protected is known by device and inode, so that no other name, link or bind mount of it
//! leads past that; both a link and what it leads to are protected; a directory counts as protected when it, or
//! any directory above it, is. Mounts are told apart by their ids, as a bind mount has its source's device.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use crate::source::{FileKind, Stat};

/// What the caller protects, by device and inode.
pub(super) struct Protected(HashSet<(u64, u64)>);

impl Protected {
    /// Takes note of what is there now; what is not there has no identity, and nothing to lose.
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        let mut known = HashSet::new();
        for path in paths {
            if let Ok(stat) = rustix::fs::stat(path) {
                known.insert(Stat::from(&stat).identity());
            }
            // A link on the way is needed as well: without it nobody finds what it leads to.
            for part in path.ancestors() {
                let Ok(stat) = rustix::fs::lstat(part) else { continue };
                let stat = Stat::from(&stat);
                if part == path || stat.kind == FileKind::Symlink {
                    known.insert(stat.identity());
                }
            }
        }
        Self(known)
    }

    /// Whether a name in a directory is, or leads to, something protected. `stat`: of the name itself.
    pub(super) fn holds(&self, folder: impl AsFd, name: &[u8], stat: &Stat) -> bool {
        if self.0.contains(&stat.identity()) {
            return true;
        }
        stat.kind == FileKind::Symlink
            && rustix::fs::statat(folder, name, AtFlags::NO_AUTOMOUNT)
                .is_ok_and(|stat| self.0.contains(&Stat::from(&stat).identity()))
    }

    /// Whether a directory is protected or lies in one that is, however it was reached.
    pub(super) fn covers(&self, directory: impl AsFd) -> Result<bool, Errno> {
        if self.0.is_empty() {
            return Ok(false);
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut here: OwnedFd = rustix::fs::openat(directory, c".", flags, Mode::empty())?;
        loop {
            let identity = Stat::from(&rustix::fs::fstat(&here)?).identity();
            if self.0.contains(&identity) {
                return Ok(true);
            }
            let above = rustix::fs::openat(&here, c"..", flags, Mode::empty())?;
            // Nothing lies above the root.
            if Stat::from(&rustix::fs::fstat(&above)?).identity() == identity
                && Mount::of(&above) == Mount::of(&here)
            {
                return Ok(false);
            }
            here = above;
        }
    }
}

/// A mount: its id, where the kernel tells it (Linux 5.8 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mount(Option<u64>);

impl Mount {
    /// Of something opened.
    pub(super) fn of(file: impl AsFd) -> Self {
        Self::named(file, b"", AtFlags::EMPTY_PATH)
    }

    /// Of what stands under a name in a directory; a link is not followed.
    pub(super) fn of_name(folder: impl AsFd, name: &[u8]) -> Self {
        Self::named(folder, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn named(folder: impl AsFd, name: &[u8], flags: AtFlags) -> Self {
        let told =
            rustix::fs::statx(folder, name, flags | AtFlags::NO_AUTOMOUNT, StatxFlags::MNT_ID);
        Self(told.ok().and_then(|told| {
            let known = StatxFlags::from_bits_retain(told.stx_mask).contains(StatxFlags::MNT_ID);
            known.then_some(told.stx_mnt_id)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn open(path: &std::path::Path) -> OwnedFd {
        crate::source::open_directory(path).unwrap()
    }

    #[test]
    fn what_is_protected_is_known_through_links_and_from_beneath() {
        let world = tempfile::tempdir().unwrap();
        let at = |name: &str| world.path().join(name);
        std::fs::create_dir_all(at("real/store/packs")).unwrap();
        std::fs::create_dir_all(at("beside")).unwrap();
        symlink(at("real"), at("way")).unwrap();
        symlink(at("real/store"), at("beside/other")).unwrap();
        let protected = Protected::new(&[at("way/store"), at("not there")]);
        assert!(protected.covers(open(&at("real/store"))).unwrap());
        assert!(protected.covers(open(&at("real/store/packs"))).unwrap());
        assert!(!protected.covers(open(&at("real"))).unwrap());
        assert!(!protected.covers(open(&at("beside"))).unwrap());
        let stat = |path: &std::path::Path| Stat::from(&rustix::fs::lstat(path).unwrap());
        assert!(protected.holds(open(world.path()), b"way", &stat(&at("way"))));
        assert!(protected.holds(open(&at("beside")), b"other", &stat(&at("beside/other"))));
        assert!(!protected.holds(open(world.path()), b"beside", &stat(&at("beside"))));
    }
}
