//! Counts the rows of a plain dump of `pg_dump` while it passes.

use std::collections::BTreeMap;

use crate::Table;

/// Where in a dump a line stands: among the rows of a table, or not.
#[derive(Debug, Default)]
struct CopyState {
    table: Option<String>,
}

impl CopyState {
    /// Kept of a line outside of rows: a `COPY` of 1,600 columns with long names fits.
    const LINE_MAX_BYTES: usize = 256 << 10;

    /// Whether the next line is a row, or their end.
    const fn in_rows(&self) -> bool {
        self.table.is_some()
    }

    /// Takes a line without its end; the table, if it is one of its rows.
    fn line(&mut self, line: &[u8]) -> Option<&str> {
        if self.table.is_none() {
            self.table = table_of(line);
            return None;
        }
        if line == b"\\." {
            self.table = None;
        }
        self.table.as_deref()
    }
}

/// Counts rows between `COPY … FROM stdin;` and `\.`.
#[derive(Debug, Default)]
pub(super) struct Rows {
    line: Vec<u8>,
    state: CopyState,
    /// Of the table whose rows pass.
    rows: u64,
    tables: BTreeMap<String, u64>,
}

impl Rows {
    pub(super) fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            // Of a row nothing counts but whether it is the end.
            let most = if self.state.in_rows() { 3 } else { CopyState::LINE_MAX_BYTES };
            let room = most.saturating_sub(self.line.len());
            self.line.extend_from_slice(&line[..line.len().min(room)]);
            bytes = rest.get(1..).unwrap_or_default();
            if end.is_some() {
                self.line_ends();
            }
        }
    }

    fn line_ends(&mut self) {
        let ended = self.state.in_rows() && self.line == b"\\.";
        let table = if ended { self.state.table.clone() } else { None };
        if self.state.line(&self.line).is_some() {
            self.rows += 1;
        }
        if let Some(table) = table {
            *self.tables.entry(table).or_default() += std::mem::take(&mut self.rows);
        }
        self.line.clear();
    }

    pub(super) fn tables(self) -> Vec<Table> {
        self.tables.into_iter().map(|(name, rows)| Table { name, rows }).collect()
    }
}

/// The table of a line that begins its rows, as it is quoted there.
fn table_of(line: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(line).ok()?;
    let rest = text.strip_prefix("COPY ").filter(|_| text.ends_with(" FROM stdin;"))?;
    let mut quoted = false;
    let end = rest.char_indices().find(|(_, letter)| {
        quoted ^= *letter == '"';
        *letter == ' ' && !quoted
    });
    end.map(|(at, _)| rest[..at].to_owned()).filter(|name| is_name(name))
}

/// Whether a table's name is one or two identifiers, as they stand in a dump.
pub(crate) fn is_name(name: &str) -> bool {
    let mut rest = name;
    loop {
        let end = match rest.strip_prefix('"') {
            Some(_) => quoted_end(rest),
            None => Some(rest.find('.').unwrap_or(rest.len())).filter(|end| {
                let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                *end > 0 && rest[..*end].chars().all(plain)
            }),
        };
        match end.map(|end| &rest[end..]) {
            Some("") => return true,
            Some(behind) if behind.starts_with('.') => rest = &behind[1..],
            _ => return false,
        }
    }
}

/// Where a quoted identifier ends, behind its last quote.
fn quoted_end(text: &str) -> Option<usize> {
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == '"' && letters.next_if(|(_, next)| *next == '"').is_none() {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DUMP: &str = "SET x = 1;\n\nCOPY public.accounts (id, name) FROM stdin;\n1\ta\n2\t\\\\.\n3\tCOPY public.x FROM stdin;\n\\.\n\n\
         COPY public.\"a (b\" (id) FROM stdin;\n\\.\n\nCREATE FUNCTION f() AS $$\n\\.\n$$;\nCOPY s.t (x) FROM stdin;\n\n\\N\n\\.\n";

    fn counted(dump: &str, piece: usize) -> Vec<(String, u64)> {
        let mut rows = Rows::default();
        dump.as_bytes().chunks(piece).for_each(|bytes| rows.see(bytes));
        rows.tables().into_iter().map(|table| (table.name, table.rows)).collect()
    }

    #[test]
    fn rows_are_counted_however_the_dump_is_cut() {
        let expected = [("public.\"a (b\"", 0), ("public.accounts", 3), ("s.t", 2)];
        let expected = expected.map(|(name, rows)| (name.to_owned(), rows));
        for piece in [1, 2, 3, 7, 64, 4096] {
            assert_eq!(counted(DUMP, piece), expected, "{piece}");
        }
    }

    #[test]
    fn only_names_are_names() {
        for name in ["public.pasien", "t", "\"a \"\"b\"\"; c\".\"D\"", "skema.tabel_1"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "t;",
            "t; DROP TABLE x",
            "\"a",
            "\"a\"b",
            "a..b",
            "t WHERE true",
            "(SELECT 1)",
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_rows_are_counted(rows in prop::collection::vec("[a-z\\t]{0,9}", 0..40), piece in 1_usize..50) {
            let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
            let dump = format!("COPY t (a) FROM stdin;\n{body}\\.\nselect 1;\n");
            prop_assert_eq!(counted(&dump, piece), [("t".to_owned(), rows.len() as u64)]);
        }
    }
}
