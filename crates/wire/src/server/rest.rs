//! A connection between two requests: what it needs to be woken, and nothing else.
//!
//! Invariants: a connection rests only when no part of a request or an answer is under way; what its client has sent
//! meanwhile is not lost. While it rests it holds its TLS session and no buffer of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Buf, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// How much of the next request wakes a connection; the rest of it waits in TLS.
const WAKING_BYTES: usize = 64;

/// The requests of one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Calls(Arc<AtomicU64>);

/// Held by everything that belongs to a request until its answer is written.
#[derive(Debug, Clone)]
pub(super) struct Call {
    _calls: Calls,
}

impl Calls {
    /// One more request.
    pub(super) fn begin(&self) -> Call {
        self.0.fetch_add(1, Ordering::Relaxed);
        Call { _calls: self.clone() }
    }

    /// How many there were, if none of them is under way; the other holder is the connection's own service.
    pub(super) fn all_answered(&self) -> Option<u64> {
        (Arc::strong_count(&self.0) == 2).then(|| self.0.load(Ordering::Relaxed))
    }
}

/// An answer's body, under way until it is dropped.
pub(super) struct Answered {
    body: Body,
    _call: Call,
}

impl Answered {
    pub(super) fn new(body: Body, call: Call) -> Self {
        Self { body, _call: call }
    }
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that gives what was read of it already once more.
pub(super) struct Rewound<S> {
    again: Bytes,
    stream: S,
}

impl<S> Rewound<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { again: Bytes::new(), stream }
    }
}

impl<S: AsyncRead + Unpin> Rewound<S> {
    /// The same with `read` in front, which is what came out of it last.
    pub(super) fn unread(self, read: &Bytes) -> Self {
        if read.is_empty() {
            return self;
        }
        // What hyper did not take of what was given again comes after what it read.
        let again = [read.as_ref(), self.again.as_ref()].concat().into();
        Self { again, stream: self.stream }
    }

    /// Waits for the next request's first bytes; false if the client ends the connection instead.
    pub(super) async fn wake(&mut self) -> io::Result<bool> {
        if self.again.is_empty() {
            let mut first = [0; WAKING_BYTES];
            let read = self.stream.read(&mut first).await?;
            self.again = Bytes::copy_from_slice(&first[..read]);
        }
        Ok(!self.again.is_empty())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.again.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let many = self.again.len().min(buf.remaining());
        buf.put_slice(&self.again[..many]);
        self.again.advance(many);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, data)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
