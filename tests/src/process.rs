//! The real programs as child processes: started, watched line by line, killed.
//!
//! Invariants: a [`Daemon`] that goes out of scope is killed and waited for, so that nothing started here outlives
//! its test ([`kill_all`] does that where the whole program is stopped by a signal); everything that a daemon writes is kept in its log file, whatever the test reads of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lumbung_model::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

/// How long anything on loopback may take before it counts as hung; not a measurement.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Where the programs are: in `LUMBUNG_PROGRAMS` (to test what is installed), else beside the one that runs (its own
/// directory, or the one above `deps`).
///
/// # Errors
/// If a program was not built.
pub fn program(name: &str) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("LUMBUNG_PROGRAMS") {
        return Ok(PathBuf::from(directory).join(name));
    }
    let own = std::env::current_exe().context("this program's own path is unknown")?;
    let mut directory = own.parent().context("this program stands in no directory")?;
    if directory.ends_with("deps") {
        directory = directory.parent().unwrap_or(directory);
    }
    let path = directory.join(name);
    if !path.is_file() {
        bail!("{} was not built: run `cargo build --workspace --bins` first", path.display());
    }
    Ok(path)
}

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// If it does not start, or ends with another status than 0.
pub fn output(command: &mut Command) -> Result<String> {
    let output = any_output(command)?;
    if !output.status.success() {
        bail!(
            "{command:?} ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end, whatever it ends with.
///
/// # Errors
/// If it does not start.
pub fn any_output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} does not start"))
}

/// The daemons that run now.
static RUNNING: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Kills every daemon, for a program that ends without dropping them.
pub fn kill_all() {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    for id in running.iter().filter_map(|id| i32::try_from(*id).ok()).filter_map(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(id, Signal::KILL);
    }
}

/// A program that runs until it is stopped.
pub struct Daemon {
    name: String,
    child: Child,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program; what it writes is appended to `log`.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = Arc::new(Mutex::new(file.with_context(|| format!("{}", log.display()))?));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{name} does not start"))?;
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).insert(child.id());
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|out| Box::new(out) as _),
            child.stderr.take().map(|err| Box::new(err) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let (sender, file) = (sender.clone(), Arc::clone(&file));
            std::thread::spawn(move || keep_lines(output, &file, &sender));
        }
        Ok(Self { name: name.to_owned(), child, lines, log: log.to_path_buf() })
    }

    /// Waits until the program writes a line that contains `text`.
    ///
    /// # Errors
    /// If it ends first, or takes longer than [`PATIENCE`].
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => {
                    bail!("{} did not say {text:?}; its log:\n{}", self.name, self.tail())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!("{} ended before it said {text:?}; its log:\n{}", self.name, self.tail())
                }
            }
        }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and waits until it has ended in order.
    ///
    /// # Errors
    /// If the signal cannot be sent, or it ends with another status than 0.
    pub fn stop(&mut self) -> Result<()> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no such process")?, Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("{} ended with {status}; its log:\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// If the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .and_then(|()| self.child.wait())
            .with_context(|| format!("{} cannot be killed", self.name))?;
        Ok(())
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.child.id());
    }
}

fn keep_lines(output: impl Read, file: &Mutex<File>, sender: &Sender<String>) {
    for line in BufReader::new(output).lines() {
        let Ok(line) = line else { return };
        if let Ok(mut file) = file.lock() {
            let _ = writeln!(file, "{line}");
        }
        // Whoever listened may be gone; the log is kept all the same.
        let _ = sender.send(line);
    }
}

/// Asks again until there is an answer: for states that a program only tells when asked.
///
/// # Errors
/// The question's own error, or the last state seen where [`PATIENCE`] ends.
pub fn eventually<T>(
    what: &str,
    mut ask: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match ask()? {
            Ok(answer) => return Ok(answer),
            Err(state) if Instant::now() > deadline => {
                bail!("{what} did not come about; last seen: {state}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(150)),
        }
    }
}

/// Waits until the clock's second has passed: runs are told apart by it.
///
/// # Errors
/// If it does not pass.
pub fn next_second() -> Result<()> {
    let made = SystemClock.now();
    eventually("the next second", || {
        let now = SystemClock.now();
        Ok(if now > made { Ok(()) } else { Err(now.to_string()) })
    })
}

/// A port of loopback that is free now: a random one below those that outgoing connections are given (32768 on), since
/// one of these would take it before its daemon does, or while that is down.
///
/// # Errors
/// If there is none.
pub fn free_port() -> Result<u16> {
    let first = 10_000 + u16::try_from(getrandom::u32()? % 10_000)?;
    (first..30_000)
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .context("no port is free")
}
