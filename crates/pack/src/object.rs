//! Kinds, the header that every object begins with, and the frame of signed objects
//! (`docs/format.md` §2–4).

use std::fmt;

use lumbung_model::{PublicKey, RepositoryId};

use crate::codec::{Reader, Writer};
use crate::error::FormatError;
use crate::limits::{MEDIUM_LIST_MAX_BYTES, OBJECT_MAX_BYTES};
use crate::sign::{SigningKey, verify_signature};

const MAGIC: [u8; 4] = *b"LMBG";
const VERSION: u8 = 1;
/// Incompatible feature bits that this program knows: none are defined in version 1.
const KNOWN_INCOMPATIBLE: u32 = 0;
const SIGNATURE_BYTES: usize = 64;

macro_rules! kinds {
    ($($variant:ident = $code:literal, $name:literal, $folder:literal, $doc:literal;)*) => {
        /// The kinds of object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $(#[doc = $doc] $variant,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The number in the header.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),* }
            }

            /// The kind of that number.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The name in `docs/format.md`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// The folder of a repository (of a medium: for its lists) that holds this kind; empty for key files.
            #[must_use]
            pub const fn folder(self) -> &'static str {
                match self { $(Self::$variant => $folder),* }
            }
        }
    };
}

kinds! {
    Roster = 1, "roster", "rosters", "A repository's constitution.";
    Session = 2, "session", "sessions", "A run's key, sealed to the recipients.";
    Pack = 3, "pack", "packs", "Up to 16 MiB of frames.";
    Segment = 4, "segment", "segments", "Which frames of some packs a snapshot uses.";
    Usage = 5, "usage", "usages", "The segments of a snapshot.";
    Manifest = 6, "manifest", "manifests", "A snapshot.";
    Receipt = 7, "receipt", "receipts", "A site's word that it holds a snapshot.";
    Inventory = 8, "inventory", "inventories", "A site's list of the snapshots it holds.";
    Scrub = 9, "scrub", "scrubs", "A site's report of what it read and compared.";
    Proof = 10, "proof", "proofs", "A restore that was compared, signed by the owner.";
    Wrap = 16, "wrap", "wraps", "Old sessions' secrets, sealed to a recipient who came later.";
    Grant = 17, "grant", "grants", "The owner's consent that somebody opens snapshots, sealed to them.";
    Tombstone = 18, "tombstone", "tombstones", "A site's word that it removed a snapshot.";
    Order = 19, "order", "orders", "The owner's and the Dinas' order to release a hold or to destroy.";
    Hold = 20, "hold", "holds", "A site's word that it keeps something, whatever retention says.";
    Revocation = 22, "revocation", "revocations", "The owner's word that a consent holds no longer.";
    StandingApproval = 23, "standing-approval", "standing-approvals", "The owner's consent that somebody opens a dataset's next snapshots.";
    Opening = 24, "opening", "openings", "A session's key, sealed by its agent to who has a standing approval.";
    MediumList = 21, "medium-list", "lists", "What lies on a portable medium.";
    KeyBundle = 32, "key-bundle", "", "A PD's keys under a passphrase.";
    AgentIdentity = 33, "agent-identity", "", "An agent's keys.";
    SiteIdentity = 34, "site-identity", "", "A site's receipt key.";
    RequesterIdentity = 35, "requester-identity", "", "The keys of somebody to whom snapshots are opened.";
    MachineRequester = 37, "machine-requester", "", "The same without a passphrase, for a machine.";
    KeyShare = 38, "key-share", "", "One of the shares that a key bundle was split into.";
    Rehearsal = 39, "rehearsal", "", "The word of who rebuilt a key from its shares and wrote nothing.";
    GrantRequest = 36, "grant-request", "", "What somebody asks the owner to open.";
}

impl Kind {
    /// The kinds that a repository of this version holds, in the order in which they depend on
    /// each other.
    pub const REPOSITORY: [Self; 18] = [
        Self::Roster,
        Self::Session,
        Self::Pack,
        Self::Segment,
        Self::Usage,
        Self::Manifest,
        Self::Receipt,
        Self::Inventory,
        Self::Scrub,
        Self::Proof,
        Self::Hold,
        Self::Order,
        Self::Tombstone,
        Self::Grant,
        Self::Revocation,
        Self::Wrap,
        Self::StandingApproval,
        Self::Opening,
    ];

    /// The kind whose objects a folder of a repository holds; none for reserved kinds.
    #[must_use]
    pub fn from_folder(folder: &str) -> Option<Self> {
        Self::REPOSITORY.into_iter().find(|kind| kind.folder() == folder)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What every object begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The kind of object.
    pub kind: Kind,
    /// The repository; zero in roster number 1 and in key files.
    pub repository: RepositoryId,
}

impl Header {
    /// Writes the 48 bytes.
    pub fn write(&self, writer: &mut Writer) {
        writer.raw(&MAGIC).u8(self.kind.code()).u8(VERSION).u16(0).u32(0).u32(0);
        writer.raw(self.repository.as_bytes());
    }

    /// Reads the 48 bytes of any kind.
    ///
    /// # Errors
    /// Where they are not a header of this version, or need an unknown feature.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        if reader.array()? != MAGIC {
            return Err(FormatError::Magic);
        }
        let code = reader.u8()?;
        let kind = Kind::from_code(code).ok_or(FormatError::UnknownKind(code))?;
        let version = reader.u8()?;
        if version != VERSION {
            return Err(FormatError::Version { kind, version });
        }
        reader.reserved::<2>()?;
        let _compatible = reader.u32()?;
        let unknown = reader.u32()? & !KNOWN_INCOMPATIBLE;
        if unknown != 0 {
            return Err(FormatError::Feature { kind, bit: unknown.trailing_zeros() });
        }
        Ok(Self { kind, repository: RepositoryId::from_bytes(reader.array()?) })
    }

    /// Reads the header of an object that must be of `kind`.
    ///
    /// # Errors
    /// As [`Self::read`], or [`FormatError::WrongKind`].
    pub fn expect(kind: Kind, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let header = Self::read(reader)?;
        if header.kind != kind {
            return Err(FormatError::WrongKind { expected: kind, found: header.kind });
        }
        Ok(header)
    }
}

/// A kind of object that is decoded as a whole (all but packs).
pub trait Object: Sized {
    /// The kind.
    const KIND: Kind;
    /// Its type of id.
    type Id;

    /// Names an id of this kind.
    fn id_from(bytes: [u8; 32]) -> Self::Id;

    /// The repository in the header.
    fn repository(&self) -> RepositoryId;

    /// Writes what stands between the header and the signature.
    fn write_body(&self, writer: &mut Writer);

    /// Reads what stands between the header and the signature.
    ///
    /// # Errors
    /// Where the bytes are not canonical or break a limit.
    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError>;
}

/// An object whose signature was verified. Whether the signer was entitled is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T: Object> {
    /// What was signed.
    pub body: T,
    /// The object's id.
    pub id: T::Id,
    /// Who signed.
    pub signer: PublicKey,
}

/// The hash that names an object.
#[must_use]
pub fn object_id(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

fn check_size(kind: Kind, bytes: &[u8]) -> Result<(), FormatError> {
    let limit = match kind {
        Kind::MediumList => MEDIUM_LIST_MAX_BYTES,
        _ => OBJECT_MAX_BYTES,
    };
    if bytes.len() > limit {
        return Err(FormatError::limit(kind.name(), bytes.len(), limit));
    }
    Ok(())
}

fn write_unsigned<T: Object>(object: &T) -> Writer {
    let mut writer = Writer::new();
    Header { kind: T::KIND, repository: object.repository() }.write(&mut writer);
    object.write_body(&mut writer);
    writer
}

/// The bytes of an object that carries no signature (segments and usage lists).
#[must_use]
pub fn encode<T: Object>(object: &T) -> Vec<u8> {
    write_unsigned(object).into_bytes()
}

/// Reads an object that carries no signature.
///
/// # Errors
/// Where the bytes are not such an object.
pub fn decode<T: Object>(bytes: &[u8]) -> Result<(T, T::Id), FormatError> {
    check_size(T::KIND, bytes)?;
    let mut reader = Reader::new(bytes);
    let header = Header::expect(T::KIND, &mut reader)?;
    let body = T::read_body(header.repository, &mut reader)?;
    reader.finish()?;
    Ok((body, T::id_from(object_id(bytes))))
}

/// The bytes of an object, signed.
#[must_use]
pub fn sign<T: Object>(object: &T, key: &SigningKey) -> Vec<u8> {
    let mut writer = write_unsigned(object);
    writer.raw(key.public().as_bytes());
    let signature = key.sign(writer.as_bytes());
    writer.raw(&signature);
    writer.into_bytes()
}

/// Reads a signed object and verifies its signature.
///
/// # Errors
/// Where the bytes are not such an object, or the signature does not verify.
pub fn open_signed<T: Object>(bytes: &[u8]) -> Result<Signed<T>, FormatError> {
    check_size(T::KIND, bytes)?;
    let mut reader = Reader::new(bytes);
    let header = Header::expect(T::KIND, &mut reader)?;
    let body = T::read_body(header.repository, &mut reader)?;
    let signer = PublicKey::from_bytes(reader.array()?);
    let signature = reader.array::<SIGNATURE_BYTES>()?;
    reader.finish()?;
    verify_signature(&signer, &bytes[..bytes.len() - SIGNATURE_BYTES], &signature)?;
    Ok(Signed { body, id: T::id_from(object_id(bytes)), signer })
}
