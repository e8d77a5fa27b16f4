//! What sites removed: tombstones, the receipts and orders that they name.
//!
//! Invariants: rows are added, never removed; what a tombstone's receipt and order say is added once, when they were
//! read and checked; whether a removal counts and is rightful is asked of the views.

use lumbung_model::{DatasetId, ManifestId, OrderId, ReceiptId, RepositoryId, SiteId, Timestamp};
use lumbung_pack::{Order, Receipt, Removal, Signed, Tombstone};
use rusqlite::{Connection, params};

use super::evidence::{absent, not_after};
use super::{DbError, id, signed};

/// Which of these tombstones are not kept.
pub fn absent_tombstones(db: &Connection, ids: Vec<[u8; 32]>) -> Result<Vec<[u8; 32]>, DbError> {
    absent(db, "tombstones", ids)
}

/// Keeps a tombstone. One that is dated in the future counts as of when it was seen: else a site could name a day on
/// which its promise is over.
pub fn put_tombstone(
    db: &Connection,
    now: Timestamp,
    tombstone: &Signed<Tombstone>,
    object: &[u8],
) -> Result<(), DbError> {
    let body = &tombstone.body;
    let order = match body.removal {
        Removal::Expired => None,
        Removal::Ordered(order) => Some(order),
    };
    db.prepare_cached(
        "INSERT INTO tombstones (id, site, repository, manifest, receipt, signer, dataset, ordered_by, removed_s,
            seen_s, object, receipt_number, locked_until_s)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, coalesce((SELECT dataset FROM manifests WHERE id = ?4), ?7), ?8, ?9, ?10, ?11,
            (SELECT number FROM receipts WHERE id = ?5 AND site = ?2),
            (SELECT locked_until_s FROM receipts WHERE id = ?5 AND site = ?2)
         WHERE true ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        tombstone.id.as_bytes(),
        body.site.as_bytes(),
        body.repository.as_bytes(),
        body.manifest.as_bytes(),
        body.receipt.as_bytes(),
        tombstone.signer.as_bytes(),
        body.dataset.as_bytes(),
        order.map(|order| *order.as_bytes()),
        not_after(body.removed, now).0,
        now.0,
        object,
    ])?;
    Ok(())
}

/// The site's tombstones whose receipts are not known yet.
pub fn without_receipt(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<(ManifestId, ReceiptId)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT DISTINCT manifest, receipt FROM tombstones
         WHERE site = ? AND repository = ? AND receipt_number IS NULL ORDER BY seen_s DESC, id",
    )?;
    let rows = statement.query_map([site.as_bytes().as_slice(), repository.as_bytes()], |row| {
        Ok((ManifestId::from_bytes(id(row, 0)?), ReceiptId::from_bytes(id(row, 1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes what the receipt of a removed snapshot says.
pub fn set_receipt(db: &Connection, receipt: &Signed<Receipt>) -> Result<(), DbError> {
    let body = &receipt.body;
    db.prepare_cached(
        "UPDATE tombstones SET receipt_number = ?1, locked_until_s = ?2
         WHERE receipt = ?3 AND site = ?4 AND repository = ?5 AND manifest = ?6",
    )?
    .execute(params![
        signed(body.number),
        body.locked_until.0,
        receipt.id.as_bytes(),
        body.site.as_bytes(),
        body.repository.as_bytes(),
        body.manifest.as_bytes(),
    ])?;
    Ok(())
}

/// A snapshot that a site says was destroyed by an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destroyed {
    /// The snapshot.
    pub manifest: ManifestId,
    /// Of what; by the manifest where that is known, else by the tombstone.
    pub dataset: DatasetId,
    /// When.
    pub removed: Timestamp,
}

/// Orders that the site's tombstones name and that have not been read, with what they are said to have destroyed.
pub fn without_order(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<(OrderId, Destroyed)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT ordered_by, manifest, dataset, removed_s FROM tombstones
         WHERE site = ? AND repository = ? AND ordered_by IS NOT NULL AND letter IS NULL ORDER BY ordered_by, id",
    )?;
    let rows = statement.query_map([site.as_bytes().as_slice(), repository.as_bytes()], |row| {
        let destroyed = Destroyed {
            manifest: ManifestId::from_bytes(id(row, 1)?),
            dataset: DatasetId::from_bytes(id(row, 2)?),
            removed: Timestamp(row.get(3)?),
        };
        Ok((OrderId::from_bytes(id(row, 0)?), destroyed))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether the newest roster lists the order's signer as a root key.
pub fn is_owners(db: &Connection, order: &Signed<Order>) -> Result<bool, DbError> {
    let mut statement =
        db.prepare_cached("SELECT 1 FROM roster_roots WHERE repository = ? AND key = ?")?;
    Ok(statement.exists([order.body.repository.as_bytes(), order.signer.as_bytes()])?)
}

/// Keeps an order of the owner, and notes its letter with what it destroyed at the site. This stays when the owner's
/// key is exchanged later.
pub fn put_order(
    db: &Connection,
    now: Timestamp,
    site: &SiteId,
    (order, object): (&Signed<Order>, &[u8]),
    destroyed: &[ManifestId],
) -> Result<(), DbError> {
    let body = &order.body;
    let letter: String =
        body.letter.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    db.prepare_cached(
        "INSERT INTO orders (id, repository, signer, letter, seen_s, object) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        order.id.as_bytes(),
        body.repository.as_bytes(),
        order.signer.as_bytes(),
        letter,
        now.0,
        object,
    ])?;
    let mut note = db.prepare_cached(
        "UPDATE tombstones SET letter = ?1 WHERE ordered_by = ?2 AND manifest = ?3 AND site = ?4 AND repository = ?5",
    )?;
    for manifest in destroyed {
        note.execute(params![
            letter,
            order.id.as_bytes(),
            manifest.as_bytes(),
            site.as_bytes(),
            body.repository.as_bytes()
        ])?;
    }
    Ok(())
}
