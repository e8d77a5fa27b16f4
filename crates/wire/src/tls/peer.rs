//! Which client certificates a server takes, and whom they stand for.
//!
//! Invariants: the same function judges the certificate in the handshake and names the peer after
//! it. Everything but an agent is refused once its certificate has expired; an agent is let in for
//! 180 days more, and `PeerIdentity::not_after` tells the handler, who lets it append only if a
//! roster lists its key.

use std::sync::Arc;

use lumbung_model::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, SignatureScheme,
};

use super::chain::{self, SeenCertificate};
use super::{ClientAccess, timestamp};
use crate::identity::{Peer, PeerIdentity, Role};

/// How long past its expiry an agent's certificate still lets it append: 180 days.
pub const AGENT_GRACE_S: i64 = 180 * 86_400;

/// Judges client certificates.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    anchors: Vec<TrustAnchor<'static>>,
    access: ClientAccess,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PeerVerifier {
    pub(crate) fn new(
        anchors: Vec<TrustAnchor<'static>>,
        access: ClientAccess,
        provider: &CryptoProvider,
    ) -> Self {
        Self { anchors, access, algorithms: provider.signature_verification_algorithms }
    }

    /// Whom the certificates that a client has sent stand for, at `now`.
    pub(crate) fn peer(
        &self,
        certificates: Option<&[CertificateDer<'_>]>,
        now: Timestamp,
    ) -> Result<Peer, rustls::Error> {
        match certificates {
            None | Some([]) if self.access.anonymous => Ok(Peer::Anonymous),
            None | Some([]) => Err(rustls::Error::NoCertificatesPresented),
            Some([end_entity, intermediates @ ..]) => {
                self.certified(end_entity, intermediates, now)
            }
        }
    }

    fn certified(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<Peer, rustls::Error> {
        let seen = SeenCertificate::parse(end_entity).ok_or(CertificateError::BadEncoding)?;
        if self.access.self_signed
            && let Some(key) = seen.self_signed_ed25519()
        {
            return Ok(Peer::RootKey(key));
        }
        let not_after = seen.not_after();
        let names = seen.names();
        let is_agent = matches!(&names, Ok(names) if names.role == Role::Agent);
        let at = judged_at(now, seen.not_before(), not_after, is_agent);
        chain::verify(
            &self.anchors,
            end_entity,
            intermediates,
            at,
            webpki::KeyUsage::client_auth(),
        )?;
        // Only now do the names come from our CA.
        let names = names.map_err(|error| CertificateError::Other(OtherError(Arc::new(error))))?;
        Ok(Peer::Certified(PeerIdentity {
            role: names.role,
            repository: names.repository,
            agent: names.agent,
            agent_key: names.agent_key,
            server: names.server,
            site: names.site,
            name: seen.common_name(),
            serial: seen.serial(),
            pin: seen.pin(),
            not_after,
        }))
    }
}

/// The moment at which a client's chain is validated.
fn judged_at(
    now: Timestamp,
    not_before: Timestamp,
    not_after: Timestamp,
    is_agent: bool,
) -> Timestamp {
    let in_grace = now > not_after && now <= not_after.plus_seconds(AGENT_GRACE_S);
    if is_agent && in_grace { not_after } else { now.max(not_before) }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.access.anonymous
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // No hints: with them, clients would hold back the self-signed certificate of a key bundle.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.certified(end_entity, intermediates, timestamp(now))
            .map(|_| ClientCertVerified::assertion())
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
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agents_have_grace_and_a_slow_clock_never_blocks() {
        let (from, until) = (Timestamp(1_000), Timestamp(2_000));
        let judged = |now, agent| judged_at(Timestamp(now), from, until, agent);
        assert_eq!(judged(1_500, true), Timestamp(1_500));
        assert_eq!(judged(10, false), from);
        assert_eq!(judged(2_001, false), Timestamp(2_001));
        assert_eq!(judged(2_001, true), until);
        assert_eq!(judged(2_000 + AGENT_GRACE_S, true), until);
        assert_eq!(judged(2_001 + AGENT_GRACE_S, true), Timestamp(2_001 + AGENT_GRACE_S));
    }
}
