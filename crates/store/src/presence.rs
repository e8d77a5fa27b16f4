//! Frames that were dropped from a pack: holes in its file, and the map that says which (`docs/format.md` §20).
//!
//! Invariants: offsets always mean the pack's own table. The map is durable before a frame is taken away, and a
//! frame is durable before the map says that it is there: a crash in between leaves a map that says too little,
//! never too much. A pack without a map is whole.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, Kind, PackTable};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::directory::{FILE_MODE, PRESENCE};
use crate::durable::{self, Draft, Taken, calls};
use crate::error::hex;
use crate::{PutOutcome, RepositoryDir, StoreError};

const MAGIC: [u8; 4] = *b"LMPR";
const VERSION: u32 = 1;
/// Bytes before the bitmap: magic, version, pack, number of frames.
const FIXED_BYTES: usize = 4 + 4 + 32 + 4;

/// The bytes of a map.
#[must_use]
pub fn encode_presence(pack: &PackId, present: &Bitmap) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(pack.as_bytes());
    bytes.extend_from_slice(&present.bits().to_le_bytes());
    bytes.extend_from_slice(present.as_bytes());
    let hash = lumbung_pack::object_id(&bytes);
    bytes.extend_from_slice(&hash);
    bytes
}

/// Reads a map of `pack` with so many frames; nothing if it is damaged or of another pack.
#[must_use]
pub fn decode_presence(pack: &PackId, frames: u32, bytes: &[u8]) -> Option<Bitmap> {
    let (said, hash) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if lumbung_pack::object_id(said) != hash {
        return None;
    }
    let bitmap = said.get(FIXED_BYTES..)?;
    let present = Bitmap::from_bytes(frames, bitmap).ok()?;
    (encode_presence(pack, &present) == bytes).then_some(present)
}

/// The runs of consecutive frames in a set, as ranges of the file.
fn runs(table: &PackTable, frames: &Bitmap) -> Vec<std::ops::Range<u64>> {
    let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
    for frame in frames.iter_ones() {
        let range = table.frame_range(frame as usize);
        match runs.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => runs.push(range),
        }
    }
    runs
}

/// The set of all frames of a pack.
fn all(table: &PackTable) -> Bitmap {
    Bitmap::full(u32::try_from(table.frames.len()).unwrap_or(u32::MAX))
}

impl RepositoryDir {
    fn presence_path(&self, id: &PackId) -> PathBuf {
        self.path().join(PRESENCE).join(hex(id.as_bytes()))
    }

    /// Which frames of a pack are here; nothing where all are. A map that is damaged, or that the medium does not
    /// give any more, is drawn up again from the frames themselves.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if a map has to be drawn up and the pack is not here.
    pub fn presence(&self, id: &PackId, table: &PackTable) -> Result<Option<Bitmap>, StoreError> {
        let path = self.presence_path(id);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => match StoreError::io("read", &path, e) {
                error if error.is_bad_sector() => Vec::new(),
                error => return Err(error),
            },
        };
        let frames = all(table).bits();
        if let Some(present) = decode_presence(id, frames, &bytes) {
            return Ok((!present.is_full()).then_some(present));
        }
        let pack = self.open_pack(id)?;
        let mut present = Bitmap::new(frames);
        for frame in 0..frames {
            match pack.read_frame(table, frame as usize) {
                Ok(_) => present.set(frame),
                Err(StoreError::Frame { .. } | StoreError::Range { .. }) => {}
                Err(error) if error.is_bad_sector() => {}
                Err(error) => return Err(error),
            }
        }
        self.write_presence(id, &present)?;
        Ok((!present.is_full()).then_some(present))
    }

    /// Ids of the packs that have a map.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list_presence(&self) -> Result<Vec<PackId>, StoreError> {
        crate::directory::ids(&self.path().join(PRESENCE))
            .map(|ids| ids.into_iter().map(PackId::from_bytes).collect())
    }

    fn write_presence(&self, id: &PackId, present: &Bitmap) -> Result<(), StoreError> {
        self.check_writing()?;
        self.make_folder(PRESENCE)?;
        let bytes = encode_presence(id, present);
        durable::replace_file(&self.presence_path(id), &bytes, FILE_MODE).map_err(|e| self.noted(e))
    }

    /// Writes the map, or takes it away where all frames are here.
    pub(crate) fn set_presence(&self, id: &PackId, present: &Bitmap) -> Result<(), StoreError> {
        if present.is_full() { self.forget_presence(id) } else { self.write_presence(id, present) }
    }

    /// The pack is whole: its map goes. A map that stays behind after a crash says too little.
    pub(crate) fn forget_presence(&self, id: &PackId) -> Result<(), StoreError> {
        let path = self.presence_path(id);
        if durable::remove_file(&path)? { self.synced(&self.path().join(PRESENCE)) } else { Ok(()) }
    }

    /// Takes frames away from a pack. Repeating it after a crash is harmless and finishes it. The caller sees to it
    /// that nobody else changes this pack meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the pack is not here.
    pub fn drop_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        dropped: &Bitmap,
    ) -> Result<(), StoreError> {
        let file = self.open_for_change(id)?;
        let before = self.presence(id, table)?.unwrap_or_else(|| all(table));
        let left = before.minus(dropped);
        self.write_presence(id, &left)?;
        let path = self.object_path(Kind::Pack, id.as_bytes());
        for hole in runs(table, dropped) {
            let Err(e) = calls::punch(&path, &file, hole.start, hole.end - hole.start) else {
                continue;
            };
            return match Errno::from_io_error(&e) {
                Some(Errno::OPNOTSUPP | Errno::NOSYS) => self.rewrite(id, table, &left),
                _ => Err(StoreError::io("written", &path, e)),
            };
        }
        calls::sync_file(&path, &file).map_err(|e| StoreError::io("synced", &path, e))
    }

    fn open_for_change(&self, id: &PackId) -> Result<File, StoreError> {
        self.check_writing()?;
        let path = self.object_path(Kind::Pack, id.as_bytes());
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match rustix::fs::openat(CWD, &path, flags, Mode::empty()) {
            Ok(file) => Ok(File::from(file)),
            Err(Errno::NOENT | Errno::NOTDIR) => {
                Err(StoreError::NotFound { kind: Kind::Pack, id: *id.as_bytes() })
            }
            Err(e) => Err(StoreError::io("opened", &path, e)),
        }
    }

    /// Where the file system punches no holes: the file anew, without those frames.
    fn rewrite(&self, id: &PackId, table: &PackTable, left: &Bitmap) -> Result<(), StoreError> {
        let old = self.open_pack(id)?;
        let mut new = SparseDraft::begin(self, id, table)?;
        for frame in left.iter_ones() {
            let range = table.frame_range(frame as usize);
            let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
            new.place(range.start, &old.read_range(range.start, length)?)?;
        }
        new.publish(self, id, Taken::Replace).map(|_| ())
    }

    /// Begins to take some frames of a pack: of one that is not here, or those that were dropped from one that is.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if `table` is not that pack's.
    pub fn partial_pack_writer(
        &self,
        id: &PackId,
        table: &PackTable,
    ) -> Result<PartialPackWriter, StoreError> {
        if table.id() != *id {
            return Err(crate::packs::damaged(id, "the table belongs to another pack".into()));
        }
        let target = match self.open_for_change(id) {
            Ok(file) => Target::Filled(file),
            Err(StoreError::NotFound { .. }) => Target::New(SparseDraft::begin(self, id, table)?),
            Err(error) => return Err(error),
        };
        Ok(PartialPackWriter {
            repository: self.clone(),
            id: *id,
            table: table.clone(),
            came: Bitmap::new(all(table).bits()),
            target,
        })
    }
}

/// A pack's file on its way, with frames left out.
#[derive(Debug)]
struct SparseDraft {
    draft: Draft,
    written: u64,
    /// Bytes that the whole file has.
    length: u64,
}

impl SparseDraft {
    fn begin(
        repository: &RepositoryDir,
        id: &PackId,
        table: &PackTable,
    ) -> Result<Self, StoreError> {
        let mut draft = repository.draft(&repository.pack_folder(id.as_bytes())?)?;
        let head = table.encode();
        draft.write(&head)?;
        Ok(Self { draft, written: head.len() as u64, length: table.total_length() })
    }

    /// Writes at an offset that is not before what was written.
    fn place(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.draft.skip(offset.saturating_sub(self.written))?;
        self.draft.write(bytes)?;
        self.written = offset + bytes.len() as u64;
        Ok(())
    }

    fn publish(
        mut self,
        repository: &RepositoryDir,
        id: &PackId,
        taken: Taken,
    ) -> Result<PutOutcome, StoreError> {
        self.draft.skip(self.length.saturating_sub(self.written))?;
        repository.publish(self.draft, &hex(id.as_bytes()), taken)
    }
}

#[derive(Debug)]
enum Target {
    /// The pack is not here.
    New(SparseDraft),
    /// The pack is here: frames go into its holes, where nobody reads before the map says so.
    Filled(File),
}

/// Takes some frames of a pack, in ascending order. Until [`PartialPackWriter::finish`] nothing of it counts.
#[derive(Debug)]
pub struct PartialPackWriter {
    repository: RepositoryDir,
    id: PackId,
    table: PackTable,
    came: Bitmap,
    target: Target,
}

impl PartialPackWriter {
    /// Takes the next frame; it is checked against the table. Frames that are left out stay away.
    ///
    /// # Errors
    /// [`StoreError::Frame`] if it is not that frame, or does not come after those that were taken.
    pub fn write_frame(&mut self, frame: usize, bytes: &[u8]) -> Result<(), StoreError> {
        let refused = |source| StoreError::Frame { id: *self.id.as_bytes(), frame, source };
        self.table.verify_frame(frame, bytes).map_err(refused)?;
        let number = u32::try_from(frame).unwrap_or(u32::MAX);
        if self.came.iter_ones().last().is_some_and(|last| last >= number) {
            return Err(refused(lumbung_pack::FormatError::Frame(frame)));
        }
        let offset = self.table.frame_range(frame).start;
        match &mut self.target {
            Target::New(draft) => draft.place(offset, bytes)?,
            Target::Filled(file) => {
                let path = self.repository.object_path(Kind::Pack, self.id.as_bytes());
                calls::write_at(&path, file, bytes, offset)
                    .map_err(|e| StoreError::io("written", &path, e))?;
            }
        }
        self.came.set(number);
        Ok(())
    }

    /// The frames count from now on. Says which frames of the pack are here. The caller sees to it that nobody else
    /// changes this pack meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if somebody else did, since this writer began: the frames must be sent again.
    pub fn finish(self) -> Result<Bitmap, StoreError> {
        let Self { repository, id, table, came, target } = self;
        let path = repository.object_path(Kind::Pack, id.as_bytes());
        let here = std::fs::symlink_metadata(&path).ok();
        let changed = || StoreError::Changed { id: *id.as_bytes() };
        let present = match target {
            Target::New(draft) => {
                if here.is_some() {
                    return Err(changed());
                }
                repository.write_presence(&id, &came)?;
                draft.publish(&repository, &id, Taken::Keep)?;
                came
            }
            Target::Filled(file) => {
                calls::sync_file(&path, &file).map_err(|e| StoreError::io("synced", &path, e))?;
                let own = file.metadata().map_err(|e| StoreError::io("read", &path, e))?;
                if here.is_none_or(|here| (here.dev(), here.ino()) != (own.dev(), own.ino())) {
                    return Err(changed());
                }
                repository.presence(&id, &table)?.unwrap_or_else(|| all(&table)).or(&came)
            }
        };
        repository.set_presence(&id, &present)?;
        Ok(present)
    }
}
