//! The recorder: writes the catalogue and the next run's cache, in path order, as chunks get their names.
//!
//! It also notes every frame that the snapshot uses. Catalogue chunks take the same way through the workers as
//! data does.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, select};
use lumbung_model::ChunkId;
use lumbung_pack::limits::CHUNK_MAX;
use lumbung_pack::{Content, Statistics};
use lumbung_seal::catalogue::{
    CatalogueChunk, CatalogueWriter, EntryKind, IndexEntry, encode_index,
};

use super::BackupError;
use super::assemble::{Assembled, HandOver, NAMED, Note};
use super::changes::Origins;
use super::known::Used;
use super::pass::cache_header;
use super::run::Run;
use super::sealing::Job;
use super::stop::{Stop, Stopped};
use crate::source::FileKind;
use crate::state::{CacheWriter, CachedFile, PartialFile};

/// Numbers of catalogue jobs have this bit, those of data jobs do not.
const CATALOGUE_JOB: u64 = 1 << 63;
/// The cache is handed to the system after so many bytes of content, and whenever a pack was acknowledged, so
/// that a run that is killed does not read much again.
const FLUSH_BYTES: u64 = 4 << 20;

/// What the recorder made.
pub(super) struct Recorded {
    pub(super) statistics: Statistics,
    pub(super) entries: u64,
    pub(super) root_chunks: Vec<(ChunkId, u32)>,
    pub(super) used: Used,
}

/// The recorder.
pub(super) struct Recorder<'a> {
    run: &'a Run<'a>,
    stop: &'a Stop,
    jobs: Sender<Job>,
    results: Receiver<(u64, ChunkId)>,
    names: HashMap<u64, ChunkId>,
    writer: Option<CatalogueWriter>,
    cache: CacheWriter,
    unflushed: u64,
    /// Stored bytes that the depot had acknowledged as of the last flush.
    flushed_at: u64,
    /// The large file under way.
    partial: Option<(Vec<u8>, PartialFile)>,
    next_job: u64,
    /// The index so far: with the job that names each chunk.
    index: Vec<(IndexEntry, u64)>,
    used: Used,
    statistics: Statistics,
    entries: u64,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        stop: &'a Stop,
        jobs: Sender<Job>,
        results: Receiver<(u64, ChunkId)>,
        cache: CacheWriter,
    ) -> Self {
        Self {
            run,
            stop,
            jobs,
            results,
            names: HashMap::new(),
            writer: Some(CatalogueWriter::new(&run.gear)),
            cache,
            unflushed: 0,
            flushed_at: 0,
            partial: None,
            next_job: CATALOGUE_JOB,
            index: Vec::new(),
            used: Used::default(),
            statistics: Statistics::default(),
            entries: 0,
        }
    }

    /// Until there are no more entries; then the index.
    pub(super) fn work(mut self, entries: &Receiver<HandOver>) -> Result<Recorded, Stopped> {
        if let Err(stopped) = self.record_all(entries) {
            // What came so far spares the next run some reading; that it ends is told already.
            let _ = self.cache.flush();
            return Err(stopped);
        }
        self.finish()
    }

    fn record_all(&mut self, entries: &Receiver<HandOver>) -> Result<(), Stopped> {
        for hand_over in entries {
            self.stop.check()?;
            for assembled in hand_over.entries {
                self.record(assembled)?;
            }
            if let Some(note) = hand_over.note {
                self.note(note)?;
            }
            if self.names.len() > 4096 {
                self.names.retain(|number, _| *number >= hand_over.low);
            }
        }
        self.stop.check()
    }

    /// Notes how far a large file was read, for a run that has to go on from there.
    fn note(&mut self, note: Note) -> Result<(), Stopped> {
        let mut chunks = Vec::with_capacity(note.chunks.len());
        for cut in note.chunks {
            let chunk = if cut.number == NAMED { cut.chunk } else { self.name_of(cut.number)? };
            chunks.push((chunk, cut.length));
        }
        if note.first {
            let (dataset, header) = (&self.run.dataset_dir, cache_header(self.run));
            let begun = PartialFile::create(
                dataset,
                &note.path,
                header,
                &note.stat,
                self.cache.scan_start_s(),
            );
            self.partial = Some((note.path, begun.map_err(|e| self.fail(e))?));
        }
        let appended = self.partial.as_mut().map_or(Ok(()), |(_, partial)| partial.append(&chunks));
        appended.map_err(|e| self.fail(e))
    }

    fn fail(&self, error: impl Into<BackupError>) -> Stopped {
        self.stop.fail(error)
    }

    /// The chunk of a job, when it has its name.
    fn name_of(&mut self, number: u64) -> Result<ChunkId, Stopped> {
        loop {
            if let Some(chunk) = self.names.get(&number) {
                return Ok(*chunk);
            }
            select! {
                recv(self.results) -> result => {
                    let (number, chunk) = result.map_err(|_| Stopped)?;
                    self.names.insert(number, chunk);
                }
                recv(self.stop.signal) -> _ => return Err(Stopped),
            }
        }
    }

    fn record(&mut self, assembled: Assembled) -> Result<(), Stopped> {
        let Assembled { mut entry, stat, numbers } = assembled;
        if let EntryKind::File { content, .. } = &mut entry.kind {
            for (part, number) in content.iter_mut().zip(&numbers) {
                if *number != NAMED {
                    part.chunk = self.name_of(*number)?;
                }
            }
            self.use_chunks(Content::Data, content.iter().map(|part| part.chunk))?;
        }
        self.count(&entry.kind, entry.flagged());
        self.entries += 1;
        let pushed = self.writer.as_mut().map_or(Ok(Vec::new()), |writer| writer.push(&entry));
        let complete = pushed.map_err(|e| self.fail(e))?;
        for chunk in complete {
            self.send_chunk(chunk)?;
        }
        let cacheable = stat.filter(|stat| stat.kind == FileKind::File && !entry.flagged());
        if let (Some(stat), EntryKind::File { sparse, content, .. }) = (cacheable, entry.kind) {
            let file = CachedFile { stat, xattrs: entry.xattrs, sparse, content };
            self.unflushed += stat.size;
            let mut written = self.cache.push(&entry.path, &file);
            let acknowledged = self.run.stored_bytes.load(Ordering::Relaxed);
            if written.is_ok() && (self.unflushed >= FLUSH_BYTES || acknowledged != self.flushed_at)
            {
                (self.unflushed, self.flushed_at) = (0, acknowledged);
                written = self.cache.flush();
            }
            written.map_err(|e| self.fail(e))?;
            if self.partial.as_ref().is_some_and(|(path, _)| *path == entry.path)
                && let Some((_, partial)) = self.partial.take()
            {
                partial.remove().map_err(|e| self.fail(e))?;
            }
        }
        Ok(())
    }

    /// Notes the frames of these chunks. Each was found or claimed in this run.
    fn use_chunks(
        &mut self,
        content: Content,
        chunks: impl Iterator<Item = ChunkId>,
    ) -> Result<(), Stopped> {
        let mut last = None;
        for chunk in chunks {
            if last == Some(chunk) {
                continue;
            }
            last = Some(chunk);
            let place = self
                .run
                .known
                .find(content, &chunk)
                .ok_or_else(|| self.fail(BackupError::Thread))?;
            self.used.mark(place);
        }
        Ok(())
    }

    fn count(&mut self, kind: &EntryKind, flagged: bool) {
        let statistics = &mut self.statistics;
        match kind {
            EntryKind::File { size, .. } => {
                statistics.files += 1;
                statistics.content_bytes += size;
            }
            EntryKind::Directory => statistics.directories += 1,
            _ => statistics.others += 1,
        }
        statistics.flagged += u64::from(flagged);
    }

    fn send(&mut self, plain: Vec<u8>) -> Result<u64, Stopped> {
        let number = self.next_job;
        self.next_job += 1;
        let origins = Origins::default();
        let job = Job { number, content: Content::Catalogue, plain: plain.into(), origins };
        self.jobs.send(job).map_err(|_| Stopped)?;
        Ok(number)
    }

    fn send_chunk(&mut self, chunk: CatalogueChunk) -> Result<(), Stopped> {
        let length = u32::try_from(chunk.bytes.len()).expect("a chunk's length fits 32 bits");
        let CatalogueChunk { bytes, first_path, entries } = chunk;
        let number = self.send(bytes)?;
        self.index.push((IndexEntry { first_path, chunk: ChunkId::ZERO, length, entries }, number));
        Ok(())
    }

    fn finish(mut self) -> Result<Recorded, Stopped> {
        if let Some(chunk) = self.writer.take().and_then(CatalogueWriter::finish) {
            self.send_chunk(chunk)?;
        }
        let mut index = Vec::with_capacity(self.index.len());
        for (mut line, number) in std::mem::take(&mut self.index) {
            line.chunk = self.name_of(number)?;
            index.push(line);
        }
        self.use_chunks(Content::Catalogue, index.iter().map(|line| line.chunk))?;
        let encoded = encode_index(&index);
        let mut root_chunks = Vec::new();
        for piece in encoded.chunks(CHUNK_MAX) {
            let number = self.send(piece.to_vec())?;
            let length = u32::try_from(piece.len()).expect("a chunk's length fits 32 bits");
            root_chunks.push((self.name_of(number)?, length));
        }
        self.use_chunks(Content::Catalogue, root_chunks.iter().map(|(chunk, _)| *chunk))?;
        let Self { cache, stop, used, statistics, entries, .. } = self;
        cache.finish().map_err(|e| stop.fail(e))?;
        Ok(Recorded { statistics, entries, root_chunks, used })
    }
}
