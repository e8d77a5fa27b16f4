//! Ed25519 signatures (RFC 8032), verified strictly.

use ed25519_dalek::{Signature, Signer, VerifyingKey};
use lumbung_model::{PublicKey, Secret};

use crate::error::FormatError;

/// A signing key. Zeroized when dropped; never printed or copied.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new random key.
    #[must_use]
    pub fn generate() -> Self {
        Self::from_seed(&Secret::random())
    }

    /// The key of a 32-byte seed (RFC 8032's private key).
    #[must_use]
    pub fn from_seed(seed: &Secret<32>) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed.expose()))
    }

    /// The seed, to be kept in a key file.
    #[must_use]
    pub fn seed(&self) -> Secret<32> {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Verifies a signature; small-order keys and non-canonical encodings are refused.
///
/// # Errors
/// [`FormatError::Signature`].
pub fn verify_signature(
    key: &PublicKey,
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), FormatError> {
    VerifyingKey::from_bytes(key.as_bytes())
        .and_then(|verifying| verifying.verify_strict(message, &Signature::from_bytes(signature)))
        .map_err(|_| FormatError::Signature(*key))
}
