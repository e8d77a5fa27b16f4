//! One pass of the scrub over a repository: what was read, what was repaired, what stays bad.

use std::collections::{BTreeSet, HashMap, HashSet};

use lumbung_model::{ManifestId, PackId, SegmentId};
use lumbung_pack::{
    Kind, Manifest, PackTable, PackUse, Segment, Signed, UsageList, decode, open_signed,
};
use lumbung_store::StoreError;

use super::{GoodCopies, Pace};
use crate::index::{
    ManifestRow, PackRow, forget_verified, list_objects, list_packs, list_sessions, load_state,
    set_bad_frames,
};
use crate::pack_intake::pack_row;
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// A pass under way.
pub(super) struct Pass<'a> {
    vault: &'a Vault,
    repository: &'a Repository,
    copies: &'a dyn GoodCopies,
    pace: &'a dyn Pace,
    pub(super) frames: u64,
    pub(super) bytes: u64,
    pub(super) repaired: u32,
    pub(super) bad: u32,
    pub(super) objects_repaired: u32,
    bad_objects: HashSet<(Kind, [u8; 32])>,
    /// Objects that were read and match.
    read_objects: HashSet<(Kind, [u8; 32])>,
    /// Packs that were read, with the frames that stay bad.
    read_packs: HashMap<PackId, BTreeSet<u32>>,
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        vault: &'a Vault,
        repository: &'a Repository,
        copies: &'a dyn GoodCopies,
        pace: &'a dyn Pace,
    ) -> Self {
        Self {
            vault,
            repository,
            copies,
            pace,
            frames: 0,
            bytes: 0,
            repaired: 0,
            bad: 0,
            objects_repaired: 0,
            bad_objects: HashSet::new(),
            read_objects: HashSet::new(),
            read_packs: HashMap::new(),
        }
    }

    /// Reads everything. Gives the snapshots that were read whole and those that miss something, ascending.
    pub(super) fn run(
        &mut self,
        manifests: &[ManifestRow],
    ) -> Result<(Vec<ManifestId>, Vec<ManifestId>), VaultError> {
        for kind in Kind::REPOSITORY.into_iter().filter(|kind| *kind != Kind::Pack) {
            self.objects(kind, manifests)?;
        }
        self.packs()?;
        self.judge(manifests)
    }

    /// Small objects that stay damaged or lost.
    pub(super) fn objects_bad(&self) -> u32 {
        count(self.bad_objects.len())
    }

    fn go_on(&self, bytes: u64) -> Result<(), VaultError> {
        if self.pace.after(bytes) { Ok(()) } else { Err(VaultError::Stopping) }
    }

    /// Reads all small objects of a kind, those that should be here among them.
    fn objects(&mut self, kind: Kind, manifests: &[ManifestRow]) -> Result<(), VaultError> {
        let row = self.repository.row;
        let mut ids: BTreeSet<[u8; 32]> = self.repository.store.list(kind)?.into_iter().collect();
        match kind {
            Kind::Session => ids.extend(self.vault.index.read(|c| list_sessions(c, row, None))?),
            Kind::Segment | Kind::Usage | Kind::Proof => {
                ids.extend(self.vault.index.read(|c| list_objects(c, row, kind, None))?);
            }
            Kind::Manifest => ids.extend(manifests.iter().map(|row| *row.manifest.as_bytes())),
            Kind::Receipt => ids.extend(manifests.iter().map(|row| *row.receipt.as_bytes())),
            Kind::Roster => {
                ids.extend(self.repository.chain().all().iter().map(|roster| *roster.id.as_bytes()))
            }
            _ => {}
        }
        for id in ids {
            let read = self.object(kind, &id)?;
            self.bytes += read;
            self.go_on(read)?;
        }
        Ok(())
    }

    fn object(&mut self, kind: Kind, id: &[u8; 32]) -> Result<u64, VaultError> {
        match self.repository.store.get(kind, id) {
            Ok(bytes) => {
                self.read_objects.insert((kind, *id));
                return Ok(bytes.len() as u64);
            }
            Err(
                error @ (StoreError::Damaged { .. }
                | StoreError::NotFound { .. }
                | StoreError::TooLarge { .. }),
            ) => {
                tracing::warn!(repository = %self.repository.id, %error, "found by the scrub");
            }
            Err(error) if is_bad_sector(&error) => {
                tracing::warn!(repository = %self.repository.id, %error, "found by the scrub");
            }
            Err(error) => return Err(error.into()),
        }
        let good =
            self.known_here(kind, id).or_else(|| self.copies.object(&self.repository.id, kind, id));
        // `put` checks the copy against its name.
        let repaired = match good {
            Some(bytes) => self.repository.store.put(kind, id, &bytes).map(|_| bytes.len() as u64),
            None => Err(StoreError::NotFound { kind, id: *id }),
        };
        match repaired {
            Ok(length) => {
                self.objects_repaired += 1;
                self.read_objects.insert((kind, *id));
                tracing::info!(repository = %self.repository.id, kind = kind.name(), id = %PackId::from_bytes(*id), "repaired");
                Ok(length)
            }
            Err(
                error @ (StoreError::Full { .. }
                | StoreError::Stopped { .. }
                | StoreError::Unsynced { .. }),
            ) => Err(error.into()),
            Err(_) => {
                self.bad_objects.insert((kind, *id));
                // At once, not when the pass ends: a commit in the meantime must look for itself.
                self.vault.index.write(|tx| forget_verified(tx, self.repository.row))?;
                let detail = format!(
                    "{} {} is damaged or lost, and no source has it",
                    kind.name(),
                    PackId::from_bytes(*id)
                );
                self.vault.alarm(Some(&self.repository.id), "damaged", detail);
                Ok(0)
            }
        }
    }

    /// Rosters are in memory.
    fn known_here(&self, kind: Kind, id: &[u8; 32]) -> Option<Vec<u8>> {
        let chain = self.repository.chain();
        let position = chain
            .all()
            .iter()
            .position(|roster| kind == Kind::Roster && roster.id.as_bytes() == id)?;
        chain.objects().get(position).cloned()
    }

    /// Reads all packs, those that should be here among them.
    fn packs(&mut self) -> Result<(), VaultError> {
        let row = self.repository.row;
        let mut ids: BTreeSet<[u8; 32]> =
            self.repository.store.list(Kind::Pack)?.into_iter().collect();
        ids.extend(self.vault.index.read(|c| list_packs(c, row, None))?);
        for id in ids {
            self.pack(&PackId::from_bytes(id))?;
        }
        Ok(())
    }

    fn pack(&mut self, id: &PackId) -> Result<(), VaultError> {
        let store = &self.repository.store;
        let table = match store.pack_head(id) {
            Ok(table) => table,
            Err(error @ (StoreError::NotFound { .. } | StoreError::Damaged { .. })) => {
                tracing::warn!(repository = %self.repository.id, %error, "found by the scrub");
                match self.copies.head(&self.repository.id, id).filter(|table| table.id() == *id) {
                    Some(table) => table,
                    None => return self.lose_pack(id),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let mut bad = Vec::new();
        let file = store.open_pack(id).ok();
        let absent = self.absent(id)?;
        for frame in (0..table.frames.len()).filter(|frame| !absent.contains(&count(*frame))) {
            let length = u64::from(table.frames[frame].stored_length);
            let read = file.as_ref().map(|file| file.read_frame(&table, frame));
            match read {
                Some(Ok(_)) => {}
                None | Some(Err(StoreError::Frame { .. } | StoreError::Range { .. })) => {
                    bad.push(frame)
                }
                Some(Err(error)) if is_bad_sector(&error) => bad.push(frame),
                Some(Err(error)) => return Err(error.into()),
            }
            self.frames += 1;
            self.bytes += length;
            self.go_on(length)?;
        }
        let head_bad =
            file.is_none_or(|file| file.length() != table.total_length() || file.head().is_err());
        let left =
            if bad.is_empty() && !head_bad { Vec::new() } else { self.repair(id, &table, &bad)? };
        self.conclude(id, &table, &left)
    }

    /// Frames that the sweep has dropped: a hole is no damage.
    fn absent(&self, id: &PackId) -> Result<BTreeSet<u32>, VaultError> {
        let state = self.vault.index.read(|c| load_state(c, self.repository.row, id))?;
        Ok(state.map(|state| state.frames.absent.iter_ones().collect()).unwrap_or_default())
    }

    /// Fetches good copies of the bad frames and writes the pack anew. Gives the frames that stay bad.
    fn repair(
        &mut self,
        id: &PackId,
        table: &PackTable,
        bad: &[usize],
    ) -> Result<Vec<u32>, VaultError> {
        let mut good = Vec::new();
        let mut left = Vec::new();
        for &frame in bad {
            let copy = self.copies.frame(&self.repository.id, id, table, frame);
            match copy.filter(|bytes| table.verify_frame(frame, bytes).is_ok()) {
                Some(bytes) => good.push((frame, bytes)),
                None => left.push(count(frame)),
            }
        }
        let whole = left.is_empty();
        let slices: Vec<(usize, &[u8])> =
            good.iter().map(|(frame, bytes)| (*frame, bytes.as_slice())).collect();
        match self.repository.store.repair_frames(id, table, &slices) {
            Ok(()) => {}
            // The file is gone: it can only be written as a whole.
            Err(StoreError::NotFound { .. }) if whole => {
                let mut writer = self.repository.store.pack_writer(id)?;
                writer.write(&table.encode())?;
                slices.iter().try_for_each(|(_, bytes)| writer.write(bytes))?;
                writer.finish_over()?;
            }
            Err(StoreError::NotFound { .. }) => return Ok((0..count(table.frames.len())).collect()),
            Err(error) => return Err(error.into()),
        }
        self.repaired += count(good.len());
        tracing::info!(repository = %self.repository.id, pack = %id, repaired = good.len(), left = left.len(), "pack repaired");
        Ok(left)
    }

    fn conclude(&mut self, id: &PackId, table: &PackTable, left: &[u32]) -> Result<(), VaultError> {
        let row = pack_row(id, table);
        let repo = self.repository.row;
        let known = self.vault.index.write(|tx| {
            let known = PackRow::find(tx, repo, id)?.is_some();
            if !known {
                row.insert(tx, repo)?;
            }
            set_bad_frames(tx, repo, id, left)?;
            if !left.is_empty() {
                forget_verified(tx, repo)?;
            }
            Ok(known)
        })?;
        if !known {
            self.repository.ledger().add_pack(&row.domain, row.bytes);
        }
        self.bad += count(left.len());
        // What was dropped is not damaged, and nothing that uses it is whole.
        let missing = left.iter().copied().chain(self.absent(id)?).collect();
        self.read_packs.insert(*id, missing);
        Ok(())
    }

    /// Header and table are gone here and nobody has them: every frame is bad.
    fn lose_pack(&mut self, id: &PackId) -> Result<(), VaultError> {
        let repo = self.repository.row;
        let frames =
            self.vault.index.read(|c| PackRow::find(c, repo, id))?.map_or(0, |row| row.frames);
        let all: Vec<u32> = (0..frames).collect();
        self.vault.index.write(|tx| {
            set_bad_frames(tx, repo, id, &all)?;
            forget_verified(tx, repo)
        })?;
        self.bad += frames;
        self.vault.alarm(
            Some(&self.repository.id),
            "damaged",
            format!("pack {id} is damaged or lost, and no source has it"),
        );
        Ok(())
    }

    /// Which snapshots were read whole, and which miss something.
    fn judge(
        &self,
        manifests: &[ManifestRow],
    ) -> Result<(Vec<ManifestId>, Vec<ManifestId>), VaultError> {
        let mut segments = HashMap::new();
        let (mut verified, mut damaged) = (Vec::new(), Vec::new());
        for row in manifests {
            if self.is_whole(row, &mut segments)? {
                verified.push(row.manifest)
            } else {
                damaged.push(row.manifest)
            }
        }
        verified.sort_unstable();
        damaged.sort_unstable();
        Ok((verified, damaged))
    }

    fn was_read(&self, kind: Kind, id: &[u8; 32]) -> bool {
        self.read_objects.contains(&(kind, *id))
    }

    fn is_whole(
        &self,
        row: &ManifestRow,
        segments: &mut HashMap<SegmentId, bool>,
    ) -> Result<bool, VaultError> {
        if !self.was_read(Kind::Manifest, row.manifest.as_bytes()) {
            return Ok(false);
        }
        let store = &self.repository.store;
        let manifest: Signed<Manifest> =
            open_signed(&store.get(Kind::Manifest, row.manifest.as_bytes())?)
                .map_err(VaultError::format(Kind::Manifest))?;
        let sessions =
            manifest.body.sessions.iter().all(|id| self.was_read(Kind::Session, id.as_bytes()));
        if !sessions || !self.was_read(Kind::Usage, manifest.body.usage.as_bytes()) {
            return Ok(false);
        }
        let (usage, _) =
            decode::<UsageList>(&store.get(Kind::Usage, manifest.body.usage.as_bytes())?)
                .map_err(VaultError::format(Kind::Usage))?;
        for segment in &usage.segments {
            let whole = match segments.get(&segment.segment) {
                Some(whole) => *whole,
                None => {
                    let whole = self.segment_is_whole(&segment.segment)?;
                    segments.insert(segment.segment, whole);
                    whole
                }
            };
            if !whole {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn segment_is_whole(&self, id: &SegmentId) -> Result<bool, VaultError> {
        if !self.was_read(Kind::Segment, id.as_bytes()) {
            return Ok(false);
        }
        let (segment, _) =
            decode::<Segment>(&self.repository.store.get(Kind::Segment, id.as_bytes())?)
                .map_err(VaultError::format(Kind::Segment))?;
        let whole = |pack: &PackUse| {
            self.read_packs
                .get(&pack.pack)
                .is_some_and(|bad| !bad.iter().any(|frame| pack.used.get(*frame)))
        };
        Ok(segment.packs.iter().all(whole))
    }
}

/// What a disk says of a sector that it cannot read.
fn is_bad_sector(error: &StoreError) -> bool {
    /// EIO.
    const BAD_SECTOR: i32 = 5;
    matches!(error, StoreError::Io { action: "read", source, .. } if source.raw_os_error() == Some(BAD_SECTOR))
}
