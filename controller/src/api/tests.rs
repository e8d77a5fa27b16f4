//! The API without sockets: who may call what, and what comes of it.

mod alerts;
mod anomalies;
mod approvals;
mod audit;
mod authorization;
mod capacity;
mod colocation;
mod deposits;
mod documents;
mod drills;
mod enrolment;
mod entered;
mod etags;
mod flows;
mod follow_up;
mod heartbeats_and_crashes;
mod hosts;
mod idempotency;
mod paging;
mod people;
mod policies;
mod retire;
mod succession;
mod tenancy;
mod uptime;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::BodyExt;
use lumbung_model::{AgentId, Clock, PublicKey, RepositoryId, SiteId, Timestamp};
use lumbung_pack::SigningKey;
use lumbung_wire::certs::{self, Authority};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::people::{LoginRequest, UserInput, UserRole};
use lumbung_wire::{Peer, PeerIdentity, Role};
use serde_json::Value;
use tokio::sync::Notify;
use tower::ServiceExt;

use super::{AppState, Shared, router};
use crate::act::Act;
use crate::config::Config;
use crate::db::Db;
use crate::db::people::{self as rows, Account};
use crate::heartbeats;
use crate::people::{PeopleError, access, accounts, code_at, login};
use crate::refusals::Refusals;
use crate::testing::{City, START};

/// What everybody's password is.
const PASSWORD: &str = "padi di lumbung kota";

/// A session as a browser keeps it.
struct Session {
    cookie: String,
    csrf: String,
}

/// A controller with its city.
struct App {
    city: City,
    state: AppState,
}

impl App {
    fn new() -> Self {
        let city = City::new();
        let db = city.db.clone();
        Self::over(city, db)
    }

    fn over(city: City, db: Db) -> Self {
        let (authority, _) = Authority::generate("test CA", START).unwrap();
        let own = lumbung_model::TlsPin::from_bytes([1; 32]);
        let post = crate::succession::Post::open(&db, own, authority.fingerprint()).unwrap();
        let state = Arc::new(Shared {
            db,
            clock: city.clock.clone(),
            authority,
            config: Config::default(),
            profile: Arc::new(crate::testing::profile()),
            poll: Arc::new(Notify::new()),
            anomalies: Arc::new(Notify::new()),
            deadlines: Arc::new(Notify::new()),
            audit_key: SigningKey::generate(),
            policy_key: SigningKey::generate(),
            policies: Arc::new(Notify::new()),
            uptime: Arc::new(Notify::new()),
            steady: city.clock.clone(),
            hashing: super::Hashing::default(),
            at_work: super::AtWork::default(),
            sites: heartbeats::Sites::default(),
            offers: crate::policies::Offers::default(),
            instance: lumbung_model::InstanceId::random(),
            refusals: Refusals::default(),
            alerts: crate::alerts::AtWork::begin(START),
            post: Arc::new(post),
        });
        Self { city, state }
    }

    /// Sends a request as `peer`; bodies and answers are held against the OpenAPI document.
    async fn call(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let bytes = body.as_ref().map(|body| serde_json::to_vec(body).unwrap()).unwrap_or_default();
        let (status, answer) =
            self.send(peer, method.clone(), path, "application/json", bytes).await;
        if status.is_success() {
            documents::check(&method, path, body.as_ref(), &answer);
        }
        (status, answer)
    }

    async fn send(
        &self,
        peer: &Peer,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> (StatusCode, Value) {
        self.answer(request_of(peer, &[("content-type", kind)], method, path, body)).await
    }

    /// Lets time pass, seconds.
    fn wait(&self, seconds: i64) {
        self.city.clock.set(self.city.clock.now().plus_seconds(seconds));
    }

    /// As [`App::send`], with a session's cookie and its CSRF token.
    async fn send_as(
        &self,
        peer: &Peer,
        session: Option<&Session>,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> (StatusCode, Value) {
        let cookie = session.map(|one| format!("theme=dark; __Host-lumbung={}", one.cookie));
        let csrf = session.map(|one| one.csrf.as_str());
        let headers: Vec<_> = [("cookie", cookie.as_deref()), ("x-csrf-token", csrf)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        self.answer(request_of(peer, &headers, method, path, body)).await
    }

    /// As [`App::send`], with an API token.
    async fn send_with_token(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> StatusCode {
        let header = format!("Bearer {token}");
        let (headers, body) = ([("authorization", header.as_str())], body.to_string());
        let request = request_of(&Peer::Anonymous, &headers, method, path, body.into_bytes());
        self.answer(request).await.0
    }

    async fn answer(&self, request: Request) -> (StatusCode, Value) {
        let (status, _, body) = self.whole(request).await;
        let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
        let value = serde_json::from_slice(&body).unwrap_or_else(|_| text());
        (status, if body.is_empty() { Value::Null } else { value })
    }

    /// An answer with its headers and its bytes.
    async fn whole(&self, request: Request) -> (StatusCode, HeaderMap, Vec<u8>) {
        let response = router(self.state.clone()).oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let problem =
            headers.get("content-type").is_some_and(|kind| kind == "application/problem+json");
        let fine = status.is_success() || status == StatusCode::NOT_MODIFIED;
        assert!(fine || problem, "{status} is no problem document");
        assert_eq!(headers["cache-control"], "private, no-store");
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        if problem && !body.is_empty() {
            documents::check_problem(&serde_json::from_slice(&body).unwrap());
        }
        (status, headers, body)
    }

    /// A GET of a session, held against the OpenAPI document.
    async fn see(&self, session: &Session, path: &str) -> (StatusCode, Value) {
        let (status, answer) =
            self.send_as(&Peer::Anonymous, Some(session), Method::GET, path, vec![]).await;
        if status.is_success() {
            documents::check(&Method::GET, path, None, &answer);
        }
        (status, answer)
    }

    /// A POST of a session, held against the OpenAPI document.
    async fn tell(&self, session: &Session, path: &str, body: Value) -> (StatusCode, Value) {
        let bytes = serde_json::to_vec(&body).unwrap();
        let (status, answer) =
            self.send_as(&Peer::Anonymous, Some(session), Method::POST, path, bytes).await;
        if status.is_success() {
            documents::check(&Method::POST, path, Some(&body), &answer);
        }
        (status, answer)
    }

    /// The account of a role, ready for use; those of a PD are of the city's own PD.
    fn account(&self, role: UserRole) -> Account {
        let name = format!("the-{role}");
        let found = self.state.db.read(|tx| rows::account_by_name(tx, &name)).unwrap();
        found.unwrap_or_else(|| {
            let pd = access::is_of_a_pd(role).then_some(self.city.pd);
            let input = UserInput {
                name: name.clone(),
                full_name: "Somebody".into(),
                role,
                pd,
                password: PASSWORD.into(),
            };
            let hashed = accounts::first_password(&name, PASSWORD).unwrap();
            let make = |tx: &rusqlite::Transaction<'_>| {
                accounts::add(tx, &Act::console(START), &input, hashed)?;
                let mut account = accounts::find(tx, &name)?;
                account.user.password_is_new = false;
                account.totp = access::needs_totp(role).then_some([7; 20]);
                rows::put_account(tx, &account)?;
                Ok::<_, PeopleError>(account)
            };
            self.state.db.write(make).unwrap()
        })
    }

    /// A session of that role.
    fn log_in(&self, role: UserRole) -> Session {
        self.log_in_to(&self.account(role))
    }

    fn log_in_to(&self, account: &Account) -> Session {
        let mut fresh = account.clone();
        // Codes are taken once a step; here many log in at one moment.
        fresh.totp_step = None;
        self.state.db.write(|tx| rows::put_account(tx, &fresh)).unwrap();
        let now = self.city.clock.now();
        let request = LoginRequest {
            name: fresh.user.name,
            password: PASSWORD.into(),
            code: fresh.totp.map(|secret| code_at(&secret, now)),
        };
        let login = login::login(&self.state.db, (now, None), &request).unwrap();
        Session { cookie: login.cookie, csrf: login.caller.csrf_token.unwrap() }
    }

    /// Writes the board, as the keeper does every few seconds, or with `all` at the end.
    async fn keep(&self, all: bool) {
        heartbeats::keep(&self.state.db, self.city.clock.now(), all).await.unwrap();
    }

    /// The same controller after a crash: only what is in the database is left.
    fn crashed(self) -> Self {
        let db = self.city.reopened();
        heartbeats::load(&db, self.city.clock.now()).unwrap();
        Self::over(self.city, db)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(&operator(), Method::GET, path, None).await;
        assert_eq!(status, StatusCode::OK, "{path}: {answer}");
        answer
    }

    async fn post(&self, peer: &Peer, path: &str, body: Value) -> (StatusCode, Value) {
        self.call(peer, Method::POST, path, Some(body)).await
    }

    /// The city's own agent.
    fn agent(&self) -> Peer {
        certified(CertificateNames::agent(
            self.city.repository,
            self.city.agent,
            self.city.agent_key.public(),
            Some(self.city.server),
        ))
    }
}

fn request_of(
    peer: &Peer,
    headers: &[(&str, &str)],
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Request {
    let mut request = Request::builder().method(method.clone()).uri(path);
    // Whatever takes a key is asked with one: the gate notices a handler that makes its change past it.
    if documents::route(&method, path).is_some_and(|route| route.keys == super::Keys::Kept) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let key = format!("test {}", COUNT.fetch_add(1, Ordering::Relaxed));
        if headers.iter().all(|(name, _)| *name != "idempotency-key") {
            request = request.header("idempotency-key", key);
        }
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body)).unwrap();
    request.extensions_mut().insert(peer.clone());
    request
}

fn certified(names: CertificateNames) -> Peer {
    Peer::Certified(PeerIdentity {
        role: names.role,
        repository: names.repository,
        agent: names.agent,
        agent_key: names.agent_key,
        server: names.server,
        site: names.site,
        name: "budi".into(),
        serial: "01".into(),
        pin: lumbung_model::TlsPin::ZERO,
        not_after: Timestamp(i64::MAX),
    })
}

fn operator() -> Peer {
    certified(CertificateNames::of_role(Role::Operator))
}

fn stranger_agent() -> Peer {
    certified(CertificateNames::agent(
        RepositoryId::from_bytes([1; 32]),
        AgentId::from_bytes([2; 16]),
        PublicKey::from_bytes([3; 32]),
        None,
    ))
}

fn site() -> Peer {
    certified(CertificateNames::site(SiteId::from_bytes([4; 16])))
}

/// A key and a certificate request for it.
fn request() -> (certs::KeyPem, String) {
    let key = certs::generate_key().unwrap();
    let csr = certs::csr(&key, "x").unwrap();
    (key, csr)
}

fn slug(problem: &Value) -> &str {
    problem["type"].as_str().unwrap().rsplit(':').next().unwrap()
}
