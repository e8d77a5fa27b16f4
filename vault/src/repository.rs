//! One repository at this site: its files, its rosters, and the gate that makes commits follow each other.
//!
//! Invariants: `chain` is what the files in `rosters` say; whoever holds the gate is alone in giving
//! receipts, inventories and scrub reports of this repository, so that their numbers have no gap.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lumbung_model::{AgentId, DomainId, RepositoryId};
use lumbung_pack::{Kind, RosterChain};

use crate::index::{Index, SessionRow};
use crate::ledger::Ledger;
use crate::scrub::Turn;
use crate::storage::Storage;
use crate::{Vault, VaultError};

/// What [`Repository::gate`] protects.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// A file was written and the index may not know it: catch up before the next commit.
    pub(crate) behind: bool,
}

impl Gate {
    /// Takes up what was left behind. What cannot be finished for want of space stays behind.
    pub(crate) fn catch_up(
        &mut self,
        vault: &Vault,
        repository: &Repository,
    ) -> Result<(), VaultError> {
        if self.behind {
            self.behind = crate::reconcile::catch_up(vault, repository)?.waiting;
        }
        Ok(())
    }
}

/// A repository that is open.
pub struct Repository {
    pub(crate) id: RepositoryId,
    /// Its row in the index.
    pub(crate) row: i64,
    pub(crate) store: Arc<dyn Storage>,
    pub(crate) turn: Turn,
    chain: RwLock<Arc<RosterChain>>,
    gate: Mutex<Gate>,
    ledger: Mutex<Ledger>,
}

impl Repository {
    pub(crate) fn new(row: i64, store: Arc<dyn Storage>, chain: RosterChain) -> Self {
        Self {
            id: chain.repository(),
            row,
            store,
            turn: Turn::default(),
            chain: RwLock::new(Arc::new(chain)),
            gate: Mutex::default(),
            ledger: Mutex::default(),
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
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what the index knows.
    pub(crate) fn count(&self, index: &Index) -> Result<(), VaultError> {
        let counted = index.read(|c| crate::index::count(c, self.row))?;
        let mut ledger = Ledger::default();
        for (domain, packs, bytes) in counted {
            ledger.load(&domain, packs, bytes);
        }
        *self.ledger() = ledger;
        Ok(())
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
