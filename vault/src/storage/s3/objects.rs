//! The objects of one repository in a bucket.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lumbung_model::{PackId, RepositoryId, Timestamp};
use lumbung_pack::limits::{OBJECT_MAX_BYTES, PACK_MAX_BYTES};
use lumbung_pack::{Bitmap, Kind, PackTable};
use lumbung_store::{PutOutcome, StoreError, decode_presence, encode_presence};
use object_store::path::Path;

use super::Shared;
use super::bucket::{Bucket, Fault, When};
use super::packs::{self, Pack, PartialSink, Sink};
use crate::storage::{PackRead, PackSink, PartialPackSink, Storage};

/// The folder of the marks of packs of which frames may be missing.
const PRESENCE: &str = "presence";

/// Names that are listed one page after the other; more of them are listed by prefix, several at once.
const IN_ONE_GO: usize = 2_000;
/// Requests at once where one call needs many.
const AT_ONCE: usize = 32;

/// A repository.
#[derive(Clone)]
pub(super) struct Objects {
    pub(super) shared: Arc<Shared>,
    base: Arc<str>,
    /// Packs that have a mark, once they were listed. This vault alone writes here, so it stays true.
    marked: Arc<Mutex<Option<HashSet<PackId>>>>,
}

impl Objects {
    pub(super) fn new(shared: Arc<Shared>, id: &RepositoryId) -> Self {
        Self { shared, base: format!("repositories/{id}").into(), marked: Arc::default() }
    }

    pub(super) fn folder(&self, kind: Kind) -> Path {
        self.shared.bucket.key(&format!("{}/{}", self.base, kind.folder()))
    }

    pub(super) fn key(&self, kind: Kind, id: &[u8; 32]) -> Path {
        let name = PackId::from_bytes(*id).to_string();
        let folder = format!("{}/{}", self.base, kind.folder());
        self.shared.bucket.key(&match kind {
            Kind::Pack => format!("{folder}/{}/{name}", &name[..2]),
            _ => format!("{folder}/{name}"),
        })
    }

    pub(super) fn bucket(&self) -> Bucket {
        self.shared.bucket.clone()
    }

    /// Writes bytes that were checked against the id.
    pub(super) fn write(
        &self,
        kind: Kind,
        id: &[u8; 32],
        bytes: Bytes,
        when: When,
    ) -> Result<PutOutcome, StoreError> {
        self.shared.lease.check()?;
        let (bucket, key) = (self.bucket(), self.key(kind, id));
        let creates_only = self.shared.creates_only;
        self.shared.wait(async move {
            put(&bucket, &key, bytes, when, creates_only)
                .await
                .map_err(|fault| bucket.failed(fault))
        })
    }

    /// Reads an object whole, without looking at it.
    pub(super) fn read(
        &self,
        kind: Kind,
        id: &[u8; 32],
        limit: usize,
    ) -> Result<Bytes, StoreError> {
        let (bucket, key, id) = (self.bucket(), self.key(kind, id), *id);
        self.shared.wait(async move {
            let found = bucket.get(&key, limit as u64).await;
            found
                .map(|(bytes, _)| bytes)
                .map_err(|fault| bucket.failed_for(kind, &id, limit, fault))
        })
    }

    fn whole_pack(&self, id: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        let pack = Pack::open(self.clone(), &PackId::from_bytes(*id))?;
        let limit = PACK_MAX_BYTES as u64;
        if pack.length() > limit {
            return Err(StoreError::TooLarge { kind: Kind::Pack, limit, found: pack.length() });
        }
        let bytes = pack.read_range(0, usize::try_from(pack.length()).unwrap_or(PACK_MAX_BYTES))?;
        lumbung_store::decode_head(id, &bytes)?;
        Ok(bytes)
    }

    fn meta(&self, kind: Kind, id: &[u8; 32]) -> Result<object_store::ObjectMeta, StoreError> {
        let (bucket, key, id) = (self.bucket(), self.key(kind, id), *id);
        self.shared.wait(async move {
            bucket.head(&key).await.map_err(|fault| bucket.failed_for(kind, &id, 0, fault))
        })
    }

    /// Works on the set of marked packs.
    fn with_marked<T>(
        &self,
        work: impl FnOnce(&mut HashSet<PackId>) -> T,
    ) -> Result<T, StoreError> {
        let mut marked = self.marked.lock().unwrap_or_else(PoisonError::into_inner);
        if marked.is_none() {
            let folder = self.shared.bucket.key(&format!("{}/{PRESENCE}", self.base));
            let bucket = self.bucket();
            let names = self.shared.wait(async move {
                let names = bucket.names(&folder, usize::MAX).await;
                names.map_err(|fault| bucket.failed(fault))
            })?;
            let names = names.unwrap_or_default();
            *marked = Some(names.iter().filter_map(|name| name.parse().ok()).collect());
        }
        Ok(work(marked.get_or_insert_default()))
    }

    fn mark(&self, id: &PackId) -> Path {
        self.shared.bucket.key(&format!("{}/{PRESENCE}/{id}", self.base))
    }

    /// Whether frames of a pack may be missing. Most have no mark, and that costs no request.
    pub(super) fn may_lack_frames(&self, id: &PackId) -> Result<bool, StoreError> {
        self.with_marked(|marked| marked.contains(id))
    }

    /// Notes that an object says of itself that frames are missing: its mark may have been lost.
    pub(super) fn note_mark(&self, id: &PackId) -> Result<(), StoreError> {
        self.with_marked(|marked| marked.insert(*id)).map(|_| ())
    }

    /// What the mark of a pack says of its frames; nothing if there is none, or it is damaged.
    pub(super) fn read_mark(
        &self,
        id: &PackId,
        table: &PackTable,
    ) -> Result<Option<Bitmap>, StoreError> {
        let (bucket, mark) = (self.bucket(), self.mark(id));
        let bytes = self.shared.wait(async move {
            match bucket.get(&mark, OBJECT_MAX_BYTES as u64).await {
                Ok((bytes, _)) => Ok(Some(bytes)),
                Err(Fault::Missing | Fault::TooLarge(_)) => Ok(None),
                Err(fault) => Err(bucket.failed(fault)),
            }
        })?;
        let frames = table.frame_count();
        Ok(bytes.and_then(|bytes| decode_presence(id, frames, &bytes)))
    }

    /// The pack is whole: its mark goes. One that stays behind after a crash costs a look at the pack.
    pub(super) fn forget_presence(&self, id: &PackId) -> Result<(), StoreError> {
        if !self.may_lack_frames(id)? {
            return Ok(());
        }
        let (bucket, mark) = (self.bucket(), self.mark(id));
        self.shared.wait(async move {
            bucket.delete(&mark).await.map_err(|fault| bucket.failed(fault))
        })?;
        self.with_marked(|marked| marked.remove(id)).map(|_| ())
    }

    /// Writes a pack that has these frames. Its mark comes before it and goes after it, so that an object that
    /// lacks frames always has one.
    pub(super) fn replace(
        &self,
        id: &PackId,
        object: Bytes,
        present: &Bitmap,
    ) -> Result<(), StoreError> {
        self.shared.lease.check()?;
        if !present.is_full() {
            let (bucket, mark) = (self.bucket(), self.mark(id));
            let bytes = Bytes::from(encode_presence(id, present));
            self.shared.wait(async move {
                let put = bucket.put(&mark, bytes, When::Always).await;
                put.map_err(|fault| bucket.failed(fault))
            })?;
            self.with_marked(|marked| marked.insert(*id))?;
        }
        self.write(Kind::Pack, id.as_bytes(), object, When::Always)?;
        if present.is_full() { self.forget_presence(id) } else { Ok(()) }
    }

    /// Asks the store who writes here. Writing twice does no harm, taking away once does: the lease is looked at
    /// and not remembered.
    fn still_the_writer(&self) -> Result<(), StoreError> {
        let lease = Arc::clone(&self.shared.lease);
        self.shared.wait(async move { lease.check_now().await })
    }

    fn check_kept(kind: Kind) -> Result<(), StoreError> {
        if Kind::REPOSITORY.contains(&kind) { Ok(()) } else { Err(StoreError::NotKept { kind }) }
    }
}

/// One PUT, or a look before it where the store does not keep to the condition. Losing a race there is harmless:
/// both wrote the same bytes.
async fn put(
    bucket: &Bucket,
    key: &Path,
    bytes: Bytes,
    when: When,
    creates_only: bool,
) -> Result<PutOutcome, Fault> {
    let when = match when {
        When::New if !creates_only => match bucket.head(key).await {
            Ok(_) => return Ok(PutOutcome::AlreadyThere),
            Err(Fault::Missing) => When::Always,
            Err(fault) => return Err(fault),
        },
        other => other,
    };
    match bucket.put(key, bytes, when).await {
        Ok(_) => Ok(PutOutcome::Created),
        Err(Fault::Condition) => Ok(PutOutcome::AlreadyThere),
        Err(fault) => Err(fault),
    }
}

impl Storage for Objects {
    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<PutOutcome, StoreError> {
        Self::check_kept(kind)?;
        if kind == Kind::Pack {
            return Err(StoreError::NotKept { kind });
        }
        lumbung_store::check_object(kind, id, bytes)?;
        let bytes = Bytes::copy_from_slice(bytes);
        if self.write(kind, id, bytes.clone(), When::New)? == PutOutcome::Created {
            return Ok(PutOutcome::Created);
        }
        match self.get(kind, id) {
            Ok(_) => Ok(PutOutcome::AlreadyThere),
            Err(
                StoreError::NotFound { .. }
                | StoreError::Damaged { .. }
                | StoreError::TooLarge { .. },
            ) => self.write(kind, id, bytes, When::Always),
            Err(error) => Err(error),
        }
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        Self::check_kept(kind)?;
        if kind == Kind::Pack {
            return self.whole_pack(id);
        }
        let bytes = self.read(kind, id, OBJECT_MAX_BYTES)?;
        let found = lumbung_pack::object_id(&bytes);
        if found != *id {
            let found = PackId::from_bytes(found);
            let reason = format!("its {} bytes hash to {found}", bytes.len());
            return Err(StoreError::Damaged { kind, id: *id, reason });
        }
        Ok(bytes.into())
    }

    fn contains(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        Self::check_kept(kind)?;
        match self.meta(kind, id) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, StoreError> {
        Self::check_kept(kind)?;
        let (bucket, folder) = (self.bucket(), self.folder(kind));
        self.shared.wait(async move {
            let names = names(&bucket, &folder, kind).await;
            Ok(ids(&names.map_err(|fault| bucket.failed(fault))?))
        })
    }

    fn list_packs(&self, from: u8) -> Result<(u8, Vec<[u8; 32]>), StoreError> {
        let (bucket, folder) = (self.bucket(), self.folder(Kind::Pack));
        self.shared.wait(async move {
            let found = async {
                if from == 0 {
                    // A small repository: one listing, and not one for each folder.
                    if let Some(names) = bucket.names(&folder, IN_ONE_GO).await? {
                        return Ok((u8::MAX, names));
                    }
                }
                let folder = folder.clone().join(format!("{from:02x}"));
                Ok((from, bucket.names(&folder, usize::MAX).await?.unwrap_or_default()))
            };
            let (last, names) = found.await.map_err(|fault| bucket.failed(fault))?;
            Ok((last, ids(&names)))
        })
    }

    fn arrived(&self, kind: Kind, id: &[u8; 32]) -> Result<Timestamp, StoreError> {
        Self::check_kept(kind)?;
        Ok(Timestamp(self.meta(kind, id)?.last_modified.timestamp()))
    }

    fn open_pack(&self, id: &PackId) -> Result<Box<dyn PackRead>, StoreError> {
        Ok(Box::new(Pack::open(self.clone(), id)?))
    }

    fn pack_len(&self, id: &PackId) -> Result<u64, StoreError> {
        if self.may_lack_frames(id)? {
            return Ok(Pack::open(self.clone(), id)?.length());
        }
        Ok(self.meta(Kind::Pack, id.as_bytes())?.size)
    }

    fn pack_lens(&self, ids: &[PackId]) -> Vec<Result<u64, StoreError>> {
        let keys: Vec<(Path, [u8; 32])> =
            ids.iter().map(|id| (self.key(Kind::Pack, id.as_bytes()), *id.as_bytes())).collect();
        let bucket = self.bucket();
        let lens = self.shared.wait(async move {
            let heads = stream::iter(keys).map(|(key, id)| {
                let bucket = bucket.clone();
                async move {
                    let head = bucket.head(&key).await;
                    head.map(|meta| meta.size)
                        .map_err(|fault| bucket.failed_for(Kind::Pack, &id, 0, fault))
                }
            });
            Ok(heads.buffered(AT_ONCE).collect::<Vec<_>>().await)
        });
        let Ok(mut lens) = lens else { return ids.iter().map(|id| self.pack_len(id)).collect() };
        for (len, id) in lens.iter_mut().zip(ids) {
            match self.may_lack_frames(id) {
                Ok(false) => {}
                Ok(true) => *len = self.pack_len(id),
                Err(error) => *len = Err(error),
            }
        }
        lens
    }

    fn pack_writer(&self, id: &PackId) -> Result<Box<dyn PackSink>, StoreError> {
        self.shared.lease.check()?;
        Ok(Box::new(Sink::new(self.clone(), id)))
    }

    fn sync_pack(&self, _: &PackId) -> Result<(), StoreError> {
        // What can be seen was acknowledged, and so it is durable.
        self.shared.lease.check()
    }

    fn repair_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        good: &[(usize, &[u8])],
    ) -> Result<(), StoreError> {
        packs::repair(self, id, table, good)
    }

    fn presence(&self, id: &PackId, table: &PackTable) -> Result<Option<Bitmap>, StoreError> {
        if !self.may_lack_frames(id)? {
            return Ok(None);
        }
        let present = match Pack::open(self.clone(), id) {
            Ok(pack) => Some(pack.present_settled(table)?),
            // Where the pack was lost, its mark says what should be here.
            Err(StoreError::NotFound { .. }) => self.read_mark(id, table)?,
            Err(error) => return Err(error),
        };
        Ok(present.filter(|present| !present.is_full()))
    }

    fn list_presence(&self) -> Result<Vec<PackId>, StoreError> {
        let mut marked: Vec<PackId> =
            self.with_marked(|marked| marked.iter().copied().collect())?;
        marked.sort_unstable();
        Ok(marked)
    }

    fn drop_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        dropped: &Bitmap,
    ) -> Result<(), StoreError> {
        self.still_the_writer()?;
        packs::drop_frames(self, id, table, dropped)
    }

    fn partial_pack_writer(
        &self,
        id: &PackId,
        table: &PackTable,
    ) -> Result<Box<dyn PartialPackSink>, StoreError> {
        self.shared.lease.check()?;
        Ok(Box::new(PartialSink::new(self.clone(), id, table)?))
    }

    fn sweep_unfinished(&self) -> Result<usize, StoreError> {
        // One PUT an object: the store keeps all of it or nothing.
        Ok(0)
    }

    fn remove(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        Self::check_kept(kind)?;
        self.still_the_writer()?;
        let (bucket, key) = (self.bucket(), self.key(kind, id));
        let removed = self.shared.wait(async move {
            match bucket.head(&key).await {
                Ok(_) => {}
                Err(Fault::Missing) => return Ok(false),
                Err(fault) => return Err(bucket.failed(fault)),
            }
            bucket.delete(&key).await.map_err(|fault| bucket.failed(fault))?;
            Ok(true)
        })?;
        if kind == Kind::Pack {
            self.forget_presence(&PackId::from_bytes(*id))?;
        }
        Ok(removed)
    }
}

/// The names that are ids, ascending.
fn ids(names: &[String]) -> Vec<[u8; 32]> {
    let ids = names.iter().filter_map(|name| name.parse::<PackId>().ok());
    let mut ids: Vec<_> = ids.map(|id| *id.as_bytes()).collect();
    ids.sort_unstable();
    ids
}

/// All names of a kind.
async fn names(bucket: &Bucket, folder: &Path, kind: Kind) -> Result<Vec<String>, Fault> {
    let limit = if kind == Kind::Pack { IN_ONE_GO } else { usize::MAX };
    if let Some(names) = bucket.names(folder, limit).await? {
        return Ok(names);
    }
    let folders = (0..=u8::MAX).map(|first| folder.clone().join(format!("{first:02x}")));
    let lists = stream::iter(folders).map(|folder| {
        let bucket = bucket.clone();
        async move { bucket.names(&folder, usize::MAX).await }
    });
    let lists: Vec<Option<Vec<String>>> = lists.buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(lists.into_iter().flatten().flatten().collect())
}
