//! Retiring rows of the register, and bringing them back.
//!
//! Invariants: a retired row counts for nothing from the moment that this is entered, and what was said before stays said;
//! no live dataset lies on a retired server; retirement touches no site and no vault. What it takes from an agent waits for
//! a second person, like every narrower policy.

use lumbung_model::{DatasetId, ServerId, Timestamp};
use lumbung_wire::messages::register::{Dataset, RetiredKind, Retirement, RetirementInput, Server};
use rusqlite::Connection;

use crate::act::Act;
use crate::db::{DbError, register, retired as rows, standings, verdicts};
use crate::profile::Subject;

/// Names that a refusal tells; the rest are counted.
const NAMED_MAX: usize = 10;

/// Why nothing is retired or brought back.
#[derive(Debug, thiserror::Error)]
pub enum RetireError {
    /// No reason.
    #[error("reason: write a sentence, up to 1000 characters")]
    Reason,
    /// It would be retired later.
    #[error(
        "from: since when it is no more, in seconds since 1970; enter what will end when it has ended"
    )]
    From,
    /// It is not in the register.
    #[error("there is no such {0}: look at the list of {0}s")]
    Unknown(RetiredKind),
    /// It is retired already.
    #[error("{0:?} is retired already: `GET /api/v1/retirements` says since when and why")]
    Already(String),
    /// It is not retired.
    #[error("nothing of this id is retired: `GET /api/v1/retirements` lists what is")]
    NotRetired,
    /// Datasets lie on it.
    #[error(
        "datasets lie on server {server:?}: {datasets}; retire them or move them first, or send with_datasets = true to retire them with it"
    )]
    HasDatasets {
        /// The server's name.
        server: String,
        /// Their names.
        datasets: String,
    },
    /// Its server is retired.
    #[error("its server {0:?} is retired: bring that back first")]
    OnRetired(String),
    /// The database failed.
    #[error("the register could not be read or written")]
    Db(#[from] DbError),
}

impl RetireError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Reason => Some("reason"),
            Self::From => Some("from"),
            Self::Unknown(_) | Self::Already(_) => Some("id"),
            Self::HasDatasets { .. } => Some("with_datasets"),
            Self::NotRetired | Self::OnRetired(_) | Self::Db(_) => None,
        }
    }
}

/// Retires a row, and a server's datasets if that is asked for. Tells everything that is retired by it.
///
/// # Errors
/// If there is no such row, datasets lie on it, or it has no reason.
pub fn retire(
    db: &Connection,
    act: &Act,
    input: &RetirementInput,
) -> Result<Vec<Retirement>, RetireError> {
    check_reason(&input.reason)?;
    if input.from > act.now || input.from < Timestamp(0) {
        return Err(RetireError::From);
    }
    match input.kind {
        RetiredKind::Dataset => {
            let dataset = dataset(db, &input.id)?;
            Ok(vec![retire_dataset(db, act, input, &dataset)?])
        }
        RetiredKind::Server => retire_server(db, act, input),
    }
}

fn retire_server(
    db: &Connection,
    act: &Act,
    input: &RetirementInput,
) -> Result<Vec<Retirement>, RetireError> {
    let server = server(db, &input.id)?;
    let mut datasets = register::datasets(db, Some(&server.pd))?;
    datasets.retain(|dataset| dataset.server == Some(server.id));
    if !datasets.is_empty() && !input.with_datasets {
        let datasets = named(&datasets);
        return Err(RetireError::HasDatasets { server: server.name, datasets });
    }
    let mut done = Vec::new();
    for dataset in &datasets {
        done.push(retire_dataset(db, act, input, dataset)?);
    }
    let made = Retirement {
        kind: RetiredKind::Server,
        id: server.id.to_string(),
        pd: server.pd,
        name: server.name.clone(),
        ..template(act, input)
    };
    put(db, act, &made, (server.id.as_bytes(), &server))?;
    done.push(made);
    Ok(done)
}

fn retire_dataset(
    db: &Connection,
    act: &Act,
    input: &RetirementInput,
    dataset: &Dataset,
) -> Result<Retirement, RetireError> {
    let made = Retirement {
        kind: RetiredKind::Dataset,
        id: dataset.id.to_string(),
        pd: dataset.pd,
        name: dataset.name.clone(),
        ..template(act, input)
    };
    put(db, act, &made, (dataset.id.as_bytes(), dataset))?;
    Ok(made)
}

/// What all that one request retires has in common.
fn template(act: &Act, input: &RetirementInput) -> Retirement {
    Retirement {
        kind: input.kind,
        id: String::new(),
        pd: lumbung_model::PdId::from_bytes([0; 16]),
        name: String::new(),
        from: input.from,
        entered: act.now,
        by: act.actor.name.clone(),
        reason: input.reason.trim().to_owned(),
    }
}

fn put(
    db: &Connection,
    act: &Act,
    made: &Retirement,
    (id, row): (&[u8; 16], &impl serde::Serialize),
) -> Result<(), RetireError> {
    if rows::of(db, id)?.is_some() {
        return Err(RetireError::Already(made.name.clone()));
    }
    rows::put(db, act, made, (id, row))?;
    end_verdicts(db, act.now, made, id)
}

/// Nothing more is said of it from now on. What was said stays.
fn end_verdicts(
    db: &Connection,
    now: Timestamp,
    made: &Retirement,
    id: &[u8; 16],
) -> Result<(), RetireError> {
    let subject = match made.kind {
        RetiredKind::Dataset => Subject::Dataset,
        RetiredKind::Server => Subject::Server,
    };
    verdicts::settle(db, now, (subject.as_str(), &id.to_vec(), Some(made.pd)), &[])?;
    Ok(standings::forget(db, &DatasetId::from_bytes(*id))?)
}

/// Brings a row back.
///
/// # Errors
/// If it is not retired, or it is a dataset of a server that is.
pub fn restore(
    db: &Connection,
    act: &Act,
    id: &[u8; 16],
    reason: &str,
) -> Result<Retirement, RetireError> {
    check_reason(reason)?;
    let reason = reason.trim();
    let found = rows::of(db, id)?.ok_or(RetireError::NotRetired)?;
    match found.kind {
        RetiredKind::Server => {
            let server = server(db, &found.id)?;
            rows::take_back(db, act, &found, (id, &server, reason))?;
        }
        RetiredKind::Dataset => {
            let dataset = dataset(db, &found.id)?;
            let on = dataset.server.map(|server| rows::of(db, server.as_bytes())).transpose()?;
            if let Some(server) = on.flatten() {
                return Err(RetireError::OnRetired(server.name));
            }
            rows::take_back(db, act, &found, (id, &dataset, reason))?;
        }
    }
    Ok(found)
}

fn dataset(db: &Connection, text: &str) -> Result<Dataset, RetireError> {
    let id: Option<DatasetId> = text.parse().ok();
    let found = id.map(|id| register::dataset(db, &id)).transpose()?.flatten();
    found.ok_or(RetireError::Unknown(RetiredKind::Dataset))
}

fn server(db: &Connection, text: &str) -> Result<Server, RetireError> {
    let id: Option<ServerId> = text.parse().ok();
    let found = id.map(|id| register::server(db, &id)).transpose()?.flatten();
    found.ok_or(RetireError::Unknown(RetiredKind::Server))
}

fn check_reason(reason: &str) -> Result<(), RetireError> {
    let reason = reason.trim();
    let unprintable = |c: char| c.is_control() && c != '\n';
    if reason.is_empty() || reason.chars().count() > 1000 || reason.chars().any(unprintable) {
        return Err(RetireError::Reason);
    }
    Ok(())
}

fn named(datasets: &[Dataset]) -> String {
    let first: Vec<_> =
        datasets.iter().take(NAMED_MAX).map(|dataset| dataset.name.as_str()).collect();
    match datasets.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}
