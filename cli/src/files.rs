//! Small files of this program: key files, certificates, lists.
//!
//! Invariants: nothing here overwrites a file unless it says so; a secret is created with mode 0600 and
//! is on the disk before the command goes on; what is read is capped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::failure::{Code, Failure, Outcome};

/// More than any key file, certificate or list of rosters has.
const MAX_BYTES: u64 = 64 << 20;
/// 64 grants of 16 MiB, in base32.
const LONG_MAX_BYTES: u64 = 2 << 30;
const WRONG_FILE: &str = "check that the path names the right file";

/// Explains why a file could not be read.
#[must_use]
pub(crate) fn missing(path: &Path, what: &str, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            Code::FileMissing,
            format!("{what} {} does not exist", path.display()),
            "check the path; `ls -l` shows what is there",
        ),
        io::ErrorKind::PermissionDenied => Failure::new(
            Code::Io,
            format!("{what} {} may not be read by this user", path.display()),
            "run the command as the file's owner",
        ),
        _ => Failure::new(
            Code::Io,
            format!("{what} {} could not be read", path.display()),
            "check the path and the disk",
        )
        .because(error),
    }
}

/// Reads a file.
///
/// # Errors
/// If it is not there or is far too long.
pub(crate) fn read_bytes(path: &Path, what: &str) -> Outcome<Vec<u8>> {
    read_within(path, what, MAX_BYTES)
}

fn read_within(path: &Path, what: &str, max_bytes: u64) -> Outcome<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
        .map_err(|e| missing(path, what, e))?;
    if bytes.len() as u64 > max_bytes {
        let message = format!("{what} {} is far too long", path.display());
        return Err(Failure::new(Code::BadFile, message, WRONG_FILE));
    }
    Ok(bytes)
}

/// Reads a text file.
///
/// # Errors
/// If it is not there, is not text or is far too long.
pub(crate) fn read_text(path: &Path, what: &str) -> Outcome<Zeroizing<String>> {
    text_of(path, what, Zeroizing::new(read_bytes(path, what)?))
}

/// Reads a text file that may be as long as all grants of one consent are.
///
/// # Errors
/// If it is not there, is not text or is far too long.
pub(crate) fn read_long_text(path: &Path, what: &str) -> Outcome<Zeroizing<String>> {
    text_of(path, what, Zeroizing::new(read_within(path, what, LONG_MAX_BYTES)?))
}

fn text_of(path: &Path, what: &str, bytes: Zeroizing<Vec<u8>>) -> Outcome<Zeroizing<String>> {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::new(
            Code::BadFile,
            format!("{what} {} is not a text file", path.display()),
            WRONG_FILE,
        )),
    }
}

/// Writes a new file that only its owner may read; refuses to overwrite.
///
/// # Errors
/// If the file exists or cannot be written.
pub(crate) fn create_secret(path: &Path, what: &str, text: &str) -> Outcome<()> {
    create(path, what, text.as_bytes(), 0o600)
}

/// Writes a new file; refuses to overwrite.
///
/// # Errors
/// If the file exists or cannot be written.
pub(crate) fn create(path: &Path, what: &str, bytes: &[u8], mode: u32) -> Outcome<()> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(|e| {
            if e.kind() == io::ErrorKind::AlreadyExists {
                return existing(path, what);
            }
            unwritten(path, what, e)
        })?;
    let written =
        file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    written.map_err(|e| {
        // Half a key file must not look like one.
        let _ = std::fs::remove_file(path);
        unwritten(path, what, e)
    })
}

/// Replaces a secret file: the old one stays until the new one is whole and on the disk.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn replace_secret(path: &Path, what: &str, text: &str) -> Outcome<()> {
    replace(path, what, text.as_bytes(), 0o600)
}

/// Replaces a file: the old one stays until the new one is whole and on the disk.
///
/// # Errors
/// If it cannot be written.
pub(crate) fn replace(path: &Path, what: &str, bytes: &[u8], mode: u32) -> Outcome<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft: PathBuf = path.with_file_name(name);
    create(&draft, what, bytes, mode)?;
    std::fs::rename(&draft, path)
        .and_then(|()| sync_parent(path))
        .map_err(|e| unwritten(path, what, e))
}

/// A file that is there, where a new one was to be written.
pub(crate) fn existing(path: &Path, what: &str) -> Failure {
    Failure::new(
        Code::FileExists,
        format!("{} exists already and is not overwritten", path.display()),
        format!("choose another name for {what}, or move the old file away"),
    )
}

fn unwritten(path: &Path, what: &str, error: io::Error) -> Failure {
    let next = "check that the folder exists, may be written and has space";
    Failure::new(Code::Io, format!("{what} {} could not be written", path.display()), next)
        .because(error)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent =
        path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
