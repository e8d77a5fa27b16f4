//! Disks, from `/sys/class/block`.
//!
//! Invariants: whole disks with hardware, or a hypervisor, behind them: no partitions, no loops, no mappings, no RAID of the kernel,
//! no drives for media. In the order of their names.

use std::path::Path;

use lumbung_wire::messages::host::{DISKS_MAX, DiskTransport, HostDisk, SmartState};

use super::files;

/// What a disk's place among the devices says of its connection; the first that fits counts.
const PLACES: &[(&str, DiskTransport)] = &[
    ("/usb", DiskTransport::Usb),
    ("/virtio", DiskTransport::Virtual),
    ("/vbd-", DiskTransport::Virtual),
    ("/VMBUS", DiskTransport::Virtual),
    ("/session", DiskTransport::Network),
    ("/rport-", DiskTransport::Network),
    ("/nvme", DiskTransport::Nvme),
    ("/mmc", DiskTransport::Mmc),
    ("/end_device-", DiskTransport::Sas),
    ("/ata", DiskTransport::Sata),
    ("/host", DiskTransport::Scsi),
];

/// Reads them below `root`.
pub(super) fn read(root: &Path) -> Vec<HostDisk> {
    let dir = root.join("sys/class/block");
    let Ok(entries) = std::fs::read_dir(&dir) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| is_disk(&dir.join(name), name)).collect();
    names.sort_by_key(|name| (name.len(), name.clone()));
    names.truncate(DISKS_MAX);
    names.into_iter().map(|name| disk(&dir.join(&name), name)).collect()
}

fn is_disk(dir: &Path, name: &str) -> bool {
    let media = ["sr", "fd", "nbd", "rbd"].iter().any(|kind| name.starts_with(kind));
    let boot = name.starts_with("mmcblk") && name.contains("boot");
    let fits = |c: char| c.is_ascii_alphanumeric();
    // The name becomes an argument of a program.
    let plain = name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(fits);
    plain
        && !media
        && !boot
        && dir.join("device").exists()
        && !dir.join("partition").exists()
        && files::number(&dir.join("hidden")).unwrap_or(0) == 0
}

fn disk(dir: &Path, name: String) -> HostDisk {
    let device = dir.join("device");
    let place = std::fs::read_link(dir).unwrap_or_default();
    let place = place.to_string_lossy();
    let transport = PLACES.iter().find(|(mark, _)| place.contains(mark)).map(|(_, kind)| *kind);
    let number = |path: &str| files::number(&dir.join(path));
    HostDisk {
        model: model(&device),
        serial: serial(dir, &device),
        // In sectors of 512 bytes, whatever the disk's own are.
        bytes: number("size").and_then(|sectors| sectors.checked_mul(512)),
        rotational: number("queue/rotational").map(|turns| turns != 0),
        removable: number("removable").unwrap_or(0) != 0,
        transport: transport.or(Some(DiskTransport::Other)),
        smart_state: SmartState::NotAsked,
        smart: None,
        name,
    }
}

/// With its maker, where that is one and not the name of a bus.
fn model(device: &Path) -> Option<String> {
    let model = files::line(&device.join("model"))?;
    let vendor = files::line(&device.join("vendor"));
    match vendor.filter(|vendor| vendor != "ATA" && !vendor.starts_with("0x")) {
        Some(vendor) => files::clean(&format!("{vendor} {model}")),
        None => Some(model),
    }
}

fn serial(dir: &Path, device: &Path) -> Option<String> {
    let line = |path: std::path::PathBuf| files::line(&path);
    // SCSI's page of vital product data 0x80 has four bytes before the text.
    let page = files::bytes(&device.join("vpd_pg80"));
    let page = page.and_then(|page| files::clean(&String::from_utf8_lossy(page.get(4..)?)));
    page.or_else(|| line(device.join("serial"))).or_else(|| line(dir.join("serial")))
}
