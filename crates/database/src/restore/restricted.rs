//! A plain dump of PostgreSQL on its way into `psql`, which may run nothing but SQL.
//!
//! A dump comes from a server that somebody may have taken, and `psql` has commands of its own that start programs on this machine.
//! In its restricted mode (since 13.22, 14.19, 15.14, 16.10 and 17.6; CVE-2025-8714) it refuses them until it is told a key, which is made here and
//! which no dump knows. Newer dumps ask for the same with a key of theirs: those lines are left out, since the mode is on already.

use std::io::{self, Write};

/// Kept of a line until it is clear what it is.
const HEAD_BYTES: usize = 1 << 10;

/// Whether a line is one of the two that a newer dump begins and ends with. A row could be one only if a value began with a line break and
/// the rest of that word: its loss would show in the count.
fn is_own(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let key = line.strip_prefix(b"\\restrict ").or_else(|| line.strip_prefix(b"\\unrestrict "));
    key.is_some_and(|key| key.len() >= 20 && key.iter().all(u8::is_ascii_alphanumeric))
}

/// Passes a dump on behind the command that restricts.
pub(super) struct Restricted<'a> {
    out: &'a mut dyn Write,
    line: Vec<u8>,
    /// Set while the rest of a long line goes where its beginning went.
    within_line: Option<bool>,
}

impl<'a> Restricted<'a> {
    /// Begins with the command; the key is 64 random hexadecimal digits.
    pub(super) fn new(key: &str, out: &'a mut dyn Write) -> io::Result<Self> {
        writeln!(out, "\\restrict {key}")?;
        Ok(Self { out, line: Vec::new(), within_line: None })
    }

    /// What is left of a last line without an end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.line.is_empty() { Ok(()) } else { self.line_begins() }
    }

    fn line_begins(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let asks = is_own(&line);
        self.within_line = Some(!asks);
        if asks { Ok(()) } else { self.out.write_all(&line) }
    }
}

impl Write for Restricted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (piece, behind) = rest.split_at(end);
            rest = behind;
            let ends = piece.ends_with(b"\n");
            match self.within_line {
                Some(true) => self.out.write_all(piece)?,
                Some(false) => {}
                None => {
                    self.line.extend_from_slice(piece);
                    if ends || self.line.len() >= HEAD_BYTES {
                        self.line_begins()?;
                    }
                }
            }
            if ends {
                self.within_line = None;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumps_own_restriction_is_left_out_and_nothing_else() {
        let own = "a".repeat(40);
        let dump = format!(
            "\\restrict {own}\nCOPY t (a) FROM stdin;\n\\restrict x\n\\.\n\\unrestrict {own}\nSELECT 1;\n\\! touch x\nlast"
        );
        let expected = "\\restrict KEY\nCOPY t (a) FROM stdin;\n\\restrict x\n\\.\nSELECT 1;\n\\! touch x\nlast";
        for piece in [1, 2, 7, 4096] {
            let mut out = Vec::new();
            let mut restricted = Restricted::new("KEY", &mut out).unwrap();
            dump.as_bytes().chunks(piece).for_each(|bytes| restricted.write_all(bytes).unwrap());
            restricted.finish().unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{piece}");
        }
    }
}
