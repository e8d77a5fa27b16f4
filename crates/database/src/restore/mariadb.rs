//! A MariaDB database back: loaded beside and counted.
//!
//! MariaDB cannot rename a database. One that takes the place of another is loaded and counted under another name first; only then the old one is dropped
//! and it is loaded again, and the copy stays until that was counted as well.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Command;

use lumbung_engine::{Cancel, Halt};

use super::binlog::{Replay, place_of_dump};
use super::section::section;
use super::{
    Copy, Counted, ReadError, Replayed, RestoreError, Restored, Wanted, beside, chosen, compare,
    feed, feed_hearing, file, table, write_wanted,
};
use crate::child::SAID_BYTES;
use crate::description::{Database, Made};
use crate::mariadb::{MariadbServer, MariadbSettings, unhex};
use crate::source::ask;
use crate::{Places, SourceError, tool};

pub(super) fn restore(
    copy: &dyn Copy,
    settings: &MariadbSettings,
    wanted: &Wanted,
    log: Option<Replayed<'_>>,
    places: &Places,
    halt: &Halt,
) -> Result<Restored, RestoreError> {
    let description = copy.description();
    let whole = chosen(description, &wanted.database)?;
    let one_table = wanted.table.as_deref().map(|table| table::with_only(whole, table, false));
    let database = &one_table.transpose()?.unwrap_or_else(|| whole.clone());
    let dump = file(description, "dump", |made| made.path.ends_with("/databases.sql"))?;
    let server = MariadbServer::reach(settings, places)?;
    let found = server.look(halt)?;
    let version =
        |text: &str| tool::number(text).map(|parts| parts.into_iter().take(2).collect::<Vec<_>>());
    if version(&description.server_version) > version(&found.version) {
        let snapshot = description.server_version.clone();
        return Err(RestoreError::OlderServer { snapshot, server: found.version });
    }
    let exists = found.databases.iter().any(|there| there.name == wanted.name);
    if exists && !wanted.replaces {
        return Err(RestoreError::Exists(wanted.name.clone()));
    }
    let restricts = server.restricts(halt)?;
    if !restricts && !wanted.trusts {
        return Err(RestoreError::Unrestricted("mariadb"));
    }
    let (accepts, one_table) = (wanted.accepts, wanted.table.is_some());
    let target = Loading { server, halt, copy, database, one_table, dump, log, restricts, accepts };
    let grants = |made: &Made| made.path.ends_with("/grants.sql");
    let accounts = wanted.roles.then(|| file(description, "accounts", grants)).transpose()?;
    let temporary = beside(wanted.mark);
    let first = if exists { &temporary } else { &wanted.name };
    // Before: whom views and routines name. After: what is about tables that are there only then.
    let there = accounts.map(|_| target.accounts()).transpose()?;
    let accounts = accounts.zip(there);
    if let Some((grants, there)) = &accounts {
        target.make_accounts(grants, there)?;
    }
    let Counted { tables, rows, differs: mut left_out } = target.make(first)?;
    if exists {
        target.drop(&wanted.name);
        target.make(&wanted.name).map_err(|error| RestoreError::Halfway {
            name: wanted.name.clone(),
            copy: temporary.clone(),
            source: Box::new(error),
        })?;
        target.drop(&temporary);
    }
    let name = wanted.name.clone();
    if let Some((grants, there)) = &accounts {
        match target.make_accounts(grants, there) {
            Ok(refused) => left_out.extend(refused),
            // The database is in its place: that is not taken back.
            Err(error) => left_out.push(format!("rights of accounts: {error}")),
        }
    }
    let table = wanted.table.as_ref().and(database.tables.first());
    let table = table.map(|table| format!("{}.{}", identifier(&name), identifier(&table.name)));
    Ok(Restored { name, table, tables, rows, checks: 0, kept_as: None, left_out })
}

struct Loading<'a> {
    server: MariadbServer,
    halt: &'a Halt,
    copy: &'a dyn Copy,
    database: &'a Database,
    /// Whether only the one table that `database` has is loaded.
    one_table: bool,
    dump: &'a str,
    log: Option<Replayed<'a>>,
    restricts: bool,
    accepts: bool,
}

impl Loading<'_> {
    fn run(&self, statements: &str) -> Result<String, SourceError> {
        let mut command = self.server.session();
        command.args(["--batch", "--skip-column-names"]).arg(format!("--execute={statements}"));
        ask(command, self.halt, &self.server.name())
    }

    /// A session that runs SQL and nothing else.
    fn session(&self) -> Command {
        let mut session = self.server.session();
        if self.restricts {
            session.arg("--sandbox");
        }
        // Its sandbox leaves `\\e` and files of this machine to the dump: these take them away.
        session.args(["--binary-mode", "--local-infile=0"]);
        for editor in ["EDITOR", "VISUAL", "PAGER"] {
            session.env(editor, "/bin/false");
        }
        session
    }

    /// The accounts that are there.
    fn accounts(&self) -> Result<BTreeSet<Account>, SourceError> {
        let there = self.run("SELECT HEX(User), HEX(Host) FROM mysql.user")?;
        let accounts = there.lines().filter_map(|line| line.split_once('\t'));
        Ok(accounts.filter_map(|(user, host)| Some((unhex(user)?, unhex(host)?))).collect())
    }

    /// Makes the accounts that were missing; those that were there keep their passwords and rights. What cannot be made or given
    /// here, such as a right on a table of another database, comes back.
    fn make_accounts(
        &self,
        grants: &str,
        there: &BTreeSet<Account>,
    ) -> Result<Vec<String>, RestoreError> {
        let mut session = self.session();
        session.arg("--force");
        let said = feed_hearing(session, self.halt, |out| {
            write_wanted(self.copy, grants, out, |line| is_wanted(line, there))
        })?;
        Ok(refused(&said))
    }

    /// Takes the foreign keys of one table away: what they refer to is in another database, or lives there.
    fn drop_foreign_keys(&self, name: &str, table: &str) -> Result<(), SourceError> {
        let keys = self.run(&format!(
            "SELECT HEX(CONSTRAINT_NAME) FROM information_schema.TABLE_CONSTRAINTS WHERE CONSTRAINT_TYPE = 'FOREIGN KEY' \
             AND HEX(TABLE_SCHEMA) = HEX({}) AND HEX(TABLE_NAME) = HEX({})",
            literal(name),
            literal(table)
        ))?;
        for key in keys.lines().filter_map(unhex) {
            let (name, table, key) = (identifier(name), identifier(table), identifier(&key));
            self.run(&format!("ALTER TABLE {name}.{table} DROP FOREIGN KEY {key}"))?;
        }
        Ok(())
    }

    /// What failed counts; that something cannot be dropped shows with the next statement.
    fn drop(&self, name: &str) {
        let mut command = self.server.session();
        command.arg(format!("--execute=DROP DATABASE IF EXISTS {}", identifier(name)));
        // Also when the restore was stopped.
        let _ = ask(command, &Halt::by(&Cancel::default()), &self.server.name());
    }

    /// Makes a database, loads it and counts it.
    fn make(&self, name: &str) -> Result<Counted, RestoreError> {
        let Database { encoding, collation, .. } = self.database;
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let mut statement = format!("CREATE DATABASE {}", identifier(name));
        if plain(encoding) && plain(collation) && !encoding.is_empty() {
            statement.push_str(&format!(" CHARACTER SET {encoding} COLLATE {collation}"));
        }
        // Only what was made here is taken away again: the server may take two names for one.
        self.run(&statement)?;
        self.fill(name).inspect_err(|_| self.drop(name))
    }

    /// Writes the part of the dump that is of the database; of one table, what is of it.
    fn write_dump(&self, out: &mut dyn Write) -> Result<(), ReadError> {
        let Some(table) = self.database.tables.first().filter(|_| self.one_table) else {
            return self.write_section(out);
        };
        let mut lines = table::of_mariadb(&table.name, out);
        self.write_section(&mut lines)?;
        Ok(lines.finish()?)
    }

    fn write_section(&self, out: &mut dyn Write) -> Result<(), ReadError> {
        let mut section = section(&self.database.name, out);
        self.copy.write(self.dump, &mut section)?;
        Ok(section.finish()?)
    }

    fn fill(&self, name: &str) -> Result<Counted, RestoreError> {
        let mut load = self.session();
        load.arg(format!("--database={name}"));
        feed(load, self.halt, |out| self.write_dump(out))?;
        if let Some(table) = self.database.tables.first().filter(|_| self.one_table) {
            self.drop_foreign_keys(name, &table.name)?;
        }
        let counted = compare(self.database, self.accepts, |table| {
            self.run(&format!("SELECT COUNT(*) FROM {}.{}", identifier(name), identifier(table)))
        })?;
        if let Some(Replayed { log, until }) = self.log {
            let place = self.copy.description().log_position.as_deref().and_then(place_of_dump);
            let from = place.ok_or(RestoreError::NoFile("place in the binary log"))?;
            let names = (self.database.name.as_str(), name);
            Replay { log, from, until, names }.run(&self.server, self.halt)?;
        }
        Ok(counted)
    }
}

/// What the client says of statements that failed, of all that it said in one line: `ERROR 1146 (42S02) at line 5: Table …`.
fn refused(said: &str) -> Vec<String> {
    let mut refused: Vec<String> =
        said.split("; ").filter(|one| one.starts_with("ERROR ")).map(str::to_owned).collect();
    // Only the last part of it is kept.
    if said.len() >= SAID_BYTES * 9 / 10 {
        refused.insert(0, "there were more, which are not listed".to_owned());
    }
    refused
}

/// User and host.
type Account = (String, String);

/// Whether a statement of a dump of accounts is about one that has to be made.
fn is_wanted(line: &str, there: &BTreeSet<Account>) -> bool {
    let behind = |word| line.rsplit_once(word).map(|(_, rest)| rest);
    let about = if line.starts_with("GRANT ") {
        behind(" TO ")
    } else if line.starts_with("REVOKE ") {
        behind(" FROM ")
    } else if line.starts_with("SET DEFAULT ROLE ") {
        // As MariaDB says it, and as MySQL does.
        behind(" FOR ").or_else(|| behind(" TO "))
    } else {
        line.strip_prefix("CREATE USER IF NOT EXISTS ")
    };
    about.and_then(account).is_none_or(|account| !there.contains(&account))
}

/// The account that a text begins with, quoted in either way.
fn account(text: &str) -> Option<Account> {
    let (user, rest) = quoted(text)?;
    let Some(rest) = rest.strip_prefix('@') else { return Some((user, String::new())) };
    Some((user, quoted(rest)?.0))
}

fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|quote| ['`', '\''].contains(quote))?;
    let mut name = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter == quote && letters.next_if(|(_, next)| *next == quote).is_none() {
            return Some((name, &text[at + 1..]));
        }
        name.push(letter);
    }
    None
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_are_there_are_left_alone() {
        let there = [("root", "localhost"), ("it`s", "%"), ("role", "")];
        let there = there.map(|(user, host)| (user.to_owned(), host.to_owned())).into();
        for (line, wanted) in [
            ("CREATE USER IF NOT EXISTS `root`@`localhost` IDENTIFIED VIA unix_socket;", false),
            ("GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION;", false),
            ("GRANT SELECT ON `a TO b`.* TO `it``s`@`%`;", false),
            ("GRANT `role` TO `simpeg`@`%`;", true),
            ("GRANT USAGE ON *.* TO `role`;", false),
            ("SET DEFAULT ROLE `role`@`%` TO `root`@`localhost`;", false),
            ("REVOKE INSERT ON `mysql`.* FROM `root`@`localhost`;", false),
            ("CREATE USER IF NOT EXISTS `root`@`10.0.0.%`;", true),
            ("-- Dump completed", true),
        ] {
            assert_eq!(is_wanted(line, &there), wanted, "{line}");
        }
    }
}
