//! The sweep: frames and objects that no live snapshot names are given back, without keys and beside writers.
//!
//! In use is the union of the usage lists of live snapshots. What is not in use waits, is condemned (and answered as
//! absent), and goes: see [`FrameStates`]. Invariants:
//! - every step that takes something away happens under the repository's gate, after the snapshots that came
//!   meanwhile were taken in; so no commit can name what goes at that moment;
//! - the index says that a frame is gone before the file loses it, and a commit that names a frame which is
//!   merely condemned brings it back;
//! - no segment stays remembered as verified unless a live snapshot names it;
//! - one manifest, usage list or segment that cannot be read ends the sweep of that repository.

mod frames;
mod objects;
mod used;

use lumbung_model::{DomainId, PackId};
use lumbung_pack::{Bitmap, Kind, PackTable};
use lumbung_store::StoreError;

pub(crate) use frames::FrameStates;
use frames::{CONDEMNED_S, IDLE_S};
use used::Used;

use crate::index::{
    Kept, Lease, ManifestRow, PackRow, PackState, TombstoneRow, forget_pack, forget_verified,
    forget_verified_segment, list_objects, load_state, pending, save_state,
};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Packs looked at under one hold of the gate: commits wait no longer than this takes.
const BATCH: u32 = 1000;

/// What a sweep found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Swept {
    /// Packs looked at.
    pub packs: u64,
    /// Unused frames that wait.
    pub waiting: u64,
    /// Unused frames that are condemned.
    pub condemned: u64,
    /// Frames given back (with `dry_run`: that would be).
    pub dropped: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Packs removed whole.
    pub packs_removed: u64,
    /// Sessions, segments and usage lists removed.
    pub objects_removed: u64,
}

/// How a sweep is stopped.
pub trait GoOn {
    /// Asked between steps.
    fn go_on(&self) -> bool;
}

impl<F: Fn() -> bool> GoOn for F {
    fn go_on(&self) -> bool {
        self()
    }
}

impl Vault {
    /// Sweeps a repository once. With `dry_run` it only says what this round would give back.
    ///
    /// # Errors
    /// [`VaultError::Unreadable`] names the snapshot that cannot be read; nothing more is given back until it is
    /// repaired.
    pub fn sweep(
        &self,
        repository: &Repository,
        dry_run: bool,
        go_on: &dyn GoOn,
    ) -> Result<Swept, VaultError> {
        self.check_all_known(repository)?;
        let mut swept = Swept::default();
        let domains = self.index.read(|c| Kept::domains(c, repository.row))?;
        for domain in domains {
            if !go_on.go_on() {
                return Err(VaultError::Stopping);
            }
            self.sweep_domain(repository, domain, dry_run, go_on, &mut swept)?;
        }
        Ok(swept)
    }

    /// A manifest that is on the disk and not in the index names frames that nobody counts.
    fn check_all_known(&self, repository: &Repository) -> Result<(), VaultError> {
        let mut gate = repository.gate();
        gate.catch_up(self, repository)?;
        for id in repository.store.list(Kind::Manifest)? {
            let id = lumbung_model::ManifestId::from_bytes(id);
            let known = self.index.read(|c| {
                Ok(ManifestRow::find(c, repository.row, &id)?.is_some()
                    || TombstoneRow::find(c, repository.row, &id)?.is_some())
            })?;
            if !known {
                let reason =
                    "it is on the disk and not in the index: it is damaged, or waits for space"
                        .to_owned();
                return Err(VaultError::Unreadable { manifest: id, reason });
            }
        }
        Ok(())
    }

    fn sweep_domain(
        &self,
        repository: &Repository,
        domain: DomainId,
        dry_run: bool,
        go_on: &dyn GoOn,
        swept: &mut Swept,
    ) -> Result<(), VaultError> {
        let mut used = Used::gather(self, repository, domain)?;
        if !dry_run {
            self.forget_unused_segments(repository, &domain, &mut used)?;
        }
        let mut after = None;
        loop {
            let rows = self
                .index
                .read(|c| PackRow::of_domain(c, repository.row, &domain, after.as_ref(), BATCH))?;
            let Some(last) = rows.last() else { break };
            after = Some(last.pack);
            let due = self.mark(repository, &domain, &rows, &mut used, dry_run, swept)?;
            for (row, frames) in due {
                if !go_on.go_on() {
                    return Err(VaultError::Stopping);
                }
                self.drop_due(repository, &row, &frames, &mut used, dry_run, swept)?;
            }
        }
        self.sweep_objects(repository, &domain, &mut used, dry_run, swept)
    }

    /// Before anything is condemned: a later commit must look into these segments again.
    fn forget_unused_segments(
        &self,
        repository: &Repository,
        domain: &DomainId,
        used: &mut Used,
    ) -> Result<(), VaultError> {
        let gate = repository.gate();
        used.absorb(self, repository)?;
        let all =
            self.index.read(|c| list_objects(c, repository.row, Kind::Segment, Some(domain)))?;
        self.index.write(|tx| {
            let unused = all
                .iter()
                .map(|id| lumbung_model::SegmentId::from_bytes(*id))
                .filter(|id| !used.segments.contains(id));
            for segment in unused {
                forget_verified_segment(tx, repository.row, &segment)?;
            }
            Ok(())
        })?;
        drop(gate);
        Ok(())
    }

    /// Looks at some packs; gives those with frames whose time is over.
    fn mark(
        &self,
        repository: &Repository,
        domain: &DomainId,
        rows: &[PackRow],
        used: &mut Used,
        dry_run: bool,
        swept: &mut Swept,
    ) -> Result<Vec<(PackRow, Bitmap)>, VaultError> {
        let _gate = repository.gate();
        used.absorb(self, repository)?;
        let now_s = self.age_s();
        let leases = self.index.read(|c| Lease::running(c, repository.row, now_s))?;
        let began: Vec<u64> = leases
            .iter()
            .filter(|lease| lease.domain == *domain)
            .map(|lease| lease.opened_s)
            .collect();
        let (mut due, mut changed) = (Vec::new(), Vec::new());
        for row in rows {
            let before = self.index.read(|c| load_state(c, repository.row, &row.pack))?;
            let mut state = before.clone().unwrap_or_else(|| PackState::whole(row.frames));
            state.frames.mark(&used.of(&row.pack, row.frames), now_s, &began);
            swept.packs += 1;
            let count = |set: &Option<(Bitmap, u64)>| {
                set.as_ref().map_or(0, |(set, _)| u64::from(set.count_ones()))
            };
            swept.waiting += count(&state.frames.waiting);
            swept.condemned += count(&state.frames.condemned);
            if let Some(frames) = state.frames.due(now_s) {
                due.push((row.clone(), frames.clone()));
            } else if state.frames.absent.is_full() {
                due.push((row.clone(), Bitmap::new(row.frames)));
            }
            if before.as_ref() != Some(&state) && !(before.is_none() && state.frames.is_whole()) {
                changed.push((row.pack, state));
            }
        }
        if !dry_run && !changed.is_empty() {
            self.index.write(|tx| {
                changed
                    .iter()
                    .try_for_each(|(pack, state)| save_state(tx, repository.row, pack, state))
            })?;
        }
        Ok(due)
    }

    /// Gives back the frames of one pack whose time is over, rechecked with commits standing still.
    fn drop_due(
        &self,
        repository: &Repository,
        row: &PackRow,
        expected: &Bitmap,
        used: &mut Used,
        dry_run: bool,
        swept: &mut Swept,
    ) -> Result<(), VaultError> {
        let _gate = repository.gate();
        // One that is being received has its turn in the next round.
        let Some(_pack) = repository.try_pack_lock(&row.pack) else { return Ok(()) };
        used.absorb(self, repository)?;
        let Some(mut state) = self.index.read(|c| load_state(c, repository.row, &row.pack))? else {
            return Ok(());
        };
        state.frames.revive(&used.of(&row.pack, row.frames));
        let due = state.frames.due(self.age_s()).cloned();
        let due = due.unwrap_or_else(|| Bitmap::new(row.frames)).and(expected);
        if due.count_ones() < expected.count_ones() {
            // Somebody named one of them meanwhile: the next round looks again.
            return Ok(());
        }
        let table = match repository.store.pack_head(&row.pack) {
            Ok(table) => table,
            // The scrub tells of it, and mends it if it can: then its turn comes.
            Err(error) if error.is_not_found() || error.is_of_the_object() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        swept.dropped += u64::from(due.count_ones());
        swept.dropped_bytes += stored_bytes(&table, &due);
        if dry_run {
            return Ok(());
        }
        if !due.is_empty() {
            match self.drop_frames(repository, row, &table, &mut state, &due) {
                Ok(()) => {}
                // Nobody can say where its frames lie. Nobody counts on these any more: a later start gives them back.
                Err(VaultError::Store(error))
                    if error.is_of_the_object() || matches!(error, StoreError::Range { .. }) =>
                {
                    tracing::warn!(repository = %repository.id, %error, "frames could not be given back");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        if state.frames.absent.is_full() {
            self.remove_pack(repository, row)?;
            swept.packs_removed += 1;
        }
        Ok(())
    }

    fn drop_frames(
        &self,
        repository: &Repository,
        row: &PackRow,
        table: &PackTable,
        state: &mut PackState,
        due: &Bitmap,
    ) -> Result<(), VaultError> {
        let bytes = stored_bytes(table, due);
        state.frames.drop_condemned();
        state.absent_bytes += bytes;
        state.pending = true;
        self.index.write(|tx| save_state(tx, repository.row, &row.pack, state))?;
        repository.store.drop_frames(&row.pack, table, due)?;
        state.pending = false;
        self.index.write(|tx| save_state(tx, repository.row, &row.pack, state))?;
        Ok(())
    }

    /// Nothing of a pack is left: the index forgets it, then its file goes.
    fn remove_pack(&self, repository: &Repository, row: &PackRow) -> Result<(), VaultError> {
        self.index.write(|tx| forget_pack(tx, repository.row, &row.pack))?;
        repository.store.remove(Kind::Pack, row.pack.as_bytes())?;
        Ok(())
    }

    /// Finishes what a crash left between index and file. Called before anybody else knows the repository.
    ///
    /// Only what the pack's own map says is gone: the index may be an older copy, which knows nothing of frames that
    /// came back since. What the map still has is looked at anew by the next sweeps.
    pub(crate) fn finish_drops(&self, repository: &Repository) -> Result<(), VaultError> {
        let mut followed = 0;
        for pack in self.index.read(|c| pending(c, repository.row))? {
            match self.follow_file(repository, &pack, true) {
                Ok(behind) => followed += usize::from(behind),
                // Nobody counts on them: they are given back by a later start.
                Err(error) => {
                    tracing::warn!(repository = %repository.id, %pack, %error, "frames could not be given back");
                }
            }
        }
        self.tell_of_old_index(repository, followed);
        Ok(())
    }

    /// Makes the index say of a pack what its files say, and with `finish` has the frames that its map gave up go from
    /// the file. Says whether the index took frames for here that are gone: then it is an older copy.
    pub(crate) fn follow_file(
        &self,
        repository: &Repository,
        pack: &PackId,
        finish: bool,
    ) -> Result<bool, VaultError> {
        let _pack = repository.pack_lock(pack);
        let table = match repository.store.pack_head(pack) {
            Ok(table) => table,
            // The comparison of lists forgets it, the scrub tells of a head that cannot be read.
            Err(error) if error.is_not_found() || error.is_of_the_object() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let before = self.index.read(|c| load_state(c, repository.row, pack))?;
        if before.as_ref().is_some_and(|state| state.pending) != finish {
            return Ok(false);
        }
        let by_map = match Self::state_of_file(repository, pack, &table) {
            // So does the scrub of a map.
            Err(VaultError::Store(error)) if error.is_of_the_object() => return Ok(false),
            by_map => by_map?,
        };
        let known = before
            .map_or_else(|| Bitmap::new(by_map.frames.absent.bits()), |state| state.frames.absent);
        let file = Self::without_what_does_not_match(repository, pack, &table, &by_map, &known)?;
        if !finish && known == file.frames.absent {
            return Ok(false);
        }
        // What the map alone gives up may be good, and the map too old.
        let dropped = by_map.frames.absent.and(&known);
        if finish && !dropped.is_empty() {
            repository.store.drop_frames(pack, &table, &dropped)?;
        }
        let behind = !file.frames.absent.minus(&known).is_empty();
        self.index.write(|tx| {
            // What waited or was condemned is looked at anew.
            save_state(tx, repository.row, pack, &file)?;
            if behind { forget_verified(tx, repository.row) } else { Ok(()) }
        })?;
        Ok(behind)
    }

    /// Of the frames that the index calls gone and the map calls here, those whose bytes do not match are gone: a map
    /// that was lost says that the pack is whole.
    fn without_what_does_not_match(
        repository: &Repository,
        pack: &PackId,
        table: &PackTable,
        by_map: &PackState,
        known_absent: &Bitmap,
    ) -> Result<PackState, VaultError> {
        let claimed = known_absent.minus(&by_map.frames.absent);
        if claimed.is_empty() {
            return Ok(by_map.clone());
        }
        let file = repository.store.open_pack(pack)?;
        let mut present = Bitmap::full(claimed.bits()).minus(&by_map.frames.absent).minus(&claimed);
        for frame in claimed.iter_ones() {
            match file.read_frame(table, frame as usize) {
                Ok(_) => present.set(frame),
                Err(error) if error.is_of_the_storage() => return Err(error.into()),
                Err(_) => {}
            }
        }
        Ok(Self::state_with(table, &present))
    }

    pub(crate) fn tell_of_old_index(&self, repository: &Repository, packs: usize) {
        if packs > 0 {
            let detail = format!(
                "the index took frames of {packs} packs for here that were given back: it is an older copy, and was \
                 mended from the files; if somebody put it back, have them run `lumbung-vault reindex`"
            );
            self.alarm(Some(&repository.id), "old-index", detail);
        }
    }

    /// What the files say of a pack: which frames were dropped from it.
    pub(crate) fn state_of_file(
        repository: &Repository,
        pack: &PackId,
        table: &PackTable,
    ) -> Result<PackState, VaultError> {
        let present = repository.store.presence(pack, table)?;
        let present = present.unwrap_or_else(|| table.all_frames());
        Ok(Self::state_with(table, &present))
    }

    /// The state of a pack of which only `present` is here.
    pub(crate) fn state_with(table: &PackTable, present: &Bitmap) -> PackState {
        let mut state = PackState::whole(present.bits());
        state.frames.absent = Bitmap::full(present.bits()).minus(present);
        state.absent_bytes = stored_bytes(table, &state.frames.absent);
        state
    }
}

fn stored_bytes(table: &PackTable, frames: &Bitmap) -> u64 {
    frames.iter_ones().map(|i| u64::from(table.frames[i as usize].stored_length)).sum()
}
