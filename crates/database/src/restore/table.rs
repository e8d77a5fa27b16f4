//! One table out of a dump: which lines of it are of that table.
//!
//! A dump of PostgreSQL keeps all definitions, since a table may need any of them (types, functions, extensions), and loses the rows of
//! other tables, what can only be made where those rows are (foreign keys, contents of materialized views, large objects), and what acts
//! beyond the database (subscriptions, publications, event triggers).
//! A dump of MariaDB keeps what stands under the table's own headings.

use std::io::Write;

use super::RestoreError;
use super::lines::Lines;
use crate::description::{Database, Table};
use crate::postgresql::last_identifier;

/// The database with nothing but one table. Where there are schemas, its own may be left out if only one has a table of that name.
pub(super) fn with_only(
    database: &Database,
    wanted: &str,
    has_schemas: bool,
) -> Result<Database, RestoreError> {
    let exact = |table: &&Table| table.name == wanted;
    let plain = |table: &&Table| {
        let last = last_identifier(&table.name);
        has_schemas && (last == wanted || unquoted(last) == wanted)
    };
    let found: Vec<&Table> = match database.tables.iter().find(exact) {
        Some(table) => vec![table],
        None => database.tables.iter().filter(plain).collect(),
    };
    match found.as_slice() {
        [table] => {
            Ok(Database { tables: vec![(*table).clone()], checks: Vec::new(), ..database.clone() })
        }
        [] => Err(RestoreError::NoTable(wanted.to_owned())),
        several => Err(RestoreError::SeveralTables {
            name: wanted.to_owned(),
            there: several.iter().map(|table| table.name.clone()).collect(),
        }),
    }
}

/// An identifier as it is called, of how it stands in a dump.
fn unquoted(identifier: &str) -> String {
    let inner = identifier.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(|| identifier.to_owned(), |inner| inner.replace("\"\"", "\""))
}

/// What of a dump of PostgreSQL cannot be made without the rows of other tables, and what acts beyond its database or on what is made in it,
/// as its headings call it.
const LEFT_OUT: [&str; 10] = [
    "FK CONSTRAINT",
    "MATERIALIZED VIEW DATA",
    "BLOB",
    "BLOBS",
    "BLOB METADATA",
    "EVENT TRIGGER",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
];
/// What is said or granted about those.
const ABOUT: [&str; 3] = ["COMMENT", "ACL", "SECURITY LABEL"];
const ABOUT_LEFT_OUT: [&str; 5] =
    ["CONSTRAINT ", "LARGE OBJECT ", "EVENT TRIGGER ", "PUBLICATION ", "SUBSCRIPTION "];

fn is_left_out((name, kind): (&[u8], &[u8])) -> bool {
    let about = ABOUT.iter().any(|one| kind == one.as_bytes());
    LEFT_OUT.iter().any(|one| kind == one.as_bytes())
        || (about && ABOUT_LEFT_OUT.iter().any(|one| name.starts_with(one.as_bytes())))
}

/// Passes on a dump of PostgreSQL with the rows of one table, which is named as in the dump.
pub(super) fn of_postgresql<'a>(
    table: &str,
    out: &'a mut dyn Write,
) -> Lines<'a, impl FnMut(&[u8]) -> bool + use<>> {
    let own = format!("COPY {table} (");
    let (mut rows, mut left_out, mut follows_rule) = (None, false, false);
    Lines::new(out, move |line: &[u8]| {
        if let Some(passes) = rows {
            if line == b"\\." {
                rows = None;
            }
            return passes;
        }
        // A line of a function's body may look like a heading, but for the line before it.
        let after_rule = std::mem::replace(&mut follows_rule, line == b"--");
        if let Some(of) = heading(line).filter(|_| after_rule) {
            left_out = is_left_out(of);
        }
        if begins_rows(line) {
            rows = Some(line.starts_with(own.as_bytes()));
        }
        !left_out && rows != Some(false)
    })
}

/// Of what the statements behind a line are, its name and its kind: `-- Name: kamar fk; Type: FK CONSTRAINT; Schema: public; Owner: simrs`. It is in
/// the database's character set.
fn heading(line: &[u8]) -> Option<(&[u8], &[u8])> {
    const KIND: &[u8] = b"; Type: ";
    let rest = line.strip_prefix(b"-- ")?;
    let rest = rest.strip_prefix(b"Data for ").unwrap_or(rest).strip_prefix(b"Name: ")?;
    let at = rest.windows(KIND.len()).rposition(|part| part == KIND)?;
    let kind = rest[at + KIND.len()..].split(|byte| *byte == b';').next()?;
    Some((&rest[..at], kind))
}

/// Of a line that is longer than what is seen of it, the end is not known.
fn begins_rows(line: &[u8]) -> bool {
    line.starts_with(b"COPY ")
        && (line.ends_with(b" FROM stdin;") || line.len() >= super::lines::HEAD_BYTES)
}

/// Passes on what stands before the first table of a dump of MariaDB, and what is of one table.
pub(super) fn of_mariadb<'a>(
    table: &str,
    out: &'a mut dyn Write,
) -> Lines<'a, impl FnMut(&[u8]) -> bool + use<>> {
    let quoted = format!("`{}`", table.replace('`', "``"));
    let (mut in_body, mut passes) = (false, true);
    Lines::new(out, move |line: &[u8]| {
        match line {
            b"DELIMITER ;;" => in_body = true,
            b"DELIMITER ;" => in_body = false,
            _ if in_body => {}
            _ => {
                let of = HEADINGS.iter().find_map(|heading| line.strip_prefix(heading.as_bytes()));
                passes = of.map_or(passes, |name| name == quoted.as_bytes());
            }
        }
        passes
    })
}

/// What stands before a part of a dump of MariaDB or MySQL; those of tables are followed by the table's name alone.
const HEADINGS: [&str; 7] = [
    "-- Table structure for table ",
    "-- Dumping data for table ",
    "-- Temporary table structure for view ",
    "-- Temporary view structure for view ",
    "-- Final view structure for view ",
    "-- Dumping events for database ",
    "-- Dumping routines for database ",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn taken<F: FnMut(&[u8]) -> bool>(mut lines: Lines<'_, F>, dump: &str, piece: usize) {
        dump.as_bytes().chunks(piece).for_each(|bytes| lines.write_all(bytes).unwrap());
        lines.finish().unwrap();
    }

    #[test]
    fn a_postgresql_dump_keeps_definitions_and_the_rows_of_one_table() {
        let kept = "--\n-- Name: pasien; Type: TABLE; Schema: public; Owner: x\n--\n\nCREATE TABLE public.pasien (id int);\n\
            CREATE FUNCTION f() AS $$\n-- Name: a; Type: FK CONSTRAINT; \n$$;\n\
            COPY public.pasien (id) FROM stdin;\n1\nCOPY public.kunjungan (id) FROM stdin;\n\\.\n";
        let other = "COPY public.pasien_lama (id) FROM stdin;\n--\n-- Name: a; Type: FK CONSTRAINT; \n\\.\n";
        let lost = "-- Name: k; Type: FK CONSTRAINT; Schema: public; Owner: x\n--\n\nALTER TABLE ONLY public.pasien\n    ADD CONSTRAINT k FOREIGN KEY;\n\n--\n\
            -- Name: v; Type: MATERIALIZED VIEW DATA; Schema: public\n--\n\nREFRESH MATERIALIZED VIEW v;\n\n--\n";
        let end =
            "-- Name: t; Type: TRIGGER; Schema: public\n--\n\nCREATE TRIGGER t;\n-- complete\n";
        let dump = format!("{kept}{other}\n--\n{lost}{end}");
        let expected = format!("{kept}\n--\n{end}");
        for piece in [1, 7, 4096] {
            let mut out = Vec::new();
            taken(of_postgresql("public.pasien", &mut out), &dump, piece);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{piece}");
        }
    }

    #[test]
    fn a_mariadb_dump_keeps_its_head_and_one_table_with_its_triggers() {
        let dump = "SET NAMES utf8mb4;\n-- Table structure for table `a`\nCREATE TABLE `a` (x int);\n-- Dumping data for table `a`\nINSERT INTO `a` VALUES (1);\n\
            DELIMITER ;;\n-- Table structure for table `b`\nCREATE TRIGGER t;;\nDELIMITER ;\n\
            -- Table structure for table `a_b`\nCREATE TABLE `a_b` (x int);\n-- Dumping routines for database 'a'\nCREATE PROCEDURE p;\n";
        for piece in [1, 7, 4096] {
            let mut out = Vec::new();
            taken(of_mariadb("a", &mut out), dump, piece);
            let out = String::from_utf8(out).unwrap();
            let end = dump.find("-- Table structure for table `a_b`").unwrap();
            assert_eq!(out, dump[..end], "{piece}");
        }
    }

    #[test]
    fn a_table_is_found_with_and_without_its_schema() {
        let table = |name: &str| Table { name: name.to_owned(), rows: 1 };
        let tables = vec![
            table("public.pasien"),
            table("arsip.kunjungan"),
            table("public.kunjungan"),
            table("public.\"Rawat \"\"2026\"\"\""),
        ];
        let database = Database { tables, ..Database::default() };
        let found = |name| with_only(&database, name, true).map(|one| one.tables[0].name.clone());
        assert_eq!(found("pasien").unwrap(), "public.pasien");
        assert_eq!(found("arsip.kunjungan").unwrap(), "arsip.kunjungan");
        assert_eq!(found("Rawat \"2026\"").unwrap(), "public.\"Rawat \"\"2026\"\"\"");
        assert!(with_only(&database, "pasien", false).is_err(), "MariaDB has no schemas");
        let error = found("kunjungan").unwrap_err().to_string();
        assert!(error.contains("arsip.kunjungan, public.kunjungan"), "{error}");
        let error = found("dokter").unwrap_err().to_string();
        assert!(error.contains("no table \"dokter\""), "{error}");
    }
}
