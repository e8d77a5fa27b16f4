//! AES-256-GCM under keys that seal one message each, with a nonce of zero.
//!
//! A key is consumed by the call that seals with it: who derives a key here must see to it that the
//! same key can only ever come with the same message.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use lumbung_model::Secret;

/// Bytes of an authentication tag.
pub(crate) const TAG_BYTES: usize = 16;

/// The message was changed, or the key is another one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused;

fn cipher(key: &Secret<32>) -> Aes256Gcm {
    Aes256Gcm::new(key.expose().into())
}

/// The sealed form of `plain`: as long, and then the tag.
pub(crate) fn seal(key: Secret<32>, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(plain.len() + TAG_BYTES);
    sealed.extend_from_slice(plain);
    seal_in_place(key, aad, &mut sealed);
    sealed
}

/// Seals `message` where it is; the tag is appended.
pub(crate) fn seal_in_place(key: Secret<32>, aad: &[u8], message: &mut Vec<u8>) {
    let tag = cipher(&key)
        .encrypt_inout_detached(&Nonce::default(), aad, InOutBuf::from(&mut message[..]))
        .expect("AES-GCM takes messages of up to 64 GiB");
    message.extend_from_slice(&tag);
}

/// Opens `sealed` into `plain`, which has its length less the tag's. On refusal `plain` is unchanged.
pub(crate) fn open(
    key: &Secret<32>,
    aad: &[u8],
    sealed: &[u8],
    plain: &mut [u8],
) -> Result<(), Refused> {
    let length = sealed.len().checked_sub(TAG_BYTES).ok_or(Refused)?;
    let (body, tag) = sealed.split_at(length);
    let tag = Tag::try_from(tag).map_err(|_| Refused)?;
    let buffer = InOutBuf::new(body, plain).map_err(|_| Refused)?;
    cipher(key).decrypt_inout_detached(&Nonce::default(), aad, buffer, &tag).map_err(|_| Refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_flipped_bit_is_refused() {
        let sealed = seal(Secret::new([1; 32]), b"aad", b"plain text");
        let mut plain = [0; 10];
        assert_eq!(open(&Secret::new([1; 32]), b"aad", &sealed, &mut plain), Ok(()));
        assert_eq!(&plain, b"plain text");
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&Secret::new([1; 32]), b"aad", &bad, &mut plain), Err(Refused));
        }
        assert_eq!(open(&Secret::new([1; 32]), b"AAD", &sealed, &mut plain), Err(Refused));
        assert_eq!(open(&Secret::new([2; 32]), b"aad", &sealed, &mut plain), Err(Refused));
        assert_eq!(open(&Secret::new([1; 32]), b"aad", &sealed, &mut plain[..9]), Err(Refused));
        assert_eq!(open(&Secret::new([1; 32]), b"aad", &sealed[..15], &mut []), Err(Refused));
    }
}
