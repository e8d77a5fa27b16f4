//! The system calls that change files, one function each, and nothing else.
//!
//! Invariants: whoever changes a file of a repository or of an agent's state does it through one of these.
//! With the feature `testing` each call is told to the `recording` that covers its path, in the
//! order in which the calls were made; without it they are the bare calls.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, RenameFlags};

/// A change that is about to be made.
#[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "read by recordings only"))]
pub(crate) enum Call<'a> {
    /// A new, empty file.
    Create(&'a Path),
    /// Bytes at the file's position.
    Append(&'a Path, &'a File, &'a [u8]),
    /// Bytes at an offset.
    WriteAt(&'a Path, &'a File, &'a [u8], u64),
    /// Bytes at an offset, so many, become zeros that take no space.
    Punch(&'a Path, &'a File, u64, u64),
    /// The file ends here, or is filled with zeros up to here.
    SetLength(&'a Path, &'a File, u64),
    /// The file's bytes and length become durable.
    SyncFile(&'a Path, &'a File),
    /// The names in a directory become durable.
    SyncDirectory(&'a Path),
    /// Everything on the file system of this directory becomes durable.
    SyncAll(&'a Path),
    /// A file gets another name, and whatever had it loses it.
    Rename(&'a Path, &'a Path),
    /// A file gets a second name.
    Link(&'a Path, &'a Path),
    /// A name goes.
    Unlink(&'a Path),
    /// A new, empty directory.
    MakeDirectory(&'a Path),
}

#[cfg(feature = "testing")]
use crate::recording::perform;

#[cfg(not(feature = "testing"))]
#[inline]
fn perform<T>(_: &Call<'_>, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    call()
}

const NEW: OFlags = OFlags::WRONLY
    .union(OFlags::CREATE)
    .union(OFlags::EXCL)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOFOLLOW);

/// Makes a file that was not there.
pub(super) fn create(dir: &OwnedFd, path: &Path, name: &str, mode: u32) -> io::Result<File> {
    perform(&Call::Create(path), || {
        Ok(File::from(rustix::fs::openat(dir, name, NEW, Mode::from_raw_mode(mode))?))
    })
}

/// As [`create`], by path alone.
pub(super) fn create_at(path: &Path, mode: u32) -> io::Result<File> {
    perform(&Call::Create(path), || {
        Ok(File::from(rustix::fs::openat(CWD, path, NEW, Mode::from_raw_mode(mode))?))
    })
}

/// Writes at the file's position.
pub(super) fn append(path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
    perform(&Call::Append(path, file, bytes), || file.write_all(bytes))
}

/// Writes at an offset.
pub(crate) fn write_at(path: &Path, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    perform(&Call::WriteAt(path, file, bytes, offset), || file.write_all_at(bytes, offset))
}

/// Makes a hole of so many bytes at an offset; the file keeps its length.
pub(crate) fn punch(path: &Path, file: &File, offset: u64, length: u64) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    perform(&Call::Punch(path, file, offset, length), || {
        Ok(rustix::fs::fallocate(file, flags, offset, length)?)
    })
}

pub(super) fn set_length(path: &Path, file: &File, length: u64) -> io::Result<()> {
    perform(&Call::SetLength(path, file, length), || file.set_len(length))
}

pub(crate) fn sync_file(path: &Path, file: &File) -> io::Result<()> {
    perform(&Call::SyncFile(path, file), || file.sync_all())
}

/// As [`sync_file`], without the times.
pub(super) fn sync_data(path: &Path, file: &File) -> io::Result<()> {
    perform(&Call::SyncFile(path, file), || file.sync_data())
}

pub(super) fn sync_directory(path: &Path, dir: &OwnedFd) -> io::Result<()> {
    perform(&Call::SyncDirectory(path), || Ok(rustix::fs::fsync(dir)?))
}

pub(super) fn sync_all(path: &Path, dir: &OwnedFd) -> io::Result<()> {
    perform(&Call::SyncAll(path), || Ok(rustix::fs::syncfs(dir)?))
}

/// Gives a file another name in its directory, in the place of what had it.
pub(super) fn rename(dir: &OwnedFd, from: (&Path, &str), to: (&Path, &str)) -> io::Result<()> {
    perform(&Call::Rename(from.0, to.0), || Ok(rustix::fs::renameat(dir, from.1, dir, to.1)?))
}

/// As [`rename`]; fails where the name is taken.
pub(super) fn rename_new(dir: &OwnedFd, from: (&Path, &str), to: (&Path, &str)) -> io::Result<()> {
    perform(&Call::Rename(from.0, to.0), || {
        Ok(rustix::fs::renameat_with(dir, from.1, dir, to.1, RenameFlags::NOREPLACE)?)
    })
}

pub(super) fn link(dir: &OwnedFd, from: (&Path, &str), to: (&Path, &str)) -> io::Result<()> {
    perform(&Call::Link(from.0, to.0), || {
        Ok(rustix::fs::linkat(dir, from.1, dir, to.1, AtFlags::empty())?)
    })
}

pub(super) fn unlink(dir: &OwnedFd, path: &Path, name: &str) -> io::Result<()> {
    perform(&Call::Unlink(path), || Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?))
}

/// As [`unlink`], by path alone.
pub(super) fn unlink_at(path: &Path) -> io::Result<()> {
    perform(&Call::Unlink(path), || Ok(rustix::fs::unlink(path)?))
}

/// As [`rename`], by paths alone; both must be in one directory.
pub(super) fn rename_at(from: &Path, to: &Path) -> io::Result<()> {
    perform(&Call::Rename(from, to), || Ok(rustix::fs::rename(from, to)?))
}

pub(super) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    perform(&Call::MakeDirectory(path), || {
        Ok(rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(mode))?)
    })
}
