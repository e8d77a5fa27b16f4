//! Who acts as the controller: told to whoever has a certificate, and taken for what two officers signed.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use lumbung_wire::messages::succession::Succession;
use lumbung_wire::server::read_json;
use lumbung_wire::succession::SUCCESSION_MAX_BYTES;
use lumbung_wire::{Peer, Problem};

use super::{App, problem, stopping};
use crate::VaultError;
use crate::succession::{SuccessionRefused, unusable};
use crate::tenancy::Caller;

/// Whoever asks, whether it acts or not.
fn certified(peer: &Peer, app: &App) -> Result<lumbung_wire::PeerIdentity, Problem> {
    let caller = Caller::of(peer, app.vault.now()).map_err(|error| problem::of(&error))?;
    if caller == Caller::Anonymous {
        return Err(problem::of(&VaultError::Anonymous));
    }
    peer.identity().cloned().ok_or_else(|| Problem::forbidden("this is not for a key bundle"))
}

pub(super) async fn get(State(app): State<App>, peer: Peer) -> Result<Json<Succession>, Problem> {
    certified(&peer, &app)?;
    message(&app)
}

fn message(app: &App) -> Result<Json<Succession>, Problem> {
    app.vault.succession.message().map(Json).map_err(|error| unusable(&error))
}

pub(super) async fn put(
    State(app): State<App>,
    peer: Peer,
    body: Body,
) -> Result<Json<Succession>, Problem> {
    let identity = certified(&peer, &app)?;
    if identity.role != lumbung_wire::Role::Controller {
        return Err(Problem::forbidden("controllers tell this"));
    }
    let told: Succession = read_json(body, SUCCESSION_MAX_BYTES).await?;
    let vault = app.vault.clone();
    let taken = tokio::task::spawn_blocking(move || vault.succession.take(&identity.pin, &told));
    match taken.await.map_err(|_| stopping())? {
        Ok(()) => message(&app),
        Err(SuccessionRefused::Unusable(error)) => Err(unusable(&error)),
        Err(error @ SuccessionRefused::Invalid(_)) => Err(Problem::invalid(error.to_string())),
        Err(error @ SuccessionRefused::Fork(_)) => Err(Problem::conflict(error.to_string())),
        Err(error @ SuccessionRefused::Stranger) => Err(Problem::forbidden(error.to_string())),
        Err(SuccessionRefused::Write(error)) => Err(problem::of(&VaultError::Store(error))),
    }
}
