//! What is owed by date, over HTTP.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's records, and the city's, as about records
//! that are not there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::Day;
use lumbung_wire::Problem;
use lumbung_wire::messages::UnknownWord;
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::messages::deposits::{
    Calendar, DeliveryInput, Deposit, DepositAcceptance, DepositInput, DepositState,
};
use lumbung_wire::server::read_json;
use rusqlite::{Connection, Transaction};
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::narrowed;
use super::etag::Expected;
use super::extract::{Asked, Named};
use super::paging::{Paging, Text};
use super::problems::Refused;
use super::register::{Changed, Listed};
use super::route::{Route, Routes, replacing, route};
use super::who::Who;
use crate::act::Act;
use crate::db::deposits::{DepositRow, Which};
use crate::deadlines::{DepositError, desk, view};
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    use Access::Person;
    use Permission::{Deliver, Read, WriteRegister};
    let post_ = |path, permission, summary, request| {
        route(Method::POST, path, Person(permission), summary, (Some(request), "Deposit"))
    };
    let get_ =
        |path, summary, schema| route(Method::GET, path, Person(Read), summary, (None, schema));
    let list = Route {
        query: &["pd", "state", "duty", "from", "until", "q", "limit", "after"],
        ..get_("/api/v1/deposits", "What is owed by date, and what was handed in", "[Deposit]")
    };
    let calendar = Route {
        query: &["pd", "from", "until"],
        ..get_("/api/v1/calendar", "What falls due, day by day", "Calendar")
    };
    let one = get_("/api/v1/deposits/{id}", "One of what is owed", "Deposit");
    let summary = "Enter what no duty of the profile asks for";
    let new = post_("/api/v1/deposits", WriteRegister, summary, "DepositInput");
    let summary = "Hand a document in: its SHA-256, name and size";
    let deliver = post_("/api/v1/deposits/{id}/deliver", Deliver, summary, "DeliveryInput");
    let summary = "Accept what was handed in";
    let accept = post_("/api/v1/deposits/{id}/accept", WriteRegister, summary, "DepositAcceptance");
    let summary = "Give back what was handed in, or open again what was cancelled: it is owed";
    let give_back = post_("/api/v1/deposits/{id}/return", WriteRegister, summary, "Reasoned");
    let summary = "Say that it is not owed";
    let cancel = post_("/api/v1/deposits/{id}/cancel", WriteRegister, summary, "Reasoned");
    vec![
        (list, get(self::list)),
        (one, get(self::one)),
        (new, post(create)),
        (replacing(deliver), post(self::deliver)),
        (replacing(accept), post(self::accept)),
        (replacing(give_back), post(self::give_back)),
        (replacing(cancel), post(self::cancel)),
        (calendar, get(self::calendar)),
    ]
}

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 << 10;
/// Days that the calendar shows unless it is told otherwise.
const CALENDAR_DAYS: u32 = 90;

/// Which are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
    state: Option<String>,
    duty: Option<String>,
    from: Option<Day>,
    until: Option<Day>,
    q: Option<Text>,
}

fn states(text: Option<&str>) -> Result<Vec<DepositState>, Problem> {
    let words = text.into_iter().flat_map(|text| text.split(',')).map(str::trim);
    let refused = |error| format!("state: {error}; several are separated by commas");
    words
        .map(|word| word.parse().map_err(|error: UnknownWord| Problem::bad_request(refused(error))))
        .collect()
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<Deposit> {
    let (now, zone) = (app.clock.now(), app.profile.zone());
    let from = asked.from.map(|day| day.first_second(zone));
    let until = asked.until.map(|day| day.last_second(zone));
    let states = states(asked.state.as_deref())?;
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let which = Which { pd, duty: asked.duty, from, until };
        let mut rows = view::list(tx, &view::Filter { which, states }, now, zone)?;
        rows.retain(|row| asked.q.as_ref().is_none_or(|text| text.is_in(&view::words(row))));
        Ok::<_, Refused>(rows)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, view::place)?)
}

pub(super) async fn one(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Deposit>, Refused> {
    let (now, zone) = (app.clock.now(), app.profile.zone());
    let one = move |tx: &Transaction<'_>| {
        let row = desk::find(tx, who.scope(), &text)?;
        Ok::<_, Refused>(view::shown(tx, row, now, zone)?)
    };
    Ok(Json(app.db.read_async(one).await?))
}

pub(super) async fn create(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: DepositInput = read_json(body, BODY_MAX_BYTES).await?;
    let zone = app.profile.zone();
    let add = move |tx: &Transaction<'_>, act: &Act| {
        let row = desk::add(tx, act, &input, zone)?;
        Ok::<_, Refused>(view::shown(tx, row, act.now, zone)?)
    };
    who.change(&app, StatusCode::CREATED, add).await
}

/// Changes the record of that id, as far as the caller sees it, and if it is still as the caller has seen it.
async fn change(
    app: AppState,
    who: Who,
    (text, seen): (String, Expected),
    change: impl FnOnce(&Connection, &Act, DepositRow) -> Result<DepositRow, DepositError>
    + Send
    + 'static,
) -> Changed {
    let (scope, zone) = (who.scope(), app.profile.zone());
    let run = move |tx: &Transaction<'_>, act: &Act| {
        let row = desk::find(tx, scope, &text)?;
        seen.check(&view::shown(tx, row.clone(), act.now, zone)?)?;
        let row = change(tx, act, row)?;
        Ok::<_, Refused>(view::shown(tx, row, act.now, zone)?)
    };
    who.change(&app, StatusCode::OK, run).await
}

pub(super) async fn deliver(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let input: DeliveryInput = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, (text, seen), move |tx, act, row| desk::deliver(tx, act, row, &input)).await
}

pub(super) async fn accept(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let input: DepositAcceptance = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, (text, seen), move |tx, act, row| desk::accept(tx, act, row, &input)).await
}

pub(super) async fn give_back(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let Reasoned { reason } = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, (text, seen), move |tx, act, row| desk::give_back(tx, act, row, &reason)).await
}

pub(super) async fn cancel(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let Reasoned { reason } = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, (text, seen), move |tx, act, row| desk::cancel(tx, act, row, &reason)).await
}

/// Which days are asked for.
#[derive(Deserialize)]
pub(super) struct CalendarQuery {
    pd: Option<String>,
    from: Option<Day>,
    until: Option<Day>,
}

pub(super) async fn calendar(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<CalendarQuery>,
) -> Result<Json<Calendar>, Refused> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let today = Day::of(now, profile.zone());
    let from = query.from.unwrap_or(today);
    let until = query.until.unwrap_or(from.plus_days(CALENDAR_DAYS));
    let read = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        Ok::<_, Refused>(view::calendar(tx, &profile, pd, now, (from, until))?)
    };
    Ok(Json(app.db.read_async(read).await?))
}
