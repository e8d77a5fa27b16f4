//! A PostgreSQL server, as its clients see it.

use std::path::{Path, PathBuf};
use std::process::Command;

use lumbung_engine::Halt;
use serde::Deserialize;

use super::PostgresqlSettings;
use crate::child::{Launcher, Running};
use crate::description::Database;
use crate::settings::Places;
use crate::source::ask;
use crate::{SourceError, tool};

const PACKAGE: &str = "postgresql-client in the server's version";
/// Where Debian, and PostgreSQL's own packages for CentOS, put each version.
const FOLDERS: [&str; 2] = ["/usr/lib/postgresql", "/usr"];

/// What is asked of a server: one JSON value, so that no name can be taken for something else.
const LOOK: &str = "SELECT json_build_object('version', current_setting('server_version'), \
     'number', current_setting('server_version_num')::int, 'databases', (SELECT coalesce(json_agg(json_build_object(\
     'name', datname, 'encoding', pg_encoding_to_char(encoding), 'collation', datcollate, 'ctype', datctype, 'owner', pg_get_userbyid(datdba), \
     'icu_locale', CASE to_jsonb(d)->>'datlocprovider' WHEN 'i' THEN coalesce(to_jsonb(d)->>'daticulocale', to_jsonb(d)->>'datlocale', '') ELSE '' END, \
     'connection_limit', nullif(datconnlimit, -1), \
     'settings', (SELECT coalesce(json_agg(json_build_object('role', CASE setrole WHEN 0 THEN '' ELSE pg_get_userbyid(setrole) END, 'setting', one) ORDER BY setrole, one), '[]') \
     FROM pg_db_role_setting, unnest(setconfig) one WHERE setdatabase = d.oid), \
     'rights', CASE WHEN datacl IS NOT NULL THEN (SELECT coalesce(json_agg(json_build_object('role', CASE grantee WHEN 0 THEN '' ELSE pg_get_userbyid(grantee) END, \
     'privilege', privilege_type, 'grantable', is_grantable) ORDER BY grantee, privilege_type), '[]') FROM aclexplode(datacl)) END, 'size_bytes', \
     CASE WHEN has_database_privilege(datname, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END) ORDER BY datname), '[]') \
     FROM pg_database d WHERE datallowconn AND NOT datistemplate))";

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Server {
    host: String,
    port: u16,
    user: String,
    password_file: Option<PathBuf>,
    ssl: Vec<(&'static str, String)>,
    maintenance_database: String,
    psql: PathBuf,
    pub(super) pg_dump: PathBuf,
    pub(super) pg_dumpall: PathBuf,
    /// Only base backups need it.
    pg_basebackup: Option<PathBuf>,
    launcher: Launcher,
}

/// What a server says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Found {
    pub(crate) version: String,
    /// As `server_version_num`: 150018 is 15.18.
    pub(crate) number: u32,
    pub(crate) databases: Vec<Database>,
}

impl Server {
    /// Finds the tools and the password; connects to nothing yet.
    pub(crate) fn reach(
        settings: &PostgresqlSettings,
        places: &Places,
    ) -> Result<Self, SourceError> {
        let folders = installed();
        let find = |name| tool::find(name, settings.tools.as_deref(), &folders, PACKAGE);
        let password_file = match &settings.credentials {
            Some(credentials) => Some(credentials.file(places.credentials.as_deref())?),
            None => None,
        };
        let mode = settings.ssl_mode.clone().map(|mode| ("PGSSLMODE", mode));
        let root = settings.ssl_root_cert.as_ref();
        let root = root.map(|path| ("PGSSLROOTCERT", path.display().to_string()));
        Ok(Self {
            host: settings.host.clone(),
            port: settings.port,
            user: settings.user.clone(),
            password_file,
            ssl: mode.into_iter().chain(root).collect(),
            maintenance_database: settings.maintenance_database.clone(),
            psql: find("psql")?,
            pg_dump: find("pg_dump")?,
            pg_dumpall: find("pg_dumpall")?,
            pg_basebackup: find("pg_basebackup").ok(),
            launcher: places.launcher.clone(),
        })
    }

    /// The program that copies the whole server.
    pub(super) fn basebackup(&self) -> Result<&Path, SourceError> {
        let missing =
            || SourceError::ToolMissing { tool: "pg_basebackup".to_owned(), package: PACKAGE };
        self.pg_basebackup.as_deref().ok_or_else(missing)
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        format!("PostgreSQL at {} port {}, user {}", self.host, self.port, self.user)
    }

    /// A tool that connects by libpq's environment: nothing of it is on the command line.
    pub(super) fn client(&self, program: &Path, database: &str) -> Command {
        let mut command = self.launcher.command(program);
        command.env("PGHOST", &self.host).env("PGPORT", self.port.to_string());
        command.env("PGUSER", &self.user).env("PGDATABASE", database);
        command.env("PGAPPNAME", "lumbung").env("PGCONNECT_TIMEOUT", "30");
        command.envs(self.password_file.iter().map(|path| ("PGPASSFILE", path)));
        command.envs(self.ssl.iter().map(|(name, value)| (name, value)));
        command.arg("--no-password");
        command
    }

    /// `pg_dump` of one schema, without owners and rights: it becomes a part of another database.
    pub(crate) fn dump_of_schema(&self, database: &str, schema: &str) -> Command {
        let mut command = self.client(&self.pg_dump, database);
        command.args(["--format=plain", "--no-owner", "--no-privileges", "--no-publications"]);
        command.arg("--no-subscriptions").arg(format!("--schema={schema}"));
        command
    }

    /// `psql` that prints values and nothing else, and ends with the first error.
    pub(crate) fn psql(&self, database: &str) -> Command {
        let mut command = self.client(&self.psql, database);
        command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        command.args(["--set", "ON_ERROR_STOP=1"]);
        command
    }

    /// Whether `psql` can be kept from running its own commands.
    pub(crate) fn restricts(&self, halt: &Halt) -> Result<bool, SourceError> {
        let mut command = self.launcher.command(&self.psql);
        command.arg("--help=commands");
        Ok(Running::answer(command, halt.clone())?.contains("\\restrict"))
    }

    /// The database that is connected to for what is about the server.
    pub(crate) fn maintenance(&self) -> &str {
        &self.maintenance_database
    }

    /// Asks the server what it is and has.
    pub(crate) fn look(&self, halt: &Halt) -> Result<Found, SourceError> {
        let mut command = self.psql(&self.maintenance_database);
        command.args(["--command", LOOK]);
        let answer = ask(command, halt, &self.name())?;
        serde_json::from_str(answer.trim()).map_err(|error| SourceError::Refused {
            server: self.name(),
            said: format!("an answer that is not understood: {error}"),
        })
    }

    /// The version of `pg_dump`, which has to be at least the server's.
    pub(crate) fn check_tools(&self, found: &Found, halt: &Halt) -> Result<String, SourceError> {
        let said = tool::version(&self.pg_dump, halt)?;
        let Some(major) = tool::number(&said).and_then(|parts| parts.first().copied()) else {
            return Err(SourceError::ToolUnknown {
                tool: self.pg_dump.display().to_string(),
                said,
            });
        };
        if major < found.number / 10_000 {
            return Err(SourceError::ToolTooOld {
                tool: self.pg_dump.display().to_string(),
                tool_version: said,
                server_version: found.version.clone(),
            });
        }
        Ok(said)
    }
}

/// Folders of installed versions, the newest first.
fn installed() -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for folder in FOLDERS {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.strip_prefix("pgsql-").unwrap_or(&name).parse();
            found.extend(version.ok().map(|version| (version, entry.path().join("bin"))));
        }
    }
    found.sort();
    found.into_iter().rev().map(|(_, folder)| folder).collect()
}
