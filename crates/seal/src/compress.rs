//! zstd for frames: contexts that are kept from frame to frame, a sample that spares incompressible
//! chunks the effort, and decompression that never writes more than it was told to expect.

use std::io;

use lumbung_pack::limits::FRAME_TAG_BYTES;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe;

/// Compression level of frames.
const LEVEL: i32 = 3;
/// Level of the sample: only whether it shrinks matters.
const SAMPLE_LEVEL: i32 = 1;
/// From this length on a chunk is sampled first.
const SAMPLE_FROM: usize = 256 * 1024;
/// Slices taken evenly over the chunk, so that a compressible stretch is seen.
const SLICES: usize = 16;
/// Long enough for text to shrink within it.
const SLICE_BYTES: usize = 4096;
/// Most chunks are no longer: what a longer one made a buffer grow is given back at the next.
const USUAL_CHUNK: usize = 6 << 18;

/// Whether `packed` bytes instead of `plain` are worth a decompression at every restore: 1/64 saved.
const fn worth_it(packed: usize, plain: usize) -> bool {
    packed + plain / 64 < plain
}

/// Buffers and contexts for sealing and opening: one for each thread, used again for every frame. It
/// may hold contents of the last frame; it never holds keys.
pub struct Scratch {
    compressor: Compressor<'static>,
    sampler: Compressor<'static>,
    decompressor: Decompressor<'static>,
    sample: Vec<u8>,
    /// What is being sealed: compressed or not, then sealed where it is.
    message: Vec<u8>,
    /// Decrypted and not yet decompressed.
    decrypted: Vec<u8>,
    unpacked: Vec<u8>,
}

impl Scratch {
    /// New contexts. Some megabytes: keep it.
    ///
    /// # Errors
    /// If zstd has no memory for its contexts.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            compressor: Compressor::new(LEVEL)?,
            sampler: Compressor::new(SAMPLE_LEVEL)?,
            decompressor: Decompressor::new()?,
            sample: Vec::new(),
            message: Vec::new(),
            decrypted: Vec::new(),
            unpacked: Vec::new(),
        })
    }

    /// Puts the chunk's encoded form in the message buffer: compressed if that is clearly shorter, which is
    /// told, else as it is.
    pub(crate) fn encode(&mut self, plain: &[u8]) -> io::Result<bool> {
        for buffer in [&mut self.message, &mut self.decrypted, &mut self.unpacked] {
            buffer.truncate(USUAL_CHUNK);
            buffer.shrink_to(USUAL_CHUNK);
        }
        if plain.len() < SAMPLE_FROM || self.sample_shrinks(plain)? {
            compress_into(&mut self.compressor, plain, &mut self.message)?;
            if worth_it(self.message.len(), plain.len()) {
                return Ok(true);
            }
        }
        self.message.clear();
        // With room for the tag.
        self.message.reserve(plain.len() + FRAME_TAG_BYTES);
        self.message.extend_from_slice(plain);
        Ok(false)
    }

    /// The message buffer.
    pub(crate) const fn message(&mut self) -> &mut Vec<u8> {
        &mut self.message
    }

    /// The message buffer beside one of `length` bytes for what it is decrypted to.
    pub(crate) fn message_and_decrypted(&mut self, length: usize) -> (&[u8], &mut [u8]) {
        grow(&mut self.decrypted, length);
        (&self.message, &mut self.decrypted[..length])
    }

    fn sample_shrinks(&mut self, plain: &[u8]) -> io::Result<bool> {
        self.sample.clear();
        slices(plain).for_each(|slice| self.sample.extend_from_slice(slice));
        compress_into(&mut self.sampler, &self.sample, &mut self.message)?;
        Ok(worth_it(self.message.len(), self.sample.len()))
    }

    /// A buffer of `length` bytes for what is decrypted next.
    pub(crate) fn decrypted(&mut self, length: usize) -> &mut [u8] {
        grow(&mut self.decrypted, length);
        &mut self.decrypted[..length]
    }

    /// Decompresses the first `length` bytes of the decrypted buffer into `plain`, which afterwards
    /// has exactly `plain_length` bytes. `false` if that is not what is in there.
    pub(crate) fn unpack_into(
        &mut self,
        length: usize,
        plain_length: usize,
        plain: &mut Vec<u8>,
    ) -> bool {
        let packed = &self.decrypted[..length];
        let whole = zstd_safe::find_frame_compressed_size(packed) == Ok(length);
        let sized = zstd_safe::get_frame_content_size(packed)
            .is_ok_and(|size| size == Some(plain_length as u64));
        if !whole || !sized {
            return false;
        }
        plain.clear();
        plain.reserve_exact(plain_length);
        // The vector's capacity may be more than was reserved; a slice binds zstd to the length.
        plain.resize(plain_length, 0);
        self.decompressor
            .decompress_to_buffer(packed, &mut plain[..])
            .is_ok_and(|written| written == plain_length)
    }

    /// The chunk in one zstd frame, if it has exactly `plain_length` bytes and nothing else is in `packed`: what
    /// [`FrameOpener`](crate::FrameOpener) does with a frame that it decrypted.
    pub fn unpack(&mut self, packed: &[u8], plain_length: usize) -> Option<Vec<u8>> {
        self.decrypted(packed.len()).copy_from_slice(packed);
        let mut plain = Vec::new();
        self.unpack_into(packed.len(), plain_length, &mut plain).then_some(plain)
    }

    /// Whether the first `length` bytes of the decrypted buffer decompress to `plain`.
    pub(crate) fn unpacks_to(&mut self, length: usize, plain: &[u8]) -> bool {
        let mut unpacked = std::mem::take(&mut self.unpacked);
        let same = self.unpack_into(length, plain.len(), &mut unpacked) && unpacked == plain;
        self.unpacked = unpacked;
        same
    }
}

/// What is sampled of a chunk, from its beginning to its end.
fn slices(plain: &[u8]) -> impl Iterator<Item = &[u8]> {
    let apart = (plain.len() - SLICE_BYTES) / (SLICES - 1);
    (0..SLICES).map(move |slice| &plain[slice * apart..][..SLICE_BYTES])
}

fn grow(buffer: &mut Vec<u8>, length: usize) {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
}

fn compress_into(
    compressor: &mut Compressor<'static>,
    plain: &[u8],
    packed: &mut Vec<u8>,
) -> io::Result<()> {
    packed.clear();
    // With room for the tag.
    packed.reserve(zstd_safe::compress_bound(plain.len()) + FRAME_TAG_BYTES);
    compressor.compress_to_buffer(plain, packed).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn compress(scratch: &mut Scratch, plain: &[u8]) -> Option<Vec<u8>> {
        let packed = scratch.encode(plain).unwrap();
        let message = scratch.message().clone();
        assert!(packed || message == plain);
        packed.then_some(message)
    }

    #[test]
    fn noise_stays_raw_and_text_shrinks() {
        let mut scratch = Scratch::new().unwrap();
        assert!(compress(&mut scratch, &noise(1 << 20)).is_none());
        assert!(compress(&mut scratch, &noise(1000)).is_none());
        assert!(compress(&mut scratch, b"a").is_none());
        let text = "baris data penduduk kota\n".repeat(50_000);
        let packed = compress(&mut scratch, text.as_bytes()).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(scratch.unpack(&packed, text.len()).unwrap(), text.as_bytes());
    }

    #[test]
    fn a_compressible_stretch_in_noise_is_found() {
        let mut scratch = Scratch::new().unwrap();
        let mut mixed = noise(1 << 20);
        mixed[300_000..500_000].fill(b'x');
        assert!(compress(&mut scratch, &mixed).is_some());
    }

    #[test]
    fn a_sixty_fourth_is_worth_it_and_less_is_not() {
        assert!(worth_it(6299, 6400) && !worth_it(6300, 6400));
        assert!(worth_it(0, 1) && !worth_it(1, 1));
    }

    #[test]
    fn a_sample_reaches_from_end_to_end() {
        let mut scratch = Scratch::new().unwrap();
        for length in [SAMPLE_FROM, 1_000_003] {
            let plain = noise(length);
            let at = |slice: &[u8]| slice.as_ptr().addr() - plain.as_ptr().addr();
            let starts: Vec<usize> = slices(&plain).map(at).collect();
            assert_eq!((starts.len(), starts[0]), (SLICES, 0));
            let apart = starts[1];
            assert!(
                apart >= SLICE_BYTES && starts.windows(2).all(|pair| pair[1] - pair[0] == apart)
            );
            assert!((length - SLICE_BYTES - starts[SLICES - 1]) < SLICES);
            assert!(!scratch.sample_shrinks(&plain).unwrap());
            assert!(scratch.sample_shrinks(&vec![b'x'; length]).unwrap());
        }
    }

    #[test]
    fn what_was_packed_is_compared_to_its_last_byte() {
        let mut scratch = Scratch::new().unwrap();
        let plain = b"kelurahan ".repeat(100);
        let packed = compress(&mut scratch, &plain).unwrap();
        scratch.decrypted(packed.len()).copy_from_slice(&packed);
        let mut other = plain.clone();
        *other.last_mut().unwrap() ^= 1;
        for (against, same) in [(&plain, true), (&other, false)] {
            assert_eq!(scratch.unpacks_to(packed.len(), against), same);
        }
        assert!(!scratch.unpacks_to(packed.len() - 1, &plain));
    }

    #[test]
    fn a_frame_that_lies_about_its_size_is_refused() {
        let mut scratch = Scratch::new().unwrap();
        let plain = vec![0; 100_000];
        let packed = compress(&mut scratch, &plain).unwrap();
        assert!(scratch.unpack(&packed, 100_000).is_some());
        assert!(scratch.unpack(&packed, 99_999).is_none());
        assert!(scratch.unpack(&packed, 100_001).is_none());
        assert!(scratch.unpack(&packed[..packed.len() - 1], 100_000).is_none());
        let mut longer = packed.clone();
        longer.push(0);
        assert!(scratch.unpack(&longer, 100_000).is_none());
        assert!(scratch.unpack(&[packed.clone(), packed.clone()].concat(), 100_000).is_none());
        assert!(scratch.unpack(&[], 0).is_none());
        // A frame without its content size, as a stream makes it.
        let unsized_frame = zstd::stream::encode_all(&plain[..], 3).unwrap();
        assert!(scratch.unpack(&unsized_frame, 100_000).is_none());
    }
}
