//! Key files and orders as text (`docs/format.md` §15): a title, base32 lines, a checksum, so that damage is
//! told apart from a wrong passphrase and the file can be printed and typed in again.

use std::fmt::Write as _;

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::object::object_id;

const CHECKSUM_BYTES: usize = 8;
const LINE_CHARS: usize = 64;
/// Such a file is a few hundred bytes; more than this is another one.
const TEXT_MAX_BYTES: usize = 64 << 10;

/// Why a text is not such a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArmorError {
    /// The first line is another one.
    #[error("this is a file of another kind: its first line must be {0:?}")]
    Title(String),
    /// A character is not base32.
    #[error(
        "line {line} has a character that is not A-Z or 2-7: restore the file from its copy or type that line again"
    )]
    Line {
        /// The line, counted from 1.
        line: usize,
    },
    /// A numbered line does not fit its own check.
    #[error(
        "line {line} of the paper was mistyped: type that line again (its end must read ={check})"
    )]
    Typed {
        /// The line's own number.
        line: usize,
        /// What the check of what was typed would be.
        check: String,
    },
    /// A numbered line is missing, or stands twice.
    #[error(
        "line {0} of the paper is missing, or lines stand in another order: type them one after the other"
    )]
    Order(usize),
    /// The checksum does not match.
    #[error(
        "the file is damaged (its checksum does not match): restore it from its copy or its printout"
    )]
    Checksum,
}

/// Writes an object under that title.
#[must_use]
pub fn encode(title: &str, object: &[u8]) -> String {
    let mut payload = Zeroizing::new(object.to_vec());
    payload.extend_from_slice(&object_id(object)[..CHECKSUM_BYTES]);
    let letters = Zeroizing::new(BASE32_NOPAD.encode(&payload));
    let mut text = format!("{title}\n");
    for line in letters.as_bytes().chunks(LINE_CHARS) {
        let line = std::str::from_utf8(line).expect("base32 is ASCII");
        writeln!(text, "{line}").expect("writing to a String succeeds");
    }
    text
}

/// As [`encode`], for paper: each line with its number and a check of its own, letters in groups of eight.
#[must_use]
pub fn encode_checked(title: &str, object: &[u8]) -> String {
    number_lines(&Zeroizing::new(encode(title, object)))
}

/// A text as [`encode`] wrote it, in the form for paper.
#[must_use]
pub fn number_lines(plain: &str) -> String {
    let mut lines = plain.lines();
    let mut text = format!("{}\n", lines.next().unwrap_or_default());
    for (number, line) in (1..).zip(lines) {
        if line.contains(':') {
            // It was typed from a paper.
            writeln!(text, "{line}").expect("writing to a String succeeds");
            continue;
        }
        let groups: Vec<&str> = line
            .as_bytes()
            .chunks(8)
            .map(|group| std::str::from_utf8(group).expect("base32 is ASCII"))
            .collect();
        writeln!(text, "{number:02}: {} ={}", groups.join(" "), line_check(number, line))
            .expect("writing to a String succeeds");
    }
    text
}

/// The check of a numbered line: 20 bits of the hash of its number and letters.
fn line_check(number: usize, letters: &str) -> String {
    let mut named = Zeroizing::new(number.to_string());
    named.push(':');
    named.push_str(letters);
    BASE32_NOPAD.encode(&object_id(named.as_bytes())[..3])[..4].to_owned()
}

/// The letters of a line; of a numbered one, once its number and check are right.
fn letters_of(line: &str, expected: usize) -> Result<Zeroizing<String>, ArmorError> {
    let join = |text: &str| {
        let mut letters = Zeroizing::new(String::with_capacity(text.len()));
        letters.extend(text.chars().filter(|c| !c.is_whitespace()));
        letters
    };
    let Some((number, rest)) = line.split_once(':') else { return Ok(join(line)) };
    let (letters, check) = rest.split_once('=').unwrap_or((rest, ""));
    if number.trim().parse() != Ok(expected) {
        return Err(ArmorError::Order(expected));
    }
    let letters = join(letters);
    let wanted = line_check(expected, &letters);
    if check.trim() == wanted {
        Ok(letters)
    } else {
        Err(ArmorError::Typed { line: expected, check: wanted })
    }
}

/// Reads an object from a text of that title.
///
/// # Errors
/// Where the title, a line or the checksum is wrong.
pub fn decode(title: &str, text: &str) -> Result<Zeroizing<Vec<u8>>, ArmorError> {
    decode_within(title, text, TEXT_MAX_BYTES)
}

/// The blocks of a text, each from a line that is `title` to the next one. What stands before the first is left out.
#[must_use]
pub fn blocks<'a>(title: &str, text: &'a str) -> Vec<&'a str> {
    let mut starts = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim() == title {
            starts.push(at);
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

/// As [`decode`], of a text of at most `max_bytes`.
///
/// # Errors
/// As [`decode`].
pub fn decode_within(
    title: &str,
    text: &str,
    max_bytes: usize,
) -> Result<Zeroizing<Vec<u8>>, ArmorError> {
    if text.len() > max_bytes {
        return Err(ArmorError::Title(title.to_owned()));
    }
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    if lines.next().map(|(_, line)| line) != Some(title) {
        return Err(ArmorError::Title(title.to_owned()));
    }
    // As long as it can get: a secret that moves leaves a copy behind.
    let mut letters = Zeroizing::new(String::with_capacity(text.len()));
    for (counted, (number, line)) in (1..).zip(lines) {
        for c in letters_of(line, counted)?.chars() {
            if !matches!(c, 'A'..='Z' | '2'..='7') {
                return Err(ArmorError::Line { line: number });
            }
            letters.push(c);
        }
    }
    let payload = BASE32_NOPAD.decode(letters.as_bytes()).map_err(|_| ArmorError::Checksum)?;
    let mut payload = Zeroizing::new(payload);
    let object_bytes = payload.len().checked_sub(CHECKSUM_BYTES).ok_or(ArmorError::Checksum)?;
    if object_id(&payload[..object_bytes])[..CHECKSUM_BYTES] != payload[object_bytes..] {
        return Err(ArmorError::Checksum);
    }
    payload.truncate(object_bytes);
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_survives_printing_and_tells_damage() {
        let text = encode("TITLE 1", &[7; 100]);
        let retyped =
            format!("\n# kept in the safe\n{}", text.replace("TITLE 1\n", "TITLE 1\n \n"));
        assert_eq!(decode("TITLE 1", &retyped).map(|bytes| bytes.to_vec()), Ok(vec![7; 100]));
        assert!(matches!(decode("OTHER", &text), Err(ArmorError::Title(_))));
        let flipped = text.replacen("A4D", "A4E", 1);
        assert_ne!(flipped, text);
        assert_eq!(decode("TITLE 1", &flipped), Err(ArmorError::Checksum));
        assert_eq!(
            decode("TITLE 1", &text.replacen("A4D", "a4d", 1)),
            Err(ArmorError::Line { line: 2 })
        );
        assert_eq!(decode("TITLE 1", &text[..80]), Err(ArmorError::Checksum));
    }
    #[test]
    fn a_mistyped_line_of_a_paper_is_named() {
        let object: Vec<u8> = (0..200).collect();
        let text = encode_checked("TITLE 1", &object);
        let decoded = |text: &str| decode("TITLE 1", text).map(|bytes| bytes.to_vec());
        assert_eq!(decoded(&text), Ok(object.clone()));
        assert_eq!(decoded(&text.replace(' ', "")), decoded("x"), "the title has its space");
        assert_eq!(decoded(&text.replace("  ", " ").replace(": ", ":")), Ok(object));
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate().skip(1) {
            // Every letter of the line, one after the other.
            for at in line.find(": ").unwrap() + 2..line.find(" =").unwrap() {
                let mut bad = line.as_bytes().to_vec();
                if bad[at] == b' ' {
                    continue;
                }
                bad[at] = if bad[at] == b'A' { b'B' } else { b'A' };
                let bad = String::from_utf8(bad).unwrap();
                let refused = decoded(&text.replace(line, &bad));
                let named =
                    matches!(refused, Err(ArmorError::Typed { line, .. }) if line == number);
                assert!(named, "{number}: {refused:?}");
            }
        }
        let without = |left_out: usize| {
            let kept = lines.iter().enumerate().filter(|(i, _)| *i != left_out);
            kept.map(|(_, line)| format!("{line}\n")).collect::<String>()
        };
        assert_eq!(decoded(&without(2)), Err(ArmorError::Order(2)));
        assert_eq!(decoded(&without(lines.len() - 1)), Err(ArmorError::Checksum));
        let swapped = [lines[0], lines[2], lines[1]].join("\n");
        assert_eq!(decoded(&swapped), Err(ArmorError::Order(1)));
    }

    #[test]
    fn a_text_of_any_length_is_not_read() {
        let text = encode("TITLE 1", &[7; 100]);
        let padded = format!("{text}#{}", "-".repeat(TEXT_MAX_BYTES - text.len() - 1));
        assert_eq!(padded.len(), TEXT_MAX_BYTES);
        assert!(decode("TITLE 1", &padded).is_ok());
        assert!(matches!(decode("TITLE 1", &(padded + "-")), Err(ArmorError::Title(_))));
    }
}
