//! Rehearsals: the signed word of who rebuilt a key from its shares, and wrote the key nowhere (`docs/format.md` §24).

use lumbung_model::{PublicKey, RepositoryId, ShareSetId, Timestamp};

use crate::armor;
use crate::codec::{Reader, Writer, ascending};
use crate::error::FormatError;
use crate::grant::GrantFileError;
use crate::object::{Kind, Object, Signed, open_signed};

/// First line of a record's file.
pub const TITLE: &str = "LUMBUNG KEY REHEARSAL 1";
/// Shares of one split, at most.
const MAX_SHARES: usize = 16;

/// A rehearsal, signed with the root key that was rebuilt: who signs it had the shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    /// The split.
    pub set: ShareSetId,
    /// How many shares rebuild the key.
    pub threshold: u8,
    /// How many there are.
    pub shares: u8,
    /// The recovery key that was rebuilt, public half.
    pub recovery: PublicKey,
    /// When.
    pub at: Timestamp,
    /// The shares that were there, ascending, with their holders.
    pub present: Vec<(u8, String)>,
    /// Who led it, where, and anything else.
    pub note: String,
}

impl Object for Rehearsal {
    const KIND: Kind = Kind::Rehearsal;
    /// Records are kept as files.
    type Id = [u8; 32];

    fn id_from(bytes: [u8; 32]) -> [u8; 32] {
        bytes
    }

    fn repository(&self) -> RepositoryId {
        RepositoryId::ZERO
    }

    fn write_body(&self, writer: &mut Writer) {
        writer.raw(self.set.as_bytes()).u8(self.threshold).u8(self.shares);
        writer.raw(self.recovery.as_bytes()).i64(self.at.0).count16(self.present.len());
        for (number, holder) in &self.present {
            writer.u8(*number).str(holder);
        }
        writer.str(&self.note);
    }

    fn read_body(repository: RepositoryId, reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        if !repository.is_zero() {
            return Err(FormatError::field("a rehearsal's repository id", "it is not zero"));
        }
        let set = ShareSetId::from_bytes(reader.array()?);
        let (threshold, shares) = (reader.u8()?, reader.u8()?);
        let recovery = PublicKey::from_bytes(reader.array()?);
        let at = Timestamp(reader.i64()?);
        let count = reader.count16("a rehearsal's shares", 1, MAX_SHARES)?;
        let present: Vec<(u8, String)> = (0..count)
            .map(|_| Ok((reader.u8()?, reader.str()?)))
            .collect::<Result<_, FormatError>>()?;
        ascending("a rehearsal's shares", present.iter().map(|(number, _)| *number))?;
        let note = reader.str()?;
        Ok(Self { set, threshold, shares, recovery, at, present, note })
    }
}

/// A record as text.
#[must_use]
pub fn write_rehearsal(object: &[u8]) -> String {
    armor::encode(TITLE, object)
}

/// Reads a record and verifies its signature.
///
/// # Errors
/// Where it is damaged, something else, or not signed as it says.
pub fn read_rehearsal(text: &str) -> Result<Signed<Rehearsal>, GrantFileError> {
    let object = armor::decode(TITLE, text)?;
    Ok(open_signed(&object)?)
}
