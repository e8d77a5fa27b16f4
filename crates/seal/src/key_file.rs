//! What key files of this crate have in common: how they are refused.

use lumbung_pack::FormatError;
use lumbung_pack::armor::ArmorError;

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The text is no key file of this kind, or damaged.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// The content is another one than the title says.
    #[error(
        "the key file has an unexpected content: was it written by a newer version of Lumbung?"
    )]
    Format(#[from] FormatError),
    /// The file is whole, and the passphrase does not open it.
    #[error("the passphrase is wrong (the key file itself is undamaged): type it again")]
    WrongPassphrase,
    /// The file demands an absurd effort.
    #[error(
        "the key file asks for {memory_kib} KiB, {passes} passes and {lanes} lanes: 8 KiB a lane up to 1 GiB, 1-16 passes and 1-16 lanes are allowed"
    )]
    KdfParams {
        /// Memory.
        memory_kib: u32,
        /// Passes over the memory.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// Argon2id could not have its memory.
    #[error(
        "this machine lacks the {0} KiB of memory that opening the key file takes: free some, or use another machine"
    )]
    Memory(u32),
    /// The private keys do not belong to the public keys beside them.
    #[error(
        "the key file's private keys do not belong to its public keys: it was put together from two, use another copy"
    )]
    KeysDiffer,
}
