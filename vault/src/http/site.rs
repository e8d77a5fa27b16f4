//! What is about the site as a whole: who it is, what it keeps, its alarms, and a pull now.

use axum::Json;
use axum::extract::State;
use lumbung_wire::messages::{IdList, SiteInfo, VaultAlarm, VaultAlarms, VaultCapacity};
use lumbung_wire::{Peer, Problem};
use serde::{Deserialize, Serialize};

use super::{App, problem};
use crate::VaultError;
use crate::tenancy::Caller;

/// Alarms in one answer.
const ALARMS: u32 = 1000;

/// `POST /v1/pull`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullAnswer {
    /// How many sources are asked.
    pub sources: usize,
}

pub(super) async fn site(State(app): State<App>, peer: Peer) -> Json<SiteInfo> {
    Json(SiteInfo {
        site: app.vault.site(),
        receipt_key: app.vault.identity.key.public(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: app.vault.now(),
        role_seen: peer.role_name().to_owned(),
    })
}

pub(super) async fn repositories(
    State(app): State<App>,
    peer: Peer,
) -> Result<Json<IdList>, Problem> {
    let caller = app.caller(&peer)?;
    if caller == Caller::Anonymous {
        return Err(problem::of(&VaultError::Anonymous));
    }
    let ids = app
        .run(move |vault| {
            let mut ids = Vec::new();
            for repository in vault.repositories() {
                let granted = || match &caller {
                    Caller::Key(key) => vault.is_granted_to(&repository, key),
                    _ => Ok(false),
                };
                if caller.sees(&repository.chain()) || granted()? {
                    ids.push(repository.id().to_string());
                }
            }
            Ok(ids)
        })
        .await?;
    Ok(Json(IdList { ids }))
}

pub(super) async fn alarms(
    State(app): State<App>,
    peer: Peer,
) -> Result<Json<VaultAlarms>, Problem> {
    app.caller(&peer)?.overseeing().map_err(|error| problem::of(&error))?;
    let rows = app.run(|vault| vault.alarms(ALARMS)).await?;
    let alarms = rows
        .into_iter()
        .map(|row| VaultAlarm {
            at: row.at,
            repository: row.repository,
            kind: row.kind,
            detail: row.detail,
        })
        .collect();
    Ok(Json(VaultAlarms { alarms }))
}

pub(super) async fn capacity(
    State(app): State<App>,
    peer: Peer,
) -> Result<Json<VaultCapacity>, Problem> {
    app.caller(&peer)?.overseeing().map_err(|error| problem::of(&error))?;
    Ok(Json(app.run(|vault| crate::capacity::of(vault)).await?))
}

pub(super) async fn pull(State(app): State<App>, peer: Peer) -> Result<Json<PullAnswer>, Problem> {
    app.caller(&peer)?.overseeing().map_err(|error| problem::of(&error))?;
    app.vault.wake.pull.notify_one();
    Ok(Json(PullAnswer { sources: app.vault.config.sources.len() }))
}
