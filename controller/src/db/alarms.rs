//! Alarms: what is wrong now, and what was.
//!
//! Invariant: one open alarm for each kind and subject. A reconciler says what is wrong in its scope
//! now; what it no longer says is cleared, and stays in the table.

use lumbung_model::{PdId, SiteId, Timestamp};
use rusqlite::{Connection, params};

use super::{DbError, maybe_id};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about; within one kind it begins with the scope of whoever says it.
    pub subject: String,
    /// Whose data it is about.
    pub pd: Option<PdId>,
    /// The site it is about.
    pub site: Option<SiteId>,
    /// For people.
    pub detail: String,
}

/// Raises one alarm, or confirms it.
pub fn raise(
    db: &Connection,
    now: Timestamp,
    kind: &str,
    finding: &Finding,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO alarms (kind, subject, pd, site, detail, raised_s, last_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
         ON CONFLICT (kind, subject) WHERE cleared_s IS NULL DO UPDATE SET last_s = ?6, detail = ?5",
    )?
    .execute(params![
        kind,
        finding.subject,
        finding.pd.map(|pd| *pd.as_bytes()),
        finding.site.map(|site| *site.as_bytes()),
        finding.detail,
        now.0,
    ])?;
    Ok(())
}

/// Makes the open alarms of one kind whose subjects begin with `scope` be exactly these.
pub fn reconcile(
    db: &Connection,
    now: Timestamp,
    kind: &str,
    scope: &str,
    findings: &[Finding],
) -> Result<(), DbError> {
    for finding in findings {
        raise(db, now, kind, finding)?;
    }
    let open: Vec<(i64, String)> = db
        .prepare_cached(
            "SELECT sequence, subject FROM alarms WHERE kind = ? AND cleared_s IS NULL",
        )?
        .query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (sequence, subject) in open {
        let still = findings.iter().any(|finding| finding.subject == subject);
        if subject.starts_with(scope) && !still {
            db.prepare_cached("UPDATE alarms SET cleared_s = ? WHERE sequence = ?")?
                .execute(params![now.0, sequence])?;
        }
    }
    Ok(())
}

/// An alarm as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmRow {
    /// Counts alarms.
    pub sequence: i64,
    /// What is wrong.
    pub kind: String,
    /// About what.
    pub finding: Finding,
    /// Since when.
    pub raised: Timestamp,
    /// When it was seen last.
    pub last: Timestamp,
    /// Until when; none while it lasts.
    pub cleared: Option<Timestamp>,
}

/// Alarms, of all the city or of one PD, newest first: those that last, or all of them. One PD's are counted by
/// themselves: the numbers tell nothing of other PDs' alarms.
pub fn list(
    db: &Connection,
    pd: Option<PdId>,
    all: bool,
    limit: u32,
) -> Result<Vec<AlarmRow>, DbError> {
    let mut statement = db.prepare_cached(
        "WITH seen AS (
            SELECT *, row_number() OVER (ORDER BY sequence) AS own FROM alarms WHERE ?3 IS NULL OR pd = ?3
         )
         SELECT CASE WHEN ?3 IS NULL THEN sequence ELSE own END, kind, subject, pd, site, detail, raised_s, last_s,
            cleared_s FROM seen WHERE ?1 OR cleared_s IS NULL ORDER BY sequence DESC LIMIT ?2",
    )?;
    let pd = pd.map(|pd| *pd.as_bytes());
    let rows = statement.query_map(params![all, limit, pd], |row| {
        Ok(AlarmRow {
            sequence: row.get(0)?,
            kind: row.get(1)?,
            finding: Finding {
                subject: row.get(2)?,
                pd: maybe_id(row, 3)?.map(PdId::from_bytes),
                site: maybe_id(row, 4)?.map(SiteId::from_bytes),
                detail: row.get(5)?,
            },
            raised: Timestamp(row.get(6)?),
            last: Timestamp(row.get(7)?),
            cleared: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
