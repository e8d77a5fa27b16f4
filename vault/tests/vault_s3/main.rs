//! The tests of `vault`, with the objects in an S3 store; and what only such a store does.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../vault/backing.rs"]
mod backing;
#[path = "../vault/commits.rs"]
mod commits;
#[path = "../vault/full.rs"]
mod full;
#[path = "../vault/hostile.rs"]
mod hostile;
#[path = "../vault/intakes.rs"]
mod intakes;
mod lease;
#[path = "../vault/peers.rs"]
mod peers;
#[path = "../vault/process.rs"]
mod process;
#[path = "../vault/pulls.rs"]
mod pulls;
#[path = "../vault/quotas.rs"]
mod quotas;
#[path = "../vault/retention.rs"]
mod retention;
#[path = "../vault/routes.rs"]
mod routes;
#[path = "../vault/scrub_passes.rs"]
mod scrub_passes;
#[path = "../vault/scrubs.rs"]
mod scrubs;
#[path = "../vault/server.rs"]
mod server;
#[path = "../vault/storage.rs"]
mod storage;
mod store;
#[path = "../vault/support.rs"]
mod support;
#[path = "../vault/sweeps.rs"]
mod sweeps;
#[path = "../vault/tenancy.rs"]
mod tenancy;

/// What keeps the objects.
const S3: bool = true;
