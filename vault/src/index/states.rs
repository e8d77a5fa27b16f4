//! Frames and objects on their way out, in the index: see `gc`.

use lumbung_model::PackId;
use lumbung_pack::{Bitmap, Kind};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{from_sql, to_sql};
use crate::gc::FrameStates;

/// What the index says of a pack of which frames are missing or unused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackState {
    pub(crate) frames: FrameStates,
    /// Stored bytes of the absent frames.
    pub(crate) absent_bytes: u64,
    /// The absent frames are still to be taken from the file.
    pub(crate) pending: bool,
}

impl PackState {
    /// A pack with all its frames.
    pub(crate) fn whole(frames: u32) -> Self {
        Self { frames: FrameStates::whole(frames), absent_bytes: 0, pending: false }
    }
}

/// What is known of a pack; nothing where it is whole and in use.
pub(crate) fn load_state(
    connection: &Connection,
    repo: i64,
    pack: &PackId,
) -> rusqlite::Result<Option<PackState>> {
    connection
        .prepare_cached(
            "SELECT frames, absent, absent_bytes, pending, waiting, waiting_s, condemned, condemned_s
             FROM pack_states WHERE repo = ?1 AND pack = ?2",
        )?
        .query_row(params![repo, pack.as_bytes()], |row| {
            let frames: u32 = row.get(0)?;
            let set = |column: usize| -> rusqlite::Result<Option<Bitmap>> {
                let bytes: Option<Vec<u8>> = row.get(column)?;
                bytes.map(|bytes| bitmap(frames, &bytes, column)).transpose()
            };
            let timed = |set: Option<Bitmap>, column: usize| -> rusqlite::Result<_> {
                let since: Option<i64> = row.get(column)?;
                Ok(set.zip(since.map(from_sql)))
            };
            Ok(PackState {
                frames: FrameStates {
                    absent: set(1)?.unwrap_or_else(|| Bitmap::new(frames)),
                    waiting: timed(set(4)?, 5)?,
                    condemned: timed(set(6)?, 7)?,
                },
                absent_bytes: from_sql(row.get(2)?),
                pending: row.get(3)?,
            })
        })
        .optional()
}

fn bitmap(frames: u32, bytes: &[u8], column: usize) -> rusqlite::Result<Bitmap> {
    Bitmap::from_bytes(frames, bytes).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            column,
            rusqlite::types::Type::Blob,
            Box::new(error),
        )
    })
}

/// Replaces what is known of a pack.
pub(crate) fn save_state(
    tx: &Connection,
    repo: i64,
    pack: &PackId,
    state: &PackState,
) -> rusqlite::Result<()> {
    let PackState { frames, absent_bytes, pending } = state;
    if frames.is_whole() && !pending {
        return tx
            .prepare_cached("DELETE FROM pack_states WHERE repo = ?1 AND pack = ?2")?
            .execute(params![repo, pack.as_bytes()])
            .map(|_| ());
    }
    let timed = |state: &Option<(Bitmap, u64)>| {
        state.as_ref().map(|(set, since)| (set.as_bytes().to_vec(), to_sql(*since))).unzip()
    };
    let (waiting, waiting_s): (Option<Vec<u8>>, Option<i64>) = timed(&frames.waiting);
    let (condemned, condemned_s): (Option<Vec<u8>>, Option<i64>) = timed(&frames.condemned);
    let absent = (!frames.absent.is_empty()).then(|| frames.absent.as_bytes());
    tx.prepare_cached(
        "INSERT OR REPLACE INTO pack_states
         (repo, pack, frames, absent, absent_bytes, pending, waiting, waiting_s, condemned, condemned_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        repo,
        pack.as_bytes(),
        frames.absent.bits(),
        absent,
        to_sql(*absent_bytes),
        pending,
        waiting,
        waiting_s,
        condemned,
        condemned_s
    ])
    .map(|_| ())
}

/// Packs of which frames are gone.
pub(crate) fn packs_with_holes(
    connection: &Connection,
    repo: i64,
) -> rusqlite::Result<Vec<PackId>> {
    connection
        .prepare_cached("SELECT pack FROM pack_states WHERE repo = ?1 AND absent IS NOT NULL")?
        .query_map([repo], |row| row.get(0).map(PackId::from_bytes))?
        .collect()
}

/// Packs whose files still have frames that the index calls absent: a crash came in between.
pub(crate) fn pending(connection: &Connection, repo: i64) -> rusqlite::Result<Vec<PackId>> {
    connection
        .prepare_cached("SELECT pack FROM pack_states WHERE repo = ?1 AND pending = 1")?
        .query_map([repo], |row| row.get(0).map(PackId::from_bytes))?
        .collect()
}

/// A small object that no snapshot names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectState {
    pub(crate) kind: Kind,
    pub(crate) id: [u8; 32],
    /// The retention clock when it was first found so.
    pub(crate) waiting_s: u64,
}

/// All that wait, of a kind.
pub(crate) fn object_states(
    connection: &Connection,
    repo: i64,
    kind: Kind,
) -> rusqlite::Result<Vec<ObjectState>> {
    connection
        .prepare_cached(
            "SELECT id, waiting_s FROM object_states WHERE repo = ?1 AND kind = ?2 ORDER BY id",
        )?
        .query_map(params![repo, kind.code()], |row| {
            Ok(ObjectState { kind, id: row.get(0)?, waiting_s: from_sql(row.get(1)?) })
        })?
        .collect()
}

/// Remembers since when an object waits, or that it no longer does.
pub(crate) fn save_object_state(
    tx: &Connection,
    repo: i64,
    kind: Kind,
    id: &[u8; 32],
    waiting_s: Option<u64>,
) -> rusqlite::Result<()> {
    match waiting_s {
        Some(since) => tx
            .prepare_cached(
                "INSERT OR REPLACE INTO object_states (repo, kind, id, waiting_s) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![repo, kind.code(), id, to_sql(since)]),
        None => tx
            .prepare_cached("DELETE FROM object_states WHERE repo = ?1 AND kind = ?2 AND id = ?3")?
            .execute(params![repo, kind.code(), id]),
    }
    .map(|_| ())
}
