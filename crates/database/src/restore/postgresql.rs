//! A PostgreSQL database back: loaded beside, counted, and renamed into its place in one transaction.

use std::collections::BTreeSet;
use std::io::Write;

use lumbung_engine::Halt;

use super::restricted::Restricted;
use super::{Copy, ReadError, RestoreError, Restored, Wanted, chosen, compare, feed, file};
use crate::description::Database;
use crate::postgresql::{PostgresqlSettings, Server};
use crate::source::ask;
use crate::{Places, SourceError, tool};

pub(super) fn restore(
    copy: &dyn Copy,
    settings: &PostgresqlSettings,
    wanted: &Wanted,
    places: &Places,
    halt: &Halt,
) -> Result<Restored, RestoreError> {
    let description = copy.description();
    let database = chosen(description, &wanted.database)?;
    let dump =
        file(description, "dump of it", |made| made.database.as_deref() == Some(&database.name))?;
    let server = Server::reach(settings, places)?;
    let found = server.look(halt)?;
    check_version(&description.server_version, found.number, &found.version)?;
    let exists = found.databases.iter().any(|there| there.name == wanted.name);
    if exists && !wanted.replaces {
        return Err(RestoreError::Exists(wanted.name.clone()));
    }
    let restricts = server.restricts(halt)?;
    if !restricts && !wanted.trusts {
        return Err(RestoreError::Unrestricted("psql"));
    }
    check_names(database)?;
    let target = Loading { server, halt, copy, database, wanted, restricts };
    if wanted.roles {
        let globals = file(description, "roles", |made| made.path.ends_with("/globals.sql"))?;
        target.make_roles(globals)?;
    }
    let temporary = format!("lumbung_restore_{}", wanted.mark);
    target.create(&temporary)?;
    let loaded = target.load_and_compare(&temporary, dump);
    let done = loaded.and_then(|restored| {
        let kept_as = exists.then(|| format!("{}_before_{}", wanted.name, wanted.mark));
        target.put_in_place(&temporary, kept_as.as_deref())?;
        Ok(Restored { kept_as, ..restored })
    });
    if done.is_err() {
        // What failed counts; that its copy cannot be dropped, does not.
        let _ = target.run(&format!("DROP DATABASE {}", identifier(&temporary)));
    }
    done
}

/// Refuses a server of an older major version.
fn check_version(snapshot: &str, number: u32, server: &str) -> Result<(), RestoreError> {
    let major = tool::number(snapshot).and_then(|parts| parts.first().copied());
    if major.is_some_and(|major| major > number / 10_000) {
        let (snapshot, server) = (snapshot.to_owned(), server.to_owned());
        return Err(RestoreError::OlderServer { snapshot, server });
    }
    Ok(())
}

struct Loading<'a> {
    server: Server,
    halt: &'a Halt,
    copy: &'a dyn Copy,
    database: &'a Database,
    wanted: &'a Wanted,
    restricts: bool,
}

impl Loading<'_> {
    fn ask(&self, database: &str, query: &str) -> Result<String, SourceError> {
        let mut command = self.server.psql(database);
        command.args(["--command", query]);
        ask(command, self.halt, &self.server.name())
    }

    /// Statements at the server, outside the database.
    fn run(&self, statements: &str) -> Result<String, SourceError> {
        self.ask(self.server.maintenance(), statements)
    }

    fn create(&self, name: &str) -> Result<(), RestoreError> {
        let Database { encoding, collation, ctype, owner, .. } = self.database;
        let mut statement = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {}",
            identifier(name),
            literal(encoding)
        );
        if !collation.is_empty() {
            statement.push_str(&format!(
                " LC_COLLATE {} LC_CTYPE {}",
                literal(collation),
                literal(ctype)
            ));
        }
        if !owner.is_empty() && self.roles()?.contains(owner) {
            statement.push_str(&format!(" OWNER {}", identifier(owner)));
        }
        self.run(&statement)?;
        Ok(())
    }

    fn load_and_compare(&self, name: &str, dump: &str) -> Result<Restored, RestoreError> {
        let mut load = self.server.psql(name);
        load.args(["--single-transaction", "--file=-"]);
        feed(load, self.halt, |out| self.pass_on(out, |out| self.copy.write(dump, out)))?;
        let count = |table: &str| self.ask(name, &format!("SELECT count(*) FROM {table}"));
        let (tables, rows) = compare(self.database, count)?;
        for check in &self.database.checks {
            let found = self.ask(name, check.query.trim().trim_end_matches(';'))?;
            if found.trim_end_matches('\n') != check.value {
                let (name, expected) = (check.name.clone(), check.value.clone());
                return Err(RestoreError::Check { name, expected, found: found.trim().to_owned() });
            }
        }
        // Plans of a database that was never analysed are bad ones.
        self.ask(name, "ANALYZE")?;
        let (name, checks) = (self.wanted.name.clone(), self.database.checks.len());
        Ok(Restored { name, tables, rows, checks, kept_as: None })
    }

    /// Gives the copy its name; whoever has it gets another one, in the same transaction.
    fn put_in_place(&self, temporary: &str, kept_as: Option<&str>) -> Result<(), RestoreError> {
        let name = identifier(&self.wanted.name);
        let rename = format!("ALTER DATABASE {} RENAME TO {name}", identifier(temporary));
        let Some(kept_as) = kept_as else {
            self.run(&rename)?;
            return Ok(());
        };
        self.run(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))?;
        let end_sessions = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = {}",
            literal(&self.wanted.name)
        );
        let renamed = self.run(&end_sessions).and_then(|_| {
            let kept_as = identifier(kept_as);
            self.run(&format!("BEGIN; ALTER DATABASE {name} RENAME TO {kept_as}; {rename}; COMMIT"))
        });
        let old = if renamed.is_ok() { identifier(kept_as) } else { name };
        let opened = self.run(&format!("ALTER DATABASE {old} ALLOW_CONNECTIONS true"));
        renamed.and(opened)?;
        Ok(())
    }

    fn roles(&self) -> Result<BTreeSet<String>, SourceError> {
        let answer = self.run("SELECT rolname FROM pg_roles")?;
        Ok(answer.lines().map(str::to_owned).collect())
    }

    /// Makes the roles that are missing; those that are there keep their passwords and rights.
    fn make_roles(&self, globals: &str) -> Result<(), RestoreError> {
        let there = self.roles()?;
        let mut text = Vec::new();
        self.copy.write(globals, &mut text).map_err(RestoreError::Read)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut load = self.server.psql(self.server.maintenance());
        // A membership that is there already, or a tablespace whose folder is not, keeps no role from being made.
        load.args(["--set", "ON_ERROR_STOP=0", "--file=-"]);
        feed(load, self.halt, |out| {
            self.pass_on(out, |out| {
                for line in text.lines().filter(|line| is_wanted(line, &there)) {
                    writeln!(out, "{line}")?;
                }
                Ok(())
            })
        })
    }

    /// Lets `psql` run what is SQL, and nothing else.
    fn pass_on(
        &self,
        out: &mut dyn Write,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        if !self.restricts {
            return fill(out);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| ReadError::from(error.to_string()))?;
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut restricted = Restricted::new(&key, out)?;
        fill(&mut restricted)?;
        Ok(restricted.finish()?)
    }
}

/// Whether every table's name is one or two identifiers: they are put into statements.
fn check_names(database: &Database) -> Result<(), RestoreError> {
    let wrong = database.tables.iter().find(|table| !is_name(&table.name));
    wrong.map_or(Ok(()), |table| Err(RestoreError::TableName(table.name.clone())))
}

fn is_name(name: &str) -> bool {
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

/// Whether a statement of `pg_dumpall --globals-only` is about a role that has to be made.
fn is_wanted(line: &str, there: &BTreeSet<String>) -> bool {
    let about = ["CREATE ROLE ", "ALTER ROLE "].iter().find_map(|verb| line.strip_prefix(verb));
    about.is_none_or(|rest| !there.contains(&first_identifier(rest)))
}

fn first_identifier(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', ';']).unwrap_or(text.len());
        return text[..end].to_owned();
    };
    let mut name = String::new();
    let mut letters = quoted.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '"' && letters.next_if_eq(&'"').is_none() {
            break;
        }
        name.push(letter);
    }
    name
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_are_there_are_left_alone() {
        let there = BTreeSet::from(["postgres".to_owned(), "sim \"rs\"".to_owned()]);
        for (line, wanted) in [
            ("CREATE ROLE postgres;", false),
            ("ALTER ROLE postgres WITH SUPERUSER PASSWORD 'SCRAM';", false),
            ("CREATE ROLE \"sim \"\"rs\"\"\";", false),
            ("CREATE ROLE simrs;", true),
            ("GRANT simrs TO postgres GRANTED BY postgres;", true),
            ("SET standard_conforming_strings = on;", true),
        ] {
            assert_eq!(is_wanted(line, &there), wanted, "{line}");
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

    #[test]
    fn an_older_server_is_refused() {
        check_version("15.18 (Debian)", 150_002, "15.2").unwrap();
        check_version("9.6.24", 150_002, "15.2").unwrap();
        let error = check_version("15.18", 130_004, "13.4").unwrap_err().to_string();
        assert!(error.contains("restore into 15.18 or a newer version"), "{error}");
    }
}
