//! smartctl as a child process.
//!
//! Invariants: no shell, and no argument but fixed ones and the name of a device under `/dev`; it gets an empty environment, has
//! [`PATIENCE`] and may write [`OUTPUT_MAX_BYTES`], and is killed beyond either. A sleeping disk is not woken (`-n standby`).

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use super::Settings;

/// How long one disk may take. Some answer from a queue of seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// After it was killed.
const BURIAL: Duration = Duration::from_secs(1);
/// What a disk with full logs has to say is 40 KB.
const OUTPUT_MAX_BYTES: u64 = 256 << 10;
/// Where it lies if PATH leads nowhere: that of a user often leaves out sbin.
const PLACES: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/sbin"];

/// Why smartctl gave nothing to read.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It could not be started or read.
    #[error("{} could not be run: install smartmontools, or set `smart = false` in [inventory]", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It did not end.
    #[error("smartctl did not end within {} s: look at this disk", PATIENCE.as_secs())]
    Late,
    /// It wrote too much.
    #[error(
        "smartctl wrote more than {OUTPUT_MAX_BYTES} bytes: is `smartctl` in [inventory] the right program?"
    )]
    Long,
}

impl AskError {
    /// Whether the disk did not answer.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Late)
    }
}

/// The program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smartctl {
    program: PathBuf,
    patience: Duration,
}

/// The program that the agent's file names, else the first that there is; none if disks shall not be asked.
#[must_use]
pub fn find(settings: &Settings) -> Option<Smartctl> {
    if !settings.smart {
        return None;
    }
    let in_path = |path: &OsString| std::env::split_paths(path).collect::<Vec<_>>();
    let places = std::env::var_os("PATH").as_ref().map(in_path).unwrap_or_default();
    let places = places.into_iter().chain(PLACES.iter().map(PathBuf::from));
    let found = match &settings.smartctl {
        Some(named) => Some(named.clone()).filter(|program| is_program(program)),
        None => places.map(|dir| dir.join("smartctl")).find(|program| is_program(program)),
    };
    found.map(|program| Smartctl { program, patience: PATIENCE })
}

fn is_program(path: &Path) -> bool {
    let may_run =
        |file: std::fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
    path.is_absolute() && std::fs::metadata(path).is_ok_and(may_run)
}

impl Smartctl {
    /// Where it is.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What it says of the disk of that name, as it wrote it.
    ///
    /// # Errors
    /// If it cannot be run, does not end, or writes too much.
    pub async fn ask(&self, disk: &str) -> Result<Vec<u8>, AskError> {
        let run = |source| AskError::Run { program: self.program.clone(), source };
        let mut child = Command::new(&self.program)
            .args(["--json=c", "-n", "standby", "-a"])
            .arg(Path::new("/dev").join(disk))
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(run)?;
        let read = tokio::time::timeout(self.patience, read(&mut child));
        match read.await {
            Ok(Ok(output)) if output.len() as u64 <= OUTPUT_MAX_BYTES => Ok(output),
            Ok(Ok(_)) => Err(end(child, AskError::Long).await),
            Ok(Err(source)) => Err(end(child, run(source)).await),
            Err(_) => Err(end(child, AskError::Late).await),
        }
    }
}

/// What it writes, and one byte more than it may.
async fn read(child: &mut Child) -> std::io::Result<Vec<u8>> {
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(OUTPUT_MAX_BYTES + 1).read_to_end(&mut output).await?;
    }
    if output.len() as u64 <= OUTPUT_MAX_BYTES {
        child.wait().await?;
    }
    Ok(output)
}

/// Kills it. One that waits for a dead disk cannot be killed: nobody waits for that.
async fn end(mut child: Child, error: AskError) -> AskError {
    let _ = child.start_kill();
    let _ = tokio::time::timeout(BURIAL, child.wait()).await;
    error
}

#[cfg(test)]
mod tests;
