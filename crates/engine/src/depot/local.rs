//! A repository in a directory, used without a vault.
//!
//! The same commit check as a vault's stands before every manifest; there is no receipt, and no network
//! identity: who can write to the directory is the file system's business.

use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use lumbung_model::{ManifestId, PackId};
use lumbung_pack::{Bitmap, Kind, PackFacts, PackTable, PackUse};
use lumbung_store::{PackFile, RepositoryDir, StoreError};

use super::admit::{Shelf, absent, admit_manifest, admit_session, cut_off, facts_of};
use super::{Commit, Depot, DepotError, OpenPack};

/// A repository in a directory.
#[derive(Debug, Clone)]
pub struct LocalDepot {
    directory: RepositoryDir,
}

impl LocalDepot {
    /// Uses an opened directory.
    #[must_use]
    pub const fn new(directory: RepositoryDir) -> Self {
        Self { directory }
    }

    /// Opens the repository at `path`.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        RepositoryDir::open(path).map(Self::new)
    }

    /// Makes an empty repository at `path`.
    ///
    /// # Errors
    /// If the directory holds something else.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        RepositoryDir::create(path).map(Self::new)
    }

    /// The directory.
    #[must_use]
    pub const fn directory(&self) -> &RepositoryDir {
        &self.directory
    }

    /// Keeps an object that the caller has admitted.
    pub(crate) fn put_unchecked(
        &self,
        kind: Kind,
        id: &[u8; 32],
        bytes: &[u8],
    ) -> Result<(), DepotError> {
        self.directory.put(kind, id, bytes).map_err(|e| self.translate("writing an object", e))?;
        Ok(())
    }

    /// Keeps a pack in the place of whatever has its name: for who knows that it is damaged, or not there.
    pub(crate) fn replace_pack(
        &self,
        id: &PackId,
        head: &Bytes,
        frames: &[Bytes],
    ) -> Result<(), DepotError> {
        let write = || {
            let mut writer = self.directory.pack_writer(id)?;
            writer.write(head)?;
            frames.iter().try_for_each(|frame| writer.write(frame))?;
            writer.finish_over()
        };
        write().map_err(|e| self.translate("writing a pack", e))?;
        Ok(())
    }

    /// What the commit check asks of a pack: its head was read, its length compared, its map of frames asked.
    pub(crate) fn pack_facts(&self, id: &PackId) -> Result<Option<PackFacts>, DepotError> {
        Ok(self.table(id)?.map(|(table, bad)| facts_of(&table, bad)))
    }

    /// As [`Self::translate`]; what the disk cannot read is damage, and no reason to ask again.
    fn read_failed(&self, what: &str, kind: Kind, id: &[u8; 32], error: StoreError) -> DepotError {
        if error.is_bad_sector() {
            let source = Some(error.into());
            return DepotError::Damaged { kind, id: *id, depot: self.describe(), source };
        }
        self.translate(what, error)
    }

    fn translate(&self, what: &str, error: StoreError) -> DepotError {
        let depot = self.describe();
        match error {
            StoreError::NotFound { kind, id } => DepotError::NotFound { kind, id, depot },
            StoreError::Damaged { kind, id, .. } => {
                DepotError::Damaged { kind, id, depot, source: Some(Box::new(error)) }
            }
            StoreError::Frame { id, .. } | StoreError::Range { id, .. } => {
                DepotError::Damaged { kind: Kind::Pack, id, depot, source: Some(Box::new(error)) }
            }
            StoreError::TooLarge { .. } | StoreError::WrongId { .. } | StoreError::Pack { .. } => {
                DepotError::Refused { depot, reason: error.to_string() }
            }
            StoreError::Full { .. } => DepotError::Full { depot },
            other => DepotError::Unavailable {
                depot,
                what: what.to_owned(),
                source: Some(Box::new(other)),
            },
        }
    }
}

impl Shelf for LocalDepot {
    fn name(&self) -> String {
        self.describe()
    }

    fn object(&self, kind: Kind, id: &[u8; 32]) -> Result<Option<Vec<u8>>, DepotError> {
        match self.directory.get(kind, id) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(self.translate("reading an object", error)),
        }
    }

    fn table(&self, id: &PackId) -> Result<Option<(PackTable, Vec<u32>)>, DepotError> {
        let read = || {
            let file = self.directory.open_pack(id)?;
            let table = file.head()?;
            let mut lost = cut_off(&table, file.length());
            if let Some(present) = self.directory.presence(id, &table)? {
                lost.extend((0..present.bits()).filter(|frame| !present.get(*frame)));
            }
            Ok((table, lost))
        };
        match read() {
            Ok(found) => Ok(Some(found)),
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => Ok(None),
            Err(error) => Err(self.translate("reading a pack", error)),
        }
    }

    fn rosters(&self) -> Result<Vec<Vec<u8>>, DepotError> {
        self.list(Kind::Roster)?.iter().map(|id| self.get(Kind::Roster, id)).collect()
    }
}

/// A pack of a directory that is open.
struct LocalPack<'a> {
    depot: &'a LocalDepot,
    id: PackId,
    file: PackFile,
}

impl LocalPack<'_> {
    fn failed(&self, error: StoreError) -> DepotError {
        self.depot.read_failed("reading a pack", Kind::Pack, self.id.as_bytes(), error)
    }
}

impl OpenPack for LocalPack<'_> {
    fn head(&self) -> Result<PackTable, DepotError> {
        self.file.head().map_err(|e| self.failed(e))
    }

    fn presence(&self, table: &PackTable) -> Result<Option<Bitmap>, DepotError> {
        self.depot.directory.presence(&self.id, table).map_err(|e| self.failed(e))
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), DepotError> {
        self.file.read_at(offset, bytes).map_err(|e| self.failed(e))
    }
}

impl Depot for LocalDepot {
    fn describe(&self) -> String {
        self.directory.path().display().to_string()
    }

    fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, DepotError> {
        self.directory.list(kind).map_err(|e| self.translate("listing objects", e))
    }

    fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, DepotError> {
        self.directory.get(kind, id).map_err(|e| self.read_failed("reading an object", kind, id, e))
    }

    fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), DepotError> {
        match kind {
            Kind::Manifest => {
                let reason = "a manifest is published by a commit".to_owned();
                return Err(DepotError::Refused { depot: self.describe(), reason });
            }
            Kind::Session => admit_session(self, bytes)?,
            _ => {}
        }
        self.directory.put(kind, id, bytes).map_err(|e| self.translate("writing an object", e))?;
        Ok(())
    }

    fn put_pack(&self, id: &PackId, head: &Bytes, pieces: &[Bytes]) -> Result<(), DepotError> {
        let write = || {
            let mut writer = self.directory.pack_writer(id)?;
            writer.write(head)?;
            for piece in pieces {
                writer.write(piece)?;
            }
            // A file of this name whose head or length is wrong is no pack: this one takes its place.
            let whole = self
                .directory
                .open_pack(id)
                .and_then(|file| Ok(file.head()?.total_length() <= file.length()));
            if matches!(whole, Ok(true) | Err(StoreError::NotFound { .. })) {
                writer.finish()
            } else {
                writer.finish_over()
            }
        };
        write().map_err(|e| self.translate("writing a pack", e))?;
        Ok(())
    }

    fn read_pack(&self, id: &PackId, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        self.directory
            .read_range(id, range.start, length)
            .map_err(|e| self.read_failed("reading a pack", Kind::Pack, id.as_bytes(), e))
    }

    fn open_pack(&self, id: &PackId) -> Result<Option<Box<dyn OpenPack + '_>>, DepotError> {
        let opened = self.directory.open_pack(id);
        let file =
            opened.map_err(|e| self.read_failed("opening a pack", Kind::Pack, id.as_bytes(), e))?;
        file.will_be_read();
        Ok(Some(Box::new(LocalPack { depot: self, id: *id, file })))
    }

    fn have(&self, packs: &[PackUse]) -> Result<Vec<PackUse>, DepotError> {
        absent(self, packs)
    }

    fn commit(&self, id: &ManifestId, manifest: &[u8]) -> Result<Commit, DepotError> {
        admit_manifest(self, manifest)?;
        self.directory
            .put(Kind::Manifest, id.as_bytes(), manifest)
            .map_err(|e| self.translate("writing a manifest", e))?;
        Ok(Commit::default())
    }

    fn local_path(&self) -> Option<PathBuf> {
        Some(self.directory.path().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_bad_sector_is_damage_and_a_missing_right_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let depot = LocalDepot::create(folder.path()).unwrap();
        let failed = |errno: Errno| {
            let (path, source) = (folder.path().to_owned(), errno.into());
            let error = StoreError::Io { action: "read", path, source };
            depot.read_failed("reading a pack", Kind::Pack, &[1; 32], error)
        };
        assert!(matches!(failed(Errno::IO), DepotError::Damaged { kind: Kind::Pack, .. }));
        assert!(failed(Errno::ACCESS).is_transient());
    }
}
