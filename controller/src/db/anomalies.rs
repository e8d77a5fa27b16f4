//! Figures of runs, anomalies, and the holds that they ask for.
//!
//! Invariants: figures of one report are kept once, for [`HISTORY_S`] and 2,000 runs at most; one anomaly of a dataset is
//! unsettled; what a person decides is in the audit log; a hold that is wanted stays a row until its anomaly is settled.

use lumbung_model::anomaly::{Run, RunFigures, Suspicion};
use lumbung_model::compliance::CLOCK_TOLERANCE_S;
use lumbung_model::{
    AgentId, AnomalyId, DatasetId, HoldId, ManifestId, PdId, RepositoryId, SiteId, Timestamp,
};
use lumbung_wire::messages::Report;
use lumbung_wire::messages::anomaly::{Anomaly, AnomalyHold, AnomalyState};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{self, Deed};
use super::{DbError, count, id, json, maybe_id, to_json, word};
use crate::act::Act;

/// How long figures of runs are kept, seconds: 400 days, so that a year's end is compared with the one before.
pub const HISTORY_S: i64 = 400 * 86_400;
/// Runs of one dataset that are kept, at most.
const HISTORY_RUNS: u32 = 2000;

/// Whose the dataset is, if the agent's server is of the same PD: an agent speaks for no other's data.
pub fn own_dataset(
    db: &Connection,
    agent: &AgentId,
    dataset: &DatasetId,
) -> Result<Option<PdId>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT d.pd FROM datasets AS d JOIN servers AS s ON s.pd = d.pd JOIN agents AS a ON a.server = s.id
         WHERE d.id = ?1 AND a.id = ?2 AND (d.server IS NULL OR d.server = s.id)",
    )?;
    let pd = statement
        .query_row(params![dataset.as_bytes(), agent.as_bytes()], |row| id(row, 0))
        .optional()?;
    Ok(pd.map(PdId::from_bytes))
}

/// Keeps the figures of a run, without names of folders; whether they are new. What is older than history goes.
pub fn put_figures(
    db: &Connection,
    at: Timestamp,
    report: &Report,
    figures: &RunFigures,
) -> Result<bool, DbError> {
    let bare = RunFigures { folders: Vec::new(), new_extension: String::new(), ..figures.clone() };
    let new = db
        .prepare_cached(
            "INSERT INTO run_figures (report, dataset, at_s, manifest, figures) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (report) DO NOTHING",
        )?
        .execute(params![
            report.id.as_bytes(),
            report.dataset.as_bytes(),
            at.0,
            report.manifest.map(|manifest| *manifest.as_bytes()),
            to_json(&bare)?,
        ])?;
    db.prepare_cached(
        "DELETE FROM run_figures WHERE dataset = ?1 AND at_s < max(?2, coalesce((SELECT at_s FROM run_figures
            WHERE dataset = ?1 ORDER BY at_s DESC LIMIT 1 OFFSET ?3), ?2))",
    )?
    .execute(params![report.dataset.as_bytes(), at.plus_seconds(-HISTORY_S).0, HISTORY_RUNS])?;
    Ok(new > 0)
}

/// The runs of a dataset before one of that time, oldest first: what was suspicious only if it was dismissed.
pub fn history(
    db: &Connection,
    dataset: &DatasetId,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<Run>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT f.at_s, f.figures, a.id IS NOT NULL FROM run_figures AS f LEFT JOIN anomalies AS a ON a.id = f.anomaly
         WHERE f.dataset = ?1 AND f.at_s < ?2 AND (a.id IS NULL OR a.state = 'dismissed')
         ORDER BY f.at_s DESC LIMIT ?3",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![dataset.as_bytes(), before.0, limit], |row| {
        Ok(Run { at: Timestamp(row.get(0)?), figures: json(row, 1)?, cleared: row.get(2)? })
    })?;
    let mut runs: Vec<Run> = rows.collect::<Result<_, _>>()?;
    runs.reverse();
    Ok(runs)
}

/// Notes that a run is suspicious: the dataset's unsettled anomaly goes on, or a new one begins.
pub fn note_suspicion(
    db: &Connection,
    (agent, report): (&AgentId, &Report),
    at: Timestamp,
    suspicion: &Suspicion,
    figures: &RunFigures,
) -> Result<AnomalyId, DbError> {
    let row = db
        .prepare_cached(
            "INSERT INTO anomalies (id, dataset, agent, state, since_s, first_s, last_s, runs, score_pct, reasons,
                new_extension, folders) VALUES (?1, ?2, ?3, 'open', ?4, ?5, ?5, 1, ?6, ?7, ?8, ?9)
             ON CONFLICT (dataset) WHERE state IN ('open', 'confirmed') DO UPDATE SET
                since_s = min(since_s, ?4), first_s = min(first_s, ?5), last_s = max(last_s, ?5), runs = runs + 1,
                reasons = iif(?6 >= score_pct, ?7, reasons), new_extension = iif(?6 >= score_pct, ?8, new_extension),
                folders = iif(?6 >= score_pct, ?9, folders), score_pct = max(score_pct, ?6)
             RETURNING id",
        )?
        .query_row(
            params![
                AnomalyId::random().as_bytes(),
                report.dataset.as_bytes(),
                agent.as_bytes(),
                suspicion.since.0,
                at.0,
                suspicion.score_pct,
                to_json(&suspicion.reasons)?,
                figures.new_extension,
                to_json(&figures.folders)?,
            ],
            |row| id(row, 0),
        )
        .map(AnomalyId::from_bytes)?;
    db.prepare_cached("UPDATE run_figures SET anomaly = ? WHERE report = ?")?
        .execute(params![row.as_bytes(), report.id.as_bytes()])?;
    Ok(row)
}

const ANOMALY: &str = "SELECT a.id, a.dataset, d.name, d.pd, a.agent, a.state, a.since_s, a.first_s, a.last_s, a.runs,
    a.score_pct, a.reasons, a.new_extension, a.folders, a.decided_s, a.decided_by, a.note
    FROM anomalies AS a JOIN datasets AS d ON d.id = a.dataset";

/// A row, still without its holds and words.
fn anomaly_row(row: &Row<'_>) -> rusqlite::Result<Anomaly> {
    Ok(Anomaly {
        id: AnomalyId::from_bytes(id(row, 0)?),
        dataset: DatasetId::from_bytes(id(row, 1)?),
        dataset_name: row.get(2)?,
        pd: PdId::from_bytes(id(row, 3)?),
        agent: AgentId::from_bytes(id(row, 4)?),
        state: word(row, 5)?,
        since: Timestamp(row.get(6)?),
        first: Timestamp(row.get(7)?),
        last: Timestamp(row.get(8)?),
        runs: count(row, 9)?,
        score_pct: row.get(10)?,
        reasons: json(row, 11)?,
        words: Vec::new(),
        new_extension: row.get(12)?,
        folders: json(row, 13)?,
        holds: Vec::new(),
        decided: row.get::<_, Option<i64>>(14)?.map(Timestamp),
        by: row.get(15)?,
        note: row.get(16)?,
    })
}

fn with_holds(db: &Connection, mut anomaly: Anomaly) -> Result<Anomaly, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT h.site, s.name, h.manifest, m.finished_s, h.hold, h.placed_s, h.error FROM anomaly_holds AS h
         JOIN sites AS s ON s.id = h.site JOIN manifests AS m ON m.id = h.manifest
         WHERE h.anomaly = ? ORDER BY s.name, m.finished_s DESC",
    )?;
    let rows = statement.query_map([anomaly.id.as_bytes()], |row| {
        Ok(AnomalyHold {
            site: SiteId::from_bytes(id(row, 0)?),
            site_name: row.get(1)?,
            manifest: ManifestId::from_bytes(id(row, 2)?),
            finished: Timestamp(row.get(3)?),
            hold: maybe_id(row, 4)?.map(HoldId::from_bytes),
            placed: row.get::<_, Option<i64>>(5)?.map(Timestamp),
            error: row.get(6)?,
        })
    })?;
    anomaly.holds = rows.collect::<Result<_, _>>()?;
    Ok(anomaly)
}

/// The anomaly of that id.
pub fn anomaly(db: &Connection, wanted: &AnomalyId) -> Result<Option<Anomaly>, DbError> {
    let mut statement = db.prepare_cached(&format!("{ANOMALY} WHERE a.id = ?"))?;
    let found = statement.query_row([wanted.as_bytes()], anomaly_row).optional()?;
    found.map(|found| with_holds(db, found)).transpose()
}

/// The anomalies of all PD or of one, newest first, behind the one of that place.
pub fn anomalies(
    db: &Connection,
    pd: Option<&PdId>,
    behind: Option<(Timestamp, AnomalyId)>,
    limit: u32,
) -> Result<Vec<Anomaly>, DbError> {
    let sql = format!(
        "{ANOMALY} WHERE (?1 IS NULL OR d.pd = ?1) AND (?2 IS NULL OR (a.first_s, a.id) < (?2, ?3))
         ORDER BY a.first_s DESC, a.id DESC LIMIT ?4"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let (first, last) = (behind.map(|one| one.0.0), behind.map(|one| *one.1.as_bytes()));
    let rows =
        statement.query_map(params![pd.map(PdId::as_bytes), first, last, limit], anomaly_row)?;
    rows.map(|row| with_holds(db, row?)).collect()
}

/// Those that nobody has settled.
pub fn unsettled(db: &Connection) -> Result<Vec<Anomaly>, DbError> {
    let sql = format!("{ANOMALY} WHERE a.state IN ('open', 'confirmed') ORDER BY a.first_s, a.id");
    let mut statement = db.prepare_cached(&sql)?;
    let rows = statement.query_map([], anomaly_row)?;
    rows.map(|row| with_holds(db, row?)).collect()
}

/// Writes down what a person says of an anomaly.
pub fn decide(
    db: &Connection,
    act: &Act,
    anomaly: &Anomaly,
    state: AnomalyState,
    note: &str,
) -> Result<(), DbError> {
    db.prepare_cached(
        "UPDATE anomalies SET state = ?, decided_s = ?, decided_by = ?, note = ? WHERE id = ?",
    )?
    .execute(params![
        state.as_str(),
        act.now.0,
        act.actor.name,
        note,
        anomaly.id.as_bytes()
    ])?;
    let action = match state {
        AnomalyState::Open | AnomalyState::Dismissed => "anomaly.dismiss",
        AnomalyState::Confirmed => "anomaly.confirm",
        AnomalyState::Closed => "anomaly.close",
    };
    let deed = Deed { action, kind: "anomaly", id: &anomaly.id, pd: Some(anomaly.pd) };
    let after = serde_json::json!({ "state": state, "note": note });
    audit::append(db, act, deed, Some(audit::shown(anomaly)?), Some(after))
}

/// A snapshot that a site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// The site.
    pub site: SiteId,
    /// The snapshot.
    pub manifest: ManifestId,
    /// When it was made, by the agent's clock.
    pub finished: Timestamp,
}

/// Where an attack is dated too late its first files are in the newest snapshot: one from so much earlier is held too.
const EARLIER_S: i64 = 7 * 86_400;

/// What is to be held for an anomaly that began at a time: at each site the newest complete snapshot of its dataset from before
/// that it has receipted and not removed, and the newest that is a week older. A snapshot is as old as its first receipt says, but
/// for clocks that differ: an agent that dates it back gains little.
pub fn wanted_before(
    db: &Connection,
    anomaly: &Anomaly,
    before: Timestamp,
) -> Result<Vec<Kept>, DbError> {
    let mut statement = db.prepare_cached(
        "WITH kept AS MATERIALIZED (
            SELECT DISTINCT r.site, m.id, m.finished_s FROM authorized_manifests AS m
            JOIN counting_receipts AS r ON r.manifest = m.id AND r.repository = m.repository
            WHERE m.dataset = ?1 AND m.partial = 0 AND m.finished_s <= ?2
                AND (SELECT min(f.received_s) FROM counting_receipts AS f WHERE f.manifest = m.id) <= ?2 + ?3
                AND NOT EXISTS (SELECT 1 FROM run_figures AS f WHERE f.dataset = ?1 AND f.manifest = m.id AND f.at_s >= ?2)
                AND NOT EXISTS (SELECT 1 FROM removals AS t
                    WHERE t.manifest = m.id AND t.site = r.site AND t.repository = r.repository)),
         newest AS (SELECT site, max(finished_s) AS at_s FROM kept GROUP BY site),
         earlier AS (SELECT k.site, max(k.finished_s) AS at_s FROM kept AS k JOIN newest AS n ON n.site = k.site
            WHERE k.finished_s <= n.at_s - ?4 GROUP BY k.site)
         SELECT k.site, k.id, k.finished_s FROM kept AS k
         JOIN (SELECT * FROM newest UNION SELECT * FROM earlier) AS w ON w.site = k.site AND w.at_s = k.finished_s
         ORDER BY k.finished_s DESC, k.site, k.id",
    )?;
    let rows = statement.query_map(
        params![anomaly.dataset.as_bytes(), before.0, CLOCK_TOLERANCE_S, EARLIER_S],
        |row| {
            Ok(Kept {
                site: SiteId::from_bytes(id(row, 0)?),
                manifest: ManifestId::from_bytes(id(row, 1)?),
                finished: Timestamp(row.get(2)?),
            })
        },
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a hold that is wanted.
pub fn want_hold(db: &Connection, anomaly: &AnomalyId, kept: &Kept) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO anomaly_holds (anomaly, site, manifest) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )?
    .execute(params![anomaly.as_bytes(), kept.site.as_bytes(), kept.manifest.as_bytes()])?;
    Ok(())
}

/// A hold that a site is to be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// For which anomaly.
    pub anomaly: AnomalyId,
    /// At which site.
    pub site: SiteId,
    /// In which repository.
    pub repository: RepositoryId,
    /// On what.
    pub manifest: ManifestId,
}

/// Holds of unsettled anomalies that no site has said to stand since then.
pub fn due_holds(db: &Connection, since: Timestamp) -> Result<Vec<Due>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT h.anomaly, h.site, m.repository, h.manifest FROM anomaly_holds AS h
         JOIN anomalies AS a ON a.id = h.anomaly JOIN manifests AS m ON m.id = h.manifest
         WHERE a.state IN ('open', 'confirmed') AND (h.placed_s IS NULL OR h.placed_s <= ?1)
         ORDER BY h.site, h.anomaly, h.manifest LIMIT 10000",
    )?;
    let rows = statement.query_map([since.0], |row| {
        Ok(Due {
            anomaly: AnomalyId::from_bytes(id(row, 0)?),
            site: SiteId::from_bytes(id(row, 1)?),
            repository: RepositoryId::from_bytes(id(row, 2)?),
            manifest: ManifestId::from_bytes(id(row, 3)?),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes what a site answered.
pub fn note_hold(
    db: &Connection,
    now: Timestamp,
    due: &Due,
    answer: Result<HoldId, &str>,
) -> Result<(), DbError> {
    let (hold, placed, error) = match answer {
        Ok(hold) => (Some(*hold.as_bytes()), Some(now.0), None),
        Err(error) => (None, None, Some(error)),
    };
    db.prepare_cached(
        "UPDATE anomaly_holds SET hold = coalesce(?4, hold), placed_s = coalesce(?5, placed_s), error = ?6
         WHERE anomaly = ?1 AND site = ?2 AND manifest = ?3",
    )?
    .execute(params![
        due.anomaly.as_bytes(),
        due.site.as_bytes(),
        due.manifest.as_bytes(),
        hold,
        placed,
        error,
    ])?;
    Ok(())
}
