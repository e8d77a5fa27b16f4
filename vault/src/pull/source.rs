//! The other sites: pulled from, and asked for good copies of what is damaged here.

use std::sync::{Arc, PoisonError, RwLock};

use lumbung_model::rate::RatePlan;
use lumbung_model::{Clock, PackId, RepositoryId, SiteId};
use lumbung_pack::{Kind, PackTable};
use lumbung_wire::tls::{TlsIdentity, client_config};
use lumbung_wire::{ClientError, ServerTrust, VaultClient};
use tokio::runtime::Handle;

use super::Limiter;
use crate::scrub::GoodCopies;
use crate::state::StateError;
use crate::{Config, SourceConfig};

/// One other site.
#[derive(Clone)]
pub struct Source {
    /// Which.
    pub site: SiteId,
    /// How to reach it.
    pub client: VaultClient,
}

/// All other sites of the configuration.
pub struct Sources {
    sources: RwLock<Vec<Source>>,
    limiter: Limiter,
    runtime: Handle,
}

impl Sources {
    /// The sources of the configuration, reached with this site's certificate. Called within the runtime.
    ///
    /// # Errors
    /// If TLS cannot be set up or an address is none.
    pub fn connect(
        config: &Config,
        identity: &TlsIdentity,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StateError> {
        let sources = RwLock::new(clients(config, identity, clock)?);
        let plan = config.rate_plan().unwrap_or_else(RatePlan::unlimited);
        Ok(Self {
            sources,
            limiter: Limiter::new(plan, Arc::clone(clock)),
            runtime: Handle::current(),
        })
    }

    /// Shows them a new certificate from the next connection on.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn reconnect(
        &self,
        config: &Config,
        identity: &TlsIdentity,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), StateError> {
        let newer = clients(config, identity, clock)?;
        *self.sources.write().unwrap_or_else(PoisonError::into_inner) = newer;
        Ok(())
    }

    /// Each of them.
    #[must_use]
    pub fn all(&self) -> Vec<Source> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) const fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// The first source that gives what is asked. Blocks: only for blocking threads.
    fn first<T, F: Future<Output = Result<T, ClientError>>>(
        &self,
        ask: impl Fn(VaultClient) -> F,
    ) -> Option<T> {
        for source in self.all() {
            match self.runtime.block_on(ask(source.client.clone())) {
                Ok(found) => return Some(found),
                Err(error) => {
                    tracing::warn!(source = %source.site, "no good copy there: {}", lumbung_model::with_causes(&error))
                }
            }
        }
        None
    }
}

fn clients(
    config: &Config,
    identity: &TlsIdentity,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Source>, StateError> {
    let connect = |source: &SourceConfig| {
        let tls =
            client_config(Some(identity), ServerTrust::Pins(vec![source.pin]), Arc::clone(clock))?;
        Ok(Source { site: source.site, client: VaultClient::new(&source.url, &tls)? })
    };
    config.sources.iter().map(connect).collect()
}

impl GoodCopies for Sources {
    fn object(&self, repository: &RepositoryId, kind: Kind, id: &[u8; 32]) -> Option<Vec<u8>> {
        self.first(|client| async move { Ok(client.get(repository, kind, id).await?.to_vec()) })
    }

    fn head(&self, repository: &RepositoryId, pack: &PackId) -> Option<PackTable> {
        self.first(|client| async move { client.pack_head(repository, pack).await })
    }

    fn frame(
        &self,
        repository: &RepositoryId,
        pack: &PackId,
        table: &PackTable,
        frame: usize,
    ) -> Option<Vec<u8>> {
        self.first(|client| async move {
            let frames = client.read_frames(repository, pack, table, frame..frame + 1).await?;
            Ok(frames.concat())
        })
    }
}
