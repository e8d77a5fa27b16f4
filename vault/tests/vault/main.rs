//! The vault over real TLS on loopback, and through its router where a request must be malformed.

mod commits;
mod full;
mod hostile;
mod pulls;
mod scrubs;
mod support;
mod tenancy;
