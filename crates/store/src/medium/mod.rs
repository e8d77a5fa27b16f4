//! A portable medium: a directory, mostly the top of a removable disk, that holds repositories and signed lists.
//!
//! ```text
//! lumbung-medium.txt               the medium's id and label, and what a finder should know
//! lists/<id>                       signed lists, `docs/format.md` §15
//! repositories/<repository id>/…   repositories, each as in `docs/format.md` §3
//! ```
//!
//! Invariants: whatever else lies on the disk is left alone; nothing is written to a directory that holds
//! repositories and is no medium (a vault's data); no link is followed; names that are not ours are ignored;
//! what is read is capped. What stands on a medium is anybody's word until it was checked.

mod lists;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use lumbung_model::{MediumId, MediumListId, RepositoryId};
use lumbung_pack::Kind;
use lumbung_pack::limits::MEDIUM_LIST_MAX_BYTES;
use rustix::fs::{CWD, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

pub use lists::{
    KnownList, ListBrief, MEDIUM_KINDS, MediumLists, list_what_is_there, read_list_file, read_lists,
};

use crate::directory::{PRESENCE, names};
use crate::durable::{create_file, make_directory};
use crate::error::hex;
use crate::{RepositoryDir, StoreError};

const MARKER: &str = "lumbung-medium.txt";
const TITLE: &str = "LUMBUNG MEDIUM 1";
const REPOSITORIES: &str = "repositories";
const LISTS: &str = "lists";
/// More than any marker has.
const MARKER_MAX_BYTES: u64 = 16 << 10;
/// More lists than a medium gets in its life; caps what a hostile one makes us read.
const MAX_LISTS: usize = 100_000;
const MODE: u32 = 0o750;

/// A medium at hand.
#[derive(Debug)]
pub struct MediumDir {
    path: PathBuf,
    id: MediumId,
    label: String,
    lock: Option<File>,
}

/// What a file system has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes free.
    pub free: u64,
    /// Files take multiples of this.
    pub block: u64,
}

impl Space {
    /// Of the file system that holds `path`.
    ///
    /// # Errors
    /// If it does not say.
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        let stat = rustix::fs::statvfs(path).map_err(|e| StoreError::io("read", path, e))?;
        let block = stat.f_frsize.max(1);
        Ok(Self { free: stat.f_bavail.saturating_mul(block), block })
    }

    /// What a file of so many bytes takes.
    #[must_use]
    pub const fn taken_by(&self, bytes: u64) -> u64 {
        bytes.div_ceil(self.block).saturating_mul(self.block)
    }
}

impl MediumDir {
    /// Opens a medium.
    ///
    /// # Errors
    /// [`StoreError::NotAMedium`] if it is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let no_medium =
            |reason: &str| StoreError::NotAMedium { path: path.clone(), reason: reason.to_owned() };
        let Some(file) = open_plain(&path.join(MARKER))? else {
            return Err(no_medium(
                "it has no file lumbung-medium.txt; `lumbung media export` makes a medium of an empty folder",
            ));
        };
        let mut text = String::new();
        file.take(MARKER_MAX_BYTES)
            .read_to_string(&mut text)
            .map_err(|e| StoreError::io("read", &path.join(MARKER), e))?;
        let (id, label) = parse_marker(&text)
            .ok_or_else(|| no_medium("its file lumbung-medium.txt is damaged"))?;
        check_folder(&path.join(REPOSITORIES))?;
        check_folder(&path.join(LISTS))?;
        Ok(Self { path, id, label, lock: None })
    }

    /// Opens a medium, or makes one of a directory that holds no repositories; `label` is what is written on it.
    ///
    /// # Errors
    /// [`StoreError::NotAMedium`] if something else of this system lies there.
    pub fn create(path: impl Into<PathBuf>, label: &str) -> Result<Self, StoreError> {
        let path = path.into();
        if Self::is_at(&path) {
            return Self::open(path);
        }
        let taken = [Kind::Roster.folder(), REPOSITORIES, LISTS, "index.sqlite"];
        if let Some(found) =
            taken.into_iter().find(|name| path.join(name).symlink_metadata().is_ok())
        {
            let reason = format!(
                "it holds `{found}`, as a repository or a vault does; choose another folder"
            );
            return Err(StoreError::NotAMedium { path, reason });
        }
        make_directory(&path, MODE)?;
        let id = MediumId::random();
        let text = marker(&id, label);
        match create_file(&path.join(MARKER), text.as_bytes(), 0o640) {
            // Somebody else was first: theirs counts.
            Ok(()) | Err(StoreError::Exists { .. }) => Self::open(path),
            Err(error) => Err(error),
        }
    }

    /// Whether a directory says of itself that it is a medium.
    #[must_use]
    pub fn is_at(path: &Path) -> bool {
        path.join(MARKER).symlink_metadata().is_ok()
    }

    /// Keeps every other writer away until this value goes.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if there is one.
    pub fn lock(&mut self) -> Result<(), StoreError> {
        let path = self.path.join(MARKER);
        let file = open_plain(&path)?
            .ok_or_else(|| StoreError::io("locked", &path, std::io::ErrorKind::NotFound))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => self.lock = Some(file),
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Busy { path: self.path.clone() }),
            Err(e) => return Err(StoreError::io("locked", &path, e)),
        }
        Ok(())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its id, by its own word.
    #[must_use]
    pub const fn id(&self) -> MediumId {
        self.id
    }

    /// What is written on it, by its own word.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The repositories on it, ascending.
    ///
    /// # Errors
    /// If its folder cannot be read.
    pub fn repositories(&self) -> Result<Vec<RepositoryId>, StoreError> {
        let found = names(&self.path.join(REPOSITORIES))?;
        let mut ids: Vec<RepositoryId> =
            found.iter().filter_map(|name| name.parse().ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Where a repository lies.
    #[must_use]
    pub fn repository_path(&self, id: &RepositoryId) -> PathBuf {
        self.path.join(REPOSITORIES).join(id.to_string())
    }

    /// A repository on it.
    ///
    /// # Errors
    /// If it is not there, or a folder of it is a link.
    pub fn repository(&self, id: &RepositoryId) -> Result<RepositoryDir, StoreError> {
        let path = self.repository_path(id);
        check_folder(&path)?;
        for kind in Kind::REPOSITORY {
            check_folder(&path.join(kind.folder()))?;
        }
        check_folder(&path.join(PRESENCE))?;
        let packs = path.join(Kind::Pack.folder());
        for prefix in 0..=u8::MAX {
            check_folder(&packs.join(format!("{prefix:02x}")))?;
        }
        RepositoryDir::open(path)
    }

    /// Makes a repository on it, or opens the one that is there.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn create_repository(&self, id: &RepositoryId) -> Result<RepositoryDir, StoreError> {
        make_directory(&self.path.join(REPOSITORIES), MODE)?;
        let made = RepositoryDir::create(self.repository_path(id))?;
        self.repository(id)?;
        Ok(made)
    }

    /// The ids of the lists on it.
    ///
    /// # Errors
    /// If there are more than any medium has.
    pub fn lists(&self) -> Result<Vec<MediumListId>, StoreError> {
        let found = names(&self.path.join(LISTS))?;
        let mut ids: Vec<MediumListId> =
            found.iter().filter_map(|name| name.parse().ok()).collect();
        if ids.len() > MAX_LISTS {
            let reason = format!("it has {} lists", ids.len());
            return Err(StoreError::NotAMedium { path: self.path.clone(), reason });
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// A list's bytes, checked against its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`].
    pub fn list(&self, id: &MediumListId) -> Result<Vec<u8>, StoreError> {
        let path = self.path.join(LISTS).join(id.to_string());
        let kind = Kind::MediumList;
        let id = *id.as_bytes();
        let file = open_plain(&path)?.ok_or(StoreError::NotFound { kind, id })?;
        let mut bytes = Vec::new();
        file.take(MEDIUM_LIST_MAX_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|e| StoreError::io("read", &path, e))?;
        let found = lumbung_pack::object_id(&bytes);
        if found != id {
            let reason = format!("its {} bytes hash to {}", bytes.len(), hex(&found));
            return Err(StoreError::Damaged { kind, id, reason });
        }
        Ok(bytes)
    }

    /// Keeps a list.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn put_list(&self, bytes: &[u8]) -> Result<MediumListId, StoreError> {
        let folder = self.path.join(LISTS);
        make_directory(&folder, MODE)?;
        let id = MediumListId::from_bytes(lumbung_pack::object_id(bytes));
        match create_file(&folder.join(id.to_string()), bytes, 0o640) {
            Ok(()) | Err(StoreError::Exists { .. }) => Ok(id),
            Err(error) => Err(error),
        }
    }

    /// What its file system has left.
    ///
    /// # Errors
    /// If it does not say.
    pub fn space(&self) -> Result<Space, StoreError> {
        Space::of(&self.path)
    }
}

/// Opens a plain file, never a link, a pipe or a device; nothing if it is not there.
fn open_plain(path: &Path) -> Result<Option<File>, StoreError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(e) => return Err(StoreError::io("opened", path, e)),
    };
    let meta = file.metadata().map_err(|e| StoreError::io("read", path, e))?;
    if !meta.is_file() {
        let reason = "it is not a plain file".to_owned();
        return Err(StoreError::NotAMedium { path: path.to_owned(), reason });
    }
    Ok(Some(file))
}

/// What is there must be a folder and no link to one.
fn check_folder(path: &Path) -> Result<(), StoreError> {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => {
            let reason = "it is a link or a file where a folder belongs".to_owned();
            Err(StoreError::NotAMedium { path: path.to_owned(), reason })
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(StoreError::io("read", path, e)),
    }
}

fn marker(id: &MediumId, label: &str) -> String {
    let label: String = label.chars().filter(|c| !c.is_control()).collect();
    format!(
        "{TITLE}\n\
         id {id}\n\
         label {label}\n\
         # Media ini berisi cadangan terenkripsi. Yang menemukannya: mohon serahkan kepada pemilik yang tertulis di labelnya.\n\
         # This medium holds encrypted backups. If you found it, please hand it to the owner named on its label.\n\
         # Restore:  lumbung restore FOLDER latest --key pd.key --target OUT\n\
         # Check:    lumbung media verify FOLDER\n"
    )
}

fn parse_marker(text: &str) -> Option<(MediumId, String)> {
    let mut lines = text.lines();
    if lines.next()?.trim_end() != TITLE {
        return None;
    }
    let id = lines.next()?.strip_prefix("id ")?.trim_end().parse().ok()?;
    let label = lines.next()?.strip_prefix("label")?.trim().to_owned();
    Some((id, label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_is_made_once_and_says_who_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("foto.jpg"), b"bukan urusan kita").unwrap();
        let made = MediumDir::create(dir.path(), "Brankas 1\n\u{7}").unwrap();
        let again = MediumDir::create(dir.path(), "lain").unwrap();
        assert_eq!((again.id(), again.label()), (made.id(), "Brankas 1"));
        assert_eq!(std::fs::read(dir.path().join("foto.jpg")).unwrap(), b"bukan urusan kita");
        assert!(made.repositories().unwrap().is_empty() && made.lists().unwrap().is_empty());
    }

    #[test]
    fn nothing_is_made_where_a_repository_or_a_vault_is() {
        for name in ["rosters", "repositories", "lists", "index.sqlite"] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir(dir.path().join(name)).unwrap();
            let refused = MediumDir::create(dir.path(), "x");
            assert!(matches!(refused, Err(StoreError::NotAMedium { .. })), "{name}");
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
        }
    }

    #[test]
    fn links_are_not_followed() {
        let elsewhere = tempfile::tempdir().unwrap();
        let id = RepositoryId::from_bytes([7; 32]);
        for name in [
            "repositories".to_owned(),
            "lists".into(),
            format!("repositories/{id}"),
            format!("repositories/{id}/packs/ab"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let medium = MediumDir::create(dir.path(), "x").unwrap();
            let path = dir.path().join(&name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
            let refused = MediumDir::open(dir.path()).and_then(|_| medium.repository(&id));
            assert!(matches!(refused, Err(StoreError::NotAMedium { .. })), "{name}");
        }
        let dir = tempfile::tempdir().unwrap();
        let medium = MediumDir::create(dir.path(), "x").unwrap();
        let list = medium.put_list(b"a list").unwrap();
        assert_eq!(medium.list(&list).unwrap(), b"a list");
        let path = dir.path().join("lists").join(list.to_string());
        std::fs::rename(&path, elsewhere.path().join("list")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("list"), &path).unwrap();
        assert!(medium.list(&list).is_err());
    }

    #[test]
    fn one_writer_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut one = MediumDir::create(dir.path(), "x").unwrap();
        let mut two = MediumDir::open(dir.path()).unwrap();
        one.lock().unwrap();
        assert!(matches!(two.lock(), Err(StoreError::Busy { .. })));
        drop(one);
        two.lock().unwrap();
    }
}
