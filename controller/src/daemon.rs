//! The running controller: API, poller, keeper of heartbeats, renewal of its own certificate.
//!
//! Invariants: it listens only when everything it needs has been opened; SIGTERM and SIGINT let requests
//! under way finish, and then everything that agents said is written; its own certificate is renewed without a restart.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::Clock;
use lumbung_wire::server::{ServeOptions, serve_with};
use lumbung_wire::tls::{self, ClientAccess, ServerTls};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use crate::api::{self, Shared};
use crate::config::Config;
use crate::db::DbError;
use crate::heartbeats;
use crate::poller::Poller;
use crate::state_dir::{StateDir, StateError};

/// How often the age of the own certificate is looked at.
const RENEWAL_CHECK: Duration = Duration::from_secs(6 * 3600);

/// An agent speaks for a moment and is silent until its next heartbeat.
const REST: Duration = Duration::from_millis(250);

/// Why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    State(#[from] StateError),
    /// The agents cannot be read.
    #[error("the agents of the register cannot be read")]
    Db(#[from] DbError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] tls::TlsError),
    /// The port cannot be had.
    #[error("cannot listen on {address}: choose another `listen`, or stop what holds it")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Signals cannot be awaited.
    #[error("signals cannot be awaited")]
    Signals(#[source] std::io::Error),
}

/// Runs until told to stop. `ready` is called once with the address that it listens on.
///
/// # Errors
/// If something that it needs cannot be opened.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<(), DaemonError> {
    let state = StateDir::at(&config.data_dir);
    let db = state.open_db()?;
    heartbeats::load(&db, clock.now())?;
    let authority = state.authority()?;
    let audit_key = state.audit_key()?;
    let identity = state.server_identity(&authority, &config.names, clock.now())?;
    let access = ClientAccess { anonymous: true, self_signed: false };
    let cas = vec![authority.certificate_pem().to_owned()];
    let tls = tls::server_config(&identity, &cas, access, clock.clone())?;
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| DaemonError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| DaemonError::Listen { address, source })?;

    let signal = Arc::new(Notify::new());
    let (stop, stopped) = watch::channel(false);
    let poller = Arc::new(Poller {
        db: db.clone(),
        clock: clock.clone(),
        identity: Arc::new(identity),
        interval_s: config.poll.interval_s,
        signal: signal.clone(),
    });
    let options = ServeOptions {
        max_connections: config.max_connections,
        rest: Some(REST),
        ..ServeOptions::default()
    };
    let (hashing, sites) = (api::Hashing::default(), heartbeats::Sites::default());
    let keeping = tokio::spawn(heartbeats::run(db.clone(), clock.clone(), stopped.clone()));
    let shared =
        Arc::new(Shared { db, clock, authority, config, poll: signal, audit_key, hashing, sites });
    let polling = tokio::spawn(poller.run(stopped.clone()));
    let renewing = tokio::spawn(renew_own(shared.clone(), state, tls.clone(), stopped));
    let ended = shutdown_signal()?;
    ready(bound);
    tracing::info!(%bound, fingerprint = shared.authority.fingerprint(), "listening");
    serve_with(listener, tls, api::router(shared), options, ended).await;
    stop.send_replace(true);
    // They stop at their next await; a poll that is cut off is done again. The keeper writes all that there is.
    let _ = tokio::join!(polling, renewing, keeping);
    Ok(())
}

/// Resolves at SIGTERM or SIGINT.
fn shutdown_signal() -> Result<impl Future<Output = ()>, DaemonError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    })
}

/// Renews the controller's own certificate when it is due.
async fn renew_own(
    app: Arc<Shared>,
    state: StateDir,
    tls: ServerTls,
    mut stop: watch::Receiver<bool>,
) {
    let mut due = tokio::time::interval(RENEWAL_CHECK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stopped| *stopped) => return,
            _ = due.tick() => {}
        }
        if let Err(error) = renew_once(&app, &state, &tls) {
            tracing::error!(%error, "the controller's own certificate could not be renewed");
        }
    }
}

fn renew_once(app: &Shared, state: &StateDir, tls: &ServerTls) -> Result<(), DaemonError> {
    let identity = state.server_identity(&app.authority, &app.config.names, app.clock.now())?;
    let access = ClientAccess { anonymous: true, self_signed: false };
    let cas = vec![app.authority.certificate_pem().to_owned()];
    tls.replace(&tls::server_config(&identity, &cas, access, app.clock.clone())?);
    Ok(())
}
