//! How the programs of Lumbung talk: messages, TLS identities, the server's accept loop, the clients.
//!
//! - [`audit`]: the chained log of the controller.
//! - [`messages`]: the JSON bodies, versioned by the path they are sent to (`/v1`, `/api/v1`).
//! - [`identity`]: who the other side is, from its certificate: a role and ids, or a root key.
//! - [`tls`]: rustls set up with pins and the city's own CA; [`certs`] makes keys and certificates.
//! - [`server`]: one accept loop for vault and controller; a broken client never ends it.
//! - [`metrics`]: figures for Prometheus, and the small server that shows them.
//! - [`policy`]: policies signed and verified, and whether one asks for less than another.
//! - [`succession`]: who acts as the controller, stated and signed by two officers.
//! - [`problem`]: RFC 9457 documents that tell what to do next.
//! - [`client`]: [`VaultClient`] and [`ControllerClient`]: every body capped, every object checked
//!   against its id, no retries inside (the caller knows when to try again).
//!
//! Whatever comes from the network is hostile until it has been checked. No key ever leaves through here.

pub mod audit;
pub mod certs;
pub mod client;
pub mod identity;
pub mod messages;
pub mod metrics;
pub mod policy;
pub mod problem;
pub mod server;
pub mod succession;
pub mod tls;

pub use client::{ClientError, ControllerClient, VaultClient};
pub use identity::{Peer, PeerIdentity, Role};
pub use problem::{FieldError, Problem};
pub use server::serve;
pub use tls::ServerTrust;
