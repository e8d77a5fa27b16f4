//! One database out of a dump of several, without the lines that choose its name.

use std::io::Write;

use super::lines::Lines;

/// Passes on what stands before the first database, and what stands in the one that is wanted.
pub(super) fn section<'a>(
    database: &str,
    out: &'a mut dyn Write,
) -> Lines<'a, impl FnMut(&[u8]) -> bool + use<>> {
    let quoted = format!("`{}`", database.replace('`', "``"));
    let mut state = State { quoted, in_body: false, passes: true };
    Lines::new(out, move |line: &[u8]| state.passes(line))
}

struct State {
    /// The database's name as the dump quotes it.
    quoted: String,
    in_body: bool,
    passes: bool,
}

impl State {
    fn passes(&mut self, line: &[u8]) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "-- head\nSET NAMES utf8mb4;\n-- Current Database: `a`\nCREATE DATABASE `a`;\nUSE `a`;\nINSERT INTO `t` VALUES (1);\n\
         DELIMITER ;;\nUSE `x`;\n-- Current Database: `b`\nDELIMITER ;\n-- Current Database: `b`\nUSE `b`;\nINSERT INTO `u` VALUES (2);\n\
         -- Current Database: `a`\nUSE `a`;\nCREATE VIEW v AS SELECT 1;\nlast";

    fn taken(name: &str, piece: usize) -> String {
        let mut out = Vec::new();
        let mut section = section(name, &mut out);
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
            assert_eq!(taken("a", piece), a);
            assert_eq!(taken("b", piece), b);
        }
    }

    #[test]
    fn a_long_line_goes_where_its_beginning_goes() {
        let long = format!("INSERT INTO `t` VALUES ('{}');\n", "x".repeat(5000));
        let dump = format!("-- Current Database: `a`\n{long}-- Current Database: `b`\n{long}");
        let mut out = Vec::new();
        let mut section = section("b", &mut out);
        section.write_all(dump.as_bytes()).unwrap();
        section.finish().unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("-- Current Database: `b`\n{long}"));
    }
}
