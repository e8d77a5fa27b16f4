//! Takes packs: a stream whose head is judged before its frames, and whose frames are checked as they come.
//!
//! Invariants: nothing is visible before everything matched; a pack that is here whole is compared and not
//! written again; one that is here damaged is replaced by the good one.

use std::sync::Arc;

use lumbung_model::PackId;
use lumbung_pack::{Kind, PackTable};
use lumbung_store::{PackChecker, PutOutcome, StoreError};

use crate::index::{PackRow, SessionRow, bad_frames};
use crate::repository::Repository;
use crate::storage::PackSink;
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
        let (known, bad) = self.index.read(|c| {
            Ok((PackRow::find(c, repository.row, &id)?, bad_frames(c, repository.row, &id)?))
        })?;
        let length = match repository.store.pack_len(&id) {
            Ok(length) => Some(length),
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let whole = known.as_ref().is_some_and(|row| bad.is_empty() && length == Some(row.bytes));
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
        })
    }

    fn admit_pack(
        &self,
        repository: &Repository,
        table: &PackTable,
        sender: Sender,
        counted: bool,
    ) -> Result<(), VaultError> {
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
            Ok(())
        } else {
            self.check_quota(repository, &header.domain, table.total_length())
        }
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
        let (table, outcome) = match self.sink {
            Sink::Compare(checker) => {
                let id = *self.id.as_bytes();
                checker.finish().map_err(|fault| StoreError::Pack { id, fault })?;
                self.repository.store.sync_pack(&self.id)?;
                return Ok(PutOutcome::AlreadyThere);
            }
            Sink::Write { writer, replace } => {
                let table = writer.table().cloned();
                let outcome = if replace { writer.finish_over()? } else { writer.finish()? };
                // `finish` fails unless the head came.
                let id = *self.id.as_bytes();
                let table = table.ok_or(StoreError::NotFound { kind: Kind::Pack, id })?;
                (table, outcome)
            }
        };
        let row = pack_row(&self.id, &table);
        let repo = self.repository.row;
        let known = self.vault.index.write(|tx| {
            let known = PackRow::find(tx, repo, &row.pack)?.is_some();
            row.insert(tx, repo)?;
            Ok(known)
        })?;
        if !known {
            self.repository.ledger().add_pack(&row.domain, row.bytes);
        }
        Ok(outcome)
    }
}

/// A pack's row.
pub(crate) fn pack_row(id: &PackId, table: &PackTable) -> PackRow {
    PackRow {
        pack: *id,
        domain: table.header.domain,
        session: table.header.session,
        frames: u32::try_from(table.frames.len()).unwrap_or(u32::MAX),
        bytes: table.total_length(),
    }
}
