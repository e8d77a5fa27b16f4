//! What is kept, in packs and bytes, by repository and dedup domain. The schema's triggers carry it along.

use std::collections::BTreeMap;

use lumbung_model::DomainId;
use rusqlite::Connection;

use super::from_sql;

/// Packs and bytes that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Kept {
    pub(crate) packs: u64,
    pub(crate) pack_bytes: u64,
    /// Sessions, segments, usage lists, proofs and manifests.
    pub(crate) other_bytes: u64,
}

impl Kept {
    pub(crate) const fn bytes(&self) -> u64 {
        self.pack_bytes.saturating_add(self.other_bytes)
    }

    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            packs: from_sql(row.get(0)?),
            pack_bytes: from_sql(row.get(1)?),
            other_bytes: from_sql(row.get(2)?),
        })
    }

    /// By a whole repository.
    pub(crate) fn in_repository(connection: &Connection, repo: i64) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(
                "SELECT COALESCE(SUM(packs), 0), COALESCE(SUM(pack_bytes), 0), COALESCE(SUM(other_bytes), 0)
                 FROM kept WHERE repo = ?1",
            )?
            .query_row([repo], Self::read)
    }

    /// The dedup domains of a repository, ascending, those that keep nothing any more among them.
    pub(crate) fn domains(connection: &Connection, repo: i64) -> rusqlite::Result<Vec<DomainId>> {
        connection
            .prepare_cached("SELECT domain FROM kept WHERE repo = ?1 ORDER BY domain")?
            .query_map([repo], |row| row.get(0).map(DomainId::from_bytes))?
            .collect()
    }

    /// Bytes by each of its dedup domains.
    pub(crate) fn by_domain(
        connection: &Connection,
        repo: i64,
    ) -> rusqlite::Result<BTreeMap<DomainId, u64>> {
        connection
            .prepare_cached(
                "SELECT packs, pack_bytes, other_bytes, domain FROM kept WHERE repo = ?1",
            )?
            .query_map([repo], |row| {
                Ok((DomainId::from_bytes(row.get(3)?), Self::read(row)?.bytes()))
            })?
            .collect()
    }
}
