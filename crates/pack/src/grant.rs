//! The owner's approval as objects: what somebody asks for, what the owner opens to them, and that it holds no longer
//! (`docs/format.md` §22). What a grant seals is made and opened in `lumbung_seal`.
//!
//! Invariants: everything that a site enforces stands in the clear and is signed with what is sealed; a grant is the
//! owner's only while its signer is a root key of the newest roster ([`honoured`]); a request proves that whoever asks
//! has the key that will read.

use lumbung_model::{
    ConsentId, DatasetId, GrantId, ManifestId, PublicKey, RepositoryId, RevocationId, Timestamp,
};

use crate::armor::{self, ArmorError};
use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::limits::{
    GRANT_MAX_DAYS, GRANT_MAX_PARTS, GRANT_MAX_SNAPSHOTS, GRANT_SEALED_MAX_BYTES, OBJECT_MAX_BYTES,
};
use crate::object::{Header, Kind, Object, Signed, open_signed};
use crate::roster::RosterChain;

/// First line of a request's file.
const REQUEST_TITLE: &str = "LUMBUNG GRANT REQUEST 1";
/// First line of each grant in its file.
const GRANT_TITLE: &str = "LUMBUNG GRANT 1";
/// Base32 of the largest object, its line ends and some comments.
const GRANT_TEXT_MAX_BYTES: usize = OBJECT_MAX_BYTES * 7 / 4;
const DAY_S: i64 = 86_400;

/// Whom something is opened to: two public keys of one person or machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grantee {
    /// X25519: what is opened is sealed to it.
    pub recipient: PublicKey,
    /// Ed25519: signs the request, and is the client certificate's at a vault.
    pub key: PublicKey,
}

/// A grant, or one part of a consent that does not fit into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The repository.
    pub repository: RepositoryId,
    /// The consent that it carries out; random, not zero.
    pub consent: ConsentId,
    /// Which part this is, from 1.
    pub part: u16,
    /// How many parts there are.
    pub parts: u16,
    /// Who reads.
    pub grantee: Grantee,
    /// Their name, for people.
    pub name: String,
    /// Number of the letter that decides it.
    pub letter: String,
    /// What for, in words.
    pub purpose: String,
    /// When it was made.
    pub issued: Timestamp,
    /// Sites let the grantee read from then on.
    pub from: Timestamp,
    /// And until then.
    pub until: Timestamp,
    /// The snapshots that the consent opens: all of them in every part; ascending.
    pub snapshots: Vec<ManifestId>,
    /// HPKE encapsulated key.
    pub encapsulated: [u8; 32],
    /// HPKE ciphertext of the keys.
    pub sealed: Vec<u8>,
}

impl Grant {
    fn write_scope(&self, writer: &mut Writer) {
        writer.raw(self.consent.as_bytes()).u16(self.part).u16(self.parts);
        writer.raw(self.grantee.recipient.as_bytes()).raw(self.grantee.key.as_bytes());
        writer.str(&self.name).str(&self.letter).str(&self.purpose);
        writer.i64(self.issued.0).i64(self.from.0).i64(self.until.0);
        writer.count16(self.snapshots.len());
        for snapshot in &self.snapshots {
            writer.raw(snapshot.as_bytes());
        }
    }

    /// What HPKE binds: every byte before the encapsulated key.
    #[must_use]
    pub fn aad(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        Header { kind: Kind::Grant, repository: self.repository }.write(&mut writer);
        self.write_scope(&mut writer);
        writer.into_bytes()
    }

    /// Whether it opens this snapshot.
    #[must_use]
    pub fn opens(&self, snapshot: &ManifestId) -> bool {
        self.snapshots.binary_search(snapshot).is_ok()
    }
}

/// The last moment to which a consent made then may last.
#[must_use]
pub fn longest(issued: Timestamp) -> Timestamp {
    issued.plus_seconds(GRANT_MAX_DAYS as i64 * DAY_S)
}

impl Object for Grant {
    const KIND: Kind = Kind::Grant;
    type Id = GrantId;

    fn id_from(bytes: [u8; 32]) -> GrantId {
        GrantId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        self.write_scope(writer);
        writer.raw(&self.encapsulated).bytes(&self.sealed);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let consent = ConsentId::from_bytes(reader.array()?);
        if consent.is_zero() {
            return Err(FormatError::field("a grant's consent", "it is zero"));
        }
        let (part, parts) = (reader.u16()?, reader.u16()?);
        if part == 0 || part > parts || usize::from(parts) > GRANT_MAX_PARTS {
            return Err(FormatError::field("a grant's part", "it is none of 1 to 64 parts"));
        }
        let grantee = Grantee {
            recipient: PublicKey::from_bytes(reader.array()?),
            key: PublicKey::from_bytes(reader.array()?),
        };
        let (name, letter, purpose) = (reader.str()?, reader.str()?, reader.str()?);
        let issued = Timestamp(reader.i64()?);
        let (from, until) = (Timestamp(reader.i64()?), Timestamp(reader.i64()?));
        if until < from || until < issued {
            return Err(FormatError::field("a grant's end", "it ends before it begins"));
        }
        if until > longest(issued) {
            return Err(FormatError::field("a grant's end", "it is more than 366 days away"));
        }
        let count = reader.count16("a grant's snapshots", 1, GRANT_MAX_SNAPSHOTS)?;
        let snapshots: Vec<ManifestId> = (0..count)
            .map(|_| Ok(ManifestId::from_bytes(reader.array()?)))
            .collect::<Result<_, FormatError>>()?;
        ascending("a grant's snapshots", snapshots.iter())?;
        let encapsulated = reader.array()?;
        let sealed = reader.bytes(GRANT_SEALED_MAX_BYTES)?.to_vec();
        Ok(Self {
            repository,
            consent,
            part,
            parts,
            grantee,
            name,
            letter,
            purpose,
            issued,
            from,
            until,
            snapshots,
            encapsulated,
            sealed,
        })
    }
}

/// Whether a grant is the owner's word: the newest roster lists its signer as a root key.
#[must_use]
pub fn honoured(chain: &RosterChain, grant: &Signed<Grant>) -> bool {
    grant.body.repository == chain.repository() && chain.is_root_key(&grant.signer)
}

/// The owner's word that a consent holds no longer. What was opened before stays opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The repository.
    pub repository: RepositoryId,
    /// What is revoked.
    pub consent: ConsentId,
    /// When.
    pub revoked: Timestamp,
    /// Why, in words.
    pub reason: String,
}

impl Object for Revocation {
    const KIND: Kind = Kind::Revocation;
    type Id = RevocationId;

    fn id_from(bytes: [u8; 32]) -> RevocationId {
        RevocationId::from_bytes(bytes)
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.consent.as_bytes()).i64(self.revoked.0).str(&self.reason);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        Ok(Self {
            repository,
            consent: ConsentId::from_bytes(reader.array()?),
            revoked: Timestamp(reader.i64()?),
            reason: reader.str()?,
        })
    }
}

/// What somebody asks to have opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// This snapshot.
    Snapshot(ManifestId),
    /// The dataset's latest snapshot when the owner decides.
    Latest(DatasetId),
    /// The dataset's latest snapshot, and those of its next runs: a standing approval.
    Standing(DatasetId),
}

/// A request to the owner, signed by whoever asks with the key that will read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRequest {
    /// The repository.
    pub repository: RepositoryId,
    /// What is sealed to whoever asks; the signer is the other key of the [`Grantee`].
    pub recipient: PublicKey,
    /// Who asks.
    pub name: String,
    /// Number of the letter on which the request rests; may be empty.
    pub letter: String,
    /// What for.
    pub purpose: String,
    /// When it was drawn up.
    pub drawn_up: Timestamp,
    /// For how long, seconds from the decision.
    pub lasting_s: u32,
    /// What is asked for.
    pub wanted: Vec<Wanted>,
}

impl Object for GrantRequest {
    const KIND: Kind = Kind::GrantRequest;
    /// Requests travel as files and are not kept by their hash.
    type Id = [u8; 32];

    fn id_from(bytes: [u8; 32]) -> [u8; 32] {
        bytes
    }

    fn repository(&self) -> RepositoryId {
        self.repository
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.recipient.as_bytes());
        writer.str(&self.name).str(&self.letter).str(&self.purpose);
        writer.i64(self.drawn_up.0).u32(self.lasting_s).count16(self.wanted.len());
        for wanted in &self.wanted {
            match wanted {
                Wanted::Snapshot(id) => writer.u8(1).raw(id.as_bytes()),
                Wanted::Latest(id) => writer.u8(2).raw(id.as_bytes()),
                Wanted::Standing(id) => writer.u8(3).raw(id.as_bytes()),
            };
        }
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let recipient = PublicKey::from_bytes(reader.array()?);
        let (name, letter, purpose) = (reader.str()?, reader.str()?, reader.str()?);
        let (drawn_up, lasting_s) = (Timestamp(reader.i64()?), reader.u32()?);
        let count = reader.count16("what a request asks for", 1, GRANT_MAX_SNAPSHOTS)?;
        let wanted = (0..count)
            .map(|_| match reader.u8()? {
                1 => Ok(Wanted::Snapshot(ManifestId::from_bytes(reader.array()?))),
                2 => Ok(Wanted::Latest(DatasetId::from_bytes(reader.array()?))),
                3 => Ok(Wanted::Standing(DatasetId::from_bytes(reader.array()?))),
                _ => Err(FormatError::field("what a request asks for", "it is of no known kind")),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { repository, recipient, name, letter, purpose, drawn_up, lasting_s, wanted })
    }
}

/// Whom a request asks for.
#[must_use]
pub fn grantee(request: &Signed<GrantRequest>) -> Grantee {
    Grantee { recipient: request.body.recipient, key: request.signer }
}

/// Why a text is no request or no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantFileError {
    /// Not such a text.
    #[error(transparent)]
    Text(#[from] ArmorError),
    /// The bytes are something else, or the signature does not verify.
    #[error("what is in it is not what its first line says, or its signature does not verify")]
    Format(#[from] FormatError),
    /// Parts of several consents, or one part twice.
    #[error("it holds parts of several consents, or one part twice: one file is for one consent")]
    Mixed,
    /// A part is missing.
    #[error("part {part} of {parts} is missing: have the whole file sent again")]
    Part {
        /// The first one that is not there.
        part: u16,
        /// How many there are.
        parts: u16,
    },
}

/// A request as text that can be mailed.
#[must_use]
pub fn write_request(object: &[u8]) -> String {
    armor::encode(REQUEST_TITLE, object)
}

/// Reads a request's file and verifies that whoever asks has the key that it names.
///
/// # Errors
/// Where it is damaged, something else, or not signed as it says.
pub fn read_request(text: &str) -> Result<Signed<GrantRequest>, GrantFileError> {
    let object = armor::decode(REQUEST_TITLE, text)?;
    Ok(open_signed(&object)?)
}

/// The grants of one consent as text: one block a part.
#[must_use]
pub fn write_grants<'a>(objects: impl IntoIterator<Item = &'a [u8]>) -> String {
    objects.into_iter().map(|object| armor::encode(GRANT_TITLE, object)).collect()
}

/// A grant with its bytes.
pub type GrantObject = (Signed<Grant>, Vec<u8>);

/// Reads the grants of one consent from their file: every part, in order.
///
/// # Errors
/// Where it is damaged, incomplete, or of several consents.
pub fn read_grants(text: &str) -> Result<Vec<GrantObject>, GrantFileError> {
    let blocks = armor::blocks(GRANT_TITLE, text);
    if blocks.is_empty() {
        return Err(ArmorError::Title(GRANT_TITLE.to_owned()).into());
    }
    let mut grants = Vec::with_capacity(blocks.len().min(GRANT_MAX_PARTS));
    for block in blocks {
        let object = armor::decode_within(GRANT_TITLE, block, GRANT_TEXT_MAX_BYTES)?.to_vec();
        grants.push((open_signed::<Grant>(&object)?, object));
    }
    whole(&mut grants)?;
    Ok(grants)
}

/// Orders the parts of one consent, and sees to it that all of them are there, once, and say the same.
///
/// # Errors
/// [`GrantFileError::Mixed`] and [`GrantFileError::Part`].
pub fn whole(grants: &mut [GrantObject]) -> Result<(), GrantFileError> {
    grants.sort_by_key(|(grant, _)| grant.body.part);
    let Some((first, _)) = grants.first() else { return Ok(()) };
    let scope = |grant: &Signed<Grant>| {
        let mut body = grant.body.clone();
        (body.part, body.encapsulated, body.sealed) = (1, [0; 32], Vec::new());
        (body, grant.signer)
    };
    let (said, parts) = (scope(first), first.body.parts);
    let twice = grants.windows(2).any(|pair| pair[0].0.body.part == pair[1].0.body.part);
    if twice || grants.iter().any(|(grant, _)| scope(grant) != said) {
        return Err(GrantFileError::Mixed);
    }
    let missing = (1..=parts).find(|part| grants.iter().all(|(one, _)| one.body.part != *part));
    missing.map_or(Ok(()), |part| Err(GrantFileError::Part { part, parts }))
}
