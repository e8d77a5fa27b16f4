//! Real TLS over loopback: who is let in, who is not, and what each side learns.
//!
//! The clocks are fixed, so nothing here depends on the day; no assertion depends on how long
//! anything takes.
#![expect(clippy::unwrap_used, reason = "a test's set-up that fails is a failed test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use lumbung_model::{
    AgentId, ChunkId, Clock, DomainId, FixedClock, FrameHash, ManifestId, PackId, PublicKey,
    RepositoryId, ServerId, SessionId, SiteId, Timestamp,
};
use lumbung_pack::{
    Bitmap, Content, Encoding, FrameEntry, Kind, Missing, PackHeader, PackTable, PackUse, Receipt,
    SigningKey, object_id,
};
use lumbung_wire::certs::{self, Authority, IssueRequest, Issued, KeyPem};
use lumbung_wire::client::{PutOutcome, Timeouts};
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::HaveAnswer;
use lumbung_wire::server::{CAPPED_HEADER, ServeOptions, read_capped, serve_with};
use lumbung_wire::tls::{ClientAccess, ServerTls, TlsIdentity, client_config, server_config};
use lumbung_wire::{ClientError, ControllerClient, Peer, Problem, Role, ServerTrust, VaultClient};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

const NOW: Timestamp = Timestamp(1_800_000_000);
const DAY: i64 = 86_400;
const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 32]);

fn clock(now: Timestamp) -> Arc<dyn Clock> {
    Arc::new(FixedClock::new(now))
}

fn names_of(role: Role) -> CertificateNames {
    match role {
        Role::Agent => CertificateNames::agent(
            REPOSITORY,
            AgentId::from_bytes([2; 16]),
            PublicKey::from_bytes([3; 32]),
            Some(ServerId::from_bytes([4; 16])),
        ),
        Role::Site => CertificateNames::site(SiteId::from_bytes([5; 16])),
        other => CertificateNames::of_role(other),
    }
}

fn issue(ca: &Authority, role: Role, now: Timestamp) -> (Issued, TlsIdentity) {
    let hosts = if role == Role::Controller {
        vec!["controller.lumbung".to_owned(), "127.0.0.1".to_owned()]
    } else {
        vec![]
    };
    let wanted = IssueRequest { common_name: role.to_string(), names: names_of(role), hosts, now };
    let (issued, key) = ca.issue_with_key(&wanted).unwrap();
    let identity = TlsIdentity::from_pem(&issued.certificate_pem, &key).unwrap();
    (issued, identity)
}

fn site_identity() -> TlsIdentity {
    let key = certs::generate_key().unwrap();
    let pem = certs::self_signed_site_certificate(&key, SiteId::from_bytes([5; 16])).unwrap();
    TlsIdentity::from_pem(&pem, &key).unwrap()
}

async fn whoami(peer: Peer) -> axum::Json<Value> {
    axum::Json(match peer {
        Peer::Certified(identity) => json!({
            "role": identity.role.as_str(),
            "agent": identity.agent.map(|id| id.to_string()),
            "agent_key": identity.agent_key.map(|key| key.to_string()),
            "repository": identity.repository.map(|id| id.to_string()),
            "server": identity.server.map(|id| id.to_string()),
            "site": identity.site.map(|id| id.to_string()),
            "serial": identity.serial,
            "not_after": identity.not_after.0,
        }),
        Peer::RootKey(key) => json!({ "root_key": key.to_string() }),
        Peer::Anonymous => json!({ "role": "anonymous" }),
    })
}

fn router() -> Router {
    Router::new()
        .route("/whoami", get(whoami))
        .route("/panic", get(|| async { panic!("a handler's mistake") as () }))
        .route(
            "/capped",
            post(|body: Body| async { read_capped(body, 1000).await.map(|_| axum::Json(())) }),
        )
        .route(
            "/json/{number}",
            get(|axum::extract::Path(number): axum::extract::Path<u32>| async move {
                axum::Json(number)
            }),
        )
}

struct TestServer {
    url: String,
    address: SocketAddr,
    tls: ServerTls,
    stop: Option<oneshot::Sender<()>>,
    done: tokio::task::JoinHandle<()>,
}

impl TestServer {
    async fn start(tls: ServerTls, router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async { stopped.await.unwrap_or(()) };
        let done = tokio::spawn(serve_with(
            listener,
            tls.clone(),
            router,
            ServeOptions::default(),
            shutdown,
        ));
        Self { url: format!("https://{address}"), address, tls, stop: Some(stop), done }
    }

    /// A vault that trusts `ca` and key bundles.
    async fn vault(ca: &Authority, now: Timestamp) -> (Self, lumbung_model::TlsPin) {
        Self::vault_with(ca, now, router(), ClientAccess { anonymous: false, self_signed: true })
            .await
    }

    async fn vault_with(
        ca: &Authority,
        now: Timestamp,
        router: Router,
        access: ClientAccess,
    ) -> (Self, lumbung_model::TlsPin) {
        let own = site_identity();
        let tls =
            server_config(&own, &[ca.certificate_pem().to_owned()], access, clock(now)).unwrap();
        (Self::start(tls, router).await, own.pin().unwrap())
    }
}

fn ca(name: &str) -> Authority {
    Authority::generate(name, NOW).unwrap().0
}

fn client(url: &str, identity: Option<&TlsIdentity>, trust: ServerTrust) -> ControllerClient {
    ControllerClient::new(url, &client_config(identity, trust, clock(NOW)).unwrap()).unwrap()
}

async fn ask(
    url: &str,
    identity: Option<&TlsIdentity>,
    trust: ServerTrust,
) -> Result<Value, ClientError> {
    client(url, identity, trust).get("/whoami").await
}

#[tokio::test]
async fn a_certificate_of_the_ca_names_its_holder() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let (issued, agent) = issue(&ca, Role::Agent, NOW);
    let seen = ask(&server.url, Some(&agent), ServerTrust::Pins(vec![pin])).await.unwrap();
    assert_eq!(
        seen,
        json!({
            "role": "agent",
            "agent": AgentId::from_bytes([2; 16]).to_string(),
            "agent_key": PublicKey::from_bytes([3; 32]).to_string(),
            "repository": REPOSITORY.to_string(),
            "server": ServerId::from_bytes([4; 16]).to_string(),
            "site": null,
            "serial": issued.serial,
            "not_after": issued.not_after.0,
        })
    );
    let (_, site) = issue(&ca, Role::Site, NOW);
    let seen = ask(&server.url, Some(&site), ServerTrust::Pins(vec![pin])).await.unwrap();
    assert_eq!(seen["site"], SiteId::from_bytes([5; 16]).to_string());
}

#[tokio::test]
async fn a_list_is_read_to_its_last_page_and_not_for_ever() {
    let ca = ca("kota");
    let page = |axum::extract::Path((last, number)): axum::extract::Path<(u32, u32)>| async move {
        let next = format!("</api/v1/{last}/{}>; rel=\"next\"", number + 1);
        let link = (number < last).then_some([("link", next)]);
        (link, axum::Json([number]))
    };
    let router = Router::new().route("/api/v1/{last}/{number}", get(page));
    let access = ClientAccess { anonymous: true, self_signed: false };
    let (server, pin) = TestServer::vault_with(&ca, NOW, router, access).await;
    let client = client(&server.url, None, ServerTrust::Pins(vec![pin]));
    assert_eq!(client.list::<u32>("/api/v1/3/1").await.unwrap(), [1, 2, 3]);
    assert_eq!(client.get::<Vec<u32>>("/api/v1/3/3").await.unwrap(), [3]);
    let part = client.get::<Vec<u32>>("/api/v1/3/1").await.unwrap_err();
    assert!(matches!(&part, ClientError::Protocol { .. }), "a part never passes for the whole");
    let endless = client.list::<u32>("/api/v1/1000000/1").await.unwrap_err();
    assert!(matches!(&endless, ClientError::Protocol { .. }), "{endless:?}");
}

#[tokio::test]
async fn two_authorities_are_trusted_during_a_change_and_no_third() {
    let (old, new, foreign) = (ca("kota lama"), ca("kota baru"), ca("kota lain"));
    let own = site_identity();
    let pems = [old.certificate_pem().to_owned(), new.certificate_pem().to_owned()];
    let tls = server_config(&own, &pems, ClientAccess::default(), clock(NOW)).unwrap();
    let server = TestServer::start(tls, router()).await;
    let trust = ServerTrust::Pins(vec![own.pin().unwrap()]);
    for authority in [&old, &new] {
        let (_, agent) = issue(authority, Role::Agent, NOW);
        ask(&server.url, Some(&agent), trust.clone()).await.unwrap();
    }
    let (_, stranger) = issue(&foreign, Role::Operator, NOW);
    let error = ask(&server.url, Some(&stranger), trust).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Identity { reason, .. } if reason.contains("not one of the CA")),
        "{error:?}"
    );
    assert!(!error.is_transient());
    let three = [pems[0].clone(), pems[1].clone(), foreign.certificate_pem().to_owned()];
    assert!(server_config(&own, &three, ClientAccess::default(), clock(NOW)).is_err());
}

#[tokio::test]
async fn an_expired_agent_has_its_grace_and_nobody_else() {
    let ca = ca("kota");
    let (issued, agent) = issue(&ca, Role::Agent, NOW);
    let (_, operator) = issue(&ca, Role::Operator, NOW);
    let later = issued.not_after.plus_seconds(179 * DAY);
    let (server, pin) = TestServer::vault(&ca, later).await;
    let trust = ServerTrust::Pins(vec![pin]);
    let seen = ask(&server.url, Some(&agent), trust.clone()).await.unwrap();
    assert_eq!(seen["not_after"], issued.not_after.0);
    assert!(issued.not_after < later);
    let error = ask(&server.url, Some(&operator), trust).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Identity { reason, .. } if reason.contains("expired")),
        "{error:?}"
    );

    let (server, pin) = TestServer::vault(&ca, issued.not_after.plus_seconds(181 * DAY)).await;
    let error = ask(&server.url, Some(&agent), ServerTrust::Pins(vec![pin])).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Identity { reason, .. } if reason.contains("expired")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_clock_that_is_years_slow_blocks_nothing() {
    let ca = ca("kota");
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let (server, pin) = TestServer::vault(&ca, Timestamp(NOW.0 - 900 * DAY)).await;
    let client = client(&server.url, Some(&agent), ServerTrust::Pins(vec![pin]));
    let seen: Value = client.get("/whoami").await.unwrap();
    assert_eq!(seen["role"], "agent");
    // And the client learns that one of the clocks is wrong.
    assert_eq!(client.clock_skew_s(), Some(-900 * DAY));
}

#[tokio::test]
async fn a_key_bundle_alone_is_recognised_by_its_key() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let root = SigningKey::generate();
    let identity = certs::root_key_identity(&root).unwrap();
    let seen = ask(&server.url, Some(&identity), ServerTrust::Pins(vec![pin])).await.unwrap();
    assert_eq!(seen, json!({ "root_key": root.public().to_string() }));

    // Where self-signed certificates are not taken, it is a stranger.
    let access = ClientAccess { anonymous: true, self_signed: false };
    let (server, pin) = TestServer::vault_with(&ca, NOW, router(), access).await;
    let error = ask(&server.url, Some(&identity), ServerTrust::Pins(vec![pin])).await.unwrap_err();
    assert!(matches!(error, ClientError::Identity { .. }), "{error:?}");
}

#[tokio::test]
async fn a_self_signed_certificate_of_another_kind_is_refused() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    // P-256, and claiming to be a site: what an attacker can make without any CA.
    let error =
        ask(&server.url, Some(&site_identity()), ServerTrust::Pins(vec![pin])).await.unwrap_err();
    assert!(matches!(error, ClientError::Identity { .. }), "{error:?}");
    // A CA of the attacker's own with our CA's name signs an agent.
    let fake = Authority::generate("kota", NOW).unwrap().0;
    let (_, agent) = issue(&fake, Role::Agent, NOW);
    let error = ask(&server.url, Some(&agent), ServerTrust::Pins(vec![pin])).await.unwrap_err();
    assert!(matches!(error, ClientError::Identity { .. }), "{error:?}");
}

#[tokio::test]
async fn without_a_certificate_one_is_anonymous_where_that_is_allowed() {
    let ca = ca("kota");
    let access = ClientAccess { anonymous: true, self_signed: false };
    let (server, pin) = TestServer::vault_with(&ca, NOW, router(), access).await;
    let seen = ask(&server.url, None, ServerTrust::Pins(vec![pin])).await.unwrap();
    assert_eq!(seen["role"], "anonymous");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let error = ask(&server.url, None, ServerTrust::Pins(vec![pin])).await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Identity { reason, .. } if reason.contains("none was shown")),
        "{error:?}"
    );
}

#[tokio::test]
async fn another_key_than_the_pinned_one_is_refused_with_both_named() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let other = site_identity().pin().unwrap();
    let error = ask(&server.url, Some(&agent), ServerTrust::Pins(vec![other])).await.unwrap_err();
    let ClientError::Pin { pinned, seen, .. } = &error else { panic!("{error:?}") };
    assert_eq!((pinned.as_slice(), *seen), ([other].as_slice(), pin));
    let text = error.to_string();
    assert!(text.contains(&pin.to_string()) && text.contains(&other.to_string()), "{text}");
    assert!(text.contains("do not go on"), "{text}");
}

#[tokio::test]
async fn a_client_of_any_key_shows_the_first_and_keeps_to_it() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let root = certs::root_key_identity(&SigningKey::generate()).unwrap();
    let tls = client_config(Some(&root), ServerTrust::AnyKey, clock(NOW)).unwrap();
    let client = ControllerClient::new(&server.url, &tls).unwrap();
    assert_eq!(client.seen_pin(), None);
    let _: Value = client.get("/whoami").await.unwrap();
    assert_eq!(client.seen_pin(), Some(pin));

    let access = ClientAccess { anonymous: false, self_signed: true };
    let other =
        server_config(&site_identity(), &[ca.certificate_pem().to_owned()], access, clock(NOW))
            .unwrap();
    server.tls.replace(&other);
    let again = ControllerClient::new(&server.url, &tls).unwrap();
    let error = again.get::<Value>("/whoami").await.unwrap_err();
    assert!(matches!(error, ClientError::Pin { .. }), "{error:?}");
    assert_eq!(again.seen_pin(), Some(pin));
}

#[tokio::test]
async fn a_controller_is_known_by_ca_and_name_or_by_fingerprint() {
    let ca = ca("kota");
    let (_, own) = issue(&ca, Role::Controller, NOW);
    let access = ClientAccess { anonymous: true, self_signed: false };
    let tls = server_config(&own, &[ca.certificate_pem().to_owned()], access, clock(NOW)).unwrap();
    let server = TestServer::start(tls, router()).await;
    let by_name = |name: &str| ServerTrust::Ca {
        ca_pems: vec![ca.certificate_pem().to_owned()],
        name: name.to_owned(),
    };
    for trust in [
        by_name("controller.lumbung"),
        by_name("127.0.0.1"),
        ServerTrust::CaFingerprint(ca.fingerprint().to_owned()),
    ] {
        ask(&server.url, None, trust).await.unwrap();
    }
    let foreign = Authority::generate("kota", NOW).unwrap().0;
    for (trust, hint) in [
        (by_name("other.lumbung"), "another name"),
        (ServerTrust::CaFingerprint(foreign.fingerprint().to_owned()), "fingerprint"),
        (
            ServerTrust::Ca {
                ca_pems: vec![foreign.certificate_pem().to_owned()],
                name: "127.0.0.1".to_owned(),
            },
            "not valid",
        ),
    ] {
        let error = ask(&server.url, None, trust).await.unwrap_err();
        assert!(matches!(error, ClientError::Untrusted { .. }), "{error:?}");
        assert!(
            error.to_string().contains(hint) || error.to_string().contains("not one of"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_agents_certificate_is_no_server() {
    let ca = ca("kota");
    for role in [Role::Agent, Role::Operator, Role::Site] {
        let (_, thief) = issue(&ca, role, NOW);
        let access = ClientAccess { anonymous: true, self_signed: false };
        let tls = server_config(&thief, &[], access, clock(NOW)).unwrap();
        let server = TestServer::start(tls, router()).await;
        let trust = ServerTrust::CaFingerprint(ca.fingerprint().to_owned());
        let error = ask(&server.url, None, trust).await.unwrap_err();
        assert!(matches!(error, ClientError::Untrusted { .. }), "{role}: {error:?}");
    }
}

#[tokio::test]
async fn clients_that_never_speak_hold_up_nobody() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    let mut garbage = TcpStream::connect(server.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut garbage, b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    for _ in 0..3 {
        ask(&server.url, Some(&agent), ServerTrust::Pins(vec![pin])).await.unwrap();
    }
    drop(silent);
}

#[tokio::test]
async fn one_address_does_not_take_all_connections() {
    let ca = ca("kota");
    let own = site_identity();
    let pems = [ca.certificate_pem().to_owned()];
    let tls = server_config(&own, &pems, ClientAccess::default(), clock(NOW)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // No handshake ever times out here: without the limit, nobody else would be served.
    let options = ServeOptions {
        max_connections: 4,
        max_per_address: 2,
        handshake: Duration::from_secs(86_400),
        ..ServeOptions::default()
    };
    tokio::spawn(serve_with(listener, tls, router(), options, std::future::pending()));
    let mut attacker = Vec::new();
    for _ in 0..10 {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        attacker.push(socket.connect(address).await.unwrap());
    }
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let trust = ServerTrust::Pins(vec![own.pin().unwrap()]);
    ask(&format!("https://{address}"), Some(&agent), trust).await.unwrap();
    drop(attacker);
}

#[tokio::test]
async fn a_body_that_is_too_long_gets_its_413_and_the_connection_lives() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let client = client(&server.url, Some(&agent), ServerTrust::Pins(vec![pin]));
    let long = "x".repeat(20 << 20);
    for _ in 0..3 {
        let error = client.post::<_, Value>("/capped", &long).await.unwrap_err();
        let problem = error.problem().unwrap_or_else(|| panic!("{error:?}"));
        assert_eq!((problem.status, problem.slug()), (413, "too-large"));
        assert!(problem.detail.contains("1000 bytes"), "{problem}");
        client.post::<_, Value>("/capped", &"short").await.unwrap();
    }
}

#[tokio::test]
async fn refusals_of_the_router_are_documents_and_a_panic_is_one_clients_trouble() {
    let ca = ca("kota");
    let (server, pin) = TestServer::vault(&ca, NOW).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let client = client(&server.url, Some(&agent), ServerTrust::Pins(vec![pin]));
    for (path, status, slug) in [
        ("/nowhere", 404, "not-found"),
        ("/capped", 405, "method-not-allowed"),
        ("/json/no-number", 400, "bad-request"),
        ("/panic", 500, "internal"),
    ] {
        let error = client.get::<Value>(path).await.unwrap_err();
        let problem = error.problem().unwrap_or_else(|| panic!("{path}: {error:?}"));
        assert_eq!((problem.status, problem.slug()), (status, slug), "{path}");
    }
    assert_eq!(client.get::<u32>("/json/7").await.unwrap(), 7);
}

#[tokio::test]
async fn requests_under_way_finish_when_the_server_stops() {
    let ca = ca("kota");
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, go_on) = (entered.clone(), leave.clone());
    let slow = get(move || async move {
        inside.notify_one();
        go_on.notified().await;
        axum::Json(1)
    });
    let router = Router::new().route("/slow", slow);
    let (mut server, pin) = TestServer::vault_with(&ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let client = client(&server.url, Some(&agent), ServerTrust::Pins(vec![pin]));
    let request = tokio::spawn({
        let client = client.clone();
        async move { client.get::<u32>("/slow").await }
    });
    entered.notified().await;
    server.stop.take().unwrap().send(()).unwrap();
    // The port closes before the request is over.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.done.is_finished());
    leave.notify_one();
    assert_eq!(request.await.unwrap().unwrap(), 1);
    server.done.await.unwrap();
    let error = client.get::<u32>("/slow").await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_vault_cannot_pass_off_one_object_as_another() {
    let ca = ca("kota");
    let genuine: &'static [u8] = b"an object";
    let id = object_id(genuine);
    let path = |id: &[u8; 32]| {
        format!("/v1/repositories/{REPOSITORY}/sessions/{}", PackId::from_bytes(*id))
    };
    let lie = [9; 32];
    let router = Router::new()
        .route(&path(&id), get(move || async move { genuine }))
        .route(&path(&lie), get(move || async move { genuine }))
        .route(&path(&[8; 32]), get(|| async { vec![0_u8; (16 << 20) + 1] }))
        .route(&path(&[7; 32]), put(|| async { Problem::storage_full("free space there") }))
        .route(&path(&[6; 32]), put(|| async { http::StatusCode::CREATED }));
    let (server, pin) = TestServer::vault_with(&ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let tls = client_config(Some(&agent), ServerTrust::Pins(vec![pin]), clock(NOW)).unwrap();
    let vault = VaultClient::new(&server.url, &tls).unwrap();
    assert_eq!(vault.get(&REPOSITORY, Kind::Session, &id).await.unwrap(), genuine);
    let error = vault.get(&REPOSITORY, Kind::Session, &lie).await.unwrap_err();
    assert!(matches!(error, ClientError::Damaged { kind: Kind::Session, .. }), "{error:?}");
    let error = vault.get(&REPOSITORY, Kind::Session, &[8; 32]).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    let error = vault.put(&REPOSITORY, Kind::Session, &[7; 32], genuine.into()).await.unwrap_err();
    assert!(error.is_transient() && error.problem().unwrap().slug() == "storage-full", "{error:?}");
    let put = vault.put(&REPOSITORY, Kind::Session, &[6; 32], genuine.into()).await.unwrap();
    assert_eq!(put, PutOutcome::Created);
    let error = vault.get(&REPOSITORY, Kind::Session, &[5; 32]).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

/// A pack of two frames, as a vault keeps it.
fn small_pack() -> (PackTable, Vec<u8>) {
    let frames: [&[u8]; 2] = [b"the first stored frame", b"the second stored frame"];
    let entries = frames.iter().enumerate().map(|(i, stored)| FrameEntry {
        chunk: ChunkId::from_bytes([u8::try_from(i).unwrap(); 32]),
        stored_hash: FrameHash::from_bytes(object_id(stored)),
        plain_length: 100,
        stored_length: u32::try_from(stored.len()).unwrap(),
        encoding: Encoding::Zstd,
    });
    let header = PackHeader {
        repository: REPOSITORY,
        domain: DomainId::from_bytes([1; 16]),
        session: SessionId::from_bytes([2; 32]),
        salt: [3; 32],
        commitment: [4; 32],
        content: Content::Data,
    };
    let table = PackTable::new(header, entries.collect()).unwrap();
    let bytes = [table.encode(), frames.concat()].concat();
    (table, bytes)
}

/// Serves `bytes` with ranges, as a vault does.
fn ranged(bytes: Vec<u8>) -> axum::routing::MethodRouter {
    get(move |headers: http::HeaderMap| async move {
        let range = headers[http::header::RANGE]
            .to_str()
            .unwrap()
            .strip_prefix("bytes=")
            .unwrap()
            .to_owned();
        let (from, to) = range.split_once('-').unwrap();
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        (http::StatusCode::PARTIAL_CONTENT, bytes[from..bytes.len().min(to + 1)].to_vec())
    })
}

#[tokio::test]
async fn frames_are_checked_against_the_table_and_the_table_against_the_id() {
    let ca = ca("kota");
    let (table, bytes) = small_pack();
    let id = table.id();
    let (mut bad_frame, mut bad_table) = (bytes.clone(), bytes.clone());
    *bad_frame.last_mut().unwrap() ^= 1;
    bad_table[200] ^= 1;
    let path = |repository: u8| {
        format!("/v1/repositories/{}/packs/{id}", RepositoryId::from_bytes([repository; 32]))
    };
    let router = Router::new()
        .route(&path(1), ranged(bytes.clone()))
        .route(&path(2), ranged(bad_frame))
        .route(&path(3), ranged(bad_table))
        .route(&path(4), ranged(bytes[..bytes.len() - 1].to_vec()));
    let (server, pin) = TestServer::vault_with(&ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let tls = client_config(Some(&agent), ServerTrust::Pins(vec![pin]), clock(NOW)).unwrap();
    let vault = VaultClient::new(&server.url, &tls).unwrap();
    let repository = |n: u8| RepositoryId::from_bytes([n; 32]);
    let head = vault.pack_head(&repository(1), &id).await.unwrap();
    assert_eq!(head, table);
    let frames = vault.read_frames(&repository(1), &id, &head, 0..2).await.unwrap();
    assert_eq!(frames, [&b"the first stored frame"[..], b"the second stored frame"]);
    assert_eq!(vault.read_frames(&repository(2), &id, &head, 0..1).await.unwrap(), frames[..1]);
    for n in [2, 4] {
        let error = vault.read_frames(&repository(n), &id, &head, 0..2).await.unwrap_err();
        assert!(matches!(error, ClientError::Damaged { kind: Kind::Pack, .. }), "{n}: {error:?}");
    }
    let error = vault.pack_head(&repository(3), &id).await.unwrap_err();
    assert!(matches!(error, ClientError::Damaged { kind: Kind::Pack, .. }), "{error:?}");
}

#[tokio::test]
async fn a_receipt_is_for_what_was_sent_and_a_refusal_tells_what_is_missing() {
    let ca = ca("kota");
    let manifest = |n: u8| ManifestId::from_bytes([n; 32]);
    let key = SigningKey::generate();
    let receipt = Receipt {
        repository: REPOSITORY,
        site: SiteId::from_bytes([5; 16]),
        manifest: manifest(1),
        number: 1,
        received: NOW,
        locked_until: NOW,
        pulled_from: None,
    };
    let receipt: &'static [u8] = lumbung_pack::sign(&receipt, &key).leak();
    let mut used = Bitmap::new(9);
    used.set(8);
    let missing = Missing {
        packs: vec![PackUse { pack: PackId::from_bytes([6; 32]), used }],
        ..Missing::default()
    };
    let lacking = missing.clone();
    let path = |id: ManifestId| format!("/v1/repositories/{REPOSITORY}/manifests/{id}");
    let answer = move || async move { (http::StatusCode::CREATED, receipt) };
    let router = Router::new()
        .route(&path(manifest(1)), put(answer))
        .route(&path(manifest(2)), put(answer))
        .route(&path(manifest(3)), put(|| async { "no receipt" }))
        .route(&path(manifest(4)), put(move || async move { Problem::incomplete(lacking) }));
    let (server, pin) = TestServer::vault_with(&ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let tls = client_config(Some(&agent), ServerTrust::Pins(vec![pin]), clock(NOW)).unwrap();
    let vault = VaultClient::new(&server.url, &tls).unwrap();
    let commit = |n: u8| {
        let vault = vault.clone();
        async move { vault.commit(&REPOSITORY, &manifest(n), bytes::Bytes::from_static(b"m")).await }
    };
    let good = commit(1).await.unwrap();
    assert_eq!((good.receipt.signer, good.outcome), (key.public(), PutOutcome::Created));
    assert_eq!(good.bytes, receipt);
    for n in [2, 3] {
        let error = commit(n).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{n}: {error:?}");
    }
    let error = commit(4).await.unwrap_err();
    assert_eq!(error.missing(), Some(&missing));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_vault_answers_only_about_frames_that_were_asked_for() {
    let ca = ca("kota");
    let frames = |bits: &[u32]| {
        let mut used = Bitmap::new(20);
        bits.iter().for_each(|bit| used.set(*bit));
        PackUse { pack: PackId::from_bytes([6; 32]), used }
    };
    let absent = frames(&[3]);
    let answer = HaveAnswer { absent: vec![absent.clone()] };
    let path = format!("/v1/repositories/{REPOSITORY}/have");
    let router = Router::new().route(&path, post(|| async { axum::Json(answer) }));
    let (server, pin) = TestServer::vault_with(&ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let tls = client_config(Some(&agent), ServerTrust::Pins(vec![pin]), clock(NOW)).unwrap();
    let vault = VaultClient::new(&server.url, &tls).unwrap();
    assert_eq!(vault.have(&REPOSITORY, &[frames(&[2, 3])]).await.unwrap(), [absent]);
    let error = vault.have(&REPOSITORY, &[frames(&[2, 4])]).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    assert_eq!(vault.have(&REPOSITORY, &[]).await.unwrap(), []);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let ca = ca("kota");
    let endless = get(|| async {
        Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>())
            .into_response()
    });
    let router = Router::new()
        .route("/never", get(|| async { std::future::pending::<()>().await }))
        .route("/endless", endless);
    let (server, pin) = TestServer::vault_with(&ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(&ca, Role::Agent, NOW);
    let tls = client_config(Some(&agent), ServerTrust::Pins(vec![pin]), clock(NOW)).unwrap();
    let timeouts = Timeouts { stall: Duration::from_millis(300), ..Timeouts::default() };
    let client = ControllerClient::with_timeouts(&server.url, &tls, timeouts).unwrap();
    for path in ["/never", "/endless"] {
        let error = client.get::<Value>(path).await.unwrap_err();
        assert!(
            matches!(error, ClientError::Stalled { .. }) && error.is_transient(),
            "{path}: {error:?}"
        );
    }
}

/// What a vault that is asked whether it is there says.
#[derive(Clone, Copy)]
enum Says {
    Nothing,
    Capped,
    NotCapped,
}

/// A vault whose answer to `have` comes once it was asked four times whether it is there: beyond the ordinary patience.
async fn slow_vault(ca: &Authority, says: Says) -> (TestServer, VaultClient) {
    let asked = Arc::new(tokio::sync::Semaphore::new(0));
    let noted = Arc::clone(&asked);
    let answer = post(move || async move {
        asked.acquire_many(4).await.unwrap().forget();
        axum::Json(HaveAnswer { absent: Vec::new() })
    });
    let line = get(move || async move {
        noted.add_permits(1);
        match says {
            Says::Nothing => std::future::pending().await,
            Says::Capped => ([(CAPPED_HEADER, "1")], "").into_response(),
            Says::NotCapped => "".into_response(),
        }
    });
    let path = format!("/v1/repositories/{REPOSITORY}/have");
    let router = Router::new().route(&path, answer).route("/v1/line", line);
    let (server, pin) = TestServer::vault_with(ca, NOW, router, ClientAccess::default()).await;
    let (_, agent) = issue(ca, Role::Agent, NOW);
    let tls = client_config(Some(&agent), ServerTrust::Pins(vec![pin]), clock(NOW)).unwrap();
    let [stall, ask] = [600, 250].map(Duration::from_millis);
    let timeouts = Timeouts { stall, ask, ..Timeouts::default() };
    let vault = VaultClient::with_timeouts(&server.url, &tls, timeouts).unwrap();
    (server, vault)
}

#[tokio::test]
async fn a_vault_that_holds_its_sender_to_a_cap_is_waited_for_and_no_other() {
    let ca = ca("kota");
    let packs = [PackUse { pack: PackId::from_bytes([6; 32]), used: Bitmap::new(20) }];
    let (_slow, vault) = slow_vault(&ca, Says::Capped).await;
    assert_eq!(vault.have(&REPOSITORY, &packs).await.unwrap(), []);
    for says in [Says::Nothing, Says::NotCapped] {
        let (_hangs, vault) = slow_vault(&ca, says).await;
        let error = vault.have(&REPOSITORY, &packs).await.unwrap_err();
        assert!(matches!(error, ClientError::Stalled { .. }) && error.is_transient(), "{error:?}");
    }
}

#[test]
fn certificates_say_what_they_should() {
    let (authority, key) = Authority::generate("CA Kota", NOW).unwrap();
    assert_eq!(authority.fingerprint(), certs::fingerprint(authority.certificate_pem()).unwrap());
    let again = Authority::open(authority.certificate_pem(), &key).unwrap();
    let own = certs::generate_key().unwrap();
    let csr = certs::csr(&own, "anything").unwrap();
    let wanted = IssueRequest {
        common_name: "x".repeat(300),
        names: names_of(Role::Agent),
        hosts: vec![],
        now: NOW,
    };
    let (first, second) =
        (again.issue(&csr, &wanted).unwrap(), again.issue(&csr, &wanted).unwrap());
    assert_ne!(first.serial, second.serial);
    let facts = certs::facts(&first.certificate_pem).unwrap();
    assert_eq!(facts.names, Some(names_of(Role::Agent)));
    assert_eq!(facts.not_after, NOW.plus_seconds(397 * DAY));
    assert_eq!(facts.pin, certs::facts(&second.certificate_pem).unwrap().pin);
    assert_eq!(facts.serial, first.serial);

    assert!(matches!(
        Authority::open(authority.certificate_pem(), &own),
        Err(certs::CertError::ForeignKey)
    ));
    assert!(matches!(again.issue("no request", &wanted), Err(certs::CertError::Request(_))));
    assert!(matches!(
        again.issue(&"x".repeat(20_000), &wanted),
        Err(certs::CertError::RequestTooLong)
    ));
    let nobody = IssueRequest { names: CertificateNames::of_role(Role::Agent), ..wanted.clone() };
    assert!(matches!(again.issue(&csr, &nobody), Err(certs::CertError::Names(_))));
    let nowhere = IssueRequest { hosts: vec!["not a host".to_owned()], ..wanted };
    assert!(matches!(again.issue(&csr, &nowhere), Err(certs::CertError::Host(_))));
    assert!(
        TlsIdentity::from_pem(&first.certificate_pem, &KeyPem::new("no key".to_owned())).is_err()
    );
}
