//! The vault over real TLS on loopback, and through its router where a request must be malformed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "most of it is for the same tests over S3")]
mod backing;
mod bandwidth;
mod commits;
mod crash;
mod crash_removal;
mod full;
mod grants;
mod hostile;
mod intakes;
mod metrics;
mod peers;
mod process;
mod pulls;
mod quotas;
mod retention;
mod routes;
mod scale;
mod scrub_passes;
mod scrubs;
#[allow(dead_code, reason = "it is for the same tests over S3")]
mod server;
mod standing;
mod storage;
mod support;
mod sweeps;
mod tenancy;
mod vantage;

/// What keeps the objects: `vault_s3` has the same tests with the other answer.
const S3: bool = false;
