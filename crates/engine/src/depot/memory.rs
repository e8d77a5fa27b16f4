//! A depot in memory, for tests: checks what a directory checks, and can be damaged at will.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use lumbung_model::{ManifestId, PackId};
use lumbung_pack::{Kind, PackTable, PackUse, object_id};

use super::admit::{Shelf, absent, admit_manifest, admit_session, cut_off};
use super::{Commit, Depot, DepotError};

type Objects = BTreeMap<(Kind, [u8; 32]), Vec<u8>>;

/// A depot in memory.
#[derive(Debug, Default)]
pub struct MemoryDepot {
    name: String,
    objects: Mutex<Objects>,
}

impl MemoryDepot {
    /// An empty depot of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), objects: Mutex::default() }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts any bytes under any id, as a hostile depot would.
    pub fn plant(&self, kind: Kind, id: [u8; 32], bytes: Vec<u8>) {
        self.objects().insert((kind, id), bytes);
    }

    /// Loses an object; whether it was there.
    pub fn lose(&self, kind: Kind, id: &[u8; 32]) -> bool {
        self.objects().remove(&(kind, *id)).is_some()
    }

    /// Changes an object in place.
    pub fn damage(&self, kind: Kind, id: &[u8; 32], change: impl FnOnce(&mut Vec<u8>)) {
        if let Some(bytes) = self.objects().get_mut(&(kind, *id)) {
            change(bytes);
        }
    }

    /// Bytes of everything it holds.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.objects().values().map(|bytes| bytes.len() as u64).sum()
    }

    fn stored(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        let found = self.objects().get(&(kind, *id)).cloned();
        found.ok_or_else(|| DepotError::NotFound { kind, id: *id, depot: self.describe() })
    }
}

impl Shelf for MemoryDepot {
    fn name(&self) -> String {
        self.describe()
    }

    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, DepotError> {
        Ok(self.objects().get(&(kind, *id)).filter(|bytes| object_id(bytes) == *id).cloned())
    }

    fn table(&self, id: &PackId) -> Result<Option<(PackTable, Vec<u32>)>, DepotError> {
        let objects = self.objects();
        let Some(bytes) = objects.get(&(Kind::Pack, *id.as_bytes())) else { return Ok(None) };
        let head = PackTable::head_length(bytes).ok().and_then(|length| bytes.get(..length));
        Ok(head.and_then(|head| PackTable::open(id, head).ok()).map(|table| {
            let lost = cut_off(&table, bytes.len() as u64);
            (table, lost)
        }))
    }

    fn rosters(&self) -> Result<Vec<Vec<u8>>, DepotError> {
        let objects = self.objects();
        Ok(objects
            .iter()
            .filter(|((kind, _), _)| *kind == Kind::Roster)
            .map(|(_, bytes)| bytes.clone())
            .collect())
    }
}

impl Depot for MemoryDepot {
    fn describe(&self) -> String {
        format!("memory:{}", self.name)
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        Ok(self.objects().keys().filter(|(found, _)| *found == kind).map(|(_, id)| *id).collect())
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        self.stored(kind, id)
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        if object_id(bytes) != *id || matches!(kind, Kind::Manifest | Kind::Pack) {
            let reason = "the bytes are not what the id names".to_owned();
            return Err(DepotError::Refused { depot: self.describe(), reason });
        }
        if kind == Kind::Session {
            admit_session(self, bytes)?;
        }
        self.objects().insert((kind, *id), bytes.to_vec());
        Ok(())
    }

    fn put_pack(&self, id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError> {
        let refused = |reason: String| DepotError::Refused { depot: self.describe(), reason };
        let table = PackTable::open(id, head).map_err(|e| refused(e.to_string()))?;
        let mut bytes = head.to_vec();
        pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
        if bytes.len() as u64 != table.total_length() {
            return Err(refused("another length than the table gives".to_owned()));
        }
        for i in 0..table.frames.len() {
            let range = table.frame_range(i);
            let bound = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
            table
                .verify_frame(i, &bytes[bound(range.start)..bound(range.end)])
                .map_err(|e| refused(e.to_string()))?;
        }
        self.objects().insert((Kind::Pack, *id.as_bytes()), bytes);
        Ok(())
    }

    fn read_pack(&self, id: &PackId, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        let bounds = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let bytes = self.stored(Kind::Pack, id.as_bytes())?;
        bytes.get(bounds(range.start)..bounds(range.end)).map(<[u8]>::to_vec).ok_or_else(|| {
            DepotError::Damaged {
                kind: Kind::Pack,
                id: *id.as_bytes(),
                depot: self.describe(),
                source: None,
            }
        })
    }

    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        absent(self, packs)
    }

    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError> {
        if object_id(manifest) != *id.as_bytes() {
            let reason = "the manifest is not what its id names".to_owned();
            return Err(DepotError::Refused { depot: self.describe(), reason });
        }
        admit_manifest(self, manifest)?;
        self.objects().insert((Kind::Manifest, *id.as_bytes()), manifest.to_vec());
        Ok(Commit::default())
    }
}
