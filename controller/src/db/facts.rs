//! What `lumbung_model::compliance` weighs, for one dataset.
//!
//! Invariants: only rows that count (the views) become copies; snapshots of repositories of another PD
//! never do, whatever dataset they name; how many rows are read is bounded, and those that no roster
//! authorizes cannot crowd out those that are authorized.

use lumbung_model::compliance::{
    Arrival, CopyFacts, DatasetFacts, InventoryFacts, ProofFacts, SiteFacts, SiteKind,
    SnapshotFacts,
};
use lumbung_model::{
    DatasetId, InventoryId, ManifestId, ProofId, RepositoryId, ScrubId, SiteId, Timestamp,
};
use lumbung_wire::messages::register::{self, Dataset};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, count, id, maybe_id, register as rows, signed};

const SNAPSHOTS: u32 = 100;

/// The repository whose evidence counts for the dataset: the registered one, else the one with its
/// newest snapshot among the repositories of its PD.
pub fn repository_of(db: &Connection, dataset: &Dataset) -> Result<Option<RepositoryId>, DbError> {
    if dataset.repository.is_some() {
        return Ok(dataset.repository);
    }
    let mut statement = db.prepare_cached(
        "SELECT m.repository FROM manifests AS m JOIN repositories AS r ON r.id = m.repository
         LEFT JOIN authorized_manifests AS a ON a.id = m.id
         WHERE m.dataset = ? AND r.pd = ? ORDER BY a.id IS NULL, m.partial, m.seen_s DESC LIMIT 1",
    )?;
    let found = statement
        .query_row([dataset.id.as_bytes(), dataset.pd.as_bytes()], |row| id(row, 0))
        .optional()?;
    Ok(found.map(RepositoryId::from_bytes))
}

/// All that is known of the dataset.
pub fn dataset_facts(db: &Connection, dataset: &Dataset) -> Result<DatasetFacts, DbError> {
    let repository = repository_of(db, dataset)?;
    let mut facts = DatasetFacts {
        dataset: dataset.id,
        pd: dataset.pd,
        rpo_s: signed(dataset.rpo_s),
        has_agent: has_agent(db, dataset)?,
        sites: Vec::new(),
        snapshots: Vec::new(),
        proofs: Vec::new(),
    };
    for site in rows::sites(db)? {
        let inventory = match &repository {
            Some(repository) => newest_inventory(db, &site.id, repository)?.map(|(_, facts)| facts),
            None => None,
        };
        facts.sites.push(SiteFacts { site: site.id, kind: site_kind(site.kind), inventory });
    }
    if let Some(repository) = repository {
        facts.snapshots = snapshots(db, &dataset.id, &repository, &facts.sites)?;
        facts.proofs = proofs(db, &dataset.id, &repository)?;
    }
    Ok(facts)
}

fn site_kind(kind: register::SiteKind) -> SiteKind {
    match kind {
        register::SiteKind::PusatData => SiteKind::Primary,
        register::SiteKind::Drc => SiteKind::Drc,
        register::SiteKind::Other => SiteKind::Other,
    }
}

fn has_agent(db: &Connection, dataset: &Dataset) -> Result<bool, DbError> {
    // Two statements: one for both cases reads every agent of the city for each dataset.
    let (sql, id) = match &dataset.server {
        Some(server) => ("SELECT 1 FROM agents WHERE server = ?", server.as_bytes()),
        None => (
            "SELECT 1 FROM servers AS s JOIN agents AS a ON a.server = s.id
             WHERE s.pd = ? AND s.id NOT IN (SELECT r.id FROM retired AS r)",
            dataset.pd.as_bytes(),
        ),
    };
    Ok(db.prepare_cached(sql)?.exists([id])?)
}

/// The newest inventory of the repository at the site that counts.
pub fn newest_inventory(
    db: &Connection,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Option<(InventoryId, InventoryFacts)>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, number, made_s, seen_s, chain_valid AND 1 = (SELECT count(*) FROM counting_inventories AS t
            WHERE t.site = i.site AND t.repository = i.repository AND t.number = i.number)
         FROM counting_inventories AS i WHERE site = ? AND repository = ? ORDER BY number DESC LIMIT 1",
    )?;
    let found = statement
        .query_row([site.as_bytes().as_slice(), repository.as_bytes()], |row| {
            let facts = InventoryFacts {
                number: count(row, 1)?,
                made: Timestamp(row.get(2)?),
                seen: Timestamp(row.get(3)?),
                chain_valid: row.get(4)?,
            };
            Ok((InventoryId::from_bytes(id(row, 0)?), facts))
        })
        .optional()?;
    Ok(found)
}

/// Authorized complete snapshots, then a few of the others so that they can be named.
const SNAPSHOT_QUERY: &str = "SELECT * FROM (
        SELECT id, started_s, partial, 1, coalesce(stored_bytes, 0) FROM authorized_manifests
        WHERE dataset = ?1 AND repository = ?2 AND partial = 0 ORDER BY seen_s DESC, started_s DESC LIMIT ?3)
    UNION ALL SELECT * FROM (
        SELECT m.id, m.started_s, m.partial, 0, 0 FROM manifests AS m
        WHERE m.dataset = ?1 AND m.repository = ?2 AND m.partial = 0
            AND NOT EXISTS (SELECT 1 FROM authorized_manifests AS a WHERE a.id = m.id)
        ORDER BY m.seen_s DESC, m.started_s DESC LIMIT 3)
    UNION ALL SELECT * FROM (
        SELECT id, started_s, partial, 1, 0 FROM authorized_manifests
        WHERE dataset = ?1 AND repository = ?2 AND partial = 1 ORDER BY seen_s DESC LIMIT 3)";

fn snapshots(
    db: &Connection,
    dataset: &DatasetId,
    repository: &RepositoryId,
    sites: &[SiteFacts],
) -> Result<Vec<SnapshotFacts>, DbError> {
    let mut statement = db.prepare_cached(SNAPSHOT_QUERY)?;
    let found = statement.query_map(
        params![dataset.as_bytes(), repository.as_bytes(), SNAPSHOTS],
        |row| {
            Ok(SnapshotFacts {
                manifest: ManifestId::from_bytes(id(row, 0)?),
                started: Timestamp(row.get(1)?),
                partial: row.get(2)?,
                authorized: row.get(3)?,
                bytes: count(row, 4)?,
                copies: Vec::new(),
            })
        },
    )?;
    let mut snapshots: Vec<SnapshotFacts> = found.collect::<Result<_, _>>()?;
    for snapshot in &mut snapshots {
        snapshot.copies = copies(db, &snapshot.manifest, sites)?;
    }
    Ok(snapshots)
}

/// What a site removed rightly is no copy, and hides nothing.
fn copies(
    db: &Connection,
    manifest: &ManifestId,
    sites: &[SiteFacts],
) -> Result<Vec<CopyFacts>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT r.site, min(r.received_s), e.newest, max(s.verified_s), max(s.damaged_s) FROM counting_receipts AS r
         LEFT JOIN inventory_entries AS e
            ON e.site = r.site AND e.repository = r.repository AND e.manifest = r.manifest
         LEFT JOIN scrub_results AS s
            ON s.site = r.site AND s.repository = r.repository AND s.manifest = r.manifest AND s.signer = r.signer
         WHERE r.manifest = ? AND NOT EXISTS (SELECT 1 FROM removals AS t
            WHERE t.manifest = r.manifest AND t.site = r.site AND t.repository = r.repository AND t.rightful)
         GROUP BY r.site",
    )?;
    let found = statement.query_map([manifest.as_bytes()], |row| copy(row, sites))?;
    Ok(found.collect::<Result<_, _>>()?)
}

fn copy(row: &Row<'_>, sites: &[SiteFacts]) -> rusqlite::Result<CopyFacts> {
    let site = SiteId::from_bytes(id(row, 0)?);
    let newest_listing: Option<i64> = row.get(2)?;
    let newest_inventory =
        sites.iter().find(|known| known.site == site).and_then(|known| known.inventory);
    let listed =
        newest_inventory.is_some_and(|inventory| newest_listing == Some(signed(inventory.number)));
    Ok(CopyFacts {
        site,
        received: Timestamp(row.get(1)?),
        listed,
        listed_before: newest_listing.is_some() && !listed,
        verified: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        damaged: row.get::<_, Option<i64>>(4)?.map(Timestamp),
    })
}

fn proofs(
    db: &Connection,
    dataset: &DatasetId,
    repository: &RepositoryId,
) -> Result<Vec<ProofFacts>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT manifest, finished_s, failed FROM counting_proofs WHERE dataset = ? AND repository = ?
         ORDER BY finished_s DESC LIMIT 100",
    )?;
    let found =
        statement.query_map([dataset.as_bytes().as_slice(), repository.as_bytes()], |row| {
            Ok(ProofFacts {
                manifest: ManifestId::from_bytes(id(row, 0)?),
                finished: Timestamp(row.get(1)?),
                failed: count(row, 2)?,
            })
        })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Snapshots of the dataset that sites of a kind received: those since `from`, and the newest before.
pub fn arrivals(
    db: &Connection,
    dataset: &Dataset,
    kind: register::SiteKind,
    from: Timestamp,
) -> Result<Vec<Arrival>, DbError> {
    let Some(repository) = repository_of(db, dataset)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT min(m.started_s, min(r.received_s)), min(r.received_s) AS received
         FROM authorized_manifests AS m JOIN counting_receipts AS r ON r.manifest = m.id
         JOIN sites AS s ON s.id = r.site AND s.kind = ?1
         WHERE m.dataset = ?2 AND m.repository = ?3 AND m.partial = 0
         GROUP BY m.id ORDER BY received DESC",
    )?;
    let key = params![kind.as_str(), dataset.id.as_bytes(), repository.as_bytes()];
    let mut found = Vec::new();
    for arrival in statement.query_map(key, |row| {
        Ok(Arrival { as_of: Timestamp(row.get(0)?), received: Timestamp(row.get(1)?) })
    })? {
        let arrival = arrival?;
        found.push(arrival);
        if arrival.received < from {
            break;
        }
    }
    Ok(found)
}

/// How long the newest complete run of the dataset took, by the agent's clock, seconds.
pub fn last_run_s(db: &Connection, dataset: &Dataset) -> Result<Option<i64>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT finished_s - started_s FROM authorized_manifests WHERE dataset = ? AND partial = 0
         ORDER BY seen_s DESC LIMIT 1",
    )?;
    Ok(statement.query_row([dataset.id.as_bytes()], |row| row.get(0)).optional()?)
}

/// The scrub report by which the site verified the snapshot last.
pub fn verifying_scrub(
    db: &Connection,
    site: &SiteId,
    manifest: &ManifestId,
) -> Result<Option<ScrubId>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT s.verified_by FROM scrub_results AS s JOIN entitled_sites AS e
            ON e.site = s.site AND e.repository = s.repository AND e.signer = s.signer
         WHERE s.site = ? AND s.manifest = ?",
    )?;
    let found = statement
        .query_row([site.as_bytes().as_slice(), manifest.as_bytes()], |row| maybe_id(row, 0))
        .optional()?;
    Ok(found.flatten().map(ScrubId::from_bytes))
}

/// The proof of that snapshot that was finished then.
pub fn proof_of(
    db: &Connection,
    manifest: &ManifestId,
    finished: Timestamp,
) -> Result<Option<ProofId>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT id FROM counting_proofs WHERE manifest = ? AND finished_s = ?")?;
    let found = statement
        .query_row(params![manifest.as_bytes(), finished.0], |row| id(row, 0))
        .optional()?;
    Ok(found.map(ProofId::from_bytes))
}

/// How many complete snapshots of the dataset no roster vouches for.
pub fn unauthorized(
    db: &Connection,
    dataset: &DatasetId,
    repository: &RepositoryId,
) -> Result<u64, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT count(*) FROM manifests AS m WHERE m.dataset = ? AND m.repository = ?
         AND NOT EXISTS (SELECT 1 FROM authorized_manifests AS a WHERE a.id = m.id)",
    )?;
    Ok(statement
        .query_row([dataset.as_bytes().as_slice(), repository.as_bytes()], |row| count(row, 0))?)
}
