//! In what a host differs from what is expected of it. Pure.
//!
//! Invariants: what cannot be seen differs in nothing: an agent that may not read a serial number says nothing about it. Disks are
//! told apart by their serial numbers, not by the names that the system gives them; those that are made to be taken out, or
//! stand elsewhere, come and go. Memory may vary by what a kernel keeps for itself.

use std::collections::{BTreeMap, BTreeSet};

use lumbung_model::ByteSize;
use lumbung_wire::messages::host::{
    HostAspect, HostDifference, HostDisk, HostExpectation, HostInventory, Platform, SmartReading,
    address_of,
};
use lumbung_wire::messages::register::ServerKind;

/// What the register says of a host; what it does not say is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Registered {
    /// What the server is.
    pub kind: Option<ServerKind>,
    /// Its model, as people write it.
    pub model: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// An address that it should have, without prefix.
    pub address: Option<String>,
}

/// In what a host differs from what the register says.
#[must_use]
pub fn differences(registered: &Registered, seen: &HostInventory) -> Vec<HostDifference> {
    let mut found = Vec::new();
    let from = HostExpectation::Register;
    let mut differ = |aspect, expected: &str, seen: &str| {
        let (expected, seen) = (expected.to_owned(), seen.to_owned());
        found.push(HostDifference { aspect, from, of: String::new(), expected, found: seen });
    };
    if let (Some(kind), Some(platform)) = (registered.kind, seen.platform)
        && !fits(kind, platform)
    {
        differ(HostAspect::Platform, kind.as_str(), platform.as_str());
    }
    let vendor = seen.system.vendor.as_deref().unwrap_or_default();
    if let (Some(expected), Some(model)) = (&registered.model, &seen.system.model)
        && !is_model(expected, vendor, model)
    {
        differ(HostAspect::Model, expected, format!("{vendor} {model}").trim());
    }
    if let (Some(expected), Some(serial)) = (&registered.serial, &seen.system.serial)
        && plain(expected) != plain(serial)
    {
        differ(HostAspect::Serial, expected, serial);
    }
    let addresses = addresses(seen);
    if let Some(expected) = &registered.address
        && !addresses.is_empty()
        && !addresses.iter().any(|one| one.split('/').next() == Some(expected.trim()))
    {
        let all: Vec<&str> = addresses.iter().map(String::as_str).take(8).collect();
        differ(HostAspect::Address, expected, &all.join(", "));
    }
    found
}

fn fits(kind: ServerKind, platform: Platform) -> bool {
    match kind {
        ServerKind::Physical => platform == Platform::Physical,
        ServerKind::Vps | ServerKind::Virtual => platform != Platform::Physical,
        ServerKind::Other => true,
    }
}

/// Letters and digits alone, in lower case.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Whether people who write this model mean that one: with or without its maker, with or without what a maker adds.
fn is_model(expected: &str, vendor: &str, model: &str) -> bool {
    let (expected, model, vendor) = (plain(expected), plain(model), plain(vendor));
    let whole = vendor + &model;
    !expected.is_empty() && (expected.contains(&model) || whole.contains(&expected))
}

/// In what a host differs from how it was.
pub(super) fn between(
    expected: &HostInventory,
    seen: &HostInventory,
    from: HostExpectation,
) -> Vec<HostDifference> {
    let mut comparison = Comparison { from, found: Vec::new() };
    comparison.system(expected, seen);
    comparison.processors_and_memory(expected, seen);
    comparison.disks(expected, seen);
    comparison.addresses(expected, seen);
    // What changes with every update is worth remembering and no finding.
    if from == HostExpectation::Before {
        comparison.updates(expected, seen);
        comparison.health(expected, seen);
        comparison.interfaces(expected, seen);
    }
    comparison.found
}

struct Comparison {
    from: HostExpectation,
    found: Vec<HostDifference>,
}

impl Comparison {
    fn differ(&mut self, aspect: HostAspect, of: &str, expected: &str, found: &str) {
        let from = self.from;
        let (of, expected, found) = (of.to_owned(), expected.to_owned(), found.to_owned());
        self.found.push(HostDifference { aspect, from, of, expected, found });
    }

    fn text(&mut self, aspect: HostAspect, expected: &Option<String>, found: &Option<String>) {
        if let (Some(expected), Some(found)) = (expected, found)
            && expected != found
        {
            self.differ(aspect, "", expected, found);
        }
    }

    fn system(&mut self, expected: &HostInventory, seen: &HostInventory) {
        if let (Some(before), Some(now)) = (expected.platform, seen.platform)
            && before != now
        {
            self.differ(HostAspect::Platform, "", before.as_str(), now.as_str());
        }
        let model = |host: &HostInventory| {
            let system = &host.system;
            let parts = [system.vendor.as_deref(), system.model.as_deref()];
            let parts: Vec<&str> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        };
        self.text(HostAspect::Model, &model(expected), &model(seen));
        self.text(HostAspect::Serial, &expected.system.serial, &seen.system.serial);
        self.text(HostAspect::Board, &expected.system.board, &seen.system.board);
    }

    fn processors_and_memory(&mut self, expected: &HostInventory, seen: &HostInventory) {
        let processors = |host: &HostInventory| {
            let one = |one: &lumbung_wire::messages::host::HostProcessor| {
                let model = one.model.as_deref().unwrap_or("?");
                format!("{model}, {} sockets, {} cores", one.sockets, one.cores)
            };
            let all: Vec<String> = host.processors.iter().map(one).collect();
            (!all.is_empty()).then(|| all.join("; "))
        };
        self.text(HostAspect::Processors, &processors(expected), &processors(seen));
        if let (Some(before), Some(now)) = (expected.memory_bytes, seen.memory_bytes)
            && before.abs_diff(now) > memory_tolerance_bytes(before)
        {
            let (before, now) =
                (ByteSize::bytes(before).to_string(), ByteSize::bytes(now).to_string());
            self.differ(HostAspect::Memory, "", &before, &now);
        }
    }

    fn disks(&mut self, expected: &HostInventory, seen: &HostInventory) {
        // A host that runs has a disk: none means that nobody may look.
        if seen.disks.is_empty() || expected.disks.is_empty() {
            return;
        }
        let (before, now) = (fixed_disks(expected), fixed_disks(seen));
        for (id, disk) in &before {
            match now.get(id) {
                None => self.differ(HostAspect::Disk, id, &described(disk), ""),
                Some(same) if same.bytes != disk.bytes => {
                    self.differ(HostAspect::Disk, id, &described(disk), &described(same));
                }
                Some(_) => {}
            }
        }
        for (id, disk) in now.iter().filter(|(id, _)| !before.contains_key(*id)) {
            self.differ(HostAspect::Disk, id, "", &described(disk));
        }
    }

    fn addresses(&mut self, expected: &HostInventory, seen: &HostInventory) {
        let (before, now) = (addresses(expected), addresses(seen));
        if now.is_empty() || before.is_empty() {
            return;
        }
        for gone in before.difference(&now) {
            self.differ(HostAspect::Address, gone, gone, "");
        }
        for new in now.difference(&before) {
            self.differ(HostAspect::Address, new, "", new);
        }
    }

    fn updates(&mut self, expected: &HostInventory, seen: &HostInventory) {
        let (before, now) = (&expected.system, &seen.system);
        self.text(HostAspect::Firmware, &before.bios_version, &now.bios_version);
        self.text(HostAspect::System, &expected.os, &seen.os);
        self.text(HostAspect::System, &expected.kernel, &seen.kernel);
        let offset = |host: &HostInventory| host.utc_offset_s.map(|s| format!("UTC offset {s} s"));
        self.text(HostAspect::System, &offset(expected), &offset(seen));
    }

    fn health(&mut self, expected: &HostInventory, seen: &HostInventory) {
        let readings = |host: &HostInventory| -> BTreeMap<String, String> {
            let told =
                |disk: &HostDisk| Some((disk.identity().to_owned(), health(disk.smart.as_ref()?)));
            host.disks.iter().filter_map(told).collect()
        };
        let (before, now) = (readings(expected), readings(seen));
        for (disk, now) in &now {
            if let Some(before) = before.get(disk).filter(|before| *before != now) {
                self.differ(HostAspect::Smart, disk, before, now);
            }
        }
    }

    fn interfaces(&mut self, expected: &HostInventory, seen: &HostInventory) {
        let all = |host: &HostInventory| -> BTreeMap<String, String> {
            let of = |one: &lumbung_wire::messages::host::HostInterface| {
                (one.name.clone(), one.mac.clone().unwrap_or_default())
            };
            host.interfaces.iter().map(of).collect()
        };
        let (before, now) = (all(expected), all(seen));
        for name in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let (old, new) = (before.get(name), now.get(name));
            if old != new {
                let shown = |mac: Option<&String>| {
                    mac.map(|mac| format!("{name} {mac}")).unwrap_or_default()
                };
                self.differ(HostAspect::Interface, name, &shown(old), &shown(new));
            }
        }
    }
}

/// What a kernel may keep for itself with one update and not with another: 512 MiB, and 1/128 for its tables.
fn memory_tolerance_bytes(total: u64) -> u64 {
    (512 << 20) + total / 128
}

/// The disks that belong to the host, by what they are known by.
fn fixed_disks(host: &HostInventory) -> BTreeMap<&str, &HostDisk> {
    host.disks.iter().filter(|disk| disk.is_fixed()).map(|disk| (disk.identity(), disk)).collect()
}

fn described(disk: &HostDisk) -> String {
    let size = disk.bytes.map(|bytes| ByteSize::bytes(bytes).to_string());
    let parts = [disk.model.clone(), size];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() { disk.name.clone() } else { parts.join(", ") }
}

fn addresses(host: &HostInventory) -> BTreeSet<String> {
    let all = host.interfaces.iter().flat_map(|one| &one.addresses);
    all.filter(|text| address_of(text).is_some()).cloned().collect()
}

/// What a disk says of its health, without what changes by the hour.
fn health(smart: &SmartReading) -> String {
    let passed = match smart.passed {
        Some(true) => "passed",
        Some(false) => "FAILED",
        None => "no verdict",
    };
    let figures = [
        ("reallocated", smart.reallocated_sectors),
        ("pending", smart.pending_sectors),
        ("uncorrectable", smart.uncorrectable_sectors),
        ("used %", smart.percentage_used.map(u64::from)),
        ("media errors", smart.media_errors),
        ("spare %", smart.spare_percent.map(u64::from)),
        ("critical warning", smart.critical_warning.map(u64::from)),
    ];
    let told = figures.into_iter().filter_map(|(name, figure)| Some(format!("{name} {}", figure?)));
    std::iter::once(passed.to_owned()).chain(told).collect::<Vec<_>>().join(", ")
}

/// A difference in words.
pub(super) fn told(one: &HostDifference) -> String {
    let what = match one.aspect {
        HostAspect::Platform => "platform",
        HostAspect::Model => "model",
        HostAspect::Serial => "serial number",
        HostAspect::Board => "board",
        HostAspect::Firmware => "firmware",
        HostAspect::Processors => "processors",
        HostAspect::Memory => "memory",
        HostAspect::Disk => "disk",
        HostAspect::Smart => "SMART state of disk",
        HostAspect::Address => "address",
        HostAspect::Interface => "interface",
        HostAspect::System => "system",
    };
    let HostDifference { of, expected, found, .. } = one;
    let is_said = of.is_empty() || of == expected || of == found;
    let what = if is_said { what.to_owned() } else { format!("{what} {of}") };
    match (one.from, expected.is_empty(), found.is_empty()) {
        (HostExpectation::Register, ..) => {
            format!("{what}: the register says {expected}, its agent sees {found}")
        }
        (_, _, true) => format!("{what} ({expected}) is gone"),
        (_, true, _) => format!("{what} ({found}) is new"),
        _ => format!("{what} was {expected} and is {found}"),
    }
}

#[cfg(test)]
mod tests;
