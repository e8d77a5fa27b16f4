//! A controller that does not act: a standby that keeps a fresh copy, one that was superseded, a restored copy that nobody has
//! promoted yet.
//!
//! Invariants: it issues nothing, takes no report and judges nothing; it answers how it is and who acts, and refuses all else
//! with where to go. Only a statement that two officers signed ends this, and then the controller begins in the same process.

pub mod copy;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use lumbung_model::{Clock, Timestamp, TlsPin, with_causes};
use lumbung_wire::ControllerClient;
use lumbung_wire::certs::Authority;
use lumbung_wire::messages::overview::{ControllerHealth, ControllerState};
use lumbung_wire::messages::succession::Succession;
use lumbung_wire::server::{RemoteAddr, ServeOptions, read_json, serve_with};
use lumbung_wire::succession::{Chain, Relation, SUCCESSION_MAX_BYTES};
use lumbung_wire::tls::{self, ClientAccess, ServerTls, ServerTrust};
use lumbung_wire::{Peer, Problem};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::act::Act;
use crate::config::Config;
use crate::daemon::{DaemonError, RENEWAL_CHECK, renew_server};
use crate::db::Db;
use crate::state_dir::{StateDir, StateError};
use crate::succession::{self, TakeError};
use copy::CopyError;

/// How often it is looked at whether somebody at this console has promoted it.
const LOOK: Duration = Duration::from_secs(1);

/// Why a standby does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// It acts from now on.
    Promoted,
}

/// What is known, and from when the copy is.
struct View {
    chain: Chain,
    copied: Option<Timestamp>,
}

struct Waiting {
    state: StateDir,
    clock: Arc<dyn Clock>,
    config: Config,
    own: TlsPin,
    authority: Authority,
    view: RwLock<View>,
    verifying: Mutex<()>,
}

/// Waits until it is promoted, or `stop`. With `copies`, a standby fetches the database of the controller that acts.
///
/// # Errors
/// If something that it needs cannot be opened.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    (chain, copies): (Chain, bool),
    stop: CancellationToken,
    ready: impl FnOnce(std::net::SocketAddr, ControllerState),
) -> Result<Ended, DaemonError> {
    let state = StateDir::at(&config.data_dir);
    let authority = state.authority()?;
    let identity = state.server_identity(&authority, &config.names, clock.now())?;
    let access = ClientAccess { anonymous: true, self_signed: false };
    let cas = vec![authority.certificate_pem().to_owned()];
    let tls = tls::server_config(&identity, &cas, access, clock.clone())?;
    let serves = tls.clone();
    let address = config.listen;
    let wrong = |source| DaemonError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(wrong)?;
    let bound = listener.local_addr().map_err(wrong)?;
    let options =
        ServeOptions { max_connections: config.max_connections, ..ServeOptions::default() };
    let own = identity.pin()?;
    let view = RwLock::new(View { chain, copied: state.copied() });
    let verifying = Mutex::default();
    let waiting = Arc::new(Waiting { state, clock, config, own, authority, view, verifying });
    let standing = waiting.standing();
    tracing::warn!(%bound, state = %standing, "not acting: {}", waiting.words());
    ready(bound, standing);
    let over = stop.child_token();
    let copying = async {
        if copies {
            waiting.keep_copying(&over).await
        }
    };
    let serving =
        serve_with(listener, tls, router(waiting.clone()), options, over.clone().cancelled_owned());
    let watching = async {
        waiting.until_promoted(&over).await;
        over.cancel();
    };
    let renewing = over.run_until_cancelled(waiting.keep_renewing(&serves));
    tokio::join!(copying, serving, watching, renewing);
    let promoted = waiting.standing() == ControllerState::Acting && !stop.is_cancelled();
    Ok(if promoted { Ended::Promoted } else { Ended::Stopped })
}

fn router(waiting: Arc<Waiting>) -> Router {
    Router::new()
        .route("/api/v1/health", get(health))
        .route("/api/v1/succession", get(succession).post(tell))
        .fallback(refuse)
        .method_not_allowed_fallback(refuse)
        .with_state(waiting)
}

async fn health(State(waiting): State<Arc<Waiting>>) -> Json<ControllerHealth> {
    let state = waiting.standing();
    let view = waiting.view();
    Json(ControllerHealth {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: waiting.clock.now(),
        alerts: None,
        state: Some(state),
        epoch: Some(view.chain.epoch()),
        copied: view.copied,
    })
}

fn certified(peer: &Peer) -> Result<(), Problem> {
    let needed = || Problem::certificate_needed("use a certificate of this city's CA");
    peer.identity().map(|_| ()).ok_or_else(needed)
}

async fn succession(
    State(waiting): State<Arc<Waiting>>,
    peer: Peer,
) -> Result<Json<Succession>, Problem> {
    certified(&peer)?;
    Ok(Json(waiting.view().chain.to_message()))
}

async fn tell(
    State(waiting): State<Arc<Waiting>>,
    peer: Peer,
    remote: Option<axum::Extension<RemoteAddr>>,
    body: Body,
) -> Result<Json<Succession>, Problem> {
    certified(&peer)?;
    let presented: Succession = read_json(body, SUCCESSION_MAX_BYTES).await?;
    let act = Act::stranger(waiting.clock.now(), remote.map(|remote| remote.0.0.ip()));
    let taking = waiting.clone();
    let taken = tokio::task::spawn_blocking(move || taking.take(&act, &presented));
    let failed = |error: &dyn std::error::Error| {
        tracing::error!("{}", with_causes(error));
        Problem::internal("the statement could not be kept; the log says why")
    };
    match taken.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))? {
        Ok(()) => Ok(Json(waiting.view().chain.to_message())),
        Err(TakeError::Db(error)) => Err(failed(&error)),
        Err(refused) => Err(Problem::conflict(refused.to_string())),
    }
}

async fn refuse(State(waiting): State<Arc<Waiting>>) -> Problem {
    let title = "This controller does not act";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-acting", title, waiting.words())
}

impl Waiting {
    fn view(&self) -> std::sync::RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> ControllerState {
        self.view().chain.standing(&self.own)
    }

    /// What it is and where to go.
    fn words(&self) -> String {
        let view = self.view();
        let acts = format!(
            "{} acts since epoch {}",
            view.chain.newest().controller.url,
            view.chain.epoch()
        );
        match view.chain.standing(&self.own) {
            ControllerState::Acting => "it begins to act: ask again".to_owned(),
            ControllerState::Standby => {
                let copied = view.copied.map_or_else(
                    || "that it was made of".to_owned(),
                    |copied| format!("of {copied}"),
                );
                format!("it is a standby with the copy {copied}; {acts}")
            }
            ControllerState::Superseded => format!(
                "it was superseded and issues nothing any more; {acts}. To keep it as a standby, name it in a new statement"
            ),
            ControllerState::Unnamed => format!(
                "it is a restored copy that no statement names; {acts}. If that one is gone: `lumbung-controller promote`"
            ),
        }
    }

    fn note(&self, chain: Chain) {
        let epoch = chain.epoch();
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        if view.chain.epoch() < epoch {
            view.chain = chain;
            drop(view);
            tracing::warn!(epoch, "a newer statement of who acts: {}", self.words());
        }
    }

    /// Takes what somebody hands in: verified one after the other, before anything is locked. What is older or contradicts
    /// waits for nobody.
    fn take(&self, act: &Act, presented: &Succession) -> Result<Result<(), TakeError>, StateError> {
        let known = self.view().chain.clone();
        let verify = |known: &Chain| {
            succession::verify(Some(known), act, self.authority.fingerprint(), presented)
        };
        let verified = if known.met(presented) == Relation::Newer {
            let _turn = self.verifying.lock().unwrap_or_else(PoisonError::into_inner);
            verify(&self.view().chain.clone())
        } else {
            verify(&known)
        };
        let newer = match verified {
            Ok(Some(newer)) => newer,
            Ok(None) => return Ok(Ok(())),
            Err(refused) => return Ok(Err(refused)),
        };
        let _held = self.state.lock_copy()?;
        let kept =
            (|| Db::open(&self.state.database())?.write(|tx| succession::keep(tx, act, &newer)))();
        Ok(kept.map(|kept| {
            if kept {
                self.note(newer);
            }
        }))
    }

    /// Resolves once the database says that this one acts, or at the end.
    async fn until_promoted(&self, over: &CancellationToken) {
        while self.standing() != ControllerState::Acting {
            tokio::select! {
                () = over.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let state = self.state.clone();
            let look = move || {
                let _held = state.lock_copy()?;
                copy::peek(&state.database())
            };
            match tokio::task::spawn_blocking(look).await {
                Ok(Ok(Some(chain))) => self.note(chain),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => tracing::error!("{}", with_causes(&error)),
            }
        }
    }

    /// A standby may wait for years: what it serves with is renewed like the certificate of a controller that acts.
    async fn keep_renewing(&self, serves: &ServerTls) {
        loop {
            tokio::time::sleep(RENEWAL_CHECK).await;
            if let Err(error) = self.renew(serves) {
                tracing::error!("the certificate could not be renewed: {}", with_causes(&error));
            }
        }
    }

    fn renew(&self, serves: &ServerTls) -> Result<(), StateError> {
        renew_server((&self.state, &self.authority, &self.config.names), serves, &self.clock)
    }

    async fn keep_copying(&self, over: &CancellationToken) {
        let period = Duration::from_secs(u64::from(self.config.standby.interval_s));
        let mut failing = false;
        loop {
            if self.standing() == ControllerState::Standby {
                let Some(copied) = over.run_until_cancelled(self.copy_once()).await else { return };
                match &copied {
                    Ok(()) if failing => tracing::info!("the controller gives copies again"),
                    Ok(()) => {}
                    Err(error) if failing => tracing::debug!("{}", with_causes(error)),
                    Err(error) => {
                        tracing::warn!("no new copy, the last one stays: {}", with_causes(error));
                    }
                }
                failing = copied.is_err();
            }
            tokio::select! {
                () = over.cancelled() => return,
                () = tokio::time::sleep(period) => {}
            }
        }
    }

    async fn copy_once(&self) -> Result<(), CopyError> {
        let seat = self.view().chain.newest().controller.clone();
        let trust = ServerTrust::Pins(vec![seat.pin]);
        let from = self.clock.now();
        // Renewed when it is due: a standby may wait for years.
        let identity = self.state.server_identity(&self.authority, &self.config.names, from)?;
        let tls = tls::client_config(Some(&identity), trust, self.clock.clone())
            .map_err(StateError::from)?;
        let download = ControllerClient::new(&seat.url, &tls)?.copy().await?;
        copy::receive(self.state.path(), download).await?;
        let state = self.state.clone();
        let settled = tokio::task::spawn_blocking(move || copy::settle(&state, from)).await;
        let chain = settled.map_err(|_| crate::db::DbError::Worker)??;
        self.note(chain);
        self.view.write().unwrap_or_else(PoisonError::into_inner).copied = Some(from);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::succession::tests::{next, seat};
    use lumbung_model::FixedClock;
    use lumbung_wire::client::ClientError;
    use lumbung_wire::messages::succession::Seat;

    #[tokio::test]
    async fn what_waits_for_years_serves_with_a_certificate_that_holds() {
        let dir = tempfile::tempdir().unwrap();
        let fixed = Arc::new(FixedClock::new(Timestamp(1_800_000_000)));
        let clock: Arc<dyn Clock> = fixed.clone();
        let config = Config {
            data_dir: dir.path().to_owned(),
            names: vec!["127.0.0.1".to_owned()],
            ..Config::default()
        };
        let state = StateDir::at(dir.path());
        state.init(&config.names, &*clock).unwrap();
        let authority = state.authority().unwrap();
        let cas = vec![authority.certificate_pem().to_owned()];
        let identity = state.server_identity(&authority, &config.names, clock.now()).unwrap();
        let access = ClientAccess { anonymous: true, self_signed: false };
        let serves = tls::server_config(&identity, &cas, access, clock.clone()).unwrap();
        let own = identity.pin().unwrap();
        let standby = Seat { pin: own, ..seat(2) };
        let all = next(&Succession::default(), authority.fingerprint(), (seat(1), standby));
        let view = RwLock::new(View { chain: Chain::open(&all).unwrap(), copied: None });
        let verifying = Mutex::default();
        let waiting =
            Waiting { state, clock: clock.clone(), config, own, authority, view, verifying };
        let waiting = Arc::new(waiting);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (tls, options) = (serves.clone(), ServeOptions::default());
        let end = std::future::pending::<()>();
        tokio::spawn(serve_with(listener, tls, router(waiting.clone()), options, end));
        let ask = async || {
            let trust = ServerTrust::Ca { ca_pems: cas.clone(), name: "127.0.0.1".to_owned() };
            let tls = tls::client_config(None, trust, clock.clone()).unwrap();
            ControllerClient::new(&url, &tls).unwrap().succession().await.unwrap_err()
        };
        // Whoever shows no certificate is refused, over a connection that stands.
        let is_answered = |error: &ClientError| matches!(error, ClientError::Refused { .. });
        let answer = ask().await;
        assert!(is_answered(&answer), "{answer}");
        fixed.set(Timestamp(1_800_000_000 + 400 * 86_400));
        let answer = ask().await;
        assert!(!is_answered(&answer), "it has expired: {answer}");
        waiting.renew(&serves).unwrap();
        let answer = ask().await;
        assert!(is_answered(&answer), "{answer}");
    }
}
