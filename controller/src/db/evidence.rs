//! Evidence: manifests, receipts, inventories, scrub reports, proofs, all verified before they come here.
//!
//! Invariants: rows are added, never removed; what changes is `chain_valid` (when a predecessor arrives), a
//! manifest's size (when its usage list does) and the two summaries, `inventory_entries` and `scrub_results`; whether a row counts is asked of the newest roster by the views.

use lumbung_model::compliance::CLOCK_TOLERANCE_S;
use lumbung_model::{
    DatasetId, DomainId, ManifestId, ReceiptId, RepositoryId, SiteId, Timestamp, UsageId,
};
use lumbung_pack::{Inventory, Manifest, Proof, Receipt, ScrubReport, Signed};
use rusqlite::{Connection, params};

use super::{DbError, id, signed};

fn exists(db: &Connection, table: &str, key: &[u8]) -> Result<bool, DbError> {
    let mut statement = db.prepare_cached(&format!("SELECT 1 FROM {table} WHERE id = ?"))?;
    Ok(statement.exists([key])?)
}

/// Whether the manifest is kept.
pub fn has_manifest(db: &Connection, manifest: &ManifestId) -> Result<bool, DbError> {
    exists(db, "manifests", manifest.as_bytes())
}

/// Whether the receipt is kept.
pub fn has_receipt(db: &Connection, receipt: &ReceiptId) -> Result<bool, DbError> {
    exists(db, "receipts", receipt.as_bytes())
}

/// Which of `ids` are not kept in `table`.
pub(super) fn absent(
    db: &Connection,
    table: &str,
    ids: Vec<[u8; 32]>,
) -> Result<Vec<[u8; 32]>, DbError> {
    let mut absent = Vec::new();
    for key in ids {
        if !exists(db, table, &key)? {
            absent.push(key);
        }
    }
    Ok(absent)
}

/// Which of these inventories are not kept.
pub fn absent_inventories(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "inventories", ids)
}

/// Which of these scrub reports are not kept.
pub fn absent_scrubs(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "scrubs", ids)
}

/// Which of these proofs are not kept.
pub fn absent_proofs(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "proofs", ids)
}

/// Which of these rosters are not kept.
pub fn absent_rosters(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "rosters", ids)
}

/// Keeps a manifest.
pub fn put_manifest(
    db: &Connection,
    now: Timestamp,
    manifest: &Signed<Manifest>,
) -> Result<(), DbError> {
    let body = &manifest.body;
    db.prepare_cached(
        "INSERT INTO manifests (id, repository, agent, signer, dataset, domain, partial, epoch, sequence, previous,
            started_s, finished_s, content_bytes, usage, seen_s, new_stored_bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        manifest.id.as_bytes(),
        body.repository.as_bytes(),
        body.agent.as_bytes(),
        manifest.signer.as_bytes(),
        body.dataset.as_bytes(),
        body.domain.as_bytes(),
        body.partial,
        body.epoch,
        signed(body.sequence),
        body.previous.as_bytes(),
        body.started.0,
        body.finished.0,
        signed(body.statistics.content_bytes),
        body.usage.as_bytes(),
        now.0,
        signed(body.statistics.new_stored_bytes),
    ])?;
    Ok(())
}

/// A date by another's clock, as far as it can be true of what is seen at `now`.
pub(crate) fn not_after(claimed: Timestamp, now: Timestamp) -> Timestamp {
    if claimed.seconds_since(now) > CLOCK_TOLERANCE_S { now } else { claimed }
}

/// Keeps a receipt. One that is dated in the future counts as received when it was seen: else its site could
/// leave the snapshot out of its inventories until then.
pub fn put_receipt(
    db: &Connection,
    now: Timestamp,
    receipt: &Signed<Receipt>,
    object: &[u8],
) -> Result<(), DbError> {
    let body = &receipt.body;
    db.prepare_cached(
        "INSERT INTO receipts (id, site, repository, manifest, signer, number, received_s, locked_until_s, object)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        receipt.id.as_bytes(),
        body.site.as_bytes(),
        body.repository.as_bytes(),
        body.manifest.as_bytes(),
        receipt.signer.as_bytes(),
        signed(body.number),
        not_after(body.received, now).0,
        body.locked_until.0,
        object,
    ])?;
    Ok(())
}

/// Keeps an inventory and what it lists, in whatever order they come.
pub fn put_inventory(
    db: &Connection,
    now: Timestamp,
    inventory: &Signed<Inventory>,
) -> Result<(), DbError> {
    let body = &inventory.body;
    let chained = if body.number == 1 {
        body.previous.is_zero()
    } else {
        db.prepare_cached(
            "SELECT 1 FROM inventories WHERE id = ? AND site = ? AND repository = ? AND number = ? AND chain_valid = 1",
        )?
        .exists(params![
            body.previous.as_bytes(),
            body.site.as_bytes(),
            body.repository.as_bytes(),
            signed(body.number.saturating_sub(1))
        ])?
    };
    db.prepare_cached(
        "INSERT INTO inventories (id, site, repository, signer, number, previous, made_s, packs, bytes, chain_valid, seen_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        inventory.id.as_bytes(),
        body.site.as_bytes(),
        body.repository.as_bytes(),
        inventory.signer.as_bytes(),
        signed(body.number),
        body.previous.as_bytes(),
        body.made.0,
        signed(body.packs),
        signed(body.bytes),
        chained,
        now.0,
    ])?;
    if chained {
        chain_successors(db, inventory)?;
    }
    put_entries(db, body)
}

/// Those that waited for this one are chained now.
fn chain_successors(db: &Connection, inventory: &Signed<Inventory>) -> Result<(), DbError> {
    db.prepare_cached(
        "WITH RECURSIVE chained (id, number) AS (
            VALUES (?1, ?2)
            UNION SELECT i.id, i.number FROM inventories AS i JOIN chained AS c
                ON i.number = c.number + 1 AND i.previous = c.id
            WHERE i.site = ?3 AND i.repository = ?4)
         UPDATE inventories SET chain_valid = 1 WHERE id IN (SELECT id FROM chained)",
    )?
    .execute(params![
        inventory.id.as_bytes(),
        signed(inventory.body.number),
        inventory.body.site.as_bytes(),
        inventory.body.repository.as_bytes()
    ])?;
    Ok(())
}

fn put_entries(db: &Connection, inventory: &Inventory) -> Result<(), DbError> {
    let mut statement = db.prepare_cached(
        "INSERT INTO inventory_entries (site, repository, manifest, receipt, newest) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (site, repository, manifest) DO UPDATE SET
            receipt = CASE WHEN ?5 >= newest THEN ?4 ELSE receipt END, newest = max(newest, ?5)",
    )?;
    for entry in &inventory.entries {
        statement.execute(params![
            inventory.site.as_bytes(),
            inventory.repository.as_bytes(),
            entry.manifest.as_bytes(),
            entry.receipt.as_bytes(),
            signed(inventory.number),
        ])?;
    }
    Ok(())
}

/// Keeps a scrub report and what it found. One that is dated in the future verifies nothing, since all damage
/// found until then would look older; the damage that it found counts.
pub fn put_scrub(
    db: &Connection,
    now: Timestamp,
    scrub: &Signed<ScrubReport>,
) -> Result<(), DbError> {
    let body = &scrub.body;
    let finished = not_after(body.finished, now);
    let verifies = finished == body.finished;
    db.prepare_cached(
        "INSERT INTO scrubs (id, site, repository, signer, number, started_s, finished_s, frames, bytes, repaired, bad)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        scrub.id.as_bytes(),
        body.site.as_bytes(),
        body.repository.as_bytes(),
        scrub.signer.as_bytes(),
        signed(body.number),
        body.started.0,
        body.finished.0,
        signed(body.frames),
        signed(body.bytes),
        body.repaired,
        body.bad,
    ])?;
    let mut verified = db.prepare_cached(
        "INSERT INTO scrub_results (site, repository, manifest, signer, verified_s, verified_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (site, repository, manifest, signer) DO UPDATE SET
            verified_by = CASE WHEN ?5 >= coalesce(verified_s, ?5) THEN ?6 ELSE verified_by END,
            verified_s = max(coalesce(verified_s, ?5), ?5)",
    )?;
    let (site, repository, signer) =
        (body.site.as_bytes(), body.repository.as_bytes(), scrub.signer.as_bytes());
    for manifest in body.verified.iter().filter(|_| verifies) {
        verified.execute(params![
            site,
            repository,
            manifest.as_bytes(),
            signer,
            body.finished.0,
            scrub.id.as_bytes()
        ])?;
    }
    let mut damaged = db.prepare_cached(
        "INSERT INTO scrub_results (site, repository, manifest, signer, damaged_s) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (site, repository, manifest, signer) DO UPDATE SET damaged_s = max(coalesce(damaged_s, ?5), ?5)",
    )?;
    for manifest in &body.damaged {
        damaged.execute(params![site, repository, manifest.as_bytes(), signer, finished.0])?;
    }
    Ok(())
}

/// Keeps a proof of restore; says whether it was new.
pub fn put_proof(
    db: &Connection,
    now: Timestamp,
    proof: &Signed<Proof>,
    object: &[u8],
) -> Result<bool, DbError> {
    let body = &proof.body;
    let inserted = db
        .prepare_cached(
        "INSERT INTO proofs (id, repository, manifest, site, signer, started_s, finished_s, entries, bytes, failed, seen_s, object)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        proof.id.as_bytes(),
        body.repository.as_bytes(),
        body.manifest.as_bytes(),
        body.site.as_bytes(),
        proof.signer.as_bytes(),
        body.started.0,
        body.finished.0,
        signed(body.entries),
        signed(body.bytes),
        signed(body.failed),
        now.0,
        object,
    ])?;
    Ok(inserted > 0)
}

/// The repository, the domain and whether it is partial, of a kept manifest.
pub fn manifest_place(
    db: &Connection,
    manifest: &ManifestId,
) -> Result<Option<(RepositoryId, bool)>, DbError> {
    use rusqlite::OptionalExtension;
    let mut statement =
        db.prepare_cached("SELECT repository, partial FROM manifests WHERE id = ?")?;
    let found = statement
        .query_row([manifest.as_bytes()], |row| {
            Ok((RepositoryId::from_bytes(id(row, 0)?), row.get(1)?))
        })
        .optional()?;
    Ok(found)
}

/// The dataset of a kept manifest.
pub fn dataset_of(db: &Connection, manifest: &ManifestId) -> Result<Option<DatasetId>, DbError> {
    use rusqlite::OptionalExtension;
    let mut statement = db.prepare_cached("SELECT dataset FROM manifests WHERE id = ?")?;
    let found = statement.query_row([manifest.as_bytes()], |row| id(row, 0)).optional()?;
    Ok(found.map(DatasetId::from_bytes))
}

/// A manifest whose size is not known yet.
pub struct Unsized {
    /// The manifest.
    pub manifest: ManifestId,
    /// Its usage list.
    pub usage: UsageId,
    /// Its domain.
    pub domain: DomainId,
}

/// Manifests receipted at the site whose size is not known yet, newest first.
pub fn unsized_manifests(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
    limit: u32,
) -> Result<Vec<Unsized>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT m.id, m.usage, m.domain FROM manifests AS m JOIN receipts AS r ON r.manifest = m.id AND r.site = ?1
         WHERE m.repository = ?2 AND m.stored_bytes IS NULL AND m.partial = 0 ORDER BY m.seen_s DESC, m.id LIMIT ?3",
    )?;
    let rows =
        statement.query_map(params![site.as_bytes(), repository.as_bytes(), limit], |row| {
            Ok(Unsized {
                manifest: ManifestId::from_bytes(id(row, 0)?),
                usage: UsageId::from_bytes(id(row, 1)?),
                domain: DomainId::from_bytes(id(row, 2)?),
            })
        })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes a manifest's size: stored bytes by its usage list.
pub fn set_size(db: &Connection, manifest: &ManifestId, stored_bytes: u64) -> Result<(), DbError> {
    db.prepare_cached("UPDATE manifests SET stored_bytes = ? WHERE id = ?")?
        .execute(params![signed(stored_bytes), manifest.as_bytes()])?;
    Ok(())
}
