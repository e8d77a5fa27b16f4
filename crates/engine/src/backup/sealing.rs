//! Workers: chunks in, sealed packs out.
//!
//! A frame's number is part of its key, so a place in the open pack is taken before sealing, at the most
//! that the frame can need; what is not needed is given back. A closed pack goes out when its last
//! frame is sealed. Chunk ids in one pack are distinct because a chunk is claimed once. The frames of a pack
//! lie in memory in the order in which they were sealed; how many packs may be there is counted.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use lumbung_model::ChunkId;
use lumbung_pack::limits::{FRAME_TAG_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{Content, FrameEntry, PackHeader};
use lumbung_seal::{PackSealer, Scratch};

use super::BackupError;
use super::buffers::{Buffer, Buffers, ClosedBody, PackBody, PackBuffers};
use super::changes::Origins;
use super::run::Run;
use super::stop::{Stop, Stopped};

/// A pack of catalogue is closed at this many bytes: it is open for the whole run.
const CATALOGUE_TARGET: usize = 2 << 20;

/// A chunk to be stored.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) content: Content,
    pub(super) plain: Buffer,
    /// Where its bytes come from.
    pub(super) origins: Origins,
}

/// A pack whose frames are all sealed.
pub(super) struct SealedPack {
    /// Its number in `Known`.
    pub(super) number: u32,
    pub(super) header: PackHeader,
    pub(super) frames: Vec<FrameEntry>,
    /// The stored frames, by number, in pieces of `body`.
    pub(super) stored: Vec<Bytes>,
    /// To be given back once the depot has the pack.
    pub(super) body: ClosedBody,
    /// Plain bytes inside.
    pub(super) plain_bytes: u64,
}

/// What every worker needs.
pub(super) struct Sealing<'a> {
    run: &'a Run<'a>,
    stop: &'a Stop,
    /// Where the chunks' buffers go back to.
    chunks: &'a Buffers,
    buffers: &'a PackBuffers,
    data: Mutex<Option<Arc<OpenPack>>>,
    catalogue: Mutex<Option<Arc<OpenPack>>>,
    workers: AtomicUsize,
}

struct OpenPack {
    number: u32,
    sealer: PackSealer,
    state: Mutex<OpenState>,
}

struct OpenState {
    /// Each sealed frame, and where it stands in the body.
    frames: Vec<Option<(FrameEntry, Range<usize>)>>,
    body: PackBody,
    /// Stored bytes: of sealed frames what they have, of the others the most they can have.
    reserved: usize,
    unsealed: usize,
    closed: bool,
    plain_bytes: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OpenPack {
    /// The pack, if it is closed and whole; its frames are taken out.
    fn take_if_whole(&self, state: &mut OpenState) -> Option<SealedPack> {
        if !state.closed || state.unsealed > 0 || state.frames.is_empty() {
            return None;
        }
        let body = std::mem::take(&mut state.body).close();
        let (mut frames, mut stored) = (Vec::with_capacity(state.frames.len()), Vec::new());
        for (entry, place) in std::mem::take(&mut state.frames).into_iter().flatten() {
            frames.push(entry);
            body.pieces(place, &mut stored);
        }
        let (number, header, plain_bytes) = (self.number, *self.sealer.header(), state.plain_bytes);
        Some(SealedPack { number, header, frames, stored, body, plain_bytes })
    }
}

impl<'a> Sealing<'a> {
    pub(super) fn new(
        run: &'a Run<'a>,
        workers: usize,
        stop: &'a Stop,
        chunks: &'a Buffers,
        buffers: &'a PackBuffers,
    ) -> Self {
        let (data, catalogue) = (Mutex::default(), Mutex::default());
        let workers = AtomicUsize::new(workers);
        Self { run, stop, chunks, buffers, data, catalogue, workers }
    }

    fn open_slot(&self, content: Content) -> &Mutex<Option<Arc<OpenPack>>> {
        match content {
            Content::Data => &self.data,
            Content::Catalogue => &self.catalogue,
        }
    }

    /// A worker: until there are no more jobs. The last one out closes the open packs.
    pub(super) fn work(
        &self,
        jobs: &Receiver<Job>,
        results: &Sender<(u64, ChunkId)>,
        packs: &Sender<SealedPack>,
    ) -> Result<(), Stopped> {
        let done = self.work_on(jobs, results, packs);
        if let Err(Some(error)) = done {
            return Err(self.stop.fail(error));
        }
        if self.workers.fetch_sub(1, Ordering::SeqCst) == 1 && done.is_ok() {
            for slot in [&self.data, &self.catalogue] {
                if let Some(pack) = lock(slot).take() {
                    send(packs, Self::close(&pack))?;
                }
            }
        }
        done.map_err(|_| Stopped)
    }

    /// `Err(None)`: someone else stopped the run.
    fn work_on(
        &self,
        jobs: &Receiver<Job>,
        results: &Sender<(u64, ChunkId)>,
        packs: &Sender<SealedPack>,
    ) -> Result<(), Option<BackupError>> {
        let mut scratch =
            Scratch::new().map_err(|e| Some(lumbung_seal::SealError::Compress(e).into()))?;
        for job in jobs {
            let chunk = self.run.id_key.chunk_id(&job.plain);
            let place = self.claim(&chunk, &job, packs).map_err(|Stopped| None)?;
            // Told before sealing: whoever refers to it needs its name only.
            let _ = results.send((job.number, chunk));
            if let Some((pack, frame)) = place {
                let sealed = pack.sealer.seal(frame, &chunk, &job.plain, &mut scratch);
                let (entry, stored) = sealed.map_err(|e| Some(e.into()))?;
                let lengths = (job.plain.len() as u64, stored.len() as u64);
                self.run.chunks.sealed(job.origins, lengths.0, lengths.1);
                send(packs, self.fill(&pack, frame, entry, stored)).map_err(|Stopped| None)?;
            } else {
                self.run.chunks.known(job.origins);
            }
            self.chunks.give(job.plain);
        }
        Ok(())
    }

    /// Takes a place for a new chunk, if it is new. A pack that it does not fit into is closed, and sent if that
    /// makes it whole; whoever needs a new pack then waits until there is a buffer for it.
    fn claim(
        &self,
        chunk: &ChunkId,
        job: &Job,
        packs: &Sender<SealedPack>,
    ) -> Result<Option<(Arc<OpenPack>, u32)>, Stopped> {
        let most = job.plain.len() + FRAME_TAG_BYTES;
        let mut slot = lock(self.open_slot(job.content));
        if self.run.known.find(job.content, chunk).is_some() {
            return Ok(None);
        }
        if slot.as_ref().is_some_and(|pack| self.is_full(pack, job.content, most))
            && let Some(full) = slot.take()
        {
            send(packs, Self::close(&full))?;
        }
        let pack = match slot.as_ref() {
            Some(pack) => pack,
            None => slot.insert(Arc::new(self.open(job.content)?)),
        };
        let mut place = None;
        self.run.known.claim(job.content, chunk, || {
            let mut state = lock(&pack.state);
            let frame = u32::try_from(state.frames.len()).expect("at most 16,384 frames");
            state.frames.push(None);
            state.reserved += most;
            state.unsealed += 1;
            state.plain_bytes += job.plain.len() as u64;
            place = Some((pack.clone(), frame));
            (pack.number, frame)
        });
        Ok(place)
    }

    /// Begins a pack.
    fn open(&self, content: Content) -> Result<OpenPack, Stopped> {
        let body = self.buffers.open(self.stop)?;
        let run = self.run;
        let identity = run.request.identity;
        let (repository, domain) = (identity.repository, identity.domain);
        let state = OpenState {
            frames: Vec::new(),
            body,
            reserved: 0,
            unsealed: 0,
            closed: false,
            plain_bytes: 0,
        };
        Ok(OpenPack {
            number: run.known.begin_pack(run.session),
            sealer: PackSealer::new(repository, domain, run.session, &run.key, content),
            state: Mutex::new(state),
        })
    }

    fn is_full(&self, pack: &OpenPack, content: Content, more: usize) -> bool {
        let target = match content {
            Content::Data => self.run.pack_target,
            Content::Catalogue => self.run.pack_target.min(CATALOGUE_TARGET),
        };
        let state = lock(&pack.state);
        state.frames.len() >= PACK_MAX_FRAMES || state.reserved + more > target
    }

    fn close(pack: &OpenPack) -> Option<SealedPack> {
        let mut state = lock(&pack.state);
        state.closed = true;
        pack.take_if_whole(&mut state)
    }

    fn fill(
        &self,
        pack: &OpenPack,
        frame: u32,
        entry: FrameEntry,
        stored: &[u8],
    ) -> Option<SealedPack> {
        let mut state = lock(&pack.state);
        state.reserved -= entry.plain_length as usize + FRAME_TAG_BYTES - stored.len();
        state.unsealed -= 1;
        let place = state.body.append(stored, self.buffers);
        if let Some(sealed) = state.frames.get_mut(frame as usize) {
            *sealed = Some((entry, place));
        }
        pack.take_if_whole(&mut state)
    }
}

fn send(packs: &Sender<SealedPack>, pack: Option<SealedPack>) -> Result<(), Stopped> {
    pack.map_or(Ok(()), |pack| packs.send(pack).map_err(|_| Stopped))
}
