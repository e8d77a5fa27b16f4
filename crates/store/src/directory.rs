//! Folders and names of a repository in a directory, and its small objects. Packs are in `packs`.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use lumbung_model::Timestamp;
use lumbung_pack::Kind;
use lumbung_pack::limits::{OBJECT_MAX_BYTES, PACK_MAX_BYTES};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::StoreError;
use crate::durable::{self, Draft, Taken, UNFINISHED, make_directory, sync_directory};
use crate::error::hex;

/// Permission bits of objects: they are ciphertext or public, the group may copy them.
pub(crate) const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;
/// The folder of the maps of packs from which frames were dropped.
pub(crate) const PRESENCE: &str = "presence";

/// Whether a PUT brought something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object was not here, or was damaged: it is kept now.
    Created,
    /// The same object was here.
    AlreadyThere,
}

/// When names in a folder came or went last: two that differ say that something did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderStamp([i64; 4]);

/// Whether these may be the bytes of that object.
///
/// # Errors
/// [`StoreError::TooLarge`]; [`StoreError::WrongId`] if they hash to something else.
pub fn check_object(kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.len() > OBJECT_MAX_BYTES {
        let (limit, found) = (OBJECT_MAX_BYTES as u64, bytes.len() as u64);
        return Err(StoreError::TooLarge { kind, limit, found });
    }
    let found = lumbung_pack::object_id(bytes);
    if found == *id { Ok(()) } else { Err(StoreError::WrongId { kind, id: *id, found }) }
}

/// A repository in a directory. Cheap to clone; clones share what is known of the directory.
#[derive(Debug, Clone)]
pub struct RepositoryDir {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// How temporary names of this writer begin: all others were left behind by writers that have ended.
    own: String,
    /// A directory could not be synced: nothing more is written by this process.
    stopped: AtomicBool,
    /// Folders of `packs` whose names this process has made durable.
    prefixes: Mutex<HashSet<u8>>,
}

impl RepositoryDir {
    /// Makes an empty repository, or opens one that is there. Safe to repeat after a crash.
    ///
    /// # Errors
    /// [`StoreError::NotEmpty`] if the directory holds anything else.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        make_directory(&path, DIRECTORY_MODE)?;
        let folders: Vec<&str> = Kind::REPOSITORY.iter().map(|kind| kind.folder()).collect();
        for name in names(&path)? {
            let ours = folders.contains(&name.as_str()) || name == PRESENCE;
            if !name.starts_with('.') && name != "lost+found" && !ours {
                return Err(StoreError::NotEmpty { path, found: name });
            }
        }
        for folder in folders {
            make_directory(&path.join(folder), DIRECTORY_MODE)?;
        }
        sync_directory(&path)?;
        Self::at(path)
    }

    /// Opens a repository.
    ///
    /// # Errors
    /// [`StoreError::NotARepository`] if there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        if !path.join(Kind::Roster.folder()).is_dir() {
            return Err(StoreError::NotARepository { path });
        }
        Self::at(path)
    }

    fn at(path: PathBuf) -> Result<Self, StoreError> {
        let own = format!("{}-", durable::unfinished_name(&path, UNFINISHED)?);
        let shared = Shared { own, stopped: AtomicBool::default(), prefixes: Mutex::default() };
        Ok(Self { path, shared: Arc::new(shared) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps an object under its id; repeating it is harmless.
    ///
    /// # Errors
    /// [`StoreError::WrongId`] if the bytes hash to something else; [`StoreError::Full`] if there is no
    /// space. Packs go through [`RepositoryDir::pack_writer`].
    pub fn put(&self, kind: Kind, id: &[u8; 32], bytes: &[u8]) -> Result<PutOutcome, StoreError> {
        self.check_small(kind)?;
        check_object(kind, id, bytes)?;
        let taken = match self.get(kind, id) {
            Ok(_) => {
                self.synced(&self.path.join(kind.folder()))?;
                return Ok(PutOutcome::AlreadyThere);
            }
            Err(StoreError::NotFound { .. }) => Taken::Keep,
            Err(StoreError::Damaged { .. } | StoreError::TooLarge { .. }) => Taken::Replace,
            Err(error) if error.is_bad_sector() => Taken::Replace,
            Err(error) => return Err(error),
        };
        let folder = self.path.join(kind.folder());
        // A repository that an older version made has no place for a kind that is newer.
        if !folder.is_dir() {
            make_directory(&folder, DIRECTORY_MODE)?;
        }
        let mut draft = self.draft(&folder)?;
        draft.write(bytes)?;
        self.publish(draft, &hex(id), taken)
    }

    /// Reads an object and checks it against its id. Of a pack, header and table are checked.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`].
    pub fn get(&self, kind: Kind, id: &[u8; 32]) -> Result<Vec<u8>, StoreError> {
        let limit = if kind == Kind::Pack { PACK_MAX_BYTES } else { OBJECT_MAX_BYTES };
        let (mut file, length) = self.open_object(kind, id)?;
        if length > limit as u64 {
            return Err(StoreError::TooLarge { kind, limit: limit as u64, found: length });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(limit));
        (&mut file)
            .take(limit as u64)
            .read_to_end(&mut bytes)
            .map_err(|e| StoreError::io("read", &self.object_path(kind, id), e))?;
        if kind == Kind::Pack {
            crate::packs::decode_head(id, &bytes)?;
        } else {
            let found = lumbung_pack::object_id(&bytes);
            if found != *id {
                return Err(StoreError::Damaged {
                    kind,
                    id: *id,
                    reason: format!("its {} bytes hash to {}", bytes.len(), hex(&found)),
                });
            }
        }
        Ok(bytes)
    }

    /// Whether a file of that name is here; says nothing about its bytes.
    ///
    /// # Errors
    /// Anything the operating system says but "not found".
    pub fn contains(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        match self.object_len(kind, id) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Bytes of an object's file.
    pub(crate) fn object_len(&self, kind: Kind, id: &[u8; 32]) -> Result<u64, StoreError> {
        self.check_kept(kind)?;
        let path = self.object_path(kind, id);
        let stat = match rustix::fs::statat(CWD, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(StoreError::NotFound { kind, id: *id });
            }
            Err(e) => return Err(StoreError::io("read", &path, e)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(StoreError::Damaged { kind, id: *id, reason: "it is not a file".into() });
        }
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// The ids of all objects of a kind, ascending. Names that are not ids are not ours and are ignored.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self, kind: Kind) -> Result<Vec<[u8; 32]>, StoreError> {
        self.check_kept(kind)?;
        if kind != Kind::Pack {
            return self::ids(&self.path.join(kind.folder()));
        }
        let mut ids = Vec::new();
        for first in 0..=u8::MAX {
            ids.extend(self.list_packs(first)?);
        }
        Ok(ids)
    }

    /// The ids of all packs whose ids begin with a byte, ascending: what one folder holds.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list_packs(&self, first: u8) -> Result<Vec<[u8; 32]>, StoreError> {
        let mut found = ids(&self.path.join(Kind::Pack.folder()).join(format!("{first:02x}")))?;
        found.retain(|id| id[0] == first);
        Ok(found)
    }

    /// When an object's file was written.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn arrived(&self, kind: Kind, id: &[u8; 32]) -> Result<Timestamp, StoreError> {
        let (file, _) = self.open_object(kind, id)?;
        let written = file.metadata().and_then(|meta| meta.modified());
        let written =
            written.map_err(|e| StoreError::io("read", &self.object_path(kind, id), e))?;
        let since = written.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)))
    }

    /// Removes an object durably; says whether it was here. The caller answers for nothing needing it.
    ///
    /// # Errors
    /// [`StoreError::Unsynced`] if it may come back after a loss of power.
    pub fn remove(&self, kind: Kind, id: &[u8; 32]) -> Result<bool, StoreError> {
        self.check_kept(kind)?;
        self.check_writing()?;
        let path = self.object_path(kind, id);
        let removed = durable::remove_file(&path)?;
        // Also where it was gone: whoever removed it may not have come that far.
        if let Some(folder) = path.parent().filter(|folder| removed || folder.is_dir()) {
            self.synced(folder)?;
        }
        if kind == Kind::Pack {
            self.forget_presence(&lumbung_model::PackId::from_bytes(*id))?;
        }
        Ok(removed)
    }

    /// When names of a kind came or went last, by the folder's own times.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn stamp(&self, kind: Kind) -> Result<FolderStamp, StoreError> {
        self.check_kept(kind)?;
        let path = self.path.join(kind.folder());
        let meta = std::fs::metadata(&path).map_err(|e| StoreError::io("read", &path, e))?;
        Ok(FolderStamp([meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]))
    }

    /// Removes what unfinished writes left behind (those under way here are let be), and makes the names of finished ones durable: who was
    /// killed may have left names that everybody sees and a power failure takes back. Only for who alone
    /// writes here, before anybody relies on what is here.
    ///
    /// # Errors
    /// If a folder cannot be read or synced.
    pub fn sweep_unfinished(&self) -> Result<usize, StoreError> {
        let mut folders: Vec<PathBuf> =
            Kind::REPOSITORY.iter().map(|kind| self.path.join(kind.folder())).collect();
        let packs = self.path.join(Kind::Pack.folder());
        folders.push(self.path.join(PRESENCE));
        folders.extend(
            names(&packs)?.iter().filter(|name| name.len() == 2).map(|name| packs.join(name)),
        );
        let mut swept = 0;
        for folder in folders {
            swept += durable::sweep_others(&folder, Some(&self.shared.own))?;
        }
        self.check_writing()?;
        // Not folder by folder: hundreds of them, each with a flush of the disk.
        durable::sync_file_system(&self.path).map_err(|e| self.noted(e))?;
        Ok(swept)
    }

    /// Where an object lies.
    #[must_use]
    pub fn object_path(&self, kind: Kind, id: &[u8; 32]) -> PathBuf {
        let name = hex(id);
        let folder = self.path.join(kind.folder());
        if kind == Kind::Pack { folder.join(&name[..2]).join(name) } else { folder.join(name) }
    }

    pub(crate) fn open_object(&self, kind: Kind, id: &[u8; 32]) -> Result<(File, u64), StoreError> {
        self.check_kept(kind)?;
        let path = self.object_path(kind, id);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                return Err(StoreError::NotFound { kind, id: *id });
            }
            Err(Errno::LOOP) => {
                return Err(StoreError::Damaged { kind, id: *id, reason: "it is a link".into() });
            }
            Err(e) => return Err(StoreError::io("opened", &path, e)),
        };
        let meta = file.metadata().map_err(|e| StoreError::io("read", &path, e))?;
        if !meta.is_file() {
            return Err(StoreError::Damaged { kind, id: *id, reason: "it is not a file".into() });
        }
        Ok((file, meta.len()))
    }

    /// Begins a file in a folder of this repository.
    pub(crate) fn draft(&self, folder: &Path) -> Result<Draft, StoreError> {
        self.check_writing()?;
        let own = &self.shared.own;
        match Draft::create_as(folder, FILE_MODE, own) {
            // A folder that an older or foreign writer did not make.
            Err(StoreError::Io { action: "opened", source, .. })
                if source.kind() == std::io::ErrorKind::NotFound && self.path.is_dir() =>
            {
                make_directory(folder, DIRECTORY_MODE)?;
                Draft::create_as(folder, FILE_MODE, own)
            }
            other => other,
        }
    }

    pub(crate) fn publish(
        &self,
        draft: Draft,
        name: &str,
        taken: Taken,
    ) -> Result<PutOutcome, StoreError> {
        match draft.publish(name, taken) {
            Ok(true) => Ok(PutOutcome::Created),
            Ok(false) => Ok(PutOutcome::AlreadyThere),
            Err(error) => Err(self.noted(error)),
        }
    }

    /// The folder of a pack, its name durable.
    pub(crate) fn pack_folder(&self, id: &[u8; 32]) -> Result<PathBuf, StoreError> {
        let path = self.object_path(Kind::Pack, id);
        let folder = path.parent().unwrap_or(&self.path).to_owned();
        let known = |set: &Mutex<HashSet<u8>>| {
            set.lock().unwrap_or_else(PoisonError::into_inner).contains(&id[0])
        };
        if !known(&self.shared.prefixes) {
            self.check_writing()?;
            make_directory(&self.path.join(Kind::Pack.folder()), DIRECTORY_MODE)
                .map_err(|e| self.noted(e))?;
            make_directory(&folder, DIRECTORY_MODE).map_err(|e| self.noted(e))?;
            self.shared.prefixes.lock().unwrap_or_else(PoisonError::into_inner).insert(id[0]);
        }
        Ok(folder)
    }

    /// Makes a folder of this repository that older versions did not have.
    pub(crate) fn make_folder(&self, name: &str) -> Result<(), StoreError> {
        make_directory(&self.path.join(name), DIRECTORY_MODE).map_err(|e| self.noted(e))
    }

    /// Makes the names in a folder durable: another writer may not have come that far yet.
    pub(crate) fn synced(&self, folder: &Path) -> Result<(), StoreError> {
        self.check_writing()?;
        sync_directory(folder).map_err(|e| self.noted(e))
    }

    pub(crate) fn check_writing(&self) -> Result<(), StoreError> {
        if self.shared.stopped.load(Ordering::SeqCst) {
            let reason = "a sync failed before: check the disk, then restart".to_owned();
            return Err(StoreError::Stopped { path: self.path.clone(), reason });
        }
        Ok(())
    }

    /// Remembers that a sync failed.
    pub(crate) fn noted(&self, error: StoreError) -> StoreError {
        if matches!(error, StoreError::Unsynced { .. }) {
            self.shared.stopped.store(true, Ordering::SeqCst);
        }
        error
    }

    fn check_kept(&self, kind: Kind) -> Result<(), StoreError> {
        if Kind::REPOSITORY.contains(&kind) { Ok(()) } else { Err(StoreError::NotKept { kind }) }
    }

    fn check_small(&self, kind: Kind) -> Result<(), StoreError> {
        if kind == Kind::Pack {
            return Err(StoreError::NotKept { kind });
        }
        self.check_kept(kind)
    }
}

/// Names in a directory that are UTF-8; none if there is no such directory.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(StoreError::io("read", path, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| StoreError::io("read", path, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The ids that the names in a directory spell, ascending.
pub(crate) fn ids(path: &Path) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut ids: Vec<[u8; 32]> = names(path)?.iter().filter_map(|name| parse(name)).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// The id that a file name spells.
fn parse(name: &str) -> Option<[u8; 32]> {
    name.parse::<lumbung_model::PackId>().ok().map(|id| *id.as_bytes())
}
