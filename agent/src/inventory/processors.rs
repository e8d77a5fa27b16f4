//! Processors, from the text of `/proc/cpuinfo`.

use std::collections::{BTreeMap, BTreeSet};

use lumbung_wire::messages::host::{HostProcessor, PROCESSORS_MAX};

use super::files;

#[derive(Default)]
struct Group {
    sockets: BTreeSet<String>,
    cores: BTreeSet<(String, String)>,
    threads: u32,
}

/// Processors by model. Where the system does not say which thread is of which core (ARM), every thread is one.
pub(super) fn parse(cpuinfo: &str) -> Vec<HostProcessor> {
    let mut groups: BTreeMap<Option<String>, Group> = BTreeMap::new();
    for block in cpuinfo.split("\n\n") {
        let value = |key: &str| {
            block.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == key).then(|| value.trim())
            })
        };
        let Some(number) = value("processor") else { continue };
        let group = groups.entry(value("model name").and_then(files::clean)).or_default();
        let socket = value("physical id").unwrap_or("0").to_owned();
        let core = value("core id").map_or_else(|| format!("thread {number}"), str::to_owned);
        group.sockets.insert(socket.clone());
        group.cores.insert((socket, core));
        group.threads += 1;
    }
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let processor = |(model, group): (Option<String>, Group)| HostProcessor {
        model,
        sockets: count(group.sockets.len()),
        cores: count(group.cores.len()),
        threads: group.threads,
    };
    groups.into_iter().map(processor).take(PROCESSORS_MAX).collect()
}
