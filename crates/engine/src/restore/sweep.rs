//! What `delete` removes: names in the restored folders that the snapshot does not have.
//!
//! Invariants: only folders that were backed up, are restored, and whose entries were all read are swept; no link
//! is followed; another file system is neither entered nor emptied; what the caller protects stays, and so
//! does every folder above it; once a part of the catalogue is lost nothing is removed any more. What is to go
//! is written down first and removed when everything else is in place.

use std::collections::HashSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use lumbung_seal::catalogue::{Entry, parent};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{Target, split};
use super::outcome::{Findings, told};
use crate::Cancel;
use crate::snapshot::is_beneath;
use crate::source::{FileKind, Listing, Stat};

/// A folder whose entries are being read.
struct Open {
    path: Vec<u8>,
    /// What the snapshot has in it, ascending.
    names: Vec<Vec<u8>>,
    swept: bool,
}

/// Compares folders with the snapshot while it is read.
pub(super) struct Sweep<'a> {
    target: &'a Target,
    findings: &'a Findings,
    open: Vec<Open>,
    doomed: Vec<Vec<u8>>,
    whole: bool,
}

impl<'a> Sweep<'a> {
    pub(super) const fn new(target: &'a Target, findings: &'a Findings) -> Self {
        Self { target, findings, open: Vec::new(), doomed: Vec::new(), whole: true }
    }

    /// Takes note of an entry, in path order. `swept`: it is a folder that is restored and was there before.
    pub(super) fn entry(&mut self, entry: &Entry, swept: bool) {
        while self.open.last().is_some_and(|open| !is_beneath(&entry.path, &open.path)) {
            self.close();
        }
        if let Some(open) = self.open.last_mut()
            && parent(&entry.path) == Some(&open.path[..])
        {
            open.names.push(split(&entry.path).1.to_vec());
        }
        if entry.may_have_children() {
            self.open.push(Open { path: entry.path.clone(), names: Vec::new(), swept });
        }
    }

    /// A part of the catalogue is lost: what it named looks like something that the snapshot does not have.
    pub(super) fn catalogue_lost(&mut self) {
        self.whole = false;
    }

    /// What is to be removed, once all entries are read.
    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        while !self.open.is_empty() {
            self.close();
        }
        if !self.whole {
            let why = "nothing was deleted: a part of the catalogue cannot be read, and what it names must not look superfluous";
            self.findings.warn(b"", why);
            return Vec::new();
        }
        self.doomed
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if !open.swept || !self.whole {
            return;
        }
        match self.compare(&open) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => self.findings.failed(&open.path, told("cannot be listed", errno)),
        }
    }

    fn compare(&mut self, open: &Open) -> Result<(), Errno> {
        let directory = self.target.directory_to_change(&open.path)?;
        if open.names.is_empty() && !open.path.is_empty() {
            let above = self.target.directory(split(&open.path).0)?;
            if device(&above)? != device(&directory)? {
                let why = "is the root of a file system that the backup did not enter: nothing in it is deleted";
                self.findings.warn(&open.path, why);
                return Ok(());
            }
        }
        let listing = Listing::read(&directory)?;
        for name in (0..listing.len()).filter_map(|i| listing.get(i)) {
            let known = open.names.binary_search_by(|known| known[..].cmp(name)).is_ok();
            if !known && !self.target.is_unfinished(name) {
                self.doomed.push(join(&open.path, name));
            }
        }
        Ok(())
    }
}

fn device(directory: &OwnedFd) -> Result<u64, Errno> {
    Ok(Stat::from(&rustix::fs::fstat(directory)?).dev)
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

/// Removes trees.
pub(super) struct Remover<'a> {
    findings: &'a Findings,
    cancel: &'a Cancel,
    protected: HashSet<(u64, u64)>,
    /// Nothing is removed, only counted.
    dry: bool,
}

/// What became of a tree.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) entries: u64,
    /// Something in it stays.
    stays: bool,
}

impl<'a> Remover<'a> {
    pub(super) fn new(
        findings: &'a Findings,
        cancel: &'a Cancel,
        protected: &[PathBuf],
        dry: bool,
    ) -> Self {
        let identity = |path: &PathBuf| Some(Stat::from(&rustix::fs::stat(path).ok()?).identity());
        Self { findings, cancel, protected: protected.iter().filter_map(identity).collect(), dry }
    }

    /// Removes what a path beneath the target names, and counts its entries.
    pub(super) fn remove(&self, target: &Target, path: &[u8]) -> u64 {
        let (folder, name) = split(path);
        match target.directory(folder) {
            Ok(folder) => self.remove_in(&folder, name, path).entries,
            Err(errno) => {
                self.findings.failed(path, told("cannot be removed", errno));
                0
            }
        }
    }

    /// As [`Self::remove`], in an opened directory.
    pub(super) fn remove_in(&self, folder: impl AsFd, name: &[u8], path: &[u8]) -> Removed {
        let folder = folder.as_fd();
        let removed = rustix::fs::fstat(folder)
            .and_then(|stat| self.tree(folder, name, path, Stat::from(&stat).dev));
        removed.unwrap_or_else(|errno| {
            self.findings.failed(path, told("cannot be removed", errno));
            Removed { entries: 0, stays: true }
        })
    }

    fn tree(
        &self,
        folder: impl AsFd,
        name: &[u8],
        path: &[u8],
        device: u64,
    ) -> Result<Removed, Errno> {
        let folder = folder.as_fd();
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Stat::from(&stat),
            Err(Errno::NOENT) => return Ok(Removed::default()),
            Err(errno) => return Err(errno),
        };
        let reason = if self.protected.contains(&stat.identity()) {
            "stays: Lumbung itself needs it"
        } else if stat.dev != device {
            "stays: another file system is mounted there"
        } else if self.cancel.is_cancelled() {
            return Ok(Removed { entries: 0, stays: true });
        } else {
            ""
        };
        if !reason.is_empty() {
            self.findings.warn(path, reason);
            return Ok(Removed { entries: 0, stays: true });
        }
        if stat.kind != FileKind::Directory {
            if !self.dry {
                rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            }
            return Ok(Removed { entries: 1, stays: false });
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let inside = rustix::fs::openat(folder, name, flags, Mode::empty())?;
        let listing = Listing::read(&inside)?;
        let mut removed = Removed::default();
        for child in (0..listing.len()).filter_map(|i| listing.get(i)) {
            let below = self.tree(&inside, child, &join(path, child), device)?;
            removed.entries += below.entries;
            removed.stays |= below.stays;
        }
        if removed.stays {
            return Ok(removed);
        }
        if !self.dry {
            rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?;
        }
        removed.entries += 1;
        Ok(removed)
    }
}
