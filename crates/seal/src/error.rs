//! Why something could not be sealed or opened.

use lumbung_model::{ChunkId, DatasetId, ManifestId, PackId, PublicKey, SessionId};
use lumbung_pack::FormatError;

/// Why something could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A session is sealed to 1 to 64 recipients.
    #[error(
        "a session is sealed to 1 to 64 recipients, not to {0}: correct the roster's recipients"
    )]
    RecipientCount(usize),
    /// A recipient's key cannot be sealed to.
    #[error("the recipient's key {0} is not a usable X25519 key: replace it in the roster")]
    RecipientKey(PublicKey),
    /// The session has no entry for this recovery key.
    #[error(
        "the session is not sealed to the recovery key {0}: use the key bundle of one of its recipients"
    )]
    NotRecipient(PublicKey),
    /// The session's entry for this key does not open.
    #[error(
        "the session's secrets do not open with the recovery key {0}: the session was altered, fetch it from another site"
    )]
    Session(PublicKey),
    /// A chunk that no frame can hold.
    #[error("a chunk of {0} bytes cannot be sealed: a chunk has 1 byte to 4 MiB")]
    ChunkLength(usize),
    /// zstd failed.
    #[error("compression failed: is the machine out of memory?")]
    Compress(#[source] std::io::Error),
    /// A frame just sealed did not open to the same bytes.
    #[error(
        "chunk {0} was sealed and did not open again: this machine's memory or processor is faulty, do not trust its backups"
    )]
    Readback(ChunkId),
    /// The pack belongs to another session key.
    #[error(
        "the pack does not belong to this session's key (its commitment differs): the pack or the session was exchanged"
    )]
    Commitment,
    /// A frame does not open.
    #[error(
        "frame {frame} (chunk {chunk}) does not open: it was altered, fetch it from another site"
    )]
    Frame {
        /// Its number in the pack.
        frame: u32,
        /// The chunk that it should hold.
        chunk: ChunkId,
    },
    /// A frame opens to another chunk than the table says.
    #[error(
        "frame {frame} does not hold chunk {chunk}: its writer was faulty or dishonest, do not trust the snapshot"
    )]
    ChunkId {
        /// Its number in the pack.
        frame: u32,
        /// The chunk that it should hold.
        chunk: ChunkId,
    },
    /// A grant opens other frames of the pack.
    #[error(
        "the grant does not open frame {frame} (chunk {chunk}): ask the owner for a grant of this snapshot"
    )]
    NotGranted {
        /// Its number in the pack.
        frame: u32,
        /// The chunk that it holds.
        chunk: ChunkId,
    },
    /// A grant does not open the pack.
    #[error("the grant does not open pack {0}: ask the owner for a grant of this snapshot")]
    PackNotGranted(PackId),
    /// A grant does not open the snapshot.
    #[error("the grant does not open snapshot {0}: ask the owner for a grant of it")]
    SnapshotNotGranted(ManifestId),
    /// A grant is sealed to somebody else.
    #[error(
        "the grant is sealed to {sealed_to}, not to {held}: use the requester key that the request was made with"
    )]
    OtherGrantee {
        /// Whose it is.
        sealed_to: PublicKey,
        /// The key at hand.
        held: PublicKey,
    },
    /// What a grant seals does not open.
    #[error("the grant's keys do not open: it was altered, fetch it again")]
    Grant,
    /// What an opening seals does not open.
    #[error(
        "the opening of session {0} does not open: it was altered, or its agent sealed something else"
    )]
    Opening(SessionId),
    /// What a grant seals is something else.
    #[error("the grant has an unexpected content: was it written by a newer version of Lumbung?")]
    GrantFormat(#[source] FormatError),
    /// The keys do not fit into one consent.
    #[error(
        "the keys of these snapshots take {0} grants, and 64 are the most that one consent has: open fewer snapshots at once"
    )]
    GrantParts(usize),
    /// A root that breaks a limit of the format.
    #[error("the snapshot's root cannot be written: {0}")]
    RootLimit(&'static str),
    /// A sealed root does not open.
    #[error(
        "the root of this snapshot of dataset {0} does not open with its session's key: the manifest was altered"
    )]
    Root(DatasetId),
    /// A root opened, and what is inside is no root.
    #[error(
        "the snapshot's root has an unexpected content: was it written by a newer version of Lumbung?"
    )]
    RootFormat(#[source] FormatError),
}
