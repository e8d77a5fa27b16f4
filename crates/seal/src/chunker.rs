//! Content-defined chunking (format, section 12): where a chunk ends depends only on its own bytes and
//! on the domain's gear table, so data that moved is found again.
//!
//! Golden vectors pin every boundary: a chunker that cuts elsewhere would store everything anew.

use lumbung_pack::ChunkerParams;
use lumbung_pack::limits::CHUNK_MAX;

use crate::domain::GearTable;

/// Bytes hashed between two looks at the loop's condition.
const STRIDE: usize = 8;
/// Below this the hash has not seen enough bytes to mean anything.
const SMALLEST_MIN: u32 = 64;

/// Why a roster's chunker parameters cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "chunks of {min} to {max} bytes, {avg} on average, cannot be cut: the roster needs 64 <= minimum < average < maximum, \
     the average a power of two and the maximum at most 4 MiB"
)]
pub struct ChunkerError {
    min: u32,
    avg: u32,
    max: u32,
}

/// How far the first chunk was looked for: a look with more data goes on from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Bytes behind which the chunk does not end.
    position: usize,
    hash: u64,
}

/// Cuts data into chunks.
pub struct Chunker {
    gear: GearTable,
    min: usize,
    avg: usize,
    max: usize,
    /// `hash & mask == 0`, with the mask's bits at the top, is `hash < limit`: one comparison.
    limit_before_avg: u64,
    limit_after_avg: u64,
}

impl Chunker {
    /// A chunker with a domain's table and a roster's parameters.
    ///
    /// # Errors
    /// If the parameters make no sense.
    pub fn new(gear: &GearTable, params: ChunkerParams) -> Result<Self, ChunkerError> {
        let ChunkerParams { min, avg, max } = params;
        let ordered = SMALLEST_MIN <= min && min < avg && avg < max;
        if !ordered || !avg.is_power_of_two() || max as usize > CHUNK_MAX {
            return Err(ChunkerError { min, avg, max });
        }
        let bits = avg.trailing_zeros();
        Ok(Self {
            gear: gear.duplicate(),
            min: min as usize,
            avg: avg as usize,
            max: max as usize,
            limit_before_avg: 1 << (64 - (bits + 2)),
            limit_after_avg: 1 << (64 - (bits - 2)),
        })
    }

    /// The longest chunk that this chunker makes.
    #[must_use]
    pub const fn max(&self) -> usize {
        self.max
    }

    /// The length of the first chunk of `data`. `None`: `data` is shorter than the maximum and the
    /// chunk does not end within it; at the end of the input all of it is the last chunk.
    #[must_use]
    pub fn cut(&self, data: &[u8]) -> Option<usize> {
        self.resume(data, &mut Scan::default())
    }

    /// As [`Chunker::cut`], for data that grows at its end: looks only at what `scan` has not seen, so that no byte
    /// is hashed twice however little comes at a time. `scan` begins anew with each chunk.
    #[must_use]
    pub fn resume(&self, data: &[u8], scan: &mut Scan) -> Option<usize> {
        let end = data.len().min(self.max);
        for (upto, limit) in [(self.avg, self.limit_before_avg), (self.max, self.limit_after_avg)] {
            let (from, to) = (scan.position.max(self.min), end.min(upto));
            if from >= to {
                continue;
            }
            match find(self.gear.words(), scan.hash, &data[from..to], limit) {
                Ok(length) => {
                    *scan = Scan::default();
                    return Some(from + length);
                }
                Err(hash) => *scan = Scan { position: to, hash },
            }
        }
        if data.len() < self.max {
            return None;
        }
        *scan = Scan::default();
        Some(self.max)
    }

    /// The chunks of a whole input.
    pub fn chunks<'a>(&'a self, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + 'a {
        let mut rest = data;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (chunk, after) = rest.split_at(self.cut(rest).unwrap_or(rest.len()));
            rest = after;
            Some(chunk)
        })
    }
}

/// Hashes `data` until the hash falls below `limit`: how many bytes that took, or else the hash.
fn find(gear: &[u64; 256], mut hash: u64, data: &[u8], limit: u64) -> Result<usize, u64> {
    let mut strides = data.chunks_exact(STRIDE);
    let mut done = 0;
    for stride in &mut strides {
        let stride: &[u8; STRIDE] = stride.try_into().expect("a stride's length");
        // Two bytes a step: h·4 + (g₀·2 + g₁) keeps one addition per step on the critical path.
        for (step, pair) in stride.chunks_exact(2).enumerate() {
            let first = gear[usize::from(pair[0])];
            let second = gear[usize::from(pair[1])];
            let odd = (hash << 1).wrapping_add(first);
            hash = (hash << 2).wrapping_add((first << 1).wrapping_add(second));
            if odd < limit {
                return Ok(done + 2 * step + 1);
            }
            if hash < limit {
                return Ok(done + 2 * step + 2);
            }
        }
        done += STRIDE;
    }
    for (position, byte) in strides.remainder().iter().enumerate() {
        hash = (hash << 1).wrapping_add(gear[usize::from(*byte)]);
        if hash < limit {
            return Ok(done + position + 1);
        }
    }
    Err(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::DomainSecret;
    use lumbung_model::Secret;

    /// The rule of the format, written as it is said there.
    fn cut_by_the_book(gear: &[u64; 256], params: ChunkerParams, data: &[u8]) -> usize {
        let bits = params.avg.trailing_zeros();
        let top = |n: u32| !0_u64 << (64 - n);
        let mut hash = 0_u64;
        let mut length = params.min as usize;
        while length < data.len().min(params.max as usize) {
            let mask = top(if length < params.avg as usize { bits + 2 } else { bits - 2 });
            hash = (hash << 1).wrapping_add(gear[usize::from(data[length])]);
            length += 1;
            if hash & mask == 0 {
                return length;
            }
        }
        data.len().min(params.max as usize)
    }

    fn noise(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn the_fast_loop_cuts_where_the_format_says() {
        let gear = DomainSecret::new(Secret::new([7; 32])).gear();
        for (min, avg, max) in
            [(64, 256, 1024), (65, 128, 300), (100, 1024, 1031), (2048, 4096, 65536)]
        {
            let params = ChunkerParams { min, avg, max };
            let chunker = Chunker::new(&gear, params).unwrap();
            assert_eq!(chunker.max(), max as usize);
            let mut data = noise(1, 200_000);
            data.extend(std::iter::repeat_n(0, 5_000));
            let mut rest = &data[..];
            for chunk in chunker.chunks(&data) {
                assert_eq!(chunk.len(), cut_by_the_book(gear.words(), params, rest));
                rest = &rest[chunk.len()..];
            }
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn a_hash_at_the_limit_is_no_cut() {
        let limit = 1 << 50;
        // With these words the hash stays what it is.
        let gear = [0_u64.wrapping_sub(limit); 256];
        assert_eq!(find(&gear, limit, &[0; STRIDE + 3], limit), Err(limit));
        assert_eq!(find(&gear, limit, &[0; STRIDE + 3], limit + 1), Ok(1));
    }

    #[test]
    fn a_cut_does_not_depend_on_how_much_is_shown() {
        let gear = DomainSecret::new(Secret::new([7; 32])).gear();
        let chunker = Chunker::new(&gear, ChunkerParams { min: 64, avg: 256, max: 1024 }).unwrap();
        let data = noise(2, 2048);
        let length = chunker.cut(&data).unwrap();
        for shown in 0..length {
            assert_eq!(chunker.cut(&data[..shown]), None, "{shown}");
        }
        for shown in length..data.len() {
            assert_eq!(chunker.cut(&data[..shown]), Some(length), "{shown}");
        }
        assert_eq!(chunker.cut(&vec![0; 1024]).map(|l| l <= 1024), Some(true));
    }

    #[test]
    fn a_scan_that_is_resumed_at_any_byte_cuts_in_the_same_places() {
        let gear = DomainSecret::new(Secret::new([7; 32])).gear();
        let mut data = noise(3, 6000);
        data.extend(std::iter::repeat_n(0, 2500));
        for (min, avg, max) in [(64, 256, 1024), (65, 128, 129), (100, 1024, 1031)] {
            let chunker = Chunker::new(&gear, ChunkerParams { min, avg, max }).unwrap();
            // The borders, and steps that fall on all of them sooner or later.
            for step in [1, 2, 7, 63, 64, 65, 129, 256, 1023, 1024, 1031, 4000, 9000] {
                let (mut lengths, mut start, mut shown) = (Vec::new(), 0, 0);
                let mut scan = Scan::default();
                while shown < data.len() {
                    shown = data.len().min(shown + step);
                    while let Some(length) = chunker.resume(&data[start..shown], &mut scan) {
                        lengths.push(length);
                        start += length;
                        assert_eq!(scan, Scan::default());
                    }
                }
                lengths.extend((start < data.len()).then(|| data.len() - start));
                let whole: Vec<usize> = chunker.chunks(&data).map(<[u8]>::len).collect();
                assert_eq!(lengths, whole, "{min} {avg} {max} by {step}");
            }
        }
    }

    #[test]
    fn senseless_parameters_are_refused() {
        let gear = DomainSecret::random().gear();
        for (min, avg, max) in [
            (0, 1024, 4096),
            (1024, 1024, 4096),
            (512, 1000, 4096),
            (512, 1024, 1024),
            (262_144, 1_048_576, 4_194_305),
        ] {
            assert!(
                Chunker::new(&gear, ChunkerParams { min, avg, max }).is_err(),
                "{min} {avg} {max}"
            );
        }
        assert!(Chunker::new(&gear, ChunkerParams::default()).is_ok());
    }
}
