//! Where datasets stand as they were weighed last, and which have to be weighed again.
//!
//! Invariants: a standing that rests on something that changed is marked in the transaction of the change (triggers of
//! migration 7); one that is marked, or whose time has come, is never shown: whoever reads weighs it anew.

use std::collections::HashSet;

use lumbung_model::compliance::{StepTotal, Totals};
use lumbung_model::{DatasetId, PdId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::register::LIVE;
use super::{DbError, count, id, json, signed, to_json};
use crate::standing::Standing;

/// What has to be looked at again.
#[derive(Debug, Default)]
pub struct Stale {
    /// Everything.
    pub all: bool,
    /// The verdicts on what is no dataset.
    pub register: bool,
    /// These datasets.
    pub datasets: HashSet<DatasetId>,
}

impl Stale {
    /// Whether nothing has to be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.all && !self.register && self.datasets.is_empty()
    }
}

/// What has to be looked at again: because something changed, or because its time has come.
pub fn stale(db: &Connection, now: Timestamp) -> Result<Stale, DbError> {
    let mut stale = Stale::default();
    let mut statement =
        db.prepare_cached("SELECT kind FROM stale WHERE kind IN ('all', 'register')")?;
    for kind in statement.query_map([], |row| row.get::<_, String>(0))? {
        match kind?.as_str() {
            "all" => stale.all = true,
            _ => stale.register = true,
        }
    }
    let sql = if stale.all {
        "SELECT id FROM datasets WHERE ?1 = ?1"
    } else {
        "SELECT id FROM stale WHERE kind = 'dataset'
         UNION SELECT d.id FROM stale AS s JOIN datasets AS d ON d.pd = s.id WHERE s.kind = 'pd'
         UNION SELECT d.id FROM stale AS s JOIN repositories AS r ON r.id = s.id
            JOIN datasets AS d ON d.pd = r.pd AND (d.repository IS NULL OR d.repository = r.id)
            WHERE s.kind = 'repository'
         UNION SELECT dataset FROM standings WHERE recheck_s <= ?1"
    };
    let mut statement = db.prepare_cached(sql)?;
    for dataset in statement.query_map([now.0], |row| id(row, 0))? {
        stale.datasets.insert(DatasetId::from_bytes(dataset?));
    }
    Ok(stale)
}

/// Marks everything, after the profile changed.
pub fn mark_all(db: &Connection) -> Result<(), DbError> {
    db.execute("INSERT OR IGNORE INTO stale VALUES ('all', x''), ('register', x'')", [])?;
    Ok(())
}

/// Marks the verdicts on what is no dataset.
pub fn mark_register(db: &Connection) -> Result<(), DbError> {
    db.prepare_cached("INSERT OR IGNORE INTO stale VALUES ('register', x'')")?.execute([])?;
    Ok(())
}

/// Turns marks on many datasets into marks on each, so that they can be worked off in parts.
pub fn spread(db: &Connection, stale: &Stale) -> Result<(), DbError> {
    let mut mark = db.prepare_cached("INSERT OR IGNORE INTO stale VALUES ('dataset', ?)")?;
    for dataset in &stale.datasets {
        mark.execute([dataset.as_bytes()])?;
    }
    db.execute("DELETE FROM stale WHERE kind IN ('all', 'pd', 'repository')", [])?;
    Ok(())
}

/// Takes the mark off a dataset.
pub fn unmark(db: &Connection, dataset: &DatasetId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM stale WHERE kind = 'dataset' AND id = ?")?
        .execute([dataset.as_bytes()])?;
    Ok(())
}

/// Takes the mark off what is no dataset.
pub fn unmark_register(db: &Connection) -> Result<(), DbError> {
    db.execute("DELETE FROM stale WHERE kind = 'register'", [])?;
    Ok(())
}

/// The standings, of all PD or of one.
pub fn standings(
    db: &Connection,
    pd: Option<&PdId>,
) -> Result<std::collections::HashMap<DatasetId, Standing>, DbError> {
    let sql = match pd {
        Some(_) => "SELECT dataset, body FROM standings WHERE pd = ?1",
        None => "SELECT dataset, body FROM standings WHERE ?1 IS NULL",
    };
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map([pd.map(PdId::as_bytes)], |row| {
        Ok((DatasetId::from_bytes(id(row, 0)?), json(row, 1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The standing of one dataset.
pub fn standing(db: &Connection, dataset: &DatasetId) -> Result<Option<Standing>, DbError> {
    let mut statement = db.prepare_cached("SELECT body FROM standings WHERE dataset = ?")?;
    Ok(statement.query_row([dataset.as_bytes()], |row| json(row, 0)).optional()?)
}

/// Forgets the standing of a dataset that is retired.
pub fn forget(db: &Connection, dataset: &DatasetId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM standings WHERE dataset = ?")?.execute([dataset.as_bytes()])?;
    Ok(())
}

/// Keeps a standing.
pub fn put(db: &Connection, standing: &Standing, weighed: Timestamp) -> Result<(), DbError> {
    let compliance = &standing.compliance;
    let bits = compliance.steps().into_iter().enumerate();
    let met = bits.fold(0_i64, |met, (bit, step)| met | i64::from(step.met) << bit);
    db.prepare_cached(
        "INSERT OR REPLACE INTO standings (dataset, pd, weighed_s, recheck_s, bytes, met, never, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        compliance.dataset.as_bytes(),
        compliance.pd.as_bytes(),
        weighed.0,
        standing.recheck.map(|at| at.0),
        signed(compliance.bytes),
        met,
        standing.never(),
        to_json(standing)?,
    ])?;
    Ok(())
}

/// When the next standing has to be weighed again though nothing comes.
pub fn next_recheck(db: &Connection) -> Result<Option<Timestamp>, DbError> {
    let next =
        db.query_row("SELECT min(recheck_s) FROM standings", [], |row| row.get(0)).optional()?;
    Ok(next.flatten().map(Timestamp))
}

/// Totals in columns: datasets and bytes of what is registered, then of each step.
fn totals_from(row: &Row<'_>, first: usize) -> rusqlite::Result<Totals> {
    let total = |index| {
        Ok::<_, rusqlite::Error>(StepTotal {
            datasets: count(row, first + index)?,
            bytes: count(row, first + index + 1)?,
        })
    };
    Ok(Totals {
        registered: total(0)?,
        backed_up: total(2)?,
        at_drc: total(4)?,
        verified: total(6)?,
        proven: total(8)?,
    })
}

/// Sums over standings, in the order of [`totals_from`].
fn sums() -> String {
    let step = |bit: u8| {
        format!("sum(met >> {bit} & 1), sum(CASE met >> {bit} & 1 WHEN 1 THEN bytes ELSE 0 END)")
    };
    format!("count(*), sum(bytes), {}", [0, 1, 2, 3].map(step).join(", "))
}

/// How many datasets and bytes have come how far: of each PD that has datasets.
pub fn totals(db: &Connection) -> Result<Vec<(PdId, Totals)>, DbError> {
    let sql = format!("SELECT pd, {} FROM standings GROUP BY pd", sums());
    let mut statement = db.prepare_cached(&sql)?;
    let rows =
        statement.query_map([], |row| Ok((PdId::from_bytes(id(row, 0)?), totals_from(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many datasets and bytes have come how far: of one PD, or of all together.
pub fn totals_of(db: &Connection, pd: Option<&PdId>) -> Result<Totals, DbError> {
    let Some(pd) = pd else {
        let each = totals(db)?.into_iter().map(|(_, totals)| totals);
        return Ok(each.fold(Totals::default(), Totals::plus));
    };
    let sql = format!("SELECT pd, {} FROM standings WHERE pd = ? GROUP BY pd", sums());
    let mut statement = db.prepare_cached(&sql)?;
    let found = statement.query_row([pd.as_bytes()], |row| totals_from(row, 1)).optional()?;
    Ok(found.unwrap_or_default())
}

/// How many PD that are not retired have never backed anything up.
pub fn never(db: &Connection) -> Result<u64, DbError> {
    let sql = format!(
        "SELECT count(*) FROM pds AS p
         WHERE p.{LIVE} AND NOT EXISTS (SELECT 1 FROM standings AS s WHERE s.pd = p.id AND s.never = 0)"
    );
    Ok(db.query_row(&sql, [], |row| count(row, 0))?)
}

const DAY: &str =
    "datasets, bytes, backed_up, backed_up_bytes, at_drc, at_drc_bytes, verified, verified_bytes,
    proven, proven_bytes";

/// What is written down for a day.
pub fn day(db: &Connection, day: i64) -> Result<Vec<(PdId, Totals)>, DbError> {
    let sql = format!("SELECT pd, {DAY} FROM compliance_days WHERE day = ?");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement
        .query_map([day], |row| Ok((PdId::from_bytes(id(row, 0)?), totals_from(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes the totals of a day, days since 1970.
pub fn put_day(db: &Connection, day: i64, totals: &[(PdId, Totals)]) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM compliance_days WHERE day = ?")?.execute([day])?;
    let sql = format!(
        "INSERT INTO compliance_days (day, pd, {DAY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    );
    let mut statement = db.prepare_cached(&sql)?;
    for (pd, of) in totals {
        statement.execute(params![
            day,
            pd.as_bytes(),
            signed(of.registered.datasets),
            signed(of.registered.bytes),
            signed(of.backed_up.datasets),
            signed(of.backed_up.bytes),
            signed(of.at_drc.datasets),
            signed(of.at_drc.bytes),
            signed(of.verified.datasets),
            signed(of.verified.bytes),
            signed(of.proven.datasets),
            signed(of.proven.bytes),
        ])?;
    }
    Ok(())
}

/// The totals of each day from `from` to `until`, of one PD or of all together.
pub fn days(
    db: &Connection,
    pd: Option<&PdId>,
    (from, until): (i64, i64),
) -> Result<Vec<(i64, Totals)>, DbError> {
    let sums: Vec<_> = DAY.split(',').map(|column| format!("sum({})", column.trim())).collect();
    let sql = format!(
        "SELECT day, {} FROM compliance_days
         WHERE day BETWEEN ?1 AND ?2 AND (?3 IS NULL OR pd = ?3) GROUP BY day ORDER BY day",
        sums.join(", ")
    );
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map(params![from, until, pd.map(PdId::as_bytes)], |row| {
        Ok((row.get(0)?, totals_from(row, 1)?))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A setting that the controller keeps for itself.
pub fn setting(db: &Connection, name: &str) -> Result<Option<String>, DbError> {
    let mut statement = db.prepare_cached("SELECT value FROM settings WHERE name = ?")?;
    Ok(statement.query_row([name], |row| row.get(0)).optional()?)
}

/// Keeps a setting.
pub fn put_setting(db: &Connection, name: &str, value: &str) -> Result<(), DbError> {
    db.prepare_cached("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)")?
        .execute([name, value])?;
    Ok(())
}
