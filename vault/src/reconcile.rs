//! Brings the index in line with the files of a repository. The files are the authority.
//!
//! Invariants: only the index changes here, save for receipts of manifests that a crash left without one.
//! What is listed in the index and no longer on the disk is forgotten and raises an alarm; a manifest
//! keeps its row, so that its receipt stays. Objects may come in meanwhile: what came after the files were listed
//! is not taken for lost. Packs, of which there are most, are compared piece by piece.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use lumbung_model::{DomainId, ManifestId, PackId, ReceiptId, Timestamp};
use lumbung_pack::{
    Alarm, Grant, Inventory, Kind, Manifest, Object, Proof, Receipt, Revocation, ScrubReport,
    Segment, Session, SessionOpening, Signed, StandingApproval, UsageList, Wrap, decode,
    open_signed,
};
use lumbung_store::StoreError;
use rusqlite::Connection;

use crate::commit::{Admitted, manifest_row};
use crate::grants::{grant_row, standing_row};
use crate::index::{
    Lease, ManifestRow, ObjectRow, OpeningRow, PackRow, SessionRow, StatementRow, TombstoneRow,
    add_foreign_receipt, add_orphan, end_leases, foreign_receipt, foreign_receipts, forget_object,
    forget_pack, forget_session, forget_verified, is_gone, list_objects, list_packs_between,
    list_sessions, packs_with_holes, publish_sessions, receipt_given, revoke, save_state,
};
use crate::intake::{Sender, session_row};
use crate::pack_intake::pack_row;
use crate::repository::Repository;
use crate::workers::each;
use crate::{Vault, VaultError};

/// Rows written in one transaction.
const BATCH: usize = 500;
/// Packs whose maps are compared at once: over a distributed store each costs two requests.
const AT_ONCE: usize = 16;

/// What became of catching up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct CaughtUp {
    /// Rows that changed.
    pub(crate) changed: usize,
    /// Snapshots wait for their receipt until there is space: reading goes on without them.
    pub(crate) waiting: bool,
}

/// Takes up commits, inventories and scrub reports that the index does not know. Called by who holds the
/// gate.
pub(crate) fn catch_up(vault: &Vault, repository: &Repository) -> Result<CaughtUp, VaultError> {
    // First what was removed, so that nothing of it is taken up again.
    let buried = vault.reconcile_tombstones(repository)?;
    let mut caught = reconcile_commits(vault, repository)?;
    caught.changed += buried + reconcile_statements(vault, repository)?;
    Ok(caught)
}

/// Reconciles a whole repository. Called by who holds the gate.
pub(crate) fn reconcile(vault: &Vault, repository: &Repository) -> Result<CaughtUp, VaultError> {
    let swept = repository.store.sweep_unfinished()?;
    let mut changed = reconcile_kind(vault, repository, Kind::Session)?;
    let mut next = Some(0);
    while let Some(from) = next {
        vault.check_stopping()?;
        let (last, on_disk) = repository.store.list_packs(from)?;
        let indexed = vault.index.read(|c| list_packs_between(c, repository.row, from, last))?;
        changed += settle(vault, repository, Kind::Pack, (&on_disk, &indexed))?;
        next = last.checked_add(1);
    }
    changed += follow_holes(vault, repository)?;
    for kind in [
        Kind::Segment,
        Kind::Usage,
        Kind::Proof,
        Kind::Grant,
        Kind::Revocation,
        Kind::Wrap,
        Kind::StandingApproval,
        Kind::Opening,
    ] {
        changed += reconcile_kind(vault, repository, kind)?;
    }
    changed += vault.reconcile_holds(repository)?;
    vault.reconcile_orders(repository)?;
    let caught = catch_up(vault, repository)?;
    changed += caught.changed;
    vault.index.set_filled(repository.row)?;
    if swept > 0 || changed > 0 {
        tracing::info!(repository = %repository.id, swept, changed, "repository reconciled with its files");
    }
    Ok(CaughtUp { changed, waiting: caught.waiting })
}

fn reconcile_kind(vault: &Vault, repository: &Repository, kind: Kind) -> Result<usize, VaultError> {
    vault.check_stopping()?;
    let on_disk = repository.store.list(kind)?;
    let indexed = vault.index.read(|c| match kind {
        Kind::Session => list_sessions(c, repository.row, None),
        _ => list_objects(c, repository.row, kind, None),
    })?;
    settle(vault, repository, kind, (&on_disk, &indexed))
}

/// Takes up frames that were dropped from packs and that the index still takes for here: it is an older copy, put back
/// beside newer files. Whatever was verified by such an index counts no longer.
fn follow_holes(vault: &Vault, repository: &Repository) -> Result<usize, VaultError> {
    let mut packs = repository.store.list_presence()?;
    packs.extend(vault.index.read(|c| packs_with_holes(c, repository.row))?);
    packs.sort_unstable();
    packs.dedup();
    let followed = AtomicUsize::new(0);
    each(
        AT_ONCE,
        &packs,
        || (),
        |_| (),
        |pack, (), ()| {
            vault.check_stopping()?;
            // A map without a pack says nothing.
            if vault.index.read(|c| PackRow::find(c, repository.row, pack))?.is_some()
                && vault.follow_file(repository, pack, false)?
            {
                followed.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        },
    )?;
    let followed = followed.into_inner();
    vault.tell_of_old_index(repository, followed);
    Ok(followed)
}

/// Takes up what is on the disk only, and forgets what is in the index only; both lists ascend.
fn settle(
    vault: &Vault,
    repository: &Repository,
    kind: Kind,
    (on_disk, indexed): (&[[u8; 32]], &[[u8; 32]]),
) -> Result<usize, VaultError> {
    let mut rows: Vec<Insert> = Vec::new();
    let mut changed = 0;
    for id in lacking(on_disk, indexed) {
        match row_of(repository, kind, &id, (vault.now(), vault.age_s())) {
            Ok(row) => rows.push(row),
            // Taken away since it was listed.
            Err(VaultError::Store(StoreError::NotFound { .. })) => {}
            Err(error) => {
                let detail =
                    format!("{} {} cannot be used: {error}", kind.name(), PackId::from_bytes(id));
                vault.alarm(Some(&repository.id), "damaged", detail);
            }
        }
        if rows.len() == BATCH {
            vault.check_stopping()?;
            changed += insert(vault, repository, &mut rows)?;
        }
    }
    changed += insert(vault, repository, &mut rows)?;
    Ok(changed + forget(vault, repository, kind, &lacking(indexed, on_disk))?)
}

/// What is in the first list and not in the second; both ascend.
fn lacking(these: &[[u8; 32]], those: &[[u8; 32]]) -> Vec<[u8; 32]> {
    let mut those = those.iter().peekable();
    let mut lacking = Vec::new();
    for id in these {
        while those.next_if(|other| *other < id).is_some() {}
        if those.peek() != Some(&id) {
            lacking.push(*id);
        }
    }
    lacking
}

type Insert = Box<dyn Fn(&Connection, i64) -> rusqlite::Result<()>>;

fn insert(
    vault: &Vault,
    repository: &Repository,
    rows: &mut Vec<Insert>,
) -> Result<usize, VaultError> {
    if !rows.is_empty() {
        vault.index.write(|tx| rows.iter().try_for_each(|row| row(tx, repository.row)))?;
    }
    Ok(std::mem::take(rows).len())
}

/// Forgets objects whose files are gone, and every verification that may have rested on them. Each is looked for
/// once more while nothing else can be written to the index: one that came in meanwhile has its file first.
fn forget(
    vault: &Vault,
    repository: &Repository,
    kind: Kind,
    missed: &[[u8; 32]],
) -> Result<usize, VaultError> {
    if missed.is_empty() {
        return Ok(0);
    }
    let lost = vault.index.write(|tx| {
        let mut lost = Vec::new();
        for id in missed {
            // Where the storage does not say, it is not known to be lost.
            if !matches!(repository.store.contains(kind, id), Ok(false)) {
                continue;
            }
            match kind {
                Kind::Session => forget_session(tx, repository.row, id)?,
                Kind::Pack => forget_pack(tx, repository.row, &PackId::from_bytes(*id))?,
                _ => forget_object(tx, repository.row, kind, id)?,
            }
            lost.push(*id);
        }
        if !lost.is_empty() {
            forget_verified(tx, repository.row)?;
        }
        Ok(lost)
    })?;
    for id in &lost {
        let detail =
            format!("{} {} is no longer on the disk", kind.name(), PackId::from_bytes(*id));
        vault.alarm(Some(&repository.id), "lost", detail);
    }
    Ok(lost.len())
}

fn row_of(
    repository: &Repository,
    kind: Kind,
    id: &[u8; 32],
    (now, now_s): (Timestamp, u64),
) -> Result<Insert, VaultError> {
    if kind == Kind::Pack {
        let id = PackId::from_bytes(*id);
        let table = repository.store.pack_head(&id)?;
        let row = pack_row(&id, &table);
        let state = Vault::state_of_file(repository, &id, &table)?;
        return Ok(Box::new(move |tx, repo| {
            if PackRow::find(tx, repo, &row.pack)?.is_some() {
                // It came in meanwhile.
                return Ok(());
            }
            row.insert(tx, repo)?;
            if state.frames.is_whole() { Ok(()) } else { save_state(tx, repo, &row.pack, &state) }
        }));
    }
    let bytes = repository.store.get(kind, id)?;
    let length = bytes.len() as u64;
    let domain = match kind {
        Kind::Session => {
            let session = open_signed::<Session>(&bytes).map_err(VaultError::format(kind))?;
            let row = session_row(repository, &session, length)?;
            return Ok(Box::new(move |tx, repo| {
                row.insert(tx, repo)?;
                // Its run may still be under way; a manifest that names it ends the lease below.
                Lease::open(tx, repo, &row.session, &row.domain, now_s)
            }));
        }
        Kind::Segment => decode::<Segment>(&bytes).map_err(VaultError::format(kind))?.0.domain,
        Kind::Usage => decode::<UsageList>(&bytes).map_err(VaultError::format(kind))?.0.domain,
        Kind::Grant => {
            let grant = open_signed::<Grant>(&bytes).map_err(VaultError::format(kind))?;
            let row = grant_row(&grant, now, now_s);
            let object = ObjectRow { kind, id: *id, domain: DomainId::ZERO, bytes: length };
            return Ok(Box::new(move |tx, repo| {
                row.insert(tx, repo)?;
                object.insert(tx, repo)
            }));
        }
        Kind::Revocation => {
            let body = open_signed::<Revocation>(&bytes).map_err(VaultError::format(kind))?.body;
            let object = ObjectRow { kind, id: *id, domain: DomainId::ZERO, bytes: length };
            return Ok(Box::new(move |tx, repo| {
                revoke(tx, repo, &body.consent, body.revoked)?;
                object.insert(tx, repo)
            }));
        }
        Kind::StandingApproval => {
            let approval =
                open_signed::<StandingApproval>(&bytes).map_err(VaultError::format(kind))?;
            let row = standing_row(&approval, now, now_s);
            let object = ObjectRow { kind, id: *id, domain: DomainId::ZERO, bytes: length };
            return Ok(Box::new(move |tx, repo| {
                row.insert(tx, repo)?;
                object.insert(tx, repo)
            }));
        }
        Kind::Opening => {
            let opening =
                open_signed::<SessionOpening>(&bytes).map_err(VaultError::format(kind))?;
            let row = OpeningRow::of(&opening);
            let id = *id;
            return Ok(Box::new(move |tx, repo| {
                // One whose session is gone counts for nobody's domain.
                let session = SessionRow::find(tx, repo, &row.session)?;
                let domain = session.map_or(DomainId::ZERO, |session| session.domain);
                row.insert(tx, repo)?;
                ObjectRow { kind, id, domain, bytes: length }.insert(tx, repo)
            }));
        }
        Kind::Wrap => {
            open_signed::<Wrap>(&bytes).map_err(VaultError::format(kind))?;
            DomainId::ZERO
        }
        _ => open_signed::<Proof>(&bytes)
            .map(|_| DomainId::ZERO)
            .map_err(VaultError::format(kind))?,
    };
    let row = ObjectRow { kind, id: *id, domain, bytes: length };
    Ok(Box::new(move |tx, repo| row.insert(tx, repo)))
}

/// Takes up manifests and receipts that the index does not know, and gives receipts that are missing.
fn reconcile_commits(vault: &Vault, repository: &Repository) -> Result<CaughtUp, VaultError> {
    let known: HashMap<ManifestId, ReceiptId> =
        vault.index.read(|c| ManifestRow::receipts(c, repository.row))?.into_iter().collect();
    let mut receipts = own_receipts(vault, repository, &known)?;
    let mut new: Vec<(Signed<Manifest>, u64)> = Vec::new();
    for id in repository.store.list(Kind::Manifest)? {
        if known.contains_key(&ManifestId::from_bytes(id)) {
            continue;
        }
        let manifest = ManifestId::from_bytes(id);
        if vault.index.read(|c| TombstoneRow::find(c, repository.row, &manifest))?.is_some() {
            // A crash came between its tombstone and the end of its file.
            repository.store.remove(Kind::Manifest, &id)?;
            continue;
        }
        let opened =
            repository.store.get(Kind::Manifest, &id).map_err(VaultError::from).and_then(|bytes| {
                let manifest =
                    open_signed::<Manifest>(&bytes).map_err(VaultError::format(Kind::Manifest))?;
                Ok((manifest, bytes.len() as u64))
            });
        match opened {
            Ok(manifest) => new.push(manifest),
            Err(error) => vault.alarm(Some(&repository.id), "damaged", format!("{error}")),
        }
    }
    let changed = new.len();
    // In the order of their receipts, so that alarms come out as they did at first.
    new.sort_by_key(|(manifest, _)| {
        (
            receipts.get(&manifest.id).map_or(u64::MAX, |receipt| receipt.body.number),
            manifest.body.started,
            manifest.id,
        )
    });
    let (with, without): (Vec<_>, Vec<_>) =
        new.into_iter().partition(|(m, _)| receipts.contains_key(&m.id));
    for (manifest, bytes) in with {
        if let Some(receipt) = receipts.remove(&manifest.id) {
            take_up(vault, repository, &manifest, bytes, &receipt)?;
        }
    }
    for (manifest, receipt) in receipts {
        let removed =
            vault.index.read(|c| TombstoneRow::find(c, repository.row, &manifest))?.is_some();
        if removed {
            vault.index.write(|tx| receipt_given(tx, repository.row, receipt.body.number))?;
            continue;
        }
        vault.index.write(|tx| {
            receipt_given(tx, repository.row, receipt.body.number)?;
            if !known.contains_key(&manifest) {
                add_orphan(tx, repository.row, &manifest, &receipt.id)?;
            }
            Ok(())
        })?;
        if !known.contains_key(&manifest) {
            vault.alarm(
                Some(&repository.id),
                "lost",
                format!("snapshot {manifest} has a receipt and is not on the disk"),
            );
        }
    }
    let mut waiting = false;
    for (manifest, bytes) in without {
        waiting |= !finish_commit(vault, repository, manifest, bytes)?;
    }
    Ok(CaughtUp { changed, waiting })
}

/// This site's receipts that the index does not know, by manifest. Those of other sites are noted.
fn own_receipts(
    vault: &Vault,
    repository: &Repository,
    known: &HashMap<ManifestId, ReceiptId>,
) -> Result<HashMap<ManifestId, Signed<Receipt>>, VaultError> {
    let mut seen: HashSet<[u8; 32]> =
        vault.index.read(|c| foreign_receipts(c, repository.row))?.into_iter().collect();
    seen.extend(known.values().map(|receipt| *receipt.as_bytes()));
    let mut own: HashMap<ManifestId, Signed<Receipt>> = HashMap::new();
    for id in repository.store.list(Kind::Receipt)? {
        if seen.contains(&id) {
            continue;
        }
        let bytes = match repository.store.get(Kind::Receipt, &id) {
            Ok(bytes) => bytes,
            // A store may list what is gone.
            Err(StoreError::NotFound { .. }) => continue,
            Err(error) if error.is_of_the_object() => {
                vault.alarm(Some(&repository.id), "damaged", error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let Ok(receipt) = open_signed::<Receipt>(&bytes) else { continue };
        if receipt.body.site != vault.site() || receipt.signer != vault.identity.key.public() {
            take_up_foreign(vault, repository, &receipt)?;
            continue;
        }
        let first = own
            .get(&receipt.body.manifest)
            .is_none_or(|other| receipt.body.number < other.body.number);
        if first {
            own.insert(receipt.body.manifest, receipt);
        }
    }
    Ok(own)
}

/// Remembers a receipt of another site that the newest roster lists.
fn take_up_foreign(
    vault: &Vault,
    repository: &Repository,
    receipt: &Signed<Receipt>,
) -> Result<(), VaultError> {
    let Receipt { site, manifest, .. } = &receipt.body;
    let listed = repository.chain().site(site).is_some_and(|one| one.receipt_key == receipt.signer);
    if listed {
        vault
            .index
            .write(|tx| add_foreign_receipt(tx, repository.row, manifest, site, &receipt.id))?;
    }
    Ok(())
}

/// When a snapshot was first received: at the site that it was pulled from, if that site's receipt is here.
pub(crate) fn first_received(
    vault: &Vault,
    repository: &Repository,
    receipt: &Receipt,
) -> Result<lumbung_model::Timestamp, VaultError> {
    let Some(source) = receipt.pulled_from else { return Ok(receipt.received) };
    let known = vault
        .index
        .read(|c| foreign_receipt(c, repository.row, &receipt.manifest, &source))?
        .and_then(|id| repository.store.get(Kind::Receipt, id.as_bytes()).ok())
        .and_then(|bytes| open_signed::<Receipt>(&bytes).ok());
    Ok(known.map_or(receipt.received, |known| known.body.received.min(receipt.received)))
}

/// Enters a manifest that has its receipt; fork and gap are looked for as they were at first.
fn take_up(
    vault: &Vault,
    repository: &Repository,
    manifest: &Signed<Manifest>,
    bytes: u64,
    receipt: &Signed<Receipt>,
) -> Result<(), VaultError> {
    let dated = first_received(vault, repository, &receipt.body)?;
    let row = manifest_row(manifest, bytes, receipt, dated, vault.age_s());
    let body = &manifest.body;
    let alarms = vault.index.write(|tx| {
        let mut alarms = Vec::new();
        let there = ManifestRow::at(
            tx,
            repository.row,
            (&row.agent, &row.dataset),
            (row.epoch, row.sequence),
        )?;
        alarms.extend(
            there.filter(|other| *other != row.manifest).map(|other| Alarm::Fork { other }),
        );
        let gap = if body.previous.is_zero() {
            body.sequence > 1
        } else {
            ManifestRow::find(tx, repository.row, &body.previous)?.is_none()
                && !is_gone(tx, repository.row, &body.previous)?
        };
        if gap {
            alarms.push(Alarm::Gap { previous: body.previous });
        }
        row.insert(tx, repository.row)?;
        receipt_given(tx, repository.row, row.arrival)?;
        publish_sessions(tx, repository.row, &body.sessions)?;
        if !body.partial {
            end_leases(tx, repository.row, &body.sessions)?;
        }
        Ok(alarms)
    })?;
    alarms.iter().for_each(|alarm| vault.alarm_of(repository, manifest, alarm));
    Ok(())
}

/// A crash came between the manifest's file and its receipt: the receipt is given now, unless an order destroys the
/// snapshot. `false`: there is no space for it yet.
fn finish_commit(
    vault: &Vault,
    repository: &Repository,
    manifest: Signed<Manifest>,
    bytes: u64,
) -> Result<bool, VaultError> {
    let id = manifest.id;
    // It was checked before it was written, against the certificate that it came with; what is asked
    // now is whether everything is still here.
    let sender = Sender::Recovered { agent: manifest.body.agent, key: manifest.signer };
    let came = repository.store.arrived(Kind::Manifest, id.as_bytes())?;
    if vault.is_ordered_away(repository, (&id, &manifest.body), sender, Some(came))? {
        // An order came before its receipt did: who sent it may ask again.
        repository.store.remove(Kind::Manifest, id.as_bytes())?;
        let detail = format!("snapshot {id} had no receipt, and an order destroys it");
        vault.alarm(Some(&repository.id), "order", detail);
        return Ok(true);
    }
    let given = vault.admit(repository, manifest, bytes, sender).and_then(|admitted: Admitted| {
        let receipt = vault.give_receipt(repository, &id, sender)?;
        Ok((admitted, receipt))
    });
    let (admitted, receipt) = match given {
        Ok(given) => given,
        Err(error) if error.is_full() => {
            tracing::warn!(repository = %repository.id, manifest = %id, %error, "this snapshot's receipt waits for space");
            return Ok(false);
        }
        Err(error) => {
            let detail = format!("snapshot {id} has no receipt and cannot be given one: {error}");
            vault.alarm(Some(&repository.id), "damaged", detail);
            return Ok(true);
        }
    };
    // From here on a failure must be heard: the receipt's file is there, and its number is taken.
    let row = vault.record(repository, &admitted, &receipt)?;
    tracing::info!(repository = %repository.id, manifest = %id, receipt = row.arrival, "receipt given after a crash");
    Ok(true)
}

fn reconcile_statements(vault: &Vault, repository: &Repository) -> Result<usize, VaultError> {
    let inventories = statements::<Inventory>(vault, repository, |inventory| {
        (inventory.site == vault.site())
            .then(|| (inventory.number, inventory.made, crate::inventory::digest(inventory)))
    })?;
    let scrubs = statements::<ScrubReport>(vault, repository, |report| {
        (report.site == vault.site()).then_some((report.number, report.finished, [0; 32]))
    })?;
    Ok(inventories + scrubs)
}

fn statements<T: Object>(
    vault: &Vault,
    repository: &Repository,
    own: impl Fn(&T) -> Option<(u64, lumbung_model::Timestamp, [u8; 32])>,
) -> Result<usize, VaultError> {
    let known = vault.index.read(|c| StatementRow::ids(c, repository.row, T::KIND))?;
    let mut rows = Vec::new();
    for id in repository.store.list(T::KIND)? {
        if known.contains(&id) {
            continue;
        }
        let Ok(bytes) = repository.store.get(T::KIND, &id) else { continue };
        let Ok(signed) = open_signed::<T>(&bytes) else { continue };
        if signed.signer != vault.identity.key.public() {
            continue;
        }
        if let Some((number, made, digest)) = own(&signed.body) {
            rows.push(StatementRow { kind: T::KIND, number, id, made, digest });
        }
    }
    vault.index.write(|tx| rows.iter().try_for_each(|row| row.insert(tx, repository.row)))?;
    Ok(rows.len())
}
