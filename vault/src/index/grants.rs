//! Grants and revocations in the index: what a vault looks up when a key calls that no roster lists.

use lumbung_model::{ConsentId, ManifestId, PublicKey, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{from_sql, join, split, to_sql};

/// What the index knows of a grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrantRow {
    pub(crate) grant: [u8; 32],
    pub(crate) consent: ConsentId,
    /// The grantee's Ed25519 key.
    pub(crate) key: PublicKey,
    pub(crate) signer: PublicKey,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    pub(crate) snapshots: Vec<ManifestId>,
    /// When it came, by this site's clock.
    pub(crate) came: Timestamp,
    /// The retention clock when it came; after a rebuild, when that was.
    pub(crate) came_s: u64,
}

const COLUMNS: &str =
    "grant_id, consent, grantee, signer, from_t, until_t, snapshots, came, came_s";

impl GrantRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let snapshots: Vec<u8> = row.get(6)?;
        Ok(Self {
            grant: row.get(0)?,
            consent: ConsentId::from_bytes(row.get(1)?),
            key: PublicKey::from_bytes(row.get(2)?),
            signer: PublicKey::from_bytes(row.get(3)?),
            from: Timestamp(row.get(4)?),
            until: Timestamp(row.get(5)?),
            snapshots: split(&snapshots).map(ManifestId::from_bytes).collect(),
            came: Timestamp(row.get(7)?),
            came_s: from_sql(row.get(8)?),
        })
    }

    /// Takes it up; a row that is there stays as it is.
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(&format!(
            "INSERT OR IGNORE INTO grants (repo, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        ))?
        .execute(params![
            repo,
            self.grant,
            self.consent.as_bytes(),
            self.key.as_bytes(),
            self.signer.as_bytes(),
            self.from.0,
            self.until.0,
            join(self.snapshots.iter().map(|id| *id.as_bytes())),
            self.came.0,
            to_sql(self.came_s)
        ])
        .map(|_| ())
    }

    /// Those of one grantee, ascending by id.
    pub(crate) fn of_key(
        connection: &Connection,
        repo: i64,
        key: &PublicKey,
    ) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM grants WHERE repo = ?1 AND grantee = ?2 ORDER BY grant_id"
            ))?
            .query_map(params![repo, key.as_bytes()], Self::read)?
            .collect()
    }

    /// Forgets one whose file is gone.
    pub(super) fn forget(tx: &Connection, repo: i64, id: &[u8; 32]) -> rusqlite::Result<()> {
        tx.prepare_cached("DELETE FROM grants WHERE repo = ?1 AND grant_id = ?2")?
            .execute(params![repo, id])
            .map(|_| ())
    }
}

/// Remembers that a consent was revoked. That stays, also where the revocation's file is lost.
pub(crate) fn revoke(
    tx: &Connection,
    repo: i64,
    consent: &ConsentId,
    revoked: Timestamp,
) -> rusqlite::Result<()> {
    tx.prepare_cached("INSERT OR IGNORE INTO revoked (repo, consent, revoked) VALUES (?1, ?2, ?3)")?
        .execute(params![repo, consent.as_bytes(), revoked.0])
        .map(|_| ())
}

/// When a consent was revoked, as its revocation says.
pub(crate) fn revoked(
    connection: &Connection,
    repo: i64,
    consent: &ConsentId,
) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT revoked FROM revoked WHERE repo = ?1 AND consent = ?2")?
        .query_row(params![repo, consent.as_bytes()], |row| row.get(0))
        .optional()
        .map(|found| found.map(Timestamp))
}
