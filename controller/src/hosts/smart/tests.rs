use lumbung_wire::messages::host::SmartState;

use super::*;

fn disk(smart: SmartReading) -> HostDisk {
    HostDisk {
        name: "nvme0n1".into(),
        model: Some("SAMSUNG MZQL21T9HCJR".into()),
        serial: Some("S64GLMB0000003".into()),
        bytes: None,
        rotational: None,
        removable: false,
        transport: None,
        smart_state: SmartState::Read,
        smart: Some(smart),
    }
}

fn said(smart: SmartReading) -> Option<String> {
    let text = finding(&disk(smart))?;
    let named = "disk nvme0n1 (SAMSUNG MZQL21T9HCJR), serial S64GLMB0000003: ";
    Some(text.strip_prefix(named).unwrap().to_owned())
}

#[test]
fn what_asks_for_somebody_is_said() {
    let fine = || SmartReading {
        passed: Some(true),
        pending_sectors: Some(0),
        spare_percent: Some(100),
        spare_threshold_percent: Some(10),
        percentage_used: Some(99),
        critical_warning: Some(0),
        ..SmartReading::default()
    };
    let failing = "it says that it is failing";
    for (smart, expected) in [
        (fine(), None),
        // Old scars: replaced sectors, an error log with entries, errors that were counted.
        (
            SmartReading {
                reallocated_sectors: Some(304),
                media_errors: Some(7),
                exit_status: 64,
                ..fine()
            },
            None,
        ),
        (SmartReading { passed: Some(false), ..fine() }, Some(failing)),
        (SmartReading { exit_status: 8, passed: None, ..fine() }, Some(failing)),
        (
            SmartReading { exit_status: 16, ..fine() },
            Some("one of its attributes is at its threshold"),
        ),
        (
            SmartReading { pending_sectors: Some(8), ..fine() },
            Some("sectors that cannot be read now: 8"),
        ),
        (SmartReading { spare_percent: Some(10), ..fine() }, None),
        (
            SmartReading { spare_percent: Some(9), ..fine() },
            Some("9 % of its spare blocks are left, fewer than 10 %"),
        ),
        (
            SmartReading { percentage_used: Some(100), ..fine() },
            Some("100 % of the life that it is rated for are used up"),
        ),
        (
            SmartReading {
                passed: Some(false),
                critical_warning: Some(16),
                exit_status: 24,
                ..fine()
            },
            Some("it says that it is failing, critical warning 0x10"),
        ),
    ] {
        assert_eq!(said(smart.clone()).as_deref(), expected, "{smart:?}");
    }
    let mut asleep = disk(fine());
    asleep.smart = None;
    assert_eq!(finding(&asleep), None);
}
