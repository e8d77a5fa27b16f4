//! The clients: [`VaultClient`] and [`ControllerClient`].
//!
//! Invariants: no call waits for ever, and none is cut off while bytes still flow; every answer is
//! capped; every object is checked against its id before it is returned; redirects and proxies of
//! the environment are not followed. Nothing is retried here: [`ClientError::is_transient`] tells
//! the caller, who knows whether and where to try again.

mod controller;
mod error;
mod transport;
mod upload;
mod vault;

pub use controller::{ControllerClient, Credentials};
pub use error::ClientError;
pub use transport::{Download, Timeouts};
pub use vault::{CommitAnswer, PutOutcome, VaultClient};

/// From this difference between the clocks on, a client should warn.
pub const CLOCK_SKEW_WARN_S: i64 = 900;
