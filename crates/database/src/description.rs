//! What lies beside the data of a database in its snapshot, as JSON: enough to tell whether it can be restored here, and whether
//! what was restored is what was backed up.

use lumbung_model::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of this description; a reader refuses a greater one.
pub const FORMAT: u32 = 1;

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// [`FORMAT`].
    pub format: u32,
    /// Of what.
    pub kind: Kind,
    /// When the copy began.
    pub started: Timestamp,
    /// The server's version, as it says it; empty where there is none.
    #[serde(default)]
    pub server_version: String,
    /// The version of the tool that made the copy, as it says it.
    #[serde(default)]
    pub tool_version: String,
    /// The databases that were copied.
    #[serde(default)]
    pub databases: Vec<Database>,
    /// The files that were made, in path order.
    #[serde(default)]
    pub made: Vec<Made>,
    /// Where the server's log stood at the copy: `file position` of a binary log, or a log sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_position: Option<String>,
    /// The file of the log that holds that position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_segment: Option<String>,
}

/// Of what the snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// SQL dumps of a PostgreSQL server.
    PostgresqlDump,
    /// A base backup of a whole PostgreSQL server.
    PostgresqlBase,
    /// SQL dump of a MariaDB or MySQL server.
    MariadbDump,
    /// A copy of the files of a whole MariaDB server.
    MariadbBase,
    /// SQLite databases.
    Sqlite,
    /// The output of a command.
    Command,
}

/// A database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// Its name, or its path.
    pub name: String,
    /// Its character set.
    #[serde(default)]
    pub encoding: String,
    /// Its collation.
    #[serde(default)]
    pub collation: String,
    /// Its character classification, where that is told apart.
    #[serde(default)]
    pub ctype: String,
    /// The role that owns it, where databases have owners.
    #[serde(default)]
    pub owner: String,
    /// Its ICU locale, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub icu_locale: String,
    /// How many sessions it takes at a time; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_limit: Option<i32>,
    /// What is set for its sessions (`ALTER DATABASE … SET`, `ALTER ROLE … IN DATABASE … SET`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// Who may do what with it as a whole (`GRANT … ON DATABASE`); none: nobody ever said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rights: Option<Vec<Right>>,
    /// Its size on the server, bytes.
    #[serde(default)]
    pub size_bytes: u64,
    /// Its tables with the rows that the copy has.
    #[serde(default)]
    pub tables: Vec<Table>,
    /// What the owner had asked of it, in the same transaction as the copy.
    #[serde(default)]
    pub checks: Vec<Check>,
}

/// Something that is set for sessions in a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// For sessions of this role; empty: of all.
    #[serde(default)]
    pub role: String,
    /// `name=value`, as the server keeps it.
    pub setting: String,
}

/// A right on a database as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    /// The role that has it; empty: everybody.
    #[serde(default)]
    pub role: String,
    /// `CONNECT`, `CREATE` or `TEMPORARY`.
    pub privilege: String,
    /// Whether it may be passed on.
    #[serde(default)]
    pub grantable: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Table {
    /// Its name, with its schema where there are schemas; quoted as the server quotes it.
    pub name: String,
    /// Rows.
    pub rows: u64,
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What people call it.
    pub name: String,
    /// The query.
    pub query: String,
    /// Its answer: one value as text.
    pub value: String,
}

/// A file of the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Its path in the snapshot.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// BLAKE3 of its content, hex.
    pub blake3: String,
    /// Which database it is of; none if it is of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

impl Description {
    pub(crate) const fn new(kind: Kind, started: Timestamp) -> Self {
        Self {
            format: FORMAT,
            kind,
            started,
            server_version: String::new(),
            tool_version: String::new(),
            databases: Vec::new(),
            made: Vec::new(),
            log_position: None,
            log_segment: None,
        }
    }

    pub(crate) fn database(&mut self, name: &str) -> Option<&mut Database> {
        self.databases.iter_mut().find(|database| database.name == name)
    }

    /// Notes a file that was made; one that is made again takes its earlier place.
    pub(crate) fn note(&mut self, made: Made) {
        self.made.retain(|other| other.path != made.path);
        self.made.push(made);
        self.made.sort_by(|left, right| left.path.cmp(&right.path));
    }

    /// As it stands in the snapshot.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec_pretty(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}
