//! A MariaDB or MySQL server, as its clients see it.

use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_engine::Halt;

use super::MariadbSettings;
use crate::child::{Launcher, Running};
use crate::description::Database;
use crate::settings::Places;
use crate::source::ask;
use crate::{SourceError, tool};

const PACKAGE: &str = "mariadb-client (or mysql-client) in the server's version";

/// What is asked of a server. Names come as hex, so that none can be taken for something else.
const LOOK: &str = "SELECT VERSION(), @@log_bin; \
     SELECT HEX(s.SCHEMA_NAME), s.DEFAULT_CHARACTER_SET_NAME, s.DEFAULT_COLLATION_NAME, \
     CAST(COALESCE(SUM(t.DATA_LENGTH + t.INDEX_LENGTH), 0) AS UNSIGNED) FROM information_schema.SCHEMATA s \
     LEFT JOIN information_schema.TABLES t ON t.TABLE_SCHEMA = s.SCHEMA_NAME GROUP BY 1, 2, 3 ORDER BY 1";

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct MariadbServer {
    host: String,
    port: u16,
    user: String,
    option_file: Option<PathBuf>,
    client: PathBuf,
    pub(super) dump: PathBuf,
    tools: Option<PathBuf>,
    launcher: Launcher,
}

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) version: String,
    pub(crate) is_mariadb: bool,
    /// Whether it keeps a binary log.
    pub(crate) has_log: bool,
    pub(crate) databases: Vec<Database>,
}

impl MariadbServer {
    /// Finds the tools and the password; connects to nothing yet.
    pub(crate) fn reach(settings: &MariadbSettings, places: &Places) -> Result<Self, SourceError> {
        let find = |names| find(names, settings.tools.as_deref());
        let option_file = match &settings.credentials {
            Some(credentials) => Some(credentials.file(places.credentials.as_deref())?),
            None => None,
        };
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            user: settings.user.clone(),
            option_file,
            client: find(["mariadb", "mysql"])?,
            dump: find(["mariadb-dump", "mysqldump"])?,
            tools: settings.tools.clone(),
            launcher: places.launcher.clone(),
        })
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        if self.host.starts_with('/') {
            return format!("MariaDB at {}, user {}", self.host, self.user);
        }
        format!("MariaDB at {} port {}, user {}", self.host, self.port, self.user)
    }

    /// A tool that reads its password from the option file and nothing else from anywhere.
    pub(super) fn client(&self, program: &Path) -> Command {
        let mut command = self.launcher.command(program);
        match &self.option_file {
            Some(file) => command.arg(format!("--defaults-file={}", file.display())),
            None => command.arg("--no-defaults"),
        };
        if self.host.starts_with('/') {
            command.arg(format!("--socket={}", self.host));
        } else {
            command.arg(format!("--host={}", self.host)).arg(format!("--port={}", self.port));
            command.arg("--protocol=tcp");
        }
        command.arg(format!("--user={}", self.user));
        command
    }

    /// The program that copies the server's files.
    pub(super) fn backup_program(&self) -> Result<PathBuf, SourceError> {
        find(["mariadb-backup", "mariabackup"], self.tools.as_deref())
    }

    /// The program that reads binary logs: it connects to nothing.
    pub(crate) fn binlog(&self) -> Result<Command, SourceError> {
        let program = find(["mariadb-binlog", "mysqlbinlog"], self.tools.as_deref())?;
        let mut command = self.launcher.command(&program);
        command.arg("--no-defaults");
        Ok(command)
    }

    /// Whether the client can be kept from starting programs and reading files.
    pub(crate) fn restricts(&self, halt: &Halt) -> Result<bool, SourceError> {
        let mut command = self.launcher.command(&self.client);
        command.args(["--no-defaults", "--help"]);
        Ok(Running::answer(command, halt.clone())?.contains("--sandbox"))
    }

    /// A session of another account, by its own option file.
    pub(crate) fn session_of(&self, user: &str, option_file: &str) -> Command {
        let (user, option_file) = (user.to_owned(), Some(PathBuf::from(option_file)));
        Self { user, option_file, ..self.clone() }.session()
    }

    /// A session of the client.
    pub(crate) fn session(&self) -> Command {
        let mut command = self.client(&self.client);
        command.args(["--connect-timeout=30", "--default-character-set=utf8mb4"]);
        command
    }

    /// Asks the server what it is and has.
    pub(crate) fn look(&self, halt: &Halt) -> Result<Found, SourceError> {
        let mut command = self.session();
        command.args(["--batch", "--skip-column-names"]).arg(format!("--execute={LOOK}"));
        let answer = ask(command, halt, &self.name())?;
        parse(&answer).ok_or_else(|| SourceError::Refused {
            server: self.name(),
            said: format!("an answer that is not understood: {:?}", answer.lines().next()),
        })
    }

    /// The version of the dump program, which has to be at least the server's.
    pub(crate) fn check_tools(&self, found: &Found, halt: &Halt) -> Result<String, SourceError> {
        let said = tool::version(&self.dump, halt)?;
        let tool = self.dump.display().to_string();
        let own = tool_number(&said).filter(|own| own.len() > 1);
        let Some(own) = own else { return Err(SourceError::ToolUnknown { tool, said }) };
        let server = tool::number(&found.version).unwrap_or_default();
        if own[..2] < server[..server.len().min(2)] {
            let server_version = found.version.clone();
            return Err(SourceError::ToolTooOld { tool, tool_version: said, server_version });
        }
        Ok(said)
    }
}

/// A program under either of its names.
fn find(names: [&str; 2], tools: Option<&Path>) -> Result<PathBuf, SourceError> {
    let found = names.iter().find_map(|name| tool::find(name, tools, &[], PACKAGE).ok());
    found.map_or_else(|| tool::find(names[0], tools, &[], PACKAGE), Ok)
}

/// `mysqldump  Ver 10.19 Distrib 10.3.39-MariaDB, for …` has the version of its protocol in front.
pub(super) fn tool_number(said: &str) -> Option<Vec<u32>> {
    let from = said.split_once("Distrib ").map_or(said, |(_, from)| from);
    tool::number(from)
}

fn parse(answer: &str) -> Option<Found> {
    let mut lines = answer.lines();
    let (version, log) = lines.next()?.split_once('\t')?;
    let databases = lines.map(database).collect::<Option<Vec<_>>>()?;
    let is_mariadb = version.contains("MariaDB");
    Some(Found { version: version.to_owned(), is_mariadb, has_log: log == "1", databases })
}

fn database(line: &str) -> Option<Database> {
    let mut fields = line.split('\t');
    let name = unhex(fields.next()?)?;
    let (encoding, collation) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let size_bytes = fields.next()?.parse().ok()?;
    Some(Database { name, encoding, collation, size_bytes, ..Database::default() })
}

pub(crate) fn unhex(hex: &str) -> Option<String> {
    let pairs = hex.as_bytes().chunks(2);
    let bytes: Option<Vec<u8>> =
        pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        let found = parse(
            "10.11.14-MariaDB-0+deb12u2\t1\n73696D7273\tutf8mb4\tutf8mb4_general_ci\t16384\n",
        )
        .unwrap();
        assert!(found.is_mariadb && found.has_log);
        assert_eq!(
            (found.databases[0].name.as_str(), found.databases[0].size_bytes),
            ("simrs", 16384)
        );
        assert_eq!(parse("8.0.36\t0\n").map(|found| found.is_mariadb), Some(false));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn versions_of_both_families_are_read() {
        let old = "mysqldump  Ver 10.19 Distrib 10.3.39-MariaDB, for debian-linux-gnu (x86_64)";
        assert_eq!(tool_number(old).unwrap(), [10, 3, 39]);
        assert_eq!(tool_number("mysqldump  Ver 8.0.36 for Linux on x86_64").unwrap(), [8, 0, 36]);
    }
}
