//! Frames that were dropped from a pack: holes in its file, and the map that says which (`docs/format.md` §20).
//!
//! Invariants: offsets always mean the pack's own table. The map is durable before a frame is taken away, and a
//! frame is durable before the map says that it is there: a crash in between leaves a map that says too little,
//! never too much. A pack without a map is whole.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, Kind, PackTable};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::directory::{FILE_MODE, PRESENCE};
use crate::durable::{self, Draft, Taken, calls};
use crate::error::hex;
use crate::{PackFile, PutOutcome, RepositoryDir, StoreError};

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

/// What lies where the map of a pack should be.
enum Map {
    /// Nothing: the pack is whole.
    None,
    Read(Bitmap),
    Damaged,
}

impl RepositoryDir {
    fn presence_path(&self, id: &PackId) -> PathBuf {
        self.path().join(PRESENCE).join(hex(id.as_bytes()))
    }

    /// Which frames of a pack are here; nothing where all are. Where the map is damaged, or the medium does not give
    /// it any more, the pack's own bytes say it: what is a hole was dropped, and anything else is here, good or
    /// damaged.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if the map cannot be read and the pack is not here.
    pub fn presence(&self, id: &PackId, table: &PackTable) -> Result<Option<Bitmap>, StoreError> {
        let present = match self.read_presence(id, table.frame_count())? {
            Map::None => return Ok(None),
            Map::Read(present) => present,
            Map::Damaged => self.without_holes(id, table)?,
        };
        Ok((!present.is_full()).then_some(present))
    }

    /// Brings a map in line with the pack's own bytes: one that cannot be read is written anew; with `counted`, the frames
    /// that the caller takes for here, those of them that the map lacks and that are good enter it, and others that the map
    /// claims and that are not good leave it. Gives what [`RepositoryDir::presence`] gives from then on. The caller sees to
    /// it that nobody else changes this pack meanwhile.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] if frames have to be looked at and the pack is not here.
    pub fn mend_presence(
        &self,
        id: &PackId,
        table: &PackTable,
        counted: Option<&Bitmap>,
    ) -> Result<Option<Bitmap>, StoreError> {
        let (before, damaged) = match self.read_presence(id, table.frame_count())? {
            Map::None => (table.all_frames(), false),
            Map::Read(present) => (present, false),
            Map::Damaged => (self.without_holes(id, table)?, true),
        };
        let mut present = before.clone();
        if let Some(counted) = counted {
            let lacking = counted.minus(&before);
            present = present.or(&self.good_among(id, table, &lacking)?);
            let claimed = before.minus(counted);
            present = present.minus(&claimed.minus(&self.good_among(id, table, &claimed)?));
        }
        if damaged || present != before {
            self.set_presence(id, &present)?;
        }
        Ok((!present.is_full()).then_some(present))
    }

    /// Those of these frames that are as the table says.
    fn good_among(
        &self,
        id: &PackId,
        table: &PackTable,
        frames: &Bitmap,
    ) -> Result<Bitmap, StoreError> {
        let mut good = table.no_frames();
        if frames.is_empty() {
            return Ok(good);
        }
        let pack = self.open_pack(id)?;
        for frame in frames.iter_ones() {
            match pack.read_frame(table, frame as usize) {
                Ok(_) => good.set(frame),
                Err(StoreError::Frame { .. } | StoreError::Range { .. }) => {}
                Err(error) if error.is_bad_sector() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(good)
    }

    fn read_presence(&self, id: &PackId, frames: u32) -> Result<Map, StoreError> {
        let path = self.presence_path(id);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(decode_presence(id, frames, &bytes).map_or(Map::Damaged, Map::Read)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Map::None),
            Err(e) => match StoreError::io("read", &path, e) {
                error if error.is_bad_sector() => Ok(Map::Damaged),
                error => Err(error),
            },
        }
    }

    /// The frames of a pack that are no holes in its file. Stored frames are encrypted: none of them is all zeros.
    fn without_holes(&self, id: &PackId, table: &PackTable) -> Result<Bitmap, StoreError> {
        let pack = self.open_pack(id)?;
        let mut holes = table.no_frames();
        for frame in 0..table.frames.len() {
            match pack.read_unchecked(table, frame) {
                Ok(bytes) if bytes.iter().all(|byte| *byte == 0) => {
                    holes.set(u32::try_from(frame).unwrap_or(u32::MAX));
                }
                Ok(_) | Err(StoreError::Range { .. }) => {}
                Err(error) if error.is_bad_sector() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(table.all_frames().minus(&holes))
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
        let before = self.presence(id, table)?.unwrap_or_else(|| table.all_frames());
        let left = before.minus(dropped);
        self.write_presence(id, &left)?;
        let path = self.object_path(Kind::Pack, id.as_bytes());
        for hole in runs(table, dropped) {
            let Err(e) = calls::punch(&path, &file, hole.start, hole.end - hole.start) else {
                continue;
            };
            return match Errno::from_io_error(&e) {
                Some(Errno::OPNOTSUPP | Errno::NOSYS) => self.rewrite(id, table, left, dropped),
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
    fn rewrite(
        &self,
        id: &PackId,
        table: &PackTable,
        left: Bitmap,
        dropped: &Bitmap,
    ) -> Result<(), StoreError> {
        let old = Old { file: self.open_pack(id)?, left, dropped: dropped.clone() };
        let mut new = SparseDraft::begin(self, id, table)?;
        old.carry_over(table, 0..table.frames.len(), &mut new)?;
        new.publish(self, id, Taken::Replace).map(|_| ())
    }

    /// Begins to take some frames of a pack: of one that is not here, or those that were dropped or are damaged in one that
    /// is.
    ///
    /// Only holes are filled where the file lies. Where a frame comes that the map calls here, where the head is damaged or
    /// the file cut short, another file is written with what there is of it: bytes that nobody can read are not written over,
    /// a sweep that comes in between takes nothing away that came, and a file does not have its length back before anybody
    /// knows what its middle lacks.
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
            Ok(file) => {
                let present = self.presence(id, table)?.unwrap_or_else(|| table.all_frames());
                let old = self.open_pack(id)?;
                if old.length() == table.total_length() && old.head().is_ok() {
                    Target::Filled { file, present }
                } else {
                    self.anew(id, table, (file, old), present, &table.no_frames(), 0)?
                }
            }
            Err(StoreError::NotFound { .. }) => Target::New(SparseDraft::begin(self, id, table)?),
            Err(error) => return Err(error),
        };
        Ok(PartialPackWriter {
            repository: self.clone(),
            id: *id,
            table: table.clone(),
            came: table.no_frames(),
            next: 0,
            target,
        })
    }

    fn anew(
        &self,
        id: &PackId,
        table: &PackTable,
        (file, old): (File, PackFile),
        present: Bitmap,
        came: &Bitmap,
        next: usize,
    ) -> Result<Target, StoreError> {
        let mut draft = SparseDraft::begin(self, id, table)?;
        let old = Old { file: old, left: present.or(came), dropped: table.no_frames() };
        old.carry_over(table, 0..next, &mut draft)?;
        Ok(Target::Anew { file, old, present, draft })
    }
}

/// The frames of which a file of so many bytes does not have all.
fn beyond(table: &PackTable, length: u64) -> Bitmap {
    let mut beyond = table.no_frames();
    for frame in 0..beyond.bits() {
        if table.frame_range(frame as usize).end > length {
            beyond.set(frame);
        }
    }
    beyond
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
    Filled { file: File, present: Bitmap },
    /// The pack is here: what is left of it and what comes is written anew, and takes its place at the end.
    Anew { file: File, old: Old, present: Bitmap, draft: SparseDraft },
}

/// What is carried over from an old file to a new one.
#[derive(Debug)]
struct Old {
    file: PackFile,
    /// Frames that the map calls here: their bytes come along, good or damaged. Of the others, what is good does, since a
    /// map may say too little.
    left: Bitmap,
    /// Frames that do not come along.
    dropped: Bitmap,
}

impl Old {
    /// Writes those of some consecutive frames that come along. What cannot be read stays damaged.
    fn carry_over(
        &self,
        table: &PackTable,
        frames: std::ops::Range<usize>,
        draft: &mut SparseDraft,
    ) -> Result<(), StoreError> {
        for frame in frames {
            let number = u32::try_from(frame).unwrap_or(u32::MAX);
            if self.dropped.get(number) {
                continue;
            }
            let read = if self.left.get(number) {
                self.file.read_unchecked(table, frame)
            } else {
                self.file.read_frame(table, frame)
            };
            match read {
                Ok(bytes) => draft.place(table.frame_range(frame).start, &bytes)?,
                Err(StoreError::Frame { .. } | StoreError::Range { .. }) => {}
                Err(error) if error.is_bad_sector() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Takes some frames of a pack, in ascending order. Until [`PartialPackWriter::finish`] nothing of it counts.
#[derive(Debug)]
pub struct PartialPackWriter {
    repository: RepositoryDir,
    id: PackId,
    table: PackTable,
    came: Bitmap,
    /// The frame after the last one that came.
    next: usize,
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
        if frame < self.next {
            return Err(refused(lumbung_pack::FormatError::Frame(frame)));
        }
        let offset = self.table.frame_range(frame).start;
        if matches!(&self.target, Target::Filled { present, .. } if present.get(number)) {
            self.begin_anew()?;
        }
        let path = self.path();
        match &mut self.target {
            Target::New(draft) => draft.place(offset, bytes)?,
            Target::Filled { file, .. } => {
                calls::write_at(&path, file, bytes, offset)
                    .map_err(|e| StoreError::io("written", &path, e))?;
            }
            Target::Anew { old, draft, .. } => {
                old.carry_over(&self.table, self.next..frame, draft)?;
                draft.place(offset, bytes)?;
            }
        }
        self.came.set(number);
        self.next = frame + 1;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.repository.object_path(Kind::Pack, self.id.as_bytes())
    }

    /// Goes on in another file, with what came into the holes of this one.
    fn begin_anew(&mut self) -> Result<(), StoreError> {
        let Target::Filled { file, .. } = &self.target else { return Ok(()) };
        let path = self.path();
        let file = file.try_clone().map_err(|e| StoreError::io("opened", &path, e))?;
        let (old, present) = (self.repository.open_pack(&self.id)?, self.present()?);
        is_in_place(&self.id, &path, &file)?;
        let Self { repository, id, table, came, next, .. } = &*self;
        self.target = repository.anew(id, table, (file, old), present, came, *next)?;
        Ok(())
    }

    /// Of the frames that should be here, by the pack's map or because they are `counted` on, those of which there are no
    /// bytes. Unless they came, they are damaged from the end on: whoever keeps a list of what is damaged enters them
    /// before. The caller sees to it that nobody else changes this pack from here to the end.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if somebody did, since this writer began.
    pub fn lost(&self, counted: &Bitmap) -> Result<Bitmap, StoreError> {
        let present = self.unchanged()?;
        let length = match &self.target {
            Target::New(_) => return Ok(counted.clone()),
            Target::Filled { .. } => self.table.total_length(),
            Target::Anew { old, .. } => old.file.length(),
        };
        let lacking = counted.minus(&present);
        let lacking =
            lacking.minus(&self.repository.good_among(&self.id, &self.table, &lacking)?);
        Ok(lacking.or(&present.and(&beyond(&self.table, length))))
    }

    fn present(&self) -> Result<Bitmap, StoreError> {
        let present = self.repository.presence(&self.id, &self.table)?;
        Ok(present.unwrap_or_else(|| self.table.all_frames()))
    }

    /// The frames that are here by the map, none where the pack is not, if the file is the one that it was and has nothing
    /// that this writer leaves out.
    fn unchanged(&self) -> Result<Bitmap, StoreError> {
        let (path, changed) = (self.path(), StoreError::Changed { id: *self.id.as_bytes() });
        let (file, before) = match &self.target {
            Target::New(_) if std::fs::symlink_metadata(&path).is_ok() => return Err(changed),
            Target::New(_) => return Ok(self.table.no_frames()),
            Target::Filled { file, .. } => (file, None),
            Target::Anew { file, present, .. } => (file, Some(present)),
        };
        let present = self.present()?;
        is_in_place(&self.id, &path, file)?;
        if before.is_some_and(|before| !present.minus(before).minus(&self.came).is_empty()) {
            return Err(changed);
        }
        Ok(present)
    }

    /// The frames count from now on, and those in `lost` as damaged. Says which frames of the pack are here. The caller sees
    /// to it that nobody else changes this pack meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if somebody else did, since this writer began: the frames must be sent again.
    pub fn finish(self, lost: &Bitmap) -> Result<Bitmap, StoreError> {
        let path = self.path();
        let present = self.unchanged()?.or(&self.came).or(lost);
        let Self { repository, id, table, next, target, .. } = self;
        match target {
            Target::New(draft) => {
                repository.write_presence(&id, &present)?;
                draft.publish(&repository, &id, Taken::Keep)?;
            }
            Target::Filled { file, .. } => {
                calls::sync_file(&path, &file).map_err(|e| StoreError::io("synced", &path, e))?;
            }
            Target::Anew { old, mut draft, .. } => {
                old.carry_over(&table, next..table.frames.len(), &mut draft)?;
                draft.publish(&repository, &id, Taken::Replace)?;
            }
        }
        repository.set_presence(&id, &present)?;
        Ok(present)
    }
}

/// Whether an open file is still the one of that name.
fn is_in_place(id: &PackId, path: &Path, file: &File) -> Result<(), StoreError> {
    let own = file.metadata().map_err(|e| StoreError::io("read", path, e))?;
    let here = std::fs::symlink_metadata(path).ok();
    if here.is_some_and(|here| (here.dev(), here.ino()) == (own.dev(), own.ino())) {
        return Ok(());
    }
    Err(StoreError::Changed { id: *id.as_bytes() })
}
