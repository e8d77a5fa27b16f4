use std::fs;
use std::os::unix::fs::symlink;

use lumbung_wire::messages::host::{
    ChassisKind, DiskTransport, HostInterface, HostProcessor, HostSystem, Platform,
};

use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000);

/// A recorded tree, below a directory of its own.
fn host(name: &str) -> tempfile::TempDir {
    let text = fs::read_to_string(format!("tests/fixtures/hosts/{name}.tree")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for line in text.lines() {
        add(dir.path(), line);
    }
    dir
}

fn add(root: &Path, line: &str) {
    if let Some((path, target)) = line.split_once(" -> ") {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return symlink(target, path).unwrap();
    }
    let (path, content) = line.split_once(": ").unwrap();
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, unescaped(content)).unwrap();
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend(c.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        match chars.next().unwrap() {
            'n' => out.push(b'\n'),
            't' => out.push(b'\t'),
            '\\' => out.push(b'\\'),
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&digits, 16).unwrap());
            }
            other => panic!("\\{other}"),
        }
    }
    out
}

fn seen(host: &tempfile::TempDir, addresses: &Addresses) -> HostInventory {
    let seen = read(host.path(), addresses, NOW);
    assert_eq!(seen.check(), Ok(()), "what is seen may be told");
    seen
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_rack_server_is_described() {
    let host = host("rack-server");
    let address = |text: &str| text.parse().unwrap();
    let addresses = Addresses::from([
        (
            "br0".to_owned(),
            vec![
                (address("10.20.30.5"), 24),
                (address("fe80::1"), 64),
                (address("2001:db8::7"), 64),
                (address("2001:db8::dead:beef"), 64),
            ],
        ),
        ("docker0".to_owned(), vec![(address("172.17.0.1"), 16)]),
        ("lo".to_owned(), vec![(address("127.0.0.1"), 8)]),
    ]);
    let seen = seen(&host, &addresses);
    assert_eq!(
        seen.system,
        HostSystem {
            vendor: some("Dell Inc."),
            model: some("PowerEdge R740"),
            serial: some("LMB7Q13"),
            board: some("0923K0"),
            bios_version: some("2.19.1"),
            bios_date: some("06/04/2023"),
            chassis: Some(ChassisKind::RackMount),
        }
    );
    assert_eq!(seen.platform, Some(Platform::Physical));
    let model = some("Intel(R) Xeon(R) Silver 4210 CPU @ 2.20GHz");
    assert_eq!(seen.processors, [HostProcessor { model, sockets: 2, cores: 20, threads: 40 }]);
    assert_eq!(seen.memory_bytes, Some(263_856_284 * 1024));
    assert_eq!(seen.os, some("Ubuntu 22.04.4 LTS"));
    assert_eq!(seen.kernel, some("5.15.0-105-generic"));
    let mac = some("02:4c:4d:42:00:01");
    assert_eq!(
        seen.interfaces,
        [
            HostInterface { name: "bond0".into(), mac: mac.clone(), addresses: vec![] },
            HostInterface {
                name: "br0".into(),
                mac: mac.clone(),
                addresses: vec!["10.20.30.5/24".into(), "2001:db8::7/64".into()],
            },
            HostInterface { name: "eno1".into(), mac, addresses: vec![] },
        ]
    );
}

#[test]
fn its_disks_are_those_that_can_be_pulled_out() {
    let seen = seen(&host("rack-server"), &Addresses::new());
    let found: Vec<_> = seen
        .disks
        .iter()
        .map(|disk| {
            let serial = disk.serial.as_deref().unwrap_or_default();
            (disk.name.as_str(), disk.model.as_deref().unwrap_or_default(), serial, disk.transport)
        })
        .collect();
    use DiskTransport::{Nvme, Sas, Sata, Scsi, Usb};
    assert_eq!(
        found,
        [
            ("sda", "ST2000NM0008-2F3", "LMBZC1X0", Some(Sata)),
            ("sdb", "SEAGATE ST600MM0069", "LMBW0H3S0000K822", Some(Sas)),
            ("sdc", "WD My Passport 2627", "LMB575841", Some(Usb)),
            ("sdd", "DELL PERC H730P Mini", "00lmb0123456789a", Some(Scsi)),
            ("nvme0n1", "SAMSUNG MZQL21T9HCJR-00A07", "S64GLMB0000003", Some(Nvme)),
        ]
    );
    assert_eq!(seen.disks[0].bytes, Some(2_000_398_934_016));
    assert_eq!((seen.disks[0].rotational, seen.disks[4].rotational), (Some(true), Some(false)));
    let fixed: Vec<bool> = seen.disks.iter().map(|disk| disk.is_fixed()).collect();
    assert_eq!(fixed, [true, true, false, true, true]);
}

#[test]
fn a_virtual_machine_without_dmi_is_described() {
    let seen = seen(&host("microvm"), &Addresses::new());
    assert_eq!(seen.system, HostSystem::default());
    assert_eq!(seen.platform, Some(Platform::Virtual), "by the processor's flag alone");
    let model = some("AMD EPYC");
    assert_eq!(seen.processors, [HostProcessor { model, sockets: 1, cores: 2, threads: 2 }]);
    assert_eq!(seen.disks.len(), 1, "no loops, no compressed memory: {:?}", seen.disks);
    let disk = &seen.disks[0];
    assert_eq!((disk.name.as_str(), &disk.serial), ("vda", &some("overlayblk")));
    assert_eq!(disk.transport, Some(DiskTransport::Virtual));
    assert_eq!(disk.bytes, Some(536_870_912 * 512));
    let names: Vec<&str> = seen.interfaces.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["eth0"]);
}

#[test]
fn platforms_are_told_apart() {
    let flags = |more: &str| format!("proc/cpuinfo: processor : 0\\nflags : fpu sse2{more}");
    let (bare, virtualized) = (flags(""), flags(" hypervisor"));
    let dmi = |vendor: &str, model: &str| {
        vec![
            format!("sys/class/dmi/id/sys_vendor: {vendor}"),
            format!("sys/class/dmi/id/product_name: {model}"),
        ]
    };
    let xen = |powers: &str| {
        let powers = format!("proc/xen/capabilities: {powers}");
        vec!["sys/hypervisor/type: xen".to_owned(), powers, virtualized.clone()]
    };
    let with = |mut lines: Vec<String>, cpu: &str| {
        lines.push(cpu.to_owned());
        lines
    };
    for (lines, expected) in [
        (
            with(dmi("QEMU", "Standard PC (i440FX + PIIX, 1996)"), &virtualized),
            Some(Platform::Qemu),
        ),
        (with(dmi("Red Hat", "KVM"), &virtualized), Some(Platform::Kvm)),
        (
            with(dmi("VMware, Inc.", "VMware Virtual Platform"), &virtualized),
            Some(Platform::Vmware),
        ),
        (
            with(dmi("Microsoft Corporation", "Virtual Machine"), &virtualized),
            Some(Platform::Hyperv),
        ),
        (with(dmi("Microsoft Corporation", "Surface Pro"), &bare), Some(Platform::Physical)),
        (with(dmi("innotek GmbH", "VirtualBox"), &virtualized), Some(Platform::Virtualbox)),
        (with(dmi("Amazon EC2", "c5.metal"), &bare), Some(Platform::Physical)),
        (with(dmi("Amazon EC2", "c5.large"), &virtualized), Some(Platform::Kvm)),
        (xen("control_d"), Some(Platform::Physical)),
        (xen(""), Some(Platform::Xen)),
        (with(vec!["run/systemd/container: lxc".to_owned()], &bare), Some(Platform::Container)),
        (vec!["proc/cpuinfo: processor : 0\\nBogoMIPS : 50.00".to_owned()], None),
        (vec![], None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        lines.iter().for_each(|line| add(dir.path(), line));
        assert_eq!(read(dir.path(), &Addresses::new(), NOW).platform, expected, "{lines:?}");
    }
}

#[test]
fn what_nobody_filled_in_is_none() {
    let dir = tempfile::tempdir().unwrap();
    for line in [
        "sys/class/dmi/id/sys_vendor: To Be Filled By O.E.M.",
        "sys/class/dmi/id/product_name: System Product Name",
        "sys/class/dmi/id/product_serial: Default string",
        "sys/class/dmi/id/board_vendor: ASRock",
        "sys/class/dmi/id/board_name: B450M Pro4",
        "sys/class/dmi/id/chassis_serial: 0",
        "sys/class/dmi/id/chassis_type: 2",
        "proc/meminfo: MemTotal: 18446744073709551615 kB",
        "proc/cpuinfo: \\x00\\xff\\xfe",
    ] {
        add(dir.path(), line);
    }
    let seen = read(dir.path(), &Addresses::new(), NOW);
    let system =
        HostSystem { vendor: some("ASRock"), board: some("B450M Pro4"), ..HostSystem::default() };
    assert_eq!(seen.system, system);
    assert_eq!((seen.memory_bytes, seen.processors), (None, vec![]));
}

#[test]
fn processors_of_two_kinds_and_without_cores_are_counted() {
    let arm = "processor\t: 0\nBogoMIPS\t: 50\n\nprocessor\t: 1\nBogoMIPS\t: 50\n\nHardware\t: x\n";
    let found = processors::parse(arm);
    assert_eq!(found, [HostProcessor { model: None, sockets: 1, cores: 2, threads: 2 }]);
    let two = "processor : 0\nmodel name : A\ncore id : 0\n\nprocessor : 1\nmodel name : B\ncore id : 1\n\nprocessor : 2\nmodel name : B\ncore id : 1";
    let found: Vec<_> = processors::parse(two).iter().map(|one| (one.cores, one.threads)).collect();
    assert_eq!(found, [(1, 1), (1, 2)]);
}
