//! Drills and failover over HTTP: plans, runs, what falls due; and for runners, their orders and journals.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's plans and runs, and the city's, as about
//! ones that are not there; so does an agent about runs of which its server is not the runner.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json};
use http::{Method, StatusCode};
use lumbung_model::DrillPlanId;
use lumbung_model::drill::{DrillEvent, DrillMode};
use lumbung_wire::messages::approvals::{Reasoned, Wanted};
use lumbung_wire::messages::drills::{
    ActaDocument, DrillAnswerInput, DrillDue, DrillNotes, DrillOrders, DrillPlanEntry,
    DrillPlanInput, DrillReport, DrillReportAck, DrillRun, DrillRunDetail, DrillStart, EVENTS_MAX,
    FailoverRequest,
};
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem};
use rusqlite::{Connection, Transaction};
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::{agent_of, narrowed};
use super::etag::{Expected, RowTag, row_tag};
use super::extract::{Asked, Named};
use super::paging::{Paging, Text};
use super::problems::Refused;
use super::register::{Changed, Listed};
use super::route::{Route, Routes, replacing, route};
use super::who::Who;
use crate::act::Act;
use crate::approvals;
use crate::db::drills::{PlanRow, RunRow, Which};
use crate::drills::{self, DrillError};
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    use Permission::{AskTwo, Read, WriteRegister};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let write = |path, permission, summary, schemas: (&'static str, &'static str)| {
        let access = Access::Person(permission);
        route(Method::POST, path, access, summary, (Some(schemas.0), schemas.1))
    };
    let plan_query = &["pd", "q", "all", "limit", "after"];
    let run_query = &["pd", "plan", "open", "limit", "after"];
    let plans = read("/api/v1/drill-plans", "The plans of drills", "[DrillPlanEntry]", plan_query);
    let plan = read("/api/v1/drill-plans/{id}", "One plan", "DrillPlanEntry", &[]);
    let schemas = ("DrillPlanInput", "DrillPlanEntry");
    let enter = write("/api/v1/drill-plans", WriteRegister, "Enter a plan", schemas);
    let summary = "Put a plan in place of what it said; what is carried out becomes a new revision";
    let change = write("/api/v1/drill-plans/{id}/change", WriteRegister, summary, schemas);
    let (path, schemas) = ("/api/v1/drill-plans/{id}/retire", ("Reasoned", "DrillPlanEntry"));
    let retire = write(path, WriteRegister, "Take a plan out of use", schemas);
    let summary = "Start a drill or a tabletop of a plan, as the caller has seen it";
    let (path, schemas) = ("/api/v1/drill-plans/{id}/start", ("DrillStart", "DrillRun"));
    let start = write(path, WriteRegister, summary, schemas);
    let summary = "Ask for a failover in earnest; a second person approves it";
    let (path, schemas) = ("/api/v1/drill-plans/{id}/failover", ("FailoverRequest", "Approval"));
    let failover = write(path, AskTwo, summary, schemas);
    let due = read(
        "/api/v1/drill-calendar",
        "When the next drills are due",
        "[DrillDue]",
        &["pd", "limit", "after"],
    );
    let runs = read("/api/v1/drill-runs", "Runs of plans, newest first", "[DrillRun]", run_query);
    let summary = "One run with its plan and its journal";
    let run = read("/api/v1/drill-runs/{id}", summary, "DrillRunDetail", &[]);
    let summary = "The berita acara of a run, as data";
    let acta = read("/api/v1/drill-runs/{id}/acta", summary, "ActaDocument", &[]);
    let summary =
        "What happened at a tabletop, in order; those that were told already may come again";
    let (path, schemas) = ("/api/v1/drill-runs/{id}/events", ("[DrillEvent]", "DrillReportAck"));
    let events = write(path, WriteRegister, summary, schemas);
    let summary = "Answer the runner: confirm, leave out, put back, fail back";
    let (path, schemas) =
        ("/api/v1/drill-runs/{id}/answers", ("DrillAnswerInput", "DrillRunDetail"));
    let answer = write(path, WriteRegister, summary, schemas);
    let summary = "Give the berita acara its number, corrections and signatories";
    let (path, schemas) = ("/api/v1/drill-runs/{id}/notes", ("DrillNotes", "DrillRunDetail"));
    let note = write(path, WriteRegister, summary, schemas);
    let summary = "Close a run that was handed to nobody, or that nobody has heard of for a day";
    let (path, schemas) = ("/api/v1/drill-runs/{id}/close", ("Reasoned", "DrillRunDetail"));
    let close = write(path, WriteRegister, summary, schemas);
    let summary = "The runs that the agent's server is the runner of";
    let schemas = (None, "DrillOrders");
    let orders = route(Method::GET, "/api/v1/drill-orders", Access::Agent, summary, schemas);
    let summary = "The journal of a run, in order; acknowledged once durable, idempotent by number";
    let schemas = (Some("DrillReport"), "DrillReportAck");
    let report = route(Method::POST, "/api/v1/drill-reports", Access::Agent, summary, schemas);
    vec![
        (plans, get(self::plans)),
        (plan, get(self::plan)),
        (enter, post(self::enter)),
        (replacing(change), post(self::change)),
        (replacing(retire), post(self::retire)),
        (replacing(start), post(self::start)),
        (replacing(failover), post(self::failover)),
        (due, get(self::due)),
        (runs, get(self::runs)),
        (run, get(self::run)),
        (acta, get(self::acta)),
        (events, post(self::events)),
        (answer, post(self::answer)),
        (note, post(self::note)),
        (close, post(self::close)),
        (orders, get(self::orders)),
        (report, post(self::report)),
    ]
}

/// Longest plan, bytes: two hundred steps with all that may be said of each.
const PLAN_MAX_BYTES: usize = 2 << 20;
/// Longest other body of people.
const INPUT_MAX_BYTES: usize = 256 << 10;
/// Longest journal that is told at once, bytes.
const EVENTS_MAX_BYTES: usize = 8 << 20;

/// Which plans are asked for.
#[derive(Deserialize)]
pub(super) struct PlanFilter {
    pd: Option<String>,
    q: Option<Text>,
    #[serde(default)]
    all: bool,
}

async fn plans(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<PlanFilter>,
    paging: Paging,
) -> Listed<DrillPlanEntry> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let mut rows = drills::entries(tx, (pd, asked.all), now, &profile)?;
        rows.retain(|one| asked.q.as_ref().is_none_or(|text| text.is_in(&[&one.plan.title])));
        Ok::<_, Refused>(rows)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |one| (one.plan.title.clone(), one.id))?)
}

async fn plan(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Response, Refused> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let read = move |tx: &Transaction<'_>| {
        let row = drills::find(tx, who.scope(), &text)?;
        let tag = row_tag(&drills::row_tag_of(&row));
        Ok::<_, Refused>((tag, drills::entry(tx, row, now, &profile)?))
    };
    let (tag, found) = app.db.read_async(read).await?;
    Ok((Extension(RowTag(tag)), Json(found)).into_response())
}

async fn enter(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: DrillPlanInput = read_json(body, PLAN_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let enter = move |tx: &Transaction<'_>, act: &Act| {
        let row = drills::enter(tx, act, &input)?;
        Ok::<_, Refused>(drills::entry(tx, row, act.now, &profile)?)
    };
    let entered = who.change(&app, StatusCode::CREATED, enter).await?;
    app.deadlines.notify_one();
    Ok(entered)
}

/// The plan of that id, if it is still as the caller has seen it.
fn seen_plan(
    db: &Connection,
    who: crate::people::access::Scope,
    text: &str,
    seen: &Expected,
) -> Result<PlanRow, Refused> {
    let row = drills::find(db, who, text)?;
    seen.check_tag(&row_tag(&drills::row_tag_of(&row)))?;
    Ok(row)
}

async fn change(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let input: DrillPlanInput = read_json(body, PLAN_MAX_BYTES).await?;
    let seen = seen.required()?;
    let (scope, profile) = (who.scope(), app.profile.clone());
    let change = move |tx: &Transaction<'_>, act: &Act| {
        let row = seen_plan(tx, scope, &text, &seen)?;
        let row = drills::change(tx, act, &row, &input)?;
        Ok::<_, Refused>(drills::entry(tx, row, act.now, &profile)?)
    };
    let changed = who.change(&app, StatusCode::OK, change).await?;
    app.deadlines.notify_one();
    Ok(changed)
}

async fn retire(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let Reasoned { reason } = read_json(body, INPUT_MAX_BYTES).await?;
    let (scope, profile) = (who.scope(), app.profile.clone());
    let retire = move |tx: &Transaction<'_>, act: &Act| {
        let row = seen_plan(tx, scope, &text, &seen)?;
        let row = drills::retire(tx, act, &row, &reason)?;
        Ok::<_, Refused>(drills::entry(tx, row, act.now, &profile)?)
    };
    let retired = who.change(&app, StatusCode::OK, retire).await?;
    app.deadlines.notify_one();
    Ok(retired)
}

async fn start(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let DrillStart { mode, reason } = read_json(body, INPUT_MAX_BYTES).await?;
    if mode == DrillMode::Real {
        let refused = DrillError::Mode("in earnest two people start it: ask with `failover`");
        return Err(refused.into());
    }
    let scope = who.scope();
    let start = move |tx: &Transaction<'_>, act: &Act| {
        let plan = seen_plan(tx, scope, &text, &seen)?;
        let by = (act.actor.name.clone(), reason.as_str());
        let row = drills::start(tx, act, &plan, (mode, None), by)?;
        Ok::<_, Refused>(drills::run_entry(tx, row)?)
    };
    who.change(&app, StatusCode::CREATED, start).await
}

async fn failover(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let FailoverRequest { outage, reason } = read_json(body, INPUT_MAX_BYTES).await?;
    let principal = who.principal.clone();
    let ask = move |tx: &Transaction<'_>, act: &Act| {
        let plan = seen_plan(tx, principal.scope, &text, &seen)?;
        if outage > act.now {
            return Err(DrillError::Outage.into());
        }
        let wanted = Wanted::StartFailover { plan: plan.id, revision: plan.revision, outage };
        Ok::<_, Refused>(approvals::ask(tx, act, &principal, wanted, &reason)?)
    };
    who.change(&app, StatusCode::ACCEPTED, ask).await
}

/// Whose drills are asked for.
#[derive(Deserialize)]
pub(super) struct DueFilter {
    pd: Option<String>,
}

async fn due(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<DueFilter>,
    paging: Paging,
) -> Listed<DrillDue> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(drills::calendar(tx, pd, now, &profile)?)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |one| (one.due_on, one.title.clone(), one.plan))?)
}

/// Which runs are asked for.
#[derive(Deserialize)]
pub(super) struct RunFilter {
    pd: Option<String>,
    plan: Option<DrillPlanId>,
    #[serde(default)]
    open: bool,
}

async fn runs(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<RunFilter>,
    paging: Paging,
) -> Listed<DrillRun> {
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let which = Which { pd, plan: asked.plan, open: asked.open };
        Ok::<_, Refused>(drills::run_entries(tx, &which)?)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |one| (std::cmp::Reverse(one.created), one.id))?)
}

async fn run(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<DrillRunDetail>, Refused> {
    let read = move |tx: &Transaction<'_>| {
        let row = drills::find_run(tx, who.scope(), &text)?;
        Ok::<_, Refused>(drills::detail(tx, row)?)
    };
    Ok(Json(app.db.read_async(read).await?))
}

async fn acta(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<ActaDocument>, Refused> {
    let profile = app.profile.clone();
    let read = move |tx: &Transaction<'_>| {
        let row = drills::find_run(tx, who.scope(), &text)?;
        Ok::<_, Refused>(drills::acta(tx, &row, &profile)?)
    };
    Ok(Json(app.db.read_async(read).await?))
}

/// Fails if there are too many.
fn few(events: &[DrillEvent]) -> Result<(), Problem> {
    if events.len() <= EVENTS_MAX {
        return Ok(());
    }
    Err(Problem::bad_request(format!("events: at most {EVENTS_MAX} at once; send the rest after")))
}

async fn events(State(app): State<AppState>, who: Who, Named(text): Named, body: Body) -> Changed {
    let events: Vec<DrillEvent> = read_json(body, EVENTS_MAX_BYTES).await?;
    few(&events)?;
    let scope = who.scope();
    let take = move |tx: &Transaction<'_>, act: &Act| {
        let row = drills::find_run(tx, scope, &text)?;
        let through = drills::take_from_people(tx, act, row, &events)?;
        Ok::<_, Refused>(DrillReportAck { through })
    };
    let taken = who.change(&app, StatusCode::OK, take).await?;
    app.deadlines.notify_one();
    Ok(taken)
}

/// Changes a run, and answers with all of it.
async fn changed_run(
    app: AppState,
    who: Who,
    text: String,
    change: impl FnOnce(&Connection, &Act, RunRow) -> Result<(), DrillError> + Send + 'static,
) -> Changed {
    let scope = who.scope();
    let run = move |tx: &Transaction<'_>, act: &Act| {
        change(tx, act, drills::find_run(tx, scope, &text)?)?;
        let row = drills::find_run(tx, scope, &text)?;
        Ok::<_, Refused>(drills::detail(tx, row)?)
    };
    let changed = who.change(&app, StatusCode::OK, run).await?;
    app.deadlines.notify_one();
    Ok(changed)
}

async fn answer(State(app): State<AppState>, who: Who, Named(text): Named, body: Body) -> Changed {
    let input: DrillAnswerInput = read_json(body, INPUT_MAX_BYTES).await?;
    changed_run(app, who, text, move |tx, act, row| {
        drills::answer(tx, act, &row, &input).map(|_| ())
    })
    .await
}

async fn note(State(app): State<AppState>, who: Who, Named(text): Named, body: Body) -> Changed {
    let notes: DrillNotes = read_json(body, INPUT_MAX_BYTES).await?;
    changed_run(app, who, text, move |tx, act, row| drills::note(tx, act, row, &notes).map(|_| ()))
        .await
}

async fn close(State(app): State<AppState>, who: Who, Named(text): Named, body: Body) -> Changed {
    let Reasoned { reason } = read_json(body, INPUT_MAX_BYTES).await?;
    changed_run(app, who, text, move |tx, act, row| {
        drills::close(tx, act, row, &reason).map(|_| ())
    })
    .await
}

async fn orders(State(app): State<AppState>, peer: Peer) -> Result<Json<DrillOrders>, Refused> {
    let agent = agent_of(&peer)?;
    let now = app.clock.now();
    let waiting = move |tx: &Transaction<'_>| drills::has_orders(tx, &agent).map_err(Refused::from);
    // Agents ask all the time, and mostly there is nothing to note.
    if !app.db.read_async(waiting).await? {
        return Ok(Json(DrillOrders { orders: Vec::new() }));
    }
    let give = move |tx: &Transaction<'_>| drills::orders(tx, now, &agent).map_err(Refused::from);
    Ok(Json(DrillOrders { orders: app.db.write_async(give).await? }))
}

async fn report(
    State(app): State<AppState>,
    peer: Peer,
    body: Body,
) -> Result<Json<DrillReportAck>, Refused> {
    let (agent, now) = (agent_of(&peer)?, app.clock.now());
    let report: DrillReport = read_json(body, EVENTS_MAX_BYTES).await?;
    few(&report.events)?;
    let take = move |tx: &Transaction<'_>| {
        drills::take_from_agent(tx, now, &agent, &report).map_err(Refused::from)
    };
    let through = app.db.write_async(take).await?;
    app.deadlines.notify_one();
    Ok(Json(DrillReportAck { through }))
}
