//! Rows of drills: plans, runs, journals. Rules are `crate::drills`'s.
//!
//! Invariants: revisions, events and answers are only ever added; a plan has one run at a time that is not over.

use lumbung_model::drill::{
    Correction, DrillEvent, DrillMode, DrillPlan, Fingerprint, PastRun, Signatory, Verdict,
};
use lumbung_model::{DocumentHash, DrillPlanId, DrillRunId, PdId, ServerId, Timestamp};
use lumbung_wire::messages::drills::DrillAnswer;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{DbError, count, id, json, maybe_id, signed, to_json, word};

/// A plan as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanRow {
    /// Its id.
    pub id: DrillPlanId,
    /// Whose it is; none: the city's.
    pub pd: Option<PdId>,
    /// Counts what was changed of it that is carried out.
    pub revision: u64,
    /// What it says.
    pub plan: DrillPlan,
    /// SHA-256 of what of that is carried out.
    pub sha256: DocumentHash,
    /// When it was entered.
    pub created: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
    /// By whom.
    pub changed_by: String,
    /// Since when it is out of use.
    pub retired: Option<Timestamp>,
}

const PLAN: &str = "SELECT id, pd, revision, plan, sha256, created_s, changed_s, changed_by, retired_s FROM drill_plans";

fn plan_row(row: &Row<'_>) -> rusqlite::Result<PlanRow> {
    Ok(PlanRow {
        id: DrillPlanId::from_bytes(id(row, 0)?),
        pd: maybe_id(row, 1)?.map(PdId::from_bytes),
        revision: count(row, 2)?,
        plan: json(row, 3)?,
        sha256: DocumentHash::from_bytes(id(row, 4)?),
        created: Timestamp(row.get(5)?),
        changed: Timestamp(row.get(6)?),
        changed_by: row.get(7)?,
        retired: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    })
}

/// The plans: of one PD, or all.
pub fn plans(db: &Connection, pd: Option<&PdId>) -> Result<Vec<PlanRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{PLAN} WHERE ?1 IS NULL OR pd = ?1"))?;
    Ok(statement.query_map([pd.map(PdId::as_bytes)], plan_row)?.collect::<Result<_, _>>()?)
}

/// The plan of that id.
pub fn plan(db: &Connection, plan: &DrillPlanId) -> Result<Option<PlanRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{PLAN} WHERE id = ?"))?;
    Ok(statement.query_row([plan.as_bytes()], plan_row).optional()?)
}

/// Writes a plan down: new, or in place of what it said; and its revision, if that is a new one.
pub fn put_plan(db: &Connection, row: &PlanRow) -> Result<(), DbError> {
    let plan = to_json(&row.plan)?;
    db.prepare_cached(
        "INSERT INTO drill_plans (id, pd, revision, plan, sha256, created_s, changed_s, changed_by, retired_s)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (id) DO UPDATE SET pd = ?2, revision = ?3, plan = ?4, sha256 = ?5, changed_s = ?7, changed_by = ?8,
            retired_s = ?9",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.pd.map(|pd| *pd.as_bytes()),
        signed(row.revision),
        plan,
        row.sha256.as_bytes(),
        row.created.0,
        row.changed.0,
        row.changed_by,
        row.retired.map(|at| at.0),
    ])?;
    db.prepare_cached(
        "INSERT INTO drill_revisions (plan, revision, sha256, body, made_s, made_by) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (plan, revision) DO NOTHING",
    )?
    .execute(params![
        row.id.as_bytes(),
        signed(row.revision),
        row.sha256.as_bytes(),
        plan,
        row.changed.0,
        row.changed_by,
    ])?;
    Ok(())
}

/// A run as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: DrillRunId,
    /// The plan.
    pub plan: DrillPlanId,
    /// Its revision.
    pub revision: u64,
    /// What it said.
    pub body: DrillPlan,
    /// What it and its things were.
    pub of: Fingerprint,
    /// How it is run.
    pub mode: DrillMode,
    /// The server whose agent writes the journal.
    pub runner: Option<ServerId>,
    /// The outage that was declared.
    pub outage: Option<Timestamp>,
    /// Why it is run.
    pub reason: String,
    /// When it was asked for.
    pub created: Timestamp,
    /// By whom.
    pub created_by: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it was over, or closed.
    pub finished: Option<Timestamp>,
    /// What it has shown.
    pub verdict: Option<Verdict>,
    /// When its runner was first given it.
    pub ordered: Option<Timestamp>,
    /// When the last event came in.
    pub heard: Option<Timestamp>,
    /// Why it was closed.
    pub closed: Option<String>,
    /// The number of its *berita acara*.
    pub number: String,
    /// What is to be put right.
    pub corrections: Vec<Correction>,
    /// Who signs.
    pub signatories: Vec<Signatory>,
}

const RUN: &str = "SELECT r.id, r.plan, r.revision, r.body, r.sha256, r.subjects, r.mode, r.runner, r.outage_s, r.reason, r.created_s,
    r.created_by, r.started_s, r.finished_s, r.verdict, r.heard_s, r.closed, r.number, r.corrections, r.signatories,
    r.ordered_s FROM drill_runs AS r JOIN drill_plans AS p ON p.id = r.plan";

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    let at = |index| row.get::<_, Option<i64>>(index).map(|at| at.map(Timestamp));
    let verdict: Option<String> = row.get(14)?;
    Ok(RunRow {
        id: DrillRunId::from_bytes(id(row, 0)?),
        plan: DrillPlanId::from_bytes(id(row, 1)?),
        revision: count(row, 2)?,
        body: json(row, 3)?,
        of: Fingerprint {
            plan: DocumentHash::from_bytes(id(row, 4)?),
            subjects: DocumentHash::from_bytes(id(row, 5)?),
        },
        mode: word(row, 6)?,
        runner: maybe_id(row, 7)?.map(ServerId::from_bytes),
        outage: at(8)?,
        reason: row.get(9)?,
        created: Timestamp(row.get(10)?),
        created_by: row.get(11)?,
        started: at(12)?,
        finished: at(13)?,
        verdict: verdict.map(|_| word(row, 14)).transpose()?,
        heard: at(15)?,
        closed: row.get(16)?,
        number: row.get(17)?,
        corrections: json(row, 18)?,
        signatories: json(row, 19)?,
        ordered: at(20)?,
    })
}

/// Which runs; what is not said does not narrow it.
#[derive(Debug, Clone, Default)]
pub struct Which {
    /// Of plans of this PD.
    pub pd: Option<PdId>,
    /// Of this plan.
    pub plan: Option<DrillPlanId>,
    /// Only those that go on.
    pub open: bool,
}

/// The runs, newest first.
pub fn runs(db: &Connection, which: &Which) -> Result<Vec<RunRow>, DbError> {
    let mut statement = db.prepare_cached(&format!(
        "{RUN} WHERE (?1 IS NULL OR p.pd = ?1) AND (?2 IS NULL OR r.plan = ?2) AND (NOT ?3 OR r.finished_s IS NULL)
         ORDER BY r.created_s DESC, r.id"
    ))?;
    let pd = which.pd.map(|pd| *pd.as_bytes());
    let plan = which.plan.map(|plan| *plan.as_bytes());
    Ok(statement.query_map(params![pd, plan, which.open], run_row)?.collect::<Result<_, _>>()?)
}

/// When a plan's newest run was created, and whether one of the plan is open.
pub fn newest_run(
    db: &Connection,
    plan: &DrillPlanId,
) -> Result<(Option<Timestamp>, bool), DbError> {
    let mut statement = db.prepare_cached(
        "SELECT (SELECT max(created_s) FROM drill_runs WHERE plan = ?1),
                EXISTS (SELECT 1 FROM drill_runs WHERE plan = ?1 AND finished_s IS NULL)",
    )?;
    let found = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?.map(Timestamp), row.get(1)?));
    Ok(statement.query_row([plan.as_bytes()], found)?)
}

/// The run of that id.
pub fn run(db: &Connection, run: &DrillRunId) -> Result<Option<RunRow>, DbError> {
    let mut statement = db.prepare_cached(&format!("{RUN} WHERE r.id = ?"))?;
    Ok(statement.query_row([run.as_bytes()], run_row).optional()?)
}

/// The runs that a server's agent has to carry out.
pub fn runs_of(db: &Connection, runner: &ServerId) -> Result<Vec<RunRow>, DbError> {
    let sql = format!("{RUN} WHERE r.runner = ? AND r.finished_s IS NULL ORDER BY r.created_s");
    let mut statement = db.prepare_cached(&sql)?;
    Ok(statement.query_map([runner.as_bytes()], run_row)?.collect::<Result<_, _>>()?)
}

/// The runs of a plan that are over, as far as they say how far it has come. One that was closed before it began says
/// nothing; one that had begun did not succeed.
pub fn past(db: &Connection, plan: &DrillPlanId) -> Result<Vec<PastRun>, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT id, mode, sha256, subjects, finished_s, verdict FROM drill_runs
         WHERE plan = ? AND finished_s IS NOT NULL AND (closed IS NULL OR started_s IS NOT NULL)",
    )?;
    let rows = statement.query_map([plan.as_bytes()], |row| {
        Ok(PastRun {
            run: DrillRunId::from_bytes(id(row, 0)?),
            mode: word(row, 1)?,
            of: Fingerprint {
                plan: DocumentHash::from_bytes(id(row, 2)?),
                subjects: DocumentHash::from_bytes(id(row, 3)?),
            },
            ended: Timestamp(row.get(4)?),
            verdict: word(row, 5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Writes a run down: new, or what has become of it.
pub fn put_run(db: &Connection, row: &RunRow) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO drill_runs (id, plan, revision, body, sha256, subjects, mode, runner, outage_s, reason, created_s,
            created_by, started_s, finished_s, verdict, heard_s, closed, number, corrections, signatories)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
         ON CONFLICT (id) DO UPDATE SET started_s = ?13, finished_s = ?14, verdict = ?15, heard_s = ?16, closed = ?17,
            number = ?18, corrections = ?19, signatories = ?20",
    )?
    .execute(params![
        row.id.as_bytes(),
        row.plan.as_bytes(),
        signed(row.revision),
        to_json(&row.body)?,
        row.of.plan.as_bytes(),
        row.of.subjects.as_bytes(),
        row.mode.as_str(),
        row.runner.map(|server| *server.as_bytes()),
        row.outage.map(|at| at.0),
        row.reason,
        row.created.0,
        row.created_by,
        row.started.map(|at| at.0),
        row.finished.map(|at| at.0),
        row.verdict.map(Verdict::as_str),
        row.heard.map(|at| at.0),
        row.closed,
        row.number,
        to_json(&row.corrections)?,
        to_json(&row.signatories)?,
    ])?;
    Ok(())
}

/// The journal of a run.
pub fn events(db: &Connection, run: &DrillRunId) -> Result<Vec<DrillEvent>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT event FROM drill_events WHERE run = ? ORDER BY number")?;
    let rows = statement.query_map([run.as_bytes()], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// How many bytes the events of a run have as they are kept.
pub fn events_bytes(db: &Connection, run: &DrillRunId) -> Result<u64, DbError> {
    let mut statement = db.prepare_cached(
        "SELECT coalesce(sum(length(CAST(event AS BLOB))), 0) FROM drill_events WHERE run = ?",
    )?;
    Ok(statement.query_row([run.as_bytes()], |row| count(row, 0))?)
}

/// Notes that a runner was given these runs, unless it was given them before.
pub fn handed_out(db: &Connection, now: Timestamp, run: &DrillRunId) -> Result<(), DbError> {
    db.prepare_cached("UPDATE drill_runs SET ordered_s = ? WHERE id = ? AND ordered_s IS NULL")?
        .execute(params![now.0, run.as_bytes()])?;
    Ok(())
}

/// Who made a revision of a plan.
pub fn made_by(db: &Connection, plan: &DrillPlanId, revision: u64) -> Result<String, DbError> {
    let mut statement =
        db.prepare_cached("SELECT made_by FROM drill_revisions WHERE plan = ? AND revision = ?")?;
    Ok(statement.query_row(params![plan.as_bytes(), signed(revision)], |row| row.get(0))?)
}

/// Adds an event to the journal.
pub fn add_event(
    db: &Connection,
    now: Timestamp,
    run: &DrillRunId,
    event: &DrillEvent,
) -> Result<(), DbError> {
    db.prepare_cached(
        "INSERT INTO drill_events (run, number, event, heard_s) VALUES (?, ?, ?, ?)",
    )?
    .execute(params![run.as_bytes(), signed(event.number), to_json(event)?, now.0])?;
    Ok(())
}

/// What people answered the runner.
pub fn answers(db: &Connection, run: &DrillRunId) -> Result<Vec<DrillAnswer>, DbError> {
    let mut statement =
        db.prepare_cached("SELECT answer FROM drill_answers WHERE run = ? ORDER BY number")?;
    let rows = statement.query_map([run.as_bytes()], |row| json(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds an answer.
pub fn add_answer(db: &Connection, run: &DrillRunId, answer: &DrillAnswer) -> Result<(), DbError> {
    db.prepare_cached("INSERT INTO drill_answers (run, number, answer) VALUES (?, ?, ?)")?
        .execute(params![run.as_bytes(), signed(answer.number), to_json(answer)?])?;
    Ok(())
}
