//! The rows of the register that a plan is about, and the hashes that say whether it is still the same.

use std::collections::BTreeSet;

use lumbung_model::drill::{
    DatasetFacts, DrillPlan, Fingerprint, ServerFacts, ServiceFacts, Subjects, essence,
};
use lumbung_model::{DocumentHash, ServerId};
use rusqlite::Connection;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::db::{DbError, register, services};

/// What of the register a plan depends on, as it is now. What was retired is not in it.
///
/// # Errors
/// If the database fails.
pub fn subjects(db: &Connection, plan: &DrillPlan) -> Result<Subjects, DbError> {
    let mut found = Subjects::default();
    let mut servers: BTreeSet<ServerId> = plan.servers.iter().copied().collect();
    servers.extend(plan.runner);
    for part in &plan.datasets {
        let Some(row) = register::dataset(db, &part.dataset)? else { continue };
        servers.extend(row.server);
        found.datasets.push(DatasetFacts {
            id: row.id,
            pd: row.pd,
            kind: row.kind.as_str().to_owned(),
            server: row.server,
            repository: row.repository,
            paths: row.paths,
            exclude: row.exclude,
        });
    }
    for part in &plan.services {
        let Some(row) = services::service(db, &part.service)? else { continue };
        servers.extend(row.standby);
        let (id, pd, name, standby) = (row.id, row.pd, row.name, row.standby);
        found.services.push(ServiceFacts { id, pd, name, standby });
    }
    for id in servers {
        let Some(row) = register::server(db, &id)? else { continue };
        let kind = row.kind.as_str().to_owned();
        found.servers.push(ServerFacts { id, pd: row.pd, name: row.name, kind, site: row.site });
    }
    Ok(found.sorted())
}

/// SHA-256 of something as compact JSON.
pub(crate) fn sha256(of: &impl Serialize) -> Result<DocumentHash, DbError> {
    let json = serde_json::to_vec(of).map_err(|_| DbError::Corrupt { what: "a drill" })?;
    Ok(DocumentHash::from_bytes(Sha256::digest(json).into()))
}

/// What a plan and its things are now.
///
/// # Errors
/// If the database fails.
pub fn fingerprint(db: &Connection, plan: &DrillPlan) -> Result<Fingerprint, DbError> {
    Ok(Fingerprint { plan: sha256(&essence(plan))?, subjects: sha256(&subjects(db, plan)?)? })
}
