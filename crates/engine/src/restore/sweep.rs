//! What `delete` removes: names in the restored folders that the snapshot does not have.
//!
//! Invariants: only folders that were backed up, are restored, and whose entries were all read are swept; a folder
//! that the snapshot has as empty never is, as it may be one that the backup did not enter; no link is
//! followed; another mount is neither entered nor emptied; what the caller protects stays, with all that lies in
//! it and every folder above it; once a part of the catalogue is lost nothing is removed any more. What is to go
//! is written down first and removed when everything else is in place.

use std::os::fd::AsFd;

use lumbung_seal::catalogue::{Entry, parent};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{Target, split};
use super::outcome::{Findings, told};
use super::protect::{Mount, Protected};
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
    protected: &'a Protected,
    open: Vec<Open>,
    doomed: Vec<Vec<u8>>,
    whole: bool,
}

impl<'a> Sweep<'a> {
    pub(super) const fn new(
        target: &'a Target,
        findings: &'a Findings,
        protected: &'a Protected,
    ) -> Self {
        Self { target, findings, protected, open: Vec::new(), doomed: Vec::new(), whole: true }
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
        let listing = Listing::read(&directory)?;
        let superfluous: Vec<&[u8]> = (0..listing.len())
            .filter_map(|i| listing.get(i))
            .filter(|name| open.names.binary_search_by(|known| known[..].cmp(name)).is_err())
            .filter(|name| !self.target.is_unfinished(name))
            .collect();
        if superfluous.is_empty() {
            return Ok(());
        }
        // Depots and an agent's state are in a snapshot as empty folders.
        if self.protected.covers(&directory)? {
            self.findings.warn(&open.path, "left as it is: Lumbung itself needs it");
        } else if open.names.is_empty() {
            let why = "left: the snapshot has it as empty, which may mean that it was not entered; nothing in it is deleted";
            self.findings.warn(&open.path, why);
        } else {
            self.doomed.extend(superfluous.into_iter().map(|name| join(&open.path, name)));
        }
        Ok(())
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, b"/", name].concat() }
}

const STAYS: &str = "stays: Lumbung itself needs it";
const FOREIGN: &str = "stays: another file system is mounted there";

/// Removes trees.
pub(super) struct Remover<'a> {
    findings: &'a Findings,
    cancel: &'a Cancel,
    protected: &'a Protected,
    /// Nothing is removed, only counted.
    dry: bool,
}

/// What became of a tree.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) entries: u64,
    /// Something in it stays.
    pub(super) stays: bool,
}

impl<'a> Remover<'a> {
    pub(super) const fn new(
        findings: &'a Findings,
        cancel: &'a Cancel,
        protected: &'a Protected,
        dry: bool,
    ) -> Self {
        Self { findings, cancel, protected, dry }
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
        let removed = self.protected.covers(folder).and_then(|covered| {
            if covered {
                self.findings.warn(path, STAYS);
                return Ok(Removed { entries: 0, stays: true });
            }
            self.tree(folder, name, path, Mount::of(folder))
        });
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
        mount: Mount,
    ) -> Result<Removed, Errno> {
        let folder = folder.as_fd();
        let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Stat::from(&stat),
            Err(Errno::NOENT) => return Ok(Removed::default()),
            Err(errno) => return Err(errno),
        };
        let device = Stat::from(&rustix::fs::fstat(folder)?).dev;
        let reason = if self.protected.holds(folder, name, &stat) {
            STAYS
        } else if stat.dev != device || Mount::of_name(folder, name) != mount {
            FOREIGN
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
        // Something may have been mounted meanwhile.
        if Mount::of(&inside) != mount {
            self.findings.warn(path, FOREIGN);
            return Ok(Removed { entries: 0, stays: true });
        }
        let listing = Listing::read(&inside)?;
        let mut removed = Removed::default();
        for child in (0..listing.len()).filter_map(|i| listing.get(i)) {
            let below = self.tree(&inside, child, &join(path, child), mount)?;
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
