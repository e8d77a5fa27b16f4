//! Agents, how they were heard of last, and their reports.
//!
//! Invariant: nothing here is evidence. Reports are kept once by their id.

use lumbung_model::{AgentId, DatasetId, DomainId, PublicKey, RepositoryId, ServerId, Timestamp};
use lumbung_wire::messages::{Outcome, Report, ReportId, ReportKind};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, id};

/// An agent as it enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentRow {
    /// Its id.
    pub agent: AgentId,
    /// The server it runs on.
    pub server: ServerId,
    /// The repository that it was given on its command line.
    pub repository: RepositoryId,
    /// The key that signs its manifests.
    pub key: PublicKey,
    /// Its dedup domain.
    pub domain: DomainId,
}

fn agent_row(row: &Row<'_>) -> rusqlite::Result<AgentRow> {
    Ok(AgentRow {
        agent: AgentId::from_bytes(id(row, 0)?),
        server: ServerId::from_bytes(id(row, 1)?),
        repository: RepositoryId::from_bytes(id(row, 2)?),
        key: PublicKey::from_bytes(id(row, 3)?),
        domain: DomainId::from_bytes(id(row, 4)?),
    })
}

/// The agent of that id.
pub fn agent(db: &Connection, agent: &AgentId) -> Result<Option<AgentRow>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT id, server, repository, key, domain FROM agents WHERE id = ?")?;
    Ok(statement.query_row([agent.as_bytes()], agent_row).optional()?)
}

/// The agent that signs with that key.
pub fn agent_by_key(db: &Connection, key: &PublicKey) -> Result<Option<AgentRow>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT id, server, repository, key, domain FROM agents WHERE key = ?")?;
    Ok(statement.query_row([key.as_bytes()], agent_row).optional()?)
}

/// Enters an agent, or the server that a known one now runs on.
pub fn put_agent(db: &Connection, now: Timestamp, row: &AgentRow) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO agents (id, server, repository, key, domain, enrolled_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (id) DO UPDATE SET server = ?2, enrolled_s = ?6",
    )?
    .execute(params![
        row.agent.as_bytes(),
        row.server.as_bytes(),
        row.repository.as_bytes(),
        row.key.as_bytes(),
        row.domain.as_bytes(),
        now.0,
    ])?;
    Ok(())
}

/// An agent as it was heard of last; it may be only on the board yet.
#[derive(Debug, Clone)]
pub struct AgentHeard {
    /// The agent.
    pub agent: AgentId,
    /// Its server.
    pub server: ServerId,
    /// When it was heard of last, by our clock.
    pub last_seen: Option<Timestamp>,
    /// What its clock said then.
    pub agent_clock: Option<Timestamp>,
    /// Version of its program.
    pub version: Option<String>,
    /// Health of its host, JSON.
    pub health: Option<String>,
    /// Its jobs, JSON.
    pub jobs: Option<String>,
}

/// When each agent of a server that is not retired was heard of last, with its server.
pub fn seen(db: &Connection) -> Result<Vec<(ServerId, Option<Timestamp>)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT server, heard_seen_s(id, last_seen_s) FROM agents
         WHERE server NOT IN (SELECT r.id FROM retired AS r)",
    )?;
    let rows = statement.query_map([], |row| {
        let seen = row.get::<_, Option<i64>>(1)?.map(Timestamp);
        Ok((ServerId::from_bytes(id(row, 0)?), seen))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every agent.
pub fn ids(db: &Connection) -> Result<Vec<AgentId>, DbError> {
    let mut statement = db.prepare_cached("SELECT id FROM agents")?;
    let rows = statement.query_map([], |row| Ok(AgentId::from_bytes(id(row, 0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Agents as they were heard of last, by id: those behind `after`.
pub fn heard(
    db: &Connection,
    after: Option<&AgentId>,
    limit: u32,
) -> Result<Vec<AgentHeard>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT a.id, a.server, heard_seen_s(a.id, a.last_seen_s), heard_clock_s(a.id, a.agent_clock_s),
            heard_version(a.id, t.version), heard_health(a.id, t.health), heard_jobs(a.id, t.jobs)
         FROM agents AS a LEFT JOIN agent_told AS t ON t.agent = a.id
         WHERE a.id > ?1 ORDER BY a.id LIMIT ?2",
    )?;
    let after = after.map_or(&[][..], |after| &after.as_bytes()[..]);
    let rows = statement.query_map(params![after, limit], |row| {
        Ok(AgentHeard {
            agent: AgentId::from_bytes(id(row, 0)?),
            server: ServerId::from_bytes(id(row, 1)?),
            last_seen: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            agent_clock: row.get::<_, Option<i64>>(3)?.map(Timestamp),
            version: row.get(4)?,
            health: row.get(5)?,
            jobs: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps a report; one that is there already changes nothing.
pub fn insert_report(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
    report: &Report,
) -> Result<(), DbError> {
    // What changed is judged and kept elsewhere: names of folders do not stay with every report.
    let bare = Report { changes: None, ..report.clone() };
    let body = serde_json::to_string(&bare).map_err(|_| DbError::Corrupt { what: "a report" })?;
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let kind = word(serde_json::json!(report.kind));
    let outcome = word(serde_json::json!(report.outcome));
    db.prepare_cached(
        "INSERT INTO reports (id, agent, received_s, at_s, kind, dataset, outcome, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
    )?
    .execute(params![
        report.id.as_bytes(),
        agent.as_bytes(),
        now.0,
        report.at.0,
        kind,
        report.dataset.as_bytes(),
        outcome,
        body,
    ])?;
    Ok(())
}

/// The agent that sent the report of that id.
pub fn report_sender(db: &Connection, report: &ReportId) -> Result<Option<AgentId>, DbError> {
    let mut statement = db.prepare_cached("SELECT agent FROM reports WHERE id = ?")?;
    let agent = statement.query_row([report.as_bytes()], |row| id(row, 0)).optional()?;
    Ok(agent.map(AgentId::from_bytes))
}

fn newest_report(
    db: &Connection,
    condition: &str,
    dataset: &DatasetId,
) -> Result<Option<Report>, DbError> {
    let sql = format!(
        "SELECT r.body FROM reports AS r JOIN agents AS a ON a.id = r.agent
         JOIN servers AS s ON s.id = a.server JOIN datasets AS d ON d.id = r.dataset AND d.pd = s.pd
         WHERE r.dataset = ? AND r.kind = 'backup' {condition} ORDER BY r.at_s DESC, r.received_s DESC LIMIT 1"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let body: Option<String> =
        statement.query_row([dataset.as_bytes()], |row| row.get(0)).optional()?;
    body.map(|body| serde_json::from_str(&body).map_err(|_| DbError::Corrupt { what: "a report" }))
        .transpose()
}

/// The newest backup report for the dataset by an agent of its PD, and when the last good one was.
pub fn last_backup_report(
    db: &Connection,
    dataset: &DatasetId,
) -> Result<Option<(Report, Option<Timestamp>)>, DbError> {
    let Some(newest) = newest_report(db, "", dataset)? else { return Ok(None) };
    let good = match newest.outcome {
        Outcome::Ok | Outcome::Warnings => Some(newest.at),
        Outcome::Failed | Outcome::Interrupted => {
            newest_report(db, "AND r.outcome IN ('ok', 'warnings')", dataset)?.map(|one| one.at)
        }
    };
    debug_assert!(matches!(newest.kind, ReportKind::Backup));
    Ok(Some((newest, good)))
}

/// Notes a dataset id if the register does not know it, at most a thousand of them; whether it was noted.
pub fn note_unregistered(
    db: &Connection,
    now: Timestamp,
    dataset: &DatasetId,
    repository: Option<&RepositoryId>,
    agent: Option<&AgentId>,
    name: &str,
) -> Result<bool, DbError> {
    let noted = db
        .prepare_cached(
            "INSERT INTO unregistered_datasets (dataset, repository, agent, name, first_s, last_s)
         SELECT ?1, ?2, ?3, ?4, ?5, ?5 WHERE NOT EXISTS (SELECT 1 FROM datasets WHERE id = ?1)
            AND (SELECT count(*) FROM unregistered_datasets) < 1000
         ON CONFLICT (dataset) DO UPDATE SET last_s = ?5, agent = coalesce(?3, agent),
            repository = coalesce(?2, repository), name = CASE WHEN ?4 = '' THEN name ELSE ?4 END",
        )?
        .execute(params![
            dataset.as_bytes(),
            repository.map(RepositoryId::as_bytes),
            agent.map(AgentId::as_bytes),
            name,
            now.0,
        ])?;
    Ok(noted > 0)
}

/// A dataset id that the register does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnregisteredDataset {
    /// The id.
    pub dataset: DatasetId,
    /// The repository its snapshots lie in.
    pub repository: Option<RepositoryId>,
    /// The agent that names it.
    pub agent: Option<AgentId>,
    /// The name of the job.
    pub name: String,
    /// First named.
    pub first: Timestamp,
    /// Last named.
    pub last: Timestamp,
}

/// Dataset ids that the register does not know.
pub fn unregistered(db: &Connection) -> Result<Vec<UnregisteredDataset>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT dataset, repository, agent, name, first_s, last_s FROM unregistered_datasets ORDER BY first_s, dataset",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(UnregisteredDataset {
            dataset: DatasetId::from_bytes(id(row, 0)?),
            repository: super::maybe_id(row, 1)?.map(RepositoryId::from_bytes),
            agent: super::maybe_id(row, 2)?.map(AgentId::from_bytes),
            name: row.get(3)?,
            first: Timestamp(row.get(4)?),
            last: Timestamp(row.get(5)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
