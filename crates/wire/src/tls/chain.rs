//! Certificates read and verified against the city's CAs, at a time that we choose.
//!
//! Invariant: the path is validated by rustls-webpki with its ordinary rules; only the moment at
//! which it is validated is ours.

use lumbung_model::{PublicKey, Timestamp, TlsPin};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::{CertificateError, OtherError};
use sha2::{Digest, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{TlsError, unix_time};
use crate::identity::{CertificateNames, IdentityError};

/// Most certificates that a peer may send beside its own.
const MAX_INTERMEDIATES: usize = 4;
/// Longest common name (RFC 5280, ub-common-name).
const NAME_MAX_CHARS: usize = 64;
/// id-Ed25519 (RFC 8410).
const ED25519_OID: &str = "1.3.101.112";

/// What a certificate says, before anything of it is believed.
pub(crate) struct SeenCertificate<'a> {
    x509: X509Certificate<'a>,
}

impl<'a> SeenCertificate<'a> {
    pub(crate) fn parse(der: &'a [u8]) -> Option<Self> {
        match X509Certificate::from_der(der) {
            Ok(([], x509)) => Some(Self { x509 }),
            _ => None,
        }
    }

    pub(crate) fn not_before(&self) -> Timestamp {
        Timestamp(self.x509.validity().not_before.timestamp())
    }

    pub(crate) fn not_after(&self) -> Timestamp {
        Timestamp(self.x509.validity().not_after.timestamp())
    }

    /// Serial number, lower-case hex as it stands in the certificate.
    pub(crate) fn serial(&self) -> String {
        self.x509.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first common name of the subject, as far as it can be shown.
    pub(crate) fn common_name(&self) -> String {
        let name = self.x509.subject().iter_common_name().next();
        let text = name.and_then(|name| name.as_str().ok()).unwrap_or_default();
        text.chars().filter(|c| !c.is_control()).take(NAME_MAX_CHARS).collect()
    }

    pub(crate) fn names(&self) -> Result<CertificateNames, IdentityError> {
        // A certificate whose names cannot be read (for instance, two lists of them) has none.
        let list = self.x509.subject_alternative_name().ok().flatten();
        let names = list.iter().flat_map(|extension| &extension.value.general_names);
        CertificateNames::from_uris(names.filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        }))
    }

    pub(crate) fn pin(&self) -> TlsPin {
        TlsPin::from_bytes(Sha256::digest(self.x509.public_key().raw).into())
    }

    /// The Ed25519 key of a certificate that this key has signed itself.
    pub(crate) fn self_signed_ed25519(&self) -> Option<PublicKey> {
        let key = self.x509.public_key();
        if key.algorithm.algorithm.to_id_string() != ED25519_OID
            || self.x509.signature_algorithm.algorithm.to_id_string() != ED25519_OID
            || self.x509.subject().as_raw() != self.x509.issuer().as_raw()
        {
            return None;
        }
        let public = PublicKey::from_bytes(key.subject_public_key.data.as_ref().try_into().ok()?);
        let signature: &[u8; 64] = self.x509.signature_value.data.as_ref().try_into().ok()?;
        // Strict verification also keeps out keys of small order, whose "possession" proves nothing.
        lumbung_pack::verify_signature(&public, self.x509.tbs_certificate.as_ref(), signature)
            .ok()?;
        Some(public)
    }
}

/// The pin of a certificate's key.
pub(crate) fn pin(der: &[u8]) -> Option<TlsPin> {
    SeenCertificate::parse(der).map(|certificate| certificate.pin())
}

/// The trust anchors of at most two CAs.
pub(crate) fn authorities(pems: &[String]) -> Result<Vec<TrustAnchor<'static>>, TlsError> {
    let what = "the CA's certificate";
    let mut anchors = Vec::new();
    for pem in pems {
        for certificate in super::read_certificates(pem, what)? {
            let anchor = webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|_| TlsError::Certificate { what })?;
            anchors.push(anchor.to_owned());
        }
    }
    match anchors.len() {
        0..=2 => Ok(anchors),
        found => Err(TlsError::Authorities { found }),
    }
}

/// Verifies that a chain leads from `end_entity` to one of `anchors` at the time `at`, for `usage`.
pub(crate) fn verify(
    anchors: &[TrustAnchor<'_>],
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    at: Timestamp,
    usage: webpki::KeyUsage,
) -> Result<(), rustls::Error> {
    if intermediates.len() > MAX_INTERMEDIATES {
        return Err(CertificateError::UnknownIssuer.into());
    }
    let certificate =
        webpki::EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    certificate
        .verify_for_usage(algorithms, anchors, intermediates, unix_time(at), usage, None, None)
        .map(|_| ())
        .map_err(refusal)
}

/// Whether one of `anchors` itself signed a client's certificate, at the time `at`.
pub(crate) fn is_signed_by(
    anchors: &[TrustAnchor<'_>],
    certificate: &CertificateDer<'_>,
    at: Timestamp,
) -> bool {
    verify(anchors, certificate, &[], at, webpki::KeyUsage::client_auth()).is_ok()
}

/// As rustls words it, so that the alert tells the peer what is wrong.
pub(crate) fn refusal(error: webpki::Error) -> rustls::Error {
    use webpki::Error as E;
    match error {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => CertificateError::BadEncoding,
        E::CertExpired { .. } | E::InvalidCertValidity => CertificateError::Expired,
        E::CertNotValidYet { .. } => CertificateError::NotValidYet,
        E::CertNotValidForName(_) => CertificateError::NotValidForName,
        E::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        E::UnknownIssuer => CertificateError::UnknownIssuer,
        other => CertificateError::Other(OtherError(std::sync::Arc::new(other))),
    }
    .into()
}
