//! Key material: zeroized when dropped, never printed, copied or serialised.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// `N` secret bytes. No `Debug`, `Clone`, `Serialize` or `PartialEq`, on purpose.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret<const N: usize>([u8; N]);

impl<const N: usize> Secret<N> {
    /// Takes secret bytes. The caller zeroizes its own copy, if it keeps one.
    #[must_use]
    pub const fn new(bytes: [u8; N]) -> Self {
        Self(bytes)
    }

    /// New random bytes.
    ///
    /// # Panics
    /// If the operating system has no random numbers to give.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
        Self(bytes)
    }

    /// The bytes, for the call that needs them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }
}
