//! One database out of a dump of several, without the lines that choose its name.

use std::io::{self, Write};

/// Kept of a line until it is clear what it is.
const HEAD_BYTES: usize = 1 << 10;

/// Passes on what stands before the first database, and what stands in the one that is wanted.
pub(super) struct Section<'a> {
    out: &'a mut dyn Write,
    /// `` `name`; `` and `` `name` `` as the dump quotes it.
    quoted: String,
    line: Vec<u8>,
    /// Set while the rest of a long line goes where its beginning went.
    within_line: Option<bool>,
    in_body: bool,
    passes: bool,
}

impl<'a> Section<'a> {
    pub(super) fn new(database: &str, out: &'a mut dyn Write) -> Self {
        let quoted = format!("`{}`", database.replace('`', "``"));
        Self { out, quoted, line: Vec::new(), within_line: None, in_body: false, passes: true }
    }

    /// What is left of a last line without an end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.line.is_empty() { Ok(()) } else { self.line_begins() }
    }

    /// Decides about the line whose beginning has come together, and passes it on.
    fn line_begins(&mut self) -> io::Result<()> {
        let line = std::mem::take(&mut self.line);
        let passes = self.look(&line);
        self.within_line = Some(passes);
        if passes { self.out.write_all(&line) } else { Ok(()) }
    }

    fn look(&mut self, line: &[u8]) -> bool {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match line {
            b"DELIMITER ;;" => self.in_body = true,
            b"DELIMITER ;" => self.in_body = false,
            _ if self.in_body => {}
            _ => {
                if let Some(name) = line.strip_prefix(b"-- Current Database: ") {
                    self.passes = name == self.quoted.as_bytes();
                }
                return self.passes
                    && !line.starts_with(b"CREATE DATABASE ")
                    && !line.starts_with(b"USE `");
            }
        }
        self.passes
    }
}

impl Write for Section<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let (piece, behind) = rest.split_at(end);
            rest = behind;
            let ends = piece.ends_with(b"\n");
            if let Some(passes) = self.within_line {
                if passes {
                    self.out.write_all(piece)?;
                }
            } else {
                self.line.extend_from_slice(piece);
                if ends || self.line.len() >= HEAD_BYTES {
                    self.line_begins()?;
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

    const DUMP: &str = "-- head\nSET NAMES utf8mb4;\n-- Current Database: `a`\nCREATE DATABASE `a`;\nUSE `a`;\nINSERT INTO `t` VALUES (1);\n\
         DELIMITER ;;\nUSE `x`;\n-- Current Database: `b`\nDELIMITER ;\n-- Current Database: `b`\nUSE `b`;\nINSERT INTO `u` VALUES (2);\n\
         -- Current Database: `a`\nUSE `a`;\nCREATE VIEW v AS SELECT 1;\nlast";

    fn section(name: &str, piece: usize) -> String {
        let mut out = Vec::new();
        let mut section = Section::new(name, &mut out);
        for bytes in DUMP.as_bytes().chunks(piece) {
            section.write_all(bytes).unwrap();
        }
        section.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_database_is_taken_out_however_the_dump_is_cut() {
        let a = "-- head\nSET NAMES utf8mb4;\n-- Current Database: `a`\nINSERT INTO `t` VALUES (1);\nDELIMITER ;;\nUSE `x`;\n\
             -- Current Database: `b`\nDELIMITER ;\n-- Current Database: `a`\nCREATE VIEW v AS SELECT 1;\nlast";
        let b =
            "-- head\nSET NAMES utf8mb4;\n-- Current Database: `b`\nINSERT INTO `u` VALUES (2);\n";
        for piece in [1, 2, 5, 17, 4096] {
            assert_eq!(section("a", piece), a);
            assert_eq!(section("b", piece), b);
        }
    }

    #[test]
    fn a_long_line_goes_where_its_beginning_goes() {
        let long = format!("INSERT INTO `t` VALUES ('{}');\n", "x".repeat(5000));
        let dump = format!("-- Current Database: `a`\n{long}-- Current Database: `b`\n{long}");
        let mut out = Vec::new();
        let mut section = Section::new("b", &mut out);
        section.write_all(dump.as_bytes()).unwrap();
        section.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("-- Current Database: `b`\n{long}"));
    }
}
