//! Where a repository's objects are kept: one trait, several places.
//!
//! A depot is not trusted: callers check every object they get against its id, and every frame against
//! its pack's table. Writes are idempotent, and durable when they return.

mod admit;
mod http;

#[cfg(any(test, feature = "testing"))]
mod faulty;
mod local;
#[cfg(any(test, feature = "testing"))]
mod memory;

use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use lumbung_model::{AgentId, ManifestId, PackId, SiteId};
use lumbung_pack::{Bitmap, Kind, Missing, PackTable, PackUse};

#[cfg(any(test, feature = "testing"))]
pub use faulty::{FaultyDepot, Injection};

pub use http::HttpDepot;
pub use local::LocalDepot;
#[cfg(any(test, feature = "testing"))]
pub use memory::MemoryDepot;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a depot did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum DepotError {
    /// The object is not there.
    #[error("{} {} is not in {depot}", kind.name(), hex(id))]
    NotFound {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: [u8; 32],
        /// Which depot was asked.
        depot: String,
    },
    /// The object does not match its id.
    #[error("{} {} in {depot} is damaged; restore it from another site, or run a scrub there", kind.name(), hex(id))]
    Damaged {
        /// Kind of the object.
        kind: Kind,
        /// Its id.
        id: [u8; 32],
        /// Which depot holds it.
        depot: String,
        /// What does not match.
        #[source]
        source: Option<Source>,
    },
    /// No space is left.
    #[error("{depot} is full: free space there, then run this again")]
    Full {
        /// Which depot.
        depot: String,
    },
    /// The depot understood and said no.
    #[error("{depot} refused: {reason}")]
    Refused {
        /// Which depot.
        depot: String,
        /// Its reason.
        reason: String,
    },
    /// It may work later, or elsewhere.
    #[error("{depot} did not answer as it should ({what})")]
    Unavailable {
        /// Which depot.
        depot: String,
        /// What was tried.
        what: String,
        /// What happened.
        #[source]
        source: Option<Source>,
    },
    /// A commit lacks objects.
    #[error("{depot} lacks {} of what the snapshot needs", summary(missing))]
    Incomplete {
        /// Which depot.
        depot: String,
        /// What it lacks.
        missing: Box<Missing>,
    },
}

impl DepotError {
    /// Whether another try, or another depot, may do better.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whether another depot may take what this one does not.
    #[must_use]
    pub const fn may_work_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Full { .. }
                | Self::NotFound { .. }
                | Self::Damaged { .. }
        )
    }

    /// Whether the object is simply not there.
    #[must_use]
    pub const fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// What an incomplete commit lacks.
    #[must_use]
    pub fn missing(&self) -> Option<&Missing> {
        match self {
            Self::Incomplete { missing, .. } => Some(missing),
            _ => None,
        }
    }
}

fn summary(missing: &Missing) -> String {
    let frames: u64 = missing.packs.iter().map(|pack| u64::from(pack.used.count_ones())).sum();
    format!(
        "{} sessions, {} usage lists, {} segments, {frames} frames",
        missing.sessions.len(),
        u8::from(missing.usage),
        missing.segments.len()
    )
}

pub(crate) fn hex(id: &[u8; 32]) -> String {
    PackId::from_bytes(*id).to_string()
}

/// A commit that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    /// The site's signed receipt; a directory gives none.
    pub receipt: Option<Vec<u8>>,
}

/// A pack that is open to be read from front to back.
pub trait OpenPack {
    /// Header and table, checked against the id.
    ///
    /// # Errors
    /// [`DepotError::Damaged`].
    fn head(&self) -> Result<PackTable, DepotError>;

    /// Which frames are there; nothing where none was dropped.
    ///
    /// # Errors
    /// If the depot does not answer.
    fn presence(&self, table: &PackTable) -> Result<Option<Bitmap>, DepotError>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`DepotError::Damaged`] where the pack is shorter.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DepotError>;
}

/// A place that keeps one repository.
pub trait Depot: Send + Sync {
    /// What people call it: a path or an address.
    fn describe(&self) -> String;

    /// The ids of all objects of a kind, ascending.
    ///
    /// # Errors
    /// If the depot does not answer.
    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError>;

    /// An object other than a pack. The caller checks it against the id.
    ///
    /// # Errors
    /// [`DepotError::NotFound`], [`DepotError::Damaged`].
    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError>;

    /// Keeps an object that is neither pack nor manifest.
    ///
    /// # Errors
    /// If it was not kept durably.
    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError>;

    /// Keeps a pack: its head (header and table) and its frames, in order and in pieces of any length.
    ///
    /// # Errors
    /// If it was not kept durably.
    fn put_pack(&self, id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError>;

    /// Some bytes of a pack; fewer than asked for is an error.
    ///
    /// # Errors
    /// [`DepotError::NotFound`], or [`DepotError::Damaged`] where the pack is shorter.
    fn read_pack(&self, id: &PackId, range: Range<u64>) -> Result<Vec<u8>, DepotError>;

    /// Opens a pack that will be read whole, and begins to fetch it if it is on a disk here. Nothing where packs
    /// are not opened: they are read by range.
    ///
    /// # Errors
    /// [`DepotError::NotFound`].
    fn open_pack(&self, _id: &PackId) -> Result<Option<Box<dyn OpenPack + '_>>, DepotError> {
        Ok(None)
    }

    /// Which of these frames are not there any more. Says nothing about what they hold.
    ///
    /// # Errors
    /// If the depot does not answer.
    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError>;

    /// Publishes a manifest: the commit of a snapshot.
    ///
    /// # Errors
    /// [`DepotError::Incomplete`] with what is missing.
    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError>;

    /// The manifests here, at least those of `agent` where one is named.
    ///
    /// # Errors
    /// If the depot does not answer.
    fn manifests(&self, _agent: Option<&AgentId>) -> Result<Vec<ManifestId>, DepotError> {
        Ok(self.list(Kind::Manifest)?.into_iter().map(ManifestId::from_bytes).collect())
    }

    /// The site that keeps it, where one does.
    fn site(&self) -> Option<SiteId> {
        None
    }

    /// The directory on this machine, if it is one: never backed up into itself.
    fn local_path(&self) -> Option<PathBuf> {
        None
    }
}
