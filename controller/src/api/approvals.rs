//! What one person asks for and another confirms, over HTTP.

use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::ApprovalId;
use lumbung_wire::messages::approvals::{Approval, Reasoned, RoleChange, Wanted};
use lumbung_wire::server::read_json;
use rusqlite::Transaction;

use super::AppState;
use super::access::Access;
use super::etag::Expected;
use super::extract::Named;
use super::idempotency::Answer;
use super::paging::{Page, Paging, cursor};
use super::problems::Refused;
use super::route::{Routes, paged, replacing, route};
use super::who::Who;
use crate::act::Act;
use crate::approvals::{self, ApprovalError};
use crate::db::register;
use crate::people::access::Permission;
use crate::people::accounts;

pub(super) fn routes() -> Routes {
    use Access::Person;
    use Permission::{AskTwo, Decide, KeepAccounts, ReadApprovals};
    let post_ = |path, permission, summary, request| {
        route(Method::POST, path, Person(permission), summary, (request, "Approval"))
    };
    vec![
        (
            paged(route(
                Method::GET,
                "/api/v1/approvals",
                Person(ReadApprovals),
                "What waits for a second person, and what became of it; newest first",
                (None, "[Approval]"),
            )),
            get(list),
        ),
        (
            replacing(post_(
                "/api/v1/users/{id}/role",
                KeepAccounts,
                "Ask for another role of an account; a second administrator approves it",
                Some("RoleChange"),
            )),
            post(ask_for_role),
        ),
        (
            replacing(post_(
                "/api/v1/sites/{id}/remove",
                AskTwo,
                "Ask for a site to be taken out of the register; a second person approves it",
                Some("Reasoned"),
            )),
            post(ask_for_removal),
        ),
        (
            post_(
                "/api/v1/approvals/{id}/approve",
                Decide,
                "Approve a request of somebody else, and have it done",
                None,
            ),
            post(approve),
        ),
        (
            post_(
                "/api/v1/approvals/{id}/refuse",
                Decide,
                "Refuse a request of somebody else",
                None,
            ),
            post(refuse),
        ),
        (
            post_("/api/v1/approvals/{id}/withdraw", Decide, "Take the own request back", None),
            post(withdraw),
        ),
    ]
}

/// Longest body of a request.
const BODY_MAX_BYTES: usize = 16 << 10;

type Changed = Result<Answer, Refused>;

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    paging: Paging,
) -> Result<Page<Approval>, Refused> {
    let (after, wanted) = (paging.after::<ApprovalId>()?, paging.wanted());
    let list = move |tx: &Transaction<'_>| {
        approvals::list(tx, who.now(), who.scope(), (after.as_ref(), wanted))
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.cut(rows, |row| cursor(&row.id)))
}

pub(super) async fn ask_for_role(
    State(app): State<AppState>,
    who: Who,
    Named(name): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let change: RoleChange = read_json(body, BODY_MAX_BYTES).await?;
    let principal = who.principal.clone();
    let ask = move |tx: &Transaction<'_>, act: &Act| {
        let user = accounts::find(tx, &name)?.user;
        seen.check(&user)?;
        let wanted = Wanted::ChangeRole { user: user.id, role: change.role, pd: change.pd };
        Ok::<_, Refused>(approvals::ask(tx, act, &principal, wanted, &change.reason)?)
    };
    who.change(&app, StatusCode::ACCEPTED, ask).await
}

pub(super) async fn ask_for_removal(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    seen: Expected,
    body: Body,
) -> Changed {
    let request: Reasoned = read_json(body, BODY_MAX_BYTES).await?;
    let principal = who.principal.clone();
    let ask = move |tx: &Transaction<'_>, act: &Act| {
        let site = text.parse().map_err(|_| ApprovalError::UnknownSite)?;
        let found = register::site(tx, &site)?.ok_or(ApprovalError::UnknownSite)?;
        seen.check(&found)?;
        let wanted = Wanted::RemoveSite { site };
        Ok::<_, Refused>(approvals::ask(tx, act, &principal, wanted, &request.reason)?)
    };
    who.change(&app, StatusCode::ACCEPTED, ask).await
}

async fn decide(app: AppState, who: Who, text: String, approve: bool) -> Changed {
    let principal = who.principal.clone();
    let decide = move |tx: &Transaction<'_>, act: &Act| {
        let id = text.parse().map_err(|_| ApprovalError::Unknown)?;
        approvals::decide(tx, act, Some(&principal), &id, approve)
    };
    let decided = who.change(&app, StatusCode::OK, decide).await?;
    app.poll.notify_one();
    app.policies.notify_one();
    Ok(decided)
}

pub(super) async fn approve(State(app): State<AppState>, who: Who, Named(text): Named) -> Changed {
    decide(app, who, text, true).await
}

pub(super) async fn refuse(State(app): State<AppState>, who: Who, Named(text): Named) -> Changed {
    decide(app, who, text, false).await
}

pub(super) async fn withdraw(State(app): State<AppState>, who: Who, Named(text): Named) -> Changed {
    let principal = who.principal.clone();
    let withdraw = move |tx: &Transaction<'_>, act: &Act| {
        let id = text.parse().map_err(|_| ApprovalError::Unknown)?;
        approvals::withdraw(tx, act, &principal, &id)
    };
    who.change(&app, StatusCode::OK, withdraw).await
}
