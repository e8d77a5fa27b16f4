//! The vault as a vantage point, with a controller that speaks the two routes over real TLS.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State as Shared;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use lumbung_model::CheckId;
use lumbung_vault::state::State;
use lumbung_wire::certs::IssueRequest;
use lumbung_wire::identity::CertificateNames;
use lumbung_wire::messages::uptime::{
    CheckOrder, Observation, Observations, ObservationsAck, Probe, VantageOrders,
};
use lumbung_wire::tls::{ClientAccess, ServerTls, TlsIdentity, server_config};
use lumbung_wire::{Peer, Role};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::support::{City, Site, clock};

/// Only this very address of this machine.
const ALLOW: &str = "[vantage]\nallow = [\"127.0.0.1/32\"]\n";

/// What a controller knows: it outlives its server.
struct Books {
    orders: Mutex<VantageOrders>,
    taken: watch::Sender<Vec<Observation>>,
    /// Somebody asks for orders.
    asked: Notify,
    /// And gets no answer.
    silent: AtomicBool,
}

impl Books {
    fn new(checks: Vec<CheckOrder>) -> Arc<Self> {
        let orders = Mutex::new(VantageOrders { checks, again_s: 3600 });
        let (asked, silent) = (Notify::new(), AtomicBool::new(false));
        Arc::new(Self { orders, taken: watch::Sender::new(Vec::new()), asked, silent })
    }

    /// Waits until what was taken is so.
    async fn until(&self, so: impl FnMut(&Vec<Observation>) -> bool) -> Vec<Observation> {
        self.taken.subscribe().wait_for(so).await.unwrap().clone()
    }
}

/// TLS at 127.0.0.1, for whoever has a certificate of the city.
fn tls(city: &City) -> ServerTls {
    let wanted = IssueRequest {
        common_name: "controller".into(),
        names: CertificateNames::of_role(Role::Controller),
        hosts: vec!["127.0.0.1".into()],
        now: clock().now(),
    };
    let (issued, key) = city.ca.issue_with_key(&wanted).unwrap();
    let identity = TlsIdentity::from_pem(&issued.certificate_pem, &key).unwrap();
    let authorities = [city.ca.certificate_pem().to_owned()];
    server_config(&identity, &authorities, ClientAccess::default(), clock()).unwrap()
}

/// Serves until the token says so.
async fn serve(city: &City, books: &Arc<Books>, at: &str) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind(at).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/api/v1/vantage", get(vantage))
        .route("/api/v1/observations", post(observations))
        .with_state(Arc::clone(books));
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    tokio::spawn(lumbung_wire::serve(listener, tls(city), router, stopped));
    (address, stop)
}

async fn vantage(Shared(books): Shared<Arc<Books>>) -> Json<VantageOrders> {
    books.asked.notify_one();
    if books.silent.load(Ordering::SeqCst) {
        std::future::pending::<()>().await;
    }
    Json(books.orders.lock().unwrap().clone())
}

/// Takes what follows on what it has.
async fn observations(
    Shared(books): Shared<Arc<Books>>,
    Extension(peer): Extension<Peer>,
    Json(message): Json<Observations>,
) -> Json<ObservationsAck> {
    let site = peer.identity().unwrap().site.unwrap();
    books.taken.send_modify(|taken| {
        for observation in message.observations {
            let last = taken.last().map_or(0, |last| last.number);
            assert_eq!(observation.number, last + 1, "nothing is left out, nothing comes twice");
            assert!(observation.at <= message.now);
            taken.push(observation);
        }
    });
    let through = books.taken.borrow().last().map_or(0, |last| last.number);
    Json(ObservationsAck { through, site })
}

fn tcp(at: SocketAddr) -> CheckOrder {
    let probe = Probe::Tcp { host: at.ip().to_string(), port: at.port() };
    CheckOrder { check: CheckId::random(), probe, interval_s: 10, timeout_s: 5 }
}

/// A site that was enrolled with a controller at this address.
async fn enrolled(city: &City, controller: SocketAddr, extra: &str) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    State::at(data.join("state")).init().unwrap();
    let url = format!("{{\"url\":\"https://{controller}\"}}");
    std::fs::write(data.join("state/controller.json"), url).unwrap();
    Site::launch(city, Some(dir), data, extra).await
}

#[tokio::test]
async fn a_site_looks_at_what_is_ordered_within_its_reach() {
    let city = City::new();
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // Another address of this machine: not in the site's file, so never connected to.
    let forbidden = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let seen = tcp(open.local_addr().unwrap());
    let unseen = tcp(forbidden.local_addr().unwrap());
    let too_often = CheckOrder { interval_s: 1, ..tcp(open.local_addr().unwrap()) };
    let books = Books::new(vec![seen.clone(), unseen.clone(), too_often]);
    let (controller, _stop) = serve(&city, &books, "127.0.0.1:0").await;
    let site = enrolled(&city, controller, ALLOW).await;
    let first = books.until(|taken| !taken.is_empty()).await;
    assert!(first[0].up && first[0].latency_ms.is_some() && first[0].detail.is_empty());
    assert_eq!((first[0].check, first[0].interval_s), (seen.check, 10));
    // What changes is told at once, by the next look.
    drop(open);
    let all = books.until(|taken| taken.last().is_some_and(|last| !last.up)).await;
    let down = all.last().unwrap();
    assert_eq!(down.detail, "the connection is refused: nothing listens there");
    assert!(all.iter().all(|observation| observation.check == seen.check), "{all:?}");
    assert!(
        tokio::time::timeout(std::time::Duration::ZERO, forbidden.accept()).await.is_err(),
        "nobody came"
    );
    let alarms = site.vault.alarms(10).unwrap();
    let about = |check: &CheckId, words: &str| {
        alarms.iter().any(|alarm| {
            alarm.kind == "vantage"
                && alarm.detail.contains(&check.short())
                && alarm.detail.contains(words)
        })
    };
    assert!(about(&unseen.check, "add its network to `allow`"), "{alarms:?}");
    site.stop().await;
}

#[tokio::test]
async fn nothing_is_lost_by_restarts_and_a_controller_that_is_away_or_restored() {
    let city = City::new();
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let books = Books::new(vec![tcp(target.local_addr().unwrap())]);
    let (controller, stop) = serve(&city, &books, "127.0.0.1:0").await;
    let site = enrolled(&city, controller, ALLOW).await;
    let before = books.until(|taken| !taken.is_empty()).await;
    stop.cancel();
    let site = site.restart(&city, ALLOW).await;
    // It goes on by the last orders. When the second look comes, the first is over.
    let waiting = std::time::Duration::ZERO;
    while tokio::time::timeout(waiting, target.accept()).await.is_ok() {}
    for _ in 0..2 {
        target.accept().await.unwrap();
    }
    let (dir, data) = site.stop().await;
    // The controller comes back from a copy that was made before it took anything.
    books.taken.send_replace(Vec::new());
    let (_, _stop) = serve(&city, &books, &controller.to_string()).await;
    let site = Site::launch(&city, dir, data, ALLOW).await;
    let wanted = before.len() + 1;
    let all = books.until(|taken| taken.len() >= wanted).await;
    assert_eq!(all[..before.len()], before, "the same as it was told the first time");
    assert!(all.windows(2).all(|pair| pair[0].at < pair[1].at), "{all:?}");
    site.stop().await;
}

#[tokio::test]
async fn orders_stay_when_the_end_comes_before_the_answer() {
    let city = City::new();
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let order = tcp(target.local_addr().unwrap());
    let books = Books::new(vec![order.clone()]);
    let (controller, _stop) = serve(&city, &books, "127.0.0.1:0").await;
    let site = enrolled(&city, controller, ALLOW).await;
    books.until(|taken| !taken.is_empty()).await;
    books.asked.notified().await;
    books.silent.store(true, Ordering::SeqCst);
    let site = site.restart(&city, ALLOW).await;
    books.asked.notified().await;
    let (_dir, data) = site.stop().await;
    let kept = std::fs::read(data.join("state/vantage-orders.json")).unwrap();
    let kept: VantageOrders = serde_json::from_slice(&kept).unwrap();
    assert_eq!(kept.checks, [order]);
}
