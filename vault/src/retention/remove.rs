//! The removal of one snapshot: tombstone, index, file, in this order.

use lumbung_model::{ManifestId, TombstoneId};
use lumbung_pack::{Kind, Receipt, Removal, Tombstone, open_signed, sign};
use lumbung_store::StoreError;

use crate::index::{Cursor, ManifestRow, TombstoneRow, add_orphan, forget_manifest, is_destroyed};
use crate::reconcile::first_received;
use crate::repository::{Gate, Repository};
use crate::{Vault, VaultError};

impl Vault {
    /// Removes a snapshot that is here; the caller holds the gate and has decided.
    pub(super) fn remove_snapshot(
        &self,
        repository: &Repository,
        gate: &mut Gate,
        manifest: &ManifestId,
        removal: Removal,
    ) -> Result<(), VaultError> {
        let Some(row) = self.index.read(|c| ManifestRow::find(c, repository.row, manifest))? else {
            return Ok(());
        };
        let tombstone = Tombstone {
            repository: repository.id,
            site: self.site(),
            manifest: *manifest,
            receipt: row.receipt,
            agent: row.agent,
            dataset: row.dataset,
            removal,
            removed: self.now(),
        };
        let bytes = sign(&tombstone, &self.identity.key);
        let id = lumbung_pack::object_id(&bytes);
        let waiting = gate.behind;
        // Until the index knows it, a tombstone is a file that the index is behind of.
        gate.behind = true;
        repository.store.put(Kind::Tombstone, &id, &bytes)?;
        self.bury(repository, &tombstone, TombstoneId::from_bytes(id))?;
        gate.behind = waiting;
        tracing::info!(repository = %repository.id, manifest = %manifest, ?removal, "snapshot removed");
        Ok(())
    }

    /// A tombstone is on the disk: the snapshot leaves the index, then its file goes.
    fn bury(
        &self,
        repository: &Repository,
        tombstone: &Tombstone,
        id: TombstoneId,
    ) -> Result<(), VaultError> {
        let manifest = tombstone.manifest;
        self.index.write(|tx| {
            tombstone_row(tombstone, id).insert(tx, repository.row)?;
            forget_manifest(tx, repository.row, &manifest)
        })?;
        repository.touch();
        repository.store.remove(Kind::Manifest, manifest.as_bytes())?;
        Ok(())
    }

    /// Takes up this site's tombstones that the index does not know, and finishes what a crash left. Says how many
    /// were new.
    pub(crate) fn reconcile_tombstones(
        &self,
        repository: &Repository,
    ) -> Result<usize, VaultError> {
        let known = self.index.read(|c| TombstoneRow::all(c, repository.row))?;
        let mut new = 0;
        for id in repository.store.list(Kind::Tombstone)? {
            let id = TombstoneId::from_bytes(id);
            if known.iter().any(|row| row.tombstone == id) {
                continue;
            }
            let bytes = match repository.store.get(Kind::Tombstone, id.as_bytes()) {
                Ok(bytes) => bytes,
                // A refill took it away, and a store still lists it.
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) if error.is_of_the_object() => {
                    self.alarm(Some(&repository.id), "damaged", error.to_string());
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let Ok(tombstone) = open_signed::<Tombstone>(&bytes) else { continue };
            let own = tombstone.body.site == self.site()
                && tombstone.signer == self.identity.key.public();
            if !own {
                continue;
            }
            new += 1;
            self.finish_removal(repository, &tombstone.body, id)?;
        }
        Ok(new)
    }

    fn finish_removal(
        &self,
        repository: &Repository,
        tombstone: &Tombstone,
        id: TombstoneId,
    ) -> Result<(), VaultError> {
        let manifest = tombstone.manifest;
        if self.index.read(|c| ManifestRow::find(c, repository.row, &manifest))?.is_some() {
            return self.bury(repository, tombstone, id);
        }
        self.index.write(|tx| tombstone_row(tombstone, id).insert(tx, repository.row))?;
        repository.store.remove(Kind::Manifest, manifest.as_bytes())?;
        Ok(())
    }

    /// Whether an order came for what had expired: it does not come again.
    fn is_destroyed_since(
        &self,
        repository: &Repository,
        row: &TombstoneRow,
    ) -> Result<bool, VaultError> {
        let tombstone = tombstone_of(repository, row)?;
        let receipt = repository.store.get(Kind::Receipt, row.receipt.as_bytes()).ok();
        let receipt = receipt.and_then(|bytes| open_signed::<Receipt>(&bytes).ok());
        let received = match receipt {
            Some(receipt) => first_received(self, repository, &receipt.body)?,
            None => row.removed,
        };
        let subject = (&row.manifest, &tombstone.dataset);
        Ok(self.index.read(|c| is_destroyed(c, repository.row, subject, received))?)
    }

    /// Lets what expired come again from the other sites: its tombstones go. What an order destroyed stays away.
    /// Says how many may come.
    ///
    /// # Errors
    /// If the storage or the index does not take it.
    pub fn refill(
        &self,
        repository: &Repository,
        only: Option<&ManifestId>,
        dry_run: bool,
    ) -> Result<usize, VaultError> {
        let mut gate = repository.gate();
        gate.catch_up(self, repository)?;
        let mut wanted = Vec::new();
        for row in self.index.read(|c| TombstoneRow::all(c, repository.row))? {
            if row.ordered || only.is_some_and(|only| row.manifest != *only) {
                continue;
            }
            match self.is_destroyed_since(repository, &row) {
                Ok(false) => wanted.push(row),
                Ok(true) => {}
                // It stays away: nobody can say whether an order named its dataset.
                Err(VaultError::Store(error))
                    if error.is_of_the_object() || error.is_not_found() =>
                {
                    self.alarm(Some(&repository.id), "damaged", error.to_string());
                }
                Err(error) => return Err(error),
            }
        }
        if dry_run {
            return Ok(wanted.len());
        }
        // The file last: what a crash or a failure leaves of it is entered again before anything comes, and the refill can be
        // asked for again.
        let waiting = std::mem::replace(&mut gate.behind, true);
        for row in &wanted {
            self.index.write(|tx| {
                TombstoneRow::forget(tx, repository.row, &row.manifest)?;
                // The receipt that was given is given again.
                add_orphan(tx, repository.row, &row.manifest, &row.receipt)?;
                Cursor::forget(tx, repository.row)
            })?;
            repository.store.remove(Kind::Tombstone, row.tombstone.as_bytes())?;
        }
        gate.behind = waiting;
        if !wanted.is_empty() {
            self.wake.pull.notify_one();
        }
        Ok(wanted.len())
    }
}

/// The tombstone that a row stands for.
pub(super) fn tombstone_of(
    repository: &Repository,
    row: &TombstoneRow,
) -> Result<Tombstone, VaultError> {
    let bytes = repository.store.get(Kind::Tombstone, row.tombstone.as_bytes())?;
    let opened = open_signed::<Tombstone>(&bytes).map_err(VaultError::format(Kind::Tombstone))?;
    Ok(opened.body)
}

fn tombstone_row(tombstone: &Tombstone, id: TombstoneId) -> TombstoneRow {
    TombstoneRow {
        manifest: tombstone.manifest,
        tombstone: id,
        receipt: tombstone.receipt,
        ordered: matches!(tombstone.removal, Removal::Ordered(_)),
        removed: tombstone.removed,
    }
}
