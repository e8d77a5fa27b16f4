//! Reads frames of a pack from front to back and compares each with the table: what `verify` and the scrub are
//! made of.
//!
//! Invariants: a frame that is told to be whole was read in this call, each byte of it once, and hashed. What
//! cannot be read together is read frame by frame, so that one bad sector costs one frame. Memory is one buffer,
//! whatever the pack says.

use lumbung_pack::PackTable;

/// Bytes that are read at once from a disk: few system calls, and the buffer stays in the processor's cache.
pub const READ_BYTES: usize = 1 << 20;

/// What became of one frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Scanned<E> {
    /// It was read and is what the table says.
    Whole,
    /// It was read and is something else.
    Differs,
    /// It could not be read.
    Unread(E),
}

/// Reads and compares frames; its buffer is used again from pack to pack.
#[derive(Debug)]
pub struct FrameScanner {
    buffer: Vec<u8>,
    read_bytes: usize,
}

impl FrameScanner {
    /// A scanner that reads about so many bytes at once; a longer frame is read alone.
    #[must_use]
    pub const fn new(read_bytes: usize) -> Self {
        Self { buffer: Vec::new(), read_bytes }
    }

    /// Reads about so many bytes at once from now on.
    pub const fn set_read_bytes(&mut self, read_bytes: usize) {
        self.read_bytes = read_bytes;
    }

    /// Reads `frames`, ascending numbers of frames of `table`, through `read` (an offset in the file, and what is
    /// to be filled), and tells `each` of every one of them.
    ///
    /// # Errors
    /// The first one that `each` gives; nothing more is read then.
    ///
    /// # Panics
    /// If the table has no frame of such a number.
    pub fn scan<E, X>(
        &mut self,
        table: &PackTable,
        frames: impl IntoIterator<Item = usize>,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        mut each: impl FnMut(usize, Scanned<E>) -> Result<(), X>,
    ) -> Result<(), X> {
        let mut frames = frames.into_iter().peekable();
        while let Some(first) = frames.next() {
            let from = table.frame_range(first).start;
            let mut last = first;
            while let Some(next) = frames.next_if(|next| {
                *next == last + 1 && table.frame_range(*next).end - from <= self.read_bytes as u64
            }) {
                last = next;
            }
            self.together(table, (first, last), &mut read, &mut each)?;
        }
        Ok(())
    }

    fn together<E, X>(
        &mut self,
        table: &PackTable,
        (first, last): (usize, usize),
        read: &mut impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        each: &mut impl FnMut(usize, Scanned<E>) -> Result<(), X>,
    ) -> Result<(), X> {
        let from = table.frame_range(first).start;
        let place = |offset: u64| usize::try_from(offset - from).unwrap_or(usize::MAX);
        let length = place(table.frame_range(last).end);
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
        match read(from, &mut self.buffer[..length]) {
            Ok(()) => (first..=last).try_for_each(|frame| {
                let range = table.frame_range(frame);
                let stored = &self.buffer[place(range.start)..place(range.end)];
                each(frame, compared(table, frame, stored))
            }),
            Err(error) if first == last => each(first, Scanned::Unread(error)),
            Err(_) => (first..=last)
                .try_for_each(|frame| self.together(table, (frame, frame), read, each)),
        }
    }
}

fn compared<E>(table: &PackTable, frame: usize, stored: &[u8]) -> Scanned<E> {
    match table.verify_frame(frame, stored) {
        Ok(()) => Scanned::Whole,
        Err(_) => Scanned::Differs,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use lumbung_model::{ChunkId, DomainId, FrameHash, RepositoryId, SessionId};
    use lumbung_pack::{Content, Encoding, FrameEntry, PackHeader};

    use super::*;

    /// A pack of frames of these lengths.
    fn pack(lengths: &[usize]) -> (PackTable, Vec<u8>) {
        let header = PackHeader {
            repository: RepositoryId::ZERO,
            domain: DomainId::ZERO,
            session: SessionId::ZERO,
            salt: [0; 32],
            commitment: [0; 32],
            content: Content::Data,
        };
        let stored: Vec<Vec<u8>> = lengths
            .iter()
            .enumerate()
            .map(|(n, length)| vec![u8::try_from(n + 1).unwrap(); *length])
            .collect();
        let entries = stored.iter().enumerate().map(|(n, bytes)| FrameEntry {
            chunk: ChunkId::from_bytes([u8::try_from(n).unwrap(); 32]),
            stored_hash: FrameHash::from_bytes(lumbung_pack::object_id(bytes)),
            plain_length: u32::try_from(bytes.len() - 16).unwrap(),
            stored_length: u32::try_from(bytes.len()).unwrap(),
            encoding: Encoding::Raw,
        });
        let table = PackTable::new(header, entries.collect()).unwrap();
        let mut bytes = table.encode();
        stored.iter().for_each(|frame| bytes.extend_from_slice(frame));
        (table, bytes)
    }

    type Told = Vec<(usize, Scanned<u64>)>;
    type Reads = Vec<(u64, usize)>;

    /// What is told of the frames, and the ranges that were read. Ranges that hold a byte of `unreadable` fail.
    fn scan(
        lengths: &[usize],
        wanted: &[usize],
        change: impl FnOnce(&PackTable, &mut Vec<u8>),
        unreadable: &[u64],
    ) -> (Told, Reads) {
        let (table, mut bytes) = pack(lengths);
        change(&table, &mut bytes);
        let reads = RefCell::new(Vec::new());
        let mut told = Vec::new();
        let head = table.head_bytes();
        let read = |offset: u64, into: &mut [u8]| {
            reads.borrow_mut().push((offset - head, into.len()));
            let range = offset..offset + into.len() as u64;
            if let Some(bad) = unreadable.iter().find(|bad| range.contains(&(*bad + head))) {
                return Err(*bad);
            }
            let start = usize::try_from(offset).unwrap();
            into.copy_from_slice(&bytes[start..start + into.len()]);
            Ok(())
        };
        let mut scanner = FrameScanner::new(100);
        let each = |frame, found| {
            told.push((frame, found));
            Ok::<_, ()>(())
        };
        scanner.scan(&table, wanted.iter().copied(), read, each).unwrap();
        (told, reads.into_inner())
    }

    #[test]
    fn every_byte_is_read_once_and_every_frame_told_once() {
        let (told, reads) = scan(&[40, 60, 30, 250, 20, 20], &[0, 1, 2, 3, 4, 5], |_, _| {}, &[]);
        assert_eq!(told, (0..6).map(|frame| (frame, Scanned::Whole)).collect::<Vec<_>>());
        assert_eq!(reads, [(0, 100), (100, 30), (130, 250), (380, 40)]);
    }

    #[test]
    fn frames_that_are_not_wanted_are_not_read() {
        let (told, reads) = scan(&[30, 30, 30, 30], &[0, 2, 3], |_, _| {}, &[]);
        assert_eq!(told.iter().map(|(frame, _)| *frame).collect::<Vec<_>>(), [0, 2, 3]);
        assert_eq!(reads, [(0, 30), (60, 60)]);
    }

    #[test]
    fn a_changed_byte_harms_its_own_frame_only() {
        let change = |table: &PackTable, bytes: &mut Vec<u8>| {
            bytes[usize::try_from(table.frame_range(1).end - 1).unwrap()] ^= 1;
        };
        let (told, _) = scan(&[30, 30, 30], &[0, 1, 2], change, &[]);
        assert_eq!(told, [(0, Scanned::Whole), (1, Scanned::Differs), (2, Scanned::Whole)]);
    }

    #[test]
    fn a_bad_sector_costs_one_frame() {
        let (told, reads) = scan(&[30, 30, 30], &[0, 1, 2], |_, _| {}, &[45]);
        assert_eq!(told, [(0, Scanned::Whole), (1, Scanned::Unread(45)), (2, Scanned::Whole)]);
        assert_eq!(reads, [(0, 90), (0, 30), (30, 30), (60, 30)]);
    }

    #[test]
    fn a_scan_ends_where_it_is_told_to() {
        let (table, _) = pack(&[200, 200]);
        let mut reads = 0;
        let read = |_: u64, _: &mut [u8]| {
            reads += 1;
            Ok::<_, ()>(())
        };
        let stopped = FrameScanner::new(100).scan(&table, 0..2, read, |frame, _| Err(frame));
        assert_eq!((stopped, reads), (Err(0), 1));
    }
}
