//! Rules of the register: what may be entered, and what entering it again does.
//!
//! Invariants: ids are given once and stay; codes of PD, names of sites, and names of everything else within what it
//! belongs to are distinct; a repository belongs to one PD; a retired row is not changed, and no row that lives refers to
//! one; what takes place, power or a part of a pool fits where it is ([`Fits`]), which whoever changes rows asks once all of
//! its rows are entered. Everything runs inside the caller's transaction, so an
//! import is entered whole or not at all.

mod care;
mod checks;
mod colocation;
mod datasets;
mod elevation;
mod error;
mod fits;
mod pds;
mod pools;
mod row;
mod servers;
mod sites;
pub(crate) mod text;

use lumbung_model::Day;
use lumbung_wire::messages::register::ImportOutcome;
use rusqlite::Connection;

pub use care::put_care;
pub use checks::put_check;
pub use colocation::{put_device, put_feed, put_rack, put_reservation};
pub use datasets::{apply_classes, bind_repository, put_dataset};
pub use elevation::{as_seen_by, elevation};
pub use error::RegisterError;
pub use fits::Fits;
pub use pds::{put_application, put_contact_person, put_pd, put_service};
pub use pools::{put_handover, put_pool};
pub use row::Retirable;
pub use servers::put_server;
pub use sites::{put_building, put_room, put_site, url_host};

use crate::db::{DbError, retired};

/// Whether an entry may change what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Only new entries.
    Create,
    /// New entries and changed ones.
    Upsert,
}

/// What an entry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It changed what was there.
    Updated,
    /// It was so already.
    Unchanged,
}

/// Adds one change to an outcome.
pub fn count(outcome: &mut ImportOutcome, change: Change) {
    match change {
        Change::Created => outcome.created += 1,
        Change::Updated => outcome.updated += 1,
        Change::Unchanged => outcome.unchanged += 1,
    }
}

/// Which row an entry is about: by id if it gives one, else by name.
fn settle<T, I: PartialEq + std::fmt::Display + Copy>(
    (what, name): (&'static str, &str),
    mode: Mode,
    given: Option<I>,
    by_id: Option<T>,
    by_name: Option<T>,
    id_of: impl Fn(&T) -> I,
) -> Result<Option<T>, RegisterError> {
    if let (Some(given), Some(found)) = (given, &by_name)
        && id_of(found) != given
    {
        let registered = id_of(found).to_string();
        return Err(RegisterError::OtherId {
            what,
            name: name.to_owned(),
            registered,
            given: given.to_string(),
        });
    }
    let found = by_id.or(by_name);
    match (&found, mode) {
        (Some(row), Mode::Create) => {
            Err(RegisterError::Taken { what, name: name.to_owned(), id: id_of(row).to_string() })
        }
        _ => Ok(found),
    }
}

/// Writes the row unless it is there already, as it is.
fn enter<T: PartialEq>(
    found: Option<&T>,
    row: T,
    put: impl FnOnce(&T) -> Result<(), DbError>,
) -> Result<(T, Change), RegisterError> {
    if found == Some(&row) {
        return Ok((row, Change::Unchanged));
    }
    put(&row)?;
    Ok((row, if found.is_some() { Change::Updated } else { Change::Created }))
}

/// As [`enter`], of a row that can be retired: if it is, it stays as it was, and nothing new lives under what is.
fn enter_live<T: PartialEq + Retirable>(
    db: &Connection,
    found: Option<&T>,
    row: T,
    put: impl FnOnce(&T) -> Result<(), DbError>,
) -> Result<(T, Change), RegisterError> {
    if found != Some(&row) {
        if let Some(one) = retired::of(db, &row.bytes())? {
            return Err(RegisterError::Retired { what: one.kind.called(), name: one.name });
        }
        for parent in row.parents() {
            live(db, &parent)?;
        }
    }
    enter(found, row, put)
}

/// What was entered, if it fits where it is; what did not change is not asked.
///
/// # Errors
/// What stands in its way.
pub fn fitting<T: Fits>(
    db: &Connection,
    today: Day,
    (row, change): (T, Change),
) -> Result<(T, Change), RegisterError> {
    if change != Change::Unchanged {
        row.fits(db, today)?;
    }
    Ok((row, change))
}

/// Fails if the row of that id is retired: nothing is entered under it.
///
/// # Errors
/// [`RegisterError::UnderRetired`].
pub fn live(db: &Connection, id: &[u8; 16]) -> Result<(), RegisterError> {
    match retired::of(db, id)? {
        Some(one) => Err(RegisterError::UnderRetired { what: one.kind.called(), name: one.name }),
        None => Ok(()),
    }
}

/// The row of that id; none given is none found.
fn by_id<T, I>(
    given: Option<I>,
    find: impl FnOnce(&I) -> Result<Option<T>, DbError>,
) -> Result<Option<T>, RegisterError> {
    Ok(given.as_ref().map(find).transpose()?.flatten())
}

/// What must be there.
fn known<T, I: ToString>(
    what: &'static str,
    id: &I,
    find: impl FnOnce(&I) -> Result<Option<T>, DbError>,
) -> Result<T, RegisterError> {
    find(id)?.ok_or_else(|| RegisterError::Unknown { what, id: id.to_string() })
}
