//! What the kept evidence shows to be wrong: hidden snapshots, wrong removals, gaps and forks.
//!
//! Each query names at most a bounded number of faults; subjects begin with the caller's scope, so that
//! what is mended is cleared (`alarms::reconcile`).

use lumbung_model::compliance::LISTING_SLACK_S;
use lumbung_model::{ManifestId, OrderId, PdId, RepositoryId, SiteId, Timestamp};
use rusqlite::{Connection, params};

use super::alarms::Finding;
use super::{DbError, count, id, maybe_id};

fn finding(
    scope: &str,
    subject: impl std::fmt::Display,
    pd: Option<PdId>,
    site: SiteId,
    detail: String,
) -> Finding {
    Finding { subject: format!("{scope}{subject}"), pd, site: Some(site), service: None, detail }
}

/// Snapshots that the site receipted or listed, and leaves out of its newest inventory without a tombstone.
pub fn hidden(
    db: &Connection,
    scope: &str,
    pd: Option<PdId>,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "WITH newest AS (SELECT number, made_s FROM counting_inventories WHERE site = ?1 AND repository = ?2
                         ORDER BY number DESC LIMIT 1),
              known AS (SELECT manifest, min(received_s) AS received_s FROM counting_receipts
                        WHERE site = ?1 AND repository = ?2 GROUP BY manifest
                        UNION SELECT manifest, NULL FROM inventory_entries WHERE site = ?1 AND repository = ?2)
         SELECT DISTINCT k.manifest, n.number FROM known AS k CROSS JOIN newest AS n
         LEFT JOIN inventory_entries AS e ON e.site = ?1 AND e.repository = ?2 AND e.manifest = k.manifest
         WHERE (e.newest < n.number OR (e.newest IS NULL AND n.made_s - k.received_s > ?3))
            AND NOT EXISTS (SELECT 1 FROM removals AS t
                WHERE t.manifest = k.manifest AND t.site = ?1 AND t.repository = ?2)
         ORDER BY k.manifest LIMIT 1000",
    )?;
    let rows = statement
        .query_map(params![site.as_bytes(), repository.as_bytes(), LISTING_SLACK_S], |row| {
            Ok((ManifestId::from_bytes(id(row, 0)?), count(row, 1)?))
        })?;
    rows.map(|row| {
        let (manifest, number) = row?;
        let detail = format!("snapshot {manifest} was receipted, inventory {number} does not list it: look at the vault at once");
        Ok(finding(scope, manifest, pd, *site, detail))
    })
    .collect()
}

/// Numbers that are missing among the site's receipts, or stand twice: it gave receipts that it does not show.
pub fn receipt_gaps(
    db: &Connection,
    scope: &str,
    pd: Option<PdId>,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT number, before, twice FROM (
            SELECT number, lag(number, 1, 0) OVER (ORDER BY number) AS before, count(*) > 1 AS twice
            FROM (SELECT number, id FROM counting_receipts WHERE site = ?1 AND repository = ?2
                  UNION SELECT receipt_number, receipt FROM counting_tombstones
                  WHERE site = ?1 AND repository = ?2 AND receipt_number IS NOT NULL) GROUP BY number)
         WHERE twice OR number <> before + 1 ORDER BY number LIMIT 100",
    )?;
    let rows = statement.query_map(params![site.as_bytes(), repository.as_bytes()], |row| {
        Ok((count(row, 0)?, count(row, 1)?, row.get::<_, bool>(2)?))
    })?;
    rows.map(|row| {
        let (number, before, twice) = row?;
        let detail = match twice {
            true => format!("two receipts have the number {number}: the vault was rolled back or its key is used twice"),
            false => format!("receipts {} to {} are not shown: the vault hides snapshots that it receipted", before + 1, number - 1),
        };
        Ok(finding(scope, number, pd, *site, detail))
    })
    .collect()
}

/// Removals that are not rightful: the site had promised to keep the snapshot longer, or names an order that nobody can
/// see.
pub fn wrong_removals(
    db: &Connection,
    scope: &str,
    pd: Option<PdId>,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT t.manifest, t.ordered_by, max(t.removed_s),
            max(max(coalesce(t.locked_until_s, r.locked_until_s), coalesce(r.locked_until_s, t.locked_until_s)))
         FROM removals AS t LEFT JOIN counting_receipts AS r
            ON r.manifest = t.manifest AND r.site = t.site AND r.repository = t.repository
         WHERE t.site = ?1 AND t.repository = ?2 AND NOT t.rightful GROUP BY t.manifest ORDER BY t.manifest LIMIT 1000",
    )?;
    let rows = statement.query_map(params![site.as_bytes(), repository.as_bytes()], |row| {
        let manifest = ManifestId::from_bytes(id(row, 0)?);
        let order = maybe_id(row, 1)?.map(OrderId::from_bytes);
        let (removed, locked) =
            (Timestamp(row.get(2)?), row.get::<_, Option<i64>>(3)?.map(Timestamp));
        Ok((manifest, order, removed, locked))
    })?;
    rows.map(|row| {
        let (manifest, order, removed, locked) = row?;
        let why = match (order, locked) {
            (Some(order), _) => format!("by order {order}, which it does not show or which is none of the owner's for this snapshot"),
            (None, Some(locked)) => format!("as expired, and had promised to keep it until {locked}"),
            (None, None) => "as expired, and does not show the receipt that says how long it had to be kept".to_owned(),
        };
        let detail = format!("the site removed snapshot {manifest} on {removed} {why}: look at the vault at once");
        Ok(finding(scope, manifest, pd, *site, detail))
    })
    .collect()
}

/// How long an order that was carried out is shown: thirty days.
const ORDERS_LAST_S: i64 = 30 * 86_400;

/// Orders by which the site destroyed snapshots lately: nothing is wrong, and it is to be known.
pub fn orders_carried_out(
    db: &Connection,
    now: Timestamp,
    scope: &str,
    pd: Option<PdId>,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT ordered_by, letter, count(DISTINCT manifest), min(manifest) FROM removals
         WHERE site = ?1 AND repository = ?2 AND rightful AND ordered_by IS NOT NULL AND removed_s > ?3
         GROUP BY ordered_by ORDER BY ordered_by LIMIT 1000",
    )?;
    let since = now.plus_seconds(-ORDERS_LAST_S);
    let rows =
        statement.query_map(params![site.as_bytes(), repository.as_bytes(), since.0], |row| {
            let order = OrderId::from_bytes(id(row, 0)?);
            let (letter, destroyed) = (row.get::<_, String>(1)?, count(row, 2)?);
            Ok((order, letter, destroyed, ManifestId::from_bytes(id(row, 3)?)))
        })?;
    rows.map(|row| {
        let (order, letter, destroyed, first) = row?;
        let what = match destroyed {
            1 => format!("snapshot {first}"),
            more => format!("{more} snapshots, {first} among them"),
        };
        let detail = format!("letter {letter}: the site destroyed {what} by order {order}");
        Ok(finding(scope, order, pd, *site, detail))
    })
    .collect()
}

/// Inventories of the site that share a number, or whose predecessor is not known.
pub fn inventory_faults(
    db: &Connection,
    scope: &str,
    pd: Option<PdId>,
    site: &SiteId,
    repository: &RepositoryId,
) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT number, count(*) > 1, min(chain_valid) FROM counting_inventories WHERE site = ? AND repository = ?
         GROUP BY number HAVING count(*) > 1 OR min(chain_valid) = 0 ORDER BY number LIMIT 100",
    )?;
    let rows = statement.query_map(params![site.as_bytes(), repository.as_bytes()], |row| {
        Ok((count(row, 0)?, row.get::<_, bool>(1)?))
    })?;
    rows.map(|row| {
        let (number, forked) = row?;
        let detail = match forked {
            true => format!("two inventories have the number {number}: the vault was rolled back or its key is used twice"),
            false => format!("inventory {number} does not follow from the one before it"),
        };
        Ok(finding(scope, number, pd, *site, detail))
    })
    .collect()
}

/// Forks and gaps in the agents' sequences of manifests.
pub fn manifest_faults(
    db: &Connection,
    scope: &str,
    pd: Option<PdId>,
    repository: &RepositoryId,
) -> Result<Vec<Finding>, DbError> {
    let mut forks = db.prepare_cached(
        "SELECT min(id), epoch, sequence FROM manifests WHERE repository = ?
         GROUP BY agent, dataset, epoch, sequence HAVING count(*) > 1 LIMIT 100",
    )?;
    let rows = forks.query_map([repository.as_bytes()], |row| {
        Ok((ManifestId::from_bytes(id(row, 0)?), format!(
            "two snapshots have epoch {} and number {}: the agent runs twice, or its key is in other hands",
            count(row, 1)?,
            count(row, 2)?
        )))
    })?;
    let mut faults: Vec<(ManifestId, String)> = rows.collect::<Result<_, _>>()?;
    let mut gaps = db.prepare_cached(
        "SELECT m.id FROM manifests AS m WHERE m.repository = ?1 AND m.previous <> zeroblob(32)
         AND NOT EXISTS (SELECT 1 FROM manifests AS p WHERE p.id = m.previous)
         AND NOT EXISTS (SELECT 1 FROM counting_tombstones AS t WHERE t.manifest = m.previous) LIMIT 100",
    )?;
    let rows = gaps.query_map([repository.as_bytes()], |row| {
        Ok((
            ManifestId::from_bytes(id(row, 0)?),
            "the snapshot before it is at no site: it was lost or is hidden".to_owned(),
        ))
    })?;
    faults.extend(rows.collect::<Result<Vec<_>, _>>()?);
    let described = faults.into_iter().map(|(manifest, detail)| Finding {
        subject: format!("{scope}{manifest}"),
        pd,
        site: None,
        service: None,
        detail: format!("snapshot {manifest}: {detail}"),
    });
    Ok(described.collect())
}

/// How far back agents' reports are held against what the sites show: seven days.
const REPORTS_LAST_S: i64 = 7 * 86_400;

/// Since when every site that has enrolled has shown all that it has; none if one of them never did.
pub fn all_sites_shown(db: &Connection) -> Result<Option<Timestamp>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT CASE WHEN count(*) = count(p.succeeded_s) THEN min(p.succeeded_s) END FROM sites AS s
         LEFT JOIN site_polls AS p ON p.site = s.id
         WHERE s.removed_s IS NULL AND s.url IS NOT NULL AND s.receipt_key IS NOT NULL AND s.tls_pin IS NOT NULL",
    )?;
    let shown: Option<i64> = statement.query_row([], |row| row.get(0))?;
    Ok(shown.map(Timestamp))
}

/// Snapshots that agents reported as done before `settled`, and that no site shows: a vault that gave a receipt
/// and hides the snapshot. Only the agents' word, so it is an alarm and no more.
pub fn unseen(
    db: &Connection,
    now: Timestamp,
    settled: Timestamp,
) -> Result<Vec<Finding>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT unhex(r.body ->> '$.manifest') AS manifest, s.pd FROM reports AS r
         JOIN agents AS a ON a.id = r.agent JOIN servers AS s ON s.id = a.server
         WHERE r.kind = 'backup' AND r.outcome IN ('ok', 'warnings') AND manifest IS NOT NULL
            AND r.received_s > ?1 AND r.received_s < ?2
            AND NOT EXISTS (SELECT 1 FROM manifests AS m WHERE m.id = unhex(r.body ->> '$.manifest'))
            AND NOT EXISTS (SELECT 1 FROM counting_tombstones AS t WHERE t.manifest = unhex(r.body ->> '$.manifest'))
         GROUP BY manifest ORDER BY manifest LIMIT 1000",
    )?;
    let rows = statement
        .query_map(params![now.plus_seconds(-REPORTS_LAST_S).0, settled.0], |row| {
            Ok((ManifestId::from_bytes(id(row, 0)?), maybe_id(row, 1)?.map(PdId::from_bytes)))
        })?;
    rows.map(|row| {
        let (manifest, pd) = row?;
        let detail = format!(
            "snapshot {manifest} is done by its agent's report (menurut agen), no site shows it: ask for the receipt, look at the vaults"
        );
        Ok(Finding { subject: manifest.to_string(), pd, site: None, service: None, detail })
    })
    .collect()
}
