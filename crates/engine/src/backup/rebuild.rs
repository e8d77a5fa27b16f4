//! An agent that lost its journal finds its packs again through manifests signed in its own domain.
//!
//! A manifest's signature binds its usage list, that binds segments, they bind packs by name, and a pack's
//! name binds its table: so every chunk id found here was written by a key of this domain.

use std::collections::HashSet;

use lumbung_model::{ManifestId, PackId, PublicKey};
use lumbung_pack::limits::{FRAME_ENTRY_BYTES, PACK_FIXED_BYTES};
use lumbung_pack::{
    AgentStatus, Kind, Manifest, PackTable, RosterChain, Segment, Signed, UsageList, decode,
    object_id, open_signed,
};
use lumbung_seal::AgentIdentity;

use super::BackupError;
use super::retry::Retry;
use crate::state::Record;
use crate::{Depot, DepotError};

/// Records of all packs that manifests of this domain name, and that the depot still has.
pub(super) fn own_packs(
    retry: &Retry<'_>,
    identity: &AgentIdentity,
    depot: &dyn Depot,
    chain: &RosterChain,
) -> Result<Vec<Record>, BackupError> {
    let finder = Finder { retry, identity, depot, chain };
    let mut packs = HashSet::new();
    let mut records = Vec::new();
    let mut segments = HashSet::new();
    for id in retry.call(|| depot.manifests(None))? {
        let Some(manifest) = finder.manifest(&id)? else { continue };
        let Some(usage) = finder.object::<UsageList>(manifest.body.usage.as_bytes())? else {
            continue;
        };
        for line in usage.segments {
            if !segments.insert(line.segment) {
                continue;
            }
            let Some(segment) = finder.object::<Segment>(line.segment.as_bytes())? else {
                continue;
            };
            for pack in segment.packs {
                if packs.insert(pack.pack)
                    && let Some(head) = finder.head(&pack.pack, pack.used.bits())?
                {
                    records.push(Record::Pack(head));
                }
            }
        }
    }
    records.extend(super::standing::published(retry, depot, |key| finder.is_own_key(key))?);
    records.push(Record::Committed);
    Ok(records)
}

struct Finder<'a> {
    retry: &'a Retry<'a>,
    identity: &'a AgentIdentity,
    depot: &'a dyn Depot,
    chain: &'a RosterChain,
}

/// What is not there or damaged counts as nothing; a depot that does not answer is an error.
fn lenient<T>(result: Result<T, BackupError>) -> Result<Option<T>, BackupError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(BackupError::Depot(DepotError::NotFound { .. } | DepotError::Damaged { .. })) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Finder<'_> {
    fn bytes(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, BackupError> {
        let bytes = lenient(self.retry.call(|| self.depot.get(kind, id)))?;
        Ok(bytes.filter(|bytes| object_id(bytes) == *id))
    }

    fn manifest(&self, id: &ManifestId) -> Result<Option<Signed<Manifest>>, BackupError> {
        let bytes = self.bytes(Kind::Manifest, id.as_bytes())?;
        let manifest = bytes.and_then(|bytes| open_signed::<Manifest>(&bytes).ok());
        Ok(manifest.filter(|manifest| self.is_own(manifest)))
    }

    /// Whether a key of this agent's own domain signed it.
    fn is_own(&self, manifest: &Signed<Manifest>) -> bool {
        let body = &manifest.body;
        body.repository == self.identity.repository
            && body.domain == self.identity.domain
            && self.is_own_key(&manifest.signer)
    }

    /// Whether it is a key of this agent's own domain.
    fn is_own_key(&self, key: &PublicKey) -> bool {
        let listed = self.chain.agent_by_key(key).is_some_and(|agent| {
            agent.domain == self.identity.domain && agent.status == AgentStatus::Active
        });
        listed || *key == self.identity.key.public()
    }

    fn object<T: lumbung_pack::Object>(&self, id: &[u8; 32]) -> Result<Option<T>, BackupError> {
        Ok(self
            .bytes(T::KIND, id)?
            .and_then(|bytes| decode::<T>(&bytes).ok())
            .map(|(object, _)| object))
    }

    fn head(&self, id: &PackId, frames: u32) -> Result<Option<Vec<u8>>, BackupError> {
        let length = (PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * frames as usize) as u64;
        let head = lenient(self.retry.call(|| self.depot.read_pack(id, 0..length)))?;
        Ok(head.filter(|head| {
            PackTable::open(id, head).is_ok_and(|table| {
                table.header.domain == self.identity.domain
                    && table.header.repository == self.identity.repository
            })
        }))
    }
}
