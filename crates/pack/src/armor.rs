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
    for (number, line) in lines {
        for c in line.chars().filter(|c| !c.is_whitespace()) {
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
    fn a_text_of_any_length_is_not_read() {
        let text = encode("TITLE 1", &[7; 100]);
        let padded = format!("{text}#{}", "-".repeat(TEXT_MAX_BYTES - text.len() - 1));
        assert_eq!(padded.len(), TEXT_MAX_BYTES);
        assert!(decode("TITLE 1", &padded).is_ok());
        assert!(matches!(decode("TITLE 1", &(padded + "-")), Err(ArmorError::Title(_))));
    }
}
