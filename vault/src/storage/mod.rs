//! Where the objects of the repositories lie. The vault knows only these traits; `directory` is the default.
//!
//! Invariants, whatever is behind:
//! - A name appears only when all of its bytes are durable, and only after they were checked against that name.
//! - Everything that is read is checked against its id, with its size capped before memory is taken.
//! - A call that returns `Ok` from writing is the word that the sender gets: it outlives a loss of power.
//! - Calls block; they come from blocking threads, several at once.

mod directory;
pub mod s3;
mod settings;

use std::path::PathBuf;
use std::sync::Arc;

use lumbung_model::{Clock, PackId, RepositoryId, SiteId, Timestamp};
use lumbung_pack::limits::PACK_MAX_BYTES;
use lumbung_pack::{Bitmap, Kind, PackTable};
use lumbung_store::{FolderStamp, PutOutcome, StoreError};

use crate::Config;

pub use self::directory::Directory;
pub use self::settings::{StorageConfig, StorageKind};

/// Opens the place that the configuration names. The caller holds the lock of the data directory.
///
/// # Errors
/// If it cannot be reached, or another vault writes there.
pub fn open(
    config: &Config,
    site: SiteId,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Place>, SetupError> {
    match config.storage.kind {
        StorageKind::Directory => Ok(Box::new(Directory::open(config.data.join("repositories"))?)),
        StorageKind::S3 => Ok(Box::new(s3::S3::open(&config.storage, &config.data, site, clock)?)),
    }
}

/// Why the storage cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The credentials cannot be used.
    #[error("the credentials of the S3 store cannot be used: {0}")]
    Credentials(String),
    /// The connection cannot be set up.
    #[error("the connection to the S3 store cannot be set up: {0}")]
    Client(String),
    /// Another vault writes there.
    #[error(
        "{} is written by the vault of site {} at {} (lease confirmed at {}): one prefix has one writer; give this vault a prefix of its own, or, if that vault is gone for good, run `lumbung-vault storage take` here",
        place.display(), holder.site, holder.host, holder.renewed
    )]
    Held {
        /// The place.
        place: PathBuf,
        /// Who.
        holder: Box<s3::Holder>,
    },
    /// A lease that is to be taken is in use.
    #[error(
        "the vault of site {} at {} confirmed its lease on {} while this command was watching (at {}): stop it first",
        holder.site, holder.host, place.display(), holder.renewed
    )]
    Alive {
        /// The place.
        place: PathBuf,
        /// Who.
        holder: Box<s3::Holder>,
    },
    /// The storage fails.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All repositories of a site.
pub trait Place: Send + Sync {
    /// The repositories that are here, ascending. One whose making broke off may be among them.
    ///
    /// # Errors
    /// If the place cannot be read.
    fn repositories(&self) -> Result<Vec<RepositoryId>, StoreError>;

    /// Makes durable what is seen but was not finished: before it returns, a loss of power may take back names that a
    /// killed process left. Called before anything here is relied on.
    ///
    /// # Errors
    /// [`StoreError::Unsynced`].
    fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`StoreError::NotARepository`] if there is none, or its making broke off.
    fn open(&self, id: &RepositoryId) -> Result<Arc<dyn Storage>, StoreError>;

    /// Makes an empty repository, or opens one that is there. Safe to repeat after a crash.
    ///
    /// # Errors
    /// If it cannot be made.
    fn create(&self, id: &RepositoryId) -> Result<Arc<dyn Storage>, StoreError>;
}

/// The objects of one repository.
pub trait Storage: Send + Sync {
    /// Keeps an object other than a pack under its id; repeating it is harmless, and heals a damaged one.
    ///
    /// # Errors
    /// [`StoreError::WrongId`] if the bytes hash to something else; [`StoreError::Full`] if there is no space.
    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<PutOutcome, StoreError>;

    /// Reads an object and checks it against its id. Of a pack, header and table are checked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`].
    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, StoreError>;

    /// Whether an object of that name is here; says nothing about its bytes.
    ///
    /// # Errors
    /// If the storage does not say.
    fn contains(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError>;

    /// The ids of all objects of a kind, ascending. Names that are not ids are ignored.
    ///
    /// # Errors
    /// If the storage cannot be listed.
    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, StoreError>;

    /// The ids of the packs whose first byte lies between `from` and the byte that is returned, ascending: a piece
    /// that fits in memory, to be compared with the index. The next piece begins after that byte.
    ///
    /// # Errors
    /// If the storage cannot be listed.
    fn list_packs(&self, from: u8) -> Result<(u8, Vec<[u8; 32]>), StoreError>;

    /// When names of a kind came or went last, where the storage can say so at once; nothing where it would have
    /// to be listed for that.
    ///
    /// # Errors
    /// If the storage does not answer.
    fn stamp(&self, _kind: Kind) -> Result<Option<FolderStamp>, StoreError> {
        Ok(None)
    }

    /// When an object came here, by the storage's clock. A repair counts as a new arrival.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn arrived(&self, kind: Kind, id: &[u8; 32]) -> Result<Timestamp, StoreError>;

    /// Opens a pack for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn open_pack(&self, id: &PackId) -> Result<Box<dyn PackRead>, StoreError>;

    /// Bytes of a pack as it lies here.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn pack_len(&self, id: &PackId) -> Result<u64, StoreError>;

    /// As [`Storage::pack_len`], for many packs: several at once where each costs a request.
    fn pack_lens(&self, ids: &[PackId]) -> Vec<Result<u64, StoreError>> {
        ids.iter().map(|id| self.pack_len(id)).collect()
    }

    /// Header and table of a pack, checked against its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`].
    fn pack_head(&self, id: &PackId) -> Result<PackTable, StoreError> {
        self.open_pack(id)?.head()
    }

    /// Begins to receive a pack.
    ///
    /// # Errors
    /// If nothing can be written.
    fn pack_writer(&self, id: &PackId) -> Result<Box<dyn PackSink>, StoreError>;

    /// Makes a pack's name durable, for who finds it already there.
    ///
    /// # Errors
    /// [`StoreError::Unsynced`].
    fn sync_pack(&self, id: &PackId) -> Result<(), StoreError>;

    /// Puts good frames in the place of bad ones: the whole pack is written anew, header and table from `table`,
    /// and takes the old one's place at once.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the pack is not here; [`StoreError::Frame`] if one is not the frame that the
    /// table names.
    fn repair_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        good: &[(usize, &[u8])],
    ) -> Result<(), StoreError>;

    /// Which frames of a pack are here; nothing where all are (`docs/format.md` §20).
    ///
    /// # Errors
    /// If the storage does not say.
    fn presence(&self, id: &PackId, table: &PackTable) -> Result<Option<Bitmap>, StoreError>;

    /// Brings what says which frames are here in line with the pack, where it lies apart from it: see
    /// [`lumbung_store::RepositoryDir::mend_presence`]. Whoever calls holds the pack's lock.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if frames have to be looked at and the pack is not here.
    fn mend_presence(
        &self,
        id: &PackId,
        table: &PackTable,
        _counted: Option<&Bitmap>,
    ) -> Result<Option<Bitmap>, StoreError> {
        self.presence(id, table)
    }

    /// Ids of the packs of which frames may be missing.
    ///
    /// # Errors
    /// If the storage cannot be listed.
    fn list_presence(&self) -> Result<Vec<PackId>, StoreError>;

    /// Takes frames away from a pack; offsets go on meaning the pack's own table. Repeating it after a crash is
    /// harmless and finishes it. Only the site's own sweep comes here, and whoever calls holds the
    /// repository's gate.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the pack is not here.
    fn drop_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        dropped: &Bitmap,
    ) -> Result<(), StoreError>;

    /// Begins to take some frames of a pack: of one that is not here, or those that were dropped or are damaged in one that
    /// is.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if `table` is not that pack's.
    fn partial_pack_writer(
        &self,
        id: &PackId,
        table: &PackTable,
    ) -> Result<Box<dyn PartialPackSink>, StoreError>;

    /// Removes what unfinished writes of those who have ended left behind, and makes durable what is seen but was not
    /// finished; writes under way through this value are let be. Only for who alone writes here.
    ///
    /// # Errors
    /// If the storage cannot be listed or synced.
    fn sweep_unfinished(&self) -> Result<usize, StoreError>;

    /// Removes an object durably; says whether it was here. Only the site's own retention and sweep come here:
    /// no request over the network leads to it.
    ///
    /// # Errors
    /// If it cannot be removed.
    fn remove(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError>;
}

/// A pack that is open for reading. While it is being repaired, a reader sees the old bytes or the repaired ones.
pub trait PackRead: Send + Sync {
    /// Bytes of the pack as it lies here.
    fn length(&self) -> u64;

    /// Reads `length` bytes at `offset`.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the pack does not have them.
    fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError>;

    /// Takes a table that the pack itself may not give, its head being damaged: without it nobody can say where the
    /// frames lie of a pack that lacks some.
    ///
    /// # Errors
    /// If the storage does not answer.
    fn take_table(&self, _table: &PackTable) -> Result<(), StoreError> {
        Ok(())
    }

    /// Reads header and table, checked against the id.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if they do not match it.
    fn head(&self) -> Result<PackTable, StoreError>;

    /// Reads a frame and checks it against the table.
    ///
    /// # Errors
    /// [`StoreError::Frame`] or [`StoreError::Range`] if it is not what the table says.
    fn read_frame(&self, table: &PackTable, frame: usize) -> Result<Vec<u8>, StoreError>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the pack does not have them.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        bytes.copy_from_slice(&self.read_range(offset, bytes.len())?);
        Ok(())
    }

    /// Bytes that are best read at once: each call may be a request over a network, where nothing else is said.
    fn read_bytes(&self) -> usize {
        PACK_MAX_BYTES
    }

    /// Says that all of it will be read, so that it is fetched ahead where that can be done; from the medium, where
    /// a copy in memory would say nothing of it.
    fn will_be_read(&self, _from_medium: bool) {}
}

/// Takes a pack as its bytes arrive. Dropping it unfinished leaves nothing that has a name.
pub trait PackSink: Send {
    /// Takes the next bytes: checked first, then written.
    ///
    /// # Errors
    /// [`StoreError::Pack`] if they cannot belong to this pack; [`StoreError::Full`] if there is no space.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// The table, once the head has arrived and matched the id: the time to refuse a pack for other reasons.
    fn table(&self) -> Option<&PackTable>;

    /// Gives the pack its name, if all of it arrived. A pack of that name that is here stays.
    ///
    /// # Errors
    /// [`StoreError::Pack`] if bytes are missing.
    fn finish(self: Box<Self>) -> Result<PutOutcome, StoreError>;

    /// As [`PackSink::finish`], but takes the place of a pack of that name, which is known to be damaged.
    ///
    /// # Errors
    /// [`StoreError::Pack`] if bytes are missing.
    fn finish_over(self: Box<Self>) -> Result<PutOutcome, StoreError>;
}

/// Takes some frames of a pack, in ascending order. Until it is finished nothing of it counts.
pub trait PartialPackSink: Send {
    /// Takes the next frame; it is checked against the table.
    ///
    /// # Errors
    /// [`StoreError::Frame`] if it is not that frame, or does not come after those that were taken.
    fn write_frame(&mut self, frame: usize, bytes: &[u8]) -> Result<(), StoreError>;

    /// Of the frames that should be here, by the pack's map or because they are `counted` on, those of which there are no
    /// bytes. Unless they came, they are damaged from the end on: the index enters them before. Whoever calls holds the
    /// repository's gate and the pack's lock from here to the end.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if somebody else changed the pack since this began.
    fn lost(&self, counted: &Bitmap) -> Result<Bitmap, StoreError>;

    /// The frames count from now on, and those in `lost` as damaged. Says which frames of the pack are here.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if somebody else changed the pack since this began.
    fn finish(self: Box<Self>, lost: &Bitmap) -> Result<Bitmap, StoreError>;
}
