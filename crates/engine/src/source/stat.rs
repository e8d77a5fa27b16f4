//! What `stat` says of a file, in types of fixed width.

use rustix::fs::FileType;
use rustix::io::Errno;

/// The type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
    Unknown,
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: FileKind,
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) nlink: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u64,
    pub(crate) size: u64,
    /// Bytes allocated: fewer than the size hint at holes.
    pub(crate) allocated: u64,
    pub(crate) mtime_s: i64,
    pub(crate) mtime_ns: u32,
    pub(crate) ctime_s: i64,
    pub(crate) ctime_ns: u32,
}

impl Stat {
    /// Whether nothing that tells of a change differs: the same file with the same content.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.kind == other.kind
            && (self.dev, self.ino, self.size) == (other.dev, other.ino, other.size)
            && (self.mtime_s, self.mtime_ns) == (other.mtime_s, other.mtime_ns)
            && (self.ctime_s, self.ctime_ns) == (other.ctime_s, other.ctime_ns)
    }

    /// Device and inode: one file, whatever its names.
    pub(crate) const fn identity(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// Whether some of the file may be holes.
    pub(crate) const fn maybe_sparse(&self) -> bool {
        self.allocated < self.size
    }
}

#[expect(
    clippy::unnecessary_cast,
    clippy::allow_attributes,
    reason = "the kernel's widths differ between architectures"
)]
#[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation, clippy::useless_conversion)]
impl From<&rustix::fs::Stat> for Stat {
    fn from(stat: &rustix::fs::Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => FileKind::File,
            FileType::Directory => FileKind::Directory,
            FileType::Symlink => FileKind::Symlink,
            FileType::Fifo => FileKind::Fifo,
            FileType::Socket => FileKind::Socket,
            FileType::CharacterDevice => FileKind::CharDevice,
            FileType::BlockDevice => FileKind::BlockDevice,
            FileType::Unknown => FileKind::Unknown,
        };
        Self {
            kind,
            dev: stat.st_dev as u64,
            ino: stat.st_ino as u64,
            mode: stat.st_mode & 0o7777,
            nlink: stat.st_nlink as u64,
            uid: stat.st_uid,
            gid: stat.st_gid,
            rdev: stat.st_rdev as u64,
            size: stat.st_size as u64,
            allocated: (stat.st_blocks as u64).saturating_mul(512),
            mtime_s: stat.st_mtime as i64,
            mtime_ns: stat.st_mtime_nsec as u32,
            ctime_s: stat.st_ctime as i64,
            ctime_ns: stat.st_ctime_nsec as u32,
        }
    }
}

/// The number of an error, as the catalogue keeps it.
pub(crate) fn errno_of(error: Errno) -> u32 {
    u32::try_from(error.raw_os_error()).unwrap_or(0)
}
