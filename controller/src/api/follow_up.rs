//! What is done about what is not met, over HTTP: waivers and reminders.
//!
//! Invariant: a PD sees its own waivers, and of its reminders those that were sent.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_model::{ReminderId, WaiverId};
use lumbung_wire::messages::compliance::{
    FollowUpInput, Reminder, ReminderInput, ReminderState, Waiver, WaiverInput,
};
use lumbung_wire::server::read_json;

use super::AppState;
use super::access::Who;
use super::agents::{find_pd, narrowed};
use super::extract::{Asked, Named};
use super::problems::Refused;
use super::register::{Created, Listed, OfPd, id, unknown};
use crate::db::follow_up as rows;
use crate::people::access::Scope;
use crate::{reminders, waivers};

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 64 << 10;

pub(super) async fn waivers(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<OfPd>,
) -> Listed<Waiver> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        Ok::<_, Refused>(rows::waivers(tx, pd.as_ref())?)
    };
    Ok(Json(app.db.read_async(list).await?))
}

pub(super) async fn add_waiver(
    State(app): State<AppState>,
    who: Who,
    body: Body,
) -> Created<Waiver> {
    let input: WaiverInput = read_json(body, BODY_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let enter =
        move |tx: &rusqlite::Transaction<'_>| waivers::enter(tx, &who.act, &profile, &input);
    Ok((StatusCode::CREATED, Json(app.db.write_async(enter).await?)))
}

pub(super) async fn revoke_waiver(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Waiver>, Refused> {
    let waiver: WaiverId = id(&text, "waiver")?;
    let revoke = move |tx: &rusqlite::Transaction<'_>| waivers::revoke(tx, &who.act, &waiver);
    Ok(Json(app.db.write_async(revoke).await?))
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
    Asked(query): Asked<OfPd>,
) -> Listed<Reminder> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        let mut list = rows::reminders(tx, pd.as_ref())?;
        list.retain(|reminder| shown(who.scope(), reminder));
        Ok::<_, Refused>(list)
    };
    Ok(Json(app.db.read_async(list).await?))
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

pub(super) async fn draft(State(app): State<AppState>, who: Who, body: Body) -> Created<Reminder> {
    let input: ReminderInput = read_json(body, BODY_MAX_BYTES).await?;
    let profile = app.profile.clone();
    let draft = move |tx: &rusqlite::Transaction<'_>| {
        let pd = find_pd(tx, who.scope(), &input.pd)?;
        Ok::<_, Refused>(reminders::draft(tx, &who.act, &profile, &pd)?)
    };
    Ok((StatusCode::CREATED, Json(app.db.write_async(draft).await?)))
}

pub(super) async fn follow(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Result<Json<Reminder>, Refused> {
    let reminder: ReminderId = id(&text, "reminder")?;
    let input: FollowUpInput = read_json(body, BODY_MAX_BYTES).await?;
    let follow =
        move |tx: &rusqlite::Transaction<'_>| reminders::follow(tx, &who.act, &reminder, &input);
    Ok(Json(app.db.write_async(follow).await?))
}
