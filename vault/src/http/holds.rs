//! Automatic holds over the network: an anomaly was seen, and the last good snapshots should stay. A hold takes nothing
//! away; who could place holds without end could fill the storage, so only the controller and operators do, and such a hold lapses.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use lumbung_model::RepositoryId;
use lumbung_pack::limits::LABEL_MAX_BYTES;
use lumbung_pack::{Kind, Subject};
use lumbung_wire::messages::{HoldAnswer, HoldRequest};
use lumbung_wire::server::read_json;
use lumbung_wire::{Peer, Problem};

use super::{App, parse_repository, problem, visible};
use crate::index::ManifestRow;
use crate::retention::subject_text;
use crate::tenancy::Caller;
use crate::{Vault, VaultError};

/// Longest request: a subject and a reason.
const BODY_MAX_BYTES: usize = 4096;

pub(super) async fn place(
    State(app): State<App>,
    peer: Peer,
    Path(repository): Path<String>,
    body: Body,
) -> Result<Json<HoldAnswer>, Problem> {
    let caller = app.caller(&peer)?;
    if caller != Caller::Overseer {
        caller.overseeing().map_err(|error| problem::of(&error))?;
        return Err(Problem::forbidden("another site holds what it holds itself"));
    }
    let id = parse_repository(&repository)?;
    let request: HoldRequest = read_json(body, BODY_MAX_BYTES).await?;
    Ok(Json(app.run(move |vault| hold(vault, &caller, &id, &request)).await?))
}

fn hold(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
    request: &HoldRequest,
) -> Result<HoldAnswer, VaultError> {
    let refused = |reason: String| VaultError::Refused { kind: Kind::Hold, reason };
    let subject = subject_text::parse(&request.subject).map_err(refused)?;
    if request.reason.is_empty() || request.reason.len() > LABEL_MAX_BYTES {
        return Err(refused(format!("`reason` has 1 to {LABEL_MAX_BYTES} bytes")));
    }
    let repository = visible(vault, caller, id)?;
    // A hold on what is gone would be a promise of nothing.
    if let Subject::Snapshot(snapshot) = subject
        && vault.index.read(|c| ManifestRow::find(c, repository.row, &snapshot))?.is_none()
    {
        return Err(refused(format!("snapshot {snapshot} is not at this site")));
    }
    let hold = vault.place_hold(&repository, subject, true, ("controller", &request.reason))?;
    Ok(HoldAnswer { hold })
}
