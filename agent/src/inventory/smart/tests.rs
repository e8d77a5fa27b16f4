use super::*;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn fixture(name: &str) -> Answer {
    read(&std::fs::read(format!("tests/fixtures/smart/{name}.json")).unwrap(), NOW)
}

fn reading_of(name: &str) -> SmartReading {
    let answer = fixture(name);
    assert_eq!(answer.state, SmartState::Read, "{name}");
    answer.reading.unwrap()
}

fn fine() -> SmartReading {
    SmartReading { at: NOW, passed: Some(true), ..SmartReading::default() }
}

#[test]
fn a_hard_disk_is_read() {
    let expected = SmartReading {
        temperature_c: Some(33),
        power_on_hours: Some(44_668),
        reallocated_sectors: Some(304),
        pending_sectors: Some(0),
        uncorrectable_sectors: Some(0),
        ..fine()
    };
    assert_eq!(reading_of("ata-hdd"), expected);
    let answer = fixture("ata-hdd");
    assert_eq!(answer.model.as_deref(), Some("ST3500418AS"));
    assert_eq!(answer.serial.as_deref(), Some("6VM0LMB1"));
}

#[test]
fn flash_disks_are_read() {
    let expected = SmartReading {
        temperature_c: Some(24),
        power_on_hours: Some(4175),
        reallocated_sectors: Some(0),
        pending_sectors: Some(0),
        uncorrectable_sectors: Some(0),
        ..fine()
    };
    assert_eq!(reading_of("sata-ssd"), expected);
    let expected = SmartReading {
        temperature_c: Some(22),
        power_on_hours: Some(13_113),
        percentage_used: Some(3),
        media_errors: Some(0),
        spare_percent: Some(100),
        spare_threshold_percent: Some(10),
        critical_warning: Some(0),
        ..fine()
    };
    assert_eq!(reading_of("nvme"), expected);
    assert_eq!(reading_of("nvme-media-errors").media_errors, Some(7));
}

#[test]
fn a_scsi_disk_is_read() {
    let expected = SmartReading {
        temperature_c: Some(33),
        power_on_hours: Some(102_880),
        reallocated_sectors: Some(260),
        uncorrectable_sectors: Some(536),
        ..fine()
    };
    assert_eq!(reading_of("sas"), expected);
    assert_eq!(fixture("sas").model.as_deref(), Some("SEAGATE ST373453LC"));
}

#[test]
fn disks_that_fail_say_so() {
    let ata = reading_of("ata-failing");
    assert_eq!((ata.passed, ata.exit_status), (Some(false), 216));
    assert_eq!((ata.reallocated_sectors, ata.pending_sectors), (Some(1975), Some(8)));
    let nvme = reading_of("nvme-failing");
    assert_eq!((nvme.passed, nvme.exit_status, nvme.critical_warning), (Some(false), 8, Some(16)));
}

#[test]
fn what_cannot_be_read_has_its_reason() {
    for (name, state) in [
        ("virtio", SmartState::Unsupported),
        ("raid-volume", SmartState::Unsupported),
        ("asleep", SmartState::Asleep),
        ("refused-by-mode", SmartState::Refused),
        ("refused-by-cgroup", SmartState::Refused),
        ("no-device", SmartState::Failed),
    ] {
        let answer = fixture(name);
        assert_eq!((answer.state, answer.reading), (state, None), "{name}");
    }
}

#[test]
fn what_a_hostile_program_writes_is_bounded() {
    for output in [
        &b""[..],
        b"smartctl: command not found",
        b"\xff\xfe\x00",
        b"[]",
        b"{\"smartctl\":{\"exit_status\":\"0\"}}",
        b"{\"smartctl\":{\"exit_status\":-1}}",
    ] {
        assert_eq!(read(output, NOW), Answer::of(SmartState::Failed));
    }
    let deep = format!("{{\"a\":{}", "[".repeat(100_000));
    assert_eq!(read(deep.as_bytes(), NOW), Answer::of(SmartState::Failed));
    let odd = serde_json::json!({
        "smartctl": { "exit_status": u64::MAX - 3, "messages": "x" },
        "model_name": "a\u{1b}[2J".to_owned() + &"é".repeat(1000),
        "serial_number": 7,
        "smart_status": { "passed": "yes" },
        "temperature": { "current": 1e300 },
        "power_on_time": { "hours": -5 },
        "scsi_grown_defect_list": 3,
        "ata_smart_attributes": { "table": [{ "id": 5 }, 5, { "id": 197, "raw": { "value": 2 } }] },
        "nvme_smart_health_information_log": { "media_errors": 1e40, "percentage_used": u64::MAX },
    });
    let answer = read(odd.to_string().as_bytes(), NOW);
    let expected = SmartReading {
        at: NOW,
        exit_status: u32::MAX,
        reallocated_sectors: Some(3),
        pending_sectors: Some(2),
        ..SmartReading::default()
    };
    assert_eq!(answer.reading, Some(expected));
    assert!(answer.model.unwrap().len() <= lumbung_wire::messages::host::TEXT_MAX_BYTES);
    assert_eq!(answer.serial, None);
}

#[test]
fn what_the_kernel_says_of_a_disk_stays() {
    let mut disk = HostDisk {
        name: "sda".into(),
        model: Some("kernel's".into()),
        serial: None,
        bytes: None,
        rotational: None,
        removable: false,
        transport: None,
        smart_state: SmartState::NotAsked,
        smart: None,
    };
    fixture("ata-hdd").tell(&mut disk);
    assert_eq!(disk.model.as_deref(), Some("kernel's"));
    assert_eq!(disk.serial.as_deref(), Some("6VM0LMB1"));
    assert_eq!(disk.smart_state, SmartState::Read);
}
