//! The accept loop of vault and controller: TLS, one HTTP/1 connection a task, an orderly end.
//!
//! Invariants: whatever one client does, or leaves undone, holds up no other and never ends the loop:
//! handshake, request head, body and answer each have their time, connections have their number.
//! Every request carries the [`Peer`](crate::Peer) that TLS has proven and the [`RemoteAddr`] in its
//! extensions; every answer carries the server's clock in `lumbung-now`; every refusal is a problem document.

mod body;
mod connection;
mod rest;
mod stall;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

pub use body::{body_problem, read_capped, read_json};

use crate::tls::ServerTls;

/// The header with the server's clock, in seconds since 1970 UTC.
pub const NOW_HEADER: &str = "lumbung-now";
/// With this header a vault says of `/v1/line` that it holds the caller's PD to a cap now.
pub const CAPPED_HEADER: &str = "lumbung-capped";
/// How long the loop waits when the system has no file descriptor for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// From where a request comes, in its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteAddr(pub SocketAddr);

/// What the loop allows its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeOptions {
    /// Connections at one time; more wait in the system's queue.
    pub max_connections: usize,
    /// Connections at one time from one address: one machine does not take all of them.
    pub max_per_address: usize,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, and so for an idle connection.
    pub head: Duration,
    /// Without a byte of a body, or without the client taking a byte of the answer.
    pub stall: Duration,
    /// For requests under way when the server is told to stop.
    pub drain: Duration,
    /// A connection without a request for so long, or twice that, gives its buffers back until the next one: for servers
    /// whose many clients rarely speak. None: it keeps them.
    pub rest: Option<Duration>,
    /// Handshakes at one time; more wait for their turn. One that does not get on gives its turn to the next.
    pub max_handshakes: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_per_address: 256,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(30),
            rest: None,
            max_handshakes: 128,
        }
    }
}

/// Serves `router` over TLS until `shutdown` resolves, then lets requests under way finish.
pub async fn serve(
    listener: TcpListener,
    tls: ServerTls,
    router: axum::Router,
    shutdown: impl Future<Output = ()>,
) {
    serve_with(listener, tls, router, ServeOptions::default(), shutdown).await;
}

/// [`serve`] with other limits.
pub async fn serve_with(
    listener: TcpListener,
    tls: ServerTls,
    router: axum::Router,
    options: ServeOptions,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(options.max_connections));
    let addresses = PerAddress::new(options.max_per_address);
    let drain = options.drain;
    let handshakes = Semaphore::new(options.max_handshakes);
    let shared = Arc::new(connection::Shared { tls, router, options, stopped, handshakes });
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            (stream, remote, slot) = next_connection(&listener, &slots) => {
                if let Some(place) = addresses.enter(remote.ip()) {
                    connections.spawn(shared.clone().run(stream, remote, (slot, place)));
                }
            }
            Some(ended) = connections.join_next(), if !connections.is_empty() => log_end(ended),
        }
    }
    drop(listener);
    stop.send_replace(true);
    let all = async {
        while let Some(ended) = connections.join_next().await {
            log_end(ended);
        }
    };
    if tokio::time::timeout(drain, all).await.is_err() {
        tracing::warn!(seconds = drain.as_secs(), "stopping although clients have not finished");
    }
}

/// How many connections each address has open.
#[derive(Clone)]
struct PerAddress {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

impl PerAddress {
    fn new(max: usize) -> Self {
        Self { open: Arc::default(), max }
    }

    /// A place for one more connection, given back when it is dropped; `None` if there is none left.
    fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_insert(0);
        if *count >= self.max {
            tracing::info!(%address, max = self.max, "too many connections from one address");
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), address })
    }
}

/// One connection of one address.
struct Place {
    addresses: PerAddress,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// The next connection, once there is room for it.
pub(crate) async fn next_connection(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => return (stream, remote, slot),
            Err(error) if of_one_client(&error) => {
                tracing::debug!(%error, "a client left before it was accepted")
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; raise LimitNOFILE if this repeats");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn of_one_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted
    )
}

fn log_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended abnormally");
    }
}
