//! What the agent does within a scratch place: it makes the place and holds it, and it becomes a program that data is fed to.
//!
//! Invariants: such a program has no network, no rights of root and no capability. Its root is one of its own: the place and some memory,
//! to which it writes, and of the host the programs and their settings, which it reads. It sees no other folder of the host, none of its
//! sockets, and there are only so many of its processes.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::fs::{StatVfsMountFlags, statvfs};
use rustix::mount::{
    MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_remount, unmount,
};
use rustix::process::{Resource, Rlimit, pivot_root, setrlimit};

use super::scratch::{INSIDE, READY, ScratchError, failed};

/// What a program sees of the host: programs, libraries, their settings.
const SEEN: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt"];
/// Devices that it has.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Where a program puts temporary files, and sockets of its own.
const TEMPORARY: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/run"];
/// Where its root is made; nobody else sees it there.
const ROOT: &str = "/tmp";
/// Processes that the user of a place may have: a database server with its sessions, and not so many that the host has none left.
const PROCESSES_MAX: u64 = 1024;
/// If memory runs out, these end first.
const EXPENDABLE: &str = "1000";

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

/// `lumbung-agent scratch run`: becomes a program without rights of root, that sees little of the host.
///
/// # Errors
/// If it cannot be started.
pub fn run(user: &str, program: &[String]) -> Result<(), ScratchError> {
    let group = group_of(user)?;
    fs::write("/proc/self/oom_score_adj", EXPENDABLE).map_err(failed("oom_score_adj"))?;
    own_root(program.first().map_or(Path::new(""), Path::new))?;
    read_only()?;
    let most = Rlimit { current: Some(PROCESSES_MAX), maximum: Some(PROCESSES_MAX) };
    setrlimit(Resource::Nproc, most)
        .map_err(|error| failed("the number of processes cannot be limited")(error.into()))?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--init-groups", "--no-new-privs", "--bounding-set=-all"]);
    command.args(["--inh-caps=-all", "--regid"]).arg(group).arg("--").args(program);
    Err(failed("setpriv cannot be started")(command.exec()))
}

/// Makes a root with what a program may see, and leaves the host's.
fn own_root(program: &Path) -> Result<(), ScratchError> {
    mount_memory(ROOT, 1 << 20, "0755")?;
    let made = |what: &str| failed(format!("the root of a program cannot be made: {what}"));
    let folder = program.parent().filter(|folder| {
        folder.is_absolute() && !SEEN.iter().chain([&INSIDE]).any(|seen| folder.starts_with(seen))
    });
    for path in SEEN.iter().map(Path::new).chain(folder) {
        show(path).map_err(made(&path.display().to_string()))?;
    }
    for path in ["/proc", INSIDE].map(Path::new) {
        show(path).map_err(made(&path.display().to_string()))?;
    }
    devices().map_err(made("/dev"))?;
    for temporary in TEMPORARY {
        let at = format!("{ROOT}{temporary}");
        fs::create_dir_all(&at).map_err(made(temporary))?;
        mount_memory(&at, 64 << 20, "01777")?;
    }
    std::env::set_current_dir(ROOT).map_err(made(ROOT))?;
    // The host's root comes to lie on this one, and is taken away (pivot_root(2)).
    pivot_root(".", ".")
        .and_then(|()| unmount(".", UnmountFlags::DETACH))
        .map_err(|error| made("pivot_root")(error.into()))?;
    std::env::set_current_dir("/").map_err(made("/"))
}

/// Shows a path of the host in the root that is made; what the host does not have is not there.
fn show(path: &Path) -> io::Result<()> {
    let there = Path::new(ROOT).join(path.strip_prefix("/").unwrap_or(path));
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => symlink(fs::read_link(path)?, there),
        Ok(_) => {
            fs::create_dir_all(&there)?;
            Ok(mount_bind_recursive(path, &there)?)
        }
    }
}

fn devices() -> io::Result<()> {
    let folder = Path::new(ROOT).join("dev");
    fs::create_dir(&folder)?;
    for device in DEVICES {
        let there = folder.join(device);
        fs::File::create(&there)?;
        mount_bind(Path::new("/dev").join(device), &there)?;
    }
    for (name, of) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        symlink(format!("/proc/self/fd{of}"), folder.join(name))?;
    }
    Ok(())
}

/// Makes everything that is mounted here read-only, but for the place and the memory.
fn read_only() -> Result<(), ScratchError> {
    let path = "/proc/self/mountinfo";
    let mounts = fs::read_to_string(path).map_err(failed(format!("{path} cannot be read")))?;
    for (at, flags) in mounts.lines().filter_map(mounted) {
        if at == INSIDE || TEMPORARY.contains(&at.as_str()) {
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
    for at in ["/", "/usr", "/etc"] {
        let found = statvfs(at);
        let found = found.map_err(|error| failed(format!("{at} is not there"))(error.into()))?;
        if !found.f_flag.contains(StatVfsMountFlags::RDONLY) {
            return Err(ScratchError::Made(format!("{at} of the host stays writable")));
        }
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
