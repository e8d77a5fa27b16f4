//! TLS as Lumbung uses it: TLS 1.3 with ring, passed explicitly; pins or the city's own CA, no public one.
//!
//! Invariants: no session is resumed, so every connection proves its keys and is judged by today's
//! rules. A pinned key is trusted whatever the clock says. A certificate that is not yet valid is
//! taken with a warning, since only a wrong clock makes one. Private keys are never printed.

mod chain;
mod peer;
mod trust;

use std::sync::{Arc, PoisonError, RwLock};

use lumbung_model::{Clock, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};

pub(crate) use chain::{SeenCertificate, authorities, is_signed_by, pin};
pub use peer::AGENT_GRACE_S;
pub(crate) use peer::PeerVerifier;
pub use trust::{ClientTls, ServerTrust, client_config};
pub(crate) use trust::{SeenKey, TrustFailure};

use crate::certs::KeyPem;

/// The ring provider.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Why TLS could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificate, or none that can be read.
    #[error("{what} is not a certificate in PEM; enrol again, or put the right file there")]
    Certificate {
        /// Which one.
        what: &'static str,
    },
    /// No private key that can be read.
    #[error("the private key is not PKCS#8 in PEM; enrol again, or put the right file there")]
    Key,
    /// More CAs than a change needs, or none where one is needed.
    #[error("{found} CA certificates; one is trusted, or two during a change")]
    Authorities {
        /// How many.
        found: usize,
    },
    /// No pin to compare with.
    #[error("no pinned key; take it from the newest roster")]
    NoPins,
    /// A server name that is none.
    #[error("{0:?} is neither a host name nor an IP address")]
    Name(String),
    /// A fingerprint that is none.
    #[error(
        "{0:?} is not a CA fingerprint; it looks like sha256:<64 hexadecimal digits>, as the controller printed it"
    )]
    Fingerprint(String),
    /// rustls refuses the pieces, for instance a key that does not belong to the certificate.
    #[error("certificate and key do not fit together; enrol again")]
    Setup(#[source] rustls::Error),
}

/// An own certificate chain and its key.
pub struct TlsIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl TlsIdentity {
    /// Reads a chain (own certificate first) and the key, both PEM.
    pub fn from_pem(chain_pem: &str, key: &KeyPem) -> Result<Self, TlsError> {
        let chain = read_certificates(chain_pem, "the own certificate")?;
        let key =
            PrivateKeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| TlsError::Key)?;
        Ok(Self { chain, key })
    }

    /// The pin of the own key.
    pub fn pin(&self) -> Result<lumbung_model::TlsPin, TlsError> {
        chain::pin(&self.chain[0]).ok_or(TlsError::Certificate { what: "the own certificate" })
    }
}

impl Clone for TlsIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The certificates in a PEM text; at least one.
pub(crate) fn read_certificates(
    pem: &str,
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(TlsError::Certificate { what }),
    }
}

/// Lumbung's clock for rustls.
pub(crate) struct TlsClock(pub(crate) Arc<dyn Clock>);

impl std::fmt::Debug for TlsClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClock")
    }
}

impl rustls::time_provider::TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(self.0.now()))
    }
}

fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(at.0).unwrap_or(0)))
}

fn timestamp(at: UnixTime) -> Timestamp {
    Timestamp(i64::try_from(at.as_secs()).unwrap_or(i64::MAX))
}

/// Which clients a server talks to, beside those with a certificate of its CAs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientAccess {
    /// Clients without a certificate: for enrolment and for the console's log-in page.
    pub anonymous: bool,
    /// Self-signed certificates over an Ed25519 key: for access by key bundle alone.
    pub self_signed: bool,
}

/// What one handshake is judged by.
pub(crate) struct ServerSide {
    pub(crate) config: Arc<rustls::ServerConfig>,
    pub(crate) verifier: Arc<PeerVerifier>,
}

/// A server's TLS: cloned cheaply, and replaced while it runs when certificates are renewed.
#[derive(Clone)]
pub struct ServerTls {
    side: Arc<RwLock<Arc<ServerSide>>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl ServerTls {
    pub(crate) fn current(&self) -> Arc<ServerSide> {
        self.side.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From the next connection on, what `newer` says holds: its certificate, its CAs, its access.
    pub fn replace(&self, newer: &Self) {
        *self.side.write().unwrap_or_else(PoisonError::into_inner) = newer.current();
    }
}

/// TLS of a server: its own certificate, the CAs (none before enrolment, two during a change) whose
/// clients it knows, and whom else it talks to.
pub fn server_config(
    own: &TlsIdentity,
    ca_pems: &[String],
    access: ClientAccess,
    clock: Arc<dyn Clock>,
) -> Result<ServerTls, TlsError> {
    let provider = provider();
    let verifier = Arc::new(PeerVerifier::new(chain::authorities(ca_pems)?, access, &provider));
    let time = Arc::new(TlsClock(clock.clone()));
    let mut config = rustls::ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_client_cert_verifier(verifier.clone())
        .with_single_cert(own.chain.clone(), own.key.clone_key())
        .map_err(TlsError::Setup)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    let side = ServerSide { config: Arc::new(config), verifier };
    Ok(ServerTls { side: Arc::new(RwLock::new(Arc::new(side))), clock })
}
