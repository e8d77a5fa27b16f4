//! The register's caps, given by the controller and by nobody else: they slow, and nothing here can stop a transfer.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use lumbung_wire::messages::caps::{CAPS_JSON_MAX_BYTES, CapsAnswer, SiteCaps};
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem, Role};

use super::{App, problem};

pub(super) async fn get(State(app): State<App>, peer: Peer) -> Result<Json<SiteCaps>, Problem> {
    app.caller(&peer)?.overseeing().map_err(|error| problem::of(&error))?;
    Ok(Json(app.vault.bandwidth.caps()))
}

pub(super) async fn put(
    State(app): State<App>,
    peer: Peer,
    body: Body,
) -> Result<Json<CapsAnswer>, Problem> {
    app.caller(&peer)?.overseeing().map_err(|error| problem::of(&error))?;
    if !matches!(&peer, Peer::Certified(identity) if identity.role == Role::Controller) {
        return Err(Problem::forbidden(
            "the caps of a site come from the controller: enter them in the register",
        ));
    }
    let caps: SiteCaps = read_json(body, CAPS_JSON_MAX_BYTES).await?;
    caps.check().map_err(|reason| Problem::invalid(format!("these caps are refused: {reason}")))?;
    let own = app.vault.site();
    if caps.site != own {
        return Err(Problem::conflict(format!(
            "this is site {own}, the caps are for {}",
            caps.site
        )));
    }
    if caps.version == 0 {
        return Err(Problem::invalid("a list of caps has a number from 1".to_owned()));
    }
    Ok(Json(app.run(move |vault| Ok(vault.bandwidth.take(caps)?)).await?))
}
