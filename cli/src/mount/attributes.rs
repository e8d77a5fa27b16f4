//! What the kernel is told of an entry.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use lumbung_model::Timestamp;
use lumbung_seal::catalogue::{Entry, EntryKind};

const BLOCK_BYTES: u64 = 512;

fn time(seconds: i64, nanoseconds: u32) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let base =
        if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    // A time that no clock of this machine can have.
    base.and_then(|base| base.checked_add(Duration::from_nanos(nanoseconds.into())))
        .unwrap_or(UNIX_EPOCH)
}

/// The type of an entry; of a further name, a file's.
pub(super) const fn kind(entry: &Entry) -> FileType {
    match entry.kind {
        EntryKind::File { .. } | EntryKind::HardLink { .. } => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink { .. } => FileType::Symlink,
        EntryKind::Fifo => FileType::NamedPipe,
        EntryKind::Socket => FileType::Socket,
        EntryKind::CharDevice { .. } => FileType::CharDevice,
        EntryKind::BlockDevice { .. } => FileType::BlockDevice,
    }
}

/// A device's number as the kernel writes it (`new_encode_dev`).
const fn device(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xfff00) << 12)
}

/// Of an entry. `names`: how many are known.
pub(super) fn of_entry(ino: INodeNo, entry: &Entry, names: u32) -> FileAttr {
    let modified = time(entry.mtime_s, entry.mtime_ns);
    let (size, allocated) = match &entry.kind {
        EntryKind::File { size, sparse: None, .. } => (*size, *size),
        EntryKind::File { size, sparse: Some(extents), .. } => {
            (*size, extents.iter().map(|extent| extent.length).sum())
        }
        EntryKind::Symlink { target } => (target.len() as u64, 0),
        _ => (0, 0),
    };
    let rdev = match entry.kind {
        EntryKind::CharDevice { major, minor } | EntryKind::BlockDevice { major, minor } => {
            device(major, minor)
        }
        _ => 0,
    };
    FileAttr {
        ino,
        size,
        blocks: allocated.div_ceil(BLOCK_BYTES),
        atime: modified,
        mtime: modified,
        ctime: modified,
        crtime: modified,
        kind: kind(entry),
        perm: u16::try_from(entry.mode & 0o7777).unwrap_or(0),
        nlink: names,
        uid: entry.uid,
        gid: entry.gid,
        rdev,
        blksize: 1 << 20,
        flags: 0,
    }
}

/// Of a folder that is in no snapshot, or a link in it.
pub(super) fn of_shelf(ino: INodeNo, kind: FileType, at: Timestamp, size: u64) -> FileAttr {
    let at = time(at.0, 0);
    FileAttr {
        ino,
        size,
        blocks: 0,
        atime: at,
        mtime: at,
        ctime: at,
        crtime: at,
        kind,
        perm: if kind == FileType::Directory { 0o755 } else { 0o777 },
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_times() {
        assert_eq!(time(-1, 500_000_000), UNIX_EPOCH - Duration::from_millis(500));
        assert_eq!(time(1, 5), UNIX_EPOCH + Duration::new(1, 5));
        assert_eq!(
            time(i64::MAX, 999_999_999),
            UNIX_EPOCH + Duration::new(i64::MAX.unsigned_abs(), 999_999_999)
        );
    }

    #[test]
    fn devices_are_numbered_as_by_the_kernel() {
        assert_eq!(device(1, 3), 0x103);
        assert_eq!(device(250, 70_000), 0x1110_fa70);
    }
}
