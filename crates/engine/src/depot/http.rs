//! A vault over the network. The client checks ids and receipts' signatures; the engine checks the rest.
//!
//! Called from plain threads: every call waits for the runtime that the caller owns.

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;
use lumbung_model::{AgentId, ManifestId, PackId, RepositoryId, SiteId};
use lumbung_pack::{Kind, PackUse};
use lumbung_wire::client::{ClientError, VaultClient};
use tokio::runtime::Handle;

use super::{Commit, Depot, DepotError};

/// A repository at a vault.
#[derive(Clone)]
pub struct HttpDepot {
    client: VaultClient,
    repository: RepositoryId,
    site: Option<SiteId>,
    runtime: Handle,
}

impl HttpDepot {
    /// A repository at the vault that `client` talks to. The runtime must go on running on other threads than
    /// those that use the depot.
    #[must_use]
    pub const fn new(
        client: VaultClient,
        repository: RepositoryId,
        site: Option<SiteId>,
        runtime: Handle,
    ) -> Self {
        Self { client, repository, site, runtime }
    }

    /// The client, for what is not the engine's business.
    #[must_use]
    pub const fn client(&self) -> &VaultClient {
        &self.client
    }

    fn wait<T>(
        &self,
        kind: Kind,
        id: &[u8; 32],
        what: &str,
        call: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, DepotError> {
        self.runtime.block_on(call).map_err(|error| self.translate(kind, id, what, error))
    }

    fn translate(&self, kind: Kind, id: &[u8; 32], what: &str, error: ClientError) -> DepotError {
        let depot = self.describe();
        if let Some(missing) = error.missing() {
            return DepotError::Incomplete { depot, missing: Box::new(missing.clone()) };
        }
        if error.is_not_found() {
            return DepotError::NotFound { kind, id: *id, depot };
        }
        match error {
            ClientError::Refused { problem, .. } if problem.status == 507 => {
                DepotError::Full { depot }
            }
            ClientError::Refused { ref problem, .. } if !error.is_transient() => {
                DepotError::Refused { depot, reason: problem.to_string() }
            }
            ClientError::Damaged { .. } => {
                DepotError::Damaged { kind, id: *id, depot, source: Some(Box::new(error)) }
            }
            // A key that is not the pinned one is nothing that another try mends, but another site may
            // still take the backup; the message tells what happened here.
            other => {
                let what = format!("{what}: {other}");
                DepotError::Unavailable { depot, what, source: Some(Box::new(other)) }
            }
        }
    }
}

const NO_ID: [u8; 32] = [0; 32];

impl Depot for HttpDepot {
    fn describe(&self) -> String {
        self.client.server().to_owned()
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        let call = self.client.list(&self.repository, kind);
        match self.wait(kind, &NO_ID, "listing objects", call) {
            // A vault that has nothing of this repository yet.
            Err(DepotError::NotFound { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        let call = self.client.get(&self.repository, kind, id);
        self.wait(kind, id, "reading an object", call).map(Vec::from)
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        let call = self.client.put(&self.repository, kind, id, Bytes::copy_from_slice(bytes));
        self.wait(kind, id, "sending an object", call).map(|_| ())
    }

    fn put_pack(&self, id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError> {
        let all = std::iter::once(head).chain(pieces).cloned().collect();
        let call = self.client.put_pack(&self.repository, id, all);
        self.wait(Kind::Pack, id.as_bytes(), "sending a pack", call).map(|_| ())
    }

    fn read_pack(&self, id: &PackId, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        let call = self.client.read_pack(&self.repository, id, range);
        self.wait(Kind::Pack, id.as_bytes(), "reading a pack", call).map(Vec::from)
    }

    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        match self.wait(
            Kind::Pack,
            &NO_ID,
            "asking for frames",
            self.client.have(&self.repository, packs),
        ) {
            // A vault that has nothing of this repository yet.
            Err(DepotError::NotFound { .. }) => Ok(packs.to_vec()),
            other => other,
        }
    }

    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError> {
        let call = self.client.commit(&self.repository, id, Bytes::copy_from_slice(manifest));
        let answer = self.wait(Kind::Manifest, id.as_bytes(), "publishing a snapshot", call)?;
        Ok(Commit { receipt: Some(answer.bytes.to_vec()) })
    }

    fn manifests(&self, agent: Option<&AgentId>) -> Result<Vec<ManifestId>, DepotError> {
        let call = self.client.all_manifests(&self.repository);
        let all = match self.wait(Kind::Manifest, &NO_ID, "listing snapshots", call) {
            Err(DepotError::NotFound { .. }) => return Ok(Vec::new()),
            other => other?,
        };
        let wanted = all.iter().filter(|summary| agent.is_none_or(|agent| summary.agent == *agent));
        Ok(wanted.map(|summary| summary.manifest).collect())
    }

    fn site(&self) -> Option<SiteId> {
        self.site
    }
}
