//! Large files: read, cut and sent as they come, with notes of how far, so that an interrupted run goes on in
//! the middle of one.
//!
//! A file that changes while it is read is read again, twice at most; then what was read last is kept, flagged.

use std::os::fd::OwnedFd;

use lumbung_model::ChunkId;
use lumbung_pack::Content;
use lumbung_seal::catalogue::{EntryKind, Extent};
use rustix::io::Errno;

use super::assemble::{Assembled, Assembler, Cut, FIRST_LOOK, HandOver, NAMED, Note, refer_to};
use super::pass::cache_header;
use super::plan::ReadJob;
use super::read::{ATTEMPTS, data_bytes, extents, open_file, stat_of, unreadable};
use super::stop::Stopped;
use crate::source::{FileKind, Stat, attributes_of};
use crate::state::PartialFile;

/// How often it is noted how far a large file was read.
const NOTE_BYTES: u64 = 4 << 20;

impl Assembler<'_> {
    /// Reads a large file and queues its entry.
    pub(super) fn large(&mut self, mut job: ReadJob) -> Result<(), Stopped> {
        self.progress.current(&job.entry.path);
        for attempt in 1..=ATTEMPTS {
            let last = attempt == ATTEMPTS;
            let begun = if attempt == 1 { self.begun_before(&job) } else { Vec::new() };
            let (read, sparse, after) = match self.large_attempt(&mut job, last, begun)? {
                Ok(done) => done,
                Err(errno) => {
                    if let Some(entry) = unreadable(job, errno, self.reading.warnings) {
                        self.queue(Assembled { entry, stat: None, numbers: Vec::new() }, 0..0);
                    }
                    return Ok(());
                }
            };
            let length: u64 = read.iter().map(|cut| u64::from(cut.length)).sum();
            let whole = length == data_bytes(after.size, sparse.as_deref());
            let same = whole && after.same_content(&job.stat);
            if !same {
                job.look_again(&after, self.reading.names);
            }
            if same || last {
                self.finish_large(job, &read, sparse, length, !same);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The chunks that an earlier run read of this file, as far as they may be referred to.
    fn begun_before(&self, job: &ReadJob) -> Vec<Cut> {
        if !self.run.request.options.use_cache {
            return Vec::new();
        }
        let path = &job.entry.path;
        let found =
            PartialFile::load(&self.run.dataset_dir, path, cache_header(self.run), &job.stat);
        let usable = found
            .into_iter()
            .take_while(|(chunk, _)| self.run.known.find(Content::Data, chunk).is_some());
        usable.map(|(chunk, length)| Cut { number: NAMED, chunk, length }).collect()
    }

    /// Tells the recorder how far this file was read.
    fn note(&self, job: &ReadJob, first: bool, chunks: &[Cut]) -> Result<(), Stopped> {
        let note =
            Note { path: job.entry.path.clone(), stat: job.stat, first, chunks: chunks.to_vec() };
        let hand_over = HandOver { entries: Vec::new(), low: 0, note: Some(note) };
        self.recorder.send(hand_over).map_err(|_| Stopped)
    }

    fn finish_large(
        &mut self,
        job: ReadJob,
        read: &[Cut],
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
        entry.kind = EntryKind::File { size, sparse, content: Vec::new() };
        let mut assembled = Assembled { entry, stat: Some(stat), numbers: Vec::new() };
        for cut in read {
            refer_to(&mut assembled, cut.number, 0, u64::from(cut.length));
            if let EntryKind::File { content, .. } = &mut assembled.entry.kind
                && let Some(part) = content.last_mut()
            {
                part.chunk = cut.chunk;
            }
        }
        self.progress.files(1);
        self.queue(assembled, 0..0);
    }

    /// Reads a large file once. The inner error is about the file, the outer one ends the run.
    #[expect(clippy::type_complexity, reason = "what one attempt gives, used at one place")]
    fn large_attempt(
        &mut self,
        job: &mut ReadJob,
        last: bool,
        begun: Vec<Cut>,
    ) -> Result<Result<(Vec<Cut>, Option<Vec<Extent>>, Stat), Errno>, Stopped> {
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
        let read = match self.read_ranges(&file, ranges, begun, job)? {
            Ok(read) => read,
            Err(errno) => return Ok(Err(errno)),
        };
        Ok(match stat_of(&file) {
            Ok(after) if after.kind == FileKind::File => Ok((read, sparse, after)),
            Ok(_) => Err(Errno::STALE),
            Err(errno) => Err(errno),
        })
    }

    /// Reads and cuts, going on behind what was `begun`; every chunk.
    fn read_ranges(
        &mut self,
        file: &OwnedFd,
        ranges: &[Extent],
        begun: Vec<Cut>,
        job: &ReadJob,
    ) -> Result<Result<Vec<Cut>, Errno>, Stopped> {
        let skip: u64 = begun.iter().map(|cut| u64::from(cut.length)).sum();
        self.progress.bytes(skip);
        let mut chunks = begun;
        let (mut noted, mut unnoted) = (0, skip);
        self.large.range = 0..0;
        let ranges = skip_bytes(ranges, skip);
        let mut ranges = ranges.iter().copied();
        let mut current = ranges.next();
        let mut look = FIRST_LOOK.min(self.chunker.max());
        loop {
            self.reading.stop.check()?;
            while let Some(extent) = current.as_mut().filter(|_| self.large.len() < look) {
                match self.read_some(file, extent) {
                    Ok(0) => current = None,
                    Ok(_) if extent.length == 0 => current = ranges.next(),
                    Ok(_) => {}
                    Err(errno) => return Ok(Err(errno)),
                }
            }
            let length = match self.chunker.cut(self.large.filled()) {
                Some(length) => length,
                None if current.is_some() => {
                    look = self.chunker.max();
                    continue;
                }
                None if self.large.len() == 0 => return Ok(Ok(chunks)),
                None => self.large.len(),
            };
            look = FIRST_LOOK.min(self.chunker.max());
            let plain = self.large.take(length);
            let number = self.send(plain)?;
            let short = u32::try_from(length).expect("a chunk's length fits 32 bits");
            chunks.push(Cut { number, chunk: ChunkId::ZERO, length: short });
            unnoted += length as u64;
            if unnoted >= NOTE_BYTES {
                self.note(job, noted == 0, &chunks[noted..])?;
                (noted, unnoted) = (chunks.len(), 0);
            }
        }
    }

    /// Reads once into the large window, from the front of `extent`.
    fn read_some(&mut self, file: &OwnedFd, extent: &mut Extent) -> Result<usize, Errno> {
        let room = self.large.room(1 << 20);
        let most =
            usize::try_from(extent.length).unwrap_or(usize::MAX).min(room.len()).min(1 << 20);
        let read = loop {
            match rustix::io::pread(file, &mut room[..most], extent.offset) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        self.large.range.end += read;
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
