//! TLS towards targets: judged by the machine's authorities, and looked at for its expiry whatever the verdict is.
//!
//! Invariants: the expiry is told of a certificate that is refused, too: that is when it matters. No session is resumed,
//! so that every probe sees the certificate of that moment.
//!
//! The authorities come from rustls-native-certs and not from the platform verifier: on Linux both read the same
//! files, and this way they are read once, and what is wrong with them can be said.

use std::sync::{Arc, Mutex, PoisonError};

use lumbung_model::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

use crate::Unmade;

/// When the certificate that a target showed expires.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expiry(Arc<Mutex<Option<Timestamp>>>);

impl Expiry {
    pub(crate) fn get(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, certificate: &CertificateDer<'_>) {
        let parsed = x509_parser::parse_x509_certificate(certificate);
        let expires = parsed.ok().map(|(_, leaf)| Timestamp(leaf.validity().not_after.timestamp()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = expires;
    }
}

/// By whom targets' certificates are judged.
#[derive(Debug)]
pub(crate) struct Trust {
    provider: Arc<CryptoProvider>,
    /// None: there is nobody.
    authorities: Option<Arc<WebPkiServerVerifier>>,
}

impl Trust {
    /// The authorities that this machine knows. Reads files.
    pub(crate) fn of_machine() -> Self {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate authority of this machine cannot be read");
        }
        Self::of(found.certs)
    }

    /// These authorities.
    pub(crate) fn of(authorities: Vec<CertificateDer<'static>>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(authorities);
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        Self { provider, authorities: verifier.build().ok() }
    }

    /// TLS for one probe.
    pub(crate) fn config(&self, any: bool, expiry: Expiry) -> Result<ClientConfig, Unmade> {
        let judge = match &self.authorities {
            _ if any => None,
            Some(authorities) => Some(Arc::clone(authorities)),
            None => return Err(Unmade::Authorities),
        };
        let onlooker = Onlooker { judge, expiry, provider: Arc::clone(&self.provider) };
        let local = |error| Unmade::Local(std::io::Error::other(error));
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(local)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(onlooker))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

/// Notes the expiry, and leaves the verdict to the judge; without one everything passes.
#[derive(Debug)]
struct Onlooker {
    judge: Option<Arc<WebPkiServerVerifier>>,
    expiry: Expiry,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Onlooker {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.expiry.note(leaf);
        match &self.judge {
            Some(judge) => judge.verify_server_cert(leaf, others, name, ocsp, now),
            None => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What is wrong with a target's TLS, for people.
pub(crate) fn plain(error: &rustls::Error) -> String {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    let rustls::Error::InvalidCertificate(reason) = error else {
        return format!("no TLS connection: {error}");
    };
    match reason {
        Expired | ExpiredContext { .. } => "the certificate has expired".to_owned(),
        NotValidYet | NotValidYetContext { .. } => "the certificate is not valid yet".to_owned(),
        NotValidForName | NotValidForNameContext { .. } => {
            "the certificate is for another name".to_owned()
        }
        UnknownIssuer => "the certificate is of no authority that is known here".to_owned(),
        other => format!("the certificate is refused: {other}"),
    }
}
