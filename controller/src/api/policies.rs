//! Policies over HTTP: to each agent its own, to people what was published and what waits, and custodians' words.
//!
//! Invariants: an agent gets the newest policy of its own server, signed for it, and no other; whoever belongs to one PD gets
//! the same answer about another PD's servers as about servers that are not there. No route here publishes anything.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use lumbung_model::ServerId;
use lumbung_wire::messages::approvals::ApprovalState;
use lumbung_wire::messages::policy::{
    PolicyConfirmation, PolicyDelivery, PolicyDetail, PolicyEntry, PolicyWaiting,
};
use lumbung_wire::messages::register::Server;
use lumbung_wire::policy::check_confirmation;
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem};
use rusqlite::Connection;

use super::AppState;
use super::access::Who;
use super::agents::{agent_of, narrowed};
use super::extract::{Asked, Named};
use super::problems::Refused;
use super::register::{Listed, OfPd, id, unknown};
use crate::act::Act;
use crate::approvals;
use crate::db::audit::{self, Deed};
use crate::db::policies::{self as rows, PolicyRow};
use crate::db::{DbError, agents, approvals as approval_rows, register, rosters};
use crate::people::access::Scope;

/// Longest body of a confirmation.
const CONFIRMATION_MAX_BYTES: usize = 16 << 10;

pub(super) async fn own(
    State(app): State<AppState>,
    peer: Peer,
) -> Result<Json<PolicyDelivery>, Refused> {
    let agent = agent_of(&peer)?;
    let found = app.db.read_async(move |tx| rows::newest_of_agent(tx, &agent)).await?;
    let found = found.ok_or_else(|| {
        Problem::not_found(
            "there is no policy for this agent: the register names no dataset of its server",
        )
    })?;
    Ok(Json(PolicyDelivery { policy: found.signed, confirmation: found.confirmation }))
}

pub(super) async fn list(
    State(app): State<AppState>,
    who: Who,
    Asked(query): Asked<OfPd>,
) -> Listed<PolicyEntry> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        let mut entries = Vec::new();
        for server in register::servers(tx, pd.as_ref())? {
            let newest = rows::newest(tx, &server.id)?;
            entries.extend(entry(tx, &who.act, &server, newest.as_ref())?);
        }
        Ok::<_, Refused>(entries)
    };
    Ok(Json(app.db.read_async(list).await?))
}

/// A server's line; none for a server without an agent.
fn entry(
    db: &Connection,
    act: &Act,
    server: &Server,
    newest: Option<&PolicyRow>,
) -> Result<Option<PolicyEntry>, DbError> {
    let Some(agent) = server.agent else { return Ok(None) };
    let waiting = waiting(db, act, &server.id)?.filter(|waiting| !waiting.refused);
    let content = newest.map(|newest| &newest.policy.content);
    Ok(Some(PolicyEntry {
        server: server.id,
        name: server.name.clone(),
        pd: server.pd,
        agent,
        published: newest.map(PolicyRow::mark),
        issued: newest.map(|newest| newest.policy.issued),
        jobs: content.map_or(0, |content| content.jobs.len() as u64),
        skipped: content.map_or(0, |content| content.skipped.len() as u64),
        confirmed: newest.is_some_and(|newest| newest.confirmation.is_some()),
        waiting: waiting.map(|waiting| waiting.approval),
        told: rows::told(db, &agent)?,
    }))
}

/// What is not published for a server.
fn waiting(
    db: &Connection,
    act: &Act,
    server: &ServerId,
) -> Result<Option<PolicyWaiting>, DbError> {
    let Some(proposal) = rows::proposal(db, server)? else { return Ok(None) };
    let request = approval_rows::approval(db, &proposal.approval)?;
    let state = request.map(|request| approvals::state(act, &request));
    Ok(Some(PolicyWaiting {
        approval: proposal.approval,
        refused: matches!(state, Some(ApprovalState::Refused | ApprovalState::Withdrawn)),
        narrowings: proposal.narrowings,
        content: proposal.content,
    }))
}

/// The server of that id, if the caller sees it and it has an agent.
fn seen(db: &Connection, scope: Scope, text: &str) -> Result<Server, Refused> {
    let found = register::server(db, &id(text, "server")?)?;
    let found = found.filter(|server| scope.sees(server.pd) && server.agent.is_some());
    found.ok_or_else(|| unknown("server"))
}

pub(super) async fn one(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<PolicyDetail>, Refused> {
    let find = move |tx: &rusqlite::Transaction<'_>| {
        let server = seen(tx, who.scope(), &text)?;
        Ok::<_, Refused>(detail(tx, &who.act, &server)?)
    };
    app.db.read_async(find).await?.map(Json).ok_or_else(|| unknown("server"))
}

fn detail(db: &Connection, act: &Act, server: &Server) -> Result<Option<PolicyDetail>, DbError> {
    let newest = rows::newest(db, &server.id)?;
    let Some(entry) = entry(db, act, server, newest.as_ref())? else { return Ok(None) };
    let applied = entry.told.as_ref().and_then(|told| told.applied);
    let other = applied.filter(|mark| Some(*mark) != entry.published);
    let applied = other.map(|mark| rows::by_hash(db, &server.id, &mark.hash)).transpose()?;
    Ok(Some(PolicyDetail {
        entry,
        applied: applied.flatten().map(|row| row.signed),
        confirmation: newest.as_ref().and_then(|newest| newest.confirmation.clone()),
        policy: newest.map(|newest| newest.signed),
        waiting: waiting(db, act, &server.id)?,
        history: rows::history(db, &server.id)?,
    }))
}

pub(super) async fn confirm(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Result<(StatusCode, Json<PolicyDetail>), Refused> {
    let word: PolicyConfirmation = read_json(body, CONFIRMATION_MAX_BYTES).await?;
    let keep = move |tx: &rusqlite::Transaction<'_>| {
        let server = seen(tx, who.scope(), &text)?;
        check(tx, &server, &word)?;
        rows::confirm(tx, &word)?;
        let deed = Deed {
            action: "policy.confirm",
            kind: "policy",
            id: &word.policy,
            pd: Some(server.pd),
        };
        audit::append(tx, &who.act, deed, None, Some(audit::shown(&word)?))?;
        Ok::<_, Refused>(detail(tx, &who.act, &server)?)
    };
    let kept = app.db.write_async(keep).await?.ok_or_else(|| unknown("server"))?;
    Ok((StatusCode::CREATED, Json(kept)))
}

/// Whether it is the PD's word on this server's newest policy. The agent looks at all of it again.
fn check(db: &Connection, server: &Server, word: &PolicyConfirmation) -> Result<(), Refused> {
    let newest = rows::newest(db, &server.id)?.filter(|newest| newest.hash == word.policy);
    let newest = newest.ok_or_else(|| {
        Problem::conflict("this is not the server's newest policy: look at that one, and sign it")
    })?;
    check_confirmation(word, &newest.hash, &newest.policy.agent)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    let agent = agents::agent(db, &newest.policy.agent)?
        .ok_or(DbError::Corrupt { what: "a policy's agent" })?;
    let chain = rosters::chain(db, &agent.repository)?.ok_or_else(|| {
        Problem::not_found(format!(
            "no roster of repository {} is known here yet: wait for the next poll",
            agent.repository
        ))
    })?;
    if chain.is_root_key(&word.key) {
        return Ok(());
    }
    let detail =
        format!("{} is no root key of the newest roster: sign with the PD's key bundle", word.key);
    Err(Problem::invalid(detail).into())
}
