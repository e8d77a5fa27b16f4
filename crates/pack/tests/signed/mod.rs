//! What holds for every signed kind.

use lumbung_pack::{Object, SigningKey, open_signed, sign};

/// A signed kind comes back as it was, and with any one bit flipped it does not come back.
pub(crate) fn check_signed<T: Object + PartialEq + std::fmt::Debug>(object: &T) {
    let key = SigningKey::generate();
    let bytes = sign(object, &key);
    let opened = open_signed::<T>(&bytes).expect("it is whole");
    assert_eq!(opened.body, *object);
    assert_eq!(opened.signer, key.public());
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(open_signed::<T>(&damaged).is_err(), "bit {bit} of a {}", T::KIND);
    }
    for length in 0..bytes.len() {
        assert!(open_signed::<T>(&bytes[..length]).is_err(), "a {} cut to {length}", T::KIND);
    }
}
