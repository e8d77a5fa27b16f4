//! Sessions: one run's random key, and how it is sealed to the recipients (format, sections 6 and 7).
//!
//! The agent keeps the session key in memory only; from then on nobody but a recipient can open what
//! it sealed.

use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem as _, OpModeR, OpModeS, Serializable};
use lumbung_model::{ChunkId, PublicKey, RepositoryId, Secret, SessionId};
use lumbung_pack::limits::MAX_RECIPIENTS;
use lumbung_pack::{Content, Encoding, SealedKey, Session, Wrap, WrappedSession};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::domain::{DomainSecret, derive};
use crate::error::SealError;

type Kem = hpke::kem::X25519HkdfSha256;
type Kdf = hpke::kdf::HkdfSha256;
type Aead = hpke::aead::AesGcm256;

const INFO: &[u8] = b"lumbung v1 session";
const PACK_CONTEXT: &str = "lumbung v1 pack key";
const COMMITMENT_CONTEXT: &str = "lumbung v1 pack commitment";
const FRAME_CONTEXT: &str = "lumbung v1 frame key";
const ROOT_CONTEXT: &str = "lumbung v1 root key";

/// The random key of one run.
#[derive(ZeroizeOnDrop)]
pub struct SessionKey(Secret<32>);

impl SessionKey {
    /// A new session's key.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::random())
    }

    pub(crate) const fn from_secret(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The key of the pack with this salt.
    #[must_use]
    pub fn pack_key(&self, salt: &[u8; 32]) -> PackKey {
        PackKey(derive(PACK_CONTEXT, &[self.expose(), salt]))
    }

    /// The key of the root with this salt.
    #[must_use]
    pub fn root_key(&self, salt: &[u8; 32]) -> RootKey {
        RootKey(derive(ROOT_CONTEXT, &[self.expose(), salt]))
    }
}

/// The key of one snapshot's root: opens that and nothing else.
#[derive(ZeroizeOnDrop)]
pub struct RootKey(Secret<32>);

impl RootKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    pub(crate) fn into_secret(self) -> Secret<32> {
        Secret::new(*self.0.expose())
    }
}

/// What a frame's key depends on, besides the pack.
pub(crate) struct FrameContext<'a> {
    pub(crate) number: u32,
    pub(crate) content: Content,
    pub(crate) encoding: Encoding,
    pub(crate) chunk: &'a ChunkId,
    pub(crate) plain_length: u32,
}

/// The key of one pack: opens its frames and nothing else.
#[derive(ZeroizeOnDrop)]
pub struct PackKey(Secret<32>);

impl PackKey {
    /// What the pack's header says of this key.
    #[must_use]
    pub fn commitment(&self) -> [u8; 32] {
        *derive(COMMITMENT_CONTEXT, &[self.0.expose()]).expose()
    }

    pub(crate) fn frame_key(&self, frame: &FrameContext<'_>) -> Secret<32> {
        derive(
            FRAME_CONTEXT,
            &[
                self.0.expose(),
                &frame.number.to_le_bytes(),
                &[frame.content.code(), frame.encoding.code()],
                frame.chunk.as_bytes(),
                &frame.plain_length.to_le_bytes(),
            ],
        )
    }

    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// The X25519 private key of a recipient: opens every session sealed to it.
#[derive(ZeroizeOnDrop)]
pub struct RecoveryKey(Secret<32>);

impl RecoveryKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self(Secret::random())
    }

    /// The key of these 32 bytes (RFC 7748's private key).
    #[must_use]
    pub const fn from_seed(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// The bytes, to be kept in a key file.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// A second one, for a reader that outlives this one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(Secret::new(*self.expose()))
    }

    /// The public half, which stands in rosters.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::from_bytes(Kem::sk_to_pk(&self.private()).to_bytes().into())
    }

    fn private(&self) -> <Kem as hpke::Kem>::PrivateKey {
        Deserializable::from_bytes(self.expose()).expect("32 bytes are an X25519 private key")
    }
}

/// The secrets of a session.
pub struct OpenedSession {
    /// Opens its packs and roots.
    pub key: SessionKey,
    /// Names and cuts its chunks.
    pub domain: DomainSecret,
}

/// The operating system's random numbers, as `hpke` wants them.
pub(crate) struct SystemRandom;

impl TryRng for SystemRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(getrandom::u32().expect("the operating system gives random numbers"))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(getrandom::u64().expect("the operating system gives random numbers"))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        getrandom::fill(bytes).expect("the operating system gives random numbers");
        Ok(())
    }
}

impl TryCryptoRng for SystemRandom {}

/// Fills in `session.sealed`: key and domain secret, once for each recipient. The other fields must
/// be final, for the agent, domain, dataset and time are bound to what is sealed.
///
/// # Errors
/// If there are no recipients, too many, or one is not a usable key.
pub fn seal_session(
    session: Session,
    key: &SessionKey,
    domain: &DomainSecret,
    recipients: &[PublicKey],
) -> Result<Session, SealError> {
    seal_session_with(session, key, domain, recipients, &mut SystemRandom)
}

pub(crate) fn seal_session_with(
    mut session: Session,
    key: &SessionKey,
    domain: &DomainSecret,
    recipients: &[PublicKey],
    random: &mut impl TryCryptoRng<Error = Infallible>,
) -> Result<Session, SealError> {
    if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
        return Err(SealError::RecipientCount(recipients.len()));
    }
    let aad = session.aad();
    let plain = secrets(key, domain);
    session.sealed.clear();
    for recipient in recipients {
        let sealed = hpke_seal(recipient, INFO, &aad, &plain[..], random);
        let (encapsulated, ciphertext) = sealed.map_err(|_| SealError::RecipientKey(*recipient))?;
        let ciphertext = ciphertext.try_into().expect("64 bytes and the tag");
        session.sealed.push(SealedKey { recipient: *recipient, encapsulated, ciphertext });
    }
    Ok(session)
}

impl OpenedSession {
    /// Whether these are the same secrets.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.expose() == other.key.expose() && self.domain.expose() == other.domain.expose()
    }
}

/// Opens a session's secrets with one recipient's key. The caller has verified its signature.
///
/// # Errors
/// If the session is not sealed to this key, or was altered.
pub fn open_session(session: &Session, recovery: &RecoveryKey) -> Result<OpenedSession, SealError> {
    let public = recovery.public();
    let sealed = session.sealed.iter().find(|sealed| sealed.recipient == public);
    let sealed = sealed.ok_or(SealError::NotRecipient(public))?;
    let opened =
        hpke_open(recovery, &sealed.encapsulated, INFO, &session.aad(), &sealed.ciphertext);
    from_secrets(&opened.map_err(|_| SealError::Session(public))?, recovery)
}

const WRAP_INFO: &[u8] = b"lumbung v1 wrap";

/// Seals a session's secrets again, to a recipient who came later.
///
/// # Errors
/// If the recipient is not a usable key.
pub fn wrap_session(
    repository: &RepositoryId,
    id: &SessionId,
    opened: &OpenedSession,
    recipient: &PublicKey,
) -> Result<WrappedSession, SealError> {
    wrap_session_with(repository, id, opened, recipient, &mut SystemRandom)
}

pub(crate) fn wrap_session_with(
    repository: &RepositoryId,
    id: &SessionId,
    opened: &OpenedSession,
    recipient: &PublicKey,
    random: &mut impl TryCryptoRng<Error = Infallible>,
) -> Result<WrappedSession, SealError> {
    let plain = secrets(&opened.key, &opened.domain);
    let sealed = hpke_seal(recipient, WRAP_INFO, &Wrap::aad(repository, id), &plain[..], random);
    let (encapsulated, ciphertext) = sealed.map_err(|_| SealError::RecipientKey(*recipient))?;
    let ciphertext = ciphertext.try_into().expect("64 bytes and the tag");
    Ok(WrappedSession { session: *id, encapsulated, ciphertext })
}

/// Opens a session's secrets from a wrap that is sealed to this key. What they open says whether they are the session's.
///
/// # Errors
/// If it is sealed to another key, or was altered.
pub fn open_wrapped(
    repository: &RepositoryId,
    wrapped: &WrappedSession,
    recovery: &RecoveryKey,
) -> Result<OpenedSession, SealError> {
    let aad = Wrap::aad(repository, &wrapped.session);
    let opened = hpke_open(recovery, &wrapped.encapsulated, WRAP_INFO, &aad, &wrapped.ciphertext);
    from_secrets(&opened.map_err(|_| SealError::Session(recovery.public()))?, recovery)
}

/// The plaintext of a session: its key and its domain's secret.
fn secrets(key: &SessionKey, domain: &DomainSecret) -> Zeroizing<[u8; 64]> {
    let mut plain = Zeroizing::new([0; 64]);
    plain[..32].copy_from_slice(key.expose());
    plain[32..].copy_from_slice(domain.expose());
    plain
}

fn from_secrets(plain: &[u8], recovery: &RecoveryKey) -> Result<OpenedSession, SealError> {
    let other = || SealError::Session(recovery.public());
    let (key, domain) = plain.split_at_checked(32).ok_or_else(other)?;
    let secret = |bytes: &[u8]| bytes.try_into().map(Secret::new).map_err(|_| other());
    Ok(OpenedSession { key: SessionKey(secret(key)?), domain: DomainSecret::new(secret(domain)?) })
}

pub(crate) fn hpke_seal(
    recipient: &PublicKey,
    info: &[u8],
    aad: &[u8],
    plain: &[u8],
    random: &mut impl TryCryptoRng<Error = Infallible>,
) -> Result<([u8; 32], Vec<u8>), hpke::HpkeError> {
    let recipient = Deserializable::from_bytes(recipient.as_bytes())?;
    let (encapsulated, ciphertext) = hpke::single_shot_seal_with_rng::<Aead, Kdf, Kem>(
        &OpModeS::Base,
        &recipient,
        info,
        plain,
        aad,
        random,
    )?;
    Ok((encapsulated.to_bytes().into(), ciphertext))
}

pub(crate) fn hpke_open(
    recovery: &RecoveryKey,
    encapsulated: &[u8; 32],
    info: &[u8],
    aad: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, hpke::HpkeError> {
    let encapsulated = Deserializable::from_bytes(encapsulated)?;
    hpke::single_shot_open::<Aead, Kdf, Kem>(
        &OpModeR::Base,
        &recovery.private(),
        &encapsulated,
        info,
        ciphertext,
        aad,
    )
    .map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumbung_model::{AgentId, DatasetId, DomainId, RepositoryId, Timestamp};

    /// However `hpke` asks for them.
    #[test]
    fn random_numbers_come_in_every_width() {
        let all_differ = |mut numbers: Vec<u64>| {
            numbers.sort_unstable();
            numbers.dedup();
            numbers.len() == 4
        };
        let mut system = SystemRandom;
        let Ok(short) = (0..4).map(|_| system.try_next_u32()).collect::<Result<Vec<_>, _>>();
        let Ok(long) = (0..4).map(|_| system.try_next_u64()).collect::<Result<Vec<_>, _>>();
        assert!(all_differ(short.into_iter().map(u64::from).collect()) && all_differ(long));
    }

    fn sealed_to(recipients: &[PublicKey]) -> (Session, SessionKey, DomainSecret) {
        let session = Session {
            repository: RepositoryId::from_bytes([1; 32]),
            agent: AgentId::random(),
            domain: DomainId::random(),
            dataset: DatasetId::random(),
            started: Timestamp(1),
            roster_number: 1,
            sealed: Vec::new(),
        };
        let (key, domain) = (SessionKey::random(), DomainSecret::random());
        (seal_session(session, &key, &domain, recipients).unwrap(), key, domain)
    }

    #[test]
    fn each_recipient_opens_a_session_and_nobody_else() {
        let keys = [RecoveryKey::generate(), RecoveryKey::generate()];
        let (session, key, domain) = sealed_to(&[keys[0].public(), keys[1].public()]);
        for recovery in &keys {
            let opened = open_session(&session, recovery).unwrap();
            assert_eq!(opened.key.expose(), key.expose());
            assert_eq!(opened.domain.expose(), domain.expose());
        }
        assert_ne!(session.sealed[0].encapsulated, session.sealed[1].encapsulated);
        let stranger = RecoveryKey::generate();
        let refused = open_session(&session, &stranger).err();
        assert!(matches!(refused, Some(SealError::NotRecipient(key)) if key == stranger.public()));
    }

    #[test]
    fn a_wrap_opens_for_its_recipient_and_only_as_that_session() {
        let (old, new) = (RecoveryKey::generate(), RecoveryKey::generate());
        let (session, key, domain) = sealed_to(&[old.public()]);
        let (repository, id) = (session.repository, SessionId::from_bytes([4; 32]));
        let opened = open_session(&session, &old).unwrap();
        let wrapped = wrap_session(&repository, &id, &opened, &new.public()).unwrap();
        let again = open_wrapped(&repository, &wrapped, &new).unwrap();
        assert_eq!(again.key.expose(), key.expose());
        assert_eq!(again.domain.expose(), domain.expose());
        assert!(open_wrapped(&repository, &wrapped, &old).is_err());
        assert!(open_wrapped(&RepositoryId::ZERO, &wrapped, &new).is_err());
        let other = WrappedSession { session: SessionId::ZERO, ..wrapped.clone() };
        assert!(open_wrapped(&repository, &other, &new).is_err());
        for bit in 0..112 * 8 {
            let mut bad = wrapped.clone();
            let (byte, flip) = (bit / 8, 1 << (bit % 8));
            match byte {
                0..32 => bad.encapsulated[byte] ^= flip,
                _ => bad.ciphertext[byte - 32] ^= flip,
            }
            assert!(open_wrapped(&repository, &bad, &new).is_err(), "bit {bit}");
        }
        // Nor is it taken for a session's own sealed key: the two are bound to different words.
        let as_session = SealedKey {
            recipient: new.public(),
            encapsulated: wrapped.encapsulated,
            ciphertext: wrapped.ciphertext,
        };
        let posed = Session { sealed: vec![as_session], ..session };
        assert!(open_session(&posed, &new).is_err());
    }

    #[test]
    fn any_flipped_bit_of_a_session_is_refused() {
        let recovery = RecoveryKey::generate();
        let (session, ..) = sealed_to(&[recovery.public()]);
        for bit in 0..112 * 8 {
            let mut bad = session.clone();
            let (byte, flip) = (bit / 8, 1 << (bit % 8));
            match byte {
                0..32 => bad.sealed[0].encapsulated[byte] ^= flip,
                _ => bad.sealed[0].ciphertext[byte - 32] ^= flip,
            }
            assert!(
                matches!(open_session(&bad, &recovery), Err(SealError::Session(_))),
                "bit {bit}"
            );
        }
        for bad in [
            Session { repository: RepositoryId::ZERO, ..session.clone() },
            Session { agent: AgentId::ZERO, ..session.clone() },
            Session { domain: DomainId::ZERO, ..session.clone() },
            Session { dataset: DatasetId::ZERO, ..session.clone() },
            Session { started: Timestamp(2), ..session.clone() },
        ] {
            assert!(matches!(open_session(&bad, &recovery), Err(SealError::Session(_))));
        }
    }

    #[test]
    fn recipients_that_cannot_be_sealed_to_are_refused() {
        let session = sealed_to(&[RecoveryKey::generate().public()]).0;
        let refused = |recipients: &[PublicKey]| {
            seal_session(
                session.clone(),
                &SessionKey::random(),
                &DomainSecret::random(),
                recipients,
            )
            .err()
        };
        assert!(matches!(refused(&[]), Some(SealError::RecipientCount(0))));
        let many = vec![RecoveryKey::generate().public(); 65];
        assert!(matches!(refused(&many), Some(SealError::RecipientCount(65))));
        assert!(refused(&many[1..]).is_none());
        assert!(
            matches!(refused(&[PublicKey::ZERO]), Some(SealError::RecipientKey(PublicKey::ZERO))),
            "small order"
        );
    }

    /// Made with OpenSSL through Python's `cryptography` 48, so that two implementations agree.
    #[test]
    fn another_implementation_s_message_opens() {
        let recovery = RecoveryKey::from_seed(Secret::new(std::array::from_fn(|i| {
            0x20 + u8::try_from(i).unwrap()
        })));
        let public = "358072d6365880d1aeea329adf9121383851ed21a28e3b75e965d0d2cd166254";
        assert_eq!(recovery.public().to_string(), public);
        let encapsulated: PublicKey =
            "7ad824f3af9367134a1c03b47b19ce91edea1b7eebfe9388dc5b615044d2390f".parse().unwrap();
        let ciphertext = [
            0x2c, 0x48, 0x20, 0x43, 0x48, 0x87, 0xc0, 0xe5, 0xad, 0xc3, 0x3a, 0xba, 0x8c, 0x3e,
            0xe4, 0x47, 0xd9, 0x5b, 0x64, 0x2f, 0x2c, 0xfa, 0xdc, 0x76, 0xb5, 0xef, 0xaa, 0xc6,
            0xc5, 0xca, 0x68, 0x88, 0xa0, 0x16, 0xe2,
        ];
        let opened = hpke_open(&recovery, encapsulated.as_bytes(), INFO, b"", &ciphertext).unwrap();
        assert_eq!(&opened[..], b"ditulis oleh Python");
    }
}
