//! Sets what an entry says: owner, extended attributes, mode, ACLs and capabilities, times, in the order in
//! which one does not undo another.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use lumbung_seal::catalogue::{Entry, EntryKind};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags};
use rustix::io::Errno;

use super::OwnerPolicy;
use super::beneath::Target;
use super::outcome::{Findings, told};
use super::rules::{OverwritePolicy, Rules, Step};
use crate::source::{Stat, attributes_of, attributes_of_link};

const SETUID_SETGID: u32 = 0o6000;

/// How attributes are set.
pub(super) struct Setter<'a> {
    pub(super) owners: OwnerPolicy,
    pub(super) findings: &'a Findings,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) is_root: bool,
}

fn times(entry: &Entry) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: entry.mtime_s, tv_nsec: entry.mtime_ns.into() },
    }
}

/// A change of mode or owner changes these, so they come after both.
fn comes_late(name: &[u8]) -> bool {
    name.starts_with(b"system.posix_acl_") || name == b"security.capability"
}

impl<'a> Setter<'a> {
    pub(super) fn new(owners: OwnerPolicy, findings: &'a Findings) -> Self {
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        Self { owners, findings, uid: uid.as_raw(), gid: gid.as_raw(), is_root: uid.is_root() }
    }

    /// Whether the entry belongs to whom it should; `chown` is called if that is to be changed.
    fn owner(
        &self,
        entry: &Entry,
        chown: impl FnOnce(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
    ) -> bool {
        if self.owners == OwnerPolicy::Restorer {
            return (entry.uid, entry.gid) == (self.uid, self.gid);
        }
        if !self.is_root && (entry.uid, entry.gid) == (self.uid, self.gid) {
            return true;
        }
        match chown(Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid))) {
            Ok(()) => true,
            Err(Errno::PERM) => {
                self.findings.owner_failed(&entry.path);
                false
            }
            Err(errno) => {
                self.findings.warn(&entry.path, told("its owner cannot be set", errno));
                false
            }
        }
    }

    fn note(&self, entry: &Entry, what: &str, result: Result<(), Errno>) {
        if let Err(errno) = result {
            self.findings.warn(&entry.path, told(what, errno));
        }
    }

    fn xattrs(&self, entry: &Entry, late: bool, set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>) {
        for (name, value) in entry.xattrs.iter().filter(|(name, _)| comes_late(name) == late) {
            let what = format!("attribute {} cannot be set", String::from_utf8_lossy(name));
            self.note(entry, &what, set(name, value));
        }
    }

    /// A mode that gives nobody the rights of somebody else than was meant. Beside an access list the group's
    /// bits are the list's mask, which without the list would be the rights of the owning group: the list sets
    /// them, and where it cannot be set the group has none.
    fn mode(entry: &Entry, owned: bool) -> Mode {
        let mut dropped = if owned { 0 } else { SETUID_SETGID };
        if entry.xattrs.iter().any(|(name, _)| name == b"system.posix_acl_access") {
            dropped |= 0o070;
        }
        Mode::from_raw_mode(entry.mode & !dropped)
    }

    /// Extended attributes that the entry does not have, of those that a backup takes: they go.
    fn superfluous(entry: &Entry, present: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<Vec<u8>> {
        let ours = |name: &[u8]| name.starts_with(b"user.") || comes_late(name);
        let known = |name: &Vec<u8>| entry.xattrs.iter().any(|(known, _)| known == name);
        let names = present.into_iter().map(|(name, _)| name);
        names.filter(|name| ours(name) && !known(name)).collect()
    }

    /// Gives what is there the entry's attributes, if it does not have them; what was done.
    pub(super) fn adjust(&self, parent: &OwnedFd, name: &[u8], entry: &Entry) -> Step {
        let owners = self.owners == OwnerPolicy::AsBackedUp && self.is_root;
        let overwrite = OverwritePolicy::IfChanged;
        let rules = Rules { overwrite, delete: false, owners, in_place: false };
        let there = Target::present(parent, name, None, true).ok().flatten();
        if there.is_some_and(|there| rules.same_attributes(entry, &there, true)) {
            return Step::Unchanged;
        }
        let mut path = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        let present = attributes_of_link(parent, name).unwrap_or_default();
        for superfluous in Self::superfluous(entry, present) {
            let removed = rustix::fs::lremovexattr(&path[..], &superfluous[..]);
            self.note(entry, "an attribute cannot be removed", removed);
        }
        self.set_named(parent, name, entry);
        Step::Adjust
    }

    /// Of a directory that was there.
    pub(super) fn adjust_directory(&self, directory: BorrowedFd<'_>, entry: &Entry) {
        let present = attributes_of(directory).unwrap_or_default();
        let stat = rustix::fs::fstat(directory).map(|stat| Stat::from(&stat));
        let same = stat.is_ok_and(|stat| {
            (stat.mtime_s, stat.mtime_ns, stat.mode) == (entry.mtime_s, entry.mtime_ns, entry.mode)
                && (stat.uid, stat.gid) == (entry.uid, entry.gid)
        });
        if same && present == entry.xattrs {
            return;
        }
        for superfluous in Self::superfluous(entry, present) {
            let removed = rustix::fs::fremovexattr(directory, &superfluous[..]);
            self.note(entry, "an attribute cannot be removed", removed);
        }
        self.set_open(directory, entry);
    }

    /// Of an opened file or directory.
    pub(super) fn set_open(&self, file: BorrowedFd<'_>, entry: &Entry) {
        let owned = self.owner(entry, |uid, gid| rustix::fs::fchown(file, uid, gid));
        let set = |name: &[u8], value: &[u8]| {
            rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())
        };
        self.xattrs(entry, false, set);
        self.note(
            entry,
            "its mode cannot be set",
            rustix::fs::fchmod(file, Self::mode(entry, owned)),
        );
        self.xattrs(entry, true, set);
        self.note(entry, "its times cannot be set", rustix::fs::futimens(file, &times(entry)));
    }

    /// Of something that is not opened: a link, a pipe, a socket, a device. Named in its directory, never
    /// followed.
    pub(super) fn set_named(&self, parent: &OwnedFd, name: &[u8], entry: &Entry) {
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let owned =
            self.owner(entry, |uid, gid| rustix::fs::chownat(parent, name, uid, gid, nofollow));
        let mut path = format!("/proc/self/fd/{}/", parent.as_fd().as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        let set = |name: &[u8], value: &[u8]| {
            rustix::fs::lsetxattr(&path[..], name, value, XattrFlags::empty())
        };
        self.xattrs(entry, false, set);
        if !matches!(entry.kind, EntryKind::Symlink { .. }) {
            let result = change_mode(parent, name, Self::mode(entry, owned));
            self.note(entry, "its mode cannot be set", result);
        }
        self.xattrs(entry, true, set);
        let result = rustix::fs::utimensat(parent, name, &times(entry), nofollow);
        self.note(entry, "its times cannot be set", result);
    }
}

/// Changes the mode of what `name` is now, even if someone puts a link in its place meanwhile.
fn change_mode(parent: &OwnedFd, name: &[u8], mode: Mode) -> Result<(), Errno> {
    let file = rustix::fs::openat(
        parent,
        name,
        OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_never_stands_as_the_rights_of_the_group() {
        let mut entry = Entry {
            path: b"file".to_vec(),
            kind: EntryKind::Fifo,
            mode: 0o4670,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            mtime_s: 0,
            mtime_ns: 0,
            xattrs: Vec::new(),
            changed_while_read: false,
            unreadable: None,
        };
        assert_eq!(Setter::mode(&entry, true).as_raw_mode(), 0o4670);
        assert_eq!(Setter::mode(&entry, false).as_raw_mode(), 0o670);
        entry.xattrs = vec![(b"system.posix_acl_access".to_vec(), vec![2, 0, 0, 0])];
        assert_eq!(Setter::mode(&entry, true).as_raw_mode(), 0o4600);
        assert_eq!(Setter::mode(&entry, false).as_raw_mode(), 0o600);
    }
}
