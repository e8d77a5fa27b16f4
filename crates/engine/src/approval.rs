//! What a consent opens: found in a depot with the owner's recovery key, as exactly as the format allows.
//!
//! Invariants: only whole snapshots that the newest roster vouches for are opened; of each pack the frames that these
//! snapshots use and no others; sessions and usage lists are checked as in a restore. Nothing is written.

use std::collections::{BTreeMap, HashMap};

use lumbung_model::{ManifestId, PackId, SessionId};
use lumbung_pack::{Bitmap, Manifest, PackTable, PackUse, RosterChain};
use lumbung_seal::{OpenedSession, Openings, RecoveryKey, SealError};

use crate::snapshot::{read_head, read_manifest, read_usage};
use crate::{Depot, Sealed, SessionOpener, SnapshotError};

/// Threads that read the heads of packs.
const HEAD_READERS: usize = 4;

/// Why a consent cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Something on the way is missing, damaged, forged or not sealed to the owner's key.
    #[error("what snapshot {snapshot} takes could not be opened")]
    Snapshot {
        /// The snapshot.
        snapshot: ManifestId,
        /// Why.
        #[source]
        source: Box<SnapshotError>,
    },
    /// The newest roster does not vouch for it.
    #[error(
        "no roster vouches for snapshot {0}: add its agent to the roster first, or choose another one"
    )]
    Unauthorized(ManifestId),
    /// A pack is of a session that the snapshot does not name, or of another key.
    #[error("pack {pack} cannot be opened")]
    Pack {
        /// The pack.
        pack: PackId,
        /// Why.
        #[source]
        source: SealError,
    },
    /// Two usage lists disagree on a pack.
    #[error("two snapshots name different numbers of frames of pack {0}: one of them is forged")]
    Contested(PackId),
}

fn failed(snapshot: ManifestId, source: SnapshotError) -> ApprovalError {
    ApprovalError::Snapshot { snapshot, source: Box::new(source) }
}

/// What a consent opens, and how much that is.
pub struct Consented {
    /// The keys.
    pub openings: Openings,
    /// Packs that are opened whole or in part.
    pub packs: u64,
    /// Frames that are opened.
    pub frames: u64,
    /// Their stored bytes.
    pub stored_bytes: u64,
}

/// Where a pack's key comes from, and which frames are used.
struct Needed {
    used: Bitmap,
    /// The manifest, by its place, that names the pack's session.
    manifest: usize,
}

/// Finds the keys that these snapshots take, and no others.
///
/// # Errors
/// If one of them is not there, is not vouched for, or does not open.
pub fn open_for_consent(
    depot: &dyn Depot,
    chain: &RosterChain,
    snapshots: &[ManifestId],
    recovery: &RecoveryKey,
) -> Result<Consented, ApprovalError> {
    let opener = SessionOpener::new(chain.clone(), recovery.duplicate());
    let mut sessions = Sessions { depot, opener, opened: HashMap::new() };
    let mut openings = Openings::new();
    let mut manifests: Vec<(ManifestId, Manifest)> = Vec::new();
    let mut needed: BTreeMap<PackId, Needed> = BTreeMap::new();
    for snapshot in snapshots {
        let closed = |source| failed(*snapshot, source);
        let manifest = read_manifest(depot, chain, snapshot).map_err(closed)?;
        if !chain.authorizes(&manifest) {
            return Err(ApprovalError::Unauthorized(*snapshot));
        }
        if manifest.body.partial {
            return Err(closed(SnapshotError::Partial(*snapshot)));
        }
        let first = manifest.body.sessions.first().copied().unwrap_or(SessionId::ZERO);
        let session =
            sessions.get(&manifest.body, &first, Sealed::Root(&manifest.body)).map_err(closed)?;
        openings.add_root(*snapshot, session.key.root_key(&manifest.body.root_salt));
        for pack in read_usage(depot, &manifest.body).map_err(closed)? {
            let place = manifests.len();
            let entry = needed
                .entry(pack.pack)
                .or_insert_with(|| Needed { used: Bitmap::new(pack.used.bits()), manifest: place });
            if entry.used.bits() != pack.used.bits() {
                return Err(ApprovalError::Contested(pack.pack));
            }
            entry.used = entry.used.or(&pack.used);
        }
        manifests.push((*snapshot, manifest.body));
    }
    let mut consented = Consented { openings, packs: 0, frames: 0, stored_bytes: 0 };
    for (table, needed) in heads(depot, &manifests, needed)? {
        let (snapshot, manifest) = &manifests[needed.manifest];
        consented.add(&table, &needed.used, (snapshot, manifest), &mut sessions)?;
    }
    Ok(consented)
}

impl Consented {
    fn add(
        &mut self,
        table: &PackTable,
        used: &Bitmap,
        (snapshot, manifest): (&ManifestId, &Manifest),
        sessions: &mut Sessions<'_>,
    ) -> Result<(), ApprovalError> {
        let header = &table.header;
        let closed = |source| failed(*snapshot, source);
        if !manifest.sessions.contains(&header.session)
            || header.repository != manifest.repository
            || header.domain != manifest.domain
        {
            return Err(closed(SnapshotError::UnknownSession(header.session)));
        }
        let session =
            sessions.get(manifest, &header.session, Sealed::Pack(header)).map_err(closed)?;
        self.openings
            .add_pack(table, used, &session.key)
            .map_err(|source| ApprovalError::Pack { pack: table.id(), source })?;
        self.packs += 1;
        self.frames += u64::from(used.count_ones());
        let lengths = used.iter_ones().filter_map(|frame| table.frames.get(frame as usize));
        self.stored_bytes += lengths.map(|frame| u64::from(frame.stored_length)).sum::<u64>();
        Ok(())
    }
}

/// Sessions that were opened.
struct Sessions<'a> {
    depot: &'a dyn Depot,
    opener: SessionOpener,
    opened: HashMap<SessionId, OpenedSession>,
}

impl Sessions<'_> {
    fn get(
        &mut self,
        manifest: &Manifest,
        id: &SessionId,
        sealed: Sealed<'_>,
    ) -> Result<&OpenedSession, SnapshotError> {
        if !self.opened.contains_key(id) {
            let opened = self.opener.open((self.depot, None), manifest, id, sealed)?;
            self.opened.extend(opened.into_iter().next().map(|opened| (*id, opened)));
        }
        self.opened.get(id).ok_or(SnapshotError::UnknownSession(*id))
    }
}

/// The heads of the packs, each checked against its id, by several readers at once.
fn heads(
    depot: &dyn Depot,
    manifests: &[(ManifestId, Manifest)],
    needed: BTreeMap<PackId, Needed>,
) -> Result<Vec<(PackTable, Needed)>, ApprovalError> {
    let needed: Vec<(PackId, Needed)> = needed.into_iter().collect();
    let read = |(pack, needed): &(PackId, Needed)| {
        let wanted = PackUse { pack: *pack, used: needed.used.clone() };
        read_head(depot, &wanted).map_err(|source| failed(manifests[needed.manifest].0, source))
    };
    let share = needed.len().div_ceil(HEAD_READERS).max(64);
    let parts = std::thread::scope(|scope| {
        let threads: Vec<_> = needed
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().map(read).collect::<Result<Vec<_>, _>>()))
            .collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect::<Vec<_>>()
    });
    let mut tables = Vec::with_capacity(needed.len());
    for part in parts {
        let first = manifests.first().map_or(ManifestId::ZERO, |first| first.0);
        let lost = || failed(first, SnapshotError::Thread);
        tables.extend(part.ok_or_else(lost)??);
    }
    Ok(tables.into_iter().zip(needed.into_iter().map(|(_, needed)| needed)).collect())
}
