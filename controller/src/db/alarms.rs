//! Alarms: what is wrong now, and what was.
//!
//! Invariant: one open alarm for each kind and subject. A reconciler says what is wrong in its scope
//! now; what it no longer says is cleared, and stays in the table.

use lumbung_model::{PdId, ServiceId, SiteId, Timestamp};
use rusqlite::{Connection, Transaction, params};

use super::{Db, DbError, maybe_id};

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about; within one kind it begins with the scope of whoever says it.
    pub subject: String,
    /// Whose data it is about.
    pub pd: Option<PdId>,
    /// The site it is about.
    pub site: Option<SiteId>,
    /// The service it is about: whoever answers for it is told first.
    pub service: Option<ServiceId>,
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
        "INSERT INTO alarms (kind, subject, pd, site, service, detail, raised_s, last_s) VALUES (?1, ?2, ?3, ?4, ?7, ?5, ?6, ?6)
         ON CONFLICT (kind, subject) WHERE cleared_s IS NULL
            DO UPDATE SET last_s = ?6, detail = ?5, pd = ?3, site = ?4, service = ?7",
    )?
    .execute(params![
        kind,
        finding.subject,
        finding.pd.map(|pd| *pd.as_bytes()),
        finding.site.map(|site| *site.as_bytes()),
        finding.detail,
        now.0,
        finding.service.map(|service| *service.as_bytes()),
    ])?;
    Ok(())
}

/// Makes the open alarm of one kind about one subject be this, or none.
pub fn settle(
    db: &Connection,
    now: Timestamp,
    kind: &str,
    subject: &str,
    finding: Option<&Finding>,
) -> Result<(), DbError> {
    if let Some(finding) = finding {
        debug_assert_eq!(finding.subject, subject);
        return raise(db, now, kind, finding);
    }
    db.prepare_cached(
        "UPDATE alarms SET cleared_s = ? WHERE kind = ? AND subject = ? AND cleared_s IS NULL",
    )?
    .execute(params![now.0, kind, subject])?;
    Ok(())
}

/// What one kind's open alarms are about.
pub fn subjects(db: &Connection, kind: &str) -> Result<Vec<String>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT subject FROM alarms WHERE kind = ? AND cleared_s IS NULL")?;
    Ok(statement.query_map([kind], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// Makes the open alarms of some kinds be what is found now, of each kind in its place. Where nothing differs, nothing is written.
///
/// # Errors
/// If the database fails; nothing is changed then.
pub async fn keep<const N: usize>(
    db: &Db,
    now: Timestamp,
    kinds: [&'static str; N],
    find: impl FnOnce(&Transaction<'_>) -> Result<[Vec<Finding>; N], DbError> + Send + 'static,
) -> Result<(), DbError> {
    let look = move |tx: &Transaction<'_>| {
        let found = find(tx)?;
        let open = kinds.iter().map(|kind| open(tx, kind)).collect::<Result<Vec<_>, _>>()?;
        let same = found.iter().map(|found| told(found.iter())).eq(open);
        Ok::<_, DbError>((!same).then_some(found))
    };
    let Some(found) = db.read_async(look).await? else { return Ok(()) };
    db.write_async(move |tx| {
        let mut kinds = kinds.iter().zip(&found);
        kinds.try_for_each(|(kind, found)| reconcile(tx, now, kind, "", found))
    })
    .await
}

/// Subjects, and what is said of them.
type Told = std::collections::BTreeSet<(String, String)>;

fn told<'a>(findings: impl Iterator<Item = &'a Finding>) -> Told {
    findings.map(|one| (one.subject.clone(), one.detail.clone())).collect()
}

fn open(db: &Connection, kind: &str) -> Result<Told, DbError> {
    let wanted = Wanted { kind: Some(kind.to_owned()), ..Wanted::default() };
    let rows = list(db, None, &wanted, u32::MAX)?;
    Ok(told(rows.iter().map(|row| &row.finding)))
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

/// Which alarms are asked for; the default: those that last.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Also those that are over.
    pub all: bool,
    /// Of this kind.
    pub kind: Option<String>,
    /// About this PD's data.
    pub pd: Option<PdId>,
    /// About this site.
    pub site: Option<SiteId>,
    /// With a lower number.
    pub before: Option<i64>,
}

/// Alarms, of all the city or of one PD's scope, newest first. One PD's are counted by themselves: the numbers tell nothing
/// of other PDs' alarms.
pub fn list(
    db: &Connection,
    scope: Option<PdId>,
    wanted: &Wanted,
    limit: u32,
) -> Result<Vec<AlarmRow>, DbError> {
    let mut statement = db.prepare_cached(
        "WITH seen AS (
            SELECT *, CASE WHEN ?3 IS NULL THEN sequence ELSE row_number() OVER (ORDER BY sequence) END AS own
            FROM alarms WHERE ?3 IS NULL OR pd = ?3
         )
         SELECT own, kind, subject, pd, site, detail, raised_s, last_s, cleared_s, service FROM seen
         WHERE (?1 OR cleared_s IS NULL) AND (?4 IS NULL OR kind = ?4) AND (?5 IS NULL OR pd = ?5)
            AND (?6 IS NULL OR site = ?6) AND (?7 IS NULL OR own < ?7)
         ORDER BY own DESC LIMIT ?2",
    )?;
    let pd = |pd: Option<PdId>| pd.map(|pd| *pd.as_bytes());
    let site = wanted.site.map(|site| *site.as_bytes());
    let (all, kind, before) = (wanted.all, &wanted.kind, wanted.before);
    let asked = params![all, limit, pd(scope), kind, pd(wanted.pd), site, before];
    let rows = statement.query_map(asked, |row| {
        Ok(AlarmRow {
            sequence: row.get(0)?,
            kind: row.get(1)?,
            finding: Finding {
                subject: row.get(2)?,
                pd: maybe_id(row, 3)?.map(PdId::from_bytes),
                site: maybe_id(row, 4)?.map(SiteId::from_bytes),
                service: maybe_id(row, 9)?.map(ServiceId::from_bytes),
                detail: row.get(5)?,
            },
            raised: Timestamp(row.get(6)?),
            last: Timestamp(row.get(7)?),
            cleared: row.get::<_, Option<i64>>(8)?.map(Timestamp),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
