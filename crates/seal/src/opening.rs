//! Openings: a session's key alone, sealed by its agent to who has a standing approval (format, section 25).
//!
//! Invariant: the domain's secret is never in one. Whose word it is, and whether the key is the session's, the reader finds
//! out: packs commit to theirs, and a root opens with its own only.

use std::convert::Infallible;

use hpke::rand_core::TryCryptoRng;
use lumbung_model::Secret;
use lumbung_pack::SessionOpening;

use crate::error::SealError;
use crate::session::{RecoveryKey, SessionKey, SystemRandom, hpke_open, hpke_seal};

const INFO: &[u8] = b"lumbung v1 opening";

/// Seals a session's key to the recipient of `opening`, whose other fields must be final.
///
/// # Errors
/// If the recipient is not a usable key.
pub fn seal_opening(
    opening: SessionOpening,
    key: &SessionKey,
) -> Result<SessionOpening, SealError> {
    seal_opening_with(opening, key, &mut SystemRandom)
}

pub(crate) fn seal_opening_with(
    mut opening: SessionOpening,
    key: &SessionKey,
    random: &mut impl TryCryptoRng<Error = Infallible>,
) -> Result<SessionOpening, SealError> {
    let recipient = opening.recipient;
    let closed = || SealError::RecipientKey(recipient);
    let sealed = hpke_seal(&recipient, INFO, &opening.aad(), key.expose(), random);
    let (encapsulated, ciphertext) = sealed.map_err(|_| closed())?;
    opening.encapsulated = encapsulated;
    opening.ciphertext = ciphertext.try_into().map_err(|_| closed())?;
    Ok(opening)
}

/// Opens a session's key with the grantee's. The caller has verified the signature; what the key opens says whether it is
/// the session's.
///
/// # Errors
/// If it is not sealed to this key, or was altered.
pub fn open_opening(opening: &SessionOpening, key: &RecoveryKey) -> Result<SessionKey, SealError> {
    let held = key.public();
    let sealed_to = opening.recipient;
    if sealed_to != held {
        return Err(SealError::OtherGrantee { sealed_to, held });
    }
    let opened = hpke_open(key, &opening.encapsulated, INFO, &opening.aad(), &opening.ciphertext);
    let opened = opened.map_err(|_| SealError::Opening(opening.session))?;
    let key: [u8; 32] = opened[..].try_into().map_err(|_| SealError::Opening(opening.session))?;
    Ok(SessionKey::from_secret(Secret::new(key)))
}

#[cfg(test)]
mod tests {
    use lumbung_model::{ConsentId, DomainId, PublicKey, RepositoryId, SessionId};
    use lumbung_pack::{Content, PackTable};

    use super::*;
    use crate::{DomainSecret, Openings, PackSealer, Scratch};

    fn opening(recipient: PublicKey) -> SessionOpening {
        SessionOpening {
            repository: RepositoryId::from_bytes([1; 32]),
            session: SessionId::from_bytes([3; 32]),
            consent: ConsentId::from_bytes([2; 16]),
            recipient,
            encapsulated: [0; 32],
            ciphertext: [0; 48],
        }
    }

    #[test]
    fn only_the_recipient_opens_it_and_no_field_can_be_changed() {
        let (key, recipient) = (SessionKey::random(), RecoveryKey::generate());
        let sealed = seal_opening(opening(recipient.public()), &key).unwrap();
        assert_eq!(open_opening(&sealed, &recipient).unwrap().expose(), key.expose());
        let stranger = RecoveryKey::generate();
        assert!(matches!(open_opening(&sealed, &stranger), Err(SealError::OtherGrantee { .. })));
        let changes: [fn(&mut SessionOpening); 5] = [
            |o| o.repository = RepositoryId::ZERO,
            |o| o.session = SessionId::from_bytes([4; 32]),
            |o| o.consent = ConsentId::from_bytes([4; 16]),
            |o| o.ciphertext[0] ^= 1,
            |o| o.encapsulated[0] ^= 1,
        ];
        for change in changes {
            let mut bad = sealed.clone();
            change(&mut bad);
            assert!(matches!(open_opening(&bad, &recipient), Err(SealError::Opening(_))));
        }
    }

    /// 32 bytes are sealed: there is no room for the domain's secret beside the session's key.
    #[test]
    fn it_holds_the_sessions_key_and_nothing_else() {
        let recipient = RecoveryKey::generate();
        let sealed = seal_opening(opening(recipient.public()), &SessionKey::random()).unwrap();
        assert_eq!(sealed.ciphertext.len(), 32 + 16);
    }

    /// An opening by whoever sealed something else beside the genuine one: the pack's commitment tells them apart.
    #[test]
    fn a_false_opening_keeps_nobody_from_the_genuine_one() {
        let (genuine, other) = (SessionKey::random(), SessionKey::random());
        let (repository, session) =
            (RepositoryId::from_bytes([1; 32]), SessionId::from_bytes([3; 32]));
        let domain = DomainId::from_bytes([2; 16]);
        let sealer = PackSealer::new(repository, domain, session, &genuine, Content::Data);
        let chunk = DomainSecret::random().id_key().chunk_id(b"desa");
        let mut scratch = Scratch::new().unwrap();
        let (entry, stored) = sealer.seal(0, &chunk, b"desa", &mut scratch).unwrap();
        let stored = stored.to_vec();
        let table = PackTable::new(*sealer.header(), vec![entry]).unwrap();
        let mut openings = Openings::new();
        openings.add_session(session, other);
        assert!(matches!(openings.opener(&table), Err(SealError::PackNotGranted(_))));
        openings.add_session(session, genuine);
        let opener = openings.opener(&table).unwrap();
        assert_eq!(opener.open_named(0, &entry, &stored, &mut scratch).unwrap(), b"desa");
    }
}
