//! What a job says of its PostgreSQL server.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{Credentials, Database, Method, SourceError};

/// The `[job.postgresql]` table of an agent's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresqlSettings {
    /// Host, or the absolute path of the folder that holds the server's socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The role that reads.
    pub user: String,
    /// The password, as a file in the form of `.pgpass`; without one the server must let the role in by its socket.
    pub credentials: Option<Credentials>,
    /// The folder of `psql`, `pg_dump` and `pg_dumpall`; the newest that is installed, if absent.
    pub tools: Option<PathBuf>,
    /// How TLS is used, as libpq's `sslmode`.
    pub ssl_mode: Option<String>,
    /// The certificate authorities that the server's certificate is checked against.
    pub ssl_root_cert: Option<PathBuf>,
    /// The database that is connected to first.
    pub maintenance_database: String,
    /// How it is backed up.
    pub method: Method,
    /// The databases that are dumped; all but templates, if empty.
    pub databases: Vec<String>,
    /// Databases that are left out.
    pub exclude: Vec<String>,
    /// Whether roles and tablespaces are dumped as well.
    pub globals: bool,
    /// Whether with the roles' password hashes; only a superuser may read them.
    pub role_passwords: bool,
    /// Questions that are asked in the transaction of a dump; the answers stand in the snapshot.
    pub checks: Vec<PostgresqlCheck>,
}

/// A question whose answer a restored database has to give as well.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresqlCheck {
    /// What people call it.
    pub name: String,
    /// The database that is asked.
    pub database: String,
    /// The query: one value.
    pub query: String,
}

impl Default for PostgresqlSettings {
    fn default() -> Self {
        Self {
            host: "/var/run/postgresql".to_owned(),
            port: 5432,
            user: "lumbung".to_owned(),
            credentials: None,
            tools: None,
            ssl_mode: None,
            ssl_root_cert: None,
            maintenance_database: "postgres".to_owned(),
            method: Method::Logical,
            databases: Vec::new(),
            exclude: Vec::new(),
            globals: true,
            role_passwords: true,
            checks: Vec::new(),
        }
    }
}

impl PostgresqlSettings {
    /// Those of the server's databases that are dumped.
    ///
    /// # Errors
    /// If one that is named is not there, or none is left.
    pub(crate) fn choose(&self, there: &[Database]) -> Result<Vec<Database>, SourceError> {
        let names = self.databases.iter().chain(self.checks.iter().map(|check| &check.database));
        for name in names {
            if !there.iter().any(|database| database.name == *name) {
                return Err(SourceError::NoDatabase(name.clone()));
            }
        }
        let wanted = |name: &String| {
            (self.databases.is_empty() || self.databases.contains(name))
                && !self.exclude.contains(name)
        };
        let chosen: Vec<Database> =
            there.iter().filter(|database| wanted(&database.name)).cloned().collect();
        if chosen.is_empty() { Err(SourceError::NothingThere) } else { Ok(chosen) }
    }

    pub(crate) fn checks_of(&self, database: &str) -> Vec<PostgresqlCheck> {
        self.checks.iter().filter(|check| check.database == database).cloned().collect()
    }
}
