//! What sites sign: receipts, inventories, scrub reports; and the owner's proof of a restore
//! (`docs/format.md` §13–14).

use lumbung_model::{
    InventoryId, ManifestId, ProofId, ReceiptId, RepositoryId, ScrubId, SiteId, Timestamp,
};

use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::limits::OBJECT_MAX_BYTES;
use crate::object::{Kind, Object};

/// A site's word that it holds a snapshot whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The repository.
    pub repository: RepositoryId,
    /// Who signs.
    pub site: SiteId,
    /// The snapshot.
    pub manifest: ManifestId,
    /// Counts this site's receipts in this repository, from 1.
    pub number: u64,
    /// When it came, by the site's clock.
    pub received: Timestamp,
    /// Nothing removes it here before then.
    pub locked_until: Timestamp,
    /// The site it was pulled from; none if the agent sent it.
    pub pulled_from: Option<SiteId>,
}

impl Object for Receipt {
    const KIND: Kind = Kind::Receipt;
    type Id = ReceiptId;

    fn id_from(bytes: [u8; 32]) -> ReceiptId {
        ReceiptId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.site.as_bytes()).raw(self.manifest.as_bytes()).u64(self.number);
        writer.i64(self.received.0).i64(self.locked_until.0);
        writer.u8(u8::from(self.pulled_from.is_some()));
        writer.raw(self.pulled_from.unwrap_or(SiteId::ZERO).as_bytes());
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let site = SiteId::from_bytes(reader.array()?);
        let manifest = ManifestId::from_bytes(reader.array()?);
        let number = reader.u64()?;
        let received = Timestamp(reader.i64()?);
        let locked_until = Timestamp(reader.i64()?);
        let pulled = reader.flag("how a receipt's snapshot came")?;
        let from = SiteId::from_bytes(reader.array()?);
        if pulled == from.is_zero() {
            return Err(FormatError::field(
                "a receipt's source",
                "it is named exactly where the snapshot was pulled",
            ));
        }
        let pulled_from = pulled.then_some(from);
        Ok(Self { repository, site, manifest, number, received, locked_until, pulled_from })
    }
}

/// A snapshot in an inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InventoryEntry {
    /// The snapshot.
    pub manifest: ManifestId,
    /// This site's receipt for it.
    pub receipt: ReceiptId,
}

/// A site's numbered list of the live snapshots of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The repository.
    pub repository: RepositoryId,
    /// Who signs.
    pub site: SiteId,
    /// Counts from 1.
    pub number: u64,
    /// The inventory before; zero in number 1.
    pub previous: InventoryId,
    /// When it was made.
    pub made: Timestamp,
    /// The newest roster at the site.
    pub roster_number: u32,
    /// Packs kept for this repository.
    pub packs: u64,
    /// Bytes kept for this repository.
    pub bytes: u64,
    /// Ascending by manifest.
    pub entries: Vec<InventoryEntry>,
}

const INVENTORY_ENTRY_BYTES: usize = 64;

impl Object for Inventory {
    const KIND: Kind = Kind::Inventory;
    type Id = InventoryId;

    fn id_from(bytes: [u8; 32]) -> InventoryId {
        InventoryId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.site.as_bytes()).u64(self.number).raw(self.previous.as_bytes());
        writer.i64(self.made.0).u32(self.roster_number).u64(self.packs).u64(self.bytes);
        writer.count32(self.entries.len());
        for entry in &self.entries {
            writer.raw(entry.manifest.as_bytes()).raw(entry.receipt.as_bytes());
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let mut inventory = Self {
            repository,
            site: SiteId::from_bytes(reader.array()?),
            number: reader.u64()?,
            previous: InventoryId::from_bytes(reader.array()?),
            made: Timestamp(reader.i64()?),
            roster_number: reader.u32()?,
            packs: reader.u64()?,
            bytes: reader.u64()?,
            entries: Vec::new(),
        };
        if inventory.number == 0 || (inventory.number == 1) != inventory.previous.is_zero() {
            return Err(FormatError::field(
                "an inventory's number",
                "they count from 1, and only number 1 has no predecessor",
            ));
        }
        let max = OBJECT_MAX_BYTES / INVENTORY_ENTRY_BYTES;
        let count = reader.count32("an inventory's entries", max, INVENTORY_ENTRY_BYTES)?;
        for _ in 0..count {
            let manifest = ManifestId::from_bytes(reader.array()?);
            let receipt = ReceiptId::from_bytes(reader.array()?);
            inventory.entries.push(InventoryEntry { manifest, receipt });
        }
        ascending("an inventory's entries", inventory.entries.iter().map(|entry| entry.manifest))?;
        Ok(inventory)
    }
}

/// A site's report of a pass over a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubReport {
    /// The repository.
    pub repository: RepositoryId,
    /// Who signs.
    pub site: SiteId,
    /// Counts from 1.
    pub number: u64,
    /// When the pass started.
    pub started: Timestamp,
    /// When it finished.
    pub finished: Timestamp,
    /// Frames read.
    pub frames: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Frames repaired from another site.
    pub repaired: u32,
    /// Frames that stay bad.
    pub bad: u32,
    /// Snapshots of which everything was read and matched; ascending.
    pub verified: Vec<ManifestId>,
    /// Snapshots that miss something; ascending.
    pub damaged: Vec<ManifestId>,
}

fn read_manifests(
    field: &'static str,
    reader: &mut Reader<'_>,
) -> Result<Vec<ManifestId>, FormatError> {
    let count = reader.count32(field, OBJECT_MAX_BYTES / 32, 32)?;
    let ids: Result<Vec<_>, FormatError> =
        (0..count).map(|_| reader.array().map(ManifestId::from_bytes)).collect();
    let ids = ids?;
    ascending(field, ids.iter())?;
    Ok(ids)
}

impl Object for ScrubReport {
    const KIND: Kind = Kind::Scrub;
    type Id = ScrubId;

    fn id_from(bytes: [u8; 32]) -> ScrubId {
        ScrubId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.site.as_bytes()).u64(self.number);
        writer.i64(self.started.0).i64(self.finished.0);
        writer.u64(self.frames).u64(self.bytes).u32(self.repaired).u32(self.bad);
        for list in [&self.verified, &self.damaged] {
            writer.count32(list.len());
            list.iter().for_each(|manifest| {
                writer.raw(manifest.as_bytes());
            });
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            repository,
            site: SiteId::from_bytes(reader.array()?),
            number: reader.u64()?,
            started: Timestamp(reader.i64()?),
            finished: Timestamp(reader.i64()?),
            frames: reader.u64()?,
            bytes: reader.u64()?,
            repaired: reader.u32()?,
            bad: reader.u32()?,
            verified: read_manifests("verified snapshots", reader)?,
            damaged: read_manifests("damaged snapshots", reader)?,
        })
    }
}

/// A restore that was compared with its snapshot, signed with a root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The repository.
    pub repository: RepositoryId,
    /// The snapshot.
    pub manifest: ManifestId,
    /// Where it was read; zero for a directory.
    pub site: SiteId,
    /// When the restore started.
    pub started: Timestamp,
    /// When the comparison was done.
    pub finished: Timestamp,
    /// Entries restored and compared.
    pub entries: u64,
    /// Bytes of content restored and compared.
    pub bytes: u64,
    /// Entries that failed.
    pub failed: u64,
}

impl Object for Proof {
    const KIND: Kind = Kind::Proof;
    type Id = ProofId;

    fn id_from(bytes: [u8; 32]) -> ProofId {
        ProofId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.manifest.as_bytes()).raw(self.site.as_bytes());
        writer.i64(self.started.0).i64(self.finished.0);
        writer.u64(self.entries).u64(self.bytes).u64(self.failed);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            repository,
            manifest: ManifestId::from_bytes(reader.array()?),
            site: SiteId::from_bytes(reader.array()?),
            started: Timestamp(reader.i64()?),
            finished: Timestamp(reader.i64()?),
            entries: reader.u64()?,
            bytes: reader.u64()?,
            failed: reader.u64()?,
        })
    }
}
