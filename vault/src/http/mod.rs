//! The vault's HTTP API (`/v1`), over mutual TLS. Handlers translate; what is decided is decided in
//! `tenancy` and [`crate::Vault`].
//!
//! Invariants: no route deletes; every route but `/v1/site` needs a certificate; blocking work runs on
//! blocking threads, at most `requests` of it at once; bodies are capped before memory is taken.

mod caps;
mod holds;
mod objects;
mod packs;
mod problem;
mod site;
mod succession;
mod uploads;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use lumbung_model::{AgentId, RepositoryId};
use lumbung_pack::Kind;
use lumbung_wire::{Peer, Problem};
use tokio::sync::Semaphore;

use crate::repository::Repository;
use crate::tenancy::Caller;
use crate::{Vault, VaultError};

pub use packs::parse_range;
pub use site::PullAnswer;

/// What handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) vault: Arc<Vault>,
    /// Pieces of blocking work at once.
    work: Arc<Semaphore>,
    /// Bodies on their way in: they last as long as their senders' lines are slow, and take memory.
    uploads: Arc<uploads::Uploads>,
}

fn routes() -> [(&'static str, MethodRouter<App>); 12] {
    [
        ("/v1/site", get(site::site)),
        ("/v1/alarms", get(site::alarms)),
        ("/v1/capacity", get(site::capacity)),
        ("/v1/caps", get(caps::get).put(caps::put)),
        ("/v1/line", get(caps::line)),
        ("/v1/succession", get(succession::get).put(succession::put)),
        ("/v1/pull", post(site::pull)),
        ("/v1/repositories", get(site::repositories)),
        ("/v1/repositories/{repository}/have", post(packs::have)),
        ("/v1/repositories/{repository}/hold", post(holds::place)),
        ("/v1/repositories/{repository}/{folder}", get(objects::list)),
        ("/v1/repositories/{repository}/{folder}/{id}", get(objects::get).put(objects::put)),
    ]
}

/// The path of every route, so that tests can try all of them, new ones too.
#[must_use]
pub fn paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

/// The vault's routes.
pub fn router(vault: Arc<Vault>) -> Router {
    let work = Arc::new(Semaphore::new(vault.config.requests));
    let uploads = Arc::new(uploads::Uploads::new(vault.config.requests));
    let routes = routes().into_iter();
    routes
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(|| async { Problem::not_found("this vault has no such path") })
        .method_not_allowed_fallback(|| async {
            Problem::method_not_allowed(
                "a vault takes GET and PUT here; nothing is deleted over the network",
            )
        })
        // Every handler caps its body itself.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(Arc::clone(&vault), crate::metrics::count_answer))
        .with_state(App { vault, work, uploads })
}

impl App {
    /// Runs blocking work, when it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Vault>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = Arc::clone(&self.work).acquire_owned().await.map_err(|_| stopping())?;
        let vault = Arc::clone(&self.vault);
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&vault)
        });
        done.await.map_err(|_| stopping())?.map_err(|error| problem::of(&error))
    }

    /// Begins to take a body in from a caller, as `agent` if it writes as one: then it is read no faster than the PD's line
    /// allows, and is counted.
    async fn take_in(
        &self,
        caller: &Caller,
        (repository, agent): (&RepositoryId, Option<AgentId>),
        body: Body,
    ) -> Result<(uploads::Upload, Body), Problem> {
        let line = agent.and_then(|_| self.vault.bandwidth.line_of(repository));
        // A body that began before the cap has an ordinary place, and is not slowed in it.
        let capped = line.as_ref().filter(|line| line.is_capped());
        let slow = capped.is_some();
        let bytes = axum::body::HttpBody::size_hint(&body).upper();
        let upload = self.uploads.begin(caller, (capped, bytes)).await?;
        Ok((upload, crate::bandwidth::slowed(body, line, agent, slow)))
    }

    pub(crate) fn caller(&self, peer: &Peer) -> Result<Caller, Problem> {
        self.vault.succession.admit(peer)?;
        Caller::of(peer, self.vault.now()).map_err(|error| problem::of(&error))
    }
}

fn stopping() -> Problem {
    problem::of(&VaultError::Stopping)
}

/// The repository of a path.
fn parse_repository(text: &str) -> Result<RepositoryId, Problem> {
    text.parse().map_err(|error| Problem::bad_request(format!("{error}")))
}

/// The kind of a path's folder.
fn parse_folder(text: &str) -> Result<Kind, Problem> {
    Kind::from_folder(text).ok_or_else(|| {
        let folders: Vec<&str> = Kind::REPOSITORY.iter().map(|kind| kind.folder()).collect();
        Problem::not_found(format!("a repository has the folders {}", folders.join(", ")))
    })
}

/// The object of a path.
fn parse_id(text: &str) -> Result<[u8; 32], Problem> {
    let id: lumbung_model::PackId =
        text.parse().map_err(|error: lumbung_model::IdError| match error {
            lumbung_model::IdError::Length { expected, found, .. } => Problem::bad_request(
                format!("an id has {expected} hexadecimal digits, this has {found}"),
            ),
            lumbung_model::IdError::Digit { found, .. } => Problem::bad_request(format!(
                "an id is written with 0-9 and a-f, not with {found:?}"
            )),
        })?;
    Ok(*id.as_bytes())
}

/// A repository that the caller may know of. One that is not here is 404 only to who may see it.
fn visible(
    vault: &Vault,
    caller: &Caller,
    id: &RepositoryId,
) -> Result<Arc<Repository>, VaultError> {
    match caller {
        Caller::Anonymous => return Err(VaultError::Anonymous),
        Caller::Agent { repository, .. } if repository != id => {
            return Err(VaultError::Forbidden(
                "this certificate is for another repository".to_owned(),
            ));
        }
        Caller::Agent { .. } | Caller::Key(_) | Caller::Site(_) | Caller::Overseer => {}
    }
    vault.repository(id)
}
