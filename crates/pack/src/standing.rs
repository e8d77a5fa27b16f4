//! Standing approval: the owner's consent that a verifier opens the next snapshots of a dataset, and the openings that the
//! agent publishes for it (`docs/format.md` §25). Sealed and opened in `lumbung_seal`.
//!
//! Invariants: an approval names one dataset, and ends within a year; it is the owner's only while its signer is a root key
//! of the newest roster ([`honoured`]); an opening is worth something only in the name of the agent that signed the session.

use lumbung_model::{
    ConsentId, DatasetId, ManifestId, OpeningId, PublicKey, RepositoryId, SessionId,
    StandingApprovalId, Timestamp,
};

use crate::armor;
use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::grant::{GrantFileError, Grantee, longest};
use crate::limits::GRANT_MAX_SNAPSHOTS;
use crate::object::{Header, Kind, Object, Signed, open_signed};
use crate::roster::RosterChain;

/// First line of an approval's file.
const TITLE: &str = "LUMBUNG STANDING APPROVAL 1";

/// What agents are to open to a verifier, from when and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandingApproval {
    /// The repository.
    pub repository: RepositoryId,
    /// The consent that it carries out, with the grants of its base; random, not zero.
    pub consent: ConsentId,
    /// Who reads.
    pub grantee: Grantee,
    /// The dataset.
    pub dataset: DatasetId,
    /// Their name, for people.
    pub name: String,
    /// Number of the letter that decides it.
    pub letter: String,
    /// What for, in words.
    pub purpose: String,
    /// When it was made.
    pub issued: Timestamp,
    /// Sites let the grantee read what they received from then on.
    pub from: Timestamp,
    /// And until then.
    pub until: Timestamp,
    /// The snapshots that grants of the same consent open, so that later ones may share their frames; ascending, none
    /// where the dataset had no snapshot yet.
    pub base: Vec<ManifestId>,
}

impl StandingApproval {
    /// Whether it holds at that time, as far as it says itself. Its last second is in.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

impl Object for StandingApproval {
    const KIND: Kind = Kind::StandingApproval;
    type Id = StandingApprovalId;

    fn id_from(bytes: [u8; 32]) -> StandingApprovalId {
        StandingApprovalId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.consent.as_bytes());
        writer.raw(self.grantee.recipient.as_bytes()).raw(self.grantee.key.as_bytes());
        writer.raw(self.dataset.as_bytes());
        writer.str(&self.name).str(&self.letter).str(&self.purpose);
        writer.i64(self.issued.0).i64(self.from.0).i64(self.until.0);
        writer.count16(self.base.len());
        for snapshot in &self.base {
            writer.raw(snapshot.as_bytes());
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let consent = ConsentId::from_bytes(reader.array()?);
        if consent.is_zero() {
            return Err(FormatError::field("a standing approval's consent", "it is zero"));
        }
        let grantee = Grantee {
            recipient: PublicKey::from_bytes(reader.array()?),
            key: PublicKey::from_bytes(reader.array()?),
        };
        let dataset = DatasetId::from_bytes(reader.array()?);
        let (name, letter, purpose) = (reader.str()?, reader.str()?, reader.str()?);
        let issued = Timestamp(reader.i64()?);
        let (from, until) = (Timestamp(reader.i64()?), Timestamp(reader.i64()?));
        let field = "a standing approval's end";
        if until < from || until < issued {
            return Err(FormatError::field(field, "it ends before it begins"));
        }
        if until > longest(issued) {
            return Err(FormatError::field(field, "it is more than 366 days away"));
        }
        let field = "a standing approval's base";
        let count = reader.count16(field, 0, GRANT_MAX_SNAPSHOTS)?;
        let base: Vec<ManifestId> = (0..count)
            .map(|_| Ok(ManifestId::from_bytes(reader.array()?)))
            .collect::<Result<_, FormatError>>()?;
        ascending(field, base.iter())?;
        Ok(Self {
            repository,
            consent,
            grantee,
            dataset,
            name,
            letter,
            purpose,
            issued,
            from,
            until,
            base,
        })
    }
}

/// Whether a standing approval is the owner's word: the newest roster lists its signer as a root key.
#[must_use]
pub fn honoured(chain: &RosterChain, approval: &Signed<StandingApproval>) -> bool {
    approval.body.repository == chain.repository() && chain.is_root_key(&approval.signer)
}

/// An approval as text.
#[must_use]
pub fn write_approval(object: &[u8]) -> String {
    armor::encode(TITLE, object)
}

/// Reads an approval's file and verifies its signature.
///
/// # Errors
/// Where it is damaged, something else, or not signed as it says.
pub fn read_approval(text: &str) -> Result<Signed<StandingApproval>, GrantFileError> {
    let object = armor::decode(TITLE, text)?;
    Ok(open_signed(&object)?)
}

/// A session's key as its agent sealed it to a verifier: it opens what that run stored, and not the domain's secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionOpening {
    /// The repository.
    pub repository: RepositoryId,
    /// The session.
    pub session: SessionId,
    /// The standing approval's consent.
    pub consent: ConsentId,
    /// X25519 public key of the grantee.
    pub recipient: PublicKey,
    /// HPKE encapsulated key.
    pub encapsulated: [u8; 32],
    /// HPKE ciphertext of the session key.
    pub ciphertext: [u8; 48],
}

impl SessionOpening {
    fn write_context(&self, writer: &mut Writer) {
        writer.raw(self.session.as_bytes()).raw(self.consent.as_bytes());
        writer.u8(1).raw(self.recipient.as_bytes());
    }

    /// What HPKE binds: every byte before the encapsulated key.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        Header { kind: Kind::Opening, repository: self.repository }.write(&mut writer);
        self.write_context(&mut writer);
        writer.into_bytes()
    }
}

impl Object for SessionOpening {
    const KIND: Kind = Kind::Opening;
    type Id = OpeningId;

    fn id_from(bytes: [u8; 32]) -> OpeningId {
        OpeningId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        self.write_context(writer);
        writer.raw(&self.encapsulated).raw(&self.ciphertext);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let session = SessionId::from_bytes(reader.array()?);
        let consent = ConsentId::from_bytes(reader.array()?);
        if consent.is_zero() {
            return Err(FormatError::field("an opening's consent", "it is zero"));
        }
        if reader.u8()? != 1 {
            return Err(FormatError::field("an opening's algorithm", "this program knows 1 only"));
        }
        let recipient = PublicKey::from_bytes(reader.array()?);
        let (encapsulated, ciphertext) = (reader.array()?, reader.array()?);
        Ok(Self { repository, session, consent, recipient, encapsulated, ciphertext })
    }
}
