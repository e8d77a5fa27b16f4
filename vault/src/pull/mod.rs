//! Pull replication: what the sources have and this site has not.
//!
//! Invariants: everything that a source sends is hostile until checked: it comes in through the same doors
//! as what agents send, and this site's own receipt is given by the same commit check. A repository that is
//! new here is taken only if its owner lists the source in the newest roster, or this site admitted it. What is wrong
//! raises an alarm and is left out; the rest goes on. Nothing is ever taken away because a source lacks it.

mod limit;
mod repository;
mod source;

use std::sync::Arc;

use lumbung_model::RepositoryId;
use lumbung_wire::ClientError;
use tokio_util::sync::CancellationToken;

use crate::{Vault, VaultError};

pub(crate) use limit::Limiter;
pub(crate) use repository::{known_receipt, lacking};
pub use source::{Source, Sources};

/// Why a pull stopped.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The source did not answer as wished.
    #[error("the source did not answer as wished")]
    Source(#[from] ClientError),
    /// This site did not take it.
    #[error("what the source sent was not taken")]
    Vault(#[from] VaultError),
    /// The source is not who the configuration says.
    #[error(
        "the source calls itself site {found}; the configuration names {expected}: correct `[[source]]`"
    )]
    OtherSite {
        /// The configured site.
        expected: lumbung_model::SiteId,
        /// What it says.
        found: lumbung_model::SiteId,
    },
    /// A repository that is not here, whose owner does not name the source.
    #[error(
        "repository {0} is not pulled: its newest roster does not list this source among its sites; have its custodian add the site, or run `lumbung-vault admit {0}` at this vault"
    )]
    NotListed(RepositoryId),
    /// The source sent more of something than there can be.
    #[error("the source lists {0}")]
    Excess(String),
}

impl PullError {
    /// Whether to give up on the whole pull: more of the same would fail as well.
    fn ends_pull(&self) -> bool {
        match self {
            Self::Source(error) => {
                error.is_transient()
                    || !matches!(error, ClientError::Refused { .. } | ClientError::Damaged { .. })
            }
            Self::Vault(VaultError::Quota { .. }) => false,
            Self::Vault(error) => error.is_of_the_site(),
            Self::OtherSite { .. } => true,
            Self::NotListed(_) | Self::Excess(_) => false,
        }
    }

    /// Whether it shows that the source is damaged or hostile, and not merely out of reach.
    fn is_suspicious(&self) -> bool {
        match self {
            Self::Source(error) => matches!(
                error,
                ClientError::Damaged { .. }
                    | ClientError::Protocol { .. }
                    | ClientError::Pin { .. }
            ),
            Self::Vault(error) => !error.is_of_the_site() && !matches!(error, VaultError::Index(_)),
            Self::OtherSite { .. } | Self::NotListed(_) | Self::Excess(_) => true,
        }
    }
}

/// What a pull brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pulled {
    /// Snapshots that are new here.
    pub snapshots: u64,
    /// Packs that are new here.
    pub packs: u64,
    /// Things that were left out; the log and the alarms say why.
    pub failures: u64,
}

impl Pulled {
    fn add(&mut self, other: Self) {
        self.snapshots += other.snapshots;
        self.packs += other.packs;
        self.failures += other.failures;
    }
}

/// Pulls from every source, one after the other.
pub async fn pull_all(vault: &Arc<Vault>, sources: &Sources, stop: &CancellationToken) -> Pulled {
    let mut pulled = Pulled::default();
    for source in sources.all() {
        if stop.is_cancelled() {
            break;
        }
        let begun = vault.now();
        match pull_source(vault, &source, sources.limiter(), stop).await {
            Ok(one) => {
                pulled.add(one);
                if one.failures == 0 && !stop.is_cancelled() {
                    vault.counts.pull_complete(source.site, begun);
                }
            }
            Err(error) => {
                pulled.failures += 1;
                note(vault, &source, None, &error);
            }
        }
    }
    pulled
}

async fn pull_source(
    vault: &Arc<Vault>,
    source: &Source,
    limiter: &Limiter,
    stop: &CancellationToken,
) -> Result<Pulled, PullError> {
    let info = source.client.site_info().await?;
    if info.site != source.site {
        return Err(PullError::OtherSite { expected: source.site, found: info.site });
    }
    let mut pulled = Pulled::default();
    for id in source.client.repositories().await? {
        if stop.is_cancelled() {
            break;
        }
        let mut pull = repository::RepositoryPull {
            vault,
            source,
            limiter,
            stop,
            id,
            pulled: Pulled::default(),
        };
        let result = pull.run().await;
        pulled.add(pull.pulled);
        if let Err(error) = result {
            pulled.failures += 1;
            // What is not here is no place for alarms of its own: a source can invent any number of them.
            let here = vault.repository(&id).is_ok().then_some(&id);
            note(vault, source, here, &error);
            if error.ends_pull() {
                break;
            }
        }
    }
    if pulled != Pulled::default() {
        tracing::info!(source = %source.site, snapshots = pulled.snapshots, packs = pulled.packs, failures = pulled.failures, "pulled");
    }
    Ok(pulled)
}

/// Tells of a failure: an alarm if a person should look at it, else a line in the log.
fn note(vault: &Vault, source: &Source, repository: Option<&RepositoryId>, error: &PullError) {
    let text = lumbung_model::with_causes(error);
    if error.is_suspicious() {
        vault.alarm(repository, "source", format!("site {}: {text}", source.site));
    } else {
        tracing::warn!(source = %source.site, repository = ?repository, "{text}");
    }
}

/// Runs blocking work of a pull.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, PullError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| VaultError::Stopping)??)
}
