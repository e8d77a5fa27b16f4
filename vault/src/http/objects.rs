//! Objects of a repository: lists, GET and PUT. Packs go on to [`super::packs`].

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use lumbung_model::{DomainId, ManifestId, PackId, RepositoryId, SessionId};
use lumbung_pack::limits::OBJECT_MAX_BYTES;
use lumbung_pack::{Bitmap, Kind, Manifest, open_signed};
use lumbung_store::PutOutcome;
use lumbung_wire::messages::{IdList, MANIFESTS_PAGE_MAX, ManifestSummary};
use lumbung_wire::server::read_capped;
use lumbung_wire::{Peer, Problem};
use serde::Deserialize;

use super::{App, parse_folder, parse_id, parse_repository, visible};
use crate::grants::Scope;
use crate::index::{
    ManifestRow, PackRow, SessionRow, list_objects, list_packs, list_sessions, object_domain,
};
use crate::repository::Repository;
use crate::tenancy::{Caller, Reading, unlisted_key};
use crate::{Sender, Vault, VaultError};

const BINARY: [(header::HeaderName, &str); 1] =
    [(header::CONTENT_TYPE, "application/octet-stream")];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(app): State<App>,
    peer: Peer,
    Path((repository, folder)): Path<(String, String)>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let caller = app.caller(&peer)?;
    let (id, kind) = (parse_repository(&repository)?, parse_folder(&folder)?);
    if kind == Kind::Manifest {
        let limit = page.limit.unwrap_or(MANIFESTS_PAGE_MAX).clamp(1, MANIFESTS_PAGE_MAX);
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let page = app.run(move |vault| summaries(vault, &caller, &id, page.after, limit)).await?;
        return Ok(Json(page).into_response());
    }
    let ids = app.run(move |vault| ids(vault, &caller, &id, kind)).await?;
    let ids = ids.into_iter().map(|id| PackId::from_bytes(id).to_string()).collect();
    Ok(Json(IdList { ids }).into_response())
}

/// To what a caller's reading is confined.
enum Confined {
    Nothing,
    To(DomainId),
    /// To what its grants open.
    Granted(Scope),
}

/// To what a reading is confined now.
fn confined(
    vault: &Vault,
    repository: &Repository,
    (reading, kind): (Reading, Kind),
) -> Result<Confined, VaultError> {
    Ok(match reading {
        Reading::All => Confined::Nothing,
        // An agent that has no domain here yet has nothing to read: no domain is zero.
        Reading::DomainOf(agent) => {
            Confined::To(repository.domain_of(&vault.index, &agent)?.unwrap_or(DomainId::ZERO))
        }
        Reading::GrantedTo(key) => Confined::Granted(vault.scope(repository, &key, kind)?),
    })
}

fn ids(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
    kind: Kind,
) -> Result<Vec<[u8; 32]>, VaultError> {
    let repository = visible(vault, caller, id)?;
    let reading = caller.reading(&repository.chain(), kind)?;
    let domain = match confined(vault, &repository, (reading, kind))? {
        Confined::Nothing => None,
        Confined::To(domain) => Some(domain),
        Confined::Granted(_) if kind == Kind::Roster => None,
        Confined::Granted(scope) => return Ok(scope.ids(kind)),
    };
    let row = repository.row;
    Ok(match kind {
        Kind::Pack => vault.index.read(|c| list_packs(c, row, domain.as_ref()))?,
        Kind::Session => vault.index.read(|c| list_sessions(c, row, domain.as_ref()))?,
        Kind::Segment | Kind::Usage | Kind::Opening => {
            vault.index.read(|c| list_objects(c, row, kind, domain.as_ref()))?
        }
        _ => repository.store.list(kind)?,
    })
}

fn summaries(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
    after: u64,
    limit: u32,
) -> Result<Vec<ManifestSummary>, VaultError> {
    let repository = visible(vault, caller, id)?;
    let chain = repository.chain();
    let reading = caller.reading(&chain, Kind::Manifest)?;
    let rows = match confined(vault, &repository, (reading, Kind::Manifest))? {
        Confined::Granted(scope) => granted_rows(vault, &repository, &scope, after, limit)?,
        Confined::Nothing => {
            vault.index.read(|c| ManifestRow::after(c, repository.row, after, limit, None))?
        }
        Confined::To(domain) => vault
            .index
            .read(|c| ManifestRow::after(c, repository.row, after, limit, Some(&domain)))?,
    };
    let mut page = Vec::with_capacity(rows.len());
    for row in rows {
        // A manifest that was lost or damaged is not listed: the inventory does not name it either.
        let Ok(bytes) = repository.store.get(Kind::Manifest, row.manifest.as_bytes()) else {
            continue;
        };
        let manifest =
            open_signed::<Manifest>(&bytes).map_err(VaultError::format(Kind::Manifest))?;
        let authorized = chain.authorizes(&manifest);
        let body = manifest.body;
        page.push(ManifestSummary {
            manifest: row.manifest,
            agent: body.agent,
            dataset: body.dataset,
            domain: body.domain,
            epoch: body.epoch,
            sequence: body.sequence,
            previous: body.previous,
            partial: body.partial,
            started: body.started,
            finished: body.finished,
            statistics: body.statistics,
            roster_number: body.roster_number,
            authorized,
            arrival: row.arrival,
            receipt: row.receipt,
        });
    }
    Ok(page)
}

/// The granted snapshots in the order in which they came.
fn granted_rows(
    vault: &Vault,
    repository: &Repository,
    scope: &Scope,
    after: u64,
    limit: u32,
) -> Result<Vec<ManifestRow>, VaultError> {
    let ids = scope.ids(Kind::Manifest);
    let mut rows = vault.index.read(|c| {
        let find = |id: &[u8; 32]| {
            ManifestRow::find(c, repository.row, &ManifestId::from_bytes(*id)).transpose()
        };
        ids.iter().filter_map(find).collect::<rusqlite::Result<Vec<_>>>()
    })?;
    rows.retain(|row| row.arrival > after);
    rows.sort_by_key(|row| row.arrival);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}

pub(super) async fn get(
    State(app): State<App>,
    peer: Peer,
    Path((repository, folder, object)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = app.caller(&peer)?;
    let (id, kind, object) =
        (parse_repository(&repository)?, parse_folder(&folder)?, parse_id(&object)?);
    let (repository, frames) =
        app.run(move |vault| readable(vault, &caller, &id, kind, &object)).await?;
    if kind == Kind::Pack {
        let pack = (PackId::from_bytes(object), frames);
        return super::packs::get(&app, repository, pack, &headers).await;
    }
    let bytes = app.run(move |_| Ok(repository.store.get(kind, &object)?)).await?;
    Ok((BINARY, bytes).into_response())
}

/// The repository, if the caller may read this object in it; and of a pack the frames, if not all.
fn readable(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
    kind: Kind,
    object: &[u8; 32],
) -> Result<(std::sync::Arc<Repository>, Option<Bitmap>), VaultError> {
    let repository = visible(vault, caller, id)?;
    let reading = caller.reading(&repository.chain(), kind)?;
    let domain = match confined(vault, &repository, (reading, kind))? {
        Confined::Nothing => return Ok((repository, None)),
        Confined::To(domain) => domain,
        Confined::Granted(scope) if scope.contains(kind, object) => {
            let frames = scope.frames(&PackId::from_bytes(*object)).cloned();
            return Ok((repository, frames.filter(|_| kind == Kind::Pack)));
        }
        // Whether it is here is none of the grantee's business.
        Confined::Granted(_) => {
            let name = kind.name();
            return Err(VaultError::Forbidden(format!("no grant here opens this {name} to you")));
        }
    };
    let row = repository.row;
    let found = vault.index.read(|c| {
        Ok(match kind {
            Kind::Pack => {
                PackRow::find(c, row, &PackId::from_bytes(*object))?.map(|row| row.domain)
            }
            Kind::Session => {
                SessionRow::find(c, row, &SessionId::from_bytes(*object))?.map(|row| row.domain)
            }
            Kind::Manifest => {
                ManifestRow::find(c, row, &ManifestId::from_bytes(*object))?.map(|row| row.domain)
            }
            _ => object_domain(c, row, kind, object)?,
        })
    })?;
    match found {
        Some(found) if found == domain => Ok((repository, None)),
        Some(_) => Err(VaultError::Forbidden(format!(
            "this {} is of another agent's dedup domain",
            kind.name()
        ))),
        None => Err(lumbung_store::StoreError::NotFound { kind, id: *object }.into()),
    }
}

pub(super) async fn put(
    State(app): State<App>,
    peer: Peer,
    Path((repository, folder, object)): Path<(String, String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    let caller = app.caller(&peer)?;
    let (id, kind, object) =
        (parse_repository(&repository)?, parse_folder(&folder)?, parse_id(&object)?);
    if kind == Kind::Roster {
        return put_roster(&app, caller, id, object, body).await;
    }
    let (repository, sender) = app
        .run(move |vault| {
            let repository = visible(vault, &caller, &id)?;
            let sender = caller.writing(&repository.chain(), kind)?;
            // Who has nothing to say is not listened to.
            if let Sender::Grantee(key) = sender
                && !vault.is_granted_to(&repository, &key)?
            {
                return Err(unlisted_key());
            }
            Ok((repository, sender))
        })
        .await?;
    match kind {
        Kind::Pack => {
            super::packs::put(&app, repository, PackId::from_bytes(object), (caller, sender), body)
                .await
        }
        Kind::Manifest => {
            let (_upload, body) = app.take_in(&caller, (&id, sender.agent()), body).await?;
            let bytes = read_capped(body, OBJECT_MAX_BYTES).await?;
            let committed = app
                .run(move |vault| {
                    vault.commit(&repository, &ManifestId::from_bytes(object), &bytes, sender)
                })
                .await?;
            Ok((status(committed.outcome), BINARY, committed.receipt).into_response())
        }
        _ => {
            let (_upload, body) = app.take_in(&caller, (&id, sender.agent()), body).await?;
            let bytes = read_capped(body, OBJECT_MAX_BYTES).await?;
            let outcome = app
                .run(move |vault| vault.put_object(&repository, kind, &object, &bytes, sender))
                .await?;
            Ok(status(outcome).into_response())
        }
    }
}

async fn put_roster(
    app: &App,
    caller: Caller,
    id: RepositoryId,
    object: [u8; 32],
    body: Body,
) -> Result<Response, Problem> {
    let founder = app
        .run(move |vault| match visible(vault, &caller, &id) {
            Ok(repository) => {
                caller.writing(&repository.chain(), Kind::Roster).map(|_| crate::Founder::Nobody)
            }
            Err(VaultError::NoRepository(_)) => match caller.founding(&id)? {
                // Only the body tells whether the key is a root key; who need not be heard is not.
                crate::Founder::Key(_) if !vault.is_admitted(&id) => {
                    Err(VaultError::NotAdmitted(id))
                }
                founder => Ok(founder),
            },
            Err(error) => Err(error),
        })
        .await?;
    let (_upload, body) = app.take_in(&caller, (&id, caller.certified_agent()), body).await?;
    let bytes = read_capped(body, OBJECT_MAX_BYTES).await?;
    let outcome = app.run(move |vault| vault.put_roster(&id, &object, &bytes, founder)).await?;
    Ok(status(outcome).into_response())
}

pub(super) const fn status(outcome: PutOutcome) -> StatusCode {
    match outcome {
        PutOutcome::Created => StatusCode::CREATED,
        PutOutcome::AlreadyThere => StatusCode::OK,
    }
}
