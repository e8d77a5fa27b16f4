//! How the host is: load, memory, uptime, and the disks that matter to backups.
//!
//! Invariants: only file systems of the sources and of the state directory are named; one that does
//! not answer (a dead network mount) holds up nothing but its own figures.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lumbung_wire::messages::{DiskHealth, HostHealth};
use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, System};

/// The host's name, for snapshots and heartbeats.
#[must_use]
pub fn host_name() -> String {
    System::host_name().unwrap_or_else(|_| "unknown".to_owned())
}

/// Asks the host. May block on a file system that does not answer: not for the runtime's own thread.
#[must_use]
pub fn collect(hostname: &str, paths: &[PathBuf]) -> HostHealth {
    let mut health = HostHealth {
        hostname: hostname.to_owned(),
        os: System::long_os_version().unwrap_or_default(),
        kernel: System::kernel_version().unwrap_or_default(),
        uptime_s: System::uptime().unwrap_or(0),
        cpus: std::thread::available_parallelism()
            .map_or(0, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        ..HostHealth::default()
    };
    if let Ok(load) = System::load_average() {
        health.load = [load.one, load.five, load.fifteen];
    }
    if let Ok(mut system) = System::new() {
        system.refresh_memory_specifics(MemoryRefreshKind::everything());
        health.memory_total_bytes = system.total_memory();
        health.memory_available_bytes = system.available_memory();
        health.swap_used_bytes = system.used_swap();
    }
    health.disks = disks(paths);
    health
}

/// The file systems on which `paths` lie: told apart by device, so that a mount that sysinfo leaves
/// out (tmpfs, network) is not mistaken for the one above it.
fn disks(paths: &[PathBuf]) -> Vec<DiskHealth> {
    let device = |path: &Path| std::fs::metadata(path).ok().map(|m| m.dev());
    let wanted: Vec<u64> = paths.iter().filter_map(|path| device(path)).collect();
    let Ok(disks) =
        Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage())
    else {
        return Vec::new();
    };
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for disk in &disks {
        let Some(device) =
            device(disk.mount_point()).filter(|d| wanted.contains(d) && !seen.contains(d))
        else {
            continue;
        };
        seen.push(device);
        out.push(DiskHealth {
            mount: disk.mount_point().to_string_lossy().into_owned(),
            total_bytes: disk.total_space(),
            available_bytes: disk.available_space(),
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_described() {
        let health = collect("pd-dinkes-1", &[PathBuf::from("/"), PathBuf::from("/nonexistent")]);
        assert_eq!(health.hostname, "pd-dinkes-1");
        assert!(
            health.cpus >= 1 && health.memory_total_bytes > 0 && health.uptime_s > 0,
            "{health:?}"
        );
        assert!(health.disks.len() <= 1, "one path, one disk: {:?}", health.disks);
        assert!(!host_name().is_empty());
    }
}
