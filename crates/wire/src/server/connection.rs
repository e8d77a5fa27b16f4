//! One connection: handshake, whom it is from, its requests one after the other, its end.
//!
//! Invariants: a refused handshake still delivers its alert, so that the client knows why. A handler
//! that panics answers 500 to its own client and to no other. A connection that rests, where it may, serves its next
//! request as if it had not.

use std::convert::Infallible;
use std::future::poll_fn;
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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, Interval, interval_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::body::TimedBody;
use super::rest::{Answered, Call, Calls, Rewound};
use super::stall::StallGuard;
use super::{NOW_HEADER, Place, RemoteAddr, ServeOptions};
use crate::identity::Peer;
use crate::problem::Problem;
use crate::tls::ServerTls;

/// How long a client whose handshake was refused may take to read why.
const ALERT_LINGER: Duration = Duration::from_secs(2);
/// How much of a plain-text refusal goes into a problem document.
const PLAIN_REFUSAL_MAX_BYTES: usize = 4096;

/// How long a handshake keeps its turn: a client that does nothing with it goes on without one, and holds up nobody.
const TURN: Duration = Duration::from_secs(1);

/// On the heap: between two requests it is all that a connection holds.
type Stream = Box<TlsStream<StallGuard<TcpStream>>>;

/// What all connections share.
pub(super) struct Shared {
    pub(super) tls: ServerTls,
    pub(super) router: axum::Router,
    pub(super) options: ServeOptions,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) handshakes: Semaphore,
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
        // Boxes: a task takes the room of its largest part for as long as it lives.
        let greeting = tokio::select! {
            greeting = Box::pin(self.greet(stream, remote)) => greeting,
            () = stop(&mut stopped) => None,
        };
        let Some((stream, peer)) = greeting else { return };
        let mut stream = Rewound::new(stream);
        let peer = Arc::new(peer);
        loop {
            let requests = self.clone().requests(stream, remote, peer.clone(), &mut stopped);
            let Some(resting) = Box::pin(requests).await else { return };
            stream = resting;
            #[cfg(test)]
            super::tests::rested();
            let woken = tokio::select! {
                woken = tokio::time::timeout(self.options.head, stream.wake()) => woken,
                () = stop(&mut stopped) => Ok(Ok(false)),
            };
            if !matches!(woken, Ok(Ok(true))) {
                end(stream, remote).await;
                return;
            }
        }
    }

    /// The handshake, and whom it proved.
    async fn greet(&self, stream: TcpStream, remote: SocketAddr) -> Option<(Stream, Peer)> {
        // Answers are small or written in large pieces: waiting to fill a segment only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%remote, %error, "TCP_NODELAY refused");
        }
        // When all clients come at once, some are served after the other, instead of all of them too late.
        let turn = self.handshakes.acquire().await;
        let side = self.tls.current();
        let stream = StallGuard::new(stream, self.options.stall);
        let handshake = TlsAcceptor::from(side.config.clone()).accept(stream).into_fallible();
        let handshake = in_turn(handshake, turn.ok());
        let handshaken = tokio::time::timeout(self.options.handshake, handshake).await;
        let stream = match handshaken {
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
            Ok(peer) => Some((Box::new(stream), peer)),
            Err(error) => {
                tracing::info!(%remote, %error, "a certificate ran out during its handshake");
                None
            }
        }
    }

    /// Serves requests until the connection ends, or rests: then it is given back.
    async fn requests(
        self: Arc<Self>,
        stream: Rewound<Stream>,
        remote: SocketAddr,
        peer: Arc<Peer>,
        stopped: &mut watch::Receiver<bool>,
    ) -> Option<Rewound<Stream>> {
        let (shared, calls) = (self.clone(), Calls::default());
        let begin = calls.clone();
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let (shared, peer, call) = (shared.clone(), Peer::clone(&peer), begin.begin());
            Box::pin(async move {
                Ok::<_, Infallible>(shared.answer(request, remote, peer, call).await)
            })
        });
        let mut connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.head)
            .serve_connection(TokioIo::new(stream), service);
        let mut tick = self.options.rest.map(|rest| interval_at(Instant::now() + rest, rest));
        let mut before = 0;
        let ended = loop {
            let running = poll_fn(|cx| connection.poll_without_shutdown(cx));
            tokio::select! {
                ended = running => break ended,
                () = next(&mut tick) => {
                    let answered = calls.all_answered().unwrap_or(0);
                    if answered > 0 && answered == before {
                        std::pin::Pin::new(&mut connection).graceful_shutdown();
                        // It ends at once, if hyper too holds that nothing is under way.
                        let at_once = poll_fn(|cx| connection.poll_without_shutdown(cx)).now_or_never();
                        match at_once {
                            Some(Ok(())) => {
                                let parts = connection.into_parts();
                                return Some(parts.io.into_inner().unread(&parts.read_buf));
                            }
                            Some(broken) => break broken,
                            None => {}
                        }
                    }
                    before = answered;
                }
                () = stop(stopped) => {
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                    break poll_fn(|cx| connection.poll_without_shutdown(cx)).await;
                }
            }
        };
        match ended {
            Ok(()) => end(connection.into_parts().io.into_inner(), remote).await,
            Err(error) => tracing::debug!(%remote, %error, "a connection broke"),
        }
        None
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        remote: SocketAddr,
        peer: Peer,
        call: Call,
    ) -> Response<Answered> {
        let stall = self.options.stall;
        // A client that waits for "100 Continue" sends nothing that would have to be read away.
        let read_away = !request.headers().contains_key(header::EXPECT);
        let mut request =
            request.map(|body| Body::new(TimedBody::new(body, stall, read_away, call.clone())));
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
        response.map(|body| Answered::new(body, call))
    }
}

/// Runs `work`, and gives the turn back once it is done, or has had it for long enough.
async fn in_turn<T>(work: impl Future<Output = T>, turn: Option<SemaphorePermit<'_>>) -> T {
    tokio::pin!(work);
    if let Ok(done) = tokio::time::timeout(TURN, &mut work).await {
        return done;
    }
    drop(turn);
    work.await
}

/// Resolves when the server is told to stop.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // An error is the end of who could tell it: the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// The next tick, where there are any.
async fn next(tick: &mut Option<Interval>) {
    match tick {
        Some(tick) => drop(tick.tick().await),
        None => std::future::pending().await,
    }
}

/// Says that nothing more comes.
async fn end(mut stream: Rewound<Stream>, remote: SocketAddr) {
    if let Err(error) = stream.shutdown().await {
        tracing::debug!(%remote, %error, "a connection broke at its end");
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
