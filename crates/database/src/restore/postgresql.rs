//! A PostgreSQL database back: loaded beside, counted, and renamed into its place in one transaction.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;

use lumbung_engine::{Cancel, Halt};

use super::restricted::restricted;
use super::{
    Copy, Counted, ReadError, RestoreError, Restored, Wanted, belongings, beside, chosen, compare,
    feed, file, table, write_wanted,
};
use crate::child::Running;
use crate::description::{Database, Table};
use crate::postgresql::{PostgresqlSettings, Server, is_name, last_identifier, session};
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
    let whole = chosen(description, &wanted.database)?;
    let dump =
        file(description, "dump of it", |made| made.database.as_deref() == Some(&whole.name))?;
    let one_table = wanted.table.as_deref().map(|table| table::with_only(whole, table, true));
    let database = &one_table.transpose()?.unwrap_or_else(|| whole.clone());
    check_names(database)?;
    let server = Server::reach(settings, places)?;
    let found = server.look(halt)?;
    check_version(&description.server_version, found.number, &found.version)?;
    let exists = found.databases.iter().any(|there| there.name == wanted.name);
    match &wanted.table {
        Some(_) if !exists => return Err(RestoreError::NoPlace(wanted.name.clone())),
        Some(_) => _ = server.check_tools(&found, halt)?,
        None if exists && !wanted.replaces => {
            return Err(RestoreError::Exists(wanted.name.clone()));
        }
        None => {}
    }
    let restricts = server.restricts(halt)?;
    if !restricts && !wanted.trusts {
        return Err(RestoreError::Unrestricted("psql"));
    }
    let number = found.number;
    let target = Loading { server, halt, copy, database, wanted, restricts, number };
    if wanted.roles {
        let globals = file(description, "roles", |made| made.path.ends_with("/globals.sql"))?;
        target.make_roles(globals)?;
    }
    let temporary = beside(wanted.mark);
    target.create(&temporary)?;
    let loaded = target.load_and_compare(&temporary, dump);
    let mut done = match &wanted.table {
        Some(_) => loaded.and_then(|restored| target.bring_table(&temporary, restored)),
        None => loaded.and_then(|restored| target.take_place(&temporary, restored, exists)),
    };
    if done.is_err() || wanted.table.is_some() {
        let dropped = target.drop_copy(&temporary);
        // What failed counts; a copy that nobody knows of must not stay either.
        if let (Ok(restored), Err(error)) = (&mut done, dropped) {
            restored.left_out.push(format!("drop the database {temporary} by hand: {error}"));
        }
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
    /// The server's version, as `server_version_num`.
    number: u32,
}

impl Loading<'_> {
    /// Statements of ours: what a dump calls by the name of something of the server's is not found by them.
    fn ask(&self, database: &str, query: &str) -> Result<String, SourceError> {
        let mut command = self.server.psql(database);
        command.env("PGOPTIONS", "-c search_path=pg_catalog").args(["--command", query]);
        ask(command, self.halt, &self.server.name())
    }

    /// Statements at the server, outside the database.
    fn run(&self, statements: &str) -> Result<String, SourceError> {
        self.ask(self.server.maintenance(), statements)
    }

    /// As [`Self::ask`], also when the restore was stopped: what was begun has to be put right.
    fn settle(&self, database: &str, statements: &str) -> Result<String, SourceError> {
        let halt = Halt::by(&Cancel::default());
        let mut command = self.server.psql(database);
        command.args(["--command", statements]);
        ask(command, &halt, &self.server.name())
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
        if !self.database.icu_locale.is_empty() {
            let locale = literal(&self.database.icu_locale);
            statement.push_str(&format!(" LOCALE_PROVIDER icu ICU_LOCALE {locale}"));
        }
        if !owner.is_empty() && self.roles()?.contains(owner) {
            statement.push_str(&format!(" OWNER {}", identifier(owner)));
        }
        self.run(&statement)?;
        Ok(())
    }

    /// Gives the copy what belonged to the database; what cannot be given here comes back.
    fn give_belongings(&self, name: &str) -> Result<Vec<String>, RestoreError> {
        let (statements, mut left_out) =
            belongings::statements(self.database, name, &self.roles()?);
        for statement in statements {
            // A setting of an extension that is not here, for instance, keeps the data from nobody.
            if let Err(error) = self.run(&statement) {
                left_out.push(format!("{statement}: {error}"));
            }
        }
        Ok(left_out)
    }

    /// Gives the copy what belonged to the database, and its name.
    fn take_place(
        &self,
        temporary: &str,
        restored: Restored,
        exists: bool,
    ) -> Result<Restored, RestoreError> {
        let mut left_out = restored.left_out.clone();
        left_out.extend(self.give_belongings(temporary)?);
        let kept_as = exists.then(|| kept_name(&self.wanted.name, self.wanted.mark));
        self.put_in_place(temporary, kept_as.as_deref())?;
        Ok(Restored { left_out, kept_as, ..restored })
    }

    /// Brings the one table of the copy into a schema of its own of the database that is there.
    fn bring_table(&self, temporary: &str, restored: Restored) -> Result<Restored, RestoreError> {
        let Some(Table { name: table, .. }) = self.database.tables.first() else {
            return Ok(restored);
        };
        let schema = beside(self.wanted.mark);
        let moved = format!("{}.{}", identifier(&schema), last_identifier(table));
        let is_there =
            format!("SELECT count(*) FROM pg_namespace WHERE nspname = {}", literal(&schema));
        if self.ask(&self.wanted.name, &is_there)?.trim() != "0" {
            // Somebody else's, which is not to be dropped if this one fails.
            return Err(RestoreError::Exists(schema));
        }
        self.make_movable(temporary, (table, &schema))?;
        let mut dump = self.server.dump_of_schema(temporary, &schema);
        dump.stdin(Stdio::null());
        let mut dump = Running::start(dump, self.halt.clone())?;
        let mut load = self.server.psql(&self.wanted.name);
        load.args(["--single-transaction", "--file=-"]);
        let loaded = feed(load, self.halt, |out| {
            self.pass_on(out, |out| {
                dump.stdout.as_mut().map_or(Ok(0), |pipe| std::io::copy(pipe, out))?;
                Ok(dump.end()?)
            })
        });
        let counted = loaded.and_then(|()| {
            let count = |_: &str| {
                self.ask(&self.wanted.name, &format!("SELECT count(*) FROM ONLY {moved}"))
            };
            compare(self.database, self.wanted.accepts, count)
        });
        match counted {
            Ok(_) => Ok(Restored { table: Some(moved), ..restored }),
            Err(error) => {
                // What failed counts. Nothing was there before of that name.
                let drop = format!("DROP SCHEMA IF EXISTS {} CASCADE", identifier(&schema));
                let _ = self.settle(&self.wanted.name, &drop);
                Err(error)
            }
        }
    }

    /// Puts the table into a schema of its own, without what it was a part of. Nothing that comes out of the copy is taken for a statement.
    fn make_movable(
        &self,
        database: &str,
        (table, schema): (&str, &str),
    ) -> Result<(), RestoreError> {
        let (schema, of) = (identifier(schema), literal(table));
        let leave = format!(
            "DO $lumbung$ DECLARE part record; BEGIN \
             FOR part IN SELECT i.inhparent::regclass AS parent, c.oid::regclass AS own, c.relispartition AS is_partition \
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.oid = {of}::regclass LOOP \
             IF part.is_partition THEN EXECUTE format('ALTER TABLE %s DETACH PARTITION %s', part.parent, part.own); \
             ELSE EXECUTE format('ALTER TABLE %s NO INHERIT %s', part.own, part.parent); END IF; END LOOP; END $lumbung$"
        );
        self.ask(database, &leave)?;
        self.ask(database, &format!("CREATE SCHEMA {schema}"))?;
        self.ask(database, &format!("ALTER TABLE {table} SET SCHEMA {schema}"))?;
        Ok(())
    }

    /// Drops the copy, whoever is still in it.
    fn drop_copy(&self, name: &str) -> Result<String, SourceError> {
        let force = if self.number >= 130_000 { " WITH (FORCE)" } else { "" };
        let drop = format!("DROP DATABASE {}{force}", identifier(name));
        self.settle(self.server.maintenance(), &drop)
    }

    /// Writes the dump; of one table, what is of it.
    fn write_dump(&self, dump: &str, out: &mut dyn Write) -> Result<(), ReadError> {
        let Some(table) = self.database.tables.first().filter(|_| self.wanted.table.is_some())
        else {
            return self.copy.write(dump, out);
        };
        let mut lines = table::of_postgresql(&table.name, out);
        self.copy.write(dump, &mut lines)?;
        Ok(lines.finish()?)
    }

    fn load_and_compare(&self, name: &str, dump: &str) -> Result<Restored, RestoreError> {
        let mut load = self.server.psql(name);
        load.args(["--single-transaction", "--file=-"]);
        feed(load, self.halt, |out| self.pass_on(out, |out| self.write_dump(dump, out)))?;
        // Rows of tables that inherit from one are in their own.
        let count = |table: &str| self.ask(name, &format!("SELECT count(*) FROM ONLY {table}"));
        let counted = compare(self.database, self.wanted.accepts, count)?;
        let Counted { tables, rows, differs: mut left_out } = counted;
        let mut checks = 0;
        for check in &self.database.checks {
            let key = self.key()?;
            let found = session::value(
                &self.server,
                name,
                (None, key.as_deref()),
                &check.query,
                self.halt,
            )?;
            if found == check.value {
                checks += 1;
                continue;
            }
            let (name, expected) = (check.name.clone(), check.value.clone());
            if !self.wanted.accepts {
                return Err(RestoreError::Check { name, expected, found });
            }
            left_out.push(format!("check {name}: {found}, it gave {expected}"));
        }
        // Plans of a database that was never analysed are bad ones.
        self.ask(name, "ANALYZE")?;
        let name = self.wanted.name.clone();
        Ok(Restored { name, table: None, tables, rows, checks, kept_as: None, left_out })
    }

    /// Gives the copy its name; whoever has it gets another one, in the same transaction.
    fn put_in_place(&self, temporary: &str, kept_as: Option<&str>) -> Result<(), RestoreError> {
        let name = identifier(&self.wanted.name);
        let rename = format!("ALTER DATABASE {} RENAME TO {name}", identifier(temporary));
        let Some(kept_as) = kept_as else {
            self.run(&rename)?;
            return Ok(());
        };
        let settle = |statements: &str| self.settle(self.server.maintenance(), statements);
        settle(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS false"))?;
        let end_sessions = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = {}",
            literal(&self.wanted.name)
        );
        // From here on nobody can connect, so it goes on to the end.
        let renamed = settle(&end_sessions).and_then(|_| {
            let kept_as = identifier(kept_as);
            settle(&format!("BEGIN; ALTER DATABASE {name} RENAME TO {kept_as}; {rename}; COMMIT"))
        });
        let old = if renamed.is_ok() { identifier(kept_as) } else { name };
        let opened = settle(&format!("ALTER DATABASE {old} ALLOW_CONNECTIONS true"));
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
        let mut load = self.server.psql(self.server.maintenance());
        // A membership that is there already, or a tablespace whose folder is not, keeps no role from being made.
        load.args(["--set", "ON_ERROR_STOP=0", "--file=-"]);
        feed(load, self.halt, |out| {
            self.pass_on(out, |out| {
                write_wanted(self.copy, globals, out, |line| is_wanted(line, &there))
            })
        })
    }

    /// With what `psql` is restricted; nothing where it cannot be.
    fn key(&self) -> Result<Option<String>, SourceError> {
        if !self.restricts {
            return Ok(None);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| {
            SourceError::io("a random key", std::io::Error::other(error.to_string()))
        })?;
        Ok(Some(key.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Lets `psql` run what is SQL, and nothing else.
    fn pass_on(
        &self,
        out: &mut dyn Write,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let Some(key) = self.key()? else { return fill(out) };
        let mut restricted = restricted((&key, self.number), out)?;
        fill(&mut restricted)?;
        Ok(restricted.finish()?)
    }
}

/// Whether every table's name is one or two identifiers: they are put into statements.
fn check_names(database: &Database) -> Result<(), RestoreError> {
    let wrong = database.tables.iter().find(|table| !is_name(&table.name));
    wrong.map_or(Ok(()), |table| Err(RestoreError::TableName(table.name.clone())))
}

/// Whether a statement of `pg_dumpall --globals-only` is about a role that has to be made.
fn is_wanted(line: &str, there: &BTreeSet<String>) -> bool {
    let about = ["CREATE ROLE ", "ALTER ROLE "].iter().find_map(|verb| line.strip_prefix(verb));
    // `GRANT role TO member …`: a membership that was taken away does not come back.
    let member = line.strip_prefix("GRANT ").and_then(|rest| rest.split_once(" TO "));
    let about = about.or(member.map(|(_, rest)| rest));
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

/// The name that a replaced database gets: at most the 63 bytes that a name may have.
fn kept_name(name: &str, mark: u64) -> String {
    let suffix = format!("_before_{mark}");
    let most = (0..=63_usize.saturating_sub(suffix.len()).min(name.len()))
        .rev()
        .find(|length| name.is_char_boundary(*length))
        .unwrap_or(0);
    format!("{}{suffix}", &name[..most])
}

pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(super) fn literal(text: &str) -> String {
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
            ("GRANT simrs TO postgres GRANTED BY postgres;", false),
            ("GRANT postgres TO simrs GRANTED BY postgres;", true),
            ("SET standard_conforming_strings = on;", true),
        ] {
            assert_eq!(is_wanted(line, &there), wanted, "{line}");
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
