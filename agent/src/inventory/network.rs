//! Network interfaces that have hardware behind them, with their addresses.
//!
//! Invariants: no loopback and nothing that containers and virtual machines bring and take away; a bridge, bond or VLAN
//! counts where hardware carries it. No link-local address, and none that IPv6 makes up for a day (RFC 8981).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use lumbung_wire::messages::host::{ADDRESSES_MAX, HostInterface, INTERFACES_MAX};
use sysinfo::Networks;

use super::files;

/// A bridge over a VLAN over a bond over an interface.
const LAYERS: u32 = 3;

/// Addresses with their prefix, by interface.
pub type Addresses = BTreeMap<String, Vec<(IpAddr, u8)>>;

/// The addresses of this host.
#[must_use]
pub fn addresses() -> Addresses {
    let Ok(networks) = Networks::new_with_refreshed_list() else { return Addresses::new() };
    let of = |(name, data): (&OsString, &sysinfo::NetworkData)| {
        (
            name.to_string_lossy().into_owned(),
            data.ip_networks().iter().map(|one| (one.addr, one.prefix)).collect(),
        )
    };
    networks.iter().map(of).collect()
}

/// Reads the interfaces below `root`.
pub(super) fn read(root: &Path, addresses: &Addresses) -> Vec<HostInterface> {
    let dir = root.join("sys/class/net");
    let Ok(entries) = std::fs::read_dir(&dir) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names = names.filter(|name| files::clean(name).as_ref() == Some(name));
    let mut names: Vec<String> = names.filter(|name| is_carried(&dir.join(name), LAYERS)).collect();
    names.sort();
    names.truncate(INTERFACES_MAX);
    let temporary = temporary(root);
    let interface = |name: String| HostInterface {
        mac: files::line(&dir.join(&name).join("address")),
        addresses: lasting(addresses.get(&name), &temporary),
        name,
    };
    names.into_iter().map(interface).collect()
}

/// Whether there is hardware, or a hypervisor's, behind it, at most so many layers below.
fn is_carried(dir: &Path, layers: u32) -> bool {
    if dir.join("device").exists() {
        return true;
    }
    // What lies below a bond, bridge or VLAN is linked as `lower_…`.
    let Ok(entries) = std::fs::read_dir(dir) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let below = entry.file_name().to_string_lossy().starts_with("lower_");
        below && layers > 0 && is_carried(&entry.path(), layers - 1)
    })
}

/// Without those that come and go by themselves, sorted.
fn lasting(all: Option<&Vec<(IpAddr, u8)>>, temporary: &BTreeSet<Ipv6Addr>) -> Vec<String> {
    let stays = |address: &IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        IpAddr::V6(v6) => {
            !v6.is_unicast_link_local() && !v6.is_loopback() && !temporary.contains(v6)
        }
    };
    let all = all.into_iter().flatten().filter(|(address, _)| stays(address));
    let sorted: BTreeSet<(IpAddr, u8)> = all.copied().collect();
    let shown = sorted.into_iter().map(|(address, prefix)| format!("{address}/{prefix}"));
    shown.take(ADDRESSES_MAX).collect()
}

/// The addresses of IPv6 that are marked as temporary (`IFA_F_TEMPORARY`, 0x01) in `/proc/net/if_inet6`.
fn temporary(root: &Path) -> BTreeSet<Ipv6Addr> {
    let text = files::text(&root.join("proc/net/if_inet6")).unwrap_or_default();
    let marked = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        (flags & 1 != 0).then(|| Ipv6Addr::from(address))
    });
    marked.collect()
}
