//! Wraps: the secrets of sessions, sealed again by the owner to a recipient who came later (`docs/format.md` §23). Opened in
//! `lumbung_seal`.
//!
//! A wrap cannot make a reader believe a wrong key: packs commit to theirs, roots and chunk ids are checked as always.

use lumbung_model::{PublicKey, RepositoryId, SessionId, Timestamp, WrapId};

use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::limits::WRAP_MAX_SESSIONS;
use crate::object::{Kind, Object, Signed};
use crate::roster::{Roster, RosterChain};

/// Bytes of one session in a wrap.
const WRAPPED_BYTES: usize = 144;

/// One session's secrets as sealed to the wrap's recipient (HPKE, RFC 9180).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedSession {
    /// Which.
    pub session: SessionId,
    /// HPKE encapsulated key.
    pub encapsulated: [u8; 32],
    /// HPKE ciphertext of session key and domain secret.
    pub ciphertext: [u8; 80],
}

/// The secrets of sessions, sealed to one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrap {
    /// The repository.
    pub repository: RepositoryId,
    /// When it was made.
    pub made: Timestamp,
    /// X25519 public key of the recipient.
    pub recipient: PublicKey,
    /// Ascending by session.
    pub sessions: Vec<WrappedSession>,
}

impl Wrap {
    /// What HPKE binds for a session.
    #[must_use]
    pub fn aad(repository: &RepositoryId, session: &SessionId) -> [u8; 64] {
        let mut aad = [0; 64];
        aad[..32].copy_from_slice(repository.as_bytes());
        aad[32..].copy_from_slice(session.as_bytes());
        aad
    }
}

impl Object for Wrap {
    const KIND: Kind = Kind::Wrap;
    type Id = WrapId;

    fn id_from(bytes: [u8; 32]) -> WrapId {
        WrapId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.i64(self.made.0).u8(1).raw(self.recipient.as_bytes());
        writer.count32(self.sessions.len());
        for wrapped in &self.sessions {
            writer.raw(wrapped.session.as_bytes());
            writer.raw(&wrapped.encapsulated).raw(&wrapped.ciphertext);
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let made = Timestamp(reader.i64()?);
        if reader.u8()? != 1 {
            return Err(FormatError::field("a wrap's algorithm", "this program knows 1 only"));
        }
        let recipient = PublicKey::from_bytes(reader.array()?);
        let count = reader.count32("a wrap's sessions", WRAP_MAX_SESSIONS, WRAPPED_BYTES)?;
        if count == 0 {
            return Err(FormatError::field("a wrap's sessions", "there must be at least one"));
        }
        let mut sessions = Vec::with_capacity(count);
        for _ in 0..count {
            sessions.push(WrappedSession {
                session: SessionId::from_bytes(reader.array()?),
                encapsulated: reader.array()?,
                ciphertext: reader.array()?,
            });
        }
        ascending("a wrap's sessions", sessions.iter().map(|wrapped| wrapped.session))?;
        Ok(Self { repository, made, recipient, sessions })
    }
}

/// Whether the owner made a wrap: a roster of the chain lists its signer as a root key. One that was withdrawn since
/// made it while it was entitled, or a thief did: readers hold what such a wrap opens to against what the session sealed.
#[must_use]
pub fn is_owners(chain: &RosterChain, wrap: &Signed<Wrap>) -> bool {
    wrap.body.repository == chain.repository() && was_root_key(chain, &wrap.signer)
}

/// Whether a roster of the chain lists this key as a root key.
#[must_use]
pub fn was_root_key(chain: &RosterChain, key: &PublicKey) -> bool {
    last_listed(chain, key).is_some()
}

/// The number of the newest roster that lists this key as a root key.
#[must_use]
pub fn last_listed(chain: &RosterChain, key: &PublicKey) -> Option<u32> {
    let lists = |roster: &Roster| roster.root_keys.iter().any(|root| root.key == *key);
    let mut newest_first = chain.all().iter().rev();
    newest_first.find(|roster| lists(&roster.body)).map(|roster| roster.body.number)
}
