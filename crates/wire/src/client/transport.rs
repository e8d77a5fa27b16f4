//! One server over HTTPS: requests sent, watched and answered, for both clients.
//!
//! Invariants: time-outs count silence, never the whole; an answer's body ends at its cap, whatever
//! its headers say.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lumbung_model::{Clock, TlsPin};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ClientError;
use super::upload::{Progress, Upload};
use crate::problem::Problem;
use crate::server::{CAPPED_HEADER, NOW_HEADER};
use crate::tls::{ClientTls, SeenKey};

/// Longest problem document that is read.
const PROBLEM_MAX_BYTES: usize = 16 << 20;
/// "Not known yet" for the clock skew.
const NO_SKEW: i64 = i64::MIN;

/// How long silence is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// Without a byte of a body, sent or received; and for an ordinary answer.
    pub stall: Duration,
    /// For the answer to a commit, which may check a great many objects.
    pub commit: Duration,
    /// Without a byte taken, and for the answer, while the vault says that it holds the sender to a cap: it reads at least 1 KiB/s
    /// of each body, and tens of MB may be on their way in the buffers of both machines.
    pub slowed: Duration,
    /// Silence of a body or a commit after which the vault is asked, over another connection, whether it is there; and for the
    /// answer to that: a site that is cut off is noticed in twice this time.
    pub ask: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            commit: Duration::from_secs(900),
            slowed: Duration::from_secs(12 * 3600),
            ask: Duration::from_secs(20),
        }
    }
}

/// A request in the making.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) range: Option<String>,
    /// The tag that what is changed has to have still (`If-Match`).
    pub(super) seen: Option<String>,
    pub(super) kind: Option<&'static str>,
    pub(super) body: Vec<Bytes>,
    /// For the answer, once the body is sent.
    pub(super) patience: Duration,
    /// Whether a vault may read its body slowly, since it holds the sender's PD to a cap.
    pub(super) slowable: bool,
}

/// What asking during a silence brings.
enum There {
    /// No answer.
    Gone,
    /// It answers.
    Quick,
    /// It answers, and says that it holds the sender to a cap.
    Slowing,
}

/// An answer whose body has not been read.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    response: reqwest::Response,
}

/// An answer that is read piece by piece, however long it is.
pub struct Download {
    transport: Transport,
    response: reqwest::Response,
}

impl Download {
    /// The next piece; none at the end. An answer that breaks off is an error.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.transport.piece(&mut self.response).await
    }
}

/// A server, and the connections to it. Clones share them.
#[derive(Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    /// Of every request: who asks, if a certificate does not say it.
    headers: HeaderMap,
    /// Without a slash at the end.
    server: Arc<str>,
    pub(super) timeouts: Timeouts,
    seen: SeenKey,
    clock: Arc<dyn Clock>,
    skew_s: Arc<AtomicI64>,
}

impl Transport {
    pub(super) fn new(url: &str, tls: &ClientTls, timeouts: Timeouts) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address { url: url.to_owned() };
        let parsed = reqwest::Url::parse(url).map_err(|_| wrong())?;
        if parsed.scheme() != "https" || parsed.host().is_none() || parsed.query().is_some() {
            return Err(wrong());
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.config.clone())
            .https_only(true)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("lumbung/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            // Shorter than the server's patience with idle connections.
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_keepalive(Duration::from_secs(30))
            .tcp_nodelay(true)
            .build()
            .map_err(|_| wrong())?;
        Ok(Self {
            http,
            headers: HeaderMap::new(),
            server: url.trim_end_matches('/').into(),
            timeouts,
            seen: tls.seen.clone(),
            clock: tls.clock.clone(),
            skew_s: Arc::new(AtomicI64::new(NO_SKEW)),
        })
    }

    /// The same connections, with these headers in every request.
    pub(super) fn with_headers(self, headers: HeaderMap) -> Self {
        Self { headers, ..self }
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn seen_pin(&self) -> Option<TlsPin> {
        self.seen.get()
    }

    pub(super) fn clock_skew_s(&self) -> Option<i64> {
        let skew = self.skew_s.load(Ordering::Relaxed);
        (skew != NO_SKEW).then_some(skew)
    }

    pub(super) fn protocol(&self, reason: impl Into<String>) -> ClientError {
        ClientError::Protocol { server: self.server.to_string(), reason: reason.into() }
    }

    fn stalled(&self, after: Duration) -> ClientError {
        ClientError::Stalled { server: self.server.to_string(), seconds: after.as_secs() }
    }

    /// A request without a body.
    pub(super) fn get(&self, path: String) -> Call {
        Call {
            method: Method::GET,
            path,
            range: None,
            seen: None,
            kind: None,
            body: Vec::new(),
            patience: self.timeouts.stall,
            slowable: false,
        }
    }

    /// A request with bytes.
    pub(super) fn put(&self, path: String, body: Vec<Bytes>) -> Call {
        let call = Call { method: Method::PUT, body, ..self.get(path) };
        Call { kind: Some("application/octet-stream"), slowable: true, ..call }
    }

    /// A request with JSON.
    pub(super) fn json<T: Serialize + ?Sized>(
        &self,
        method: Method,
        path: String,
        body: &T,
    ) -> Result<Call, ClientError> {
        let bytes = serde_json::to_vec(body).map_err(|error| self.protocol(error.to_string()))?;
        Ok(Call {
            method,
            kind: Some("application/json"),
            body: vec![bytes.into()],
            ..self.get(path)
        })
    }

    /// Sends, and gives back the answer if it is a success; a refusal becomes an error.
    pub(super) async fn send(&self, call: Call) -> Result<Answer, ClientError> {
        let url = format!("{}{}", self.server, call.path);
        let mut request = self.http.request(call.method, url).headers(self.headers.clone());
        if let Some(range) = call.range {
            request = request.header(header::RANGE, range);
        }
        if let Some(seen) = call.seen {
            request = request.header(header::IF_MATCH, seen);
        }
        let mut progress = Progress::default();
        if let Some(kind) = call.kind {
            let (upload, watched) = Upload::new(call.body);
            progress = watched;
            request = request.header(header::CONTENT_TYPE, kind).body(reqwest::Body::wrap(upload));
        }
        let sent = self.watch(request.send(), &progress, (call.patience, call.slowable)).await?;
        let response = sent.map_err(|error| ClientError::from_transport(&self.server, error))?;
        self.note_clock(response.headers().get(NOW_HEADER));
        let answer =
            Answer { status: response.status(), headers: response.headers().clone(), response };
        if answer.status.is_success() { Ok(answer) } else { Err(self.refusal(answer).await) }
    }

    /// Waits for `sending` as long as its body moves, and then for `patience`. A silence that may be a long one is asked about: a
    /// vault that holds a PD to its cap says so and is waited for, one behind a line that was cut does not answer.
    async fn watch<T>(
        &self,
        sending: impl Future<Output = T>,
        progress: &Progress,
        (patience, slowable): (Duration, bool),
    ) -> Result<T, ClientError> {
        let moving = self.timeouts.connect + self.timeouts.stall;
        let asks = slowable || patience > moving;
        tokio::pin!(sending);
        let (mut left, mut silent, mut is_slowed) = (progress.left(), Duration::ZERO, false);
        loop {
            let wait = match (is_slowed, left) {
                (true, _) => self.timeouts.slowed,
                (false, 0) => patience,
                (false, _) => moving,
            };
            let rest = wait.saturating_sub(silent);
            let step = if asks { rest.min(self.timeouts.ask) } else { rest };
            if let Ok(done) = tokio::time::timeout(step, &mut sending).await {
                return Ok(done);
            }
            silent += step;
            let now_left = progress.left();
            if now_left != left {
                (left, silent) = (now_left, Duration::ZERO);
                continue;
            }
            if asks {
                let there = tokio::select! {
                    done = &mut sending => return Ok(done),
                    there = self.ask() => there,
                };
                match there {
                    There::Gone => return Err(self.stalled(silent)),
                    There::Quick => is_slowed = false,
                    There::Slowing => is_slowed = slowable,
                }
            }
            if silent >= if is_slowed { self.timeouts.slowed } else { wait } {
                return Err(self.stalled(silent));
            }
        }
    }

    /// Asks whether the server is there; whatever it says, it is.
    async fn ask(&self) -> There {
        let asked = self.http.head(format!("{}/v1/line", self.server));
        match asked.headers(self.headers.clone()).timeout(self.timeouts.ask).send().await {
            Err(_) => There::Gone,
            Ok(answer) if answer.headers().contains_key(CAPPED_HEADER) => There::Slowing,
            Ok(_) => There::Quick,
        }
    }

    fn note_clock(&self, header: Option<&HeaderValue>) {
        let now =
            header.and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<i64>().ok());
        if let Some(now) = now {
            self.skew_s.store(now.saturating_sub(self.clock.now().0), Ordering::Relaxed);
        }
    }

    async fn refusal(&self, answer: Answer) -> ClientError {
        let status = answer.status;
        let is_problem = answer
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let body = match self.body(answer, PROBLEM_MAX_BYTES).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        let document =
            if is_problem { serde_json::from_slice::<Problem>(&body).ok() } else { None };
        let mut problem =
            document.map_or_else(|| Problem::from_status(status, &body), Problem::from_server);
        // The status line decides, not what the document claims.
        problem.status = status.as_u16();
        ClientError::Refused { server: self.server.to_string(), problem: Box::new(problem) }
    }

    /// The whole body of an answer, of at most `cap` bytes.
    pub(super) async fn body(&self, answer: Answer, cap: usize) -> Result<Bytes, ClientError> {
        let too_long = || self.protocol(format!("the answer is longer than {cap} bytes"));
        let announced = answer.response.content_length();
        if announced.is_some_and(|length| length > cap as u64) {
            return Err(too_long());
        }
        let mut response = answer.response;
        // An announced length is a claim: room for a good part of it is made beforehand, no more.
        let room =
            announced.map_or(0, |length| usize::try_from(length).unwrap_or(cap).min(1 << 20));
        let mut whole = BytesMut::with_capacity(room);
        loop {
            let Some(piece) = self.piece(&mut response).await? else { return Ok(whole.freeze()) };
            if whole.len() + piece.len() > cap {
                return Err(too_long());
            }
            whole.extend_from_slice(&piece);
        }
    }

    async fn piece(&self, response: &mut reqwest::Response) -> Result<Option<Bytes>, ClientError> {
        tokio::time::timeout(self.timeouts.stall, response.chunk())
            .await
            .map_err(|_| self.stalled(self.timeouts.stall))?
            .map_err(|error| ClientError::from_transport(&self.server, error))
    }

    /// Sends, and leaves the answer to be read piece by piece.
    pub(super) async fn download(&self, call: Call) -> Result<Download, ClientError> {
        let answer = self.send(call).await?;
        Ok(Download { transport: self.clone(), response: answer.response })
    }

    /// Sends, and reads the answer as JSON of at most `cap` bytes.
    pub(super) async fn read_json<T: DeserializeOwned>(
        &self,
        call: Call,
        cap: usize,
    ) -> Result<T, ClientError> {
        let answer = self.send(call).await?;
        let body = self.body(answer, cap).await?;
        serde_json::from_slice(&body).map_err(|error| self.protocol(error.to_string()))
    }
}
