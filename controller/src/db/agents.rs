//! Agents, their heartbeats and their reports.
//!
//! Invariant: nothing here is evidence. Reports are kept once by their id; spans of heartbeats grow,
//! and a new one begins after a silence.

use lumbung_model::{AgentId, DatasetId, DomainId, PublicKey, RepositoryId, ServerId, Timestamp};
use lumbung_wire::messages::{HeartbeatRequest, Outcome, Report, ReportId, ReportKind};
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

/// Keeps a heartbeat; a span goes on if the silence before was at most `late_after_s`.
pub fn heartbeat(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
    beat: &HeartbeatRequest,
    late_after_s: i64,
) -> Result<(), DbError> {
    let json = |value: serde_json::Result<String>| {
        value.map_err(|_| DbError::Corrupt { what: "a heartbeat" })
    };
    let health = json(serde_json::to_string(&beat.health))?;
    let jobs = json(serde_json::to_string(&beat.jobs))?;
    db.prepare_cached(
        "UPDATE agents SET last_seen_s = ?, agent_clock_s = ?, version = ?, health = ?, jobs = ? WHERE id = ?",
    )?
    .execute(params![now.0, beat.now.0, beat.version, health, jobs, agent.as_bytes()])?;
    let extended = db
        .prepare_cached(
            "UPDATE heartbeat_spans SET last_s = max(last_s, ?1), beats = beats + 1
             WHERE agent = ?2 AND first_s = (SELECT max(first_s) FROM heartbeat_spans WHERE agent = ?2)
               AND ?1 - last_s <= ?3",
        )?
        .execute(params![now.0, agent.as_bytes(), late_after_s])?;
    if extended == 0 {
        db.prepare_cached(
            "INSERT INTO heartbeat_spans (agent, first_s, last_s, beats) VALUES (?, ?, ?, 1)",
        )?
        .execute(params![agent.as_bytes(), now.0, now.0])?;
    }
    Ok(())
}

/// What is known of how an agent is.
#[derive(Debug, Clone, Default)]
pub struct AgentLiveness {
    /// When it was heard of last, by our clock.
    pub last_seen: Option<Timestamp>,
    /// What its clock said then.
    pub agent_clock: Option<Timestamp>,
}

/// Every agent: id, server, liveness.
pub fn liveness(db: &Connection) -> Result<Vec<(AgentId, ServerId, AgentLiveness)>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT id, server, last_seen_s, agent_clock_s FROM agents ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let liveness = AgentLiveness {
            last_seen: row.get::<_, Option<i64>>(2)?.map(Timestamp),
            agent_clock: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        };
        Ok((AgentId::from_bytes(id(row, 0)?), ServerId::from_bytes(id(row, 1)?), liveness))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Host health and jobs as the agent told them last, as JSON.
pub fn last_told(
    db: &Connection,
    agent: &AgentId,
) -> Result<Option<(String, String, String)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT version, health, jobs FROM agents WHERE id = ? AND health IS NOT NULL AND jobs IS NOT NULL AND version IS NOT NULL",
    )?;
    Ok(statement
        .query_row([agent.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?)
}

/// Keeps a report; one that is there already changes nothing.
pub fn insert_report(
    db: &Connection,
    now: Timestamp,
    agent: &AgentId,
    report: &Report,
) -> Result<(), DbError> {
    let body = serde_json::to_string(report).map_err(|_| DbError::Corrupt { what: "a report" })?;
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
    let good =
        newest_report(db, "AND r.outcome IN ('ok', 'warnings')", dataset)?.map(|report| report.at);
    debug_assert!(matches!(newest.kind, ReportKind::Backup));
    debug_assert!(!matches!(newest.outcome, Outcome::Ok) || good.is_some());
    Ok(Some((newest, good)))
}

/// Notes a dataset id that the register does not know; at most a thousand of them.
pub fn note_unregistered(
    db: &Connection,
    now: Timestamp,
    dataset: &DatasetId,
    repository: Option<&RepositoryId>,
    agent: Option<&AgentId>,
    name: &str,
) -> Result<(), DbError> {
    db.prepare_cached(
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
    Ok(())
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
