//! Small files of the kernel, and texts that are fit to be told.
//!
//! Invariants: no more than [`FILE_MAX_BYTES`] of a file are read, whatever it is; a text that leaves here is at most
//! [`TEXT_MAX_BYTES`] long, on one line, without control characters, and no placeholder of a firmware.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use lumbung_wire::messages::host::TEXT_MAX_BYTES;

/// /proc/cpuinfo of a machine with 512 threads has less.
const FILE_MAX_BYTES: u64 = 2 << 20;

/// What firmwares write where nobody filled in anything; lower case.
const PLACEHOLDERS: &[&str] = &[
    "to be filled by o.e.m.",
    "to be filled by o.e.m",
    "default string",
    "not specified",
    "not applicable",
    "not available",
    "not present",
    "system manufacturer",
    "system product name",
    "system serial number",
    "system version",
    "base board serial number",
    "chassis serial number",
    "product name",
    "serial number",
    "manufacturer",
    "o.e.m.",
    "oem",
    "none",
    "null",
    "n/a",
    "na",
    "unknown",
    "undefined",
    "invalid",
    "empty",
    "0123456789",
    "1234567890",
    "123456789",
    "12345678",
];

/// A file's bytes, as far as they are read.
pub(super) fn bytes(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(FILE_MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A file's text; what is no UTF-8 in it is replaced.
pub(super) fn text(path: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(path)?).into_owned())
}

/// A file's one line, if it says something.
pub(super) fn line(path: &Path) -> Option<String> {
    clean(&text(path)?)
}

/// A file's number.
pub(super) fn number(path: &Path) -> Option<u64> {
    text(path)?.trim().parse().ok()
}

/// The text as it may be told; none if it says nothing.
pub(super) fn clean(text: &str) -> Option<String> {
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = printable.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = text[..text.floor_char_boundary(TEXT_MAX_BYTES)].trim_end();
    let lower = text.to_lowercase();
    let of_one_kind = |filler: &[char]| text.chars().all(|c| filler.contains(&c));
    // Also UUIDs and serial numbers of zeros, dots, x or f alone.
    let says_nothing = of_one_kind(&['0', '-', ' ', '.'])
        || of_one_kind(&['x', 'X', '.', ' ', '-'])
        || (text.len() >= 8 && of_one_kind(&['f', 'F', '-']));
    (!says_nothing && !PLACEHOLDERS.contains(&lower.as_str())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_say_nothing() {
        for text in [
            "",
            " \n",
            "0",
            "0000000",
            "00000000-0000-0000-0000-000000000000",
            "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
            "To Be Filled By O.E.M.",
            "Default string\n",
            "System Serial Number",
            "Not Specified",
            "0123456789",
            "....",
            "xxxxxxx",
            "N/A",
        ] {
            assert_eq!(clean(text), None, "{text:?}");
        }
        assert_eq!(clean(" CZJ0470B12 \n").as_deref(), Some("CZJ0470B12"));
        assert_eq!(clean("0A0").as_deref(), Some("0A0"));
        assert_eq!(clean("FF").as_deref(), Some("FF"));
    }

    #[test]
    fn texts_are_cut_and_drive_no_terminal() {
        assert_eq!(clean("a\u{1b}[2J\u{0}b\nc").as_deref(), Some("a [2J b c"));
        let long = clean(&"é".repeat(TEXT_MAX_BYTES)).unwrap();
        assert!(long.len() <= TEXT_MAX_BYTES && long.chars().all(|c| c == 'é'), "{long}");
    }

    #[test]
    fn an_endless_file_ends() {
        assert_eq!(bytes(Path::new("/dev/zero")).unwrap().len() as u64, FILE_MAX_BYTES);
        assert_eq!(bytes(Path::new("/nonexistent")), None);
    }
}
