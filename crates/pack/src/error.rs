//! Why bytes are not an object of this format.

use lumbung_model::PublicKey;

use crate::object::Kind;

/// Why bytes are not an object of this format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end inside a field.
    #[error("the object ends early: {needed} more bytes were expected")]
    Truncated {
        /// Bytes that were missing.
        needed: usize,
    },
    /// Bytes stand after the last field.
    #[error("{0} bytes stand after the end of the object")]
    Trailing(usize),
    /// The first four bytes are not `LMBG`.
    #[error("this is not a Lumbung object (it does not begin with LMBG)")]
    Magic,
    /// No kind has this number.
    #[error("unknown kind of object {0}: written by a newer version of Lumbung?")]
    UnknownKind(u8),
    /// Another kind was expected here.
    #[error("a {expected} was expected, this is a {found}")]
    WrongKind {
        /// What should be here.
        expected: Kind,
        /// What is here.
        found: Kind,
    },
    /// The kind has another version.
    #[error("{kind} of version {version}: this program reads version 1, install a newer one")]
    Version {
        /// The object's kind.
        kind: Kind,
        /// Its version.
        version: u8,
    },
    /// An incompatible feature bit that this program does not know.
    #[error(
        "{kind} needs feature bit {bit}, which this program does not know: install a newer one"
    )]
    Feature {
        /// The object's kind.
        kind: Kind,
        /// The lowest unknown bit.
        bit: u32,
    },
    /// A field has a value that the format forbids.
    #[error("{field}: {reason}")]
    Field {
        /// The field's name in `docs/format.md`.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A length is beyond its limit.
    #[error("{field} has {found}, the limit is {limit}")]
    Limit {
        /// The field's name.
        field: &'static str,
        /// What was found.
        found: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The object's bytes do not hash to the id under which it was asked for.
    #[error("the object's bytes do not match its id: it was damaged or exchanged")]
    IdMismatch,
    /// A stored frame does not match the pack's table.
    #[error("frame {0} does not match the pack's table: it was damaged or exchanged")]
    Frame(usize),
    /// The signature does not verify.
    #[error("the signature by {0} does not verify: the object was altered or forged")]
    Signature(PublicKey),
}

impl FormatError {
    pub(crate) const fn field(field: &'static str, reason: &'static str) -> Self {
        Self::Field { field, reason }
    }

    pub(crate) const fn limit(field: &'static str, found: usize, limit: usize) -> Self {
        Self::Limit { field, found: found as u64, limit: limit as u64 }
    }
}
