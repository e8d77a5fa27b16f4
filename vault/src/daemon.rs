//! The running vault: the server, and the background work beside it.
//!
//! Invariants: background work is idempotent and takes no argument but the state; it wakes at its interval
//! and when something happened; nothing of it ends the server. SIGTERM lets requests under way finish.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::Clock;
use lumbung_wire::metrics::Endpoint;
use lumbung_wire::tls::ServerTls;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::inventory::Occasion;
use crate::pull::{Sources, pull_all};
use crate::scrub::{self, Due, Regulator, Scrubbed, Throttle};
use crate::state::State;
use crate::{Repository, Vault, VaultError, http};

/// The background looks for what is due at least this often.
const ROUND: Duration = Duration::from_secs(60);
/// How often the certificate's age is looked at.
const RENEWAL: Duration = Duration::from_secs(12 * 3600);

/// A vault with everything that runs beside it.
pub struct Daemon {
    vault: Arc<Vault>,
    sources: Arc<Sources>,
    stop: CancellationToken,
    metrics: Option<Endpoint>,
}

impl Daemon {
    /// A daemon over an open vault. `stop` ends it.
    #[must_use]
    pub const fn new(vault: Arc<Vault>, sources: Arc<Sources>, stop: CancellationToken) -> Self {
        Self { vault, sources, stop, metrics: None }
    }

    /// Shows metrics at this address.
    #[must_use]
    pub fn with_metrics(self, metrics: Option<Endpoint>) -> Self {
        Self { metrics, ..self }
    }

    /// Serves and works until it is told to stop.
    pub async fn run(
        self,
        listener: TcpListener,
        tls: ServerTls,
        state: State,
        clock: Arc<dyn Clock>,
    ) {
        let mut work = JoinSet::new();
        let console = crate::console::listen(
            &state,
            Arc::clone(&self.vault),
            Arc::clone(&self.sources),
            self.stop.clone(),
        );
        let address = listener.local_addr().map_or_else(|e| e.to_string(), |at| at.to_string());
        tracing::info!(
            site = %self.vault.site(), address,
            repositories = self.vault.repositories().len(), sources = self.sources.all().len(), "the vault is ready"
        );
        work.spawn(reconciliation(Arc::clone(&self.vault)));
        work.spawn(inventories(Arc::clone(&self.vault), self.stop.clone()));
        work.spawn(scrubs(Arc::clone(&self.vault), Arc::clone(&self.sources), self.stop.clone()));
        work.spawn(retentions(Arc::clone(&self.vault), self.stop.clone()));
        work.spawn(sweeps(Arc::clone(&self.vault), self.stop.clone()));
        work.spawn(pulls(Arc::clone(&self.vault), Arc::clone(&self.sources), self.stop.clone()));
        if let Some(endpoint) = self.metrics {
            work.spawn(metrics(
                endpoint,
                (Arc::clone(&self.vault), state.clone()),
                self.stop.clone(),
            ));
        }
        work.spawn(crate::vantage::run(
            Arc::clone(&self.vault),
            state.clone(),
            Arc::clone(&clock),
            self.stop.clone(),
        ));
        work.spawn(renewals(
            (state, tls.clone(), clock),
            Arc::clone(&self.vault),
            Arc::clone(&self.sources),
            self.stop.clone(),
        ));
        work.spawn(console);
        let (stopping, vault) = (self.stop.clone(), Arc::clone(&self.vault));
        work.spawn(async move {
            stopping.cancelled().await;
            vault.stop();
        });
        let stopped = self.stop.clone().cancelled_owned();
        lumbung_wire::serve(listener, tls, http::router(self.vault), stopped).await;
        self.stop.cancel();
        while let Some(ended) = work.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "background work ended abnormally");
            }
        }
    }
}

/// Waits for the next round: the interval, a call, or the end (`false`).
async fn next_round(interval: Duration, call: &Notify, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        () = call.notified() => true,
        () = tokio::time::sleep(interval) => true,
    }
}

/// Runs blocking background work; a failure is logged and tried again in the next round.
async fn attempt<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Option<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(VaultError::Stopping)) => None,
        Ok(Err(error)) => {
            tracing::error!("{what}: {}", lumbung_model::with_causes(&error));
            None
        }
        Err(error) => {
            tracing::error!(%error, "{what} ended abnormally");
            None
        }
    }
}

/// Compares the index with the files, one repository after the other: what a crash left out of the index, and what
/// somebody took from the disk while the vault was stopped.
async fn reconciliation(vault: Arc<Vault>) {
    let mut whole = true;
    for repository in vault.repositories() {
        let vault = Arc::clone(&vault);
        let work = move || vault.reconcile_repository(&repository);
        whole &= attempt("a repository could not be compared with its files", work).await.is_some();
    }
    if whole {
        tracing::info!("every repository was compared with its files");
    }
}

async fn inventories(vault: Arc<Vault>, stop: CancellationToken) {
    let interval = vault.config.inventory_interval.to_duration().min(ROUND);
    loop {
        for repository in vault.repositories() {
            let vault = Arc::clone(&vault);
            attempt("an inventory could not be signed", move || {
                vault.make_inventory(&repository, Occasion::Round)
            })
            .await;
        }
        let call = &vault.wake.inventory;
        let called = tokio::select! {
            () = stop.cancelled() => return,
            () = call.notified() => true,
            () = tokio::time::sleep(interval) => false,
        };
        // Changes come in bursts: one inventory for all of them.
        let delay = vault.config.inventory_delay.to_duration();
        if called && !delay.is_zero() && !next_round(delay, &Notify::new(), &stop).await {
            return;
        }
    }
}

async fn scrubs(vault: Arc<Vault>, sources: Arc<Sources>, stop: CancellationToken) {
    let interval = vault.config.scrub_interval.to_duration().min(ROUND);
    loop {
        for repository in vault.repositories() {
            if stop.is_cancelled() {
                return;
            }
            let (vault, sources, stop) = (Arc::clone(&vault), Arc::clone(&sources), stop.clone());
            attempt("a scrub could not finish", move || {
                scrub_if_due(&vault, &repository, &sources, &stop)
            })
            .await;
        }
        if !next_round(interval, &Notify::new(), &stop).await {
            return;
        }
    }
}

/// The rolling pass, one repository after the other: spread so that all of them are read within the interval; one
/// that is late is not spread. Blocks.
fn scrub_if_due(
    vault: &Vault,
    repository: &Repository,
    sources: &Sources,
    stop: &CancellationToken,
) -> Result<Option<Scrubbed>, VaultError> {
    let due = vault.scrub_due(repository)?;
    let Some(plan) = vault.config.scrub_plan().filter(|_| due != Due::Later) else {
        return Ok(None);
    };
    let needed = if due == Due::Late {
        None
    } else {
        let interval_s = i64::from(vault.config.scrub_interval.as_seconds());
        scrub::spread(&plan, vault.now(), interval_s, vault.pack_bytes()?)
    };
    let stop = repository.turn.rolling(stop);
    let pace = Throttle::new(Regulator::new(plan, needed), Arc::clone(&vault.clock), stop);
    vault.scrub_rolling(repository, sources, &pace)
}

/// Removes what may go. The first round comes an interval after the start: an operator who has just written a wrong
/// policy can still stop the vault.
async fn retentions(vault: Arc<Vault>, stop: CancellationToken) {
    let interval = vault.config.retention_interval.to_duration();
    while next_round(interval, &Notify::new(), &stop).await {
        for repository in vault.repositories() {
            let vault = Arc::clone(&vault);
            attempt("retention could not finish", move || vault.retain(&repository, false)).await;
        }
    }
}

/// Gives back what nobody uses.
async fn sweeps(vault: Arc<Vault>, stop: CancellationToken) {
    let interval = vault.config.gc_interval.to_duration();
    while next_round(interval, &Notify::new(), &stop).await {
        for repository in vault.repositories() {
            let (vault, stop) = (Arc::clone(&vault), stop.clone());
            attempt("a sweep could not finish", move || sweep(&vault, &repository, &stop)).await;
        }
    }
}

/// One sweep of a repository; what it cannot read is an alarm. Blocks.
fn sweep(
    vault: &Vault,
    repository: &Repository,
    stop: &CancellationToken,
) -> Result<(), VaultError> {
    match vault.sweep(repository, false, &|| !stop.is_cancelled()) {
        Err(error @ VaultError::Unreadable { .. }) => {
            vault.alarm(Some(&repository.id()), "sweep", error.to_string());
            Ok(())
        }
        other => other.map(|_| ()),
    }
}

async fn pulls(vault: Arc<Vault>, sources: Arc<Sources>, stop: CancellationToken) {
    if sources.all().is_empty() {
        return;
    }
    let interval = vault.config.pull_interval.to_duration();
    loop {
        let (own, from, until) = (Arc::clone(&vault), Arc::clone(&sources), stop.clone());
        // A round by itself: whatever a source brings about in it, the next one comes.
        let round = tokio::spawn(async move { pull_all(&own, &from, &until).await });
        if let Err(error) = round.await {
            tracing::error!(%error, "a round of pulling ended abnormally");
        }
        if !next_round(interval, &vault.wake.pull, &stop).await {
            return;
        }
    }
}

/// Shows metrics until the end.
async fn metrics(endpoint: Endpoint, from: (Arc<Vault>, State), stop: CancellationToken) {
    let (vault, state) = from;
    let program = ("lumbung-vault", env!("CARGO_PKG_VERSION"));
    let clock = Arc::clone(&vault.clock);
    let gather = Box::new(move || crate::metrics::gather(&vault, &state));
    endpoint.serve(program, clock, gather, stop.cancelled_owned()).await;
}

/// Renews the certificate of an enrolled site; agents and sources see the new one from the next connection on.
async fn renewals(
    (state, tls, clock): (State, ServerTls, Arc<dyn Clock>),
    vault: Arc<Vault>,
    sources: Arc<Sources>,
    stop: CancellationToken,
) {
    let take = || {
        tls.replace(&state.server_tls(Arc::clone(&clock))?);
        sources.reconnect(&vault.config, &state.tls_identity()?, &clock)
    };
    loop {
        match state.renew(Arc::clone(&clock)).await {
            Ok(false) => {}
            Ok(true) => match take() {
                Ok(()) => tracing::info!("certificate renewed"),
                Err(error) => {
                    tracing::error!(
                        "the renewed certificate cannot be used: {}",
                        lumbung_model::with_causes(&error)
                    )
                }
            },
            Err(error) => tracing::warn!(
                "the certificate is due for renewal: {}",
                lumbung_model::with_causes(&error)
            ),
        }
        if !next_round(RENEWAL, &Notify::new(), &stop).await {
            return;
        }
    }
}
