//! Orders: what the owner and the Dinas decide together, carried out at this site's console.
//!
//! Invariants: both signatures are there and fit this repository's newest roster and this site's `dinas_keys`; an order
//! whose validity is over is refused; carrying one out again does what is left of it. Both copies stay here. What an
//! order destroyed is not taken again, and neither is what it names and this site did not have yet.

use lumbung_model::{DatasetId, ManifestId, RepositoryId, Timestamp};
use lumbung_pack::order::{agreed, read_orders};
use lumbung_pack::{Action, Kind, Manifest, Order, Removal, Signed, Subject, open_signed};
use lumbung_store::StoreError;

use super::remove::tombstone_of;
use crate::index::{
    ManifestRow, TombstoneRow, destroy, is_destroyed, is_gone, is_released, release,
};
use crate::intake::Sender;
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// The clock of who drew an order up may be ahead of this site's by so much.
const CLOCKS_APART_S: i64 = 3600;

/// What an order did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CarriedOut {
    /// Where.
    pub repository: RepositoryId,
    /// What it says, in words.
    pub action: String,
    /// Number of the letter that decides it.
    pub letter: String,
    /// Whether it was only asked what it would do.
    pub dry_run: bool,
    /// Snapshots that it destroyed.
    pub destroyed: Vec<ManifestId>,
    /// Whether it released a hold.
    pub released: bool,
    /// Whether it keeps away what comes later.
    pub remembered: bool,
}

impl Vault {
    /// Carries an order out. With `dry_run` it only says what it would do.
    ///
    /// # Errors
    /// [`VaultError::Order`] says what it lacks; [`VaultError::Held`] where a hold keeps what it would destroy.
    pub fn carry_out(&self, text: &str, dry_run: bool) -> Result<CarriedOut, VaultError> {
        let copies = read_orders(text).map_err(VaultError::Order)?;
        let (orders, objects): (Vec<Signed<Order>>, Vec<Vec<u8>>) = copies.into_iter().unzip();
        let named = orders.first().ok_or(VaultError::Order(lumbung_pack::OrderError::Owner))?;
        let repository = self.repository(&named.body.repository)?;
        let chain = repository.chain();
        let (owner, _) = agreed(&orders, |key| chain.is_root_key(key), &self.config.dinas_keys)
            .map_err(VaultError::Order)?;
        let now = self.now();
        if now > owner.body.valid_until {
            return Err(VaultError::OrderExpired { until: owner.body.valid_until });
        }
        // It would keep away what is only made until then.
        if owner.body.issued > now.plus_seconds(CLOCKS_APART_S) {
            return Err(VaultError::OrderAhead { issued: owner.body.issued, now });
        }
        let mut done = CarriedOut {
            repository: repository.id,
            action: owner.body.action.to_string(),
            letter: owner.body.letter.clone(),
            dry_run,
            destroyed: Vec::new(),
            released: false,
            remembered: matches!(owner.body.action, Action::Destroy(_)),
        };
        let mut gate = repository.gate();
        gate.catch_up(self, &repository)?;
        self.check_feasible(&repository, &owner.body, &mut done)?;
        if dry_run {
            return Ok(done);
        }
        for bytes in &objects {
            repository.store.put(Kind::Order, &lumbung_pack::object_id(bytes), bytes)?;
        }
        self.remember(&repository, &owner.body)?;
        for manifest in &done.destroyed {
            let removal = Removal::Ordered(owner.id);
            self.remove_snapshot(&repository, &mut gate, manifest, removal)?;
        }
        drop(gate);
        self.alarm(
            Some(&repository.id),
            "order",
            format!(
                "{} was carried out: letter {}, {} snapshots destroyed",
                done.action,
                done.letter,
                done.destroyed.len()
            ),
        );
        self.wake.inventory.notify_one();
        Ok(done)
    }

    /// Finds what the order is about, and what stands against it.
    fn check_feasible(
        &self,
        repository: &Repository,
        order: &Order,
        done: &mut CarriedOut,
    ) -> Result<(), VaultError> {
        let holds = self.holds(repository)?;
        match &order.action {
            Action::Release(hold) => {
                done.released = holds.iter().any(|known| known.hold == *hold);
                if !done.released && !self.index.read(|c| is_released(c, repository.row, hold))? {
                    return Err(VaultError::NoHold(*hold));
                }
            }
            Action::Destroy(subject) => {
                let rows = self
                    .index
                    .read(|c| ManifestRow::after(c, repository.row, 0, u32::MAX, None))?;
                let dataset_of = |manifest: &ManifestId| {
                    let here = rows.iter().find(|row| row.manifest == *manifest);
                    here.map(|row| row.dataset)
                        .or_else(|| self.dataset_of_gone(repository, manifest))
                };
                let held = |hold: &&super::HoldView| {
                    hold.is_effective() && may_meet(subject, &hold.subject, dataset_of)
                };
                if let Some(hold) = holds.iter().find(held) {
                    return Err(VaultError::Held { subject: hold.subject, hold: hold.hold });
                }
                let covered = rows.iter().filter(|row| subject.covers(&row.manifest, &row.dataset));
                done.destroyed.extend(covered.map(|row| row.manifest));
            }
        }
        Ok(())
    }

    /// The dataset of a snapshot that was removed from here, if its tombstone can be read.
    fn dataset_of_gone(&self, repository: &Repository, manifest: &ManifestId) -> Option<DatasetId> {
        let row = self.index.read(|c| TombstoneRow::find(c, repository.row, manifest)).ok()??;
        Some(tombstone_of(repository, &row).ok()?.dataset)
    }

    /// Enters what an order says in the index.
    fn remember(&self, repository: &Repository, order: &Order) -> Result<(), VaultError> {
        Ok(self.index.write(|tx| match &order.action {
            Action::Release(hold) => release(tx, repository.row, hold),
            Action::Destroy(subject) => destroy(tx, repository.row, subject, order.issued),
        })?)
    }

    /// Takes up the orders that are kept here, after the index was lost. What was carried out was agreed then; two
    /// copies of one content by two keys are asked for again.
    pub(crate) fn reconcile_orders(&self, repository: &Repository) -> Result<(), VaultError> {
        let (orders, damaged) = orders_here(repository)?;
        for error in damaged {
            let next = "what it destroyed may come again: carry the order out once more if its validity is not over, \
                        or have a new one signed";
            self.alarm(Some(&repository.id), "damaged", format!("{error}; {next}"));
        }
        for (i, order) in orders.iter().enumerate() {
            let twice = orders[i + 1..]
                .iter()
                .any(|other| other.body == order.body && other.signer != order.signer);
            if twice && order.body.repository == repository.id {
                self.remember(repository, &order.body)?;
            }
        }
        Ok(())
    }

    /// Whether an order that this site knows destroys a snapshot that comes only now. One that names a dataset or the
    /// repository reaches back from the day when it was drawn up, by the first receipt of the snapshot; without
    /// one, what an agent sends counts as new, and the rest by when it was made.
    pub(crate) fn is_ordered_away(
        &self,
        repository: &Repository,
        (id, manifest): (&ManifestId, &Manifest),
        sender: Sender,
        dated: Option<Timestamp>,
    ) -> Result<bool, VaultError> {
        let received = dated.unwrap_or_else(|| match sender {
            Sender::Agent { .. } => self.now(),
            _ => manifest.started,
        });
        let subject = (id, &manifest.dataset);
        Ok(self.index.read(|c| is_destroyed(c, repository.row, subject, received))?)
    }

    /// Why a snapshot is gone from here, or does not come, in words; nothing if neither is so.
    ///
    /// # Errors
    /// If the storage or the index does not answer.
    pub fn why_gone(
        &self,
        repository: &Repository,
        manifest: &ManifestId,
    ) -> Result<Option<String>, VaultError> {
        let (stays, gone) = self.index.read(|c| {
            let here = ManifestRow::find(c, repository.row, manifest)?.is_some();
            let stays = here || !is_gone(c, repository.row, manifest)?;
            Ok((stays, TombstoneRow::find(c, repository.row, manifest)?))
        })?;
        if stays {
            return Ok(None);
        }
        if let Some(gone) = gone {
            let cause = cause_of(repository, &gone)?;
            return Ok(Some(format!(
                "removed at {}: {cause}; tombstone {}",
                gone.removed, gone.tombstone
            )));
        }
        let names = |order: &&Signed<Order>| {
            order.body.action == Action::Destroy(Subject::Snapshot(*manifest))
        };
        let (orders, _) = orders_here(repository)?;
        let order = orders.iter().find(names).map(in_words).unwrap_or_default();
        Ok(Some(format!("it never was here and is not taken: an order destroys it{order}")))
    }
}

/// Whether a snapshot may be meant by both; of one that is not here, nobody knows the dataset.
fn may_meet(
    one: &Subject,
    other: &Subject,
    dataset_of: impl Fn(&ManifestId) -> Option<DatasetId>,
) -> bool {
    match (one, other) {
        (Subject::Repository, _) | (_, Subject::Repository) => true,
        (Subject::Dataset(one), Subject::Dataset(other)) => one == other,
        (Subject::Snapshot(one), Subject::Snapshot(other)) => one == other,
        (Subject::Snapshot(snapshot), Subject::Dataset(dataset))
        | (Subject::Dataset(dataset), Subject::Snapshot(snapshot)) => {
            dataset_of(snapshot).is_none_or(|of| of == *dataset)
        }
    }
}

/// Copies of orders that are kept here and can be read; of the others, why not.
fn orders_here(repository: &Repository) -> Result<(Vec<Signed<Order>>, Vec<String>), VaultError> {
    let (mut orders, mut damaged) = (Vec::new(), Vec::new());
    for id in repository.store.list(Kind::Order)? {
        match repository.store.get(Kind::Order, &id) {
            Ok(bytes) => orders.extend(open_signed::<Order>(&bytes).ok()),
            // A store may list what is gone.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) if error.is_of_the_object() => damaged.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok((orders, damaged))
}

/// What took a snapshot away, with the letter where an order did.
fn cause_of(repository: &Repository, gone: &TombstoneRow) -> Result<String, VaultError> {
    if !gone.ordered {
        return Ok("it had expired".to_owned());
    }
    let Removal::Ordered(id) = tombstone_of(repository, gone)?.removal else {
        // It had expired when an order came for it as well.
        return Ok("an order destroyed it".to_owned());
    };
    let copy = repository.store.get(Kind::Order, id.as_bytes()).ok();
    let order = copy.and_then(|bytes| open_signed::<Order>(&bytes).ok());
    let order = order.as_ref().map(in_words).unwrap_or_default();
    Ok(format!("an order destroyed it{order}"))
}

fn in_words(order: &Signed<Order>) -> String {
    format!(" ({}; letter {}: {})", order.id, order.body.letter, order.body.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_subjects_meet_where_one_snapshot_may_be_meant_by_both() {
        let (one, other) = (ManifestId::from_bytes([1; 32]), ManifestId::from_bytes([2; 32]));
        let (here, away) = (DatasetId::from_bytes([1; 16]), DatasetId::from_bytes([2; 16]));
        // The first is of the dataset `here`; of the other nobody knows.
        let dataset_of = |snapshot: &ManifestId| (*snapshot == one).then_some(here);
        let (snapshot, dataset) = (Subject::Snapshot, Subject::Dataset);
        for (left, right, meet) in [
            (Subject::Repository, snapshot(one), true),
            (Subject::Repository, dataset(here), true),
            (Subject::Repository, Subject::Repository, true),
            (snapshot(one), snapshot(one), true),
            (snapshot(one), snapshot(other), false),
            (dataset(here), dataset(here), true),
            (dataset(here), dataset(away), false),
            (snapshot(one), dataset(here), true),
            (snapshot(one), dataset(away), false),
            (snapshot(other), dataset(away), true),
        ] {
            assert_eq!(may_meet(&left, &right, dataset_of), meet, "{left} {right}");
            assert_eq!(may_meet(&right, &left, dataset_of), meet, "{right} {left}");
        }
    }
}
