//! Sessions, segments, usage lists, and what owners and agents sign, in the index, and the segments verified here.

use lumbung_model::{AgentId, DatasetId, DomainId, PublicKey, SegmentId, SessionId, Timestamp};
use lumbung_pack::Kind;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{from_sql, join, split, to_sql};

/// What the index knows of a segment, usage list, proof, grant or revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectRow {
    pub(crate) kind: Kind,
    pub(crate) id: [u8; 32],
    /// Zero for what the owner signs, which belongs to no domain.
    pub(crate) domain: DomainId,
    pub(crate) bytes: u64,
}

impl ObjectRow {
    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT INTO objects (repo, kind, id, domain, bytes) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (repo, kind, id) DO NOTHING",
        )?
        .execute(params![
            repo,
            self.kind.code(),
            self.id,
            self.domain.as_bytes(),
            to_sql(self.bytes)
        ])
        .map(|_| ())
    }

    pub(crate) fn contains(
        connection: &Connection,
        repo: i64,
        kind: Kind,
        id: &[u8; 32],
    ) -> rusqlite::Result<bool> {
        connection
            .prepare_cached("SELECT 1 FROM objects WHERE repo = ?1 AND kind = ?2 AND id = ?3")?
            .exists(params![repo, kind.code(), id])
    }
}

/// Ids of all objects of a kind, ascending; of one domain if it is given.
pub(crate) fn list(
    connection: &Connection,
    repo: i64,
    kind: Kind,
    domain: Option<&DomainId>,
) -> rusqlite::Result<Vec<[u8; 32]>> {
    connection
        .prepare_cached(
            "SELECT id FROM objects WHERE repo = ?1 AND kind = ?2 AND (?3 IS NULL OR domain = ?3) ORDER BY id",
        )?
        .query_map(params![repo, kind.code(), domain.map(DomainId::as_bytes)], |row| row.get(0))?
        .collect()
}

/// Forgets an object whose file is gone.
pub(crate) fn forget(
    tx: &Connection,
    repo: i64,
    kind: Kind,
    id: &[u8; 32],
) -> rusqlite::Result<()> {
    match kind {
        Kind::Grant => super::GrantRow::forget(tx, repo, id)?,
        Kind::StandingApproval => super::StandingRow::forget(tx, repo, id)?,
        Kind::Opening => super::OpeningRow::forget(tx, repo, id)?,
        _ => {}
    }
    tx.prepare_cached("DELETE FROM objects WHERE repo = ?1 AND kind = ?2 AND id = ?3")?
        .execute(params![repo, kind.code(), id])
        .map(|_| ())
}

/// What the index knows of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) session: SessionId,
    pub(crate) agent: AgentId,
    pub(crate) domain: DomainId,
    pub(crate) dataset: DatasetId,
    pub(crate) signer: PublicKey,
    pub(crate) roster_number: u32,
    pub(crate) recipients: Vec<PublicKey>,
    pub(crate) bytes: u64,
    pub(crate) received: Timestamp,
}

const SESSION_COLUMNS: &str =
    "session, agent, domain, dataset, signer, roster_number, recipients, bytes, received";

impl SessionRow {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        let recipients: Vec<u8> = row.get(6)?;
        Ok(Self {
            session: SessionId::from_bytes(row.get(0)?),
            agent: AgentId::from_bytes(row.get(1)?),
            domain: DomainId::from_bytes(row.get(2)?),
            dataset: DatasetId::from_bytes(row.get(3)?),
            signer: PublicKey::from_bytes(row.get(4)?),
            roster_number: row.get(5)?,
            recipients: split(&recipients).map(PublicKey::from_bytes).collect(),
            bytes: from_sql(row.get(7)?),
            received: Timestamp(row.get(8)?),
        })
    }

    pub(crate) fn insert(&self, tx: &Connection, repo: i64) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "INSERT INTO sessions
             (repo, session, agent, domain, dataset, signer, roster_number, recipients, bytes, received)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (repo, session) DO NOTHING",
        )?
        .execute(params![
            repo,
            self.session.as_bytes(),
            self.agent.as_bytes(),
            self.domain.as_bytes(),
            self.dataset.as_bytes(),
            self.signer.as_bytes(),
            self.roster_number,
            join(self.recipients.iter().map(|key| *key.as_bytes())),
            to_sql(self.bytes),
            self.received.0
        ])
        .map(|_| ())
    }

    pub(crate) fn find(
        connection: &Connection,
        repo: i64,
        session: &SessionId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {SESSION_COLUMNS} FROM sessions WHERE repo = ?1 AND session = ?2"
            ))?
            .query_row(params![repo, session.as_bytes()], Self::read)
            .optional()
    }

    /// The first session of an agent that came here: what binds an agent that no roster lists.
    pub(crate) fn first_of_agent(
        connection: &Connection,
        repo: i64,
        agent: &AgentId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {SESSION_COLUMNS} FROM sessions WHERE repo = ?1 AND agent = ?2 ORDER BY received, session LIMIT 1"
            ))?
            .query_row(params![repo, agent.as_bytes()], Self::read)
            .optional()
    }

    /// The first session in a domain that came here: whose domain it is, if no roster says.
    pub(crate) fn first_of_domain(
        connection: &Connection,
        repo: i64,
        domain: &DomainId,
    ) -> rusqlite::Result<Option<Self>> {
        connection
            .prepare_cached(&format!(
                "SELECT {SESSION_COLUMNS} FROM sessions WHERE repo = ?1 AND domain = ?2 ORDER BY received, session LIMIT 1"
            ))?
            .query_row(params![repo, domain.as_bytes()], Self::read)
            .optional()
    }
}

/// Ids of all sessions, ascending; of one domain if it is given.
pub(crate) fn list_sessions(
    connection: &Connection,
    repo: i64,
    domain: Option<&DomainId>,
) -> rusqlite::Result<Vec<[u8; 32]>> {
    connection
        .prepare_cached("SELECT session FROM sessions WHERE repo = ?1 AND (?2 IS NULL OR domain = ?2) ORDER BY session")?
        .query_map(params![repo, domain.map(DomainId::as_bytes)], |row| row.get(0))?
        .collect()
}

/// Forgets a session whose file is gone.
pub(crate) fn forget_session(
    tx: &Connection,
    repo: i64,
    session: &[u8; 32],
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM sessions WHERE repo = ?1 AND session = ?2")?
        .execute(params![repo, session])
        .map(|_| ())
}

/// Sessions of an agent that no manifest named yet and that are younger than `since`.
pub(crate) fn open_sessions(
    connection: &Connection,
    repo: i64,
    agent: &AgentId,
    since: Timestamp,
) -> rusqlite::Result<u64> {
    connection
        .prepare_cached("SELECT COUNT(*) FROM sessions WHERE repo = ?1 AND agent = ?2 AND published = 0 AND received > ?3")?
        .query_row(params![repo, agent.as_bytes(), since.0], |row| row.get(0))
        .map(from_sql)
}

/// Marks sessions as named by a manifest.
pub(crate) fn publish_sessions(
    tx: &Connection,
    repo: i64,
    sessions: &[SessionId],
) -> rusqlite::Result<()> {
    let mut update = tx.prepare_cached(
        "UPDATE sessions SET published = 1 WHERE repo = ?1 AND session = ?2 AND published = 0",
    )?;
    for session in sessions {
        update.execute(params![repo, session.as_bytes()])?;
    }
    Ok(())
}

/// The sessions of a segment's packs, if the segment was verified here and nothing was lost since.
pub(crate) fn verified_segment(
    connection: &Connection,
    repo: i64,
    segment: &SegmentId,
) -> rusqlite::Result<Option<Vec<SessionId>>> {
    let sessions: Option<Vec<u8>> = connection
        .prepare_cached("SELECT sessions FROM verified_segments WHERE repo = ?1 AND segment = ?2")?
        .query_row(params![repo, segment.as_bytes()], |row| row.get(0))
        .optional()?;
    Ok(sessions.map(|bytes| split(&bytes).map(SessionId::from_bytes).collect()))
}

/// Remembers that a segment was verified.
pub(crate) fn set_verified(
    tx: &Connection,
    repo: i64,
    segment: &SegmentId,
    sessions: &[SessionId],
) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO verified_segments (repo, segment, sessions) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![repo, segment.as_bytes(), join(sessions.iter().map(|id| *id.as_bytes()))])
    .map(|_| ())
}

/// Forgets all verifications: something was lost, so the next commit looks at every pack again.
pub(crate) fn forget_verified(tx: &Connection, repo: i64) -> rusqlite::Result<()> {
    tx.execute("DELETE FROM verified_segments WHERE repo = ?1", [repo]).map(|_| ())
}

/// Forgets the verification of one segment.
pub(crate) fn forget_verified_segment(
    tx: &Connection,
    repo: i64,
    segment: &SegmentId,
) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM verified_segments WHERE repo = ?1 AND segment = ?2")?
        .execute(params![repo, segment.as_bytes()])
        .map(|_| ())
}

/// The domain of a segment, usage list or proof.
pub(crate) fn object_domain(
    connection: &Connection,
    repo: i64,
    kind: Kind,
    id: &[u8; 32],
) -> rusqlite::Result<Option<DomainId>> {
    connection
        .prepare_cached("SELECT domain FROM objects WHERE repo = ?1 AND kind = ?2 AND id = ?3")?
        .query_row(params![repo, kind.code(), id], |row| row.get(0))
        .optional()
        .map(|found| found.map(DomainId::from_bytes))
}
