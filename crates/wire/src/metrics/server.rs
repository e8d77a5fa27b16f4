//! The server behind `/metrics`: binds, gathers when asked, remembers for a while.
//!
//! Invariants: figures are gathered by one thread at a time, at most once in [`FRESH`] and never more than a fifth of
//! the time, however many ask: a city may have 100,000 datasets. Where gathering takes long, who asks gets the page
//! before. A connection asks once and has its time; a failure is told to whoever asks and to the log, and ends nothing.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lumbung_model::Clock;
use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::{BUILD_INFO, Figures, GATHERED, GATHERING_DURATION, Settings};

/// A page is shown again for at least so long.
pub const FRESH: Duration = Duration::from_secs(15);
/// A page is shown again for so many times as long as it took to gather.
const REST: u32 = 4;
/// How long who asks waits for a new page where there is an older one. Prometheus itself waits for 10 s.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at one time; more wait in the system's queue.
const CONNECTIONS: usize = 8;
/// For the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// For a connection as a whole.
const CONNECTION: Duration = Duration::from_secs(60);

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address cannot be had.
    #[error(
        "cannot show metrics at {address}: write another `listen` into [metrics], or stop what holds it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// They could not be gathered.
    #[error("the figures could not be gathered")]
    Gather(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The thread that gathered them panicked.
    #[error("the figures could not be gathered: see the log, and report this if it repeats")]
    Thread,
}

impl MetricsError {
    /// As the result of gathering.
    #[must_use]
    pub fn gathering(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Gather(Box::new(error))
    }
}

/// What gathers a program's figures; it may block.
pub type Gather = Box<dyn Fn() -> Result<Figures, MetricsError> + Send + Sync>;

/// An address that was bound, and answers once it is served.
pub struct Endpoint {
    listener: TcpListener,
    address: SocketAddr,
}

impl Endpoint {
    /// Binds the address of the configuration, if there is one.
    ///
    /// # Errors
    /// If it cannot be had.
    pub async fn bind(settings: Option<Settings>) -> Result<Option<Self>, MetricsError> {
        let Some(address) = settings.map(|settings| settings.listen()) else { return Ok(None) };
        let error = |source| MetricsError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        Ok(Some(Self { listener, address }))
    }

    /// Where it answers.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` resolves. `program` is the name and version of the program that the figures are of.
    pub async fn serve(
        self,
        program: (&'static str, &'static str),
        clock: Arc<dyn Clock>,
        gather: Gather,
        shutdown: impl Future<Output = ()>,
    ) {
        tracing::info!("metrics at http://{}/metrics", self.address);
        let pages = Arc::new(Pages::new(program, clock, gather));
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                (stream, _, slot) = crate::server::next_connection(&self.listener, &slots) => {
                    let pages = Arc::clone(&pages);
                    connections.spawn(async move {
                        let _slot = slot;
                        answer_one(stream, pages).await;
                    });
                }
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        // Who is still asking asks again: nothing is lost with an answer.
        connections.shutdown().await;
    }
}

async fn answer_one(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request| {
        let pages = Arc::clone(&pages);
        async move { Ok::<_, Infallible>(answer(&request, &pages).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics broke"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

async fn answer<B>(request: &Request<B>, pages: &Arc<Pages>) -> Response<Full<Bytes>> {
    if request.uri().path() != "/metrics" {
        return text(StatusCode::NOT_FOUND, "there is only /metrics here\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "metrics are only read: GET\n");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match pages.newest().await {
        Some(page) => text(StatusCode::OK, page),
        None => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the figures could not be gathered: the program's log says why\n",
        ),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    response
}

/// The newest page, and whether another one is being made.
struct Pages {
    program: (&'static str, &'static str),
    clock: Arc<dyn Clock>,
    gather: Gather,
    fresh: Duration,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Nothing, if it could not be made.
    page: Option<Bytes>,
    /// Until when it need not be made anew.
    until: Option<Instant>,
    /// Closed when the page that is being made is done.
    making: Option<watch::Receiver<()>>,
}

impl Pages {
    fn new(program: (&'static str, &'static str), clock: Arc<dyn Clock>, gather: Gather) -> Self {
        let (fresh, patience) = (FRESH, PATIENCE);
        Self { program, clock, gather, fresh, patience, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest page: one that is fresh, else a new one, else, where that takes long, the one before.
    async fn newest(self: &Arc<Self>) -> Option<Bytes> {
        let (mut made, before) = {
            let mut state = self.state();
            if state.until.is_some_and(|until| Instant::now() < until) {
                return state.page.clone();
            }
            let made = state.making.get_or_insert_with(|| self.make()).clone();
            (made, state.page.clone())
        };
        // An error says that the sender is gone: the page is made.
        let making = async move { while made.changed().await.is_ok() {} };
        let patience = if before.is_some() { self.patience } else { CONNECTION };
        match tokio::time::timeout(patience, making).await {
            Ok(()) => self.state().page.clone(),
            Err(_) => before,
        }
    }

    /// Begins to make a page.
    fn make(self: &Arc<Self>) -> watch::Receiver<()> {
        let (done, made) = watch::channel(());
        let pages = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let begun = Instant::now();
            let page = pages.gather_page(begun);
            let mut state = pages.state();
            state.until = Some(Instant::now() + pages.fresh.max(begun.elapsed() * REST));
            state.page = page;
            state.making = None;
            drop(state);
            drop(done);
        });
        made
    }

    fn gather_page(&self, begun: Instant) -> Option<Bytes> {
        let gather = std::panic::AssertUnwindSafe(|| (self.gather)());
        let gathered =
            std::panic::catch_unwind(gather).unwrap_or_else(|_| Err(MetricsError::Thread));
        match gathered {
            Ok(mut figures) => {
                let (program, version) = self.program;
                figures.flag(&BUILD_INFO, &[program, version], true);
                figures.time(&GATHERED, &[], Some(self.clock.now()));
                figures.set(&GATHERING_DURATION, &[], begun.elapsed().as_secs_f64());
                Some(Bytes::from(figures.into_text()))
            }
            Err(error) => {
                tracing::error!("metrics: {}", lumbung_model::with_causes(&error));
                None
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
