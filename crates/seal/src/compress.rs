//! zstd for frames: contexts that are kept from frame to frame, a sample that spares incompressible
//! chunks the effort, and decompression that never writes more than it was told to expect.

use std::io;

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
    packed: Vec<u8>,
    /// Decrypted and not yet decompressed; only ever grows.
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
            packed: Vec::new(),
            decrypted: Vec::new(),
            unpacked: Vec::new(),
        })
    }

    /// The compressed form, if that is clearly shorter.
    pub(crate) fn compress(&mut self, plain: &[u8]) -> io::Result<Option<&[u8]>> {
        if plain.len() >= SAMPLE_FROM && !self.sample_shrinks(plain)? {
            return Ok(None);
        }
        let length = compress_into(&mut self.compressor, plain, &mut self.packed)?;
        Ok(worth_it(length, plain.len()).then_some(&self.packed[..length]))
    }

    fn sample_shrinks(&mut self, plain: &[u8]) -> io::Result<bool> {
        self.sample.clear();
        let apart = (plain.len() - SLICE_BYTES) / (SLICES - 1);
        for slice in 0..SLICES {
            self.sample.extend_from_slice(&plain[slice * apart..][..SLICE_BYTES]);
        }
        let length = compress_into(&mut self.sampler, &self.sample, &mut self.packed)?;
        Ok(worth_it(length, self.sample.len()))
    }

    /// A buffer of `length` bytes for what is decrypted next.
    pub(crate) fn decrypted(&mut self, length: usize) -> &mut [u8] {
        if self.decrypted.len() < length {
            self.decrypted.resize(length, 0);
        }
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

fn compress_into(
    compressor: &mut Compressor<'static>,
    plain: &[u8],
    packed: &mut Vec<u8>,
) -> io::Result<usize> {
    packed.clear();
    packed.reserve(zstd_safe::compress_bound(plain.len()));
    compressor.compress_to_buffer(plain, packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn noise_stays_raw_and_text_shrinks() {
        let mut scratch = Scratch::new().unwrap();
        assert!(scratch.compress(&noise(1 << 20)).unwrap().is_none());
        assert!(scratch.compress(&noise(1000)).unwrap().is_none());
        assert!(scratch.compress(b"a").unwrap().is_none());
        let text = "baris data penduduk kota\n".repeat(50_000);
        let packed = scratch.compress(text.as_bytes()).unwrap().unwrap().to_vec();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(scratch.unpack(&packed, text.len()).unwrap(), text.as_bytes());
    }

    #[test]
    fn a_compressible_stretch_in_noise_is_found() {
        let mut scratch = Scratch::new().unwrap();
        let mut mixed = noise(1 << 20);
        mixed[300_000..500_000].fill(b'x');
        assert!(scratch.compress(&mixed).unwrap().is_some());
    }

    #[test]
    fn a_frame_that_lies_about_its_size_is_refused() {
        let mut scratch = Scratch::new().unwrap();
        let plain = vec![0; 100_000];
        let packed = scratch.compress(&plain).unwrap().unwrap().to_vec();
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
