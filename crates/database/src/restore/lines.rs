//! A text of any size on its way into a client program, without some of its lines.

use std::io::{self, Write};

/// Kept of a line until it is decided whether it is wanted: its beginning tells.
pub(super) const HEAD_BYTES: usize = 1 << 10;

/// Passes on the lines that are wanted.
pub(super) struct Lines<'a, F> {
    out: &'a mut dyn Write,
    /// Asked once for each line, in order, with its beginning and without its end.
    is_wanted: F,
    line: Vec<u8>,
    /// Set while the rest of a long line goes where its beginning went.
    within_line: Option<bool>,
}

impl<'a, F: FnMut(&[u8]) -> bool> Lines<'a, F> {
    pub(super) const fn new(out: &'a mut dyn Write, is_wanted: F) -> Self {
        Self { out, is_wanted, line: Vec::new(), within_line: None }
    }

    /// What is left of a last line without an end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.line.is_empty() { Ok(()) } else { self.line_begins() }
    }

    fn line_begins(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let wanted = (self.is_wanted)(line.strip_suffix(b"\n").unwrap_or(&line));
        self.within_line = Some(wanted);
        if wanted { self.out.write_all(&line) } else { Ok(()) }
    }
}

impl<F: FnMut(&[u8]) -> bool> Write for Lines<'_, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
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
