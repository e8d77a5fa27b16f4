use super::*;

fn disk(name: &str) -> HostDisk {
    HostDisk {
        name: name.to_owned(),
        model: None,
        serial: Some(format!("S-{name}")),
        bytes: Some(1 << 40),
        rotational: Some(true),
        removable: false,
        transport: Some(DiskTransport::Sata),
        smart_state: SmartState::Read,
        smart: Some(SmartReading {
            at: Timestamp(1_700_000_000),
            passed: Some(true),
            temperature_c: Some(30),
            power_on_hours: Some(1000),
            pending_sectors: Some(0),
            ..SmartReading::default()
        }),
    }
}

fn host() -> HostInventory {
    HostInventory {
        disks: vec![disk("sda"), disk("sdb")],
        interfaces: vec![HostInterface {
            name: "eno1".into(),
            mac: Some("02:00:00:00:00:01".into()),
            addresses: vec!["10.1.2.3/24".into(), "2001:db8::7/64".into()],
        }],
        memory_bytes: Some(u64::MAX),
        ..HostInventory::default()
    }
}

#[test]
fn what_passes_its_bounds_is_refused_by_name() {
    assert_eq!(host().check(), Ok(()));
    let refused = |change: fn(&mut HostInventory)| {
        let mut host = host();
        change(&mut host);
        host.check().unwrap_err()
    };
    assert_eq!(
        refused(|host| host.system.serial = Some("x".repeat(TEXT_MAX_BYTES + 1))),
        InventoryError::Text("serial")
    );
    assert_eq!(
        refused(|host| host.disks[1].model = Some("a\u{1b}[2J".into())),
        InventoryError::Text("disks")
    );
    assert_eq!(refused(|host| host.disks[1].name = "sda".into()), InventoryError::Twice("disks"));
    assert_eq!(
        refused(|host| host.disks = (0..=DISKS_MAX).map(|n| disk(&n.to_string())).collect()),
        InventoryError::Many { what: "disks", most: DISKS_MAX }
    );
    for address in ["10.1.2.3", "10.1.2.3/33", "2001:db8::7/129", "eth0/1", "/", ""] {
        let mut host = host();
        host.interfaces[0].addresses.push(address.to_owned());
        assert_eq!(host.check(), Err(InventoryError::Address(address.to_owned())));
    }
}

#[test]
fn unknown_members_are_refused() {
    for text in [
        r#"{"processes": []}"#,
        r#"{"system": {"uuid": "1"}}"#,
        r#"{"disks": [{"name": "sda", "smart_state": "read", "partitions": 1}]}"#,
        r#"{"disks": [{"name": "sda", "smart_state": "fine"}]}"#,
    ] {
        assert!(serde_json::from_str::<HostInventory>(text).is_err(), "{text}");
    }
    assert_eq!(serde_json::from_str::<HostInventory>("{}").unwrap(), HostInventory::default());
    let text = serde_json::to_string(&host()).unwrap();
    assert_eq!(serde_json::from_str::<HostInventory>(&text).unwrap(), host());
}

#[test]
fn warmth_and_hours_are_no_difference_and_a_pending_sector_is() {
    let (mut warmer, mut worse) = (host(), host());
    let smart = warmer.disks[0].smart.as_mut().unwrap();
    (smart.temperature_c, smart.power_on_hours, smart.at) =
        (Some(41), Some(1024), Timestamp(1_700_086_400));
    assert_ne!(warmer, host());
    assert_eq!(warmer.lasting(), host().lasting());
    worse.disks[0].smart.as_mut().unwrap().pending_sectors = Some(1);
    assert_ne!(worse.lasting(), host().lasting());
}

#[test]
fn a_disk_that_sleeps_is_what_it_was() {
    let mut asleep = host();
    asleep.disks[0].smart = None;
    asleep.disks[0].smart_state = SmartState::Asleep;
    // Nobody asked the other: what it said once is not held up for ever.
    asleep.disks[1].smart = None;
    asleep.disks[1].smart_state = SmartState::NotAsked;
    asleep.carry_over(&host());
    assert_eq!(asleep.disks[0].smart, host().disks[0].smart);
    assert_eq!(asleep.disks[0].smart_state, SmartState::Asleep);
    assert_eq!(asleep.disks[1].smart, None);
    assert_eq!(asleep.lasting().disks[0], host().lasting().disks[0]);
}

#[test]
fn an_array_of_fields_is_no_object() {
    for (field, sound, array) in [
        ("system", r#"{}"#, r#"[null,null]"#),
        ("processors", r#"[{}]"#, r#"[[]]"#),
        ("interfaces", r#"[{}]"#, r#"[["eth0"]]"#),
        (
            "disks",
            r#"[{"name":"sda","smart_state":"read","smart":{}}]"#,
            r#"[{"name":"sda","smart_state":"read","smart":[]}]"#,
        ),
    ] {
        let read =
            |value| serde_json::from_str::<HostInventory>(&format!(r#"{{"{field}":{value}}}"#));
        read(sound).unwrap_or_else(|error| panic!("{field}: {error}"));
        let error = read(array).unwrap_err().to_string();
        assert!(error.contains("expected an object"), "{field}: {error}");
    }
}
