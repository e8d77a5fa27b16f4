//! The roster chain of a depot: read, extended, written to a file and back.
//!
//! Invariants: a chain that does not check is an error, never a shorter chain; a new roster is signed
//! only after the chain has taken it, so that what is published always follows.

use lumbung_engine::Depot;
use lumbung_model::{Clock as _, RepositoryId, RosterId, SystemClock, Timestamp};
use lumbung_pack::{
    Kind, Roster, RosterChain, RosterError, SigningKey, armor, object_id, open_signed, sign,
};

use crate::failure::{Code, Explain as _, Failure, Outcome};

/// Title of each roster in an exported chain.
const TITLE: &str = "LUMBUNG ROSTER 1";
/// Far more versions than a constitution ever has; caps what a hostile depot makes us read.
const MAX_ROSTERS: usize = 100_000;

/// Reads and checks the chain in a depot.
///
/// # Errors
/// If it is not of the `expected` repository, or does not check.
pub(crate) fn read(depot: &dyn Depot, expected: Option<RepositoryId>) -> Outcome<RosterChain> {
    let objects = objects(depot)?;
    build(objects, expected, &depot.describe())
}

/// The bytes of all rosters in a depot.
///
/// # Errors
/// If the depot does not give them.
pub(crate) fn objects(depot: &dyn Depot) -> Outcome<Vec<Vec<u8>>> {
    let name = depot.describe();
    let next = "bring the rosters in again from another copy: `lumbung roster publish FROM TO`";
    let what = || format!("the rosters of {name} could not be read");
    let ids = depot.list(Kind::Roster).explain(
        Code::Depot,
        what,
        "check the address and that the depot can be read",
    )?;
    if ids.len() > MAX_ROSTERS {
        let message =
            format!("{name} offers {} rosters: that is no repository of this program", ids.len());
        return Err(Failure::new(Code::BadRoster, message, "check the address"));
    }
    let mut objects = Vec::with_capacity(ids.len());
    for id in ids {
        let object = depot.get(Kind::Roster, &id).explain(Code::BadRoster, what, next)?;
        if object_id(&object) != id {
            let message =
                format!("roster {} of {name} is not what its name says", RosterId::from_bytes(id));
            return Err(Failure::new(Code::BadRoster, message, next));
        }
        objects.push(object);
    }
    Ok(objects)
}

/// Builds a chain from rosters in any order; without an expected repository there must be one first roster.
///
/// # Errors
/// If they do not make a chain.
pub(crate) fn build(
    objects: Vec<Vec<u8>>,
    expected: Option<RepositoryId>,
    name: &str,
) -> Outcome<RosterChain> {
    let repository = match expected {
        Some(repository) => repository,
        None => first(&objects, name)?,
    };
    RosterChain::from_objects(repository, objects).map_err(|e| explain(name, e))
}

fn first(objects: &[Vec<u8>], name: &str) -> Outcome<RepositoryId> {
    let mut found = Vec::new();
    for object in objects {
        let roster = open_signed::<Roster>(object).map_err(|e| explain(name, e.into()))?;
        if roster.body.number == 1 {
            found.push(RepositoryId::from_bytes(*roster.id.as_bytes()));
        }
    }
    match found[..] {
        [one] => Ok(one),
        [] => Err(Failure::new(
            Code::NotADepot,
            format!("{name} has no roster: it is no repository yet"),
            "make one with `lumbung repo init`, or bring in its rosters with `lumbung roster publish`",
        )),
        _ => Err(Failure::new(
            Code::AmbiguousRepository,
            format!("{name} has the first rosters of {} repositories", found.len()),
            "say which one with --repository",
        )
        .listing(found.iter().map(ToString::to_string).collect())),
    }
}

/// What a roster error means to the custodian.
#[must_use]
pub(crate) fn explain(name: &str, error: RosterError) -> Failure {
    match error {
        RosterError::OtherRepository { expected, found } => Failure::new(
            Code::OtherRepository,
            format!("{name} is repository {found}, not {expected}"),
            "check the address and the repository id",
        ),
        RosterError::Missing(repository) => Failure::new(
            Code::OtherRepository,
            format!("{name} has no roster of repository {repository}"),
            "check the address and the repository id, or publish its rosters there first",
        ),
        error => Failure::new(
            Code::BadRoster,
            format!("the rosters of {name} do not check"),
            "do not use this copy: compare it with another one, and find out who wrote to it",
        )
        .because(error),
    }
}

/// A new roster that follows the chain, and what was changed in it; none if nothing changed.
///
/// # Errors
/// If the edit fails, or the key may not sign it.
pub(crate) fn extend(
    chain: &RosterChain,
    key: &SigningKey,
    edit: impl FnOnce(&mut Roster) -> Outcome<bool>,
) -> Outcome<Option<(RosterChain, Vec<u8>)>> {
    let current = chain.current();
    let mut roster = current.body.clone();
    if !edit(&mut roster)? {
        return Ok(None);
    }
    roster.repository = chain.repository();
    roster.number = current.body.number.saturating_add(1);
    roster.previous = current.id;
    roster.created = now().max(current.body.created);
    let object = sign(&roster, key);
    let mut extended = chain.clone();
    extended.push(&object).map_err(|error| match error {
        RosterError::Signer { .. } => Failure::new(
            Code::NotEntitled,
            format!("this key bundle is no root key of repository {}", chain.repository()),
            "use the bundle that the repository was made with, or its spare",
        ),
        RosterError::Registrar(_) => Failure::new(
            Code::NotEntitled,
            "this key is the registrar's, who may only add agents",
            "ask the custodian of the root key",
        ),
        error => Failure::new(
            Code::BadRoster,
            "the change does not make a valid roster",
            "check what you entered",
        )
        .because(error),
    })?;
    Ok(Some((extended, object)))
}

/// The time, from the one clock of this program.
#[must_use]
pub(crate) fn now() -> Timestamp {
    SystemClock.now()
}

/// A chain as text that can be mailed: one block a roster.
#[must_use]
pub(crate) fn to_text(chain: &RosterChain) -> String {
    let head = format!("# Rosters of repository {}\n", chain.repository());
    chain.objects().iter().fold(head, |text, object| text + &armor::encode(TITLE, object))
}

/// Reads a chain from [`to_text`].
///
/// # Errors
/// If it is damaged or does not check.
pub(crate) fn from_text(
    text: &str,
    expected: Option<RepositoryId>,
    name: &str,
) -> Outcome<RosterChain> {
    let next = "export it again with `lumbung roster export`";
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.trim() == TITLE {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    if blocks.is_empty() || blocks.len() > MAX_ROSTERS {
        return Err(Failure::new(Code::BadFile, format!("{name} holds no exported rosters"), next));
    }
    let mut objects = Vec::with_capacity(blocks.len());
    for block in blocks {
        let object = armor::decode(TITLE, &block).map_err(|e| {
            Failure::new(Code::BadFile, format!("{name} is damaged"), next).because(e)
        })?;
        objects.push(object.to_vec());
    }
    build(objects, expected, name)
}
