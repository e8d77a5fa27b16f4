//! What the firmware says of the machine: `/sys/class/dmi/id` (SMBIOS).
//!
//! Invariant: serial numbers can be read by root alone; without it they are left out like everything else that is not there.

use std::path::Path;

use lumbung_wire::messages::host::{ChassisKind, HostSystem};

use super::files;

/// Reads it below `root`.
pub(super) fn read(root: &Path) -> HostSystem {
    let dir = root.join("sys/class/dmi/id");
    let line = |name: &str| files::line(&dir.join(name));
    let vendor = line("sys_vendor").or_else(|| line("board_vendor"));
    let model = line("product_name");
    let board = match (line("board_vendor"), line("board_name")) {
        (Some(by), Some(name)) if vendor.as_ref() != Some(&by) => {
            files::clean(&format!("{by} {name}"))
        }
        (_, name) => name,
    };
    // Lenovo writes its type number into the name, and the name into the version.
    let model = match (vendor.as_deref(), &model, line("product_version")) {
        (Some("LENOVO"), Some(number), Some(name)) => files::clean(&format!("{name} {number}")),
        _ => model,
    };
    HostSystem {
        vendor,
        model,
        serial: line("product_serial").or_else(|| line("chassis_serial")),
        board,
        bios_version: line("bios_version"),
        bios_date: line("bios_date"),
        chassis: files::number(&dir.join("chassis_type")).and_then(chassis),
    }
}

/// By its number in table 17 of SMBIOS 3.7 (DSP0134).
fn chassis(number: u64) -> Option<ChassisKind> {
    Some(match number {
        3..=5 | 13 | 15 | 16 | 24 | 33..=36 => ChassisKind::Desktop,
        6 | 7 => ChassisKind::Tower,
        8..=12 | 14 | 30..=32 => ChassisKind::Portable,
        17 => ChassisKind::Server,
        23 => ChassisKind::RackMount,
        28 | 29 => ChassisKind::Blade,
        18..=22 | 25..=27 => ChassisKind::Other,
        _ => return None,
    })
}
