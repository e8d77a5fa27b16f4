//! Hosts over HTTP: what agents tell of them, what people see of that, and that they accept it.
//!
//! Invariants: an agent tells of the server that it enrolled for, and of no other; whoever belongs to one PD gets the same
//! answer about another PD's servers as about servers that are not there.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{get, post};
use http::{Method, StatusCode};
use lumbung_model::ServerId;
use lumbung_wire::messages::host::{
    HostInventory, INVENTORY_MAX_BYTES, InventoryAcceptance, InventoryAck, ServerInventory,
};
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem};
use rusqlite::Transaction;

use super::AppState;
use super::access::Access;
use super::agents::{agent_of, unknown_agent};
use super::extract::Named;
use super::problems::Refused;
use super::register::{Changed, id, unknown};
use super::route::{Routes, route};
use super::who::Who;
use crate::act::Act;
use crate::db::register;
use crate::hosts::{self, Noted};
use crate::people::access::Permission;

pub(super) fn routes() -> Routes {
    use Permission::{Read, WriteRegister};
    vec![
        (
            route(
                Method::POST,
                "/api/v1/inventory",
                Access::Agent,
                "What an agent sees of its host",
                (Some("HostInventory"), "InventoryAck"),
            ),
            post(tell),
        ),
        (
            route(
                Method::GET,
                "/api/v1/servers/{id}/inventory",
                Access::Person(Read),
                "What the server's agent sees of its host, and in what that differs from what is expected",
                (None, "ServerInventory"),
            ),
            get(inventory),
        ),
        (
            route(
                Method::POST,
                "/api/v1/servers/{id}/inventory/accept",
                Access::Person(WriteRegister),
                "Accept that the server's host is as its agent sees it",
                (Some("InventoryAcceptance"), "ServerInventory"),
            ),
            post(accept),
        ),
    ]
}

/// Longest body of an acceptance.
const BODY_MAX_BYTES: usize = 64 << 10;

pub(super) async fn tell(
    State(app): State<AppState>,
    peer: Peer,
    body: Body,
) -> Result<Json<InventoryAck>, Refused> {
    let agent = agent_of(&peer)?;
    let seen: HostInventory = read_json(body, INVENTORY_MAX_BYTES).await?;
    seen.check().map_err(|error| Problem::bad_request(error.to_string()))?;
    let received = app.clock.now();
    match app.db.write_async(move |tx| hosts::note(tx, received, &agent, seen)).await? {
        Noted::Taken => Ok(Json(InventoryAck { received })),
        Noted::Unknown => Err(unknown_agent(agent)),
        Noted::TooSoon => {
            let detail = "this host was another one a moment ago: tell it again in half a minute";
            Err(Problem::too_many(detail).into())
        }
    }
}

pub(super) async fn inventory(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
) -> Result<Json<ServerInventory>, Refused> {
    let id: ServerId = id(&text, "server")?;
    let find = move |tx: &Transaction<'_>| {
        let server = register::server(tx, &id)?.filter(|server| who.scope().sees(server.pd));
        Ok::<_, Refused>(hosts::shown(tx, &server.ok_or_else(|| unknown("server"))?)?)
    };
    Ok(Json(app.db.read_async(find).await?))
}

pub(super) async fn accept(
    State(app): State<AppState>,
    who: Who,
    Named(text): Named,
    body: Body,
) -> Changed {
    let server: ServerId = id(&text, "server")?;
    let input: InventoryAcceptance = read_json(body, BODY_MAX_BYTES).await?;
    let accept = move |tx: &Transaction<'_>, act: &Act| hosts::accept(tx, act, &server, &input);
    who.change(&app, StatusCode::OK, accept).await
}
