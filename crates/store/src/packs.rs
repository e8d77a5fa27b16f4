//! Packs of a repository in a directory: written as a checked stream, read by range, repaired by rewriting.
//!
//! Invariants: a pack gets its name only after every frame matched its table; a repair never loses a
//! good frame, because the file is replaced as a whole by one that holds it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use lumbung_model::PackId;
use lumbung_pack::limits::{FRAME_ENTRY_BYTES, PACK_FIXED_BYTES, PACK_MAX_BYTES, PACK_MAX_FRAMES};
use lumbung_pack::{Kind, PackTable};

use crate::durable::{Draft, Taken};
use crate::error::hex;
use crate::{PackChecker, PackFault, PutOutcome, RepositoryDir, StoreError};

/// A pack that is open for reading; goes on reading the same bytes while the pack is being repaired.
#[derive(Debug)]
pub struct PackFile {
    id: PackId,
    file: File,
    length: u64,
    path: PathBuf,
}

impl PackFile {
    /// Bytes in the file.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Reads `length` bytes at `offset`.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the file does not have them.
    pub fn read_range(&self, offset: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.check_range(offset, length)?;
        let mut bytes = vec![0; length];
        self.fill(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`StoreError::Range`] if the file does not have so many.
    pub fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.check_range(offset, bytes.len())?;
        self.fill(offset, bytes)
    }

    /// Tells the operating system that all of it will be read soon, so that the disk works meanwhile. Where that
    /// means nothing, reading is merely slower.
    pub fn will_be_read(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::WillNeed);
    }

    /// Tells the operating system to forget what it keeps of the file in memory, so that it is read from the disk.
    pub fn forget_cached(&self) {
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn check_range(&self, offset: u64, length: usize) -> Result<(), StoreError> {
        let wanted = length as u64;
        if length > PACK_MAX_BYTES || offset.checked_add(wanted).is_none_or(|end| end > self.length)
        {
            return Err(StoreError::Range {
                id: *self.id.as_bytes(),
                length: self.length,
                offset,
                wanted,
            });
        }
        Ok(())
    }

    fn fill(&self, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact_at(bytes, offset).map_err(|e| StoreError::io("read", &self.path, e))
    }

    /// Reads header and table, checked against the id.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if they do not match it.
    pub fn head(&self) -> Result<PackTable, StoreError> {
        let damaged = |reason: String| damaged(&self.id, reason);
        let short = |_| damaged("it is shorter than its header and table".into());
        let fixed = self.read_range(0, PACK_FIXED_BYTES).map_err(short)?;
        let length = PackTable::head_length(&fixed).map_err(|e| damaged(e.to_string()))?;
        if length > PACK_FIXED_BYTES + FRAME_ENTRY_BYTES * PACK_MAX_FRAMES {
            return Err(damaged("its table is longer than any pack's".into()));
        }
        let head = self.read_range(0, length).map_err(short)?;
        decode_head(self.id.as_bytes(), &head)
    }

    /// Reads a frame and checks it against the table.
    ///
    /// # Errors
    /// [`StoreError::Frame`] or [`StoreError::Range`] if it is not what the table says.
    pub fn read_frame(&self, table: &PackTable, frame: usize) -> Result<Vec<u8>, StoreError> {
        let bytes = self.read_unchecked(table, frame)?;
        let id = *self.id.as_bytes();
        table.verify_frame(frame, &bytes).map_err(|source| StoreError::Frame {
            id,
            frame,
            source,
        })?;
        Ok(bytes)
    }

    /// The bytes where a frame lies, whatever they are.
    pub(crate) fn read_unchecked(
        &self,
        table: &PackTable,
        frame: usize,
    ) -> Result<Vec<u8>, StoreError> {
        let length = table.frames[frame].stored_length as usize;
        self.read_range(table.frame_range(frame).start, length)
    }
}

/// Whether `table` is that pack's, and these are frames of it.
///
/// # Errors
/// [`StoreError::Damaged`], or [`StoreError::Frame`] for the first frame that is not.
pub fn check_frames(
    id: &PackId,
    table: &PackTable,
    frames: &[(usize, &[u8])],
) -> Result<(), StoreError> {
    if table.id() != *id {
        return Err(damaged(id, "the table at hand belongs to another pack".into()));
    }
    frames.iter().try_for_each(|(frame, bytes)| {
        let (id, frame) = (*id.as_bytes(), *frame);
        table.verify_frame(frame, bytes).map_err(|source| StoreError::Frame { id, frame, source })
    })
}

/// Decodes the head that `bytes` begin with and checks it against the pack's id.
///
/// # Errors
/// [`StoreError::Damaged`] if they do not match.
pub fn decode_head(id: &[u8; 32], bytes: &[u8]) -> Result<PackTable, StoreError> {
    let id = PackId::from_bytes(*id);
    let fixed = bytes
        .get(..PACK_FIXED_BYTES)
        .ok_or_else(|| damaged(&id, "it is shorter than a header".into()))?;
    let length = PackTable::head_length(fixed).map_err(|e| damaged(&id, e.to_string()))?;
    let head =
        bytes.get(..length).ok_or_else(|| damaged(&id, "it is shorter than its table".into()))?;
    let found = PackId::from_bytes(lumbung_pack::object_id(head));
    if found != id {
        return Err(damaged(&id, format!("its header and table hash to {found}")));
    }
    PackTable::decode(head).map_err(|e| damaged(&id, e.to_string()))
}

pub(crate) fn damaged(id: &PackId, reason: String) -> StoreError {
    StoreError::Damaged { kind: Kind::Pack, id: *id.as_bytes(), reason }
}

/// Writes a pack as its bytes arrive. Dropping it without [`PackWriter::finish`] leaves nothing.
#[derive(Debug)]
pub struct PackWriter {
    repository: RepositoryDir,
    id: PackId,
    checker: PackChecker,
    draft: Draft,
}

impl PackWriter {
    /// Takes the next bytes: checked first, then written.
    ///
    /// # Errors
    /// [`StoreError::Pack`] if they cannot belong to this pack; [`StoreError::Full`] if there is no space.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let refused = |fault| StoreError::Pack { id: *self.id.as_bytes(), fault };
        self.checker.push(bytes).map_err(refused)?;
        self.draft.write(bytes)
    }

    /// The table, once the head has arrived and matched the id: the time to refuse a pack for other reasons.
    #[must_use]
    pub const fn table(&self) -> Option<&PackTable> {
        self.checker.table()
    }

    /// Gives the pack its name, if all of it arrived. A pack of that name that is here stays.
    ///
    /// # Errors
    /// [`StoreError::Pack`] if bytes are missing.
    pub fn finish(self) -> Result<PutOutcome, StoreError> {
        self.finish_as(Taken::Keep).map(|(outcome, _)| outcome)
    }

    /// As [`PackWriter::finish`], but takes the place of a pack of that name, which is known to be damaged.
    ///
    /// # Errors
    /// [`StoreError::Pack`] if bytes are missing.
    pub fn finish_over(self) -> Result<PutOutcome, StoreError> {
        self.finish_as(Taken::Replace).map(|(outcome, _)| outcome)
    }

    fn finish_as(self, taken: Taken) -> Result<(PutOutcome, PackTable), StoreError> {
        let Self { repository, id, checker, draft } = self;
        let refused = |fault: PackFault| StoreError::Pack { id: *id.as_bytes(), fault };
        let table = checker.finish().map_err(refused)?;
        let outcome = repository.publish(draft, &hex(id.as_bytes()), taken)?;
        if outcome == PutOutcome::Created {
            // All of it is here now.
            repository.forget_presence(&id)?;
        }
        Ok((outcome, table))
    }
}

impl RepositoryDir {
    /// Begins to receive a pack.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn pack_writer(&self, id: &PackId) -> Result<PackWriter, StoreError> {
        let folder = self.pack_folder(id.as_bytes())?;
        let draft = self.draft(&folder)?;
        Ok(PackWriter { repository: self.clone(), id: *id, checker: PackChecker::new(*id), draft })
    }

    /// Opens a pack for reading.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn open_pack(&self, id: &PackId) -> Result<PackFile, StoreError> {
        let (file, length) = self.open_object(Kind::Pack, id.as_bytes())?;
        let path = self.object_path(Kind::Pack, id.as_bytes());
        Ok(PackFile { id: *id, file, length, path })
    }

    /// Header and table of a pack, checked against its id.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`].
    pub fn pack_head(&self, id: &PackId) -> Result<PackTable, StoreError> {
        self.open_pack(id)?.head()
    }

    /// Length of a pack's file.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn pack_len(&self, id: &PackId) -> Result<u64, StoreError> {
        self.object_len(Kind::Pack, id.as_bytes())
    }

    /// Some bytes of a pack, as they are in the file.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Range`].
    pub fn read_range(
        &self,
        id: &PackId,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, StoreError> {
        self.open_pack(id)?.read_range(offset, length)
    }

    /// A frame of a pack, checked against the table.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Frame`], [`StoreError::Range`].
    pub fn read_frame(
        &self,
        id: &PackId,
        table: &PackTable,
        frame: usize,
    ) -> Result<Vec<u8>, StoreError> {
        self.open_pack(id)?.read_frame(table, frame)
    }

    /// Makes the names around a pack durable, for who finds it already there.
    ///
    /// # Errors
    /// [`StoreError::Unsynced`].
    pub fn sync_pack_folder(&self, id: &PackId) -> Result<(), StoreError> {
        let folder = self.pack_folder(id.as_bytes())?;
        self.synced(&folder)
    }

    /// Puts a good frame in the place of a bad one: the whole pack is written anew and takes the old one's place.
    ///
    /// # Errors
    /// [`StoreError::Frame`] if `good` is not the frame that the table names.
    pub fn repair_frame(
        &self,
        id: &PackId,
        table: &PackTable,
        frame: usize,
        good: &[u8],
    ) -> Result<(), StoreError> {
        self.repair_frames(id, table, &[(frame, good)])
    }

    /// As [`RepositoryDir::repair_frame`] for several frames at once. Header and table are written from `table`,
    /// so a file that was cut short comes back to its full length.
    ///
    /// # Errors
    /// [`StoreError::Frame`] if one is not the frame that the table names; [`StoreError::Damaged`] if `table`
    /// is not this pack's.
    pub fn repair_frames(
        &self,
        id: &PackId,
        table: &PackTable,
        good: &[(usize, &[u8])],
    ) -> Result<(), StoreError> {
        check_frames(id, table, good)?;
        let old = self.open_pack(id)?;
        let mut present = self.presence(id, table)?;
        let mut draft = self.draft(&self.pack_folder(id.as_bytes())?)?;
        draft.write(&table.encode())?;
        for frame in 0..table.frames.len() {
            if let Some((_, bytes)) = good.iter().find(|(number, _)| *number == frame) {
                draft.write(bytes)?;
                continue;
            }
            let number = u32::try_from(frame).unwrap_or(u32::MAX);
            if let Some(present) = present.as_mut().filter(|present| !present.get(number)) {
                // A map may be older than the file: what is good stays.
                match old.read_frame(table, frame) {
                    Ok(bytes) => {
                        present.set(number);
                        draft.write(&bytes)?;
                    }
                    Err(_) => draft.skip(u64::from(table.frames[frame].stored_length))?,
                }
                continue;
            }
            // A frame that stays bad keeps the bytes it has, if it has any: a later repair may come by another way.
            let nothing = || vec![0; table.frames[frame].stored_length as usize];
            match old.read_unchecked(table, frame) {
                Ok(bytes) => draft.write(&bytes)?,
                Err(StoreError::Range { .. }) => draft.write(&nothing())?,
                Err(error) if error.is_bad_sector() => draft.write(&nothing())?,
                Err(error) => return Err(error),
            }
        }
        self.publish(draft, &hex(id.as_bytes()), Taken::Replace)?;
        let Some(mut present) = present else { return self.forget_presence(id) };
        good.iter().for_each(|(frame, _)| present.set(u32::try_from(*frame).unwrap_or(u32::MAX)));
        self.set_presence(id, &present)
    }
}
