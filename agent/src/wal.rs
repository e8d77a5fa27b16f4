//! `lumbung-agent wal archive`: what PostgreSQL's `archive_command` runs for each finished segment of its log.
//!
//! Invariants: it runs as PostgreSQL's own user and needs nothing of the agent's; a segment is in the folder whole and durable before the
//! server is told so; one that is there already with the same content is fine, with another content never written over; what is old
//! enough is taken away, and only segments.

use std::fs::File;
use std::io::{Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lumbung_model::Timestamp;
use lumbung_model::schedule::Period;
use rustix::fs::RenameFlags;

/// Why a segment was not archived. PostgreSQL keeps it and tries again.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Not a file of the log.
    #[error(
        "{0} is no file of PostgreSQL's log: write archive_command = 'lumbung-agent wal archive %p FOLDER'"
    )]
    Name(PathBuf),
    /// Another server archives there.
    #[error(
        "{0} is there with another content: two servers archive into one folder, or it was restored; give each a folder of its own"
    )]
    Differs(PathBuf),
    /// The file system.
    #[error("{path} cannot be {what}")]
    Io {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
}

/// What became of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// Whether it had been archived before.
    pub was_there: bool,
    /// Segments that were old enough to go.
    pub removed: usize,
}

fn io<T>(what: &'static str, path: &Path, result: std::io::Result<T>) -> Result<T, WalError> {
    result.map_err(|source| WalError::Io { what, path: path.to_owned(), source })
}

/// Puts a file of the log into `folder`, and takes away segments that are older than `keep`.
///
/// # Errors
/// If it is not there durably.
pub fn archive(
    file: &Path,
    folder: &Path,
    keep: Option<Period>,
    now: Timestamp,
) -> Result<Archived, WalError> {
    let name = file.file_name().and_then(|name| name.to_str()).filter(|name| is_of_log(name));
    let name = name.ok_or_else(|| WalError::Name(file.to_owned()))?;
    let target = folder.join(name);
    let was_there = io("read", &target, target.try_exists())?;
    if was_there {
        if !is_same(file, &target)? {
            return Err(WalError::Differs(target));
        }
        // Whoever put it there may have died before it was durable.
        sync(folder)?;
    } else {
        put(file, folder, &target)?;
    }
    let until = keep.map(|keep| now.plus_seconds(-i64::from(keep.as_seconds())));
    // The segment is safe; what could not be taken away is tried again with the next one.
    let removed = until.map_or(Ok(0), |until| prune(folder, until)).unwrap_or_else(|error| {
        tracing::warn!("{}", lumbung_model::with_causes(&error));
        0
    });
    Ok(Archived { was_there, removed })
}

/// Segments, histories of timelines, labels of base backups, and what is left of a timeline's last segment.
fn is_of_log(name: &str) -> bool {
    let hex =
        |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (front, end) = name.split_once('.').unwrap_or((name, ""));
    match end {
        "" | "partial" => hex(front, 24),
        "history" => hex(front, 8),
        _ => hex(front, 24) && end.strip_suffix(".backup").is_some_and(|middle| hex(middle, 8)),
    }
}

fn is_segment(name: &str) -> bool {
    is_of_log(name) && name.len() == 24
}

fn is_same(one: &Path, other: &Path) -> Result<bool, WalError> {
    let (mut one_file, mut other_file) =
        (io("read", one, File::open(one))?, io("read", other, File::open(other))?);
    let length = |path: &Path, file: &File| io("read", path, file.metadata()).map(|it| it.len());
    if length(one, &one_file)? != length(other, &other_file)? {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = io("read", one, one_file.read(&mut left))?;
        if read == 0 {
            return Ok(true);
        }
        io("read", other, other_file.read_exact(&mut right[..read]))?;
        if left[..read] != right[..read] {
            return Ok(false);
        }
    }
}

fn put(file: &Path, folder: &Path, target: &Path) -> Result<(), WalError> {
    // A name of its own for each try: two of them are never one file.
    let part = target.with_extension(format!("{}.part", std::process::id()));
    let mut from = io("read", file, File::open(file))?;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut to = io("made", &part, options.open(&part))?;
    let written = std::io::copy(&mut from, &mut to)
        .and_then(|_| to.flush())
        .and_then(|()| to.sync_all())
        .and_then(|()| {
            let at = rustix::fs::CWD;
            Ok(rustix::fs::renameat_with(at, &part, at, target, RenameFlags::NOREPLACE)?)
        });
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    io("written", target, written)?;
    sync(folder)
}

fn sync(folder: &Path) -> Result<(), WalError> {
    io("made durable", folder, File::open(folder).and_then(|folder| folder.sync_all()))
}

/// Removes segments last written before `until`, and parts that a crash left.
fn prune(folder: &Path, until: Timestamp) -> Result<usize, WalError> {
    let mut removed = 0;
    for entry in io("listed", folder, std::fs::read_dir(folder))? {
        let path = io("listed", folder, entry)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !is_segment(name) && !name.ends_with(".part") {
            continue;
        }
        use std::os::unix::fs::MetadataExt as _;
        // Another one that archives may take it away first.
        let Ok(found) = std::fs::symlink_metadata(&path) else { continue };
        if found.mtime() < until.0 && found.is_file() {
            io("removed", &path, std::fs::remove_file(&path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: &str = "000000010000000000000002";

    #[test]
    fn only_files_of_the_log_are_taken() {
        for name in [
            SEGMENT,
            "00000002.history",
            "000000010000000000000002.00000028.backup",
            "000000010000000000000002.partial",
        ] {
            assert!(is_of_log(name), "{name}");
        }
        for name in ["", "passwd", "../x", "00000001.part", "00000001000000000000000Z", ".history"]
        {
            assert!(!is_of_log(name), "{name}");
        }
    }

    #[test]
    fn a_segment_is_archived_once_and_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let archive_to = folder.path().join("archive");
        std::fs::create_dir(&archive_to).unwrap();
        let file = folder.path().join(SEGMENT);
        std::fs::write(&file, "first").unwrap();
        let run = || archive(&file, &archive_to, None, Timestamp(0));
        assert!(!run().unwrap().was_there);
        assert!(run().unwrap().was_there);
        for other in ["other", "longer than the first"] {
            std::fs::write(&file, other).unwrap();
            assert!(matches!(run(), Err(WalError::Differs(_))));
        }
        assert_eq!(std::fs::read_to_string(archive_to.join(SEGMENT)).unwrap(), "first");
        assert_eq!(std::fs::read_dir(&archive_to).unwrap().count(), 1);
        let error = archive(Path::new("/etc/passwd"), &archive_to, None, Timestamp(0));
        assert!(matches!(error, Err(WalError::Name(_))));
    }

    #[test]
    fn what_is_old_enough_goes_and_histories_stay() {
        let folder = tempfile::tempdir().unwrap();
        let archive_to = folder.path().join("archive");
        std::fs::create_dir(&archive_to).unwrap();
        let names = [
            SEGMENT,
            "00000002.history",
            "000000010000000000000003",
            "000000010000000000000001.7.part",
        ];
        for (name, mtime_s) in names.into_iter().zip([100, 100, 5_000, 100]) {
            let file = File::create(archive_to.join(name)).unwrap();
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime_s);
            file.set_modified(at).unwrap();
        }
        let file = folder.path().join("000000010000000000000004");
        std::fs::write(&file, "x").unwrap();
        let done =
            archive(&file, &archive_to, Some(Period::seconds(1000)), Timestamp(5_500)).unwrap();
        assert_eq!(done.removed, 2);
        let mut left: Vec<String> = std::fs::read_dir(&archive_to)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            ["000000010000000000000003", "000000010000000000000004", "00000002.history"]
        );
    }
}
