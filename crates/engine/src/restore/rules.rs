//! What becomes of an entry: a function of the rule, the entry, and what stands in its place.
//!
//! Invariants: nothing here looks at a file system; under [`OverwritePolicy::Never`] nothing that is there is
//! replaced or adjusted; a directory on the way to what is restored is never replaced, and in place only ever
//! made.

use lumbung_seal::catalogue::{Entry, EntryKind};

use crate::source::FileKind;

/// A directory that a restore has made and not finished yet has this mode, which nobody else gives one: so that
/// a restore that is taken up again knows which directories it may still set the attributes of.
pub(super) const UNFINISHED_DIRECTORY: u32 = 0o1700;

/// What happens to entries that are in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverwritePolicy {
    /// They stay as they are.
    #[default]
    Never,
    /// Those that were modified before the snapshot's are replaced.
    IfNewer,
    /// Those of another type, size or modification time are replaced; attributes become the snapshot's.
    IfChanged,
    /// As before, and files of the same size are compared byte by byte, whatever their times say.
    Always,
}

impl OverwritePolicy {
    /// As it is written on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfNewer => "if-newer",
            Self::IfChanged => "if-changed",
            Self::Always => "always",
        }
    }
}

/// What is done with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Nothing is there: it is made.
    Create,
    /// What is there is replaced.
    Replace,
    /// The content is compared, and replaced where it differs.
    Compare,
    /// The content is right; owner, mode, times and extended attributes are set.
    Adjust,
    /// It is as in the snapshot, or only leads to what is restored.
    Unchanged,
    /// It differs from the snapshot and stays: the rule says so.
    Keep,
    /// It cannot be restored over what is there.
    Blocked,
    /// There is nothing to restore: it could not be read when it was backed up, or what it lies in is blocked.
    Skip,
    /// It is here and not in the snapshot: it is removed.
    Delete,
}

impl Step {
    /// A word for it, stable in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Compare => "compare",
            Self::Adjust => "adjust",
            Self::Unchanged => "unchanged",
            Self::Keep => "keep",
            Self::Blocked => "blocked",
            Self::Skip => "skip",
            Self::Delete => "delete",
        }
    }
}

/// How many entries each step was taken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries made.
    pub created: u64,
    /// Entries replaced.
    pub replaced: u64,
    /// Files to be compared; none once that is done.
    pub compared: u64,
    /// Entries whose attributes were set.
    pub adjusted: u64,
    /// Entries that were right already.
    pub unchanged: u64,
    /// Entries that differ and stay.
    pub kept: u64,
    /// Entries that cannot be restored over what is there.
    pub blocked: u64,
    /// Entries with nothing to restore.
    pub skipped: u64,
    /// Entries removed.
    pub deleted: u64,
    /// Bytes of content written; in a plan, of what is created, replaced or compared.
    pub bytes: u64,
}

impl Counts {
    /// Counts an entry.
    pub(super) fn add(&mut self, step: Step, entries: u64, bytes: u64) {
        let count = match step {
            Step::Create => &mut self.created,
            Step::Replace => &mut self.replaced,
            Step::Compare => &mut self.compared,
            Step::Adjust => &mut self.adjusted,
            Step::Unchanged => &mut self.unchanged,
            Step::Keep => &mut self.kept,
            Step::Blocked => &mut self.blocked,
            Step::Skip => &mut self.skipped,
            Step::Delete => &mut self.deleted,
        };
        *count += entries;
        if matches!(step, Step::Create | Step::Replace | Step::Compare) {
            self.bytes += bytes;
        }
    }
}

/// What stands where an entry belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) kind: FileKind,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) size: u64,
    pub(super) mtime: (i64, u32),
    /// Of a device, its numbers.
    pub(super) device: (u32, u32),
    /// Of a link, what it says.
    pub(super) link: Vec<u8>,
    /// Names ascending.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Of a directory, whether something lies in it.
    pub(super) occupied: bool,
    /// Whether it is the same file as the first name of a hard link.
    pub(super) is_first: bool,
}

/// What the decision rests on besides the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) overwrite: OverwritePolicy,
    /// Whether a directory that is in the way goes with all that lies in it.
    pub(super) delete: bool,
    /// Whether owners are restored: else they are no difference.
    pub(super) owners: bool,
    /// Whether the target is the live system's root.
    pub(super) in_place: bool,
}

impl Rules {
    /// Whether everything becomes as in the snapshot, attributes too.
    pub(super) const fn is_strict(self) -> bool {
        matches!(self.overwrite, OverwritePolicy::IfChanged | OverwritePolicy::Always)
    }

    /// What is done with an entry. `leading`: it is only on the way to what is restored.
    pub(super) fn step(self, entry: &Entry, there: Option<&Present>, leading: bool) -> Step {
        if entry.unreadable.is_some() && entry.kind != EntryKind::Directory {
            return Step::Skip;
        }
        let Some(there) = there else { return Step::Create };
        if entry.kind == EntryKind::Directory {
            return self.directory(entry, there, leading);
        }
        if matches!(entry.kind, EntryKind::HardLink { .. }) {
            return if there.is_first { Step::Unchanged } else { self.other(entry, there) };
        }
        if !same_content(entry, there) {
            return self.other(entry, there);
        }
        if self.overwrite == OverwritePolicy::Always && there.kind == FileKind::File {
            return Step::Compare;
        }
        self.attributes(entry, there)
    }

    fn directory(self, entry: &Entry, there: &Present, leading: bool) -> Step {
        match (there.kind, leading) {
            (FileKind::Directory, _) if there.mode == UNFINISHED_DIRECTORY => Step::Adjust,
            (FileKind::Directory, true) if self.in_place || !self.is_strict() => Step::Unchanged,
            (FileKind::Directory, true) => self.attributes(entry, there),
            (FileKind::Directory, false) => self.attributes(entry, there),
            (_, true) => Step::Blocked,
            (_, false) if self.replaces(entry, there) => Step::Replace,
            (_, false) => Step::Blocked,
        }
    }

    /// Of what has the right content.
    fn attributes(self, entry: &Entry, there: &Present) -> Step {
        if self.same_attributes(entry, there, self.is_strict()) {
            return Step::Unchanged;
        }
        if self.replaces(entry, there) { Step::Adjust } else { Step::Keep }
    }

    /// Of what has other content.
    fn other(self, entry: &Entry, there: &Present) -> Step {
        if !self.replaces(entry, there) {
            return Step::Keep;
        }
        if there.kind == FileKind::Directory && there.occupied && !self.delete {
            return Step::Blocked;
        }
        let alike = |size: u64| there.kind == FileKind::File && there.size == size;
        match entry.kind {
            EntryKind::File { size, .. }
                if self.overwrite == OverwritePolicy::Always && alike(size) =>
            {
                Step::Compare
            }
            _ => Step::Replace,
        }
    }

    fn replaces(self, entry: &Entry, there: &Present) -> bool {
        match self.overwrite {
            OverwritePolicy::Never => false,
            OverwritePolicy::IfNewer => (entry.mtime_s, entry.mtime_ns) > there.mtime,
            OverwritePolicy::IfChanged | OverwritePolicy::Always => true,
        }
    }

    /// `strict`: extended attributes count too.
    pub(super) fn same_attributes(self, entry: &Entry, there: &Present, strict: bool) -> bool {
        // Who may not give files away may not set these bits on them either.
        let bits = if self.owners { 0o7777 } else { 0o1777 };
        let mode = there.kind == FileKind::Symlink || entry.mode & bits == there.mode & bits;
        let owner = !self.owners || (entry.uid, entry.gid) == (there.uid, there.gid);
        let time = (entry.mtime_s, entry.mtime_ns) == there.mtime;
        mode && owner && time && (!strict || entry.xattrs == there.xattrs)
    }
}

/// Whether the content is taken for the same: of a file, by size and modification time.
pub(super) fn same_content(entry: &Entry, there: &Present) -> bool {
    match (&entry.kind, there.kind) {
        (EntryKind::File { size, .. }, FileKind::File) => {
            *size == there.size && (entry.mtime_s, entry.mtime_ns) == there.mtime
        }
        (EntryKind::Symlink { target }, FileKind::Symlink) => *target == there.link,
        (EntryKind::Fifo, FileKind::Fifo)
        | (EntryKind::Socket, FileKind::Socket)
        | (EntryKind::Directory, FileKind::Directory) => true,
        (EntryKind::CharDevice { major, minor }, FileKind::CharDevice)
        | (EntryKind::BlockDevice { major, minor }, FileKind::BlockDevice) => {
            (*major, *minor) == there.device
        }
        _ => false,
    }
}

/// Bytes of content that an entry brings.
pub(super) const fn bytes_of(entry: &Entry) -> u64 {
    match entry.kind {
        EntryKind::File { size, .. } => size,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64, mtime_s: i64) -> Entry {
        Entry {
            path: b"a".to_vec(),
            kind: EntryKind::File { size, sparse: None, content: Vec::new() },
            mode: 0o644,
            uid: 7,
            gid: 7,
            user: Vec::new(),
            group: Vec::new(),
            mtime_s,
            mtime_ns: 0,
            xattrs: Vec::new(),
            changed_while_read: false,
            unreadable: None,
        }
    }

    fn there(kind: FileKind, size: u64, mtime_s: i64) -> Present {
        Present {
            kind,
            mode: 0o644,
            uid: 7,
            gid: 7,
            size,
            mtime: (mtime_s, 0),
            device: (0, 0),
            link: Vec::new(),
            xattrs: Vec::new(),
            occupied: true,
            is_first: false,
        }
    }

    const POLICIES: [OverwritePolicy; 4] = [
        OverwritePolicy::Never,
        OverwritePolicy::IfNewer,
        OverwritePolicy::IfChanged,
        OverwritePolicy::Always,
    ];

    /// By policy, in the order of [`POLICIES`].
    fn steps(entry: &Entry, there: &Present, leading: bool, delete: bool) -> [Step; 4] {
        POLICIES.map(|overwrite| {
            Rules { overwrite, delete, owners: true, in_place: true }.step(
                entry,
                Some(there),
                leading,
            )
        })
    }

    #[test]
    fn what_each_rule_does_with_a_file() {
        use Step::{Adjust, Blocked, Compare, Create, Keep, Replace, Unchanged};
        let entry = file(10, 100);
        assert!(POLICIES.iter().all(|overwrite| {
            let rules =
                Rules { overwrite: *overwrite, delete: false, owners: true, in_place: true };
            rules.step(&entry, None, false) == Create
        }));
        let of = |there: &Present| steps(&entry, there, false, false);
        assert_eq!(of(&there(FileKind::File, 10, 100)), [Unchanged, Unchanged, Unchanged, Compare]);
        assert_eq!(of(&there(FileKind::File, 10, 50)), [Keep, Replace, Replace, Compare]);
        assert_eq!(of(&there(FileKind::File, 10, 150)), [Keep, Keep, Replace, Compare]);
        assert_eq!(of(&there(FileKind::File, 11, 50)), [Keep, Replace, Replace, Replace]);
        assert_eq!(of(&there(FileKind::Symlink, 10, 50)), [Keep, Replace, Replace, Replace]);
        let other_mode = Present { mode: 0o600, ..there(FileKind::File, 10, 100) };
        assert_eq!(of(&other_mode), [Keep, Keep, Adjust, Compare]);
        let folder = there(FileKind::Directory, 0, 50);
        assert_eq!(of(&folder), [Keep, Blocked, Blocked, Blocked]);
        assert_eq!(steps(&entry, &folder, false, true), [Keep, Replace, Replace, Replace]);
        let empty = Present { occupied: false, ..folder };
        assert_eq!(of(&empty), [Keep, Replace, Replace, Replace]);
    }

    #[test]
    fn what_each_rule_does_with_a_folder() {
        use Step::{Adjust, Blocked, Keep, Replace, Unchanged};
        let entry = Entry { kind: EntryKind::Directory, ..file(0, 100) };
        let folder = Present { mode: 0o755, ..there(FileKind::Directory, 0, 100) };
        assert_eq!(steps(&entry, &folder, false, false), [Keep, Keep, Adjust, Adjust]);
        assert_eq!(steps(&entry, &folder, true, true), [Unchanged; 4]);
        let unfinished = Present { mode: UNFINISHED_DIRECTORY, ..folder };
        assert_eq!(steps(&entry, &unfinished, true, false), [Adjust; 4]);
        let link = there(FileKind::Symlink, 0, 50);
        assert_eq!(steps(&entry, &link, true, true), [Blocked; 4], "never replaced on the way");
        assert_eq!(steps(&entry, &link, false, false), [Blocked, Replace, Replace, Replace]);
    }

    #[test]
    fn owners_that_are_not_restored_are_no_difference() {
        let entry = Entry { mode: 0o4755, ..file(10, 100) };
        let there = Present { uid: 1, gid: 1, mode: 0o755, ..there(FileKind::File, 10, 100) };
        let rules = Rules {
            overwrite: OverwritePolicy::IfChanged,
            delete: false,
            owners: false,
            in_place: false,
        };
        assert_eq!(rules.step(&entry, Some(&there), false), Step::Unchanged);
        assert_eq!(Rules { owners: true, ..rules }.step(&entry, Some(&there), false), Step::Adjust);
    }
}
