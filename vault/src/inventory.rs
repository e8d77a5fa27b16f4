//! Inventories: numbered, chained, signed lists of the snapshots that this site holds.
//!
//! Invariants: an inventory lists a snapshot only if its manifest's file is here; each names the one
//! before it; one is made when the last is older than the interval, or when what it would list changed. It is
//! drawn up only when it is due by its age, or when something happened here since the last one.

use lumbung_model::{InventoryId, Timestamp};
use lumbung_pack::{Inventory, InventoryEntry, Kind, sign};

use crate::index::{Kept, ManifestRow, StatementRow};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// Why an inventory is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// Somebody asks for one.
    Demand,
    /// The reconciler comes by: only if it is due.
    Round,
}

/// What an inventory says, save its number, its time and its predecessor.
pub(crate) fn digest(inventory: &Inventory) -> [u8; 32] {
    let mut bytes = inventory.roster_number.to_le_bytes().to_vec();
    for entry in &inventory.entries {
        bytes.extend_from_slice(entry.manifest.as_bytes());
        bytes.extend_from_slice(entry.receipt.as_bytes());
    }
    lumbung_pack::object_id(&bytes)
}

/// Whether the reconciler makes an inventory now. `last` is the newest one's time and digest.
fn is_due(
    occasion: Occasion,
    last: Option<(Timestamp, [u8; 32])>,
    now: Timestamp,
    interval_s: i64,
    digest: [u8; 32],
) -> bool {
    match (occasion, last) {
        (Occasion::Demand, _) | (_, None) => true,
        // A clock that went back makes one rather than none.
        (Occasion::Round, Some((made, said))) => said != digest || !is_young(made, now, interval_s),
    }
}

fn is_young(made: Timestamp, now: Timestamp, interval_s: i64) -> bool {
    (0..interval_s).contains(&now.seconds_since(made))
}

impl Vault {
    /// Makes an inventory of a repository, if the occasion asks for one.
    ///
    /// # Errors
    /// If the storage or the index does not take it.
    pub fn make_inventory(
        &self,
        repository: &Repository,
        occasion: Occasion,
    ) -> Result<Option<InventoryId>, VaultError> {
        let newest =
            || self.index.read(|c| StatementRow::newest(c, repository.row, Kind::Inventory));
        let interval_s = i64::from(self.config.inventory_interval.as_seconds());
        if occasion == Occasion::Round
            && !repository.is_touched()?
            && newest()?.is_some_and(|row| is_young(row.made, self.now(), interval_s))
        {
            return Ok(None);
        }
        let mut gate = repository.gate();
        gate.catch_up(self, repository)?;
        let last = newest()?;
        let stamp = repository.store.stamp(Kind::Manifest)?;
        let inventory = self.draw_up(repository, last.as_ref())?;
        let digest = digest(&inventory);
        let before = last.as_ref().map(|row| (row.made, row.digest));
        if !is_due(occasion, before, inventory.made, interval_s, digest) {
            repository.settle(stamp);
            return Ok(None);
        }
        let bytes = sign(&inventory, &self.identity.key);
        let id = lumbung_pack::object_id(&bytes);
        let waiting = gate.behind;
        // Until the index knows it, its number could be given again.
        gate.behind = true;
        repository.store.put(Kind::Inventory, &id, &bytes)?;
        let row = StatementRow {
            kind: Kind::Inventory,
            number: inventory.number,
            id,
            made: inventory.made,
            digest,
        };
        self.index.write(|tx| row.insert(tx, repository.row))?;
        gate.behind = waiting;
        repository.settle(stamp);
        tracing::info!(repository = %repository.id, number = inventory.number, snapshots = inventory.entries.len(), "inventory signed");
        Ok(Some(InventoryId::from_bytes(id)))
    }

    fn draw_up(
        &self,
        repository: &Repository,
        last: Option<&StatementRow>,
    ) -> Result<Inventory, VaultError> {
        let (rows, kept) = self.index.read(|c| {
            Ok((ManifestRow::receipts(c, repository.row)?, Kept::in_repository(c, repository.row)?))
        })?;
        // One listing of the folder rather than a question for each.
        let here = repository.store.list(Kind::Manifest)?;
        let entries = rows
            .into_iter()
            .filter(|(manifest, _)| here.binary_search(manifest.as_bytes()).is_ok())
            .map(|(manifest, receipt)| InventoryEntry { manifest, receipt })
            .collect();
        Ok(Inventory {
            repository: repository.id,
            site: self.site(),
            number: last.map_or(1, |row| row.number + 1),
            previous: last.map_or(InventoryId::ZERO, |row| InventoryId::from_bytes(row.id)),
            made: self.now(),
            roster_number: repository.chain().current().body.number,
            packs: kept.packs,
            bytes: kept.bytes(),
            entries,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inventory_is_due_when_it_is_old_or_says_something_else() {
        let (same, other) = ([1; 32], [2; 32]);
        let due = |occasion, last, now| is_due(occasion, last, Timestamp(now), 100, same);
        assert!(due(Occasion::Round, None, 1000));
        assert!(!due(Occasion::Round, Some((Timestamp(950), same)), 1000));
        assert!(due(Occasion::Round, Some((Timestamp(900), same)), 1000));
        assert!(due(Occasion::Round, Some((Timestamp(950), other)), 1000));
        assert!(due(Occasion::Round, Some((Timestamp(2000), same)), 1000), "the clock went back");
        assert!(due(Occasion::Demand, Some((Timestamp(1000), same)), 1000));
    }
}
