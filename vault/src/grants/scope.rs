//! The objects that some snapshots take, and the frames of packs among them: what a grantee reads.
//!
//! Reckoned once from manifests, usage lists and segments, and kept while the same snapshots are granted and here. A
//! snapshot that comes or goes changes it with the next request.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::{ConsentId, ManifestId, PackId, PublicKey, SessionId};
use lumbung_pack::{Bitmap, Kind, Manifest, Segment, UsageList, decode, open_signed};

use crate::index::{ManifestRow, OpeningRow, receipts_of};
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

/// What was given, besides the snapshots.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) grants: BTreeSet<[u8; 32]>,
    pub(super) approvals: BTreeSet<[u8; 32]>,
    /// Of the standing approvals: whose openings are the grantee's.
    pub(super) consents: BTreeSet<ConsentId>,
}

/// What a grantee may read now.
pub(crate) struct Scope {
    taken: Arc<Taken>,
    given: Given,
    receipts: BTreeSet<[u8; 32]>,
    openings: BTreeSet<[u8; 32]>,
}

impl Scopes {
    /// The scope of these snapshots, for this grantee. Openings are looked up only where they are asked for.
    pub(super) fn get(
        &self,
        (vault, repository): (&Vault, &Repository),
        key: &PublicKey,
        granted: Vec<ManifestId>,
        given: Given,
        kind: Kind,
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
        let taken = self.taken(repository, key, here)?;
        let openings = match kind {
            Kind::Opening => openings(vault, repository, &taken, &given)?,
            _ => BTreeSet::new(),
        };
        Ok(Scope { taken, given, receipts, openings })
    }

    /// What these snapshots take: as it was reckoned last, if they are the same.
    fn taken(
        &self,
        repository: &Repository,
        key: &PublicKey,
        here: Vec<ManifestId>,
    ) -> Result<Arc<Taken>, VaultError> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(taken) = kept.filter(|taken| taken.snapshots == here) {
            return Ok(taken);
        }
        let taken = Arc::new(Taken::reckon(repository, here)?);
        tracing::info!(repository = %repository.id, grantee = %key, snapshots = taken.snapshots.len(), packs = taken.packs.len(), "a grantee reads");
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(*key, Arc::clone(&taken));
        Ok(taken)
    }
}

/// The openings of the sessions in scope that are the grantee's.
fn openings(
    vault: &Vault,
    repository: &Repository,
    taken: &Taken,
    given: &Given,
) -> Result<BTreeSet<[u8; 32]>, VaultError> {
    if given.consents.is_empty() {
        return Ok(BTreeSet::new());
    }
    Ok(vault.index.read(|c| {
        let mut found = BTreeSet::new();
        for session in &taken.sessions {
            let session = SessionId::from_bytes(*session);
            let rows = OpeningRow::of_session(c, repository.row, &session)?;
            let own = rows.into_iter().filter(|row| given.consents.contains(&row.consent));
            found.extend(own.map(|row| *row.opening.as_bytes()));
        }
        Ok(found)
    })?)
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
            Kind::Grant => self.given.grants.contains(id),
            Kind::StandingApproval => self.given.approvals.contains(id),
            Kind::Opening => self.openings.contains(id),
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
            Kind::Grant => self.given.grants.iter().copied().collect(),
            Kind::StandingApproval => self.given.approvals.iter().copied().collect(),
            Kind::Opening => self.openings.iter().copied().collect(),
            _ => Vec::new(),
        }
    }

    /// The frames of a pack that the grantee may read.
    pub(crate) fn frames(&self, pack: &PackId) -> Option<&Bitmap> {
        self.taken.packs.get(pack)
    }
}
