//! Snapshots: found, chosen, opened with a key and read.
//!
//! Everything from the depot is checked before it is believed: rosters as a chain, manifests by
//! signature and signer, other objects by id, frames by hash, tag and chunk id.

mod diff;
mod entries;
mod files;
mod frames;
mod heads;
mod include;
mod listing;
mod opening;
mod search;
mod sessions;

use std::sync::Arc;

use lumbung_model::{
    AgentId, ChunkId, DatasetId, ManifestId, PublicKey, RepositoryId, SessionId, Timestamp,
};
use lumbung_pack::{Manifest, RosterChain, Signed, Statistics};
use lumbung_seal::RootPlain;
use lumbung_seal::catalogue::{Entry, EntryKind, IndexEntry, decode_index};

use crate::{Depot, DepotError};
use entries::Group;

/// An index of more bytes than this is not believed.
const INDEX_MAX_BYTES: u64 = 512 << 20;

pub use diff::{Change, DiffEntry};
pub(crate) use entries::Entries;
pub use files::{OpenedFile, SnapshotFiles};
pub(crate) use frames::{ChunkCache, Frames, read_head, read_segment, read_usage, read_usage_list};
pub use heads::HeadCache;
pub use include::Include;
pub(crate) use include::is_beneath;
pub use listing::{authorized_manifests, list_snapshots, select_snapshot};
pub(crate) use listing::{read_chain, read_manifest, read_object};
pub use opening::Opening;
pub use search::{Query, Search, TypeFilter, Version};
pub use sessions::{Sealed, SessionOpener, Wraps, read_session, read_wraps, session_fits};

/// Why a snapshot cannot be found, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The depot.
    #[error("the depot could not be read")]
    Depot(#[from] DepotError),
    /// The rosters.
    #[error(
        "the repository's rosters do not form a chain: do not trust {depot} before that is explained"
    )]
    Roster {
        /// Which depot.
        depot: String,
        /// What is wrong.
        #[source]
        source: lumbung_pack::RosterError,
    },
    /// An object does not decode or verify.
    #[error("{what} in {depot} is damaged or forged; try another site")]
    Object {
        /// The object.
        what: String,
        /// Which depot.
        depot: String,
        /// What is wrong.
        #[source]
        source: lumbung_pack::FormatError,
    },
    /// Something does not open.
    #[error("{what} cannot be opened")]
    Open {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: lumbung_seal::SealError,
    },
    /// Only a wrap could open a session, and one cannot be read.
    #[error(
        "session {session} is not sealed to this key, and a wrap cannot be read that may open it ({reason}): try another site, or run `lumbung key rewrap`"
    )]
    WrapUnreadable {
        /// The session.
        session: SessionId,
        /// Why.
        reason: String,
    },
    /// The catalogue is not valid.
    #[error("the snapshot's catalogue is not valid; try another site")]
    Catalogue(#[from] lumbung_seal::catalogue::CatalogueError),
    /// No such snapshot.
    #[error("no snapshot matches {0:?}: list them, then name one by at least 4 digits of its id")]
    NotFound(String),
    /// Several snapshots match.
    #[error("{} snapshots match {wanted:?}: name one of them, or a dataset: {}", candidates.len(), list(candidates))]
    Ambiguous {
        /// What was asked for.
        wanted: String,
        /// What matches.
        candidates: Vec<Snapshot>,
    },
    /// A partial manifest holds no catalogue.
    #[error(
        "snapshot {0} is partial: it protects an unfinished run and cannot be restored; choose a finished one"
    )]
    Partial(ManifestId),
    /// The manifest is of another repository.
    #[error("snapshot {snapshot} belongs to repository {found}, not {expected}")]
    OtherRepository {
        /// The snapshot.
        snapshot: ManifestId,
        /// Its repository.
        found: RepositoryId,
        /// The one that was opened.
        expected: RepositoryId,
    },
    /// A chunk is in no pack of the usage list.
    #[error(
        "chunk {0} is in no pack that the snapshot names: its catalogue and its usage list do not belong together"
    )]
    UnknownChunk(ChunkId),
    /// Packs of the snapshot are lost, and a chunk may be in one of them.
    #[error(
        "chunk {chunk} is in none of the packs that could be read; {packs} could not, try another site. The first: {first}"
    )]
    LostPacks {
        /// The chunk.
        chunk: ChunkId,
        /// How many packs could not be read.
        packs: usize,
        /// Why the first of them could not.
        first: String,
    },
    /// A pack belongs to a session that the manifest does not name.
    #[error("session {0} is not named by the manifest, but a pack of it is used")]
    UnknownSession(SessionId),
    /// No such path.
    #[error("/{0} is not in the snapshot")]
    NoSuchPath(String),
    /// Content was asked for of something that has none.
    #[error("/{0} is not a regular file with content")]
    NotAFile(String),
    /// There is no first roster.
    #[error("{depot} holds no repository: create one (lumbung repo init), or check the path")]
    NoRepository {
        /// Which depot.
        depot: String,
    },
    /// There is more than one first roster.
    #[error("{depot} holds the rosters of several repositories: name the one that is meant")]
    SeveralRepositories {
        /// Which depot.
        depot: String,
    },
    /// Content could not be handed on.
    #[error("the content could not be written")]
    Write(#[source] std::io::Error),
    /// The directory to compare with cannot be used.
    #[error("{path} cannot be read")]
    Root {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Stopped on request.
    #[error("stopped on request")]
    Cancelled,
    /// A thread was lost.
    #[error("a part of the work stopped unexpectedly: run it again, and report this if it repeats")]
    Thread,
}

fn list(candidates: &[Snapshot]) -> String {
    let lines = candidates
        .iter()
        .take(20)
        .map(|s| format!("{} (dataset {}, {})", s.id.short(), s.dataset, s.finished));
    lines.collect::<Vec<_>>().join("; ")
}

/// A snapshot as its manifest tells of it, without any key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: ManifestId,
    /// Who made it.
    pub agent: AgentId,
    /// The agent's name in the roster, if the roster lists it.
    pub agent_label: Option<String>,
    /// The dataset.
    pub dataset: DatasetId,
    /// Whether it only protects an unfinished run.
    pub partial: bool,
    /// Whether the newest roster authorises it; if not it is *belum disahkan* and never the latest.
    pub authorized: bool,
    /// Epoch of its chain.
    pub epoch: u32,
    /// Sequence number in the epoch.
    pub sequence: u64,
    /// The manifest before it; zero if none.
    pub previous: ManifestId,
    /// When the run started.
    pub started: Timestamp,
    /// When it finished.
    pub finished: Timestamp,
    /// What the agent says of it.
    pub statistics: Statistics,
    /// Who signed it.
    pub signer: PublicKey,
    /// The session of its run; zero if it names none.
    pub session: SessionId,
}

/// An opened snapshot.
pub struct SnapshotReader {
    depot: Arc<dyn Depot>,
    chain: RosterChain,
    manifest: Signed<Manifest>,
    root: RootPlain,
    frames: Arc<Frames>,
    index: Vec<IndexEntry>,
}

impl SnapshotReader {
    /// Opens a snapshot with a recovery key, or with what a grant opens. `repository`: the id that is expected, where the caller knows it.
    ///
    /// # Errors
    /// If anything on the way to its catalogue is missing, damaged, forged or not opened by `key`.
    pub fn open(
        depot: Arc<dyn Depot>,
        repository: Option<RepositoryId>,
        snapshot: &ManifestId,
        key: impl Into<Opening>,
    ) -> Result<Self, SnapshotError> {
        Self::open_with_fallback(depot, None, repository, snapshot, key)
    }

    /// As [`Self::open`]; heads of packs, usage lists and catalogue that one depot has damaged are read
    /// from the other.
    ///
    /// # Errors
    /// As [`Self::open`], where both fail.
    pub fn open_with_fallback(
        depot: Arc<dyn Depot>,
        fallback: Option<Arc<dyn Depot>>,
        repository: Option<RepositoryId>,
        snapshot: &ManifestId,
        key: impl Into<Opening>,
    ) -> Result<Self, SnapshotError> {
        Self::open_cached(depot, fallback, repository, snapshot, key, None)
    }

    /// As [`Self::open_with_fallback`]; the heads of packs are kept on this machine where `cache` says.
    ///
    /// # Errors
    /// As [`Self::open_with_fallback`].
    pub fn open_cached(
        depot: Arc<dyn Depot>,
        fallback: Option<Arc<dyn Depot>>,
        repository: Option<RepositoryId>,
        snapshot: &ManifestId,
        key: impl Into<Opening>,
        cache: Option<HeadCache>,
    ) -> Result<Self, SnapshotError> {
        let chain = read_chain(depot.as_ref(), repository)?;
        let manifest = read_manifest(depot.as_ref(), &chain, snapshot)?;
        if manifest.body.partial {
            return Err(SnapshotError::Partial(*snapshot));
        }
        let (body, opening) = (&manifest.body, key.into());
        let frames = Frames::open(depot.clone(), fallback, (&chain, body), opening, cache)?;
        let frames = Arc::new(frames);
        let root = frames.root(snapshot)?;
        let index = read_index(&frames, &root)?;
        Ok(Self { depot, chain, manifest, root, frames, index })
    }

    /// The manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Signed<Manifest> {
        &self.manifest
    }

    /// The rosters.
    #[must_use]
    pub const fn chain(&self) -> &RosterChain {
        &self.chain
    }

    /// Host, label, sources.
    #[must_use]
    pub const fn root(&self) -> &RootPlain {
        &self.root
    }

    /// The depot that it is read from.
    #[must_use]
    pub const fn depot(&self) -> &Arc<dyn Depot> {
        &self.depot
    }

    /// What the manifest tells without a key.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(&self.manifest, &self.chain)
    }

    pub(crate) const fn frames(&self) -> &Arc<Frames> {
        &self.frames
    }

    fn index(&self) -> &[IndexEntry] {
        &self.index
    }

    pub(crate) fn entries(&self, include: &Include) -> Entries<'_> {
        Entries::new(&self.frames, &self.index, include)
    }

    /// Tells `visit` of every entry that `include` touches, in path order; reads only what it must.
    ///
    /// # Errors
    /// If the catalogue cannot be read; or what `visit` returns.
    pub fn for_each<E: From<SnapshotError>>(
        &self,
        include: &Include,
        visit: &mut dyn FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut entries = self.entries(include);
        while let Some(entry) = entries.next()? {
            visit(entry)?;
        }
        Ok(())
    }

    /// One entry.
    ///
    /// # Errors
    /// [`SnapshotError::NoSuchPath`].
    pub fn entry(&self, path: &[u8]) -> Result<Entry, SnapshotError> {
        let path = trim(path);
        let group = Group::all(&self.index).into_iter().find(|group| group.may_hold(path));
        let entries = group.map_or(Ok(Vec::new()), |group| group.read(&self.frames))?;
        let found = entries.into_iter().find(|entry| entry.path == path);
        found.ok_or_else(|| SnapshotError::NoSuchPath(readable(path)))
    }

    /// What a folder holds, directly; of anything else, the entry itself.
    ///
    /// # Errors
    /// [`SnapshotError::NoSuchPath`].
    pub fn list(&self, folder: &[u8]) -> Result<Vec<Entry>, SnapshotError> {
        let folder = trim(folder);
        let entry = self.entry(folder)?;
        if !matches!(entry.kind, EntryKind::Directory) {
            return Ok(vec![entry]);
        }
        let include = Include::paths([folder]);
        let mut found = Vec::new();
        for group in Group::all(&self.index) {
            if !group.matters(&include) || group.is_deep_beneath(folder) {
                continue;
            }
            let entries = group.read(&self.frames)?;
            let direct =
                |entry: &Entry| lumbung_seal::catalogue::parent(&entry.path) == Some(folder);
            found.extend(entries.into_iter().filter(direct));
        }
        Ok(found)
    }

    /// What changed from this snapshot to a newer one.
    ///
    /// # Errors
    /// If one of the catalogues cannot be read.
    pub fn diff(
        &self,
        newer: &Self,
        visit: &mut dyn FnMut(DiffEntry),
    ) -> Result<(), SnapshotError> {
        diff::diff(self, newer, visit)
    }

    /// Writes a file's content to `out`, holes as zeros.
    ///
    /// # Errors
    /// If it is no file, or a frame of it is damaged.
    pub fn write_content(
        &self,
        entry: &Entry,
        out: &mut dyn std::io::Write,
    ) -> Result<(), SnapshotError> {
        let named = match &entry.kind {
            EntryKind::HardLink { first } => &self.entry(first)?,
            _ => entry,
        };
        let EntryKind::File { size, sparse, content } = &named.kind else {
            return Err(SnapshotError::NotAFile(readable(&entry.path)));
        };
        if named.unreadable.is_some() {
            return Err(SnapshotError::NotAFile(readable(&entry.path)));
        }
        let cache = ChunkCache::new(&self.frames, None, 8 << 20);
        let mut extents = sparse.iter().flatten();
        let mut position = 0;
        let mut until = if sparse.is_some() { 0 } else { *size };
        for part in content {
            let chunk = cache.get(&part.chunk)?;
            let mut data = piece(&chunk, part)?;
            while !data.is_empty() {
                if position == until
                    && let Some(extent) = extents.next()
                {
                    zeros(out, extent.offset - position)?;
                    (position, until) = (extent.offset, extent.offset + extent.length);
                }
                let room = usize::try_from(until - position).unwrap_or(usize::MAX).min(data.len());
                if room == 0 {
                    return Err(SnapshotError::UnknownChunk(part.chunk));
                }
                out.write_all(&data[..room]).map_err(SnapshotError::Write)?;
                position += room as u64;
                data = &data[room..];
            }
        }
        zeros(out, size.saturating_sub(position))
    }
}

/// The part of a chunk that a reference names.
pub(crate) fn piece<'a>(
    chunk: &'a [u8],
    part: &lumbung_seal::catalogue::ContentRef,
) -> Result<&'a [u8], SnapshotError> {
    let start = part.offset as usize;
    chunk.get(start..start + part.length as usize).ok_or(SnapshotError::UnknownChunk(part.chunk))
}

fn zeros(out: &mut dyn std::io::Write, count: u64) -> Result<(), SnapshotError> {
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), count), out)
        .map(|_| ())
        .map_err(SnapshotError::Write)
}

fn trim(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    let end = path.iter().rposition(|b| *b != b'/').map_or(start, |last| last + 1);
    &path[start..end]
}

fn readable(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn read_index(frames: &Frames, root: &RootPlain) -> Result<Vec<IndexEntry>, SnapshotError> {
    let total: u64 = root.root_chunks.iter().map(|(_, length)| u64::from(*length)).sum();
    if total > INDEX_MAX_BYTES {
        let source = lumbung_pack::FormatError::Limit {
            field: "an index",
            found: total,
            limit: INDEX_MAX_BYTES,
        };
        return Err(lumbung_seal::catalogue::CatalogueError::from(source).into());
    }
    let mut bytes = Vec::new();
    for (chunk, length) in &root.root_chunks {
        let (plain, _) = frames.chunk(chunk, None)?;
        if plain.len() != *length as usize {
            return Err(SnapshotError::UnknownChunk(*chunk));
        }
        bytes.extend_from_slice(&plain);
    }
    let index = decode_index(&bytes)?;
    let entries: u64 = index.iter().fold(0, |sum, line| sum.saturating_add(line.entries));
    if entries != root.entries {
        let source = lumbung_pack::FormatError::Field {
            field: "the index",
            reason: "the root counts other entries",
        };
        return Err(lumbung_seal::catalogue::CatalogueError::from(source).into());
    }
    Ok(index)
}
