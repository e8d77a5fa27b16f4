//! Retired rows of the register, over HTTP.
//!
//! Invariant: a PD sees what is retired of its own rows only; buildings, rooms, racks, feeds and pools are seen by whoever may
//! see what is the city's.

use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::DatasetId;
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::messages::register::{Retirement, RetirementInput};
use lumbung_wire::server::read_json;
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::extract::{Asked, Named};
use super::paging::Paging;
use super::problems::Refused;
use super::register::{Changed, Listed, id};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::db::retired as rows;
use crate::people::access::Permission;
use crate::policies::{self, Asker, Terms};
use crate::retire::{self, RetireError};

pub(super) fn routes() -> Routes {
    use Permission::{Read, WriteRegister};
    let path = "/api/v1/retirements";
    let write = |path, summary, schemas| {
        route(Method::POST, path, Access::Person(WriteRegister), summary, schemas)
    };
    let summary = "What is retired of the register, from when and why";
    let list = route(Method::GET, path, Access::Person(Read), summary, (None, "[Retirement]"));
    let summary = "Retire a row of the register, which stays for every question about the past";
    let schemas = (Some("RetirementInput"), "[Retirement]");
    let back = write(
        "/api/v1/retirements/{id}/restore",
        "Bring a retired row back",
        (Some("Reasoned"), "Retirement"),
    );
    vec![
        (Route { query: &["pd", "limit", "after"], ..list }, get(self::list)),
        (write(path, summary, schemas), post(self::retire)),
        (back, post(self::restore)),
    ]
}

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 << 10;

/// Whose are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<Retirement> {
    let of_city = who.principal.may(Permission::ReadCity);
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let mut rows = rows::all(tx, pd.as_ref())?;
        rows.retain(|row| row.pd.is_some() || of_city);
        Ok::<_, Refused>(rows)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &Retirement| (row.entered, row.id.clone()))?)
}

pub(super) async fn retire(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: RetirementInput = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, StatusCode::CREATED, move |tx, act| retire::retire(tx, act, &input)).await
}

pub(super) async fn restore(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    // Ids of all kinds are written alike.
    let row: DatasetId = id(&text, "retired row")?;
    let why: Reasoned = read_json(body, BODY_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let run = move |tx: &Transaction<'_>, act: &Act| {
        retire::restore(tx, (act, profile.today(act.now)), row.as_bytes(), &why.reason)
    };
    change(app, who, StatusCode::OK, run).await
}

/// A change of what is retired, and of what agents are asked for by it, in the name of whoever makes it.
async fn change<T: serde::Serialize + 'static>(
    app: AppState,
    who: Who,
    status: StatusCode,
    run: impl FnOnce(&Transaction<'_>, &Act) -> Result<T, RetireError> + Send + 'static,
) -> Changed {
    let (profile, user) = (app.profile.clone(), who.principal.user);
    let both = move |tx: &Transaction<'_>, act: &Act| {
        let done = run(tx, act)?;
        policies::reconcile(tx, Asker { act, user }, Terms::of(&profile), None)?;
        Ok::<_, RetireError>(done)
    };
    let changed = who.change(&app, status, both).await?;
    app.policies.notify_one();
    Ok(changed)
}
