//! The assembler: takes what the readers bring, in path order, and cuts it into chunks.
//!
//! Small files run together into one stream; a large file is cut alone ([`super::large`]). An entry goes on to the recorder
//! when every chunk it refers to has been handed to the workers, and never before an entry that stands
//! in front of it. What was added last is looked at at once, while it is in the processor's cache; a chunk leaves
//! in the buffer that it came together in, and only what stands behind it is copied.

use std::collections::VecDeque;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender};
use lumbung_model::ChunkId;
use lumbung_pack::Content;
use lumbung_seal::catalogue::{ContentRef, Entry, EntryKind};
use lumbung_seal::{Chunker, Scan};

use super::buffers::{Buffer, Buffers};
use super::changes::{Origin, Origins};
use super::read::{Batch, Item, Reading};
use super::run::Run;
use super::sealing::Job;
use super::stop::Stopped;
use crate::Progress;
use crate::source::Stat;

/// Entries that wait for the small files' chunk; more of them and it is cut where it is.
const PENDING_MAX: usize = 16_384;
/// Entries handed on together.
const HAND_OVER: usize = 64;
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

/// Bytes that wait to be cut: the beginning of a chunk, and perhaps all of it.
pub(super) struct Window {
    pub(super) bytes: Buffer,
    scan: Scan,
}

impl Window {
    pub(super) fn new(buffers: &Buffers) -> Self {
        Self { bytes: buffers.take(), scan: Scan::default() }
    }

    /// The length of the first chunk, if it ends within what there is.
    pub(super) fn cut(&mut self, chunker: &Chunker) -> Option<usize> {
        chunker.resume(&self.bytes, &mut self.scan)
    }

    /// Takes the first `length` bytes away, in the buffer that they stand in.
    pub(super) fn take(&mut self, length: usize, buffers: &Buffers) -> Buffer {
        let mut rest = buffers.take();
        rest.append(&self.bytes[length..]);
        self.bytes.truncate(length);
        self.scan = Scan::default();
        std::mem::replace(&mut self.bytes, rest)
    }
}

/// The assembler.
pub(super) struct Assembler<'a> {
    pub(super) run: &'a Run<'a>,
    pub(super) chunker: &'a Chunker,
    pub(super) reading: &'a Reading<'a>,
    pub(super) progress: &'a dyn Progress,
    pub(super) buffers: &'a Buffers,
    jobs: Sender<Job>,
    pub(super) recorder: Sender<HandOver>,
    next_job: u64,
    small: Window,
    /// Where the small files' window begins in their stream.
    small_start: u64,
    /// Where the bytes in the small files' window come from, in their order; neighbours of one origin are one.
    origins: VecDeque<(Origin, u64)>,
    pending: VecDeque<Pending>,
    /// Where in `pending` the entries are whose content is not all cut, counted from the first entry ever.
    open: VecDeque<u64>,
    /// How many entries have left `pending`.
    handed: u64,
    pub(super) read_bytes: u64,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        reading: &'a Reading<'a>,
        buffers: &'a Buffers,
        jobs: Sender<Job>,
        recorder: Sender<HandOver>,
    ) -> Self {
        let (chunker, progress) = (&run.chunker, run.request.progress);
        Self {
            run,
            chunker,
            reading,
            progress,
            buffers,
            jobs,
            recorder,
            next_job: 0,
            small: Window::new(buffers),
            small_start: 0,
            origins: VecDeque::new(),
            pending: VecDeque::new(),
            open: VecDeque::new(),
            handed: 0,
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
            self.reading.batches.give(data);
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
            Item::Small(entry, stat, range, origin) => {
                let data = &data[range];
                self.progress.current(&entry.path);
                self.progress.files(1);
                self.progress.bytes(data.len() as u64);
                self.read_bytes += data.len() as u64;
                let start = self.small_start + self.small.bytes.len() as u64;
                self.small.bytes.append(data);
                self.note_origin(origin, data.len() as u64);
                let range = start..start + data.len() as u64;
                self.queue(Assembled { entry, stat: Some(stat), numbers: Vec::new() }, range);
                self.cut_small(false)?;
            }
            Item::Large(job) => self.large(*job)?,
            Item::Stream(entry) => self.stream(*entry)?,
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

    pub(super) fn send(&mut self, plain: Buffer, origins: Origins) -> Result<u64, Stopped> {
        let number = self.next_job;
        self.next_job += 1;
        let job = Job { number, content: Content::Data, plain, origins };
        self.jobs.send(job).map_err(|_| Stopped)?;
        Ok(number)
    }

    /// Cuts what can be cut of the small files; all of it at the `end`.
    fn cut_small(&mut self, end: bool) -> Result<(), Stopped> {
        while !self.small.bytes.is_empty() {
            let length = match self.small.cut(self.chunker) {
                Some(length) => length,
                None if end => self.small.bytes.len(),
                None => return Ok(()),
            };
            let plain = self.small.take(length, self.buffers);
            let origins = self.take_origins(length as u64);
            let number = self.send(plain, origins)?;
            self.refer(number, length as u64);
            self.hand_over(false)?;
        }
        Ok(())
    }

    fn note_origin(&mut self, origin: Origin, bytes: u64) {
        match self.origins.back_mut() {
            Some((last, length)) if *last == origin => *length += bytes,
            _ => self.origins.push_back((origin, bytes)),
        }
    }

    /// Where the first bytes of the small files' window come from, as they leave it.
    fn take_origins(&mut self, mut bytes: u64) -> Origins {
        let mut origins = Origins::default();
        while let Some((origin, length)) = self.origins.front_mut().filter(|_| bytes > 0) {
            let part = bytes.min(*length);
            origins.add(*origin, part);
            bytes -= part;
            *length -= part;
            if *length == 0 {
                self.origins.pop_front();
            }
        }
        origins
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
