//! Request bodies: each piece has its time, each capped reader its limit.
//!
//! Invariants: time counts only while the server waits for the client, never while a handler writes
//! to its disk. A body that a handler drops is read away (up to a limit), so that a refusal reaches
//! a client that is still sending, and the connection can be used again.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, Sleep, sleep_until};

use super::rest::Call;
use crate::problem::Problem;

/// A body that arrives more slowly than this, on average and after the first stall time, is given up.
const SLOWEST_BYTES_PER_S: u64 = 4096;
/// How much of an unwanted body is read away: a whole pack and more.
const READ_AWAY_MAX_BYTES: u64 = 64 << 20;
/// How long that may take.
const READ_AWAY_TIME: Duration = Duration::from_secs(60);

/// The client stopped sending, or sends too slowly.
#[derive(Debug)]
struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body stopped arriving")
    }
}

impl std::error::Error for TooSlow {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body with its time.
pub(super) struct TimedBody {
    inner: Option<Incoming>,
    stall: Duration,
    received: u64,
    /// Spent waiting for the client so far.
    waited: Duration,
    /// Since when, and until when, this piece is waited for.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    read_away: bool,
    call: Call,
}

impl TimedBody {
    pub(super) fn new(inner: Incoming, stall: Duration, read_away: bool, call: Call) -> Self {
        Self {
            inner: Some(inner),
            stall,
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
            read_away,
            call,
        }
    }

    /// How long the next piece may take.
    fn patience(&self) -> Duration {
        let earned = self.stall + Duration::from_secs(self.received / SLOWEST_BYTES_PER_S);
        self.stall.min(earned.saturating_sub(self.waited))
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some((since, _)) = this.waiting.take() {
                    this.waited += since.elapsed();
                }
                if let Some(Ok(frame)) = &frame {
                    this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BoxError::from)))
            }
            Poll::Pending => {
                let patience = this.patience();
                let (_, timer) = this.waiting.get_or_insert_with(|| {
                    let since = Instant::now();
                    (since, Box::pin(sleep_until(since + patience)))
                });
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                // Nothing more is wanted of this client.
                this.inner = None;
                Poll::Ready(Some(Err(Box::new(TooSlow))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        let Some(mut rest) = self.inner.take() else { return };
        if !self.read_away || rest.is_end_stream() || rest.size_hint().lower() > READ_AWAY_MAX_BYTES
        {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let call = self.call.clone();
            runtime.spawn(async move {
                let _under_way = call;
                let reading = async {
                    let mut left = READ_AWAY_MAX_BYTES;
                    while let Some(Ok(frame)) = rest.frame().await {
                        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                        match left.checked_sub(length) {
                            Some(less) => left = less,
                            None => break,
                        }
                    }
                };
                // Read away or not: the answer is on its way.
                let _ = tokio::time::timeout(READ_AWAY_TIME, reading).await;
            });
        }
    }
}

/// The problem with a body that could not be read to its end, for handlers that stream.
#[must_use]
pub fn body_problem(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<TooSlow>() {
            return Problem::too_slow(
                "the body stopped arriving; check the line, then send it again",
            );
        }
        cause = error.source();
    }
    Problem::bad_request("the body ended before its announced length; send it again")
}

/// A whole body of at most `limit_bytes`; 413 if it is longer, before more than that is kept.
pub async fn read_capped(body: Body, limit_bytes: usize) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(limit_bytes as u64);
    if HttpBody::size_hint(&body).lower() > limit_bytes as u64 {
        return Err(too_large());
    }
    let mut body = body;
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| body_problem(&error))?;
        let Ok(data) = frame.into_data() else { continue };
        if whole.is_empty() && body.is_end_stream() && data.len() <= limit_bytes {
            return Ok(data);
        }
        if whole.len() + data.len() > limit_bytes {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// A JSON body of at most `limit_bytes`.
pub async fn read_json<T: DeserializeOwned>(body: Body, limit_bytes: usize) -> Result<T, Problem> {
    let bytes = read_capped(body, limit_bytes).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!("the JSON body is not what this path takes: {error}"))
    })
}
