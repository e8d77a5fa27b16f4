//! The rosters that an agent believes: only ever continued, never replaced by an older or another chain.

use std::path::Path;

use lumbung_model::RepositoryId;
use lumbung_pack::{Kind, RosterChain, RosterError, object_id};

use super::{StateError, make_private, read_optional, write_durably};
use crate::Depot;
use crate::depot::hex;

const FOLDER: &str = "rosters";

/// The rosters kept in a state directory; none if there are none yet.
///
/// # Errors
/// If they cannot be read, or are not a chain of this repository.
pub fn load_rosters(
    state_dir: &Path,
    repository: RepositoryId,
) -> Result<Option<RosterChain>, StateError> {
    let folder = state_dir.join(FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("read", &folder, error)),
    };
    let mut objects = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| StateError::io("read", &folder, e))?.path();
        // Whoever imports rosters may be writing one now.
        let unfinished = path.file_name().is_some_and(|name| {
            name.as_encoded_bytes().starts_with(lumbung_store::durable::UNFINISHED.as_bytes())
        });
        if path.extension().is_none()
            && !unfinished
            && let Some(bytes) = read_optional(&path)?
        {
            objects.push(bytes);
        }
    }
    if objects.is_empty() {
        return Ok(None);
    }
    let chain = RosterChain::from_objects(repository, objects);
    chain.map(Some).map_err(|e| StateError::Damaged { path: folder, reason: e.to_string() })
}

/// Adds rosters to a state directory, as on enrolment: the agent that begins a repository at a new
/// vault brings them along.
///
/// # Errors
/// If they do not continue what is kept there.
pub fn import_rosters(
    state_dir: &Path,
    repository: RepositoryId,
    objects: &[Vec<u8>],
) -> Result<RosterChain, StateError> {
    let known = load_rosters(state_dir, repository)?;
    let chain = continue_chain(known, repository, objects, "the import")?;
    store(state_dir, &chain)?;
    Ok(chain)
}

/// Known rosters and offered ones as one chain; an offered chain that is older changes nothing.
fn continue_chain(
    known: Option<RosterChain>,
    repository: RepositoryId,
    offered: &[Vec<u8>],
    from: &str,
) -> Result<RosterChain, StateError> {
    let wrong = |source: RosterError| StateError::Roster { from: from.to_owned(), source };
    let Some(mut chain) = known else {
        if offered.is_empty() {
            return Err(StateError::NoRoster(repository));
        }
        return RosterChain::from_objects(repository, offered.to_vec()).map_err(wrong);
    };
    let mut numbered = Vec::new();
    for object in offered {
        let number = lumbung_pack::open_signed::<lumbung_pack::Roster>(object)
            .map_err(|e| wrong(e.into()))?
            .body
            .number;
        numbered.push((number, object));
    }
    numbered.sort_by_key(|(number, _)| *number);
    for (_, object) in numbered {
        chain.push(object).map_err(wrong)?;
    }
    Ok(chain)
}

fn store(state_dir: &Path, chain: &RosterChain) -> Result<(), StateError> {
    let folder = state_dir.join(FOLDER);
    make_private(&folder)?;
    for object in chain.objects() {
        let path = folder.join(hex(&object_id(object)));
        if !path.exists() {
            write_durably(&path, object)?;
        }
    }
    Ok(())
}

/// Takes newer rosters from the depot, and gives it those that it lacks.
pub(crate) fn sync_rosters(
    state_dir: &Path,
    repository: RepositoryId,
    depot: &dyn Depot,
) -> Result<RosterChain, StateError> {
    let known = load_rosters(state_dir, repository)?;
    let there = depot.list(Kind::Roster)?;
    let have: Vec<[u8; 32]> =
        known.iter().flat_map(RosterChain::objects).map(|object| object_id(object)).collect();
    let mut offered = Vec::new();
    for id in there.iter().filter(|id| !have.contains(id)) {
        offered.push(depot.get(Kind::Roster, id)?);
    }
    let grew = !offered.is_empty();
    let chain = continue_chain(known, repository, &offered, &depot.describe())?;
    if grew {
        store(state_dir, &chain)?;
    }
    for object in chain.objects() {
        let id = object_id(object);
        if !there.contains(&id) {
            depot.put(Kind::Roster, &id, object)?;
        }
    }
    Ok(chain)
}
