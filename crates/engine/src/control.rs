//! How a caller watches, slows and stops a run. All of it is called from several threads.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender};

/// An estimate of what a run will have read when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Files.
    pub files: u64,
    /// Bytes of content.
    pub bytes: u64,
}

/// Told what happens. Calls are cheap and come from several threads at once.
pub trait Progress: Send + Sync {
    /// So many more entries are done (or, for a file in pieces, 0).
    fn files(&self, _count: u64) {}
    /// So many more bytes of content are done, reused ones included.
    fn bytes(&self, _count: u64) {}
    /// So many stored bytes were newly sent.
    fn new_bytes(&self, _count: u64) {}
    /// The path at work now.
    fn current(&self, _path: &[u8]) {}
    /// What there will be in all; may be called again with a better estimate.
    fn total(&self, _total: Total) {}
    /// Something the operator should know while the run goes on.
    fn message(&self, _text: &str) {}
}

/// Ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}

/// Asked before bytes are sent; returns when they may go.
pub trait Throttle: Send + Sync {
    /// Waits until `bytes` may be sent.
    fn take(&self, bytes: u64);
}

/// Never waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoThrottle;

impl Throttle for NoThrottle {
    fn take(&self, _bytes: u64) {}
}

/// A request to stop, shared by its clones.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Request>);

#[derive(Debug)]
struct Request {
    asked: AtomicBool,
    /// Dropped when the run is asked to stop, so that whoever waits on `signal` wakes.
    holder: Mutex<Option<Sender<Infallible>>>,
    signal: Receiver<Infallible>,
}

impl Default for Request {
    fn default() -> Self {
        let (holder, signal) = crossbeam_channel::bounded(0);
        Self { asked: AtomicBool::new(false), holder: Mutex::new(Some(holder)), signal }
    }
}

impl Cancel {
    /// Asks the run to stop at its next step.
    pub fn cancel(&self) {
        self.0.asked.store(true, Ordering::SeqCst);
        self.0.holder.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether the run was asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.asked.load(Ordering::SeqCst)
    }

    /// Disconnected once the run was asked to stop: for whoever waits for something else as well.
    pub(crate) fn signal(&self) -> &Receiver<Infallible> {
        &self.0.signal
    }
}

/// Something that did not go as it should, while the run went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The path it is about, as in the snapshot (relative to `/`); empty where it is about none.
    pub path: Vec<u8>,
    /// What happened.
    pub reason: String,
}

impl Warning {
    pub(crate) fn new(path: &[u8], reason: impl Into<String>) -> Self {
        Self { path: path.to_vec(), reason: reason.into() }
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.reason);
        }
        write!(f, "/{}: {}", String::from_utf8_lossy(&self.path), self.reason)
    }
}
