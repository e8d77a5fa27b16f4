//! One repository at this site: its files, its rosters, and the gate that makes commits follow each other.
//!
//! Invariants: `chain` is what the files in `rosters` say; whoever holds the gate is alone in giving
//! receipts, inventories and scrub reports of this repository, so that their numbers have no gap; a pack's file and its
//! row change together, under the pack's lock; nobody gives a receipt, inventory or report before the index was compared with the files since the vault was opened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use lumbung_model::{AgentId, DomainId, PackId, RepositoryId};
use lumbung_pack::{Kind, RosterChain};
use lumbung_store::FolderStamp;

use crate::grants::Scopes;
use crate::index::{Index, SessionRow};
use crate::quota::Coming;
use crate::scrub::Turn;
use crate::storage::Storage;
use crate::{Vault, VaultError};

/// What [`Repository::gate`] protects.
#[derive(Debug)]
pub(crate) struct Gate {
    /// The index was not yet compared with the files since the vault was opened.
    pub(crate) unreconciled: bool,
    /// A file was written and the index may not know it: catch up before the next commit.
    pub(crate) behind: bool,
}

impl Gate {
    /// Takes up what was left behind; says how many rows changed. What cannot be finished for want of space
    /// stays behind.
    pub(crate) fn catch_up(
        &mut self,
        vault: &Vault,
        repository: &Repository,
    ) -> Result<usize, VaultError> {
        if !self.unreconciled && !self.behind {
            return Ok(0);
        }
        let caught = if self.unreconciled {
            crate::reconcile::reconcile(vault, repository)?
        } else {
            crate::reconcile::catch_up(vault, repository)?
        };
        *self = Self { unreconciled: false, behind: caught.waiting };
        if caught.changed > 0 {
            repository.touch();
        }
        Ok(caught.changed)
    }
}

/// Locks for the packs of a repository.
const PACK_LOCKS: usize = 64;

/// A repository that is open.
pub struct Repository {
    pub(crate) id: RepositoryId,
    /// Its row in the index.
    pub(crate) row: i64,
    pub(crate) store: Arc<dyn Storage>,
    pub(crate) turn: Turn,
    /// What grantees may read here.
    pub(crate) scopes: Scopes,
    /// Bytes that were admitted and that the index does not count yet.
    pub(crate) coming: Arc<Coming>,
    chain: RwLock<Arc<RosterChain>>,
    gate: Mutex<Gate>,
    packs: [Mutex<()>; PACK_LOCKS],
    /// What the manifests' folder looked like when the newest inventory was found to say all; nothing if something
    /// happened since.
    settled: Mutex<Option<Option<FolderStamp>>>,
}

impl Repository {
    pub(crate) fn new(row: i64, store: Arc<dyn Storage>, chain: RosterChain) -> Self {
        Self {
            id: chain.repository(),
            row,
            store,
            turn: Turn::default(),
            scopes: Scopes::default(),
            coming: Arc::default(),
            chain: RwLock::new(Arc::new(chain)),
            gate: Mutex::new(Gate { unreconciled: true, behind: false }),
            packs: std::array::from_fn(|_| Mutex::default()),
            settled: Mutex::default(),
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> RepositoryId {
        self.id
    }

    /// Where its objects lie.
    #[must_use]
    pub fn store(&self) -> &dyn Storage {
        &*self.store
    }

    /// Its rosters as they are now.
    #[must_use]
    pub fn chain(&self) -> Arc<RosterChain> {
        Arc::clone(&self.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set_chain(&self, chain: RosterChain) {
        *self.chain.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(chain);
        self.touch();
    }

    /// Notes that an inventory may have to say something else than the last one. For who holds the gate: whoever
    /// draws up an inventory does.
    pub(crate) fn touch(&self) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether that may be so, also because somebody took a manifest from the disk.
    pub(crate) fn is_touched(&self) -> Result<bool, VaultError> {
        let settled = *self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(settled.is_none() || settled != Some(self.store.stamp(Kind::Manifest)?))
    }

    /// Notes that the newest inventory says all that there was at this stamp.
    pub(crate) fn settle(&self, stamp: Option<FolderStamp>) {
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = Some(stamp);
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alone in changing this pack's file and what the index says of it. Who needs the gate as well takes it before.
    pub(crate) fn pack_lock(&self, pack: &PackId) -> MutexGuard<'_, ()> {
        self.packs[Self::lock_of(pack)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`Repository::pack_lock`], for who holds the gate and need not do it now: behind a transfer to a distant store
    /// everybody else would wait with it.
    pub(crate) fn try_pack_lock(&self, pack: &PackId) -> Option<MutexGuard<'_, ()>> {
        match self.packs[Self::lock_of(pack)].try_lock() {
            Ok(lock) => Some(lock),
            Err(TryLockError::Poisoned(lock)) => Some(lock.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn lock_of(pack: &PackId) -> usize {
        let [.., last] = pack.as_bytes();
        usize::from(*last) % PACK_LOCKS
    }

    /// Whether what `agent` sends may be of `domain`: the roster's word, or, for an agent that no roster
    /// lists, the domain of its first session, which must be nobody else's.
    pub(crate) fn check_domain(
        &self,
        index: &Index,
        agent: &AgentId,
        domain: &DomainId,
        kind: Kind,
    ) -> Result<(), VaultError> {
        let other = || VaultError::OtherDomain { kind, domain: *domain };
        let chain = self.chain();
        if let Some(listed) = chain.agent(agent) {
            return if listed.domain == *domain { Ok(()) } else { Err(other()) };
        }
        if chain.current().body.agents.iter().any(|listed| listed.domain == *domain) {
            return Err(other());
        }
        let (own, first) = index.read(|c| {
            Ok((
                SessionRow::first_of_agent(c, self.row, agent)?,
                SessionRow::first_of_domain(c, self.row, domain)?,
            ))
        })?;
        let right = match (own, first) {
            (Some(own), _) => own.domain == *domain,
            (None, Some(first)) => first.agent == *agent,
            // A domain that nobody used yet: only a session can take it.
            (None, None) => kind == Kind::Session,
        };
        if right { Ok(()) } else { Err(other()) }
    }

    /// The domain whose objects an agent may read, if it has one here.
    pub(crate) fn domain_of(
        &self,
        index: &Index,
        agent: &AgentId,
    ) -> Result<Option<DomainId>, VaultError> {
        if let Some(listed) = self.chain().agent(agent) {
            return Ok(Some(listed.domain));
        }
        let own = index.read(|c| SessionRow::first_of_agent(c, self.row, agent))?;
        Ok(own.map(|session| session.domain))
    }
}
