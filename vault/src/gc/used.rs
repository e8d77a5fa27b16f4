//! What the live snapshots of a dedup domain name: the union of their usage lists, partial ones included.
//!
//! Invariants: everything that is counted was read and decoded; what cannot be read ends the sweep, since it may name
//! anything. [`Used::absorb`] takes in what was committed since, so that the union is complete
//! whenever the gate is held.

use std::collections::{HashMap, HashSet};

use lumbung_model::{DomainId, PackId, SegmentId, SessionId, UsageId};
use lumbung_pack::{Bitmap, Kind, Manifest, Segment, UsageList, decode, open_signed};

use crate::index::ManifestRow;
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Frames and objects in use in one domain.
pub(super) struct Used {
    domain: DomainId,
    /// Arrival of the last manifest that was taken in.
    arrival: u64,
    packs: HashMap<PackId, Bitmap>,
    pub(super) segments: HashSet<SegmentId>,
    pub(super) usages: HashSet<UsageId>,
    pub(super) sessions: HashSet<SessionId>,
}

impl Used {
    /// Reads what every live snapshot of the domain names.
    pub(super) fn gather(
        vault: &Vault,
        repository: &Repository,
        domain: DomainId,
    ) -> Result<Self, VaultError> {
        let mut used = Self {
            domain,
            arrival: 0,
            packs: HashMap::new(),
            segments: HashSet::new(),
            usages: HashSet::new(),
            sessions: HashSet::new(),
        };
        used.absorb(vault, repository)?;
        Ok(used)
    }

    /// Takes in the snapshots that came since.
    pub(super) fn absorb(
        &mut self,
        vault: &Vault,
        repository: &Repository,
    ) -> Result<(), VaultError> {
        let rows = vault.index.read(|c| {
            ManifestRow::after(c, repository.row, self.arrival, u32::MAX, Some(&self.domain))
        })?;
        for row in rows {
            self.manifest(repository, &row)?;
            self.arrival = row.arrival;
        }
        Ok(())
    }

    fn manifest(&mut self, repository: &Repository, row: &ManifestRow) -> Result<(), VaultError> {
        let unreadable = |error: VaultError| VaultError::Unreadable {
            manifest: row.manifest,
            reason: lumbung_model::with_causes(&error),
        };
        let bytes = repository
            .store
            .get(Kind::Manifest, row.manifest.as_bytes())
            .map_err(|error| unreadable(error.into()))?;
        let manifest = open_signed::<Manifest>(&bytes)
            .map_err(|error| unreadable(VaultError::format(Kind::Manifest)(error)))?
            .body;
        self.sessions.extend(&manifest.sessions);
        if self.usages.insert(manifest.usage) {
            self.usage(repository, &manifest.usage).map_err(unreadable)?;
        }
        Ok(())
    }

    fn usage(&mut self, repository: &Repository, id: &UsageId) -> Result<(), VaultError> {
        let bytes = repository.store.get(Kind::Usage, id.as_bytes())?;
        let (usage, _) = decode::<UsageList>(&bytes).map_err(VaultError::format(Kind::Usage))?;
        for named in usage.segments {
            if !self.segments.contains(&named.segment) {
                self.segment(repository, &named.segment)?;
                self.segments.insert(named.segment);
            }
        }
        Ok(())
    }

    fn segment(&mut self, repository: &Repository, id: &SegmentId) -> Result<(), VaultError> {
        let bytes = repository.store.get(Kind::Segment, id.as_bytes())?;
        let (segment, _) = decode::<Segment>(&bytes).map_err(VaultError::format(Kind::Segment))?;
        for pack in segment.packs {
            let frames = pack.used.bits();
            let named = self.packs.entry(pack.pack).or_insert_with(|| Bitmap::new(frames));
            if named.bits() != frames {
                let reason = format!("pack {} is named with two numbers of frames", pack.pack);
                return Err(VaultError::Inconsistent(reason));
            }
            *named = named.or(&pack.used);
        }
        Ok(())
    }

    /// The frames of a pack that are in use.
    pub(super) fn of(&self, pack: &PackId, frames: u32) -> Bitmap {
        match self.packs.get(pack) {
            // The commit check refuses a segment with another number of frames than the pack has.
            Some(named) if named.bits() == frames => named.clone(),
            Some(_) => Bitmap::full(frames),
            None => Bitmap::new(frames),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_pack_that_is_named_with_another_number_of_frames_is_in_use_altogether() {
        let (named, unnamed) = (PackId::from_bytes([1; 32]), PackId::from_bytes([2; 32]));
        let mut frames = Bitmap::new(3);
        frames.set(1);
        let used = Used {
            domain: DomainId::ZERO,
            arrival: 0,
            packs: HashMap::from([(named, frames.clone())]),
            segments: HashSet::new(),
            usages: HashSet::new(),
            sessions: HashSet::new(),
        };
        assert_eq!(used.of(&named, 3), frames);
        assert_eq!(used.of(&named, 4), Bitmap::full(4));
        assert!(used.of(&unnamed, 3).is_empty());
    }
}
