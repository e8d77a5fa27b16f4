//! One pack in a pass: read, repaired, and what the index knows of it brought in line.
//!
//! Invariants: only frames that are bad are fetched from another site, outside the gate; under the gate they are
//! looked at once more before anything is written, since somebody may have sent the pack again, or the sweep have
//! dropped a frame. What the sweep dropped is neither read, nor bad, nor fetched; what passes for
//! dropped and is used by a snapshot was lost, and is bad from the end of the pass on.

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, PackTable};
use lumbung_store::{FrameScanner, Scanned, StoreError};

use super::journal::Entry;
use super::pass::{Pass, Verdict, count};
use crate::index::{
    PackRow, add_bad_frames, bad_frames, forget_verified, load_state, save_state, set_bad_frames,
};
use crate::pack_intake::pack_row;
use crate::storage::PackRead;
use crate::{Vault, VaultError};

/// What opening a pack gave.
pub(super) type Opened = Result<Box<dyn PackRead>, StoreError>;

impl Pass<'_> {
    /// Opens a pack and begins to fetch it.
    pub(super) fn open_ahead(&self, id: &PackId) -> Opened {
        let file = self.repository.store.open_pack(id)?;
        file.will_be_read(self.options.from_medium);
        Ok(file)
    }

    /// Reads a pack and repairs what is bad in it; nothing if it was taken away meanwhile.
    pub(super) fn pack(
        &self,
        id: &PackId,
        opened: Opened,
        scanner: &mut FrameScanner,
    ) -> Result<Option<Entry>, VaultError> {
        let (file, head) = match opened {
            Ok(file) => {
                let head = file.head();
                (Some(file), head)
            }
            Err(error) => (None, Err(error)),
        };
        let (table, mut head_bad) = match head {
            Ok(table) => (table, false),
            Err(error) => {
                match Verdict::of(&error) {
                    Verdict::Missing if !self.is_expected(id)? => return Ok(None),
                    Verdict::Missing | Verdict::Damaged => {}
                    Verdict::Withheld => return self.withheld(id, &error).map(Some),
                    Verdict::Failed => return Err(error.into()),
                }
                tracing::warn!(repository = %self.repository.id, %error, "found by the scrub");
                match self.copies.head(&self.repository.id, id).filter(|table| table.id() == *id) {
                    Some(table) => (table, true),
                    None => return self.lose(id).map(Some),
                }
            }
        };
        if let Some(file) = file.as_ref().filter(|_| head_bad) {
            file.take_table(&table)?;
        }
        let absent = match self.absent(id, &table, !self.dry_run) {
            Err(VaultError::Store(error)) if Verdict::of(&error) == Verdict::Withheld => {
                return self.withheld(id, &error).map(Some);
            }
            absent => absent?,
        };
        let mut entry = Entry {
            pack: *id,
            frames: table.frame_count(),
            read: 0,
            bytes: 0,
            repaired: 0,
            bad: Vec::new(),
            absent,
        };
        match &file {
            Some(file) => {
                self.read(file.as_ref(), &table, scanner, &mut entry)?;
                // A pack that lacks frames is as long as the storage likes.
                head_bad |= entry.absent.is_empty() && file.length() != table.total_length();
            }
            None => entry.bad = here(&table, &entry.absent),
        }
        if self.dry_run {
            return Ok(Some(entry));
        }
        if !entry.bad.is_empty() || head_bad {
            self.repair(id, &table, head_bad, &mut entry)?;
        }
        self.conclude(id, &table, &mut entry)?;
        Ok(Some(entry))
    }

    /// Frames that the sweep dropped: they are no damage here, and no snapshot is whole that needs one. What the map
    /// lacks and the index counts on is damage. With `mend`, which takes the pack's lock, the map is brought in line before.
    fn absent(&self, id: &PackId, table: &PackTable, mend: bool) -> Result<Vec<u32>, VaultError> {
        let store = &self.repository.store;
        let counted = || self.vault.counted(self.repository, table);
        let (present, counted) = if mend {
            let _pack = self.repository.pack_lock(id);
            let counted = counted()?;
            (store.mend_presence(id, table, counted.as_ref()), counted)
        } else {
            // The sweep tells the index first: what it dropped by now, the index knows by now.
            (store.presence(id, table), counted()?)
        };
        let present = match present {
            Ok(present) => present.unwrap_or_else(|| table.all_frames()),
            Err(StoreError::NotFound { .. }) => table.all_frames(),
            Err(error) => return Err(error.into()),
        };
        let Some(counted) = counted else {
            return Ok(table.all_frames().minus(&present).iter_ones().collect());
        };
        let mut absent = table.all_frames().minus(&counted);
        // A map that was lost calls everything here; what came a moment ago is.
        let claimed = absent.and(&present);
        if !claimed.is_empty()
            && let Ok(file) = self.repository.store.open_pack(id)
        {
            let mut here = table.no_frames();
            claimed
                .iter_ones()
                .filter(|frame| file.read_frame(table, *frame as usize).is_ok())
                .for_each(|frame| here.set(frame));
            absent = absent.minus(&here);
        }
        Ok(absent.iter_ones().collect())
    }

    fn read(
        &self,
        file: &dyn PackRead,
        table: &PackTable,
        scanner: &mut FrameScanner,
        entry: &mut Entry,
    ) -> Result<(), VaultError> {
        scanner.set_read_bytes(file.read_bytes());
        let frames: Vec<u32> = here(table, &entry.absent);
        let read = |offset: u64, bytes: &mut [u8]| file.read_at(offset, bytes);
        scanner.scan(table, frames.into_iter().map(|frame| frame as usize), read, |frame, found| {
            let length = u64::from(table.frames[frame].stored_length);
            match found {
                Scanned::Whole => {}
                Scanned::Differs => entry.bad.push(count(frame)),
                Scanned::Unread(error) => match Verdict::of(&error) {
                    Verdict::Missing | Verdict::Damaged => entry.bad.push(count(frame)),
                    Verdict::Withheld | Verdict::Failed => return Err(error.into()),
                },
            }
            entry.read += 1;
            entry.bytes += length;
            self.go_on(length)
        })
    }

    /// Fetches good copies of the bad frames and writes the pack anew. What stays bad is left in the entry.
    fn repair(
        &self,
        id: &PackId,
        table: &PackTable,
        head_bad: bool,
        entry: &mut Entry,
    ) -> Result<(), VaultError> {
        let mut good: Vec<(usize, Vec<u8>)> = Vec::new();
        for &frame in &entry.bad {
            let frame = frame as usize;
            let copy = self.copies.frame(&self.repository.id, id, table, frame);
            good.extend(
                copy.filter(|bytes| table.verify_frame(frame, bytes).is_ok())
                    .map(|bytes| (frame, bytes)),
            );
        }
        let store = &self.repository.store;
        let _gate = self.repository.gate();
        let _pack = self.repository.pack_lock(id);
        entry.absent = self.absent(id, table, false)?;
        let file = match store.open_pack(id) {
            Ok(file) => Some(file),
            Err(StoreError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let still_bad = |frame: u32| {
            !entry.absent.contains(&frame)
                && file.as_ref().is_none_or(|file| file.read_frame(table, frame as usize).is_err())
        };
        entry.bad = entry.bad.iter().copied().filter(|frame| still_bad(*frame)).collect();
        good.retain(|(frame, _)| entry.bad.contains(&count(*frame)));
        let slices: Vec<(usize, &[u8])> =
            good.iter().map(|(frame, bytes)| (*frame, bytes.as_slice())).collect();
        match file {
            Some(_) if slices.is_empty() && !head_bad => return Ok(()),
            Some(_) => match store.repair_frames(id, table, &slices) {
                Ok(()) => {}
                // Nobody can say where its frames lie: what is there stays as it is.
                Err(error @ StoreError::Damaged { .. }) => {
                    tracing::warn!(repository = %self.repository.id, %error, "not repaired");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
            // The sweep took the pack away meanwhile.
            None if !self.is_expected(id)? => {
                entry.bad.clear();
                return Ok(());
            }
            // The file is gone: it comes back if all of it does.
            None if slices.len() < here(table, &entry.absent).len() => return Ok(()),
            None => self.write_anew(id, table, &entry.absent, &slices)?,
        }
        entry.bad.retain(|bad| !slices.iter().any(|(frame, _)| count(*frame) == *bad));
        entry.repaired = count(slices.len());
        tracing::info!(
            repository = %self.repository.id, pack = %id, repaired = entry.repaired, left = entry.bad.len(),
            "pack repaired"
        );
        Ok(())
    }

    fn write_anew(
        &self,
        id: &PackId,
        table: &PackTable,
        absent: &[u32],
        frames: &[(usize, &[u8])],
    ) -> Result<(), VaultError> {
        let store = &self.repository.store;
        if !absent.is_empty() {
            let mut writer = store.partial_pack_writer(id, table)?;
            frames.iter().try_for_each(|(frame, bytes)| writer.write_frame(*frame, bytes))?;
            writer.finish(&table.no_frames())?;
            return Ok(());
        }
        let mut writer = store.pack_writer(id)?;
        writer.write(&table.encode())?;
        frames.iter().try_for_each(|(_, bytes)| writer.write(bytes))?;
        writer.finish_over()?;
        Ok(())
    }

    /// Brings the index in line. Nothing is written where it knows it all.
    fn conclude(
        &self,
        id: &PackId,
        table: &PackTable,
        entry: &mut Entry,
    ) -> Result<(), VaultError> {
        let repo = self.repository.row;
        let known = || {
            self.vault
                .index
                .read(|c| Ok((PackRow::find(c, repo, id)?.is_some(), bad_frames(c, repo, id)?)))
        };
        if known()? == (true, entry.bad.clone()) {
            return Ok(());
        }
        let _gate = self.repository.gate();
        let _pack = self.repository.pack_lock(id);
        let (is_known, _) = known()?;
        if !is_known && !self.repository.store.contains(lumbung_pack::Kind::Pack, id.as_bytes())? {
            return Ok(());
        }
        self.enter(id, table, &entry.bad, is_known)?;
        // Who sent the pack again meanwhile was quicker: it is good.
        if let Some(file) =
            self.repository.store.open_pack(id).ok().filter(|_| !entry.bad.is_empty())
        {
            let before = entry.bad.len();
            entry.bad.retain(|frame| file.read_frame(table, *frame as usize).is_err());
            if entry.bad.len() < before {
                self.enter(id, table, &entry.bad, true)?;
            }
        }
        Ok(())
    }

    fn enter(
        &self,
        id: &PackId,
        table: &PackTable,
        bad: &[u32],
        is_known: bool,
    ) -> Result<(), VaultError> {
        let row = pack_row(id, table);
        let repo = self.repository.row;
        let state =
            if is_known { None } else { Some(Vault::state_of_file(self.repository, id, table)?) };
        self.vault.index.write(|tx| {
            if let Some(state) = &state {
                row.insert_new(tx, repo)?;
                save_state(tx, repo, id, state)?;
            }
            set_bad_frames(tx, repo, id, bad)?;
            if bad.is_empty() { Ok(()) } else { forget_verified(tx, repo) }
        })?;
        Ok(())
    }

    /// The sweep drops no frame that a snapshot uses: where one is gone that way, an index was put back, or a map lost,
    /// beside damage. It is damage from now on, and the next pass fetches it.
    pub(super) fn call_damaged(&self, id: &PackId, frames: &Bitmap) -> Result<(), VaultError> {
        if self.dry_run {
            return Ok(());
        }
        let _gate = self.repository.gate();
        let _pack = self.repository.pack_lock(id);
        let repo = self.repository.row;
        let state = self.vault.index.read(|c| load_state(c, repo, id))?;
        let Some(state) = state else { return Ok(()) };
        let damaged = state.frames.absent.and(frames);
        if damaged.is_empty() {
            return Ok(());
        }
        let table = match self.repository.store.pack_head(id) {
            Ok(table) => table,
            // Taken away or damaged since it was read: the next pass finds it so.
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let left = table.all_frames().minus(&state.frames.absent).or(&damaged);
        let state = Vault::state_with(&table, &left);
        self.vault.index.write(|tx| {
            save_state(tx, repo, id, &state)?;
            add_bad_frames(tx, repo, id, &damaged)
        })?;
        // Its map as well, or the next start would follow that again.
        let store = &self.repository.store;
        let mapped =
            store.partial_pack_writer(id, &table).and_then(|writer| writer.finish(&damaged));
        match mapped {
            Ok(_) => {}
            Err(error) if error.is_of_the_object() => {
                tracing::warn!(repository = %self.repository.id, %error, "its map stays as it is");
            }
            Err(error) => return Err(error.into()),
        }
        self.alarm(format!(
            "{} frames of pack {id} that snapshots use are gone: the next scrub fetches them from another site",
            damaged.count_ones()
        ));
        Ok(())
    }

    /// Whether the index says that a pack should be here.
    fn is_expected(&self, id: &PackId) -> Result<bool, VaultError> {
        let row = self.vault.index.read(|c| PackRow::find(c, self.repository.row, id))?;
        Ok(row.is_some())
    }

    /// Header and table are gone here and nobody has them: every frame is bad.
    fn lose(&self, id: &PackId) -> Result<Entry, VaultError> {
        let entry = self.unknown(id)?;
        if !self.dry_run {
            let repo = self.repository.row;
            self.vault.index.write(|tx| {
                set_bad_frames(tx, repo, id, &entry.bad)?;
                forget_verified(tx, repo)
            })?;
            self.alarm(format!("pack {id} is damaged or lost, and no source has it"));
        }
        Ok(entry)
    }

    /// A pack that this process may not read: nothing is known of it, and nothing is done to it.
    fn withheld(&self, id: &PackId, error: &StoreError) -> Result<Entry, VaultError> {
        tracing::warn!(repository = %self.repository.id, %error, "found by the scrub");
        self.alarm(format!("pack {id} cannot be read: give its file to the vault's user"));
        self.unknown(id)
    }

    /// All frames of a pack of which nothing was read, as bad.
    fn unknown(&self, id: &PackId) -> Result<Entry, VaultError> {
        let row = self.vault.index.read(|c| PackRow::find(c, self.repository.row, id))?;
        let frames = row.map_or(0, |row| row.frames);
        let bad = (0..frames).collect();
        Ok(Entry { pack: *id, frames, read: 0, bytes: 0, repaired: 0, bad, absent: Vec::new() })
    }
}

/// The frames of a pack that should be here.
fn here(table: &PackTable, absent: &[u32]) -> Vec<u32> {
    (0..table.frame_count()).filter(|frame| absent.binary_search(frame).is_err()).collect()
}
