//! Where datasets stand as they were weighed last, and which have to be weighed again.
//!
//! Invariants: a standing that rests on something that changed is marked in the transaction of the change (triggers of
//! migration 7); one that is marked, or whose time has come, is never shown: whoever reads weighs it anew.

use std::collections::{HashMap, HashSet};

use lumbung_model::compliance::{StepTotal, Totals};
use lumbung_model::{DatasetId, PdId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};

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
        // ALL, though one may come twice: to tell that here, SQLite would read every standing in the order of its id.
        "SELECT id FROM stale WHERE kind = 'dataset'
         UNION ALL SELECT d.id FROM stale AS s JOIN datasets AS d ON d.pd = s.id WHERE s.kind = 'pd'
         UNION ALL SELECT d.id FROM stale AS s JOIN repositories AS r ON r.id = s.id
            JOIN datasets AS d ON d.pd = r.pd AND (d.repository IS NULL OR d.repository = r.id)
            WHERE s.kind = 'repository'
         UNION ALL SELECT dataset FROM standings WHERE recheck_s <= ?1"
    };
    let mut statement = db.prepare_cached(sql)?;
    for dataset in statement.query_map([now.0], |row| id(row, 0))? {
        stale.datasets.insert(DatasetId::from_bytes(dataset?));
    }
    Ok(stale)
}

/// The datasets of [`stale`] that are a PD's now, or were when they were weighed last.
pub fn stale_of(db: &Connection, now: Timestamp, pd: &PdId) -> Result<HashSet<DatasetId>, DbError> {
    // CROSS JOIN keeps the order: a PD's rows are few, marks may be as many as datasets.
    let mut statement = db.prepare_cached(
        "SELECT d.id FROM datasets AS d CROSS JOIN stale AS s ON s.kind = 'dataset' AND s.id = d.id WHERE d.pd = ?2
         UNION ALL SELECT t.dataset FROM standings AS t CROSS JOIN stale AS s
            ON s.kind = 'dataset' AND s.id = t.dataset WHERE t.pd = ?2
         UNION ALL SELECT id FROM datasets WHERE pd = ?2 AND EXISTS
            (SELECT 1 FROM stale WHERE (kind = 'all' AND id = x'') OR (kind = 'pd' AND id = ?2))
         UNION ALL SELECT d.id FROM stale AS s JOIN repositories AS r ON r.id = s.id AND r.pd = ?2
            JOIN datasets AS d ON d.pd = r.pd AND (d.repository IS NULL OR d.repository = r.id)
            WHERE s.kind = 'repository'
         UNION ALL SELECT dataset FROM standings WHERE pd = ?2 AND recheck_s <= ?1",
    )?;
    let ids = statement.query_map(params![now.0, pd.as_bytes()], |row| id(row, 0))?;
    Ok(ids.map(|id| id.map(DatasetId::from_bytes)).collect::<Result<_, _>>()?)
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

/// Turns marks on many datasets into marks on each, so that they can be worked off in parts, and tells what is marked. Read
/// where it is written: a mark that came in between would be taken off unseen.
pub fn spread(db: &Connection, now: Timestamp) -> Result<Stale, DbError> {
    let stale = stale(db, now)?;
    let mut mark = db.prepare_cached("INSERT OR IGNORE INTO stale VALUES ('dataset', ?)")?;
    for dataset in &stale.datasets {
        mark.execute([dataset.as_bytes()])?;
    }
    db.execute("DELETE FROM stale WHERE kind IN ('all', 'pd', 'repository')", [])?;
    Ok(stale)
}

/// Takes the mark off a dataset.
pub fn unmark(db: &Connection, dataset: &DatasetId) -> Result<(), DbError> {
    db.prepare_cached("DELETE FROM stale WHERE kind = 'dataset' AND id = ?")?
        .execute([dataset.as_bytes()])?;
    Ok(())
}

/// Notes that the verdicts on what is no dataset are at work: what changes from now on marks them anew.
pub fn begin_register(db: &Connection) -> Result<(), DbError> {
    db.execute("INSERT OR IGNORE INTO stale VALUES ('register', x'01')", [])?;
    db.execute("DELETE FROM stale WHERE kind = 'register' AND id = x''", [])?;
    Ok(())
}

/// Takes the mark of [`begin_register`] off.
pub fn end_register(db: &Connection) -> Result<(), DbError> {
    db.execute("DELETE FROM stale WHERE kind = 'register' AND id = x'01'", [])?;
    Ok(())
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
    // Changed in place: REPLACE would take the row out without its trigger.
    db.prepare_cached(
        "INSERT INTO standings (dataset, pd, weighed_s, recheck_s, bytes, met, never, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (dataset) DO UPDATE SET
            pd = ?2, weighed_s = ?3, recheck_s = ?4, bytes = ?5, met = ?6, never = ?7, body = ?8",
    )?
    .execute(params![
        compliance.dataset.as_bytes(),
        compliance.pd.as_bytes(),
        weighed.0,
        standing.recheck.map(|at| at.0),
        signed(counted_bytes(compliance.bytes)),
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

/// Bytes as they are added up: 1 PiB a dataset, so that nothing that a site claims makes the sum of a city overflow.
fn counted_bytes(bytes: u64) -> u64 {
    bytes.min(1 << 50)
}

/// What the datasets of a PD add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// How many datasets and bytes have come how far.
    pub totals: Totals,
    /// Datasets of which nothing was ever backed up.
    pub never: u64,
}

impl Sums {
    /// What one dataset adds.
    #[must_use]
    pub fn of(standing: &Standing) -> Self {
        let compliance = &standing.compliance;
        let one = StepTotal { datasets: 1, bytes: counted_bytes(compliance.bytes) };
        let [backed_up, at_drc, verified, proven] =
            compliance.steps().map(|step| if step.met { one } else { StepTotal::default() });
        let totals = Totals { registered: one, backed_up, at_drc, verified, proven };
        Self { totals, never: u64::from(standing.never()) }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { totals: self.totals.plus(other.totals), never: self.never + other.never }
    }

    /// Without what the other one added.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        let totals = self.totals.minus(other.totals);
        Self { totals, never: self.never.saturating_sub(other.never) }
    }

    /// Whether nothing of any of them was ever backed up.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.never == self.totals.registered.datasets
    }
}

/// What the standings add up to, of each PD that has any, or of one.
pub fn sums(db: &Connection, pd: Option<&PdId>) -> Result<HashMap<PdId, Sums>, DbError> {
    let of = if pd.is_some() { "pd = ?1" } else { "?1 IS NULL" };
    let sql = format!("SELECT pd, {DAY}, never FROM standing_totals WHERE {of} AND datasets > 0");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([pd.map(PdId::as_bytes)], |row| {
        let sums = Sums { totals: totals_from(row, 1)?, never: count(row, 11)? };
        Ok((PdId::from_bytes(id(row, 0)?), sums))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
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

#[cfg(test)]
mod tests {
    use super::super::Db;
    use super::*;

    /// Numbers that look random (SplitMix64), so that each run is the same.
    fn next(state: &mut u64) -> i64 {
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        i64::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap()
    }

    #[test]
    fn sums_are_those_of_the_standings_whatever_is_done_to_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.db");
        Db::create(&path).unwrap();
        let db = Connection::open(&path).unwrap();
        // The datasets and PD themselves do not matter here.
        db.pragma_update(None, "foreign_keys", false).unwrap();
        let mut state = 7;
        for step in 0..2000 {
            let mut below = |many: i64| next(&mut state) % many;
            let dataset = vec![u8::try_from(below(40)).unwrap(); 16];
            let pd = vec![u8::try_from(below(5)).unwrap(); 16];
            let done = match below(10) {
                0 => db.execute("DELETE FROM standings WHERE dataset = ?", [dataset]),
                1 => db.execute("DELETE FROM standings WHERE pd = ?", [pd]),
                _ => {
                    let values = params![dataset, pd, below(1 << 50), below(16), below(2)];
                    db.execute(
                        "INSERT INTO standings (dataset, pd, weighed_s, bytes, met, never, body)
                         VALUES (?1, ?2, 0, ?3, ?4, ?5, '{}') ON CONFLICT (dataset) DO UPDATE SET
                            pd = ?2, bytes = ?3, met = ?4, never = ?5",
                        values,
                    )
                }
            };
            done.unwrap();
            let mut added = HashMap::new();
            let mut statement =
                db.prepare_cached("SELECT pd, bytes, met, never FROM standings").unwrap();
            let mut rows = statement.query([]).unwrap();
            while let Some(row) = rows.next().unwrap() {
                let one = StepTotal { datasets: 1, bytes: count(row, 1).unwrap() };
                let met: u8 = row.get(2).unwrap();
                let at = |bit: u8| if met >> bit & 1 == 1 { one } else { StepTotal::default() };
                let totals = Totals {
                    registered: one,
                    backed_up: at(0),
                    at_drc: at(1),
                    verified: at(2),
                    proven: at(3),
                };
                let sums: &mut Sums =
                    added.entry(PdId::from_bytes(id(row, 0).unwrap())).or_default();
                *sums = sums.plus(Sums { totals, never: count(row, 3).unwrap() });
            }
            assert_eq!(sums(&db, None).unwrap(), added, "step {step}");
            let one = PdId::from_bytes([3; 16]);
            let of_one = added.get(&one).map(|sums| (one, *sums));
            assert_eq!(sums(&db, Some(&one)).unwrap(), of_one.into_iter().collect(), "step {step}");
        }
    }
}
