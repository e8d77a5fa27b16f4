//! A depot that fails on purpose, for tests: at the nth call, at every nth, or from the nth on; before
//! the call is carried out, or after (the answer is lost).

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use lumbung_model::{AgentId, ManifestId, PackId, SiteId};
use lumbung_pack::{Kind, PackUse};

use super::{Commit, Depot, DepotError};

/// Which calls fail. Calls count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// None: only counts.
    Never,
    /// This one, before it is carried out.
    Before(u64),
    /// This one, after it was carried out: the answer is lost.
    After(u64),
    /// This one and all after it: the depot is gone.
    From(u64),
    /// Every nth.
    Every(u64),
}

/// Wraps a depot and fails where told.
pub struct FaultyDepot {
    inner: Arc<dyn Depot>,
    injection: Injection,
    transient: bool,
    calls: AtomicU64,
    pack_bytes: AtomicU64,
    packs: AtomicU64,
}

impl FaultyDepot {
    /// Wraps `inner`. `transient`: whether the errors say that another try may do better.
    #[must_use]
    pub fn new(inner: Arc<dyn Depot>, injection: Injection, transient: bool) -> Self {
        let zero = || AtomicU64::new(0);
        Self { inner, injection, transient, calls: zero(), pack_bytes: zero(), packs: zero() }
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Bytes of packs that arrived.
    #[must_use]
    pub fn pack_bytes(&self) -> u64 {
        self.pack_bytes.load(Ordering::SeqCst)
    }

    /// Packs that arrived.
    #[must_use]
    pub fn packs(&self) -> u64 {
        self.packs.load(Ordering::SeqCst)
    }

    fn fault(&self, what: &str) -> DepotError {
        let depot = self.describe();
        if self.transient {
            DepotError::Unavailable { depot, what: what.to_owned(), source: None }
        } else {
            DepotError::Refused { depot, reason: format!("injected at {what}") }
        }
    }

    fn call<T>(
        &self,
        what: &str,
        carry_out: impl FnOnce() -> Result<T, DepotError>,
    ) -> Result<T, DepotError> {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (before, after) = match self.injection {
            Injection::Never => (false, false),
            Injection::Before(n) => (number == n, false),
            Injection::After(n) => (false, number == n),
            Injection::From(n) => (number >= n, false),
            Injection::Every(n) => (number.is_multiple_of(n), false),
        };
        if before {
            return Err(self.fault(what));
        }
        let result = carry_out();
        if after { Err(self.fault(what)) } else { result }
    }
}

impl Depot for FaultyDepot {
    fn describe(&self) -> String {
        format!("faulty {}", self.inner.describe())
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        self.call("list", || self.inner.list(kind))
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        self.call("get", || self.inner.get(kind, id))
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        self.call("put", || self.inner.put(kind, id, bytes))
    }

    fn put_pack(&self, id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError> {
        self.call("put_pack", || {
            self.inner.put_pack(id, head, pieces)?;
            let bytes: usize = pieces.iter().map(Bytes::len).sum();
            self.pack_bytes.fetch_add(bytes as u64, Ordering::SeqCst);
            self.packs.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })
    }

    fn read_pack(&self, id: &PackId, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        self.call("read_pack", || self.inner.read_pack(id, range))
    }

    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        self.call("have", || self.inner.have(packs))
    }

    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError> {
        self.call("commit", || self.inner.commit(id, manifest))
    }

    fn manifests(&self, agent: Option<&AgentId>) -> Result<Vec<ManifestId>, DepotError> {
        self.call("manifests", || self.inner.manifests(agent))
    }

    fn site(&self) -> Option<SiteId> {
        self.inner.site()
    }

    fn local_path(&self) -> Option<PathBuf> {
        self.inner.local_path()
    }
}
