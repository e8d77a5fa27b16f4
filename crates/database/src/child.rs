//! A program whose output is read to its end.
//!
//! Invariants: it runs in a process group of its own, which is ended when nobody wants its output any more, and with this value; it
//! inherits nothing of the environment but where programs are; only an exit status of zero is an end. What it says on its
//! standard error is drained all the while and its last part kept.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use lumbung_engine::{Halt, Waited};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::SourceError;

/// Kept of what a program says.
pub(crate) const SAID_BYTES: usize = 4 << 10;
/// Between asking a program to end and ending it.
const GRACE: Duration = Duration::from_secs(10);
/// What was said is there when a program has ended, unless something that it started has taken its standard error along.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// An answer that is no dump: lists of databases, versions, checks.
const ANSWER_MAX_BYTES: u64 = 64 << 20;

/// A command with a bare environment, in a process group of its own.
#[must_use]
pub fn bare(program: &Path) -> Command {
    let mut command = Command::new(program);
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    command.env_clear().env("PATH", path).env("LC_ALL", "C.UTF-8");
    // No home, so that no ~/.pgpass, ~/.psqlrc or ~/.my.cnf is read.
    command.env("HOME", "/nonexistent").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What starts other programs: they stand behind its words, as those that `nice` or `nsenter` start. Without words they start by themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Launcher(Vec<OsString>);

impl Launcher {
    /// The program that starts others, and its own arguments.
    #[must_use]
    pub const fn new(words: Vec<OsString>) -> Self {
        Self(words)
    }

    /// A [`bare`] command that is started by it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let Some((first, rest)) = self.0.split_first() else { return bare(program) };
        let mut command = bare(Path::new(first));
        command.args(rest).arg(program);
        command
    }

    /// Whether programs start by themselves.
    pub(crate) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// How a program ended, and what it had to say.
#[derive(Debug)]
pub struct Ended {
    /// Its status, whatever it is.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The last part of what it said on its standard error, in one line.
    pub said: String,
}

/// A program that runs.
pub struct Running {
    name: String,
    child: Child,
    group: Pid,
    /// Its standard output, unless somebody took it.
    pub stdout: Option<ChildStdout>,
    /// Its standard input, if that is a pipe and nobody took it.
    pub stdin: Option<ChildStdin>,
    said: Option<Receiver<String>>,
    /// Whether what it started may outlive it.
    lets_live: bool,
    watch: Option<(Sender<Infallible>, JoinHandle<Waited>)>,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no such program, or it may not be run.
    pub fn start(command: Command, halt: Halt) -> Result<Self, SourceError> {
        Self::start_within(command, halt, None)
    }

    /// Starts one that may not take longer than `limit`.
    ///
    /// # Errors
    /// If there is no such program, or it may not be run.
    pub fn start_within(
        mut command: Command,
        halt: Halt,
        limit: Option<Duration>,
    ) -> Result<Self, SourceError> {
        let name = Path::new(command.get_program())
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut child = command
            .spawn()
            .map_err(|source| SourceError::io(format!("{name} cannot be started"), source))?;
        let group = Pid::from_child(&child);
        let (stdout, stdin) = (child.stdout.take(), child.stdin.take());
        let said = child.stderr.take().map(|pipe| {
            let (told, said) = bounded(1);
            std::thread::spawn(move || told.send(drain(pipe)));
            said
        });
        let (held, over) = bounded(0);
        let watching = std::thread::spawn(move || watch(&halt, &over, limit, group));
        let watch = Some((held, watching));
        Ok(Self { name, child, group, stdout, stdin, said, lets_live: false, watch })
    }

    /// What it starts may go on when it has ended: a hook starts an application again.
    #[must_use]
    pub const fn letting_live(mut self) -> Self {
        self.lets_live = true;
        self
    }

    /// Ends it and all that it has started, at once.
    pub(crate) fn kill(&self) {
        let _ = kill_process_group(self.group, Signal::KILL);
    }

    /// Reads some of the output; 0 at its end.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> std::io::Result<usize> {
        self.stdout.as_mut().map_or(Ok(0), |pipe| pipe.read(room))
    }

    /// Waits for the end. The output has to be read before.
    pub(crate) fn end(self) -> Result<(), SourceError> {
        self.end_saying().map(|_| ())
    }

    /// Waits for the end; gives the last part of what it said on its standard error, in one line.
    pub(crate) fn end_saying(self) -> Result<String, SourceError> {
        let program = self.name.clone();
        match self.end_somehow()? {
            (status, said) if status.success() => Ok(said),
            (status, said) => {
                let said = if said.is_empty() { "it said nothing".to_owned() } else { said };
                Err(SourceError::Failed { program, status: status.to_string(), said })
            }
        }
    }

    /// Waits for the end, whatever it is.
    fn end_somehow(mut self) -> Result<(ExitStatus, String), SourceError> {
        (self.stdout, self.stdin) = (None, None);
        // The group exists until it is reaped, so whoever watches cannot hit another one.
        let waited = waitid(WaitId::Pid(self.group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        waited.map_err(|e| SourceError::io(format!("waiting for {}", self.name), e.into()))?;
        let waited = self.unwatch();
        if !self.lets_live {
            // What it left behind holds the pipes open. It is not reaped yet, so the group is still its own.
            let _ = kill_process_group(self.group, Signal::KILL);
        }
        let said = self.said.take().and_then(|said| said.recv_timeout(LAST_WORDS).ok());
        let said = said.unwrap_or_default();
        let program = self.name.clone();
        let status = self
            .child
            .wait()
            .map_err(|source| SourceError::io(format!("waiting for {program}"), source))?;
        match waited {
            Waited::Unwanted => Err(SourceError::Halted { program }),
            Waited::TimeIsUp => Err(SourceError::TooLong { program }),
            Waited::Over => Ok((status, said)),
        }
    }

    fn unwatch(&mut self) -> Waited {
        let Some((held, watching)) = self.watch.take() else { return Waited::Over };
        drop(held);
        watching.join().unwrap_or(Waited::Unwanted)
    }

    /// All of a short output, and the end.
    pub(crate) fn answer(command: Command, halt: Halt) -> Result<String, SourceError> {
        let mut running = Self::start(command, halt)?;
        let output = running.output();
        running.end()?;
        Ok(String::from_utf8_lossy(&output?).into_owned())
    }

    /// All of a short output, and the end, whatever its status.
    ///
    /// # Errors
    /// If it was stopped, or took longer than it may.
    pub fn hear(mut self) -> Result<Ended, SourceError> {
        // What it has started may keep its output open for ever: its own end counts.
        let heard = self.stdout.take().map(|pipe| {
            let (told, heard) = bounded(1);
            std::thread::spawn(move || {
                let mut output = Vec::new();
                let read = pipe.take(ANSWER_MAX_BYTES).read_to_end(&mut output);
                told.send(read.map(|_| output))
            });
            heard
        });
        let name = self.name.clone();
        let (status, said) = self.end_somehow()?;
        let stdout = match heard.map(|heard| heard.recv_timeout(LAST_WORDS)) {
            None => Vec::new(),
            Some(Ok(read)) => {
                read.map_err(|source| SourceError::io(format!("reading from {name}"), source))?
            }
            Some(Err(_)) => {
                let why = "something that it has started keeps its output open".to_owned();
                return Err(SourceError::Failed {
                    program: name,
                    status: status.to_string(),
                    said: why,
                });
            }
        };
        Ok(Ended { status, stdout, said })
    }

    /// All of its output, as it comes.
    fn output(&mut self) -> Result<Vec<u8>, SourceError> {
        let Some(pipe) = self.stdout.take() else { return Ok(Vec::new()) };
        let mut output = Vec::new();
        let read = pipe.take(ANSWER_MAX_BYTES).read_to_end(&mut output);
        read.map_err(|source| SourceError::io(format!("reading from {}", self.name), source))?;
        Ok(output)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.watch.is_some() {
            let _ = kill_process_group(self.group, Signal::KILL);
            self.unwatch();
            let _ = self.child.wait();
        }
    }
}

/// Ends the group when it is no longer wanted, or has taken too long.
fn watch(halt: &Halt, over: &Receiver<Infallible>, limit: Option<Duration>, group: Pid) -> Waited {
    let waited = halt.wait(over, limit);
    if waited == Waited::Over {
        return waited;
    }
    let _ = kill_process_group(group, Signal::TERM);
    // Disconnected: it ended.
    if over.recv_timeout(GRACE).is_err_and(|error| error.is_timeout()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    waited
}

/// Reads to the end; gives the last part, in one line.
fn drain(mut pipe: ChildStderr) -> String {
    let mut last = Vec::new();
    let mut room = [0; 4096];
    while let Ok(read) = pipe.read(&mut room) {
        if read == 0 {
            break;
        }
        last.extend_from_slice(&room[..read]);
        let beyond = last.len().saturating_sub(SAID_BYTES);
        last.drain(..beyond);
    }
    let text = String::from_utf8_lossy(&last);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use lumbung_engine::Cancel;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = bare(Path::new("/bin/sh"));
        command.args(["-c", script]);
        command
    }

    fn quiet() -> Halt {
        Halt::by(&Cancel::default())
    }

    #[test]
    fn only_status_zero_is_an_end() {
        assert_eq!(Running::answer(shell("echo yes"), quiet()).unwrap(), "yes\n");
        let error = Running::answer(shell("echo half; echo it broke >&2; exit 3"), quiet());
        let error = error.unwrap_err().to_string();
        assert_eq!(error, "sh ended with exit status: 3: it broke");
        let error = Running::answer(shell("kill -9 $$"), quiet()).unwrap_err().to_string();
        assert!(error.contains("signal: 9"), "{error}");
    }

    #[test]
    fn a_program_that_says_much_is_not_held_up() {
        let script = "head -c 3000000 /dev/zero >&2; echo the last words >&2; exit 1";
        let error = Running::answer(shell(script), quiet()).unwrap_err().to_string();
        assert!(error.ends_with("the last words"), "{}", &error[error.len() - 60..]);
    }

    #[test]
    fn what_a_program_leaves_behind_holds_nobody_up() {
        // It has left the group, and keeps the output open.
        let running = Running::start(shell("setsid sleep 1000 & echo $!"), quiet()).unwrap();
        let error = running.letting_live().hear().unwrap_err().to_string();
        assert!(error.contains("keeps its output open"), "{error}");
        let ended =
            Running::start(shell("echo out; echo err >&2; exit 4"), quiet()).unwrap().hear();
        let ended = ended.unwrap();
        assert_eq!((ended.status.code(), ended.said.as_str()), (Some(4), "err"));
        assert_eq!(ended.stdout, b"out\n");
    }

    #[test]
    fn the_environment_is_bare() {
        let environment = Running::answer(shell("env"), quiet()).unwrap();
        let mut names: Vec<&str> =
            environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        names.retain(|name| !["PWD", "SHLVL", "_", "OLDPWD"].contains(name));
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH"]);
    }

    #[test]
    fn whoever_waits_for_nothing_is_ended_with_all_that_it_started() {
        let cancel = Cancel::default();
        let script = "sleep 1000 & echo $!; wait";
        let mut running = Running::start(shell(script), Halt::by(&cancel)).unwrap();
        let mut room = [0; 64];
        let read = running.read(&mut room).unwrap();
        let sleeper: i32 = std::str::from_utf8(&room[..read]).unwrap().trim().parse().unwrap();
        cancel.cancel();
        assert_eq!(running.read(&mut room).unwrap(), 0);
        let error = running.end().unwrap_err();
        assert!(matches!(error, SourceError::Halted { .. }), "{error}");
        // It is gone, or a zombie that nobody has reaped; the kernel may take a moment to end it.
        let state = || std::fs::read_to_string(format!("/proc/{sleeper}/stat")).unwrap_or_default();
        let begun = std::time::Instant::now();
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", state());
            std::thread::yield_now();
        }
    }
}
