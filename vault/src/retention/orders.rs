//! Orders: what the owner and the Dinas decide together, carried out at this site's console.
//!
//! Invariants: both signatures are there and fit this repository's newest roster and this site's `dinas_keys`; an order
//! whose validity is over is refused; carrying one out again does what is left of it. Both copies stay here.

use lumbung_model::{ManifestId, RepositoryId};
use lumbung_pack::order::{agreed, read_orders};
use lumbung_pack::{Action, Kind, Order, Removal, Signed, open_signed};

use crate::index::{ManifestRow, is_released, release};
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// What an order did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CarriedOut {
    /// Where.
    pub repository: RepositoryId,
    /// What it says, in words.
    pub action: String,
    /// Number of the letter that decides it.
    pub letter: String,
    /// Snapshots that it destroyed.
    pub destroyed: Vec<ManifestId>,
    /// Whether it released a hold.
    pub released: bool,
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
        let mut done = CarriedOut {
            repository: repository.id,
            action: owner.body.action.to_string(),
            letter: owner.body.letter.clone(),
            destroyed: Vec::new(),
            released: false,
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
        if let Action::Release(hold) = owner.body.action {
            self.index.write(|tx| release(tx, repository.row, &hold))?;
        }
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
                for row in rows.iter().filter(|row| subject.covers(&row.manifest, &row.dataset)) {
                    let held = |hold: &&super::HoldView| {
                        hold.is_effective() && hold.subject.covers(&row.manifest, &row.dataset)
                    };
                    if let Some(hold) = holds.iter().find(held) {
                        return Err(VaultError::Held { manifest: row.manifest, hold: hold.hold });
                    }
                    done.destroyed.push(row.manifest);
                }
            }
        }
        Ok(())
    }

    /// Takes up releases from the orders that are kept here, after the index was lost. What was carried out was
    /// agreed then; two copies of one content by two keys are asked for again.
    pub(crate) fn reconcile_orders(&self, repository: &Repository) -> Result<(), VaultError> {
        let mut orders: Vec<Signed<Order>> = Vec::new();
        for id in repository.store.list(Kind::Order)? {
            let bytes = repository.store.get(Kind::Order, &id)?;
            orders.extend(open_signed::<Order>(&bytes).ok());
        }
        for (i, order) in orders.iter().enumerate() {
            let Action::Release(hold) = order.body.action else { continue };
            let twice = orders[i + 1..]
                .iter()
                .any(|other| other.body == order.body && other.signer != order.signer);
            if twice && order.body.repository == repository.id {
                self.index.write(|tx| release(tx, repository.row, &hold))?;
            }
        }
        Ok(())
    }
}
