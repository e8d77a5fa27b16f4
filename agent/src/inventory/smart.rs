//! What smartctl's JSON says of a disk (json_format_version 1, smartmontools 7.0 and later). Pure.
//!
//! Invariants: it is the output of a program that talks to a disk, so it is hostile: whatever is not of the kind that is
//! looked for counts as not there, and no text goes on unbounded. The exit status is a bit mask (smartctl(8)), and not 0 or 1.

use lumbung_model::Timestamp;
use lumbung_wire::messages::host::{HostDisk, SmartReading, SmartState};
use serde_json::Value;

use super::files;

/// Bits of the exit status: the command line was wrong, the disk could not be opened.
const COMMAND_LINE: u64 = 1;
const NOT_OPENED: u64 = 2;

/// What there is to know of a disk.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) state: SmartState,
    pub(super) reading: Option<SmartReading>,
    model: Option<String>,
    serial: Option<String>,
}

impl Answer {
    fn of(state: SmartState) -> Self {
        Self { state, reading: None, model: None, serial: None }
    }

    /// Adds it to the disk; what the kernel says of model and serial number stays.
    pub(super) fn tell(self, disk: &mut HostDisk) {
        disk.smart_state = self.state;
        disk.smart = self.reading;
        disk.model = disk.model.take().or(self.model);
        disk.serial = disk.serial.take().or(self.serial);
    }
}

/// Reads what smartctl wrote at `now`.
pub(super) fn read(output: &[u8], now: Timestamp) -> Answer {
    let Ok(json) = serde_json::from_slice::<Value>(output) else {
        return Answer::of(SmartState::Failed);
    };
    let Some(exit) = json.pointer("/smartctl/exit_status").and_then(Value::as_u64) else {
        return Answer::of(SmartState::Failed);
    };
    if let Some(state) = unread(&json, exit) {
        return Answer::of(state);
    }
    let reading = reading(&json, exit, now);
    let state = if says_something(&reading) { SmartState::Read } else { SmartState::Unsupported };
    let text = |place: &str| json.pointer(place).and_then(Value::as_str).and_then(files::clean);
    Answer {
        state,
        reading: (state == SmartState::Read).then_some(reading),
        model: text("/model_name").or_else(|| text("/scsi_model_name")),
        serial: text("/serial_number"),
    }
}

/// Why there is nothing to read, if there is not.
fn unread(json: &Value, exit: u64) -> Option<SmartState> {
    let messages = json.pointer("/smartctl/messages").and_then(Value::as_array);
    let said = |texts: &[&str]| {
        let mut all = messages.into_iter().flatten().filter_map(|one| one.get("string")?.as_str());
        all.any(|message| texts.iter().any(|text| message.contains(text)))
    };
    if exit & COMMAND_LINE != 0 {
        let unknown = said(&["Unable to detect device type", "please specify device type"]);
        return Some(if unknown { SmartState::Unsupported } else { SmartState::Failed });
    }
    if exit & NOT_OPENED == 0 {
        return None;
    }
    // "Device is in STANDBY mode, exit(2)": the same bit as of a disk that cannot be opened.
    if said(&[" mode, exit("]) || json.get("power_mode").is_some() {
        return Some(SmartState::Asleep);
    }
    let refused = said(&["Permission denied", "Operation not permitted"]);
    Some(if refused { SmartState::Refused } else { SmartState::Failed })
}

fn says_something(reading: &SmartReading) -> bool {
    let SmartReading { at, exit_status, temperature_c, power_on_hours, .. } = reading;
    let bare = SmartReading {
        at: *at,
        exit_status: *exit_status,
        temperature_c: *temperature_c,
        power_on_hours: *power_on_hours,
        ..SmartReading::default()
    };
    // A RAID controller's volume has a temperature of 0 and nothing else.
    *reading != bare || power_on_hours.is_some()
}

fn reading(json: &Value, exit: u64, now: Timestamp) -> SmartReading {
    let number = |place: &str| json.pointer(place).and_then(Value::as_u64);
    let small = |place: &str| number(place).and_then(|value| u32::try_from(value).ok());
    let first = |places: &[&str]| places.iter().find_map(|place| small(place));
    let temperature = json.pointer("/temperature/current").and_then(Value::as_i64);
    let errors = ["read", "write", "verify"].iter().filter_map(|kind| {
        number(&format!("/scsi_error_counter_log/{kind}/total_uncorrected_errors"))
    });
    let nvme = "/nvme_smart_health_information_log";
    SmartReading {
        at: now,
        exit_status: u32::try_from(exit).unwrap_or(u32::MAX),
        passed: json.pointer("/smart_status/passed").and_then(Value::as_bool),
        temperature_c: temperature
            .and_then(|degrees| i32::try_from(degrees).ok())
            .filter(|degrees| (-100..=300).contains(degrees)),
        power_on_hours: number("/power_on_time/hours"),
        reallocated_sectors: attribute(json, 5).or_else(|| number("/scsi_grown_defect_list")),
        pending_sectors: attribute(json, 197),
        uncorrectable_sectors: attribute(json, 198).or_else(|| errors.reduce(u64::saturating_add)),
        percentage_used: first(&[
            &format!("{nvme}/percentage_used"),
            "/endurance_used/current_percent",
            "/scsi_percentage_used_endurance_indicator",
        ]),
        media_errors: number(&format!("{nvme}/media_errors")),
        spare_percent: first(&[
            &format!("{nvme}/available_spare"),
            "/spare_available/current_percent",
        ]),
        spare_threshold_percent: first(&[
            &format!("{nvme}/available_spare_threshold"),
            "/spare_available/threshold_percent",
        ]),
        critical_warning: small(&format!("{nvme}/critical_warning")),
    }
}

/// The raw value of an ATA attribute.
fn attribute(json: &Value, id: u64) -> Option<u64> {
    let table = json.pointer("/ata_smart_attributes/table")?.as_array()?;
    let found = table.iter().find(|one| one.get("id").and_then(Value::as_u64) == Some(id))?;
    found.pointer("/raw/value")?.as_u64()
}

#[cfg(test)]
mod tests;
