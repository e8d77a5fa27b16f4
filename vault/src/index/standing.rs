//! Standing approvals and openings in the index, and the snapshots that the former let somebody read.

use lumbung_model::{ConsentId, DatasetId, ManifestId, OpeningId, PublicKey, SessionId, Timestamp};
use lumbung_pack::{SessionOpening, Signed};
use rusqlite::{Connection, params};

use super::{from_sql, to_sql};

/// What the index knows of a standing approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandingRow {
    pub(crate) approval: [u8; 32],
    pub(crate) consent: ConsentId,
    /// The grantee's Ed25519 key.
    pub(crate) key: PublicKey,
    /// The grantee's X25519 key.
    pub(crate) recipient: PublicKey,
    pub(crate) signer: PublicKey,
    pub(crate) dataset: DatasetId,
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// When it came, by this site's clock.
    pub(crate) came: Timestamp,
    /// The retention clock when it came; after a rebuild, when that was.
    pub(crate) came_s: u64,
}

const COLUMNS: &str =
    "approval, consent, grantee, recipient, signer, dataset, from_t, until_t, came, came_s";

impl StandingRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            approval: row.get(0)?,
            consent: ConsentId::from_bytes(row.get(1)?),
            key: PublicKey::from_bytes(row.get(2)?),
            recipient: PublicKey::from_bytes(row.get(3)?),
            signer: PublicKey::from_bytes(row.get(4)?),
            dataset: DatasetId::from_bytes(row.get(5)?),
            from: Timestamp(row.get(6)?),
            until: Timestamp(row.get(7)?),
            came: Timestamp(row.get(8)?),
            came_s: from_sql(row.get(9)?),
        })
    }

    /// Takes it up; a row that is there stays as it is.
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(&format!(
            "INSERT OR IGNORE INTO standing_approvals (repo, {COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?
        .execute(params![
            repo,
            self.approval,
            self.consent.as_bytes(),
            self.key.as_bytes(),
            self.recipient.as_bytes(),
            self.signer.as_bytes(),
            self.dataset.as_bytes(),
            self.from.0,
            self.until.0,
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
        Self::of(connection, repo, ("grantee", key.as_bytes()))
    }

    /// Those of one consent, ascending by id.
    pub(crate) fn of_consent(
        connection: &Connection,
        repo: i64,
        consent: &ConsentId,
    ) -> rusqlite::Result<Vec<Self>> {
        Self::of(connection, repo, ("consent", consent.as_bytes()))
    }

    fn of(
        connection: &Connection,
        repo: i64,
        (column, value): (&str, &[u8]),
    ) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {COLUMNS} FROM standing_approvals WHERE repo = ?1 AND {column} = ?2 ORDER BY approval"
            ))?
            .query_map(params![repo, value], Self::read)?
            .collect()
    }

    /// Forgets one whose file is gone.
    pub(super) fn forget(tx: &Connection, repo: i64, id: &[u8; 32]) -> rusqlite::Result<()> {
        tx.prepare_cached("DELETE FROM standing_approvals WHERE repo = ?1 AND approval = ?2")?
            .execute(params![repo, id])
            .map(|_| ())
    }
}

/// The whole snapshots of a dataset that this site, or the one that it pulled them from, received from then until then.
pub(crate) fn in_window(
    connection: &Connection,
    repo: i64,
    dataset: &DatasetId,
    (from, until): (Timestamp, Timestamp),
) -> rusqlite::Result<Vec<ManifestId>> {
    connection
        .prepare_cached(
            "SELECT manifest FROM manifests WHERE repo = ?1 AND dataset = ?2 AND dated >= ?3 AND dated <= ?4
             AND partial = 0",
        )?
        .query_map(params![repo, dataset.as_bytes(), from.0, until.0], |row| row.get(0))?
        .map(|id| id.map(ManifestId::from_bytes))
        .collect()
}

/// What the index knows of an opening.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpeningRow {
    pub(crate) opening: OpeningId,
    pub(crate) session: SessionId,
    pub(crate) consent: ConsentId,
}

impl OpeningRow {
    pub(crate) const fn of(opening: &Signed<SessionOpening>) -> Self {
        let body = &opening.body;
        Self { opening: opening.id, session: body.session, consent: body.consent }
    }

    /// Takes it up; a row that is there stays as it is.
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT OR IGNORE INTO openings (repo, opening, session, consent) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            repo,
            self.opening.as_bytes(),
            self.session.as_bytes(),
            self.consent.as_bytes()
        ])
        .map(|_| ())
    }

    /// Those of a session, ascending.
    pub(crate) fn of_session(
        connection: &Connection,
        repo: i64,
        session: &SessionId,
    ) -> rusqlite::Result<Vec<Self>> {
        connection
            .prepare_cached(
                "SELECT opening, consent FROM openings WHERE repo = ?1 AND session = ?2 ORDER BY opening",
            )?
            .query_map(params![repo, session.as_bytes()], |row| {
                Ok(Self {
                    opening: OpeningId::from_bytes(row.get(0)?),
                    session: *session,
                    consent: ConsentId::from_bytes(row.get(1)?),
                })
            })?
            .collect()
    }

    /// Forgets one whose file is gone.
    pub(super) fn forget(tx: &Connection, repo: i64, id: &[u8; 32]) -> rusqlite::Result<()> {
        tx.prepare_cached("DELETE FROM openings WHERE repo = ?1 AND opening = ?2")?
            .execute(params![repo, id])
            .map(|_| ())
    }
}
