//! Which chunks this agent may refer to, and where their frames are.
//!
//! Only frames that the agent sent itself (journal) or found through manifests signed in its own domain
//! come in here, and of those only what the depot says it still has and whoever verifies the dataset can open. Chunks sealed in this run join
//! as their frame is assigned.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lumbung_model::{ChunkId, PackId, SessionId};
use lumbung_pack::{Bitmap, Content, PackTable, PackUse};

/// Chunk ids are keyed hashes: their first bytes are as good as any hash of them.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length: usize) {}
}

type IdMap<V> = HashMap<ChunkId, V, BuildHasherDefault<IdHasher>>;

/// Where a chunk's frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Location {
    /// Number of the pack in [`Known`].
    pub(super) pack: u32,
    /// Number of the frame in the pack.
    pub(super) frame: u32,
    /// Stored bytes; 0 while it is being sealed.
    pub(super) stored: u32,
}

/// A pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownPack {
    /// None while it is being filled.
    pub(super) id: Option<PackId>,
    pub(super) session: SessionId,
    pub(super) frames: u32,
    /// Whether some manifest protects it already.
    pub(super) committed: bool,
}

#[derive(Debug, Default)]
struct Inner {
    data: IdMap<Location>,
    /// Apart from data: a reader looks for each kind in packs of its own only, and whoever can write a file may
    /// give it the bytes of a catalogue chunk.
    catalogue: IdMap<Location>,
    packs: Vec<KnownPack>,
}

impl Inner {
    const fn chunks(&self, content: Content) -> &IdMap<Location> {
        match content {
            Content::Data => &self.data,
            Content::Catalogue => &self.catalogue,
        }
    }

    const fn chunks_mut(&mut self, content: Content) -> &mut IdMap<Location> {
        match content {
            Content::Data => &mut self.data,
            Content::Catalogue => &mut self.catalogue,
        }
    }

    fn places(&self) -> impl Iterator<Item = &Location> {
        self.data.values().chain(self.catalogue.values())
    }

    /// Forgets chunks of which `lost` says so; how many.
    fn forget(&mut self, lost: impl Fn(&KnownPack, u32) -> bool) -> usize {
        let Self { data, catalogue, packs } = self;
        let mut forgotten = 0;
        for chunks in [data, catalogue] {
            let before = chunks.len();
            chunks.retain(|_, place| {
                !packs.get(place.pack as usize).is_some_and(|pack| lost(pack, place.frame))
            });
            forgotten += before - chunks.len();
        }
        forgotten
    }
}

/// The chunks that may be referred to.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Inner>);

impl Known {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the frames of a pack that may be referred to; all but those in `absent`.
    pub(super) fn add_pack(
        &self,
        id: PackId,
        table: &PackTable,
        absent: Option<&Bitmap>,
        committed: bool,
    ) {
        let mut inner = self.inner();
        let pack = u32::try_from(inner.packs.len()).expect("fewer than 2^32 packs");
        let frames = table.frame_count();
        inner.packs.push(KnownPack {
            id: Some(id),
            session: table.header.session,
            frames,
            committed,
        });
        for (frame, entry) in (0..).zip(&table.frames) {
            if absent.is_some_and(|absent| absent.get(frame)) {
                continue;
            }
            let location = Location { pack, frame, stored: entry.stored_length };
            inner.chunks_mut(table.header.content).entry(entry.chunk).or_insert(location);
        }
    }

    /// Begins a pack that this run fills; its number.
    pub(super) fn begin_pack(&self, session: SessionId) -> u32 {
        let mut inner = self.inner();
        let pack = u32::try_from(inner.packs.len()).expect("fewer than 2^32 packs");
        inner.packs.push(KnownPack { id: None, session, frames: 0, committed: false });
        pack
    }

    /// A pack that this run filled has its name.
    pub(super) fn finish_pack(&self, pack: u32, id: PackId, table: &PackTable) {
        let mut inner = self.inner();
        let frames = table.frame_count();
        if let Some(known) = inner.packs.get_mut(pack as usize) {
            known.id = Some(id);
            known.frames = frames;
        }
        for (frame, entry) in (0..).zip(&table.frames) {
            let location = Location { pack, frame, stored: entry.stored_length };
            inner.chunks_mut(table.header.content).insert(entry.chunk, location);
        }
    }

    /// Where a chunk is, if it may be referred to.
    pub(super) fn find(&self, content: Content, chunk: &ChunkId) -> Option<Location> {
        self.inner().chunks(content).get(chunk).copied()
    }

    /// Whether all of these chunks of data may be referred to.
    pub(super) fn has_all<'a>(&self, chunks: impl IntoIterator<Item = &'a ChunkId>) -> bool {
        let inner = self.inner();
        chunks.into_iter().all(|chunk| inner.data.contains_key(chunk))
    }

    /// Takes the place for a new chunk that `assign` gives, unless the chunk is known; whether it is new.
    pub(super) fn claim(
        &self,
        content: Content,
        chunk: &ChunkId,
        assign: impl FnOnce() -> (u32, u32),
    ) -> bool {
        let mut inner = self.inner();
        let chunks = inner.chunks_mut(content);
        if chunks.contains_key(chunk) {
            return false;
        }
        let (pack, frame) = assign();
        chunks.insert(*chunk, Location { pack, frame, stored: 0 });
        true
    }

    /// A pack by number.
    pub(super) fn pack(&self, number: u32) -> Option<KnownPack> {
        self.inner().packs.get(number as usize).copied()
    }

    /// How many packs there are.
    pub(super) fn packs(&self) -> usize {
        self.inner().packs.len()
    }

    /// Forgets frames that the depot lost; how many.
    pub(super) fn forget(&self, lost: &[PackUse]) -> usize {
        let lost: HashMap<PackId, &Bitmap> =
            lost.iter().map(|pack| (pack.pack, &pack.used)).collect();
        self.inner().forget(|pack, frame| {
            pack.id.and_then(|id| lost.get(&id)).is_some_and(|bits| bits.get(frame))
        })
    }

    /// Forgets everything sealed in these sessions; how much.
    pub(super) fn forget_sessions(&self, lost: &[SessionId]) -> usize {
        self.inner().forget(|pack, _| lost.contains(&pack.session))
    }
}

/// Frames that a snapshot uses, by pack number. Grows as frames are used.
#[derive(Debug, Default)]
pub(super) struct Used(Vec<Vec<u64>>);

impl Used {
    /// Marks a frame.
    pub(super) fn mark(&mut self, place: Location) {
        let pack = place.pack as usize;
        if self.0.len() <= pack {
            self.0.resize_with(pack + 1, Vec::new);
        }
        let (word, bit) = (place.frame as usize / 64, place.frame % 64);
        let words = &mut self.0[pack];
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        words[word] |= 1 << bit;
    }

    /// Whether a frame is marked.
    pub(super) fn contains(&self, pack: u32, frame: u32) -> bool {
        self.0
            .get(pack as usize)
            .and_then(|words| words.get(frame as usize / 64))
            .is_some_and(|word| word & (1 << (frame % 64)) != 0)
    }
}

impl Known {
    /// Tells of each used frame: pack, frame and stored length.
    pub(super) fn for_each_used(
        &self,
        used: &Used,
        mut visit: impl FnMut(&KnownPack, PackId, u32, u32),
    ) {
        let inner = self.inner();
        for place in inner.places() {
            if used.contains(place.pack, place.frame)
                && let Some(pack) = inner.packs.get(place.pack as usize)
                && let Some(id) = pack.id
            {
                visit(pack, id, place.frame, place.stored);
            }
        }
    }

    /// Tells of each frame of packs that no manifest protects.
    pub(super) fn for_each_unprotected(&self, mut visit: impl FnMut(&KnownPack, PackId, u32, u32)) {
        let inner = self.inner();
        for place in inner.places() {
            if let Some(pack) = inner.packs.get(place.pack as usize).filter(|pack| !pack.committed)
                && let Some(id) = pack.id
                && place.stored > 0
            {
                visit(pack, id, place.frame, place.stored);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_the_bytes_of_a_catalogue_chunk_does_not_take_its_place() {
        let known = Known::default();
        let chunk = ChunkId::from_bytes([7; 32]);
        let data = known.begin_pack(SessionId::ZERO);
        let catalogue = known.begin_pack(SessionId::ZERO);
        assert!(known.claim(Content::Data, &chunk, || (data, 0)));
        assert_eq!(known.find(Content::Catalogue, &chunk), None);
        assert!(known.claim(Content::Catalogue, &chunk, || (catalogue, 0)));
        assert!(!known.claim(Content::Data, &chunk, || (data, 1)));
        assert_eq!(known.find(Content::Catalogue, &chunk).unwrap().pack, catalogue);
        assert_eq!(known.forget_sessions(&[SessionId::ZERO]), 2);
    }
}
