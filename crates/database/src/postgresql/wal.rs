//! Names of write-ahead log files, and whether a set of them leaves a gap. Pure.
//!
//! A segment's name is 24 hexadecimal digits: timeline, and its number in two halves; how many segments the lower half counts follows from
//! their size (PostgreSQL, "Write-Ahead Log Internals"; `src/include/access/xlog_internal.h`).

use std::collections::BTreeSet;
use std::str::FromStr;

/// A segment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The timeline, which a recovery raises.
    pub timeline: u32,
    high: u32,
    low: u32,
}

/// Why a text is no name of a segment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a WAL segment: 24 hexadecimal digits")]
pub struct SegmentError(String);

impl FromStr for Segment {
    type Err = SegmentError;

    fn from_str(text: &str) -> Result<Self, SegmentError> {
        let error = || SegmentError(text.to_owned());
        let upper_hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        if text.len() != 24 || !text.bytes().all(upper_hex) {
            return Err(error());
        }
        let part = |at: usize| u32::from_str_radix(&text[at..at + 8], 16).map_err(|_| error());
        Ok(Self { timeline: part(0)?, high: part(8)?, low: part(16)? })
    }
}

impl std::fmt::Display for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.high, self.low)
    }
}

impl Segment {
    /// The one behind it, with segments of so many bytes.
    #[must_use]
    pub fn next(self, segment_bytes: u64) -> Self {
        let in_a_file = (1_u64 << 32) / segment_bytes.max(1);
        if u64::from(self.low) + 1 < in_a_file {
            return Self { low: self.low + 1, ..self };
        }
        Self { high: self.high.wrapping_add(1), low: 0, ..self }
    }
}

/// How far a log reaches from a segment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// The first segment itself is missing.
    Nothing,
    /// Without a gap to this one, the last there is.
    To(Segment),
    /// There are later ones, but this one is missing.
    Gap(Segment),
}

/// Follows the log of one timeline from `first` on.
#[must_use]
pub fn reach(there: &BTreeSet<Segment>, first: Segment, segment_bytes: u64) -> Reach {
    if !there.contains(&first) {
        return Reach::Nothing;
    }
    let mut last = first;
    loop {
        let next = last.next(segment_bytes);
        if there.contains(&next) {
            last = next;
            continue;
        }
        let beyond = there.iter().any(|one| one.timeline == first.timeline && *one > next);
        return if beyond { Reach::Gap(next) } else { Reach::To(last) };
    }
}

/// What a base backup says of itself in `backup_label`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The log sequence number from which on the log is needed.
    pub start: String,
    /// The segment that holds it.
    pub segment: Segment,
}

/// Finds `START WAL LOCATION: 0/2000028 (file 000000010000000000000002)`.
#[must_use]
pub fn label(text: &str) -> Option<Label> {
    let rest = text.lines().find_map(|line| line.strip_prefix("START WAL LOCATION: "))?;
    let (start, rest) = rest.split_once(" (file ")?;
    let segment = rest.strip_suffix(')')?.parse().ok()?;
    Some(Label { start: start.to_owned(), segment })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn segment(text: &str) -> Segment {
        text.parse().unwrap()
    }

    #[test]
    fn segments_follow_each_other() {
        let next = |text: &str, bytes| segment(text).next(bytes).to_string();
        assert_eq!(next("000000010000000000000002", 16 * MIB), "000000010000000000000003");
        assert_eq!(next("0000000100000000000000FF", 16 * MIB), "000000010000000100000000");
        assert_eq!(next("0000000100000000000000FF", MIB), "000000010000000000000100");
        assert_eq!(next("000000010000000000000003", 1024 * MIB), "000000010000000100000000");
    }

    #[test]
    fn names_that_are_none_are_refused() {
        for text in [
            "",
            "00000002.history",
            "00000001000000000000000",
            "0000000100000000000000fg",
            "0000000100000000000000ff",
        ] {
            assert!(text.parse::<Segment>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_gap_is_named() {
        let there = |low: &[u32]| -> BTreeSet<Segment> {
            low.iter().map(|low| Segment { timeline: 1, high: 0, low: *low }).collect()
        };
        let at = |low| Segment { timeline: 1, high: 0, low };
        assert_eq!(reach(&there(&[2, 3, 4]), at(2), 16 * MIB), Reach::To(at(4)));
        assert_eq!(reach(&there(&[2, 3, 5]), at(2), 16 * MIB), Reach::Gap(at(4)));
        assert_eq!(reach(&there(&[3, 4]), at(2), 16 * MIB), Reach::Nothing);
        let mut two = there(&[2, 3]);
        two.insert(Segment { timeline: 2, high: 0, low: 9 });
        assert_eq!(reach(&two, at(2), 16 * MIB), Reach::To(at(3)));
    }

    #[test]
    fn a_label_is_read() {
        let text = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\nCHECKPOINT LOCATION: 0/2000060\n";
        let found = label(text).unwrap();
        assert_eq!(
            (found.start.as_str(), found.segment),
            ("0/2000028", segment("000000010000000000000002"))
        );
        assert_eq!(label("nothing"), None);
    }
}
