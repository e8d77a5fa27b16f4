//! What is wrong with a disk by its own word. Pure.
//!
//! Invariant: only what asks for somebody to do something: sectors that were replaced long ago and errors that a disk has once
//! counted stand in the inventory, and raise nothing.

use std::fmt::Write as _;

use lumbung_wire::messages::host::{HostDisk, SmartReading};

/// Bits of smartctl's exit status: the disk says that it is failing, an attribute is at its threshold (smartctl(8)).
const FAILING: u32 = 8;
const AT_THRESHOLD: u32 = 16;

/// What is wrong with the disk, with its name and serial number; none if nothing is.
pub(super) fn finding(disk: &HostDisk) -> Option<String> {
    let faults = disk.smart.as_ref().map(faults)?;
    if faults.is_empty() {
        return None;
    }
    let mut text = format!("disk {}", disk.name);
    if let Some(model) = &disk.model {
        let _ = write!(text, " ({model})");
    }
    let serial = disk.serial.as_deref();
    let known = serial.map(|serial| format!(", serial {serial}"));
    text.push_str(known.as_deref().unwrap_or(", without a serial number"));
    Some(format!("{text}: {}", faults.join(", ")))
}

fn faults(smart: &SmartReading) -> Vec<String> {
    let mut faults = Vec::new();
    if smart.passed == Some(false) || smart.exit_status & FAILING != 0 {
        faults.push("it says that it is failing".to_owned());
    } else if smart.exit_status & AT_THRESHOLD != 0 {
        faults.push("one of its attributes is at its threshold".to_owned());
    }
    if let Some(warning) = smart.critical_warning.filter(|bits| *bits != 0) {
        faults.push(format!("critical warning {warning:#04x}"));
    }
    if let Some(sectors) = smart.pending_sectors.filter(|sectors| *sectors > 0) {
        faults.push(format!("sectors that cannot be read now: {sectors}"));
    }
    if let (Some(spare), Some(threshold)) = (smart.spare_percent, smart.spare_threshold_percent)
        && spare < threshold
    {
        faults.push(format!("{spare} % of its spare blocks are left, fewer than {threshold} %"));
    }
    if let Some(used) = smart.percentage_used.filter(|used| *used >= 100) {
        faults.push(format!("{used} % of the life that it is rated for are used up"));
    }
    faults
}

#[cfg(test)]
mod tests;
