//! What this site holds, as agents and the commit check ask for it: the index, and the files where it matters.
//!
//! Invariants: one state of the index answers all of a question; a pack is here only if its file has its length,
//! whatever the index remembers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use lumbung_model::{
    AgentId, DatasetId, DomainId, ManifestId, PackId, PublicKey, SegmentId, SessionId, UsageId,
};
use lumbung_pack::{
    Bitmap, Holdings, Kind, PackFacts, PackUse, RosterChain, Segment, SessionFacts, decode,
};
use lumbung_store::StoreError;

use crate::index::{
    ManifestRow, ObjectRow, PackRow, PackState, SessionRow, Snapshot, bad_frames, is_gone,
    load_state, save_state, verified_segment,
};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// A repository's holdings during one check.
pub(crate) struct Held<'a> {
    pub(crate) index: Snapshot<'a>,
    pub(crate) repository: &'a Repository,
    pub(crate) chain: Arc<RosterChain>,
    /// The key in the certificate that the manifest came with.
    pub(crate) certified: Option<(AgentId, PublicKey)>,
    /// Lengths of the packs of the segments that were read, asked for together; nothing where a pack is not here.
    pub(crate) lengths: RefCell<HashMap<PackId, Option<u64>>>,
}

impl Held<'_> {
    /// An object that may be missing; a damaged one counts as missing, so that it is sent again.
    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, VaultError> {
        let bytes = match self.repository.store.get(kind, id) {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if !self.index.read(|c| ObjectRow::contains(c, self.row(), kind, id))? {
            // Another request is writing it and may not have come to its fsync: a receipt must not rest on that.
            self.repository.store.put(kind, id, &bytes)?;
        }
        Ok(Some(bytes))
    }

    /// Asks for the packs of a segment together, where each costs a request. What cannot be said now is asked for
    /// again, one by one.
    fn look_ahead(&self, segment: &[u8]) {
        let Ok((segment, _)) = decode::<Segment>(segment) else { return };
        let packs: Vec<PackId> = segment.packs.iter().map(|pack| pack.pack).collect();
        let mut lengths = self.lengths.borrow_mut();
        for (pack, length) in packs.iter().zip(self.repository.store.pack_lens(&packs)) {
            match length {
                Ok(length) => lengths.insert(*pack, Some(length)),
                Err(StoreError::NotFound { .. }) => lengths.insert(*pack, None),
                Err(_) => None,
            };
        }
    }

    fn length(&self, id: &PackId) -> Result<Option<u64>, VaultError> {
        if let Some(length) = self.lengths.borrow().get(id) {
            return Ok(*length);
        }
        match self.repository.store.pack_len(id) {
            Ok(length) => Ok(Some(length)),
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn row(&self) -> i64 {
        self.repository.row
    }
}

impl Holdings for Held<'_> {
    type Error = VaultError;

    fn chain(&self) -> &RosterChain {
        &self.chain
    }

    fn session(&self, id: &SessionId) -> Result<Option<SessionFacts>, VaultError> {
        let row = self.index.read(|c| SessionRow::find(c, self.row(), id))?;
        Ok(row.map(|row| SessionFacts {
            domain: row.domain,
            agent: row.agent,
            roster_number: row.roster_number,
            recipients: row.recipients,
        }))
    }

    fn usage(&self, id: &UsageId) -> Result<Option<Vec<u8>>, VaultError> {
        self.object(Kind::Usage, id.as_bytes())
    }

    fn segment(&self, id: &SegmentId) -> Result<Option<Vec<u8>>, VaultError> {
        let segment = self.object(Kind::Segment, id.as_bytes())?;
        segment.iter().for_each(|bytes| self.look_ahead(bytes));
        Ok(segment)
    }

    fn verified_segment(&self, id: &SegmentId) -> Result<Option<Vec<SessionId>>, VaultError> {
        Ok(self.index.read(|c| verified_segment(c, self.row(), id))?)
    }

    fn pack(&self, id: &PackId) -> Result<Option<PackFacts>, VaultError> {
        let found = self.index.read(|c| {
            let Some(row) = PackRow::find(c, self.row(), id)? else { return Ok(None) };
            let mut bad = bad_frames(c, self.row(), id)?;
            // What is merely condemned is still here: a commit brings it back.
            if let Some(state) = load_state(c, self.row(), id)? {
                bad.extend(state.frames.absent.iter_ones());
            }
            Ok(Some((row, bad)))
        })?;
        let Some((row, bad)) = found else { return Ok(None) };
        // The index may remember what somebody took from the disk: one stat a pack that is new here.
        if self.length(id)? != Some(row.bytes) {
            return Ok(None);
        }
        Ok(Some(PackFacts { domain: row.domain, session: row.session, frames: row.frames, bad }))
    }

    fn agent_key(&self, agent: &AgentId) -> Option<PublicKey> {
        if let Some((certified, key)) = self.certified {
            return (certified == *agent).then_some(key);
        }
        // Pulled: the key that opened this agent's first session here.
        let first = self.index.read(|c| SessionRow::first_of_agent(c, self.row(), agent));
        first.ok().flatten().map(|session| session.signer)
    }

    fn manifest_at(
        &self,
        agent: &AgentId,
        dataset: &DatasetId,
        epoch: u32,
        sequence: u64,
    ) -> Result<Option<ManifestId>, VaultError> {
        Ok(self
            .index
            .read(|c| ManifestRow::at(c, self.row(), (agent, dataset), (epoch, sequence)))?)
    }

    fn has_manifest(&self, id: &ManifestId) -> Result<bool, VaultError> {
        // One that was removed here was here, and one that was ordered away is not missing.
        Ok(self.index.read(|c| {
            Ok(ManifestRow::find(c, self.row(), id)?.is_some() || is_gone(c, self.row(), id)?)
        })?)
    }
}

/// The length of a pack that is here. A storage that does not answer says nothing of the pack.
pub(crate) fn length_here(length: Result<u64, StoreError>) -> Result<Option<u64>, VaultError> {
    match length {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.is_of_the_storage() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

impl Vault {
    /// Which of these frames a sender cannot count on: not here, or on their way out; nor, where `domain` is given,
    /// those of packs of another domain (or of any, if the caller has none). What is here is kept for whoever asked.
    ///
    /// # Errors
    /// If the index or the storage does not answer.
    pub fn missing(
        &self,
        repository: &Repository,
        domain: Option<Option<DomainId>>,
        packs: Vec<PackUse>,
    ) -> Result<Vec<PackUse>, VaultError> {
        let index = self.index.snapshot()?;
        let mut absent = Vec::new();
        let ids: Vec<PackId> = packs.iter().map(|asked| asked.pack).collect();
        for (asked, length) in packs.into_iter().zip(repository.store.pack_lens(&ids)) {
            let (row, bad, state) = index.read(|c| {
                Ok((
                    PackRow::find(c, repository.row, &asked.pack)?,
                    bad_frames(c, repository.row, &asked.pack)?,
                    load_state(c, repository.row, &asked.pack)?,
                ))
            })?;
            let here = row.filter(|row| domain.is_none_or(|domain| domain == Some(row.domain)));
            let whole = match &here {
                Some(row) if row.frames == asked.used.bits() => {
                    length_here(length)? == Some(row.bytes)
                }
                _ => false,
            };
            if !whole {
                absent.push(asked);
                continue;
            }
            let mut lost = Bitmap::new(asked.used.bits());
            bad.iter().filter(|frame| asked.used.get(**frame)).for_each(|frame| lost.set(*frame));
            if let Some(state) = state {
                lost = lost.or(&state.frames.refused().and(&asked.used));
                self.touch(repository, &asked, state)?;
            }
            if lost.count_ones() > 0 {
                absent.push(PackUse { pack: asked.pack, used: lost });
            }
        }
        Ok(absent)
    }

    /// Who is told that frames are here counts on them: those that waited to go wait no longer.
    fn touch(
        &self,
        repository: &Repository,
        asked: &PackUse,
        state: PackState,
    ) -> Result<(), VaultError> {
        let mut touched = state.clone();
        touched.frames.touch(&asked.used);
        if touched == state {
            return Ok(());
        }
        // Read again under the gate, where the sweep changes it.
        let _gate = repository.gate();
        self.index.write(|tx| {
            let Some(mut state) = load_state(tx, repository.row, &asked.pack)? else {
                return Ok(());
            };
            state.frames.touch(&asked.used);
            save_state(tx, repository.row, &asked.pack, &state)
        })?;
        Ok(())
    }
}
