//! Records of rehearsals, verified before they come here.
//!
//! Invariant: rows are added, never removed; of which key and PD they speak is asked of the newest rosters.

use lumbung_model::{PdId, PublicKey, RepositoryId, ShareSetId, Timestamp};
use lumbung_pack::{Rehearsal, Signed};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::evidence::not_after;
use super::{DbError, id};

/// A rehearsal as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsed {
    /// The split.
    pub set: ShareSetId,
    /// How many shares rebuild the key.
    pub threshold: u8,
    /// How many there are.
    pub shares: u8,
    /// The recovery key that was rebuilt, public half.
    pub recovery: PublicKey,
    /// When.
    pub at: Timestamp,
    /// Numbers and holders of the shares that were there.
    pub present: Vec<(u8, String)>,
}

/// Keeps a record; whether it is new. One that is dated in the future counts as of when it was handed in.
pub fn put(db: &Connection, now: Timestamp, record: &Signed<Rehearsal>) -> Result<bool, DbError> {
    let body = &record.body;
    let present = serde_json::to_string(&body.present)
        .map_err(|_| DbError::Corrupt { what: "the shares of a rehearsal" })?;
    let inserted = db
        .prepare_cached(
            "INSERT INTO rehearsals (id, signer, share_set, threshold, shares, recovery, at_s, present, note, seen_s)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![
            record.id,
            record.signer.as_bytes(),
            body.set.as_bytes(),
            body.threshold,
            body.shares,
            body.recovery.as_bytes(),
            not_after(body.at, now).0,
            present,
            body.note,
            now.0,
        ])?;
    Ok(inserted > 0)
}

/// The rehearsals of a root key, the last one first.
pub fn of_key(db: &Connection, key: &PublicKey) -> Result<Vec<Rehearsed>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT share_set, threshold, shares, recovery, at_s, present FROM rehearsals
         WHERE signer = ? ORDER BY at_s DESC, id LIMIT 200",
    )?;
    let rows = statement.query_map([key.as_bytes()], |row| {
        let present: String = row.get(5)?;
        Ok((
            Rehearsed {
                set: ShareSetId::from_bytes(id(row, 0)?),
                threshold: row.get(1)?,
                shares: row.get(2)?,
                recovery: PublicKey::from_bytes(id(row, 3)?),
                at: Timestamp(row.get(4)?),
                present: Vec::new(),
            },
            present,
        ))
    })?;
    rows.map(|row| {
        let (rehearsed, present) = row?;
        let present = serde_json::from_str(&present)
            .map_err(|_| DbError::Corrupt { what: "the shares of a rehearsal" })?;
        Ok(Rehearsed { present, ..rehearsed })
    })
    .collect()
}

/// The PD whose newest roster lists this root key, among those that `scope` sees.
pub fn pd_of_key(
    db: &Connection,
    scope: Option<PdId>,
    key: &PublicKey,
) -> Result<Option<PdId>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT r.pd FROM roster_roots AS k JOIN repositories AS r ON r.id = k.repository
         WHERE k.key = ?1 AND (?2 IS NULL OR r.pd = ?2) ORDER BY r.id LIMIT 1",
    )?;
    let asked = params![key.as_bytes(), scope.map(|pd| *pd.as_bytes())];
    let found = statement.query_row(asked, |row| id(row, 0)).optional()?;
    Ok(found.map(PdId::from_bytes))
}

/// The repositories of which rosters are known, with their PD and when they were bound.
pub fn repositories(
    db: &Connection,
    pd: Option<PdId>,
) -> Result<Vec<(RepositoryId, PdId, Timestamp)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, pd, bound_s FROM repositories WHERE ?1 IS NULL OR pd = ?1 ORDER BY pd, id",
    )?;
    let rows = statement.query_map([pd.map(|pd| *pd.as_bytes())], |row| {
        let repository = RepositoryId::from_bytes(id(row, 0)?);
        Ok((repository, PdId::from_bytes(id(row, 1)?), Timestamp(row.get(2)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
