//! Repositories as directories of a local file system: `<data>/repositories/<id>/<folder>/…`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lumbung_model::{PackId, RepositoryId, Timestamp};
use lumbung_pack::{Bitmap, Kind, PackTable};
use lumbung_store::{
    FolderStamp, PackFile, PackWriter, PartialPackWriter, PutOutcome, RepositoryDir, StoreError,
    durable,
};

use super::{PackRead, PackSink, PartialPackSink, Place, Storage};

/// A directory that holds one directory a repository.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens the place, and makes it if it is not there.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(path: PathBuf) -> Result<Self, StoreError> {
        durable::make_directories(&path, 0o755)?;
        Ok(Self { path })
    }

    fn path_of(&self, id: &RepositoryId) -> PathBuf {
        self.path.join(id.to_string())
    }
}

impl Place for Directory {
    fn repositories(&self) -> Result<Vec<RepositoryId>, StoreError> {
        let entries = std::fs::read_dir(&self.path).map_err(|e| io("read", &self.path, e))?;
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(|e| io("read", &self.path, e))?.file_name();
            ids.extend(name.to_str().and_then(|name| name.parse::<RepositoryId>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn settle(&self) -> Result<(), StoreError> {
        // One call for all repositories, and not one for each.
        durable::sync_file_system(&self.path)
    }

    fn open(&self, id: &RepositoryId) -> Result<Arc<dyn Storage>, StoreError> {
        Ok(Arc::new(RepositoryDir::open(self.path_of(id))?))
    }

    fn create(&self, id: &RepositoryId) -> Result<Arc<dyn Storage>, StoreError> {
        Ok(Arc::new(RepositoryDir::create(self.path_of(id))?))
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> StoreError {
    StoreError::Io { action, path: path.to_owned(), source }
}

impl Storage for RepositoryDir {
    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<PutOutcome, StoreError> {
        Self::put(self, kind, id, bytes)
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        Self::get(self, kind, id)
    }

    fn contains(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        Self::contains(self, kind, id)
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, StoreError> {
        Self::list(self, kind)
    }

    fn list_packs(&self, from: u8) -> Result<(u8, Vec<[u8; 32]>), StoreError> {
        Ok((from, Self::list_packs(self, from)?))
    }

    fn stamp(&self, kind: Kind) -> Result<Option<FolderStamp>, StoreError> {
        Self::stamp(self, kind).map(Some)
    }

    fn arrived(&self, kind: Kind, id: &[u8; 32]) -> Result<Timestamp, StoreError> {
        Self::arrived(self, kind, id)
    }

    fn open_pack(&self, id: &PackId) -> Result<Box<dyn PackRead>, StoreError> {
        Ok(Box::new(Self::open_pack(self, id)?))
    }

    fn pack_len(&self, id: &PackId) -> Result<u64, StoreError> {
        Self::pack_len(self, id)
    }

    fn pack_writer(&self, id: &PackId) -> Result<Box<dyn PackSink>, StoreError> {
        Ok(Box::new(Self::pack_writer(self, id)?))
    }

    fn sync_pack(&self, id: &PackId) -> Result<(), StoreError> {
        self.sync_pack_folder(id)
    }

    fn repair_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        good: &[(usize, &[u8])],
    ) -> Result<(), StoreError> {
        Self::repair_frames(self, id, table, good)
    }

    fn presence(&self, id: &PackId, table: &PackTable) -> Result<Option<Bitmap>, StoreError> {
        Self::presence(self, id, table)
    }

    fn mend_presence(
        &self,
        id: &PackId,
        table: &PackTable,
        counted: Option<&Bitmap>,
    ) -> Result<Option<Bitmap>, StoreError> {
        Self::mend_presence(self, id, table, counted)
    }

    fn list_presence(&self) -> Result<Vec<PackId>, StoreError> {
        Self::list_presence(self)
    }

    fn drop_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        dropped: &Bitmap,
    ) -> Result<(), StoreError> {
        Self::drop_frames(self, id, table, dropped)
    }

    fn partial_pack_writer(
        &self,
        id: &PackId,
        table: &PackTable,
    ) -> Result<Box<dyn PartialPackSink>, StoreError> {
        Ok(Box::new(Self::partial_pack_writer(self, id, table)?))
    }

    fn sweep_unfinished(&self) -> Result<usize, StoreError> {
        Self::sweep_unfinished(self)
    }

    fn remove(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        Self::remove(self, kind, id)
    }
}

impl PackRead for PackFile {
    fn length(&self) -> u64 {
        Self::length(self)
    }

    fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        Self::read_range(self, offset, length)
    }

    fn head(&self) -> Result<PackTable, StoreError> {
        Self::head(self)
    }

    fn read_frame(&self, table: &PackTable, frame: usize) -> Result<Vec<u8>, StoreError> {
        Self::read_frame(self, table, frame)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        Self::read_at(self, offset, bytes)
    }

    fn read_bytes(&self) -> usize {
        lumbung_store::READ_BYTES
    }

    fn will_be_read(&self, from_medium: bool) {
        if from_medium {
            self.forget_cached();
        }
        Self::will_be_read(self);
    }
}

impl PackSink for PackWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        Self::write(self, bytes)
    }

    fn table(&self) -> Option<&PackTable> {
        Self::table(self)
    }

    fn finish(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        Self::finish(*self)
    }

    fn finish_over(self: Box<Self>) -> Result<PutOutcome, StoreError> {
        Self::finish_over(*self)
    }
}

impl PartialPackSink for PartialPackWriter {
    fn write_frame(&mut self, frame: usize, bytes: &[u8]) -> Result<(), StoreError> {
        Self::write_frame(self, frame, bytes)
    }

    fn lost(&self, counted: &Bitmap) -> Result<Bitmap, StoreError> {
        Self::lost(self, counted)
    }

    fn finish(self: Box<Self>, lost: &Bitmap) -> Result<Bitmap, StoreError> {
        Self::finish(*self, lost)
    }
}
