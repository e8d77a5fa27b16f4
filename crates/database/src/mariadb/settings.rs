//! What a job says of its MariaDB or MySQL server.

use std::path::PathBuf;

use serde::Deserialize;

use crate::{Credentials, Database, Method, SourceError};

/// The `[job.mariadb]` table of an agent's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MariadbSettings {
    /// Host, or the absolute path of the server's socket.
    pub host: String,
    /// Port, where `host` is one.
    pub port: u16,
    /// The account that reads.
    pub user: String,
    /// The password, as an option file (`[client]`, `password=…`); without one the server must let the account in by its socket.
    pub credentials: Option<Credentials>,
    /// The folder of `mariadb` and `mariadb-dump` (or `mysql` and `mysqldump`); those in PATH, if absent.
    pub tools: Option<PathBuf>,
    /// How it is backed up.
    pub method: Method,
    /// The databases that are dumped; all but the server's own, if empty.
    pub databases: Vec<String>,
    /// Databases that are left out.
    pub exclude: Vec<String>,
    /// Whether accounts and what they may are dumped as well.
    pub grants: bool,
}

impl Default for MariadbSettings {
    fn default() -> Self {
        Self {
            host: "/run/mysqld/mysqld.sock".to_owned(),
            port: 3306,
            user: "lumbung".to_owned(),
            credentials: None,
            tools: None,
            method: Method::Logical,
            databases: Vec::new(),
            exclude: Vec::new(),
            grants: true,
        }
    }
}

/// The server's own: none of them can be restored over those of another.
const OWN: [&str; 4] = ["information_schema", "performance_schema", "sys", "mysql"];

impl MariadbSettings {
    /// Those of the server's databases that are dumped.
    ///
    /// # Errors
    /// If one that is named is not there, or none is left.
    pub(crate) fn choose(&self, there: &[Database]) -> Result<Vec<Database>, SourceError> {
        if let Some(name) =
            self.databases.iter().find(|name| there.iter().all(|database| database.name != **name))
        {
            return Err(SourceError::NoDatabase(name.clone()));
        }
        let own = |name: &String| OWN.contains(&name.to_lowercase().as_str());
        let wanted = |name: &String| {
            let named = self.databases.contains(name) || (self.databases.is_empty() && !own(name));
            named && !self.exclude.contains(name)
        };
        let chosen: Vec<Database> =
            there.iter().filter(|database| wanted(&database.name)).cloned().collect();
        if chosen.is_empty() { Err(SourceError::NothingThere) } else { Ok(chosen) }
    }
}
