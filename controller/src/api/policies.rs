//! Policies over HTTP: to each agent its own, to people what was published and what waits, and custodians' words.
//!
//! Invariants: an agent gets the newest policy of its own server, signed for it, and no other; whoever belongs to one PD gets
//! the same answer about another PD's servers as about servers that are not there. No route here publishes anything.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::{ServerId, Timestamp};
use lumbung_wire::messages::approvals::ApprovalState;
use lumbung_wire::messages::policy::{
    PolicyConfirmation, PolicyDelivery, PolicyDetail, PolicyEntry, PolicyWaiting,
};
use lumbung_wire::messages::register::Server;
use lumbung_wire::policy::check_confirmation;
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem};
use rusqlite::{Connection, Transaction};
use serde::Deserialize;

use super::AppState;
use super::access::Access;
use super::agents::{agent_of, narrowed};
use super::extract::{Asked, Named};
use super::paging::Paging;
use super::problems::Refused;
use super::register::{Changed, Listed, id, unknown};
use super::route::{Route, Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::approvals;
use crate::db::audit::{self, Deed};
use crate::db::policies::{self as rows, PolicyRow};
use crate::db::{DbError, agents, approvals as approval_rows, register, retired, rosters};
use crate::people::access::{Permission, Scope};

pub(super) fn routes() -> Routes {
    use Permission::{HandInProof, Read};
    let read = |path, summary, schema, query| Route {
        query,
        ..route(Method::GET, path, Access::Person(Read), summary, (None, schema))
    };
    let confirm = route(
        Method::POST,
        "/api/v1/policies/{id}/confirm",
        Access::Person(HandInProof),
        "A custodian's signed word that the server may take its newest policy although it asks for less",
        (Some("PolicyConfirmation"), "PolicyDetail"),
    );
    vec![
        (
            route(
                Method::GET,
                "/api/v1/policy",
                Access::Agent,
                "The newest policy of the agent that asks, signed",
                (None, "PolicyDelivery"),
            ),
            get(own),
        ),
        (
            read(
                "/api/v1/policies",
                "What each server's agent is asked to back up",
                "[PolicyEntry]",
                &["pd", "limit", "after"],
            ),
            get(list),
        ),
        (
            read(
                "/api/v1/policies/{id}",
                "A server's policy, what waits, and all that were published",
                "PolicyDetail",
                &[],
            ),
            get(one),
        ),
        (confirm, post(self::confirm)),
    ]
}

/// Longest body of a confirmation.
const CONFIRMATION_MAX_BYTES: usize = 16 << 10;

/// Whose are asked for.
#[derive(Deserialize)]
pub(super) struct Filter {
    pd: Option<String>,
}

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
    Asked(query): Asked<Filter>,
    paging: Paging,
) -> Listed<PolicyEntry> {
    let list = move |tx: &rusqlite::Transaction<'_>| {
        let pd = narrowed(tx, who.scope(), query.pd.as_deref())?;
        let mut entries = Vec::new();
        for server in register::servers_ever(tx, pd.as_ref())? {
            let newest = rows::newest(tx, &server.id)?;
            match entry(tx, who.now(), &server, newest.as_ref())? {
                Some(entry) if !is_done(tx, &entry)? => entries.push(entry),
                _ => {}
            }
        }
        Ok::<_, Refused>(entries)
    };
    let rows = app.db.read_async(list).await?;
    Ok(paging.select(rows, |row: &PolicyEntry| (row.name.clone(), row.server))?)
}

/// Whether the server's agent backs up nothing any more and is not meant to: of a retired server there is nothing to tell then.
fn is_done(db: &Connection, entry: &PolicyEntry) -> Result<bool, DbError> {
    let told = entry.told.as_ref();
    let runs_nothing = entry.jobs == 0
        && told.is_none_or(|told| told.pending.is_none() && told.applied == entry.published);
    Ok(runs_nothing
        && entry.waiting.is_none()
        && retired::of(db, entry.server.as_bytes())?.is_some())
}

/// A server's line; none for a server without an agent.
fn entry(
    db: &Connection,
    now: Timestamp,
    server: &Server,
    newest: Option<&PolicyRow>,
) -> Result<Option<PolicyEntry>, DbError> {
    let Some(agent) = server.agent else { return Ok(None) };
    let waiting = waiting(db, now, &server.id)?.filter(|waiting| !waiting.refused);
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
    now: Timestamp,
    server: &ServerId,
) -> Result<Option<PolicyWaiting>, DbError> {
    let Some(proposal) = rows::proposal(db, server)? else { return Ok(None) };
    let request = approval_rows::approval(db, &proposal.approval)?;
    let state = request.map(|request| approvals::state(now, &request));
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
        Ok::<_, Refused>(detail(tx, who.now(), &server)?)
    };
    app.db.read_async(find).await?.map(Json).ok_or_else(|| unknown("server"))
}

fn detail(
    db: &Connection,
    now: Timestamp,
    server: &Server,
) -> Result<Option<PolicyDetail>, DbError> {
    let newest = rows::newest(db, &server.id)?;
    let Some(entry) = entry(db, now, server, newest.as_ref())? else { return Ok(None) };
    let applied = entry.told.as_ref().and_then(|told| told.applied);
    let other = applied.filter(|mark| Some(*mark) != entry.published);
    let applied = other.map(|mark| rows::by_hash(db, &server.id, &mark.hash)).transpose()?;
    Ok(Some(PolicyDetail {
        entry,
        applied: applied.flatten().map(|row| row.signed),
        confirmation: newest.as_ref().and_then(|newest| newest.confirmation.clone()),
        policy: newest.map(|newest| newest.signed),
        waiting: waiting(db, now, &server.id)?,
        history: rows::history(db, &server.id)?,
    }))
}

pub(super) async fn confirm(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let word: PolicyConfirmation = read_json(body, CONFIRMATION_MAX_BYTES).await?;
    let scope = who.scope();
    let keep = move |tx: &Transaction<'_>, act: &Act| {
        let server = seen(tx, scope, &text)?;
        check(tx, &server, &word)?;
        rows::confirm(tx, &word)?;
        let deed = Deed {
            action: "policy.confirm",
            kind: "policy",
            id: &word.policy,
            pd: Some(server.pd),
        };
        audit::append(tx, act, deed, None, Some(audit::shown(&word)?))?;
        detail(tx, act.now, &server)?.ok_or_else(|| unknown("server"))
    };
    who.change(&app, StatusCode::CREATED, keep).await
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
