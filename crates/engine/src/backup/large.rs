//! Large files: read, cut and sent as they come, with notes of how far, so that an interrupted run goes on in
//! the middle of one.
//!
//! A file that changes while it is read is read again, twice at most; then what was read last is kept, flagged.

use std::os::fd::OwnedFd;

use lumbung_model::ChunkId;
use lumbung_pack::Content;
use lumbung_seal::catalogue::{ContentRef, EntryKind, Extent};
use rustix::io::Errno;

use super::assemble::{Assembled, Assembler, Cut, HandOver, NAMED, Note, Window};
use super::changes::Origins;
use super::pass::cache_header;
use super::plan::ReadJob;
use super::read::{ATTEMPTS, data_bytes, extents, open_file, stat_of, unreadable};
use super::stop::Stopped;
use crate::source::{FileKind, Stat, attributes_of};
use crate::state::PartialFile;

/// How often it is noted how far a large file was read.
const NOTE_BYTES: u64 = 4 << 20;
/// Read at once: what fits in the processor's cache beside the rest, and makes system calls few.
const READ_BYTES: usize = 256 << 10;

/// The chunks of a large file so far, as the catalogue will have them: a long file has many.
#[derive(Default)]
pub(super) struct Cuts {
    content: Vec<ContentRef>,
    numbers: Vec<u64>,
}

impl Cuts {
    pub(super) fn push(&mut self, cut: Cut) {
        self.content.push(ContentRef { chunk: cut.chunk, offset: 0, length: cut.length });
        self.numbers.push(cut.number);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.content.iter().map(|part| u64::from(part.length)).sum()
    }

    /// The content, and the job that names each part of it.
    pub(super) fn into_parts(self) -> (Vec<ContentRef>, Vec<u64>) {
        (self.content, self.numbers)
    }

    /// Those from the one of this number on.
    fn since(&self, first: usize) -> Vec<Cut> {
        let parts = self.content.iter().zip(&self.numbers).skip(first);
        parts
            .map(|(part, number)| Cut { number: *number, chunk: part.chunk, length: part.length })
            .collect()
    }
}

/// A large file as it was read once.
struct LargeRead {
    cuts: Cuts,
    sparse: Option<Vec<Extent>>,
    after: Stat,
}

impl Assembler<'_> {
    /// Reads a large file and queues its entry.
    pub(super) fn large(&mut self, mut job: ReadJob) -> Result<(), Stopped> {
        self.progress.current(&job.entry.path);
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            let begun = if attempt == 1 { self.begun_before(&job) } else { Cuts::default() };
            let LargeRead { cuts, sparse, after } =
                match self.large_attempt(&mut job, last, begun)? {
                    Ok(done) => done,
                    Err(errno) => {
                        if let Some(entry) = unreadable(job, errno, self.reading.warnings) {
                            self.queue(Assembled { entry, stat: None, numbers: Vec::new() }, 0..0);
                        }
                        return Ok(());
                    }
                };
            let length = cuts.bytes();
            let whole = length == data_bytes(after.size, sparse.as_deref());
            let same = whole && after.same_content(&job.stat);
            if !same {
                job.look_again(&after, self.reading.names);
            }
            if same || last {
                self.finish_large(job, cuts, sparse, length, !same);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The chunks that an earlier run read of this file, as far as they may be referred to.
    fn begun_before(&self, job: &ReadJob) -> Cuts {
        let mut begun = Cuts::default();
        if !self.run.request.options.use_cache {
            return begun;
        }
        let path = &job.entry.path;
        let found =
            PartialFile::load(&self.run.dataset_dir, path, cache_header(self.run), &job.stat);
        let usable = found
            .into_iter()
            .take_while(|(chunk, _)| self.run.known.find(Content::Data, chunk).is_some());
        usable.for_each(|(chunk, length)| begun.push(Cut { number: NAMED, chunk, length }));
        begun
    }

    /// Tells the recorder how far this file was read.
    fn note(&self, job: &ReadJob, first: bool, chunks: Vec<Cut>) -> Result<(), Stopped> {
        let note = Note { path: job.entry.path.clone(), stat: job.stat, first, chunks };
        let hand_over = HandOver { entries: Vec::new(), low: 0, note: Some(note) };
        self.recorder.send(hand_over).map_err(|_| Stopped)
    }

    fn finish_large(
        &mut self,
        job: ReadJob,
        cuts: Cuts,
        sparse: Option<Vec<Extent>>,
        length: u64,
        changed: bool,
    ) {
        let ReadJob { mut entry, stat, .. } = job;
        entry.changed_while_read = changed;
        if changed {
            let told = format!(
                "changed while it was read, {ATTEMPTS} times: the snapshot has it as it was last read"
            );
            self.reading.warnings.push(&entry.path, told);
        }
        let size = if changed { length } else { stat.size };
        let (content, numbers) = cuts.into_parts();
        entry.kind = EntryKind::File { size, sparse, content };
        let assembled = Assembled { entry, stat: Some(stat), numbers };
        self.progress.files(1);
        self.queue(assembled, 0..0);
    }

    /// Reads a large file once. The inner error is about the file, the outer one ends the run.
    fn large_attempt(
        &mut self,
        job: &mut ReadJob,
        last: bool,
        begun: Cuts,
    ) -> Result<Result<LargeRead, Errno>, Stopped> {
        let begin = |job: &mut ReadJob| {
            let file = open_file(job, self.reading.no_atime)?;
            let sparse = if last { None } else { extents(&file, &job.stat)? };
            job.entry.xattrs = attributes_of(&file)?;
            Ok((file, sparse))
        };
        let (file, sparse) = match begin(job) {
            Ok(begun) => begun,
            Err(errno) => return Ok(Err(errno)),
        };
        let whole = [Extent { offset: 0, length: job.stat.size }];
        let ranges = sparse.as_deref().unwrap_or(&whole);
        let cuts = match self.read_ranges(&file, ranges, begun, job)? {
            Ok(cuts) => cuts,
            Err(errno) => return Ok(Err(errno)),
        };
        Ok(match stat_of(&file) {
            Ok(after) if after.kind == FileKind::File => Ok(LargeRead { cuts, sparse, after }),
            Ok(_) => Err(Errno::STALE),
            Err(errno) => Err(errno),
        })
    }

    /// Reads and cuts, going on behind the `cuts` of an earlier run; every chunk.
    fn read_ranges(
        &mut self,
        file: &OwnedFd,
        ranges: &[Extent],
        mut cuts: Cuts,
        job: &ReadJob,
    ) -> Result<Result<Cuts, Errno>, Stopped> {
        let skip = cuts.bytes();
        self.progress.bytes(skip);
        let (mut noted, mut unnoted) = (0, skip);
        let mut window = Window::new(self.buffers);
        let ranges = skip_bytes(ranges, skip);
        let mut ranges = ranges.iter().copied();
        let mut current = ranges.next();
        loop {
            self.reading.stop.check()?;
            let found = window.cut(self.chunker);
            if found.is_none()
                && let Some(extent) = &mut current
            {
                match self.read_some(file, extent, &mut window) {
                    Ok(0) => current = None,
                    Ok(_) if extent.length == 0 => current = ranges.next(),
                    Ok(_) => {}
                    Err(errno) => return Ok(Err(errno)),
                }
                continue;
            }
            let length = found.unwrap_or(window.bytes.len());
            if length == 0 {
                self.buffers.give(window.bytes);
                return Ok(Ok(cuts));
            }
            let plain = window.take(length, self.buffers);
            let mut origins = Origins::default();
            origins.add(job.origin, length as u64);
            let number = self.send(plain, origins)?;
            let short = u32::try_from(length).expect("a chunk's length fits 32 bits");
            cuts.push(Cut { number, chunk: ChunkId::ZERO, length: short });
            unnoted += length as u64;
            if unnoted >= NOTE_BYTES {
                self.note(job, noted == 0, cuts.since(noted))?;
                (noted, unnoted) = (cuts.numbers.len(), 0);
            }
        }
    }

    /// Reads once into the window, from the front of `extent`.
    fn read_some(
        &mut self,
        file: &OwnedFd,
        extent: &mut Extent,
        window: &mut Window,
    ) -> Result<usize, Errno> {
        let most = usize::try_from(extent.length).unwrap_or(READ_BYTES).min(READ_BYTES);
        let room = window.bytes.room(most);
        let read = loop {
            match rustix::io::pread(file, &mut *room, extent.offset) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        window.bytes.fill(read);
        extent.offset += read as u64;
        extent.length -= read as u64;
        self.read_bytes += read as u64;
        self.progress.bytes(read as u64);
        Ok(read)
    }
}

/// What is left of these ranges behind their first `skip` bytes.
fn skip_bytes(ranges: &[Extent], mut skip: u64) -> Vec<Extent> {
    let mut left = Vec::with_capacity(ranges.len());
    for extent in ranges {
        let part = skip.min(extent.length);
        skip -= part;
        if part < extent.length {
            left.push(Extent { offset: extent.offset + part, length: extent.length - part });
        }
    }
    left
}
