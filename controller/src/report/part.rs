//! The table of now: totals of the whole, and the rows that are asked for.
//!
//! Invariants: no row is made that is not asked for; totals are those of the whole, whichever rows are asked for; what is
//! marked is weighed here, and what is not is taken as it was weighed last.

use std::collections::HashMap;

use lumbung_model::compliance::Totals;
use lumbung_model::{DatasetId, PdId};
use lumbung_wire::messages::register::{ComplianceRow, ComplianceTable, Dataset, Pd};
use rusqlite::Connection;

use super::{
    Names, Place, Terms, dataset_row, finished, names, place_of_row, rows_without_dataset,
};
use crate::db::standings::Sums;
use crate::db::{DbError, register as rows, retired, standings};
use crate::standing::{self, Standing};

/// Which rows are asked for.
#[derive(Debug, Clone)]
pub struct Part {
    /// Only those behind this place.
    pub after: Option<Place>,
    /// So many of them at most, the first ones.
    pub rows: usize,
}

impl Part {
    /// Every row.
    pub const WHOLE: Self = Self { after: None, rows: usize::MAX };

    /// Whether rows of the PD of that code may be among those that are asked for.
    fn may_hold(&self, code: &str, found: &[Planned<'_>]) -> bool {
        let is_behind = self.after.as_ref().is_none_or(|(first, ..)| code >= first.as_str());
        let is_full = found.len() >= self.rows;
        is_behind && !(is_full && found.last().is_some_and(|last| last.place.0.as_str() < code))
    }
}

/// A row that is asked for, before it is made.
struct Planned<'a> {
    place: Place,
    owner: &'a Pd,
    of: Of,
}

enum Of {
    Dataset(Box<Dataset>),
    NoDataset(Box<ComplianceRow>),
}

/// Standings that need not be read: those that were weighed here.
pub(super) type Known = HashMap<DatasetId, Standing>;

/// The compliance table, of all PD or of one, with the rows that are asked for.
///
/// # Errors
/// If the database fails.
pub fn table_part(
    db: &Connection,
    terms: &Terms,
    pd: Option<PdId>,
    part: &Part,
) -> Result<ComplianceTable, DbError> {
    let names = names(db, terms, pd)?;
    let (sums, mut known) = weighed(db, terms, pd)?;
    let totals = together(&sums);
    let mut table = ComplianceTable { at: terms.now, ..ComplianceTable::default() };
    for row in planned(db, terms, &names, part)? {
        let row = match row.of {
            Of::NoDataset(row) => *row,
            Of::Dataset(dataset) => {
                let standing = standing_of(db, terms, &dataset, &mut known)?;
                dataset_row(db, terms, &names, row.owner, &dataset, &standing)?
            }
        };
        table.rows.push(row);
    }
    table.overdue = crate::deadlines::overdue(db, pd, terms.now)?;
    Ok(finished(table, totals))
}

/// The rows that are asked for, in their order.
fn planned<'a>(
    db: &Connection,
    terms: &Terms,
    names: &'a Names,
    part: &Part,
) -> Result<Vec<Planned<'a>>, DbError> {
    let mut found: Vec<Planned<'_>> = Vec::new();
    for owner in &names.pds {
        if !part.may_hold(&owner.code, &found) {
            continue;
        }
        let datasets = rows::datasets(db, Some(&owner.id))?;
        let bare = rows_without_dataset(names, owner, &datasets, terms.language);
        let bare = bare.into_iter().map(|row| Planned {
            place: place_of_row(&row),
            owner,
            of: Of::NoDataset(Box::new(row)),
        });
        let own = datasets.into_iter().map(|dataset| Planned {
            place: place_of(names, owner, &dataset),
            owner,
            of: Of::Dataset(Box::new(dataset)),
        });
        let is_behind = |row: &Planned<'_>| part.after.as_ref().is_none_or(|at| row.place > *at);
        found.extend(bare.chain(own).filter(is_behind));
        found.sort_by(|one, other| one.place.cmp(&other.place));
        found.truncate(part.rows);
    }
    Ok(found)
}

/// Where the row of a dataset will stand: as [`place_of_row`] tells of it once it is made.
fn place_of(names: &Names, owner: &Pd, dataset: &Dataset) -> Place {
    let server = dataset.server.and_then(|id| names.servers.get(&id));
    let server = server.map(|server| server.name.clone()).unwrap_or_default();
    (owner.code.clone(), server, dataset.name.clone(), Some(dataset.id))
}

/// What everything adds up to now, by PD: what is marked is weighed here, in place of what was written down of it.
///
/// # Errors
/// If the database fails.
pub(super) fn weighed(
    db: &Connection,
    terms: &Terms,
    pd: Option<PdId>,
) -> Result<(HashMap<PdId, Sums>, Known), DbError> {
    let mut sums = standings::sums(db, pd.as_ref())?;
    let mut known = Known::new();
    let mine = |owner: PdId| pd.is_none_or(|pd| pd == owner);
    let stale = match &pd {
        Some(pd) => standings::stale_of(db, terms.now, pd)?,
        None => standings::stale(db, terms.now)?.datasets,
    };
    for id in stale {
        if let Some(before) = standings::standing(db, &id)?.filter(|one| mine(one.compliance.pd)) {
            let of = sums.entry(before.compliance.pd).or_default();
            *of = of.minus(Sums::of(&before));
        }
        let dataset = rows::dataset(db, &id)?.filter(|dataset| mine(dataset.pd));
        let Some(dataset) = dataset else { continue };
        if retired::of(db, id.as_bytes())?.is_some() {
            continue;
        }
        let (standing, _) = standing::weigh(db, &terms.profile, &dataset, terms.now)?;
        let of = sums.entry(dataset.pd).or_default();
        *of = of.plus(Sums::of(&standing));
        known.insert(id, standing);
    }
    Ok((sums, known))
}

/// The totals of all PD together.
pub(super) fn together(sums: &HashMap<PdId, Sums>) -> Totals {
    sums.values().fold(Totals::default(), |all, one| all.plus(one.totals))
}

fn standing_of(
    db: &Connection,
    terms: &Terms,
    dataset: &Dataset,
    known: &mut Known,
) -> Result<Standing, DbError> {
    if let Some(standing) = known.remove(&dataset.id) {
        return Ok(standing);
    }
    match standings::standing(db, &dataset.id)? {
        Some(standing) => Ok(standing),
        None => Ok(standing::weigh(db, &terms.profile, dataset, terms.now)?.0),
    }
}
