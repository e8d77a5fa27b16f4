//! The objects that some snapshots take, and the frames of packs among them: what a grantee reads.
//!
//! Reckoned once from manifests, usage lists and segments, and kept while the same snapshots are granted and here. A
//! snapshot that comes or goes changes it with the next request.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::{ManifestId, PackId, PublicKey};
use lumbung_pack::{Bitmap, Kind, Manifest, Segment, UsageList, decode, open_signed};

use crate::index::{ManifestRow, receipts_of};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Grantees whose scope is kept at once.
const KEPT: usize = 16;

/// What the granted snapshots take.
#[derive(Debug, Default)]
struct Taken {
    /// Granted, and here when this was reckoned; ascending.
    snapshots: Vec<ManifestId>,
    sessions: BTreeSet<[u8; 32]>,
    usages: BTreeSet<[u8; 32]>,
    segments: BTreeSet<[u8; 32]>,
    /// The frames of each pack that are used.
    packs: BTreeMap<PackId, Bitmap>,
}

/// The scopes that were reckoned, by grantee.
#[derive(Debug, Default)]
pub(crate) struct Scopes(Mutex<HashMap<PublicKey, Arc<Taken>>>);

/// What a grantee may read now.
pub(crate) struct Scope {
    taken: Arc<Taken>,
    grants: BTreeSet<[u8; 32]>,
    receipts: BTreeSet<[u8; 32]>,
}

impl Scopes {
    /// The scope of these snapshots, for this grantee.
    pub(super) fn get(
        &self,
        vault: &Vault,
        repository: &Repository,
        key: &PublicKey,
        granted: Vec<ManifestId>,
        grants: BTreeSet<[u8; 32]>,
    ) -> Result<Scope, VaultError> {
        let (here, receipts) = vault.index.read(|c| {
            let (mut here, mut receipts) = (Vec::new(), BTreeSet::new());
            for id in granted {
                if let Some(row) = ManifestRow::find(c, repository.row, &id)? {
                    receipts.insert(*row.receipt.as_bytes());
                    receipts.extend(receipts_of(c, repository.row, &id)?);
                    here.push(id);
                }
            }
            Ok((here, receipts))
        })?;
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(taken) = kept.filter(|taken| taken.snapshots == here) {
            return Ok(Scope { taken, grants, receipts });
        }
        let taken = Arc::new(Taken::reckon(repository, here)?);
        tracing::info!(repository = %repository.id, grantee = %key, snapshots = taken.snapshots.len(), packs = taken.packs.len(), "a grantee reads");
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(*key, Arc::clone(&taken));
        Ok(Scope { taken, grants, receipts })
    }
}

impl Taken {
    fn reckon(repository: &Repository, snapshots: Vec<ManifestId>) -> Result<Self, VaultError> {
        let mut taken = Self::default();
        for id in &snapshots {
            // One that is damaged here is read at another site; the others are still granted.
            if let Err(error) = taken.add(repository, id) {
                tracing::warn!(repository = %repository.id, snapshot = %id, %error, "a granted snapshot cannot be read whole");
                match error {
                    VaultError::Store(error) if error.is_of_the_object() => {}
                    VaultError::Format { .. } => {}
                    other => return Err(other),
                }
            }
        }
        taken.snapshots = snapshots;
        Ok(taken)
    }

    fn add(&mut self, repository: &Repository, id: &ManifestId) -> Result<(), VaultError> {
        let store = &repository.store;
        let manifest = store.get(Kind::Manifest, id.as_bytes())?;
        let manifest =
            open_signed::<Manifest>(&manifest).map_err(VaultError::format(Kind::Manifest))?.body;
        self.sessions.extend(manifest.sessions.iter().map(|session| *session.as_bytes()));
        let usage = *manifest.usage.as_bytes();
        self.usages.insert(usage);
        let (usage, _) = decode::<UsageList>(&store.get(Kind::Usage, &usage)?)
            .map_err(VaultError::format(Kind::Usage))?;
        for line in &usage.segments {
            let segment = *line.segment.as_bytes();
            self.segments.insert(segment);
            let (segment, _) = decode::<Segment>(&store.get(Kind::Segment, &segment)?)
                .map_err(VaultError::format(Kind::Segment))?;
            for pack in segment.packs {
                let used = match self.packs.get(&pack.pack) {
                    Some(before) if before.bits() == pack.used.bits() => before.or(&pack.used),
                    _ => pack.used,
                };
                self.packs.insert(pack.pack, used);
            }
        }
        Ok(())
    }
}

impl Scope {
    /// Whether the grantee may read this object; of a pack, some frames.
    pub(crate) fn contains(&self, kind: Kind, id: &[u8; 32]) -> bool {
        let taken = &self.taken;
        match kind {
            Kind::Roster => true,
            Kind::Session => taken.sessions.contains(id),
            Kind::Usage => taken.usages.contains(id),
            Kind::Segment => taken.segments.contains(id),
            Kind::Pack => taken.packs.contains_key(&PackId::from_bytes(*id)),
            Kind::Manifest => taken.snapshots.binary_search(&ManifestId::from_bytes(*id)).is_ok(),
            Kind::Receipt => self.receipts.contains(id),
            Kind::Grant => self.grants.contains(id),
            _ => false,
        }
    }

    /// The objects of a kind that the grantee may read, ascending; of rosters, nothing is said.
    pub(crate) fn ids(&self, kind: Kind) -> Vec<[u8; 32]> {
        let taken = &self.taken;
        match kind {
            Kind::Session => taken.sessions.iter().copied().collect(),
            Kind::Usage => taken.usages.iter().copied().collect(),
            Kind::Segment => taken.segments.iter().copied().collect(),
            Kind::Pack => taken.packs.keys().map(|id| *id.as_bytes()).collect(),
            Kind::Manifest => taken.snapshots.iter().map(|id| *id.as_bytes()).collect(),
            Kind::Receipt => self.receipts.iter().copied().collect(),
            Kind::Grant => self.grants.iter().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// The frames of a pack that the grantee may read.
    pub(crate) fn frames(&self, pack: &PackId) -> Option<&Bitmap> {
        self.taken.packs.get(pack)
    }
}
