//! Verdicts as intervals: what was said of whom by which rule, from when until when.
//!
//! Invariants: of one subject and rule at most one interval is open; a verdict is never changed, only ended and followed
//! by another; reasons stand as they were worded when the interval began.

use lumbung_model::{PdId, Timestamp};
use rusqlite::{Connection, Row, params};

use super::{DbError, maybe_id};
use crate::rules::{SubjectId, Verdict};

/// One interval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// The rule.
    pub rule: String,
    /// The kind of its subject.
    pub subject_kind: String,
    /// The subject's id.
    pub subject: SubjectId,
    /// Whose it is.
    pub pd: Option<PdId>,
    /// From when.
    pub from: Timestamp,
    /// Until when; none: it lasts.
    pub until: Option<Timestamp>,
    /// Whether the rule was met.
    pub met: bool,
    /// Codes of the reasons, separated by commas.
    pub codes: String,
    /// The reason in Indonesian.
    pub reason_id: String,
    /// The reason in English.
    pub reason_en: String,
}

const INTERVAL: &str =
    "SELECT rule, subject_kind, subject, pd, from_s, until_s, met, codes, reason_id, reason_en
    FROM verdicts";

fn interval(row: &Row<'_>) -> rusqlite::Result<Interval> {
    Ok(Interval {
        rule: row.get(0)?,
        subject_kind: row.get(1)?,
        subject: row.get(2)?,
        pd: maybe_id(row, 3)?.map(PdId::from_bytes),
        from: Timestamp(row.get(4)?),
        until: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        met: row.get(6)?,
        codes: row.get(7)?,
        reason_id: row.get(8)?,
        reason_en: row.get(9)?,
    })
}

/// Those of the subject that last.
pub fn open(db: &Connection, subject: &SubjectId) -> Result<Vec<Interval>, DbError> {
    let sql = format!("{INTERVAL} WHERE subject = ? AND until_s IS NULL");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([subject], interval)?.collect::<Result<_, _>>()?)
}

fn is_same(before: &Interval, pd: Option<PdId>, verdict: &Verdict) -> bool {
    before.rule == verdict.rule
        && before.met == verdict.met
        && before.codes == verdict.codes
        && before.pd == pd
}

/// Whether [`settle`] would change anything.
pub fn differ(
    db: &Connection,
    (subject, pd): (&SubjectId, Option<PdId>),
    verdicts: &[Verdict],
) -> Result<bool, DbError> {
    let open = open(db, subject)?;
    let is_said = |verdict: &Verdict| open.iter().any(|before| is_same(before, pd, verdict));
    Ok(open.len() != verdicts.len() || !verdicts.iter().all(is_said))
}

/// Notes what is said of a subject now: what differs is ended and followed, what is no longer said is ended.
pub fn settle(
    db: &Connection,
    now: Timestamp,
    (kind, subject, pd): (&str, &SubjectId, Option<PdId>),
    verdicts: &[Verdict],
) -> Result<(), DbError> {
    let open = open(db, subject)?;
    for before in &open {
        let stays = verdicts.iter().any(|verdict| is_same(before, pd, verdict));
        if !stays {
            db.prepare_cached(
                "UPDATE verdicts SET until_s = max(from_s, ?) WHERE subject = ? AND rule = ? AND until_s IS NULL",
            )?
            .execute(params![now.0, subject, before.rule])?;
        }
    }
    let is_new = |verdict: &&Verdict| !open.iter().any(|before| is_same(before, pd, verdict));
    for verdict in verdicts.iter().filter(is_new) {
        db.prepare_cached(
            "INSERT INTO verdicts (rule, subject_kind, subject, pd, from_s, met, codes, reason_id, reason_en)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            verdict.rule,
            kind,
            subject,
            pd.map(|pd| *pd.as_bytes()),
            now.0,
            verdict.met,
            verdict.codes,
            verdict.reason.id,
            verdict.reason.en,
        ])?;
    }
    Ok(())
}

/// Subjects of a kind that something is still said of.
pub fn subjects(db: &Connection, kind: &str) -> Result<Vec<SubjectId>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT DISTINCT subject FROM verdicts WHERE subject_kind = ? AND until_s IS NULL",
    )?;
    Ok(statement.query_map([kind], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// What was said at `at`, of all PD or of one; the city's own is in no PD's.
pub fn at(db: &Connection, at: Timestamp, pd: Option<&PdId>) -> Result<Vec<Interval>, DbError> {
    let of = if pd.is_some() { "pd = ?2" } else { "?2 IS NULL" };
    let sql = format!(
        "{INTERVAL} WHERE {of} AND from_s <= ?1 AND (until_s IS NULL OR until_s > ?1) ORDER BY rule, subject"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![at.0, pd.map(PdId::as_bytes)], interval)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Everything that was ever said of the subject, newest first.
pub fn history(db: &Connection, subject: &SubjectId, limit: u32) -> Result<Vec<Interval>, DbError> {
    let sql = format!("{INTERVAL} WHERE subject = ? ORDER BY from_s DESC, sequence DESC LIMIT ?");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map(params![subject, limit], interval)?.collect::<Result<_, _>>()?)
}

/// The first moment of which anything was said.
pub fn begins(db: &Connection) -> Result<Option<Timestamp>, DbError> {
    let first: Option<i64> =
        db.query_row("SELECT min(from_s) FROM verdicts", [], |row| row.get(0))?;
    Ok(first.map(Timestamp))
}
