//! The chain of rosters of each repository, as verified.
//!
//! Invariant: a chain only grows. What it says now (roots, agents, sites) is taken apart into tables,
//! against which the views of entitlement join.

use lumbung_model::RepositoryId;
use lumbung_pack::RosterChain;
use rusqlite::{Connection, params};

use super::DbError;

/// The rosters' bytes, number 1 first.
pub fn objects(db: &Connection, repository: &RepositoryId) -> Result<Vec<Vec<u8>>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT object FROM rosters WHERE repository = ? ORDER BY number")?;
    let rows = statement.query_map([repository.as_bytes()], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The chain, if any of it is known.
pub fn chain(db: &Connection, repository: &RepositoryId) -> Result<Option<RosterChain>, DbError> {
    let objects = objects(db, repository)?;
    if objects.is_empty() {
        return Ok(None);
    }
    let chain = RosterChain::from_objects(*repository, objects);
    chain.map(Some).map_err(|_| DbError::Corrupt { what: "a roster" })
}

/// Keeps a chain that goes on from the one kept. One that does not reach as far changes nothing.
pub fn put_chain(db: &Connection, chain: &RosterChain) -> Result<(), DbError> {
    let repository = chain.repository();
    let known = objects(db, &repository)?;
    let goes_on = known.iter().zip(chain.objects()).all(|(old, new)| old == new);
    if !goes_on || chain.objects().len() <= known.len() {
        return Ok(());
    }
    for (roster, object) in chain.all().iter().zip(chain.objects()).skip(known.len()) {
        db.prepare_cached(
            "INSERT INTO rosters (repository, number, id, object) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![
            repository.as_bytes(),
            roster.body.number,
            roster.id.as_bytes(),
            object
        ])?;
    }
    take_apart(db, chain)
}

fn take_apart(db: &Connection, chain: &RosterChain) -> Result<(), DbError> {
    let repository = chain.repository();
    let newest = &chain.current().body;
    for table in ["roster_roots", "roster_agents", "roster_sites"] {
        db.execute(&format!("DELETE FROM {table} WHERE repository = ?"), [repository.as_bytes()])?;
    }
    let mut statement =
        db.prepare_cached("INSERT INTO roster_roots (repository, key) VALUES (?, ?)")?;
    for root in &newest.root_keys {
        statement.execute(params![repository.as_bytes(), root.key.as_bytes()])?;
    }
    let mut statement = db.prepare_cached(
        "INSERT INTO roster_agents (repository, agent, key, domain) VALUES (?, ?, ?, ?)",
    )?;
    for agent in &newest.agents {
        statement.execute(params![
            repository.as_bytes(),
            agent.agent.as_bytes(),
            agent.key.as_bytes(),
            agent.domain.as_bytes()
        ])?;
    }
    let mut statement = db.prepare_cached(
        "INSERT INTO roster_sites (repository, site, receipt_key) VALUES (?, ?, ?)",
    )?;
    for site in &newest.sites {
        statement.execute(params![
            repository.as_bytes(),
            site.site.as_bytes(),
            site.receipt_key.as_bytes()
        ])?;
    }
    Ok(())
}
