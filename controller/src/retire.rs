//! Retiring rows of the register, and bringing them back.
//!
//! Invariants: a retired row counts for nothing from the moment that this is entered, and what was said before stays said;
//! no live row refers to a retired one; retirement touches no site and no vault. What it takes from an agent waits for
//! a second person, like every narrower policy.

use std::collections::HashSet;

use lumbung_model::{DatasetId, Day, FeedId, PdId, RackId, ServerId, Timestamp};
use lumbung_wire::messages::register::{Feed, RetiredKind, Retirement, RetirementInput};
use rusqlite::Connection;

use crate::act::Act;
use crate::db::{
    DbError, colocation, people, places, pools, register, retired as rows, services, standings,
    verdicts,
};
use crate::deadlines::keeper;
use crate::profile::Subject;
use crate::register::text::sentence;
use crate::register::{RegisterError, Retirable};

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
    #[error("there is no such {}: look at the list of them", .0.called())]
    Unknown(RetiredKind),
    /// It is retired already.
    #[error("{0:?} is retired already: `GET /api/v1/retirements` says since when and why")]
    Already(String),
    /// It is not retired.
    #[error("nothing of this id is retired: `GET /api/v1/retirements` lists what is")]
    NotRetired,
    /// Something else that is live refers to it, or to what belongs to it.
    #[error(
        "{what} {name:?}, or something that belongs to it, is in use by {by}: change or retire that first"
    )]
    InUse {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// What refers to it.
        by: String,
    },
    /// Something belongs to it.
    #[error(
        "{what} {name:?} still has {contents}; retire that first, or send with_contents = true to retire all of it together"
    )]
    HasContents {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
        /// What belongs to it.
        contents: String,
    },
    /// People of the PD still have accounts.
    #[error(
        "PD {code:?} has open accounts: {accounts}; close them first (`lumbung user disable NAME`)"
    )]
    HasAccounts {
        /// The PD's code.
        code: String,
        /// Names of the accounts.
        accounts: String,
    },
    /// Something that it refers to is retired.
    #[error("its {what} {name:?} is retired: bring that back first")]
    UnderRetired {
        /// What that is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// It does not fit any more where it was.
    #[error("{0}")]
    Entry(RegisterError),
    /// The database failed.
    #[error("the register could not be read or written")]
    Db(#[from] DbError),
}

impl From<RegisterError> for RetireError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Db(error) => Self::Db(error),
            error => Self::Entry(error),
        }
    }
}

impl RetireError {
    /// The field that it is about, if it is about one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::Reason => Some("reason"),
            Self::From => Some("from"),
            Self::Unknown(_) | Self::Already(_) | Self::InUse { .. } | Self::HasAccounts { .. } => {
                Some("id")
            }
            Self::HasContents { .. } => Some("with_contents"),
            Self::Entry(error) => error.field(),
            Self::NotRetired | Self::UnderRetired { .. } | Self::Db(_) => None,
        }
    }
}

/// A row of any kind.
type Found = Box<dyn Retirable>;

/// Retires a row, and what belongs to it if that is asked for. Tells everything that is retired by it.
///
/// # Errors
/// If there is no such row, something else needs it, or it has no reason.
pub fn retire(
    db: &Connection,
    act: &Act,
    input: &RetirementInput,
) -> Result<Vec<Retirement>, RetireError> {
    check_reason(&input.reason)?;
    if input.from > act.now || input.from < Timestamp(0) {
        return Err(RetireError::From);
    }
    let row = find(db, input.kind, &input.id)?;
    if rows::of(db, &row.bytes())?.is_some() {
        return Err(RetireError::Already(row.name().to_owned()));
    }
    let contents = going_along(db, &*row, input.with_contents)?;
    let pd = row.pd().filter(|_| row.kind() == RetiredKind::Pd);
    if let Some(pd) = pd {
        nobody_works_for(db, pd, row.name())?;
        keeper::end_of_pd(db, act, pd, input.reason.trim())?;
    }
    contents.iter().chain([&row]).map(|one| put(db, act, input, &**one)).collect()
}

/// What is retired with a row, in an order in which nothing live refers to what is retired already.
fn going_along(
    db: &Connection,
    row: &dyn Retirable,
    with_contents: bool,
) -> Result<Vec<Found>, RetireError> {
    let belongs =
        |one: &Found| takes_along(row.kind(), one.kind()) && one.parents().contains(&row.bytes());
    let (contents, others): (Vec<_>, Vec<_>) = may_refer(db, row)?.into_iter().partition(belongs);
    let going: HashSet<_> = contents.iter().map(|one| one.bytes()).chain([row.bytes()]).collect();
    let needs = |one: &Found| one.parents().iter().any(|parent| going.contains(parent));
    let users: Vec<_> = others.into_iter().filter(needs).collect();
    let (what, name) = (row.kind().called(), row.name().to_owned());
    if !users.is_empty() {
        return Err(RetireError::InUse { what, name, by: told(db, row.pd(), &users)? });
    }
    if !contents.is_empty() && !with_contents {
        let contents = told(db, row.pd(), &contents)?;
        return Err(RetireError::HasContents { what, name, contents });
    }
    Ok(contents)
}

/// Whether rows of the second kind belong to the row of the first that they refer to, and go with it.
const fn takes_along(row: RetiredKind, content: RetiredKind) -> bool {
    use RetiredKind as K;
    match row {
        K::Pd => matches!(
            content,
            K::Dataset
                | K::ContactPerson
                | K::Application
                | K::Service
                | K::Server
                | K::Device
                | K::Reservation
                | K::Handover
        ),
        K::Server => matches!(content, K::Dataset),
        K::Building => matches!(content, K::Room),
        K::Rack => matches!(content, K::Feed | K::Reservation),
        K::Service
        | K::Application
        | K::ContactPerson
        | K::Dataset
        | K::Room
        | K::Feed
        | K::Pool
        | K::Device
        | K::Reservation
        | K::Handover => false,
    }
}

/// All live rows that could refer to a row or to what belongs to it: children before their parents. A PD's server may
/// serve other PD.
fn may_refer(db: &Connection, row: &dyn Retirable) -> Result<Vec<Found>, DbError> {
    use RetiredKind as K;
    let pd = row.pd();
    let own = pd.as_ref();
    let mut all = Vec::new();
    match row.kind() {
        K::Pd => {
            all.extend(found(pools::handovers(db, own)?));
            all.extend(found(colocation::reservations(db, own)?));
            all.extend(found(colocation::devices(db, own)?));
            all.extend(found(register::datasets(db, own)?));
            all.extend(found(services::contact_persons(db, own)?));
            all.extend(found(services::applications(db, None)?));
            all.extend(found(services::services(db, None)?));
            all.extend(found(register::servers(db, own)?));
        }
        K::Server => {
            let server = ServerId::from_bytes(row.bytes());
            all.extend(found(register::datasets_on(db, &server)?));
            all.extend(found(colocation::device_of_server(db, &server)?.into_iter().collect()));
            all.extend(found(services::applications(db, None)?));
            all.extend(found(services::services(db, None)?));
        }
        K::Service => {
            all.extend(found(services::contact_persons(db, own)?));
            all.extend(found(services::applications(db, own)?));
        }
        K::Application => all.extend(found(register::datasets(db, own)?)),
        K::Building => {
            all.extend(found(register::servers(db, None)?));
            all.extend(found(colocation::feeds(db)?));
            all.extend(found(colocation::racks(db)?));
            all.extend(found(places::rooms(db)?));
        }
        K::Room => {
            all.extend(found(register::servers(db, None)?));
            all.extend(found(colocation::feeds(db)?));
            all.extend(found(colocation::racks(db)?));
        }
        K::Rack => {
            let rack = RackId::from_bytes(row.bytes());
            all.extend(found(colocation::devices(db, None)?));
            all.extend(found(colocation::reservations(db, None)?));
            all.extend(found(partners_last(colocation::feeds(db)?, &rack)));
        }
        K::Feed => {
            let feed = FeedId::from_bytes(row.bytes());
            all.extend(found(colocation::devices_on_feed(db, &feed)?));
            all.extend(found(colocation::feed_by_partner(db, &feed)?.into_iter().collect()));
        }
        K::Pool => all.extend(found(register::servers(db, None)?)),
        K::ContactPerson | K::Dataset | K::Device | K::Reservation | K::Handover => {}
    }
    Ok(all)
}

/// The feeds with those of a rack in an order in which each goes before the one that it names as its partner.
fn partners_last(mut feeds: Vec<Feed>, rack: &RackId) -> Vec<Feed> {
    feeds.sort_by_key(|feed| (feed.rack != Some(*rack), feed.partner.is_none()));
    feeds
}

fn found<T: Retirable + 'static>(rows: Vec<T>) -> impl Iterator<Item = Found> {
    rows.into_iter().map(|row| Box::new(row) as Found)
}

/// A PD whose people can still log in is not gone.
fn nobody_works_for(db: &Connection, pd: PdId, code: &str) -> Result<(), RetireError> {
    let open =
        |account: &people::Account| account.user.pd == Some(pd) && account.user.disabled.is_none();
    let accounts: Vec<_> =
        people::accounts(db)?.into_iter().filter(open).map(|one| one.user.name).collect();
    if accounts.is_empty() {
        return Ok(());
    }
    Err(RetireError::HasAccounts { code: code.to_owned(), accounts: first(&accounts) })
}

fn put(
    db: &Connection,
    act: &Act,
    input: &RetirementInput,
    row: &dyn Retirable,
) -> Result<Retirement, RetireError> {
    let made = Retirement {
        kind: row.kind(),
        id: row.id(),
        pd: row.pd(),
        name: row.name().to_owned(),
        from: input.from,
        entered: act.now,
        by: act.actor.name.clone(),
        reason: input.reason.trim().to_owned(),
    };
    rows::put(db, act, &made, (&row.bytes(), row.shown()?))?;
    end_verdicts(db, act.now, &made, &row.bytes())?;
    Ok(made)
}

/// What rules say something of, among the kinds that are retired.
#[must_use]
pub const fn subject(kind: RetiredKind) -> Option<Subject> {
    match kind {
        RetiredKind::Pd => Some(Subject::Pd),
        RetiredKind::Server => Some(Subject::Server),
        RetiredKind::Service => Some(Subject::Service),
        RetiredKind::Application => Some(Subject::Application),
        RetiredKind::Dataset => Some(Subject::Dataset),
        RetiredKind::ContactPerson
        | RetiredKind::Building
        | RetiredKind::Room
        | RetiredKind::Rack
        | RetiredKind::Feed
        | RetiredKind::Pool
        | RetiredKind::Device
        | RetiredKind::Reservation
        | RetiredKind::Handover => None,
    }
}

/// Nothing more is said of it from now on. What was said stays.
fn end_verdicts(
    db: &Connection,
    now: Timestamp,
    made: &Retirement,
    id: &[u8; 16],
) -> Result<(), DbError> {
    if let Some(subject) = subject(made.kind) {
        verdicts::settle(db, now, (subject.as_str(), &id.to_vec(), made.pd), &[])?;
    }
    if made.kind == RetiredKind::Dataset {
        standings::forget(db, &DatasetId::from_bytes(*id))?;
    }
    Ok(())
}

/// Brings a row back, on a day of the city's.
///
/// # Errors
/// If it is not retired, or something that it refers to is, or its place is taken meanwhile.
pub fn restore(
    db: &Connection,
    (act, today): (&Act, Day),
    id: &[u8; 16],
    reason: &str,
) -> Result<Retirement, RetireError> {
    check_reason(reason)?;
    let found = rows::of(db, id)?.ok_or(RetireError::NotRetired)?;
    let row = find(db, found.kind, &found.id)?;
    for parent in row.parents() {
        if let Some(above) = rows::of(db, &parent)? {
            return Err(RetireError::UnderRetired { what: above.kind.called(), name: above.name });
        }
    }
    row.fits(db, today)?;
    rows::take_back(db, act, &found, (id, row.shown()?, reason.trim()))?;
    Ok(found)
}

/// The row of that kind and id, retired or not.
fn find(db: &Connection, kind: RetiredKind, text: &str) -> Result<Found, RetireError> {
    use RetiredKind as K;
    let found = match kind {
        K::Pd => by_id(db, text, register::pd)?,
        K::Server => by_id(db, text, register::server)?,
        K::Service => by_id(db, text, services::service)?,
        K::Application => by_id(db, text, services::application)?,
        K::ContactPerson => by_id(db, text, services::contact_person)?,
        K::Dataset => by_id(db, text, register::dataset)?,
        K::Building => by_id(db, text, places::building)?,
        K::Room => by_id(db, text, places::room)?,
        K::Rack => by_id(db, text, colocation::rack)?,
        K::Feed => by_id(db, text, colocation::feed)?,
        K::Pool => by_id(db, text, pools::pool)?,
        K::Device => by_id(db, text, colocation::device)?,
        K::Reservation => by_id(db, text, colocation::reservation)?,
        K::Handover => by_id(db, text, pools::handover)?,
    };
    found.ok_or(RetireError::Unknown(kind))
}

fn by_id<I: std::str::FromStr, T: Retirable + 'static>(
    db: &Connection,
    text: &str,
    find: impl FnOnce(&Connection, &I) -> Result<Option<T>, DbError>,
) -> Result<Option<Found>, DbError> {
    let Ok(id) = text.parse() else { return Ok(None) };
    Ok(find(db, &id)?.map(|row| Box::new(row) as Found))
}

fn check_reason(reason: &str) -> Result<(), RetireError> {
    sentence(reason).map(drop).ok_or(RetireError::Reason)
}

/// Rows as a refusal tells them: what each is, its name, and whose it is where that is another PD than `pd`.
fn told(db: &Connection, pd: Option<PdId>, rows: &[Found]) -> Result<String, DbError> {
    let mut names = Vec::with_capacity(rows.len());
    for row in rows {
        let other = row.pd().filter(|own| pd.is_some_and(|pd| pd != *own));
        let owner = other.map(|own| register::pd(db, &own)).transpose()?.flatten();
        let of = owner.map(|owner| format!(" of {}", owner.code)).unwrap_or_default();
        names.push(format!("{} {}{of}", row.kind().called(), row.name()));
    }
    Ok(first(&names))
}

fn first(names: &[String]) -> String {
    let first = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
