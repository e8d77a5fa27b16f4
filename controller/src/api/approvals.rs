//! What one person asks for and another confirms, over HTTP.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_wire::messages::approvals::{Approval, Reasoned, RoleChange, Wanted};
use lumbung_wire::server::read_json;

use super::AppState;
use super::access::Who;
use super::extract::Named;
use super::problems::Refused;
use crate::approvals::{self, ApprovalError};
use crate::people::accounts;

/// Requests in one answer.
const LIST_MAX: u32 = 1000;
/// Longest body of a request.
const BODY_MAX_BYTES: usize = 16 << 10;

type Asked = Result<(StatusCode, Json<Approval>), Refused>;

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
) -> Result<Json<Vec<Approval>>, Refused> {
    let list =
        move |tx: &rusqlite::Transaction<'_>| approvals::list(tx, &who.act, who.scope(), LIST_MAX);
    Ok(Json(app.db.read_async(list).await?))
}

pub(super) async fn ask_for_role(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
    body: Body,
) -> Asked {
    let change: RoleChange = read_json(body, BODY_MAX_BYTES).await?;
    let ask = move |tx: &rusqlite::Transaction<'_>| {
        who.still(tx)?;
        let user = accounts::find(tx, &name)?.user.id;
        let wanted = Wanted::ChangeRole { user, role: change.role, pd: change.pd };
        approvals::ask(tx, &who.act, &who.principal, wanted, &change.reason)
    };
    Ok((StatusCode::ACCEPTED, Json(app.db.write_async(ask).await?)))
}

pub(super) async fn ask_for_removal(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Asked {
    let request: Reasoned = read_json(body, BODY_MAX_BYTES).await?;
    let ask = move |tx: &rusqlite::Transaction<'_>| {
        who.still(tx)?;
        let site = text.parse().map_err(|_| ApprovalError::UnknownSite)?;
        let wanted = Wanted::RemoveSite { site };
        approvals::ask(tx, &who.act, &who.principal, wanted, &request.reason)
    };
    Ok((StatusCode::ACCEPTED, Json(app.db.write_async(ask).await?)))
}

async fn decide(
    app: AppState,
    who: Who,
    text: String,
    approve: bool,
) -> Result<Json<Approval>, Refused> {
    let decide = move |tx: &rusqlite::Transaction<'_>| {
        who.still(tx)?;
        let id = text.parse().map_err(|_| ApprovalError::Unknown)?;
        approvals::decide(tx, &who.act, Some(&who.principal), &id, approve)
    };
    let decided = app.db.write_async(decide).await?;
    app.poll.notify_one();
    app.policies.notify_one();
    Ok(Json(decided))
}

pub(super) async fn approve(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Approval>, Refused> {
    decide(app, who, text, true).await
}

pub(super) async fn refuse(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Approval>, Refused> {
    decide(app, who, text, false).await
}

pub(super) async fn withdraw(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<Approval>, Refused> {
    let withdraw = move |tx: &rusqlite::Transaction<'_>| {
        who.still(tx)?;
        let id = text.parse().map_err(|_| ApprovalError::Unknown)?;
        approvals::withdraw(tx, &who.act, &who.principal, &id)
    };
    Ok(Json(app.db.write_async(withdraw).await?))
}
