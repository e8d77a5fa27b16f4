//! What the agent sees of its host, for the register: model and serial, disks with their SMART state, addresses, system.
//!
//! Invariants: whatever cannot be read is left out, and nothing here fails. Files are read below a root, so that recorded trees
//! are read like a host. Only what [`HostInventory::check`] allows leaves this module: texts are cut, lists are bounded. A disk that
//! sleeps is not woken, and one that does not answer holds up nothing: smartctl has a time-out. No file of a user is looked at.

mod disks;
mod dmi;
mod files;
mod keeper;
mod network;
mod platform;
mod processors;
mod smart;
mod smartctl;

pub use keeper::{Keeper, Told};
pub use network::{Addresses, addresses};
pub use smartctl::{Smartctl, find};

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use chrono::{Offset as _, TimeZone as _};
use lumbung_model::Timestamp;
use lumbung_wire::messages::host::{HostInventory, SmartState};

/// What the agent's own file says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether the controller is told at all.
    pub send: bool,
    /// Whether disks are asked for their SMART state.
    pub smart: bool,
    /// smartctl; found by itself, if absent.
    pub smartctl: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { send: true, smart: true, smartctl: None }
    }
}

/// Reads what stands in files below `root`. May block on a device that does not answer: not for the runtime's own thread.
#[must_use]
pub fn read(root: &Path, addresses: &Addresses, now: Timestamp) -> HostInventory {
    let system = dmi::read(root);
    let cpuinfo = files::text(&root.join("proc/cpuinfo")).unwrap_or_default();
    let offset = chrono::Local.offset_from_utc_datetime(&now.to_utc().naive_utc());
    HostInventory {
        platform: platform::read(root, &system, &cpuinfo),
        system,
        processors: processors::parse(&cpuinfo),
        memory_bytes: files::text(&root.join("proc/meminfo")).as_deref().and_then(memory),
        disks: disks::read(root),
        interfaces: network::read(root, addresses),
        os: files::text(&root.join("etc/os-release")).as_deref().and_then(os_name),
        kernel: files::line(&root.join("proc/sys/kernel/osrelease")),
        utc_offset_s: Some(offset.fix().local_minus_utc()),
    }
}

/// Memory that the system has, bytes.
fn memory(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What a distribution calls itself (os-release(5)).
fn os_name(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        let line = os_release.lines().find_map(|line| line.strip_prefix(key))?;
        files::clean(line.trim().trim_matches(['"', '\'']))
    };
    value("PRETTY_NAME=").or_else(|| value("NAME="))
}

/// Disks that did not answer, and when they were asked.
pub type Silent = HashMap<String, Timestamp>;

/// A disk that did not answer is not asked again so soon: a process that waits for a dead disk cannot even be killed.
const SILENT_S: i64 = 86_400;

/// Looks at this host: files first, then every disk by smartctl, one after the other.
pub async fn survey(
    settings: Settings,
    mut silent: Silent,
    now: Timestamp,
) -> (HostInventory, Silent) {
    let reading = tokio::task::spawn_blocking(move || read(Path::new("/"), &addresses(), now));
    let mut seen = reading.await.unwrap_or_default();
    silent.retain(|_, asked| (now.0 - asked.0).abs() < SILENT_S);
    let Some(smartctl) = find(&settings) else { return (seen, silent) };
    for disk in &mut seen.disks {
        if silent.contains_key(&disk.name) {
            disk.smart_state = SmartState::Failed;
            continue;
        }
        match smartctl.ask(&disk.name).await {
            Ok(output) => smart::read(&output, now).tell(disk),
            Err(error) => {
                tracing::debug!("{}: {}", disk.name, lumbung_model::with_causes(&error));
                disk.smart_state = SmartState::Failed;
                if error.is_silence() {
                    silent.insert(disk.name.clone(), now);
                }
            }
        }
    }
    (seen, silent)
}

#[cfg(test)]
mod tests;
