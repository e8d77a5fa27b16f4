//! A controller for tests: takes every agent that comes with the token `right`, remembers nothing,
//! and tells the test what it was told.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use lumbung_model::{Clock, InstanceId, SystemClock, Timestamp, TlsPin};
use lumbung_wire::certs::{Authority, IssueRequest};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::host::InventoryAck;
use lumbung_wire::messages::succession::Succession;
use lumbung_wire::messages::{
    EnrollRequest, EnrollResponse, HeartbeatResponse, RenewRequest, RenewResponse, ReportId,
    ReportsAck,
};
use lumbung_wire::tls::{ClientAccess, TlsIdentity, server_config};
use lumbung_wire::{Peer, Problem, Role, server};
use serde_json::Value;

/// Longer than any machine needs; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the agent did.
#[derive(Debug)]
pub(crate) enum Event {
    Heartbeat(Value),
    Reports(Vec<String>),
    Inventory(Value),
    Renewed,
    /// It asked who acts, and was answered that.
    AskedWhoActs(Succession),
    /// It told who acts.
    ToldWhoActs(Succession),
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FakeOptions {
    /// The certificates of enrolment were made so long ago.
    pub(crate) issued_days_ago: i64,
    /// Its clock is ahead by so much.
    pub(crate) clock_ahead_s: i64,
    /// Takes one report at a time.
    pub(crate) refuse_together: bool,
    /// Is started anew between two heartbeats, unnoticed.
    pub(crate) restarts: bool,
    /// Is of a version that knows nothing of hosts.
    pub(crate) is_old: bool,
}

struct AheadClock(i64);

impl Clock for AheadClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_seconds(self.0)
    }
}

struct Shared {
    authority: Authority,
    options: FakeOptions,
    events: Mutex<Sender<Event>>,
    /// What it says of who acts.
    succession: Arc<Mutex<Succession>>,
}

impl Shared {
    fn tell(&self, event: Event) {
        // The test may be over.
        let _ = self.events.lock().unwrap().send(event);
    }

    fn issue(&self, csr_pem: &str, names: CertificateNames, now: Timestamp) -> String {
        let wanted =
            IssueRequest { common_name: "agent".to_owned(), names, hosts: Vec::new(), now };
        self.authority.issue(csr_pem, &wanted).unwrap().certificate_pem
    }
}

pub(crate) struct Fake {
    pub(crate) fingerprint: String,
    /// Of its TLS key.
    pub(crate) pin: TlsPin,
    succession: Arc<Mutex<Succession>>,
    port: u16,
    events: Receiver<Event>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(options: FakeOptions) -> Self {
        let made = SystemClock.now().plus_seconds(-400 * 86_400);
        let (authority, _) = Authority::generate("Lumbung test CA", made).unwrap();
        let fingerprint = authority.fingerprint().to_owned();
        let ca_pem = authority.certificate_pem().to_owned();
        let names = CertificateNames::of_role(Role::Controller);
        let hosts = vec!["127.0.0.1".to_owned()];
        let wanted = IssueRequest {
            common_name: "controller".to_owned(),
            names,
            hosts,
            now: SystemClock.now(),
        };
        let (own, key) = authority.issue_with_key(&wanted).unwrap();
        // The CA is sent along: an agent that enrols knows nothing but its fingerprint.
        let chain = format!("{}\n{ca_pem}", own.certificate_pem);
        let identity = TlsIdentity::from_pem(&chain, &key).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(AheadClock(options.clock_ahead_s));
        let access = ClientAccess { anonymous: true, self_signed: false };
        let tls = server_config(&identity, &[ca_pem], access, clock).unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, events) = channel();
        let pin = identity.pin().unwrap();
        let succession = Arc::new(Mutex::new(Succession::default()));
        let (events_of, said) = (Mutex::new(sender), succession.clone());
        let shared = Arc::new(Shared { authority, options, events: events_of, succession: said });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let limits = server::ServeOptions { drain: Duration::ZERO, ..Default::default() };
                let until = async { drop(stopped.await) };
                server::serve_with(listener, tls, router(shared), limits, until).await;
            });
        });
        let (stop, thread) = (Some(stop), Some(thread));
        Self { fingerprint, pin, succession, port, events, stop, thread }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// From now on it says this of who acts.
    pub(crate) fn says(&self, succession: &Succession) {
        self.succession.lock().unwrap().clone_from(succession);
    }

    /// The next event that `pick` takes.
    pub(crate) fn wait<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            let event = self.events.recv_timeout(PATIENCE).expect("the agent did nothing more");
            if let Some(found) = pick(&event) {
                return found;
            }
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/api/v1/enroll", post(enroll))
        .route("/api/v1/renew", post(renew))
        .route("/api/v1/heartbeat", post(heartbeat))
        .route("/api/v1/reports", post(reports))
        .route("/api/v1/inventory", post(inventory))
        .route("/api/v1/succession", get(who_acts).post(told_who_acts))
        .with_state(shared)
}

async fn enroll(State(shared): State<Arc<Shared>>, Json(request): Json<EnrollRequest>) -> Response {
    if request.token != "right" {
        return Problem::forbidden(
            "the token has expired: make a new one with `lumbung server token`",
        )
        .into_response();
    }
    let names = CertificateNames::agent(
        request.repository.unwrap(),
        request.agent.unwrap(),
        request.agent_key.unwrap(),
        None,
    );
    let now = SystemClock.now().plus_seconds(-shared.options.issued_days_ago * 86_400);
    Json(EnrollResponse {
        certificate_pem: shared.issue(&request.csr_pem, names, now),
        ca_pems: vec![shared.authority.certificate_pem().to_owned()],
        server: None,
        site: None,
        sites: Vec::new(),
        datasets: Vec::new(),
        policy_key: None,
    })
    .into_response()
}

async fn renew(
    State(shared): State<Arc<Shared>>,
    peer: Peer,
    Json(request): Json<RenewRequest>,
) -> Response {
    let Peer::Certified(who) = peer else {
        return Problem::certificate_needed("none").into_response();
    };
    let names = CertificateNames::agent(
        who.repository.unwrap(),
        who.agent.unwrap(),
        who.agent_key.unwrap(),
        who.server,
    );
    let certificate_pem = shared.issue(&request.csr_pem, names, SystemClock.now());
    shared.tell(Event::Renewed);
    Json(RenewResponse {
        certificate_pem,
        ca_pems: vec![shared.authority.certificate_pem().to_owned()],
    })
    .into_response()
}

async fn heartbeat(
    State(shared): State<Arc<Shared>>,
    peer: Peer,
    Json(beat): Json<Value>,
) -> Response {
    if !matches!(peer, Peer::Certified(_)) {
        return Problem::certificate_needed("none").into_response();
    }
    shared.tell(Event::Heartbeat(beat));
    let now = SystemClock.now().plus_seconds(shared.options.clock_ahead_s);
    let instance = match shared.options.restarts {
        true => InstanceId::random(),
        false => InstanceId::from_bytes([1; 16]),
    };
    Json(HeartbeatResponse {
        now,
        sites: Vec::new(),
        instance: Some(instance),
        policy: None,
        epoch: None,
    })
    .into_response()
}

async fn who_acts(State(shared): State<Arc<Shared>>) -> Json<Succession> {
    let said = shared.succession.lock().unwrap().clone();
    shared.tell(Event::AskedWhoActs(said.clone()));
    Json(said)
}

async fn told_who_acts(
    State(shared): State<Arc<Shared>>,
    Json(told): Json<Succession>,
) -> Json<Succession> {
    shared.tell(Event::ToldWhoActs(told));
    Json(shared.succession.lock().unwrap().clone())
}

async fn inventory(State(shared): State<Arc<Shared>>, Json(seen): Json<Value>) -> Response {
    shared.tell(Event::Inventory(seen));
    if shared.options.is_old {
        return Problem::not_found("there is nothing at this path").into_response();
    }
    Json(InventoryAck { received: SystemClock.now() }).into_response()
}

async fn reports(State(shared): State<Arc<Shared>>, Json(all): Json<Vec<Value>>) -> Response {
    if shared.options.refuse_together && all.len() > 1 {
        return Problem::bad_request("one at a time").into_response();
    }
    let ids: Vec<String> = all.iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect();
    let acknowledged: Vec<ReportId> = ids.iter().map(|id| id.parse().unwrap()).collect();
    shared.tell(Event::Reports(ids));
    Json(ReportsAck { acknowledged }).into_response()
}
