//! Packs and their bad frames in the index.

use lumbung_model::{DomainId, PackId, SessionId};
use lumbung_pack::Bitmap;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{forget_verified, from_sql, to_sql};

/// What the index knows of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackRow {
    pub(crate) pack: PackId,
    pub(crate) domain: DomainId,
    pub(crate) session: SessionId,
    pub(crate) frames: u32,
    /// Bytes of the whole file.
    pub(crate) bytes: u64,
}

impl PackRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            pack: PackId::from_bytes(row.get(0)?),
            domain: DomainId::from_bytes(row.get(1)?),
            session: SessionId::from_bytes(row.get(2)?),
            frames: row.get(3)?,
            bytes: from_sql(row.get(4)?),
        })
    }

    /// Takes the pack up, whole: what was known to be bad in it is forgotten.
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        self.insert_new(tx, repo)?;
        forget_state(tx, repo, &self.pack)?;
        set_bad_frames(tx, repo, &self.pack, &[])
    }

    /// Takes the pack up if the index does not know it. (All that a row says follows from the pack's id.)
    pub(crate) fn insert_new(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT INTO packs (repo, pack, domain, session, frames, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (repo, pack) DO NOTHING",
        )?
        .execute(params![
            repo,
            self.pack.as_bytes(),
            self.domain.as_bytes(),
            self.session.as_bytes(),
            self.frames,
            to_sql(self.bytes)
        ])
        .map(|_| ())
    }

    /// Packs of a domain, ascending, after one of them.
    pub(crate) fn of_domain(
        connection: &Connection,
        repo: i64,
        domain: &DomainId,
        after: Option<&PackId>,
        limit: u32,
    ) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT pack, domain, session, frames, bytes FROM packs
                 WHERE repo = ?1 AND domain = ?2 AND pack > ?3 ORDER BY pack LIMIT ?4",
            )?
            .query_map(
                params![
                    repo,
                    domain.as_bytes(),
                    after.map_or(&[][..], |pack| pack.as_bytes()),
                    limit
                ],
                Self::read,
            )?
            .collect()
    }

    pub(crate) fn find(
        connection: &Connection,
        repo: i64,
        pack: &PackId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached("SELECT pack, domain, session, frames, bytes FROM packs WHERE repo = ?1 AND pack = ?2")?
            .query_row(params![repo, pack.as_bytes()], Self::read)
            .optional()
    }
}

/// Ids of all packs, ascending; of one domain if it is given.
pub(crate) fn list(
    connection: &Connection,
    repo: i64,
    domain: Option<&DomainId>,
) -> rusqlite::Result<Vec<[u8; 32]>> {
    match domain {
        None => connection
            .prepare_cached("SELECT pack FROM packs WHERE repo = ?1 ORDER BY pack")?
            .query_map([repo], |row| row.get(0))?
            .collect(),
        Some(domain) => connection
            .prepare_cached("SELECT pack FROM packs WHERE repo = ?1 AND domain = ?2 ORDER BY pack")?
            .query_map(params![repo, domain.as_bytes()], |row| row.get(0))?
            .collect(),
    }
}

/// Ids of the packs whose first byte lies between two, both included; ascending.
pub(crate) fn list_between(
    connection: &Connection,
    repo: i64,
    first: u8,
    last: u8,
) -> rusqlite::Result<Vec<[u8; 32]>> {
    let (mut from, mut to) = ([0; 32], [0xff; 32]);
    (from[0], to[0]) = (first, last);
    connection
        .prepare_cached(
            "SELECT pack FROM packs WHERE repo = ?1 AND pack BETWEEN ?2 AND ?3 ORDER BY pack",
        )?
        .query_map(params![repo, from, to], |row| row.get(0))?
        .collect()
}

/// Forgets a pack whose file is gone.
pub(crate) fn forget(tx: &Connection, repo: i64, pack: &PackId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM packs WHERE repo = ?1 AND pack = ?2")?
        .execute(params![repo, pack.as_bytes()])?;
    forget_state(tx, repo, pack)?;
    set_bad_frames(tx, repo, pack, &[])
}

/// Nothing is to be said of the pack's frames any more: all are here, or none.
fn forget_state(tx: &Connection, repo: i64, pack: &PackId) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM pack_states WHERE repo = ?1 AND pack = ?2")?
        .execute(params![repo, pack.as_bytes()])
        .map(|_| ())
}

/// Numbers of the frames known to be bad, ascending.
pub(crate) fn bad_frames(
    connection: &Connection,
    repo: i64,
    pack: &PackId,
) -> rusqlite::Result<Vec<u32>> {
    connection
        .prepare_cached(
            "SELECT frame FROM bad_frames WHERE repo = ?1 AND pack = ?2 ORDER BY frame",
        )?
        .query_map(params![repo, pack.as_bytes()], |row| row.get(0))?
        .collect()
}

/// Adds to what is known of a pack's bad frames; whatever was verified may rest on one of them.
pub(crate) fn add_bad_frames(
    tx: &Connection,
    repo: i64,
    pack: &PackId,
    frames: &Bitmap,
) -> rusqlite::Result<()> {
    let mut bad = bad_frames(tx, repo, pack)?;
    bad.extend(frames.iter_ones());
    bad.sort_unstable();
    bad.dedup();
    set_bad_frames(tx, repo, pack, &bad)?;
    forget_verified(tx, repo)
}

/// Replaces what is known of a pack's bad frames.
pub(crate) fn set_bad_frames(
    tx: &Connection,
    repo: i64,
    pack: &PackId,
    frames: &[u32],
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM bad_frames WHERE repo = ?1 AND pack = ?2")?
        .execute(params![repo, pack.as_bytes()])?;
    let mut insert =
        tx.prepare_cached("INSERT INTO bad_frames (repo, pack, frame) VALUES (?1, ?2, ?3)")?;
    for frame in frames {
        insert.execute(params![repo, pack.as_bytes(), frame])?;
    }
    Ok(())
}
