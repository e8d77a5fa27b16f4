//! A scratch place: namespaces of its own in which data is opened, and which take everything with them.
//!
//! Invariants: the place is a mount that no other process sees, in a PID namespace whose first process ends when the runner does, so
//! that nothing that runs in it outlives the runner, and what lies in memory goes with it. Programs that data is fed to are confined
//! ([`super::confined`]); only `lumbung`, which fetches the data, is root and sees the host's network, and it feeds the data to
//! programs that are confined. The namespaces are held by their files and not by a process id, which could become another's.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use lumbung_database::{Running, bare};
use lumbung_model::drill::RunnerName;
use lumbung_model::{ByteSize, DrillRunId};

use super::config::ScratchPlace;

/// Where the place is seen within its own namespaces. It is short, since names of sockets are.
pub const INSIDE: &str = "/mnt";
/// What is made in a scratch folder begins so: anything else there is left alone.
const PREFIX: &str = "lumbung-run-";
/// What of a run's folder is the place.
const WITHIN: &str = "place";
/// What the holder says when the place is there.
pub(super) const READY: &str = "ready";

/// Why there is no scratch place.
#[derive(Debug, thiserror::Error)]
pub enum ScratchError {
    /// A program that makes one.
    #[error(
        "a scratch place cannot be made: {0} (it needs root, unshare, nsenter, setpriv and ip: packages util-linux and iproute2)"
    )]
    Made(String),
    /// The operating system.
    #[error("{what}")]
    Io {
        /// What was to be done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> ScratchError {
    let what = what.into();
    move |source| ScratchError::Io { what, source }
}

/// A place that is there.
pub struct Scratch {
    holder: Child,
    /// When this is closed, the holder ends.
    lifeline: Option<ChildStdin>,
    namespaces: [File; 5],
    user: String,
    agent: PathBuf,
    folder: Option<PathBuf>,
    /// Servers that run in it.
    servers: Mutex<Vec<Running>>,
}

/// The network of the place, as processes in it find it: the first of them holds it.
const NETWORK_WITHIN: &str = "/proc/1/ns/net";

/// The namespaces of a place, as `nsenter` and `/proc` call them. The network is the last one: not everything leaves the host's.
const NAMESPACES: [(&str, &str); 5] =
    [("mount", "mnt"), ("ipc", "ipc"), ("uts", "uts"), ("pid", "pid"), ("net", "net")];

impl Scratch {
    /// Makes a place for a run. `agent` is this program, which is started once more in the namespaces.
    ///
    /// # Errors
    /// If it cannot be made; then nothing of it is left.
    pub fn open(
        of: &ScratchPlace,
        (run, name): (&DrillRunId, &RunnerName),
        agent: &Path,
    ) -> Result<Self, ScratchError> {
        let own = format!("{PREFIX}{run}.{name}");
        let folder = of.folder.as_ref().map(|folder| folder.0.join(own));
        if let Some(folder) = &folder {
            // Nobody of the host looks into it; within its namespaces the place's user does.
            let mut builder = fs::DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(folder);
            let made = made.and_then(|()| builder.mode(0o755).create(folder.join(WITHIN)));
            made.map_err(failed(format!("{} cannot be made", folder.display())))?;
        }
        let mut command = bare(Path::new("unshare"));
        command.args(["--mount", "--propagation", "private", "--net", "--ipc", "--uts", "--pid"]);
        command.args(["--fork", "--kill-child", "--mount-proc", "--"]).arg(agent);
        command.args(["scratch", "hold"]);
        match (&folder, of.memory) {
            (Some(folder), _) => command.arg("--folder").arg(folder.join(WITHIN)),
            (None, memory) => {
                let bytes = memory.map_or(0, ByteSize::as_u64).to_string();
                command.args(["--memory", &bytes])
            }
        };
        command.stdin(Stdio::piped());
        let mut holder = command.spawn().map_err(failed("unshare cannot be started"))?;
        let namespaces = namespaces(&mut holder);
        let lifeline = holder.stdin.take();
        match namespaces {
            Ok(namespaces) => {
                let (user, agent) = (of.user.clone(), agent.to_owned());
                let servers = Mutex::default();
                Ok(Self { holder, lifeline, namespaces, user, agent, folder, servers })
            }
            Err(error) => {
                drop(lifeline);
                // Whatever it is, it ends now: what counts is why there is no place.
                let _ = holder.wait();
                let _ = folder.as_deref().map(fs::remove_dir_all);
                Err(error)
            }
        }
    }

    /// Takes the place away, with all that runs and lies in it.
    ///
    /// # Errors
    /// If its folder cannot be removed.
    pub fn close(mut self) -> Result<(), ScratchError> {
        self.end();
        let Some(folder) = self.folder.take() else { return Ok(()) };
        remove(&folder)
    }

    fn end(&mut self) {
        self.servers.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        // The first process ends now, and with it all others: the kernel sees to that before it is gone itself.
        drop(self.lifeline.take());
        let _ = self.holder.wait();
    }

    /// A command within the place, with the host's network and as root, which must feed what it fetches to nothing that is not started
    /// by [`Self::launcher`].
    #[must_use]
    pub fn fetching(&self, program: &Path) -> Command {
        let mut command = self.enter(NAMESPACES.len() - 1);
        command.arg("--").arg(program);
        command
    }

    /// A command within the place, to which data may be fed: without network, as its user.
    #[must_use]
    pub fn confined(&self, program: &str) -> Command {
        let mut command = self.isolated();
        command.args(self.confining()).arg(program);
        command
    }

    /// The words before a program that make it a [`Self::confined`] one.
    fn confining(&self) -> Vec<OsString> {
        let own_mounts = ["unshare", "--mount", "--propagation", "private", "--"];
        let run = ["scratch", "run", "--user", &self.user, "--"];
        let agent = self.agent.as_os_str();
        own_mounts
            .map(OsString::from)
            .into_iter()
            .chain([agent.to_owned()])
            .chain(run.map(OsString::from))
            .collect()
    }

    /// With what a [`Self::fetching`] command starts a [`Self::confined`] one: it has to leave the host's network first.
    #[must_use]
    pub fn launcher(&self) -> Vec<OsString> {
        let leave = ["nsenter", &format!("--net={NETWORK_WITHIN}"), "--"].map(OsString::from);
        leave.into_iter().chain(self.confining()).collect()
    }

    /// A command within the place, without network, but as root: for what belongs to the place itself.
    fn isolated(&self) -> Command {
        let mut command = self.enter(NAMESPACES.len());
        command.arg("--");
        command
    }

    /// Enters the first `many` of the namespaces.
    fn enter(&self, many: usize) -> Command {
        let mut command = bare(Path::new("nsenter"));
        let own = std::process::id();
        for ((kind, _), file) in NAMESPACES.iter().zip(&self.namespaces).take(many) {
            command.arg(format!("--{kind}=/proc/{own}/fd/{}", file.as_raw_fd()));
        }
        command
    }

    /// A command that makes a folder at the top of the place, which belongs to its user. Only root makes anything there, so nothing
    /// that runs in the place can have put a link in its way.
    #[must_use]
    pub fn making_top(&self, folder: &str) -> Command {
        let mut command = self.isolated();
        let script = "mkdir --mode=0700 \"$1\" 2>/dev/null || { test -d \"$1\" && test ! -L \"$1\"; } && chown --no-dereference \"$2:\" \"$1\"";
        command.args(["sh", "-c", script, "sh", folder, &self.user]);
        command
    }

    /// A command that makes a folder below one of the user's: as that user, who can only be led astray by itself.
    #[must_use]
    pub fn making_folder(&self, folder: &str) -> Command {
        let mut command = self.confined("mkdir");
        command.args(["--mode=0700", folder]);
        command
    }

    /// The user that confined programs run as.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Keeps a server that runs in the place until the place goes.
    pub fn keep(&self, server: Running) {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).push(server);
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.end();
        if let Some(folder) = &self.folder {
            // The next start of the runner looks again.
            let _ = remove(folder);
        }
    }
}

fn remove(folder: &Path) -> Result<(), ScratchError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed(format!("{} cannot be wiped: remove it by hand", folder.display()))(error))
        }
        _ => Ok(()),
    }
}

/// Removes what runs have left in a scratch folder: all but those that `goes_on`.
///
/// # Errors
/// If something cannot be removed.
pub fn wipe_leftovers(
    folder: &Path,
    goes_on: impl Fn(&DrillRunId) -> bool,
) -> Result<(), ScratchError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(failed(format!("{} cannot be read", folder.display())))?,
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next());
        let Some(run) = run.and_then(|run| run.parse().ok()) else { continue };
        if !goes_on(&run) {
            tracing::warn!("wiping {}, which a run left behind", entry.path().display());
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Waits until the place is there; gives its namespaces.
fn namespaces(holder: &mut Child) -> Result<[File; 5], ScratchError> {
    let mut said = String::new();
    if let Some(output) = holder.stdout.take() {
        let read = BufReader::new(output).read_line(&mut said);
        read.map_err(failed("the scratch place says nothing"))?;
    }
    if said.trim() != READY {
        let mut why = String::new();
        if let Some(mut pipe) = holder.stderr.take() {
            // It has ended: its words are all there.
            let _ = pipe.read_to_string(&mut why);
        }
        return Err(ScratchError::Made(why.trim().replace('\n', "; ")));
    }
    let holder = holder.id();
    let path = format!("/proc/{holder}/task/{holder}/children");
    let children = fs::read_to_string(&path).map_err(failed(format!("{path} cannot be read")))?;
    let first = children.split_whitespace().next().unwrap_or_default().to_owned();
    let open = |kind: &str| {
        let path = format!("/proc/{first}/ns/{kind}");
        File::open(&path).map_err(failed(format!("{path} cannot be opened")))
    };
    let [mount, ipc, uts, processes, network] = NAMESPACES.map(|(_, kind)| open(kind));
    Ok([mount?, ipc?, uts?, processes?, network?])
}

#[cfg(test)]
mod tests {
    use super::*;

    // What it does in namespaces is tested with the programs themselves, in tests/tests/runner.rs.

    #[test]
    fn leftovers_of_other_runs_are_wiped_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (gone, goes_on) = (DrillRunId::random(), DrillRunId::random());
        let of = |run: &DrillRunId| format!("{PREFIX}{run}.uji");
        for name in [of(&gone), of(&goes_on), "mine".to_owned()] {
            fs::create_dir_all(folder.path().join(name).join("data")).unwrap();
        }
        wipe_leftovers(folder.path(), |run| *run == goes_on).unwrap();
        let left = fs::read_dir(folder.path()).unwrap();
        let mut left: Vec<String> =
            left.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, [of(&goes_on), "mine".to_owned()]);
        wipe_leftovers(&folder.path().join("nowhere"), |_| false).unwrap();
    }
}
