//! One connection: handshake, whom it is from, its requests one after the other, its end.
//!
//! Invariants: a refused handshake still delivers its alert, so that the client knows why. A handler
//! that panics answers 500 to its own client and to no other.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::body::TimedBody;
use super::stall::StallGuard;
use super::{NOW_HEADER, Place, RemoteAddr, ServeOptions};
use crate::identity::Peer;
use crate::problem::Problem;
use crate::tls::ServerTls;

/// How long a client whose handshake was refused may take to read why.
const ALERT_LINGER: Duration = Duration::from_secs(2);
/// How much of a plain-text refusal goes into a problem document.
const PLAIN_REFUSAL_MAX_BYTES: usize = 4096;

/// What all connections share.
pub(super) struct Shared {
    pub(super) tls: ServerTls,
    pub(super) router: axum::Router,
    pub(super) options: ServeOptions,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Shared {
    /// Serves one connection to its end, holding its slot.
    pub(super) async fn run(
        self: Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        _slot: (OwnedSemaphorePermit, Place),
    ) {
        let mut stopped = self.stopped.clone();
        let greeting = tokio::select! {
            greeting = self.greet(stream, remote) => greeting,
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        if let Some((stream, peer)) = greeting {
            self.requests(stream, remote, peer, stopped).await;
        }
    }

    /// The handshake, and whom it proved.
    async fn greet(
        &self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Option<(TlsStream<StallGuard<TcpStream>>, Peer)> {
        // Answers are small or written in large pieces: waiting to fill a segment only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "TCP_NODELAY refused");
        }
        let side = self.tls.current();
        let stream = StallGuard::new(stream, self.options.stall);
        let handshake = TlsAcceptor::from(side.config.clone()).accept(stream).into_fallible();
        let stream = match tokio::time::timeout(self.options.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                tracing::info!(%remote, %error, "a TLS handshake failed");
                deliver_alert(stream).await;
                return None;
            }
            Err(_) => {
                tracing::info!(%remote, "a TLS handshake took too long");
                return None;
            }
        };
        match side.verifier.peer(stream.get_ref().1.peer_certificates(), self.tls.clock.now()) {
            Ok(peer) => Some((stream, peer)),
            Err(error) => {
                tracing::info!(%remote, %error, "a certificate ran out during its handshake");
                None
            }
        }
    }

    async fn requests(
        self: Arc<Self>,
        stream: TlsStream<StallGuard<TcpStream>>,
        remote: SocketAddr,
        peer: Peer,
        mut stopped: watch::Receiver<bool>,
    ) {
        let shared = self.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (shared, peer) = (shared.clone(), peer.clone());
            async move { Ok::<_, Infallible>(shared.answer(request, remote, peer).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => Some(ended),
            _ = stopped.wait_for(|stop| *stop) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%remote, %error, "a connection broke");
        }
    }

    async fn answer(&self, request: Request<Incoming>, remote: SocketAddr, peer: Peer) -> Response {
        let stall = self.options.stall;
        // A client that waits for "100 Continue" sends nothing that would have to be read away.
        let read_away = !request.headers().contains_key(header::EXPECT);
        let mut request = request.map(|body| Body::new(TimedBody::new(body, stall, read_away)));
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(RemoteAddr(remote));
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let handled = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind().await;
        let mut response = match handled {
            Ok(Ok(response)) => as_problem(response).await,
            Ok(Err(never)) => match never {},
            Err(_) => {
                tracing::error!(%remote, %method, path, "a request handler panicked");
                Problem::internal("try again; if it repeats, the server's log says more")
                    .into_response()
            }
        };
        response.headers_mut().insert(NOW_HEADER, HeaderValue::from(self.tls.clock.now().0));
        response
    }
}

/// Ends the sending side and reads what the client still sends: closing at once would reset the
/// connection, and the alert that says why would be lost.
async fn deliver_alert(mut stream: StallGuard<TcpStream>) {
    let lingering = async {
        if stream.shutdown().await.is_ok() {
            let mut scratch = [0; 4096];
            while matches!(stream.read(&mut scratch).await, Ok(1..)) {}
        }
    };
    // Whether it got through or not, the connection is over.
    let _ = tokio::time::timeout(ALERT_LINGER, lingering).await;
}

/// Refusals of the router and its extractors are empty or plain text; clients get a document.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !plain || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let text = axum::body::to_bytes(response.into_body(), PLAIN_REFUSAL_MAX_BYTES)
        .await
        .unwrap_or_default();
    let detail = String::from_utf8_lossy(&text).into_owned();
    let problem = match status {
        StatusCode::NOT_FOUND if detail.is_empty() => Problem::not_found(
            "there is no such path; a newer client may know paths that this server does not",
        ),
        StatusCode::NOT_FOUND => Problem::not_found(detail),
        StatusCode::METHOD_NOT_ALLOWED => Problem::method_not_allowed(detail),
        StatusCode::UNPROCESSABLE_ENTITY => Problem::invalid(detail),
        status if status.is_server_error() => {
            Problem::new(status, "internal", "The server could not do it", detail)
        }
        status => Problem::new(status, "bad-request", "The request cannot be understood", detail),
    };
    let mut response = problem.into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
