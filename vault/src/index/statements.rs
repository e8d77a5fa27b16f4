//! This site's own inventories and scrub reports in the index.

use std::collections::HashSet;

use lumbung_model::{RepositoryId, Timestamp};
use lumbung_pack::Kind;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Kept, from_sql, to_sql};
use crate::status::RepositoryStatus;

/// What the index knows of an inventory or a scrub report of this site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatementRow {
    pub(crate) kind: Kind,
    pub(crate) number: u64,
    pub(crate) id: [u8; 32],
    pub(crate) made: Timestamp,
    /// Hash of what it says, save its number and time.
    pub(crate) digest: [u8; 32],
}

impl StatementRow {
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO statements (repo, kind, number, id, made, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![repo, self.kind.code(), to_sql(self.number), self.id, self.made.0, self.digest])
        .map(|_| ())
    }

    /// The newest one of a kind.
    pub(crate) fn newest(
        connection: &Connection,
        repo: i64,
        kind: Kind,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(
                "SELECT number, id, made, digest FROM statements WHERE repo = ?1 AND kind = ?2
                 ORDER BY number DESC LIMIT 1",
            )?
            .query_row(params![repo, kind.code()], |row| {
                Ok(Self {
                    kind,
                    number: from_sql(row.get(0)?),
                    id: row.get(1)?,
                    made: Timestamp(row.get(2)?),
                    digest: row.get(3)?,
                })
            })
            .optional()
    }

    /// Ids of all of a kind.
    pub(crate) fn ids(
        connection: &Connection,
        repo: i64,
        kind: Kind,
    ) -> rusqlite::Result<HashSet<[u8; 32]>> {
        connection
            .prepare_cached("SELECT id FROM statements WHERE repo = ?1 AND kind = ?2")?
            .query_map(params![repo, kind.code()], |row| row.get(0))?
            .collect()
    }
}

/// The repositories that the index knows, with their rows.
pub(crate) fn repositories(connection: &Connection) -> rusqlite::Result<Vec<(i64, RepositoryId)>> {
    connection
        .prepare_cached("SELECT id, repository FROM repositories ORDER BY repository")?
        .query_map([], |row| Ok((row.get(0)?, RepositoryId::from_bytes(row.get(1)?))))?
        .collect()
}

/// The figures of a repository.
pub(crate) fn repository_status(
    connection: &Connection,
    repo: i64,
) -> rusqlite::Result<RepositoryStatus> {
    let newest = |kind| {
        Ok::<_, rusqlite::Error>(
            StatementRow::newest(connection, repo, kind)?.map(|row| (row.number, row.made)),
        )
    };
    let kept = Kept::in_repository(connection, repo)?;
    connection
        .prepare_cached(
            "SELECT (SELECT COUNT(*) FROM manifests WHERE repo = ?1),
                    (SELECT received FROM manifests WHERE repo = ?1 ORDER BY arrival DESC LIMIT 1),
                    (SELECT COUNT(*) FROM bad_frames WHERE repo = ?1)",
        )?
        .query_row([repo], |row| {
            Ok(RepositoryStatus {
                snapshots: from_sql(row.get(0)?),
                last_received: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                packs: kept.packs,
                pack_bytes: kept.pack_bytes,
                bad_frames: from_sql(row.get(2)?),
                inventory: newest(Kind::Inventory)?,
                scrub: newest(Kind::Scrub)?,
                scrubbing: None,
            })
        })
}
