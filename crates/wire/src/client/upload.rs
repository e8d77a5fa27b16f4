//! A request body in pieces, whose progress can be watched.
//!
//! Invariant: its length is known beforehand, and it is handed on in small pieces, so that "no
//! progress" means that the line carries nothing, not that a pack is large.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Largest piece that is handed on at once.
const PIECE_BYTES: usize = 64 << 10;

/// How much of a body is still to be handed on.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The body.
#[derive(Debug)]
pub(super) struct Upload {
    pieces: VecDeque<Bytes>,
    progress: Progress,
}

impl Upload {
    pub(super) fn new(pieces: impl IntoIterator<Item = Bytes>) -> (Self, Progress) {
        let pieces: VecDeque<Bytes> =
            pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let progress =
            Progress(Arc::new(AtomicU64::new(pieces.iter().map(|piece| piece.len() as u64).sum())));
        (Self { pieces, progress: progress.clone() }, progress)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(first) = self.pieces.front_mut() else { return Poll::Ready(None) };
        let piece = first.split_to(first.len().min(PIECE_BYTES));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.progress.0.fetch_sub(piece.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.progress.left())
    }
}
