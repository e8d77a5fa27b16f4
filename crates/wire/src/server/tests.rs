//! Clients that stop in the middle: of a request's head, of its body, of reading the answer.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use lumbung_model::{Clock, SiteId, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::client::TlsStream;

use super::{ServeOptions, read_capped, serve_with};
use crate::certs;
use crate::tls::{ClientAccess, ServerTrust, TlsIdentity, client_config, server_config};

const SHORT: Duration = Duration::from_millis(100);

/// A connection to a server with these limits.
async fn connect(router: Router, options: ServeOptions) -> TlsStream<TcpStream> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let key = certs::generate_key().unwrap();
    let pem = certs::self_signed_site_certificate(&key, SiteId::from_bytes([1; 16])).unwrap();
    let own = TlsIdentity::from_pem(&pem, &key).unwrap();
    let access = ClientAccess { anonymous: true, self_signed: false };
    let tls = server_config(&own, &[], access, clock.clone()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve_with(listener, tls, router, options, std::future::pending()));
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
