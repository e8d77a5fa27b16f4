//! Counts the rows of a plain dump of `pg_dump` while it passes.

use std::collections::BTreeMap;

use crate::Table;

/// Kept of a line outside of rows: a `COPY` of 1,600 columns with long names fits.
const LINE_MAX_BYTES: usize = 256 << 10;

/// Counts rows between `COPY … FROM stdin;` and `\.`.
#[derive(Debug, Default)]
pub(super) struct Rows {
    line: Vec<u8>,
    /// The table whose rows pass, and how many have.
    within: Option<(String, u64)>,
    tables: BTreeMap<String, u64>,
}

impl Rows {
    pub(super) fn see(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = piece.strip_suffix(b"\n");
            let begun = line.unwrap_or(piece);
            // Of a row nothing counts but whether it is the end.
            let most = if self.within.is_some() { 3 } else { LINE_MAX_BYTES };
            let room = most.saturating_sub(self.line.len());
            self.line.extend_from_slice(&begun[..begun.len().min(room)]);
            if line.is_some() {
                self.line_ends();
            }
        }
    }

    fn line_ends(&mut self) {
        match self.within.take() {
            Some((table, rows)) if self.line == b"\\." => {
                *self.tables.entry(table).or_default() += rows;
            }
            Some((table, rows)) => self.within = Some((table, rows + 1)),
            None => self.within = table_of(&self.line).map(|table| (table, 0)),
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

/// The last identifier of a name of which [`is_name`] is true, as it stands there.
pub(crate) fn last_identifier(name: &str) -> &str {
    let mut rest = name;
    loop {
        let end = if rest.starts_with('"') { quoted_end(rest) } else { rest.find('.') };
        match end.and_then(|end| rest[end..].strip_prefix('.')) {
            Some(behind) => rest = behind,
            None => return rest,
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
    fn the_last_identifier_is_the_tables() {
        for (name, last) in [
            ("public.pasien", "pasien"),
            ("t", "t"),
            ("\"a.b\".\"C \"\". d\"", "\"C \"\". d\""),
            ("\"a\".b", "b"),
        ] {
            assert_eq!(last_identifier(name), last, "{name}");
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
