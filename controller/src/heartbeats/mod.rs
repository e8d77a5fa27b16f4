//! Heartbeats: kept on a board in memory, written to the database together every few seconds.
//!
//! Invariants: whoever reads sees what is on the board (it lies over every read of the database, `db::heartbeats`), so
//! the API shows a heartbeat once it is answered. What is on the board and not written is lost with a crash: at most
//! [`KEEP_EVERY`] of when agents were heard, and of the figures of their hosts at most [`TOLD_EVERY_S`]; the next
//! heartbeat tells them again. Jobs that are new, reports and everything else are durable before they are answered. An
//! agent that the register does not know is never on the board.

mod board;
mod entry;
mod keeper;
mod sites;

pub use board::Board;
pub use entry::{Heard, Kept, Said, Span, Stored};
pub use keeper::{KEEP_EVERY, keep, load, run};
pub use sites::Sites;

/// How old the health of a host in the database may be while its agent is heard, seconds.
pub const TOLD_EVERY_S: i64 = 600;
