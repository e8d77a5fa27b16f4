//! The vault over real TLS on loopback, and through its router where a request must be malformed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod commits;
mod crash;
mod full;
mod hostile;
mod process;
mod pulls;
mod retention;
mod scale;
mod scrub_passes;
mod scrubs;
mod support;
mod sweeps;
mod tenancy;
