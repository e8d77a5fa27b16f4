//! Databases and commands as sources of a backup, and databases restored from it.
//!
//! Invariants: what is backed up is consistent in itself (one transaction, or the server's own online copy); it is streamed from the
//! server's own tools, never through a file of ours (but for SQLite, see [`sqlite`]); a tool that fails, or whose output does not end as
//! that tool ends it, makes no snapshot. No password stands on a command line or in an environment: tools read it from a file
//! that nobody else may read. Beside the data lies a description ([`Description`]): versions, character sets, sizes, rows.

mod child;
mod command;
mod credentials;
mod description;
mod error;
mod hook;
pub mod mariadb;
pub mod postgresql;
pub mod recover;
pub mod restore;
mod settings;
mod source;
pub mod sqlite;
mod tool;

pub use child::{Ended, Launcher, Running, bare};
pub use command::CommandSettings;
pub use credentials::Credentials;
pub use description::{Check, Database, Description, FORMAT, Kind, Made, Right, Setting, Table};
pub use error::SourceError;
pub use hook::Hook;
pub use settings::{Method, Places, Settings};
pub use source::{DESCRIPTION, Prepared};
