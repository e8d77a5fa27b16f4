//! The assembler: takes what the readers bring, in path order, and cuts it into chunks.
//!
//! Small files run together into one stream; a large file is cut alone ([`super::large`]). An entry goes on to the recorder
//! when every chunk it refers to has been handed to the workers, and never before an entry that stands
//! in front of it. Two buffers of a little more than one chunk are all the content in memory here.

use std::collections::VecDeque;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender};
use lumbung_model::ChunkId;
use lumbung_pack::Content;
use lumbung_seal::Chunker;
use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind};

use super::read::{Batch, Item, LARGE_BYTES, Reading};
use super::run::Run;
use super::sealing::Job;
use super::stop::Stopped;
use crate::Progress;
use crate::source::Stat;

/// Entries that wait for the small files' chunk; more of them and it is cut where it is.
const PENDING_MAX: usize = 16_384;
/// Entries handed on together.
const HAND_OVER: usize = 64;
/// How much is shown to the chunker at first: nearly every chunk ends before it.
pub(super) const FIRST_LOOK: usize = 2 << 20;
/// Stands for the job of a chunk whose name is known already.
pub(super) const NAMED: u64 = u64::MAX;

/// An entry whose chunks are on their way. Where `numbers` is not empty, it names the job of each content
/// reference, whose chunk id is still to be filled in (or [`NAMED`]).
pub(super) struct Assembled {
    pub(super) entry: Entry,
    pub(super) stat: Option<Stat>,
    pub(super) numbers: Vec<u64>,
}

/// Entries for the recorder.
pub(super) struct HandOver {
    pub(super) entries: Vec<Assembled>,
    /// No later entry refers to a job before this one.
    pub(super) low: u64,
    /// How far a large file was read.
    pub(super) note: Option<Note>,
}

/// Chunks of a large file under way: those since the last note, all of them in the first one.
pub(super) struct Note {
    pub(super) path: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) first: bool,
    pub(super) chunks: Vec<Cut>,
}

/// A chunk of a large file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The job that names it, or [`NAMED`].
    pub(super) number: u64,
    pub(super) chunk: ChunkId,
    pub(super) length: u32,
}

struct Pending {
    assembled: Assembled,
    /// What of the small files' stream is its content and not cut yet.
    rest: Range<u64>,
}

/// Bytes that wait to be cut.
pub(super) struct Window {
    bytes: Vec<u8>,
    pub(super) range: Range<usize>,
}

impl Window {
    fn new(capacity: usize) -> Self {
        Self { bytes: vec![0; capacity], range: 0..0 }
    }

    pub(super) fn filled(&self) -> &[u8] {
        &self.bytes[self.range.clone()]
    }

    pub(super) fn len(&self) -> usize {
        self.range.len()
    }

    /// Room for more, at least `least` bytes.
    pub(super) fn room(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.len() - self.range.end < least {
            self.bytes.copy_within(self.range.clone(), 0);
            self.range = 0..self.range.len();
        }
        &mut self.bytes[self.range.end..]
    }

    pub(super) fn take(&mut self, length: usize) -> Vec<u8> {
        let start = self.range.start;
        self.range.start += length;
        self.bytes[start..start + length].to_vec()
    }
}

/// The assembler.
pub(super) struct Assembler<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) chunker: &'a Chunker,
    pub(super) reading: &'a Reading<'a>,
    pub(super) progress: &'a dyn Progress,
    jobs: Sender<Job>,
    pub(super) recorder: Sender<HandOver>,
    next_job: u64,
    small: Window,
    /// How much of it is shown to the chunker next.
    small_look: usize,
    /// Where the small files' window begins in their stream.
    small_start: u64,
    pending: VecDeque<Pending>,
    /// Where in `pending` the entries are whose content is not all cut, counted from the first entry ever.
    open: VecDeque<u64>,
    /// How many entries have left `pending`.
    handed: u64,
    pub(super) large: Window,
    pub(super) read_bytes: u64,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        reading: &'a Reading<'a>,
        jobs: Sender<Job>,
        recorder: Sender<HandOver>,
    ) -> Self {
        let (chunker, progress) = (&run.chunker, run.request.progress);
        let capacity = chunker.max().max(FIRST_LOOK) + (2 << 20);
        Self {
            run,
            chunker,
            reading,
            progress,
            jobs,
            recorder,
            next_job: 0,
            small: Window::new(capacity),
            small_look: FIRST_LOOK,
            small_start: 0,
            pending: VecDeque::new(),
            open: VecDeque::new(),
            handed: 0,
            large: Window::new(capacity),
            read_bytes: 0,
        }
    }

    /// Until there are no more batches; how many bytes were read.
    pub(super) fn work(mut self, batches: &Receiver<Receiver<Batch>>) -> Result<u64, Stopped> {
        for batch in batches {
            let Batch { items, data } = batch.recv().map_err(|_| Stopped)?;
            self.reading.stop.check()?;
            for item in items {
                self.take(item, &data)?;
            }
        }
        self.cut_small(true)?;
        self.hand_over(true)?;
        Ok(self.read_bytes)
    }

    fn take(&mut self, item: Item, data: &[u8]) -> Result<(), Stopped> {
        match item {
            Item::Ready(entry, stat) => {
                if let EntryKind::File { size, .. } = &entry.kind {
                    self.progress.files(1);
                    self.progress.bytes(*size);
                }
                self.queue(Assembled { entry, stat, numbers: Vec::new() }, 0..0);
            }
            Item::Small(entry, stat, range) => {
                let data = &data[range];
                self.progress.current(&entry.path);
                self.progress.files(1);
                self.progress.bytes(data.len() as u64);
                self.read_bytes += data.len() as u64;
                let start = self.small_start + self.small.len() as u64;
                self.small.room(data.len())[..data.len()].copy_from_slice(data);
                self.small.range.end += data.len();
                let range = start..start + data.len() as u64;
                self.queue(Assembled { entry, stat: Some(stat), numbers: Vec::new() }, range);
                self.cut_small(false)?;
            }
            Item::Large(job) => self.large(*job)?,
        }
        if self.pending.len() >= PENDING_MAX && !self.open.is_empty() {
            self.cut_small(true)?;
        }
        self.hand_over(false)
    }

    pub(super) fn queue(&mut self, assembled: Assembled, rest: Range<u64>) {
        if !rest.is_empty() {
            self.open.push_back(self.handed + self.pending.len() as u64);
        }
        self.pending.push_back(Pending { assembled, rest });
    }

    pub(super) fn send(&mut self, plain: Vec<u8>) -> Result<u64, Stopped> {
        let number = self.next_job;
        self.next_job += 1;
        let job = Job { number, content: Content::Data, plain };
        self.jobs.send(job).map_err(|_| Stopped)?;
        Ok(number)
    }

    /// Cuts what can be cut of the small files; all of it at the `end`.
    fn cut_small(&mut self, end: bool) -> Result<(), Stopped> {
        while self.small.len() > 0 {
            let enough = self.small.len() >= self.small_look;
            let length = if enough || end { self.chunker.cut(self.small.filled()) } else { None };
            let length = match length {
                Some(length) => length,
                None if end => self.small.len(),
                None => {
                    if enough {
                        self.small_look = self.small.len() + (1 << 20);
                    }
                    return Ok(());
                }
            };
            self.small_look = FIRST_LOOK;
            let plain = self.small.take(length);
            let number = self.send(plain)?;
            self.refer(number, length as u64);
            self.hand_over(false)?;
        }
        Ok(())
    }

    /// Tells the waiting entries of the chunk that was cut from the start of the small files' stream.
    fn refer(&mut self, number: u64, length: u64) {
        let chunk = self.small_start..self.small_start + length;
        self.small_start = chunk.end;
        while let Some(index) = self.open.front() {
            let place = usize::try_from(index - self.handed).unwrap_or(usize::MAX);
            let Some(pending) = self.pending.get_mut(place) else { return };
            let part = pending.rest.start..pending.rest.end.min(chunk.end);
            if part.is_empty() {
                return;
            }
            refer_to(
                &mut pending.assembled,
                number,
                part.start - chunk.start,
                part.end - part.start,
            );
            pending.rest.start = part.end;
            if !pending.rest.is_empty() {
                return;
            }
            self.open.pop_front();
        }
    }

    /// Hands on the entries in front that are complete.
    fn hand_over(&mut self, all: bool) -> Result<(), Stopped> {
        let ready = match self.open.front() {
            Some(index) => usize::try_from(index - self.handed).unwrap_or(0),
            None => self.pending.len(),
        };
        if ready == 0 || (ready < HAND_OVER && !all) {
            return Ok(());
        }
        let entries = self.pending.drain(..ready).map(|pending| pending.assembled).collect();
        self.handed += ready as u64;
        let first_job = |pending: &Pending| {
            pending.assembled.numbers.iter().copied().find(|number| *number != NAMED)
        };
        let low = self.pending.iter().filter_map(first_job).min().unwrap_or(self.next_job);
        self.recorder.send(HandOver { entries, low, note: None }).map_err(|_| Stopped)
    }
}

/// Adds a content reference whose chunk is still unnamed.
pub(super) fn refer_to(assembled: &mut Assembled, number: u64, offset: u64, length: u64) {
    let EntryKind::File { content, .. } = &mut assembled.entry.kind else { return };
    let small = |n: u64| u32::try_from(n).expect("a place in a chunk fits 32 bits");
    content.push(ContentRef { chunk: ChunkId::ZERO, offset: small(offset), length: small(length) });
    assembled.numbers.push(number);
}

const _: () = assert!(LARGE_BYTES < (2 << 20), "a small file fits in the room that a window keeps");
