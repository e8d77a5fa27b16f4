//! A directory that takes what another depot took before: history, sealed to the recipients of its time.
//!
//! The same commit check as a vault's stands before every manifest. Unlike [`LocalDepot`] it remembers what it has
//! checked, so that a thousand snapshots cost what they add; and it lets packs be elsewhere where the caller says so.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lumbung_model::{
    AgentId, DatasetId, ManifestId, PackId, PublicKey, SegmentId, SessionId, UsageId, with_causes,
};
use lumbung_pack::{
    Holdings, Kind, Manifest, Missing, PackFacts, PackUse, Provenance, Refusal, RosterChain,
    Session, SessionFacts, check_manifest, check_session, open_signed,
};
use lumbung_store::RepositoryDir;

use crate::depot::{Commit, Depot, DepotError, LocalDepot};

/// A directory to copy into.
pub struct Copies {
    depot: LocalDepot,
    chain: RosterChain,
    /// Packs that other media hold.
    elsewhere: HashSet<PackId>,
    sessions: Mutex<HashMap<SessionId, SessionFacts>>,
    packs: Mutex<HashMap<PackId, PackFacts>>,
    verified: Mutex<HashMap<SegmentId, Vec<SessionId>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Copies {
    /// Copies into `directory`; `chain` is of the same repository. Snapshots may rest on packs in `elsewhere`.
    #[must_use]
    pub fn new(directory: RepositoryDir, chain: RosterChain, elsewhere: HashSet<PackId>) -> Self {
        Self {
            depot: LocalDepot::new(directory),
            chain,
            elsewhere,
            sessions: Mutex::default(),
            packs: Mutex::default(),
            verified: Mutex::default(),
        }
    }

    fn refused(&self, reason: &dyn std::error::Error) -> DepotError {
        DepotError::Refused { depot: self.describe(), reason: with_causes(reason) }
    }

    fn lies_elsewhere(&self, missing: &Missing) -> bool {
        missing.sessions.is_empty()
            && !missing.usage
            && missing.segments.is_empty()
            && missing.packs.iter().all(|pack| self.elsewhere.contains(&pack.pack))
    }

    fn check(&self, bytes: &[u8]) -> Result<(), DepotError> {
        let manifest = open_signed::<Manifest>(bytes).map_err(|e| self.refused(&e))?;
        let held = Held { copies: self, signer: manifest.signer };
        match check_manifest(&held, &manifest, Provenance::Pulled) {
            Ok(admission) => {
                lock(&self.verified).extend(admission.newly_verified);
                Ok(())
            }
            Err(Refusal::Incomplete(missing)) if self.lies_elsewhere(&missing) => Ok(()),
            Err(Refusal::Incomplete(missing)) => {
                Err(DepotError::Incomplete { depot: self.describe(), missing: Box::new(missing) })
            }
            Err(Refusal::Holdings(error)) => Err(error),
            Err(other) => Err(self.refused(&other)),
        }
    }
}

struct Held<'a> {
    copies: &'a Copies,
    /// Who signed the manifest: an agent that no roster lists is known by nothing else.
    signer: PublicKey,
}

impl Held<'_> {
    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, DepotError> {
        match self.copies.depot.get(kind, id) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(DepotError::NotFound { .. } | DepotError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Holdings for Held<'_> {
    type Error = DepotError;

    fn chain(&self) -> &RosterChain {
        &self.copies.chain
    }

    fn session(&self, id: &SessionId) -> Result<Option<SessionFacts>, DepotError> {
        if let Some(known) = lock(&self.copies.sessions).get(id) {
            return Ok(Some(known.clone()));
        }
        let bytes = self.object(Kind::Session, id.as_bytes())?;
        let facts = bytes
            .and_then(|bytes| open_signed::<Session>(&bytes).ok())
            .map(|session| SessionFacts::from(&session.body));
        if let Some(facts) = &facts {
            lock(&self.copies.sessions).insert(*id, facts.clone());
        }
        Ok(facts)
    }

    fn usage(&self, id: &UsageId) -> Result<Option<Vec<u8>>, DepotError> {
        self.object(Kind::Usage, id.as_bytes())
    }

    fn segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, DepotError> {
        self.object(Kind::Segment, id.as_bytes())
    }

    fn verified_segment(&self, id: &SegmentId) -> Result<Option<Vec<SessionId>>, DepotError> {
        Ok(lock(&self.copies.verified).get(id).cloned())
    }

    fn pack(&self, id: &PackId) -> Result<Option<PackFacts>, DepotError> {
        if let Some(known) = lock(&self.copies.packs).get(id) {
            return Ok(Some(known.clone()));
        }
        let facts = self.copies.depot.pack_facts(id)?;
        if let Some(facts) = &facts {
            lock(&self.copies.packs).insert(*id, facts.clone());
        }
        Ok(facts)
    }

    fn agent_key(&self, _agent: &AgentId) -> Option<PublicKey> {
        Some(self.signer)
    }

    fn manifest_at(
        &self,
        _agent: &AgentId,
        _dataset: &DatasetId,
        _epoch: u32,
        _sequence: u64,
    ) -> Result<Option<ManifestId>, DepotError> {
        Ok(None)
    }

    fn has_manifest(&self, _id: &ManifestId) -> Result<bool, DepotError> {
        Ok(true)
    }
}

impl Depot for Copies {
    fn describe(&self) -> String {
        self.depot.describe()
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        self.depot.list(kind)
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        self.depot.get(kind, id)
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        match kind {
            Kind::Manifest => self.depot.put(kind, id, bytes),
            Kind::Session => {
                let session = open_signed::<Session>(bytes).map_err(|e| self.refused(&e))?;
                let signer = Some(session.signer);
                check_session::<DepotError>(&self.chain, &session, signer, Provenance::Pulled)
                    .map_err(|e| self.refused(&e))?;
                self.depot.put_unchecked(kind, id, bytes)
            }
            _ => self.depot.put_unchecked(kind, id, bytes),
        }
    }

    fn put_pack(&self, id: &PackId, head: &Bytes, frames: &[Bytes]) -> Result<(), DepotError> {
        // Whoever copies has looked: it is not here, or not whole.
        self.depot.replace_pack(id, head, frames)
    }

    fn read_pack(&self, id: &PackId, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        self.depot.read_pack(id, range)
    }

    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        self.depot.have(packs)
    }

    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError> {
        self.check(manifest)?;
        self.depot.put_unchecked(Kind::Manifest, id.as_bytes(), manifest)?;
        Ok(Commit::default())
    }

    fn local_path(&self) -> Option<PathBuf> {
        self.depot.local_path()
    }
}
