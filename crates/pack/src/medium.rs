//! The list that a portable medium carries: what lies on it, and whose word that is (`docs/format.md` §15).
//!
//! Invariants: a list names every object of its repository that it vouches for, so that what was taken away shows
//! by name; lists of one medium are numbered and chained, whatever repository each is of. A list decides nothing
//! about who may write: what a medium holds is checked like anything else that comes.

use lumbung_model::{
    AgentId, ManifestId, MediumId, MediumListId, PublicKey, RepositoryId, SiteId, Timestamp,
};

use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::limits::{MEDIUM_LIST_MAX_BYTES, MEDIUM_MAX_BASES};
use crate::object::{Kind, Object, Signed};
use crate::roster::{AgentStatus, Roster, RosterChain};

/// An earlier list, of this or another medium, whose packs were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediumBase {
    /// The list.
    pub list: MediumListId,
    /// The medium that it is of.
    pub medium: MediumId,
    /// What is written on that medium.
    pub label: String,
}

/// A snapshot on a medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediumSnapshot {
    /// The snapshot.
    pub manifest: ManifestId,
    /// Stored bytes of the frames that it uses, by its usage list.
    pub bytes: u64,
    /// Whether this medium alone restores it; otherwise media of the list's bases are needed as well.
    pub alone: bool,
}

/// The objects of one kind on a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediumObjects {
    /// The kind; never a manifest.
    pub kind: Kind,
    /// Bytes of their files.
    pub bytes: u64,
    /// Their ids, ascending.
    pub ids: Vec<[u8; 32]>,
}

/// What lies on a medium of one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediumList {
    /// The repository.
    pub repository: RepositoryId,
    /// The medium.
    pub medium: MediumId,
    /// Counts the medium's lists, of whatever repository, from 1.
    pub number: u64,
    /// The list before it on this medium; zero in number 1.
    pub previous: MediumListId,
    /// When it was made.
    pub made: Timestamp,
    /// The site whose copy was exported; zero for a directory.
    pub site: SiteId,
    /// Where it was exported from, in words.
    pub origin: String,
    /// What is written on the medium.
    pub label: String,
    /// Its maker's serial number; may be empty.
    pub serial: String,
    /// Who keeps it; may be empty.
    pub custodian: String,
    /// Where it is kept; may be empty.
    pub place: String,
    /// The newest roster on it.
    pub roster_number: u32,
    /// Lists whose packs are not repeated here; ascending.
    pub bases: Vec<MediumBase>,
    /// Ascending by manifest.
    pub snapshots: Vec<MediumSnapshot>,
    /// All objects but manifests, ascending by kind.
    pub objects: Vec<MediumObjects>,
}

const SNAPSHOT_BYTES: usize = 41;

impl MediumList {
    /// The objects of a kind that it names.
    #[must_use]
    pub fn ids(&self, kind: Kind) -> &[[u8; 32]] {
        let of_kind = self.objects.iter().find(|objects| objects.kind == kind);
        of_kind.map_or(&[], |objects| &objects.ids)
    }

    /// Whether it names that object.
    #[must_use]
    pub fn names(&self, kind: Kind, id: &[u8; 32]) -> bool {
        match kind {
            Kind::Manifest => self.snapshot(&ManifestId::from_bytes(*id)).is_some(),
            _ => self.ids(kind).binary_search(id).is_ok(),
        }
    }

    /// What it says of a snapshot.
    #[must_use]
    pub fn snapshot(&self, manifest: &ManifestId) -> Option<&MediumSnapshot> {
        let found = self.snapshots.binary_search_by_key(manifest, |snapshot| snapshot.manifest);
        found.ok().map(|index| &self.snapshots[index])
    }

    /// Bytes of everything that it names but manifests.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.objects.iter().fold(0, |sum, objects| sum.saturating_add(objects.bytes))
    }

    fn check(&self) -> Result<(), FormatError> {
        if self.number == 0 || (self.number == 1) != self.previous.is_zero() {
            return Err(FormatError::field(
                "a medium list's number",
                "they count from 1, and only number 1 has no predecessor",
            ));
        }
        if self.medium.is_zero() {
            return Err(FormatError::field("a medium list's medium", "it is zero"));
        }
        ascending("a medium list's bases", self.bases.iter().map(|base| base.list))?;
        ascending("a medium list's snapshots", self.snapshots.iter().map(|one| one.manifest))?;
        ascending("a medium list's kinds", self.objects.iter().map(|objects| objects.kind.code()))?;
        for objects in &self.objects {
            if objects.ids.is_empty() {
                return Err(FormatError::field("a medium list's objects", "a kind has none"));
            }
            ascending("a medium list's objects", objects.ids.iter())?;
        }
        Ok(())
    }
}

impl Object for MediumList {
    const KIND: Kind = Kind::MediumList;
    type Id = MediumListId;

    fn id_from(bytes: [u8; 32]) -> MediumListId {
        MediumListId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.medium.as_bytes()).u64(self.number).raw(self.previous.as_bytes());
        writer.i64(self.made.0).raw(self.site.as_bytes()).u32(self.roster_number);
        for text in [&self.origin, &self.label, &self.serial, &self.custodian, &self.place] {
            writer.str(text);
        }
        writer.count16(self.bases.len());
        for base in &self.bases {
            writer.raw(base.list.as_bytes()).raw(base.medium.as_bytes()).str(&base.label);
        }
        writer.count32(self.snapshots.len());
        for snapshot in &self.snapshots {
            writer.raw(snapshot.manifest.as_bytes()).u64(snapshot.bytes);
            writer.u8(u8::from(!snapshot.alone));
        }
        writer.count16(self.objects.len());
        for objects in &self.objects {
            writer.u8(objects.kind.code()).u64(objects.bytes).count32(objects.ids.len());
            for id in &objects.ids {
                writer.raw(id);
            }
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let medium = MediumId::from_bytes(reader.array()?);
        let number = reader.u64()?;
        let previous = MediumListId::from_bytes(reader.array()?);
        let made = Timestamp(reader.i64()?);
        let site = SiteId::from_bytes(reader.array()?);
        let roster_number = reader.u32()?;
        let list = Self {
            repository,
            medium,
            number,
            previous,
            made,
            site,
            origin: reader.str()?,
            label: reader.str()?,
            serial: reader.str()?,
            custodian: reader.str()?,
            place: reader.str()?,
            roster_number,
            bases: read_bases(reader)?,
            snapshots: read_snapshots(reader)?,
            objects: read_objects(reader)?,
        };
        list.check()?;
        Ok(list)
    }
}

fn read_bases(reader: &mut Reader<'_>) -> Result<Vec<MediumBase>, FormatError> {
    let count = reader.count16("a medium list's bases", 0, MEDIUM_MAX_BASES)?;
    (0..count)
        .map(|_| {
            Ok(MediumBase {
                list: MediumListId::from_bytes(reader.array()?),
                medium: MediumId::from_bytes(reader.array()?),
                label: reader.str()?,
            })
        })
        .collect()
}

fn read_snapshots(reader: &mut Reader<'_>) -> Result<Vec<MediumSnapshot>, FormatError> {
    let max = MEDIUM_LIST_MAX_BYTES / SNAPSHOT_BYTES;
    let count = reader.count32("a medium list's snapshots", max, SNAPSHOT_BYTES)?;
    (0..count)
        .map(|_| {
            Ok(MediumSnapshot {
                manifest: ManifestId::from_bytes(reader.array()?),
                bytes: reader.u64()?,
                alone: !reader.flag("whether a snapshot needs other media")?,
            })
        })
        .collect()
}

fn read_objects(reader: &mut Reader<'_>) -> Result<Vec<MediumObjects>, FormatError> {
    let kinds = reader.count16("a medium list's kinds", 0, Kind::REPOSITORY.len())?;
    let mut found = Vec::with_capacity(kinds);
    for _ in 0..kinds {
        let code = reader.u8()?;
        let kind = Kind::from_code(code)
            .filter(|kind| *kind != Kind::Manifest && Kind::REPOSITORY.contains(kind))
            .ok_or(FormatError::UnknownKind(code))?;
        let bytes = reader.u64()?;
        let count = reader.count32("a medium list's objects", MEDIUM_LIST_MAX_BYTES / 32, 32)?;
        let ids = (0..count).map(|_| reader.array()).collect::<Result<Vec<_>, _>>()?;
        found.push(MediumObjects { kind, bytes, ids });
    }
    Ok(found)
}

/// As what somebody signed a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSigner {
    /// With a root key of the repository.
    Root,
    /// With the receipt key of the site whose copy was exported.
    Site(SiteId),
    /// With the key of an active agent of the repository.
    Agent(AgentId),
}

fn entitled(roster: &Roster, site: &SiteId, signer: &PublicKey) -> Option<ListSigner> {
    if roster.root_keys.iter().any(|root| root.key == *signer) {
        return Some(ListSigner::Root);
    }
    let own = |listed: &&crate::RosterSite| listed.site == *site && listed.receipt_key == *signer;
    if roster.sites.iter().any(|listed| own(&listed)) {
        return Some(ListSigner::Site(*site));
    }
    let agent = roster.agents.iter().find(|agent| agent.key == *signer)?;
    (agent.status == AgentStatus::Active).then_some(ListSigner::Agent(agent.agent))
}

/// As what a list was signed, by the roster that it names or by the newest one; nothing if neither lists the signer.
/// A medium may have lain in a safe for years: what was right when it was made stays right.
#[must_use]
pub fn list_signer(chain: &RosterChain, list: &Signed<MediumList>) -> Option<ListSigner> {
    if list.body.repository != chain.repository() {
        return None;
    }
    let then = chain.by_number(list.body.roster_number).map(|roster| &roster.body);
    let rosters = [Some(&chain.current().body), then];
    rosters.into_iter().flatten().find_map(|roster| entitled(roster, &list.body.site, &list.signer))
}
