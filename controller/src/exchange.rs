//! The register as files: TOML, nested as people write it, and CSV, one table a kind, as spreadsheets do.
//!
//! Invariants: an import is one transaction, all of it or none; the same file twice changes nothing the second time
//! (what has a name is known by it, within what it belongs to); every entry that is refused is told with its line and
//! its field, not only the first; what takes place, power or a part of a pool is held against what stands there once all of
//! the file is entered, so that two devices may change places; what is exported is imported again without a change, here and elsewhere.

mod collect;
mod csv_form;
mod enter;
mod entries;
mod toml_form;

#[cfg(test)]
mod tests;

use std::fmt;

use lumbung_model::schedule::Tz;
use lumbung_model::{PdId, Timestamp};
use lumbung_wire::messages::register::{ImportOutcome, RegisterTable};
use rusqlite::Connection;

use crate::act::Act;
use crate::db::DbError;
use crate::profile::Profile;
use enter::Run;
use entries::Entry;

/// Faults that are told one by one.
const FAULTS_MAX: usize = 100;

/// A register to be imported.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A TOML document.
    Toml(&'a str),
    /// Rows of one table, with a header.
    Csv(RegisterTable, &'a str),
}

/// How the register is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All of it, as TOML.
    Toml,
    /// One table of it, as CSV.
    Csv(RegisterTable),
}

/// One entry that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its line, from 1.
    pub line: usize,
    /// Its field, if it is about one.
    pub field: Option<String>,
    /// What is wrong, and what to do.
    pub detail: String,
}

/// Everything that is wrong with a file, in the order of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file, as whoever sent it calls it.
    pub file: String,
    /// The first hundred.
    pub first: Vec<Fault>,
    /// How many there are.
    pub count: usize,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.first.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{}: {}", self.file, fault.line, fault.detail)?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Entries are refused, or the file cannot be read.
    #[error("nothing was imported: {0}")]
    Refused(Faults),
    /// It was only looked at: this is what it would have done.
    #[error("nothing was imported: it was only tried")]
    Tried(ImportOutcome),
    /// The database failed.
    #[error("nothing was imported: the database failed")]
    Db(#[from] DbError),
}

/// Imports what stands in `file`, within the caller's transaction.
///
/// # Errors
/// What is wrong, and where; the caller rolls back. So it does where it is only `tried`.
pub fn import(
    db: &Connection,
    act: &Act,
    (file, source): (&str, Source<'_>),
    profile: &Profile,
    tried: bool,
) -> Result<ImportOutcome, ImportError> {
    let (entries, faults) = match source {
        Source::Toml(text) => toml_form::read(text),
        Source::Csv(table, text) => csv_form::read(table, text),
    };
    let mut run = Run::new(db, act, profile, faults);
    run.enter_all(entries)?;
    let (outcome, mut faults) = run.end();
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.line);
        let count = faults.len();
        faults.truncate(FAULTS_MAX);
        return Err(ImportError::Refused(Faults { file: file.to_owned(), first: faults, count }));
    }
    if tried { Err(ImportError::Tried(outcome)) } else { Ok(outcome) }
}

/// The register at a moment, of the city or of one PD, as text; times in that zone. What belongs to the city is not in a PD's.
///
/// # Errors
/// If the database fails.
pub fn export(
    db: &Connection,
    form: Form,
    pd: Option<PdId>,
    at: (Timestamp, Tz),
) -> Result<String, DbError> {
    let entries = collect::entries(db, pd, at)?;
    match form {
        Form::Toml => toml_form::write(&entries),
        Form::Csv(table) => {
            csv_form::write(table, entries.iter().filter(|entry| entry.table() == table))
        }
    }
}

/// An entry, and where it stands.
struct Placed {
    entry: Entry,
    place: Place,
}

/// The lines of an entry and of its fields.
#[derive(Debug, Clone, Default)]
struct Place {
    line: usize,
    fields: Vec<(String, usize)>,
}

impl Place {
    fn fault(&self, field: Option<&str>, detail: impl Into<String>) -> Fault {
        let line = field.and_then(|field| {
            self.fields.iter().find(|(name, _)| name == field).map(|(_, line)| *line)
        });
        Fault {
            line: line.unwrap_or(self.line),
            field: field.map(str::to_owned),
            detail: detail.into(),
        }
    }
}
