//! The commit: a manifest is checked, kept, and receipted.
//!
//! Invariants: the manifest's file comes before the receipt's, and both before the index. A receipt that
//! was given is given again, byte for byte, whenever the same manifest comes (it can be signed again from
//! its row: Ed25519 is deterministic). A crash between any two steps is healed by repeating the PUT or by
//! the next start. Numbers of receipts are never used twice: who finds the index behind its files catches
//! up first.

use lumbung_model::{ManifestId, PackId, ReceiptId, Timestamp};
use lumbung_pack::{
    Admission, Alarm, Kind, Manifest, Receipt, Signed, check_manifest, open_signed, sign,
};
use lumbung_store::{PutOutcome, StoreError};

use crate::holdings::Held;
use crate::index::{
    ManifestRow, TombstoneRow, end_leases, load_state, orphan, publish_sessions, receipt_given,
    receipts_given, save_object_state, save_state, set_verified,
};
use crate::intake::Sender;
use crate::quota::Room;
use crate::repository::Repository;
use crate::{Vault, VaultError};

/// A manifest that this site keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// This site's receipt.
    pub receipt: Vec<u8>,
    /// Whether the manifest is new here.
    pub outcome: PutOutcome,
}

/// A manifest that may be kept, with what the check found.
pub(crate) struct Admitted {
    pub(crate) manifest: Signed<Manifest>,
    pub(crate) bytes: u64,
    pub(crate) admission: Admission,
    /// When another site received it, if a receipt of that site came along.
    pub(crate) dated: Option<Timestamp>,
    /// Kept until the index counts it.
    _room: Room,
}

impl Vault {
    /// Takes a manifest, if everything that it needs is here.
    ///
    /// # Errors
    /// [`VaultError::Incomplete`] lists what is missing; other refusals say what is wrong.
    pub fn commit(
        &self,
        repository: &Repository,
        id: &ManifestId,
        bytes: &[u8],
        sender: Sender,
    ) -> Result<Committed, VaultError> {
        self.commit_dated(repository, id, bytes, sender, None)
    }

    /// As [`Vault::commit`]; `dated` is when another site received it, by a receipt that came along.
    ///
    /// # Errors
    /// As [`Vault::commit`].
    pub fn commit_dated(
        &self,
        repository: &Repository,
        id: &ManifestId,
        bytes: &[u8],
        sender: Sender,
        dated: Option<Timestamp>,
    ) -> Result<Committed, VaultError> {
        let manifest =
            open_signed::<Manifest>(bytes).map_err(VaultError::format(Kind::Manifest))?;
        if manifest.id != *id {
            let found = *manifest.id.as_bytes();
            return Err(
                StoreError::WrongId { kind: Kind::Manifest, id: *id.as_bytes(), found }.into()
            );
        }
        if sender.certified().is_some_and(|(agent, _)| agent != manifest.body.agent) {
            return Err(VaultError::Forbidden(
                "this manifest names another agent than the certificate".to_owned(),
            ));
        }
        let mut gate = repository.gate();
        gate.catch_up(self, repository)?;
        let waiting = gate.behind;
        if let Some(row) = self.index.read(|c| ManifestRow::find(c, repository.row, id))? {
            if repository.store.put(Kind::Manifest, id.as_bytes(), bytes)? == PutOutcome::Created {
                // It had been lost.
                repository.touch();
            }
            return Ok(Committed {
                receipt: self.receipt_again(repository, &row)?,
                outcome: PutOutcome::AlreadyThere,
            });
        }
        if let Some(gone) = self.index.read(|c| TombstoneRow::find(c, repository.row, id))? {
            return Err(VaultError::Removed { manifest: *id, ordered: gone.ordered });
        }
        if self.is_ordered_away(repository, (id, &manifest.body), sender, dated)? {
            return Err(VaultError::Removed { manifest: *id, ordered: true });
        }
        let mut admitted = self.admit(repository, manifest, bytes.len() as u64, sender)?;
        admitted.dated = dated;
        // From here on a failure may leave a file that the index does not know.
        gate.behind = true;
        repository.store.put(Kind::Manifest, id.as_bytes(), bytes)?;
        let receipt = self.give_receipt(repository, id, sender)?;
        let row = self.record(repository, &admitted, &receipt)?;
        gate.behind = waiting;
        drop(gate);
        self.report(repository, &admitted, &row);
        let receipt = sign(&receipt.body, &self.identity.key);
        Ok(Committed { receipt, outcome: PutOutcome::Created })
    }

    /// Checks a manifest against what is held here.
    pub(crate) fn admit(
        &self,
        repository: &Repository,
        manifest: Signed<Manifest>,
        bytes: u64,
        sender: Sender,
    ) -> Result<Admitted, VaultError> {
        self.check_reserve()?;
        let held = Held {
            index: self.index.snapshot()?,
            repository,
            chain: repository.chain(),
            certified: sender.certified(),
            lengths: std::cell::RefCell::default(),
        };
        let admission = check_manifest(&held, &manifest, sender.provenance())
            .map_err(|refusal| VaultError::refused(Kind::Manifest, refusal))?;
        repository.check_domain(
            &self.index,
            &manifest.body.agent,
            &manifest.body.domain,
            Kind::Manifest,
        )?;
        let room = self.make_room(repository, &manifest.body.domain, bytes)?;
        Ok(Admitted { manifest, bytes, admission, dated: None, _room: room })
    }

    /// Signs the next receipt and keeps it, or finds the one that was given before the manifest was lost.
    pub(crate) fn give_receipt(
        &self,
        repository: &Repository,
        manifest: &ManifestId,
        sender: Sender,
    ) -> Result<Signed<Receipt>, VaultError> {
        let (given, before) = self.index.read(|c| {
            Ok((receipts_given(c, repository.row)?, orphan(c, repository.row, manifest)?))
        })?;
        if let Some(id) = before {
            let bytes = repository.store.get(Kind::Receipt, id.as_bytes())?;
            return open_signed(&bytes).map_err(VaultError::format(Kind::Receipt));
        }
        let received = self.now();
        let receipt = Receipt {
            repository: repository.id,
            site: self.site(),
            manifest: *manifest,
            number: given + 1,
            received,
            locked_until: received.plus_seconds(i64::from(self.config.lock.as_seconds())),
            pulled_from: sender.site(),
        };
        let bytes = sign(&receipt, &self.identity.key);
        let id = lumbung_pack::object_id(&bytes);
        repository.store.put(Kind::Receipt, &id, &bytes)?;
        Ok(Signed {
            body: receipt,
            id: ReceiptId::from_bytes(id),
            signer: self.identity.key.public(),
        })
    }

    /// Enters manifest and receipt in the index, in one transaction.
    pub(crate) fn record(
        &self,
        repository: &Repository,
        admitted: &Admitted,
        receipt: &Signed<Receipt>,
    ) -> Result<ManifestRow, VaultError> {
        let dated =
            admitted.dated.map_or(receipt.body.received, |dated| dated.min(receipt.body.received));
        let row = manifest_row(&admitted.manifest, admitted.bytes, receipt, dated, self.age_s());
        let body = &admitted.manifest.body;
        self.index.write(|tx| {
            row.insert(tx, repository.row)?;
            revive(tx, repository.row, admitted)?;
            if !body.partial {
                end_leases(tx, repository.row, &body.sessions)?;
            }
            receipt_given(tx, repository.row, row.arrival)?;
            publish_sessions(tx, repository.row, &body.sessions)?;
            for (segment, sessions) in &admitted.admission.newly_verified {
                set_verified(tx, repository.row, segment, sessions)?;
            }
            Ok(())
        })?;
        repository.touch();
        Ok(row)
    }

    fn report(&self, repository: &Repository, admitted: &Admitted, row: &ManifestRow) {
        let body = &admitted.manifest.body;
        for alarm in &admitted.admission.alarms {
            self.alarm_of(repository, &admitted.manifest, alarm);
        }
        tracing::info!(
            repository = %repository.id, manifest = %row.manifest, agent = %body.agent, dataset = %body.dataset,
            sequence = body.sequence, partial = body.partial, authorized = admitted.admission.authorized,
            receipt = row.arrival, pulled_from = ?row.pulled_from, "snapshot kept"
        );
        self.wake.inventory.notify_one();
    }

    pub(crate) fn alarm_of(
        &self,
        repository: &Repository,
        manifest: &Signed<Manifest>,
        alarm: &Alarm,
    ) {
        let body = &manifest.body;
        let place = format!(
            "snapshot {} of agent {}, dataset {}, epoch {}, number {}",
            manifest.id, body.agent, body.dataset, body.epoch, body.sequence
        );
        match alarm {
            Alarm::Fork { other } => self.alarm(
                Some(&repository.id),
                "fork",
                format!("{place} has the same place as {other}: two machines use one identity, or an old copy of one was started"),
            ),
            Alarm::Gap { previous } => self.alarm(
                Some(&repository.id),
                "gap",
                format!("{place} follows {previous}, which is not here"),
            ),
        }
    }

    /// The receipt that was given; written again if its file was lost or damaged.
    fn receipt_again(
        &self,
        repository: &Repository,
        row: &ManifestRow,
    ) -> Result<Vec<u8>, VaultError> {
        match repository.store.get(Kind::Receipt, row.receipt.as_bytes()) {
            Ok(bytes) => return Ok(bytes),
            Err(StoreError::NotFound { .. } | StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let receipt = Receipt {
            repository: repository.id,
            site: self.site(),
            manifest: row.manifest,
            number: row.arrival,
            received: row.received,
            locked_until: row.locked_until,
            pulled_from: row.pulled_from,
        };
        let bytes = sign(&receipt, &self.identity.key);
        repository.store.put(Kind::Receipt, row.receipt.as_bytes(), &bytes)?;
        Ok(bytes)
    }
}

/// What the manifest names is in use: it waits no longer and is not condemned. Segments that were verified before need
/// no look: nothing in them waits (`gc`).
fn revive(tx: &rusqlite::Connection, repo: i64, admitted: &Admitted) -> rusqlite::Result<()> {
    let body = &admitted.manifest.body;
    save_object_state(tx, repo, Kind::Usage, body.usage.as_bytes(), None)?;
    for session in &body.sessions {
        save_object_state(tx, repo, Kind::Session, session.as_bytes(), None)?;
    }
    for (segment, _) in &admitted.admission.newly_verified {
        save_object_state(tx, repo, Kind::Segment, segment.as_bytes(), None)?;
    }
    let mut named = admitted.admission.named.iter();
    named.try_for_each(|pack| revive_frames(tx, repo, &pack.pack, &pack.used))
}

fn revive_frames(
    tx: &rusqlite::Connection,
    repo: i64,
    pack: &PackId,
    used: &lumbung_pack::Bitmap,
) -> rusqlite::Result<()> {
    let Some(mut state) = load_state(tx, repo, pack)? else { return Ok(()) };
    if state.frames.absent.bits() == used.bits() {
        state.frames.revive(used);
        save_state(tx, repo, pack, &state)?;
    }
    Ok(())
}

/// A manifest's row. `dated` is the earliest receipt that came with it, `came_s` the retention clock when it came.
pub(crate) fn manifest_row(
    manifest: &Signed<Manifest>,
    bytes: u64,
    receipt: &Signed<Receipt>,
    dated: Timestamp,
    came_s: u64,
) -> ManifestRow {
    let body = &manifest.body;
    ManifestRow {
        manifest: manifest.id,
        agent: body.agent,
        dataset: body.dataset,
        domain: body.domain,
        epoch: body.epoch,
        sequence: body.sequence,
        signer: manifest.signer,
        arrival: receipt.body.number,
        receipt: receipt.id,
        received: receipt.body.received,
        locked_until: receipt.body.locked_until,
        pulled_from: receipt.body.pulled_from,
        bytes,
        partial: body.partial,
        dated,
        came_s,
        displaced_s: None,
    }
}
