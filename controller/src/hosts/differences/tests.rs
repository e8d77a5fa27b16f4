use lumbung_wire::messages::host::{
    DiskTransport, HostInterface, HostProcessor, HostSystem, SmartState,
};

use super::*;

const GIB: u64 = 1 << 30;

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn disk(name: &str, serial: &str) -> HostDisk {
    HostDisk {
        name: name.to_owned(),
        model: some("ST2000NM0008"),
        serial: some(serial),
        bytes: Some(2_000_398_934_016),
        rotational: Some(true),
        removable: false,
        transport: Some(DiskTransport::Sata),
        smart_state: SmartState::NotAsked,
        smart: None,
    }
}

fn host() -> HostInventory {
    HostInventory {
        system: HostSystem {
            vendor: some("Dell Inc."),
            model: some("PowerEdge R740"),
            serial: some("LMB7Q13"),
            board: some("0923K0"),
            bios_version: some("2.19.1"),
            ..HostSystem::default()
        },
        platform: Some(Platform::Physical),
        processors: vec![HostProcessor { model: some("Xeon"), sockets: 2, cores: 20, threads: 40 }],
        memory_bytes: Some(256 * GIB),
        disks: vec![disk("sda", "A"), disk("sdb", "B")],
        interfaces: vec![HostInterface {
            name: "eno1".into(),
            mac: some("02:00:00:00:00:01"),
            addresses: vec!["10.1.2.3/24".into(), "10.1.2.4/24".into()],
        }],
        os: some("Debian 12"),
        kernel: some("6.1.0"),
        utc_offset_s: Some(25_200),
    }
}

fn changed(change: impl Fn(&mut HostInventory)) -> Vec<String> {
    let mut now = host();
    change(&mut now);
    between(&host(), &now, HostExpectation::Accepted).iter().map(told).collect()
}

#[test]
fn what_is_as_it_was_differs_in_nothing() {
    for from in [HostExpectation::Accepted, HostExpectation::Before] {
        assert_eq!(between(&host(), &host(), from), []);
    }
    assert_eq!(differences(&Registered::default(), &host()), []);
}

#[test]
fn hardware_that_vanished_or_came_is_named() {
    assert_eq!(changed(|host| drop(host.disks.pop())), ["disk B (ST2000NM0008, 2.00 TB) is gone"]);
    assert_eq!(
        changed(|host| host.disks.push(disk("sdc", "C"))),
        ["disk C (ST2000NM0008, 2.00 TB) is new"]
    );
    assert_eq!(
        changed(|host| host.disks[1].bytes = Some(1_000_000_000_000)),
        ["disk B was ST2000NM0008, 2.00 TB and is ST2000NM0008, 1.00 TB"]
    );
    assert_eq!(
        changed(|host| host.memory_bytes = Some(224 * GIB)),
        ["memory was 275 GB and is 241 GB"]
    );
    assert_eq!(
        changed(|host| host.processors[0].sockets = 1),
        ["processors was Xeon, 2 sockets, 20 cores and is Xeon, 1 sockets, 20 cores"]
    );
    assert_eq!(
        changed(|host| host.system.serial = some("OTHER")),
        ["serial number was LMB7Q13 and is OTHER"]
    );
    assert_eq!(
        changed(
            |host| host.interfaces[0].addresses = vec!["10.1.2.3/24".into(), "10.9.9.9/8".into()]
        ),
        ["address (10.1.2.4/24) is gone", "address (10.9.9.9/8) is new"]
    );
    assert_eq!(
        changed(|host| host.platform = Some(Platform::Kvm)),
        ["platform was physical and is kvm"]
    );
}

#[test]
fn names_of_disks_updates_and_what_comes_and_goes_are_no_finding() {
    let nothing: [&str; 0] = [];
    assert_eq!(
        changed(|host| host
            .disks
            .iter_mut()
            .rev()
            .zip(["sda", "sdb"])
            .for_each(|(disk, name)| disk.name = name.into())),
        nothing
    );
    assert_eq!(
        changed(|host| {
            host.disks.push(HostDisk { transport: Some(DiskTransport::Usb), ..disk("sdx", "X") });
            host.disks.push(HostDisk { removable: true, ..disk("sdy", "Y") });
            host.disks
                .push(HostDisk { transport: Some(DiskTransport::Network), ..disk("sdz", "Z") });
        }),
        nothing
    );
    assert_eq!(
        changed(|host| {
            host.kernel = some("6.1.1");
            host.os = some("Debian 13");
            host.system.bios_version = some("3");
            host.utc_offset_s = Some(0);
            host.interfaces[0].mac = None;
        }),
        nothing
    );
    // A kernel keeps more for itself.
    assert_eq!(changed(|host| host.memory_bytes = Some(254 * GIB)), nothing);
}

#[test]
fn what_cannot_be_seen_any_more_is_no_difference() {
    let nothing: [&str; 0] = [];
    assert_eq!(changed(|host| *host = HostInventory::default()), nothing);
    let found = between(&HostInventory::default(), &host(), HostExpectation::Accepted);
    assert_eq!(found, []);
}

#[test]
fn history_remembers_updates_and_health() {
    let mut now = host();
    now.kernel = some("6.1.1");
    now.system.bios_version = some("2.20");
    now.interfaces[0].mac = some("02:00:00:00:00:02");
    let mut before = host();
    let reading = |pending| SmartReading {
        passed: Some(true),
        pending_sectors: Some(pending),
        temperature_c: Some(30),
        ..SmartReading::default()
    };
    before.disks[0].smart = Some(reading(0));
    now.disks[0].smart = Some(reading(8));
    let found = between(&before, &now, HostExpectation::Before);
    assert_eq!(
        found.iter().map(told).collect::<Vec<_>>(),
        [
            "firmware was 2.19.1 and is 2.20",
            "system was 6.1.0 and is 6.1.1",
            "SMART state of disk A was passed, pending 0 and is passed, pending 8",
            "interface eno1 was eno1 02:00:00:00:00:01 and is eno1 02:00:00:00:00:02",
        ]
    );
}

#[test]
fn the_register_is_held_against_what_is_seen() {
    let said = |registered: Registered| -> Vec<String> {
        differences(&registered, &host()).iter().map(told).collect()
    };
    let nothing: [&str; 0] = [];
    for model in [
        "PowerEdge R740",
        "Dell PowerEdge R740",
        "R740",
        "dell inc poweredge-r740",
        "PowerEdge R740 (2U)",
    ] {
        let registered = Registered { model: some(model), ..Registered::default() };
        assert_eq!(said(registered), nothing, "{model}");
    }
    let fine = Registered {
        kind: Some(ServerKind::Physical),
        model: None,
        serial: some(" lmb7q13 "),
        address: some("10.1.2.4"),
    };
    assert_eq!(said(fine), nothing);
    let wrong = Registered {
        kind: Some(ServerKind::Vps),
        model: some("ProLiant DL380"),
        serial: some("LMB7Q14"),
        address: some("10.1.2.5"),
    };
    assert_eq!(
        said(wrong),
        [
            "platform: the register says vps, its agent sees physical",
            "model: the register says ProLiant DL380, its agent sees Dell Inc. PowerEdge R740",
            "serial number: the register says LMB7Q14, its agent sees LMB7Q13",
            "address: the register says 10.1.2.5, its agent sees 10.1.2.3/24, 10.1.2.4/24",
        ]
    );
    for kind in [ServerKind::Vps, ServerKind::Virtual] {
        let mut virtual_host = host();
        virtual_host.platform = Some(Platform::Container);
        let registered = Registered { kind: Some(kind), ..Registered::default() };
        assert_eq!(differences(&registered, &virtual_host), []);
        virtual_host.platform = None;
        assert_eq!(differences(&registered, &virtual_host), [], "nobody can tell");
    }
}
