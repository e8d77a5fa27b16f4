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
            // A damaged file system may say anything.
            mtime_ns: (stat.st_mtime_nsec as u32).min(999_999_999),
            ctime_s: stat.st_ctime as i64,
            ctime_ns: stat.st_ctime_nsec as u32,
        }
    }
}

/// The kernel stamps changes with a clock that ticks every few milliseconds. In the tick of a file's last
/// change a further one leaves no trace, so whoever is about to read waits until that tick is over.
pub(crate) fn wait_for_next_tick(stat: &Stat) {
    const TICK_MAX_MS: u32 = 20;
    let changed = (stat.ctime_s, i64::from(stat.ctime_ns));
    for _ in 0..TICK_MAX_MS {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // A stamp from another clock (a network file system) that is ahead: nothing to wait for.
        let ahead = changed.0 > now.tv_sec.saturating_add(1);
        if ahead || (now.tv_sec, now.tv_nsec) > changed {
            return;
        }
        // Nothing tells of a tick of the clock.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// The number of an error, as the catalogue keeps it.
pub(crate) fn errno_of(error: Errno) -> u32 {
    u32::try_from(error.raw_os_error()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_while_reading_cannot_hide_in_the_tick_of_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..20 {
            let file = std::fs::File::create(folder.path().join(n.to_string())).unwrap();
            let stat = Stat::from(&rustix::fs::fstat(&file).unwrap());
            wait_for_next_tick(&stat);
            let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
            assert!((now.tv_sec, now.tv_nsec) > (stat.ctime_s, i64::from(stat.ctime_ns)));
        }
    }
}
