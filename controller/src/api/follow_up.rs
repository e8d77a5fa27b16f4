//! What is done about what is not met, over HTTP: waivers and reminders.
//!
//! Invariant: a PD sees its own waivers, and of its reminders those that were sent.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::{ReminderId, WaiverId};
use lumbung_wire::messages::compliance::{
    FollowUpInput, Reminder, ReminderInput, ReminderState, Waiver, WaiverInput,
};
use lumbung_wire::server::read_json;
use rusqlite::Transaction;
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::{find_pd, narrowed};
use super::extract::{Asked, Named};
use super::paging::Paging;
use super::problems::Refused;
use super::register::{Changed, Listed, id, unknown};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::db::follow_up as rows;
use crate::people::access::{Permission, Scope};
use crate::{reminders, waivers};

pub(super) fn routes() -> Routes {
    use Permission::{Read, WriteRegister};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let write = |path, summary, schemas| {
        route(Method::POST, path, Access::Person(WriteRegister), summary, schemas)
    };
    vec![
        (
            read("/api/v1/waivers", "The waivers", "[Waiver]", &["pd", "limit", "after"]),
            get(waivers),
        ),
        (
            write("/api/v1/waivers", "Enter a waiver", (Some("WaiverInput"), "Waiver")),
            post(add_waiver),
        ),
        (
            write("/api/v1/waivers/{id}/revoke", "Take a waiver back", (None, "Waiver")),
            post(revoke_waiver),
        ),
        (
            read(
                "/api/v1/reminders",
                "The reminders, by year and number",
                "[Reminder]",
                &["pd", "limit", "after"],
            ),
            get(reminders),
        ),
        (read("/api/v1/reminders/{id}", "One reminder", "Reminder", &[]), get(reminder)),
        (
            write(
                "/api/v1/reminders",
                "Draft a numbered reminder to a PD",
                (Some("ReminderInput"), "Reminder"),
            ),
            post(draft),
        ),
        (
            write(
                "/api/v1/reminders/{id}/follow-up",
                "Write down what was done about a reminder",
                (Some("FollowUpInput"), "Reminder"),
            ),
            post(follow),
        ),
    ]
}

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 << 10;

/// Whose are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
}

pub(super) async fn waivers(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<Waiver> {
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        Ok::<_, Refused>(rows::waivers(tx, pd.as_ref())?)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &Waiver| (row.from, row.id))?)
}

pub(super) async fn add_waiver(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: WaiverInput = read_json(body, BODY_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let enter = move |tx: &Transaction<'_>, act: &Act| waivers::enter(tx, act, &profile, &input);
    who.change(&app, StatusCode::CREATED, enter).await
}

pub(super) async fn revoke_waiver(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Changed {
    let waiver: WaiverId = id(&text, "waiver")?;
    let revoke = move |tx: &Transaction<'_>, act: &Act| waivers::revoke(tx, act, &waiver);
    who.change(&app, StatusCode::OK, revoke).await
}

/// Whether whoever asks may see it: a draft is the Dinas's own.
fn shown(scope: Scope, reminder: &Reminder) -> bool {
    match scope {
        Scope::City => true,
        Scope::Pd(own) => own == reminder.pd && reminder.state != ReminderState::Draft,
    }
}

pub(super) async fn reminders(
    State(app): State<AppState>,
    who: Who,
    Asked(asked): Asked<Filter>,
    paging: Paging,
) -> Listed<Reminder> {
    let list = move |tx: &Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), asked.pd.as_deref())?;
        let mut list = rows::reminders(tx, pd.as_ref())?;
        list.retain(|reminder| shown(who.scope(), reminder));
        Ok::<_, Refused>(list)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &Reminder| (row.year, row.number))?)
}

pub(super) async fn reminder(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Reminder>, Refused> {
    let wanted: ReminderId = id(&text, "reminder")?;
    let found = app.db.read_async(move |tx| rows::reminder(tx, &wanted)).await?;
    let found = found.filter(|reminder| shown(who.scope(), reminder));
    found.map(Json).ok_or_else(|| unknown("reminder"))
}

pub(super) async fn draft(State(app): State<AppState>, who: Who, body: Body) -> Changed {
    let input: ReminderInput = read_json(body, BODY_MAX_BYTES).await?;
    let (profile, scope) = (app.profile.clone(), who.scope());
    let draft = move |tx: &Transaction<'_>, act: &Act| {
        let pd = find_pd(tx, scope, &input.pd)?;
        Ok::<_, Refused>(reminders::draft(tx, act, &profile, &pd)?)
    };
    who.change(&app, StatusCode::CREATED, draft).await
}

pub(super) async fn follow(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let reminder: ReminderId = id(&text, "reminder")?;
    let input: FollowUpInput = read_json(body, BODY_MAX_BYTES).await?;
    let follow =
        move |tx: &Transaction<'_>, act: &Act| reminders::follow(tx, act, &reminder, &input);
    who.change(&app, StatusCode::OK, follow).await
}
