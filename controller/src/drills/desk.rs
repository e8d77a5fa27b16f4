//! Plans as people enter, change and retire them.
//!
//! Invariants: what is no draft has no fault, and names nothing that is not there; what is one PD's is about that PD's rows
//! alone, but for its runner, which may be anybody's; a change of what is carried out is a new revision, any other is not.

use lumbung_model::drill::{
    DrillAction, DrillPlan, DrillStep, Health, PlanFault, WaitFor, essence, faults,
};
use lumbung_model::{DrillPlanId, PdId};
use lumbung_wire::messages::drills::DrillPlanInput;
use lumbung_wire::messages::uptime::Probe;
use rusqlite::Connection;

use super::DrillError;
use super::subjects::sha256;
use crate::act::Act;
use crate::db::audit::{self, Deed};
use crate::db::drills::{self as rows, PlanRow, Which};
use crate::db::{DbError, register, services};
use crate::people::access::Scope;
use crate::register::text::sentence;
use crate::register::{RegisterError, live};

/// Whether somebody sees what belongs to that PD, or to the city.
#[must_use]
pub fn sees(scope: Scope, pd: Option<PdId>) -> bool {
    match (scope, pd) {
        (Scope::City, _) => true,
        (Scope::Pd(own), Some(pd)) => own == pd,
        (Scope::Pd(_), None) => false,
    }
}

/// The plan of that id, as far as the caller sees it.
///
/// # Errors
/// [`DrillError::UnknownPlan`], or that the database fails.
pub fn find(db: &Connection, scope: Scope, text: &str) -> Result<PlanRow, DrillError> {
    let id: DrillPlanId = text.parse().map_err(|_| DrillError::UnknownPlan)?;
    let found = rows::plan(db, &id)?;
    found.filter(|row| sees(scope, row.pd)).ok_or(DrillError::UnknownPlan)
}

/// Enters a plan.
///
/// # Errors
/// If something is wrong with it.
pub fn enter(db: &Connection, act: &Act, input: &DrillPlanInput) -> Result<PlanRow, DrillError> {
    check(db, input)?;
    let row = PlanRow {
        id: DrillPlanId::random(),
        pd: input.pd,
        revision: 1,
        plan: input.plan.clone(),
        sha256: sha256(&essence(&input.plan))?,
        created: act.now,
        changed: act.now,
        changed_by: act.actor.name.clone(),
        retired: None,
    };
    put(db, act, "drill_plan.add", None, &row)?;
    Ok(row)
}

/// Puts a plan in place of what it said. A run that goes on stays one of what it was started with.
///
/// # Errors
/// If something is wrong with it, or it was retired.
pub fn change(
    db: &Connection,
    act: &Act,
    before: &PlanRow,
    input: &DrillPlanInput,
) -> Result<PlanRow, DrillError> {
    in_use(before)?;
    check(db, input)?;
    let sha256 = sha256(&essence(&input.plan))?;
    let same = sha256 == before.sha256;
    let row = PlanRow {
        pd: input.pd,
        revision: if same { before.revision } else { before.revision + 1 },
        plan: input.plan.clone(),
        sha256,
        changed: act.now,
        changed_by: act.actor.name.clone(),
        ..before.clone()
    };
    put(db, act, "drill_plan.change", Some(before), &row)?;
    Ok(row)
}

/// Takes a plan out of use. What was run of it stays.
///
/// # Errors
/// If no reason is given, it is being run, or it was retired before.
pub fn retire(
    db: &Connection,
    act: &Act,
    before: &PlanRow,
    reason: &str,
) -> Result<PlanRow, DrillError> {
    in_use(before)?;
    let reason = sentence(reason).ok_or(DrillError::Reason)?;
    active(db, &before.id)?;
    let changed_by = act.actor.name.clone();
    let row = PlanRow { retired: Some(act.now), changed: act.now, changed_by, ..before.clone() };
    rows::put_plan(db, &row)?;
    let deed = deed("drill_plan.retire", &row);
    audit::append(db, act, deed, None, Some(serde_json::json!({ "reason": reason })))?;
    Ok(row)
}

/// Fails if the plan is being run.
pub(super) fn active(db: &Connection, plan: &DrillPlanId) -> Result<(), DrillError> {
    let which = Which { plan: Some(*plan), open: true, ..Which::default() };
    match rows::runs(db, &which)?.first() {
        Some(run) => Err(DrillError::Active(run.id)),
        None => Ok(()),
    }
}

pub(super) fn in_use(row: &PlanRow) -> Result<(), DrillError> {
    if row.retired.is_some() { Err(DrillError::Retired) } else { Ok(()) }
}

fn deed<'a>(action: &'a str, row: &'a PlanRow) -> Deed<'a> {
    Deed { action, kind: "drill_plan", id: &row.id, pd: row.pd }
}

fn put(
    db: &Connection,
    act: &Act,
    action: &str,
    before: Option<&PlanRow>,
    row: &PlanRow,
) -> Result<(), DbError> {
    rows::put_plan(db, row)?;
    let shown = |row: &PlanRow| {
        Ok::<_, DbError>(
            serde_json::json!({ "revision": row.revision, "plan": audit::shown(&row.plan)? }),
        )
    };
    let before = before.map(shown).transpose()?;
    audit::append(db, act, deed(action, row), before, Some(shown(row)?))
}

/// Whether a plan may be kept: of a draft only that its texts are texts, and that it is about what is there.
fn check(db: &Connection, input: &DrillPlanInput) -> Result<(), DrillError> {
    let plan = &input.plan;
    let mut found = faults(plan);
    if plan.draft {
        found.retain(|fault| matches!(fault, PlanFault::Text { .. } | PlanFault::Many { .. }));
        // An empty text is what a draft lacks; one that would disturb a page is refused all the same.
        found.retain(|fault| matches!(fault, PlanFault::Many { .. }) || !lacks(plan));
    }
    if !found.is_empty() {
        return Err(DrillError::Faults(found));
    }
    plan.steps.iter().try_for_each(probed)?;
    Ok(rows_are_there(db, input)?)
}

/// Whether everything that is wrong with a draft's texts is that they are empty.
fn lacks(plan: &DrillPlan) -> bool {
    let mut filled = plan.clone();
    let fill = |text: &mut String| {
        if text.trim().is_empty() {
            "-".clone_into(text);
        }
    };
    fill(&mut filled.title);
    fill(&mut filled.scenario);
    for one in &mut filled.participants {
        [&mut one.name, &mut one.role, &mut one.organisation].into_iter().for_each(fill);
    }
    for step in &mut filled.steps {
        fill(&mut step.title);
        if let DrillAction::Confirm { text, .. } = &mut step.action {
            fill(text);
        }
    }
    !faults(&filled).iter().any(|fault| matches!(fault, PlanFault::Text { .. }))
}

fn probed(step: &DrillStep) -> Result<(), DrillError> {
    let (DrillAction::Check { health: Health::Probe(probe), .. }
    | DrillAction::Wait { until: WaitFor::Good(Health::Probe(probe)) }) = &step.action
    else {
        return Ok(());
    };
    lumbung_probe::check(&Probe::from(probe)).map_err(|error| DrillError::Probe {
        step: step.id.clone(),
        reason: lumbung_model::with_causes(&error),
    })
}

/// What the plan names is in the register, in use, and of its PD.
fn rows_are_there(db: &Connection, input: &DrillPlanInput) -> Result<(), RegisterError> {
    let unknown = |what, id: String| RegisterError::Unknown { what, id };
    if let Some(pd) = &input.pd {
        live(db, pd.as_bytes())?;
        register::pd(db, pd)?.ok_or_else(|| unknown("PD", pd.to_string()))?;
    }
    let plan = &input.plan;
    let own = |field, id: String, pd: PdId| {
        let foreign = input.pd.is_some_and(|own| own != pd);
        if foreign { Err(RegisterError::Foreign { field, id }) } else { Ok(()) }
    };
    for id in plan.datasets.iter().map(|part| part.dataset) {
        live(db, id.as_bytes())?;
        let row = register::dataset(db, &id)?.ok_or_else(|| unknown("dataset", id.to_string()))?;
        own("datasets", id.to_string(), row.pd)?;
    }
    for id in plan.services.iter().map(|part| part.service) {
        live(db, id.as_bytes())?;
        let row = services::service(db, &id)?.ok_or_else(|| unknown("service", id.to_string()))?;
        own("services", id.to_string(), row.pd)?;
    }
    for id in &plan.servers {
        live(db, id.as_bytes())?;
        let row = register::server(db, id)?.ok_or_else(|| unknown("server", id.to_string()))?;
        own("servers", id.to_string(), row.pd)?;
    }
    if let Some(id) = &plan.runner {
        live(db, id.as_bytes())?;
        register::server(db, id)?.ok_or_else(|| unknown("server", id.to_string()))?;
    }
    if let Some(id) = &plan.isolates {
        register::site(db, id)?.ok_or_else(|| unknown("site", id.to_string()))?;
    }
    Ok(())
}
