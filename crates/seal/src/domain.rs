//! A dedup domain's secret, and the two keys derived from it (format, section 6).
//!
//! Whoever has the secret can confirm a guess of a chunk's content, and can decrypt nothing.

use lumbung_model::{ChunkId, Secret};
use zeroize::{Zeroize, ZeroizeOnDrop};

const ID_CONTEXT: &str = "lumbung v1 chunk id";
const GEAR_CONTEXT: &str = "lumbung v1 gear";

/// `derive(context, parts joined)` of the format.
pub(crate) fn derive(context: &str, parts: &[&[u8]]) -> Secret<32> {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    let derived = Secret::new(hasher.finalize().into());
    hasher.zeroize();
    derived
}

/// What one server's chunks are named and cut under: 32 random bytes.
#[derive(ZeroizeOnDrop)]
pub struct DomainSecret(Secret<32>);

impl DomainSecret {
    /// Takes an existing secret.
    #[must_use]
    pub const fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    /// A new domain's secret.
    #[must_use]
    pub fn random() -> Self {
        Self(Secret::random())
    }

    /// The bytes, for the call that needs them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The key that names chunks.
    #[must_use]
    pub fn id_key(&self) -> IdKey {
        IdKey(derive(ID_CONTEXT, &[self.expose()]))
    }

    /// The table that says where chunks end.
    #[must_use]
    pub fn gear(&self) -> GearTable {
        let seed = derive(GEAR_CONTEXT, &[self.expose()]);
        let mut hasher = blake3::Hasher::new_keyed(seed.expose());
        let mut bytes = [0; 2048];
        let mut output = hasher.finalize_xof();
        output.fill(&mut bytes);
        let mut table = Box::new([0; 256]);
        for (value, word) in table.iter_mut().zip(bytes.chunks_exact(8)) {
            *value = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        }
        output.zeroize();
        hasher.zeroize();
        bytes.zeroize();
        GearTable(table)
    }
}

/// Names the chunks of one dedup domain.
#[derive(ZeroizeOnDrop)]
pub struct IdKey(Secret<32>);

impl IdKey {
    /// The id of a chunk with this plaintext.
    #[must_use]
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        ChunkId::from_bytes(blake3::keyed_hash(self.0.expose(), plain).into())
    }

    #[cfg(test)]
    pub(crate) const fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// 256 random words, one a byte value: the rolling hash of the chunker. Secret, as it tells chunk
/// boundaries from contents.
#[derive(ZeroizeOnDrop)]
pub struct GearTable(Box<[u64; 256]>);

impl GearTable {
    pub(crate) const fn words(&self) -> &[u64; 256] {
        &self.0
    }

    /// A second copy for the chunker or writer that outlives this one.
    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}
