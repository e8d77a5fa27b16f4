//! Who acts as the controller: told to whoever has a certificate, learned from anybody, and the copy for a standby.
//!
//! Invariants: what is handed in counts for the officers' signatures in it and for nothing else; a copy of the database goes to
//! a standby that the newest statement names, over the TLS key that it names, and to nobody else.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{Method, header};
use lumbung_wire::messages::overview::ControllerState;
use lumbung_wire::messages::succession::Succession;
use lumbung_wire::server::{RemoteAddr, read_json};
use lumbung_wire::succession::{Chain, SUCCESSION_MAX_BYTES};
use lumbung_wire::{Peer, Problem};
use tokio_util::io::ReaderStream;

use super::AppState;
use super::access::Access;
use super::problems::Refused;
use super::route::{Routes, route};
use crate::act::Act;
use crate::standby::copy;

/// Pieces in which a copy is read.
const PIECE_BYTES: usize = 256 << 10;

pub(super) fn routes() -> Routes {
    use Access::{Controller, Member};
    let path = "/api/v1/succession";
    vec![
        (
            route(
                Method::GET,
                path,
                Member,
                "Who acts as the controller: statements signed by officers",
                (None, "Succession"),
            ),
            get(succession),
        ),
        (
            route(
                Method::POST,
                path,
                Member,
                "Tell who acts; a newer succession that two officers signed is taken, by it another controller may act",
                (Some("Succession"), "Succession"),
            ),
            post(tell),
        ),
        (
            route(
                Method::GET,
                "/api/v1/succession/copy",
                Controller,
                "The whole database as it is now, for a standby that the newest statement names",
                (None, "octets"),
            ),
            get(copy_of),
        ),
    ]
}

async fn succession(State(app): State<AppState>) -> Json<Succession> {
    Json(known(&app))
}

fn known(app: &AppState) -> Succession {
    app.post.chain().as_ref().map(Chain::to_message).unwrap_or_default()
}

async fn tell(
    State(app): State<AppState>,
    remote: Option<axum::Extension<RemoteAddr>>,
    body: Body,
) -> Result<Json<Succession>, Refused> {
    let presented: Succession = read_json(body, SUCCESSION_MAX_BYTES).await?;
    let act = Act::stranger(app.clock.now(), remote.map(|remote| remote.0.0.ip()));
    app.post.take(&app.db, act, presented).await?;
    Ok(Json(known(&app)))
}

async fn copy_of(State(app): State<AppState>, peer: Peer) -> Result<Response, Refused> {
    let Some(chain) = app.post.chain() else {
        return Err(Problem::conflict(
            "no officers were named, so nobody can be a standby: `lumbung-controller succession draft`",
        )
        .into());
    };
    let pin = peer.identity().map(|identity| identity.pin);
    if pin.map(|pin| chain.standing(&pin)) != Some(ControllerState::Standby) {
        return Err(Problem::forbidden(
            "the newest statement names no standby with this key: two officers have to sign one that does (`lumbung-controller succession draft --standby`)",
        )
        .into());
    }
    let data_dir = app.config.data_dir.clone();
    let made = tokio::task::spawn_blocking(move || copy::make(&data_dir)).await;
    let file =
        made.map_err(|_| Problem::internal("the copy could not be made"))?.map_err(|error| {
            tracing::error!("no copy for the standby: {}", lumbung_model::with_causes(&error));
            Refused::from(Problem::internal(
                "the copy could not be made; the controller's log says why",
            ))
        })?;
    let bytes = file.metadata().map(|found| found.len()).unwrap_or(0);
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE_BYTES);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, bytes.to_string()),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}
