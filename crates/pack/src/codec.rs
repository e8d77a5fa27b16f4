//! The primitive encodings of `docs/format.md` §1.
//!
//! Invariants: the reader never allocates more than it was given, refuses every non-canonical form,
//! and [`Reader::finish`] refuses what is left over.

use crate::error::FormatError;
use crate::limits::LABEL_MAX_BYTES;

/// Builds an object's bytes.
#[derive(Default)]
pub struct Writer(Vec<u8>);

macro_rules! write_int {
    ($($name:ident: $ty:ty),*) => {$(
        #[doc = concat!("Writes a little-endian `", stringify!($ty), "`.")]
        pub fn $name(&mut self, value: $ty) -> &mut Self {
            self.raw(&value.to_le_bytes())
        }
    )*};
}

impl Writer {
    /// An empty writer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    write_int!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64);

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Writes a `u16` count of the items that follow.
    ///
    /// # Panics
    /// If there are more than 65,535: callers keep the format's limits.
    pub fn count16(&mut self, count: usize) -> &mut Self {
        self.u16(u16::try_from(count).expect("a list within the format's limits"))
    }

    /// Writes a `u32` count of the items that follow.
    ///
    /// # Panics
    /// If there are more than 2^32 - 1.
    pub fn count32(&mut self, count: usize) -> &mut Self {
        self.u32(u32::try_from(count).expect("a list within the format's limits"))
    }

    /// Writes a `str`; a longer text is cut at the last character that fits.
    pub fn str(&mut self, text: &str) -> &mut Self {
        let mut end = text.len().min(LABEL_MAX_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.count16(end).raw(&text.as_bytes()[..end])
    }

    /// Writes `bytes`: a `u32` length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count32(bytes.len()).raw(bytes)
    }

    /// Writes a `varint`.
    pub fn varint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push((value & 0x7f) as u8);
        self
    }

    /// Writes a `svarint`.
    pub fn svarint(&mut self, value: i64) -> &mut Self {
        self.varint(((value << 1) ^ (value >> 63)).cast_unsigned())
    }

    /// Bytes written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Reads an object's bytes.
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

macro_rules! read_int {
    ($($name:ident: $ty:ty),*) => {$(
        #[doc = concat!("Reads a little-endian `", stringify!($ty), "`.")]
        ///
        /// # Errors
        /// [`FormatError::Truncated`].
        pub fn $name(&mut self) -> Result<$ty, FormatError> {
            self.array().map(<$ty>::from_le_bytes)
        }
    )*};
}

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    read_int!(u8: u8, u16: u16, u32: u32, u64: u64, i64: i64);

    /// Takes the next `n` bytes.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], FormatError> {
        let (head, tail) = self
            .0
            .split_at_checked(n)
            .ok_or_else(|| FormatError::Truncated { needed: n - self.0.len() })?;
        self.0 = tail;
        Ok(head)
    }

    /// Takes the next `N` bytes as an array.
    ///
    /// # Errors
    /// [`FormatError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Reads a `str`.
    ///
    /// # Errors
    /// Where it is truncated, too long or not UTF-8.
    pub fn str(&mut self) -> Result<String, FormatError> {
        let length = usize::from(self.u16()?);
        if length > LABEL_MAX_BYTES {
            return Err(FormatError::limit("a str", length, LABEL_MAX_BYTES));
        }
        let text = std::str::from_utf8(self.take(length)?);
        text.map(str::to_owned).map_err(|_| FormatError::field("a str", "it is not UTF-8"))
    }

    /// Reads `bytes` of at most `max`.
    ///
    /// # Errors
    /// Where they are truncated or longer.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8], FormatError> {
        let length = self.u32()? as usize;
        if length > max {
            return Err(FormatError::limit("bytes", length, max));
        }
        self.take(length)
    }

    /// Reads a `varint` in its shortest form.
    ///
    /// # Errors
    /// Where it is truncated, longer than needed or beyond a u64.
    pub fn varint(&mut self) -> Result<u64, FormatError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(FormatError::field("a varint", "it is beyond 64 bits"));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(FormatError::field("a varint", "it is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(FormatError::field("a varint", "it is longer than 10 bytes"))
    }

    /// Reads a `svarint`.
    ///
    /// # Errors
    /// As [`Self::varint`].
    pub fn svarint(&mut self) -> Result<i64, FormatError> {
        let zigzag = self.varint()?;
        Ok((zigzag >> 1).cast_signed() ^ -((zigzag & 1).cast_signed()))
    }

    /// Reads a flag: 0 or 1.
    ///
    /// # Errors
    /// Where it is another value.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, FormatError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(FormatError::field(field, "it is neither 0 nor 1")),
        }
    }

    /// Reads `N` reserved bytes, which are zero.
    ///
    /// # Errors
    /// Where one is not.
    pub fn reserved<const N: usize>(&mut self) -> Result<(), FormatError> {
        if self.array::<N>()? == [0; N] {
            Ok(())
        } else {
            Err(FormatError::field("reserved", "it is not zero"))
        }
    }

    /// Reads a `u16` count of at least `min` and at most `max` items.
    ///
    /// # Errors
    /// Where it is outside.
    pub fn count16(
        &mut self,
        field: &'static str,
        min: usize,
        max: usize,
    ) -> Result<usize, FormatError> {
        let count = usize::from(self.u16()?);
        Self::checked(field, count, min, max)
    }

    /// Reads a `u32` count of at most `max` items, each of at least `item_bytes`.
    ///
    /// # Errors
    /// Where it is beyond `max` or beyond what the bytes that are left could hold.
    pub fn count32(
        &mut self,
        field: &'static str,
        max: usize,
        item_bytes: usize,
    ) -> Result<usize, FormatError> {
        let count = self.u32()? as usize;
        let count = Self::checked(field, count, 0, max)?;
        let needed = count.saturating_mul(item_bytes);
        if needed > self.0.len() {
            return Err(FormatError::Truncated { needed: needed - self.0.len() });
        }
        Ok(count)
    }

    fn checked(
        field: &'static str,
        count: usize,
        min: usize,
        max: usize,
    ) -> Result<usize, FormatError> {
        if count > max {
            Err(FormatError::limit(field, count, max))
        } else if count < min {
            Err(FormatError::field(field, "there must be at least one"))
        } else {
            Ok(count)
        }
    }

    /// Bytes that are left.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`FormatError::Trailing`] where something is left.
    pub const fn finish(self) -> Result<(), FormatError> {
        if self.0.is_empty() { Ok(()) } else { Err(FormatError::Trailing(self.0.len())) }
    }
}

/// Refuses a list that does not ascend strictly.
pub(crate) fn ascending<T: Ord>(
    field: &'static str,
    mut items: impl Iterator<Item = T>,
) -> Result<(), FormatError> {
    let Some(mut last) = items.next() else { return Ok(()) };
    for item in items {
        if item <= last {
            return Err(FormatError::field(field, "they do not ascend"));
        }
        last = item;
    }
    Ok(())
}

/// Refuses a list in which two items are the same.
pub(crate) fn distinct<T: Ord>(
    field: &'static str,
    items: impl Iterator<Item = T>,
) -> Result<(), FormatError> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    ascending(field, items.into_iter())
        .map_err(|_| FormatError::field(field, "two of them are the same"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_have_one_form() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::new();
            writer.varint(value);
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            assert_eq!(reader.varint(), Ok(value));
            assert_eq!(reader.finish(), Ok(()));
        }
        assert!(Reader::new(&[0x80, 0x00]).varint().is_err(), "a longer form of 0");
        assert!(Reader::new(&[0xff; 10]).varint().is_err(), "beyond 64 bits");
        assert!(Reader::new(&[0x80]).varint().is_err(), "cut");
    }

    #[test]
    fn svarints_keep_the_sign() {
        for value in [0, -1, 1, i64::MIN, i64::MAX, -86_400] {
            let mut writer = Writer::new();
            writer.svarint(value);
            assert_eq!(Reader::new(writer.as_bytes()).svarint(), Ok(value));
        }
    }

    #[test]
    fn a_count_cannot_exceed_what_is_there() {
        let bytes = [0xff, 0xff, 0, 0, 1];
        assert!(Reader::new(&bytes).count32("n", 1 << 20, 32).is_err());
    }
    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        let mut writer = Writer::new();
        // 128 characters of two bytes: byte 255 is in the middle of the last one.
        writer.str(&"é".repeat(128)).str("berkas");
        let mut reader = Reader::new(writer.as_bytes());
        assert_eq!(reader.str(), Ok("é".repeat(127)));
        assert_eq!(reader.str(), Ok("berkas".to_owned()));
        assert_eq!(reader.finish(), Ok(()));
    }
    #[test]
    fn limits_hold_to_the_byte_and_what_is_missing_is_counted() {
        let text = |length: u16| [&length.to_le_bytes()[..], &vec![b'x'; length.into()]].concat();
        assert_eq!(Reader::new(&text(255)).str(), Ok("x".repeat(255)));
        assert_eq!(Reader::new(&text(256)).str(), Err(FormatError::limit("a str", 256, 255)));
        let bytes = [3, 0, 0, 0, 7, 8, 9];
        assert_eq!(Reader::new(&bytes).bytes(3), Ok(&bytes[4..]));
        assert_eq!(Reader::new(&bytes).bytes(4), Ok(&bytes[4..]));
        assert_eq!(Reader::new(&bytes).bytes(2), Err(FormatError::limit("bytes", 3, 2)));
        assert_eq!(Reader::new(&bytes).take(9), Err(FormatError::Truncated { needed: 2 }));
        assert_eq!(Reader::new(&bytes[..6]).bytes(3), Err(FormatError::Truncated { needed: 1 }));
    }
}
