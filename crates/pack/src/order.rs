//! What takes a snapshot away, and what forbids it: orders of the owner and the Dinas, holds and tombstones of a site
//! (`docs/format.md` §19).
//!
//! Invariants: an order is carried out only if two copies of it with the same content are at hand, one signed with
//! a root key of the newest roster, the other with a key of the Dinas that the site knows ([`agreed`]); a
//! hold or tombstone speaks for the site that signed it and for no other.

use lumbung_model::{
    AgentId, DatasetId, HoldId, ManifestId, OrderId, PublicKey, ReceiptId, RepositoryId, SiteId,
    Timestamp, TombstoneId,
};

use crate::armor::{self, ArmorError};
use crate::codec::{Reader, Writer};
use crate::error::FormatError;
use crate::object::{Kind, Object, Signed, open_signed};

/// First line of an order's file.
const TITLE: &str = "LUMBUNG ORDER 1";

/// What a hold keeps or an order destroys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One snapshot.
    Snapshot(ManifestId),
    /// All snapshots of a dataset.
    Dataset(DatasetId),
    /// All snapshots of the repository.
    Repository,
}

impl Subject {
    /// Whether it names this snapshot.
    #[must_use]
    pub fn covers(&self, manifest: &ManifestId, dataset: &DatasetId) -> bool {
        match self {
            Self::Snapshot(named) => named == manifest,
            Self::Dataset(named) => named == dataset,
            Self::Repository => true,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Snapshot(_) => 1,
            Self::Dataset(_) => 2,
            Self::Repository => 3,
        }
    }

    fn write(&self, writer: &mut Writer) {
        let id = match self {
            Self::Snapshot(manifest) => *manifest.as_bytes(),
            Self::Dataset(dataset) => padded(dataset.as_bytes()),
            Self::Repository => [0; 32],
        };
        writer.u8(self.code()).raw(&id);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let code = reader.u8()?;
        let id = reader.array::<32>()?;
        match code {
            1 => Ok(Self::Snapshot(ManifestId::from_bytes(id))),
            2 => Ok(Self::Dataset(DatasetId::from_bytes(unpadded("a subject", &id)?))),
            3 if id == [0; 32] => Ok(Self::Repository),
            3 => Err(FormatError::field("a subject", "a whole repository is named by zeros")),
            _ => Err(FormatError::field("a subject", "it is no snapshot, dataset or repository")),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Snapshot(manifest) => write!(f, "snapshot {manifest}"),
            Self::Dataset(dataset) => write!(f, "dataset {dataset}"),
            Self::Repository => f.write_str("the whole repository"),
        }
    }
}

/// An id of 16 bytes in a field of 32.
fn padded(id: &[u8; 16]) -> [u8; 32] {
    let mut field = [0; 32];
    field[..16].copy_from_slice(id);
    field
}

fn unpadded(name: &'static str, field: &[u8; 32]) -> Result<[u8; 16], FormatError> {
    let (id, rest) = field.split_at(16);
    if rest != [0; 16] {
        return Err(FormatError::field(name, "zeros follow an id of 16 bytes"));
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(id);
    Ok(bytes)
}

/// What an order tells a site to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Release a hold.
    Release(HoldId),
    /// Destroy snapshots, whatever their lock.
    Destroy(Subject),
}

impl std::fmt::Display for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Release(hold) => write!(f, "release hold {hold}"),
            Self::Destroy(subject) => write!(f, "destroy {subject}"),
        }
    }
}

/// An order. It takes two signatures: see [`agreed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The repository.
    pub repository: RepositoryId,
    /// Random: tells two orders of the same content apart.
    pub nonce: [u8; 16],
    /// What is to be done.
    pub action: Action,
    /// When it was drawn up.
    pub issued: Timestamp,
    /// A site that has not carried it out by then refuses it.
    pub valid_until: Timestamp,
    /// Number of the letter that decides it.
    pub letter: String,
    /// Why, in words.
    pub reason: String,
}

impl Object for Order {
    const KIND: Kind = Kind::Order;
    type Id = OrderId;

    fn id_from(bytes: [u8; 32]) -> OrderId {
        OrderId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(&self.nonce);
        match &self.action {
            Action::Release(hold) => {
                writer.u8(1).u8(0).raw(&padded(hold.as_bytes()));
            }
            Action::Destroy(subject) => {
                writer.u8(2);
                subject.write(writer);
            }
        }
        writer.i64(self.issued.0).i64(self.valid_until.0).str(&self.letter).str(&self.reason);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let nonce = reader.array()?;
        let action = match reader.u8()? {
            1 => {
                reader.reserved::<1>()?;
                let hold = unpadded("an order's hold", &reader.array()?)?;
                Action::Release(HoldId::from_bytes(hold))
            }
            2 => Action::Destroy(Subject::read(reader)?),
            _ => return Err(FormatError::field("an order's action", "it is no known one")),
        };
        let issued = Timestamp(reader.i64()?);
        let valid_until = Timestamp(reader.i64()?);
        if valid_until < issued {
            return Err(FormatError::field("an order's validity", "it ends before it begins"));
        }
        let (letter, reason) = (reader.str()?, reader.str()?);
        Ok(Self { repository, nonce, action, issued, valid_until, letter, reason })
    }
}

/// Why orders at hand do not make a decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Not the text of an order.
    #[error(transparent)]
    Text(#[from] ArmorError),
    /// The bytes are no order.
    #[error("this is not an order")]
    Format(#[from] FormatError),
    /// Copies of different content.
    #[error(
        "the signed copies in this file are of different orders: draw up one file for each order"
    )]
    Different,
    /// The owner's signature is missing.
    #[error(
        "no copy is signed with a root key of the newest roster: the PD's custodian signs with `lumbung order sign FILE --key pd.key`"
    )]
    Owner,
    /// The Dinas' signature is missing.
    #[error(
        "no copy is signed with a key of the Dinas that this site knows (`dinas_keys` in vault.toml): the Dinas signs with `lumbung order sign FILE --key dinas.key`"
    )]
    Dinas,
}

/// A signed copy of an order, with its bytes.
pub type SignedCopy = (Signed<Order>, Vec<u8>);

/// The signed copies in an order's file.
///
/// # Errors
/// Where a block is damaged or is no order.
pub fn read_orders(text: &str) -> Result<Vec<SignedCopy>, OrderError> {
    let blocks = armor::blocks(TITLE, text);
    if blocks.is_empty() {
        return Err(ArmorError::Title(TITLE.to_owned()).into());
    }
    let read = |block: &&str| {
        let bytes = armor::decode(TITLE, block)?.to_vec();
        Ok((open_signed::<Order>(&bytes)?, bytes))
    };
    blocks.iter().map(read).collect()
}

/// A signed copy as a block of an order's file.
#[must_use]
pub fn write_order(object: &[u8]) -> String {
    armor::encode(TITLE, object)
}

/// The decision that these copies make together: the owner's copy and the Dinas', of the same content. One key in
/// both roles does not suffice.
///
/// # Errors
/// Which signature is missing.
pub fn agreed<'a>(
    copies: &'a [Signed<Order>],
    is_root_key: impl Fn(&PublicKey) -> bool,
    dinas_keys: &[PublicKey],
) -> Result<(&'a Signed<Order>, &'a Signed<Order>), OrderError> {
    let first = copies.first().ok_or(OrderError::Owner)?;
    if copies.iter().any(|copy| copy.body != first.body) {
        return Err(OrderError::Different);
    }
    let owner = copies.iter().find(|copy| is_root_key(&copy.signer)).ok_or(OrderError::Owner)?;
    let dinas = copies
        .iter()
        .find(|copy| dinas_keys.contains(&copy.signer) && copy.signer != owner.signer)
        .ok_or(OrderError::Dinas)?;
    Ok((owner, dinas))
}

/// A site's word that it keeps something, whatever retention says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The repository.
    pub repository: RepositoryId,
    /// Who signs, and keeps it.
    pub site: SiteId,
    /// Names the hold; random.
    pub hold: HoldId,
    /// What it keeps.
    pub subject: Subject,
    /// Whether a program placed it: then it lapses unless a person confirms it.
    pub automatic: bool,
    /// When it was placed, by the site's clock.
    pub placed: Timestamp,
    /// Who placed it.
    pub by: String,
    /// Why.
    pub reason: String,
}

impl Object for Hold {
    const KIND: Kind = Kind::Hold;
    /// The object's hash; the hold is named by its `hold`.
    type Id = [u8; 32];

    fn id_from(bytes: [u8; 32]) -> [u8; 32] {
        bytes
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.site.as_bytes()).raw(self.hold.as_bytes());
        self.subject.write(writer);
        writer.u8(u8::from(self.automatic)).i64(self.placed.0);
        writer.str(&self.by).str(&self.reason);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            repository,
            site: SiteId::from_bytes(reader.array()?),
            hold: HoldId::from_bytes(reader.array()?),
            subject: Subject::read(reader)?,
            automatic: reader.flag("whether a hold is automatic")?,
            placed: Timestamp(reader.i64()?),
            by: reader.str()?,
            reason: reader.str()?,
        })
    }
}

/// Why a snapshot is no longer at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Retention: it had no place, and its lock was over.
    Expired,
    /// An order: the id of the owner's copy.
    Ordered(OrderId),
}

/// A site's word that it removed a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The repository.
    pub repository: RepositoryId,
    /// Who signs.
    pub site: SiteId,
    /// The snapshot that was here.
    pub manifest: ManifestId,
    /// This site's receipt for it.
    pub receipt: ReceiptId,
    /// Who had made it.
    pub agent: AgentId,
    /// What had been backed up.
    pub dataset: DatasetId,
    /// Why it went.
    pub removal: Removal,
    /// When, by the site's clock.
    pub removed: Timestamp,
}

impl Object for Tombstone {
    const KIND: Kind = Kind::Tombstone;
    type Id = TombstoneId;

    fn id_from(bytes: [u8; 32]) -> TombstoneId {
        TombstoneId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.site.as_bytes()).raw(self.manifest.as_bytes());
        writer.raw(self.receipt.as_bytes());
        writer.raw(self.agent.as_bytes()).raw(self.dataset.as_bytes());
        let (code, order) = match self.removal {
            Removal::Expired => (1, OrderId::ZERO),
            Removal::Ordered(order) => (2, order),
        };
        writer.u8(code).raw(order.as_bytes()).i64(self.removed.0);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let site = SiteId::from_bytes(reader.array()?);
        let manifest = ManifestId::from_bytes(reader.array()?);
        let receipt = ReceiptId::from_bytes(reader.array()?);
        let agent = AgentId::from_bytes(reader.array()?);
        let dataset = DatasetId::from_bytes(reader.array()?);
        let code = reader.u8()?;
        let order = OrderId::from_bytes(reader.array()?);
        let removal = match (code, order.is_zero()) {
            (1, true) => Removal::Expired,
            (2, false) => Removal::Ordered(order),
            _ => {
                return Err(FormatError::field(
                    "a tombstone's cause",
                    "it is 1 with no order, or 2 with one",
                ));
            }
        };
        let removed = Timestamp(reader.i64()?);
        Ok(Self { repository, site, manifest, receipt, agent, dataset, removal, removed })
    }
}
