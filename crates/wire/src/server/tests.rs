//! Clients that stop in the middle (of a request's head, of its body, of reading the answer), and those that come back to
//! a connection that rested.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use lumbung_model::{Clock, SiteId, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio_rustls::client::TlsStream;

use super::{ServeOptions, read_capped, serve_with};
use crate::certs;
use crate::tls::{ClientAccess, ServerTrust, TlsIdentity, client_config, server_config};

const SHORT: Duration = Duration::from_millis(100);

thread_local! {
    /// Each test runs on one thread, its server too.
    static RESTED: Rc<Notify> = Rc::default();
}

/// A connection has begun to rest.
pub(super) fn rested() {
    RESTED.with(|rested| rested.notify_one());
}

async fn until_it_rests() {
    RESTED.with(Rc::clone).notified().await;
}

/// A connection to a server with these limits.
async fn connect(router: Router, options: ServeOptions) -> TlsStream<TcpStream> {
    connect_until(router, options, std::future::pending()).await
}

async fn connect_until(
    router: Router,
    options: ServeOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> TlsStream<TcpStream> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = certs::generate_key().unwrap();
    let pem = certs::self_signed_site_certificate(&key, SiteId::from_bytes([1; 16])).unwrap();
    let own = TlsIdentity::from_pem(&pem, &key).unwrap();
    let access = ClientAccess { anonymous: true, self_signed: false };
    let tls = server_config(&own, &[], access, clock.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_with(listener, tls, router, options, shutdown));
    let client = client_config(None, ServerTrust::Pins(vec![own.pin().unwrap()]), clock).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = address.ip().to_string().try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client.config));
    connector.connect(name, stream).await.unwrap()
}

/// All that the server says until it closes the connection, in whatever manner.
async fn rest(mut stream: TlsStream<TcpStream>) -> String {
    let mut heard = Vec::new();
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn a_head_that_never_ends_ends_the_connection() {
    let options = ServeOptions { head: SHORT, ..ServeOptions::default() };
    let mut stream = connect(Router::new(), options).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    stream.flush().await.unwrap();
    let heard = rest(stream).await;
    assert!(!heard.contains("200"), "{heard}");
}

#[tokio::test]
async fn a_body_that_stops_gets_its_408() {
    let router = Router::new()
        .route("/", post(|body: Body| async { read_capped(body, 1000).await.map(|_| "taken") }));
    let mut stream =
        connect(router, ServeOptions { stall: SHORT, ..ServeOptions::default() }).await;
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let heard = rest(stream).await;
    assert!(heard.starts_with("HTTP/1.1 408"), "{heard}");
    assert!(heard.contains("urn:lumbung:problem:too-slow"), "{heard}");
}

#[tokio::test]
async fn an_answer_that_nobody_reads_is_given_up() {
    struct Held(Option<oneshot::Sender<()>>);
    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.take().map(|gone| gone.send(()));
        }
    }
    let (gone, given_up) = oneshot::channel();
    let held = Arc::new(std::sync::Mutex::new(Some(Held(Some(gone)))));
    let endless = get(move || async move {
        let held = held.lock().unwrap().take();
        let pieces = futures_util::stream::repeat_with(move || {
            assert!(held.is_some(), "one request only");
            Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[0; 65_536]))
        });
        Body::from_stream(pieces)
    });
    let options = ServeOptions { stall: SHORT, ..ServeOptions::default() };
    let mut stream = connect(Router::new().route("/", endless), options).await;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    given_up.await.unwrap();
    drop(stream);
}

const RESTING: ServeOptions = ServeOptions {
    max_connections: 16,
    max_per_address: 16,
    handshake: Duration::from_secs(60),
    head: Duration::from_secs(60),
    stall: Duration::from_secs(60),
    drain: Duration::from_secs(60),
    rest: Some(Duration::from_millis(1)),
    max_handshakes: 16,
};

fn echo() -> Router {
    let echo = |body: Body| async { read_capped(body, 1 << 20).await };
    Router::new().route("/", post(echo))
}

fn head_of(body: &[u8]) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes()
}

async fn say(stream: &mut TlsStream<TcpStream>, bytes: &[u8]) {
    stream.write_all(bytes).await.unwrap();
    stream.flush().await.unwrap();
}

/// Reads on until what was heard ends with `end`.
async fn hear(stream: &mut TlsStream<TcpStream>, end: &[u8]) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(end) {
        let many = stream.read_buf(&mut heard).await.unwrap();
        assert!(many > 0, "it closed after {:?}", String::from_utf8_lossy(&heard));
    }
    String::from_utf8(heard).unwrap()
}

/// Lets time pass for connections that could rest: another one has rested, twice.
async fn others_rest() {
    let mut other = connect(echo(), RESTING).await;
    for _ in 0..2 {
        say(&mut other, &head_of(b"")).await;
        hear(&mut other, b"\r\n\r\n").await;
        until_it_rests().await;
    }
}

#[tokio::test]
async fn a_connection_that_rested_serves_the_next_request() {
    let mut stream = connect(echo(), RESTING).await;
    for body in [&b"padi"[..], &[b'x'; 70_000], b"beras"] {
        say(&mut stream, &[&head_of(body), body].concat()).await;
        let heard = hear(&mut stream, body).await;
        assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
        assert!(!heard.contains("connection: close"), "{heard}");
        until_it_rests().await;
    }
}

#[tokio::test]
async fn what_came_before_it_rested_is_not_lost() {
    let mut stream = connect(echo(), RESTING).await;
    let next = [head_of(b"beras"), b"beras".to_vec()].concat();
    // The beginning of the second request is read with the first, and the connection rests over it.
    say(&mut stream, &[&head_of(b"padi"), &b"padi"[..], &next[..20]].concat()).await;
    hear(&mut stream, b"padi").await;
    until_it_rests().await;
    say(&mut stream, &next[20..]).await;
    let heard = hear(&mut stream, b"beras").await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
}

#[tokio::test]
async fn it_does_not_rest_while_a_body_or_an_answer_is_under_way() {
    let go_on = Arc::new(Notify::new());
    let signal = go_on.clone();
    let slow = get(move || async move {
        let pieces = futures_util::stream::unfold(0, move |n| {
            let signal = signal.clone();
            async move {
                match n {
                    0 => Some((Ok::<_, std::io::Error>("first"), 1)),
                    1 => {
                        signal.notified().await;
                        Some((Ok("last"), 2))
                    }
                    _ => None,
                }
            }
        });
        Body::from_stream(pieces)
    });
    let mut stream = connect(echo().route("/slow", slow), RESTING).await;
    say(&mut stream, b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await;
    hear(&mut stream, b"first\r\n").await;
    others_rest().await;
    go_on.notify_one();
    hear(&mut stream, b"last\r\n0\r\n\r\n").await;

    say(&mut stream, &[&head_of(b"padi"), &b"pa"[..]].concat()).await;
    others_rest().await;
    say(&mut stream, b"di").await;
    hear(&mut stream, b"padi").await;
}

#[tokio::test]
async fn a_connection_that_rests_ends_with_its_client_and_with_the_server() {
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async { drop(stopped.await) };
    let mut stream = connect_until(echo(), RESTING, until).await;
    say(&mut stream, &[&head_of(b"padi"), &b"padi"[..]].concat()).await;
    hear(&mut stream, b"padi").await;
    until_it_rests().await;
    drop(stop);
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "an end that TLS vouches for");

    let options = ServeOptions { head: SHORT, ..RESTING };
    let mut stream = connect(echo(), options).await;
    say(&mut stream, &[&head_of(b"padi"), &b"padi"[..]].concat()).await;
    hear(&mut stream, b"padi").await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0, "silent for too long");
}
