//! Whether the system runs on a machine of its own, and if not, on what.
//!
//! Invariant: what the firmware says comes first, since it names the product; the processor's flag only says that there is a
//! hypervisor. The marks are those of systemd-detect-virt(1).

use std::path::Path;

use lumbung_wire::messages::host::{HostSystem, Platform};

use super::files;

/// What a firmware's texts begin with, or a model is, on which platform; the first that fits counts.
const VENDORS: &[(&str, Platform)] = &[
    ("KVM", Platform::Kvm),
    ("OpenStack", Platform::Kvm),
    ("KubeVirt", Platform::Kvm),
    ("Amazon EC2", Platform::Kvm),
    ("Google Compute Engine", Platform::Kvm),
    ("Alibaba Cloud", Platform::Kvm),
    ("DigitalOcean", Platform::Kvm),
    ("Nutanix", Platform::Kvm),
    ("RHEV Hypervisor", Platform::Kvm),
    ("oVirt", Platform::Kvm),
    ("QEMU", Platform::Qemu),
    ("VMware", Platform::Vmware),
    ("VMW", Platform::Vmware),
    ("innotek GmbH", Platform::Virtualbox),
    ("VirtualBox", Platform::Virtualbox),
    ("Xen", Platform::Xen),
    ("Bochs", Platform::Virtual),
    ("Parallels", Platform::Virtual),
    ("BHYVE", Platform::Virtual),
];

/// Reads it below `root`.
pub(super) fn read(root: &Path, system: &HostSystem, cpuinfo: &str) -> Option<Platform> {
    if files::line(&root.join("run/systemd/container")).is_some() {
        return Some(Platform::Container);
    }
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    let hypervisor = flags.map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    let named = by_firmware(root, system);
    // Amazon sells bare metal under the same names.
    if named.is_some() && hypervisor != Some(false) {
        return named;
    }
    if files::line(&root.join("sys/hypervisor/type")).as_deref() == Some("xen") {
        // The first domain sees the machine itself.
        let powers = files::text(&root.join("proc/xen/capabilities")).unwrap_or_default();
        return Some(if powers.contains("control_d") { Platform::Physical } else { Platform::Xen });
    }
    Some(if hypervisor? { Platform::Virtual } else { Platform::Physical })
}

fn by_firmware(root: &Path, system: &HostSystem) -> Option<Platform> {
    let bios = files::line(&root.join("sys/class/dmi/id/bios_vendor"));
    let texts = [&system.model, &system.vendor, &system.board, &bios];
    let texts: Vec<&str> = texts.into_iter().filter_map(Option::as_deref).collect();
    if system.vendor.as_deref() == Some("Microsoft Corporation")
        && system.model.as_deref() == Some("Virtual Machine")
    {
        return Some(Platform::Hyperv);
    }
    let fits = |mark: &str| texts.iter().any(|text| text.starts_with(mark));
    VENDORS.iter().find(|(mark, _)| fits(mark)).map(|(_, platform)| *platform)
}
