//! Keys and certificates: the city's CA, certificates for requests, self-signed ones.
//!
//! Invariants: of a request only its key is used (proven by its signature); what a certificate says
//! is the issuer's decision. Serial numbers are random. Certificates begin a day before they are
//! made, so that a clock that is somewhat slow accepts them. Private keys are zeroized and never printed.

use std::net::IpAddr;

use lumbung_model::{SiteId, Timestamp, TlsPin};
use lumbung_pack::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::identity::{CertificateNames, IdentityError, Role};
use crate::tls::{TlsError, TlsIdentity, read_certificates};

/// How long a certificate lives: 397 days.
pub const CERTIFICATE_LIFE_S: i64 = 397 * 86_400;
/// How long before its expiry a certificate is renewed: 397 − 90 days, so from day 90 on.
pub const RENEW_BEFORE_S: i64 = (397 - 90) * 86_400;
/// How long the CA lives: twenty years.
const AUTHORITY_LIFE_S: i64 = 20 * 366 * 86_400;
/// Certificates begin this long before they are made.
const BACKDATE_S: i64 = 86_400;
/// Longest certificate request that is read.
const CSR_MAX_BYTES: usize = 16 << 10;
/// What stands before the seed in the PKCS#8 form of an Ed25519 key (RFC 8410, section 7).
const ED25519_PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The request cannot be read, or its signature does not prove possession of its key.
    #[error("the certificate request cannot be read; make a new one with the same program version")]
    Request(#[source] rcgen::Error),
    /// The request is longer than any of ours.
    #[error("the certificate request is longer than {CSR_MAX_BYTES} bytes")]
    RequestTooLong,
    /// The request's key is of a kind that is not taken.
    #[error("the certificate request's key is neither P-256, P-384 nor Ed25519; make a new key")]
    KeyKind,
    /// The names do not fit the role.
    #[error("the certificate's names are not complete")]
    Names(#[source] IdentityError),
    /// A host name that cannot stand in a certificate.
    #[error("{0:?} is neither a host name nor an IP address")]
    Host(String),
    /// The CA's key does not belong to its certificate.
    #[error(
        "the CA's key does not belong to its certificate; put back the pair that belongs together"
    )]
    ForeignKey,
    /// The key cannot be read.
    #[error("the private key cannot be read; put back the file, or enrol again")]
    Key(#[source] rcgen::Error),
    /// A certificate cannot be read.
    #[error("a certificate cannot be read")]
    Certificate(#[source] TlsError),
    /// A renewed certificate comes from nobody who was trusted before.
    #[error(
        "the renewed certificate is not of a CA that was trusted before and stays trusted: the old one stays, tell the Dinas"
    )]
    OtherAuthority,
    /// Making it failed.
    #[error("the certificate could not be made")]
    Make(#[source] rcgen::Error),
}

/// A private key in PEM (PKCS#8): to be kept with mode 0600. Not printed, zeroized when dropped.
pub struct KeyPem(Zeroizing<String>);

impl KeyPem {
    /// Takes the text of a key file.
    #[must_use]
    pub fn new(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }

    /// The text, for the file or the call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn pair(&self) -> Result<KeyPair, CertError> {
        KeyPair::from_pem(&self.0).map_err(CertError::Key)
    }
}

/// A new P-256 key.
pub fn generate_key() -> Result<KeyPem, CertError> {
    let pair = KeyPair::generate().map_err(CertError::Make)?;
    Ok(KeyPem::new(pair.serialize_pem()))
}

/// A certificate request (PKCS#10, PEM) for a key.
pub fn csr(key: &KeyPem, common_name: &str) -> Result<String, CertError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    let request = params.serialize_request(&key.pair()?).map_err(CertError::Make)?;
    request.pem().map_err(CertError::Make)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    // X.520 ends a common name at 64 characters.
    subject.push(DnType::CommonName, common_name.chars().take(64).collect::<String>());
    subject
}

fn serial_number() -> Result<SerialNumber, CertError> {
    let mut bytes = [0; 16];
    crate::tls::provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| CertError::Make(rcgen::Error::RingUnspecified))?;
    // A positive number whose length never varies.
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let since_1970 =
        |at: Timestamp| std::time::Duration::from_secs(u64::try_from(at.0).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + since_1970(from);
    params.not_after = epoch + since_1970(until);
}

/// What a new certificate shall say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueRequest {
    /// For people; at most 64 characters.
    pub common_name: String,
    /// Role and ids.
    pub names: CertificateNames,
    /// Host names and IP addresses; empty for agents and operators.
    pub hosts: Vec<String>,
    /// When it is made.
    pub now: Timestamp,
}

/// A new certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its serial number, lower-case hex, as `PeerIdentity::serial` shows it.
    pub serial: String,
    /// When it expires.
    pub not_after: Timestamp,
}

/// The city's CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    fingerprint: String,
    not_after: Timestamp,
}

impl Authority {
    /// A new CA, valid for twenty years. The key belongs in the controller's own dataset.
    pub fn generate(common_name: &str, now: Timestamp) -> Result<(Self, KeyPem), CertError> {
        let key = generate_key()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.serial_number = Some(serial_number()?);
        set_validity(
            &mut params,
            now.plus_seconds(-BACKDATE_S),
            now.plus_seconds(AUTHORITY_LIFE_S),
        );
        let certificate = params.self_signed(&key.pair()?).map_err(CertError::Make)?;
        Ok((Self::open(&certificate.pem(), &key)?, key))
    }

    /// The CA in its certificate and key.
    pub fn open(certificate_pem: &str, key: &KeyPem) -> Result<Self, CertError> {
        let pair = key.pair()?;
        let facts = facts(certificate_pem)?;
        if facts.pin.as_bytes()[..]
            != Sha256::digest(rcgen::PublicKeyData::subject_public_key_info(&pair))[..]
        {
            return Err(CertError::ForeignKey);
        }
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, pair).map_err(CertError::Make)?;
        let fingerprint = fingerprint(certificate_pem)?;
        Ok(Self {
            issuer,
            certificate_pem: certificate_pem.to_owned(),
            fingerprint,
            not_after: facts.not_after,
        })
    }

    /// The CA's certificate, PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// `sha256:<hex>` of the CA's certificate: what enrolment command lines pin.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A certificate for the key of a request (PKCS#10, PEM). Nothing else of the request is used.
    pub fn issue(&self, csr_pem: &str, wanted: &IssueRequest) -> Result<Issued, CertError> {
        if csr_pem.len() > CSR_MAX_BYTES {
            return Err(CertError::RequestTooLong);
        }
        let request =
            CertificateSigningRequestParams::from_pem(csr_pem).map_err(CertError::Request)?;
        let kinds =
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
        if !kinds.contains(&request.public_key.algorithm()) {
            return Err(CertError::KeyKind);
        }
        let not_after = wanted.now.plus_seconds(CERTIFICATE_LIFE_S).min(self.not_after);
        let params = leaf(wanted, not_after)?;
        let certificate =
            params.signed_by(&request.public_key, &self.issuer).map_err(CertError::Make)?;
        let certificate_pem = certificate.pem();
        let serial = facts(&certificate_pem)?.serial;
        Ok(Issued { certificate_pem, serial, not_after })
    }

    /// A new key and a certificate for it; the chain ends with the CA's own certificate, so that
    /// whoever knows only the fingerprint can verify it.
    pub fn issue_with_key(&self, wanted: &IssueRequest) -> Result<(Issued, KeyPem), CertError> {
        let key = generate_key()?;
        Ok((self.issue_for_key(&key, wanted)?, key))
    }

    /// As [`Self::issue_with_key`], for a key that is there already: its pin stays.
    pub fn issue_for_key(&self, key: &KeyPem, wanted: &IssueRequest) -> Result<Issued, CertError> {
        let mut issued = self.issue(&csr(key, &wanted.common_name)?, wanted)?;
        issued.certificate_pem = format!("{}{}", issued.certificate_pem, self.certificate_pem);
        Ok(issued)
    }
}

fn leaf(wanted: &IssueRequest, not_after: Timestamp) -> Result<CertificateParams, CertError> {
    let names = wanted.names.clone().complete().map_err(CertError::Names)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&wanted.common_name);
    params.serial_number = Some(serial_number()?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if matches!(names.role, Role::Site | Role::Controller) {
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
    }
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = subject_names(&names, &wanted.hosts)?;
    set_validity(&mut params, wanted.now.plus_seconds(-BACKDATE_S), not_after);
    Ok(params)
}

fn subject_names(names: &CertificateNames, hosts: &[String]) -> Result<Vec<SanType>, CertError> {
    let wrong = |text: &str| CertError::Host(text.to_owned());
    let uris = names
        .to_uris()
        .into_iter()
        .map(|uri| Ok(SanType::URI(uri.as_str().try_into().map_err(|_| wrong(&uri))?)));
    let hosts = hosts.iter().map(|host| {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(SanType::IpAddress(address));
        }
        rustls::pki_types::DnsName::try_from(host.as_str()).map_err(|_| wrong(host))?;
        Ok(SanType::DnsName(host.as_str().try_into().map_err(|_| wrong(host))?))
    });
    uris.chain(hosts).collect()
}

/// A site's own certificate over its TLS key: known by its pin, so its dates do not matter.
pub fn self_signed_site_certificate(key: &KeyPem, site: SiteId) -> Result<String, CertError> {
    let names = CertificateNames::site(site);
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&format!("lumbung site {}", site.short()));
    params.serial_number = Some(serial_number()?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = subject_names(&names, &[])?;
    Ok(params.self_signed(&key.pair()?).map_err(CertError::Make)?.pem())
}

/// The TLS identity of a root key (or of a grant's key): self-signed, nothing in it but the key.
pub fn root_key_identity(key: &SigningKey) -> Result<TlsIdentity, CertError> {
    let (certificate_pem, key) = root_key_certificate(key)?;
    TlsIdentity::from_pem(&certificate_pem, &key).map_err(CertError::Certificate)
}

/// As [`root_key_identity`], in PEM: certificate and key.
pub fn root_key_certificate(key: &SigningKey) -> Result<(String, KeyPem), CertError> {
    let seed = key.seed();
    let mut pkcs8 = Zeroizing::new(ED25519_PKCS8_PREFIX.to_vec());
    pkcs8.extend_from_slice(seed.expose());
    let der = PrivatePkcs8KeyDer::from(pkcs8.as_slice());
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
        .map_err(CertError::Key)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name("lumbung key");
    params.serial_number = Some(serial_number()?);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.self_signed(&pair).map_err(CertError::Make)?;
    Ok((certificate.pem(), KeyPem::new(pair.serialize_pem())))
}

/// `sha256:<hex>` of the (first) certificate in a PEM text.
pub fn fingerprint(certificate_pem: &str) -> Result<String, CertError> {
    let der = first(certificate_pem)?;
    Ok(format!("sha256:{}", TlsPin::from_bytes(Sha256::digest(&der).into())))
}

/// The pin of a certificate's key: SHA-256 of its SubjectPublicKeyInfo. DER in.
#[must_use]
pub fn pin_of_certificate(der: &[u8]) -> Option<TlsPin> {
    crate::tls::pin(der)
}

/// What a certificate of ours says. The signature has not been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The pin of its key.
    pub pin: TlsPin,
    /// Serial number, lower-case hex.
    pub serial: String,
    /// Valid from.
    pub not_before: Timestamp,
    /// Valid until.
    pub not_after: Timestamp,
    /// Role and ids; `None` for CAs and root keys.
    pub names: Option<CertificateNames>,
}

/// Reads the (first) certificate of a PEM text: when to renew, which pin to publish.
pub fn facts(certificate_pem: &str) -> Result<CertificateFacts, CertError> {
    let der = first(certificate_pem)?;
    let seen = crate::tls::SeenCertificate::parse(&der)
        .ok_or(CertError::Certificate(TlsError::Certificate { what: "it" }))?;
    Ok(CertificateFacts {
        pin: seen.pin(),
        serial: seen.serial(),
        not_before: seen.not_before(),
        not_after: seen.not_after(),
        names: seen.names().ok(),
    })
}

/// Checks that a renewed certificate is of a CA that was `known` before and is among those that come with it. So a change of
/// the CA takes two renewals, and who answers in the controller's place can take nobody out of the city.
///
/// # Errors
/// [`CertError::OtherAuthority`] if it is not; else what cannot be read.
pub fn check_renewed(
    certificate_pem: &str,
    with: &[String],
    known: &[String],
) -> Result<(), CertError> {
    let certificate = first(certificate_pem)?;
    // At its own beginning: whether the clock here is right is not the question.
    let at = facts(certificate_pem)?.not_before;
    let signed_by = |pem: &String| {
        let anchors = crate::tls::authorities(std::slice::from_ref(pem));
        anchors.is_ok_and(|anchors| crate::tls::is_signed_by(&anchors, &certificate, at))
    };
    let stays = |pem: &&String| {
        let print = fingerprint(pem).ok();
        print.is_some() && with.iter().any(|new| fingerprint(new).ok() == print)
    };
    if known.iter().filter(stays).any(signed_by) { Ok(()) } else { Err(CertError::OtherAuthority) }
}

fn first(pem: &str) -> Result<rustls::pki_types::CertificateDer<'static>, CertError> {
    let mut certificates = read_certificates(pem, "it").map_err(CertError::Certificate)?;
    Ok(certificates.swap_remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_651_200);

    fn authority() -> Authority {
        Authority::generate("Kota", NOW).unwrap().0
    }

    fn certificate(by: &Authority) -> String {
        let names = CertificateNames::of_role(Role::Operator);
        let wanted = IssueRequest { common_name: "srv".into(), names, hosts: Vec::new(), now: NOW };
        by.issue_with_key(&wanted).unwrap().0.certificate_pem
    }

    #[test]
    fn a_renewed_certificate_is_of_a_ca_that_was_trusted_and_stays() {
        let [ours, next, rogue] = [authority(), authority(), authority()];
        let pem = |ca: &Authority| ca.certificate_pem().to_owned();
        let known = [pem(&ours)];
        let check = |by: &Authority, with: &[String]| check_renewed(&certificate(by), with, &known);
        check(&ours, &known).unwrap();
        check(&ours, &[pem(&ours), pem(&next)]).unwrap();
        check_renewed(&certificate(&next), &[pem(&next)], &[pem(&ours), pem(&next)]).unwrap();
        for refused in [
            check(&rogue, &[pem(&rogue)]),
            check(&rogue, &[pem(&ours), pem(&rogue)]),
            check(&ours, &[pem(&rogue)]),
            check(&ours, &[]),
        ] {
            assert!(matches!(refused, Err(CertError::OtherAuthority)), "{refused:?}");
        }
    }
}
