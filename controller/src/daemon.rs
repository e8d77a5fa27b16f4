//! The running controller: API, poller, keeper of heartbeats, policies, what is owed by date, capacity, renewal of its own
//! certificate.
//!
//! Invariants: it listens only when everything it needs has been opened; SIGTERM and SIGINT let requests
//! under way finish, and then everything that agents said is written; its own certificate is renewed without a restart.

use std::sync::Arc;
use std::time::Duration;

use lumbung_model::{Clock, InstanceId, Timestamp};
use lumbung_probe::SteadyClock;
use lumbung_wire::certs::Authority;
use lumbung_wire::messages::overview::ControllerState;
use lumbung_wire::metrics::{Endpoint, MetricsError};
use lumbung_wire::server::{ServeOptions, serve_with};
use lumbung_wire::succession::Chain;
use lumbung_wire::tls::{self, ClientAccess, ServerTls};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::act::Act;
use crate::alerts::channel::{ChannelError, Channels, Web};
use crate::alerts::outbox::Outbox;
use crate::alerts::pulse::Pulse;
use crate::alerts::{self, AtWork, Settings};
use crate::anomalies;
use crate::api::{self, Shared};
use crate::capacity;
use crate::caps;
use crate::config::Config;
use crate::db::{Db, DbError};
use crate::deadlines::keeper::Keeper;
use crate::heartbeats;
use crate::keys;
use crate::metrics::{self, Counts, Source};
use crate::policies;
use crate::poller::Poller;
use crate::profile::{Profile, ProfileError};
use crate::reconcile::{self, Reconciler};
use crate::refusals::Refusals;
use crate::register::{self, RegisterError};
use crate::state_dir::{StateDir, StateError};
use crate::succession::Post;
use crate::succession::lookout::Lookout;
use crate::turns::Turns;
use crate::uptime;

/// How often the age of the own certificate is looked at.
pub(crate) const RENEWAL_CHECK: Duration = Duration::from_secs(6 * 3600);

/// An agent speaks for a moment and is silent until its next heartbeat.
const REST: Duration = Duration::from_millis(250);

/// Why the controller does not run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    State(#[from] StateError),
    /// The city's profile cannot be used.
    #[error("the city's profile cannot be used")]
    Profile(#[from] ProfileError),
    /// The register cannot take the profile over.
    #[error("the register cannot take the profile over")]
    Register(#[from] RegisterError),
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
    /// Metrics cannot be shown.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A channel of alerts cannot be set up.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// TLS of the sign of life cannot be set up.
    #[error("TLS of [alerts.pulse] cannot be set up: {0}")]
    Web(String),
    /// Signals cannot be awaited.
    #[error("signals cannot be awaited")]
    Signals(#[source] std::io::Error),
}

/// Why the daemon does not run any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was told to stop.
    Stopped,
    /// Another controller acts, by these statements of two officers.
    Superseded(Option<Chain>),
}

/// Runs until told to stop, or until another controller acts. `ready` is called once with the address that it listens on.
///
/// # Errors
/// If something that it needs cannot be opened.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    ready: impl FnOnce(std::net::SocketAddr),
) -> Result<Ended, DaemonError> {
    let profile = Arc::new(Profile::load(&config.profile)?);
    let state = StateDir::at(&config.data_dir);
    let db = state.open_db()?;
    let authority = state.authority()?;
    let identity = Arc::new(state.server_identity(&authority, &config.names, clock.now())?);
    let post = Arc::new(Post::open(&db, identity.pin()?, authority.fingerprint())?);
    let looking = Arc::new(Lookout {
        db: db.clone(),
        clock: clock.clone(),
        identity: identity.clone(),
        post: post.clone(),
        interval_s: config.poll.interval_s,
    });
    // One that comes back after it was superseded learns it before anybody can ask it for anything.
    looking.round().await?;
    if post.standing() != ControllerState::Acting {
        return Ok(Ended::Superseded(post.chain().or(post.displaced())));
    }
    take_over(&db, &profile, clock.now())?;
    heartbeats::load(&db, clock.now())?;
    let offers = policies::Offers::default();
    offers.load(&db)?;
    let (audit_key, policy_key) = (state.audit_key()?, state.policy_key()?);
    keys::note(&db, &Act::controller(clock.now()), &audit_key, &policy_key)?;
    let access = ClientAccess { anonymous: true, self_signed: false };
    let cas = vec![authority.certificate_pem().to_owned()];
    let tls = tls::server_config(&identity, &cas, access, clock.clone())?;
    let channels = Channels::open(&config.alerts)?;
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| DaemonError::Listen { address, source })?;
    let bound = listener.local_addr().map_err(|source| DaemonError::Listen { address, source })?;

    let endpoint = Endpoint::bind(config.metrics).await?;

    let (signal, publish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stop, stopped) = watch::channel(false);
    let anomalies = Arc::new(Notify::new());
    let holding = Arc::new(anomalies::keeper::Keeper {
        db: db.clone(),
        clock: clock.clone(),
        identity: identity.clone(),
        interval_s: config.poll.interval_s,
        signal: anomalies.clone(),
    });
    let allotting = Arc::new(caps::Keeper {
        db: db.clone(),
        clock: clock.clone(),
        identity: identity.clone(),
        profile: profile.clone(),
        interval_s: config.poll.interval_s,
    });
    let poller = Arc::new(Poller {
        db: db.clone(),
        clock: clock.clone(),
        identity,
        zone: profile.zone(),
        interval_s: config.poll.interval_s,
        signal: signal.clone(),
    });
    let deadlines = Arc::new(Notify::new());
    let keeper = Keeper {
        db: db.clone(),
        clock: clock.clone(),
        profile: profile.clone(),
        signal: deadlines.clone(),
    };
    let uptime = Arc::new(Notify::new());
    let steady: Arc<dyn Clock> = Arc::new(SteadyClock::start(clock.clone()));
    let place =
        uptime::OwnPlace { enabled: config.uptime.enabled, name: config.uptime.site.clone() };
    let watching = Arc::new(uptime::Keeper {
        db: db.clone(),
        clock: steady.clone(),
        own: place.clone(),
        profile: profile.clone(),
        rules: uptime::Rules { zone: profile.zone(), heartbeat_s: config.heartbeat.interval_s },
        signal: uptime.clone(),
    });
    let fullness =
        capacity::Keeper { db: db.clone(), clock: clock.clone(), profile: profile.clone() };
    let options = ServeOptions {
        max_connections: config.max_connections,
        rest: Some(REST),
        ..ServeOptions::default()
    };
    let sites = heartbeats::Sites::default();
    let mut work = JoinSet::new();
    work.spawn(heartbeats::run(db.clone(), clock.clone(), stopped.clone()));
    let telling = Telling::begin(&db, &clock, &profile, (&config.alerts, channels), &stopped)?;
    let (hashing, at_work) = (api::Hashing::default(), api::AtWork::default());
    let counts = Arc::new(Counts::default());
    let figures = Source {
        db: db.clone(),
        clock: clock.clone(),
        profile: profile.clone(),
        patience: config.heartbeat.patience(),
        state: state.clone(),
        counts: counts.clone(),
        lately: metrics::Lately::default(),
    };
    let shared = Arc::new(Shared {
        db,
        clock,
        authority,
        config,
        profile,
        poll: signal,
        anomalies,
        deadlines,
        uptime,
        steady,
        audit_key,
        policy_key,
        policies: publish.clone(),
        hashing,
        at_work,
        sites,
        offers,
        instance: InstanceId::random(),
        refusals: Refusals::default(),
        alerts: telling.at_work.clone(),
        post: post.clone(),
    });
    let reconciler =
        Arc::new(Reconciler::new(shared.db.clone(), shared.clock.clone(), shared.profile.clone()));
    let publishing = policies::Reconciler { app: shared.clone(), signal: publish };
    work.spawn(publishing.run(stopped.clone()));
    work.spawn(poller.run(stopped.clone()));
    work.spawn(holding.run(stopped.clone()));
    work.spawn(allotting.run(stopped.clone()));
    work.spawn(reconciler.run(stopped.clone()));
    work.spawn(keeper.run(stopped.clone()));
    work.spawn(watching.run(stopped.clone()));
    let eyes = CancellationToken::new();
    work.spawn(look(shared.clone(), place, eyes.clone()));
    work.spawn(fullness.run(stopped.clone()));
    work.spawn(looking.run(stopped.clone()));
    work.spawn(renew_own(shared.clone(), state, tls.clone(), stopped.clone()));
    work.spawn(show(endpoint, figures, stopped));
    let asked = shutdown_signal()?;
    let lost = post.clone();
    let ended = async move {
        tokio::select! {
            () = asked => {}
            () = lost.lost() => tracing::error!("another controller acts by now: this one stops acting"),
        }
    };
    ready(bound);
    tracing::info!(%bound, fingerprint = shared.authority.fingerprint(), "listening");
    serve_with(listener, tls, metrics::counted(api::router(shared), counts), options, ended).await;
    stop.send_replace(true);
    eyes.cancel();
    // Each stops at its next await; a round that is cut off is done again. What agents said is written first.
    while let Some(ended) = work.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "background work ended abnormally");
        }
    }
    telling.end().await;
    let acts = post.standing() == ControllerState::Acting;
    Ok(if acts { Ended::Stopped } else { Ended::Superseded(post.chain().or(post.displaced())) })
}

/// Alerts at work: who is told, what is sent, and the sign of life.
struct Telling {
    at_work: AtWork,
    tasks: JoinSet<()>,
}

impl Telling {
    fn begin(
        db: &Db,
        clock: &Arc<dyn Clock>,
        profile: &Arc<Profile>,
        (settings, channels): (&Settings, Channels),
        stopped: &watch::Receiver<bool>,
    ) -> Result<Self, DaemonError> {
        let at_work = AtWork::begin(clock.now());
        let AtWork { bell, done } = at_work.clone();
        let mut tasks = JoinSet::new();
        if let Some(settings) = settings.pulse.clone() {
            let (db, clock, done) = (db.clone(), clock.clone(), done.subscribe());
            let web = Web::open().map_err(DaemonError::Web)?;
            tasks.spawn(Pulse { db, clock, done, settings, web }.run(stopped.clone()));
        }
        let keeper = alerts::keeper::Keeper {
            db: db.clone(),
            clock: clock.clone(),
            profile: profile.clone(),
            settings: Arc::new(settings.clone()),
            bell: bell.clone(),
            done,
        };
        tasks.spawn(keeper.run(stopped.clone()));
        let (db, clock, channels) = (db.clone(), clock.clone(), Arc::new(channels));
        tasks.spawn(Outbox { db, clock, channels, bell }.run(stopped.clone()));
        Ok(Self { at_work, tasks })
    }

    /// Waits for what is under way: a message that is cut off is sent again at the next start.
    async fn end(self) {
        self.tasks.join_all().await;
    }
}

/// What the profile's numbers change in the register.
fn take_over(db: &Db, profile: &Profile, now: Timestamp) -> Result<(), RegisterError> {
    let act = Act::controller(now);
    let changed = db.write(|tx| {
        reconcile::take_over(tx, profile)?;
        register::apply_classes(tx, &act, &profile.urgency)
    })?;
    if changed > 0 {
        tracing::warn!(
            changed,
            profile = profile.city.code,
            "datasets have the RPO of their class now"
        );
    }
    Ok(())
}

/// Shows metrics, where the configuration says so.
async fn show(endpoint: Option<Endpoint>, figures: Source, mut stop: watch::Receiver<bool>) {
    let Some(endpoint) = endpoint else { return };
    let program = ("lumbung-controller", env!("CARGO_PKG_VERSION"));
    let clock = figures.clock.clone();
    // The end of the daemon's own channel is an end too.
    let stopped = async move { drop(stop.wait_for(|stopped| *stopped).await) };
    endpoint.serve(program, clock, Box::new(move || figures.gather()), stopped).await;
}

/// Looks at what is to be up, where the configuration says so.
async fn look(app: Arc<Shared>, place: uptime::OwnPlace, stop: CancellationToken) {
    let settings = app.config.uptime.clone();
    if !settings.enabled {
        return;
    }
    let eyes = uptime::OwnEyes {
        db: app.db.clone(),
        clock: app.steady.clone(),
        profile: app.profile.clone(),
        place,
        reach: settings.reach,
        signal: app.uptime.clone(),
    };
    eyes.run(stop).await;
}

/// Resolves at SIGTERM or SIGINT.
pub(crate) fn shutdown_signal() -> Result<impl Future<Output = ()>, DaemonError> {
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
async fn renew_own(app: Arc<Shared>, state: StateDir, tls: ServerTls, stop: watch::Receiver<bool>) {
    let mut turns = Turns::every(RENEWAL_CHECK, stop);
    while turns.next().await {
        let of = (&state, &app.authority, app.config.names.as_slice());
        if let Err(error) = renew_server(of, &tls, &app.clock) {
            tracing::error!(%error, "the controller's own certificate could not be renewed");
        }
    }
}

/// Serves with the own certificate of now: a new one, if that was due.
pub(crate) fn renew_server(
    (state, authority, names): (&StateDir, &Authority, &[String]),
    tls: &ServerTls,
    clock: &Arc<dyn Clock>,
) -> Result<(), StateError> {
    let identity = state.server_identity(authority, names, clock.now())?;
    let access = ClientAccess { anonymous: true, self_signed: false };
    let cas = vec![authority.certificate_pem().to_owned()];
    tls.replace(&tls::server_config(&identity, &cas, access, clock.clone())?);
    Ok(())
}
