//! The register's caps, given by the controller and by nobody else: they slow, and nothing here can stop a transfer.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode};
use lumbung_wire::messages::caps::{CAPS_JSON_MAX_BYTES, CapsAnswer, SiteCaps};
use lumbung_wire::server::{CAPPED_HEADER, read_json};
use lumbung_wire::{Peer, Problem, Role};

use super::{App, problem};
use crate::VaultError;
use crate::tenancy::Caller;

pub(super) async fn get(State(app): State<App>, peer: Peer) -> Result<Json<SiteCaps>, Problem> {
    app.caller(&peer)?.overseeing().map_err(|error| problem::of(&error))?;
    Ok(Json(app.vault.bandwidth.caps()))
}

/// Says in a header whether what the caller sends is held to a cap now: a sender that is slowed asks, so as not to give up.
pub(super) async fn line(State(app): State<App>, peer: Peer) -> Result<Response, Problem> {
    let caller = app.caller(&peer)?;
    if caller == Caller::Anonymous {
        return Err(problem::of(&VaultError::Anonymous));
    }
    let mut answer = StatusCode::NO_CONTENT.into_response();
    if let Caller::Agent { repository, .. } = &caller
        && app.vault.bandwidth.line_of(repository).is_some_and(|line| line.is_capped())
    {
        answer.headers_mut().insert(CAPPED_HEADER, HeaderValue::from_static("1"));
    }
    Ok(answer)
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
