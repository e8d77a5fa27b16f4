//! Who acts as the controller, and who may say so.
//!
//! A statement is signed as it stands ([`crate::succession`]); statements form a chain, and each is signed by two of the
//! officers that the one before names.

use lumbung_model::{PublicKey, StatementHash, Timestamp, TlsPin};
use serde::{Deserialize, Serialize};

/// A controller, or one that could become it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Seat {
    /// Where it answers, `https://host:port`.
    pub url: String,
    /// The pin of its TLS key, which never leaves its machine.
    pub pin: TlsPin,
}

/// Somebody whose signature counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Officer {
    /// As people know them.
    pub name: String,
    /// The root key of their own key bundle.
    pub key: PublicKey,
}

/// Who acts from an epoch on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Counts from 1; a higher one is newer.
    pub epoch: u64,
    /// The statement before; absent in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<StatementHash>,
    /// `sha256:…` of the city's CA.
    pub ca: String,
    /// The one that acts.
    pub controller: Seat,
    /// Those that keep a copy, and may take its place.
    pub standbys: Vec<Seat>,
    /// Two of these sign the next statement.
    pub officers: Vec<Officer>,
    /// When it was drawn up.
    pub made: Timestamp,
    /// Why: the number of a letter, or a sentence.
    pub reason: String,
}

/// One officer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OfficerSignature {
    /// Whose.
    pub key: PublicKey,
    /// Ed25519, 128 hexadecimal digits.
    pub signature: String,
}

/// A statement's text with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedStatement {
    /// The JSON of a [`Statement`].
    pub text: String,
    /// Who signed.
    pub signatures: Vec<OfficerSignature>,
}

/// `GET` and `POST /api/v1/succession`, `GET` and `PUT /v1/succession`: all statements, the first one first; none where no officers were ever
/// named. As a file: the last one may still lack signatures.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Succession {
    /// The statements.
    pub statements: Vec<SignedStatement>,
}
