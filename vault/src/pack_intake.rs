//! Takes packs: a stream whose head is judged before its frames, and whose frames are checked as they come.
//!
//! Invariants: nothing is visible before everything matched; a pack that is here whole is compared and not
//! written again; one that is here damaged is replaced by the good one. The index says of a pack what its file
//! says when both are written, under the pack's lock: somebody else may have brought some of its frames meanwhile.

use std::sync::Arc;

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, Kind, PackTable};
use lumbung_store::{PackChecker, PutOutcome, StoreError};

use crate::index::{
    Lease, PackRow, SessionRow, add_bad_frames, bad_frames, load_state, save_state, set_bad_frames,
};
use crate::quota::Room;
use crate::repository::Repository;
use crate::storage::{PackSink, PartialPackSink};
use crate::{Sender, Vault, VaultError};

impl Vault {
    /// Begins to take a pack.
    ///
    /// # Errors
    /// If there is no space.
    pub fn receive_pack(
        self: &Arc<Self>,
        repository: &Arc<Repository>,
        id: PackId,
        sender: Sender,
    ) -> Result<PackIntake, VaultError> {
        self.check_reserve()?;
        let (known, bad, state) = self.index.read(|c| {
            let bad = bad_frames(c, repository.row, &id)?;
            Ok((PackRow::find(c, repository.row, &id)?, bad, load_state(c, repository.row, &id)?))
        })?;
        let length = match repository.store.pack_len(&id) {
            Ok(length) => Some(length),
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        // One of which something is missing or on its way out comes anew, as a whole.
        let whole = known
            .as_ref()
            .is_some_and(|row| bad.is_empty() && state.is_none() && length == Some(row.bytes));
        let sink = if whole {
            Sink::Compare(Box::new(PackChecker::new(id)))
        } else {
            Sink::Write { writer: repository.store.pack_writer(&id)?, replace: length.is_some() }
        };
        let (vault, repository) = (Arc::clone(self), Arc::clone(repository));
        Ok(PackIntake {
            vault,
            repository,
            id,
            sender,
            sink,
            admitted: false,
            counted: known.is_some(),
            room: None,
        })
    }

    fn admit_pack(
        &self,
        repository: &Repository,
        table: &PackTable,
        sender: Sender,
        counted: bool,
    ) -> Result<Option<Room>, VaultError> {
        let header = &table.header;
        if header.repository != repository.id {
            return Err(VaultError::OtherRepository { kind: Kind::Pack, found: header.repository });
        }
        if let Sender::Agent { agent, .. } = &sender {
            repository.check_domain(&self.index, agent, &header.domain, Kind::Pack)?;
        }
        let session = self.index.read(|c| SessionRow::find(c, repository.row, &header.session))?;
        let session = session.ok_or(VaultError::NoSession(header.session))?;
        if session.domain != header.domain {
            return Err(VaultError::OtherDomain { kind: Kind::Pack, domain: header.domain });
        }
        if counted {
            return Ok(None);
        }
        self.make_room(repository, &header.domain, table.total_length()).map(Some)
    }
}

impl Vault {
    /// Enters a pack in the index as its file is, with frames that came and are good. Called by who holds the pack's
    /// lock.
    fn take_up_pack(
        &self,
        repository: &Repository,
        table: &PackTable,
        came: &Bitmap,
    ) -> Result<(), VaultError> {
        let row = pack_row(&table.id(), table);
        let (repo, now_s) = (repository.row, self.age_s());
        let state = Self::state_of_file(repository, &row.pack, table)?;
        self.index.write(|tx| {
            row.insert_new(tx, repo)?;
            save_state(tx, repo, &row.pack, &state)?;
            let mut bad = bad_frames(tx, repo, &row.pack)?;
            bad.retain(|frame| !came.get(*frame));
            set_bad_frames(tx, repo, &row.pack, &bad)?;
            Lease::touch(tx, repo, &row.session, now_s)
        })?;
        Ok(())
    }

    /// The frames of a pack that the index takes for here, damaged ones among them; nothing if it does not know the pack.
    pub(crate) fn counted(
        &self,
        repository: &Repository,
        table: &PackTable,
    ) -> Result<Option<Bitmap>, VaultError> {
        let (id, repo) = (table.id(), repository.row);
        let (known, state) = self
            .index
            .read(|c| Ok((PackRow::find(c, repo, &id)?.is_some(), load_state(c, repo, &id)?)))?;
        let absent = state.map_or_else(|| table.no_frames(), |state| state.frames.absent);
        Ok(known.then(|| table.all_frames().minus(&absent)))
    }

    /// Enters frames as damaged of which there are no bytes, before the file is written that passes for one that has
    /// them. Called by who holds the pack's lock.
    fn enter_lost(
        &self,
        repository: &Repository,
        table: &PackTable,
        lost: &Bitmap,
        is_known: bool,
    ) -> Result<(), VaultError> {
        let row = pack_row(&table.id(), table);
        let repo = repository.row;
        let state =
            if is_known { None } else { Some(Self::state_of_file(repository, &row.pack, table)?) };
        self.index.write(|tx| {
            if let Some(state) = &state {
                row.insert_new(tx, repo)?;
                save_state(tx, repo, &row.pack, state)?;
            }
            add_bad_frames(tx, repo, &row.pack, lost)
        })?;
        let detail = format!(
            "{} frames of pack {} were lost: the scrub fetches them from another site",
            lost.count_ones(),
            row.pack
        );
        self.alarm(Some(&repository.id), "damaged", detail);
        Ok(())
    }

    /// Begins to take some frames of a pack from another site: those that a snapshot uses there, where the rest was
    /// dropped.
    ///
    /// # Errors
    /// If the pack is not this repository's or there is no space.
    pub fn receive_frames(
        self: &Arc<Self>,
        repository: &Arc<Repository>,
        table: PackTable,
        sender: Sender,
    ) -> Result<FramesIntake, VaultError> {
        self.check_reserve()?;
        let id = table.id();
        let known = self.index.read(|c| PackRow::find(c, repository.row, &id))?.is_some();
        let room = self.admit_pack(repository, &table, sender, known)?;
        let writer = repository.store.partial_pack_writer(&id, &table)?;
        let came = table.no_frames();
        let (vault, repository) = (Arc::clone(self), Arc::clone(repository));
        Ok(FramesIntake { vault, repository, table, writer, came, _room: room })
    }
}

/// Some frames of a pack on their way in. Dropping it leaves nothing that counts.
pub struct FramesIntake {
    vault: Arc<Vault>,
    repository: Arc<Repository>,
    table: PackTable,
    writer: Box<dyn PartialPackSink>,
    came: Bitmap,
    /// Kept until the index counts the pack.
    _room: Option<Room>,
}

impl FramesIntake {
    /// Takes the next frame; frames come in ascending order.
    ///
    /// # Errors
    /// If it is not that frame.
    pub fn write(&mut self, frame: usize, bytes: &[u8]) -> Result<(), VaultError> {
        self.writer.write_frame(frame, bytes)?;
        self.came.set(u32::try_from(frame).unwrap_or(u32::MAX));
        Ok(())
    }

    /// Keeps the frames.
    ///
    /// # Errors
    /// If somebody else changed the pack meanwhile, or there is no space.
    pub fn finish(self) -> Result<(), VaultError> {
        let mut gate = self.repository.gate();
        // An index that is an older copy would call frames lost that were dropped since.
        gate.catch_up(&self.vault, &self.repository)?;
        let _pack = self.repository.pack_lock(&self.table.id());
        let Self { vault, repository, table, writer, came, .. } = &self;
        let counted = vault.counted(repository, table)?;
        let lost = writer.lost(counted.as_ref().unwrap_or(&table.no_frames()))?.minus(came);
        if !lost.is_empty() {
            vault.enter_lost(repository, table, &lost, counted.is_some())?;
        }
        self.writer.finish(&lost)?;
        if let Some(counted) = counted {
            // A map that was lost calls everything here.
            let counted = counted.or(&self.came);
            self.repository.store.mend_presence(&self.table.id(), &self.table, Some(&counted))?;
        }
        self.vault.take_up_pack(&self.repository, &self.table, &self.came)
    }
}

enum Sink {
    /// A whole pack of that name is here: the bytes are compared with it and dropped.
    Compare(Box<PackChecker>),
    Write {
        writer: Box<dyn PackSink>,
        replace: bool,
    },
}

/// A pack on its way in. Dropping it leaves nothing.
pub struct PackIntake {
    vault: Arc<Vault>,
    repository: Arc<Repository>,
    id: PackId,
    sender: Sender,
    sink: Sink,
    /// Header and table were found in order.
    admitted: bool,
    /// The index knew the pack, so its bytes count already.
    counted: bool,
    /// Kept until the index counts the pack.
    room: Option<Room>,
}

impl PackIntake {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// At the first byte that shows the pack to be wrong.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), VaultError> {
        let table = match &mut self.sink {
            Sink::Compare(checker) => {
                let id = *self.id.as_bytes();
                checker.push(bytes).map_err(|fault| StoreError::Pack { id, fault })?;
                checker.table()
            }
            Sink::Write { writer, .. } => {
                writer.write(bytes)?;
                writer.table()
            }
        };
        if let Some(table) = table.filter(|_| !self.admitted) {
            self.room =
                self.vault.admit_pack(&self.repository, table, self.sender, self.counted)?;
            self.admitted = true;
        }
        Ok(())
    }

    /// Keeps the pack, if all of it came.
    ///
    /// # Errors
    /// If bytes are missing, or there is no space.
    pub fn finish(self) -> Result<PutOutcome, VaultError> {
        match self.sink {
            Sink::Compare(checker) => {
                let id = *self.id.as_bytes();
                checker.finish().map_err(|fault| StoreError::Pack { id, fault })?;
                self.repository.store.sync_pack(&self.id)?;
                Ok(PutOutcome::AlreadyThere)
            }
            Sink::Write { writer, replace } => {
                let table = writer.table().cloned();
                // The sweep changes packs under the gate: it must not take frames from a file that is being exchanged.
                let _gate = replace.then(|| self.repository.gate());
                let _pack = self.repository.pack_lock(&self.id);
                let outcome = if replace { writer.finish_over()? } else { writer.finish()? };
                // `finish` fails unless the head came.
                let id = *self.id.as_bytes();
                let table = table.ok_or(StoreError::NotFound { kind: Kind::Pack, id })?;
                let none = table.no_frames();
                let came = match outcome {
                    PutOutcome::Created => Bitmap::full(none.bits()),
                    // What somebody else brought since this began stays as it is.
                    PutOutcome::AlreadyThere => none,
                };
                self.vault.take_up_pack(&self.repository, &table, &came)?;
                Ok(outcome)
            }
        }
    }
}

/// A pack's row.
pub(crate) fn pack_row(id: &PackId, table: &PackTable) -> PackRow {
    PackRow {
        pack: *id,
        domain: table.header.domain,
        session: table.header.session,
        frames: table.frame_count(),
        bytes: table.total_length(),
    }
}
