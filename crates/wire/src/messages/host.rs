//! What an agent sees of its host: hardware, disks with their SMART state, addresses, system. And what the controller makes of it.
//!
//! Invariants: everything is optional, since a host shows what it likes; counts and lengths are bounded by [`HostInventory::check`],
//! which whoever receives an inventory calls first. It is the agent's word (*menurut agen*) and no evidence. Nothing in it says what
//! lies on a disk, which programs run or who is logged in. Temperatures, hours and the time of a reading are no difference.

use lumbung_model::vocabulary;
use std::net::IpAddr;

use lumbung_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::object::{object, object_or_null, objects};

mod held;

pub use held::{
    HostAspect, HostChange, HostDifference, HostExpectation, InventoryAcceptance, ServerInventory,
};

/// Kinds of processors in one inventory.
pub const PROCESSORS_MAX: usize = 16;
/// Disks in one inventory.
pub const DISKS_MAX: usize = 256;
/// Network interfaces in one inventory.
pub const INTERFACES_MAX: usize = 64;
/// Addresses of one interface.
pub const ADDRESSES_MAX: usize = 32;
/// Longest text, bytes.
pub const TEXT_MAX_BYTES: usize = 200;
/// Longest inventory as JSON, bytes.
pub const INVENTORY_MAX_BYTES: usize = 512 << 10;

vocabulary! {
    /// What a host is built like (SMBIOS 3.7, table 17, in groups).
    ChassisKind {
        /// A desktop.
        Desktop = "desktop",
        /// A tower.
        Tower = "tower",
        /// A server's main chassis.
        Server = "server",
        /// Mounted in a rack.
        RackMount = "rack_mount",
        /// A blade, or its enclosure.
        Blade = "blade",
        /// A laptop or anything else that is carried about.
        Portable = "portable",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// On what a system runs.
    Platform {
        /// On a machine of its own.
        Physical = "physical",
        /// KVM.
        Kvm = "kvm",
        /// QEMU without KVM, or not told apart from it.
        Qemu = "qemu",
        /// VMware.
        Vmware = "vmware",
        /// Hyper-V.
        Hyperv = "hyperv",
        /// Xen.
        Xen = "xen",
        /// VirtualBox.
        Virtualbox = "virtualbox",
        /// In a container: the hardware that it sees is its host's.
        Container = "container",
        /// In a virtual machine of another kind.
        Virtual = "virtual",
    }
}

vocabulary! {
    /// How a disk is connected.
    DiskTransport {
        /// SATA or PATA.
        Sata = "sata",
        /// SAS.
        Sas = "sas",
        /// SCSI of another kind, for instance a RAID controller's volume.
        Scsi = "scsi",
        /// NVMe.
        Nvme = "nvme",
        /// USB.
        Usb = "usb",
        /// A virtual disk.
        Virtual = "virtual",
        /// A memory card.
        Mmc = "mmc",
        /// iSCSI or Fibre Channel: the disk stands elsewhere.
        Network = "network",
        /// Any other.
        Other = "other",
    }
}

vocabulary! {
    /// What became of asking a disk for its SMART state.
    SmartState {
        /// It was read.
        Read = "read",
        /// The disk sleeps, and was not woken.
        Asleep = "asleep",
        /// The disk has none that smartctl can read.
        Unsupported = "unsupported",
        /// The agent may not open the disk.
        Refused = "refused",
        /// smartctl gave no answer that can be used.
        Failed = "failed",
        /// Nobody asked: there is no smartctl, or the agent's file says not to.
        NotAsked = "not_asked",
    }
}

/// Who made a host, and which one it is, as its firmware says (DMI).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HostSystem {
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<String>,
    /// Its model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its board.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board: Option<String>,
    /// Version of its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_version: Option<String>,
    /// Date of its firmware, as that writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bios_date: Option<String>,
    /// What it is built like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chassis: Option<ChassisKind>,
}

/// Processors of one model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HostProcessor {
    /// The model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Sockets.
    pub sockets: u32,
    /// Cores in all sockets.
    pub cores: u32,
    /// Threads in all cores.
    pub threads: u32,
}

/// What a disk says of its own health (SMART), by smartctl.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SmartReading {
    /// When it was read, by the agent's clock.
    pub at: Timestamp,
    /// smartctl's exit status, a bit mask (smartctl(8)): 8 the disk is failing, 16 an attribute is at its threshold, 32 was so once,
    /// 64 its error log has entries, 128 a self-test failed.
    pub exit_status: u32,
    /// The disk's own verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed: Option<bool>,
    /// Temperature, degrees Celsius.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature_c: Option<i32>,
    /// Hours that it ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_on_hours: Option<u64>,
    /// Sectors that were replaced (ATA attribute 5; of SCSI the grown defect list).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reallocated_sectors: Option<u64>,
    /// Sectors that cannot be read now (ATA attribute 197).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_sectors: Option<u64>,
    /// Sectors that a scan could not read (ATA attribute 198), or uncorrected errors of SCSI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncorrectable_sectors: Option<u64>,
    /// How much of its life is used up, per cent; it may pass 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentage_used: Option<u32>,
    /// Errors of the medium that it could not correct (NVMe).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_errors: Option<u64>,
    /// Spare blocks that are left, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spare_percent: Option<u32>,
    /// With fewer spare blocks than that it says that it is failing, per cent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spare_threshold_percent: Option<u32>,
    /// Bits of its critical warning (NVMe).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_warning: Option<u32>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HostDisk {
    /// What the system calls it; another start may call it otherwise.
    pub name: String,
    /// Its model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Its size, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether it turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotational: Option<bool>,
    /// Whether it is made to be taken out.
    #[serde(default)]
    pub removable: bool,
    /// How it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<DiskTransport>,
    /// What became of asking for its SMART state.
    pub smart_state: SmartState,
    /// What it said of its health; of a disk that sleeps, what it said last.
    #[serde(default, deserialize_with = "object_or_null", skip_serializing_if = "Option::is_none")]
    pub smart: Option<SmartReading>,
}

/// A network interface with hardware behind it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HostInterface {
    /// What the system calls it.
    pub name: String,
    /// Its MAC address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Its addresses with their prefix, as in `10.1.2.3/24`.
    pub addresses: Vec<String>,
}

/// `POST /api/v1/inventory`, from an agent: what it sees of its host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct HostInventory {
    /// Who made it, and which one it is.
    #[serde(deserialize_with = "object")]
    pub system: HostSystem,
    /// On what it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Its processors.
    #[serde(deserialize_with = "objects")]
    pub processors: Vec<HostProcessor>,
    /// Memory that the system has, bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Its disks.
    #[serde(deserialize_with = "objects")]
    pub disks: Vec<HostDisk>,
    /// Its network interfaces.
    #[serde(deserialize_with = "objects")]
    pub interfaces: Vec<HostInterface>,
    /// Operating system and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    /// Kernel version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// How far its local time is ahead of UTC, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utc_offset_s: Option<i32>,
}

/// Why an inventory is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// Too many of something.
    #[error("an inventory has at most {most} {what}")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
    /// A text is too long, or holds what cannot be printed.
    #[error("{0}: up to {TEXT_MAX_BYTES} bytes without control characters")]
    Text(&'static str),
    /// An address is none.
    #[error("addresses: {0:?} is no address with its prefix, as in 10.1.2.3/24")]
    Address(String),
    /// Two disks or interfaces have one name.
    #[error("two {0} have one name")]
    Twice(&'static str),
}

/// An address with its prefix, if the text is one.
#[must_use]
pub fn address_of(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix): (IpAddr, u8) = (address.parse().ok()?, prefix.parse().ok()?);
    (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, prefix))
}

fn check_text(what: &'static str, text: &str) -> Result<(), InventoryError> {
    let fits = text.len() <= TEXT_MAX_BYTES && !text.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(InventoryError::Text(what)) }
}

fn check_count<T>(what: &'static str, all: &[T], most: usize) -> Result<(), InventoryError> {
    if all.len() <= most { Ok(()) } else { Err(InventoryError::Many { what, most }) }
}

fn check_distinct<'a>(
    what: &'static str,
    mut names: impl Iterator<Item = &'a String>,
) -> Result<(), InventoryError> {
    let mut seen = std::collections::HashSet::new();
    if names.all(|name| seen.insert(name)) {
        return Ok(());
    }
    Err(InventoryError::Twice(what))
}

impl HostInventory {
    /// Whether it keeps within its bounds.
    ///
    /// # Errors
    /// With what does not.
    pub fn check(&self) -> Result<(), InventoryError> {
        check_count("processors", &self.processors, PROCESSORS_MAX)?;
        check_count("disks", &self.disks, DISKS_MAX)?;
        check_count("interfaces", &self.interfaces, INTERFACES_MAX)?;
        check_distinct("disks", self.disks.iter().map(|disk| &disk.name))?;
        check_distinct("interfaces", self.interfaces.iter().map(|one| &one.name))?;
        for (what, text) in self.texts() {
            check_text(what, text)?;
        }
        for interface in &self.interfaces {
            check_count("addresses of an interface", &interface.addresses, ADDRESSES_MAX)?;
            for address in &interface.addresses {
                if address_of(address).is_none() {
                    return Err(InventoryError::Address(address.chars().take(64).collect()));
                }
            }
        }
        Ok(())
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let system = &self.system;
        let fixed = [
            ("vendor", &system.vendor),
            ("model", &system.model),
            ("serial", &system.serial),
            ("board", &system.board),
            ("bios_version", &system.bios_version),
            ("bios_date", &system.bios_date),
            ("os", &self.os),
            ("kernel", &self.kernel),
        ];
        let fixed = fixed.into_iter().filter_map(|(what, text)| Some((what, text.as_deref()?)));
        let processors = self.processors.iter().filter_map(|one| one.model.as_deref());
        let disks = self.disks.iter().flat_map(|disk| {
            [Some(disk.name.as_str()), disk.model.as_deref(), disk.serial.as_deref()]
        });
        let interfaces =
            self.interfaces.iter().flat_map(|one| [Some(one.name.as_str()), one.mac.as_deref()]);
        fixed
            .chain(processors.map(|text| ("processors", text)))
            .chain(disks.flatten().map(|text| ("disks", text)))
            .chain(interfaces.flatten().map(|text| ("interfaces", text)))
    }

    /// The same without what is no difference: temperatures, hours, times of readings, and whether a disk slept this time.
    #[must_use]
    pub fn lasting(&self) -> Self {
        let mut lasting = self.clone();
        for disk in &mut lasting.disks {
            if let Some(smart) = &mut disk.smart {
                smart.at = Timestamp(0);
                smart.temperature_c = None;
                smart.power_on_hours = None;
                disk.smart_state = SmartState::Read;
            }
        }
        lasting
    }

    /// Gives disks that sleep, or gave no answer this time, what they said of their health `before`.
    pub fn carry_over(&mut self, before: &Self) {
        let asked = |disk: &&mut HostDisk| {
            disk.smart.is_none()
                && matches!(disk.smart_state, SmartState::Asleep | SmartState::Failed)
        };
        for disk in self.disks.iter_mut().filter(asked) {
            let same = before.disks.iter().find(|old| old.identity() == disk.identity());
            disk.smart = same.and_then(|old| old.smart.clone());
        }
    }
}

impl HostDisk {
    /// By what it is known: its serial number, else its name.
    #[must_use]
    pub fn identity(&self) -> &str {
        self.serial.as_deref().unwrap_or(&self.name)
    }

    /// Whether it belongs to the host: it is not made to be taken out, and does not stand elsewhere.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        let elsewhere = matches!(
            self.transport,
            Some(DiskTransport::Usb | DiskTransport::Network | DiskTransport::Mmc)
        );
        !self.removable && !elsewhere
    }
}

/// The answer to an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InventoryAck {
    /// When it was taken, by the controller's clock.
    pub received: Timestamp,
}

#[cfg(test)]
mod tests;
