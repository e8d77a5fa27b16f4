//! What a site says that it removed, with the receipts and orders that speak for or against it.
//!
//! Invariants: a tombstone counts only if the site signed it; an order counts only if the owner signed it, it names the
//! snapshot, and it had not lapsed when the snapshot went. What cannot be read today is asked for again.

use lumbung_model::compliance::CLOCK_TOLERANCE_S;
use lumbung_model::{ManifestId, OrderId, ReceiptId, RepositoryId};
use lumbung_pack::{Action, Kind, Order};

use super::check;
use super::site::{PollError, RETRIES, SitePoll};
use super::source::Source;
use crate::db::removals::{self, Destroyed};

impl<S: Source> SitePoll<'_, S> {
    pub(super) async fn tombstones(&self, repository: RepositoryId) -> Result<(), PollError> {
        let keys = self.site.keys;
        let ids = match self.source.list(&repository, Kind::Tombstone).await {
            Ok(ids) => ids,
            Err(error) if error.not_found => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let absent = self.db.read_async(move |tx| removals::absent_tombstones(tx, ids)).await?;
        let mut outcome: Result<(), PollError> = Ok(());
        for id in absent {
            let Some(object) = self.find(&repository, Kind::Tombstone, &id).await? else {
                // It was there when they were listed: its snapshot is let come again.
                continue;
            };
            let now = self.clock.now();
            match check::tombstone(&object, &id, &repository, &keys) {
                Ok(tombstone) => {
                    self.db
                        .write_async(move |tx| {
                            removals::put_tombstone(tx, now, &tombstone, &object)
                        })
                        .await?;
                }
                Err(error) => outcome = Err(error.into()),
            }
        }
        // Each on its own: an order is read although a receipt did not pass.
        let results =
            [outcome, self.receipts_of_removed(repository).await, self.orders(repository).await];
        let lost = |result: &Result<(), PollError>| matches!(result, Err(PollError::Source(_)));
        match results.iter().position(lost) {
            Some(position) => results.into_iter().nth(position).unwrap_or(Ok(())),
            None => results.into_iter().collect(),
        }
    }

    async fn find(
        &self,
        repository: &RepositoryId,
        kind: Kind,
        id: &[u8; 32],
    ) -> Result<Option<Vec<u8>>, PollError> {
        match self.source.get(repository, kind, id).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.not_found => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Receipts of snapshots that were gone before they were read here: how long they had to be kept.
    async fn receipts_of_removed(&self, repository: RepositoryId) -> Result<(), PollError> {
        let keys = self.site.keys;
        let wanted: Vec<(ManifestId, ReceiptId)> = self
            .db
            .read_async(move |tx| removals::without_receipt(tx, &keys.site, &repository))
            .await?;
        let (mut rejected, mut failed) = (None, 0);
        for (manifest, receipt) in wanted {
            let id = receipt.as_bytes();
            let checked = match self.find(&repository, Kind::Receipt, id).await? {
                Some(object) => check::receipt(&object, id, &repository, &keys, &manifest),
                None => {
                    failed += 1;
                    continue;
                }
            };
            match checked {
                Ok(receipt) => {
                    self.db.write_async(move |tx| removals::set_receipt(tx, &receipt)).await?;
                }
                Err(error) => {
                    rejected = Some(error);
                    failed += 1;
                }
            }
            if failed >= RETRIES {
                break;
            }
        }
        rejected.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Orders that tombstones name.
    async fn orders(&self, repository: RepositoryId) -> Result<(), PollError> {
        let site = self.site.keys.site;
        let wanted =
            self.db.read_async(move |tx| removals::without_order(tx, &site, &repository)).await?;
        let mut rejected = None;
        for named in wanted.chunk_by(|a, b| a.0 == b.0).take(RETRIES as usize) {
            let Some((id, _)) = named.first() else { continue };
            let Some(object) = self.find(&repository, Kind::Order, id.as_bytes()).await? else {
                continue;
            };
            match check::order(&object, id, &repository) {
                Ok(order) => {
                    let destroyed = ordered(&order.body, named);
                    let now = self.clock.now();
                    self.db
                        .write_async(move |tx| {
                            if destroyed.is_empty() || !removals::is_owners(tx, &order)? {
                                return Ok(());
                            }
                            removals::put_order(tx, now, &site, (&order, &object), &destroyed)
                        })
                        .await?;
                }
                Err(error) => rejected = Some(error),
            }
        }
        rejected.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Those of the snapshots that the order indeed tells to destroy.
fn ordered(order: &Order, named: &[(OrderId, Destroyed)]) -> Vec<ManifestId> {
    let Action::Destroy(subject) = order.action else { return Vec::new() };
    let in_time =
        |one: &Destroyed| one.removed.seconds_since(order.valid_until) <= CLOCK_TOLERANCE_S;
    let covered = named.iter().map(|(_, one)| one);
    covered
        .filter(|one| subject.covers(&one.manifest, &one.dataset) && in_time(one))
        .map(|one| one.manifest)
        .collect()
}
