//! Counts the rows of a dump of `mariadb-dump` while it passes.

use std::collections::BTreeMap;

use crate::Table;

/// Kept of a line that may begin rows; longer ones do not.
const LINE_MAX_BYTES: usize = 1 << 10;
const INSERT: &[u8] = b"INSERT INTO `";
const VALUES: &[u8] = b"VALUES";

/// Where in the dump the next byte stands.
#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    /// In a line that may begin something.
    #[default]
    Line,
    /// In a line that is of no interest.
    Skipped,
    /// Behind `INSERT INTO `…``, before the rows; how much of `VALUES` was seen.
    Columns { quoted: bool, seen: usize },
    /// Among the rows.
    Rows { quoted: bool, escaped: bool, depth: u32 },
}

/// Counts the rows of each table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    state: State,
    line: Vec<u8>,
    /// Between `DELIMITER ;;` and `DELIMITER ;` stand bodies of routines, events and triggers.
    in_body: bool,
    database: String,
    table: String,
    rows: u64,
    counted: BTreeMap<(String, String), u64>,
}

impl Rows {
    pub(super) fn see(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match &mut self.state {
                State::Line => self.line(*byte),
                State::Skipped if *byte == b'\n' => self.state = State::Line,
                State::Skipped => {}
                State::Columns { quoted, seen } => {
                    *quoted ^= *byte == b'`';
                    let next = !*quoted && VALUES.get(*seen) == Some(byte);
                    *seen = if next { *seen + 1 } else { 0 };
                    if *seen == VALUES.len() {
                        self.state = State::Rows { quoted: false, escaped: false, depth: 0 };
                    }
                }
                State::Rows { quoted, escaped, depth } => match byte {
                    _ if *escaped => *escaped = false,
                    b'\\' if *quoted => *escaped = true,
                    b'\'' => *quoted = !*quoted,
                    _ if *quoted => {}
                    b'(' => {
                        self.rows += u64::from(*depth == 0);
                        *depth += 1;
                    }
                    b')' => *depth = depth.saturating_sub(1),
                    b';' => self.statement_ends(),
                    _ => {}
                },
            }
        }
    }

    fn line(&mut self, byte: u8) {
        if byte == b'\n' {
            self.line_ends();
            self.line.clear();
        } else if self.line.len() >= LINE_MAX_BYTES {
            self.line.clear();
            self.state = State::Skipped;
        } else {
            self.line.push(byte);
            // The rows may stand in the same line, which may be a megabyte long.
            if byte == b' ' && !self.in_body {
                let name = self.line.strip_prefix(INSERT).and_then(|rest| rest.strip_suffix(b"` "));
                if let Some(name) = name.filter(|name| is_whole(name)) {
                    self.table = unquoted(name);
                    self.line.clear();
                    self.state = State::Columns { quoted: false, seen: 0 };
                }
            }
        }
    }

    fn line_ends(&mut self) {
        match self.line.as_slice() {
            b"DELIMITER ;;" => self.in_body = true,
            b"DELIMITER ;" => self.in_body = false,
            line if !self.in_body => {
                let name = line.strip_prefix(b"USE `").and_then(|rest| rest.strip_suffix(b"`;"));
                if let Some(name) = name {
                    self.database = unquoted(name);
                }
            }
            _ => {}
        }
    }

    fn statement_ends(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let place = (self.database.clone(), std::mem::take(&mut self.table));
        *self.counted.entry(place).or_default() += rows;
        self.state = State::Skipped;
    }

    /// By database, tables by name. A table without rows has no statement and does not appear.
    pub(super) fn databases(self) -> BTreeMap<String, Vec<Table>> {
        let mut databases: BTreeMap<String, Vec<Table>> = BTreeMap::new();
        for ((database, name), rows) in self.counted {
            databases.entry(database).or_default().push(Table { name, rows });
        }
        databases
    }
}

/// Whether every backtick in a quoted name is doubled: it does not end before.
fn is_whole(name: &[u8]) -> bool {
    let mut rest = name;
    while let Some(at) = rest.iter().position(|byte| *byte == b'`') {
        if rest.get(at + 1) != Some(&b'`') {
            return false;
        }
        rest = &rest[at + 2..];
    }
    true
}

fn unquoted(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace("``", "`")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DUMP: &str = "-- x\nUSE `simrs`;\nINSERT INTO `pasien` VALUES\n(1,'a(b'),\n(2,'it\\'s; (x)'),\n(3,'two '' quotes');\n\
         INSERT INTO `odd ` name` (`a (b`,`VALUES`) VALUES (1,0x28),(2,NULL);\nINSERT INTO `pasien` VALUES (4,'\\\\');\n\
         DELIMITER ;;\nCREATE PROCEDURE p()\nINSERT INTO `pasien` VALUES (9,'x');;\nDELIMITER ;\nUSE `b``c`;\nINSERT INTO `t` VALUES\n(1);\n";

    fn counted(dump: &str, piece: usize) -> Vec<(String, String, u64)> {
        let mut rows = Rows::default();
        dump.as_bytes().chunks(piece).for_each(|bytes| rows.see(bytes));
        let databases = rows.databases().into_iter();
        databases
            .flat_map(|(database, tables)| {
                tables.into_iter().map(move |table| (database.clone(), table.name, table.rows))
            })
            .collect()
    }

    #[test]
    fn rows_are_counted_however_the_dump_is_cut() {
        let dump = DUMP.replace("`odd ` name`", "`odd `` name`");
        let expected = [("b`c", "t", 1), ("simrs", "odd ` name", 2), ("simrs", "pasien", 4)];
        let expected =
            expected.map(|(database, table, rows)| (database.to_owned(), table.to_owned(), rows));
        for piece in [1, 2, 3, 7, 64, 4096] {
            assert_eq!(counted(&dump, piece), expected, "{piece}");
        }
    }

    proptest! {
        /// Strings as a server escapes them, whatever is in them.
        #[test]
        fn any_rows_are_counted(rows in prop::collection::vec("[a-z();'`,\\\\\n]{0,9}", 1..30), piece in 1_usize..50) {
            let escape = |text: &String| text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n");
            let body: Vec<String> = rows.iter().map(|row| format!("(1,'{}')", escape(row))).collect();
            let dump = format!("USE `d`;\nINSERT INTO `t` VALUES\n{};\nINSERT INTO `u` VALUES (1);\n", body.join(",\n"));
            let expected = [("d".to_owned(), "t".to_owned(), rows.len() as u64), ("d".to_owned(), "u".to_owned(), 1)];
            prop_assert_eq!(counted(&dump, piece), expected);
        }
    }
}
