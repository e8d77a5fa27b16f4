//! Rows of policies. Rules are `crate::policies`'s.
//!
//! Invariant: a policy that was published is never changed or taken away; only a confirmation is added to it.

use lumbung_model::{AgentId, ApprovalId, PolicyHash, PublicKey, ServerId};
use lumbung_wire::messages::policy::{
    Narrowing, Policy, PolicyConfirmation, PolicyContent, PolicyMark, PolicyTold, SignedPolicy,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, count, id, signed, to_json};

/// A policy as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRow {
    /// What it says.
    pub policy: Policy,
    /// Its hash.
    pub hash: PolicyHash,
    /// As it was signed.
    pub signed: SignedPolicy,
    /// The custodian's word.
    pub confirmation: Option<PolicyConfirmation>,
}

impl PolicyRow {
    /// Which it is.
    #[must_use]
    pub const fn mark(&self) -> PolicyMark {
        PolicyMark { version: self.policy.version, hash: self.hash }
    }
}

const POLICY: &str = "SELECT hash, body, signer, signature, confirmation FROM policies";

fn policy_row(row: &Row<'_>) -> rusqlite::Result<Result<PolicyRow, DbError>> {
    let text: String = row.get(1)?;
    let confirmation: Option<String> = row.get(4)?;
    let Ok(policy) = serde_json::from_str(&text) else {
        return Ok(Err(DbError::Corrupt { what: "a policy" }));
    };
    let Ok(confirmation) = confirmation.map(|text| serde_json::from_str(&text)).transpose() else {
        return Ok(Err(DbError::Corrupt { what: "a policy's confirmation" }));
    };
    Ok(Ok(PolicyRow {
        policy,
        hash: PolicyHash::from_bytes(id(row, 0)?),
        signed: SignedPolicy {
            text,
            signer: PublicKey::from_bytes(id(row, 2)?),
            signature: row.get(3)?,
        },
        confirmation,
    }))
}

/// The server's newest policy.
pub fn newest(db: &Connection, server: &ServerId) -> Result<Option<PolicyRow>, DbError> {
    let sql = format!("{POLICY} WHERE server = ? ORDER BY version DESC LIMIT 1");
    let mut statement = db.prepare_cached(&sql)?;
    statement.query_row([server.as_bytes()], policy_row).optional()?.transpose()
}

/// The newest policy of the agent's server, if it is for this agent.
pub fn newest_of_agent(db: &Connection, agent: &AgentId) -> Result<Option<PolicyRow>, DbError> {
    let mut statement = db.prepare_cached("SELECT server FROM agents WHERE id = ?")?;
    let server = statement.query_row([agent.as_bytes()], |row| id(row, 0)).optional()?;
    let Some(server) = server.map(ServerId::from_bytes) else { return Ok(None) };
    Ok(newest(db, &server)?.filter(|row| row.policy.agent == *agent))
}

/// Number, hash and whether it is confirmed, of the newest policy of an agent: all that a heartbeat asks for.
pub fn offer(db: &Connection, agent: &AgentId) -> Result<Option<(PolicyMark, bool)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT p.version, p.hash, p.confirmation IS NOT NULL, p.agent = a.id FROM agents AS a
         JOIN policies AS p ON p.server = a.server WHERE a.id = ? ORDER BY p.version DESC LIMIT 1",
    )?;
    let found = statement
        .query_row([agent.as_bytes()], |row| {
            let hash = PolicyHash::from_bytes(id(row, 1)?);
            let mark = PolicyMark { version: count(row, 0)?, hash };
            Ok(((mark, row.get(2)?), row.get::<_, bool>(3)?))
        })
        .optional()?;
    Ok(found.and_then(|(offer, own)| own.then_some(offer)))
}

/// The server's policy of that hash.
pub fn by_hash(
    db: &Connection,
    server: &ServerId,
    hash: &PolicyHash,
) -> Result<Option<PolicyRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{POLICY} WHERE server = ? AND hash = ?"))?;
    let found = statement.query_row([&server.as_bytes()[..], hash.as_bytes()], policy_row);
    found.optional()?.transpose()
}

/// Numbers and hashes of all policies of a server, newest first.
pub fn history(db: &Connection, server: &ServerId) -> Result<Vec<PolicyMark>, DbError> {
    let sql =
        "SELECT version, hash FROM policies WHERE server = ? ORDER BY version DESC LIMIT 1000";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([server.as_bytes()], |row| {
        Ok(PolicyMark { version: count(row, 0)?, hash: PolicyHash::from_bytes(id(row, 1)?) })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Keeps a policy that is published.
pub fn insert(db: &Connection, row: &PolicyRow) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO policies (server, version, agent, hash, body, signer, signature, issued_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        row.policy.server.as_bytes(),
        signed(row.policy.version),
        row.policy.agent.as_bytes(),
        row.hash.as_bytes(),
        row.signed.text,
        row.signed.signer.as_bytes(),
        row.signed.signature,
        row.policy.issued.0,
    ])?;
    Ok(())
}

/// Keeps a custodian's word.
pub fn confirm(db: &Connection, word: &PolicyConfirmation) -> Result<(), DbError> {
    db.prepare_cached("UPDATE policies SET confirmation = ? WHERE hash = ?")?
        .execute(params![to_json(word)?, word.policy.as_bytes()])?;
    Ok(())
}

/// A narrower content that is not published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Of which server.
    pub server: ServerId,
    /// The content's hash.
    pub hash: PolicyHash,
    /// What would be asked for.
    pub content: PolicyContent,
    /// How that is narrower.
    pub narrowings: Vec<Narrowing>,
    /// The request about it.
    pub approval: ApprovalId,
}

/// What waits for the server, or was refused.
pub fn proposal(db: &Connection, server: &ServerId) -> Result<Option<Proposal>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT hash, content, narrowings, approval FROM policy_proposals WHERE server = ?",
    )?;
    let found = statement.query_row([server.as_bytes()], |row| {
        Ok(Proposal {
            server: *server,
            hash: PolicyHash::from_bytes(id(row, 0)?),
            content: super::json(row, 1)?,
            narrowings: super::json(row, 2)?,
            approval: ApprovalId::from_bytes(id(row, 3)?),
        })
    });
    Ok(found.optional()?)
}

/// Keeps what waits for a server, in the place of what waited before.
pub fn put_proposal(db: &Connection, proposal: &Proposal) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT OR REPLACE INTO policy_proposals (server, hash, content, narrowings, approval)
         VALUES (?, ?, ?, ?, ?)",
    )?
    .execute(params![
        proposal.server.as_bytes(),
        proposal.hash.as_bytes(),
        to_json(&proposal.content)?,
        to_json(&proposal.narrowings)?,
        proposal.approval.as_bytes(),
    ])?;
    Ok(())
}

/// Nothing waits for the server any more.
pub fn drop_proposal(db: &Connection, server: &ServerId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM policy_proposals WHERE server = ?")?
        .execute([server.as_bytes()])?;
    Ok(())
}

/// Has the policy of every server with an agent looked at again.
pub fn mark_all(db: &Connection) -> Result<(), DbError> {
    db.execute("INSERT OR IGNORE INTO stale_policies SELECT DISTINCT server FROM agents", [])?;
    Ok(())
}

/// Servers on whose policy something may have changed since it was looked at.
pub fn marked(db: &Connection) -> Result<Vec<ServerId>, DbError> {
    servers(db, "SELECT server FROM stale_policies")
}

/// The policy of the server is as it should be.
pub fn unmark(db: &Connection, server: &ServerId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM stale_policies WHERE server = ?")?
        .execute([server.as_bytes()])?;
    Ok(())
}

/// Servers for which something narrower waits, or was refused.
pub fn proposed(db: &Connection) -> Result<Vec<ServerId>, DbError> {
    servers(db, "SELECT server FROM policy_proposals")
}

fn servers(db: &Connection, sql: &str) -> Result<Vec<ServerId>, DbError> {
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([], |row| id(row, 0).map(ServerId::from_bytes))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What the agent says of policies, as it said it last.
pub fn told(db: &Connection, agent: &AgentId) -> Result<Option<PolicyTold>, DbError> {
    let mut statement = db.prepare_cached("SELECT policy FROM agents WHERE id = ?")?;
    let text: Option<Option<String>> =
        statement.query_row([agent.as_bytes()], |row| row.get(0)).optional()?;
    let told = text.flatten().map(|text| serde_json::from_str(&text)).transpose();
    told.map_err(|_| DbError::Corrupt { what: "what an agent says of its policy" })
}

/// How often anything of [`offer`] or [`told`] has changed, of any agent.
pub fn changes(db: &Connection) -> Result<i64, DbError> {
    let mut statement = db.prepare_cached("SELECT changes FROM policy_changes")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Keeps what the agent says of policies.
pub fn put_told(db: &Connection, agent: &AgentId, told: &PolicyTold) -> Result<(), DbError> {
    db.prepare_cached("UPDATE agents SET policy = ? WHERE id = ?")?
        .execute(params![to_json(told)?, agent.as_bytes()])?;
    Ok(())
}
