//! A whole server back from its base backup; of PostgreSQL, by its log to a point in time.
//!
//! Invariants: the data directory is new or empty; it is complete, and the log was found to be without a gap, before it says that it can be
//! started. PostgreSQL itself replays the log and ends exactly where it was told to (PostgreSQL, "Continuous Archiving and
//! Point-in-Time Recovery").

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_engine::Halt;
use rustix::fs::{Dir, Gid, Mode, OFlags, Uid};

use crate::child::Launcher;
use crate::description::Kind;
use crate::postgresql::wal::{Reach, Segment, reach};
use crate::restore::{Copy, ReadError, RestoreError, feed};
use crate::{SourceError, tool};

/// Where in the data directory the log lies from which PostgreSQL is to replay.
const LOG_FOLDER: &str = "lumbung-wal";
/// Of settings that came with the files, more is not read.
const SETTINGS_MAX_BYTES: u64 = 1 << 20;

/// Where a recovery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// With the last transaction that the log has.
    End,
    /// At a time, as PostgreSQL reads it.
    Time(String),
    /// With a transaction, by its number.
    Transaction(String),
    /// At a log sequence number.
    Position(String),
    /// At a named restore point.
    Name(String),
}

impl Point {
    /// The setting and its value.
    fn setting(&self) -> Option<(&'static str, &str)> {
        match self {
            Self::End => None,
            Self::Time(value) => Some(("recovery_target_time", value)),
            Self::Transaction(value) => Some(("recovery_target_xid", value)),
            Self::Position(value) => Some(("recovery_target_lsn", value)),
            Self::Name(value) => Some(("recovery_target_name", value)),
        }
    }
}

/// A snapshot of the folder that the log was archived into.
pub trait Log {
    /// Names and sizes of its files, bytes.
    fn files(&self) -> &[(String, u64)];

    /// Writes a file of it.
    ///
    /// # Errors
    /// If it cannot be read to its end.
    fn write(&self, name: &str, out: &mut dyn std::io::Write) -> Result<(), ReadError>;
}

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The data directory that is made.
    pub data: PathBuf,
    /// Where the recovery ends.
    pub point: Point,
    /// Whether what stands at that point is still part of it.
    pub inclusive: bool,
    /// User and group that the server runs as; none leaves everything to the user who restores.
    pub owner: Option<(u32, u32)>,
    /// What starts the programs that unpack and prepare the files; it has to start them as `owner`.
    pub launcher: Launcher,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Recovered {
    /// Of which kind of server.
    pub kind: Kind,
    /// The data directory.
    pub data: PathBuf,
    /// The server's version.
    pub version: String,
    /// The first segment that is needed; of MariaDB, the place in its binary log.
    pub first_segment: String,
    /// The last one that there is without a gap; of MariaDB, the same place.
    pub last_segment: String,
}

/// Makes the data directory; the server then has to be started on it.
///
/// # Errors
/// If something is missing; what was written stays, and is no data directory of a server.
pub fn recover(
    base: &dyn Copy,
    log: Option<&dyn Log>,
    wanted: &Recovery,
    halt: &Halt,
) -> Result<Recovered, RestoreError> {
    let description = base.description();
    match description.kind {
        Kind::PostgresqlBase => {}
        Kind::MariadbBase => return recover_mariadb(base, wanted, halt),
        kind => return Err(RestoreError::OtherKind(kind)),
    }
    let first: Option<Segment> = description.log_segment.as_ref().and_then(|it| it.parse().ok());
    let first = first.ok_or(RestoreError::NoFile("place in the log"))?;
    let shown = plain_path(&wanted.data)?;
    let data = make_empty(wanted)?;
    let tar = description.made.iter().find(|made| made.path.ends_with("/base.tar"));
    let tar = tar.ok_or(RestoreError::NoFile("base.tar"))?;
    let mut unpack = as_owner(Path::new("tar"), wanted);
    unpack
        .args(["--extract", "--file=-", "--no-same-owner", "--same-permissions", "--directory"])
        .arg(&wanted.data);
    feed(unpack, halt, |out| base.write(&tar.path, out))?;
    let last = bring_log(log, (&data, wanted), first)?;
    settle(shown, (&data, wanted))?;
    Ok(Recovered {
        kind: description.kind,
        data: wanted.data.clone(),
        version: description.server_version.clone(),
        first_segment: first.to_string(),
        last_segment: last.to_string(),
    })
}

/// Unpacks the files and lets MariaDB's own program make them consistent.
fn recover_mariadb(
    base: &dyn Copy,
    wanted: &Recovery,
    halt: &Halt,
) -> Result<Recovered, RestoreError> {
    if wanted.point != Point::End {
        return Err(RestoreError::NoPoint);
    }
    let description = base.description();
    let data = make_empty(wanted)?;
    let stream = description.made.iter().find(|made| made.path.ends_with("/base.mbstream"));
    let stream = stream.ok_or(RestoreError::NoFile("base.mbstream"))?;
    let program = |name| tool::find(name, None, &[], "mariadb-backup in the server's version");
    let mut unpack = as_owner(&program("mbstream")?, wanted);
    unpack.arg("--extract").arg("--directory").arg(&wanted.data);
    feed(unpack, halt, |out| base.write(&stream.path, out))?;
    check_settings(&data, wanted)?;
    let mut prepare = as_owner(&program("mariadb-backup")?, wanted);
    prepare.args(["--prepare", "--target-dir"]).arg(&wanted.data);
    feed(prepare, halt, |_| Ok(()))?;
    let place = description.log_position.clone().unwrap_or_default();
    Ok(Recovered {
        kind: description.kind,
        data: wanted.data.clone(),
        version: description.server_version.clone(),
        first_segment: place.clone(),
        last_segment: place,
    })
}

fn failed(what: &str, path: &Path, source: std::io::Error) -> RestoreError {
    SourceError::io(format!("{} cannot be {what}", path.display()), source).into()
}

/// The path as it can stand in a command of the server's configuration.
fn plain_path(path: &Path) -> Result<&str, RestoreError> {
    let text = path.to_str().filter(|text| {
        path.is_absolute() && text.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c))
    });
    text.ok_or_else(|| RestoreError::Path(path.to_owned()))
}

/// A program that has no more rights than the server: what it reads may have been made by somebody who took the server that it is of.
fn as_owner(program: &Path, wanted: &Recovery) -> Command {
    let mut command = wanted.launcher.command(program);
    command.current_dir("/");
    // Whoever starts them has become that user.
    if let Some((user, group)) = wanted.owner.filter(|_| wanted.launcher.is_none()) {
        command.uid(user).gid(group);
    }
    command
}

/// Makes the data directory. It is held from here on: what unpacks into it may have been made by somebody who puts links in our way.
fn make_empty(wanted: &Recovery) -> Result<OwnedFd, RestoreError> {
    let data = &wanted.data;
    match std::fs::DirBuilder::new().mode(0o700).create(data) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let mut there = std::fs::read_dir(data).map_err(|e| failed("listed", data, e))?;
            if there.next().is_some() {
                return Err(RestoreError::NotEmpty(data.to_owned()));
            }
        }
        Err(error) => return Err(failed("made", data, error)),
    }
    let held = rustix::fs::open(data, FOLDER, Mode::empty());
    let held = held.map_err(|e| failed("opened", data, e.into()))?;
    give(&held, data, wanted)?;
    Ok(held)
}

/// A folder, and no link to one.
const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Gives what was made to the server's user.
fn give(made: impl AsFd, path: &Path, wanted: &Recovery) -> Result<(), RestoreError> {
    let Some((user, group)) = wanted.owner else { return Ok(()) };
    let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    rustix::fs::fchown(made, owner.0, owner.1)
        .map_err(|e| failed("given to the server's user", path, e.into()))
}

/// A folder in one that is held.
fn folder_in(folder: &OwnedFd, path: &Path) -> Result<OwnedFd, RestoreError> {
    let name = path.file_name().unwrap_or_default();
    rustix::fs::openat(folder, name, FOLDER, Mode::empty())
        .map_err(|e| failed("opened", path, e.into()))
}

/// Opens a file in a folder that is held, to be written; anything else in its place is an error.
fn open_own(
    folder: &OwnedFd,
    path: &Path,
    (flags, wanted): (OFlags, &Recovery),
) -> Result<std::fs::File, RestoreError> {
    let flags = flags
        | OFlags::WRONLY
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let name = path.file_name().unwrap_or_default();
    let file = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|e| failed("written", path, e.into()))?;
    let file = std::fs::File::from(file);
    let found = file.metadata().map_err(|e| failed("written", path, e))?;
    if !found.is_file() {
        return Err(failed("written", path, std::io::ErrorKind::InvalidData.into()));
    }
    give(&file, path, wanted)?;
    Ok(file)
}

/// Settings that came with the files: the program that prepares them loads the libraries that they name.
fn check_settings(data: &OwnedFd, wanted: &Recovery) -> Result<(), RestoreError> {
    let path = wanted.data.join("backup-my.cnf");
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut text = String::new();
    let file = match rustix::fs::openat(data, "backup-my.cnf", flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed("read", &path, error.into())),
    };
    file.take(SETTINGS_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| failed("read", &path, error))?;
    let plugin = text.lines().find(|line| line.to_lowercase().contains("plugin"));
    plugin.map_or(Ok(()), |line| Err(RestoreError::Plugin(line.trim().to_owned())))
}

/// Brings the archived log beside the one that came with the base; the last segment without a gap.
fn bring_log(
    log: Option<&dyn Log>,
    (data, wanted): (&OwnedFd, &Recovery),
    first: Segment,
) -> Result<Segment, RestoreError> {
    let own = wanted.data.join("pg_wal");
    let listed = Dir::new(folder_in(data, &own)?).map_err(|e| failed("listed", &own, e.into()))?;
    let mut there: BTreeSet<Segment> =
        listed.filter_map(|entry| entry.ok()?.file_name().to_str().ok()?.parse().ok()).collect();
    let path = wanted.data.join(LOG_FOLDER);
    rustix::fs::mkdirat(data, LOG_FOLDER, Mode::RWXU)
        .map_err(|e| failed("made", &path, e.into()))?;
    let folder = folder_in(data, &path)?;
    give(&folder, &path, wanted)?;
    let mut segment_bytes = 16 << 20;
    for (name, bytes) in log.into_iter().flat_map(Log::files) {
        let segment: Option<Segment> = name.parse().ok();
        if segment.is_some_and(|segment| segment < first) {
            continue;
        }
        if let Some(segment) = segment {
            segment_bytes = *bytes;
            there.insert(segment);
        } else if !name.ends_with(".history") {
            continue;
        }
        let mut file = open_own(&folder, &path.join(name), (OFlags::EXCL, wanted))?;
        if let Some(log) = log {
            log.write(name, &mut file).map_err(RestoreError::Read)?;
        }
    }
    match reach(&there, first, segment_bytes) {
        Reach::To(last) => Ok(last),
        Reach::Nothing => Err(RestoreError::Gap(first.to_string())),
        Reach::Gap(missing) => Err(RestoreError::Gap(missing.to_string())),
    }
}

/// Tells the server what to do when it is started.
fn settle(shown: &str, (data, wanted): (&OwnedFd, &Recovery)) -> Result<(), RestoreError> {
    // A copy that is tried out must not archive its log into the folder of the server that it is a copy of.
    let mut text = format!(
        "\narchive_mode = off\nrestore_command = 'cp \"{shown}/{LOG_FOLDER}/%f\" \"%p\"'\n\
         recovery_target_timeline = 'current'\n"
    );
    if let Some((name, value)) = wanted.point.setting() {
        let inclusive = if wanted.inclusive { "on" } else { "off" };
        text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
        text.push_str(&format!("recovery_target_inclusive = {inclusive}\n"));
        text.push_str("recovery_target_action = 'promote'\n");
    }
    let settings = wanted.data.join("postgresql.auto.conf");
    let mut file = open_own(data, &settings, (OFlags::APPEND, wanted))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|e| failed("written", &settings, e))?;
    let signal = wanted.data.join("recovery.signal");
    open_own(data, &signal, (OFlags::EXCL, wanted)).map(drop)
}
