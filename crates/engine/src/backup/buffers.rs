//! Buffers that are used again, so that the memory of a run follows what is in flight and not what an allocator
//! keeps of what was freed.
//!
//! Chunks and batches are in flight no more than the channels between the threads let be; packs are counted
//! here: whoever opens one waits until one of the others has been acknowledged. A pack lies in segments, which
//! the next one takes as it grows: two packs take the room of two only while both are full. The buffer that
//! was given back last is used first, and one that an unusually long content made grow gives that back.

use std::ops::{Deref, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded, select};

use super::stop::{Stop, Stopped};

/// Length of a segment; packs are some megabytes.
const SEGMENT_BYTES: usize = 256 << 10;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes, and room behind them that was set to zero once and not again for the next content.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { filled: bytes.len(), bytes }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Buffer {
    fn with_capacity(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), filled: 0 }
    }

    /// The `length` bytes behind the content, to be written over and then counted with [`Buffer::fill`].
    pub(super) fn room(&mut self, length: usize) -> &mut [u8] {
        let end = self.filled + length;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        &mut self.bytes[self.filled..end]
    }

    /// So much of the room has become content.
    pub(super) fn fill(&mut self, length: usize) {
        self.filled = self.bytes.len().min(self.filled + length);
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.fill(bytes.len());
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.filled = self.filled.min(length);
    }
}

/// Buffers for chunks, or for batches of small files.
#[derive(Debug)]
pub(super) struct Buffers {
    usual: usize,
    spare: Mutex<Vec<Buffer>>,
}

impl Buffers {
    /// Buffers that keep so much memory between uses; they grow to what they are used for.
    pub(super) const fn new(usual: usize) -> Self {
        Self { usual, spare: Mutex::new(Vec::new()) }
    }

    /// An empty buffer.
    pub(super) fn take(&self) -> Buffer {
        lock(&self.spare).pop().unwrap_or_else(|| Buffer::with_capacity(self.usual))
    }

    /// Takes a buffer back; one that is not from here is dropped.
    pub(super) fn give(&self, mut buffer: Buffer) {
        if buffer.bytes.capacity() >= self.usual {
            buffer.truncate(0);
            buffer.bytes.truncate(self.usual);
            buffer.bytes.shrink_to(self.usual);
            lock(&self.spare).push(buffer);
        }
    }
}

/// The stored frames of a pack, one behind the other as they were sealed.
#[derive(Debug, Default)]
pub(super) struct PackBody {
    segments: Vec<Vec<u8>>,
}

/// A body that is complete, and can be shown in pieces.
#[derive(Debug, Default)]
pub(super) struct ClosedBody(Vec<Bytes>);

impl PackBody {
    /// Appends; gives the place.
    pub(super) fn append(&mut self, mut bytes: &[u8], buffers: &PackBuffers) -> Range<usize> {
        let start = self.segments.iter().map(Vec::len).sum();
        let end = start + bytes.len();
        while !bytes.is_empty() {
            let room = self.segments.last().map_or(0, |last| SEGMENT_BYTES - last.len());
            if room == 0 {
                self.segments.push(buffers.segment());
                continue;
            }
            let (fits, rest) = bytes.split_at(bytes.len().min(room));
            self.segments.last_mut().expect("one with room").extend_from_slice(fits);
            bytes = rest;
        }
        start..end
    }

    /// Nothing more is appended.
    pub(super) fn close(self) -> ClosedBody {
        ClosedBody(self.segments.into_iter().map(Bytes::from).collect())
    }
}

impl ClosedBody {
    /// Adds the pieces of this place to `pieces`.
    pub(super) fn pieces(&self, place: Range<usize>, pieces: &mut Vec<Bytes>) {
        let mut start = place.start;
        while start < place.end {
            let within = start % SEGMENT_BYTES;
            let length = (place.end - start).min(SEGMENT_BYTES - within);
            pieces.push(self.0[start / SEGMENT_BYTES].slice(within..within + length));
            start += length;
        }
    }
}

/// Room for packs: so many and no more.
#[derive(Debug)]
pub(super) struct PackBuffers {
    spare: Mutex<Vec<Vec<u8>>>,
    leave: (Sender<()>, Receiver<()>),
}

impl PackBuffers {
    /// Room for `count` packs.
    pub(super) fn new(count: usize) -> Self {
        let leave = bounded(count);
        for _ in 0..count {
            let _ = leave.0.try_send(());
        }
        Self { spare: Mutex::default(), leave }
    }

    /// An empty body; waits until there may be one more, or the run stops.
    pub(super) fn open(&self, stop: &Stop) -> Result<PackBody, Stopped> {
        select! {
            recv(self.leave.1) -> _ => Ok(PackBody::default()),
            recv(stop.signal) -> _ => Err(Stopped),
        }
    }

    fn segment(&self) -> Vec<u8> {
        lock(&self.spare).pop().unwrap_or_else(|| Vec::with_capacity(SEGMENT_BYTES))
    }

    /// The depot has the pack. What it still holds a part of is left to it.
    pub(super) fn give(&self, body: ClosedBody) {
        let unshared = body.0.into_iter().filter(Bytes::is_unique);
        lock(&self.spare).extend(unshared.map(|segment| {
            let mut segment = Vec::from(segment);
            segment.clear();
            segment
        }));
        let _ = self.leave.0.try_send(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cancel;

    #[test]
    fn a_buffer_shows_what_was_filled_and_nothing_of_before() {
        let buffers = Buffers::new(100);
        let mut buffer = buffers.take();
        buffer.append(b"sawah");
        buffer.room(50)[..3].copy_from_slice(b"kab");
        buffer.fill(3);
        assert_eq!(&buffer[..], b"sawahkab");
        buffer.truncate(2);
        buffer.append(b"x");
        assert_eq!(&buffer[..], b"sax");
        buffer.fill(1000);
        assert_eq!(buffer.len(), 55, "no more than there was room for");
        buffer.room(1000);
        buffers.give(buffer);
        let again = buffers.take();
        assert_eq!((again.len(), again.bytes.capacity()), (0, 100), "it gave back what it grew");
        buffers.give(again);
        buffers.give(Buffer::from(vec![1, 2, 3]));
        assert_eq!(lock(&buffers.spare).len(), 1, "a small one is not kept");
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn a_body_shows_what_was_appended_at_every_border_of_its_segments() {
        let buffers = PackBuffers::new(1);
        let stop = Stop::new(&Cancel::default());
        let lengths =
            [1, SEGMENT_BYTES - 1, SEGMENT_BYTES, 2 * SEGMENT_BYTES + 3, 0, SEGMENT_BYTES - 3, 5];
        for _ in 0..2 {
            let mut body = buffers.open(&stop).unwrap();
            let data = noise(lengths.iter().sum());
            let (mut rest, mut places) = (&data[..], Vec::new());
            for length in lengths {
                let (next, after) = rest.split_at(length);
                places.push((body.append(next, &buffers), next));
                rest = after;
            }
            let closed = body.close();
            for (place, expected) in places {
                let mut pieces = Vec::new();
                closed.pieces(place, &mut pieces);
                assert_eq!(pieces.concat(), expected);
                assert!(pieces.iter().all(|piece| !piece.is_empty()));
            }
            assert_eq!(closed.0.len(), 6);
            // The second time, all of them are used again.
            buffers.give(closed);
            assert_eq!(lock(&buffers.spare).len(), 6);
        }
    }

    #[test]
    fn there_is_room_for_so_many_packs_and_a_stopped_run_does_not_wait_for_it() {
        let stop = Stop::new(&Cancel::default());
        let buffers = PackBuffers::new(2);
        let (mut first, _second) = (buffers.open(&stop).unwrap(), buffers.open(&stop).unwrap());
        let place = first.append(b"kecamatan", &buffers);
        let closed = first.close();
        let mut held = Vec::new();
        closed.pieces(place, &mut held);
        std::thread::scope(|scope| {
            let third = scope.spawn(|| buffers.open(&stop).is_ok());
            buffers.give(closed);
            assert!(third.join().unwrap());
        });
        // A depot that holds on to a piece keeps its memory, not the pack's place.
        assert_eq!(held.concat(), b"kecamatan");
        assert!(lock(&buffers.spare).is_empty());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| buffers.open(&stop).is_err());
            stop.fail(crate::BackupError::Cancelled);
            assert!(waiting.join().unwrap());
        });
    }
}
