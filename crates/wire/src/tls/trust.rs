//! Which servers a client trusts: pinned keys, the city's CA by certificate or fingerprint, or the
//! first key it sees.
//!
//! Invariants: a key counts as seen only after the server has proven to hold it. A client that
//! trusts any key talks to one key only: the first. Pins are compared whatever the clock says.

use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::{Clock, Timestamp, TlsPin};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};
use sha2::{Digest, Sha256};

use super::chain::{self, SeenCertificate};
use super::{TlsClock, TlsError, TlsIdentity, timestamp};
use crate::identity::Role;

/// By what a client knows the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerTrust {
    /// The server's TLS key is one of these (from the roster or the register). Dates do not count.
    Pins(Vec<TlsPin>),
    /// Its certificate is one of the city's CA (or of one of two during a change), for this name.
    Ca {
        /// The CAs, PEM.
        ca_pems: Vec<String>,
        /// Host name or IP address that the certificate must be for, whatever the URL says.
        name: String,
    },
    /// It is a controller under the CA with this fingerprint (`sha256:<hex>`), whose certificate it
    /// sends along: for enrolment.
    CaFingerprint(String),
    /// Any key, the first one seen; the caller compares `seen_pin` with the roster it then reads.
    AnyKey,
}

/// Why a server is not the one expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrustFailure {
    #[error("it shows the TLS key {seen}, expected {}", list(expected))]
    Pin { expected: Vec<TlsPin>, seen: TlsPin },
    #[error("it does not belong to the CA with the fingerprint {0}")]
    OtherAuthority(String),
    #[error("its certificate is not that of a controller")]
    NotController,
}

fn list(pins: &[TlsPin]) -> String {
    pins.iter().map(TlsPin::to_string).collect::<Vec<_>>().join(" or ")
}

/// The key that the server proved to hold on the newest connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct SeenKey(Arc<Mutex<Option<TlsPin>>>);

impl SeenKey {
    pub(crate) fn get(&self) -> Option<TlsPin> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, pin: TlsPin) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pin);
    }
}

/// A client's TLS: cloned cheaply. Clones share the key they have seen.
#[derive(Clone)]
pub struct ClientTls {
    pub(crate) config: rustls::ClientConfig,
    pub(crate) seen: SeenKey,
    pub(crate) clock: Arc<dyn Clock>,
}

impl ClientTls {
    /// As rustls takes it, for who makes its connections itself.
    #[must_use]
    pub fn rustls_config(&self) -> rustls::ClientConfig {
        self.config.clone()
    }
}

/// TLS of a client: its own certificate, if it has one, and by what it knows the server.
pub fn client_config(
    identity: Option<&TlsIdentity>,
    trust: ServerTrust,
    clock: Arc<dyn Clock>,
) -> Result<ClientTls, TlsError> {
    let provider = super::provider();
    let seen = SeenKey::default();
    let verifier = ServerVerifier {
        rule: Rule::new(trust)?,
        seen: seen.clone(),
        algorithms: provider.signature_verification_algorithms,
    };
    let builder =
        rustls::ClientConfig::builder_with_details(provider, Arc::new(TlsClock(clock.clone())))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(TlsError::Setup)?,
        None => builder.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(ClientTls { config, seen, clock })
}

#[derive(Debug)]
enum Rule {
    Pins(Vec<TlsPin>),
    Ca { anchors: Vec<TrustAnchor<'static>>, name: ServerName<'static> },
    Fingerprint { text: String, digest: [u8; 32] },
    AnyKey,
}

impl Rule {
    fn new(trust: ServerTrust) -> Result<Self, TlsError> {
        Ok(match trust {
            ServerTrust::Pins(pins) if pins.is_empty() => return Err(TlsError::NoPins),
            ServerTrust::Pins(pins) => Self::Pins(pins),
            ServerTrust::Ca { ca_pems, name } => {
                let anchors = chain::authorities(&ca_pems)?;
                if anchors.is_empty() {
                    return Err(TlsError::Authorities { found: 0 });
                }
                let name = ServerName::try_from(name.clone()).map_err(|_| TlsError::Name(name))?;
                Self::Ca { anchors, name }
            }
            ServerTrust::CaFingerprint(text) => {
                let digest =
                    text.strip_prefix("sha256:").and_then(|hex| hex.parse::<TlsPin>().ok());
                match digest {
                    Some(digest) => Self::Fingerprint { text, digest: *digest.as_bytes() },
                    None => return Err(TlsError::Fingerprint(text)),
                }
            }
            ServerTrust::AnyKey => Self::AnyKey,
        })
    }
}

#[derive(Debug)]
struct ServerVerifier {
    rule: Rule,
    seen: SeenKey,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), rustls::Error> {
        let seen = SeenCertificate::parse(end_entity).ok_or(CertificateError::BadEncoding)?;
        let pin = seen.pin();
        let usage = webpki::KeyUsage::server_auth();
        // Only a wrong clock makes a certificate of the city's own CA "not valid yet".
        let at = now.max(seen.not_before());
        match &self.rule {
            Rule::Pins(pins) => expect_pin(pins, pin),
            Rule::AnyKey => self.seen.get().map_or(Ok(()), |first| expect_pin(&[first], pin)),
            Rule::Ca { anchors, name } => {
                chain::verify(anchors, end_entity, intermediates, at, usage)?;
                let certificate = webpki::EndEntityCert::try_from(end_entity)
                    .map_err(|_| CertificateError::BadEncoding)?;
                certificate.verify_is_valid_for_subject_name(name).map_err(chain::refusal)
            }
            Rule::Fingerprint { text, digest } => {
                let other = || failure(TrustFailure::OtherAuthority(text.clone()));
                let authority = intermediates
                    .iter()
                    .find(|der| Sha256::digest(der).as_slice() == digest)
                    .ok_or_else(other)?;
                let anchor = webpki::anchor_from_trusted_cert(authority).map_err(|_| other())?;
                chain::verify(&[anchor], end_entity, intermediates, at, usage)?;
                match seen.names() {
                    Ok(names) if names.role == Role::Controller => Ok(()),
                    _ => Err(failure(TrustFailure::NotController)),
                }
            }
        }
    }
}

fn failure(failure: TrustFailure) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(failure))).into()
}

fn expect_pin(expected: &[TlsPin], seen: TlsPin) -> Result<(), rustls::Error> {
    if expected.contains(&seen) {
        return Ok(());
    }
    Err(failure(TrustFailure::Pin { expected: expected.to_vec(), seen }))
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, timestamp(now))
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let valid = verify_tls13_signature(message, certificate, signature, &self.algorithms)?;
        if let Some(pin) = chain::pin(certificate) {
            self.seen.set(pin);
        }
        Ok(valid)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
