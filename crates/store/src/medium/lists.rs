//! The lists of a medium: read, held against each other, and the newest of each repository.
//!
//! Memory holds one list at a time: a medium has many, and each names everything.

use std::collections::BTreeMap;

use lumbung_model::{
    ManifestId, MediumId, MediumListId, PublicKey, RepositoryId, SiteId, Timestamp, with_causes,
};
use lumbung_pack::limits::MEDIUM_LIST_MAX_BYTES;
use lumbung_pack::{
    Kind, ListSigner, MediumList, MediumObjects, MediumSnapshot, RosterChain, Signed, list_signer,
    open_signed,
};

use super::MediumDir;
use crate::StoreError;

/// What a medium carries besides manifests. Holds, orders, tombstones, inventories and scrub reports speak of a site,
/// not of the data, and stay where they are.
pub const MEDIUM_KINDS: [Kind; 8] = [
    Kind::Roster,
    Kind::Session,
    Kind::Wrap,
    Kind::Pack,
    Kind::Segment,
    Kind::Usage,
    Kind::Receipt,
    Kind::Proof,
];

/// What the chain of lists needs to know of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListBrief {
    /// Its id.
    pub id: MediumListId,
    /// Its number on the medium.
    pub number: u64,
    /// The list before it.
    pub previous: MediumListId,
    /// Whose objects it names.
    pub repository: RepositoryId,
    /// When it was made.
    pub made: Timestamp,
    /// Who signed.
    pub signer: PublicKey,
}

impl ListBrief {
    fn of(list: &Signed<MediumList>) -> Self {
        let body = &list.body;
        Self {
            id: list.id,
            number: body.number,
            previous: body.previous,
            repository: body.repository,
            made: body.made,
            signer: list.signer,
        }
    }
}

/// All lists of a medium.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediumLists {
    /// Those that verify and are this medium's, by number.
    pub briefs: Vec<ListBrief>,
    /// What is wrong with them, in words.
    pub findings: Vec<String>,
}

/// A list and as what its signer signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownList {
    /// The list.
    pub list: Signed<MediumList>,
    /// Nothing if the rosters do not entitle the signer.
    pub signer: Option<ListSigner>,
}

impl MediumLists {
    /// The newest list of a repository.
    #[must_use]
    pub fn newest(&self, repository: &RepositoryId) -> Option<&ListBrief> {
        self.briefs.iter().rfind(|brief| brief.repository == *repository)
    }

    /// Number and predecessor of the list that comes next.
    #[must_use]
    pub fn next(&self) -> (u64, MediumListId) {
        self.briefs
            .last()
            .map_or((1, MediumListId::ZERO), |last| (last.number.saturating_add(1), last.id))
    }

    /// Loads the newest list of a repository.
    ///
    /// # Errors
    /// If it cannot be read any more.
    pub fn load(
        &self,
        medium: &MediumDir,
        chain: &RosterChain,
    ) -> Result<Option<KnownList>, StoreError> {
        let Some(brief) = self.newest(&chain.repository()) else { return Ok(None) };
        let list = open(&brief.id, &medium.list(&brief.id)?)?;
        let signer = list_signer(chain, &list);
        Ok(Some(KnownList { list, signer }))
    }

    /// Whether the medium's lists go on from a list that was kept elsewhere: it is one of them.
    #[must_use]
    pub fn goes_on_from(&self, list: &MediumListId) -> bool {
        self.briefs.iter().any(|brief| brief.id == *list)
    }
}

fn open(id: &MediumListId, bytes: &[u8]) -> Result<Signed<MediumList>, StoreError> {
    open_signed::<MediumList>(bytes)
        .map_err(|source| StoreError::List { what: format!("list {id}"), source })
}

/// A list of everything in a repository's folders, signed by nobody: for a medium that bears none, where the operator
/// takes that upon himself.
///
/// # Errors
/// If a folder cannot be read, or holds more than a list can name.
pub fn list_what_is_there(
    medium: &MediumDir,
    chain: &RosterChain,
) -> Result<MediumList, StoreError> {
    let repository = chain.repository();
    let directory = medium.repository(&repository)?;
    let mut objects = Vec::new();
    let mut names = 0;
    for kind in MEDIUM_KINDS {
        let ids = directory.list(kind)?;
        names += ids.len();
        if names > MEDIUM_LIST_MAX_BYTES / 32 {
            let reason = format!("it holds more than {names} objects");
            return Err(StoreError::NotAMedium { path: directory.path().to_owned(), reason });
        }
        if !ids.is_empty() {
            objects.push(MediumObjects { kind, bytes: 0, ids });
        }
    }
    let manifests = directory.list(Kind::Manifest)?;
    let snapshot =
        |id| MediumSnapshot { manifest: ManifestId::from_bytes(id), bytes: 0, alone: true };
    Ok(MediumList {
        repository,
        medium: medium.id(),
        number: 1,
        previous: MediumListId::ZERO,
        made: Timestamp(0),
        site: SiteId::ZERO,
        origin: String::new(),
        label: medium.label().to_owned(),
        serial: String::new(),
        custodian: String::new(),
        place: String::new(),
        roster_number: chain.current().body.number,
        bases: Vec::new(),
        snapshots: manifests.into_iter().map(snapshot).collect(),
        objects,
    })
}

/// A list from a file of its own, as an export keeps it.
///
/// # Errors
/// If the bytes are no list.
pub fn read_list_file(name: &str, bytes: &[u8]) -> Result<Signed<MediumList>, StoreError> {
    open_signed::<MediumList>(bytes)
        .map_err(|source| StoreError::List { what: format!("the list {name}"), source })
}

/// Reads all lists of a medium and checks that they are one chain.
///
/// # Errors
/// If the medium cannot be read at all.
pub fn read_lists(medium: &MediumDir) -> Result<MediumLists, StoreError> {
    let mut found = MediumLists::default();
    for id in medium.lists()? {
        let list = match medium.list(&id) {
            Ok(bytes) => open(&id, &bytes),
            Err(error @ (StoreError::NotFound { .. } | StoreError::Damaged { .. })) => Err(error),
            Err(error) => return Err(error),
        };
        match list {
            Ok(list) if list.body.medium == medium.id() => found.briefs.push(ListBrief::of(&list)),
            Ok(list) => found.findings.push(format!(
                "list {id} is of another medium ({}, {}): it was put here by somebody",
                list.body.label, list.body.medium
            )),
            Err(error) => found.findings.push(with_causes(&error)),
        }
    }
    found.briefs.sort_by_key(|brief| (brief.number, brief.id));
    let gaps = gaps(&found.briefs, &medium.id());
    found.findings.extend(gaps);
    Ok(found)
}

/// Where the numbers and predecessors of the lists are no chain.
fn gaps(briefs: &[ListBrief], medium: &MediumId) -> Vec<String> {
    let mut findings = Vec::new();
    let mut by_number: BTreeMap<u64, MediumListId> = BTreeMap::new();
    for brief in briefs {
        let before = brief.number - 1;
        match by_number.get(&before) {
            _ if before == 0 => {}
            None => findings.push(format!(
                "list number {before} of medium {medium} is missing, which list {} follows",
                brief.id
            )),
            Some(id) if *id != brief.previous => findings.push(format!(
                "list {} follows {}, but number {before} here is {id}: the medium was copied and both copies were written to, or lists were exchanged",
                brief.id, brief.previous
            )),
            Some(_) => {}
        }
        if let Some(other) = by_number.insert(brief.number, brief.id) {
            findings.push(format!("lists {other} and {} have the same number", brief.id));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brief(number: u64, id: u8, previous: u8) -> ListBrief {
        ListBrief {
            id: MediumListId::from_bytes([id; 32]),
            number,
            previous: MediumListId::from_bytes([previous; 32]),
            repository: RepositoryId::ZERO,
            made: Timestamp(0),
            signer: PublicKey::ZERO,
        }
    }

    #[test]
    fn lists_are_one_chain_or_it_is_said() {
        let medium = MediumId::from_bytes([1; 16]);
        let whole = [brief(1, 1, 0), brief(2, 2, 1), brief(3, 3, 2)];
        assert!(gaps(&whole, &medium).is_empty());
        assert!(gaps(&whole[..2], &medium).is_empty(), "an older state is whole in itself");
        assert_eq!(gaps(&[brief(1, 1, 0), brief(3, 3, 2)], &medium).len(), 1);
        assert_eq!(gaps(&[brief(1, 1, 0), brief(2, 2, 9)], &medium).len(), 1);
        assert_eq!(gaps(&[brief(1, 1, 0), brief(1, 2, 0)], &medium).len(), 1);
    }
}
