//! A request's body that is read no faster than its sender's line allows: what is not read stays with the sender, since its
//! TCP window closes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use lumbung_model::AgentId;

use super::Line;

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The body.
pub(super) struct SlowedBody {
    inner: Body,
    line: Arc<Line>,
    agent: AgentId,
    /// Whether it is slowed, or only counted.
    slow: bool,
    /// What was read last, until it may pass.
    held: Option<(Frame<Bytes>, Waiting)>,
}

impl SlowedBody {
    pub(super) const fn new(inner: Body, line: Arc<Line>, agent: AgentId, slow: bool) -> Self {
        Self { inner, line, agent, slow, held: None }
    }
}

impl HttpBody for SlowedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            if let Some((frame, mut waiting)) = this.held.take() {
                if waiting.as_mut().poll(cx).is_pending() {
                    this.held = Some((frame, waiting));
                    return Poll::Pending;
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            let frame = match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
            if !this.slow {
                this.line.count(bytes);
                return Poll::Ready(Some(Ok(frame)));
            }
            let (line, agent) = (Arc::clone(&this.line), this.agent);
            this.held = Some((frame, Box::pin(async move { line.pass(agent, bytes).await })));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.as_ref().and_then(|(frame, _)| frame.data_ref());
        let Some(held) = held else { return self.inner.size_hint() };
        let (inner, held) = (self.inner.size_hint(), held.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}
