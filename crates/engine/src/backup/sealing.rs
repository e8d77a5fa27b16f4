//! Workers: chunks in, sealed packs out.
//!
//! A frame's number is part of its key, so a place in the open pack is taken before sealing, at the most
//! that the frame can need; what is not needed is given back. A closed pack goes out when its last
//! frame is sealed. Chunk ids in one pack are distinct because a chunk is claimed once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender};
use lumbung_model::ChunkId;
use lumbung_pack::limits::{FRAME_TAG_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{Content, FrameEntry, PackHeader};
use lumbung_seal::{PackSealer, Scratch};

use super::BackupError;
use super::run::Run;
use super::stop::{Stop, Stopped};

/// A chunk to be stored.
pub(super) struct Job {
    pub(super) number: u64,
    pub(super) content: Content,
    pub(super) plain: Vec<u8>,
}

/// A pack whose frames are all sealed.
pub(super) struct SealedPack {
    /// Its number in `Known`.
    pub(super) number: u32,
    pub(super) header: PackHeader,
    pub(super) frames: Vec<FrameEntry>,
    pub(super) stored: Vec<Bytes>,
    /// Plain bytes inside.
    pub(super) plain_bytes: u64,
}

/// What every worker needs.
pub(super) struct Sealing<'a> {
    run: &'a Run<'a>,
    stop: &'a Stop,
    data: Mutex<Option<Arc<OpenPack>>>,
    catalogue: Mutex<Option<Arc<OpenPack>>>,
    workers: AtomicUsize,
}

struct OpenPack {
    number: u32,
    sealer: PackSealer,
    state: Mutex<OpenState>,
}

#[derive(Default)]
struct OpenState {
    frames: Vec<Option<(FrameEntry, Bytes)>>,
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
        let (frames, stored) = std::mem::take(&mut state.frames).into_iter().flatten().unzip();
        let header = *self.sealer.header();
        Some(SealedPack {
            number: self.number,
            header,
            frames,
            stored,
            plain_bytes: state.plain_bytes,
        })
    }
}

impl<'a> Sealing<'a> {
    pub(super) fn new(run: &'a Run<'a>, workers: usize, stop: &'a Stop) -> Self {
        let (data, catalogue) = (Mutex::default(), Mutex::default());
        Self { run, stop, data, catalogue, workers: AtomicUsize::new(workers) }
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
            let (place, replaced) = self.claim(&chunk, &job);
            // Told before sealing: whoever refers to it needs its name only.
            let _ = results.send((job.number, chunk));
            send(packs, replaced).map_err(|_| None)?;
            if let Some((pack, frame)) = place {
                let sealed = pack.sealer.seal(frame, &chunk, &job.plain, &mut scratch);
                let (entry, stored) = sealed.map_err(|e| Some(e.into()))?;
                send(packs, Self::fill(&pack, frame, entry, stored)).map_err(|_| None)?;
            }
        }
        Ok(())
    }

    /// Takes a place for a new chunk, if it is new; and the pack that had to be closed for it, if that is
    /// whole.
    fn claim(
        &self,
        chunk: &ChunkId,
        job: &Job,
    ) -> (Option<(Arc<OpenPack>, u32)>, Option<SealedPack>) {
        let most = job.plain.len() + FRAME_TAG_BYTES;
        let mut slot = lock(self.open_slot(job.content));
        if self.run.known.find(job.content, chunk).is_some() {
            return (None, None);
        }
        let mut replaced = None;
        if slot.as_ref().is_some_and(|pack| self.is_full(pack, most)) {
            replaced = slot.take().and_then(|pack| Self::close(&pack));
        }
        let pack = slot.get_or_insert_with(|| {
            let run = self.run;
            let number = run.known.begin_pack(run.session);
            let identity = run.request.identity;
            let (repository, domain) = (identity.repository, identity.domain);
            let sealer = PackSealer::new(repository, domain, run.session, &run.key, job.content);
            Arc::new(OpenPack { number, sealer, state: Mutex::default() })
        });
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
        (place, replaced)
    }

    fn is_full(&self, pack: &OpenPack, more: usize) -> bool {
        let state = lock(&pack.state);
        state.frames.len() >= PACK_MAX_FRAMES || state.reserved + more > self.run.pack_target
    }

    fn close(pack: &OpenPack) -> Option<SealedPack> {
        let mut state = lock(&pack.state);
        state.closed = true;
        pack.take_if_whole(&mut state)
    }

    fn fill(pack: &OpenPack, frame: u32, entry: FrameEntry, stored: Vec<u8>) -> Option<SealedPack> {
        let mut state = lock(&pack.state);
        state.reserved -= entry.plain_length as usize + FRAME_TAG_BYTES - stored.len();
        state.unsealed -= 1;
        let mut stored = stored;
        stored.shrink_to_fit();
        if let Some(place) = state.frames.get_mut(frame as usize) {
            *place = Some((entry, Bytes::from(stored)));
        }
        pack.take_if_whole(&mut state)
    }
}

fn send(packs: &Sender<SealedPack>, pack: Option<SealedPack>) -> Result<(), Stopped> {
    pack.map_or(Ok(()), |pack| packs.send(pack).map_err(|_| Stopped))
}
