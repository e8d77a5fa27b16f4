//! What is owed by date, over HTTP.
//!
//! Invariant: whoever belongs to one PD gets the same answer about another PD's records, and the city's, as about records
//! that are not there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_model::Day;
use lumbung_wire::Problem;
use lumbung_wire::messages::approvals::Reasoned;
use lumbung_wire::messages::deposits::{
    Calendar, DeliveryInput, Deposit, DepositAcceptance, DepositInput, DepositState,
};
use lumbung_wire::server::read_json;
use serde::Deserialize;

use super::AppState;
use super::agents::narrowed;
use super::extract::{Asked, Named};
use super::paging::{Paging, Text};
use super::problems::Refused;
use super::register::{Changed, Listed};
use super::who::Who;
use crate::act::Act;
use crate::db::deposits::{DepositRow, Which};
use crate::deadlines::{DepositError, desk, view};

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 << 10;
/// Days that the calendar shows unless it is told otherwise.
const CALENDAR_DAYS: u32 = 90;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    pd: Option<String>,
    state: Option<String>,
    duty: Option<String>,
    from: Option<String>,
    until: Option<String>,
    q: Option<Text>,
}

fn day(field: &str, text: Option<&str>) -> Result<Option<Day>, Refused> {
    let refused = |error| Problem::bad_request(format!("{field}: {error}")).into();
    text.map(str::parse).transpose().map_err(|error: lumbung_model::DayError| refused(error))
}

fn states(text: Option<&str>) -> Result<Vec<DepositState>, Refused> {
    let words = text.into_iter().flat_map(|text| text.split(',')).map(str::trim);
    words
        .map(|word| {
            word.parse::<DepositState>().map_err(|error| {
                Problem::bad_request(format!("state: {error}; several are separated by commas"))
                    .into()
            })
        })
        .collect()
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<ListQuery>,
    paging: Paging,
) -> Listed<Deposit> {
    let (now, zone) = (app.clock.now(), app.profile.zone());
    let from = day("from", query.from.as_deref())?.map(|day| day.first_second(zone));
    let until = day("until", query.until.as_deref())?.map(|day| day.last_second(zone));
    let states = states(query.state.as_deref())?;
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        let which = Which { pd, duty: query.duty, from, until };
        let filter = view::Filter { which, states, text: query.q.map(Into::into) };
        Ok::<_, Refused>(view::list(tx, &filter, now, zone)?)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &Deposit| (row.due, row.id))?)
}

pub(super) async fn one(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Deposit>, Refused> {
    let (now, zone) = (app.clock.now(), app.profile.zone());
    let one = move |tx: &rusqlite::Transaction<'_>| {
        let row = desk::find(tx, who.scope(), &text)?;
        Ok::<_, Refused>(view::shown(tx, row, now, zone)?)
    };
    Ok(Json(app.db.read_async(one).await?))
}

pub(super) async fn create(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: DepositInput = read_json(body, BODY_MAX_BYTES).await?;
    let zone = app.profile.zone();
    let add = move |tx: &rusqlite::Transaction<'_>, act: &Act| {
        let row = desk::add(tx, act, &input, zone)?;
        Ok::<_, Refused>(view::shown(tx, row, act.now, zone)?)
    };
    who.change(&app, StatusCode::CREATED, add).await
}

/// Changes the record of that id, as far as the caller sees it.
async fn change(
    app: AppState,
    who: Who,
    text: String,
    change: impl FnOnce(&rusqlite::Connection, &Act, DepositRow) -> Result<DepositRow, DepositError>
    + Send
    + 'static,
) -> Changed {
    let (zone, scope) = (app.profile.zone(), who.scope());
    let run = move |tx: &rusqlite::Transaction<'_>, act: &Act| {
        let row = desk::find(tx, scope, &text)?;
        let row = change(tx, act, row)?;
        Ok::<_, Refused>(view::shown(tx, row, act.now, zone)?)
    };
    who.change(&app, StatusCode::OK, run).await
}

pub(super) async fn deliver(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let input: DeliveryInput = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, text, move |tx, act, row| desk::deliver(tx, act, row, &input)).await
}

pub(super) async fn accept(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let input: DepositAcceptance = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, text, move |tx, act, row| desk::accept(tx, act, row, &input)).await
}

pub(super) async fn give_back(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let Reasoned { reason } = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, text, move |tx, act, row| desk::give_back(tx, act, row, &reason)).await
}

pub(super) async fn cancel(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let Reasoned { reason } = read_json(body, BODY_MAX_BYTES).await?;
    change(app, who, text, move |tx, act, row| desk::cancel(tx, act, row, &reason)).await
}

#[derive(Deserialize)]
pub(super) struct CalendarQuery {
    pd: Option<String>,
    from: Option<String>,
    until: Option<String>,
}

pub(super) async fn calendar(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<CalendarQuery>,
) -> Result<Json<Calendar>, Refused> {
    let (now, profile) = (app.clock.now(), app.profile.clone());
    let today = Day::of(now, profile.zone());
    let from = day("from", query.from.as_deref())?.unwrap_or(today);
    let until = day("until", query.until.as_deref())?.unwrap_or(from.plus_days(CALENDAR_DAYS));
    let read = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        Ok::<_, Refused>(view::calendar(tx, &profile, pd, now, (from, until))?)
    };
    Ok(Json(app.db.read_async(read).await?))
}
