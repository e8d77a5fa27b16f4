//! What the agent does within a scratch place: it makes the place and holds it, and it becomes a program that data is fed to.
//!
//! Invariants: such a program has no network, no rights of root and no capability; it writes to the place and to memory of its own, and
//! reads of the host what every user may read; it sees no socket of the host's servers; and there are only so many of them.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::scratch::{INSIDE, READY, ScratchError, failed};

/// Where a program puts temporary files: they could be of the data, and stay behind on the host.
const TEMPORARY: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];
/// Sockets of the host's own servers.
const SOCKETS: &str = "/run";
/// Processes that the user of a place may have: a database server with its sessions, and not so many that the host has none left.
const PROCESSES_MAX: u64 = 1024;

/// `lumbung-agent scratch hold`: the first process of the namespaces. Makes the place, says so, and ends when its standard
/// input does.
///
/// # Errors
/// If the place cannot be made.
pub fn hold(memory: u64, folder: Option<&Path>) -> Result<(), ScratchError> {
    match folder {
        Some(folder) => bind(folder).map_err(|error| {
            failed(format!("{} cannot be mounted", folder.display()))(error.into())
        })?,
        None => mount_memory(INSIDE, memory, "0755")?,
    }
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    if !up.map_err(failed("ip cannot be started"))?.success() {
        return Err(ScratchError::Made("the loopback interface does not come up".to_owned()));
    }
    println!("{READY}");
    // Nobody writes: this is the end of the runner, or of its wish for the place.
    let mut nothing = Vec::new();
    io::stdin().lock().read_to_end(&mut nothing).map(drop).map_err(failed("waiting for the runner"))
}

/// `lumbung-agent scratch run`: becomes a program without rights of root, that sees no socket of the host.
///
/// # Errors
/// If it cannot be started.
pub fn run(user: &str, program: &[String]) -> Result<(), ScratchError> {
    read_only()?;
    for temporary in TEMPORARY {
        mount_memory(temporary, 64 << 20, "01777")?;
    }
    mount_memory(SOCKETS, 16 << 20, "0755")?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
    mount("lumbung", "/sys", "sysfs", flags, None)
        .map_err(|error| failed("/sys cannot be mounted")(error.into()))?;
    let most = Rlimit { current: Some(PROCESSES_MAX), maximum: Some(PROCESSES_MAX) };
    setrlimit(Resource::Nproc, most)
        .map_err(|error| failed("the number of processes cannot be limited")(error.into()))?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--init-groups", "--no-new-privs", "--bounding-set=-all"]);
    command.args(["--inh-caps=-all", "--regid"]).arg(group_of(user)?).arg("--").args(program);
    Err(failed("setpriv cannot be started")(command.exec()))
}

/// Makes everything that is mounted here read-only, but for the place.
fn read_only() -> Result<(), ScratchError> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(path).map_err(failed(format!("{path} cannot be read")))?;
    for (at, flags) in mounts.lines().filter_map(mounted) {
        if at == INSIDE {
            continue;
        }
        match mount_remount(&at, flags | MountFlags::BIND | MountFlags::RDONLY, "") {
            // It lies beneath another mount, where nobody reaches it.
            Ok(()) | Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOENT) => {}
            Err(error) => {
                return Err(failed(format!("{at} cannot be made read-only"))(error.into()));
            }
        }
    }
    let root = statvfs("/").map_err(|error| failed("/ cannot be looked at")(error.into()))?;
    if !root.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Err(ScratchError::Made("the host's files stay writable".to_owned()));
    }
    Ok(())
}

/// Where something is mounted and what is forbidden there, of a line of `mountinfo` (proc(5)).
fn mounted(line: &str) -> Option<(String, MountFlags)> {
    let mut fields = line.split(' ').skip(4);
    let (at, options) = (fields.next()?, fields.next()?);
    let flags = options.split(',').map(|option| match option {
        "nosuid" => MountFlags::NOSUID,
        "nodev" => MountFlags::NODEV,
        "noexec" => MountFlags::NOEXEC,
        _ => MountFlags::empty(),
    });
    // Spaces and the like, as the kernel writes them.
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    let at = plain.iter().fold(at.to_owned(), |at, (written, meant)| at.replace(written, meant));
    Some((at, flags.collect()))
}

/// The number of the first group of a user.
fn group_of(user: &str) -> Result<String, ScratchError> {
    let asked = Command::new("id").args(["--group", user]).output();
    let asked = asked.map_err(failed("id cannot be started"))?;
    if !asked.status.success() {
        let message = format!("there is no user {user}: correct `user` of the scratch place");
        return Err(ScratchError::Made(message));
    }
    Ok(String::from_utf8_lossy(&asked.stdout).trim().to_owned())
}

/// The folder at the place, without what devices and rights of programs a snapshot may hold.
fn bind(folder: &Path) -> rustix::io::Result<()> {
    mount_bind(folder, INSIDE)?;
    mount_remount(INSIDE, MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV, "")
}

/// Memory that is not written to a swap device, where the kernel knows that (Linux 6.4).
fn mount_memory(at: &str, bytes: u64, mode: &str) -> Result<(), ScratchError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let mounted = |more: &str| {
        let options = CString::new(format!("size={bytes},mode={mode}{more}")).unwrap_or_default();
        mount("lumbung", at, "tmpfs", flags, options.as_c_str())
    };
    let done = mounted(",noswap").or_else(|_| mounted(""));
    done.map_err(|error| failed(format!("memory cannot be mounted at {at}"))(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // What it does in namespaces is tested with the programs themselves, in tests/tests/runner.rs.

    #[test]
    fn mounts_are_read_with_what_is_forbidden_there() {
        let line = "36 35 98:0 /mnt1 /srv/data\\040lama rw,nosuid,noexec,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let expected = ("/srv/data lama".to_owned(), MountFlags::NOSUID | MountFlags::NOEXEC);
        assert_eq!(mounted(line), Some(expected));
        assert_eq!(mounted("36 35"), None);
    }
}
